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

func TestPosix(t *testing.T) {
	each(t, func(t *testing.T, kind string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		runPosix(t, kind, f.dir)
	})
}
