package s3

import (
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"hash/crc32"
	"io"
	"maps"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Put sends whole contents in one request.
func (b *Backend) Put(ctx context.Context, key string, src io.ReaderAt, o fs.WriteOptions) (fs.Info, error) {
	if o.Size < 0 || o.Size > b.Caps().PartMax {
		return fs.Info{}, &fs.Error{Op: "put", Path: key, Kind: fs.Invalid}
	}
	return b.put(ctx, key, io.NewSectionReader(src, 0, o.Size), o)
}

// put sends contents that can be read again, for a signature over plain HTTP and for another attempt.
func (b *Backend) put(ctx context.Context, key string, body *io.SectionReader, o fs.WriteOptions) (fs.Info, error) {
	const op = "put"
	if err := b.checkWrite(op, key, o); err != nil {
		return fs.Info{}, err
	}
	attributes, err := encodeAttributes(o)
	if err != nil {
		return fs.Info{}, b.fail(op, key, err)
	}
	if o.Link != "" {
		body = io.NewSectionReader(bytes.NewReader([]byte(o.Link)), 0, int64(len(o.Link)))
	} else if err := sized(body); err != nil {
		return fs.Info{}, b.fail(op, key, err)
	}
	target, done, err := b.before(ctx, op, key, o.Cond, o.WriteID, b.Caps().CondWrite)
	if err != nil || done.Key != "" {
		return done, err
	}
	in := &s3.PutObjectInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(target)), Body: body, ContentLength: aws.Int64(body.Size()),
		ContentType: ptr(o.MIME), Metadata: attributes, IfMatch: match(o.Cond.IfVersion),
	}
	if o.Cond.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	addSums(in, o.Sums)
	out, err := b.client.PutObject(ctx, in)
	if b.overMarker(ctx, target, o, err) {
		in.IfNoneMatch = nil
		_, _ = body.Seek(0, io.SeekStart) // a SectionReader never fails at its start
		out, err = b.client.PutObject(ctx, in)
	}
	if err != nil {
		return b.settle(ctx, op, key, target, o.Cond, o.WriteID, err)
	}
	return b.made(ctx, op, key, target, out.ETag, body.Size(), time.Now().Round(0), withCopiedMeta(o))
}

// overMarker reports whether a write that wants to be the first was refused because of a delete marker: some stores take it
// for an object. Every version is kept there, so that nothing is lost by writing without the condition.
func (b *Backend) overMarker(ctx context.Context, target string, o fs.WriteOptions, err error) bool {
	if err == nil || !o.Cond.IfAbsent || !b.Caps().Versions || kindOf(err) != fs.Conflict {
		return false
	}
	_, err = b.head(ctx, "put", target, "")
	return err != nil && fs.KindOf(err) == fs.NotExist
}

func withCopiedMeta(o fs.WriteOptions) fs.WriteOptions {
	o.Meta = maps.Clone(o.Meta)
	return o
}

func (b *Backend) checkWrite(op, key string, o fs.WriteOptions) error {
	if o.Cond.IfAbsent && o.Cond.IfVersion != "" {
		return &fs.Error{Op: op, Path: key, Kind: fs.Invalid, Err: errors.New("both conditions are set")}
	}
	if o.Special != (fs.Special{}) && (!o.Special.Known() || o.Size > 0 || o.Link != "") {
		return &fs.Error{Op: op, Path: key, Kind: fs.Invalid, Err: errors.New("no FIFO, socket or device without contents")}
	}
	return b.checkKey(op, key)
}

// sized returns an error if the contents end early.
func sized(body *io.SectionReader) error {
	if body.Size() == 0 {
		return nil
	}
	var last [1]byte
	_, err := body.ReadAt(last[:], body.Size()-1)
	if err == io.EOF {
		err = nil
		if n, _ := body.ReadAt(last[:], body.Size()-1); n == 0 {
			err = &fs.Error{Kind: fs.Invalid, Err: errors.New("the contents are shorter than was said")}
		}
	}
	return err
}

func addSums(in *s3.PutObjectInput, s fs.Sums) {
	encode := func(sum []byte) *string {
		if sum == nil {
			return nil
		}
		return aws.String(base64.StdEncoding.EncodeToString(sum))
	}
	in.ContentMD5 = encode(s.MD5)
	switch { // the protocol takes one more
	case s.CRC32C != nil:
		in.ChecksumCRC32C = encode(s.CRC32C)
	case s.SHA256 != nil:
		in.ChecksumSHA256 = encode(s.SHA256)
	case s.CRC64NVME != nil:
		in.ChecksumCRC64NVME = encode(s.CRC64NVME)
	}
}

// Write begins a version that is sent in one request if it is short, else in parts as it comes.
func (b *Backend) Write(ctx context.Context, key string, o fs.WriteOptions) (fs.Writer, error) {
	if err := b.checkWrite("put", key, o); err != nil {
		return nil, err
	}
	return &writer{b: b, ctx: ctx, key: key, o: withCopiedMeta(o), sums: newSums(o.Sums)}, nil
}

// writer is a version being written. It belongs to one goroutine.
type writer struct {
	b    *Backend
	ctx  context.Context // that of Write
	key  string
	o    fs.WriteOptions
	sums sums

	buf    bytes.Buffer
	size   int64 // of all that was written
	upload fs.Upload
	parts  []fs.Part
	done   bool
}

