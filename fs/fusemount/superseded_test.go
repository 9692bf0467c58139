package fusemount

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// world is a file that the kernel knows, whose contents were then replaced from elsewhere.
type world struct {
	*fixture
	t    *testing.T
	file string   // its path in the mount
	old  *os.File // opened before
}

const (
	oldText = "old contents"
	newText = "the new contents, which are longer"
)

// newer checks that the name has the contents want for the API, and so nothing has gone to the old node.
func (w *world) newer(want string) {
	w.t.Helper()
	if got := w.apiText("f"); got != want {
		w.t.Errorf("the file has %q, want %q", got, want)
	}
}

func (w *world) apiText(name string) string {
	w.t.Helper()
	h, err := w.api.Open(w.t.Context(), fs.Path(name), fs.OpenRead)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = h.Release(w.t.Context()) }() // it was only read
	buf := make([]byte, 4096)
	n, _ := h.ReadAt(w.t.Context(), buf, 0)
	return string(buf[:n])
}

func (w *world) apiAttr() fs.Attr {
	w.t.Helper()
	e, err := w.api.Stat(w.t.Context(), "f")
	if err != nil {
		w.t.Fatal(err)
	}
	return e.Attr
}

func (w *world) ok(what string, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Errorf("%s: %v", what, err)
	}
}

// open opens the file by a path and writes text, if it has any.
func (w *world) open(file string, flags int, text string) {
	w.t.Helper()
	fd, err := os.OpenFile(file, flags, 0o644)
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = fd.WriteString(text)
	w.ok("write", err)
	w.ok("close", fd.Close())
}

func (w *world) shell(script string) string {
	w.t.Helper()
	out, err := exec.CommandContext(w.t.Context(), "/bin/sh", "-c", script, "sh", w.dir).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s: %v: %s", script, err, out)
	}
	return string(out)
}

