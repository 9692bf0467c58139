package integration

import (
	"os"
	"path/filepath"
	"testing"
)

// newDrive makes an empty folder to serve, whose name is a drive's name.
func newDrive(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drive")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}
