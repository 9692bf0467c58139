package blockcache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	iofs "io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func mustOpen(t *testing.T, dir string, limit int64) *Cache {
	t.Helper()
	c, err := Open(dir, Options{Limit: limit, MinFree: -1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func key(name string) Key { return Key{Drive: "drive", Name: name, Version: "v1"} }

func mustFile(t *testing.T, c *Cache, k Key, size int64) *File {
	t.Helper()
	f, err := c.Open(k, size)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

// pattern returns bytes which tell where in a file they belong.
func pattern(seed uint64, off, n int64) []byte {
	b := make([]byte, n)
	for i := range b {
		at := uint64(off) + uint64(i)
		b[i] = byte((at*2654435761 + seed*40503) >> 11)
	}
	return b
}

func mustWrite(t *testing.T, f *File, seed uint64, off, n int64) {
	t.Helper()
	if err := f.WriteAt(pattern(seed, off, n), off); err != nil {
		t.Fatal(err)
	}
}

// wantRead reads a range, which must be there or not.
func wantRead(t *testing.T, f *File, seed uint64, off, n int64, there bool) {
	t.Helper()
	p := make([]byte, n)
	got, ok, err := f.ReadAt(p, off)
	if err != nil || ok != there {
		t.Fatalf("ReadAt(%d bytes at %d) = %d, %t, %v; want %t", n, off, got, ok, err, there)
	}
	if ok && !bytes.Equal(p[:got], pattern(seed, off, min(n, f.Size()-off))) {
		t.Fatalf("ReadAt(%d bytes at %d) has other bytes", n, off)
	}
}

func TestReadAndWrite(t *testing.T) {
	c := mustOpen(t, t.TempDir(), 64<<20)
	const size = 5*Unit + 100
	f := mustFile(t, c, key("a"), size)
	wantRead(t, f, 1, 0, 10, false)
	mustWrite(t, f, 1, Unit, 2*Unit)
	wantRead(t, f, 1, Unit+7, 2*Unit-7, true)
	wantRead(t, f, 1, Unit-1, 2, false)
	wantRead(t, f, 1, 3*Unit-1, 2, false)
	mustWrite(t, f, 1, 5*Unit, 100)
	wantRead(t, f, 1, 5*Unit, 4096, true)
	wantRead(t, f, 1, size, 10, true)
	want := []Range{{0, Unit}, {3 * Unit, 2 * Unit}}
	if got := f.Missing(0, size+50); !equal(got, want) {
		t.Errorf("Missing = %v, want %v", got, want)
	}
	if f.Complete() {
		t.Error("complete already")
	}
	for _, r := range want {
		mustWrite(t, f, 1, r.Off, r.Len)
	}
	if !f.Complete() || f.Missing(0, size) != nil {
		t.Error("not complete")
	}
	wantRead(t, f, 1, 0, size, true)
}

func equal(a, b []Range) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func TestRefusedRanges(t *testing.T) {
	c := mustOpen(t, t.TempDir(), 64<<20)
	f := mustFile(t, c, key("a"), 3*Unit+1)
	for _, r := range []Range{{1, Unit}, {0, 1}, {0, Unit - 1}, {3 * Unit, Unit}, {-Unit, Unit}, {4 * Unit, 1}} {
		if err := f.WriteAt(make([]byte, r.Len), r.Off); fs.KindOf(err) != fs.Invalid {
			t.Errorf("WriteAt %v: %v", r, err)
		}
	}
}

func TestStaysAfterReopening(t *testing.T) {
	dir := t.TempDir()
	const size = 40 * Unit
	first := mustOpen(t, dir, 64<<20)
	f := mustFile(t, first, key("a"), size)
	mustWrite(t, f, 1, 0, 33*Unit)
	// Neither is closed: as after a kill.
	second := mustOpen(t, dir, 64<<20)
	if used := second.Stats().Used; used < 33*Unit || used > 34*Unit {
		t.Errorf("%d bytes used", used)
	}
	g := mustFile(t, second, key("a"), size)
	wantRead(t, g, 1, 0, 33*Unit, true)
	wantRead(t, g, 1, 33*Unit, 1, false)
	if n := second.Stats().CheckedUnits; n != 33 {
		t.Errorf("%d units checked, want 33", n)
	}
	wantRead(t, g, 1, 0, 33*Unit, true)
	if n := second.Stats().CheckedUnits; n != 33 {
		t.Errorf("%d units checked after a second read, want 33", n)
	}
	other := mustFile(t, second, Key{Drive: "drive", Name: "a", Version: "v2"}, size)
	wantRead(t, other, 1, 0, 1, false)
}

func TestOtherSize(t *testing.T) {
	c := mustOpen(t, t.TempDir(), 64<<20)
	f := mustFile(t, c, key("a"), 2*Unit)
	mustWrite(t, f, 1, 0, 2*Unit)
	g := mustFile(t, c, key("a"), 3*Unit)
	wantRead(t, g, 1, 0, 1, false)
	wantRead(t, f, 1, 0, 2*Unit, true)
}

// TestDamage flips a bit of each unit on the disk: it is never served, and can be written again.
func TestDamage(t *testing.T) {
	dir := t.TempDir()
	const size = 3*Unit + 500
	first := mustOpen(t, dir, 64<<20)
	f := mustFile(t, first, key("a"), size)
	mustWrite(t, f, 1, 0, size)
	path := first.dataPath(f.entry.id)
	for u := int64(0); u < units(size); u++ {
		flip(t, path, u*Unit+min(499, u*100))
		c := mustOpen(t, dir, 64<<20)
		g := mustFile(t, c, key("a"), size)
		wantRead(t, g, 1, u*Unit, 10, false)
		want := []Range{{u * Unit, g.data.unitSize(u)}}
		if got := g.Missing(0, size); !equal(got, want) {
			t.Fatalf("unit %d: missing %v, want %v", u, got, want)
		}
		if n := c.Stats().DamagedUnits; n != 1 {
			t.Errorf("%d damaged units", n)
		}
		mustWrite(t, g, 1, want[0].Off, want[0].Len)
		wantRead(t, g, 1, 0, size, true)
		flip(t, path, u*Unit+5)
		h := mustFile(t, mustOpen(t, dir, 64<<20), key("a"), size)
		if err := h.Verify(t.Context()); err != nil || h.Complete() {
			t.Fatalf("unit %d: Verify = %v, complete %t", u, err, h.Complete())
		}
		mustWrite(t, h, 1, want[0].Off, want[0].Len)
	}
}

func flip(t *testing.T, path string, off int64) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], off); err != nil {
		t.Fatal(err)
	}
	b[0] ^= 1
	if _, err := f.WriteAt(b[:], off); err != nil {
		t.Fatal(err)
	}
}

