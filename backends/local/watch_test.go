package local_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestOutsideChanges(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(e *env)
		want fs.Op
		path fs.Path
		same bool // the node stays
		gone bool // the old node is superseded
	}{
		{"append", func(e *env) { appendTo(e, "f", "more") }, fs.OpWrite, "f", true, false},
		{"truncate and write", func(e *env) { e.write("f", "other") }, fs.OpWrite, "f", true, false},
		{"chmod", func(e *env) { e.must("Chmod", os.Chmod(e.path("f"), 0o600)) }, fs.OpAttr, "f", true, false},
		{"rename over", func(e *env) { e.swap("f", "new") }, fs.OpReplace, "f", false, true},
		{"delete and create", func(e *env) {
			e.must("Remove", os.Remove(e.path("f")))
			e.write("f", "new")
		}, fs.OpReplace, "f", false, true},
		{"vim", func(e *env) {
			e.must("Rename", os.Rename(e.path("f"), e.path("f~")))
			e.write("f", "new")
			e.must("Remove", os.Remove(e.path("f~")))
		}, fs.OpReplace, "f", false, true},
		{"new file", func(e *env) { e.write("n", "new") }, fs.OpCreate, "n", false, false},
		{"new folder", func(e *env) { e.must("Mkdir", os.Mkdir(e.path("n"), 0o755)) }, fs.OpCreate, "n", false, false},
		{"in a folder", func(e *env) { e.write("d/g", "longer text") }, fs.OpWrite, "d/g", true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			e := newEnv(t, local.Options{})
			e.write("f", "old")
			e.must("Mkdir", os.Mkdir(e.path("d"), 0o755))
			e.write("d/g", "old")
			old, _ := e.find(string(c.path))
			c.do(e)
			got := e.await(c.want, c.path)
			now := e.node(string(c.path))
			if got.Node != now {
				t.Errorf("Node = %v, want %v", got.Node, now)
			}
			if c.same != (now == old) {
				t.Errorf("the node is the same: %v, want %v", now == old, c.same)
			}
			if c.gone && (got.Old != old || !old.Superseded()) {
				t.Errorf("Old = %v, want %v, superseded", got.Old, old)
			}
			if a := e.attr(now); got.Version != a.Version {
				t.Errorf("Version = %q, want %q", got.Version, a.Version)
			}
			e.settle()
			for _, again := range e.feed.outside() {
				if again.Path == c.path && again.Seq != got.Seq {
					t.Errorf("also published %s", describe([]fs.Change{again}))
				}
			}
		})
	}
}

func appendTo(e *env, rel, data string) {
	e.t.Helper()
	f, err := os.OpenFile(e.path(rel), os.O_APPEND|os.O_WRONLY, 0)
	e.must("OpenFile", err)
	_, err = f.WriteString(data)
	e.must("Write", err)
	e.must("Close", f.Close())
}

func TestOutsideRemovals(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.write("f", "x")
	e.must("MkdirAll", os.MkdirAll(e.path("d/sub"), 0o755))
	e.write("d/sub/g", "x")
	f, sub := e.node("f"), e.node("d/sub")
	e.node("d/sub/g")
	e.must("Remove", os.Remove(e.path("f")))
	if c := e.await(fs.OpRemove, "f"); c.Old != f {
		t.Errorf("Old = %v, want %v", c.Old, f)
	}
	e.must("RemoveAll", os.RemoveAll(e.path("d")))
	e.await(fs.OpRemove, "d")
	if _, ok := sub.Path(); ok {
		t.Error("Path() of a folder below a removed one says that it has a name")
	}
	_, err := sub.(fs.Dir).Lookup(e.ctx, "g")
	if k := fs.KindOf(err); err == nil || k != fs.NotExist && k != fs.Stale {
		t.Errorf("Lookup() in a removed folder = %v", err)
	}
}

func TestOutsideRename(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.must("Mkdir", os.Mkdir(e.path("d"), 0o755))
	e.write("d/f", "x")
	d, f := e.node("d"), e.node("d/f")
	e.must("Rename", os.Rename(e.path("d"), e.path("moved")))
	if c := e.await(fs.OpRename, "moved"); c.OldPath != "d" || c.Node != d {
		t.Errorf("published from %q with node %v, want d and %v", c.OldPath, c.Node, d)
	}
	if p, ok := f.Path(); p != "moved/f" || !ok {
		t.Errorf("Path() = %q, %v, want moved/f", p, ok)
	}
	if got, err := read(e.ctx, f); got != "x" || err != nil {
		t.Errorf("read = %q, %v", got, err)
	}
	// The watch of the folder goes on.
	e.write("moved/f", "longer")
	if c := e.await(fs.OpWrite, "moved/f"); c.Node != f {
		t.Errorf("Node = %v, want %v", c.Node, f)
	}
}

