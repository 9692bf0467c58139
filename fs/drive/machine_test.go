package drive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// full reports whether the long form of tests is asked for.
func full() bool { return os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" }

// eachSeed runs a random test with that many seeds, with long where the long form is asked for, each with a clock of its own.
func eachSeed(t *testing.T, short, long uint64, run func(t *testing.T, seed uint64)) {
	t.Helper()
	seeds := short
	if full() {
		seeds = long
	}
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { run(t, seed) })
		})
	}
}

// machine runs the same random operations on a drive over a store and on one in memory.
type machine struct {
	t      *testing.T
	rng    *rand.Rand
	b      *mem.Backend
	o      Options
	d      *Drive
	oracle *mem.Drive
	open   []pair
	log    []string

	evicts bool // the drive lets go of all that it can between two steps, and loses its state now and then
	shed   int  // how many nodes it has let go of
	names  int  // how many a directory can have of files, and of directories
}

// pair is a file that is open on both sides.
type pair struct {
	path string
	a, b fs.Handle
}

func newMachine(t *testing.T, seed uint64, o Options, bo mem.BackendOptions) *machine {
	m := &machine{t: t, rng: rand.New(rand.NewPCG(seed, 7)), b: mem.NewBackend(bo), o: o, oracle: mem.New(mem.Options{}), names: 4}
	m.o.Backend = m.b
	m.o.State = memoryDir(t)
	m.start()
	t.Cleanup(func() {
		if t.Failed() {
			_ = m.d.Close(context.Background()) // or its goroutines hide the failure
		}
	})
	return m
}

func (m *machine) start() {
	m.d = open(m.t, m.o)
	m.o = m.d.opts
}

func (m *machine) name() string { return string(rune('a' + m.rng.IntN(m.names))) }

func (m *machine) path() string {
	p := m.name()
	for range m.rng.IntN(3) {
		p = "d" + m.name() + "/" + p
	}
	return p
}

func (m *machine) dirPath() string {
	p := "d" + m.name()
	for range m.rng.IntN(2) {
		p = "d" + m.name() + "/" + p
	}
	return p
}

func (m *machine) bytes() []byte {
	p := make([]byte, m.rng.IntN(9000))
	for i := range p {
		p[i] = byte(m.rng.Uint32())
	}
	return p
}

// at returns the directory of a path, and the last name.
func at(ctx context.Context, d fs.Drive, path string) (fs.Dir, string, error) {
	x := d.Root()
	for {
		name, rest, more := strings.Cut(path, "/")
		if !more {
			return x, name, nil
		}
		n, err := x.Lookup(ctx, name)
		if err != nil {
			return nil, "", err
		}
		var ok bool
		if x, ok = n.(fs.Dir); !ok {
			return nil, "", fail("walk", path, fs.NotDir)
		}
		path = rest
	}
}

func nodeAt(ctx context.Context, d fs.Drive, path string) (fs.Node, error) {
	x, name, err := at(ctx, d, path)
	if err != nil {
		return nil, err
	}
	return x.Lookup(ctx, name)
}

func readAllOf(ctx context.Context, h fs.Handle) (string, error) {
	a, err := h.Attr(ctx)
	if err != nil {
		return "", err
	}
	p := make([]byte, a.Size+1)
	n, err := h.ReadAt(ctx, p, 0)
	if int64(n) != a.Size {
		return "", fmt.Errorf("%d bytes of %d: %w", n, a.Size, err)
	}
	return string(p[:n]), nil
}

// both runs an operation on both sides and compares the errors and results.
func (m *machine) both(what string, op func(fs.Drive) (string, error)) {
	m.t.Helper()
	a, errA := op(m.d)
	b, errB := op(m.oracle)
	kind := func(err error) string {
		if err == nil {
			return "ok"
		}
		return fs.KindOf(err).String()
	}
	m.log = append(m.log, what+": "+kind(errB))
	if kind(errA) != kind(errB) {
		m.fatal("%s: %v on the drive, %v in memory", what, errA, errB)
	}
	if a != b {
		if strings.HasPrefix(what, "dump") {
			m.fatal("%s:\n%son the drive\n%sin memory", what, a, b)
		}
		m.fatal("%s: %s on the drive, %s in memory", what, brief(a), brief(b))
	}
}

