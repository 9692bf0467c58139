package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
)

// cached is a drive with the file f in the store, and perhaps in the cache.
type cached struct {
	*Drive
	t   *testing.T
	dir string // of the cache
}

func newCached(t *testing.T, text []byte, limit int64) *cached {
	t.Helper()
	x := &cached{t: t, dir: t.TempDir()}
	b := mem.NewBackend(mem.BackendOptions{})
	b.Inject("f", text, fs.WriteOptions{})
	x.open(Options{Backend: b}, limit)
	return x
}

// open opens the drive with a cache of its own.
func (x *cached) open(o Options, limit int64) {
	x.t.Helper()
	c, err := blockcache.Open(x.dir, blockcache.Options{Limit: limit, MinFree: -1})
	if err != nil {
		x.t.Fatal(err)
	}
	o.Cache, o.Pool = c, fetch.NewPool(fetch.Options{})
	x.Drive = open(x.t, o)
	x.Publish(func(fs.Change) {})
	x.t.Cleanup(o.Pool.Close)
}

// file opens f.
func (x *cached) file(flags fs.OpenFlags) fs.Handle {
	x.t.Helper()
	n, err := x.Root().Lookup(x.t.Context(), "f")
	if err != nil {
		x.t.Fatal(err)
	}
	h, err := n.Open(x.t.Context(), flags)
	if err != nil {
		x.t.Fatal(err)
	}
	x.t.Cleanup(func() { _ = h.Release(context.Background()) }) // again, perhaps
	return h
}

func (x *cached) release(h fs.Handle) {
	x.t.Helper()
	if err := h.Release(x.t.Context()); err != nil {
		x.t.Fatal(err)
	}
}

func (x *cached) all(h fs.Handle) []byte {
	x.t.Helper()
	a, err := h.Attr(x.t.Context())
	if err != nil {
		x.t.Fatal(err)
	}
	b := make([]byte, a.Size)
	if n, err := h.ReadAt(x.t.Context(), b, 0); n < len(b) {
		x.t.Fatalf("ReadAt = %d, %v", n, err)
	}
	return b
}

// fetch reads all of f once.
func (x *cached) fetch() {
	x.t.Helper()
	h := x.file(fs.OpenRead)
	x.all(h)
	x.release(h)
}

// lends returns the descriptor of a handle, which must have one.
func (x *cached) lends(h fs.Handle) int {
	x.t.Helper()
	p, _ := fs.As[fs.Passthrougher](h)
	fd, ok := p.PassthroughFd()
	if !ok {
		x.t.Fatal("a handle of a cached file offers no descriptor")
	}
	return fd
}

func readFd(t *testing.T, fd int) []byte {
	t.Helper()
	var b bytes.Buffer
	p := make([]byte, 1<<20)
	for {
		n, err := unix.Pread(fd, p, int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return b.Bytes()
		}
		b.Write(p[:n])
	}
}

// text returns bytes that tell where they belong.
func text(size int) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i * 2654435761 >> 9)
	}
	return b
}

