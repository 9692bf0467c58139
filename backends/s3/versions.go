package s3

import (
	"context"
	"encoding/json"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// versionPlace is where a listing of versions goes on.
type versionPlace struct{ Key, ID string }

// Versions asks for one page of versions. The store also lists longer keys: they are left out, and end the listing.
func (b *Backend) Versions(ctx context.Context, key string, o fs.ListOptions) (fs.Page, error) {
	const op = "versions"
	var from versionPlace
	if o.Token != "" {
		if err := json.Unmarshal([]byte(o.Token), &from); err != nil {
			return fs.Page{}, &fs.Error{Op: op, Path: key, Kind: fs.Invalid, Err: err}
		}
	}
	raw := b.raw(b.resolve(ctx, key))
	limit := o.Max
	if limit <= 0 || limit > maxPage {
		limit = maxPage
	}
	out, err := b.client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{
		Bucket: &b.opts.Bucket, Prefix: &raw, KeyMarker: ptr(from.Key), VersionIdMarker: ptr(from.ID), MaxKeys: aws.Int32(int32(limit)),
		EncodingType: types.EncodingTypeUrl,
	})
	if err != nil {
		return fs.Page{}, b.fail(op, key, err)
	}
	var page fs.Page
	for _, v := range out.Versions {
		if name, ok := decodeKey(aws.ToString(v.Key), string(out.EncodingType)); !ok || name != raw {
			continue
		}
		page.Infos = append(page.Infos, fs.Info{
			Key: key, Type: fs.File, Size: aws.ToInt64(v.Size), ModTime: aws.ToTime(v.LastModified), Stored: aws.ToTime(v.LastModified),
			Version: versionOf(v.ETag, v.LastModified, aws.ToInt64(v.Size)) + fs.Version("#"+aws.ToString(v.VersionId)), Partial: true,
		})
	}
	next, ok := decodeKey(aws.ToString(out.NextKeyMarker), string(out.EncodingType))
	if aws.ToBool(out.IsTruncated) && ok && next == raw {
		token, err := json.Marshal(versionPlace{next, aws.ToString(out.NextVersionIdMarker)})
		if err != nil {
			return fs.Page{}, b.fail(op, key, err)
		}
		page.Next = string(token)
	}
	return page, nil
}

// Restore copies an old version over the present one.
func (b *Backend) Restore(ctx context.Context, key string, v fs.Version, c fs.Cond) (fs.Info, error) {
	_, id := splitVersion(v)
	if id == "" {
		return fs.Info{}, &fs.Error{Op: "restore", Path: key, Kind: fs.Invalid}
	}
	return b.copyObject(ctx, copying{op: "restore", src: key, dst: key, versionID: id, o: fs.CopyOptions{Dst: c}, guarantee: b.Caps().CondCopy})
}

// Drop removes an old version.
func (b *Backend) Drop(ctx context.Context, key string, v fs.Version) error {
	const op = "drop"
	_, id := splitVersion(v)
	page, err := b.Versions(ctx, key, fs.ListOptions{Max: 1})
	switch {
	case err != nil:
		return err
	case id == "" || strings.ContainsAny(id, "/?&"), len(page.Infos) > 0 && page.Infos[0].Version == v && b.present(ctx, key, v):
		return &fs.Error{Op: op, Path: key, Kind: fs.Invalid}
	}
	_, err = b.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &b.opts.Bucket, Key: aws.String(b.raw(b.resolve(ctx, key))), VersionId: &id})
	return b.fail(op, key, err)
}

// present reports whether the newest version is the present one: after a removal there is none.
func (b *Backend) present(ctx context.Context, key string, v fs.Version) bool {
	info, err := b.head(ctx, "drop", b.resolve(ctx, key), "")
	etag, _ := splitVersion(v)
	return err == nil && string(info.Version) == etag
}
