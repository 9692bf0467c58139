package local

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// hint is what notices say has happened to a name.
type hint uint8

const (
	hintCreated hint = 1 << iota
	hintWritten
	hintAttr
	hintRemoved
	hintWaited // for a round, with nothing at the name
	hintWaits  // if nothing is at the name now, that is to be looked at again in the next round
)

// missing is a known name that is free now; who took it is told once it is clear whether the file is somewhere else.
type missing struct {
	dir  *dir
	name string
	kid  kid
	path string
	told bool // as a rename
	wait bool // for the next round: nothing was told or forgotten yet
}

var outside = fs.WithCause(context.Background(), fs.Cause{Origin: fs.OriginOutside})

// check compares what is known of a name with what is there, and tells of the difference as a change by others.
func (x *dir) check(name string) {
	if m, ok := x.settle(name, 0); ok {
		m.tell()
	}
}

// settle does the work of check, for a name of which notices say h. It leaves it to the caller to tell of a name that is free. others
// are such names: a file that was there and is here now was renamed.
func (x *dir) settle(name string, h hint, others ...[]missing) (m missing, free bool) {
	if x.isReserved(name) || x.hides(name) {
		return missing{}, false
	}
	fd, err := x.enter("check")
	if err != nil {
		return missing{}, false // the directory itself is gone, which was told
	}
	defer closeFd(fd)
	x.ops.Lock()
	defer x.ops.Unlock()
	known, ok := x.kid(name)
	var st unix.Statx_t
	switch err := statAt(fd, name, &st); {
	case is(err, unix.ENOENT):
		return x.settleFree(name, h, known, ok)
	case err != nil:
		return missing{}, false // nothing can be said of it
	case !ok && h&hintCreated == 0:
		x.settleUnknown(name, h, &st)
	case !ok || known.isGone():
		x.settleNew(name, &st, others)
	case known.id == x.d.ident(&st):
		x.settleSame(name, known, &st)
	default:
		x.settleReplaced(fd, name, known, &st)
	}
	return missing{}, false
}

func (x *dir) settleFree(name string, h hint, known kid, ok bool) (missing, bool) {
	m := missing{dir: x, name: name, kid: known, path: x.pathOf(name)}
	switch {
	case ok && known.isGone():
		return m, false
	case ok && h&hintWaits != 0:
		m.wait = true
		return m, true
	case ok:
		x.d.take(x, name, known.id, false)
		return m, true
	}
	return m, h&hintRemoved != 0 && h&hintCreated == 0
}

// settleUnknown tells of a file that nobody has asked for yet.
func (x *dir) settleUnknown(name string, h hint, st *unix.Statx_t) {
	n := x.d.put(x, name, st)
	switch {
	case h&hintWritten != 0 && isFile(st):
		x.d.feed.publish(x.change(outside, fs.OpWrite, name, n, st))
	case h&hintAttr != 0:
		x.d.feed.publish(x.change(outside, fs.OpAttr, name, n, st))
	}
}

func (x *dir) settleNew(name string, st *unix.Statx_t, others [][]missing) {
	id := x.d.ident(st)
	for _, list := range others {
		i := slices.IndexFunc(list, func(m missing) bool { return m.kid.id == id && !m.told })
		if i < 0 {
			continue
		}
		list[i].told = true
		if k, ok := list[i].dir.kid(list[i].name); ok && k.id == id {
			x.d.take(list[i].dir, list[i].name, id, false)
		}
		n := x.d.put(x, name, st)
		c := x.change(outside, fs.OpRename, name, n, st)
		c.OldPath = fs.Path(list[i].path)
		x.d.feed.publish(c)
		return
	}
	n := x.d.put(x, name, st)
	x.d.feed.publish(x.change(outside, fs.OpCreate, name, n, st))
}

func (x *dir) settleSame(name string, known kid, st *unix.Statx_t) {
	now := stampOf(st)
	n := x.d.known(known.id)
	switch {
	case now == known.stamp || n.writing():
		return
	case n.wasTold(now):
		x.d.restamp(n, st)
		return
	}
	n = x.d.put(x, name, st)
	op := fs.OpAttr
	if isFile(st) && (now.mtime != known.stamp.mtime || now.size != known.stamp.size) {
		op = fs.OpWrite
	}
	x.d.feed.publish(x.change(outside, op, name, n, st))
}

// wasTold reports whether that state of a file was told already, under another of its names.
func (n *node) wasTold(now stamp) bool {
	if n == nil {
		return false
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.stamp == now
}

func (x *dir) settleReplaced(fd int, name string, known kid, st *unix.Statx_t) {
	old := x.d.take(x, name, known.id, false)
	id, had := x.d.ids.known(known.id)
	n := x.d.put(x, name, st)
	old.supersede()
	if had && isFile(st) && !old.named() {
		x.d.inherit(fd, name, n, id)
		if err := statAt(fd, name, st); err == nil {
			x.d.restamp(n, st)
		}
	}
	if old != nil && old.dir != nil {
		x.d.unwatchLost()
	}
	c := x.change(outside, fs.OpReplace, name, n, st)
	c.Old = old.as()
	x.d.feed.publish(c)
}

// supersede marks a node whose name has gone to a new one, unless it has others.
func (n *node) supersede() {
	if n != nil && !n.named() {
		n.superseded.Store(true)
	}
}

// named reports whether the file has a name, as far as can be told: a known one, or links that an open handle shows.
func (n *node) named() bool {
	if n == nil {
		return false
	}
	if _, ok := n.where(); ok {
		return true
	}
	f := n.hold()
	if f == nil {
		return false
	}
	defer f.drop()
	var st unix.Statx_t
	return statFd(f.fd, &st) == nil && st.Nlink > 0
}

// tell publishes that the name is free.
func (m missing) tell() {
	old := m.dir.d.known(m.kid.id)
	c := fs.Change{Op: fs.OpRemove, Path: fs.Path(m.path), Old: old.as(), Cause: fs.CauseOf(outside)}
	if id, ok := m.dir.d.ids.known(m.kid.id); ok {
		c.FileID = id
	}
	if old != nil {
		c.Type = fs.Attr{Mode: old.typ}.Type()
	}
	m.dir.d.feed.publish(c)
	if old != nil && old.dir != nil {
		m.dir.d.unwatchLost()
	}
}
