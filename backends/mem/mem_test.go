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
