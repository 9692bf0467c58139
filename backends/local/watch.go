package local

import (
	"errors"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// watcher finds changes by others in directories that somebody has looked at. It watches a directory through a descriptor that it
// holds, by the path in /proc, so that neither a rename of a parent nor a link put in its place matters.
type watcher struct {
	d    *Drive
	n    *fsnotify.Watcher
	wake chan struct{} // holds a token while pending or lost is set
	done chan struct{} // closed by close
	wg   sync.WaitGroup
	tick atomic.Uint64 // counts new watches: the clock by which the least recently used are found

	mu      sync.Mutex // guards all below; never held in a call of n, whose events its owner reads
	dirs    map[*dir]int
	byFd    map[int]*dir
	pending map[place]hint
	lost    bool
}

// startWatcher begins to watch the root. Where that is impossible changes by others are found on lookup.
func (d *Drive) startWatcher() {
	n, err := fsnotify.NewWatcher()
	if err != nil {
		d.warn(fs.Warning{Code: "watch-off", Title: "Changes by other programs are noticed late", Severity: fs.Medium,
			Text: "inotify is not available (" + err.Error() + "): raise fs.inotify.max_user_instances. Until then changes are found when a file is looked up."})
		return
	}
	d.watcher = &watcher{
		d: d, n: n, wake: make(chan struct{}, 1), done: make(chan struct{}),
		dirs: map[*dir]int{}, byFd: map[int]*dir{}, pending: map[place]hint{},
	}
	d.watcher.wg.Go(d.watcher.read)
	d.watcher.wg.Go(d.watcher.work)
	d.root.watch()
}

func (w *watcher) close() error {
	close(w.done)
	err := w.n.Close()
	w.wg.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, fd := range w.dirs {
		closeFd(fd)
	}
	w.dirs = nil
	return err
}

// enter keeps the descriptor of a directory, unless the watcher is closed.
func (w *watcher) enter(x *dir, fd int) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.dirs == nil {
		return false
	}
	w.dirs[x], w.byFd[fd] = fd, x
	return true
}

// forget drops a directory that is not watched any more and closes its descriptor.
func (w *watcher) forget(x *dir) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if fd, ok := w.dirs[x]; ok {
		delete(w.dirs, x)
		delete(w.byFd, fd)
		closeFd(fd)
	}
	x.watched.Store(false)
}

// unwatch ends the watch of a directory that is gone.
func (d *Drive) unwatch(x *dir) {
	if d.watcher == nil || !x.watched.Load() {
		return
	}
	x.watching.Lock()
	defer x.watching.Unlock()
	if fd, ok := d.watcher.fd(x); ok {
		// The kernel may have ended the watch by itself.
		_ = d.watcher.n.Remove(procPath(fd))
		d.watcher.forget(x)
	}
}

func (w *watcher) fd(x *dir) (int, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	fd, ok := w.dirs[x]
	return fd, ok
}

// unwatchLost ends the watches of directories that have no path any more.
func (d *Drive) unwatchLost() {
	if d.watcher == nil {
		return
	}
	for _, x := range d.watcher.watchedDirs() {
		if _, ok := x.Path(); !ok {
			d.unwatch(x)
		}
	}
}

func (w *watcher) watchedDirs() []*dir {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make([]*dir, 0, len(w.dirs))
	for x := range w.dirs {
		all = append(all, x)
	}
	return all
}

// read gathers notices until the watcher is closed.
func (w *watcher) read() {
	for {
		select {
		case e, ok := <-w.n.Events:
			if !ok {
				return
			}
			w.note(e)
		case err, ok := <-w.n.Errors:
			if !ok {
				return
			}
			if errors.Is(err, fsnotify.ErrEventOverflow) {
				w.overflow()
				continue
			}
			w.d.log.Warn("a watch failed", "drive", w.d.id.String(), "err", err)
		}
	}
}

// note keeps a notice for the next round.
func (w *watcher) note(e fsnotify.Event) {
	fdText, name, _ := strings.Cut(strings.TrimPrefix(e.Name, "/proc/self/fd/"), "/")
	fd, err := strconv.Atoi(fdText)
	if err != nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	x := w.byFd[fd]
	switch {
	case x == nil || name == "" && !e.Has(fsnotify.Rename):
		return // of a directory that is gone, or that its parent tells of too
	case len(w.pending) >= w.d.opts.MaxPending:
		w.lost = true
	default:
		w.pending[place{x, name}] |= hintOf(e.Op)
	}
	w.signal()
}

func hintOf(op fsnotify.Op) (h hint) {
	for bit, is := range map[fsnotify.Op]hint{
		fsnotify.Create: hintCreated, fsnotify.Write: hintWritten, fsnotify.Chmod: hintAttr,
		fsnotify.Remove: hintRemoved, fsnotify.Rename: hintRemoved,
	} {
		if op.Has(bit) {
			h |= is
		}
	}
	return h
}

func (w *watcher) overflow() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lost = true
	w.signal()
}

// signal wakes the worker.
func (w *watcher) signal() {
	select {
	case w.wake <- struct{}{}:
	default: // it is awake already
	}
}

