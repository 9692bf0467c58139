package drive

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestRemovedButOccupied removes a folder into which somebody else has just put a file, in a store that has real folders: it is found
// again, and Status tells.
func TestRemovedButOccupied(t *testing.T) {
	t.Run("removed here in the end", func(t *testing.T) { removedButOccupied(t, false) })
	t.Run("removed by others", func(t *testing.T) { removedButOccupied(t, true) })
}

func removedButOccupied(t *testing.T, others bool) {
	synctest.Test(t, func(t *testing.T) {
		var occupied atomic.Bool
		b := mem.NewBackend(mem.BackendOptions{
			Caps: func(c *fs.Caps) { c.RealDirs = true },
			Before: func(_ context.Context, r mem.Request) error {
				if r.Op == "remove" && occupied.Load() {
					return &fs.Error{Kind: fs.NotEmpty}
				}
				return nil
			},
		})
		p, begin := program{t, t.Context(), open(t, Options{Backend: b})}, time.Now()
		_, err := p.d.Root().Mkdir(p.ctx, "d", fs.CreateOptions{Mode: 0o755})
		p.must("Mkdir", err)
		p.must("Wait", p.d.Wait(p.ctx))
		occupied.Store(true)
		b.Inject("d/theirs", []byte("theirs"), fs.WriteOptions{})
		p.must("Remove", p.d.Root().Remove(p.ctx, "d", true))
		ctx, cancel := context.WithTimeout(p.ctx, time.Hour)
		defer cancel()
		if err := p.d.Wait(ctx); err != nil {
			t.Errorf("Wait() = %v", err)
		}
		time.Sleep(time.Minute)
		got, err := treeOf(p.ctx, p.d)
		p.must("List", err)
		if want := (tree{"d/": "", "d/theirs": "theirs"}); got.String() != want.String() {
			t.Errorf("there is\n%swant\n%s", got, want)
		}
		c := &conflicting{program: p, o: Options{Backend: b, State: p.d.opts.State}}
		if got := c.told(begin); got != "d " {
			t.Errorf("conflicts: %q", got)
		}
		c.restart(true)
		p = c.program
		if got := c.told(begin); got != "d " {
			t.Errorf("conflicts after a restart: %q", got)
		}
		n, err := nodeAt(p.ctx, p.d, "d")
		p.must("Lookup", err)
		if v, err := n.(fs.Xattrer).Xattr(p.ctx, "user.jupyter-drive.conflict"); err != nil || string(v) != "d" {
			t.Errorf("the folder has the attribute %q, %v", v, err)
		}
		occupied.Store(false)
		if others {
			p.must("Remove", b.Remove(p.ctx, "d/theirs", fs.RemoveOptions{}))
			p.must("Remove", b.Remove(p.ctx, "d", fs.RemoveOptions{Dir: true}))
			time.Sleep(time.Minute)
			_, err := treeOf(p.ctx, p.d) // looks at the store
			p.must("List", err)
		} else {
			p.remove("d/theirs")
			p.must("Remove", p.d.Root().Remove(p.ctx, "d", true))
		}
		p.must("Wait", p.d.Wait(p.ctx))
		if got := c.told(begin); got != "" {
			t.Errorf("conflicts when the folder has gone: %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
