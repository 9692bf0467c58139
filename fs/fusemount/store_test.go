package fusemount

import (
	"os"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
)

// storeDrive returns a drive over an object store.
func storeDrive(t *testing.T, o drive.Options) *drive.Drive {
	t.Helper()
	cache, err := blockcache.Open(t.TempDir(), blockcache.Options{Limit: 256 << 20, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	pool := fetch.NewPool(fetch.Options{})
	o.ID, o.State, o.Cache, o.Pool = fs.NewDriveID(), t.TempDir(), cache, pool
	if o.Backend == nil {
		o.Backend = mem.NewBackend(mem.BackendOptions{})
	}
	o.UID, o.GID = uint32(os.Geteuid()), uint32(os.Getegid())
	d, err := drive.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("Close() = %v", err)
		}
		pool.Close()
		if err := cache.Close(); err != nil {
			t.Errorf("Close() of the cache = %v", err)
		}
	})
	return d
}

// TestStorePosix runs go-fuse's POSIX tests on a drive over an object store.
func TestStorePosix(t *testing.T) {
	f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{storeDrive(t, drive.Options{})}}})
	runPosix(t, "store", directory(t, f, "self", 0o755))
}

// TestStoreFSX compares a file of a drive over an object store with a model of it.
func TestStoreFSX(t *testing.T) {
	if dir := childDir(); dir != "" {
		fsx(t, dir)
		return
	}
	for name, opts := range map[string]Options{"passthrough": {}, "no passthrough": {NoPassthrough: true}} {
		t.Run(name, func(t *testing.T) {
			f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{storeDrive(t, drive.Options{})}}, opts: opts})
			runTest(t, "TestStoreFSX", directory(t, f, "fsx", 0o755), "", uint32(os.Geteuid()))
		})
	}
}
