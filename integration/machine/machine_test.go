package machine

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
)

// The size of a run. A file with open slots is at most spread bytes long, but for what is appended.
const (
	steps  = 200
	slots  = 6
	spread = 200_000
)

// TestMain lets many seeds run side by side: most of the time they wait for uploads.
func TestMain(m *testing.M) {
	flag.Parse()
	if err := flag.Set("test.parallel", "12"); err != nil {
		panic(err) // it is a flag of every test
	}
	os.Exit(m.Run())
}

// machine does the same to both sides.
type machine struct {
	t     *testing.T
	rng   *rand.Rand
	drive side
	disk  side
	flags map[int]int // how each slot was opened
	done  map[string]int
	log   []string
}

func newMachine(t *testing.T, seed uint64, drive, disk string) *machine {
	t.Helper()
	for _, dir := range []string{drive, disk} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return &machine{
		t: t, rng: rand.New(rand.NewPCG(seed, 11)), flags: map[int]int{}, done: map[string]int{},
		drive: side{drive, map[int]*opened{}}, disk: side{disk, map[int]*opened{}},
	}
}

// both does something to both sides; what comes of it must be the same.
func (m *machine) both(what string, do func(s *side) string) {
	m.t.Helper()
	got, want := do(&m.drive), do(&m.disk)
	m.log = append(m.log, what+": "+want)
	m.done[strings.Fields(what)[0]]++
	if got != want {
		m.t.Fatalf("%s: %s, on the disk %s\nafter:\n%s", what, got, want, strings.Join(m.log, "\n"))
	}
}

// Files have small letters and folders large ones, since a store may refuse a file where a folder was a moment ago.

func (m *machine) file() string {
	return path.Join(m.parent(), string(rune('a'+m.rng.IntN(5))))
}

func (m *machine) folder() string {
	return path.Join(m.parent(), string(rune('A'+m.rng.IntN(2))))
}

func (m *machine) parent() string {
	p := ""
	for range m.rng.IntN(3) {
		p = path.Join(p, string(rune('A'+m.rng.IntN(2))))
	}
	return p
}

// slot returns an open file, or false if there is none.
func (m *machine) slot() (int, bool) {
	if len(m.disk.open) == 0 {
		return 0, false
	}
	var all []int
	for s := range m.disk.open {
		all = append(all, s)
	}
	slices.Sort(all)
	return all[m.rng.IntN(len(all))], true
}

func (m *machine) data() []byte {
	p := make([]byte, 1+m.rng.IntN(1+m.rng.IntN(60_000)))
	for i := range p {
		p[i] = byte(m.rng.Uint32())
	}
	return p
}

func (m *machine) off() int64 {
	off := m.rng.Int64N(spread)
	if m.rng.IntN(3) == 0 {
		off = off / 4096 * 4096
	}
	return off
}

// step is one random operation.
func (m *machine) step() {
	switch n := m.rng.IntN(100); {
	case n < 14:
		m.open()
	case n < 20:
		if slot, ok := m.slot(); ok {
			m.close(slot)
		}
	case n < 60:
		if slot, ok := m.slot(); ok {
			m.use(slot)
		} else {
			m.open()
		}
	default:
		m.byPath(n)
	}
}

// opens are the ways in which files are opened.
var opens = []struct {
	name  string
	flags int
}{
	{"create", unix.O_RDWR | unix.O_CREAT}, {"create", unix.O_RDWR | unix.O_CREAT | unix.O_TRUNC}, {"create", unix.O_RDWR | unix.O_CREAT | unix.O_EXCL},
	{"create", unix.O_WRONLY | unix.O_CREAT | unix.O_APPEND}, {"create", unix.O_RDWR | unix.O_CREAT},
	{"open", unix.O_RDONLY}, {"open", unix.O_RDONLY}, {"open", unix.O_RDWR}, {"open", unix.O_WRONLY | unix.O_TRUNC}, {"open", unix.O_RDWR | unix.O_APPEND},
	{"open", unix.O_RDONLY | unix.O_NOFOLLOW}, {"open", unix.O_RDWR | unix.O_DSYNC},
}

