package local

import (
	"cmp"
	"errors"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// evictPart is the part of all watches that end when one too many is wanted: 1 of so many.
const evictPart = 16

// watch makes sure that changes by others in x are noticed. Where there can be no more watches, those that were not used for longest
// end: what happens there is found on lookup, until somebody looks again.
func (x *dir) watch() {
	w := x.d.watcher
	if w == nil || x.d.closed.Load() {
		return
	}
	x.used.Store(w.tick.Load())
	if x.watched.Load() {
		return
	}
	if !w.room() && !w.evict(x) {
		w.full(errors.New("the limit of " + strconv.Itoa(x.d.opts.MaxWatches) + " is reached"))
		return
	}
	err := x.beginWatch()
	if is(err, unix.ENOSPC, unix.EMFILE) && w.evict(x) {
		w.full(err)
		err = x.beginWatch()
	}
	if err != nil {
		w.full(err)
	}
}

// beginWatch sets the watch. What was known before may have changed unnoticed.
func (x *dir) beginWatch() error {
	w := x.d.watcher
	var st unix.Statx_t
	fd, err := x.open("watch", unix.O_PATH|unix.O_DIRECTORY, &st)
	if err != nil {
		return nil // whoever wanted to look at it finds out
	}
	x.watching.Lock()
	defer x.watching.Unlock()
	if x.watched.Load() || !w.enter(x, fd) {
		closeFd(fd)
		return nil
	}
	if err := w.n.Add(procPath(fd)); err != nil {
		w.forget(x)
		return err
	}
	w.tick.Add(1)
	x.watched.Store(true)
	w.rescan(x)
	return nil
}

// rescan has all that is known of x compared with what is there in the next round.
func (w *watcher) rescan(x *dir) {
	known := map[place]hint{}
	x.addKnown(known)
	if len(known) == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for p := range known {
		w.pending[p] |= 0
	}
	w.signal()
}

func (w *watcher) room() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.dirs) < w.d.opts.MaxWatches
}

// evict ends the watches of the directories that were not used for longest, to make room for that of x. It reports whether there was
// any: the root stays.
func (w *watcher) evict(x *dir) bool {
	all := slices.DeleteFunc(w.watchedDirs(), func(y *dir) bool { return y == w.d.root || y == x })
	slices.SortFunc(all, func(a, b *dir) int { return cmp.Compare(a.used.Load(), b.used.Load()) })
	n := min(len(all), len(all)/evictPart+1)
	for _, y := range all[:n] {
		w.d.unwatch(y)
	}
	return n > 0
}

func (w *watcher) full(err error) {
	w.d.warn(fs.Warning{Code: "watch-limit", Title: "Changes by other programs are noticed late in some folders", Severity: fs.Low,
		Text: "No more folders can be watched (" + err.Error() + "): raise fs.inotify.max_user_watches. In those that were not used for longest changes are found when a file is looked up."})
}
