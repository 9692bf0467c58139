package local_test

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

func TestMain(m *testing.M) {
	unix.Umask(0) // as the daemon does
	os.Exit(m.Run())
}

func TestDrive(t *testing.T) {
	options := map[fs.Drive]local.Options{}
	open := func(t *testing.T, o local.Options) fs.Drive {
		t.Helper()
		d, err := local.Open(t.Context(), o)
		if err != nil {
			t.Fatalf("Open() = %v", err)
		}
		options[d] = o
		return d
	}
	drivetest.Run(t, func(t *testing.T) fs.Drive {
		return open(t, local.Options{Root: t.TempDir(), StateDir: t.TempDir()})
	}, drivetest.Options{
		Reopen: func(t *testing.T, d fs.Drive) fs.Drive {
			t.Helper()
			if err := d.Close(t.Context()); err != nil {
				t.Fatalf("Close() = %v", err)
			}
			return open(t, options[d])
		},
	})
}

func TestFSX(t *testing.T) {
	drivetest.FSX(t, func(t *testing.T) (drivetest.File, error) {
		t.Helper()
		e := newEnv(t, local.Options{})
		return drivetest.NewDriveFile(e.ctx, e.d.Root(), "f")
	}, drivetest.FSXOptions{Ops: 5000})
}