func brief(s string) string {
	if len(s) > 60 {
		return fmt.Sprintf("%q… (%d bytes, hash %x)", s[:30], len(s), hash(s))
	}
	return fmt.Sprintf("%q", s)
}

func (m *machine) fatal(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s\nafter:\n%s", fmt.Sprintf(format, args...), strings.Join(m.log, "\n"))
}

func (m *machine) step() {
	ctx := m.t.Context()
	path, other, dirPath := m.path(), m.path(), m.dirPath()
	switch m.rng.IntN(22) {
	case 0, 1:
		data := m.bytes()
		m.both(fmt.Sprintf("write %d bytes to %s", len(data), path), func(d fs.Drive) (string, error) {
			x, name, err := at(ctx, d, path)
			if err != nil {
				return "", err
			}
			_, h, err := x.Create(ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenTruncate})
			if err != nil {
				return "", err
			}
			_, err = h.WriteAt(ctx, data, 0)
			return "", errors.Join(err, h.Flush(ctx), h.Release(ctx))
		})
	case 2:
		m.edit(path)
	case 3, 4:
		m.both("mkdir "+dirPath, func(d fs.Drive) (string, error) {
			x, name, err := at(ctx, d, dirPath)
			if err != nil {
				return "", err
			}
			_, err = x.Mkdir(ctx, name, fs.CreateOptions{Mode: 0o755})
			return "", err
		})
	case 5:
		m.both("remove "+path, func(d fs.Drive) (string, error) {
			x, name, err := at(ctx, d, path)
			if err != nil {
				return "", err
			}
			return "", x.Remove(ctx, name, false)
		})
	case 6:
		m.both("rmdir "+dirPath, func(d fs.Drive) (string, error) {
			x, name, err := at(ctx, d, dirPath)
			if err != nil {
				return "", err
			}
			return "", x.Remove(ctx, name, true)
		})
	case 7, 8:
		m.rename(path, other)
	case 9:
		m.rename(dirPath, m.dirPath())
	case 10:
		m.both("list "+dirPath, func(d fs.Drive) (string, error) { return listOf(ctx, d, dirPath) })
	case 11, 12:
		m.both("read "+path, func(d fs.Drive) (string, error) { return textOf(ctx, d, path) })
	case 13:
		data := string(m.bytes())
		m.both("replace "+path, func(d fs.Drive) (string, error) {
			_, err := d.Replace(ctx, path, strings.NewReader(data), fs.ReplaceOptions{})
			return "", err
		})
	case 14:
		m.both("copy "+path+" to "+other, func(d fs.Drive) (string, error) {
			_, err := d.Copy(ctx, path, other)
			return "", err
		})
	case 15:
		m.openOne(path)
	case 16:
		m.closeOne()
	case 17:
		m.useOpen()
	case 18:
		m.symlink(path, other)
	case 19:
		m.pause()
	case 20:
		m.exchange(path, other, dirPath)
	case 21:
		m.mknod(path)
	}
}

// exchange has two of any kinds change places.
func (m *machine) exchange(path, other, dirPath string) {
	ctx := m.t.Context()
	a, b := path, []string{other, dirPath, other}[m.rng.IntN(3)]
	if m.rng.IntN(2) == 0 {
		a = m.dirPath()
	}
	m.both(fmt.Sprintf("exchange %s and %s", a, b), func(d fs.Drive) (string, error) {
		x, name, err := at(ctx, d, a)
		if err != nil {
			return "", err
		}
		y, newName, err := at(ctx, d, b)
		if err != nil {
			return "", err
		}
		return "", x.Rename(ctx, name, y, newName, fs.RenameExchange)
	})
}

func (m *machine) mknod(path string) {
	ctx := m.t.Context()
	what := [...]fs.Special{{Mode: fs.ModeFIFO}, {Mode: fs.ModeSocket}, {Mode: fs.ModeChar, Rdev: 0x103}, {Mode: fs.ModeFile}}[m.rng.IntN(4)]
	m.both(fmt.Sprintf("mknod %s %o %d", path, what.Mode, what.Rdev), func(d fs.Drive) (string, error) {
		x, name, err := at(ctx, d, path)
		if err != nil {
			return "", err
		}
		_, err = x.(fs.Mknoder).Mknod(ctx, name, what.Mode|0o640, what.Rdev, fs.CreateOptions{})
		return "", err
	})
}

