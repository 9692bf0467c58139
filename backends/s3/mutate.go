package s3

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// mimeDir is the type of a directory's marker.
const mimeDir = "application/x-directory"

// Mkdir makes a directory's marker. The condition is about the marker: a directory without one is no obstacle.
func (b *Backend) Mkdir(ctx context.Context, key string, c fs.Cond) (fs.Info, error) {
	const op = "mkdir"
	if err := b.checkKey(op, key); err != nil {
		return fs.Info{}, err
	}
	if c.IfVersion != "" {
		return fs.Info{}, &fs.Error{Op: op, Path: key, Kind: fs.Invalid}
	}
	marker := key + "/"
	if _, _, err := b.before(ctx, op, marker, c, "", b.Caps().CondWrite); err != nil {
		return fs.Info{}, err
	}
	in := &s3.PutObjectInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(marker)), Body: bytes.NewReader(nil), ContentLength: aws.Int64(0),
		ContentType: aws.String(mimeDir),
	}
	if c.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	if _, err := b.client.PutObject(ctx, in); err != nil {
		return fs.Info{}, expect(c, b.fail(op, key, err))
	}
	now := time.Now()
	return fs.Info{Key: key, Type: fs.Directory, ModTime: now, Stored: now}, nil
}

// Marked returns what a directory's marker tells.
func (b *Backend) Marked(ctx context.Context, key string) (fs.Info, error) {
	info, err := b.head(ctx, "stat", key+"/", "")
	if err != nil {
		return fs.Info{}, err
	}
	info.Key, info.Type, info.Size, info.Version, info.Link = key, fs.Directory, 0, "", ""
	return info, nil
}

// Mark writes a directory's marker anew, with what others have said there.
func (b *Backend) Mark(ctx context.Context, key string, p fs.MetaPatch) (fs.Info, error) {
	const op = "mark"
	if err := b.checkKey(op, key); err != nil {
		return fs.Info{}, err
	}
	marker := key + "/"
	info, err := b.head(ctx, op, marker, "")
	switch {
	case err != nil && fs.KindOf(err) != fs.NotExist:
		return fs.Info{}, err
	case info.Size > 0:
		return fs.Info{}, &fs.Error{Op: op, Path: key, Kind: fs.Unsupported}
	}
	attributes, err := markerAttributes(&info, p)
	if err != nil {
		return fs.Info{}, b.fail(op, key, err)
	}
	if _, err := b.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(marker)), Body: bytes.NewReader(nil), ContentLength: aws.Int64(0),
		ContentType: aws.String(mimeDir), Metadata: attributes,
	}); err != nil {
		return fs.Info{}, b.fail(op, key, err)
	}
	info.Key, info.Type, info.Version, info.Stored = key, fs.Directory, "", time.Now()
	return info, nil
}

// Remove removes an object or a marker.
func (b *Backend) Remove(ctx context.Context, key string, o fs.RemoveOptions) error {
	const op = "remove"
	if o.Cond.IfAbsent || o.Trash || o.Dir && o.Cond.IfVersion != "" {
		return &fs.Error{Op: op, Path: key, Kind: fs.Invalid}
	}
	target := key + "/"
	if !o.Dir {
		target = b.resolve(ctx, key)
	}
	if _, _, err := b.before(ctx, op, target, o.Cond, "", b.Caps().CondRemove); err != nil {
		return err
	}
	_, err := b.client.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(target)), IfMatch: match(o.Cond.IfVersion),
	})
	err = b.fail(op, key, err)
	if err != nil && o.Cond == (fs.Cond{}) && gone(fs.KindOf(err)) {
		return nil
	}
	return err
}

// gone reports whether an answer of that kind to a removal without a condition means that there is nothing to remove, or of a
// directory that it stays because something is in it.
func gone(k fs.Kind) bool { return k == fs.NotExist || k == fs.NotEmpty }

// Copy copies on the store's side.
func (b *Backend) Copy(ctx context.Context, src, dst string, o fs.CopyOptions) (fs.Info, error) {
	if err := b.checkKey("copy", dst); err != nil {
		return fs.Info{}, err
	}
	return b.copyObject(ctx, copying{op: "copy", src: src, dst: dst, o: o, guarantee: b.Caps().CondCopy})
}

// SetMeta copies the object onto itself: the version may change, and the time at which it was stored does.
func (b *Backend) SetMeta(ctx context.Context, key string, p fs.MetaPatch, c fs.Cond) (fs.Info, error) {
	o := fs.CopyOptions{SrcVersion: c.IfVersion, Meta: &p}
	if c.IfAbsent {
		return fs.Info{}, &fs.Error{Op: "set meta", Path: key, Kind: fs.Invalid}
	}
	if b.Caps().CondCopy == fs.Atomic {
		o.Dst.IfVersion = c.IfVersion // between reading the source and writing a store may take somebody else's version
	}
	return b.copyObject(ctx, copying{op: "set meta", src: key, dst: key, o: o, guarantee: fs.Atomic})
}

