package mem

import (
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

func TestDrive(t *testing.T) {
	drivetest.Run(t, func(*testing.T) fs.Drive { return New(Options{}) }, drivetest.Options{
		Absent: map[drivetest.Feature]string{drivetest.HardLinks: "a node has one name"},
	})
}

func TestFSX(t *testing.T) {
	drivetest.FSX(t, func(t *testing.T) (drivetest.File, error) {
		return drivetest.NewDriveFile(t.Context(), New(Options{}).Root(), "f")
	}, drivetest.FSXOptions{})
}
