package drive

import (
	"bytes"
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func (p program) copy(from, to string) {
	p.t.Helper()
	_, err := p.d.Copy(p.ctx, from, to)
	p.must("copy of "+from, err)
}

// edit writes into the middle of a file.
func (p program) edit(path, text string) {
	p.t.Helper()
	h := p.openFile(path, fs.OpenReadWrite)
	_, err := h.WriteAt(p.ctx, []byte(text), 1000)
	p.must("change of "+path, errors.Join(err, h.Flush(p.ctx), h.Release(p.ctx)))
}

// TestMovedWhileUploaded gives a file that was changed in a part another name, or copies it, while it is being uploaded under the first: before the store has
// the upload, before its answer has come, and where that never comes.
func TestMovedWhileUploaded(t *testing.T) {
	for name, move := range map[string]func(program){
		"rename":   func(p program) { p.rename("a", "b") },
		"exchange": func(p program) { p.exchange("a", "other") },
		"rename, and a folder in its place": func(p program) {
			p.rename("a", "b")
			p.mkdir("a")
			p.write("a/f", []byte("in it"), false)
		},
		"rename, and another change": func(p program) {
			p.rename("a", "b")
			p.edit("b", "changed")
		},
		"rename, another change and another": func(p program) {
			p.rename("a", "b")
			p.edit("b", "changed")
			p.rename("b", "c")
			p.edit("c", "changed")
			p.rename("c", "b")
		},
		"copy": func(p program) { p.copy("a", "b") },
		"copy, and another change": func(p program) {
			p.copy("a", "b")
			p.edit("a", "again")
		},
	} {
		unknown := &fs.Error{Kind: fs.UnknownOutcome}
		for when, c := range map[string]struct {
			before bool          // the store has the upload
			late   time.Duration // for which the answer is on its way
			lost   error         // the answer
		}{
			"sent": {true, 0, nil}, "answered": {false, 0, nil}, "answered late": {false, time.Minute, nil},
			"answer lost": {false, 0, unknown}, "answer lost late": {false, time.Minute, unknown},
		} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { movedWhileUploaded(t, move, c.before, c.late, c.lost) })
			})
		}
	}
}

func movedWhileUploaded(t *testing.T, move func(program), before bool, late time.Duration, lost error) {
	var p program
	var armed atomic.Bool
	text := noise(100 << 10)
	path := func() string {
		to, _ := nodeAt(p.ctx, p.d, "b")
		if to == nil {
			return "other"
		}
		return "b"
	}
	during := func(here bool) func(context.Context, mem.Request) error {
		return func(_ context.Context, r mem.Request) error {
			if !here || r.Op != "put" || r.Key != "a" || !armed.CompareAndSwap(true, false) {
				return nil
			}
			move(p)
			if !before {
				time.Sleep(late) // what is due under the other name is tried
				if got := p.read(path()); !bytes.Equal(got, text) {
					t.Error("meanwhile the file has other bytes")
				}
			}
			return lost
		}
	}
	b := mem.NewBackend(mem.BackendOptions{Before: during(before), After: during(!before)})
	p = program{t, t.Context(), open(t, Options{Backend: b})}
	p.write("a", text, false)
	p.write("other", []byte("other"), false)
	p.must("Wait", p.d.Wait(p.ctx))
	p.edit("a", "changed")
	copy(text[1000:], "changed")
	armed.Store(true)
	p.must("Wait", p.d.Wait(p.ctx))
	if got := p.read(path()); !bytes.Equal(got, text) || armed.Load() {
		t.Errorf("%s has other bytes", path())
	}
	if data, _ := object(t, b, path()); !bytes.Equal(data, text) {
		t.Errorf("the store has %d other bytes as %s", len(data), path())
	}
	if s := p.d.Status(); len(s.Conflicts) > 0 {
		t.Errorf("conflicts: %v", s.Conflicts)
	}
	p.must("Close", p.d.Close(p.ctx))
}

// TestCopiedOnceBack copies a file that was changed, moved, changed and moved back while it is being uploaded, and the answer is lost: the copy
// finds its bytes in what was uploaded.
func TestCopiedOnceBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p program
		var armed atomic.Bool
		b := mem.NewBackend(mem.BackendOptions{After: func(_ context.Context, r mem.Request) error {
			if r.Op != "put" || r.Key != "a" || !armed.CompareAndSwap(true, false) {
				return nil
			}
			p.copy("a", "b")
			return &fs.Error{Kind: fs.UnknownOutcome}
		}})
		p = program{t, t.Context(), open(t, Options{Backend: b})}
		text := noise(100 << 10)
		p.write("a", text, false)
		p.must("Wait", p.d.Wait(p.ctx))
		p.edit("a", "first")
		p.rename("a", "c")
		p.edit("c", "second")
		p.rename("c", "a")
		copy(text[1000:], "second")
		armed.Store(true)
		p.must("Wait", p.d.Wait(p.ctx))
		for _, path := range []string{"a", "b"} {
			if data, _ := object(t, b, path); !bytes.Equal(data, text) || armed.Load() {
				t.Errorf("the store has %d other bytes as %s", len(data), path)
			}
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestOtherFileInItsPlace moves a file and changes it twice, has another one made in its place in between, and others remove or change what
// the store has there: the new file is not taken for what was uploaded of the old one.
func TestOtherFileInItsPlace(t *testing.T) {
	for _, removed := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := mem.NewBackend(mem.BackendOptions{})
			p := program{t, t.Context(), open(t, Options{Backend: b})}
			p.write("a", bytes.Repeat([]byte("a"), 10<<10), false)
			p.must("Wait", p.d.Wait(p.ctx))
			p.copy("a", "copy") // which finds out, so that the new file need not wait for the old one
			p.rename("a", "b")
			h := p.openFile("b", fs.OpenReadWrite)
			for _, text := range []string{"first", "second"} {
				_, err := h.WriteAt(p.ctx, []byte(text), 1000)
				p.must("write", errors.Join(err, h.Flush(p.ctx)))
				if text == "first" {
					p.write("a", bytes.Repeat([]byte("z"), 10<<10), false)
				}
			}
			if removed {
				p.must("Remove", b.Remove(p.ctx, "a", fs.RemoveOptions{}))
			} else {
				b.Inject("a", []byte("theirs"), fs.WriteOptions{})
			}
			time.Sleep(10 * time.Second)
			if data, _ := object(t, b, "a"); len(data) != 10<<10 {
				t.Errorf("the store has %d bytes as a: the test misses its case", len(data))
			}
			if n, err := h.ReadAt(p.ctx, make([]byte, 10), 0); fs.KindOf(err) != fs.Stale {
				t.Errorf("ReadAt() = %d, %v, want Stale", n, err)
			}
			p.must("Release", h.Release(p.ctx))
			p.must("Wait", p.d.Wait(p.ctx))
			for _, key := range b.Keys("") {
				if data, _ := object(t, b, key); key != "a" && bytes.Contains(data, []byte("zz")) {
					t.Errorf("%s has bytes of a", key)
				}
			}
			p.must("Close", p.d.Close(p.ctx))
		})
	}
}
