package crdt

import (
	"cmp"
	"slices"
)

// Origin says where a transaction comes from: the empty string for a local edit that named none.
type Origin string

// Tx is a transaction: what is changed within it is merged, collected, observed and sent as one. It is valid until the
// function it was given to returns; observers may read it until they return.
type Tx struct {
	doc     *Doc
	origin  Origin
	undo    *UndoManager // that makes the transaction by undoing or redoing
	local   bool
	err     error // first fault of content that was inserted with a new shared type
	deletes DeleteSet
	splits  []ID // items that came to be by splitting, to be merged again
	touched []touchedClient
	changes []*change // one for each shared type, in order; those forgotten have none
	parents []parentEvents

	parentAt  map[*branch]int     // index in parents
	watchedAt map[*branch]*branch // what watched found

	indexes map[listOf]*listIndex // of lists with long scans

	changeOfBranch map[*branch]*change    // built from indexFrom changes on
	touchedAt      map[*clientStructs]int // as far as it is built

	cleanFormats   bool
	subdocsAdded   []*Subdoc
	subdocsRemoved []*Subdoc
}

// touchedClient says what a transaction added for one client.
type touchedClient struct {
	c             *clientStructs
	before, after uint64
}

// change says what happened to one shared type.
type change struct {
	b     *branch
	list  bool
	keys  []string
	known map[string]bool // keys, from indexFrom of them on
}

type parentEvents struct {
	b      *branch
	events []*Event
}

// Doc is the document that is being changed.
func (tx *Tx) Doc() *Doc { return tx.doc }

// Origin is what the transaction was started with.
func (tx *Tx) Origin() Origin { return tx.origin }

// Local reports whether the change was made by this document's program, and not received in an update.
func (tx *Tx) Local() bool { return tx.local }

// Undo is the manager whose undo or redo made the transaction, or nil.
func (tx *Tx) Undo() *UndoManager { return tx.undo }

// Deleted is the set of what was deleted so far. It must not be changed.
func (tx *Tx) Deleted() *DeleteSet { return &tx.deletes }

func (tx *Tx) nextID() ID {
	id := tx.doc.clientID
	return ID{id, tx.doc.store.state(id)}
}

// touch remembers the state that a client had when the running transactions began.
func (tx *Tx) touch(c *clientStructs) {
	if c.touched == tx {
		return
	}
	state := c.state()
	for _, t := range tx.doc.queue {
		if len(tx.doc.queue) == 1 || t.find(c) == nil {
			t.touched = append(t.touched, touchedClient{c: c, before: state})
		}
	}
	c.touched, c.before = tx, state
}

func (tx *Tx) find(c *clientStructs) *touchedClient {
	if len(tx.touched) >= indexFrom {
		return tx.findIndexed(c)
	}
	for i := range tx.touched {
		if tx.touched[i].c == c {
			return &tx.touched[i]
		}
	}
	return nil
}

// findIndexed brings the index up to what was touched since.
func (tx *Tx) findIndexed(c *clientStructs) *touchedClient {
	if tx.touchedAt == nil {
		tx.touchedAt = make(map[*clientStructs]int)
	}
	for i := len(tx.touchedAt); i < len(tx.touched); i++ {
		tx.touchedAt[tx.touched[i].c] = i
	}
	if i, ok := tx.touchedAt[c]; ok {
		return &tx.touched[i]
	}
	return nil
}

// before is the state of a client when the transaction began.
func (tx *Tx) before(client uint64) uint64 {
	c := tx.doc.store.client(client)
	if c == nil {
		return 0
	}
	if c.touched == tx {
		return c.before
	}
	if len(tx.doc.queue) > 1 {
		if t := tx.find(c); t != nil {
			return t.before
		}
	}
	return c.state()
}

// adds reports whether the transaction added the item.
func (tx *Tx) adds(it *item) bool { return it.clock >= tx.before(it.client) }

// removes reports whether the transaction deleted the item.
func (tx *Tx) removes(it *item) bool { return tx.deletes.Contains(it.id()) }

// changedIn notes that b's item it came or went, if anybody can know b.
func (tx *Tx) changedIn(b *branch, it *item) {
	if b.item != nil && (b.item.deleted() || tx.adds(b.item)) {
		return
	}
	c := tx.changeOf(b)
	if it.keyed() {
		c.addKey(*it.key)
	} else {
		c.list = true
	}
}

func (c *change) addKey(key string) {
	if c.known[key] || c.known == nil && slices.Contains(c.keys, key) {
		return
	}
	c.keys = append(c.keys, key)
	if len(c.keys) == indexFrom {
		c.known = make(map[string]bool, 2*indexFrom)
		for _, k := range c.keys {
			c.known[k] = true
		}
	} else if c.known != nil {
		c.known[key] = true
	}
}

func (tx *Tx) changeOf(b *branch) *change {
	if c := tx.findChange(b); c != nil {
		return c
	}
	c := &change{b: b}
	tx.changes = append(tx.changes, c)
	if n := len(tx.changes); n >= indexFrom {
		if tx.changeOfBranch == nil {
			tx.changeOfBranch = make(map[*branch]*change)
			for _, c := range tx.changes {
				tx.changeOfBranch[c.b] = c
			}
		}
		tx.changeOfBranch[b] = c
	}
	return c
}