func (m *machine) open() {
	slot := m.rng.IntN(slots)
	if m.disk.open[slot] != nil {
		m.close(slot)
	}
	how, rel := opens[m.rng.IntN(len(opens))], m.file()
	mode := []uint32{0o644, 0o600, 0o755}[m.rng.IntN(3)]
	m.flags[slot] = how.flags
	m.both(fmt.Sprintf("%s %s in %d, flags %#x, mode %o", how.name, rel, slot, how.flags, mode), func(s *side) string {
		return s.openFile(slot, rel, how.flags, mode)
	})
}

func (m *machine) close(slot int) {
	m.both(fmt.Sprint("close ", slot), func(s *side) string { return s.closeFile(slot) })
}

// use does something with an open file.
func (m *machine) use(slot int) {
	data, off, size := m.data(), m.off(), m.off()
	switch m.rng.IntN(14) {
	case 0, 1:
		m.both(fmt.Sprintf("write %d bytes at %d of %d", len(data), off, slot), func(s *side) string { return s.write(slot, data, off) })
	case 2, 3:
		m.both(fmt.Sprintf("append %d bytes to %d", len(data), slot), func(s *side) string { return s.add(slot, data) })
	case 4, 5:
		m.both(fmt.Sprintf("read %d bytes at %d of %d", size, off, slot), func(s *side) string { return s.read(slot, int(size), off) })
	case 6:
		m.both(fmt.Sprintf("read all of %d", slot), func(s *side) string { return s.read(slot, 2*spread, 0) })
	case 7:
		m.both(fmt.Sprintf("truncate %d to %d", slot, size), func(s *side) string { return s.resize(slot, size) })
	case 8:
		only := m.rng.IntN(2) == 0
		m.both(fmt.Sprintf("fsync %d, data only: %v", slot, only), func(s *side) string { return s.sync(slot, only) })
	case 9:
		m.both(fmt.Sprintf("fstat %d", slot), func(s *side) string { return s.stat(slot) })
	case 10:
		mode := []uint32{0, unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_PUNCH_HOLE | unix.FALLOC_FL_KEEP_SIZE, unix.FALLOC_FL_ZERO_RANGE}[m.rng.IntN(4)]
		m.both(fmt.Sprintf("fallocate %d, mode %#x, %d bytes at %d", slot, mode, size/4+1, off), func(s *side) string { return s.allocate(slot, mode, off, size/4+1) })
	case 11:
		m.both(fmt.Sprintf("mmap %d", slot), func(s *side) string { return s.mapIn(slot) })
	case 12, 13:
		m.useMapped(slot, data, off, size)
	}
}

// useMapped reads and writes by a mapping, of which a file has one at a time.
func (m *machine) useMapped(slot int, data []byte, off, size int64) {
	if len(m.disk.open[slot].mapped) == 0 {
		m.both(fmt.Sprintf("mmap %d", slot), func(s *side) string { return s.mapIn(slot) })
	}
	off %= max(1, int64(len(m.disk.open[slot].mapped)))
	if m.rng.IntN(2) == 0 {
		m.both(fmt.Sprintf("mmap-read %d bytes at %d of %d", size, off, slot), func(s *side) string { return s.readMapped(slot, off, size) })
		return
	}
	flush := m.rng.IntN(2) == 0
	m.both(fmt.Sprintf("mmap-write %d bytes at %d of %d, msync: %v", len(data), off, slot, flush), func(s *side) string {
		return s.writeMapped(slot, off, data, flush)
	})
}

