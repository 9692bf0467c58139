package fusemount

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

// TestFSX compares a file in the mount with a model of it over 5,000 operations, in a process of its own: it maps memory.
func TestFSX(t *testing.T) {
	if dir := childDir(); dir != "" {
		fsx(t, dir)
		return
	}
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		for _, way := range []struct {
			name string
			opts Options
		}{{"passthrough", Options{}}, {"no passthrough", Options{NoPassthrough: true}}} {
			t.Run(way.name, func(t *testing.T) {
				f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}, opts: way.opts})
				dir := f.path(way.name)
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				runTest(t, "TestFSX", dir, "", uint32(os.Geteuid()))
			})
		}
	})
}

func fsx(t *testing.T, dir string) {
	ops := drivetest.DefaultFSXOps
	if testing.Short() {
		ops = 500
	}
	n := 0
	drivetest.FSX(t, func(*testing.T) (drivetest.File, error) {
		n++
		return drivetest.NewOSFile(filepath.Join(dir, itoa(n)))
	}, drivetest.FSXOptions{Ops: ops})
}
