package drive

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestMovedWhileUploaded gives a file that was changed in a part another name while it is being uploaded under the first.
func TestMovedWhileUploaded(t *testing.T) {
	for name, move := range map[string]func(program){
		"rename":   func(p program) { p.rename("a", "b") },
		"exchange": func(p program) { p.exchange("a", "other") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p program
				armed := false
				b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
					if r.Op == "put" && r.Key == "a" && armed {
						armed = false
						move(p)
					}
					return nil
				}})
				p = program{t, t.Context(), open(t, Options{Backend: b})}
				text := noise(100 << 10)
				p.write("a", text, false)
				p.write("other", []byte("other"), false)
				p.must("Wait", p.d.Wait(p.ctx))
				n, err := nodeAt(p.ctx, p.d, "a")
				p.must("lookup", err)
				h, err := n.Open(p.ctx, fs.OpenReadWrite)
				p.must("open", err)
				_, err = h.WriteAt(p.ctx, []byte("changed"), 1000)
				p.must("write", err)
				copy(text[1000:], "changed")
				p.must("flush", h.Flush(p.ctx))
				p.must("release", h.Release(p.ctx))
				armed = true
				p.must("Wait", p.d.Wait(p.ctx))
				path, _ := n.Path()
				if got := p.read(path); !bytes.Equal(got, text) || armed {
					t.Errorf("%s has other bytes", path)
				}
				if data, _, _ := b.Contents(path); !bytes.Equal(data, text) {
					t.Errorf("the store has %d other bytes as %s", len(data), path)
				}
				if s := p.d.Status(); len(s.Conflicts) > 0 {
					t.Errorf("conflicts: %v", s.Conflicts)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}
