package s3

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"io"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// probeFolder is where the scratch keys are, below the prefix.
const probeFolder = fs.ReservedName + "/probe-"

// stale is an ETag that no object has.
const stale = `"00000000000000000000000000000000"`

// Probe finds out on scratch keys which conditions the store keeps, with about ten requests. After an error nothing has changed.
func (b *Backend) Probe(ctx context.Context) (fs.Caps, error) {
	var random [8]byte
	_, _ = rand.Read(random[:]) // documented never to fail
	p := prober{b: b, raw: b.raw(probeFolder + hex.EncodeToString(random[:])), caps: b.unprobed()}
	err := p.run(ctx)
	p.cleanUp(ctx)
	if err != nil {
		return fs.Caps{}, b.fail("probe", "", err)
	}
	b.caps.Store(&p.caps)
	return p.caps, nil
}

// prober is one probe. The first error that is about something else than a condition ends it.
type prober struct {
	b    *Backend
	raw  string // of the scratch key
	soft bool   // the store names no versions
	caps fs.Caps
	err  error
}

func (p *prober) run(ctx context.Context) error {
	if err := p.put(ctx, nil); err != nil {
		return err
	}
	p.listing(ctx)
	absent := p.kept(p.put(ctx, func(in *s3.PutObjectInput) { in.IfNoneMatch = aws.String("*") }))
	match := p.kept(p.put(ctx, func(in *s3.PutObjectInput) { in.IfMatch = aws.String(stale) }))
	p.caps.CondWrite = p.guarantee(absent && match)
	copied := p.kept(p.copy(ctx))
	p.caps.CondCopy, p.caps.CondMeta = p.guarantee(copied), p.guarantee(copied)
	_, err := p.b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.b.opts.Bucket, Key: &p.raw, IfMatch: aws.String(stale)})
	p.caps.CondRemove = p.guarantee(p.kept(err))
	p.versioning(ctx)
	return p.err
}

func (p *prober) guarantee(kept bool) fs.Guarantee {
	if kept && !p.soft {
		return fs.Atomic
	}
	return fs.Advisory
}

// kept reports whether a request with a condition that must fail was refused for it. A store may also refuse to know the condition.
func (p *prober) kept(err error) bool {
	switch kind := kindOf(err); {
	case err == nil:
		return false
	case kind == fs.Conflict:
		return true
	case kind == fs.Unsupported || kind == fs.Invalid || kind == fs.Permission:
		return false
	}
	if p.err == nil {
		p.err = err
	}
	return false
}

func (p *prober) put(ctx context.Context, with func(*s3.PutObjectInput)) error {
	body := []byte("jupyter-drive tries what this store can do; this may be removed\n")
	in := &s3.PutObjectInput{Bucket: &p.b.opts.Bucket, Key: &p.raw, Body: bytes.NewReader(body), ContentLength: aws.Int64(int64(len(body)))}
	if with != nil {
		with(in)
	}
	out, err := p.b.client.PutObject(ctx, in)
	if err == nil {
		p.soft = isSoft(versionOf(out.ETag, nil, 0))
	}
	return err
}

// copy copies the scratch key onto itself, which a stale condition on the destination must refuse.
func (p *prober) copy(ctx context.Context) error {
	_, err := p.b.client.CopyObject(ctx, &s3.CopyObjectInput{
		Bucket: &p.b.opts.Bucket, Key: &p.raw, CopySource: aws.String(p.b.copySource(p.raw)), IfMatch: aws.String(stale),
		MetadataDirective: types.MetadataDirectiveReplace,
	})
	return err
}

// listing finds out whether listings encode names, and whether they show what was just written.
func (p *prober) listing(ctx context.Context) {
	out, err := p.b.client.ListObjectsV2(ctx, &s3.ListObjectsV2Input{
		Bucket: &p.b.opts.Bucket, Prefix: &p.raw, MaxKeys: aws.Int32(1), EncodingType: types.EncodingTypeUrl,
	})
	if err != nil {
		p.err = err
		return
	}
	p.caps.AnyName = out.EncodingType == types.EncodingTypeUrl
	p.caps.ListStrong = len(out.Contents) == 1
}

// versioning asks whether the bucket keeps versions. Who may not know is told that it does not.
func (p *prober) versioning(ctx context.Context) {
	out, err := p.b.client.GetBucketVersioning(ctx, &s3.GetBucketVersioningInput{Bucket: &p.b.opts.Bucket})
	p.caps.Versions = err == nil && out.Status == types.BucketVersioningStatusEnabled
}

// cleanUp removes the scratch key, and the version of it that a bucket with versions keeps.
func (p *prober) cleanUp(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), abortTime)
	defer cancel()
	if _, err := p.b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &p.b.opts.Bucket, Key: &p.raw}); err != nil {
		p.b.log.Warn("the key on which the store was probed is still there", "key", p.raw, "error", err)
	}
}

// Checked is one step of a Check.
type Checked struct {
	Name string // "list", "write", "read", "conditions", "clock"
	Took time.Duration
	Err  error
}

// Check tries what a drive needs, step by step, for a person who sets one up. It ends after the first step without which the next make no sense.
func (b *Backend) Check(ctx context.Context) []Checked {
	var steps []Checked
	step := func(name string, fn func() error) bool {
		start := time.Now()
		err := fn()
		steps = append(steps, Checked{Name: name, Took: time.Since(start), Err: err})
		return err == nil
	}
	key := probeFolder + "check"
	_ = step("list", func() error { _, err := b.List(ctx, "", fs.ListOptions{Max: 1}); return err }) &&
		step("write", func() error {
			_, err := b.put(ctx, key, io.NewSectionReader(bytes.NewReader([]byte("check\n")), 0, 6), fs.WriteOptions{Size: 6})
			return err
		}) &&
		step("read", func() error {
			r, err := b.Read(ctx, key, fs.ReadOptions{})
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r)
			return joinClose(err, r)
		}) &&
		step("remove", func() error { return b.Remove(ctx, key, fs.RemoveOptions{}) }) &&
		step("conditions", func() error { _, err := b.Probe(ctx); return err })
	return steps
}

func joinClose(err error, c io.Closer) error {
	if closeErr := c.Close(); err == nil {
		err = closeErr
	}
	return err
}
