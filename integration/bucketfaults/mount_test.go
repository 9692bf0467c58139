package bucketfaults

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/hanwen/go-fuse/v2/posixtest"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
	"github.com/jupyter-drive/jupyter-drive/fs/fusemount"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// mountDir, in the environment, is where the process that works in the mount does so: it maps memory, which the one that serves it must not.
const mountDir = "BUCKETFAULTS_MOUNT"

// cannot are the POSIX tests that fail on a bucket, and why.
var cannot = map[string]string{
	"Link":                "a key is one name",
	"LinkUnlinkRename":    "a key is one name",
	"Tmpfile":             "a file without a name has no key",
	"FcntlFlockLocksFile": "it expects a conflict between two locks of one process, which POSIX has not (a local disk fails it too)",
}

// TestMounted runs go-fuse's POSIX tests and exercises files in the mount of a bucket, where the kernel reads cached files by itself and where
// it does not.
func TestMounted(t *testing.T) {
	if dir := os.Getenv(mountDir); dir != "" {
		inMount(t, dir)
		return
	}
	server := versitygw.Run(t, versitygw.Options{})
	for name, direct := range map[string]bool{"passthrough": true, "no passthrough": false} {
		t.Run(name, func(t *testing.T) { mounted(t, server, direct) })
	}
}

func mounted(t *testing.T, server *versitygw.Server, direct bool) {
	b, m := newBucket(t, server, faultproxy.Options{}), newMachine(t)
	d := b.drive(m, 1, t.TempDir(), nil)
	dir := mountDrive(t, d, direct)
	out, lent := runIn(t, dir, m, d)
	for line := range bytes.Lines(out) {
		if t.Failed() || bytes.Contains(line, []byte("--- PASS: TestMounted/fsx")) {
			t.Logf("%s", bytes.TrimSpace(line))
		}
	}
	var skipped []string
	for _, match := range regexp.MustCompile(`--- SKIP: TestMounted/posix/(\S+)`).FindAllSubmatch(out, -1) {
		skipped = append(skipped, string(match[1]))
	}
	slices.Sort(skipped)
	if want := slices.Sorted(maps.Keys(cannot)); !slices.Equal(skipped, want) {
		t.Errorf("skipped are %q, want %q", skipped, want)
	}
	passed := len(regexp.MustCompile(`--- PASS: TestMounted/\S+/`).FindAll(out, -1))
	t.Logf("%d tests passed, %d skipped; the kernel read %d open files by itself", passed, len(skipped), lent)
	if direct != (lent > 0) {
		t.Errorf("the kernel read %d open files by itself", lent)
	}
}

