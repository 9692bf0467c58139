package drive

import (
	"context"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// versionOf returns the version of f as a drive has it.
func (p program) versionOf(path string) fs.Version {
	p.t.Helper()
	n, err := nodeAt(p.ctx, p.d, path)
	p.must("lookup of "+path, err)
	a, err := n.Attr(p.ctx)
	p.must("stat of "+path, err)
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
		{"changed", true, func(p program) error { return save(p.ctx, p, fs.ReplaceOptions{IfVersion: p.versionOf("f")}) }, fs.Conflict, map[string]int{"stat": 1}},
		{"not changed", false, func(p program) error { return save(p.ctx, p, fs.ReplaceOptions{IfVersion: p.versionOf("f")}) }, 0, map[string]int{"stat": 1}},
		{"known since the request came", false, func(p program) error {
			ctx := fs.WithSince(fs.WithCause(p.ctx, fs.Cause{Origin: fs.OriginAPI}), time.Now())
			n, err := nodeAt(ctx, p.d, "f")
			p.must("lookup", err)
			h, err := n.Open(ctx, fs.OpenRead)
			p.must("open", err)
			p.must("close", h.Release(ctx))
			return save(ctx, p, fs.ReplaceOptions{IfVersion: p.versionOf("f")})
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
