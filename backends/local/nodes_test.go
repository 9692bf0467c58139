package local

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestNodesAreCollected makes sure that neither the table nor a directory keeps a node that nobody has.
func TestNodesAreCollected(t *testing.T) {
	root := t.TempDir()
	d, err := Open(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close(t.Context()) //nolint:errcheck // nothing was written
	for i := range 1000 {
		name := fmt.Sprint(i)
		if err := os.WriteFile(filepath.Join(root, name), nil, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := d.Root().Lookup(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	kept, err := d.Root().Lookup(t.Context(), "7")
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); d.nodeCount() > 10; {
		if time.Now().After(deadline) {
			t.Fatalf("%d nodes are kept", d.nodeCount())
		}
		runtime.GC()
		runtime.Gosched()
	}
	if again, err := d.Root().Lookup(t.Context(), "7"); again != kept || err != nil {
		t.Errorf("Lookup of a node that is in use = %v, %v, want %v", again, err, kept)
	}
}

func (d *Drive) nodeCount() int {
	d.names.mu.RLock()
	defer d.names.mu.RUnlock()
	return len(d.names.nodes)
}

// TestClosed uses a node after its drive was closed: it must fail, and reach nothing by the number of the descriptor.
func TestClosed(t *testing.T) {
	root, other := t.TempDir(), t.TempDir()
	for _, dir := range []string{root, other} {
		if err := os.WriteFile(filepath.Join(dir, "f"), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	d, err := Open(t.Context(), Options{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	top, fd := d.Root(), d.rootFd
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		f, err := os.Open(other)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if int(f.Fd()) == fd {
			t.Fatal("the descriptor's number was given to another folder")
		}
	}
	if _, err := top.Lookup(t.Context(), "f"); err == nil || fs.KindOf(err) != fs.Unavailable {
		t.Errorf("Lookup after Close = %v, want kind %q", err, fs.Unavailable)
	}
}

// TestLinger opens files just after their last name was taken, as a call does that has looked them up before.
func TestLinger(t *testing.T) {
	d, err := Open(t.Context(), Options{Root: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	root := d.Root()
	put := func(name string) fs.Node {
		t.Helper()
		r, err := d.Replace(t.Context(), name, strings.NewReader(name), fs.ReplaceOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return r.Node
	}
	for name, take := range map[string]func(name string) error{
		"removed": func(name string) error { return root.Remove(t.Context(), name, false) },
		"renamed": func(name string) error { put("other"); return root.Rename(t.Context(), "other", root, name, 0) },
		"replaced": func(name string) error {
			_, err := d.Replace(t.Context(), name, strings.NewReader("new"), fs.ReplaceOptions{})
			return err
		},
	} {
		n := put(name)
		if err := take(name); err != nil {
			t.Fatal(err)
		}
		h, err := n.Open(t.Context(), fs.OpenRead)
		if err != nil {
			t.Errorf("Open of a file that was just %s = %v", name, err)
			continue
		}
		buf := make([]byte, 100)
		if got, err := h.ReadAt(t.Context(), buf, 0); string(buf[:got]) != name || !errors.Is(err, io.EOF) {
			t.Errorf("read = %q, %v, want %q", buf[:got], err, name)
		}
		if err := h.Release(t.Context()); err != nil {
			t.Error(err)
		}
	}
	for i := range 2 * maxLinger {
		n := put(fmt.Sprint(i))
		if err := root.Remove(t.Context(), fmt.Sprint(i), false); err != nil {
			t.Fatal(err)
		}
		runtime.KeepAlive(n)
	}
	d.lingering.mu.Lock()
	got := len(d.lingering.timers)
	d.lingering.mu.Unlock()
	if got > maxLinger {
		t.Errorf("%d files linger, want at most %d", got, maxLinger)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}
