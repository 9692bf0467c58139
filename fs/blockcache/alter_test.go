package blockcache

import (
	"bytes"
	"os"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// lend returns the complete file a and its descriptor.
func lend(t *testing.T, c *Cache, size int64) (*File, *os.File) {
	t.Helper()
	f := mustFile(t, c, key("a"), size)
	mustWrite(t, f, 1, 0, size)
	d, ok := f.Descriptor()
	if !ok {
		t.Fatal("a complete file has no descriptor")
	}
	return f, d
}

// TestAlter changes a file that others read through its descriptor: they see the change, the cache never serves it.
func TestAlter(t *testing.T) {
	const size = 4*Unit + 100
	for _, tt := range []struct {
		name    string
		off, n  int64
		do      func(*os.File) error
		absent  []Range
		newSize int64
	}{
		{"write", Unit + 5, 10, func(f *os.File) error { _, err := f.WriteAt([]byte("0123456789"), Unit+5); return err }, []Range{{Unit, Unit}}, size},
		{"write over two units", 2*Unit - 5, 10, func(f *os.File) error { _, err := f.WriteAt([]byte("0123456789"), 2*Unit-5); return err }, []Range{{Unit, 2 * Unit}}, size},
		{"append", size, 10, func(f *os.File) error { _, err := f.WriteAt([]byte("0123456789"), size); return err }, nil, size + 10},
		{"shrink", Unit + 1, -1, func(f *os.File) error { return f.Truncate(Unit + 1) }, []Range{{Unit, size - Unit}}, Unit + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := mustOpen(t, t.TempDir(), 3*size/2) // no room for a copy
			f := alter(t, c, size, tt.newSize, func(f *File) error { return f.Alter(tt.off, tt.n, tt.do) })
			other := mustFile(t, c, key("a"), size)
			if got := other.Missing(0, size); len(got) != len(tt.absent) || len(got) == 1 && got[0] != tt.absent[0] {
				t.Errorf("absent are %v, want %v", got, tt.absent)
			}
			wantRead(t, other, 1, 0, Unit, true)
			if err := other.WriteAt(pattern(1, Unit, Unit), Unit); fs.KindOf(err) != fs.NoSpace {
				t.Errorf("storing in it = %v, want NoSpace", err)
			}
			closeAll(t, f, other)
			if got := mustFile(t, c, key("a"), size).Missing(0, size); len(got) != 1 || got[0].Len != size {
				t.Errorf("after its last use absent are %v, want all", got)
			}
		})
		t.Run(tt.name+", kept", func(t *testing.T) {
			dir := t.TempDir()
			c := mustOpen(t, dir, 64<<20)
			f := alter(t, c, size, tt.newSize, func(f *File) error { return f.Alter(tt.off, tt.n, tt.do) })
			if err := f.Alter(0, 1, func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 0); return err }); err != nil {
				t.Fatal(err)
			}
			other := mustFile(t, c, key("a"), size)
			wantRead(t, other, 1, 0, size, true)
			if err := other.WriteAt(pattern(1, Unit, Unit), Unit); err != nil {
				t.Errorf("storing in it = %v", err)
			}
			if used := c.Stats().Used; used < 2*size {
				t.Errorf("%d bytes are counted, want those of both files", used)
			}
			closeAll(t, f, other)
			if used := c.Stats().Used; used >= 2*size {
				t.Errorf("%d bytes are counted after the last use", used)
			}
			again := mustFile(t, c, key("a"), size)
			wantRead(t, again, 1, 0, size, true)
			if _, ok := again.Descriptor(); !ok {
				t.Error("after its last use the file has no descriptor")
			}
			closeAll(t, again)
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			wantRead(t, mustFile(t, mustOpen(t, dir, 64<<20), key("a"), size), 1, 0, size, true)
		})
	}
}

// alter lends a, alters it, and looks at what that makes of its descriptor and of those of others.
func alter(t *testing.T, c *Cache, size, newSize int64, do func(*File) error) *File {
	t.Helper()
	f, d := lend(t, c, size)
	if err := do(f); err != nil {
		t.Fatal(err)
	}
	if info, err := d.Stat(); err != nil || info.Size() != newSize {
		t.Errorf("the descriptor's file has %v, %v, want %d bytes", info, err, newSize)
	}
	other := mustFile(t, c, key("a"), size)
	if _, ok := other.Descriptor(); ok {
		t.Error("an altered file has a descriptor for others")
	}
	closeAll(t, other)
	return f
}

