package drive

import (
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestRemovedThenMoved removes a file while the store is away and nothing else is known of its folder, which is moved then: the file
// does not come back with the others.
func TestRemovedThenMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		for _, key := range []string{"d/removed", "d/moved", "d/stays"} {
			b.Inject(key, []byte(key), fs.WriteOptions{})
		}
		o := Options{Backend: b, State: memoryDir(t)}
		p := program{t, t.Context(), open(t, o)}
		for _, path := range []string{"d/removed", "d/moved"} { // which makes the journal know them
			n, err := nodeAt(p.ctx, p.d, path)
			p.must("Lookup", err)
			_, err = n.FileID(p.ctx)
			p.must("FileID", err)
		}
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, o)
		store.set(errOut)
		p.remove("d/removed")
		store.set(nil)
		p.rename("d", "e")
		p.must("Wait", p.d.Wait(p.ctx))
		got, err := treeOf(p.ctx, p.d)
		p.must("List", err)
		want := tree{"e/": "", "e/moved": "d/moved", "e/stays": "d/stays"}
		if got.String() != want.String() {
			t.Errorf("there is\n%swant\n%s", got, want)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