func TestOutsideCheckout(t *testing.T) {
	e := newEnv(t, local.Options{})
	const n = 300
	old := make([]fs.Node, n)
	for i := range n {
		e.write(fmt.Sprint("f", i), "old")
		old[i] = e.node(fmt.Sprint("f", i))
	}
	for i := range n {
		e.must("Remove", os.Remove(e.path(fmt.Sprint("f", i))))
		e.write(fmt.Sprint("f", i), "checked out")
	}
	for i := range n {
		if c := e.await(fs.OpReplace, fs.Path(fmt.Sprint("f", i))); c.Old != old[i] || !old[i].Superseded() {
			t.Fatalf("f%d: Old = %v, superseded %v, want %v", i, c.Old, old[i].Superseded(), old[i])
		}
	}
}

func TestOwnChangesAreNotOutside(t *testing.T) {
	e := newEnv(t, local.Options{})
	root := e.d.Root()
	for i := range 50 {
		name := fmt.Sprint("f", i)
		n, h, err := root.Create(e.ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite})
		e.must("Create", err)
		for j := range 20 {
			_, err = h.WriteAt(e.ctx, []byte(strings.Repeat("x", j)), 0)
			e.must("WriteAt", err)
		}
		e.must("Flush", h.Flush(e.ctx))
		e.must("Release", h.Release(e.ctx))
		e.id(n)
		mode := uint32(0o600)
		_, err = n.SetAttr(e.ctx, fs.SetAttr{Mode: &mode})
		e.must("SetAttr", err)
		e.replace(name, name, fs.ReplaceOptions{})
		_, err = root.(fs.Linker).Link(e.ctx, e.node(name), "link-"+name)
		e.must("Link", err)
		e.must("Rename", root.Rename(e.ctx, name, root, "moved-"+name, 0))
		e.must("Remove", root.Remove(e.ctx, "moved-"+name, false))
	}
	d, err := root.Mkdir(e.ctx, "d", fs.CreateOptions{Mode: 0o755})
	e.must("Mkdir", err)
	e.replace("d/f", "x", fs.ReplaceOptions{})
	e.must("Rename", root.Rename(e.ctx, "d", root, "d2", 0))
	e.must("Remove", d.Remove(e.ctx, "f", false))
	e.must("Remove", root.Remove(e.ctx, "d2", true))
	e.settle()
	for _, c := range e.feed.outside() {
		if !strings.HasPrefix(string(c.Path), "settle-") {
			t.Errorf("published as by others: %s", describe([]fs.Change{c}))
		}
	}
}

func TestPassthroughWrites(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.write("f", "old")
	n := e.node("f")
	v := e.attr(n).Version
	h, err := n.Open(e.ctx, fs.OpenReadWrite)
	e.must("Open", err)
	fd, ok := h.(fs.Passthrougher).PassthroughFd()
	if !ok {
		t.Fatal("PassthroughFd() = false")
	}
	f := os.NewFile(uintptr(dup(t, fd)), "f")
	_, err = f.WriteAt([]byte("by the kernel"), 0)
	e.must("WriteAt", err)
	e.must("Close", f.Close())
	e.must("Flush", h.Flush(e.ctx))
	changes := e.feed.all()
	if len(changes) != 1 || changes[0].Op != fs.OpWrite || changes[0].Version == v {
		t.Errorf("after Flush: %s", describe(changes))
	}
	e.must("Release", h.Release(e.ctx))
	e.settle()
	for _, c := range e.feed.outside() {
		if c.Path == "f" {
			t.Errorf("published as by others: %s", describe([]fs.Change{c}))
		}
	}
}

