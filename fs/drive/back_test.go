package drive

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestRenamedBackWhileUploaded renames a file while it is being uploaded, has it uploaded under its new name, and renames it back before
// the first upload has been answered.
func TestRenamedBackWhileUploaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		slow := true
		b := mem.NewBackend(mem.BackendOptions{After: func(_ context.Context, r mem.Request) error {
			if r.Op == "put" && r.Key == "a" && slow {
				slow = false
				<-answer
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("a", []byte("text"), true)
		time.Sleep(2 * settleAfter)
		p.rename("a", "b")
		time.Sleep(2 * settleAfter)
		if _, _, ok := b.Contents("b"); !ok {
			t.Error("the file was not uploaded under its new name meanwhile: the test misses its case")
		}
		p.rename("b", "a")
		close(answer)
		p.must("Wait", p.d.Wait(p.ctx))
		if keys := b.Keys(""); !slices.Equal(keys, []string{"a"}) {
			t.Errorf("the store has %q, want only a", keys)
		}
		if got := string(p.read("a")); got != "text" {
			t.Errorf("a has %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestChangedInFolderRenamedBack changes a file in a part before, while and after its folder is renamed and renamed back, and again while it is
// being uploaded then. The answer to that upload is lost.
func TestChangedInFolderRenamedBack(t *testing.T) {
	for before := range 2 {
		for between := range 3 {
			for after := range 3 {
				t.Run(fmt.Sprint(before, between, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						var p program
						var armed atomic.Bool
						text := noise(100 << 10)
						b := mem.NewBackend(mem.BackendOptions{After: func(_ context.Context, r mem.Request) error {
							if r.Op != "put" || r.Key != "d/f" || !armed.CompareAndSwap(true, false) {
								return nil
							}
							p.edit("d/f", "last")
							copy(text[1000:], "last")
							return &fs.Error{Kind: fs.UnknownOutcome}
						}})
						p = program{t, t.Context(), open(t, Options{Backend: b})}
						edit := func(path string, times int) {
							for i := range times {
								change := fmt.Sprint(path, i)
								p.edit(path, change)
								copy(text[1000:], change)
							}
						}
						p.mkdir("d")
						p.write("d/f", text, false)
						p.must("Wait", p.d.Wait(p.ctx))
						edit("d/f", before)
						p.rename("d", "e")
						edit("e/f", between)
						p.rename("e", "d")
						edit("d/f", after)
						armed.Store(before+between+after > 0)
						b.ResetRequests()
						p.must("Wait", p.d.Wait(p.ctx))
						if data, _ := object(t, b, "d/f"); !bytes.Equal(data, text) || armed.Load() {
							t.Errorf("the store has %d other bytes", len(data))
						}
						if copies := b.Requests()["copy"]; copies > 0 {
							t.Errorf("the store was to copy %d files", copies)
						}
						if s := p.d.Status(); len(s.Conflicts) > 0 {
							t.Errorf("conflicts: %v", s.Conflicts)
						}
						p.must("Close", p.d.Close(p.ctx))
					})
				})
			}
		}
	}
}
