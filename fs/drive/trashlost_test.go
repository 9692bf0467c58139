package drive

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestTrashAnswerLost removes a file after an upload of it whose answer was lost: what the store has of it, as it turns out, is kept.
func TestTrashAnswerLost(t *testing.T) {
	for _, c := range []struct {
		name  string
		isNew bool // the upload is the first one
		then  func(program)
		trash tree
		left  tree
	}{
		{"removed", false, func(p program) { p.remove("a") }, tree{"a": "new"}, tree{}},
		{"moved and removed", false, func(p program) { p.rename("a", "b"); p.remove("b") }, tree{"b": "new"}, tree{}},
		{"moved, removed and made anew", false, func(p program) {
			p.rename("a", "b")
			p.remove("b")
			p.write("a", []byte("other"), false)
		}, tree{"b": "new"}, tree{"a": "other"}},
		{"moved, removed, and another one in its place", false, func(p program) {
			p.rename("a", "b")
			p.remove("b")
			p.write("other", []byte("other"), false)
			p.rename("other", "a")
		}, tree{"b": "new"}, tree{"a": "other"}},
		{"moved and made anew", false, func(p program) {
			p.rename("a", "b")
			p.write("a", []byte("other"), false)
		}, tree{}, tree{"a": "other", "b": "new"}},
		{"made anew", false, func(p program) { p.remove("a"); p.write("a", []byte("other"), false) }, tree{}, tree{"a": "other"}},
		{"new, and removed", true, func(p program) { p.remove("a") }, tree{"a": "new"}, tree{}},
		{"new, moved and removed", true, func(p program) { p.rename("a", "b"); p.remove("b") }, tree{"b": "new"}, tree{}},
		{"new, moved, removed and made anew", true, func(p program) {
			p.rename("a", "b")
			p.remove("b")
			p.write("a", []byte("other"), false)
		}, tree{"b": "new"}, tree{"a": "other"}},
		{"new, and made anew", true, func(p program) { p.remove("a"); p.write("a", []byte("other"), false) }, tree{}, tree{"a": "other"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var p program
				var armed atomic.Bool
				done := make(chan struct{})
				b := mem.NewBackend(mem.BackendOptions{After: func(_ context.Context, r mem.Request) error {
					if r.Op != "put" || r.Key != "a" || !armed.CompareAndSwap(true, false) {
						return nil
					}
					c.then(p)
					close(done)
					return &fs.Error{Kind: fs.UnknownOutcome}
				}})
				p = program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
				if !c.isNew {
					p.write("a", []byte("old"), false)
					p.must("Wait", p.d.Wait(p.ctx))
				}
				p.write("a", []byte("new"), false)
				armed.Store(true)
				<-done
				p.must("Wait", p.d.Wait(p.ctx))
				p.wantTree("at the end", c.left)
				if got := p.inTrash(b); got.String() != c.trash.String() {
					t.Errorf("the trash has\n%swant\n%s", got, c.trash)
				}
				if s := p.d.Status(); len(s.Conflicts) > 0 {
					t.Errorf("conflicts: %v", s.Conflicts)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}
