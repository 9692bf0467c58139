package drive

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// create makes a file and holds it open.
func (p program) create(path string) fs.Handle {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	_, h, err := x.Create(p.ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite})
	p.must("create "+path, err)
	return h
}

// inStore returns what a store has under a key, nothing if it has no such key.
func (p program) inStore(b *mem.Backend, key string) []byte {
	p.t.Helper()
	r, err := b.Read(p.ctx, key, fs.ReadOptions{})
	if fs.KindOf(err) == fs.NotExist {
		return nil
	}
	p.must("read "+key, err)
	data, err := io.ReadAll(r)
	p.must("read "+key, errors.Join(err, r.Close()))
	return data
}

// TestHeldOpen writes a file and does not close it: half a minute later the store has it, and so does the next start.
func TestHeldOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		o := Options{Backend: b, State: memoryDir(t)}
		p := program{t, t.Context(), open(t, o)}
		h := p.create("log")
		for i, want := range []string{"one", "one, two"} {
			_, err := h.WriteAt(p.ctx, []byte(want), 0)
			p.must("WriteAt", err)
			time.Sleep(idleAfter - time.Second)
			if got := string(p.inStore(b, "log")); i == 0 && got != "" {
				t.Errorf("the store has %q before the time", got)
			}
			time.Sleep(3 * time.Second)
			synctest.Wait()
			if got := string(p.inStore(b, "log")); got != want {
				t.Errorf("the store has %q, want %q", got, want)
			}
		}
		b.ResetRequests()
		time.Sleep(time.Hour)
		if got := b.Requests()["put"]; got > 0 {
			t.Errorf("%d uploads of what nobody has written to", got)
		}
		p.must("Close", p.d.Close(p.ctx)) // as good as a crash: the file was never closed
		p.d = open(t, o)
		if got := string(p.read("log")); got != "one, two" {
			t.Errorf("after a restart there is %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestAppendedForHours appends to an open file all the time: the store is never more than some minutes behind.
func TestAppendedForHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		h := p.create("log")
		line := []byte("a line\n")
		const every = 10 * time.Second
		size := int64(0)
		for at := time.Duration(0); at < 2*time.Hour; at += every {
			_, err := h.WriteAt(p.ctx, line, size)
			p.must("WriteAt", err)
			size += int64(len(line))
			time.Sleep(every)
			behind := (size - int64(len(p.inStore(b, "log")))) / int64(len(line)) * int64(every)
			if limit := ageMax + 2*every; behind > int64(limit) {
				t.Fatalf("after %v the store is %v behind", at, time.Duration(behind))
			}
		}
		p.must("Release", errors.Join(h.Flush(p.ctx), h.Release(p.ctx)))
		p.must("Wait", p.d.Wait(p.ctx))
		if got, want := p.inStore(b, "log"), bytes.Repeat(line, int(size)/len(line)); !bytes.Equal(got, want) {
			t.Errorf("the store has %d bytes of %d, or others", len(got), len(want))
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestHeldOpenUnlinked removes a file that is held open: nothing of it is committed any more.
func TestHeldOpenUnlinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		h := p.create("tmp")
		_, err := h.WriteAt(p.ctx, []byte("x"), 0)
		p.must("WriteAt", err)
		p.remove("tmp")
		time.Sleep(time.Minute)
		_, err = h.WriteAt(p.ctx, []byte("y"), 1)
		p.must("WriteAt", err)
		time.Sleep(time.Hour)
		if got := p.inStore(b, "tmp"); got != nil {
			t.Errorf("the store has %q", got)
		}
		got := make([]byte, 2)
		if _, err := h.ReadAt(p.ctx, got, 0); err != nil || string(got) != "xy" {
			t.Errorf("ReadAt() = %q, %v", got, err)
		}
		p.must("Release", h.Release(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestLargeInOneGo writes more than the limit of staged bytes to one file for longer than what is written is kept back.
func TestLargeInOneGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		p := program{t, t.Context(), open(t, Options{Backend: b, DirtyLimit: 1 << 20})}
		h := p.create("large")
		store.set(errOut)
		data := noise(256 << 10)
		for i := range 24 {
			_, err := h.WriteAt(p.ctx, data, int64(i)*int64(len(data)))
			p.must("WriteAt", err)
			time.Sleep(20 * time.Second)
		}
		store.set(nil)
		p.must("Release", errors.Join(h.Flush(p.ctx), h.Release(p.ctx)))
		p.must("Wait", p.d.Wait(p.ctx))
		if got := p.inStore(b, "large"); !bytes.Equal(got, bytes.Repeat(data, 24)) {
			t.Errorf("the store has %d bytes, or others", len(got))
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestHeldOpenMerge keeps what is large apart while a file is held open and the store is away, and makes one of it when it is closed.
func TestHeldOpenMerge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		h := p.create("f")
		store.set(errOut)
		var all []byte
		for i, step := range []struct{ size, layers int }{{4 << 10, 1}, {4 << 10, 1}, {mergeLimit + 1, 2}, {4 << 10, 2}} {
			data := noise(step.size)
			_, err := h.WriteAt(p.ctx, data, int64(len(all)))
			p.must("WriteAt", err)
			all = append(all, data...)
			time.Sleep(time.Minute)
			synctest.Wait()
			if got := len(h.(*handle).c.v.stack); got != step.layers {
				t.Errorf("after step %d there are %d layers, want %d", i, got, step.layers)
			}
		}
		_, err := h.WriteAt(p.ctx, []byte("x"), 0)
		p.must("WriteAt", err)
		all[0] = 'x'
		p.must("Flush", h.Flush(p.ctx))
		if got := len(h.(*handle).c.v.stack); got != 1 {
			t.Errorf("after Flush there are %d layers", got)
		}
		store.set(nil)
		p.must("Release", h.Release(p.ctx))
		p.must("Wait", p.d.Wait(p.ctx))
		if !bytes.Equal(p.inStore(b, "f"), all) {
			t.Error("the store has other bytes")
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
