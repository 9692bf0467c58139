package drive

import (
	"bytes"
	"context"
	"io"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

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

// TestReadOnceAfterAppend appends to a file that was read, and to one that was not, which the upload reads: afterwards both are read without a
// request.
func TestReadOnceAfterAppend(t *testing.T) {
	b := mem.NewBackend(mem.BackendOptions{})
	text := bytes.Repeat([]byte("text "), 700_000) // more than is copied at once
	b.Inject("read", text, fs.WriteOptions{})
	b.Inject("not read", text, fs.WriteOptions{})
	d := open(t, withCache(t, Options{Backend: b}))
	defer func() {
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	d.Publish(func(fs.Change) {})
	for _, name := range []string{"read", "not read"} {
		if name == "read" {
			readFile(t, d, name)
		}
		n, err := d.Root().Lookup(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		h, err := n.Open(t.Context(), fs.OpenReadWrite)
		if err != nil {
			t.Fatal(err)
		}
		for off, p := range map[int64]string{int64(len(text)): "more", 1000: "WRITTEN"} {
			if _, err := h.WriteAt(t.Context(), []byte(p), off); err != nil {
				t.Fatal(err)
			}
		}
		if err := h.Release(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := d.Wait(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := append(bytes.Clone(text), "more"...)
		copy(want[1000:], "WRITTEN")
		b.ResetRequests()
		if got := readFile(t, d, name); !bytes.Equal(got, want) {
			t.Fatalf("%s: %d bytes that differ from the %d wanted", name, len(got), len(want))
		}
		if n := b.Requests()["read"]; n != 0 {
			t.Errorf("%s: %d reads of the store, want none", name, n)
		}
	}
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

// rechecked is a store that counts how it is asked for one key.
type rechecked struct {
	*mem.Backend
	rechecks, stats atomic.Int64
}

func (b *rechecked) Recheck(ctx context.Context, key string) (fs.Info, error) {
	b.rechecks.Add(1)
	return b.Backend.Recheck(ctx, key)
}

func (b *rechecked) Stat(ctx context.Context, key string) (fs.Info, error) {
	b.stats.Add(1)
	return b.Backend.Stat(ctx, key)
}

// TestOpenAgain opens a file whose version was looked up long ago: that takes the one request of a Rechecker.
func TestOpenAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &rechecked{Backend: mem.NewBackend(mem.BackendOptions{})}
		text := noise(100 << 10) // too long for a symbolic link
		b.Inject("f", text, fs.WriteOptions{})
		d := open(t, withCache(t, Options{Backend: b}))
		for range 3 {
			if got := readFile(t, d, "f"); !bytes.Equal(got, text) {
				t.Errorf("f has %d other bytes", len(got))
			}
			time.Sleep(DefaultContentsTTL + time.Second)
		}
		if rechecks, stats := b.rechecks.Load(), b.stats.Load(); rechecks != 2 || stats != 0 {
			t.Errorf("rechecked %d times, want 2; stat %d times, want 0", rechecks, stats)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
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
