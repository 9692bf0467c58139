package fusemount

import (
	"os"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// kinds are the drives that the tests run on.
var kinds = []struct {
	name string
	make func(t *testing.T) fs.Drive
}{
	{"mem", func(*testing.T) fs.Drive { return mem.New(mem.Options{}) }},
	{"local", func(t *testing.T) fs.Drive { return openLocal(t, t.TempDir()) }},
}

func openLocal(t *testing.T, root string) fs.Drive {
	t.Helper()
	d, err := local.Open(t.Context(), local.Options{Root: root, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// each runs a test on every kind of drive.
func each(t *testing.T, run func(t *testing.T, kind string, d fs.Drive)) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) { run(t, k.name, k.make(t)) })
	}
}

// needRoot skips a test that becomes other users.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
}

// memoryDir returns a directory in memory, where syncing is quick, if there is one.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "fusemount-test-") //nolint:usetesting // t.TempDir is on disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}
