package local_test

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestNodeIdentity(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.write("f", "x")
	n := e.node("f")
	ino := n.Ino()
	if e.node("f") != n {
		t.Error("two lookups gave two nodes")
	}
	e.must("Link", os.Link(e.path("f"), e.path("g")))
	if e.node("g") != n {
		t.Error("another name of the file is another node")
	}
	e.stop()
	e.start()
	if got := e.node("f").Ino(); got != ino {
		t.Errorf("Ino() after a restart = %d, want %d", got, ino)
	}
	// The file system gives inode numbers again at once; ours are not.
	seen := map[uint64]bool{ino: true}
	for i := range 200 {
		e.write("h", fmt.Sprint(i))
		got := e.node("h").Ino()
		if seen[got] {
			t.Fatalf("Ino() %d was used before", got)
		}
		seen[got] = true
		e.must("Remove", os.Remove(e.path("h")))
	}
}

func TestHardLinks(t *testing.T) {
	e := newEnv(t, local.Options{})
	root := e.d.Root()
	n := e.replace("a", "text", fs.ReplaceOptions{}).Node
	_, err := root.(fs.Linker).Link(e.ctx, n, "b")
	e.must("Link", err)
	if a := e.attr(n); a.Nlink != 2 {
		t.Errorf("Nlink = %d, want 2", a.Nlink)
	}
	v := e.attr(n).Version
	out := e.replace("a", "other", fs.ReplaceOptions{})
	if out.Node == n || n.Superseded() {
		t.Errorf("Superseded() = %v of a node that has another name", n.Superseded())
	}
	if p, ok := n.Path(); p != "b" || !ok {
		t.Errorf("Path() = %q, %v, want b", p, ok)
	}
	if a := e.attr(n); a.Nlink != 1 || a.Version != v {
		t.Errorf("Attr() = %+v, want Nlink 1 and version %q", a, v)
	}
	if e.node("b") != n {
		t.Error("the other name is another node")
	}
	if got, err := read(e.ctx, n); got != "text" || err != nil {
		t.Errorf("read = %q, %v", got, err)
	}
	if e.id(n) == e.id(out.Node) {
		t.Error("two files share an id")
	}
}

// TestVersionKept makes sure that what moves ctime but not the contents leaves the version, as far as we did it.
func TestVersionKept(t *testing.T) {
	e := newEnv(t, local.Options{StateDir: t.TempDir()})
	e.write("f", "text")
	n := e.node("f")
	v := e.attr(n).Version
	mode := uint32(0o600)
	root := e.d.Root()
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"FileID", func() error { e.id(n); return nil }},
		{"SetAttr", func() error { _, err := n.SetAttr(e.ctx, fs.SetAttr{Mode: &mode}); return err }},
		{"SetXattr", func() error { return n.(fs.Xattrer).SetXattr(e.ctx, "user.x", []byte("1"), false, false) }},
		{"Rename", func() error { return root.Rename(e.ctx, "f", root, "g", 0) }},
		{"Link", func() error { _, err := root.(fs.Linker).Link(e.ctx, n, "h"); return err }},
		{"Remove", func() error { return root.Remove(e.ctx, "h", false) }},
	} {
		e.must(step.name, step.do())
		if got := e.attr(n).Version; got != v {
			t.Errorf("after %s the version is %q, want %q", step.name, got, v)
		}
	}
	e.stop()
	e.start()
	if got := e.attr(e.node("g")).Version; got != v {
		t.Errorf("after a restart the version is %q, want %q", got, v)
	}
	e.replace("g", "more", fs.ReplaceOptions{IfVersion: v})
}

// TestVersionMoves writes as fast as it can, the same number of bytes each time.
func TestVersionMoves(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.write("f", "0000")
	n := e.node("f")
	h := e.open(n, fs.OpenReadWrite)
	seen := map[fs.Version]int{}
	for i := range 2000 {
		_, err := h.WriteAt(e.ctx, fmt.Appendf(nil, "%04d", i), 0)
		e.must("WriteAt", err)
		v := e.attr(n).Version
		if before, ok := seen[v]; ok {
			t.Fatalf("version %q is that of writes %d and %d", v, before, i)
		}
		seen[v] = i
	}
}

func TestFileIDOfCopies(t *testing.T) {
	e := newEnv(t, local.Options{StateDir: t.TempDir()})
	e.write("f", "x")
	id := e.id(e.node("f"))
	if out, err := exec.Command("cp", "--preserve=all", e.path("f"), e.path("copy")).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	buf := make([]byte, 256)
	if _, err := unix.Getxattr(e.path("copy"), "user.jupyter-drive.id", buf); err != nil {
		t.Fatalf("the copy has no xattr: %v", err)
	}
	copied := e.id(e.node("copy"))
	if copied == id {
		t.Error("a copy made outside has the id of its source")
	}
	e.stop()
	e.start()
	if got := e.id(e.node("f")); got != id {
		t.Errorf("FileID() after a restart = %v, want %v", got, id)
	}
	if got := e.id(e.node("copy")); got != copied {
		t.Errorf("FileID() of the copy after a restart = %v, want %v", got, copied)
	}
	names, err := e.node("f").(fs.Xattrer).Xattrs(e.ctx)
	if err != nil || len(names) > 0 {
		t.Errorf("Xattrs() = %q, %v, want none", names, err)
	}
	_, err = e.node("f").(fs.Xattrer).Xattr(e.ctx, "user.jupyter-drive.id")
	e.kind("Xattr of ours", err, fs.NoAttr)
}

