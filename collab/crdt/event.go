package crdt

import (
	"slices"
)

// Event says what a transaction changed in one shared type. It may be asked until the observer returns.
type Event struct {
	tx      *Tx
	target  *branch
	current *branch
	change  *change
	delta   []DeltaOp
	done    bool // delta is computed
}

// Action says what became of a key.
type Action uint8

// Actions on keys.
const (
	Added Action = iota + 1
	Updated
	Removed
)

// KeyChange says what became of one key of a map, or of one attribute.
type KeyChange struct {
	Key    string
	Action Action
	// Old is the value before; nil for an added key.
	Old Value
}

// Step is one step from a shared type to one that it holds: a key of a map, or an index in a list if InList is set.
type Step struct {
	Key    string
	Index  int
	InList bool
}

// Target is the type that was changed.
func (e *Event) Target() Value { return e.target.value() }

// Tx is the transaction.
func (e *Event) Tx() *Tx { return e.tx }

// Path leads from the observed type to the target.
func (e *Event) Path() []Step {
	var path []Step
	for b := e.target; b.item != nil && b != e.current; b = b.item.parent {
		it := b.item
		if it.keyed() {
			path = append(path, Step{Key: *it.key})
			continue
		}
		index := 0
		for c := it.parent.start; c != nil && c != it; c = c.right {
			if c.visible() {
				index += int(c.length)
			}
		}
		path = append(path, Step{Index: index, InList: true})
	}
	slices.Reverse(path)
	return path
}

// depth is the length of Path.
func (e *Event) depth() int { return int(e.target.depth) - int(e.current.depth) }

// Keys says what became of the keys that were changed. A key that has its old value, or none, again is not among them.
func (e *Event) Keys() []KeyChange {
	var keys []KeyChange
	for _, key := range e.change.keys {
		it := e.target.entries.get(key)
		if it == nil {
			continue
		}
		if !e.tx.adds(it) {
			if e.tx.removes(it) {
				keys = append(keys, KeyChange{key, Removed, it.last()})
			}
			continue
		}
		prev := it.left
		for prev != nil && e.tx.adds(prev) {
			prev = prev.left
		}
		had := prev != nil && e.tx.removes(prev)
		switch gone := e.tx.removes(it); {
		case gone && had:
			keys = append(keys, KeyChange{key, Removed, prev.last()})
		case gone:
		case had:
			keys = append(keys, KeyChange{key, Updated, prev.last()})
		default:
			keys = append(keys, KeyChange{key, Added, nil})
		}
	}
	return keys
}

// Delta is the change of the list: what to retain, insert and delete from its start on. On a formatted text, asking for
// it may delete format marks that have no effect, as it does in Yjs.
func (e *Event) Delta() []DeltaOp {
	if !e.done {
		e.done = true
		if e.target.isText() {
			e.tx.doc.run(Tx{local: true}, func(tx *Tx) { e.delta = e.textDelta(tx) })
		} else if e.change.list {
			e.delta = e.listDelta()
		}
	}
	return e.delta
}

func (e *Event) listDelta() []DeltaOp {
	var ops []DeltaOp
	last := func(same func(DeltaOp) bool) *DeltaOp {
		if n := len(ops); n == 0 || !same(ops[n-1]) {
			ops = append(ops, DeltaOp{})
		}
		return &ops[len(ops)-1]
	}
	for it := e.target.start; it != nil; it = it.right {
		switch {
		case it.deleted():
			if e.tx.removes(it) && !e.tx.adds(it) {
				last(func(op DeltaOp) bool { return op.Delete > 0 }).Delete += int(it.length)
			}
		case e.tx.adds(it):
			op := last(func(op DeltaOp) bool { return op.Insert != nil })
			list, _ := op.Insert.(List)
			list = append(list, it.values()...)
			op.Insert = list
		default:
			last(func(op DeltaOp) bool { return op.Retain > 0 }).Retain += int(it.length)
		}
	}
	if n := len(ops); n > 0 && ops[n-1].Retain > 0 {
		ops = ops[:n-1]
	}
	return ops
}

// notify calls the observers of all types that were changed, then those of the types above, then those of transactions.
func (tx *Tx) notify() {
	for i := 0; i < len(tx.changes); i++ {
		if c := tx.changes[i]; c.b != nil && !c.b.dead() {
			tx.notifyType(c)
		}
	}
	for i := 0; i < len(tx.parents); i++ {
		tx.notifyDeep(tx.parents[i])
	}
	tx.doc.afterTx.call(tx, tx)
}

func (tx *Tx) notifyType(c *change) {
	b := c.b
	if m := b.markers(); m != nil && !tx.local {
		m.list = nil
	}
	if b.kind == branchUndefined {
		return
	}
	if tx.doc.watchers > 0 {
		e := &Event{tx: tx, target: b, current: b, change: c}
		for p := tx.watched(b); p != nil; p = tx.watched(p.parent()) {
			tx.addParentEvent(p, e)
		}
		if b.ext != nil {
			b.ext.observers.call(e, tx)
		}
	}
	if b.isText() && !tx.local && b.hasFormatting {
		tx.cleanFormats = true
	}
}

// watched is the type at b or above it that is observed deeply or in an undo manager's scope, nil if there is none. What
// was found is remembered: many types may lie below it.
func (tx *Tx) watched(b *branch) *branch {
	if tx.watchedAt == nil {
		tx.watchedAt = map[*branch]*branch{}
	}
	var found *branch
	p := b
	for ; p != nil; p = p.parent() {
		if known, ok := tx.watchedAt[p]; ok {
			found = known
			break
		}
		if p.ext != nil && (p.ext.undos > 0 || !p.ext.deepObservers.empty()) {
			found = p
			break
		}
	}
	for q := b; q != p; q = q.parent() {
		tx.watchedAt[q] = found
	}
	return found
}

func (tx *Tx) addParentEvent(b *branch, e *Event) {
	if tx.parentAt == nil {
		tx.parentAt = map[*branch]int{}
	}
	i, ok := tx.parentAt[b]
	if !ok {
		i = len(tx.parents)
		tx.parentAt[b] = i
		tx.parents = append(tx.parents, parentEvents{b: b})
	}
	tx.parents[i].events = append(tx.parents[i].events, e)
}

// changedBelow reports whether b, which an undo manager watches, or anything below it was changed. It is known while
// observers are called.
func (tx *Tx) changedBelow(b *branch) bool {
	_, ok := tx.parentAt[b]
	return ok
}

func (tx *Tx) notifyDeep(p parentEvents) {
	if p.b.ext == nil || p.b.ext.deepObservers.empty() || p.b.dead() {
		return
	}
	events := slices.DeleteFunc(slices.Clone(p.events), func(e *Event) bool { return e.target.dead() })
	for _, e := range events {
		e.current = p.b
	}
	slices.SortStableFunc(events, func(a, b *Event) int { return a.depth() - b.depth() })
	p.b.ext.deepObservers.call(events, tx)
}