// TestPassthroughWriteBeforeTimes sets times after the kernel has written by itself: both are told.
func TestPassthroughWriteBeforeTimes(t *testing.T) {
	for name, set := range map[string]func(e *env, n fs.Node, h fs.Handle) error{
		"by the handle": func(e *env, _ fs.Node, h fs.Handle) error {
			old := time.Now().Add(-time.Hour)
			_, err := h.SetAttr(e.ctx, fs.SetAttr{Mtime: &old})
			return err
		},
		"by the name": func(e *env, n fs.Node, _ fs.Handle) error {
			old := time.Now().Add(-time.Hour)
			_, err := n.SetAttr(e.ctx, fs.SetAttr{Mtime: &old})
			return err
		},
		"an attribute": func(e *env, n fs.Node, _ fs.Handle) error {
			return n.(fs.Xattrer).SetXattr(e.ctx, "user.x", []byte("y"), false, false)
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := newEnv(t, local.Options{NoWatch: true})
			e.write("f", "old")
			n := e.node("f")
			v := e.attr(n).Version
			h := e.open(n, fs.OpenReadWrite)
			fd, _ := h.(fs.Passthrougher).PassthroughFd()
			f := os.NewFile(uintptr(dup(t, fd)), "f")
			_, err := f.WriteAt([]byte("new"), 0)
			e.must("WriteAt", err)
			e.must("Close", f.Close())
			e.must("set", set(e, n, h))
			e.must("Flush", h.Flush(e.ctx))
			wrote := slices.ContainsFunc(e.feed.all(), func(c fs.Change) bool { return c.Op == fs.OpWrite && c.Version != v })
			if !wrote {
				t.Errorf("told %s, want a write with another version", describe(e.feed.all()))
			}
		})
	}
}

func TestLostNotices(t *testing.T) {
	e := newEnv(t, local.Options{MaxPending: 4})
	for i := range 40 {
		e.write(fmt.Sprint("f", i), "old")
	}
	e.await(fs.OpLost, "")
	old := make([]fs.Node, 40)
	for i := range old {
		old[i] = e.node(fmt.Sprint("f", i))
	}
	for i := range old {
		e.swap(fmt.Sprint("f", i), "new")
	}
	for i, n := range old {
		if c := e.await(fs.OpReplace, fs.Path(fmt.Sprint("f", i))); c.Old != n || !n.Superseded() {
			t.Errorf("f%d: Old = %v, want %v", i, c.Old, n)
		}
	}
}

// TestWatchesMoveOn looks at more folders than can be watched: the last ones are, and one that was not is compared when somebody
// looks again.
func TestWatchesMoveOn(t *testing.T) {
	e := newEnv(t, local.Options{MaxWatches: 3})
	for _, d := range []string{"a", "b", "c"} {
		e.must("Mkdir", os.Mkdir(e.path(d), 0o755))
		e.write(d+"/f", "old")
		e.node(d + "/f")
	}
	a, c := e.node("a").(fs.Dir), e.node("c/f")
	// c was looked at last: a notice comes.
	e.write("c/f", "longer")
	if got := e.await(fs.OpWrite, "c/f"); got.Node != c {
		t.Errorf("Node = %v, want %v", got.Node, c)
	}
	// a is not watched any more. Looking at it finds what happened to all that was known.
	e.write("a/f", "longer")
	_, err := a.Lookup(e.ctx, "missing")
	e.kind("Lookup", err, fs.NotExist)
	e.await(fs.OpWrite, "a/f")
	e.write("a/f", "much longer")
	e.awaitLater(fs.OpWrite, "a/f", 1)
}

func TestWatchLimit(t *testing.T) {
	e := newEnv(t, local.Options{MaxWatches: 1})
	e.must("Mkdir", os.Mkdir(e.path("d"), 0o755))
	e.write("d/f", "old")
	old := e.node("d/f")
	w := e.d.Warnings()
	if len(w) != 1 || w[0].Code != "watch-limit" {
		t.Errorf("Warnings() = %v, want watch-limit", w)
	}
	// Without a watch the change is found by looking.
	e.swap("d/f", "new")
	if now := e.node("d/f"); now == old || !old.Superseded() {
		t.Errorf("the node is the same: %v, superseded: %v", now == old, old.Superseded())
	}
	e.await(fs.OpReplace, "d/f")
}

// TestStaleNode asks a node after its name has gone to another file, before anybody else could notice.
func TestStaleNode(t *testing.T) {
	e := newEnv(t, local.Options{NoWatch: true})
	e.write("f", "old")
	n := e.node("f")
	h := e.open(n, fs.OpenRead)
	e.swap("f", "new")
	_, err := n.Attr(e.ctx)
	if err != nil {
		e.kind("Attr", err, fs.Stale)
	}
	if !n.Superseded() {
		t.Error("Superseded() = false")
	}
	// From then on it is an unlinked file that somebody has open.
	if got, err := read(e.ctx, n); got != "old" || err != nil {
		t.Errorf("read by the node = %q, %v, want old", got, err)
	}
	if got, err := readHandle(e.ctx, h); got != "old" || err != nil {
		t.Errorf("read by the handle = %q, %v, want old", got, err)
	}
	if a := e.attr(n); a.Nlink != 0 {
		t.Errorf("Nlink = %d, want 0", a.Nlink)
	}
	if got, err := read(e.ctx, e.node("f")); got != "new" || err != nil {
		t.Errorf("read of the name = %q, %v, want new", got, err)
	}
}
