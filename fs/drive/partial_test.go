package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// partly is a drive with a file of which a part was changed, and a store that others use too.
type partly struct {
	program
	b    *mem.Backend
	old  []byte // what the file had
	ours []byte // what there is left of it with the changes
}

// newPartly changes a part of f.txt, having read seen bytes of it from off on.
func newPartly(t *testing.T, o Options, size int, off, seen int) *partly {
	t.Helper()
	b := mem.NewBackend(mem.BackendOptions{})
	x := &partly{b: b, old: noise(size), ours: make([]byte, size)}
	b.Inject("f.txt", x.old, fs.WriteOptions{})
	o.Backend = b
	x.program = program{t, t.Context(), open(t, o)}
	if seen > 0 {
		h := x.openFile("f.txt", fs.OpenRead)
		_, err := h.ReadAt(x.ctx, make([]byte, seen), int64(off))
		x.must("ReadAt", errors.Join(err, h.Release(x.ctx)))
		copy(x.ours[off:off+seen], x.old[off:])
	}
	h := x.openFile("f.txt", fs.OpenReadWrite)
	_, err := h.WriteAt(x.ctx, []byte("changed"), 10)
	x.must("WriteAt", errors.Join(err, h.Flush(x.ctx), h.Release(x.ctx)))
	copy(x.ours[10:], "changed")
	return x
}

func (p program) openFile(path string, flags fs.OpenFlags) fs.Handle {
	p.t.Helper()
	n, err := nodeAt(p.ctx, p.d, path)
	p.must("lookup of "+path, err)
	h, err := n.Open(p.ctx, flags)
	p.must("open "+path, err)
	return h
}

// check looks at what has become of it: want has the paths, one with a star for the copy, of the file of that path.
func (x *partly) check(of string, want map[string]string) {
	x.t.Helper()
	x.must("Wait", x.d.Wait(x.ctx))
	c := x.d.Status().Conflicts
	if len(c) != 1 {
		x.t.Fatalf("there are the conflicts %+v, want one", c)
	}
	lost := int64(bytes.Count(x.ours, []byte{0}) - bytes.Count(x.old, []byte{0}))
	if c[0].Path != of || c[0].Lost < lost || c[0].Lost > int64(len(x.ours)-7) || !strings.HasPrefix(c[0].Copy, strings.TrimSuffix(of, ".txt")+" (conflict ") ||
		!strings.HasSuffix(c[0].Copy, ").txt.partial") {
		x.t.Errorf("the conflict is %+v, want one of %s that has lost at least %d bytes", c[0], of, lost)
	}
	n, err := nodeAt(x.ctx, x.d, c[0].Copy)
	x.must("Lookup", err)
	for name, value := range map[string]string{"conflict": of, "partial": fmt.Sprint(c[0].Lost)} {
		if got, err := n.(fs.Xattrer).Xattr(x.ctx, virtual+name); err != nil || string(got) != value {
			x.t.Errorf("the attribute %s is %q, %v, want %q", name, got, err, value)
		}
	}
	all := tree{}
	for path, text := range want {
		all[strings.ReplaceAll(path, "*", c[0].Copy)] = text
	}
	time.Sleep(time.Minute) // the store is asked again
	got, err := treeOf(x.ctx, x.d)
	x.must("read all", err)
	if got.String() != all.String() {
		x.t.Errorf("there is\n%swant\n%s", got, all)
	}
	for path, text := range all {
		if got := x.inStore(x.b, path); string(got) != text {
			x.t.Errorf("the store has %d bytes under %s, want %d", len(got), path, len(text))
		}
	}
}

// TestBaseGone has others replace or remove a file of which a part was changed here, and the rest never read.
func TestBaseGone(t *testing.T) {
	replace := func(x *partly) { x.b.Inject("f.txt", []byte("theirs"), fs.WriteOptions{}) }
	remove := func(x *partly) { x.must("Remove", x.b.Remove(x.ctx, "f.txt", fs.RemoveOptions{})) }
	const unit = blockcache.Unit
	for _, c := range []struct {
		name string
		size int
		seen int // units that were read, from the second on
		do   func(*partly)
		of   string
		want func(ours string) map[string]string
	}{
		{"replaced", 5000, 0, replace, "f.txt", func(ours string) map[string]string { return map[string]string{"f.txt": "theirs", "*": ours} }},
		{"removed", 5000, 0, remove, "f.txt", func(ours string) map[string]string { return map[string]string{"*": ours} }},
		{"replaced, and cached in part", 40 * unit, 4, replace, "f.txt",
			func(ours string) map[string]string { return map[string]string{"f.txt": "theirs", "*": ours} }},
		{"moved, then replaced", 5000, 0, func(x *partly) { x.rename("f.txt", "g.txt"); replace(x) }, "g.txt",
			func(ours string) map[string]string { return map[string]string{"f.txt": "theirs", "*": ours} }},
		{"moved over another, then removed", 5000, 0, func(x *partly) {
			x.b.Inject("g.txt", []byte("another"), fs.WriteOptions{})
			x.d.refresh(x.d.root)
			x.rename("f.txt", "g.txt")
			remove(x)
		}, "g.txt", func(ours string) map[string]string { return map[string]string{"g.txt": "another", "*": ours} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				x := newPartly(t, withCache(t, Options{}), c.size, unit, c.seen*unit)
				c.do(x)
				x.check(c.of, c.want(string(x.ours)))
				x.must("checkpoint", x.d.checkpoint(true))
				x.must("Close", x.d.Close(x.ctx))
				x.d = open(t, x.d.opts)
				x.check(c.of, c.want(string(x.ours)))
				x.must("Close", x.d.Close(x.ctx))
			})
		})
	}
}

