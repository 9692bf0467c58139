package drive

import (
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

func TestMain(m *testing.M) {
	unix.Umask(0) // as the daemon does
	os.Exit(m.Run())
}

// absent is what an object store does not have.
var absent = map[drivetest.Feature]string{
	drivetest.HardLinks: "a key is one name",
}

// memoryDir returns a directory in memory, where syncing is quick, if there is one.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "drive-test-") //nolint:usetesting // t.TempDir is on disk
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

// open returns a drive over b with the state in dir.
func open(t *testing.T, o Options) *Drive {
	t.Helper()
	if o.ID == (fs.DriveID{}) {
		o.ID = fs.DriveID{1, 2, 3}
	}
	if o.State == "" {
		o.State = memoryDir(t)
	}
	if o.SegmentSize == 0 {
		o.SegmentSize = 4 << 20
	}
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatalf("Open() = %v", err)
	}
	return d
}

func TestDrive(t *testing.T) {
	drivetest.Run(t, func(t *testing.T) fs.Drive {
		return open(t, Options{Backend: mem.NewBackend(mem.BackendOptions{})})
	}, drivetest.Options{
		Absent: absent,
		Reopen: func(t *testing.T, d fs.Drive) fs.Drive {
			t.Helper()
			if err := d.Close(t.Context()); err != nil {
				t.Fatalf("Close() = %v", err)
			}
			o := d.(*Drive).opts
			return open(t, o)
		},
	})
}
