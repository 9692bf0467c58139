package journal

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// smallDisk returns a file system of its own with that many bytes.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skipf("cannot mount a small file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// fillUp takes all space that is left, and returns a function that gives it back.
func fillUp(t *testing.T, dir string) (empty func()) {
	t.Helper()
	path := filepath.Join(dir, "filler")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, unix.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// TestFullDisk fills the disk: records of what is to be done are refused, those of what was done are taken, and nothing is damaged.
func TestFullDisk(t *testing.T) {
	disk := smallDisk(t, "128k")
	dir := filepath.Join(disk, "journal")
	j, err := Open(dir, testOptions(), func(Record) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	add := func(write func(...Entry) (uint64, error)) error {
		_, err := write(note(n))
		if err == nil {
			n++
		}
		return err
	}
	for range 20 {
		if err := add(j.Append); err != nil {
			t.Fatal(err)
		}
	}
	empty := fillUp(t, disk)
	for err = error(nil); err == nil; {
		err = add(j.Append)
	}
	if fs.KindOf(err) != fs.NoSpace || n < 30 {
		t.Fatalf("after %d records: %v", n, err)
	}
	if err := j.Checkpoint(func(write func(Entry) error) error { return write(note(0)) }); fs.KindOf(err) != fs.NoSpace {
		t.Errorf("Checkpoint = %v", err)
	}
	for range 5 {
		if err := add(j.AppendSettled); err != nil {
			t.Fatalf("AppendSettled = %v", err)
		}
	}
	if err := j.Sync(t.Context()); err != nil {
		t.Error(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	// Still full when it starts again.
	var got []string
	j, err = Open(dir, testOptions(), func(r Record) error {
		got = append(got, string(r.Payload))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantNotes(t, got, 0, n)
	if err := add(j.AppendSettled); err != nil {
		t.Errorf("AppendSettled after a start = %v", err)
	}
	if err := add(j.Append); fs.KindOf(err) != fs.NoSpace {
		t.Errorf("Append after a start = %v", err)
	}
	empty()
	for range 100 {
		if err := add(j.Append); err != nil {
			t.Fatalf("Append when there is space again = %v", err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	final, got := mustOpen(t, dir, testOptions())
	wantNotes(t, got, 0, n)
	if err := final.Close(); err != nil {
		t.Error(err)
	}
}

// TestFullDiskTornEnd starts with a torn end and a full disk.
func TestFullDiskTornEnd(t *testing.T) {
	whole := sample(t, 6, false)
	disk := smallDisk(t, "64k")
	marks := ends(t, whole)
	whole[marks[3]+headerSize] ^= 1
	path := filepath.Join(disk, segmentName(1))
	if err := os.WriteFile(path, append(whole, make([]byte, 8<<10)...), 0o600); err != nil {
		t.Fatal(err)
	}
	fillUp(t, disk)
	j, got, err := reopen(t, disk, testOptions())
	if err != nil {
		t.Fatal(err)
	}
	wantNotes(t, got, 0, 4)
	mustAppend(t, j, note(4))
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}