// TestDamagedMap damages each byte of the map in turn: what is served is right.
func TestDamagedMap(t *testing.T) {
	dir := t.TempDir()
	const size = 2*Unit + 1
	first := mustOpen(t, dir, 64<<20)
	f := mustFile(t, first, key("a"), size)
	mustWrite(t, f, 1, 0, size)
	path := first.mapPath(f.entry.id)
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for off := int64(0); off < info.Size(); off++ {
		if off == 200 {
			off = headSize // nothing but zeros between
		}
		flip(t, path, off)
		c := mustOpen(t, dir, 64<<20)
		g := mustFile(t, c, key("a"), size)
		for u := range units(size) {
			p := make([]byte, 1)
			if _, ok, err := g.ReadAt(p, u*Unit); err != nil || (ok && p[0] != pattern(1, u*Unit, 1)[0]) {
				t.Fatalf("byte %d: unit %d reads %v, %v", off, u, p, err)
			}
		}
		mustWrite(t, g, 1, 0, size) // repairs
		wantRead(t, g, 1, 0, size, true)
	}
}

func TestRemoveAndRename(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, 64<<20)
	f := mustFile(t, c, key("a"), Unit)
	mustWrite(t, f, 1, 0, Unit)
	b := mustFile(t, c, key("b"), Unit)
	mustWrite(t, b, 2, 0, Unit)
	if err := c.Rename(key("a"), key("b")); err != nil {
		t.Fatal(err)
	}
	wantRead(t, f, 1, 0, Unit, true)
	wantRead(t, b, 2, 0, Unit, true) // goes on for who has it open
	wantRead(t, mustFile(t, c, key("b"), Unit), 1, 0, Unit, true)
	wantRead(t, mustFile(t, c, key("a"), Unit), 1, 0, 1, false)
	wantRead(t, mustFile(t, mustOpen(t, dir, 64<<20), key("b"), Unit), 1, 0, Unit, true)
	c.Remove(key("b"))
	wantRead(t, mustFile(t, c, key("b"), Unit), 1, 0, 1, false)
	wantRead(t, f, 1, 0, Unit, true)
	mustWrite(t, f, 1, 0, Unit)
}

func TestRenameOfClosed(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, 64<<20)
	f := mustFile(t, c, key("a"), Unit)
	mustWrite(t, f, 1, 0, Unit)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	to := Key{Drive: "drive", Name: "b", Version: "v2"}
	if err := c.Rename(key("a"), to); err != nil {
		t.Fatal(err)
	}
	wantRead(t, mustFile(t, c, to, Unit), 1, 0, Unit, true)
	if err := c.Rename(key("unknown"), key("c")); err != nil {
		t.Errorf("Rename of nothing: %v", err)
	}
}

