package drive

import (
	"bytes"
	"io"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

// withCache adds a cache and a pool of their own.
func withCache(t *testing.T, o Options) Options {
	t.Helper()
	c, err := blockcache.Open(t.TempDir(), blockcache.Options{Limit: 64 << 20, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	o.Cache, o.Pool = c, fetch.NewPool(fetch.Options{})
	t.Cleanup(func() {
		o.Pool.Close()
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return o
}

func TestCachedDrive(t *testing.T) {
	drivetest.Run(t, func(t *testing.T) fs.Drive {
		return open(t, withCache(t, Options{Backend: mem.NewBackend(mem.BackendOptions{})}))
	}, drivetest.Options{
		Absent: absent,
		Reopen: func(t *testing.T, d fs.Drive) fs.Drive {
			t.Helper()
			if err := d.Close(t.Context()); err != nil {
				t.Fatalf("Close() = %v", err)
			}
			return open(t, d.(*Drive).opts)
		},
	})
}

// TestReadOnce reads what was uploaded, and what somebody else has put there: the first takes no request, the second one.
func TestReadOnce(t *testing.T) {
	b := mem.NewBackend(mem.BackendOptions{})
	text := bytes.Repeat([]byte("text "), 50_000)
	b.Inject("theirs", text, fs.WriteOptions{})
	d := open(t, withCache(t, Options{Backend: b}))
	defer func() {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	d.Publish(func(fs.Change) {})
	if _, err := d.Replace(t.Context(), "ours", bytes.NewReader(text), fs.ReplaceOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := d.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]int{"ours": 0, "theirs": 1} {
		b.ResetRequests()
		for range 3 {
			if got := readFile(t, d, name); !bytes.Equal(got, text) {
				t.Fatalf("%s: %d bytes", name, len(got))
			}
		}
		if n := b.Requests()["read"]; n != want {
			t.Errorf("%s: %d reads of the store, want %d", name, n, want)
		}
	}
}

func readFile(t *testing.T, d *Drive, name string) []byte {
	t.Helper()
	n, err := d.Root().Lookup(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	h, err := n.Open(t.Context(), fs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(&handleReader{t, h, 0})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	return got
}

// handleReader reads a handle from its start.
type handleReader struct {
	t   *testing.T
	h   fs.Handle
	off int64
}

func (r *handleReader) Read(p []byte) (int, error) {
	n, err := r.h.ReadAt(r.t.Context(), p[:min(len(p), 4096)], r.off)
	r.off += int64(n)
	if n == 0 && err == nil {
		err = io.EOF
	}
	return n, err
}
