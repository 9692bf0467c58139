package tree_test

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

// newTree returns a tree with the drives "a" and "b".
func newTree(t *testing.T, o tree.Options) *tree.Tree {
	t.Helper()
	tr, err := tree.New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := tr.Add(name, mem.New(mem.Options{})); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() {
		if err := tr.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return tr
}

func put(t *testing.T, tr *tree.Tree, p fs.Path, text string) fs.Replaced {
	t.Helper()
	r, err := tr.Replace(t.Context(), p, strings.NewReader(text), fs.ReplaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func mkdir(t *testing.T, tr *tree.Tree, p fs.Path) {
	t.Helper()
	if _, err := tr.MkdirPath(t.Context(), p, fs.CreateOptions{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
}

func symlink(t *testing.T, tr *tree.Tree, dir fs.Path, name, target string) {
	t.Helper()
	n, _, err := tr.Resolve(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.Symlink(t.Context(), n.(fs.Dir), name, target, fs.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func get(t *testing.T, tr *tree.Tree, p fs.Path) string {
	t.Helper()
	n, _, err := tr.Resolve(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	h, err := tr.Open(t.Context(), n, fs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer h.Release(t.Context())
	buf := make([]byte, 1<<16)
	size, err := h.ReadAt(t.Context(), buf, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	return string(buf[:size])
}

// wantKind fails the test unless err is of that kind.
func wantKind(t *testing.T, what string, err error, kind fs.Kind) {
	t.Helper()
	if err == nil || fs.KindOf(err) != kind {
		t.Errorf("%s = %v, want an error of kind %v", what, err, kind)
	}
}

func TestRootHoldsOnlyDrives(t *testing.T) {
	tr := newTree(t, tree.Options{})
	root, ctx := tr.Root(), t.Context()
	l, err := tr.List(ctx, root)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for e, err := range fs.Entries(ctx, l) {
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, e.Name)
	}
	if want := []string{"a", "b"}; !slices.Equal(names, want) {
		t.Errorf("root lists %q, want %q", names, want)
	}
	_, _, err = tr.Create(ctx, root, "x", fs.CreateOptions{})
	wantKind(t, "Create in the root", err, fs.NotPermitted)
	_, err = tr.Mkdir(ctx, root, "x", fs.CreateOptions{})
	wantKind(t, "Mkdir in the root", err, fs.NotPermitted)
	wantKind(t, "Unlink of a drive", tr.Unlink(ctx, root, "a", true), fs.NotPermitted)
	wantKind(t, "Move of a drive", tr.Move(ctx, root, "a", root, "c", 0), fs.NotPermitted)
	_, err = tr.Replace(ctx, "x", strings.NewReader(""), fs.ReplaceOptions{})
	if k := fs.KindOf(err); k != fs.NotExist && k != fs.NotPermitted {
		t.Errorf("Replace in the root = %v", err)
	}
	_, err = tr.Replace(ctx, "a", strings.NewReader(""), fs.ReplaceOptions{})
	wantKind(t, "Replace of a drive", err, fs.NotPermitted)
	wantKind(t, "RemovePath of a drive", tr.RemovePath(ctx, "a", true), fs.NotPermitted)
	wantKind(t, "RenamePath of a drive", tr.RenamePath(ctx, "a", "b/a"), fs.NotPermitted)
}

func TestRootOption(t *testing.T) {
	tr := newTree(t, tree.Options{Root: "b"})
	put(t, tr, "x", "1")
	if p, ok := tr.Path(tr.Root()); p != "" || !ok {
		t.Errorf("Path(Root) = %q, %v", p, ok)
	}
	d, err := tr.Drive("b")
	if err != nil {
		t.Fatal(err)
	}
	n, err := d.Root().Lookup(t.Context(), "x")
	if err != nil {
		t.Fatal(err)
	}
	if p, _ := tr.Path(n); p != "x" {
		t.Errorf("Path = %q, want x", p)
	}
}

func TestReservedFolderIsHidden(t *testing.T) {
	tr := newTree(t, tree.Options{})
	ctx := t.Context()
	d, err := tr.Drive("a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Root().Lookup(ctx, fs.ReservedName); err != nil {
		r, ok := fs.As[fs.Reserver](d)
		if !ok {
			t.Fatal("mem has no reserved store")
		}
		if _, err := r.Reserved().Put(ctx, "x", []byte("y"), fs.Cond{}); err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range []fs.Path{"a/.jupyter-drive", "a/.jupyter-drive/x"} {
		_, _, err := tr.Resolve(ctx, p)
		wantKind(t, "Resolve "+string(p), err, fs.NotExist)
		if _, err := tr.Replace(ctx, p, strings.NewReader(""), fs.ReplaceOptions{}); err == nil {
			t.Errorf("Replace %s succeeded", p)
		}
		if tr.RenamePath(ctx, p, "a/y") == nil {
			t.Errorf("RenamePath %s succeeded", p)
		}
	}
	_, err = tr.MkdirPath(ctx, "a/.jupyter-drive", fs.CreateOptions{})
	if err == nil {
		t.Error("MkdirPath of the reserved name succeeded")
	}
	mkdir(t, tr, "a/sub")
	mkdir(t, tr, "a/sub/.jupyter-drive") // only the top of a drive is special
}

func TestLinksAreFollowedInsideTheDriveOnly(t *testing.T) {
	tr := newTree(t, tree.Options{})
	mkdir(t, tr, "a/dir")
	put(t, tr, "a/dir/file", "inside")
	put(t, tr, "b/secret", "other drive")
	for name, target := range map[string]string{
		"file": "dir/file", "dots": "dir/../dir/./file", "link2": "file", "loop": "loop", "up": "../b/secret",
		"abs": "/etc/passwd", "toDir": "dir", "dangling": "none", "out": "dir/../../b/secret",
	} {
		symlink(t, tr, "a", name, target)
	}
	for _, tt := range []struct {
		path, real fs.Path
		kind       fs.Kind
	}{
		{path: "a/file", real: "a/dir/file"},
		{path: "a/dots", real: "a/dir/file"},
		{path: "a/link2", real: "a/dir/file"},
		{path: "a/toDir/file", real: "a/dir/file"},
		{path: "a/loop", kind: fs.Invalid},
		{path: "a/up", kind: fs.Permission},
		{path: "a/out", kind: fs.Permission},
		{path: "a/abs", kind: fs.Permission},
		{path: "a/abs/x", kind: fs.Permission},
		{path: "a/dangling", kind: fs.NotExist},
		{path: "a/dir/file/x", kind: fs.NotDir},
		{path: "a/none/x", kind: fs.NotExist},
		{path: "c/x", kind: fs.NotExist},
	} {
		_, real, err := tr.Resolve(t.Context(), tt.path)
		if tt.real == "" {
			wantKind(t, "Resolve "+string(tt.path), err, tt.kind)
		} else if err != nil || real != tt.real {
			t.Errorf("Resolve(%s) = %q, %v; want %q", tt.path, real, err, tt.real)
		}
	}
	if _, _, err := tr.Resolve(t.Context(), "a/loop"); fs.Errno(err) != syscall.ELOOP {
		t.Errorf("errno of a loop = %v, want ELOOP", fs.Errno(err))
	}
	put(t, tr, "a/file", "through the link")
	if got := get(t, tr, "a/dir/file"); got != "through the link" {
		t.Errorf("a save through a link went elsewhere: %q", got)
	}
	put(t, tr, "a/dangling", "made")
	if got := get(t, tr, "a/none"); got != "made" {
		t.Errorf("a save through a dangling link = %q", got)
	}
	if err := tr.RemovePath(t.Context(), "a/file", false); err != nil {
		t.Fatal(err)
	}
	if got := get(t, tr, "a/dir/file"); got == "" {
		t.Error("removing a link removed its target")
	}
}

func TestRenameAndCopyBetweenDrives(t *testing.T) {
	tr := newTree(t, tree.Options{})
	ctx := t.Context()
	mkdir(t, tr, "a/d")
	mkdir(t, tr, "a/d/e")
	put(t, tr, "a/d/e/f", "deep")
	symlink(t, tr, "a/d", "l", "e/f")
	if err := tr.CopyPath(ctx, "a/d", "b/copy"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, tr, "b/copy/l"); got != "deep" {
		t.Errorf("copied link leads to %q", got)
	}
	if err := tr.RenamePath(ctx, "a/d", "b/moved"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, tr, "b/moved/e/f"); got != "deep" {
		t.Errorf("moved file = %q", got)
	}
	_, _, err := tr.Resolve(ctx, "a/d")
	wantKind(t, "the source after a move", err, fs.NotExist)
	wantKind(t, "a rename onto a file", tr.RenamePath(ctx, "b/moved", "b/copy"), fs.Exist)
	wantKind(t, "a copy into itself", tr.CopyPath(ctx, "b/copy", "b/copy/e/x"), fs.Invalid)
	a, b := mustDir(t, tr, "a"), mustDir(t, tr, "b")
	wantKind(t, "Move between drives", tr.Move(ctx, b, "moved", a, "x", 0), fs.CrossDrive)
	n, _, err := tr.Resolve(ctx, "b/moved/e/f")
	if err != nil {
		t.Fatal(err)
	}
	_, err = tr.Link(ctx, n, a, "x")
	wantKind(t, "Link between drives", err, fs.CrossDrive)
	if err := tr.RemovePath(ctx, "b/moved", true); err != nil {
		t.Fatal(err)
	}
	wantKind(t, "remove of a full folder", tr.RemovePath(ctx, "b/copy", false), fs.NotEmpty)
}

func mustDir(t *testing.T, tr *tree.Tree, p fs.Path) fs.Dir {
	t.Helper()
	n, _, err := tr.Resolve(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return n.(fs.Dir)
}

func TestHashIsOfTheVersion(t *testing.T) {
	tr := newTree(t, tree.Options{})
	seen := map[tree.Sum]bool{}
	for _, text := range []string{"one", "two", "", strings.Repeat("x", 1<<20)} {
		r := put(t, tr, "a/f", text)
		for range 2 {
			sum, at, err := tr.Hash(t.Context(), r.Node)
			if err != nil || at != r.Attr.Version {
				t.Fatalf("Hash = %q, %v; want version %q", at, err, r.Attr.Version)
			}
			seen[sum] = true
		}
	}
	if len(seen) != 4 {
		t.Errorf("%d different sums of 4 contents", len(seen))
	}
}

func TestFailedSaveChangesNothing(t *testing.T) {
	tr := newTree(t, tree.Options{})
	put(t, tr, "a/f", "old")
	broken := io.MultiReader(strings.NewReader("half of the new"), iotest.ErrReader(errors.New("the browser went away")))
	if _, err := tr.Replace(t.Context(), "a/f", broken, fs.ReplaceOptions{}); err == nil {
		t.Fatal("a broken save succeeded")
	}
	if got := get(t, tr, "a/f"); got != "old" {
		t.Errorf("after a broken save the file is %q", got)
	}
}

// slowKernel is an observer that is done when told.
type slowKernel struct {
	changes []fs.Change
	done    chan struct{}
}

func (s *slowKernel) Observe(c fs.Change) <-chan struct{} {
	s.changes = append(s.changes, c)
	return s.done
}

func TestMutationsWaitForObservers(t *testing.T) {
	tr := newTree(t, tree.Options{})
	k := &slowKernel{done: make(chan struct{})}
	defer tr.Observe(k)()
	start := time.Now()
	put(t, tr, "a/f", "x")
	if took := time.Since(start); took < tree.ObserverWait {
		t.Errorf("a save returned after %v although an observer was not done", took)
	}
	close(k.done)
	if len(k.changes) != 1 || k.changes[0].Path != "a/f" {
		t.Errorf("the observer saw %+v", k.changes)
	}
	k.done = make(chan struct{})
	defer close(k.done)
	ctx := fs.WithCause(t.Context(), fs.Cause{Origin: fs.OriginMount})
	start = time.Now()
	if _, err := tr.Replace(ctx, "a/f", strings.NewReader("y"), fs.ReplaceOptions{}); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(start); took >= tree.ObserverWait {
		t.Errorf("an operation inside the mount waited %v for the mount", took)
	}
}

func TestSubscriptionOverflowSaysLost(t *testing.T) {
	tr := newTree(t, tree.Options{})
	sub := tr.Subscribe(2, func(c fs.Change) (fs.Change, bool) { return c, c.Path.Within("a") })
	put(t, tr, "b/x", "not wanted")
	for _, name := range []fs.Path{"a/1", "a/2", "a/3"} {
		put(t, tr, name, "x")
	}
	first, second := <-sub.C(), <-sub.C()
	if first.Path != "a/1" || second.Path != "a/2" || second.Seq <= first.Seq {
		t.Errorf("got %v %v", first, second)
	}
	if c := <-sub.C(); c.Op != fs.OpLost {
		t.Errorf("after an overflow came %+v, want OpLost", c)
	}
	put(t, tr, "a/4", "x")
	if c := <-sub.C(); c.Path != "a/4" {
		t.Errorf("after OpLost came %+v", c)
	}
	for _, name := range []fs.Path{"a/5", "a/6", "a/7", "a/8"} { // the notice stands for 7 and 8
		put(t, tr, name, "x")
	}
	if c := <-sub.C(); c.Path != "a/5" {
		t.Errorf("after another overflow came %+v", c)
	}
	for _, name := range []fs.Path{"a/9", "a/10"} { // there is a place, but only for a notice, which is there already
		put(t, tr, name, "x")
	}
	if first, second := <-sub.C(), <-sub.C(); first.Path != "a/6" || second.Op != fs.OpLost {
		t.Errorf("then came %+v %+v, want a/6 and one OpLost", first, second)
	}
	put(t, tr, "a/11", "x")
	if c := <-sub.C(); c.Path != "a/11" {
		t.Errorf("after the second OpLost came %+v", c)
	}
	sub.Close()
	sub.Close()
	if _, open := <-sub.C(); open {
		t.Error("the channel of a closed subscription is open")
	}
}

// sidecars is a Companion: every file f goes along with .side/f.
type sidecars struct{}

func (sidecars) Paths(from, to fs.Path) [][2]fs.Path {
	return [][2]fs.Path{{from.Dir().Join(".side").Join(from.Base()), to.Dir().Join(".side").Join(to.Base())}}
}

func TestCompanionsGoAlong(t *testing.T) {
	tr := newTree(t, tree.Options{Companion: sidecars{}})
	ctx := t.Context()
	mkdir(t, tr, "a/.side")
	mkdir(t, tr, "a/sub")
	put(t, tr, "a/doc", "text")
	put(t, tr, "a/.side/doc", "comments")
	if err := tr.CopyPath(ctx, "a/doc", "a/copy"); err != nil {
		t.Fatal(err)
	}
	if got := get(t, tr, "a/.side/copy"); got != "comments" {
		t.Errorf("companion of the copy = %q", got)
	}
	if err := tr.Move(ctx, mustDir(t, tr, "a"), "doc", mustDir(t, tr, "a/sub"), "new", 0); err != nil {
		t.Fatal(err)
	}
	if got := get(t, tr, "a/sub/.side/new"); got != "comments" {
		t.Errorf("companion of the moved = %q", got)
	}
	_, _, err := tr.Resolve(ctx, "a/.side/doc")
	wantKind(t, "the old companion", err, fs.NotExist)
}

func TestDrivesThatComeAndGoAreAnnounced(t *testing.T) {
	tr := newTree(t, tree.Options{})
	sub := tr.Subscribe(4, nil)
	defer sub.Close()
	if err := tr.Add("c", mem.New(mem.Options{})); err != nil {
		t.Fatal(err)
	}
	if err := tr.Remove(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	for _, want := range []fs.Op{fs.OpCreate, fs.OpRemove} {
		if c := <-sub.C(); c.Op != want || c.Path != "c" {
			t.Errorf("announced %v %q, want %v \"c\"", c.Op, c.Path, want)
		}
	}
}

func TestAddRefusesDoubles(t *testing.T) {
	tr := newTree(t, tree.Options{})
	wantKind(t, "Add of a name twice", tr.Add("a", mem.New(mem.Options{})), fs.Exist)
	d, err := tr.Drive("a")
	if err != nil {
		t.Fatal(err)
	}
	wantKind(t, "Add of a drive twice", tr.Add("c", d), fs.Exist)
	wantKind(t, "Add of a bad name", tr.Add("A", mem.New(mem.Options{})), fs.Name)
	if err := tr.Remove(t.Context(), "a"); err != nil {
		t.Fatal(err)
	}
	_, _, err = tr.Resolve(t.Context(), "a/x")
	wantKind(t, "Resolve in a removed drive", err, fs.NotExist)
}