func (m *machine) rename(from, to string) {
	ctx := m.t.Context()
	flags := fs.RenameFlags(0)
	if m.rng.IntN(4) == 0 {
		flags = fs.RenameNoReplace
	}
	m.both(fmt.Sprintf("rename %s to %s (%d)", from, to, flags), func(d fs.Drive) (string, error) {
		x, name, err := at(ctx, d, from)
		if err != nil {
			return "", err
		}
		y, newName, err := at(ctx, d, to)
		if err != nil {
			return "", err
		}
		return "", x.Rename(ctx, name, y, newName, flags)
	})
}

func (m *machine) symlink(path, target string) {
	ctx := m.t.Context()
	m.both("symlink "+path+" to "+target, func(d fs.Drive) (string, error) {
		x, name, err := at(ctx, d, path)
		if err != nil {
			return "", err
		}
		_, err = x.(fs.Symlinker).Symlink(ctx, name, target, fs.CreateOptions{})
		return "", err
	})
}

// edit changes a file in place, once.
func (m *machine) edit(path string) {
	ctx := m.t.Context()
	off, data, size, what := int64(m.rng.IntN(12000)), m.bytes(), int64(m.rng.IntN(12000)), m.rng.IntN(5)
	m.both(fmt.Sprintf("edit %s: %d, %d bytes at %d, size %d", path, what, len(data), off, size), func(d fs.Drive) (string, error) {
		n, err := nodeAt(ctx, d, path)
		if err != nil {
			return "", err
		}
		if what == 0 {
			_, err := n.SetAttr(ctx, fs.SetAttr{Size: &size})
			return "", err
		}
		flags := fs.OpenReadWrite
		if what == 1 {
			flags |= fs.OpenAppend
		}
		h, err := n.Open(ctx, flags)
		if err != nil {
			return "", err
		}
		_, err = h.WriteAt(ctx, data, off)
		if what == 2 && err == nil {
			_, err = h.SetAttr(ctx, fs.SetAttr{Size: &size})
		}
		if what == 3 && err == nil {
			err = h.(fs.Allocater).Allocate(ctx, off/2, size+1, punchHole|keepSize)
		}
		if what == 4 && err == nil {
			err = h.Sync(ctx)
		}
		return "", errors.Join(err, h.Flush(ctx), h.Release(ctx))
	})
}

func (m *machine) openOne(path string) {
	ctx := m.t.Context()
	if len(m.open) > 4 {
		return
	}
	p := pair{path: path}
	m.both("open "+path, func(d fs.Drive) (string, error) {
		n, err := nodeAt(ctx, d, path)
		if err != nil {
			return "", err
		}
		h, err := n.Open(ctx, fs.OpenReadWrite)
		if err == nil && d == fs.Drive(m.d) {
			p.a = h
		} else if err == nil {
			p.b = h
		}
		return "", err
	})
	if p.a != nil {
		m.open = append(m.open, p)
	}
}

// side is the handle of an open file that belongs to a drive.
func (m *machine) side(p pair, d fs.Drive) fs.Handle {
	if d == fs.Drive(m.d) {
		return p.a
	}
	return p.b
}

func (m *machine) closeOne() {
	if len(m.open) == 0 {
		return
	}
	i := m.rng.IntN(len(m.open))
	p := m.open[i]
	m.open = slices.Delete(m.open, i, i+1)
	ctx := m.t.Context()
	m.both("close "+p.path, func(d fs.Drive) (string, error) {
		h := m.side(p, d)
		return "", errors.Join(h.Flush(ctx), h.Release(ctx))
	})
}

func (m *machine) useOpen() {
	if len(m.open) == 0 {
		return
	}
	p := m.open[m.rng.IntN(len(m.open))]
	ctx := m.t.Context()
	data, off, what := m.bytes(), int64(m.rng.IntN(9000)), m.rng.IntN(4)
	m.both(fmt.Sprintf("use open %s: %d, %d bytes at %d", p.path, what, len(data), off), func(d fs.Drive) (string, error) {
		h := m.side(p, d)
		switch what {
		case 0:
			_, err := h.WriteAt(ctx, data, off)
			return "", err
		case 1:
			_, err := h.SetAttr(ctx, fs.SetAttr{Size: &off})
			return "", err
		case 2:
			return "", h.Sync(ctx)
		}
		return readAllOf(ctx, h)
	})
}

