package access_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
)

// swapping is a policy during whose decisions about one path something else happens: as late as a door can be deceived.
type swapping struct {
	*walled
	at   fs.Path
	swap func()
}

func (s *swapping) Allowed(ctx context.Context, p fs.Principal, a fs.Action, r fs.Resource) error {
	err := s.walled.Allowed(ctx, p, a, r)
	if r.Path == s.at && s.swap != nil {
		do := s.swap
		s.swap = nil
		do()
	}
	return err
}

// TestLinkSwappedAfterTheCheck leads a link behind the wall as soon as the policy has agreed to where it led.
func TestLinkSwappedAfterTheCheck(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, v *access.View) error{
		"Stat":    func(ctx context.Context, v *access.View) error { return second(v.Stat(ctx, "a/d/file")) },
		"Hash":    func(ctx context.Context, v *access.View) error { _, _, err := v.Hash(ctx, "a/d/file"); return err },
		"Replace": func(ctx context.Context, v *access.View) error { return replace(ctx, v, "a/d/file") },
		"create":  func(ctx context.Context, v *access.View) error { return replace(ctx, v, "a/d/new") },
		"Mkdir": func(ctx context.Context, v *access.View) error {
			return second(v.Mkdir(ctx, "a/d/new", fs.CreateOptions{}))
		},
		"Remove": func(ctx context.Context, v *access.View) error { return v.Remove(ctx, "a/d/file", false) },
		"Rename": func(ctx context.Context, v *access.View) error { return v.Rename(ctx, "a/d/file", "a/open/stolen") },
		"Rename into": func(ctx context.Context, v *access.View) error {
			return v.Rename(ctx, "a/open/other", "a/d/new")
		},
		"Copy": func(ctx context.Context, v *access.View) error { return v.Copy(ctx, "a/d/file", "a/open/stolen") },
		"Copy into": func(ctx context.Context, v *access.View) error {
			return v.Copy(ctx, "a/open/other", "a/d/new")
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			all := access.New(w.t, access.Everyone{}, fs.Principal{ID: "local:root"}, fs.OriginAPI)
			top, err := all.Stat(ctx, "a")
			if err != nil {
				t.Fatal(err)
			}
			link := func(target string) {
				if _, err := all.Nodes().Symlink(ctx, top.Node.(fs.Dir), "d", target, fs.CreateOptions{}); err != nil {
					t.Fatal(err)
				}
			}
			link("open")
			if err := replace(ctx, all, "a/open/file"); err != nil {
				t.Fatal(err)
			}
			for _, at := range []fs.Path{"a/open/file", "a/open/new"} {
				policy := &swapping{walled: w.policy, at: at}
				policy.swap = func() {
					if err := all.Remove(ctx, "a/d", false); err != nil {
						t.Fatal(err)
					}
					link("shut")
				}
				view := access.New(w.t, policy, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
				_ = do(ctx, view) // it may fail, but not reach behind the wall
				policy.swap = nil
			}
			w.untouched(t, all)
		})
	}
}

func replace(ctx context.Context, v *access.View, p fs.Path) error {
	return second(v.Replace(ctx, p, strings.NewReader("x"), fs.ReplaceOptions{}))
}

// untouched checks that everything behind the wall is as it was, and nothing of it is in front.
func (w *world) untouched(t *testing.T, all *access.View) {
	t.Helper()
	for p, want := range map[fs.Path]bool{"a/shut/file": true, "a/shut/new": false} {
		if _, err := all.Stat(t.Context(), p); (err == nil) != want {
			t.Errorf("%s is there: %v, want %v", p, err == nil, want)
		}
	}
	for p, want := range map[fs.Path]string{"a/shut/file": "secret", "a/open/stolen": "x"} {
		h, err := all.Open(t.Context(), p, fs.OpenRead)
		if err != nil {
			continue
		}
		buf := make([]byte, 100)
		n, _ := h.ReadAt(t.Context(), buf, 0)
		if got := string(buf[:n]); got != want {
			t.Errorf("%s holds %q, want %q", p, got, want)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// TestRenamesAcrossTheWall moves files in front of the wall and behind it: nothing is told of what is there.
func TestRenamesAcrossTheWall(t *testing.T) {
	w := newWorld(t)
	all := access.New(w.t, access.Everyone{}, fs.Principal{ID: "local:root"}, fs.OriginAPI)
	sub := w.view.Subscribe(8)
	defer sub.Close()
	for _, r := range []struct {
		from, to fs.Path
		want     fs.Change
	}{
		{"a/shut/file", "a/open/x", fs.Change{Op: fs.OpCreate, Path: "a/open/x"}},
		{"a/open/x", "a/open/y", fs.Change{Op: fs.OpRename, Path: "a/open/y", OldPath: "a/open/x"}},
		{"a/shut/other", "a/shut/x", fs.Change{}},
		{"a/open/y", "a/shut/y", fs.Change{Op: fs.OpRemove, Path: "a/open/y"}},
	} {
		if err := all.Rename(t.Context(), r.from, r.to); err != nil {
			t.Fatal(err)
		}
		var got fs.Change
		select {
		case got = <-sub.C(): // changes are told before Rename returns
		default:
		}
		if got.Op != r.want.Op || got.Path != r.want.Path || got.OldPath != r.want.OldPath {
			t.Errorf("rename of %s to %s: saw %v of %q from %q, want %v of %q from %q",
				r.from, r.to, got.Op, got.Path, got.OldPath, r.want.Op, r.want.Path, r.want.OldPath)
		}
		if strings.Contains(string(got.Path)+string(got.OldPath), "shut") {
			t.Errorf("saw a name behind the wall: %+v", got)
		}
	}
}