// Write takes contents. Full parts are sent before it returns.
func (w *writer) Write(p []byte) (int, error) {
	if err := w.usable(); err != nil {
		return 0, err
	}
	if w.o.Size >= 0 && w.size+int64(len(p)) > w.o.Size {
		return 0, w.fail(fs.Invalid, "more contents than was said")
	}
	w.sums.add(p)
	written := 0
	for len(p) > 0 {
		if w.full() {
			if err := w.sendPart(); err != nil {
				return written, err
			}
		}
		n := int(min(int64(len(p)), w.partSize()-int64(w.buf.Len())))
		w.buf.Write(p[:n]) // never fails
		p, written, w.size = p[n:], written+n, w.size+int64(n)
	}
	return written, nil
}

func (w *writer) usable() error {
	if err := w.ctx.Err(); err != nil {
		return w.b.fail("put", w.key, err)
	}
	if w.done {
		return w.fail(fs.Invalid, "the version was committed or aborted")
	}
	return nil
}

func (w *writer) fail(kind fs.Kind, text string) error {
	return &fs.Error{Op: "put", Path: w.key, Kind: kind, Err: errors.New(text)}
}

// full reports whether a part is to be sent before more is taken.
func (w *writer) full() bool { return int64(w.buf.Len()) >= w.partSize() }

// partSize returns the size of the part being filled: it grows so that the parts that a store takes hold the largest object.
func (w *writer) partSize() int64 {
	size := w.b.opts.PartSize
	if w.o.Size > 0 {
		return max(size, (w.o.Size+int64(w.b.Caps().MaxParts)-1)/int64(w.b.Caps().MaxParts))
	}
	switch n := len(w.parts); {
	case n >= 5000:
		return size * 64
	case n >= 1000:
		return size * 8
	}
	return size
}

func (w *writer) sendPart() error {
	if w.upload.ID == "" {
		upload, err := w.b.BeginUpload(w.ctx, w.key, w.o)
		if err != nil {
			return err
		}
		w.upload = upload
	}
	part, err := w.b.PutPart(w.ctx, w.upload, len(w.parts)+1, bytes.NewReader(w.buf.Bytes()), int64(w.buf.Len()))
	if err != nil {
		return err
	}
	w.parts = append(w.parts, part)
	w.buf.Reset()
	return nil
}

// Commit makes it the present version.
func (w *writer) Commit(ctx context.Context) (fs.Info, error) {
	if err := w.usable(); err != nil {
		return w.giveUp(err)
	}
	switch {
	case w.o.Size >= 0 && w.size != w.o.Size && w.o.Link == "":
		return w.giveUp(w.fail(fs.Invalid, "fewer contents than was said"))
	case !w.sums.match(w.o.Sums):
		return w.giveUp(w.fail(fs.Checksum, "the contents do not match their checksum"))
	case w.upload.ID == "":
		w.done = true
		w.o.Size = w.size
		return w.b.put(ctx, w.key, io.NewSectionReader(bytes.NewReader(w.buf.Bytes()), 0, w.size), w.o)
	}
	if w.buf.Len() > 0 {
		if err := w.sendPart(); err != nil {
			return w.giveUp(err)
		}
	}
	w.o.Size = w.size
	info, err := w.b.CompleteUpload(ctx, w.upload, w.parts, w.o)
	if err != nil {
		return w.giveUp(err)
	}
	w.done = true
	return info, nil
}

// giveUp aborts for the reason err. Parts that stay in the store are found by Unfinished later.
func (w *writer) giveUp(err error) (fs.Info, error) {
	if abort := w.Abort(); abort != nil {
		w.b.log.Warn("an upload that was given up is still in the store", "key", w.key, "upload", w.upload.ID, "error", abort)
	}
	return fs.Info{}, err
}

// abortTime is how long an upload that is given up may take to be forgotten.
const abortTime = 20 * time.Second

// Abort forgets what was sent.
func (w *writer) Abort() error {
	if w.done {
		return nil
	}
	w.done = true
	w.buf = bytes.Buffer{}
	if w.upload.ID == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(w.ctx), abortTime)
	defer cancel()
	return w.b.AbortUpload(ctx, w.upload)
}

// sums computes those checksums that are asked for.
type sums struct {
	md5, sha256, crc32c interface {
		io.Writer
		Sum(b []byte) []byte
	}
}

func newSums(want fs.Sums) (s sums) {
	if want.MD5 != nil {
		s.md5 = md5.New()
	}
	if want.SHA256 != nil {
		s.sha256 = sha256.New()
	}
	if want.CRC32C != nil {
		s.crc32c = crc32.New(crc32.MakeTable(crc32.Castagnoli))
	}
	return s
}

func (s *sums) add(p []byte) {
	for _, h := range []io.Writer{s.md5, s.sha256, s.crc32c} {
		if h != nil {
			_, _ = h.Write(p) // a hash never fails
		}
	}
}

func (s *sums) match(want fs.Sums) bool {
	return (s.md5 == nil || bytes.Equal(s.md5.Sum(nil), want.MD5)) &&
		(s.sha256 == nil || bytes.Equal(s.sha256.Sum(nil), want.SHA256)) &&
		(s.crc32c == nil || bytes.Equal(s.crc32c.Sum(nil), want.CRC32C))
}
