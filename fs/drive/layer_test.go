package drive

import (
	"bytes"
	"errors"
	"os"
	"os/signal"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// limited calls do while no file may grow past 64 KiB, so that the kernel cuts a write short and fails the rest of it.
func limited(t *testing.T, do func()) {
	t.Helper()
	signal.Ignore(unix.SIGXFSZ)
	defer signal.Reset(unix.SIGXFSZ)
	var before unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
		t.Fatal(err)
	}
	if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: 64 << 10, Max: before.Max}); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Setrlimit(unix.RLIMIT_FSIZE, &before); err != nil {
			t.Error(err)
		}
	}()
	do()
}

// TestWriteCutShort has a write fail on the way: what was written of it takes no space, and does not show when the file grows.
func TestWriteCutShort(t *testing.T) {
	p := program{t, t.Context(), open(t, Options{Backend: mem.NewBackend(mem.BackendOptions{})})}
	h := p.create("f")
	_, err := h.WriteAt(p.ctx, []byte("kept"), 0)
	p.must("WriteAt", err)
	limited(t, func() {
		if _, err := h.WriteAt(p.ctx, noise(128<<10), 4); err == nil {
			t.Error("a write over the limit did not fail")
		}
	})
	a, err := h.Attr(p.ctx)
	if err != nil || a.Size != 4 {
		t.Errorf("after it there are %d bytes, %v", a.Size, err)
	}
	stack := h.(*handle).c.v.stack
	if st, err := stack[len(stack)-1].f.Stat(); err != nil || st.Size() != 4 {
		t.Errorf("the staging file has %d bytes, %v", st.Size(), err)
	}
	size := int64(64 << 10)
	_, err = h.SetAttr(p.ctx, fs.SetAttr{Size: &size})
	p.must("SetAttr", err)
	got, want := make([]byte, size), append([]byte("kept"), make([]byte, size-4)...)
	_, err = h.ReadAt(p.ctx, got, 0)
	p.must("ReadAt", err)
	if !bytes.Equal(got, want) {
		t.Error("bytes of a write that failed show")
	}
	p.must("Release", errors.Join(h.Flush(p.ctx), h.Release(p.ctx)))
	p.must("Wait", p.d.Wait(p.ctx))
	p.must("Close", p.d.Close(p.ctx))
}

// TestSyncFailed has a sync fail, of which the kernel tells once: later ones must not say that all is well.
func TestSyncFailed(t *testing.T) {
	s := &layers{dir: t.TempDir()}
	l, err := s.create(1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.write([]byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	pipe, broken, err := os.Pipe() // which cannot be synced
	if err != nil {
		t.Fatal(err)
	}
	good := l.f
	l.f = broken
	if err := l.sync(); err == nil {
		t.Error("a sync that cannot be done succeeds")
	}
	l.f = good
	for range 2 {
		if err := l.sync(); err == nil {
			t.Error("a sync after one that has failed succeeds")
		}
		if err := l.write([]byte("y"), 1); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(good.Close(), pipe.Close(), broken.Close()); err != nil {
		t.Error(err)
	}
}
