package crdt

import (
	"cmp"
	"slices"
)

// store keeps all structs of a document: for each client without gaps from clock 0 on.
type store struct {
	clients map[uint64]*clientStructs
	order   []*clientStructs // as they came
	recent  *clientStructs   // the client asked for last
	redone  map[*item]ID     // what replaced items that were undone and redone
	pending *pendingStructs
	deletes *DeleteSet // deletions of structs that have not come yet, or nil
}

type clientStructs struct {
	client  uint64
	place   int // in store.order
	list    structList
	touched *Tx    // the transaction that first added a struct since it began
	before  uint64 // state when touched began
}

func (c *clientStructs) state() uint64 {
	if c == nil || c.list.empty() {
		return 0
	}
	return c.list.last().end()
}

func (s *store) client(client uint64) *clientStructs {
	if s.recent != nil && s.recent.client == client {
		return s.recent
	}
	c := s.clients[client]
	if c != nil {
		s.recent = c
	}
	return c
}

func (s *store) state(client uint64) uint64 { return s.client(client).state() }

func (s *store) stateVector() StateVector {
	sv := make(StateVector, len(s.order))
	for _, c := range s.order {
		if n := c.state(); n > 0 {
			sv[c.client] = n
		}
	}
	return sv
}

// add appends a struct at its client's state.
func (s *store) add(tx *Tx, it *item) {
	c := s.client(it.client)
	if c == nil {
		c = &clientStructs{client: it.client, place: len(s.order)}
		s.clients[it.client] = c
		s.order = append(s.order, c)
	}
	tx.touch(c)
	if last := c.list.last(); last != nil && it.kind == kindGC && last.kind == kindGC {
		last.length += it.length
		return
	}
	c.list.push(it)
}

func (s *store) find(id ID) *item {
	c := s.client(id.Client)
	return c.list.get(c.list.find(id.Clock))
}

// cleanStart returns the spot of a struct that starts at clock; an item is split for it.
func (tx *Tx) cleanStart(c *clientStructs, clock uint64) spot {
	p := c.list.find(clock)
	if it := c.list.get(p); it.clock < clock && it.isItem() {
		p, _ = c.list.insertBehind(p, tx.splitForNow(it, clock-it.clock))
	}
	return p
}

func (tx *Tx) itemAt(id ID) *item {
	c := tx.doc.store.client(id.Client)
	return c.list.get(tx.cleanStart(c, id.Clock))
}

// itemUntil returns the struct that ends with id.
func (tx *Tx) itemUntil(id ID) *item {
	c := tx.doc.store.client(id.Client)
	p := c.list.find(id.Clock)
	it := c.list.get(p)
	if id.Clock != it.end()-1 && it.kind != kindGC {
		c.list.insertBehind(p, tx.splitForNow(it, id.Clock-it.clock+1))
	}
	return it
}

// splitForNow is split, of an item that is to be merged again if nothing speaks against it in the end.
func (tx *Tx) splitForNow(it *item, n uint64) *item {
	right := tx.split(it, n)
	tx.splits = append(tx.splits, right.id())
	return right
}

// split cuts an item behind its first n units and returns the right part, which the caller puts into the store.
func (tx *Tx) split(it *item, n uint64) *item {
	s := &tx.doc.store
	right := &item{
		insertion: it.insertion, clock: it.clock + n, left: it, right: it.right,
		flags: flagOrigin | flagCut | it.flags&(flagDeleted|flagKeep|flagRightOrigin|flagRedone),
	}
	it.cut(right, n)
	if it.has(flagRedone) {
		id := s.redone[it]
		s.redone[right] = ID{id.Client, id.Clock + n}
	}
	it.right = right
	if right.right != nil {
		right.right.left = right
	} else if right.keyed() {
		right.parent.setEntry(*right.key, right)
	}
	if x := tx.index(it); x != nil {
		x.split(it, right)
	}
	return right
}

// each visits the structs in a range, split at both ends. The visitor may not add structs but by splitting.
func (tx *Tx) each(c *clientStructs, r Range, visit func(*item)) {
	if r.Len == 0 {
		return
	}
	p, ok := tx.cleanStart(c, r.Clock), true
	for ok && c.list.get(p).clock < r.end() {
		it := c.list.get(p)
		if r.end() < it.end() {
			tx.cleanStart(c, r.end())
		}
		visit(it)
		if p.chunk >= len(c.list.chunks) || p.at >= len(c.list.chunks[p.chunk]) || c.list.get(p) != it {
			p = c.list.find(it.clock) // its chunk was halved
		}
		p, ok = c.list.next(p)
	}
}

// eachIn visits the structs of a set as far as they are known.
func (tx *Tx) eachIn(ds *DeleteSet, visit func(*item)) {
	for _, cr := range ds.clients {
		c := tx.doc.store.client(cr.client)
		if c == nil {
			continue
		}
		state := c.state()
		for _, r := range cr.ranges {
			if r.Clock >= state {
				break
			}
			tx.each(c, r, visit)
		}
	}
}

// deleteSet is the set of all deleted structs.
func (s *store) deleteSet() *DeleteSet {
	ds := &DeleteSet{}
	for _, c := range s.order {
		n := 0
		for range c.deleted {
			n++
		}
		if n == 0 {
			continue
		}
		ranges := make([]Range, 0, n)
		for r := range c.deleted {
			ranges = append(ranges, r)
		}
		ds.client(c.client).ranges = ranges
	}
	return ds
}

// deleted yields the ranges of deleted structs.
func (c *clientStructs) deleted(yield func(Range) bool) {
	var r Range
	for it := range c.list.from(spot{}) {
		switch {
		case it.deleted() && r.Len == 0:
			r = Range{it.clock, it.length}
		case it.deleted():
			r.Len += it.length
		case r.Len > 0:
			if !yield(r) {
				return
			}
			r = Range{}
		}
	}
	if r.Len > 0 {
		yield(r)
	}
}

// tail is what one client's structs are from a clock on.
type tail struct {
	c     *clientStructs
	clock uint64
}

// beyond are the structs that sv lacks.
func (s *store) beyond(sv StateVector) []tail {
	tails := make([]tail, 0, len(s.order))
	for _, c := range s.order {
		if clock := sv[c.client]; c.state() > clock {
			tails = append(tails, tail{c, clock})
		}
	}
	return tails
}

// writeTails encodes structs, the greatest client first.
func writeTails(e encoder, tails []tail) {
	slices.SortFunc(tails, func(a, b tail) int { return cmp.Compare(b.c.client, a.c.client) })
	e.uvarint(uint64(len(tails)))
	for _, t := range tails {
		t.c.write(e, t.clock)
	}
}

func (c *clientStructs) write(e encoder, clock uint64) {
	p := c.list.find(clock)
	e.uvarint(uint64(c.list.count(p)))
	e.client(c.client)
	e.uvarint(clock)
	offset := clock - c.list.get(p).clock
	for it := range c.list.from(p) {
		it.write(e, offset)
		offset = 0
	}
}
