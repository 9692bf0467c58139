package access_test

import (
	"context"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

// walled is a policy that lets nobody below one path.
type walled struct {
	wall  fs.Path
	epoch atomic.Uint64
	open  atomic.Bool // the wall is down
}

func (w *walled) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	inside := r.Path.Within(w.wall) || r.Subtree && w.wall.Within(r.Path)
	if inside && !w.open.Load() {
		return &fs.Error{Op: string(a), Path: string(r.Path), Kind: fs.Permission}
	}
	return nil
}

func (w *walled) Epoch() uint64 { return w.epoch.Load() }

// world is a tree with the same files in a/open and, walled in, a/shut.
type world struct {
	t      *tree.Tree
	policy *walled
	view   *access.View
	nodes  map[string]fs.Node // by the path below the folder: open/…, shut/…
}

func newWorld(t *testing.T) *world {
	t.Helper()
	tr, err := tree.New(tree.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := tr.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	if err := tr.Add("a", mem.New(mem.Options{})); err != nil {
		t.Fatal(err)
	}
	w := &world{t: tr, policy: &walled{wall: "a/shut"}, nodes: map[string]fs.Node{}}
	w.view = access.New(tr, w.policy, fs.Principal{ID: "local:ada"}, fs.OriginAPI)
	all := access.New(tr, access.Everyone{}, fs.Principal{ID: "local:root"}, fs.OriginAPI)
	ctx := t.Context()
	for _, top := range []string{"open", "shut"} {
		dir := fs.Path("a").Join(top)
		for _, d := range []fs.Path{dir, dir.Join("dir"), dir.Join("empty")} {
			if _, err := all.Mkdir(ctx, d, fs.CreateOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, f := range []fs.Path{dir.Join("file"), dir.Join("other"), dir.Join("dir").Join("deep")} {
			if _, err := all.Replace(ctx, f, strings.NewReader("secret"), fs.ReplaceOptions{}); err != nil {
				t.Fatal(err)
			}
		}
		for _, p := range []string{"", "/file", "/dir", "/empty"} {
			e, err := all.Stat(ctx, fs.Path("a/"+top+p))
			if err != nil {
				t.Fatal(err)
			}
			w.nodes[top+p] = e.Node
		}
		link, err := all.Nodes().Symlink(ctx, w.nodes[top].(fs.Dir), "link", "file", fs.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		w.nodes[top+"/link"] = link
	}
	return w
}

func (w *world) dir(path string) fs.Dir { return w.nodes[path].(fs.Dir) }

// calls is every operation of View and Nodes that touches files, on the folder top. Each is made so that it succeeds where it is
// allowed. They run in order.
func (w *world) calls(top string) []struct {
	name string
	do   func(ctx context.Context) error
} {
	v, n := w.view, w.view.Nodes()
	p := fs.Path("a").Join(top)
	type call = struct {
		name string
		do   func(ctx context.Context) error
	}
	closing := func(h fs.Handle, err error) error {
		if err == nil {
			err = h.Release(context.Background())
		}
		return err
	}
	return []call{
		{"View.Stat", func(ctx context.Context) error { _, err := v.Stat(ctx, p.Join("file")); return err }},
		{"View.List", func(ctx context.Context) error { _, err := v.List(ctx, p); return err }},
		{"View.Open", func(ctx context.Context) error { return closing(v.Open(ctx, p.Join("file"), fs.OpenRead)) }},
		{"View.Hash", func(ctx context.Context) error { _, _, err := v.Hash(ctx, p.Join("file")); return err }},
		{"View.Replace", func(ctx context.Context) error {
			_, err := v.Replace(ctx, p.Join("new"), strings.NewReader("x"), fs.ReplaceOptions{})
			return err
		}},
		{"View.Mkdir", func(ctx context.Context) error {
			_, err := v.Mkdir(ctx, p.Join("made"), fs.CreateOptions{})
			return err
		}},
		{"View.Copy", func(ctx context.Context) error { return v.Copy(ctx, p.Join("dir"), p.Join("copy")) }},
		{"View.Rename", func(ctx context.Context) error { return v.Rename(ctx, p.Join("copy"), p.Join("moved")) }},
		{"View.Remove", func(ctx context.Context) error { return v.Remove(ctx, p.Join("other"), true) }},
		{"Nodes.Access", func(ctx context.Context) error { return n.Access(ctx, w.nodes[top+"/file"], fs.Read) }},
		{"Nodes.Lookup", func(ctx context.Context) error { _, err := n.Lookup(ctx, w.dir(top), "file"); return err }},
		{"Nodes.List", func(ctx context.Context) error { _, err := n.List(ctx, w.dir(top)); return err }},
		{"Nodes.Attr", func(ctx context.Context) error { _, err := n.Attr(ctx, w.nodes[top+"/file"]); return err }},
		{"Nodes.SetAttr", func(ctx context.Context) error {
			mode := uint32(0o600)
			_, err := n.SetAttr(ctx, w.nodes[top+"/file"], fs.SetAttr{Mode: &mode})
			return err
		}},
		{"Nodes.Open", func(ctx context.Context) error { return closing(n.Open(ctx, w.nodes[top+"/file"], fs.OpenReadWrite)) }},
		{"Nodes.Create", func(ctx context.Context) error {
			_, h, err := n.Create(ctx, w.dir(top), "created", fs.CreateOptions{Flags: fs.OpenReadWrite, Mode: 0o644})
			return closing(h, err)
		}},
		{"Nodes.Mkdir", func(ctx context.Context) error {
			_, err := n.Mkdir(ctx, w.dir(top), "sub", fs.CreateOptions{Mode: 0o755})
			return err
		}},
		{"Nodes.Mknod", func(ctx context.Context) error {
			_, err := n.Mknod(ctx, w.dir(top), "fifo", 0o010644, 0, fs.CreateOptions{})
			return err
		}},
		{"Nodes.Symlink", func(ctx context.Context) error {
			_, err := n.Symlink(ctx, w.dir(top), "sym", "file", fs.CreateOptions{})
			return err
		}},
		{"Nodes.Link", func(ctx context.Context) error {
			_, err := n.Link(ctx, w.nodes[top+"/file"], w.dir(top), "hard")
			return err
		}},
		{"Nodes.Readlink", func(ctx context.Context) error { _, err := n.Readlink(ctx, w.nodes[top+"/link"]); return err }},
		{"Nodes.Rename", func(ctx context.Context) error { return n.Rename(ctx, w.dir(top), "sym", w.dir(top), "sym2", 0) }},
		{"Nodes.Remove", func(ctx context.Context) error { return n.Remove(ctx, w.dir(top), "sym2", false) }},
		{"Nodes.Statfs", func(ctx context.Context) error { _, err := n.Statfs(ctx, w.nodes[top]); return err }},
		{"Nodes.SetXattr", func(ctx context.Context) error {
			return n.SetXattr(ctx, w.nodes[top+"/file"], "user.x", []byte("y"), false, false)
		}},
		{"Nodes.Xattr", func(ctx context.Context) error {
			_, err := n.Xattr(ctx, w.nodes[top+"/file"], "user.x")
			return err
		}},
		{"Nodes.Xattrs", func(ctx context.Context) error { _, err := n.Xattrs(ctx, w.nodes[top+"/file"]); return err }},
		{"Nodes.RemoveXattr", func(ctx context.Context) error {
			return n.RemoveXattr(ctx, w.nodes[top+"/file"], "user.x")
		}},
	}
}

// notFiles are the methods that touch no file.
var notFiles = []string{
	"View.Principal", "View.Allowed", "View.Nodes", "View.Subscribe", "Nodes.Root", "Nodes.Path", "Nodes.Live", "Nodes.Settle",
}

func TestEveryOperationAsks(t *testing.T) {
	w := newWorld(t)
	tested := slices.Clone(notFiles)
	for _, c := range w.calls("shut") {
		tested = append(tested, c.name)
		if err := c.do(t.Context()); fs.KindOf(err) != fs.Permission || err == nil {
			t.Errorf("%s behind the wall = %v, want Permission", c.name, err)
		}
	}
	optional := map[string]bool{"Nodes.Mknod": true, "Nodes.Link": true} // mem may have neither
	for _, c := range w.calls("open") {
		err := c.do(t.Context())
		if err != nil && !(optional[c.name] && fs.KindOf(err) == fs.NotPermitted) {
			t.Errorf("%s beside the wall = %v", c.name, err)
		}
	}
	for _, typ := range []reflect.Type{reflect.TypeFor[*access.View](), reflect.TypeFor[*access.Nodes]()} {
		for m := range typ.Methods() {
			if name := typ.Elem().Name() + "." + m.Name; !slices.Contains(tested, name) {
				t.Errorf("%s is not tested against the policy", name)
			}
		}
	}
}

func TestWalledNamesAreNotListed(t *testing.T) {
	w := newWorld(t)
	l, err := w.view.List(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	for e, err := range fs.Entries(t.Context(), l) {
		if err != nil {
			t.Fatal(err)
		}
		if e.Name == "shut" {
			t.Error("a folder that may not be read is listed")
		}
	}
}

// A link beside the wall must not lead behind it, and a folder around the wall must not be carried off with what is inside.
func TestNoWayAroundTheWall(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	a, err := w.view.Stat(ctx, "a")
	if err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"l": "shut/file", "d": "shut"} {
		if _, err := w.view.Nodes().Symlink(ctx, a.Node.(fs.Dir), name, target, fs.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	for name, err := range map[string]error{
		"Stat through a link":      second(w.view.Stat(ctx, "a/l")),
		"Open through a link":      second(w.view.Open(ctx, "a/l", fs.OpenRead)),
		"Stat through a folder":    second(w.view.Stat(ctx, "a/d/file")),
		"Replace through a link":   second(w.view.Replace(ctx, "a/l", strings.NewReader("x"), fs.ReplaceOptions{})),
		"Replace through a folder": second(w.view.Replace(ctx, "a/d/x", strings.NewReader("x"), fs.ReplaceOptions{})),
		"Mkdir through a folder":   second(w.view.Mkdir(ctx, "a/d/x", fs.CreateOptions{})),
		"Copy through a link":      w.view.Copy(ctx, "a/l", "a/open/stolen"),
		"Rename through a folder":  w.view.Rename(ctx, "a/d/file", "a/open/stolen"),
		"Remove through a folder":  w.view.Remove(ctx, "a/d/file", false),
		"Copy of the whole":        w.view.Copy(ctx, "a", "a/open/stolen"),
		"Hash through a link":      func() error { _, _, err := w.view.Hash(ctx, "a/l"); return err }(),
	} {
		if err == nil || fs.KindOf(err) != fs.Permission {
			t.Errorf("%s = %v, want Permission", name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestHandleIsDecidedAgainWhenTheEpochMoves(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	w.policy.open.Store(true)
	h, err := w.view.Open(ctx, "a/shut/file", fs.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 6)
	if _, err := h.ReadAt(ctx, buf, 0); err != nil {
		t.Fatal(err)
	}
	w.policy.open.Store(false)
	if _, err := h.ReadAt(ctx, buf, 0); err != nil {
		t.Errorf("the decision was not kept within the epoch: %v", err)
	}
	w.policy.epoch.Add(1)
	if _, err := h.ReadAt(ctx, buf, 0); fs.KindOf(err) != fs.Permission {
		t.Errorf("ReadAt after the right was taken away = %v", err)
	}
	if _, err := h.WriteAt(ctx, buf, 0); fs.KindOf(err) != fs.Permission {
		t.Errorf("WriteAt after the right was taken away = %v", err)
	}
	if err := h.Release(ctx); err != nil {
		t.Errorf("Release was refused: %v", err)
	}
}

func TestPassthroughIsTheOwnersOnly(t *testing.T) {
	w := newWorld(t)
	h, err := w.view.Open(t.Context(), "a/open/file", fs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(t.Context())
	p, ok := fs.As[fs.Passthrougher](h)
	if !ok {
		t.Fatal("handles of a view are no Passthrougher")
	}
	if _, ok := p.PassthroughFd(); ok {
		t.Error("somebody who does not own the drive was given the file's descriptor")
	}
}

func TestStrangersAreUnauthenticated(t *testing.T) {
	err := access.Everyone{}.Allowed(t.Context(), fs.Principal{}, fs.Read, fs.Resource{})
	if fs.KindOf(err) != fs.Unauthenticated {
		t.Errorf("Allowed(nobody) = %v", err)
	}
}

func TestChangesBehindTheWallAreNotSeen(t *testing.T) {
	w := newWorld(t)
	sub := w.view.Subscribe(8)
	defer sub.Close()
	all := access.New(w.t, access.Everyone{}, fs.Principal{ID: "local:root"}, fs.OriginAPI)
	for _, p := range []fs.Path{"a/shut/x", "a/open/x"} {
		if _, err := all.Replace(t.Context(), p, strings.NewReader("x"), fs.ReplaceOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	c := <-sub.C()
	if c.Path != "a/open/x" || c.Cause.Actor != "local:root" || c.Cause.Origin != fs.OriginAPI {
		t.Errorf("saw %+v", c)
	}
}
