package fetch

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// store is a Backend of one object with computed bytes. It counts, and can be slow or break.
type store struct {
	fs.Backend // nil: only Read is called
	name       string
	size       int64
	version    fs.Version
	latency    time.Duration // before the first byte
	rate       int64         // bytes per second of each request; 0 = at once
	link       int64         // bytes per second of all requests together; 0 = no limit

	// fault may give the number of bytes after which a request breaks, and the error; n < 0 = at once with the error, or not at all.
	fault func(number int, o fs.ReadOptions) (n int64, err error)

	mu       sync.Mutex // guards what follows
	requests []fs.ReadOptions
	bytes    int64
	running  int
	most     int
	busy     time.Time // until when the link has bytes to carry
}

// carry waits until the link has carried n bytes more.
func (s *store) carry(ctx context.Context, n int64) bool {
	if s.link == 0 {
		return true
	}
	s.mu.Lock()
	if now := time.Now(); s.busy.Before(now) {
		s.busy = now
	}
	s.busy = s.busy.Add(time.Duration(n * int64(time.Second) / s.link))
	left := time.Until(s.busy)
	s.mu.Unlock()
	return sleep(ctx, left)
}

func (s *store) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.bytes, s.most = nil, 0, 0
}

func (s *store) asked() ([]fs.ReadOptions, int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]fs.ReadOptions{}, s.requests...), s.bytes
}

// underWay says how many requests run.
func (s *store) underWay() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running
}

func (s *store) Read(ctx context.Context, _ string, o fs.ReadOptions) (fs.Reader, error) {
	s.mu.Lock()
	s.requests = append(s.requests, o)
	number := len(s.requests)
	s.running++
	s.most = max(s.most, s.running)
	s.mu.Unlock()
	end := func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
	}
	if !sleep(ctx, s.latency) {
		end()
		return nil, ctx.Err()
	}
	left := min(o.Len, s.size-o.Off)
	var broken error
	if s.fault != nil {
		n, err := s.fault(number, o)
		if err != nil && n < 0 {
			end()
			return nil, err
		}
		if n >= 0 {
			left, broken = min(left, n), err
		}
	}
	if o.IfVersion != s.version {
		end()
		return nil, &fs.Error{Op: "read", Kind: fs.Conflict}
	}
	return &body{ctx: ctx, s: s, off: o.Off, left: left, err: broken, end: sync.OnceFunc(end)}, nil
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// body is what a request gives.
type body struct {
	ctx  context.Context
	s    *store
	off  int64
	left int64
	err  error
	end  func()
}

func (b *body) Info() fs.Info { return fs.Info{} }

func (b *body) Close() error {
	b.end()
	return nil
}

func (b *body) Read(p []byte) (int, error) {
	if b.left == 0 {
		if b.err != nil {
			return 0, b.err
		}
		return 0, io.EOF
	}
	n := min(int64(len(p)), b.left, 64<<10)
	if b.s.rate > 0 && !sleep(b.ctx, time.Duration(n*int64(time.Second)/b.s.rate)) {
		return 0, b.ctx.Err()
	}
	if !b.s.carry(b.ctx, n) {
		return 0, b.ctx.Err()
	}
	if err := b.ctx.Err(); err != nil {
		return 0, err
	}
	fill(p[:n], b.off)
	b.off += n
	b.left -= n
	b.s.mu.Lock()
	b.s.bytes += n
	b.s.mu.Unlock()
	return int(n), nil
}

// patterns are bytes that repeat nowhere near.
var patterns = func() []byte {
	p := make([]byte, 128<<10)
	r := rand.New(rand.NewPCG(7, 8))
	for i := range p {
		p[i] = byte(r.Uint32())
	}
	return p
}()

// at returns bytes of the object, at most up to the end of a block of 64 KiB.
func at(off, n int64) []byte {
	block, in := off>>16, off&0xffff
	shift := block * 7919 & 0xffff
	return patterns[shift+in:][:min(n, 64<<10-in)]
}

// fill writes bytes that tell where in the object they belong.
func fill(p []byte, off int64) {
	for len(p) > 0 {
		n := copy(p, at(off, int64(len(p))))
		p, off = p[n:], off+int64(n)
	}
}

func isRight(p []byte, off int64) bool {
	for len(p) > 0 {
		want := at(off, int64(len(p)))
		if !bytes.Equal(p[:len(want)], want) {
			return false
		}
		p, off = p[len(want):], off+int64(len(want))
	}
	return true
}

// memoryDir returns a directory whose files are in memory, where there is one.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fetch") //nolint:usetesting // t.TempDir knows no other file system
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func newCache(t *testing.T, limit int64) *blockcache.Cache {
	t.Helper()
	dir := memoryDir(t)
	c, err := blockcache.Open(dir, blockcache.Options{Limit: limit, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	dirs.Store(c, dir)
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func newPool(t *testing.T, o Options) *Pool {
	t.Helper()
	p := NewPool(o)
	t.Cleanup(p.Close)
	return p
}

// open returns a stream of the store's object, cached in c if that is not nil.
func open(t *testing.T, p *Pool, s *store, c *blockcache.Cache) *Stream {
	t.Helper()
	var f *blockcache.File
	if c != nil {
		var err error
		if f, err = c.Open(blockcache.Key{Drive: "d", Name: s.name, Version: s.version}, s.size); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	st := p.Open(s, s.name, s.version, s.size, f)
	t.Cleanup(st.Close)
	return st
}

func mustRead(t *testing.T, st *Stream, off, n int64) {
	t.Helper()
	p := make([]byte, n)
	got, err := st.ReadAt(t.Context(), p, off)
	if int64(got) != n || err != nil {
		t.Fatalf("ReadAt(%d bytes at %d) = %d, %v", n, off, got, err)
	}
	if !isRight(p, off) {
		t.Fatalf("ReadAt(%d bytes at %d) has other bytes", n, off)
	}
}

func newStore(size int64) *store { return &store{name: "k", size: size, version: "v1"} }
