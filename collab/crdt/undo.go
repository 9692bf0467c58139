package crdt

import (
	"slices"
	"time"
)

// UndoOptions change what an undo manager tracks. The zero value is a manager as Yjs makes it, but for CaptureTimeout.
type UndoOptions struct {
	// CaptureTimeout is how long edits are added to the newest stack item after it was last changed. Zero makes one item of
	// each transaction; [DefaultCaptureTimeout] is what Yjs uses.
	CaptureTimeout time.Duration
	// Origins are tracked. None means the empty origin of [Doc.Transact].
	Origins []Origin
	// Capture, if set, says whether a transaction is tracked.
	Capture func(tx *Tx) bool
	// IgnoreRemoteMapChanges lets undo overwrite values that others set meanwhile.
	IgnoreRemoteMapChanges bool
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// DefaultCaptureTimeout joins edits into one step of undoing, as Yjs does.
const DefaultCaptureTimeout = 500 * time.Millisecond

// UndoManager undoes and redoes the edits of some origins in some shared types. It belongs to its document's goroutine.
type UndoManager struct {
	doc      *Doc
	scope    []*branch // none means the whole document
	o        UndoOptions
	undo     []*StackItem
	redo     []*StackItem
	undoing  bool
	redoing  bool
	last     time.Time // of the newest change that may be added to
	cancel   func()
	onAdd    listeners[StackEvent]
	onUpdate listeners[StackEvent]
	onPop    listeners[StackEvent]
}

// StackItem is one step that can be undone or redone.
type StackItem struct {
	// Meta belongs to those who listen to the manager, for example to keep a cursor.
	Meta       map[string]string
	insertions *DeleteSet
	deletions  *DeleteSet
}

// StackEvent tells of a stack item that was added, changed or taken.
type StackEvent struct {
	Item *StackItem
	// Redo says whether the item is, or was, on the stack of what can be redone.
	Redo bool
}

// NewUndoManager tracks the edits in the given types and below, or in the whole document if there are none.
func NewUndoManager(d *Doc, o UndoOptions, scope ...SharedType) *UndoManager {
	if len(o.Origins) == 0 {
		o.Origins = []Origin{""}
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	u := &UndoManager{doc: d, o: o}
	for _, t := range scope {
		u.scope = append(u.scope, t.branch())
		t.branch().more().undos++
	}
	d.watchers++
	stop := d.afterTx.add(func(tx, _ *Tx) { u.track(tx) })
	u.cancel = func() {
		stop()
		d.watchers--
		for _, b := range u.scope {
			b.ext.undos--
		}
	}
	return u
}

// Close ends the tracking. What is on the stacks is kept from being forgotten until [UndoManager.Clear].
func (u *UndoManager) Close() {
	if u.cancel != nil {
		u.cancel()
		u.cancel = nil
	}
}

// OnAdd calls f when an item was put on a stack. The returned function ends it; the same holds for the others.
func (u *UndoManager) OnAdd(f func(e StackEvent, tx *Tx)) (cancel func()) { return u.onAdd.add(f) }

// OnUpdate calls f when a change was added to the newest item.
func (u *UndoManager) OnUpdate(f func(e StackEvent, tx *Tx)) (cancel func()) {
	return u.onUpdate.add(f)
}

// OnPop calls f when an item was undone or redone.
func (u *UndoManager) OnPop(f func(e StackEvent, tx *Tx)) (cancel func()) { return u.onPop.add(f) }

// CanUndo reports whether there is anything to undo.
func (u *UndoManager) CanUndo() bool { return len(u.undo) > 0 }

// CanRedo reports whether there is anything to redo.
func (u *UndoManager) CanRedo() bool { return len(u.redo) > 0 }

// UndoSteps is the number of items that can be undone.
func (u *UndoManager) UndoSteps() int { return len(u.undo) }

// RedoSteps is the number of items that can be redone.
func (u *UndoManager) RedoSteps() int { return len(u.redo) }

// StopCapturing lets the next edit begin a new stack item.
func (u *UndoManager) StopCapturing() { u.last = time.Time{} }

// Clear forgets all steps.
func (u *UndoManager) Clear() { u.clear(true, true) }

// Undo takes back the newest step that still has an effect, and returns it; nil if there is none.
func (u *UndoManager) Undo() *StackItem {
	u.undoing = true
	defer func() { u.undoing = false }()
	return u.pop(&u.undo, false)
}

// Redo does the newest step again that was undone, and returns it; nil if there is none.
func (u *UndoManager) Redo() *StackItem {
	u.redoing = true
	defer func() { u.redoing = false }()
	return u.pop(&u.redo, true)
}

// covers reports whether an item lies in the scope.
func (u *UndoManager) covers(it *item) bool {
	return len(u.scope) == 0 || slices.ContainsFunc(u.scope, func(b *branch) bool { return b.holds(it) })
}

func (u *UndoManager) tracks(tx *Tx) bool {
	if u.o.Capture != nil && !u.o.Capture(tx) {
		return false
	}
	if len(u.scope) > 0 && !slices.ContainsFunc(u.scope, tx.changedBelow) {
		return false
	}
	return tx.undo == u || tx.undo == nil && slices.Contains(u.o.Origins, tx.origin)
}

// track puts a transaction on a stack: on that of redoing if it undoes.
func (u *UndoManager) track(tx *Tx) {
	if !u.tracks(tx) {
		return
	}
	stack := &u.undo
	if u.undoing {
		u.StopCapturing()
		stack = &u.redo
	} else if !u.redoing {
		u.clear(false, true)
	}
	insertions := &DeleteSet{}
	for _, t := range tx.touched {
		if t.after > t.before {
			insertions.add(t.c.client, t.before, t.after-t.before)
		}
	}
	now := u.o.Now()
	plain := !u.undoing && !u.redoing
	n := len(*stack)
	added := !plain || n == 0 || u.last.IsZero() || now.Sub(u.last) >= u.o.CaptureTimeout
	if added {
		*stack = append(*stack, &StackItem{insertions: insertions, deletions: union(&tx.deletes), Meta: map[string]string{}})
	} else {
		top := (*stack)[n-1]
		top.deletions = union(top.deletions, &tx.deletes)
		top.insertions = union(top.insertions, insertions)
	}
	if plain {
		u.last = now
	}
	tx.eachIn(&tx.deletes, func(it *item) {
		if it.isItem() && u.covers(it) {
			it.keep(true)
		}
	})
	e := StackEvent{Item: (*stack)[len(*stack)-1], Redo: u.undoing}
	if added {
		u.onAdd.call(e, tx)
	} else {
		u.onUpdate.call(e, tx)
	}
}

// keep marks an item and those above it as needed, or not needed any more.
func (it *item) keep(needed bool) {
	for it != nil && it.has(flagKeep) != needed {
		it.flags ^= flagKeep
		if it.parent == nil {
			return
		}
		it = it.parent.item
	}
}

func (u *UndoManager) clear(undo, redo bool) {
	if !(undo && u.CanUndo() || redo && u.CanRedo()) {
		return
	}
	u.doc.run(Tx{local: true}, func(tx *Tx) {
		release := func(stack *[]*StackItem) {
			for _, s := range *stack {
				tx.eachIn(s.deletions, func(it *item) {
					if it.isItem() && u.covers(it) {
						it.keep(false)
					}
				})
			}
			*stack = nil
		}
		if undo {
			release(&u.undo)
		}
		if redo {
			release(&u.redo)
		}
	})
}

// pop takes items from a stack until one has an effect.
func (u *UndoManager) pop(stack *[]*StackItem, redo bool) *StackItem {
	defer u.doc.hold("UndoManager")()
	var done *StackItem
	var in *Tx
	u.doc.run(Tx{local: true, undo: u}, func(tx *Tx) {
		in = tx
		for len(*stack) > 0 && done == nil {
			top := (*stack)[len(*stack)-1]
			*stack = (*stack)[:len(*stack)-1]
			if u.revert(tx, top) {
				done = top
			}
		}
		for _, c := range tx.changes {
			if c.b != nil && c.list {
				if m := c.b.markers(); m != nil {
					m.list = nil
				}
			}
		}
	})
	if done != nil {
		u.onPop.call(StackEvent{Item: done, Redo: redo}, in)
	}
	return done
}

// revert deletes what a step inserted and brings back what it deleted. It fails if there was nothing to do.
func (u *UndoManager) revert(tx *Tx, s *StackItem) bool {
	r := &reverter{tx: tx, u: u, insertions: s.insertions, pending: map[*item]bool{}}
	var remove []*item
	tx.eachIn(s.insertions, func(it *item) {
		if !it.isItem() {
			return
		}
		if it.has(flagRedone) {
			it = r.current(it)
		}
		if it.isItem() && !it.deleted() && u.covers(it) {
			remove = append(remove, it)
		}
	})
	var restore []*item
	tx.eachIn(s.deletions, func(it *item) {
		if it.isItem() && u.covers(it) && !s.insertions.Contains(it.id()) && !r.pending[it] {
			r.pending[it] = true
			restore = append(restore, it)
		}
	})
	changed := false
	for _, it := range restore {
		if r.redo(it) != nil {
			changed = true
		}
	}
	for _, it := range slices.Backward(remove) { // what is held before what holds it
		tx.delete(it)
		changed = true
	}
	return changed
}

// reverter brings back deleted items.
type reverter struct {
	tx         *Tx
	u          *UndoManager
	insertions *DeleteSet
	pending    map[*item]bool // that are to be brought back
}

// current is what replaced an item, cut to begin with it.
func (r *reverter) current(it *item) *item {
	found, offset := r.tx.doc.store.follow(it.id(), true)
	if offset > 0 {
		return r.tx.itemAt(ID{found.client, found.clock + uint64(offset)})
	}
	return found
}

// next is what directly replaced an item, nil if nothing did.
func (r *reverter) next(it *item) *item {
	if !it.has(flagRedone) {
		return nil
	}
	return r.tx.itemAt(r.tx.doc.store.redone[it])
}

// redo makes a copy of a deleted item where it was, and returns it; nil if that cannot be done.
func (r *reverter) redo(it *item) *item {
	if again := r.next(it); again != nil {
		return again
	}
	if it.parent == nil {
		return nil
	}
	holder := it.parent.item
	if holder != nil && holder.deleted() {
		if !holder.has(flagRedone) && (!r.pending[holder] || r.redo(holder) == nil) {
			return nil
		}
		for holder.has(flagRedone) {
			holder = r.next(holder)
		}
	}
	p := it.parent
	if holder != nil {
		if p = holder.branchOf(); p == nil {
			return nil
		}
	}
	var left, right *item
	if it.keyed() {
		var ok bool
		if left, ok = r.keyLeft(it, p); !ok {
			return nil
		}
		if left != nil && left.parent.item != holder {
			left = p.entries.get(*it.key)
		}
	} else {
		left, right = r.trace(it.left, holder, true), r.trace(it, holder, false)
	}
	again := it.copy()
	id := r.tx.nextID()
	r.tx.doc.store.redone[it] = id
	it.flags |= flagRedone
	again.flags |= flagKeep
	if holder != nil {
		holder.keep(true)
	}
	return r.tx.insert(insertion{parent: p, key: it.key}, left, right, again)
}

// trace finds the first item, from it on to the left or to the right, that stands in the holder's list or was brought
// back there.
func (r *reverter) trace(it, holder *item, leftwards bool) *item {
	for it != nil {
		for t := it; t != nil && t.isItem(); t = r.next(t) {
			if t.parent.item == holder {
				return t
			}
		}
		if leftwards {
			it = it.left
		} else {
			it = it.right
		}
	}
	return nil
}

// keyLeft is the value that the copy of a map's value follows. It fails if another client set the key meanwhile.
func (r *reverter) keyLeft(it *item, p *branch) (*item, bool) {
	if it.right == nil || r.u.o.IgnoreRemoteMapChanges {
		return p.entries.get(*it.key), true
	}
	left := it
	for left.right != nil && r.replaceable(left.right) {
		left = left.right
		for left.has(flagRedone) {
			left = r.next(left)
		}
	}
	return left, left.right == nil
}

// replaceable reports whether a value of a map gives way to the one that is brought back.
func (r *reverter) replaceable(it *item) bool {
	deleted := func(s *StackItem) bool { return s.deletions.Contains(it.id()) }
	return it.has(flagRedone) || r.insertions.Contains(it.id()) ||
		slices.ContainsFunc(r.u.undo, deleted) || slices.ContainsFunc(r.u.redo, deleted)
}

// copy is an item without an insertion and with the same content. A shared type comes back empty.
func (it *item) copy() item {
	c := item{kind: it.kind, length: it.length, content: it.content}
	switch content := it.content.(type) {
	case []byte, *units[byte]:
		c.content = slices.Clone(it.text()) // cutting a text may write into it
	case *branch:
		c.content = content.blank()
	case *units[Value]:
		c.content = contents[Value](it)
	case *Subdoc:
		c.content = subdocFrom(content.guid, content.options())
	}
	return c
}