// TestFileIDWithoutXattr uses a link, which cannot have user xattrs.
func TestFileIDWithoutXattr(t *testing.T) {
	e := newEnv(t, local.Options{StateDir: t.TempDir()})
	e.must("Symlink", os.Symlink("x", e.path("l")))
	id := e.id(e.node("l"))
	e.must("Rename", e.d.Root().Rename(e.ctx, "l", e.d.Root(), "m", 0))
	if got := e.id(e.node("m")); got != id {
		t.Errorf("FileID() after a rename = %v, want %v", got, id)
	}
	e.stop()
	e.start()
	if got := e.id(e.node("m")); got != id {
		t.Errorf("FileID() after a restart = %v, want %v", got, id)
	}
}

func TestFileIDOutlivesEditors(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.write("f", "old")
	id := e.id(e.node("f"))
	e.swap("f", "new")
	c := e.await(fs.OpReplace, "f")
	if got := e.id(e.node("f")); got != id || c.FileID != id {
		t.Errorf("FileID() = %v, published %v, want %v", got, c.FileID, id)
	}
}

func TestDeepPaths(t *testing.T) {
	e := newEnv(t, local.Options{})
	x := e.d.Root()
	name := strings.Repeat("d", 200)
	for range 50 { // 10 kB, more than twice PATH_MAX
		sub, err := x.Mkdir(e.ctx, name, fs.CreateOptions{Mode: 0o755})
		e.must("Mkdir", err)
		x = sub
	}
	p, _ := x.Path()
	if len(p) < 10_000 {
		t.Fatalf("the path has %d bytes only", len(p))
	}
	out := e.replace(p+"/f", "deep", fs.ReplaceOptions{})
	if got, err := read(e.ctx, out.Node); got != "deep" || err != nil {
		t.Errorf("read = %q, %v", got, err)
	}
	if e.node(p+"/f") != out.Node {
		t.Error("the path leads to another node")
	}
	if got := e.names(x); len(got) != 1 {
		t.Errorf("names = %q", got)
	}
	e.must("Remove", x.Remove(e.ctx, "f", false))
	for {
		p, _ := x.Path()
		if p == "" {
			break
		}
		up := e.d.Root()
		if dir := fs.Path(p).Dir(); dir != "" {
			up = e.node(string(dir)).(fs.Dir)
		}
		e.must("Remove", up.Remove(e.ctx, name, true))
		x = up
	}
}

func TestNamesAreBytes(t *testing.T) {
	e := newEnv(t, local.Options{})
	for _, name := range []string{"\xff\xfe", "a\nb", "é", "e\u0301", " ", "-", "*", ".~jd-", ".~jd-0123456789abcdeg"} {
		e.replace(name, name, fs.ReplaceOptions{})
		if got, err := os.ReadFile(e.path(name)); string(got) != name || err != nil {
			t.Errorf("ReadFile(%q) = %q, %v", name, got, err)
		}
		if got, err := read(e.ctx, e.node(name)); got != name || err != nil {
			t.Errorf("read(%q) = %q, %v", name, got, err)
		}
	}
	if got := len(e.names(e.d.Root())); got != 9 {
		t.Errorf("%d names, want 9", got)
	}
}

func TestRenameOverHardLink(t *testing.T) {
	e := newEnv(t, local.Options{})
	root := e.d.Root()
	target := e.replace("a", "text", fs.ReplaceOptions{}).Node
	id := e.id(target)
	_, err := root.(fs.Linker).Link(e.ctx, target, "b")
	e.must("Link", err)
	source := e.replace("tmp", "new", fs.ReplaceOptions{}).Node
	e.must("Rename", root.Rename(e.ctx, "tmp", root, "a", 0))
	if e.node("a") != source || e.node("b") != target || target.Superseded() {
		t.Errorf("the names have the wrong nodes; superseded: %v", target.Superseded())
	}
	if got := e.id(source); got != id {
		t.Errorf("FileID() of the path = %v, want %v", got, id)
	}
	if got := e.id(target); got == id {
		t.Error("the other name has the id too")
	}
	// Renaming onto another name of the same file does nothing, as POSIX has it.
	_, err = root.(fs.Linker).Link(e.ctx, source, "c")
	e.must("Link", err)
	e.must("Rename", root.Rename(e.ctx, "a", root, "c", 0))
	if e.node("a") != source || e.node("c") != source {
		t.Error("a name has gone")
	}
}
