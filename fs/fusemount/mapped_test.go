package fusemount

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// TestMappedAppend changes a file in memory that is mapped through a descriptor that appends: the kernel may send that by any descriptor.
func TestMappedAppend(t *testing.T) {
	if dir := childDir(); dir != "" {
		mappedAppend(t, filepath.Join(dir, "f"))
		return
	}
	run := func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": keep{d}}, opts: Options{NoPassthrough: true}})
		runTest(t, "TestMappedAppend", directory(t, f, "mapped", 0o755), "", uint32(os.Geteuid()))
	}
	each(t, run)
	t.Run("store", func(t *testing.T) { run(t, "store", storeDrive(t, drive.Options{})) })
}

func mappedAppend(t *testing.T, path string) {
	if err := os.WriteFile(path, make([]byte, 10_000), 0o600); err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	m, err := unix.Mmap(int(f.Fd()), 0, 10_000, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		t.Fatal(err)
	}
	want := make([]byte, 10_000, 10_100)
	for _, at := range []int{0, 5000, 9999} {
		m[at], want[at] = 'x', 'x'
		if err := unix.Msync(m, unix.MS_SYNC); err != nil {
			t.Fatal(err)
		}
	}
	want = append(want, "appended"...)
	if _, err := f.WriteString("appended"); err != nil {
		t.Fatal(err)
	}
	m[1], want[1] = 'y', 'y' // which the kernel sends with close
	if err := unix.Munmap(m); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(path)
	if err != nil || string(got) != string(want) {
		t.Errorf("the file has %d bytes, %v, want the %d that were written", len(got), err, len(want))
	}
}
