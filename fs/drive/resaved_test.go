package drive

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestSavedAnewInConflict saves or removes a file while an upload of it is found to be in conflict: what is saved then was made without
// knowing what somebody else has stored, and must not replace it.
func TestSavedAnewInConflict(t *testing.T) {
	cases := []struct {
		name        string
		first, then func(p program)
		want        string // what the copy of the conflict has; "" = there is none
	}{
		{"saved, saved", func(p program) { p.save("zoe 1") }, func(p program) { p.save("zoe 2") }, "zoe 2"},
		{"saved, removed", func(p program) { p.save("zoe 1") }, func(p program) { p.remove("f") }, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var armed atomic.Pointer[func()]
				b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
					if r.Op == "stat" && r.Key == "f" {
						if do := armed.Swap(nil); do != nil {
							(*do)()
						}
					}
					return nil
				}})
				a := program{t, t.Context(), open(t, Options{Backend: b, State: memoryDir(t), Actor: "ada"})}
				a.save("base")
				a.must("Wait", a.d.Wait(a.ctx))
				z := program{t, t.Context(), open(t, Options{Backend: b, State: memoryDir(t), Actor: "zoe"})}
				_, err := treeOf(z.ctx, z.d)
				z.must("List", err)
				a.save("ada")
				a.must("Wait", a.d.Wait(a.ctx))
				c.first(z)
				then := func() { c.then(z) }
				armed.Store(&then)
				z.must("Wait", z.d.Wait(z.ctx))
				if armed.Load() != nil {
					t.Error("nothing was in conflict")
				}
				if got := string(z.inStore(b, "f")); got != "ada" {
					t.Errorf("the store has %q, want what the other one has written", got)
				}
				copied := ""
				for _, key := range b.Keys("") {
					if strings.HasPrefix(key, "f (conflict") {
						copied = string(z.inStore(b, key))
					}
				}
				if copied != c.want {
					t.Errorf("the copy has %q, want %q", copied, c.want)
				}
				a.must("Close", a.d.Close(a.ctx))
				z.must("Close", z.d.Close(z.ctx))
			})
		})
	}
}

// save saves f as the API does.
func (p program) save(text string) {
	p.t.Helper()
	_, err := p.d.Replace(p.ctx, "f", strings.NewReader(text), fs.ReplaceOptions{})
	p.must("Replace", err)
}
