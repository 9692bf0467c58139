package fusemount

import (
	"errors"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
)

// TestSymlinksAreText checks that a link is shown as it is and resolved by whoever follows it, never by the daemon.
func TestSymlinksAreText(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		outside := t.TempDir() + "/outside"
		writeFile(t, outside, "not in the drive")
		for name, target := range map[string]string{"out": outside, "up": "../../../../etc/passwd", "loop": "loop"} {
			if err := os.Symlink(target, f.path(name)); err != nil {
				t.Fatal(err)
			}
			if got, err := os.Readlink(f.path(name)); got != target || err != nil {
				t.Errorf("readlink(%s) = %q, %v, want %q", name, got, err, target)
			}
		}
		if got := readFile(t, f.path("out")); got != "not in the drive" {
			t.Errorf("the caller read %q through the link, want what it leads to", got)
		}
		if _, err := os.ReadFile(f.path("loop")); !errors.Is(err, unix.ELOOP) {
			t.Errorf("reading a loop = %v, want ELOOP", err)
		}
		for _, name := range []string{"out", "up"} {
			if _, err := f.api.Open(t.Context(), fs.Path(name), fs.OpenRead); err == nil {
				t.Errorf("the API followed %s out of the drive", name)
			}
		}
	})
}

func TestAcrossDrives(t *testing.T) {
	f := mount(t, setup{root: "-", drives: map[string]fs.Drive{
		"a": openLocal(t, t.TempDir()), "b": openLocal(t, t.TempDir()), "c": mem.New(mem.Options{}),
	}})
	writeFile(t, f.path("a/f"), "1")
	for _, to := range []string{"b/g", "c/g"} {
		if err := os.Link(f.path("a/f"), f.path(to)); !errors.Is(err, unix.EXDEV) {
			t.Errorf("link to %s = %v, want EXDEV", to, err)
		}
		if err := os.Rename(f.path("a/f"), f.path(to)); !errors.Is(err, unix.EXDEV) {
			t.Errorf("rename to %s = %v, want EXDEV", to, err)
		}
	}
	for name, err := range map[string]error{
		"mkdir":  os.Mkdir(f.path("d"), 0o755),
		"create": os.WriteFile(f.path("d"), nil, 0o644),
		"remove": os.Remove(f.path("a")),
		"rename": os.Rename(f.path("a"), f.path("z")),
	} {
		if !errors.Is(err, unix.EPERM) && !(name == "remove" && err != nil) {
			t.Errorf("%s at the top = %v, want EPERM", name, err)
		}
	}
	list, err := os.ReadDir(f.dir)
	if err != nil || len(list) != 3 {
		t.Errorf("the top has %v, %v, want the three drives", list, err)
	}
}

func TestNamesAreBytes(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		names := []string{"\xff\xfe", "e\u0301", "\u00e9", "a\nb", `back\slash`, strings.Repeat("x", fs.MaxName)}
		for _, name := range names {
			writeFile(t, f.path(name), name)
		}
		list, err := os.ReadDir(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if got := readFile(t, f.path(name)); got != name {
				t.Errorf("file %q has %q", name, got)
			}
			if !slices.ContainsFunc(list, func(e os.DirEntry) bool { return e.Name() == name }) {
				t.Errorf("name %q is not listed", name)
			}
		}
		if err := os.WriteFile(f.path(strings.Repeat("x", fs.MaxName+1)), nil, 0o644); !errors.Is(err, unix.ENAMETOOLONG) {
			t.Errorf("a name of 256 bytes = %v, want ENAMETOOLONG", err)
		}
		if _, err := os.Stat(f.path(fs.ReservedName)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("stat of the daemon's own folder = %v, want ENOENT", err)
		}
	})
}

// TestRewindShowsPresent checks that a directory is read anew when it is rewound.
func TestRewindShowsPresent(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		dir, err := os.Open(f.dir)
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		f.replace(t, "first", "1")
		for _, want := range []int{1, 2} {
			names, err := dir.Readdirnames(-1)
			if err != nil || len(names) != want {
				t.Errorf("names = %v, %v, want %d", names, err, want)
			}
			f.replace(t, "second", "2")
			if _, err := dir.Seek(0, 0); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestPanicIsEIO(t *testing.T) {
	needFUSE(t)
	var caught atomic.Value
	var calls atomic.Int32
	f := mount(t, setup{})
	v := access.New(f.tree, access.Everyone{}, fs.Principal{ID: "local:x"}, fs.OriginMount)
	m, err := Mount(t.Context(), Options{
		Mountpoint:   t.TempDir() + "/mnt",
		PanicHandler: func(v any) { caught.Store(v) },
		View: func(Caller) (*access.View, error) {
			if calls.Add(1) > 1 {
				panic("boom")
			}
			return v, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	_, err = os.Stat(m.Mountpoint() + "/x")
	if !errors.Is(err, unix.EIO) {
		t.Errorf("stat = %v, want EIO", err)
	}
	if err := m.Close(t.Context()); err != nil {
		t.Errorf("Close() = %v", err)
	}
	if got := caught.Load(); got != "boom" {
		t.Errorf("the handler was given %v, want boom", got)
	}
}