func TestRemoveDrive(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, 64<<20)
	f := mustFile(t, c, key("a"), Unit)
	mustWrite(t, f, 1, 0, Unit)
	other := mustFile(t, c, Key{Drive: "other", Name: "a", Version: "v1"}, Unit)
	mustWrite(t, other, 2, 0, Unit)
	if err := c.RemoveDrive("drive"); err != nil {
		t.Fatal(err)
	}
	wantRead(t, f, 1, 0, Unit, true)
	wantRead(t, other, 2, 0, Unit, true)
	if c.Used("drive") != 0 || c.Used("other") == 0 {
		t.Errorf("used %d and %d", c.Used("drive"), c.Used("other"))
	}
	wantRead(t, mustFile(t, c, key("a"), Unit), 1, 0, 1, false)
}

func TestDescriptor(t *testing.T) {
	dir := t.TempDir()
	const size = 2*Unit + 5
	c := mustOpen(t, dir, 64<<20)
	f := mustFile(t, c, key("a"), size)
	mustWrite(t, f, 1, 0, Unit)
	if _, ok := f.Descriptor(); ok {
		t.Fatal("a descriptor of half a file")
	}
	mustWrite(t, f, 1, Unit, Unit+5)
	d, ok := f.Descriptor()
	if !ok {
		t.Fatal("no descriptor of a complete file")
	}
	got, err := io.ReadAll(io.NewSectionReader(d, 0, 1<<20))
	if err != nil || !bytes.Equal(got, pattern(1, 0, size)) {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if _, err := d.Write([]byte("x")); err == nil {
		t.Error("the descriptor can be written to")
	}
	second := mustFile(t, mustOpen(t, dir, 64<<20), key("a"), size)
	if _, ok := second.Descriptor(); ok {
		t.Error("a descriptor of what was not checked")
	}
	if err := second.Verify(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, ok := second.Descriptor(); !ok {
		t.Error("no descriptor of what was checked")
	}
}

func TestAdoptFile(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, filepath.Join(dir, "cache"), 64<<20)
	const size = 70*Unit + 9
	for name, from := range map[string]string{"same file system": dir, "another": otherFileSystem(t)} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(from, "staging")
			if err := os.WriteFile(path, pattern(3, 0, size), 0o600); err != nil {
				t.Fatal(err)
			}
			k := key(name)
			open := mustFile(t, c, k, size)
			mustWrite(t, open, 3, 0, Unit)
			if err := c.AdoptFile(k, path); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("the file is still there: %v", err)
			}
			wantRead(t, open, 3, 0, size, true)
			wantRead(t, mustFile(t, mustOpen(t, c.dir, 64<<20), k, size), 3, 0, size, true)
		})
	}
	path := filepath.Join(dir, "large")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 65<<20); err != nil {
		t.Fatal(err)
	}
	if err := c.AdoptFile(key("large"), path); fs.KindOf(err) != fs.NoSpace {
		t.Errorf("AdoptFile of more than the limit: %v", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Errorf("a refused file: %v", err)
	}
}

func otherFileSystem(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "blockcache") //nolint:usetesting // t.TempDir knows no other file system
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// diskUsage returns what the cache's files take.
func diskUsage(t *testing.T, dir string) int64 {
	t.Helper()
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			n += blocks(info)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEvictsClosedFilesFirst(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, 8<<20)
	write := func(name string) {
		f := mustFile(t, c, key(name), 1<<20)
		mustWrite(t, f, 1, 0, 1<<20)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	use := func(name string) bool {
		f := mustFile(t, c, key(name), 1<<20)
		_, ok, err := f.ReadAt(make([]byte, 1), 0)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		return ok
	}
	write("often")
	for range 2 {
		if !use("often") {
			t.Fatal("gone at once")
		}
	}
	pinned := mustFile(t, c, key("pinned"), 1<<20)
	mustWrite(t, pinned, 2, 0, 1<<20)
	pinned.Pin()
	for i := range 30 {
		write(fmt.Sprint("once", i))
	}
	if !use("often") {
		t.Error("a file that is used often went before those used once")
	}
	if use("once0") || !use("once29") {
		t.Error("the oldest is there, or the newest is not")
	}
	wantRead(t, pinned, 2, 0, 1<<20, true)
	if used := diskUsage(t, dir); used > 8<<20 {
		t.Errorf("%d bytes on the disk", used)
	}
}

func TestEvictsChunksOfOpenFiles(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, 8<<20)
	const size = 64 << 20
	f := mustFile(t, c, key("large"), size)
	for off := int64(0); off < size; off += 1 << 20 {
		mustWrite(t, f, 1, off, 1<<20)
		wantRead(t, f, 1, off, 1<<20, true)
	}
	if used := diskUsage(t, dir); used > 8<<20 {
		t.Errorf("%d bytes on the disk", used)
	}
	if s := c.Stats(); s.Used > s.Limit || s.Evicted < 50<<20 {
		t.Errorf("stats %+v", s)
	}
	wantRead(t, f, 1, size-4<<20, 4<<20, true)
}

