package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// The store that is walked: more than a drive of mostNodes may know.
const (
	walkedDirs  = 20
	walkedFiles = 30
	mostNodes   = 100
)

func walkedKey(dir, file int) string { return fmt.Sprintf("d%02d/f%02d", dir, file) }

// walker is a drive that has to let go of nodes.
type walker struct {
	program
	b       *mem.Backend
	mu      sync.Mutex // guards changes
	changes []fs.Change
}

func newWalker(t *testing.T, o Options) *walker {
	t.Helper()
	b := mem.NewBackend(mem.BackendOptions{})
	for i := range walkedDirs {
		for k := range walkedFiles {
			b.Inject(walkedKey(i, k), []byte(walkedKey(i, k)), fs.WriteOptions{})
		}
	}
	o.Backend, o.MaxNodes = b, mostNodes
	w := &walker{b: b}
	w.program = program{t, t.Context(), open(t, o)}
	w.d.Publish(func(c fs.Change) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.changes = append(w.changes, c)
	})
	return w
}

// walk lists all, and returns the numbers.
func (w *walker) walk() map[string]uint64 {
	w.t.Helper()
	all := map[string]uint64{}
	w.must("walk", w.d.walk(w.ctx, "", func(n inode) error {
		path, _ := n.meta().Path()
		all[path] = n.Ino()
		return nil
	}))
	return all
}

// evicted walks all again and again until the directory has been let go of, and no more is known than may be.
func (w *walker) evicted(path string) *dir {
	w.t.Helper()
	x := w.node(path).(*dir)
	for range 100 {
		w.walk()
		synctest.Wait()
		w.d.mu.RLock()
		gone, count := !x.complete, w.d.evictor.count
		w.d.mu.RUnlock()
		if gone && count <= mostNodes {
			return x
		}
	}
	w.t.Fatalf("%s was not let go of: %d nodes are known", path, w.d.nodes())
	return nil
}

func (w *walker) node(path string) fs.Node {
	w.t.Helper()
	n, err := nodeAt(w.ctx, w.d, path)
	w.must("lookup "+path, err)
	return n
}

// told returns what was published since it was last called, as text.
func (w *walker) told() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var all []string
	for _, c := range w.changes {
		all = append(all, fmt.Sprint(c.Op, " ", c.Path))
	}
	slices.Sort(all)
	w.changes = nil
	return strings.Join(all, ", ")
}

func TestEvictedComesBack(t *testing.T) {
	for _, written := range []bool{false, true} {
		t.Run(fmt.Sprint("written down ", written), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{}
				if written {
					o.Listings = filepath.Join(t.TempDir(), "listings")
				}
				w := newWalker(t, o)
				before := w.walk()
				held := w.node("d03/f07")
				x := w.evicted("d03")
				runtime.GC()
				w.d.sweepLoose()
				w.d.mu.RLock()
				if n := len(x.shed); n != 1 {
					t.Errorf("%d nodes are remembered, of which one is held", n)
				}
				w.d.mu.RUnlock()

				w.d.mu.Lock()
				w.d.evictor.begin = 1 << 30 // so that it stays known
				w.d.mu.Unlock()
				w.b.ResetRequests()
				if w.node("d03/f07") != held {
					t.Error("a node that was held is another when it is looked up again")
				}
				if _, err := nodeAt(w.ctx, w.d, "d03/missing"); fs.KindOf(err) != fs.NotExist {
					t.Errorf("lookup of a missing name = %v", err)
				}
				most := 2 // for the directory and the one above
				if written {
					most = 0
				}
				if n := w.b.Requests()["list"]; n > most {
					t.Errorf("it took %d requests to know a directory again, want at most %d", n, most)
				}
				after := w.walk()
				for path, ino := range before {
					if after[path] != ino {
						t.Errorf("%s has number %d, had %d", path, after[path], ino)
					}
				}
				if s := w.told(); len(after) != len(before) || s != "" {
					t.Errorf("there are %d files and folders, were %d; changes: %s", len(after), len(before), s)
				}
				w.must("Close", w.d.Close(w.ctx))
			})
		})
	}
}

// TestChangedWhileEvicted has others change what a drive has let go of: whoever holds a node, or watches, is told all the same.
func TestChangedWhileEvicted(t *testing.T) {
	for _, written := range []bool{false, true} {
		t.Run(fmt.Sprint("written down ", written), func(t *testing.T) { changedWhileEvicted(t, written) })
	}
}

