package local

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// rounds is a drive whose rounds of notices a test makes.
type rounds struct {
	t    *testing.T
	d    *Drive
	w    *watcher
	told []fs.Change
}

func newRounds(t *testing.T) *rounds {
	t.Helper()
	d, err := Open(t.Context(), Options{Root: t.TempDir(), NoWatch: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	r := &rounds{t: t, d: d, w: &watcher{d: d, wake: make(chan struct{}, 1), pending: map[place]hint{}}}
	d.Publish(func(c fs.Change) { r.told = append(r.told, c) })
	return r
}

func (r *rounds) path(name string) string { return filepath.Join(r.d.opts.Root, name) }

func (r *rounds) write(name string) {
	r.t.Helper()
	if err := os.WriteFile(r.path(name), []byte("x"), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

// round gives notices of names, besides what waits, and returns what is told.
func (r *rounds) round(notices map[string]hint) []string {
	r.t.Helper()
	for name, h := range notices {
		r.w.pending[place{r.d.root, name}] |= h
	}
	r.told = nil
	r.w.look(nil)
	var told []string
	for _, c := range r.told {
		told = append(told, c.Op.String()+" "+string(c.Path))
	}
	return told
}

func TestFreeNamesWaitForARound(t *testing.T) {
	removed, created := map[string]hint{"f": hintRemoved}, map[string]hint{"f": hintCreated | hintWritten}
	for _, tt := range []struct {
		name   string
		rounds []func(r *rounds) []string // each returns what is told
		want   [][]string
	}{
		{
			"made again in the next round",
			[]func(r *rounds) []string{
				func(r *rounds) []string { _ = os.Remove(r.path("f")); return r.round(removed) },
				func(r *rounds) []string { r.write("f"); return r.round(created) },
				func(r *rounds) []string { return r.round(nil) },
			},
			[][]string{nil, {"replace f"}, nil},
		},
		{
			"looked up before the next round",
			[]func(r *rounds) []string{
				func(r *rounds) []string { _ = os.Remove(r.path("f")); return r.round(removed) },
				func(r *rounds) []string {
					r.write("f")
					if _, err := r.d.root.Lookup(r.t.Context(), "f"); err != nil {
						r.t.Error(err)
					}
					if len(r.told) != 1 || r.told[0].Op != fs.OpReplace {
						r.t.Errorf("the lookup told %v", r.told)
					}
					return r.round(created)
				},
			},
			[][]string{nil, nil},
		},
		{
			"removed for good",
			[]func(r *rounds) []string{
				func(r *rounds) []string { _ = os.Remove(r.path("f")); return r.round(removed) },
				func(r *rounds) []string { return r.round(nil) },
				func(r *rounds) []string { return r.round(nil) },
			},
			[][]string{nil, {"remove f"}, nil},
		},
		{
			"missed before the next round",
			[]func(r *rounds) []string{
				func(r *rounds) []string { _ = os.Remove(r.path("f")); return r.round(removed) },
				func(r *rounds) []string {
					_, _ = r.d.root.Lookup(r.t.Context(), "f")
					if len(r.told) != 1 || r.told[0].Op != fs.OpRemove {
						r.t.Errorf("the lookup told %v", r.told)
					}
					return r.round(nil)
				},
			},
			[][]string{nil, nil},
		},
		{
			"renamed within a round",
			[]func(r *rounds) []string{
				func(r *rounds) []string {
					_ = os.Rename(r.path("f"), r.path("g"))
					return r.round(map[string]hint{"f": hintRemoved, "g": hintCreated})
				},
				func(r *rounds) []string { return r.round(nil) },
			},
			[][]string{{"rename g"}, nil},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newRounds(t)
			r.write("f")
			if _, err := r.d.root.Lookup(t.Context(), "f"); err != nil {
				t.Fatal(err)
			}
			for i, do := range tt.rounds {
				if got := do(r); !slices.Equal(got, tt.want[i]) {
					t.Errorf("round %d told %v, want %v", i+1, got, tt.want[i])
				}
			}
		})
	}
}

func TestNamesFreedWithinARoundWait(t *testing.T) {
	r := newRounds(t)
	r.write("f")
	if _, err := r.d.root.Lookup(t.Context(), "f"); err != nil {
		t.Fatal(err)
	}
	sink := r.d.feed.sink
	r.d.feed.sink = func(c fs.Change) { // new names are told first: f goes between the look at it and its turn
		sink(c)
		if c.Path == "e" {
			_ = os.Remove(r.path("f"))
		}
	}
	r.write("e")
	if got := r.round(map[string]hint{"e": hintCreated, "f": hintWritten}); !slices.Equal(got, []string{"create e"}) {
		t.Errorf("round 1 told %v", got)
	}
	r.write("f")
	if got := r.round(map[string]hint{"f": hintCreated}); !slices.Equal(got, []string{"replace f"}) {
		t.Errorf("round 2 told %v", got)
	}
}
