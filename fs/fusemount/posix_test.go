package fusemount

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// posixSkips are the tests that a drive cannot pass, with the reason.
var posixSkips = map[string]map[string]string{
	"": {
		"FcntlFlockLocksFile": "it expects a conflict between two locks of one process, which POSIX has not (ext4 fails it too)",
	},
	"mem": {
		"Link":             "the mem drive has no hard links",
		"LinkUnlinkRename": "the mem drive has no hard links",
	},
	"store": {
		"Link":             "an object store has no hard links",
		"LinkUnlinkRename": "an object store has no hard links",
	},
}

// runPosix runs go-fuse's POSIX tests, each in a directory of its own.
func runPosix(t *testing.T, drive, dir string) {
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		t.Run(name, func(t *testing.T) {
			if reason := posixSkips[drive][name] + posixSkips[""][name]; reason != "" {
				t.Skip(reason)
			}
			sub := filepath.Join(dir, name)
			if err := os.Mkdir(sub, 0o755); err != nil {
				t.Fatal(err)
			}
			posixtest.All[name](t, sub)
		})
	}
}

// TestPosix runs go-fuse's POSIX tests on each drive, as the present user and, in a process of its own, as an ordinary one.
func TestPosix(t *testing.T) {
	if dir := childDir(); dir != "" {
		runPosix(t, childArg(), dir)
		return
	}
	each(t, func(t *testing.T, kind string, d fs.Drive) {
		t.Run("self", func(t *testing.T) {
			f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}})
			runPosix(t, kind, directory(t, f, "self", 0o755))
		})
		t.Run("ordinary user", func(t *testing.T) {
			needRoot(t)
			f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}, opts: Options{AllowOther: true}})
			runTest(t, "TestPosix", directory(t, f, "user", 0o777), kind, nobody)
		})
	})
}

// directory makes a directory in the mount.
func directory(t *testing.T, f *fixture, name string, mode os.FileMode) string {
	t.Helper()
	dir := f.path(name)
	if err := os.Mkdir(dir, mode); err != nil {
		t.Fatal(err)
	}
	return dir
}