func changedWhileEvicted(t *testing.T, written bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o, want := Options{}, "remove d03/f08, replace d03/f07"
		if written { // else it is not known that a name is new
			o.Listings, want = filepath.Join(t.TempDir(), "listings"), "create d03/new, "+want
		}
		w := newWalker(t, o)
		replaced, removed := w.node("d03/f07"), w.node("d03/f08")
		below := w.node("d04/f00")
		w.evicted("d04")
		for i := range walkedFiles {
			w.must("Remove", w.b.Remove(w.ctx, walkedKey(4, i), fs.RemoveOptions{}))
		}
		time.Sleep(time.Minute)
		w.walk()
		if a, err := below.Attr(w.ctx); err != nil || a.Nlink != 0 {
			t.Errorf("what was in a folder that has gone has %d links, %v", a.Nlink, err)
		}
		w.evicted("d03")
		w.b.Inject("d03/f07", []byte("theirs"), fs.WriteOptions{})
		w.must("Remove", w.b.Remove(w.ctx, "d03/f08", fs.RemoveOptions{}))
		w.b.Inject("d03/new", []byte("new"), fs.WriteOptions{})
		w.told()
		time.Sleep(time.Minute)
		if got := string(w.read("d03/f07")); got != "theirs" {
			t.Errorf("the file has %q", got)
		}
		if got := w.told(); got != want {
			t.Errorf("changes: %s; want %s", got, want)
		}
		if !replaced.Superseded() {
			t.Error("the node of the old version is not superseded")
		}
		if _, named := removed.Path(); named {
			t.Error("the node of a removed file has a name")
		}
		w.must("Close", w.d.Close(w.ctx))
	})
}

// TestEvictionKeeps does to files of directories that were let go of, and to some before, what a drive must not forget.
func TestEvictionKeeps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWalker(t, Options{LocalPatterns: []string{"*.swp"}, Listings: filepath.Join(t.TempDir(), "listings"), Actor: "zoe"})
		handle, err := w.node("d00/f00").Open(w.ctx, fs.OpenReadWrite)
		w.must("Open", err)
		_, err = handle.WriteAt(w.ctx, []byte("OPEN"), 0)
		w.must("WriteAt", err)
		w.must("Flush", handle.Flush(w.ctx))
		w.write("d00/x.swp", []byte("local"), false)
		w.write("d00/lost", []byte("ours"), false)
		w.b.Inject("d00/lost", []byte("theirs"), fs.WriteOptions{})
		w.must("Wait", w.d.Wait(w.ctx))
		conflict := w.d.Status().Conflicts[0].Copy
		w.must("SetXattr", w.node("d00/f01").(fs.Xattrer).SetXattr(w.ctx, "user.a", []byte("b"), false, false))
		reader, err := w.node("d00/f05").Open(w.ctx, fs.OpenRead)
		w.must("Open", err)
		away, written := w.node("d00/f02"), w.node("d00/f04")
		mode := uint32(0o600)
		w.read("d00/f04") // the store is not asked for it again at the next open

		// Who holds a node uses it without a look at its directory.
		w.evicted("d00")
		if reader.Node().(*file).loose.Load() || !away.(*file).loose.Load() || !written.(*file).loose.Load() {
			t.Error("other nodes were let go of than those that are not open")
		}
		_, err = away.SetAttr(w.ctx, fs.SetAttr{Mode: &mode})
		w.must("SetAttr", err)
		w.must("Wait", w.d.Wait(w.ctx))
		w.evicted("d00")
		writer, err := written.Open(w.ctx, fs.OpenReadWrite)
		w.must("Open", err)
		if written.(*file).loose.Load() {
			t.Error("a node that is open is let go of")
		}
		_, err = writer.WriteAt(w.ctx, []byte("held"), 0)
		w.must("WriteAt", errors.Join(err, writer.Flush(w.ctx), writer.Release(w.ctx), reader.Release(w.ctx)))
		w.must("Wait", w.d.Wait(w.ctx))
		w.write("d00/pending", []byte("pending"), true)
		w.evicted("d00")
		if got := w.node("d00/pending"); got == nil {
			t.Error("a file that is not uploaded has gone")
		}
		_, err = handle.WriteAt(w.ctx, []byte("!"), 4)
		w.must("WriteAt", err)
		w.must("Release", errors.Join(handle.Flush(w.ctx), handle.Release(w.ctx)))
		w.rename("d00/f03", "d01/moved")
		w.rename("d02", "d00/folder")
		w.evicted("d00")
		w.must("Wait", w.d.Wait(w.ctx))
		w.evicted("d00")

		for path, want := range map[string]string{
			"d00/f00": "OPEN!" + walkedKey(0, 0)[5:], "d00/x.swp": "local", "d00/lost": "theirs", conflict: "ours", "d00/pending": "pending",
			"d01/moved": walkedKey(0, 3), "d00/folder/f09": walkedKey(2, 9), "d00/f02": walkedKey(0, 2),
			"d00/f04": "held" + walkedKey(0, 4)[4:],
		} {
			if got := string(w.read(path)); got != want {
				t.Errorf("%s has %q, want %q", path, got, want)
			}
			if raw, _, ok := w.b.Contents(path); path != "d00/x.swp" && (!ok || string(raw) != want) {
				t.Errorf("the store has %q at %s, want %q", raw, path, want)
			}
		}
		if v, err := w.node("d00/f01").(fs.Xattrer).Xattr(w.ctx, "user.a"); err != nil || string(v) != "b" {
			t.Errorf("the extended attribute is %q, %v", v, err)
		}
		if a, err := w.node("d00/f02").Attr(w.ctx); err != nil || a.Mode&fs.ModePerm != mode || w.node("d00/f02") != away {
			t.Errorf("the mode is %o, %v, want %o", a.Mode, err, mode)
		}
		if s := w.d.Status(); s.Pending != 0 || s.LocalOnly != 1 || len(s.Conflicts) != 1 {
			t.Errorf("Status() = %+v", s)
		}
		w.must("Close", w.d.Close(w.ctx))
	})
}

