package blockcache

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestRoomAgain fills the disk of a cache to its last byte and makes room again: a second later the cache takes what it is given.
func TestRoomAgain(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=8m"); err != nil {
		if os.Geteuid() == 0 {
			t.Fatalf("root cannot mount a disk of its own: %v", err)
		}
		t.Skipf("a disk of one's own takes root: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		c, err := Open(filepath.Join(dir, "cache"), Options{Limit: 64 << 20, MinFree: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		filler := filepath.Join(dir, "filler")
		fill(t, filler)
		f, err := c.Open(key("f"), 4*Unit)
		if err != nil {
			t.Fatal(err)
		}
		for range 3 {
			if err := f.WriteAt(pattern(1, 0, Unit), 0); fs.KindOf(err) != fs.NoSpace {
				t.Errorf("WriteAt() on a full disk = %v", err)
			}
			time.Sleep(refusedFor / 2)
		}
		if err := os.Remove(filler); err != nil {
			t.Fatal(err)
		}
		time.Sleep(refusedFor)
		if err := f.WriteAt(pattern(1, 0, Unit), 0); err != nil {
			t.Errorf("WriteAt() with room again = %v", err)
		}
		if err := errors.Join(f.Close(), c.Close()); err != nil {
			t.Error(err)
		}
	})
}

// fill writes a file until there is no room.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := 1 << 20; size > 0; {
		n, err := f.Write(make([]byte, size))
		if err != nil && !errors.Is(err, unix.ENOSPC) {
			t.Fatal(err)
		}
		if n < size {
			size /= 2
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
