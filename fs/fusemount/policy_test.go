package fusemount

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// denier is a policy that lets everybody do everything, but refuses one subtree once it is told to.
type denier struct {
	kind  fs.Kind
	epoch atomic.Uint64 // over 0 = refuse
}

const secret = "secret"

func (d *denier) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	if d.epoch.Load() > 0 && r.Path.Within(secret) {
		return &fs.Error{Op: string(a), Path: string(r.Path), Kind: d.kind}
	}
	return nil
}

func (d *denier) Epoch() uint64 { return d.epoch.Load() }

// walker is a subtree that the kernel knows, with files open in it.
type walker struct {
	dir    string
	opened *os.File
}

func (w *walker) path(name string) string { return filepath.Join(w.dir, name) }

// operations says for each operation of a node how a program causes it.
var operations = map[string]func(w *walker) error{
	"Access": func(w *walker) error { return unix.Access(w.path("f"), unix.R_OK) },
	"Create": func(w *walker) error {
		f, err := os.OpenFile(w.path("created"), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o644)
		return closed(f, err)
	},
	"Getattr": func(w *walker) error { return statx(w.path("f"), unix.STATX_BASIC_STATS) },
	"Getxattr": func(w *walker) error {
		_, err := unix.Getxattr(w.path("f"), "user.a", make([]byte, 10))
		return err
	},
	"Link": func(w *walker) error { return os.Link(w.path("f"), w.path("linked")) },
	"Listxattr": func(w *walker) error {
		_, err := unix.Listxattr(w.path("f"), make([]byte, 1000))
		return err
	},
	"Lookup":        func(w *walker) error { _, err := os.Lstat(w.path("unknown")); return err },
	"Mkdir":         func(w *walker) error { return os.Mkdir(w.path("made"), 0o755) },
	"Mknod":         func(w *walker) error { return unix.Mkfifo(w.path("fifo"), 0o644) },
	"Open":          func(w *walker) error { f, err := os.Open(w.path("f")); return closed(f, err) },
	"OpendirHandle": func(w *walker) error { _, err := os.ReadDir(w.dir); return err },
	"Readlink":      func(w *walker) error { _, err := os.Readlink(w.path("link")); return err },
	"Removexattr":   func(w *walker) error { return unix.Removexattr(w.path("f"), "user.a") },
	"Rename":        func(w *walker) error { return os.Rename(w.path("victim"), w.path("renamed")) },
	"Rmdir":         func(w *walker) error { return unix.Rmdir(w.path("empty")) },
	"Setattr":       func(w *walker) error { return os.Chmod(w.path("f"), 0o600) },
	"Setxattr":      func(w *walker) error { return unix.Setxattr(w.path("f"), "user.b", []byte("1"), 0) },
	"Statfs":        func(w *walker) error { var st unix.Statfs_t; return unix.Statfs(w.path("f"), &st) },
	"Statx":         func(w *walker) error { return statx(w.path("f"), unix.STATX_BTIME) },
	"Symlink":       func(w *walker) error { return os.Symlink("f", w.path("symlinked")) },
	"Unlink":        func(w *walker) error { return unix.Unlink(w.path("doomed")) },

	// Of open files, whose decision is made again when the epoch moves.
	"Read": func(w *walker) error { _, err := w.opened.ReadAt(make([]byte, 1), 0); return err },
	"Write": func(w *walker) error {
		_, err := w.opened.WriteAt([]byte("x"), 0)
		return err
	},
	"Fsync": func(w *walker) error { return w.opened.Sync() },
	"Fstat": func(w *walker) error { return statxFd(w.opened) },
}

// noOperations are methods of a node that no program causes.
var noOperations = map[string]bool{"OnForget": true}

// order is in which operations are walked, where one needs what another has left.
var last = []string{"Removexattr", "Setattr", "Unlink"}

func closed(f *os.File, err error) error {
	if err != nil {
		return err
	}
	return f.Close()
}

func statx(name string, mask int) error {
	var st unix.Statx_t
	return unix.Statx(unix.AT_FDCWD, name, unix.AT_STATX_FORCE_SYNC, mask, &st)
}

func statxFd(f *os.File) error {
	var st unix.Statx_t
	return unix.Statx(int(f.Fd()), "", unix.AT_EMPTY_PATH|unix.AT_STATX_FORCE_SYNC, unix.STATX_BASIC_STATS, &st)
}

