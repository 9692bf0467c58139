package drive

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// gate holds the requests that it is to hold until it is opened.
type gate struct {
	holds  func(mem.Request) bool
	opened chan struct{}
}

func newGate(holds func(mem.Request) bool) *gate {
	return &gate{holds, make(chan struct{})}
}

func (g *gate) before(ctx context.Context, r mem.Request) error {
	if !g.holds(r) {
		return nil
	}
	select {
	case <-g.opened:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// TestOneWorkerForAKey writes a file anew when a worker has settled its key and has not ended: no second one begins before that, and
// the end of the first is not taken for the end of the second.
func TestOneWorkerForAKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		g := newGate(func(r mem.Request) bool { return r.Op == "abort" })
		b := mem.NewBackend(mem.BackendOptions{Before: func(ctx context.Context, r mem.Request) error {
			if r.Op == "part" && refuse {
				return &fs.Error{Kind: fs.Permission}
			}
			return g.before(ctx, r)
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("f", noise(20<<20), false)
		time.Sleep(2 * time.Second) // an upload in parts has begun, and cannot go on
		p.write("f", []byte("one"), false)
		time.Sleep(2 * time.Minute)
		if got := string(p.inStore(b, "f")); got != "one" {
			t.Fatalf("the store has %q", got)
		}
		p.write("f", []byte("two"), false)
		time.Sleep(time.Minute)
		if n := b.Requests()["put"]; n != 1 {
			t.Errorf("%d uploads while the worker of the first has not ended", n)
		}
		close(g.opened)
		p.must("Wait", p.d.Wait(p.ctx))
		if got := string(p.inStore(b, "f")); got != "two" {
			t.Errorf("the store has %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
