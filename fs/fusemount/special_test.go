package fusemount

import (
	"errors"
	"os"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// TestNoDevices has a device in a bucket that somebody else has put there: it shows, and the kernel opens no device of the mount.
func TestNoDevices(t *testing.T) {
	b := mem.NewBackend(mem.BackendOptions{})
	null := fs.Special{Mode: fs.ModeChar, Rdev: uint32(unix.Mkdev(1, 3))}
	b.Inject("null", nil, fs.WriteOptions{Special: null, Mode: 0o666, HasMode: true})
	f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{storeDrive(t, drive.Options{Backend: b})}}})
	var st unix.Statfs_t
	if err := unix.Statfs(f.path(""), &st); err != nil || st.Flags&unix.ST_NODEV == 0 || st.Flags&unix.ST_NOSUID == 0 {
		t.Errorf("the flags of the mount are %#x, %v, without nodev or nosuid", st.Flags, err)
	}
	for range 2 { // the first one may find out that it is no file
		_, err := os.OpenFile(f.path("null"), os.O_WRONLY, 0)
		if !errors.Is(err, unix.EACCES) {
			t.Errorf("open of a device = %v, want EACCES", err)
		}
	}
	info, err := os.Lstat(f.path("null"))
	if err != nil || info.Mode() != os.ModeDevice|os.ModeCharDevice|0o666 || info.Sys().(*syscall.Stat_t).Rdev != uint64(null.Rdev) {
		t.Errorf("it is %v, %v", info, err)
	}
}

// TestFIFO talks through a FIFO in a bucket, which another daemon has made.
func TestFIFO(t *testing.T) {
	b := mem.NewBackend(mem.BackendOptions{})
	b.Inject("pipe", nil, fs.WriteOptions{Special: fs.Special{Mode: fs.ModeFIFO}, Mode: 0o600, HasMode: true})
	f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{storeDrive(t, drive.Options{Backend: b})}}})
	r, err := os.OpenFile(f.path("pipe"), os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if info, err := r.Stat(); err != nil || info.Mode().Type() != os.ModeNamedPipe {
		t.Fatalf("it is %v, %v", info, err)
	}
	w, err := os.OpenFile(f.path("pipe"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := w.WriteString("hello"); err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 10)
	if err := r.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if n, err := r.Read(p); err != nil || string(p[:n]) != "hello" {
		t.Errorf("read %q, %v", p[:n], err)
	}
	entries, err := os.ReadDir(f.path(""))
	if err != nil || len(entries) != 1 || entries[0].Type() != os.ModeNamedPipe {
		t.Errorf("the folder has %v, %v", entries, err)
	}
}

// TestExchangeInMount has two names change places, of which programs know one as it was before.
func TestExchangeInMount(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}})
		for name, text := range map[string]string{"a": "one", "b": "second"} {
			if err := os.WriteFile(f.path(name), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.Mkdir(f.path("d"), 0o755); err != nil {
			t.Fatal(err)
		}
		before, err := os.Stat(f.path("a"))
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range [][2]string{{"a", "b"}, {"b", "d"}} {
			if err := unix.Renameat2(unix.AT_FDCWD, f.path(pair[0]), unix.AT_FDCWD, f.path(pair[1]), unix.RENAME_EXCHANGE); err != nil {
				t.Fatal(err)
			}
		}
		if p, err := os.ReadFile(f.path("a")); err != nil || string(p) != "second" {
			t.Errorf("a has %q, %v", p, err)
		}
		after, err := os.Stat(f.path("d"))
		if err != nil || !os.SameFile(before, after) {
			t.Errorf("d is not the file that was a: %v", err)
		}
		if info, err := os.Stat(f.path("b")); err != nil || !info.IsDir() {
			t.Errorf("b is %v, %v, no folder", info, err)
		}
		err = unix.Renameat2(unix.AT_FDCWD, f.path("a"), unix.AT_FDCWD, f.path("none"), unix.RENAME_EXCHANGE)
		if !errors.Is(err, unix.ENOENT) {
			t.Errorf("exchange with nothing = %v, want ENOENT", err)
		}
	})
}
