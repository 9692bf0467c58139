package local

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
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
	for deadline := time.Now().Add(20 * time.Second); d.nodeCount() > 10; {
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
