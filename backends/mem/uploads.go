package mem

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// upload is an upload in parts that was begun.
type upload struct {
	fs.Upload
	o     fs.WriteOptions
	parts map[int]part
}

type part struct {
	fs.Part
	data []byte
}

// BeginUpload begins one.
func (b *Backend) BeginUpload(ctx context.Context, key string, o fs.WriteOptions) (u fs.Upload, err error) {
	if err := b.checkKey(key); err != nil {
		return fs.Upload{}, fs.Wrap("begin", key, err)
	}
	err = b.do(ctx, Request{Op: "begin", Key: key, Cond: o.Cond, WriteID: o.WriteID}, func() error {
		o.Meta = maps.Clone(o.Meta)
		u = fs.Upload{Key: key, ID: b.next(), Begun: b.opts.Now()}
		b.uploads[u.ID] = &upload{Upload: u, o: o, parts: map[int]part{}}
		return nil
	})
	return u, err
}

// PutPart sends a part.
func (b *Backend) PutPart(ctx context.Context, u fs.Upload, n int, src io.ReaderAt, size int64) (fs.Part, error) {
	data, err := readAllAt(src, size)
	if err != nil {
		return fs.Part{}, fs.Wrap("part", u.Key, err)
	}
	return b.addPart(ctx, Request{Op: "part", Key: u.Key, Len: size}, u, n, func() ([]byte, error) { return data, nil })
}

// CopyPart makes a part of a range of a version.
func (b *Backend) CopyPart(ctx context.Context, u fs.Upload, n int, src fs.CopyRange) (fs.Part, error) {
	r := Request{Op: "copy part", Key: src.Key, Dst: u.Key, Off: src.Off, Len: src.Size}
	return b.addPart(ctx, r, u, n, func() ([]byte, error) {
		obj, err := b.objects.file(src.Key)
		switch {
		case err != nil:
			return nil, err
		case src.Version != "" && obj.info.Version != src.Version:
			return nil, kindError(fs.Conflict)
		case src.Off < 0 || src.Size <= 0 || src.Off+src.Size > obj.info.Size:
			return nil, kindError(fs.Range)
		}
		return obj.data[src.Off : src.Off+src.Size], nil
	})
}

func (b *Backend) addPart(ctx context.Context, r Request, u fs.Upload, n int, data func() ([]byte, error)) (p fs.Part, err error) {
	err = b.do(ctx, r, func() error {
		to := b.uploads[u.ID]
		if to == nil {
			return kindError(fs.NotExist)
		}
		if n < 1 || n > b.caps.MaxParts || r.Len < 0 || r.Len > b.caps.PartMax {
			return kindError(fs.Invalid)
		}
		bytes, err := data()
		if err != nil {
			return err
		}
		sum := md5.Sum(bytes)
		p = fs.Part{N: n, Size: int64(len(bytes)), Tag: `"` + hex.EncodeToString(sum[:]) + `"`}
		to.parts[n] = part{Part: p, data: bytes}
		return nil
	})
	return p, err
}

// UploadedParts returns what is there.
func (b *Backend) UploadedParts(ctx context.Context, u fs.Upload) (parts []fs.Part, err error) {
	err = b.do(ctx, Request{Op: "parts", Key: u.Key}, func() error {
		of := b.uploads[u.ID]
		if of == nil {
			return kindError(fs.NotExist)
		}
		for _, n := range slices.Sorted(maps.Keys(of.parts)) {
			parts = append(parts, of.parts[n].Part)
		}
		return nil
	})
	return parts, err
}

// CompleteUpload makes a version of parts.
func (b *Backend) CompleteUpload(ctx context.Context, u fs.Upload, parts []fs.Part, o fs.WriteOptions) (info fs.Info, err error) {
	r := Request{Op: "complete", Key: u.Key, Cond: o.Cond, WriteID: o.WriteID}
	err = b.do(ctx, r, func() error {
		raw := b.target(u.Key, o.Cond)
		of := b.uploads[u.ID]
		if of == nil { // completed before, or never begun
			now := b.objects.get(raw)
			if now != nil && o.WriteID != "" && now.info.WriteID == o.WriteID {
				info = now.as(u.Key)
				return nil
			}
			return kindError(fs.NotExist)
		}
		done, err := b.check(raw, o.Cond, o.WriteID, b.caps.CondWrite)
		if err != nil || done != nil {
			info = done.orNothing(u.Key)
			return err
		}
		obj, err := of.assemble(parts, b.caps.PartMin)
		if err != nil {
			return err
		}
		delete(b.uploads, u.ID)
		b.store(raw, obj)
		info = obj.as(u.Key)
		return nil
	})
	return info, err
}

// assemble makes an object of the parts, which must be those that are there.
func (u *upload) assemble(parts []fs.Part, least int64) (*object, error) {
	var all bytes.Buffer
	sums := md5.New()
	for i, p := range parts {
		have, ok := u.parts[p.N]
		switch {
		case !ok || have.Tag != p.Tag || i > 0 && p.N <= parts[i-1].N:
			return nil, kindError(fs.Invalid)
		case i < len(parts)-1 && have.Size < least:
			return nil, kindError(fs.Invalid)
		}
		all.Write(have.data)
		sum := md5.Sum(have.data)
		sums.Write(sum[:])
	}
	if len(parts) == 0 {
		return nil, kindError(fs.Invalid)
	}
	info := newInfo(all.Bytes(), u.o)
	info.Version = fs.Version(fmt.Sprintf(`"%x-%d"`, sums.Sum(nil), len(parts)))
	info.Sums = fs.Sums{}
	return &object{data: all.Bytes(), info: info}, nil
}

// AbortUpload forgets one.
func (b *Backend) AbortUpload(ctx context.Context, u fs.Upload) error {
	return b.do(ctx, Request{Op: "abort", Key: u.Key}, func() error {
		delete(b.uploads, u.ID)
		return nil
	})
}

// Unfinished returns the uploads that were begun, the oldest first.
func (b *Backend) Unfinished(ctx context.Context) (all []fs.Upload, err error) {
	err = b.do(ctx, Request{Op: "unfinished"}, func() error {
		for _, u := range b.uploads {
			all = append(all, u.Upload)
		}
		slices.SortFunc(all, func(a, b fs.Upload) int { return strings.Compare(a.ID, b.ID) })
		return nil
	})
	return all, err
}
