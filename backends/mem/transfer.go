package mem

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"hash/crc32"
	"io"
	"maps"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Read opens a range.
func (b *Backend) Read(ctx context.Context, key string, o fs.ReadOptions) (fs.Reader, error) {
	r := Request{Op: "read", Key: key, Off: o.Off, Len: o.Len}
	var out *reader
	err := b.do(ctx, r, func() error {
		obj, err := b.version(key, o.Version)
		switch {
		case err != nil:
			return err
		case o.IfVersion != "" && o.IfVersion != obj.info.Version:
			return kindError(fs.Conflict)
		case o.Off < 0 || o.Len < 0:
			return kindError(fs.Invalid)
		case o.Off > obj.info.Size:
			return kindError(fs.Range)
		}
		data := obj.data[o.Off:]
		if o.Len > 0 {
			data = data[:min(o.Len, int64(len(data)))]
		}
		out = &reader{Reader: bytes.NewReader(data), ctx: ctx, info: obj.as(key)}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if b.opts.Body != nil {
		out.Reader = b.opts.Body(r, out.Reader)
	}
	return out, nil
}

// reader is an open range. It ends with the context of its Read.
type reader struct {
	io.Reader
	ctx  context.Context
	info fs.Info
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, fs.Wrap("read", r.info.Key, err)
	}
	return r.Reader.Read(p)
}

func (r *reader) Info() fs.Info { return r.info }
func (r *reader) Close() error  { return nil }

// Write begins a new version, which is stored by Commit.
func (b *Backend) Write(ctx context.Context, key string, o fs.WriteOptions) (fs.Writer, error) {
	if o.Cond.IfAbsent && o.Cond.IfVersion != "" {
		return nil, &fs.Error{Op: "put", Path: key, Kind: fs.Invalid}
	}
	if err := b.checkKey(key); err != nil {
		return nil, fs.Wrap("put", key, err)
	}
	return &writer{b: b, ctx: ctx, key: key, o: o}, nil
}

// writer collects a version.
type writer struct {
	b    *Backend
	ctx  context.Context // that of Write
	key  string
	o    fs.WriteOptions
	buf  bytes.Buffer
	done bool
}

func (w *writer) Write(p []byte) (int, error) {
	switch err := w.ctx.Err(); {
	case err != nil:
		return 0, fs.Wrap("put", w.key, err)
	case w.done:
		return 0, &fs.Error{Op: "put", Path: w.key, Kind: fs.Invalid, Err: errors.New("the version was committed or aborted")}
	case w.b.caps.MaxSize > 0 && int64(w.buf.Len()+len(p)) > w.b.caps.MaxSize:
		return 0, &fs.Error{Op: "put", Path: w.key, Kind: fs.TooLarge}
	}
	return w.buf.Write(p)
}

func (w *writer) Commit(ctx context.Context) (fs.Info, error) {
	switch err := w.ctx.Err(); {
	case err != nil:
		return fs.Info{}, fs.Wrap("put", w.key, err)
	case w.done:
		return fs.Info{}, &fs.Error{Op: "put", Path: w.key, Kind: fs.Invalid, Err: errors.New("the version was committed or aborted")}
	}
	w.done = true
	return w.b.put(ctx, w.key, w.buf.Bytes(), w.o)
}

func (w *writer) Abort() error {
	w.done = true
	w.buf = bytes.Buffer{}
	return nil
}

// Put stores a version from a file.
func (b *Backend) Put(ctx context.Context, key string, src io.ReaderAt, o fs.WriteOptions) (fs.Info, error) {
	if err := b.checkKey(key); err != nil {
		return fs.Info{}, fs.Wrap("put", key, err)
	}
	if o.Size < 0 || o.Size > b.caps.PartMax {
		return fs.Info{}, &fs.Error{Op: "put", Path: key, Kind: fs.Invalid}
	}
	data, err := readAllAt(src, o.Size)
	if err != nil {
		return fs.Info{}, fs.Wrap("put", key, err)
	}
	return b.put(ctx, key, data, o)
}

func readAllAt(src io.ReaderAt, size int64) ([]byte, error) {
	data := make([]byte, size)
	n, err := src.ReadAt(data, 0)
	switch {
	case int64(n) == size:
		return data, nil
	case err == io.EOF:
		return nil, kindError(fs.Invalid)
	}
	return nil, err
}

func (b *Backend) put(ctx context.Context, key string, data []byte, o fs.WriteOptions) (info fs.Info, err error) {
	r := Request{Op: "put", Key: key, Len: int64(len(data)), Cond: o.Cond, WriteID: o.WriteID}
	if o.Link != "" {
		data, o.Size = []byte(o.Link), int64(len(o.Link))
	}
	obj := &object{data: data, info: newInfo(data, o)}
	err = b.do(ctx, r, func() error {
		if o.Size >= 0 && o.Size != int64(len(data)) || o.Special != (fs.Special{}) && (len(data) > 0 || !o.Special.Known()) {
			return kindError(fs.Invalid)
		}
		if !matches(o.Sums, data) {
			return kindError(fs.Checksum)
		}
		raw := b.target(key, o.Cond)
		done, err := b.check(raw, o.Cond, o.WriteID, b.caps.CondWrite)
		if err != nil || done != nil {
			info = done.orNothing(key)
			return err
		}
		b.store(raw, obj)
		info = obj.as(key)
		return nil
	})
	if err != nil {
		return fs.Info{}, err
	}
	return info, nil
}

// target returns the raw key that a write to path means: a shadow only if it is asked for by its version.
func (b *Backend) target(path string, c fs.Cond) string {
	if c.IfVersion != "" {
		return b.objects.resolve(path)
	}
	return path
}

// check returns an error if the condition on raw fails, and the present version if it is the write with that id.
func (b *Backend) check(raw string, c fs.Cond, writeID string, g fs.Guarantee) (done *object, err error) {
	now := b.objects.get(raw)
	switch {
	case c.IfAbsent && c.IfVersion != "":
		return nil, kindError(fs.Invalid)
	case g == fs.None:
		return nil, nil
	case c.IfAbsent && now != nil:
		err = kindError(fs.Exist)
	case c.IfVersion != "" && now == nil:
		err = kindError(fs.NotExist)
	case c.IfVersion != "" && now.info.Version != c.IfVersion:
		err = kindError(fs.Conflict)
	}
	if err != nil && now != nil && writeID != "" && now.info.WriteID == writeID {
		return now, nil
	}
	return nil, err
}

// orNothing returns the Info of an object that may be nil.
func (obj *object) orNothing(path string) fs.Info {
	if obj == nil {
		return fs.Info{}
	}
	return obj.as(path)
}

// store makes obj the present version of raw, at the store's time.
func (b *Backend) store(raw string, obj *object) {
	obj.info.Stored = b.opts.Now()
	if obj.info.ModTime.IsZero() {
		obj.info.ModTime = obj.info.Stored
	}
	b.keep(raw, obj)
	b.objects.put(raw, obj)
}

func newInfo(data []byte, o fs.WriteOptions) fs.Info {
	sum := md5.Sum(data)
	info := fs.Info{
		Type: fs.File, Size: int64(len(data)), ModTime: o.ModTime, Version: fs.Version(`"` + hex.EncodeToString(sum[:]) + `"`),
		MIME: o.MIME, Mode: o.Mode & fs.ModePerm, HasMode: o.HasMode, Link: o.Link, Meta: maps.Clone(o.Meta),
		FileID: o.FileID, WriteID: o.WriteID, Sums: fs.Sums{MD5: sum[:]},
	}
	switch {
	case o.Link != "":
		info.Type = fs.Symlink
	case o.Special.Known():
		info.Type, info.Special = fs.Other, o.Special
	}
	return info
}

// matches reports whether data has the sums that are given. CRC64NVME is not checked.
func matches(s fs.Sums, data []byte) bool {
	if s.CRC32C != nil {
		sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
		if !bytes.Equal(s.CRC32C, []byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}) {
			return false
		}
	}
	if s.SHA256 != nil {
		if sum := sha256Of(data); !bytes.Equal(s.SHA256, sum) {
			return false
		}
	}
	if s.MD5 != nil {
		sum := md5.Sum(data)
		return bytes.Equal(s.MD5, sum[:])
	}
	return true
}