func TestNothingCanGo(t *testing.T) {
	c := mustOpen(t, t.TempDir(), 2<<20)
	f := mustFile(t, c, key("a"), 4<<20)
	f.Pin()
	mustWrite(t, f, 1, 0, 1<<20)
	if err := f.WriteAt(make([]byte, 2<<20), 2<<20); fs.KindOf(err) != fs.NoSpace {
		t.Errorf("WriteAt = %v", err)
	}
	wantRead(t, f, 1, 0, 1<<20, true)
	if s := c.Stats(); s.RefusedWrites != 1 || s.Pinned != s.Used {
		t.Errorf("stats %+v", s)
	}
}

// TestManyAtOnce fills, reads, drops and renames from many goroutines: bytes are right, and the limit holds at any time.
func TestManyAtOnce(t *testing.T) {
	dir := t.TempDir()
	const limit, size = 6 << 20, 3<<20 + 77
	c := mustOpen(t, dir, limit)
	var wg sync.WaitGroup
	for w := range 6 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(1, uint64(w)))
			for range 15 {
				name := uint64(r.IntN(5))
				if err := useFile(c, r, name, size); err != nil {
					t.Error(err)
					return
				}
				if r.IntN(8) == 0 {
					c.Remove(key(fmt.Sprint(name)))
				}
			}
		})
	}
	wg.Wait()
	if used, disk := c.Stats().Used, diskUsage(t, dir); disk > used+64<<10 {
		t.Errorf("%d bytes on the disk, %d counted", disk, used)
	}
}

// useFile reads and fills parts of a file and checks what it reads.
func useFile(c *Cache, r *rand.Rand, name uint64, size int64) error {
	f, err := c.Open(key(fmt.Sprint(name)), size)
	if err != nil {
		return err
	}
	for range 20 {
		off := r.Int64N(size)
		n := min(r.Int64N(300<<10)+1, size-off)
		p := make([]byte, n)
		_, ok, err := f.ReadAt(p, off)
		if err != nil {
			return err
		}
		if ok {
			if !bytes.Equal(p, pattern(name, off, n)) {
				return fmt.Errorf("file %d: other bytes at %d", name, off)
			}
			continue
		}
		for _, m := range f.Missing(off, n) {
			if err := f.WriteAt(pattern(name, m.Off, m.Len), m.Off); err != nil && fs.KindOf(err) != fs.NoSpace {
				return err
			}
		}
		if s := c.Stats(); s.Used > s.Limit || s.Used < 0 {
			return fmt.Errorf("used %d of %d", s.Used, s.Limit)
		}
	}
	return f.Close()
}

func TestRubbishInTheDirectory(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, 64<<20)
	f := mustFile(t, c, key("a"), Unit)
	mustWrite(t, f, 1, 0, Unit)
	alone := c.dataPath(driveDir("drive") + "/00/" + "11111111111111111111111111111")
	if err := os.MkdirAll(filepath.Dir(alone), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{alone, filepath.Join(filepath.Dir(alone), "rubbish")} {
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	second := mustOpen(t, dir, 64<<20)
	wantRead(t, mustFile(t, second, key("a"), Unit), 1, 0, Unit, true)
	if _, err := os.Stat(alone); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("contents without a map: %v", err)
	}
	if err := os.WriteFile(filepath.Join(dir, versionFile), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	third := mustOpen(t, dir, 64<<20)
	if s := third.Stats(); s.Files != 0 || s.Used != 0 {
		t.Errorf("a cache of another format was taken: %+v", s)
	}
}

func TestShrunkLimit(t *testing.T) {
	dir := t.TempDir()
	c := mustOpen(t, dir, 64<<20)
	for i := range 10 {
		f := mustFile(t, c, key(fmt.Sprint(i)), 1<<20)
		mustWrite(t, f, 1, 0, 1<<20)
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	small := mustOpen(t, dir, 4<<20)
	if used := diskUsage(t, dir); used > 4<<20 || small.Stats().Files == 0 {
		t.Errorf("%d bytes on the disk, %d files", used, small.Stats().Files)
	}
}

func TestMinFree(t *testing.T) {
	c, err := Open(t.TempDir(), Options{MinFree: 1 << 60})
	if err != nil {
		t.Fatal(err)
	}
	f := mustFile(t, c, key("a"), Unit)
	if err := f.WriteAt(pattern(1, 0, Unit), 0); fs.KindOf(err) != fs.NoSpace {
		t.Errorf("WriteAt = %v", err)
	}
}