// work looks at what was noticed, a round at a time.
func (w *watcher) work() {
	round := time.NewTimer(w.d.opts.Coalesce)
	defer round.Stop()
	for {
		select {
		case <-w.done:
			return
		case <-w.wake:
		}
		round.Reset(w.d.opts.Coalesce)
		moved := w.renewMoved(nil)
		for waiting := true; waiting; {
			select {
			case <-w.done:
				return
			case <-w.wake:
				moved = w.renewMoved(moved)
			case <-round.C:
				waiting = false
			}
		}
		w.look(moved)
	}
}

// renewMoved watches directories again that were moved, which ends a watch, and adds them to moved.
func (w *watcher) renewMoved(moved []*dir) []*dir {
	w.mu.Lock()
	before := len(moved)
	for p := range w.pending {
		if p.name == "" {
			delete(w.pending, p)
			moved = append(moved, p.dir)
		}
	}
	w.mu.Unlock()
	for _, x := range moved[before:] {
		w.renew(x)
	}
	return moved
}

func (w *watcher) renew(x *dir) {
	x.watching.Lock()
	defer x.watching.Unlock()
	if fd, ok := w.fd(x); ok && w.n.Add(procPath(fd)) != nil {
		w.forget(x)
	}
}

// look settles what was noticed in one round. In directories that were moved a notice may have been lost.
func (w *watcher) look(moved []*dir) {
	w.mu.Lock()
	batch, lost := w.pending, w.lost
	w.pending, w.lost = map[place]hint{}, false
	w.mu.Unlock()
	if lost {
		w.d.log.Info("notices were lost, looking at everything again", "drive", w.d.id.String())
		w.d.feed.publish(fs.Change{Op: fs.OpLost, Cause: fs.CauseOf(outside)})
		moved = w.watchedDirs()
	}
	for _, x := range moved {
		x.addKnown(batch)
	}
	touched := map[*dir]bool{}
	for p := range batch {
		touched[p.dir] = true
	}
	w.settle(batch)
	now := time.Now()
	for x := range touched {
		x.dropGone(now)
	}
}

// addKnown adds every known name in x to a batch.
func (x *dir) addKnown(batch map[place]hint) {
	x.d.names.mu.RLock()
	defer x.d.names.mu.RUnlock()
	for name := range x.kids {
		batch[place{x, name}] |= 0
	}
}

// settle looks at names: first at those that are free now, then at new ones, which may be the same files, then at the rest. Those in
// directories that are not where they were come last, when it is known what became of them. A known name that is free waits for one
// round: many programs remove a file and make it again.
func (w *watcher) settle(batch map[place]hint) {
	var free, waiting []missing
	lost := map[place]hint{}
	for p, h := range batch {
		isFree, found := p.dir.free(p.name)
		switch {
		case !found:
			lost[p] = h
			delete(batch, p)
		case isFree && h&hintWaited == 0 && p.dir.knows(p.name):
			k, _ := p.dir.kid(p.name)
			waiting = append(waiting, missing{dir: p.dir, name: p.name, kid: k, path: p.dir.pathOf(p.name)})
			delete(batch, p)
		case isFree:
			free = p.dir.settleInto(free, nil, p.name, h)
			delete(batch, p)
		}
	}
	for _, news := range []bool{true, false} {
		for p, h := range batch {
			if k, known := p.dir.kid(p.name); news != (known && !k.isGone()) {
				delete(batch, p)
				free = p.dir.settleInto(free, waiting, p.name, h|hintWaits) // it may have gone since the look above
			}
		}
	}
	for p, h := range lost {
		free = p.dir.settleInto(free, waiting, p.name, h)
	}
	for _, m := range free {
		if m.wait {
			waiting = append(waiting, m)
		}
	}
	w.again(waiting)
	for _, m := range free {
		if !m.told && !m.wait {
			m.tell()
		}
	}
}

// again puts names that wait into the next round, unless they were told as renamed.
func (w *watcher) again(waiting []missing) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, m := range waiting {
		if !m.told {
			w.pending[place{m.dir, m.name}] |= hintWaited
			w.signal()
		}
	}
}

// knows reports whether a file is known at the name.
func (x *dir) knows(name string) bool {
	k, ok := x.kid(name)
	return ok && !k.isGone()
}

// settleInto settles a name, and adds it to the names that are free if it is. A file that was at one of waiting, or at one of names,
// may have come there.
func (x *dir) settleInto(names, waiting []missing, name string, h hint) []missing {
	if m, ok := x.settle(name, h, names, waiting); ok {
		names = append(names, m)
	}
	return names
}

// free reports whether nothing is at name. found is false if x is not where it was.
func (x *dir) free(name string) (free, found bool) {
	var st unix.Statx_t
	path, ok := x.Path()
	if !ok {
		return false, false
	}
	fd, err := x.openAs("check", path, unix.O_PATH|unix.O_DIRECTORY, &st)
	if err != nil {
		return false, false
	}
	defer closeFd(fd)
	return is(statAt(fd, name, &st), unix.ENOENT), true
}