func closeAll(t *testing.T, files ...*File) {
	t.Helper()
	for _, f := range files {
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestOneLender asks for the descriptor of a key in two uses of it.
func TestOneLender(t *testing.T) {
	const size = 2 * Unit
	c := mustOpen(t, t.TempDir(), 64<<20)
	f, _ := lend(t, c, size)
	other := mustFile(t, c, key("a"), size)
	if _, ok := other.Descriptor(); ok {
		t.Error("a second use has a descriptor too")
	}
	closeAll(t, f)
	if _, ok := other.Descriptor(); !ok {
		t.Error("a second use has no descriptor once the first has ended")
	}
	closeAll(t, other)
}

// TestAlterMakesRoom has a file that was handed out grow past what the cache has left: others give way.
func TestAlterMakesRoom(t *testing.T) {
	const size = 1 << 20
	c := mustOpen(t, t.TempDir(), 4*size)
	other := mustFile(t, c, key("b"), size)
	mustWrite(t, other, 2, 0, size)
	closeAll(t, other)
	f, _ := lend(t, c, size)
	for off := int64(size); off < 2*size+size/2; off += Unit {
		if err := f.Alter(off, Unit, func(f *os.File) error { _, err := f.WriteAt(pattern(3, off, Unit), off); return err }); err != nil {
			t.Fatal(err)
		}
	}
	if s := c.Stats(); s.Used > s.Limit || s.Evicted == 0 {
		t.Errorf("the cache has %+v: nothing has given way, or it is over its limit", s)
	}
	closeAll(t, f)
}

// TestTooLargeToKeep alters a file of which no copy is made.
func TestTooLargeToKeep(t *testing.T) {
	const size = keepLimit + 1
	c := mustOpen(t, t.TempDir(), 128<<20)
	f := alter(t, c, size, size, func(f *File) error {
		return f.Alter(0, 1, func(f *os.File) error { _, err := f.WriteAt([]byte("x"), 0); return err })
	})
	if got := f.Missing(0, size); len(got) != 1 || got[0] != (Range{0, Unit}) {
		t.Errorf("absent are %v, want the unit that was altered", got)
	}
	closeAll(t, f)
	if got := mustFile(t, c, key("a"), size).Missing(0, size); len(got) != 1 || got[0].Len != size {
		t.Errorf("after its last use absent are %v, want all", got)
	}
}

// TestLentFileIsNeverPunched fills the cache while a file is open that was lent before: a mapping may be left.
func TestLentFileIsNeverPunched(t *testing.T) {
	const size = 8 << 20
	c := mustOpen(t, t.TempDir(), 3*size)
	f, d := lend(t, c, size)
	left, err := os.Open(d.Name())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = left.Close() }() // it was only read
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	mustFile(t, c, key("a"), size) // open, but not pinned
	for i, f := range []*File{mustFile(t, c, key("b"), size), mustFile(t, c, key("c"), size), mustFile(t, c, key("d"), size)} {
		for off := int64(0); off < size; off += 1 << 20 {
			if err := f.WriteAt(pattern(2, off, 1<<20), off); err != nil && fs.KindOf(err) != fs.NoSpace {
				t.Fatalf("file %d: %v", i, err)
			}
		}
	}
	if s := c.Stats(); s.Evicted == 0 || s.Used > s.Limit {
		t.Errorf("the cache has %+v: nothing was evicted, or it is over its limit", s)
	}
	got := make([]byte, size)
	if _, err := left.ReadAt(got, 0); err != nil || !bytes.Equal(got, pattern(1, 0, size)) {
		t.Errorf("a file that was lent has other bytes after evictions: %v", err)
	}
}

// TestCheckedOnce opens a file again that was checked, and one that somebody has changed meanwhile.
func TestCheckedOnce(t *testing.T) {
	const size = 4 * Unit
	c := mustOpen(t, t.TempDir(), 64<<20)
	f := mustFile(t, c, key("a"), size)
	mustWrite(t, f, 1, 0, size)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f = mustFile(t, c, key("a"), size)
	if n := f.Unchecked(); n != 0 {
		t.Errorf("%d bytes are to be checked again", n)
	}
	if _, ok := f.Descriptor(); !ok {
		t.Error("a file that was checked has no descriptor when it is opened again")
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	flip(t, c.dataPath(f.entry.id), Unit+3)
	f = mustFile(t, c, key("a"), size)
	if n := f.Unchecked(); n != size {
		t.Errorf("%d bytes are to be checked after a change, want all", n)
	}
	if _, ok := f.Descriptor(); ok {
		t.Error("a file that was changed has a descriptor")
	}
	if err := f.Verify(t.Context()); err != nil || f.Complete() {
		t.Errorf("Verify = %v, and the damage was not found", err)
	}
}
