package drive

import (
	"errors"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestHandleCommitsItsOwn ends a handle while a file is being rewritten through another one: half of a version is not committed. The
// kernel does so all the time, as it sends RELEASE when close(2) has returned already.
func TestHandleCommitsItsOwn(t *testing.T) {
	cases := []struct {
		name string
		do   func(p program, x fs.Node, first fs.Handle) // while the other handle is in the middle
		want string
	}{
		{"flushed", func(p program, _ fs.Node, first fs.Handle) { p.must("Flush", first.Flush(p.ctx)) }, "old"},
		{"released", func(p program, _ fs.Node, first fs.Handle) { p.must("Release", first.Release(p.ctx)) }, "old"},
		{"synced", func(p program, _ fs.Node, first fs.Handle) { p.must("Sync", first.Sync(p.ctx)) }, "half"},
		{"written and flushed", func(p program, _ fs.Node, first fs.Handle) {
			_, err := first.WriteAt(p.ctx, []byte("H"), 0)
			p.must("WriteAt", err)
			p.must("Flush", first.Flush(p.ctx))
		}, "Half"},
		{"truncated by path", func(p program, x fs.Node, first fs.Handle) {
			size := int64(2)
			_, err := x.SetAttr(p.ctx, fs.SetAttr{Size: &size})
			p.must("SetAttr", err)
			p.must("Flush", first.Flush(p.ctx))
		}, "old"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mem.NewBackend(mem.BackendOptions{})
				p := program{t, t.Context(), open(t, Options{Backend: b, State: memoryDir(t)})}
				first := p.create("f")
				_, err := first.WriteAt(p.ctx, []byte("old"), 0)
				p.must("WriteAt", err)
				p.must("Flush", first.Flush(p.ctx))
				n := first.Node()
				second, err := n.Open(p.ctx, fs.OpenReadWrite)
				p.must("Open", err)
				none := int64(0)
				_, err = n.SetAttr(p.ctx, fs.SetAttr{Size: &none}) // as open(2) with O_TRUNC does
				p.must("SetAttr", err)
				_, err = second.WriteAt(p.ctx, []byte("half"), 0)
				p.must("WriteAt", err)
				c.do(p, n, first)
				p.must("Wait", p.d.Wait(p.ctx))
				if got := string(p.inStore(b, "f")); got != c.want {
					t.Errorf("the store has %q while the other handle writes, want %q", got, c.want)
				}
				_, err = second.WriteAt(p.ctx, []byte("whole"), 0)
				p.must("WriteAt", err)
				p.must("Flush", second.Flush(p.ctx))
				p.must("Wait", p.d.Wait(p.ctx))
				if got := string(p.inStore(b, "f")); got != "whole" {
					t.Errorf("the store has %q in the end, want %q", got, "whole")
				}
				p.must("Release", second.Release(p.ctx))
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestTruncatedOnly empties a file as open(2) with O_TRUNC does, and writes nothing.
func TestTruncatedOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b, State: memoryDir(t)})}
		p.write("f", []byte("old"), false)
		n, err := nodeAt(p.ctx, p.d, "f")
		p.must("Lookup", err)
		h, err := n.Open(p.ctx, fs.OpenWrite)
		p.must("Open", err)
		none := int64(0)
		_, err = n.SetAttr(p.ctx, fs.SetAttr{Size: &none})
		p.must("SetAttr", err)
		p.must("Flush", h.Flush(p.ctx))
		p.must("Wait", p.d.Wait(p.ctx))
		if got := p.inStore(b, "f"); len(got) > 0 {
			t.Errorf("the store has %q, want nothing", got)
		}
		p.must("Release", h.Release(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestGoneVersionIsLookedUp reads a file whose version somebody else has replaced a moment after it was looked at: that fails, and the next
// open finds the new one at once.
func TestGoneVersionIsLookedUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		b.Inject("f", []byte("old"), fs.WriteOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b, State: memoryDir(t)})}
		n, err := nodeAt(p.ctx, p.d, "f")
		p.must("Lookup", err)
		h, err := n.Open(p.ctx, fs.OpenRead)
		p.must("Open", err)
		b.Inject("f", []byte("new"), fs.WriteOptions{})
		if _, err := h.ReadAt(p.ctx, make([]byte, 3), 0); fs.KindOf(err) != fs.Stale {
			t.Errorf("ReadAt() of a version that is gone = %v, want Stale", err)
		}
		p.must("Release", h.Release(p.ctx))
		if got, err := textOf(p.ctx, p.d, "f"); err != nil || got != "new" {
			t.Errorf("the next reader gets %q, %v, want %q", got, err, "new")
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestCloseUploadOfANewFile closes a handle while another one is making the file: there is nothing yet for the store to take.
func TestCloseUploadOfANewFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b, Close: CloseUpload})}
		maker := p.create("f")
		other, err := maker.Node().Open(p.ctx, fs.OpenReadWrite)
		p.must("Open", err)
		p.must("Flush", other.Flush(p.ctx))
		p.must("Release", other.Release(p.ctx))
		if _, _, ok := b.Contents("f"); ok {
			t.Error("the store has a file of which nothing was committed")
		}
		_, err = maker.WriteAt(p.ctx, nil, 0)
		p.must("WriteAt", err)
		p.must("Flush", maker.Flush(p.ctx))
		if got, _, ok := b.Contents("f"); !ok || len(got) > 0 {
			t.Errorf("after its close the store has %q, %v, want an empty file", got, ok)
		}
		p.must("Release", maker.Release(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestTruncatedAtRelease truncates a file by path when its last handle has made its last commit, but is not gone yet.
func TestTruncatedAtRelease(t *testing.T) {
	p := program{t, t.Context(), open(t, Options{Backend: mem.NewBackend(mem.BackendOptions{}), State: memoryDir(t)})}
	h := p.create("f").(*handle)
	_, err := h.WriteAt(p.ctx, []byte("some text"), 0)
	p.must("WriteAt", err)
	size, commits := int64(4), 0
	p.must("lastly", h.lastly(func() error {
		err := h.commit(p.ctx)
		if commits++; commits == 1 {
			_, err2 := h.f.SetAttr(p.ctx, fs.SetAttr{Size: &size})
			err = errors.Join(err, err2)
		}
		return err
	}))
	p.d.mu.Unlock()
	if h.c.dirty || commits != 2 {
		t.Errorf("after %d commits there is something to commit: %v", commits, h.c.dirty)
	}
	p.must("Release", h.Release(p.ctx))
	if a, err := h.f.Attr(p.ctx); err != nil || a.Size != size {
		t.Errorf("the file has %d bytes, %v, want %d", a.Size, err, size)
	}
}