// reads are the operations that change nothing.
var reads = []string{
	"Access", "Getattr", "Getxattr", "Listxattr", "Lookup", "Open", "OpendirHandle", "Readlink", "Statfs", "Statx",
}

// readOnly is a policy that lets everybody only read, once it is told to.
type readOnly struct{ denier }

func (d *readOnly) Allowed(_ context.Context, _ fs.Principal, a fs.Action, r fs.Resource) error {
	if d.epoch.Load() > 0 && a != fs.Read {
		return &fs.Error{Op: string(a), Path: string(r.Path), Kind: fs.Permission}
	}
	return nil
}

// TestReadersRead causes every operation as somebody who may only read: what changes nothing succeeds, and nothing else does.
func TestReadersRead(t *testing.T) {
	d := &readOnly{}
	f := mount(t, setup{
		drives: map[string]fs.Drive{"home": openLocal(t, t.TempDir())}, policy: d,
		opts: Options{CacheFor: time.Minute, NoPassthrough: true},
	})
	w := prepareWalk(t, f, "open")
	d.epoch.Add(1)
	for op, do := range operations {
		switch err := do(w); {
		case op == "Read" || op == "Write" || op == "Fsync" || op == "Fstat": // of a file that was opened to write
		case slices.Contains(reads, op) != (err == nil), err != nil && !errors.Is(err, unix.EACCES):
			t.Errorf("%s by who may read = %v", op, err)
		}
	}
}

// prepareWalk makes a subtree and has the kernel know all of it.
func prepareWalk(t *testing.T, f *fixture, name string) *walker {
	t.Helper()
	w := &walker{dir: directory(t, f, name, 0o755)}
	for _, file := range []string{"f", "victim", "doomed", "opened"} {
		writeFile(t, w.path(file), "text")
	}
	var err error
	w.opened, err = os.OpenFile(w.path("opened"), os.O_RDWR, 0)
	if err := errors.Join(err, os.Mkdir(w.path("empty"), 0o755), os.Symlink("f", w.path("link")),
		unix.Setxattr(w.path("f"), "user.a", []byte("1"), 0)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = w.opened.Close() }) // its last write may have been refused
	if _, err := os.ReadDir(w.dir); err != nil {
		t.Fatal(err)
	}
	// For "Lookup" a name that the kernel does not know.
	if _, err := f.api.Mkdir(t.Context(), fs.Path(name).Join("unknown"), fs.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return w
}

// TestPolicyWalk causes every operation in a subtree that is refused and in one that is not.
func TestPolicyWalk(t *testing.T) {
	node, inode := reflect.TypeFor[*node](), reflect.TypeFor[*gofuse.Inode]()
	for m := range node.Methods() {
		if _, inherited := inode.MethodByName(m.Name); !inherited && m.IsExported() && !noOperations[m.Name] && operations[m.Name] == nil {
			t.Errorf("operation %s is not walked", m.Name)
		}
	}
	for _, way := range []struct {
		name  string
		deny  bool
		kind  fs.Kind
		errno error
	}{
		{"permission", true, fs.Permission, unix.EACCES},
		{"secret name", true, fs.NotExist, unix.ENOENT},
		{"no check", false, 0, nil}, // without the check the walk would succeed everywhere
	} {
		t.Run(way.name, func(t *testing.T) {
			d := &denier{kind: way.kind}
			f := mount(t, setup{
				drives: map[string]fs.Drive{"home": openLocal(t, t.TempDir())}, policy: d,
				opts: Options{CacheFor: time.Minute, NoPassthrough: true},
			})
			denied, open := prepareWalk(t, f, secret), prepareWalk(t, f, "open")
			if way.deny {
				d.epoch.Add(1)
			}
			for _, op := range walkOrder() {
				if err := operations[op](denied); !errors.Is(err, way.errno) || err == nil != (way.errno == nil) {
					t.Errorf("%s where it is refused = %v, want %v", op, err, way.errno)
				}
				if err := operations[op](open); err != nil {
					t.Errorf("%s where it is allowed = %v", op, err)
				}
			}
		})
	}
}

func walkOrder() []string {
	var ops []string
	for op := range operations {
		if op != last[0] && op != last[1] && op != last[2] {
			ops = append(ops, op)
		}
	}
	return append(ops, last...)
}
