package drive

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"time"
	"weak"
)

// evictor lets go of nodes that can be found in the store again when there are too many. What it has is guarded by Drive.mu.
//
// A node that is let go of is loose: it is no child of its directory any more, but the directory remembers it weakly. Who holds it, the
// kernel for one, keeps it alive, and whatever is done to it, or finds its name, makes it a child again: so there is never a second node
// of one file, nor another number.
type evictor struct {
	wake chan struct{} // holds one element when there are too many nodes

	count  int           // of children of all directories
	begin  int           // the count over which something is done
	loaded map[*dir]bool // directories with children that were found in the store
	shed   map[*dir]bool // directories that have loose children, some of which may be no more
	round  chan struct{} // closed, and replaced, when the loop has let go of what it could
}

func (e *evictor) init(most int) {
	e.wake, e.round, e.begin = make(chan struct{}, 1), make(chan struct{}), most
	e.loaded, e.shed = map[*dir]bool{}, map[*dir]bool{}
}

// sweepAfter is how long after nodes were let go of it is looked at which of them are no more.
const sweepAfter = time.Minute

// evictNodes is the loop that keeps their number down.
func (d *Drive) evictNodes(ctx context.Context) {
	timer := time.NewTimer(sweepAfter)
	defer timer.Stop()
	timer.Stop() // until something was let go of
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			d.sweepLoose()
		case <-d.evictor.wake:
			d.sweepLoose()
			d.evictColdest(ctx)
			timer.Reset(sweepAfter)
		}
	}
}

