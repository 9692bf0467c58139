package drive

import (
	"context"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// version returns the version of f as a drive has it.
func (p program) version() fs.Version {
	p.t.Helper()
	n, err := nodeAt(p.ctx, p.d, "f")
	p.must("lookup", err)
	a, err := n.Attr(p.ctx)
	p.must("stat", err)
	return a.Version
}

// TestConditionIsOfNow saves over what another daemon has stored a moment ago: a condition is compared with that, at the price of one request. Who
// sets none pays nothing.
func TestConditionIsOfNow(t *testing.T) {
	save := func(ctx context.Context, p program, o fs.ReplaceOptions) error {
		_, err := p.d.Replace(ctx, "f", strings.NewReader("of zoe, who has read the first"), o)
		return err
	}
	for _, c := range []struct {
		name    string
		changed bool // by the other one
		do      func(p program) error
		kind    fs.Kind
		most    map[string]int
	}{
		{"changed", true, func(p program) error { return save(p.ctx, p, fs.ReplaceOptions{IfVersion: p.version()}) }, fs.Conflict, map[string]int{"stat": 1}},
		{"not changed", false, func(p program) error { return save(p.ctx, p, fs.ReplaceOptions{IfVersion: p.version()}) }, 0, map[string]int{"stat": 1}},
		{"known since the request came", false, func(p program) error {
			ctx := fs.WithSince(fs.WithCause(p.ctx, fs.Cause{Origin: fs.OriginAPI}), time.Now())
			n, err := nodeAt(ctx, p.d, "f")
			p.must("lookup", err)
			h, err := n.Open(ctx, fs.OpenRead)
			p.must("open", err)
			p.must("close", h.Release(ctx))
			return save(ctx, p, fs.ReplaceOptions{IfVersion: p.version()})
		}, 0, map[string]int{"stat": 1}},
		{"without a condition", true, func(p program) error { return save(p.ctx, p, fs.ReplaceOptions{}) }, 0, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			withTwo(t, func(w two) {
				w.shared("f", "base")
				w.z.read("f") // now it is known
				if c.changed {
					w.a.write("f", []byte("of ada"), false)
					w.a.must("Wait", w.a.d.Wait(w.a.ctx))
				}
				w.b.ResetRequests()
				time.Sleep(time.Second)
				err := c.do(w.z)
				if c.kind == 0 && err != nil || c.kind != 0 && fs.KindOf(err) != c.kind {
					t.Errorf("Replace() = %v, want %v", err, c.kind)
				}
				if got := w.b.Requests(); !maps.Equal(got, c.most) {
					t.Errorf("that took the requests %v, want %v", got, c.most)
				}
			})
		})
	}
}

// TestSinceSeesRemoval opens what another daemon has removed a moment ago.
func TestSinceSeesRemoval(t *testing.T) {
	withTwo(t, func(w two) {
		w.shared("f", "base")
		w.z.read("f")
		w.a.remove("f")
		w.a.must("Wait", w.a.d.Wait(w.a.ctx))
		time.Sleep(time.Second)
		ctx := fs.WithSince(fs.WithCause(w.z.ctx, fs.Cause{Origin: fs.OriginAPI}), time.Now())
		n, err := nodeAt(ctx, w.z.d, "f")
		w.z.must("lookup", err)
		if _, err := n.Open(ctx, fs.OpenRead); fs.KindOf(err) != fs.Stale {
			t.Errorf("Open() = %v, want Stale", err)
		}
		if _, err := nodeAt(ctx, w.z.d, "f"); fs.KindOf(err) != fs.NotExist {
			t.Errorf("a lookup then = %v, want NotExist", err)
		}
	})
}

// TestLateAnswer has an answer about a file be on its way while the file changes: it says nothing of what came after it was asked for.
func TestLateAnswer(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(p program, b *mem.Backend) // while the answer is on its way
		then func(p program, since time.Time)
	}{
		{"saved here", func(p program, _ *mem.Backend) {
			p.write("f", []byte("second"), false)
			p.must("Wait", p.d.Wait(p.ctx))
		}, func(p program, _ time.Time) {
			if got := p.read("f"); string(got) != "second" {
				p.t.Errorf("the file has %q, want what was saved", got)
			}
		}},
		{"replaced by others", func(_ program, b *mem.Backend) {
			b.Inject("f", []byte("theirs"), fs.WriteOptions{})
		}, func(p program, since time.Time) {
			_, err := p.d.Replace(fs.WithSince(p.ctx, since), "f", strings.NewReader("ours"), fs.ReplaceOptions{IfVersion: p.version()})
			if fs.KindOf(err) != fs.Conflict {
				p.t.Errorf("Replace() = %v, want that it has changed", err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var late atomic.Bool
				arrive := make(chan struct{})
				b := mem.NewBackend(mem.BackendOptions{After: func(_ context.Context, r mem.Request) error {
					if (r.Op == "stat" || r.Op == "recheck") && late.CompareAndSwap(true, false) {
						<-arrive
					}
					return nil
				}})
				b.Inject("f", []byte("first"), fs.WriteOptions{})
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				p.read("f")
				time.Sleep(10 * time.Second)
				late.Store(true)
				n, err := nodeAt(p.ctx, p.d, "f")
				p.must("lookup", err)
				opened := make(chan error, 1)
				go func() {
					h, err := n.Open(p.ctx, fs.OpenRead)
					if err == nil {
						err = h.Release(p.ctx)
					}
					opened <- err
				}()
				synctest.Wait()
				if late.Load() {
					t.Fatal("the store was not asked")
				}
				time.Sleep(time.Second)
				c.do(p, b)
				since := time.Now()
				time.Sleep(time.Second)
				close(arrive)
				p.must("Open", <-opened)
				c.then(p, since)
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}