// mountDrive mounts a drive, which is closed with the mount when the test ends.
func mountDrive(t *testing.T, d *drive.Drive, direct bool) string {
	t.Helper()
	tr, err := tree.New(tree.Options{Root: "data", StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Add("data", d); err != nil {
		t.Fatal(err)
	}
	owner := fs.Principal{ID: "local:owner", Name: "owner", Owner: true}
	view := access.New(tr, access.Everyone{}, owner, fs.OriginMount)
	s, err := fusemount.Mount(t.Context(), fusemount.Options{
		Mountpoint: filepath.Join(t.TempDir(), "mnt"), Observe: tr.Observe, NoPassthrough: !direct,
		View: func(fusemount.Caller) (*access.View, error) { return view, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := errors.Join(s.Close(ctx), tr.Close(ctx)); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s.Mountpoint()
}

// runIn runs TestMounted in a process of its own. It returns what that has printed, and how often a file that it opened was lent to the kernel.
func runIn(t *testing.T, dir string, m *machine, d *drive.Drive) (out []byte, lent int) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	asked, ask, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	answers, answer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestMounted$", "-test.v", "-test.count=1", "-test.timeout=30m")
	cmd.Env = append(os.Environ(), mountDir+"="+dir)
	cmd.ExtraFiles = []*os.File{ask, answers}
	done := make(chan error, 1)
	go func() { done <- attend(t.Context(), asked, answer, m, d, &lent) }()
	out, err = cmd.CombinedOutput()
	if err := errors.Join(err, ask.Close(), answers.Close(), <-done); err != nil {
		t.Errorf("the tests in the mount: %v", err)
	}
	return out, lent
}

// attend answers what the process in the mount asks, until it ends.
func attend(ctx context.Context, asked io.ReadCloser, answer io.WriteCloser, m *machine, d *drive.Drive, lent *int) error {
	defer asked.Close()
	defer answer.Close()
	for what := bufio.NewReader(asked); ; {
		b, err := what.ReadByte()
		if errors.Is(err, io.EOF) {
			return nil
		}
		switch {
		case err != nil:
			return err
		case b == askWait:
			err = d.Wait(ctx)
		case m.cache.Stats().Pinned > 0:
			*lent++
		}
		if err == nil {
			_, err = answer.Write([]byte{b})
		}
		if err != nil {
			return err
		}
	}
}

// What the process in the mount asks for: that the store gets everything, and that it is noted whether the kernel reads by itself.
const (
	askWait = 'w'
	askLent = 'l'
)

// asker asks the process that serves the mount.
type asker struct{ ask, answers *os.File }

func (a asker) do(what byte) error {
	_, err := a.ask.Write([]byte{what})
	if err == nil {
		_, err = io.ReadFull(a.answers, make([]byte, 1))
	}
	return err
}

// inMount runs the tests in a folder.
func inMount(t *testing.T, dir string) {
	t.Run("posix", func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(posixtest.All)) {
			t.Run(name, func(t *testing.T) {
				if why := cannot[name]; why != "" {
					t.Skip(why)
				}
				sub := filepath.Join(dir, name)
				if err := os.Mkdir(sub, 0o755); err != nil {
					t.Fatal(err)
				}
				posixtest.All[name](t, sub)
			})
		}
	})
	a := asker{os.NewFile(3, "ask"), os.NewFile(4, "answers")}
	for _, way := range []struct {
		name string
		open func(path string) (drivetest.File, error)
		ops  int
	}{
		{"fsx", drivetest.NewOSFile, count(1000, 20_000)},
		{"fsx with a reader", func(path string) (drivetest.File, error) { return newReadFile(path, a) }, count(300, 20_000)}, // which waits for the store
	} {
		t.Run(way.name, func(t *testing.T) {
			n := 0
			drivetest.FSX(t, func(*testing.T) (drivetest.File, error) {
				n++
				return way.open(filepath.Join(dir, fmt.Sprint(way.name, n)))
			}, drivetest.FSXOptions{Ops: way.ops})
		})
	}
}

// osFile is what drivetest.NewOSFile makes.
type osFile interface {
	drivetest.File
	drivetest.Appender
	drivetest.Allocater
	drivetest.Mapper
}

// readFile is a file whose bytes are read by a descriptor for reading. When it is opened again, the store has all of it first, so that the
// kernel may read it by itself; it is opened for writing after that.
type readFile struct {
	osFile

	path   string
	reader *os.File
	asker
}

func newReadFile(path string, a asker) (drivetest.File, error) {
	f, err := drivetest.NewOSFile(path)
	if err != nil {
		return nil, err
	}
	r, err := os.Open(path)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return &readFile{f.(osFile), path, r, a}, nil
}

// ReadAt reads by the descriptor for reading.
func (f *readFile) ReadAt(p []byte, off int64) (int, error) { return f.reader.ReadAt(p, off) }

// Reopen opens the file for reading, and then for writing too.
func (f *readFile) Reopen() error {
	if err := errors.Join(f.Close(), f.do(askWait)); err != nil {
		return err
	}
	r, err := os.Open(f.path)
	if err == nil {
		err = f.do(askLent)
	}
	if err != nil {
		return err
	}
	f.reader = r
	w, err := drivetest.OpenOSFile(f.path)
	if err == nil {
		f.osFile = w.(osFile)
	}
	return err
}

// Close closes both.
func (f *readFile) Close() error { return errors.Join(f.osFile.Close(), f.reader.Close()) }
