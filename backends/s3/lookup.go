package s3

import (
	"context"
	"io"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Stat asks for the object and for a key below it at the same time.
func (b *Backend) Stat(ctx context.Context, key string) (fs.Info, error) {
	if key == "" {
		return fs.Info{Type: fs.Directory}, nil
	}
	info, err := b.stat(ctx, key)
	shadowed, is := fs.ShadowedName(key)
	if !is || err == nil || fs.KindOf(err) != fs.NotExist {
		return info, b.fail("stat", key, err)
	}
	if file, isShadowed := b.shadowed(ctx, shadowed); isShadowed {
		file.Key = key
		return file, nil
	}
	return fs.Info{}, err
}

// Recheck asks for the object alone.
func (b *Backend) Recheck(ctx context.Context, key string) (fs.Info, error) {
	info, err := b.head(ctx, "stat", key, "")
	if err != nil && fs.KindOf(err) == fs.NotExist {
		return b.Stat(ctx, key) // HEAD does not tell a missing object from a missing bucket, and there may be a directory now
	}
	return info, err
}

func (b *Backend) stat(ctx context.Context, key string) (fs.Info, error) {
	var file fs.Info
	var fileErr error
	var head sync.WaitGroup
	head.Go(func() { file, fileErr = b.head(ctx, "stat", key, "") })
	dir, isDir, err := b.statDir(ctx, key)
	head.Wait() // to end it would cost its connection
	if err != nil || isDir {
		return dir, err
	}
	return file, fileErr
}

// statDir returns what is known of a directory, if there is one.
func (b *Backend) statDir(ctx context.Context, key string) (info fs.Info, ok bool, err error) {
	folder := b.folder(key)
	out, err := b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &b.opts.Bucket, Prefix: &folder, MaxKeys: aws.Int32(1), EncodingType: types.EncodingTypeUrl,
	})
	if err != nil {
		return fs.Info{}, false, b.fail("stat", key, err)
	}
	if len(out.Contents) == 0 {
		return fs.Info{}, false, nil
	}
	info = fs.Info{Key: key, Type: fs.Directory, Implicit: true}
	first := out.Contents[0]
	if name, ok := decodeKey(aws.ToString(first.Key), string(out.EncodingType)); ok && name == folder {
		info.Implicit, info.Stored = false, aws.ToTime(first.LastModified)
		info.ModTime = info.Stored
	}
	return info, true, nil
}

// shadowed returns the file at path if a directory has its name.
func (b *Backend) shadowed(ctx context.Context, path string) (fs.Info, bool) {
	info, err := b.head(ctx, "stat", path, "")
	if err != nil {
		return fs.Info{}, false
	}
	_, isDir, err := b.statDir(ctx, path)
	return info, err == nil && isDir
}

// resolve returns the path under whose key the file at path is: another one only if path is a shadow.
func (b *Backend) resolve(ctx context.Context, path string) string {
	shadowed, is := fs.ShadowedName(path)
	if !is {
		return path
	}
	if _, err := b.head(ctx, "stat", path, ""); err == nil || fs.KindOf(err) != fs.NotExist {
		return path
	}
	if _, ok := b.shadowed(ctx, shadowed); ok {
		return shadowed
	}
	return path
}

// head returns what the store knows of the object, or of one of its versions.
func (b *Backend) head(ctx context.Context, op, key, versionID string) (fs.Info, error) {
	in := &s3.HeadObjectInput{Bucket: &b.opts.Bucket, Key: aws.String(b.raw(key))}
	if versionID != "" {
		in.VersionId = &versionID
	}
	out, err := b.client.HeadObject(ctx, in)
	if err != nil && mute(err) {
		if err = b.explain(ctx, in, err); err == nil {
			out, err = b.client.HeadObject(ctx, in)
		}
	}
	if err != nil {
		return fs.Info{}, b.fail(op, key, err)
	}
	info := fs.Info{
		Key: key, Type: fs.File, Size: aws.ToInt64(out.ContentLength), Stored: aws.ToTime(out.LastModified),
		Version: versionOf(out.ETag, out.LastModified, aws.ToInt64(out.ContentLength)), MIME: aws.ToString(out.ContentType),
	}
	info.ModTime = info.Stored
	if !decodeAttributes(&info, out.Metadata) {
		return info, nil
	}
	info.Link, err = b.target(ctx, key, info.Version)
	info.Size = int64(len(info.Link))
	return info, err
}

// mute reports whether an answer to HEAD, which has no body, leaves open whether the credentials have expired.
func mute(err error) bool {
	kind := kindOf(err)
	return kind == fs.Permission || kind == fs.Invalid
}

// explain asks for a byte of the object, to which the store may say what it could not say to HEAD. It returns nil if HEAD is to be tried
// again: the SDK may have got new credentials meanwhile.
func (b *Backend) explain(ctx context.Context, in *s3.HeadObjectInput, cause error) error {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: in.Bucket, Key: in.Key, VersionId: in.VersionId, Range: aws.String("bytes=0-0")})
	switch {
	case err == nil:
		return out.Body.Close()
	case kindOf(err) == fs.Range, kindOf(err) == fs.NotExist:
		return nil
	case mute(err):
		return cause
	}
	return err
}

// target reads the target of a symlink that is the object's contents.
func (b *Backend) target(ctx context.Context, key string, v fs.Version) (string, error) {
	out, err := b.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &b.opts.Bucket, Key: aws.String(b.raw(key)), IfMatch: match(v)})
	if err != nil {
		return "", b.fail("readlink", key, err)
	}
	defer out.Body.Close()
	data, err := io.ReadAll(io.LimitReader(out.Body, maxLink))
	return string(data), b.fail("readlink", key, err)
}

// ptr returns a pointer to s, nil for "".
func ptr(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// knownInfo is the Info of what was just written under key.
func knownInfo(key, etag string, size int64, stored time.Time, o fs.WriteOptions) fs.Info {
	info := fs.Info{
		Key: key, Type: fs.File, Size: size, ModTime: o.ModTime, Stored: stored, Version: fs.Version(etag), MIME: o.MIME,
		Mode: o.Mode & fs.ModePerm, HasMode: o.HasMode, Link: o.Link, Meta: o.Meta, FileID: o.FileID, WriteID: o.WriteID,
	}
	switch {
	case o.Link != "":
		info.Type = fs.Symlink
		info.Mode, info.HasMode = infoMode(o)
	case o.Special.Known():
		info.Type, info.Special = fs.Other, o.Special
		info.Mode, info.HasMode = infoMode(o)
	}
	if info.ModTime.IsZero() {
		info.ModTime = stored
	}
	return info
}

func infoMode(o fs.WriteOptions) (uint32, bool) {
	mode, ok := statMode(o)
	return mode & fs.ModePerm, ok
}
