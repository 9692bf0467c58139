package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// program does what programs do with files, through the drive.
type program struct {
	t   *testing.T
	ctx context.Context
	d   *Drive
}

func (p program) must(what string, err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatalf("%s: %v", what, err)
	}
}

// write is open(2) with O_CREAT and O_TRUNC, write, fsync if asked for, close.
func (p program) write(path string, data []byte, sync bool) {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	_, h, err := x.Create(p.ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenTruncate})
	p.must("create "+path, err)
	_, err = h.WriteAt(p.ctx, data, 0)
	p.must("write "+path, err)
	if sync {
		p.must("fsync "+path, h.Sync(p.ctx))
	}
	p.must("close "+path, errors.Join(h.Flush(p.ctx), h.Release(p.ctx)))
}

func (p program) rename(from, to string) {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, from)
	p.must("find "+from, err)
	y, newName, err := at(p.ctx, p.d, to)
	p.must("find "+to, err)
	p.must("rename "+from, x.Rename(p.ctx, name, y, newName, 0))
}

func (p program) remove(path string) {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	p.must("remove "+path, x.Remove(p.ctx, name, false))
}

func (p program) read(path string) []byte {
	p.t.Helper()
	n, err := nodeAt(p.ctx, p.d, path)
	p.must("lookup "+path, err)
	h, err := n.Open(p.ctx, fs.OpenRead)
	p.must("open "+path, err)
	a, err := h.Attr(p.ctx)
	p.must("stat "+path, err)
	data := make([]byte, a.Size)
	for off := 0; off < len(data); {
		n, err := h.ReadAt(p.ctx, data[off:min(len(data), off+128<<10)], int64(off))
		if n == 0 || err != nil && !errors.Is(err, io.EOF) {
			p.t.Fatalf("read %s at %d: %d bytes, %v", path, off, n, err)
		}
		off += n
	}
	p.must("close "+path, h.Release(p.ctx))
	return data
}

// requests runs do on a drive over b and checks what it asks of the store, with what it leaves to be done.
func requests(t *testing.T, b *mem.Backend, do func(program), most map[string]int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		d := open(t, withCache(t, Options{Backend: b}))
		b.ResetRequests()
		do(program{t, t.Context(), d})
		if err := d.Wait(t.Context()); err != nil {
			t.Errorf("Wait() = %v", err)
		}
		got := b.Requests()
		for op, n := range got {
			if n > most[op] {
				t.Errorf("%d requests to %s, want at most %d; in all %v", n, op, most[op], got)
			}
		}
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}

func filled(count, size int) *mem.Backend {
	b := mem.NewBackend(mem.BackendOptions{})
	for i := range count {
		b.Inject(fmt.Sprintf("data/file %05d", i), bytes.Repeat([]byte("x"), size), fs.WriteOptions{})
	}
	return b
}