// TestBaseGoneButNotNeeded has others replace a file of which all that was not overwritten here is cached: nothing is lost.
func TestBaseGoneButNotNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const half = 20 * blockcache.Unit
		b := mem.NewBackend(mem.BackendOptions{})
		first, second := noise(2 * half)[:half], bytes.Repeat([]byte("ours"), half/4)
		b.Inject("f.txt", append(bytes.Clone(first), make([]byte, half)...), fs.WriteOptions{})
		o := withCache(t, Options{})
		o.Backend = b
		x := program{t, t.Context(), open(t, o)}
		h := x.openFile("f.txt", fs.OpenReadWrite)
		_, err := h.WriteAt(x.ctx, second, half)
		x.must("WriteAt", err)
		_, err = h.ReadAt(x.ctx, make([]byte, half), 0)
		x.must("ReadAt, and close", errors.Join(err, h.Flush(x.ctx), h.Release(x.ctx)))
		b.Inject("f.txt", []byte("theirs"), fs.WriteOptions{})
		x.must("Wait", x.d.Wait(x.ctx))
		c := x.d.Status().Conflicts
		if len(c) != 1 || c[0].Path != "f.txt" || c[0].Lost != 0 || !strings.HasSuffix(c[0].Copy, ").txt") {
			t.Fatalf("there are the conflicts %+v, want one of f.txt that has lost nothing", c)
		}
		if got := x.inStore(b, c[0].Copy); !bytes.Equal(got, append(first, second...)) {
			t.Error("the copy has other bytes")
		}
		if got := x.inStore(b, "f.txt"); string(got) != "theirs" {
			t.Errorf("the file has %d bytes, not theirs", len(got))
		}
		x.must("Close", x.d.Close(x.ctx))
	})
}

// TestBaseGoneWhileOpen reads what is lost through a handle that was open before: that is no zeros, until they are written.
func TestBaseGoneWhileOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		x := newPartly(t, Options{}, 5000, 0, 0)
		h := x.openFile("f.txt", fs.OpenReadWrite)
		x.b.Inject("f.txt", []byte("theirs"), fs.WriteOptions{})
		x.must("Wait", x.d.Wait(x.ctx))
		read := func(off, n int64) (string, error) {
			p := make([]byte, n)
			_, err := h.ReadAt(x.ctx, p, off)
			return string(p), err
		}
		if got, err := read(10, 7); err != nil || got != "changed" {
			t.Errorf("what was written reads as %q, %v", got, err)
		}
		if _, err := read(16, 5); fs.KindOf(err) != fs.Stale {
			t.Errorf("what is lost reads with %v, want Stale", err)
		}
		_, err := h.WriteAt(x.ctx, []byte("new "), 17)
		x.must("WriteAt", err)
		if got, err := read(16, 5); err != nil || got != "dnew " {
			t.Errorf("what was written then reads as %q, %v", got, err)
		}
		copy(x.ours[17:], "new ")
		x.must("close", errors.Join(h.Flush(x.ctx), h.Release(x.ctx)))
		x.check("f.txt", map[string]string{"f.txt": "theirs", "*": string(x.ours)})
		x.must("Close", x.d.Close(x.ctx))
	})
}

// TestBaseGoneAndCrash kills the drive at each point on the way to a partial copy: the next start ends where the first would have.
func TestBaseGoneAndCrash(t *testing.T) {
	for _, removed := range []bool{false, true} {
		points := baseGoneCrash(t, removed, 0)
		if points < 4 {
			t.Errorf("there are only %d points", points)
		}
		for at := 1; at <= points; at++ {
			baseGoneCrash(t, removed, at)
		}
	}
}

func baseGoneCrash(t *testing.T, removed bool, at int) (points int) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := newCrasher(at)
		x := newPartly(t, Options{State: memoryDir(t), hook: c.hook}, 5000, 0, 0)
		want := map[string]string{"*": string(x.ours)}
		if removed {
			x.must("Remove", x.b.Remove(x.ctx, "f.txt", fs.RemoveOptions{}))
		} else {
			x.b.Inject("f.txt", []byte("theirs"), fs.WriteOptions{})
			want["f.txt"] = "theirs"
		}
		c.mu.Lock()
		c.armed = true
		c.mu.Unlock()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan struct{})
		go func() {
			defer close(ended)
			_ = x.d.Wait(ctx) // it ends with the context if there was a crash
		}()
		select {
		case <-c.crashed:
		case <-ended:
		}
		cancel()
		<-ended
		synctest.Wait()
		points = c.n
		first := x.d
		x.must("let go of the lock", first.lock.Close())
		o := first.opts
		o.hook = nil
		x.d = open(t, o)
		x.check("f.txt", want)
		x.must("Close", x.d.Close(x.ctx))
		first.stop()
		<-first.queue.end
		x.must("close the journal", first.journal.Close())
	})
	return points
}
