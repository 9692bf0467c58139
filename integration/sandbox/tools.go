package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
)

// Module is the folder of this Go module, found from the working folder upwards.
var Module = sync.OnceValue(func() string {
	dir, err := os.Getwd()
	for err == nil {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	panic("tests run inside the module")
})

// Python is the interpreter that has the packages of integration/python/test.txt. Without one the test is skipped.
func Python(tb testing.TB) string {
	tb.Helper()
	return need(tb, "make integration installs it", os.Getenv("JUPYTER_DRIVE_TEST_PYTHON"), filepath.Join(Module(), ".cache/venv/bin/python"))
}

// Node is the folder of the Node scripts, with their packages installed. Without them the test is skipped.
func Node(tb testing.TB) string {
	tb.Helper()
	dir := filepath.Join(Module(), "integration", "node")
	need(tb, "make integration installs them", filepath.Join(dir, "node_modules", ".installed"))
	need(tb, "apt-get install nodejs", "node")
	return dir
}

// Chromium is the browser. Without one the test is skipped.
func Chromium(tb testing.TB) string {
	tb.Helper()
	return need(tb, "apt-get install chromium", "chromium", "chromium-browser", "google-chrome")
}

// need is the first of the candidates, paths or commands, that is there; the test is skipped when none is.
func need(tb testing.TB, how string, candidates ...string) string {
	tb.Helper()
	for _, candidate := range candidates {
		if candidate == "" {
			continue
		}
		if path, err := exec.LookPath(candidate); err == nil {
			return path
		}
		if _, err := os.Stat(candidate); err == nil {
			return candidate
		}
	}
	tb.Skipf("none of %q is there: %s", candidates, how)
	return ""
}

// detach takes a mount away, also while it is in use or its server is dead.
func detach(mount string) error {
	err := syscall.Unmount(mount, syscall.MNT_DETACH)
	if errors.Is(err, syscall.EPERM) {
		_, err = exec.Command("fusermount3", "-uz", mount).Output()
	}
	if err != nil {
		return fmt.Errorf("unmounting %s: %w", mount, err)
	}
	return nil
}
