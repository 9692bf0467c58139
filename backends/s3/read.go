package s3

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Read asks for a range, at the version that it must have.
func (b *Backend) Read(ctx context.Context, key string, o fs.ReadOptions) (fs.Reader, error) {
	if o.Off < 0 || o.Len < 0 {
		return nil, &fs.Error{Op: "read", Path: key, Kind: fs.Invalid}
	}
	r, err := b.read(ctx, key, o)
	if err == nil || fs.KindOf(err) != fs.NotExist {
		return asReader(r, err)
	}
	if shadowed, is := fs.ShadowedName(key); is {
		if _, ok := b.shadowed(ctx, shadowed); ok {
			if r, err = b.read(ctx, shadowed, o); err == nil {
				r.info.Key = key
			}
		}
	}
	return asReader(r, err)
}

// asReader keeps a nil *reader from becoming an interface that is not nil.
func asReader(r *reader, err error) (fs.Reader, error) {
	if err != nil {
		return nil, err
	}
	return r, nil
}

func (b *Backend) read(ctx context.Context, key string, o fs.ReadOptions) (*reader, error) {
	want := o.IfVersion
	in := &s3.GetObjectInput{Bucket: &b.opts.Bucket, Key: aws.String(b.raw(key))}
	if etag, id := splitVersion(o.Version); id != "" {
		in.VersionId = &id
	} else if etag != "" {
		want = fs.Version(etag)
	}
	in.IfMatch = match(want)
	switch {
	case o.Len > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-%d", o.Off, o.Off+o.Len-1))
	case o.Off > 0:
		in.Range = aws.String(fmt.Sprintf("bytes=%d-", o.Off))
	}
	out, err := b.client.GetObject(ctx, in)
	if err != nil {
		err = b.fail("read", key, err)
		if fs.KindOf(err) == fs.Range {
			return b.readEnd(ctx, key, o, err)
		}
		return nil, err
	}
	info := fs.Info{
		Key: key, Type: fs.File, Size: aws.ToInt64(out.ContentLength), Stored: aws.ToTime(out.LastModified), MIME: aws.ToString(out.ContentType),
	}
	if out.ContentRange != nil {
		info.Size = totalSize(*out.ContentRange)
	}
	info.Version = versionOf(out.ETag, out.LastModified, info.Size)
	info.ModTime = info.Stored
	if err := b.checkRead(key, o, want, out, info); err != nil {
		_ = out.Body.Close() // nothing was read of it
		return nil, err
	}
	body := out.Body
	if inBody := decodeAttributes(&info, out.Metadata); inBody {
		info.Type = fs.Symlink
	}
	return &reader{ctx: ctx, b: b, body: body, info: info, left: aws.ToInt64(out.ContentLength)}, nil
}

// readEnd answers for a range that begins at the end of the object or past it: stores call both unsatisfiable.
func (b *Backend) readEnd(ctx context.Context, key string, o fs.ReadOptions, cause error) (*reader, error) {
	_, id := splitVersion(o.Version)
	info, err := b.head(ctx, "read", key, id)
	switch {
	case err != nil:
		return nil, err
	case o.IfVersion != "" && info.Version != o.IfVersion:
		return nil, &fs.Error{Op: "read", Path: key, Kind: fs.Conflict}
	case o.Off != info.Size:
		return nil, cause
	}
	return &reader{ctx: ctx, b: b, body: io.NopCloser(strings.NewReader("")), info: info}, nil
}

// checkRead returns nil if an answer is of the version that is wanted and begins where it was asked to.
func (b *Backend) checkRead(key string, o fs.ReadOptions, want fs.Version, out *s3.GetObjectOutput, info fs.Info) error {
	cannot := func(text string) error {
		return &fs.Error{Op: "read", Path: key, Kind: fs.Unsupported, Err: errors.New("the store of bucket " + b.opts.Bucket + " " + text)}
	}
	begins := fmt.Sprintf("bytes %d-", o.Off)
	switch {
	case o.Off > 0 && !strings.HasPrefix(aws.ToString(out.ContentRange), begins):
		return cannot("does not give parts of this object")
	case isSoft(info.Version) && (out.LastModified == nil || info.Size < 0):
		return cannot("gives no ETag, and no time or size, by which versions of this object could be told apart")
	case isSoft(want) && want != info.Version:
		return &fs.Error{Op: "read", Path: key, Kind: fs.Conflict}
	}
	return nil
}

// totalSize reads the size of the whole object from "bytes 0-9/100"; -1 = it is not told.
func totalSize(contentRange string) int64 {
	_, total, _ := strings.Cut(contentRange, "/")
	if n, err := strconv.ParseInt(total, 10, 64); err == nil && n >= 0 {
		return n
	}
	return -1
}

// reader is an open range.
type reader struct {
	ctx  context.Context
	b    *Backend
	body io.ReadCloser
	info fs.Info
	left int64 // bytes that are still to come
}

// Info returns what the answer's head says.
func (r *reader) Info() fs.Info { return r.info }

// Read reads on. A body that ends too early is an error. The end of the context is one from the next call on: the transport closes
// the connection on its own time, and what has arrived by then could be read to the end.
func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, r.b.fail("read", r.info.Key, err)
	}
	n, err := r.body.Read(p)
	r.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && r.left > 0:
		err = &fs.Error{Op: "read", Path: r.info.Key, Kind: fs.Unavailable, Err: io.ErrUnexpectedEOF}
	case err != nil && !errors.Is(err, io.EOF):
		err = r.fail(err)
	}
	return n, err
}

// fail tells a broken connection from damaged bytes: the SDK's error for a checksum that does not match has no type of its own.
func (r *reader) fail(err error) error {
	var network net.Error
	if !errors.As(err, &network) && !errors.Is(err, io.ErrUnexpectedEOF) && fs.KindOf(err) == fs.Internal {
		return &fs.Error{Op: "read", Path: r.info.Key, Kind: fs.Checksum, Err: err}
	}
	return r.b.fail("read", r.info.Key, err)
}

// Close ends the range; what is left of a short body is read so that the connection can be used again.
func (r *reader) Close() error {
	if r.left > 0 && r.left <= maxDrain {
		_, _ = io.CopyN(io.Discard, r.body, r.left) // only to keep the connection
	}
	return r.b.fail("read", r.info.Key, r.body.Close())
}

// maxDrain is how much is read to save a connection.
const maxDrain = 64 << 10
