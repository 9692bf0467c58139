package fusemount

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

func TestMain(m *testing.M) {
	unix.Umask(0) // the kernel has applied the caller's umask already
	os.Exit(runMain(m))
}

// runMain runs the tests, or what a test has started this program for.
func runMain(m *testing.M) int {
	if as := os.Getenv("FUSEMOUNT_TEST_CHILD"); as != "" && !strings.HasPrefix(as, "test:") {
		return children[as]()
	}
	code := m.Run()
	if program.dir != "" {
		_ = os.RemoveAll(program.dir) // in the temporary directory in any case
	}
	return code
}

// children are the programs that tests start: this one, with FUSEMOUNT_TEST_CHILD set.
var children = map[string]func() int{}

// patience is how long a test waits for what must happen. It is long for slow machines; nothing takes that long.
const patience = time.Minute

// fixture is a mounted tree.
type fixture struct {
	*Server
	dir  string // the mount point
	tree *tree.Tree
	api  *access.View
}

// setup says how to mount. The zero value mounts an empty mem drive as the root.
type setup struct {
	drives map[string]fs.Drive // nil = {"home": mem}
	root   string              // the drive that is the root; "-" = none
	policy access.Policy       // of the mount; nil = everyone
	live   fs.Live
	deaf   bool // the mount is not told of changes
	opts   Options
}

// needFUSE skips the test where nothing can be mounted.
func needFUSE(t *testing.T) {
	t.Helper()
	if err := thisHost().check(false); err != nil {
		t.Skipf("FUSE cannot be used here: %v", err)
	}
}

// mount mounts a tree until the test ends.
func mount(t *testing.T, s setup) *fixture {
	t.Helper()
	needFUSE(t)
	if s.drives == nil {
		s.drives = map[string]fs.Drive{"home": mem.New(mem.Options{})}
	}
	switch s.root {
	case "":
		s.root = "home"
	case "-":
		s.root = ""
	}
	log := slog.New(&testLog{t: t})
	tr, err := tree.New(tree.Options{Root: s.root, Live: s.live, Logger: log, StateDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range s.drives {
		if err := tr.Add(name, d); err != nil {
			t.Fatal(err)
		}
	}
	owner := fs.Principal{ID: "local:owner", Name: "owner", Owner: true}
	f := &fixture{tree: tr, api: access.New(tr, access.Everyone{}, owner, fs.OriginAPI)}
	if s.policy == nil {
		s.policy = access.Everyone{}
	}
	seen := access.New(tr, s.policy, owner, fs.OriginMount)
	s.opts.View = func(Caller) (*access.View, error) { return seen, nil }
	if !s.deaf {
		s.opts.Observe = tr.Observe
	}
	s.opts.Logger = log
	if s.opts.Mountpoint == "" {
		s.opts.Mountpoint = filepath.Join(openTempDir(t), "mnt")
	}
	if f.Server, err = Mount(t.Context(), s.opts); err != nil {
		t.Fatal(err)
	}
	f.dir = f.Mountpoint()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("Close() = %v", err)
		}
		if err := tr.Close(ctx); err != nil {
			t.Errorf("tree.Close() = %v", err)
		}
	})
	return f
}

// replace saves a file as the API does.
func (f *fixture) replace(t testing.TB, name, text string) {
	t.Helper()
	if _, err := f.api.Replace(t.Context(), fs.Path(name), strings.NewReader(text), fs.ReplaceOptions{}); err != nil {
		t.Fatalf("Replace(%q) = %v", name, err)
	}
}

func (f *fixture) path(name string) string { return filepath.Join(f.dir, name) }

// openTempDir returns a temporary directory that every user can enter.
func openTempDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for p := dir; p != os.TempDir() && p != "/"; p = filepath.Dir(p) {
		if err := os.Chmod(p, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func itoa(n int) string { return strconv.Itoa(n) }

func readFile(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func writeFile(t testing.TB, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// testLog fails the test for each error that is logged: a fault of ours.
type testLog struct {
	t *testing.T
	slog.Handler
}

func (l *testLog) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (l *testLog) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	r.Attrs(func(a slog.Attr) bool { b.WriteString(" " + a.String()); return true })
	if r.Level >= slog.LevelError {
		l.t.Errorf("logged: %s", b.String())
		return nil
	}
	if !strings.HasPrefix(r.Message, "a conflict:") {
		l.t.Logf("logged: %s", b.String())
	}
	return nil
}

func (l *testLog) WithAttrs([]slog.Attr) slog.Handler { return l }
func (l *testLog) WithGroup(string) slog.Handler      { return l }

func TestMountShowsTree(t *testing.T) {
	f := mount(t, setup{})
	f.replace(t, "a.txt", "from the API")
	if got := readFile(t, f.path("a.txt")); got != "from the API" {
		t.Errorf("read %q through the mount, want what the API saved", got)
	}
	writeFile(t, f.path("b.txt"), "from the mount")
	h, err := f.api.Open(t.Context(), "b.txt", fs.OpenRead)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = h.Release(t.Context()) }() // it was only read
	buf := make([]byte, 100)
	n, _ := h.ReadAt(t.Context(), buf, 0)
	if got := string(buf[:n]); got != "from the mount" {
		t.Errorf("the API read %q, want what was written in the mount", got)
	}
	f.replace(t, "a.txt", "again")
	if got := readFile(t, f.path("a.txt")); got != "again" {
		t.Errorf("read %q after a second save, want %q", got, "again")
	}
}