func TestRequests(t *testing.T) {
	text := bytes.Repeat([]byte("0123456789"), 10<<10)
	t.Run("create of 100 files", func(t *testing.T) {
		requests(t, mem.NewBackend(mem.BackendOptions{}), func(p program) {
			for i := range 100 {
				p.write(fmt.Sprint("file ", i), text[:4096], false)
			}
		}, map[string]int{"put": 100, "list": 1})
	})
	t.Run("30 atomic saves", func(t *testing.T) {
		requests(t, mem.NewBackend(mem.BackendOptions{}), func(p program) {
			for i := range 30 {
				p.write("notebook.ipynb.tmp", text[i:], true)
				p.rename("notebook.ipynb.tmp", "notebook.ipynb")
				time.Sleep(time.Second)
			}
		}, map[string]int{"put": 30, "list": 1, "stat": 30})
	})
	t.Run("30 of Jupyter's saves in place", func(t *testing.T) {
		requests(t, mem.NewBackend(mem.BackendOptions{}), func(p program) {
			p.write("notebook.ipynb", text, true)
			time.Sleep(5 * time.Second)
			for i := range 30 {
				p.write(".~notebook.ipynb", p.read("notebook.ipynb"), false)
				p.write("notebook.ipynb", text[i:], true)
				p.remove(".~notebook.ipynb")
				time.Sleep(time.Second)
			}
		}, map[string]int{"put": 31, "list": 2})
	})
	t.Run("list and stat of 10,000", func(t *testing.T) {
		requests(t, filled(10_000, 100), func(p program) {
			for range 3 {
				for i := range 10_000 {
					n, err := nodeAt(p.ctx, p.d, fmt.Sprintf("data/file %05d", i))
					p.must("lookup", err)
					if a, err := n.Attr(p.ctx); err != nil || a.Size != 100 {
						t.Fatalf("stat: %v, %v", a, err)
					}
				}
				for i := range 100 {
					if _, err := nodeAt(p.ctx, p.d, fmt.Sprint("data/missing ", i)); fs.KindOf(err) != fs.NotExist {
						t.Fatalf("lookup of a missing name = %v", err)
					}
				}
				list, err := listOf(p.ctx, p.d, "data")
				if p.must("list", err); len(list) < 100_000 {
					t.Fatalf("%d bytes of names", len(list))
				}
			}
		}, map[string]int{"list": 11})
	})
	t.Run("open and read of a notebook", func(t *testing.T) {
		requests(t, filled(1, 200<<10), func(p program) {
			for range 5 {
				if n := len(p.read("data/file 00000")); n != 200<<10 {
					t.Errorf("%d bytes", n)
				}
			}
		}, map[string]int{"list": 2, "read": 1}) // one listing each of the top and of data
	})
	t.Run("read of a large file", func(t *testing.T) {
		requests(t, filled(1, 40<<20), func(p program) {
			for range 2 {
				if n := len(p.read("data/file 00000")); n != 40<<20 {
					t.Errorf("%d bytes", n)
				}
			}
		}, map[string]int{"list": 2, "read": 2}) // its first part, and when that is read on the rest
	})
	t.Run("warm of a large file", func(t *testing.T) {
		requests(t, filled(1, 40<<20), func(p program) {
			for range 2 {
				_, err := p.d.Warm(p.ctx, "data", nil)
				p.must("Warm", err)
			}
			p.read("data/file 00000")
		}, map[string]int{"list": 2, "read": 1, "stat": 1})
	})
	t.Run("close, then chmod and utimes", func(t *testing.T) {
		requests(t, mem.NewBackend(mem.BackendOptions{}), func(p program) {
			p.write("script", text, false)
			n, err := nodeAt(p.ctx, p.d, "script")
			p.must("lookup", err)
			mode, at := uint32(0o755), time.Unix(1e9, 0)
			_, err = n.SetAttr(p.ctx, fs.SetAttr{Mode: &mode, Mtime: &at})
			p.must("setattr", err)
		}, map[string]int{"put": 1, "list": 1})
	})
	t.Run("made and removed", func(t *testing.T) {
		requests(t, mem.NewBackend(mem.BackendOptions{}), func(p program) {
			for i := range 20 {
				p.write(fmt.Sprint("4913", i), nil, true)
				p.remove(fmt.Sprint("4913", i))
			}
		}, map[string]int{"list": 1})
	})
	t.Run("append to a log", func(t *testing.T) {
		requests(t, mem.NewBackend(mem.BackendOptions{}), func(p program) {
			_, h, err := p.d.Root().Create(p.ctx, "log", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite | fs.OpenAppend})
			p.must("create", err)
			for range 120 {
				_, err := h.WriteAt(p.ctx, []byte("a line\n"), 0)
				p.must("append", err)
				p.must("flush", h.Flush(p.ctx))
				time.Sleep(time.Second)
			}
			p.must("close", h.Release(p.ctx))
		}, map[string]int{"put": 5, "list": 1})
	})
}

// TestAttributesAreStored reads mode and time back from the store alone.
func TestAttributesAreStored(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		d := open(t, Options{Backend: b})
		p := program{t, t.Context(), d}
		p.write("f", []byte("text"), false)
		p.must("Wait", d.Wait(p.ctx))
		n, err := nodeAt(p.ctx, d, "f")
		p.must("lookup", err)
		mode, when := uint32(0o750), time.Unix(1e9, 5)
		_, err = n.SetAttr(p.ctx, fs.SetAttr{Mode: &mode, Mtime: &when})
		p.must("setattr", err)
		p.must("Wait", d.Wait(p.ctx))
		info, err := b.Stat(p.ctx, "f")
		if err != nil || info.Mode != mode || !info.ModTime.Equal(when) {
			t.Errorf("the store has %+v, %v", info, err)
		}
		if got := b.Requests(); !maps.Equal(got, map[string]int{"list": 1, "put": 1, "set meta": 1, "stat": 1}) {
			t.Errorf("requests: %v", got)
		}
		p.must("Close", d.Close(p.ctx))
	})
}