// syscallRows are the system calls that may meet a superseded node: those by path act on the new one, those by descriptor on the old.
var syscallRows = []struct {
	name string
	do   func(w *world)
}{
	{"open to read", func(w *world) {
		if got := readFile(w.t, w.file); got != newText {
			w.t.Errorf("read %q, want %q", got, newText)
		}
	}},
	{"open to write", func(w *world) {
		w.open(w.file, os.O_WRONLY, "THE")
		w.newer("THE" + newText[3:])
	}},
	{"open to read and write", func(w *world) {
		w.open(w.file, os.O_RDWR, "THE")
		w.newer("THE" + newText[3:])
	}},
	{"open to append", func(w *world) {
		w.open(w.file, os.O_WRONLY|os.O_APPEND, "+")
		w.newer(newText + "+")
	}},
	{"open with O_CREAT", func(w *world) {
		w.open(w.file, os.O_RDWR|os.O_CREATE, "THE")
		w.newer("THE" + newText[3:])
	}},
	{"open with O_TRUNC", func(w *world) {
		w.open(w.file, os.O_WRONLY|os.O_TRUNC, "mine")
		w.newer("mine")
	}},
	{"shell redirection", func(w *world) {
		w.shell(`printf mine > "$1/f"`)
		w.newer("mine")
	}},
	{"openat", func(w *world) {
		dir, err := unix.Open(w.dir, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		w.ok("open the directory", err)
		defer closeFd(dir)
		fd, err := unix.Openat(dir, "f", unix.O_RDONLY, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		defer closeFd(fd)
		buf := make([]byte, 100)
		n, err := unix.Read(fd, buf)
		if got := string(buf[:n]); got != newText {
			w.t.Errorf("read %q, %v, want %q", got, err, newText)
		}
	}},
	{"relative to the working directory", func(w *world) {
		if got := w.shell(`cd "$1" && cat f`); got != newText {
			w.t.Errorf("cat f = %q, want %q", got, newText)
		}
	}},
	{"open with O_CREAT and O_EXCL", func(w *world) {
		_, err := os.OpenFile(w.file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
		if !errors.Is(err, os.ErrExist) {
			w.t.Errorf("open = %v, want EEXIST", err)
		}
		w.newer(newText)
	}},
	{"rename over it", func(w *world) {
		writeFile(w.t, w.path("tmp"), "mine")
		w.ok("rename", os.Rename(w.path("tmp"), w.file))
		w.newer("mine")
		if got := readFile(w.t, w.file); got != "mine" {
			w.t.Errorf("read %q, want what was renamed over it", got)
		}
	}},
	{"unlink", func(w *world) {
		w.ok("unlink", os.Remove(w.file))
		if _, err := w.api.Stat(w.t.Context(), "f"); fs.KindOf(err) != fs.NotExist || err == nil {
			w.t.Errorf("Stat after unlink = %v, want NotExist", err)
		}
	}},
	{"truncate", func(w *world) {
		w.ok("truncate", os.Truncate(w.file, 3))
		w.newer(newText[:3])
	}},
	{"chmod", func(w *world) {
		w.ok("chmod", os.Chmod(w.file, 0o640))
		if got := w.apiAttr().Mode & fs.ModePerm; got != 0o640 {
			w.t.Errorf("mode = %o, want 640", got)
		}
	}},
	{"chown", func(w *world) {
		needRoot(w.t)
		w.ok("chown", os.Chown(w.file, 12, 34))
		if a := w.apiAttr(); a.UID != 12 || a.GID != 34 {
			w.t.Errorf("owner = %d:%d, want 12:34", a.UID, a.GID)
		}
	}},
	{"utimens", func(w *world) {
		at := time.Unix(1e9, 0)
		w.ok("utimens", os.Chtimes(w.file, at, at))
		if got := w.apiAttr().Mtime; !got.Equal(at) {
			w.t.Errorf("mtime = %v, want %v", got, at)
		}
	}},
	{"extended attributes", func(w *world) {
		w.ok("setxattr", unix.Setxattr(w.file, "user.a", []byte("1"), 0))
		buf := make([]byte, 100)
		n, err := unix.Getxattr(w.file, "user.a", buf)
		if err != nil || string(buf[:n]) != "1" {
			w.t.Errorf("getxattr = %q, %v, want 1", buf[:max(n, 0)], err)
		}
		n, err = unix.Listxattr(w.file, buf)
		if err != nil || !strings.Contains(string(buf[:n]), "user.a\x00") {
			w.t.Errorf("listxattr = %q, %v, want user.a in it", buf[:max(n, 0)], err)
		}
		if v, err := w.xattr("user.a"); string(v) != "1" {
			w.t.Errorf("the new file's attribute = %q, %v, want 1", v, err)
		}
		w.ok("removexattr", unix.Removexattr(w.file, "user.a"))
		if _, err := w.xattr("user.a"); fs.KindOf(err) != fs.NoAttr {
			w.t.Errorf("after removexattr the attribute gives %v, want NoAttr", err)
		}
	}},
	{"statfs", func(w *world) {
		var st unix.Statfs_t
		w.ok("statfs", unix.Statfs(w.file, &st))
	}},
	{"link", func(w *world) {
		if err := os.Link(w.file, w.path("second")); errors.Is(err, syscall.EPERM) {
			w.t.Skip("the drive has no hard links")
		} else if err != nil {
			w.t.Fatal(err)
		}
		if got := readFile(w.t, w.path("second")); got != newText {
			w.t.Errorf("the link has %q, want %q", got, newText)
		}
	}},
	{"rename away", func(w *world) {
		w.ok("rename", os.Rename(w.file, w.path("g")))
		if got := readFile(w.t, w.path("g")); got != newText {
			w.t.Errorf("the new name has %q, want %q", got, newText)
		}
		if _, err := os.Stat(w.file); !errors.Is(err, os.ErrNotExist) {
			w.t.Errorf("stat of the old name = %v, want ENOENT", err)
		}
	}},
	{"access", func(w *world) { w.ok("access", unix.Access(w.file, unix.R_OK)) }},
	{"exec", func(w *world) {
		w.replace(w.t, "f", "#!/bin/sh\necho ran\n")
		if got := w.shell(`"$1/f"`); got != "ran\n" {
			w.t.Errorf("executing the new contents printed %q, want ran", got)
		}
	}},
	{"/proc/self/fd", func(w *world) {
		f, err := os.Open(procFd(w.old))
		if err != nil {
			w.t.Fatal(err)
		}
		defer f.Close()
		buf := make([]byte, 100)
		n, err := f.Read(buf)
		if got := string(buf[:n]); got != oldText {
			w.t.Errorf("read %q, %v through /proc/self/fd, want %q", got, err, oldText)
		}
	}},
	{"fstat", func(w *world) {
		st, err := w.old.Stat()
		if err != nil || st.Size() != int64(len(oldText)) {
			w.t.Errorf("fstat = %v, %v, want the old size", st, err)
		}
	}},
	{"ftruncate", func(w *world) {
		w.ok("ftruncate", w.old.Truncate(2))
		w.newer(newText)
	}},
	{"read", func(w *world) {
		buf := make([]byte, 100)
		n, _ := w.old.ReadAt(buf, 0)
		if got := string(buf[:n]); got != oldText {
			w.t.Errorf("read %q, want %q", got, oldText)
		}
	}},
	{"mmap", func(w *world) {
		m, err := unix.Mmap(int(w.old.Fd()), 0, len(oldText), unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			w.t.Fatal(err)
		}
		defer func() { _ = unix.Munmap(m) }() // the mapping ends with the process at the latest
		if string(m) != oldText {
			w.t.Errorf("mapped %q, want %q", m, oldText)
		}
	}},
	{"write, fsync and close", func(w *world) {
		_, err := w.old.WriteAt([]byte("OLD"), 0)
		w.ok("write", err)
		w.ok("fsync", w.old.Sync())
		w.ok("close", w.old.Close())
		w.newer(newText)
	}},
	{"flock", func(w *world) {
		w.ok("flock", unix.Flock(int(w.old.Fd()), unix.LOCK_EX|unix.LOCK_NB))
		f, err := os.Open(w.file)
		if err != nil {
			w.t.Fatal(err)
		}
		defer f.Close()
		w.ok("flock of the new file", unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB))
	}},
}

func procFd(f *os.File) string { return filepath.Join("/proc/self/fd", itoa(int(f.Fd()))) }

func (w *world) xattr(name string) ([]byte, error) {
	e, err := w.api.Stat(w.t.Context(), "f")
	if err != nil {
		w.t.Fatal(err)
	}
	return w.api.Nodes().Xattr(w.t.Context(), e.Node, name)
}

// TestSupersededBySyscall meets each system call with a node of which the kernel does not know yet that it was replaced, and with
// one of which it does.
func TestSupersededBySyscall(t *testing.T) {
	each(t, func(t *testing.T, kind string, d fs.Drive) {
		for _, told := range []struct {
			name    string
			observe bool
		}{{"superseded", false}, {"detached", true}} {
			t.Run(told.name, func(t *testing.T) {
				for _, row := range syscallRows {
					t.Run(row.name, func(t *testing.T) {
						row.do(replaced(t, d, told.observe))
					})
				}
			})
		}
	})
}

// replaced returns a world on the drive d, which it empties first.
func replaced(t *testing.T, d fs.Drive, observe bool) *world {
	w := &world{fixture: mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}, deaf: !observe}), t: t}
	w.file = w.path("f")
	for _, name := range []string{"f", "g", "second", "tmp"} {
		if err := w.api.Remove(t.Context(), fs.Path(name), false); err != nil && fs.KindOf(err) != fs.NotExist {
			t.Fatal(err)
		}
	}
	// Executable: the echo, which may be at work still, opens such a file for reading only.
	if _, err := w.api.Replace(t.Context(), "f", strings.NewReader(oldText), fs.ReplaceOptions{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	old, err := os.OpenFile(w.file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	w.old = old
	t.Cleanup(func() { _ = old.Close() }) // a row may have closed it
	if got := readFile(t, w.file); got != oldText {
		t.Fatalf("read %q, want %q", got, oldText)
	}
	w.replace(t, "f", newText)
	return w
}

// keep is a drive that outlives the tree it is in.
type keep struct{ fs.Drive }

func (keep) Close(context.Context) error { return nil }
