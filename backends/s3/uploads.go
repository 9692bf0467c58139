package s3

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// BeginUpload begins one.
func (b *Backend) BeginUpload(ctx context.Context, key string, o fs.WriteOptions) (fs.Upload, error) {
	const op = "begin upload"
	if err := b.checkWrite(op, key, o); err != nil {
		return fs.Upload{}, err
	}
	attributes, err := encodeAttributes(o)
	if err != nil {
		return fs.Upload{}, b.fail(op, key, err)
	}
	target := key
	if o.Cond.IfVersion != "" {
		target = b.resolve(ctx, key)
	}
	out, err := b.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(target)), ContentType: ptr(o.MIME), Metadata: attributes,
	}, signedBody)
	if err != nil {
		return fs.Upload{}, b.fail(op, key, err)
	}
	return fs.Upload{Key: target, ID: aws.ToString(out.UploadId), Begun: time.Now()}, nil
}

// PutPart sends a part. It has no checksum but that of its signature: the store would refuse to mix it with parts that are copied.
func (b *Backend) PutPart(ctx context.Context, u fs.Upload, n int, src io.ReaderAt, size int64) (fs.Part, error) {
	out, err := b.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(u.Key)), UploadId: &u.ID, PartNumber: aws.Int32(int32(n)),
		Body: io.NewSectionReader(src, 0, size), ContentLength: &size,
	}, signedBody)
	if err != nil {
		return fs.Part{}, b.fail("put part", u.Key, err)
	}
	return fs.Part{N: n, Size: size, Tag: aws.ToString(out.ETag)}, nil
}

// CopyPart makes a part of a range of a version.
func (b *Backend) CopyPart(ctx context.Context, u fs.Upload, n int, src fs.CopyRange) (fs.Part, error) {
	return b.copyPart(ctx, u, n, src, "")
}

func (b *Backend) copyPart(ctx context.Context, u fs.Upload, n int, src fs.CopyRange, versionID string) (fs.Part, error) {
	out, err := b.client.UploadPartCopy(ctx, &s3.UploadPartCopyInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(u.Key)), UploadId: &u.ID, PartNumber: aws.Int32(int32(n)),
		CopySource: aws.String(b.source(b.resolve(ctx, src.Key), versionID)), CopySourceIfMatch: match(src.Version),
		CopySourceRange: aws.String(fmt.Sprintf("bytes=%d-%d", src.Off, src.Off+src.Size-1)),
	}, signedBody)
	if err != nil {
		return fs.Part{}, b.fail("copy part", u.Key, err)
	}
	if out.CopyPartResult == nil {
		return fs.Part{}, &fs.Error{Op: "copy part", Path: u.Key, Kind: fs.Unavailable}
	}
	return fs.Part{N: n, Size: src.Size, Tag: aws.ToString(out.CopyPartResult.ETag)}, nil
}

// UploadedParts asks for all pages of them.
func (b *Backend) UploadedParts(ctx context.Context, u fs.Upload) ([]fs.Part, error) {
	var parts []fs.Part
	pages := s3.NewListPartsPaginator(b.client, &s3.ListPartsInput{Bucket: &b.opts.Bucket, Key: aws.String(b.raw(u.Key)), UploadId: &u.ID})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.fail("list parts", u.Key, err)
		}
		for _, p := range page.Parts {
			parts = append(parts, fs.Part{N: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size), Tag: aws.ToString(p.ETag)})
		}
	}
	return parts, nil
}

// CompleteUpload makes a version of parts.
func (b *Backend) CompleteUpload(ctx context.Context, u fs.Upload, parts []fs.Part, o fs.WriteOptions) (fs.Info, error) {
	const op = "complete upload"
	_, done, err := b.before(ctx, op, u.Key, o.Cond, o.WriteID, b.Caps().CondWrite)
	if err != nil || done.Key != "" {
		return done, err
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(u.Key)), UploadId: &u.ID, IfMatch: match(o.Cond.IfVersion),
		MultipartUpload: &types.CompletedMultipartUpload{},
	}
	if o.Cond.IfAbsent {
		in.IfNoneMatch = aws.String("*")
	}
	size := int64(0)
	for _, p := range parts {
		size += p.Size
		in.MultipartUpload.Parts = append(in.MultipartUpload.Parts, types.CompletedPart{PartNumber: aws.Int32(int32(p.N)), ETag: aws.String(p.Tag)})
	}
	out, err := b.client.CompleteMultipartUpload(ctx, in)
	if b.overMarker(ctx, u.Key, o, err) {
		in.IfNoneMatch = nil
		out, err = b.client.CompleteMultipartUpload(ctx, in)
	}
	if err != nil {
		return b.settle(ctx, op, u.Key, u.Key, o.Cond, o.WriteID, err)
	}
	return b.made(ctx, op, u.Key, u.Key, out.ETag, size, time.Now().Round(0), withCopiedMeta(o))
}

// AbortUpload forgets one.
func (b *Backend) AbortUpload(ctx context.Context, u fs.Upload) error {
	_, err := b.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &b.opts.Bucket, Key: aws.String(b.raw(u.Key)), UploadId: &u.ID,
	})
	if err = b.fail("abort upload", u.Key, err); err != nil && fs.KindOf(err) == fs.NotExist {
		return nil
	}
	return err
}

// Unfinished asks for all pages of uploads under the prefix.
func (b *Backend) Unfinished(ctx context.Context) ([]fs.Upload, error) {
	var all []fs.Upload
	pages := s3.NewListMultipartUploadsPaginator(b.client, &s3.ListMultipartUploadsInput{Bucket: &b.opts.Bucket, Prefix: ptr(b.opts.Prefix), EncodingType: types.EncodingTypeUrl})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, b.fail("list uploads", "", err)
		}
		for _, u := range page.Uploads {
			raw, ok := decodeKey(aws.ToString(u.Key), string(page.EncodingType))
			if key, inside := strings.CutPrefix(raw, b.opts.Prefix); ok && inside {
				all = append(all, fs.Upload{Key: key, ID: aws.ToString(u.UploadId), Begun: aws.ToTime(u.Initiated)})
			}
		}
	}
	return all, nil
}
