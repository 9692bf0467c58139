package access_test

import (
	"context"
	"slices"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

// only is a policy that allows one action and refuses all others.
type only struct{ action fs.Action }

func (o only) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	if a != o.action {
		return &fs.Error{Op: string(a), Path: string(r.Path), Kind: fs.Permission}
	}
	return nil
}

func (only) Epoch() uint64 { return 0 }

// reading are the operations that need the right to read; copying needs both, and all others that to write.
var reading = []string{
	"View.Stat", "View.List", "View.Open", "View.Hash", "Nodes.Access", "Nodes.Lookup", "Nodes.List", "Nodes.Attr", "Nodes.Readlink",
	"Nodes.Statfs", "Nodes.Xattr", "Nodes.Xattrs",
}

// both are the operations that need both rights.
var both = []string{"View.Copy", "Nodes.Open"}

func TestEveryOperationAsksForItsAction(t *testing.T) {
	for _, action := range []fs.Action{fs.Read, fs.Write} {
		w := newWorld(t)
		all := w.view
		w.view = access.New(w.t, only{action}, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
		for _, c := range w.calls("open") {
			wants := fs.Write
			if slices.Contains(reading, c.name) {
				wants = fs.Read
			}
			allowed := wants == action && !slices.Contains(both, c.name)
			err := c.do(t.Context())
			if refused := fs.KindOf(err) == fs.Permission && err != nil; refused == allowed {
				t.Errorf("%s of who may only %s = %v", c.name, action, err)
			}
		}
		w.view = all
	}
}

func TestHandlesAskForWhatTheyDo(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, h fs.Handle) error{
		"ReadAt":  func(ctx context.Context, h fs.Handle) error { return second(h.ReadAt(ctx, make([]byte, 1), 0)) },
		"WriteAt": func(ctx context.Context, h fs.Handle) error { return second(h.WriteAt(ctx, []byte("x"), 0)) },
		"Attr":    func(ctx context.Context, h fs.Handle) error { return second(h.Attr(ctx)) },
		"SetAttr": func(ctx context.Context, h fs.Handle) error {
			mode := uint32(0o600)
			return second(h.SetAttr(ctx, fs.SetAttr{Mode: &mode}))
		},
		"Sync": func(ctx context.Context, h fs.Handle) error { return h.Sync(ctx) },
		"Allocate": func(ctx context.Context, h fs.Handle) error {
			a, _ := fs.As[fs.Allocater](h)
			return a.Allocate(ctx, 0, 1, 0)
		},
		"SeekHole": func(ctx context.Context, h fs.Handle) error {
			s, _ := fs.As[fs.HoleSeeker](h)
			return second(s.SeekHole(ctx, 0, 3))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ctx := t.Context()
			w.policy.open.Store(true)
			h, err := w.view.Open(ctx, "a/shut/file", fs.OpenReadWrite)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = h.Release(context.Background()) }() // nothing is to be kept
			if err := do(ctx, h); fs.KindOf(err) == fs.Permission && err != nil {
				t.Errorf("while it is allowed = %v", err)
			}
			w.policy.open.Store(false)
			w.policy.epoch.Add(1)
			if err := do(ctx, h); fs.KindOf(err) != fs.Permission || err == nil {
				t.Errorf("after the right was taken away = %v, want Permission", err)
			}
		})
	}
}

