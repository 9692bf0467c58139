package local

import (
	"runtime"
	"slices"
	"sync"
	"time"
	"weak"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// names knows which nodes there are and where they are.
type names struct {
	mu    sync.RWMutex // guards nodes, the places and last place of every node, and the kids of every dir
	nodes map[ident]nodeRef
}

type nodeRef = weak.Pointer[node]

func refTo(n *node) nodeRef { return weak.Make(n) }

// place is a name in a directory.
type place struct {
	dir  *dir
	name string
}

// kid is what is known of a name in a directory: the file that was last seen or put there.
type kid struct {
	id    ident
	stamp stamp
	gone  time.Time // when it was removed through us, for notices of that may still come; zero if it is there
}

// goneLife is how long notices of a removal may be late.
const goneLife = 10 * time.Second

func (k kid) isGone() bool { return !k.gone.IsZero() }

// newNode makes a node. It is in no table yet.
func (d *Drive) newNode(st *unix.Statx_t) *node {
	id := d.ident(st)
	typ := uint32(st.Mode) & fs.ModeType
	if typ == fs.ModeDir {
		x := &dir{node: node{d: d, id: id, ino: d.inoOf(id), typ: typ}}
		x.node.dir = x
		return &x.node
	}
	return &node{d: d, id: id, ino: d.inoOf(id), typ: typ}
}

// known returns the node with that identity, or nil if nobody has it.
func (d *Drive) known(id ident) *node {
	d.names.mu.RLock()
	defer d.names.mu.RUnlock()
	return d.names.nodes[id].Value()
}

// intern returns the node of what st describes. The caller holds names.mu.
func (d *Drive) intern(st *unix.Statx_t) *node {
	id := d.ident(st)
	if n := d.names.nodes[id].Value(); n != nil && n.typ == uint32(st.Mode)&fs.ModeType {
		return n
	}
	n := d.newNode(st)
	d.names.nodes[id] = refTo(n)
	runtime.AddCleanup(n, d.forget, id)
	return n
}

// forget drops a table entry whose node is gone.
func (d *Drive) forget(id ident) {
	d.names.mu.Lock()
	defer d.names.mu.Unlock()
	if ref, ok := d.names.nodes[id]; ok && ref.Value() == nil {
		delete(d.names.nodes, id)
	}
}

// meet records that st was found at name, and returns its node. It reports false, and records nothing, if that differs from what
// is known: then somebody else has changed something that was not told yet.
func (d *Drive) meet(x *dir, name string, st *unix.Statx_t) (*node, bool) {
	id, seen := d.ident(st), stampOf(st)
	d.names.mu.Lock()
	defer d.names.mu.Unlock()
	if k, ok := x.kids[name]; ok {
		writing := k.id == id && !k.isGone() && d.names.nodes[id].Value().writing()
		if k != (kid{id: id, stamp: seen}) && !writing {
			return nil, false
		}
	} else {
		x.setKid(name, kid{id: id, stamp: seen})
	}
	n := d.intern(st)
	n.addPlace(place{x, name})
	return n, true
}

// put records that st now is at name, by what we did or have told of. It returns its node.
func (d *Drive) put(x *dir, name string, st *unix.Statx_t) *node {
	d.names.mu.Lock()
	defer d.names.mu.Unlock()
	n := d.intern(st)
	n.addPlace(place{x, name})
	d.stampPlaces(n, st)
	return n
}

// restamp records what n now looks like at all its names, by what we did or have told of.
func (d *Drive) restamp(n *node, st *unix.Statx_t) {
	d.names.mu.Lock()
	defer d.names.mu.Unlock()
	d.stampPlaces(n, st)
}

// stampPlaces does the work of restamp. The caller holds names.mu.
func (d *Drive) stampPlaces(n *node, st *unix.Statx_t) {
	for _, p := range n.places {
		p.dir.setKid(p.name, kid{id: n.id, stamp: stampOf(st)})
	}
	n.mu.Lock()
	n.stamp = stampOf(st)
	n.mu.Unlock()
}

// take records that name is free. ours says that we did it, so that notices will come. It returns the node that lost the name, or
// nil if nobody has it.
func (d *Drive) take(x *dir, name string, id ident, ours bool) *node {
	d.names.mu.Lock()
	defer d.names.mu.Unlock()
	if ours && d.watcher != nil {
		x.setKid(name, kid{gone: time.Now()})
	} else {
		delete(x.kids, name)
	}
	n := d.names.nodes[id].Value()
	if n != nil {
		n.dropPlace(place{x, name})
	}
	return n
}

// setKid records what is known of a name. The caller holds names.mu.
func (x *dir) setKid(name string, k kid) {
	if x.kids == nil {
		x.kids = map[string]kid{}
	}
	x.kids[name] = k
}

// dropGone forgets removals of which no more notices come.
func (x *dir) dropGone(now time.Time) {
	x.d.names.mu.Lock()
	defer x.d.names.mu.Unlock()
	for name, k := range x.kids {
		if k.isGone() && now.Sub(k.gone) > goneLife {
			delete(x.kids, name)
		}
	}
}

func (x *dir) kid(name string) (kid, bool) {
	x.d.names.mu.RLock()
	defer x.d.names.mu.RUnlock()
	k, ok := x.kids[name]
	return k, ok
}

// addPlace adds a name, as the one to use first. A directory has one only. The caller holds names.mu.
func (n *node) addPlace(p place) {
	n.last = p
	if n.dir != nil || len(n.places) == 0 {
		n.places = append(n.places[:0], p)
		return
	}
	if n.places[0] != p {
		n.places = slices.DeleteFunc(n.places, func(q place) bool { return q == p })
		n.places = slices.Insert(n.places, 0, p)
	}
}

// dropPlace takes a name away. The caller holds names.mu.
func (n *node) dropPlace(p place) {
	n.last = p
	n.places = slices.DeleteFunc(n.places, func(q place) bool { return q == p })
	if len(n.places) > 0 {
		n.last = n.places[0]
	}
}

// where returns the name to use, and whether there is one.
func (n *node) where() (place, bool) {
	n.d.names.mu.RLock()
	defer n.d.names.mu.RUnlock()
	return n.last, len(n.places) > 0
}

// Path returns where the node is in the drive, or last was and false.
func (n *node) Path() (string, bool) {
	n.d.names.mu.RLock()
	defer n.d.names.mu.RUnlock()
	return n.path()
}

// path does the work of Path. The caller holds names.mu.
func (n *node) path() (string, bool) {
	size, ok := 0, true
	for at := n; at != &n.d.root.node; at = &at.last.dir.node {
		size += len(at.last.name) + 1
		ok = ok && len(at.places) > 0
	}
	if size == 0 {
		return "", true
	}
	buf := make([]byte, size-1)
	end := len(buf)
	for at := n; at != &n.d.root.node; at = &at.last.dir.node {
		end -= len(at.last.name)
		copy(buf[end:], at.last.name)
		if end > 0 {
			end--
			buf[end] = '/'
		}
	}
	return string(buf), ok
}

// pathOf returns the path of a name in x.
func (x *dir) pathOf(name string) string {
	p, _ := x.Path()
	return string(fs.Path(p).Join(name))
}
