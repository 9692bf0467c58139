package fusemount

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	drives "github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

func init() {
	children["million"] = func() int {
		if err := serveMillion(childDir()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return 0
	}
}

// serveMillion is a daemon with a drive over a store of a million objects, and a folder of a hundred thousand more.
func serveMillion(dir string) (err error) {
	ctx := context.Background()
	state, err := os.MkdirTemp("", "million-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(state)) }()
	d, err := drive.Open(ctx, drive.Options{ID: drives.NewDriveID(), Backend: mem.NewGenerated(mem.GeneratedOptions{}), State: state})
	if err != nil {
		return err
	}
	t, err := tree.New(tree.Options{Root: "home", StateDir: state})
	if err != nil {
		return err
	}
	if err := t.Add("home", d); err != nil {
		return err
	}
	v := access.New(t, access.Everyone{}, drives.Principal{ID: "local:daemon", Owner: true}, drives.OriginMount)
	m, err := Mount(ctx, Options{Mountpoint: dir, View: func(Caller) (*access.View, error) { return v, nil }, Observe: t.Observe})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-untilEOF()
	return errors.Join(m.Close(ctx), t.Close(ctx))
}

// memoryLimit is what the daemon may have resident.
const memoryLimit = 300 << 20

// TestMillionObjects lists folders of a store with a million objects through the mount. The times are asserted in the long form only:
// the short one shares the machine with others.
func TestMillionObjects(t *testing.T) {
	needFUSE(t)
	full := os.Getenv("JUPYTER_DRIVE_TEST_FULL") != ""
	dir := filepath.Join(openTempDir(t), "mnt")
	t.Cleanup(func() {
		if err := Detach(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	begin := time.Now()
	c := daemon(t, "million", dir, uint32(os.Geteuid()))
	names := list(t, filepath.Join(dir, "d0500"))
	took := time.Since(begin)
	if len(names) != 1000 {
		t.Errorf("a folder of 1,000 shows %d names", len(names))
	}
	t.Logf("mounted and listed 1,000 of a million after %v with %d MiB", took, resident(t, c)>>20)
	if full && took > time.Second {
		t.Errorf("mount and first listing took %v, want less than a second", took)
	}

	begin = time.Now()
	names = list(t, filepath.Join(dir, "big"))
	took = time.Since(begin)
	if len(names) != 100_000 {
		t.Fatalf("a folder of 100,000 shows %d names", len(names))
	}
	count := 10_000
	if full {
		count = len(names)
	}
	begin = time.Now()
	for _, name := range names[:count] {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(dir, "big", name), &st); err != nil || st.Size != 100 {
			t.Fatalf("stat of %s = %v, %d bytes, want 100", name, err, st.Size)
		}
	}
	rss := resident(t, c)
	t.Logf("listed 100,000 in %v and statted %d in %v with %d MiB", took, count, time.Since(begin), rss>>20)
	if rss > memoryLimit && !raceDetector {
		t.Errorf("the daemon has %d MiB resident with 100,000 files listed, want at most %d", rss>>20, int64(memoryLimit)>>20)
	}
	if full {
		walkMillion(t, dir)
		rss := resident(t, c)
		t.Logf("all of them seen: %d MiB", rss>>20)
		if rss > memoryLimit && !raceDetector {
			t.Errorf("the daemon has %d MiB resident when all files were seen, want at most %d", rss>>20, int64(memoryLimit)>>20)
		}
	}
	c.stop()
}

// walkMillion looks at each of the files.
func walkMillion(t *testing.T, dir string) {
	t.Helper()
	begin, count := time.Now(), 0
	if err := filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			count++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if count != 1_100_000 {
		t.Errorf("there are %d files, want 1,100,000", count)
	}
	t.Logf("walked %d files in %v", count, time.Since(begin))
}

// list returns the names in a directory.
func list(t *testing.T, dir string) []string {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	names, err := f.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// resident returns how many bytes of a child are in memory.
func resident(t *testing.T, c *child) int64 {
	t.Helper()
	status := readFile(t, fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	_, rest, _ := strings.Cut(status, "VmRSS:")
	n, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}
