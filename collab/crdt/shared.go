package crdt

import "slices"

// shared is what all shared types have in common.
type shared struct{ b *branch }

func (s shared) branch() *branch { return s.b }

// SharedType is any of [*Text], [*Array], [*Map] and [*XML].
type SharedType interface {
	Value
	branch() *branch
}

// Doc is the document that the type belongs to, nil before it was inserted anywhere.
func (s shared) Doc() *Doc { return s.b.doc }

// Parent is the shared type that holds this one, nil for a root.
func (s shared) Parent() Value {
	if p := s.b.parent(); p != nil {
		return p.value()
	}
	return nil
}

// Deleted reports whether the type was deleted from the document. What it holds then is not defined.
func (s shared) Deleted() bool { return s.b.dead() }

// Len is the length of the type's list: UTF-16 code units of a text, elements of an array, children of XML.
func (s shared) Len() int { return s.b.length }

// Observe calls f after each transaction that changed the type itself. The returned function ends it.
func (s shared) Observe(f func(e *Event)) (cancel func()) {
	stop := s.b.more().observers.add(func(e *Event, _ *Tx) { f(e) })
	return s.watch(stop)
}

// ObserveDeep calls f after each transaction that changed the type or any below it, with all events at once, those of
// the shortest path first. The returned function ends it.
func (s shared) ObserveDeep(f func(events []*Event, tx *Tx)) (cancel func()) {
	return s.watch(s.b.more().deepObservers.add(f))
}

// watch counts an observer. A type that is in no document yet cannot be observed by its creator without a transaction,
// so the type's own document is known by the time anything changes.
func (s shared) watch(stop func()) func() {
	d := s.b.doc
	if d != nil {
		d.watchers++
	}
	return func() {
		if stop != nil {
			stop()
			if d != nil {
				d.watchers--
			}
		}
		stop = nil
	}
}

// editable reports whether tx may change the type.
func (s shared) editable(tx *Tx) error {
	if s.b.doc == nil || s.b.doc != tx.doc || tx.doc.tx != tx {
		return ErrDetached
	}
	return nil
}

// insert makes a new item of some content between left and right, in the list or, with a key, in the map, and integrates it.
func (tx *Tx) insert(in insertion, left, right *item, content item) *item {
	m := &made{item: content, insertion: in}
	it := m.own()
	id := tx.nextID()
	it.client, it.clock, it.left, it.right = id.Client, id.Clock, left, right
	it.hold(content.content)
	if left != nil {
		it.setOrigin(left.lastID())
	}
	if right != nil {
		it.setRightOrigin(right.id())
	}
	tx.integrate(it, 0)
	return it
}

// itemFor is an item without an insertion that holds the value alone.
func itemFor(v Value) (item, error) {
	switch v := v.(type) {
	case Bytes:
		return item{kind: kindBinary, content: []byte(v), length: 1}, nil
	case *Subdoc:
		if v.item != nil {
			return item{}, ErrDetached
		}
		return item{kind: kindDoc, content: v, length: 1}, nil
	case SharedType:
		if v.branch().doc != nil {
			return item{}, ErrDetached
		}
		return item{kind: kindType, content: v.branch(), length: 1}, nil
	case nil:
		return item{kind: kindAny, content: []Value{Undefined{}}, length: 1}, nil
	case String:
		return item{kind: kindAny, content: []Value{String(cleanUTF8(string(v)))}, length: 1}, nil
	default:
		return item{kind: kindAny, content: []Value{v}, length: 1}, nil
	}
}

// newShared wraps a new branch of the given kind. The content is inserted once the type is part of a document.
func newShared(k branchKind, name string, prelim func(*Tx) error) *branch {
	b := newBranch(name, k)
	b.more().prelim = prelim
	return b
}