func TestWhatIsLent(t *testing.T) {
	const size = 300_000
	damage := func(x *cached) {
		found := false
		err := filepath.WalkDir(x.dir, func(path string, _ os.DirEntry, err error) error {
			if err == nil && filepath.Ext(path) == ".data" {
				b, _ := os.ReadFile(path)
				b[200_000] ^= 1
				found = true
				return os.WriteFile(path, b, 0o600)
			}
			return err
		})
		if err != nil || !found {
			x.t.Fatalf("nothing was damaged: %v", err)
		}
	}
	for _, tt := range []struct {
		name  string
		do    func(x *cached)
		flags fs.OpenFlags
		want  bool
	}{
		{"nothing cached", func(*cached) {}, fs.OpenRead, false},
		{"a part cached", func(x *cached) {
			h := x.file(fs.OpenRead)
			f := x.cacheFile(h.(*handle).c.v.at)
			if err := errors.Join(f.WriteAt(text(size)[:blockcache.Unit], 0), f.Close()); err != nil {
				x.t.Fatal(err)
			}
			x.release(h)
		}, fs.OpenRead, false},
		{"all cached", (*cached).fetch, fs.OpenRead, true},
		{"to write", (*cached).fetch, fs.OpenReadWrite, false},
		{"to truncate", (*cached).fetch, fs.OpenRead | fs.OpenTruncate, false},
		{"written to", func(x *cached) {
			x.fetch()
			h := x.file(fs.OpenReadWrite)
			if _, err := h.WriteAt(x.t.Context(), []byte("x"), 5); err != nil {
				x.t.Fatal(err)
			}
			x.release(h)
		}, fs.OpenRead, false},
		{"written to and uploaded", func(x *cached) {
			x.fetch()
			h := x.file(fs.OpenReadWrite | fs.OpenTruncate)
			if _, err := h.WriteAt(x.t.Context(), []byte("x"), 5); err != nil {
				x.t.Fatal(err)
			}
			x.release(h)
			if err := x.Wait(x.t.Context()); err != nil {
				x.t.Fatal(err)
			}
		}, fs.OpenRead, true},
		{"after a restart", func(x *cached) {
			x.fetch()
			o := x.opts
			if err := x.Close(x.t.Context()); err != nil {
				x.t.Fatal(err)
			}
			x.open(o, 64<<20)
		}, fs.OpenRead, true},
		{"damaged", func(x *cached) { x.fetch(); damage(x) }, fs.OpenRead, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newCached(t, text(size), 64<<20)
			tt.do(x)
			p, _ := fs.As[fs.Passthrougher](x.file(tt.flags))
			if _, ok := p.PassthroughFd(); ok != tt.want {
				t.Errorf("a descriptor is offered: %v, want %v", ok, tt.want)
			}
		})
	}
}