// TestHandlesForReadingSetNothing changes attributes through a handle of one who may only read.
func TestHandlesForReadingSetNothing(t *testing.T) {
	w := newWorld(t)
	reader := access.New(w.t, only{fs.Read}, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
	h, err := reader.Open(t.Context(), "a/open/file", fs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Release(context.Background()) }() // it was only read
	mode := uint32(0o777)
	if _, err := h.SetAttr(t.Context(), fs.SetAttr{Mode: &mode}); err == nil || fs.KindOf(err) != fs.Permission {
		t.Errorf("SetAttr = %v, want Permission", err)
	}
}

// TestFoldersAroundTheWallStay moves, copies and removes folders that have something walled inside.
func TestFoldersAroundTheWallStay(t *testing.T) {
	for name, do := range map[string]func(ctx context.Context, w *world, top fs.Dir) error{
		"View.Remove": func(ctx context.Context, w *world, _ fs.Dir) error { return w.view.Remove(ctx, "a/open", true) },
		"View.Rename": func(ctx context.Context, w *world, _ fs.Dir) error { return w.view.Rename(ctx, "a/open", "a/new") },
		"View.Rename into": func(ctx context.Context, w *world, _ fs.Dir) error {
			return w.view.Rename(ctx, "a/shut/file", "a/open/dir")
		},
		"View.Copy": func(ctx context.Context, w *world, _ fs.Dir) error { return w.view.Copy(ctx, "a/open", "a/new") },
		"View.Copy into": func(ctx context.Context, w *world, _ fs.Dir) error {
			return w.view.Copy(ctx, "a/shut/file", "a/open/dir")
		},
		"Nodes.Rename": func(ctx context.Context, w *world, top fs.Dir) error {
			return w.view.Nodes().Rename(ctx, top, "open", top, "new", 0)
		},
		"Nodes.Rename exchange": func(ctx context.Context, w *world, top fs.Dir) error {
			return w.view.Nodes().Rename(ctx, top, "shut", top, "open", fs.RenameExchange)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.policy.wall = "a/open/dir"
			top, err := w.view.Stat(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			if err := do(t.Context(), w, top.Node.(fs.Dir)); err == nil || fs.KindOf(err) != fs.Permission {
				t.Errorf("= %v, want Permission", err)
			}
		})
	}
}

// TestLiveFilesAreTheDaemons asks for the descriptor of a file that is edited live: the kernel must not write past the document.
func TestLiveFilesAreTheDaemons(t *testing.T) {
	tr, owner, n := liveWorld(t)
	h, err := owner.Open(t.Context(), "a/file", fs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Release(context.Background()) }() // it was only read
	p, _ := fs.As[fs.Passthrougher](h)
	if _, ok := p.PassthroughFd(); !ok {
		t.Error("the owner was not given the descriptor")
	}
	guest, err := access.New(tr, access.Everyone{}, fs.Principal{ID: "local:ada"}, fs.OriginMount).Open(t.Context(), "a/file", fs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = guest.Release(context.Background()) }() // it was only read
	q, _ := fs.As[fs.Passthrougher](guest)
	if _, ok := q.PassthroughFd(); ok {
		t.Error("somebody who does not own the drive was given the descriptor")
	}
	release, err := tr.Attach(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	if _, ok := p.PassthroughFd(); ok {
		t.Error("the descriptor of a live file was given")
	}
}

// liveWorld is a tree on a folder with a/file, which can be edited live, and the owner's view of it.
func liveWorld(t *testing.T) (*tree.Tree, *access.View, fs.Node) {
	t.Helper()
	live := drivetest.NewFakeLive(func(context.Context, fs.Path, []byte) (fs.Version, error) { return "", nil })
	tr, err := tree.New(tree.Options{Live: live})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	d, err := local.Open(t.Context(), local.Options{Root: t.TempDir(), NoWatch: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Add("a", d); err != nil {
		t.Fatal(err)
	}
	owner := access.New(tr, access.Everyone{}, fs.Principal{ID: "local:root", Owner: true}, fs.OriginMount)
	if err := replace(t.Context(), owner, "a/file"); err != nil {
		t.Fatal(err)
	}
	e, err := owner.Stat(t.Context(), "a/file")
	if err != nil {
		t.Fatal(err)
	}
	id, err := e.Node.FileID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	live.Open(id, "a/file", "x", e.Attr.Version)
	return tr, owner, e.Node
}

// by is a policy that allows one action for each path.
type by map[fs.Path]fs.Action

func (b by) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	if b[r.Path] != a {
		return &fs.Error{Op: string(a), Path: string(r.Path), Kind: fs.Permission}
	}
	return nil
}

func (by) Epoch() uint64 { return 0 }

// TestCopyOfALiveFileOnlyReadsIt copies a file that is edited live, which is looked up again when it is saved.
func TestCopyOfALiveFileOnlyReadsIt(t *testing.T) {
	tr, _, n := liveWorld(t)
	release, err := tr.Attach(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	v := access.New(tr, by{"a/file": fs.Read, "a/copy": fs.Write}, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
	if err := v.Copy(t.Context(), "a/file", "a/copy"); err != nil {
		t.Errorf("Copy = %v", err)
	}
}

// TestListedAsNodes lists through both forms of a view.
func TestListedAsNodes(t *testing.T) {
	w := newWorld(t)
	top, err := w.view.Stat(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	l, err := w.view.Nodes().List(t.Context(), top.Node.(fs.Dir))
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range fs.Entries(t.Context(), l) {
		if err != nil || strings.HasPrefix(e.Name, "shut") {
			t.Errorf("lists %q, %v", e.Name, err)
		}
	}
}

// TestReadersSeeWhatTheyMayRead lists as one who may only read.
func TestReadersSeeWhatTheyMayRead(t *testing.T) {
	w := newWorld(t)
	for action, want := range map[fs.Action]bool{fs.Read: true, fs.Write: false} {
		reader := access.New(w.t, only{action}, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
		l, err := reader.List(t.Context(), "a/open")
		if err != nil {
			if want {
				t.Fatal(err)
			}
			continue
		}
		n := 0
		for _, err := range fs.Entries(t.Context(), l) {
			if err != nil {
				t.Error(err)
			}
			n++
		}
		if n > 0 != want {
			t.Errorf("who may only %s sees %d names", action, n)
		}
	}
}

// TestReadersHearWhatTheyMayRead subscribes as one who may only read, and as one who may only write.
func TestReadersHearWhatTheyMayRead(t *testing.T) {
	w := newWorld(t)
	all := access.New(w.t, access.Everyone{}, fs.Principal{ID: "local:root"}, fs.OriginAPI)
	for action, want := range map[fs.Action]int{fs.Read: 1, fs.Write: 0} {
		sub := access.New(w.t, only{action}, fs.Principal{ID: "local:ada"}, fs.OriginAPI).Subscribe(8)
		if err := replace(t.Context(), all, fs.Path("a/open/"+string(action))); err != nil {
			t.Fatal(err)
		}
		if got := len(sub.C()); got != want { // changes are told before Replace returns
			t.Errorf("who may only %s hears of %d changes, want %d", action, got, want)
		}
		sub.Close()
	}
}

// TestBothEndsAreAsked links and moves between a folder that is open and one that is not.
func TestBothEndsAreAsked(t *testing.T) {
	for _, end := range []struct{ from, to string }{{"open", "shut"}, {"shut", "open"}} {
		w := newWorld(t)
		n := w.view.Nodes()
		_, linked := n.Link(t.Context(), w.nodes[end.from+"/file"], w.dir(end.to), "hard")
		for name, err := range map[string]error{
			"Nodes.Link":   linked,
			"Nodes.Rename": n.Rename(t.Context(), w.dir(end.from), "other", w.dir(end.to), "moved", 0),
			"View.Rename":  w.view.Rename(t.Context(), fs.Path("a").Join(end.from).Join("other"), fs.Path("a").Join(end.to).Join("moved")),
			"View.Copy":    w.view.Copy(t.Context(), fs.Path("a").Join(end.from).Join("other"), fs.Path("a").Join(end.to).Join("copy")),
		} {
			if err == nil || fs.KindOf(err) != fs.Permission {
				t.Errorf("%s from %s to %s = %v, want Permission", name, end.from, end.to, err)
			}
		}
	}
}