// insertValues puts values behind left, plain ones together into one item.
func (tx *Tx) insertValues(p *branch, left *item, vs []Value) error {
	right := p.start
	if left != nil {
		right = left.right
	}
	var plain []Value
	flush := func() {
		if len(plain) > 0 {
			left = tx.insert(insertion{parent: p}, left, right, item{kind: kindAny, content: plain, length: uint64(len(plain))})
			plain = nil
		}
	}
	for _, v := range vs {
		it, err := itemFor(v)
		if err != nil {
			return err
		}
		if it.kind == kindAny {
			plain = append(plain, it.content.([]Value)...)
			continue
		}
		flush()
		left = tx.insert(insertion{parent: p}, left, right, it)
	}
	flush()
	return tx.takeError()
}

// takeError returns the fault of content that came with a new shared type.
func (tx *Tx) takeError() error {
	err := tx.err
	tx.err = nil
	return err
}

// checkValues reports the first value that cannot be inserted.
func checkValues(vs []Value) error {
	for i, v := range vs {
		if _, err := itemFor(v); err != nil {
			return err
		}
		switch v.(type) {
		case SharedType, *Subdoc:
			if slices.ContainsFunc(vs[:i], func(w Value) bool { return identical(v, w) }) {
				return ErrDetached
			}
		}
	}
	return nil
}

// listInsert inserts values at index.
func (tx *Tx) listInsert(p *branch, index int, vs []Value) error {
	if index < 0 || index > p.length {
		return ErrRange
	}
	if err := checkValues(vs); err != nil || len(vs) == 0 {
		return err
	}
	m := p.markers()
	if index == 0 {
		if m != nil {
			m.shift(0, len(vs))
		}
		return tx.insertValues(p, nil, vs)
	}
	left := tx.listPosition(p, m, index)
	if m != nil {
		m.shift(index, len(vs))
	}
	return tx.insertValues(p, left, vs)
}

// listPosition is the item that ends at index, which is cut for it.
func (tx *Tx) listPosition(p *branch, m *markers, index int) *item {
	it := p.start
	if k := m.near(p, index); k != nil {
		it, index = k.at, index-k.index
		if index == 0 { // one item back, so that there is one to insert behind
			for it = it.left; it != nil && it.deleted(); {
				it = it.left
			}
			if it != nil && it.countable() {
				index = int(it.length)
			}
		}
	}
	for ; it != nil; it = it.right {
		if !it.visible() {
			continue
		}
		if n := int(it.length); index <= n {
			if index < n {
				tx.itemAt(ID{it.client, it.clock + uint64(index)})
			}
			return it
		}
		index -= int(it.length)
	}
	return nil
}

// listPush inserts values behind the last item, deleted or not.
func (tx *Tx) listPush(p *branch, vs []Value) error {
	if err := checkValues(vs); err != nil || len(vs) == 0 {
		return err
	}
	it := p.start
	if m := p.markers(); m != nil {
		highest := 0
		for i := range m.list {
			if m.list[i].index > highest {
				highest, it = m.list[i].index, m.list[i].at
			}
		}
	}
	for it != nil && it.right != nil {
		it = it.right
	}
	return tx.insertValues(p, it, vs)
}

// listDelete deletes n values from index on.
func (tx *Tx) listDelete(p *branch, index, n int) error {
	if index < 0 || n < 0 || n > p.length-index {
		return ErrRange
	}
	if n == 0 {
		return nil
	}
	start, length := index, n
	m := p.markers()
	it := p.start
	if k := m.near(p, index); k != nil {
		it, index = k.at, index-k.index
	}
	for ; it != nil && index > 0; it = it.right {
		if it.visible() {
			if index < int(it.length) {
				tx.itemAt(ID{it.client, it.clock + uint64(index)})
			}
			index -= int(it.length)
		}
	}
	for ; n > 0 && it != nil; it = it.right {
		if it.deleted() {
			continue
		}
		if n < int(it.length) {
			tx.itemAt(ID{it.client, it.clock + uint64(n)})
		}
		tx.delete(it)
		n -= int(it.length)
	}
	if m != nil {
		m.shift(start, n-length)
	}
	return nil
}
