package drivetest

import (
	"bytes"
	"errors"
	"io"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// ioCases check reading and writing through handles.
func ioCases() []testCase {
	return []testCase{{"reads like io.ReaderAt", "", func(e *env) {
		h := e.open(e.write("f", "0123456789"), fs.OpenRead)
		defer e.release(h)
		for _, c := range []struct {
			off  int64
			n    int
			want string
			eof  bool
		}{{0, 4, "0123", false}, {4, 3, "456", false}, {8, 4, "89", true}, {10, 1, "", true}, {1 << 40, 1, "", true}} {
			p := make([]byte, c.n)
			n, err := h.ReadAt(e.ctx, p, c.off)
			if string(p[:n]) != c.want || c.eof != errors.Is(err, io.EOF) || !c.eof && err != nil {
				e.t.Errorf("ReadAt(%d bytes at %d) = %q, %v, want %q, EOF %v", c.n, c.off, p[:n], err, c.want, c.eof)
			}
		}
		_, err := h.ReadAt(e.ctx, make([]byte, 1), -1)
		e.kind("ReadAt(-1)", err, fs.Invalid)
	}}, {"holes read as zeros", "", func(e *env) {
		n, h := e.create("f", fs.OpenReadWrite)
		e.put(h, "end", 1<<20)
		e.put(h, "x", 10)
		e.wantOpen(h, strings.Repeat("\x00", 10)+"x"+strings.Repeat("\x00", 1<<20-11)+"end")
		p := bytes.Repeat([]byte("dirty"), 1000)
		if _, err := h.ReadAt(e.ctx, p, 1<<16); err != nil || bytes.ContainsAny(p, "dirty") {
			e.t.Errorf("ReadAt of a hole left what the buffer held: %q…, %v", p[:5], err)
		}
		e.release(h)
		if a := e.attr(n); a.Size != 1<<20+3 {
			e.t.Errorf("Size = %d, want %d", a.Size, 1<<20+3)
		}
	}}, {"what was cut does not come back", "", func(e *env) {
		n, h := e.create("f", fs.OpenReadWrite)
		e.put(h, strings.Repeat("s", 9000), 0)
		for _, size := range []int64{4097, 8191} {
			_, err := h.SetAttr(e.ctx, fs.SetAttr{Size: &size})
			e.must("SetAttr", err)
		}
		e.put(h, "t", 8999)
		e.release(h)
		e.wantText(n, strings.Repeat("s", 4097)+strings.Repeat("\x00", 8999-4097)+"t")
	}}, {"empty write", "", func(e *env) {
		n, h := e.create("f", fs.OpenReadWrite)
		e.put(h, "", 100)
		e.release(h)
		e.wantText(n, "")
	}}, {"data is not shared", "", func(e *env) {
		n, h := e.create("f", fs.OpenReadWrite)
		p := []byte("mine")
		_, err := h.WriteAt(e.ctx, p, 0)
		e.must("WriteAt", err)
		copy(p, "xxxx")
		e.release(h)
		e.wantText(n, "mine")
	}}, {"append", "", func(e *env) {
		n := e.write("f", "0")
		a, b := e.open(n, fs.OpenWrite|fs.OpenAppend), e.open(n, fs.OpenWrite|fs.OpenAppend)
		e.put(a, "1", 0)
		e.put(b, "2", 0)
		e.put(a, "3", 99)
		e.release(a)
		e.release(b)
		e.wantText(n, "0123")
	}}, {"mapped memory of who appends", "", func(e *env) {
		n := e.write("f", "0123")
		h := e.open(n, fs.OpenReadWrite|fs.OpenAppend)
		_, err := h.WriteAt(fs.AtOffset(e.ctx), []byte("xy"), 1)
		e.must("WriteAt at its offset", err)
		e.put(h, "end", 0)
		e.release(h)
		e.wantText(n, "0xy3end")
	}}, {"append by many at once", "", func(e *env) {
		n := e.write("f", "")
		for _, r := range parallel(8, func(int) (struct{}, error) { return struct{}{}, appendLines(e, n, 50) }) {
			e.must("append", r.err)
		}
		got, err := readNode(e.ctx, n)
		e.must("read", err)
		if want := strings.Repeat("line\n", 8*50); got != want {
			e.t.Errorf("%d bytes are there, want %d whole lines", len(got), 8*50)
		}
	}}, {"the wrong direction", "", func(e *env) {
		n := e.write("f", "x")
		r, w := e.open(n, fs.OpenRead), e.open(n, fs.OpenWrite)
		_, err := r.WriteAt(e.ctx, []byte("y"), 0)
		e.kind("WriteAt on a handle for reading", err, fs.Invalid)
		_, err = w.ReadAt(e.ctx, make([]byte, 1), 0)
		e.kind("ReadAt on a handle for writing", err, fs.Invalid)
		e.release(r)
		e.release(w)
		e.wantText(n, "x")
	}}, {"handles see each other's writes in place", "", func(e *env) {
		n := e.write("f", "aaa")
		r, w := e.open(n, fs.OpenRead), e.open(n, fs.OpenWrite)
		e.put(w, "b", 1)
		e.wantOpen(r, "aba")
		if a, err := r.Attr(e.ctx); err != nil || a.Version != e.version(n) {
			e.t.Errorf("Handle.Attr() = %+v, %v beside Node.Attr() %+v", a, err, e.attr(n))
		}
		e.release(w)
		e.wantOpen(r, "aba")
		e.release(r)
	}}, {"attributes through a handle", "", func(e *env) {
		_, h := e.create("f", fs.OpenReadWrite)
		e.put(h, "hello", 0)
		size := int64(2)
		a, err := h.SetAttr(e.ctx, fs.SetAttr{Size: &size})
		e.must("SetAttr", err)
		if b, err := h.Attr(e.ctx); err != nil || a.Size != 2 || b.Size != 2 || b.Ino != h.Node().Ino() {
			e.t.Errorf("after SetAttr(size 2): %+v, Attr() = %+v, %v", a, b, err)
		}
		e.release(h)
	}}, {"flush and sync, any number of times", "", func(e *env) {
		n, h := e.create("f", fs.OpenReadWrite|fs.OpenSync)
		for range 3 {
			e.put(h, "x", 0)
			e.must("Sync", h.Sync(e.ctx))
			e.must("Flush", h.Flush(e.ctx))
			e.must("Flush", h.Flush(e.ctx))
		}
		e.must("Release", h.Release(e.ctx))
		e.wantText(n, "x")
	}}, {"large", "", func(e *env) {
		n, h := e.create("f", fs.OpenReadWrite)
		block := bytes.Repeat([]byte("0123456789abcdef"), 8<<10) // 128 KiB, as the kernel sends
		var want strings.Builder
		for i := range 64 {
			e.put(h, string(block), int64(i*len(block)))
			want.Write(block)
		}
		e.release(h)
		e.wantText(n, want.String())
	}}, {"unlinked while open", "", func(e *env) {
		n, h := e.create("f", fs.OpenReadWrite)
		e.put(h, "still here", 0)
		other := e.open(n, fs.OpenRead)
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		e.write("f", "another")
		e.release(other)
		e.put(h, "STILL", 0)
		e.wantOpen(h, "STILL here")
		a, err := h.Attr(e.ctx)
		e.must("Attr", err)
		if a.Nlink != 0 || a.Size != 10 {
			e.t.Errorf("Attr() of an unlinked file = %+v, want Nlink 0 and Size 10", a)
		}
		size := int64(5)
		_, err = h.SetAttr(e.ctx, fs.SetAttr{Size: &size})
		e.must("SetAttr", err)
		e.wantOpen(h, "STILL")
		e.must("Sync", h.Sync(e.ctx))
		e.release(h)
		e.wantText(e.node("f"), "another")
	}}, {"renamed over while open", "", func(e *env) {
		h := e.open(e.write("f", "old"), fs.OpenReadWrite)
		e.write("g", "new")
		e.must("Rename", e.root.Rename(e.ctx, "g", e.root, "f", 0))
		e.wantOpen(h, "old")
		e.put(h, "OLD", 0)
		e.release(h)
		e.wantText(e.node("f"), "new")
	}}, {"fallocate", Allocate, allocates}, {"seek holes", Holes, func(e *env) {
		_, h := e.create("f", fs.OpenReadWrite)
		e.put(h, "x", 1<<20)
		s := h.(fs.HoleSeeker)
		data, err := s.SeekHole(e.ctx, 0, 3)
		e.must("SeekHole(data)", err)
		hole, err := s.SeekHole(e.ctx, 1<<20, 4)
		e.must("SeekHole(hole)", err)
		if data > 1<<20 || hole <= 1<<20 || hole > 1<<20+1 {
			e.t.Errorf("data at %d, hole at %d, want ≤ %d and %d", data, hole, 1<<20, 1<<20+1)
		}
		_, err = s.SeekHole(e.ctx, 1<<21, 3)
		e.kind("SeekHole past the end", err, fs.Invalid) // ENXIO
		e.release(h)
	}}}
}

func appendLines(e *env, n fs.Node, count int) error {
	h, err := n.Open(e.ctx, fs.OpenWrite|fs.OpenAppend)
	if err != nil {
		return err
	}
	for range count {
		if _, err := h.WriteAt(e.ctx, []byte("line\n"), 0); err != nil {
			return err
		}
	}
	return h.Release(e.ctx)
}

func allocates(e *env) {
	_, h := e.create("f", fs.OpenReadWrite)
	e.put(h, "0123456789", 0)
	a := h.(fs.Allocater)
	e.must("Allocate(punch)", a.Allocate(e.ctx, 2, 3, fallocPunch|fallocKeepSize))
	e.wantOpen(h, "01\x00\x00\x0056789")
	e.must("Allocate(keep size)", a.Allocate(e.ctx, 0, 20, fallocKeepSize))
	e.wantOpen(h, "01\x00\x00\x0056789")
	e.must("Allocate(extend)", a.Allocate(e.ctx, 0, 12, 0))
	e.wantOpen(h, "01\x00\x00\x0056789\x00\x00")
	e.kind("Allocate(unknown mode)", a.Allocate(e.ctx, 0, 1, 1<<30), fs.Unsupported)
	e.release(h)
}