// copying is a copy to be made.
type copying struct {
	op, src, dst string
	versionID    string // of the source; "" = the present one
	o            fs.CopyOptions
	guarantee    fs.Guarantee // of the destination's condition
}

func (b *Backend) copyObject(ctx context.Context, c copying) (fs.Info, error) {
	source := b.resolve(ctx, c.src)
	from, err := b.head(ctx, c.op, source, c.versionID)
	switch {
	case err != nil:
		return fs.Info{}, err
	case c.o.SrcVersion != "" && c.o.SrcVersion != from.Version:
		return fs.Info{}, &fs.Error{Op: c.op, Path: c.src, Kind: fs.Conflict}
	}
	target, done, err := b.before(ctx, c.op, c.dst, c.o.Dst, c.o.WriteID, c.guarantee)
	if err != nil || done.Key != "" {
		return done, err
	}
	if c.src == c.dst {
		target = source
	}
	meta := patched(from, c.o)
	if from.Size > b.opts.CopyLimit {
		return b.copyInParts(ctx, c, source, target, from, meta)
	}
	in := &s3.CopyObjectInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(target)), CopySource: aws.String(b.source(source, c.versionID)),
		CopySourceIfMatch: match(from.Version), IfMatch: match(c.o.Dst.IfVersion),
	}
	if c.o.Dst.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	if c.o.Meta != nil || c.o.WriteID != "" {
		if in.Metadata, err = encodeAttributes(meta); err != nil {
			return fs.Info{}, b.fail(c.op, c.dst, err)
		}
		in.MetadataDirective, in.ContentType = types.MetadataDirectiveReplace, ptr(meta.MIME)
	}
	out, err := b.client.CopyObject(ctx, in)
	if err != nil {
		return b.settle(ctx, c.op, c.dst, target, c.o.Dst, c.o.WriteID, err)
	}
	if out.CopyObjectResult == nil {
		return fs.Info{}, &fs.Error{Op: c.op, Path: c.dst, Kind: fs.UnknownOutcome, Err: errors.New("the store did not say what it made")}
	}
	info, err := b.made(ctx, c.op, c.dst, target, out.CopyObjectResult.ETag, from.Size, aws.ToTime(out.CopyObjectResult.LastModified), meta)
	info.Type, info.Link = from.Type, from.Link
	return info, err
}

func (b *Backend) source(path, versionID string) string {
	source := b.copySource(b.raw(path))
	if versionID != "" {
		source += "?versionId=" + versionID
	}
	return source
}

// patched returns what a copy of from is written with.
func patched(from fs.Info, o fs.CopyOptions) fs.WriteOptions {
	w := fs.WriteOptions{
		Size: from.Size, MIME: from.MIME, Meta: map[string]string{}, ModTime: from.ModTime, Mode: from.Mode, HasMode: from.HasMode,
		Link: from.Link, Special: from.Special, FileID: from.FileID, WriteID: from.WriteID,
	}
	maps.Copy(w.Meta, from.Meta)
	if o.WriteID != "" {
		w.WriteID = o.WriteID
	}
	p := o.Meta
	if p == nil {
		return w
	}
	for k, v := range p.Meta {
		w.Meta[k] = v
		if v == "" {
			delete(w.Meta, k)
		}
	}
	set(&w.MIME, p.MIME)
	set(&w.ModTime, p.ModTime)
	set(&w.FileID, p.FileID)
	if p.Mode != nil {
		w.Mode, w.HasMode = *p.Mode, true
	}
	return w
}

func set[T any](field, to *T) {
	if to != nil {
		*field = *to
	}
}

// copyInParts copies what is too large for one request.
func (b *Backend) copyInParts(ctx context.Context, c copying, source, target string, from fs.Info, meta fs.WriteOptions) (fs.Info, error) {
	meta.Cond, meta.Size = c.o.Dst, from.Size
	u, err := b.BeginUpload(ctx, target, meta)
	if err != nil {
		return fs.Info{}, err
	}
	parts, err := b.copyParts(ctx, u, source, c.versionID, from)
	if err == nil {
		var info fs.Info
		if info, err = b.CompleteUpload(ctx, u, parts, meta); err == nil {
			info.Key = c.dst
			return info, nil
		}
	}
	abortCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if abort := b.AbortUpload(abortCtx, u); abort != nil {
		b.log.Warn("a copy that was given up is still in the store", "key", target, "upload", u.ID, "error", abort)
	}
	return fs.Info{}, b.fail(c.op, c.dst, err)
}

// copyParts makes the parts one after the other: the store copies, not we.
func (b *Backend) copyParts(ctx context.Context, u fs.Upload, source, versionID string, from fs.Info) ([]fs.Part, error) {
	caps := b.Caps()
	size := max(b.opts.CopyLimit/8, caps.PartMin, (from.Size+int64(caps.MaxParts)-1)/int64(caps.MaxParts))
	var parts []fs.Part
	for off := int64(0); off < from.Size; off += size {
		r := fs.CopyRange{Key: source, Version: from.Version, Off: off, Size: min(size, from.Size-off)}
		part, err := b.copyPart(ctx, u, len(parts)+1, r, versionID)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part)
	}
	return parts, nil
}