// pause lets time pass, or restarts the drive.
func (m *machine) pause() {
	switch m.rng.IntN(6) {
	case 0:
		m.restart()
	case 1:
		m.log = append(m.log, "wait")
		if err := m.d.Wait(m.t.Context()); err != nil {
			m.fatal("Wait() = %v", err)
		}
	default:
		wait := time.Duration(m.rng.IntN(2500)) * time.Millisecond
		if m.rng.IntN(3) == 0 {
			wait += time.Minute
		}
		m.log = append(m.log, "sleep "+wait.String())
		time.Sleep(wait)
	}
}

func (m *machine) restart() {
	for len(m.open) > 0 {
		m.closeOne()
	}
	m.log = append(m.log, "restart")
	forget := m.evicts && m.rng.IntN(2) == 0
	if forget {
		m.log = append(m.log, "forget")
		if err := m.d.Wait(m.t.Context()); err != nil {
			m.fatal("Wait() = %v", err)
		}
	}
	if err := m.d.Close(m.t.Context()); err != nil {
		m.fatal("Close() = %v", err)
	}
	if forget {
		m.o.State = memoryDir(m.t)
	}
	m.start()
	if m.evicts {
		m.findLinks()
	}
}

// findLinks opens all files: a listing does not tell symbolic links and special files from others.
func (m *machine) findLinks() {
	for range 100 {
		if _, err := dump(m.t.Context(), m.d); err == nil {
			break
		}
	}
}

// finish closes all, waits for the store and compares the trees, also with that of a drive that knows the store only.
func (m *machine) finish() {
	ctx := m.t.Context()
	for len(m.open) > 0 {
		m.closeOne()
	}
	m.both("dump", func(d fs.Drive) (string, error) { return dump(ctx, d) })
	if err := m.d.Wait(ctx); err != nil {
		m.fatal("Wait() = %v", err)
	}
	m.both("dump after wait", func(d fs.Drive) (string, error) { return dump(ctx, d) })
	if c := m.d.Status().Conflicts; len(c) > 0 {
		m.fatal("conflicts: %v", c)
	}
	if err := m.d.Close(ctx); err != nil {
		m.fatal("Close() = %v", err)
	}
	m.o.State, m.o.ID, m.o.Listings = m.t.TempDir(), fs.DriveID{9}, ""
	m.start()
	m.findLinks()
	m.both("dump of the store alone", func(d fs.Drive) (string, error) { return dump(ctx, d) })
	if err := m.d.Close(ctx); err != nil {
		m.fatal("Close() = %v", err)
	}
}

func TestMachine(t *testing.T) {
	eachSeed(t, 20, 2000, func(t *testing.T, seed uint64) {
		m := newMachine(t, seed, Options{Trash: seed%2 == 0}, mem.BackendOptions{})
		for range 200 {
			m.step()
		}
		m.finish()
	})
}

// TestMachineEvicting is TestMachine on a drive that keeps no node that it can do without.
func TestMachineEvicting(t *testing.T) {
	shed := 0
	eachSeed(t, 20, 500, func(t *testing.T, seed uint64) {
		o := Options{MaxNodes: 1, Trash: seed%3 == 0}
		if seed%2 == 0 {
			o.Listings = filepath.Join(t.TempDir(), "listings")
		}
		m := newMachine(t, seed, o, mem.BackendOptions{})
		m.evicts = true
		for i := range 200 {
			if i%40 == 39 {
				m.restart()
			}
			m.evict()
			m.step()
		}
		m.finish()
		shed += m.shed
	})
	if shed == 0 {
		t.Error("no node was ever let go of")
	}
}

// evict waits until the drive has let go of what it can.
func (m *machine) evict() {
	m.d.mu.Lock()
	m.d.evictor.begin = 0
	m.d.mu.Unlock()
	m.d.evictor.wake <- struct{}{}
	synctest.Wait()
	m.d.mu.RLock()
	defer m.d.mu.RUnlock()
	for x := range m.d.evictor.shed {
		m.shed += len(x.shed)
	}
}
