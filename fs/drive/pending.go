package drive

import (
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// How long the store is not told of a change, so that later ones can make it needless.
const (
	settleAfter = time.Second      // after a close, an fsync or a change of names
	idleAfter   = 30 * time.Second // while a file is open for writing
	savedMax    = 10 * time.Second // after the first of many closes, fsyncs or changes of names, while more of them come
	ageMax      = 5 * time.Minute  // in all, however often it changes
)

// keyed is a key of the store, of a directory or of anything else.
type keyed struct {
	key string
	dir bool
}

// markerVersion is the version of a directory that the store has by itself, not only as a prefix of keys.
const markerVersion version = "dir"

// pending is a key of the store to be brought up to what the tree has at that path. All is guarded by Drive.mu.
type pending struct {
	pendingRecord
	due      time.Time
	saved    time.Time // when it was first saved since the store was last told of it; zero = it was not
	again    bool      // it was changed since a worker has begun with it
	unsure   bool      // a write may have reached the store whose answer did not come back
	replayed bool      // it is unsure since nobody knows what the daemon before this one has sent
	tries    int       // failures in a row
	err      error
	failed   time.Time // when it did
	stuck    blocker   // what it waits for
	queued   time.Time // where it is in queue.later; zero = nowhere
	ready    bool      // it is in queue.ready
}

// mayBeThere reports whether the store has something under the key, as far as is known.
func (p *pending) mayBeThere() bool { return p.have != "" || p.unsure }

func (p *pending) keyed() keyed { return keyed{p.key, p.dir} }

// setPending changes what is known of a key; nil takes it out.
func (t *tx) setPending(k keyed, p *pending) {
	before := t.d.pending[k]
	t.undo = append(t.undo, func() { t.d.putPending(k, before) })
	t.keys = append(t.keys, k)
	t.d.putPending(k, p)
	if p == nil {
		t.after = append(t.after, t.d.progress.changed)
	} else {
		t.after = append(t.after, t.d.queue.kick)
	}
}

// putPending sets what is known of a key, and counts it for the directories above. The caller holds mu.
func (d *Drive) putPending(k keyed, p *pending) {
	d.noteMoved(k, p)
	by := 0
	if d.pending[k] == nil {
		by++
	}
	if p == nil {
		delete(d.pending, k)
		by--
	} else {
		d.pending[k] = p
		d.queue.look(k)
		if k.dir {
			d.queue.look(keyed{key: k.key}) // which waits no more for the heir of a file
		}
	}
	d.queue.unblock(blocker{byPending, k.key})
	for dir, _ := split(k.key); dir != "" && by != 0; dir, _ = split(dir) {
		if d.below[dir] += by; d.below[dir] <= 0 {
			delete(d.below, dir)
			d.queue.unblock(blocker{byBelow, dir})
		}
	}
}

// edit returns a copy of what is known of a key, to be changed: it takes the place of the other when the change is written down.
func (t *tx) edit(k keyed) *pending {
	p := &pending{pendingRecord: pendingRecord{key: k.key, dir: k.dir, since: t.now}}
	if left := t.left[k]; left != nil {
		p.since, p.saved = left.since, left.saved // it is made anew in the same change
	}
	if before := t.d.pending[k]; before != nil {
		*p = *before
		p.again = true
	}
	t.setPending(k, p)
	return p
}

// keyOf returns the key of a node's own path. The caller holds Drive.mu.
func keyOf(n inode) keyed {
	path, _ := n.meta().path()
	return keyed{path, n.kind() == kindDir}
}

// want has the node's own key brought up to date soon.
func (t *tx) want(n inode) { t.wantAfter(n, settleAfter) }

func (t *tx) wantAfter(n inode, wait time.Duration) {
	x := n.meta()
	if !x.named() || x.m.parent == nil {
		return
	}
	k := keyOf(n)
	t.arrive(n, k)
	if t.d.isLocal(n) && t.d.pending[k] == nil {
		return
	}
	if t.d.pending[k] == nil && x.m.at.key == "" && x.m.at.version != "" {
		p := t.edit(k)
		p.have = x.m.at.version
		p.wait(wait)
		return
	}
	before := t.d.pending[k]
	p := t.edit(k)
	p.tries, p.err = 0, nil
	p.wait(wait)
	if before != nil && before.tries == 0 && before.due.Before(p.due) && t.now-p.since > int64(ageMax) {
		p.due = before.due // who saves all the time must not keep it from the store
	}
}

// wait makes the key due after some time. Who saves again and again does not put it off for more than savedMax.
func (p *pending) wait(wait time.Duration) {
	now := time.Now()
	p.due = now.Add(wait)
	if wait > settleAfter {
		return // it is open still
	}
	if p.saved.IsZero() {
		p.saved = now
	}
	if last := p.saved.Add(savedMax); last.Before(p.due) {
		p.due = last
	}
}

// leave notes that n gives up its path, before it does: what the store has there is to go.
func (t *tx) leave(n inode) {
	x := n.meta()
	k := keyOf(n)
	own := x.m.at.key == "" && x.m.at.version != ""
	before := t.d.pending[k]
	switch {
	case before != nil && before.have == "" && !t.d.queue.working[k] && !before.unsure && !k.dir:
		t.setPending(k, nil)
		if t.left == nil {
			t.left = map[keyed]*pending{}
		}
		t.left[k] = before
	case before != nil, own, k.dir && !t.d.isLocal(n):
		p := t.edit(k)
		if before == nil && own {
			p.have = x.m.at.version
		}
		p.tries, p.err = 0, nil
		p.due = time.Now().Add(settleAfter)
	}
	t.depart(n, k)
	if own && n.kind() == kindDir {
		t.touch(n)
		x.m.at = base{}
		x.m.metaDirty = x.m.metaDirty || t.d.marks(n.(*dir))
	} else if own {
		at := x.m.at
		at.key = k.key
		t.setAt(n, at)
		if c := x.m.get().content; c != nil {
			x.m.edit(func(m *more) { m.sent.last = c.gen })
		}
	}
}

// setAt changes where a node's bytes are in the store, and keeps account of those that are not at the node's own path.
func (t *tx) setAt(n inode, at base) {
	t.touch(n)
	x := n.meta()
	t.displace(x.m.at.key, n, false)
	t.displace(at.key, n, true)
	if x.m.at.version != at.version && x.m.get().sent != (sent{}) {
		x.m.edit(func(m *more) { m.sent = sent{} })
	}
	x.m.at = at
}

// displace notes whether n needs what the store has at key.
func (t *tx) displace(key string, n inode, needs bool) {
	if key == "" {
		return
	}
	set := t.d.displaced[key]
	if set[n] == needs {
		return
	}
	t.undo = append(t.undo, func() { t.d.noteDisplaced(key, n, !needs) })
	t.d.noteDisplaced(key, n, needs)
}

func (d *Drive) noteDisplaced(key string, n inode, needs bool) {
	set := d.displaced[key]
	switch {
	case !needs:
		d.queue.unblock(blocker{byNeed, key})
		if delete(set, n); len(set) == 0 {
			delete(d.displaced, key)
		}
		return
	case set == nil:
		set = map[inode]bool{}
		d.displaced[key] = set
	}
	set[n] = true
}

// fetchKey returns where a node's bytes are. The caller holds Drive.mu.
func (n *node) baseAt() base {
	at := n.m.at
	if at.key == "" && at.version != "" {
		at.key, _ = n.path()
	}
	return at
}

var _ = fs.File