// evictColdest lets go of whole listings, the one that was used the longest time ago first, until a quarter of what may be there is free.
func (d *Drive) evictColdest(ctx context.Context) {
	most := d.opts.MaxNodes
	for _, x := range d.coldest() {
		if ctx.Err() != nil || d.nodes() <= most-most/4 || d.isOffline() {
			break // offline they could not be found again
		}
		edits, written := d.keepListing(x)
		d.evict(x, edits, written)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.evictor.begin = max(most, d.evictor.count+most/8) // what is needed is not looked at again for each that comes
	close(d.evictor.round)
	d.evictor.round = make(chan struct{})
}

// awaitEviction has whoever is about to find more nodes wait where the loop does not keep up with him.
func (d *Drive) awaitEviction(ctx context.Context) {
	for {
		d.mu.RLock()
		e := &d.evictor
		late, round := e.count > e.begin+d.opts.MaxNodes/4, e.round
		d.mu.RUnlock()
		if !late {
			return
		}
		e.kick()
		select {
		case <-round:
		case <-ctx.Done():
			return
		}
	}
}

// kick has the loop begin.
func (e *evictor) kick() {
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (d *Drive) nodes() int {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.evictor.count
}

// coldest returns the directories that were listed, in the order in which they were last used.
func (d *Drive) coldest() []*dir {
	d.mu.Lock()
	all := slices.Collect(maps.Keys(d.evictor.loaded))
	d.mu.Unlock()
	used := make(map[*dir]int64, len(all))
	for _, x := range all {
		used[x] = x.used.Load()
	}
	slices.SortFunc(all, func(a, b *dir) int { return cmp.Compare(used[a], used[b]) })
	return all
}

// evict lets go of the children of a directory that nobody needs, if it is not in use and has not been edited since. Told says whether they
// are written down as they are.
func (d *Drive) evict(x *dir, edits uint64, told bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if x.pins.Load() > 0 || x.loading != nil || x.edits != edits || x.m.get().moved {
		return
	}
	path, ok := x.path()
	if !ok {
		delete(d.evictor.loaded, x)
		return
	}
	needed := map[string]inode{}
	loose := make(map[string]weak.Pointer[node], len(x.children))
	for name, n := range x.children {
		if d.letGo(n, join(path, name), told) {
			loose[name] = weak.Make(n.meta())
		} else {
			needed[name] = n
		}
	}
	if len(loose) > 0 {
		maps.Copy(loose, x.shed)
		x.children, x.shed, x.complete = needed, loose, false
		d.evictor.count -= len(loose)
		d.evictor.shed[x] = true
	}
	delete(d.evictor.loaded, x)
}

// letGo makes a node loose that has nothing but what a listing tells, or what is written down of its directory if that is so, and reports
// whether it did. The caller holds mu.
func (d *Drive) letGo(n inode, path string, written bool) bool {
	m := &n.meta().m
	if m.kept || m.at.key != "" || d.isPending(path) {
		return false
	}
	switch n := n.(type) {
	case *file:
		if n.handles > 0 || n.dressed && !written || m.at.version == "" || m.get().content != nil {
			return false
		}
	case *symlink, *special:
		if !written || m.at.version == "" {
			return false
		}
	case *dir:
		if n.dressed && !written || n.isNeeded() || d.below[path] > 0 {
			return false
		}
		n.loose.Store(true) // before the pins are looked at: who pins it either is seen here, or sees that
		if n.pins.Load() > 0 {
			n.loose.Store(false)
			return false
		}
	}
	n.meta().loose.Store(true)
	return true
}

// isNeeded reports whether something is known of the directory that cannot be found again. The caller holds Drive.mu.
func (x *dir) isNeeded() bool { return len(x.children) > 0 || x.loading != nil || x.m.get().moved }

// isPending reports whether a file or directory of that path is to be brought up to date. The caller holds mu.
func (d *Drive) isPending(path string) bool {
	return len(d.pending) > 0 && (d.pending[keyed{path, false}] != nil || d.pending[keyed{path, true}] != nil)
}

// regain makes a loose node a child of its directory again. The caller holds mu.
func (d *Drive) regain(n inode) {
	x := n.meta()
	parent := x.m.parent
	if !x.loose.Swap(false) || parent == nil {
		return
	}
	d.regain(parent)
	delete(parent.shed, x.m.name)
	if parent.children[x.m.name] != nil { // which was made sure not to be: better no name than to take it from another
		path, _ := x.path()
		x.m.edit(func(m *more) { m.last = path })
		x.m.parent = nil
		return
	}
	parent.set(x.m.name, n)
	d.evictor.loaded[parent] = true
}

// known returns the child of that name, also a loose one. The caller holds Drive.mu.
func (x *dir) known(name string) inode {
	if n := x.children[name]; n != nil {
		return n
	}
	if n := x.shed[name].Value(); n != nil {
		x.d.regain(n.self)
		return n.self
	}
	return nil
}

// regainAll makes children of all loose nodes. The caller holds Drive.mu.
func (x *dir) regainAll() {
	for _, p := range x.shed {
		if n := p.Value(); n != nil {
			x.d.regain(n.self)
		}
	}
	x.shed = nil
	delete(x.d.evictor.shed, x)
}

// sweepLoose forgets the loose nodes that are no more.
func (d *Drive) sweepLoose() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for x := range d.evictor.shed {
		maps.DeleteFunc(x.shed, func(_ string, p weak.Pointer[node]) bool { return p.Value() == nil })
		if len(x.shed) == 0 {
			x.shed = nil
			delete(d.evictor.shed, x)
		}
	}
}

// pin keeps the children of a directory, and the directory itself, from being let go of until unpin.
func (x *dir) pin() {
	x.pins.Add(1)
	x.used.Store(time.Now().UnixNano())
	if x.loose.Load() {
		x.d.mu.Lock()
		defer x.d.mu.Unlock()
		x.d.regain(x)
	}
}

func (x *dir) unpin() { x.pins.Add(-1) }

// set gives a name to n, nil takes it away. The caller holds Drive.mu.
func (x *dir) set(name string, n inode) {
	before := len(x.children)
	if n == nil {
		delete(x.children, name)
	} else {
		x.children[name] = n
	}
	x.d.evictor.count += len(x.children) - before
}