// byPath does something by a name.
func (m *machine) byPath(n int) {
	rel, other, dir := m.file(), m.file(), m.folder()
	switch {
	case n < 65:
		m.both("unlink "+rel, func(s *side) string { return s.unlink(rel) })
	case n < 72:
		m.rename(rel, other)
	case n < 75:
		m.rename(dir, m.folder())
	case n < 76: // of one kind over the other: where that would give a folder a file's name nothing is done
		if !strings.HasPrefix(m.disk.lstat(rel), "ok") || !strings.HasPrefix(m.disk.lstat(dir), "ok") {
			return
		}
		if m.rng.IntN(2) == 0 {
			rel, dir = dir, rel
		}
		m.rename(rel, dir)
	case n < 78:
		m.exchange(rel, other, dir)
	case n < 80:
		m.both("mkdir "+dir, func(s *side) string { return s.mkdir(dir) })
	case n < 82:
		m.both("rmdir "+dir, func(s *side) string { return s.rmdir(dir) })
	case n < 86:
		m.both("readdir "+dir, func(s *side) string { return s.list(dir) })
	case n < 89:
		m.both("cat "+rel, func(s *side) string { return s.readFile(rel) })
	case n < 92:
		m.both("stat "+rel, func(s *side) string { return s.lstat(rel) })
	case n < 93:
		size := m.off()
		m.both(fmt.Sprintf("truncate %s to %d", rel, size), func(s *side) string { return s.truncate(rel, size) })
	default:
		m.attributes(n, rel, other)
	}
}

func (m *machine) rename(from, to string) {
	flags := uint(0)
	if m.rng.IntN(4) == 0 {
		flags = unix.RENAME_NOREPLACE
	}
	m.both(fmt.Sprintf("rename %s to %s, flags %d", from, to, flags), func(s *side) string { return s.rename(from, to, flags) })
}

// exchange has two change places, of one kind or of two.
func (m *machine) exchange(rel, other, dir string) {
	switch m.rng.IntN(4) {
	case 0:
		other = dir
	case 1:
		rel, other = m.folder(), dir
	}
	m.both(fmt.Sprintf("exchange %s and %s", rel, other), func(s *side) string { return s.rename(rel, other, unix.RENAME_EXCHANGE) })
}

func (m *machine) attributes(n int, rel, other string) {
	switch n {
	case 93:
		mode := []uint32{unix.S_IFIFO | 0o640, unix.S_IFSOCK | 0o600, unix.S_IFREG | 0o644}[m.rng.IntN(3)]
		m.both(fmt.Sprintf("mknod %s %o", rel, mode), func(s *side) string { return s.mknod(rel, mode) })
	case 94:
		m.both("symlink "+rel, func(s *side) string { return s.symlink(other, rel) })
	case 95:
		m.both("readlink "+rel, func(s *side) string { return s.readlink(rel) })
	case 96:
		mode := []uint32{0o644, 0o600, 0o755, 0o444}[m.rng.IntN(4)]
		m.both(fmt.Sprintf("chmod %s to %o", rel, mode), func(s *side) string { return s.chmod(rel, mode) })
	case 97:
		when := m.rng.Int64N(1_500_000_000_000_000_000)
		m.both(fmt.Sprintf("utimes %s to %d", rel, when), func(s *side) string { return s.setTime(rel, when) })
	case 98:
		value := fmt.Sprint(m.rng.IntN(1000))
		m.both("setxattr "+rel+" "+value, func(s *side) string { return s.setXattr(rel, "user.test", value) })
	case 99:
		m.both("getxattr "+rel, func(s *side) string { return s.getXattr(rel, "user.test") })
	}
}

// rest lets the daemon upload, and may have it ask the store for a file anew.
func (m *machine) rest() {
	time.Sleep(1200 * time.Millisecond)
	if rel := m.file(); m.rng.IntN(2) == 0 {
		m.log = append(m.log, "rest, refresh "+rel+": "+m.drive.setXattr(rel, "user.jupyter-drive.refresh", "1"))
		return
	}
	m.log = append(m.log, "rest")
}