func (tx *Tx) findChange(b *branch) *change {
	if tx.changeOfBranch != nil {
		return tx.changeOfBranch[b]
	}
	for _, c := range tx.changes {
		if c.b == b {
			return c
		}
	}
	return nil
}

// forgetChanges drops what was noted about a type that is deleted.
func (tx *Tx) forgetChanges(b *branch) {
	if c := tx.findChange(b); c != nil {
		c.b = nil
		delete(tx.changeOfBranch, b)
	}
}

// run calls f in the current transaction, or in a new one which it then finishes.
func (d *Doc) run(tx Tx, f func(*Tx)) {
	if d.tx != nil {
		f(d.tx)
		return
	}
	t := &tx
	t.doc = d
	d.tx = t
	d.queue = append(d.queue, t)
	defer func() {
		d.tx = nil
		t.dropIndexes()
		if d.queue[0] == t {
			d.finishAll()
		}
	}()
	f(t)
}

// finishAll finishes the transactions one after the other, also those that observers start meanwhile.
func (d *Doc) finishAll() {
	defer func() { d.queue = nil }()
	for i := 0; i < len(d.queue); i++ {
		d.queue[i].finish()
	}
}

// finish ends the transaction: observers first, then collecting and merging, then the update.
func (tx *Tx) finish() {
	tx.deletes.normalize()
	slices.SortFunc(tx.touched, func(a, b touchedClient) int { return cmp.Compare(a.c.place, b.c.place) })
	tx.touchedAt = nil
	for i := range tx.touched {
		tx.touched[i].after = tx.touched[i].c.state()
	}
	defer tx.settle()
	tx.notify()
	if tx.cleanFormats {
		tx.cleanFormatting()
	}
}

func (tx *Tx) settle() {
	d := tx.doc
	if !d.keepDeleted {
		tx.collect(&tx.deletes)
	}
	tx.mergeDeleted(&tx.deletes)
	tx.mergeAdded()
	tx.mergeSplits()
	own := func(t touchedClient) bool { return t.c.client == d.clientID && t.before != t.after }
	if !tx.local && slices.ContainsFunc(tx.touched, own) {
		d.clientID = randomClient()
	}
	tx.emit()
}

func (tx *Tx) collect(ds *DeleteSet) {
	for _, cr := range ds.clients {
		list := &tx.doc.store.client(cr.client).list
		for _, r := range slices.Backward(cr.ranges) {
			for it := range list.from(list.find(r.Clock)) {
				if it.clock >= r.end() {
					break
				}
				if it.isItem() && it.deleted() && !it.has(flagKeep) {
					it.collect(false)
				}
			}
		}
	}
}

// mergeDeleted merges from right to left what was deleted, with its neighbours.
func (tx *Tx) mergeDeleted(ds *DeleteSet) {
	for _, cr := range ds.clients {
		c := tx.doc.store.client(cr.client)
		for _, r := range slices.Backward(cr.ranges) {
			p := c.list.find(r.end() - 1)
			if right, ok := c.list.next(p); ok {
				p = right
			}
			tx.mergeFrom(c, p, r.Clock)
		}
	}
}

// mergeFrom merges from p to the left all structs from clock on.
func (tx *Tx) mergeFrom(c *clientStructs, p spot, clock uint64) {
	for p != (spot{}) && c.list.get(p).clock >= clock {
		p, _ = c.list.mergeLefts(p)
		p, _ = c.list.prev(p)
	}
}

func (tx *Tx) mergeAdded() {
	for _, t := range tx.touched {
		if t.before == t.after {
			continue
		}
		first := t.c.list.find(t.before)
		if first == (spot{}) {
			var ok bool
			if first, ok = t.c.list.next(first); !ok {
				continue
			}
		}
		tx.mergeFrom(t.c, t.c.list.end(), t.c.list.get(first).clock)
	}
}

func (tx *Tx) mergeSplits() {
	for _, id := range slices.Backward(tx.splits) {
		c := tx.doc.store.client(id.Client)
		p := c.list.find(id.Clock)
		if right, ok := c.list.next(p); ok {
			if _, gone := c.list.mergeLefts(right); gone > 1 {
				continue
			}
		}
		if p != (spot{}) {
			c.list.mergeLefts(p)
		}
	}
}

// changed reports whether the transaction changed anything that others must know.
func (tx *Tx) changed() bool {
	return !tx.deletes.Empty() || slices.ContainsFunc(tx.touched, func(t touchedClient) bool { return t.before != t.after })
}

// emit hands the update to those who asked for it.
func (tx *Tx) emit() {
	d := tx.doc
	for _, v := range [...]struct {
		listeners *listeners[[]byte]
		make      func() encoder
	}{{&d.onUpdate, newEncoderV1}, {&d.onUpdateV2, newEncoderV2}} {
		if v.listeners.empty() || !tx.changed() {
			continue
		}
		e := v.make()
		tails := make([]tail, 0, len(tx.touched))
		for _, t := range tx.touched {
			if t.c.state() > t.before {
				tails = append(tails, tail{t.c, t.before})
			}
		}
		writeTails(e, tails)
		tx.deletes.write(e)
		v.listeners.call(e.finish(), tx)
	}
	tx.emitSubdocs()
}