// TestEvictionUnderLoad has many read, list and change the same few directories while they are let go of all the time.
func TestEvictionUnderLoad(t *testing.T) {
	w := newWalker(t, Options{Listings: filepath.Join(t.TempDir(), "listings"), NamesTTL: 20 * time.Millisecond, ContentsTTL: 5 * time.Millisecond})
	steps := 300
	if full() {
		steps = 5000
	}
	var work sync.WaitGroup
	for i := range 4 {
		work.Go(func() { w.use(i, steps) })
	}
	work.Wait()
	w.must("Wait", w.d.Wait(w.ctx))
	if s := w.d.Status(); s.Pending != 0 || len(s.Conflicts) != 0 {
		t.Errorf("Status() = %+v", s)
	}
	count := 0
	for path := range w.walk() {
		if strings.Contains(path, "/f") {
			count++
		}
	}
	if count != walkedDirs*walkedFiles {
		t.Errorf("there are %d files, want %d", count, walkedDirs*walkedFiles)
	}
	w.must("Close", w.d.Close(context.Background()))
}

// use does random things with files that belong to number i alone, and reads the others.
func (w *walker) use(i, steps int) {
	rng := rand.New(rand.NewPCG(uint64(i), 1))
	fail := func(what, path string, err error) { w.t.Errorf("%s %s: %v", what, path, err) }
	for range steps {
		dir, file := rng.IntN(walkedDirs), rng.IntN(walkedFiles)
		path := walkedKey(dir, file)
		n, err := nodeAt(w.ctx, w.d, path)
		if err != nil {
			fail("lookup", path, err)
			return
		}
		switch own := file%4 == i; rng.IntN(4) {
		case 0:
			if !own {
				continue
			}
			h, err := n.Open(w.ctx, fs.OpenReadWrite)
			if fs.KindOf(err) == fs.Stale {
				continue
			}
			if err == nil {
				_, err = h.WriteAt(w.ctx, []byte(path), 0)
				err = errors.Join(err, h.Flush(w.ctx), h.Release(w.ctx))
			}
			if err != nil {
				fail("write", path, err)
			}
		case 1:
			if names, err := dirNames(w.ctx, w.node(fmt.Sprintf("d%02d", dir)).(fs.Dir)); err != nil || strings.Count(names, "f") != walkedFiles {
				fail("list "+names, path, err)
			}
		case 2:
			if own {
				mode := uint32(0o600 + file)
				if _, err := n.SetAttr(w.ctx, fs.SetAttr{Mode: &mode}); err != nil {
					fail("chmod", path, err)
				}
			}
		default:
			h, err := n.Open(w.ctx, fs.OpenRead)
			if fs.KindOf(err) == fs.Stale {
				continue
			}
			p := make([]byte, len(path))
			if err == nil {
				_, err = h.ReadAt(w.ctx, p, 0)
				err = errors.Join(err, h.Release(w.ctx))
			}
			if err != nil && !errors.Is(err, io.EOF) || string(p) != path {
				fail(fmt.Sprintf("read %q of", p), path, err)
			}
		}
	}
}

// TestFindingWaitsForEviction lists a folder while there are far more nodes than may be: the store is asked when some were let go of.
func TestFindingWaitsForEviction(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var d *Drive
		begin := 0
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if r.Op == "list" && d != nil {
				d.mu.RLock()
				begin = d.evictor.begin
				d.mu.RUnlock()
			}
			return nil
		}})
		d = open(t, Options{Backend: b, MaxNodes: mostNodes})
		d.mu.Lock()
		d.evictor.begin = -mostNodes // as if that many were known over what may be
		d.mu.Unlock()
		_, err := entriesOf(t.Context(), d.Root())
		program{t, t.Context(), d}.must("list", err)
		if begin != mostNodes {
			t.Errorf("the store was listed while nodes were let go of over %d, want %d", begin, mostNodes)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}