// run does all steps and compares the trees.
func (m *machine) run() {
	debug.SetPanicOnFault(true) // where a mapping shows less than it should
	for _, dir := range []string{"A", "B", "A/A"} {
		m.both("mkdir "+dir, func(s *side) string { return s.mkdir(dir) })
	}
	for i := range steps {
		m.step()
		if i%80 == 79 {
			m.rest()
		}
	}
	for slot, ok := m.slot(); ok; slot, ok = m.slot() {
		m.close(slot)
	}
	compare(m.t, "in the end", &m.drive, &m.disk)
}

func compare(t *testing.T, when string, drive, disk *side) {
	t.Helper()
	got, err := drive.tree()
	want, wantErr := disk.tree()
	if got != want || err != nil || wantErr != nil {
		t.Errorf("%s: %v, %v\n%s", when, err, wantErr, difference(got, want))
	}
}

// difference shows the lines that only one of two texts has.
func difference(got, want string) string {
	a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
	var out strings.Builder
	for _, line := range a {
		if !slices.Contains(b, line) {
			fmt.Fprintln(&out, "on the drive:", line)
		}
	}
	for _, line := range b {
		if !slices.Contains(a, line) {
			fmt.Fprintln(&out, "on the disk: ", line)
		}
	}
	return out.String()
}

// operations are those of which each run must have done some.
var operations = []string{
	"create", "open", "write", "append", "read", "truncate", "rename", "readdir", "mmap", "mmap-read", "mmap-write", "fsync", "unlink", "close", "mkdir",
	"rmdir", "fallocate", "symlink", "mknod", "exchange", "chmod", "utimes", "setxattr",
}

// TestPromiseBucketIsLikeADisk runs all seeds in the mount of one daemon.
func TestPromiseBucketIsLikeADisk(t *testing.T) {
	seeds := 20
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		seeds = 2000
	}
	b := bucketdrive.New(t, bucketdrive.Options{})
	b.Start(t)
	disk := t.TempDir()
	total := map[string]int{}
	name := func(seed int) string { return fmt.Sprint("seed-", seed) }
	t.Run("seeds", func(t *testing.T) {
		done := make(chan map[string]int, seeds)
		t.Cleanup(func() {
			for range len(done) {
				for what, n := range <-done {
					total[what] += n
				}
			}
		})
		for seed := range seeds {
			t.Run(fmt.Sprint(seed), func(t *testing.T) {
				t.Parallel()
				m := newMachine(t, uint64(seed), filepath.Join(b.Daemon.Mount, name(seed)), filepath.Join(disk, name(seed)))
				m.run()
				done <- m.done
			})
		}
	})
	t.Logf("%v", total)
	for _, what := range operations {
		if total[what] < 20 {
			t.Errorf("%s was done %d times", what, total[what])
		}
	}
	if s := b.Settle(t); len(s.Errors) > 0 || len(s.Conflicts) > 0 {
		t.Errorf("status: %+v", s)
	}
	if err := b.Daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	b.Forget(t)
	b.Start(t)
	aloneAsOnDisk(t, b.Daemon.Mount, disk)
}

// contentsTTL is how old what a list has told may be before an open asks the store, which is when the rest is told (docs/semantics.md).
const contentsTTL = 5 * time.Second

// aloneAsOnDisk compares all seeds' folders in the mount of a daemon that knows the bucket alone, many at a time.
func aloneAsOnDisk(t *testing.T, mount, disk string) {
	t.Helper()
	seeds, err := os.ReadDir(disk)
	if err != nil {
		t.Fatal(err)
	}
	names := make(chan string)
	var all sync.WaitGroup
	for range min(len(seeds), 64) {
		all.Go(func() {
			for name := range names {
				drive := side{root: filepath.Join(mount, name)}
				err := drive.visit()
				time.Sleep(contentsTTL)
				if err := errors.Join(err, drive.visit()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				compare(t, name+" for a daemon that knows the bucket alone", &drive, &side{root: filepath.Join(disk, name)})
			}
		})
	}
	for _, seed := range seeds {
		names <- seed.Name()
	}
	close(names)
	all.Wait()
}
