package local_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

const secret = "SECRET"

// TestEscapeRace opens files 10,000 times while their folder, or they themselves, are swapped for links that lead outside.
func TestEscapeRace(t *testing.T) {
	outside := t.TempDir()
	for _, name := range []string{"f", "d/f"} {
		p := filepath.Join(outside, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(secret), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	e := newEnv(t, local.Options{})
	e.must("Mkdir", os.Mkdir(e.path("d"), 0o755))
	e.write("d/f", "inside")
	e.write("f", "inside")
	e.must("Symlink", os.Symlink(filepath.Join(outside, "d"), e.path("d.other")))
	e.must("Symlink", os.Symlink(filepath.Join(outside, "f"), e.path("f.other")))
	ctx, cancel := context.WithCancel(t.Context())
	swapped := make(chan int)
	go func() { swapped <- swapUntil(ctx, e.path("d"), e.path("f")) }()
	read, opened := 0, 0
	for i := range 10_000 {
		rel := []string{"d/f", "f"}[i%2]
		if readInside(t, e, rel) {
			opened++
		}
		read++
		if i%100 == 0 {
			_, err := e.d.Replace(t.Context(), "d/f", strings.NewReader("inside"), fs.ReplaceOptions{})
			if err == nil {
				opened++
			}
		}
	}
	cancel()
	if n := <-swapped; n < 100 || opened < 100 {
		t.Errorf("%d swaps and %d opens of %d: no race was run", n, opened, read)
	}
	for _, name := range []string{"f", "d/f"} {
		if b, err := os.ReadFile(filepath.Join(outside, name)); string(b) != secret || err != nil {
			t.Errorf("%s outside = %q, %v: it was written", name, b, err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(outside, "d"))
	if err != nil || len(entries) != 1 {
		t.Errorf("outside has %v, %v, want one file", entries, err)
	}
}

// swapUntil exchanges each path with path.other until ctx ends, and returns how often.
func swapUntil(ctx context.Context, paths ...string) (n int) {
	for ctx.Err() == nil {
		for _, p := range paths {
			if unix.Renameat2(unix.AT_FDCWD, p, unix.AT_FDCWD, p+".other", unix.RENAME_EXCHANGE) == nil {
				n++
			}
		}
	}
	return n
}

func readInside(t *testing.T, e *env, rel string) bool {
	t.Helper()
	n, err := e.find(rel)
	if err != nil {
		return false
	}
	got, err := read(e.ctx, n)
	if strings.Contains(got, secret) {
		t.Fatalf("read of %s = %q", rel, got)
	}
	return err == nil
}

func TestLinksAreNotFollowed(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "f"), []byte(secret), 0o644); err != nil {
		t.Fatal(err)
	}
	e := newEnv(t, local.Options{})
	e.must("Symlink", os.Symlink(outside, e.path("dir")))
	e.must("Symlink", os.Symlink(filepath.Join(outside, "f"), e.path("file")))
	e.must("Symlink", os.Symlink("/proc/self/root", e.path("magic")))
	for _, rel := range []string{"dir", "file", "magic"} {
		n := e.node(rel)
		if _, isDir := n.(fs.Dir); isDir {
			t.Errorf("%s is a directory", rel)
		}
		_, err := n.Open(e.ctx, fs.OpenRead)
		if fs.Errno(err) != unix.ELOOP {
			t.Errorf("Open(%s) = %v, want ELOOP", rel, err)
		}
		_, err = e.d.Replace(e.ctx, rel, strings.NewReader("x"), fs.ReplaceOptions{})
		e.kind("Replace "+rel, err, fs.Invalid)
		_, err = e.d.Replace(e.ctx, rel+"/f", strings.NewReader("x"), fs.ReplaceOptions{})
		e.kind("Replace below "+rel, err, fs.NotDir)
		mode := uint32(0o777)
		if _, err := n.SetAttr(e.ctx, fs.SetAttr{Mode: &mode}); err == nil {
			t.Errorf("SetAttr(%s, mode) of a link succeeded", rel)
		}
	}
	for _, rel := range []string{"../f", "..", "dir/../../f", "/etc/passwd", "a//b", "./f", "a\x00b"} {
		_, err := e.d.Replace(e.ctx, rel, strings.NewReader("x"), fs.ReplaceOptions{})
		e.kind("Replace "+rel, err, fs.Name)
		_, err = e.d.Copy(e.ctx, rel, "copy")
		e.kind("Copy "+rel, err, fs.Name)
	}
	_, err := e.d.Root().Lookup(e.ctx, "..")
	if err == nil {
		t.Error("Lookup(..) succeeded")
	}
	if st, err := os.Stat(filepath.Join(outside, "f")); err != nil || st.Mode().Perm() != 0o644 || st.Size() != int64(len(secret)) {
		t.Errorf("the file outside = %v, %v: it was changed", st, err)
	}
}

func TestHide(t *testing.T) {
	root := t.TempDir()
	e := newEnv(t, local.Options{Root: root, Hide: []string{filepath.Join(root, "a/mnt"), t.TempDir()}})
	e.must("MkdirAll", os.MkdirAll(e.path("a/mnt/below"), 0o755))
	a := e.node("a").(fs.Dir)
	mnt, ok := e.node("a/mnt").(fs.Dir)
	if !ok {
		t.Fatal("the hidden folder is no directory")
	}
	if again := e.node("a/mnt"); again != fs.Node(mnt) || again.Ino() != mnt.Ino() {
		t.Error("the hidden folder is another node each time")
	}
	if got := e.names(a); len(got) != 1 || got[0] != "mnt" {
		t.Errorf("names = %q, want mnt", got)
	}
	if got := e.names(mnt); len(got) != 0 {
		t.Errorf("the hidden folder has %q", got)
	}
	if at := e.attr(mnt); at.Type() != fs.Directory || at.Ino != mnt.Ino() {
		t.Errorf("Attr() = %+v", at)
	}
	_, err := e.find("a/mnt/below")
	e.kind("Lookup below", err, fs.NotExist)
	_, err = e.d.Replace(e.ctx, "a/mnt/f", strings.NewReader("x"), fs.ReplaceOptions{})
	e.kind("Replace below", err, fs.NotPermitted)
	e.kind("Rename", a.Rename(e.ctx, "mnt", a, "other", 0), fs.Busy)
	e.kind("Rename of the parent", e.d.Root().Rename(e.ctx, "a", e.d.Root(), "b", 0), fs.Busy)
	e.kind("Remove", a.Remove(e.ctx, "mnt", true), fs.Busy)
}
