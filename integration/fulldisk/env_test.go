package fulldisk

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
	"github.com/jupyter-drive/jupyter-drive/integration/client"
)

// The sizes of the small disk, and of the part of it that the cache may take.
const (
	diskSize  = "96m"
	cacheSize = "16MB"
)

// full is a bucket's drive whose state and cache are on a small disk.
type full struct {
	*bucketdrive.Drive
	disk string            // where the small disk is seen
	want map[string][]byte // what was acknowledged, by name
	away bool              // the store is
	here map[string]bool   // names of what was acknowledged since the store went: it is on this machine
	part map[string]refused
	next int // number of the next file
}

// refused is a file that was being written in place when the disk was full, once or more: it has a part of what was written one of these times, or
// what it had before them.
type refused struct {
	written [][]byte
	before  []byte
}

// newFull makes the disk with a file system of a kind, "tmpfs" or "ext4".
func newFull(t *testing.T, kind string) *full {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("a disk of its own needs root")
	}
	x := &full{Drive: bucketdrive.New(t, bucketdrive.Options{}), want: map[string][]byte{}, here: map[string]bool{}, part: map[string]refused{}}
	home := x.Opts.Box.Home
	x.disk = filepath.Join(home, "disk")
	mountDisk(t, kind, x.disk, filepath.Join(t.TempDir(), "image"))
	for _, name := range []string{"state", "cache"} { // the sandbox unmounts them
		on, here := filepath.Join(x.disk, name), filepath.Join(home, name)
		if err := os.CopyFS(on, os.DirFS(here)); err != nil {
			t.Fatal(err)
		}
		if err := unix.Mount(on, here, "", unix.MS_BIND, ""); err != nil {
			t.Fatal(err)
		}
	}
	f, err := os.OpenFile(filepath.Join(home, "config", "jupyter-drive", "config.toml"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("\n[cache]\nsize = \"" + cacheSize + "\"\nmin_free = \"1B\"\n")
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return x
}

func mountDisk(t *testing.T, kind, at, image string) {
	t.Helper()
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if kind == "tmpfs" {
		switch err := unix.Mount("tmpfs", at, "tmpfs", 0, "size="+diskSize); {
		case errors.Is(err, unix.EPERM):
			t.Skipf("root may not mount a disk here: %v", err)
		case err != nil:
			t.Fatal(err)
		}
		return
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skipf("a disk with ext4 needs mkfs.ext4: %v", err)
	}
	cmd := exec.Command("/bin/sh", "-c", `truncate -s `+diskSize+` "$1" && mkfs.ext4 -q -m 0 "$1" && mount -o loop "$1" "$2"`, "sh", image, at)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("a disk with %s: %v %s", kind, err, out)
	}
}

// client is for the API of the daemon that runs.
func (x *full) client() client.Client { return client.Client{URL: x.Daemon.URL, Token: x.Daemon.Token} }

// filler is somebody else's file, which takes all of the disk but so many bytes. What is returned gives them back.
func (x *full) filler(t *testing.T, leave int64) (remove func()) {
	t.Helper()
	path := filepath.Join(x.disk, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	var st unix.Statfs_t
	if err := unix.Statfs(x.disk, &st); err != nil {
		t.Fatal(err)
	}
	for left := int64(st.Bavail)*st.Bsize - leave; left > 0 && err == nil; left -= 64 << 10 {
		_, err = f.Write(make([]byte, 64<<10))
	}
	if err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil && !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// free is how many bytes the disk has left.
func (x *full) free(t *testing.T) int64 {
	t.Helper()
	var st unix.Statfs_t
	if err := unix.Statfs(x.disk, &st); err != nil {
		t.Fatal(err)
	}
	return int64(st.Bavail) * st.Bsize
}
