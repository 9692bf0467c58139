package drive

import (
	"context"
	"errors"
	"fmt"
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

// killer ends a drive as kill -9 does: at the n-th point that it reaches from when it is told to, or at once.
type killer struct {
	mu   sync.Mutex // guards what follows
	left int        // points; 0 = it is not told to
	dead bool
}

func (k *killer) hook(string) {
	k.mu.Lock()
	if k.left > 0 {
		k.left--
		k.dead = k.dead || k.left == 0
	}
	dead := k.dead
	k.mu.Unlock()
	if dead {
		runtime.Goexit()
	}
}

func (k *killer) kill(left int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.left, k.dead = left, k.dead || left == 0
}

// end has the drive end at once, and waits until another one can use its state.
func (k *killer) end(t *testing.T, d *Drive) {
	t.Helper()
	k.kill(0)
	synctest.Wait()
	d.stop()
	<-d.queue.end
	d.loads.Wait()
	<-d.keeper.end
	if err := errors.Join(d.lock.Close(), d.journal.Close()); err != nil {
		t.Error(err)
	}
}

// slowly has the store answer late.
type slowly struct {
	faults
	lossless bool
	most     time.Duration
}

func (s *slowly) wait(ctx context.Context, r mem.Request) error {
	if s.most == 0 || !s.roll(r, 50) {
		return nil
	}
	s.mu.Lock()
	wait := time.Duration(s.rng.Int64N(int64(s.most)))
	s.mu.Unlock()
	return pause(ctx, wait)
}

func (s *slowly) before(ctx context.Context, r mem.Request) error {
	if err := s.wait(ctx, r); err != nil || s.lossless {
		return err
	}
	return s.faults.before(ctx, r)
}

func (s *slowly) after(ctx context.Context, r mem.Request) error {
	if s.wait(ctx, r) != nil {
		return &fs.Error{Kind: fs.UnknownOutcome, Err: errors.New("the caller has gone")}
	}
	if s.lossless {
		return nil
	}
	return s.faults.after(ctx, r)
}

// wide is a machine whose drive is killed, that sets attributes, and replaces what is open and what it knows the version of.
type wide struct {
	*machine
	k     *killer
	times map[int64]bool // those set
}

func (w *wide) step() {
	switch w.rng.IntN(30) {
	case 0:
		w.kill()
	case 1, 2:
		w.setAttr()
	case 3:
		w.replaceKnown()
	case 4:
		w.renameOverOpen()
	case 5:
		w.short()
	default:
		w.machine.step()
	}
}

// short lets less time pass than a request takes.
func (w *wide) short() {
	wait := time.Duration(w.rng.IntN(2000)) * time.Millisecond
	w.log = append(w.log, "sleep "+wait.String())
	time.Sleep(wait)
}

func (w *wide) kill() {
	for len(w.open) > 0 {
		w.closeOne()
	}
	n, wait := w.rng.IntN(12), time.Duration(w.rng.IntN(4000))*time.Millisecond
	w.log = append(w.log, fmt.Sprintf("kill at point %d or after %v", n, wait))
	w.k.kill(n)
	if n > 0 {
		time.Sleep(wait)
	}
	w.k.end(w.t, w.d)
	w.k = &killer{}
	w.o.hook = w.k.hook
	w.start()
	w.findLinks()
}

func (w *wide) setAttr() {
	ctx := w.t.Context()
	path, what := w.path(), w.rng.IntN(3)
	if w.rng.IntN(4) == 0 {
		path = w.dirPath()
		what = 0
	}
	var set fs.SetAttr
	mode, at := uint32(0o600|w.rng.IntN(0o200)), time.Unix(int64(1e8+w.rng.IntN(1e8)), 0)
	if what != 1 {
		set.Mode = &mode
	}
	if what != 0 {
		set.Mtime = &at
		w.times[at.UnixNano()] = true
	}
	w.both(fmt.Sprintf("set %d of %s: %o, %d", what, path, mode, at.Unix()), func(d fs.Drive) (string, error) {
		n, err := nodeAt(ctx, d, path)
		if err != nil {
			return "", err
		}
		_, err = n.SetAttr(ctx, set)
		return "", err
	})
}

func (w *wide) replaceKnown() {
	ctx := w.t.Context()
	path, data, right := w.path(), string(w.bytes()), w.rng.IntN(4) > 0
	w.both(fmt.Sprintf("replace known version of %s: %v", path, right), func(d fs.Drive) (string, error) {
		if _, err := nodeAt(ctx, d, path); err != nil {
			return "", err
		}
		if _, err := textOf(ctx, d, path); err != nil { // a listing does not tell what is no file
			return "", err
		}
		n, err := nodeAt(ctx, d, path)
		if err != nil {
			return "", err
		}
		a, err := n.Attr(ctx)
		if err != nil || a.Version == "" {
			return "", err
		}
		if !right {
			a.Version += "x"
		}
		_, err = d.Replace(ctx, path, strings.NewReader(data), fs.ReplaceOptions{IfVersion: a.Version})
		return "", err
	})
}

func (w *wide) renameOverOpen() {
	if len(w.open) > 0 {
		w.rename(w.path(), w.open[w.rng.IntN(len(w.open))].path)
	}
}

// attrs tells the modes of files, and those times that were set: on the drive's side what the store has.
func (w *wide) attrs(d fs.Drive) (string, error) {
	ctx := w.t.Context()
	var lines []string
	var walk func(x fs.Dir, path string) error
	walk = func(x fs.Dir, path string) error {
		entries, err := entriesOf(ctx, x)
		for _, e := range entries {
			p := join(path, e.Name)
			if sub, is := e.Node.(fs.Dir); is {
				if err := walk(sub, p); err != nil {
					return err
				}
				continue
			}
			a, err := e.Node.Attr(ctx)
			if err != nil {
				return err
			}
			if d == fs.Drive(w.d) {
				_, info := object(w.t, w.b, p)
				a.Mode, a.Mtime = a.Mode&fs.ModeType|info.Mode&fs.ModePerm, info.ModTime
			}
			line := fmt.Sprintf("%s %o", p, a.Mode)
			if w.times[a.Mtime.UnixNano()] {
				line += fmt.Sprint(" ", a.Mtime.Unix())
			}
			if a.Type() != fs.Symlink {
				lines = append(lines, line)
			}
		}
		return err
	}
	err := walk(d.Root(), "")
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n", err
}

func (w *wide) finish() {
	for len(w.open) > 0 {
		w.closeOne()
	}
	w.machine.finish()
	w.start()
	w.findLinks()
	w.both("dump of attributes of the store alone", w.attrs)
	if err := w.d.Close(w.t.Context()); err != nil {
		w.fatal("Close() = %v", err)
	}
}

// TestMachineWide is the other machines in all combinations, over a store that is slow too.
func TestMachineWide(t *testing.T) {
	eachSeed(t, 10, 500, runWide)
}

func runWide(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 13))
	yes := func(n int) bool { return rng.IntN(n) > 0 }
	s := &slowly{faults: faults{rng: rng}, lossless: !yes(4)}
	if yes(3) {
		s.most = time.Duration(1+rng.IntN(4)) * time.Second
	}
	k := &killer{}
	o := Options{Trash: yes(2), hook: k.hook}
	evicts := yes(2)
	if evicts {
		o.MaxNodes = 1
	}
	if yes(2) {
		o.Listings = filepath.Join(t.TempDir(), "listings")
	}
	names := 2 + rng.IntN(3)
	w := &wide{newMachine(t, seed+2000, o, mem.BackendOptions{Before: s.before, After: s.after}), k, map[int64]bool{}}
	w.evicts, w.names = evicts, names
	w.log = append(w.log, fmt.Sprintf("lossless %v, slow %v, trash %v, evicts %v, listings %v", s.lossless, s.most, o.Trash, evicts, o.Listings != ""))
	for range 200 {
		if evicts {
			w.evict()
		}
		w.step()
	}
	w.finish()
}
