package local

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Two guards keep the drive inside its folder, and each is tested without the other: how paths are resolved, and the comparison of
// what was opened with what was meant.

func TestPathsAreResolvedBeneath(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	for path, make := range map[string]func(path string) error{
		filepath.Join(outside, "f"): func(p string) error { return os.WriteFile(p, nil, 0o644) },
		filepath.Join(root, "dir"):  func(p string) error { return os.Symlink(outside, p) },
		filepath.Join(root, "here"): func(p string) error { return os.Symlink(".", p) },
		filepath.Join(root, "file"): func(p string) error { return os.Symlink(filepath.Join(outside, "f"), p) },
		filepath.Join(root, "self"): func(p string) error { return os.Symlink("/proc/self/root", p) },
	} {
		if err := make(path); err != nil {
			t.Fatal(err)
		}
	}
	at, err := unix.Open(root, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer closeFd(at)
	for path, want := range map[string]unix.Errno{
		"dir/f": unix.ELOOP, "here/file": unix.ELOOP, "file": unix.ELOOP, "self/etc": unix.ELOOP,
		"..": unix.EXDEV, "../" + filepath.Base(root): unix.EXDEV, filepath.Join(outside, "f"): unix.EXDEV,
	} {
		fd, err := openAt(at, path, unix.O_RDONLY, 0)
		if err == nil {
			closeFd(fd)
		}
		if !is(err, want) {
			t.Errorf("openAt(%q) = %v, want %v", path, err, want)
		}
	}
}

func TestANameThatLeadsToAnotherFileIsNotOpened(t *testing.T) {
	for _, tt := range []struct {
		name, path string
		swap       [2]string // exchanged behind the drive's back
	}{
		{"the file", "f", [2]string{"f", "g"}},
		{"its folder", "d/f", [2]string{"d", "e"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			root := t.TempDir()
			for path, text := range map[string]string{"f": "mine", "g": "other", "d/f": "mine", "e/f": "other"} {
				path = filepath.Join(root, path)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			d, err := Open(t.Context(), Options{Root: root, NoWatch: true})
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			var n fs.Node = d.Root()
			for name := range strings.SplitSeq(tt.path, "/") {
				if n, err = n.(fs.Dir).Lookup(t.Context(), name); err != nil {
					t.Fatal(err)
				}
			}
			err = unix.Renameat2(unix.AT_FDCWD, filepath.Join(root, tt.swap[0]), unix.AT_FDCWD, filepath.Join(root, tt.swap[1]), unix.RENAME_EXCHANGE)
			if err != nil {
				t.Fatal(err)
			}
			h, err := n.Open(t.Context(), fs.OpenRead)
			if err != nil {
				return // that it cannot be found any more is an answer too
			}
			got := make([]byte, 16)
			size, err := h.ReadAt(t.Context(), got, 0)
			if string(got[:size]) != "mine" {
				t.Errorf("the node's contents are %q, %v: those of another file", got[:size], err)
			}
			if err := h.Release(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
