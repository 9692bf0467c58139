package snapshot

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func openFile(t *testing.T, path string, o Options) *File {
	t.Helper()
	f, err := Open(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return f
}

// copyOf returns a copy of a file, as a killed daemon leaves it.
func copyOf(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return write(t, b)
}

func write(t *testing.T, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "listings")
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// want checks the listing of a directory; "" = there is none.
func want(t *testing.T, f *File, dir, data string, gone ...string) {
	t.Helper()
	got, left := f.Get(dir)
	if string(got) != data || len(left) != len(gone) || f.Has(dir) != (data != "") {
		t.Errorf("Get(%q) = %q without %v, want %q without %q", dir, got, left, data, gone)
	}
	for _, name := range gone {
		if !left[name] {
			t.Errorf("%q is not gone from %q", name, dir)
		}
	}
}

func TestListingsAreKept(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "listings")
	o := Options{Drive: fs.NewDriveID()}
	f := openFile(t, path, o)
	f.Put("", []byte("top"))
	f.Put("a", []byte("first"))
	f.Put("a/b", []byte("below"))
	f.Put("ab", []byte("beside"))
	f.Put("a", []byte("second"))
	f.Gone("x", false)
	f.Gone("a/name", false)
	check := func(f *File) {
		t.Helper()
		want(t, f, "", "top", "x")
		want(t, f, "a", "second", "name")
		want(t, f, "a/b", "below")
		want(t, f, "ab", "beside")
		want(t, f, "missing", "")
	}
	check(f)
	check(openFile(t, copyOf(t, path), o))
	if _, err := Open(path, o); fs.KindOf(err) != fs.Busy {
		t.Errorf("Open() of a file in use = %v, want Busy", err)
	}

	f.Gone("a", true)
	want(t, f, "", "top", "x", "a")
	want(t, f, "a", "")
	want(t, f, "a/b", "")
	want(t, f, "ab", "beside")
	f.Put("", []byte("top"))
	want(t, f, "", "top")
	f = openFile(t, copyOf(t, path), o)
	want(t, f, "a/b", "")
	want(t, f, "", "top")
}

// TestUnchangedIsNotWritten checks that what is listed again and again does not make the file grow.
func TestUnchangedIsNotWritten(t *testing.T) {
	f := openFile(t, filepath.Join(t.TempDir(), "listings"), Options{})
	f.Put("a", []byte("text"))
	f.Gone("a/x", false)
	size := f.size
	f.Gone("a/x", false)
	f.Gone("b/x", true)
	if f.size != size {
		t.Errorf("names that are known to be gone were written: %d bytes after %d", f.size, size)
	}
	f.Put("a", []byte("text"))
	want(t, f, "a", "text")
	size = f.size
	f.Put("a", []byte("text"))
	if f.size != size {
		t.Errorf("the same listing was written again: %d bytes after %d", f.size, size)
	}
}

// TestTrust opens files that are not what they seem.
func TestTrust(t *testing.T) {
	mine := Options{Drive: fs.NewDriveID(), boot: "1"}
	path := filepath.Join(t.TempDir(), "listings")
	f := openFile(t, path, mine)
	f.Put("a", []byte("first"))
	f.Put("b", []byte("second"))
	if err := f.file.Sync(); err != nil {
		t.Fatal(err)
	}
	killed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	closed, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	changed := func(b []byte, at int) []byte {
		b = bytes.Clone(b)
		b[at] ^= 1
		return b
	}
	second := len(killed) - frameHead - len("b") - len("second")
	for _, c := range []struct {
		name string
		file []byte
		o    Options
		a, b string
	}{
		{"killed", killed, mine, "first", "second"},
		{"machine went down", killed, Options{Drive: mine.Drive, boot: "2"}, "", ""},
		{"closed before the machine went down", closed, Options{Drive: mine.Drive, boot: "2"}, "first", "second"},
		{"another drive", closed, Options{Drive: fs.NewDriveID(), boot: "1"}, "", ""},
		{"another release", changed(closed, len(magic)-1), mine, "", ""},
		{"damaged", changed(killed, len(killed)-1), mine, "first", ""},
		{"damaged length", changed(killed, second), mine, "first", ""},
		{"damaged path", changed(killed, second+frameHead), mine, "first", ""},
		{"damaged first", changed(killed, headerSize+frameHead+2), mine, "", ""},
		{"a kind of a newer release", append(bytes.Clone(killed), frameOf(9, "a", nil)...), mine, "first", "second"},
		{"empty", nil, mine, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := openFile(t, write(t, c.file), c.o)
			want(t, f, "a", c.a)
			want(t, f, "b", c.b)
			f.Put("c", []byte("third"))
			want(t, openFile(t, copyOf(t, f.path), c.o), "c", "third")
		})
	}
	for n := range killed {
		f := openFile(t, write(t, killed[:n]), mine)
		if n < second {
			want(t, f, "b", "")
		}
		if got, _ := f.Get("b"); got != nil {
			t.Errorf("a frame that was cut off after %d of %d bytes is %q", n, len(killed), got)
		}
	}
}

// TestLimit keeps more than fits: the newest stay.
func TestLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "listings")
	o := Options{Limit: 1 << 20}
	f := openFile(t, path, o)
	for i := range 400 {
		f.Put(fmt.Sprint(i), bytes.Repeat([]byte{byte(i)}, 10_000))
		f.Gone(fmt.Sprintf("%d/name", i), false)
		if f.size > o.Limit+20_000 {
			t.Fatalf("the file has %d bytes, want at most %d", f.size, o.Limit)
		}
	}
	for _, f := range []*File{f, openFile(t, copyOf(t, path), o)} {
		for i := 360; i < 400; i++ {
			want(t, f, fmt.Sprint(i), string(bytes.Repeat([]byte{byte(i)}, 10_000)), "name")
		}
		want(t, f, "0", "")
	}
	f.Put("399", make([]byte, 1<<19)) // too much
	want(t, f, "399", "")
	want(t, openFile(t, copyOf(t, path), o), "399", "")
	info, err := os.Stat(path)
	if err != nil || info.Size() != f.size {
		t.Errorf("the file at its path has %d bytes (%v), want %d", info.Size(), err, f.size)
	}
}

// TestFailedWrite takes the file away from under it.
func TestFailedWrite(t *testing.T) {
	f := openFile(t, filepath.Join(t.TempDir(), "listings"), Options{})
	f.Put("a", []byte("text"))
	if err := f.file.Close(); err != nil {
		t.Fatal(err)
	}
	f.Gone("a/x", false)
	want(t, f, "a", "")
	f.Put("a", []byte("text"))
	want(t, f, "a", "")
}
