package drive

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
)

// source reads one version of a key in the store, from anywhere in it.
type source interface {
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	Close()
}

// openSource returns what reads a version. The caller closes it.
func (d *Drive) openSource(at base) source {
	if d.opts.Pool == nil {
		return &direct{d: d, at: at}
	}
	f := d.cacheFile(at)
	return &pooled{d: d, file: f, stream: d.opts.Pool.Open(d.backend, at.key, at.version, at.size, f)}
}

// cacheFile returns where a version is cached, nil if nowhere.
func (d *Drive) cacheFile(at base) *blockcache.File {
	if d.opts.Cache == nil {
		return nil
	}
	f, err := d.opts.Cache.Open(d.cacheKey(at.key, at.version), at.size)
	if err != nil {
		d.log.Warn("the cache cannot be used", "key", at.key, "error", err)
		return nil
	}
	return f
}

func (d *Drive) cacheKey(key string, v fs.Version) blockcache.Key {
	return blockcache.Key{Drive: d.id.String(), Name: key, Version: v}
}

// pooled is a source that reads through the cache and fetches ahead.
type pooled struct {
	d      *Drive
	file   *blockcache.File // nil = not cached
	stream *fetch.Stream
}

func (s *pooled) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if s.d.isOffline() {
		limited, cancel := s.d.patient(ctx)
		defer cancel()
		ctx = limited
	}
	n, err := s.stream.ReadAt(ctx, p, off)
	if err != nil && !errors.Is(err, io.EOF) { // that it went well may be the cache's doing
		s.d.noted(ctx, time.Now(), err)
		err = s.d.gaveUp(ctx, err)
	}
	return n, err
}

func (s *pooled) Close() {
	s.stream.Close()
	if s.file == nil {
		return
	}
	if err := s.file.Close(); err != nil {
		s.d.log.Warn("the cache cannot be used", "error", err)
	}
}

// direct is a source that asks the store for each read.
type direct struct {
	d  *Drive
	at base
}

func (s *direct) Close() {}

func (s *direct) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	var n int
	err := s.d.ask(ctx, func(ctx context.Context) error {
		r, err := s.d.backend.Read(ctx, s.at.key, fs.ReadOptions{Off: off, Len: int64(len(p)), IfVersion: s.at.version})
		if err != nil {
			return err
		}
		defer r.Close()
		n, err = io.ReadFull(r, p)
		if errors.Is(err, io.ErrUnexpectedEOF) {
			err = io.EOF
		}
		return err
	})
	return n, err
}

// readAll fills p, which lies within the version.
func readAll(ctx context.Context, s source, p []byte, off int64) error {
	for len(p) > 0 {
		n, err := s.ReadAt(ctx, p, off)
		if n == len(p) {
			return nil
		}
		if err != nil && (n == 0 || !errors.Is(err, io.EOF)) {
			if errors.Is(err, io.EOF) {
				err = &fs.Error{Op: "read", Kind: fs.Checksum, Err: io.ErrUnexpectedEOF}
			}
			return err
		}
		p, off = p[n:], off+int64(n)
	}
	return nil
}

// reader returns what reads a version, and what is to be called when it is not needed any more.
func (d *Drive) reader(at base) (from remote, done func()) {
	var mu sync.Mutex // guards src: parts of a file are read at the same time
	var src source
	get := func() source {
		mu.Lock()
		defer mu.Unlock()
		if src == nil {
			src = d.openSource(at)
		}
		return src
	}
	from = func(ctx context.Context, p []byte, off int64) error { return readAll(ctx, get(), p, off) }
	return from, func() {
		if src != nil {
			src.Close()
		}
	}
}

// The sizes up to which what was uploaded is copied into the cache.
const (
	cacheLimit = 256 << 20
	joinLimit  = 32 << 20 // of a file that was changed in a part, whose other bytes are copied from the version before
)

// toCache keeps what was uploaded, which need not be read from the store then.
func (d *Drive) toCache(j *job, info fs.Info) {
	if j.content == nil || j.v.size == 0 || j.v.size > cacheLimit || info.Size != j.v.size {
		return
	}
	var before *blockcache.File
	if !j.v.complete() {
		if j.v.size > joinLimit {
			return
		}
		if before = d.cacheFile(j.v.at); before == nil {
			return
		}
		defer (&lent{file: before}).close(d.log)
	}
	f := d.cacheFile(base{key: j.key, version: info.Version, size: info.Size})
	if f == nil {
		return
	}
	if err := errors.Join(copyToCache(f, &j.v, before), f.Close()); err != nil {
		d.log.Debug("not cached after its upload", "key", j.key, "error", err)
	}
}

// copyToCache stores the bytes of a view. What it needs of the store's is taken from before; what is not there is left out.
func copyToCache(f *blockcache.File, v *view, before *blockcache.File) error {
	buf := make([]byte, min(v.size, blockcache.Unit*32))
	for off := int64(0); off < v.size; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), v.size-off)]
		missing, err := v.readLocal(p, off)
		if err != nil {
			return err
		}
		there := true
		for _, m := range missing {
			_, ok, err := before.ReadAt(m.p, m.off)
			there = there && ok && err == nil // a damaged cache is as good as none
		}
		if !there {
			continue
		}
		if err := f.WriteAt(p, off); err != nil {
			return err
		}
	}
	return nil
}