// TestLentFileShowsWrites changes a file at random while its cached contents are lent: whoever has the descriptor sees the same bytes as
// whoever asks the drive, and the store gets them.
func TestLentFileShowsWrites(t *testing.T) {
	const size = 200_000
	model := text(size)
	x := newCached(t, model, 64<<20)
	x.fetch()
	reader := x.file(fs.OpenRead)
	fd := x.lends(reader)
	rnd := rand.New(rand.NewPCG(1, 2))
	ctx := t.Context()
	for step := range 300 {
		h := x.file(fs.OpenReadWrite)
		off, n := rnd.IntN(size+50_000), 1+rnd.IntN(20_000)
		var err error
		switch op := rnd.IntN(6); op {
		case 0, 1, 2:
			p := make([]byte, n)
			for i := range p {
				p[i] = byte(rnd.Uint32())
			}
			if grown := off + n - len(model); grown > 0 {
				model = append(model, make([]byte, grown)...)
			}
			copy(model[off:], p)
			_, err = h.WriteAt(ctx, p, int64(off))
		case 3:
			if off > len(model) {
				model = append(model, make([]byte, off-len(model))...)
			}
			model = model[:off]
			to := int64(off)
			_, err = h.SetAttr(ctx, fs.SetAttr{Size: &to})
		case 4:
			end := min(off+n, len(model))
			clear(model[min(off, end):end])
			err = h.(*handle).Allocate(ctx, int64(off), int64(n), punchHole|keepSize)
		case 5:
			if grown := off + n - len(model); grown > 0 {
				model = append(model, make([]byte, grown)...)
			}
			clear(model[off : off+n])
			err = h.(*handle).Allocate(ctx, int64(off), int64(n), zeroRange)
		}
		if err != nil {
			t.Fatalf("step %d: %v", step, err)
		}
		if got := readFd(t, fd); !bytes.Equal(got, model) {
			t.Fatalf("step %d: the descriptor has %d bytes that differ from the %d of the file", step, len(got), len(model))
		}
		if got := x.all(h); !bytes.Equal(got, model) {
			t.Fatalf("step %d: the file has %d bytes that differ from the model's %d", step, len(got), len(model))
		}
		x.release(h)
		if step%100 == 50 {
			if err := x.Wait(ctx); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := x.Wait(ctx); err != nil {
		t.Fatal(err)
	}
	if got, _, _ := x.backend.(*mem.Backend).Contents("f"); !bytes.Equal(got, model) {
		t.Errorf("the store has %d bytes that differ from the model's %d", len(got), len(model))
	}
}

// TestLentFileStays fills the cache while a file is lent.
func TestLentFileStays(t *testing.T) {
	const size = 4 << 20
	x := newCached(t, text(size), 2*size)
	x.fetch()
	fd := x.lends(x.file(fs.OpenRead))
	for _, name := range []string{"a", "b", "c", "d"} {
		x.backend.(*mem.Backend).Inject(name, text(size), fs.WriteOptions{})
		f := x.cacheFile(base{key: name, version: "v", size: size})
		for off := 0; off < size; off += 1 << 20 {
			if err := f.WriteAt(text(size)[off:off+1<<20], int64(off)); err != nil && fs.KindOf(err) != fs.NoSpace {
				t.Fatal(err)
			}
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if s := x.opts.Cache.Stats(); s.Used > s.Limit || s.Evicted == 0 || s.Pinned < size {
		t.Errorf("the cache has %+v", s)
	}
	if got := readFd(t, fd); !bytes.Equal(got, text(size)) {
		t.Error("the lent file has other bytes after the cache was filled")
	}
}

// TestLentFileIsKept changes a part of a file while its cached contents are lent, and has another machine replace it before that is
// uploaded: the copy that is kept has what was under the change.
func TestLentFileIsKept(t *testing.T) {
	const size = 100_000
	for _, tt := range []struct {
		name string
		do   func(h fs.Handle) error
		want func() []byte
	}{
		{"append", func(h fs.Handle) error { _, err := h.WriteAt(t.Context(), []byte("more"), size); return err },
			func() []byte { return append(text(size), "more"...) }},
		{"write", func(h fs.Handle) error { _, err := h.WriteAt(t.Context(), []byte("other"), 50_000); return err },
			func() []byte { return append(append(text(size)[:50_000:50_000], "other"...), text(size)[50_005:]...) }},
		{"shrink", func(h fs.Handle) error {
			to := int64(40_000)
			_, err := h.SetAttr(t.Context(), fs.SetAttr{Size: &to})
			return err
		}, func() []byte { return text(size)[:40_000] }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x := newCached(t, text(size), 64<<20)
			x.fetch()
			reader := x.file(fs.OpenRead)
			x.lends(reader)
			h := x.file(fs.OpenReadWrite)
			if err := tt.do(h); err != nil {
				t.Fatal(err)
			}
			x.backend.(*mem.Backend).Inject("f", []byte("theirs"), fs.WriteOptions{})
			x.release(h)
			x.release(reader)
			if err := x.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			c := x.Status().Conflicts
			if len(c) != 1 || c[0].Lost != 0 {
				t.Fatalf("there are the conflicts %+v, want one that has lost nothing", c)
			}
			if got, _, _ := x.backend.(*mem.Backend).Contents(c[0].Copy); !bytes.Equal(got, tt.want()) {
				t.Errorf("the copy in the store has %d bytes that differ from the %d that were written", len(got), len(tt.want()))
			}
		})
	}
}

// TestLentToOne has two files of the same bytes, and so of one version in the store: the removed one that is open still, and the one that
// was made in its place. What is written to one does not show in the other.
func TestLentToOne(t *testing.T) {
	const size = 100_000
	for _, older := range []bool{false, true} {
		t.Run(fmt.Sprintf("written to the older: %v", older), func(t *testing.T) {
			x := newCached(t, text(size), 64<<20)
			x.fetch()
			writer, reader := x.file(fs.OpenReadWrite), x.file(fs.OpenRead)
			was := x.lends(reader)
			if err := x.Root().Remove(t.Context(), "f", false); err != nil {
				t.Fatal(err)
			}
			_, h, err := x.Root().Create(t.Context(), "f", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite | fs.OpenExclusive})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := h.WriteAt(t.Context(), text(size), 0); err != nil {
				t.Fatal(err)
			}
			x.release(h)
			if err := x.Wait(t.Context()); err != nil {
				t.Fatal(err)
			}
			again := x.file(fs.OpenRead)
			p, _ := fs.As[fs.Passthrougher](again)
			if fd, ok := p.PassthroughFd(); ok {
				t.Errorf("a second file of the version has the descriptor %d beside %d", fd, was)
			}
			if !older {
				x.release(writer)
				writer = x.file(fs.OpenReadWrite)
			}
			if _, err := writer.WriteAt(t.Context(), []byte("WRITTEN"), 10); err != nil {
				t.Fatal(err)
			}
			x.release(writer)
			if got := bytes.Equal(readFd(t, was), text(size)); got == older {
				t.Errorf("the descriptor of the older file shows its own bytes: %v", got)
			}
			x.release(reader)
		})
	}
}
