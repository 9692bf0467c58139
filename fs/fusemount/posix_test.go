package fusemount

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/hanwen/go-fuse/v2/posixtest"
)

// posixSkips are the tests that a drive cannot pass, with the reason.
var posixSkips = map[string]map[string]string{
	"mem": {
		"Link":             "the mem drive has no hard links",
		"LinkUnlinkRename": "the mem drive has no hard links",
	},
}

// runPosix runs go-fuse's POSIX tests, each in a directory of its own.
func runPosix(t *testing.T, drive, dir string) {
	for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
		t.Run(name, func(t *testing.T) {
			if reason := posixSkips[drive][name]; reason != "" {
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
	f := mount(t, setup{})
	runPosix(t, "mem", f.dir)
}
