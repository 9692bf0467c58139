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
	structs []*item
	touched *Tx    // the transaction that first added a struct since it began
	before  uint64 // state when touched began
}

func (c *clientStructs) state() uint64 {
	if c == nil || len(c.structs) == 0 {
		return 0
	}
	return c.structs[len(c.structs)-1].end()
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
	c := s.client(it.id.Client)
	if c == nil {
		c = &clientStructs{client: it.id.Client, place: len(s.order)}
		s.clients[it.id.Client] = c
		s.order = append(s.order, c)
	}
	tx.touch(c)
	if n := len(c.structs); n > 0 && it.kind == kindGC && c.structs[n-1].kind == kindGC {
		c.structs[n-1].length += it.length
		return
	}
	c.structs = append(c.structs, it)
}

// index finds the struct that holds clock, which the caller knows to exist.
func (c *clientStructs) index(clock uint64) int {
	structs := c.structs
	lo, hi := 0, len(structs)-1
	last := structs[hi]
	if last.id.Clock <= clock {
		return hi
	}
	mid := int(float64(clock) / float64(last.end()-1) * float64(hi))
	for lo < hi {
		it := structs[mid]
		switch {
		case it.id.Clock > clock:
			hi = mid - 1
		case clock < it.end():
			return mid
		default:
			lo = mid + 1
		}
		mid = (lo + hi) / 2
	}
	return lo
}

func (s *store) find(id ID) *item {
	c := s.client(id.Client)
	return c.structs[c.index(id.Clock)]
}

// cleanStart returns the place of a struct that starts at clock; an item is split for it.
func (tx *Tx) cleanStart(c *clientStructs, clock uint64) int {
	i := c.index(clock)
	if it := c.structs[i]; it.id.Clock < clock && it.isItem() {
		c.structs = slices.Insert(c.structs, i+1, tx.split(it, clock-it.id.Clock))
		return i + 1
	}
	return i
}

func (tx *Tx) itemAt(id ID) *item {
	c := tx.doc.store.client(id.Client)
	return c.structs[tx.cleanStart(c, id.Clock)]
}

// itemUntil returns the struct that ends with id.
func (tx *Tx) itemUntil(id ID) *item {
	c := tx.doc.store.client(id.Client)
	i := c.index(id.Clock)
	it := c.structs[i]
	if id.Clock != it.end()-1 && it.kind != kindGC {
		c.structs = slices.Insert(c.structs, i+1, tx.split(it, id.Clock-it.id.Clock+1))
	}
	return it
}

// split cuts an item behind its first n units and returns the right part, which the caller puts into the store.
func (tx *Tx) split(it *item, n uint64) *item {
	s := &tx.doc.store
	right := &item{
		id: ID{it.id.Client, it.id.Clock + n}, origin: ID{it.id.Client, it.id.Clock + n - 1},
		rightOrigin: it.rightOrigin, left: it, right: it.right, parent: it.parent, key: it.key,
		flags: flagOrigin | it.flags&(flagDeleted|flagKeep|flagKey|flagRightOrigin|flagRedone),
	}
	it.cut(right, n)
	if it.has(flagRedone) {
		id := s.redone[it]
		s.redone[right] = ID{id.Client, id.Clock + n}
	}
	it.right = right
	if right.right != nil {
		right.right.left = right
	} else if right.has(flagKey) {
		right.parent.setEntry(right.key, right)
	}
	tx.splits = append(tx.splits, right.id)
	return right
}

// each visits the structs in a range, split at both ends. The visitor may not add structs.
func (tx *Tx) each(c *clientStructs, r Range, visit func(*item)) {
	if r.Len == 0 {
		return
	}
	for i := tx.cleanStart(c, r.Clock); i < len(c.structs) && c.structs[i].id.Clock < r.end(); i++ {
		it := c.structs[i]
		if r.end() < it.end() {
			tx.cleanStart(c, r.end())
		}
		visit(it)
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

// mergeLefts merges the struct at pos with as many left neighbours as it goes and returns how many are gone.
func (s *store) mergeLefts(c *clientStructs, pos int) int {
	i := pos
	for i > 0 && c.structs[i-1].merge(c.structs[i], s) {
		i--
	}
	if i < pos {
		c.structs = slices.Delete(c.structs, i+1, pos+1)
	}
	return pos - i
}

// deleteSet is the set of all deleted structs.
func (s *store) deleteSet() *DeleteSet {
	ds := &DeleteSet{}
	for _, c := range s.order {
		var ranges []Range
		for i := 0; i < len(c.structs); i++ {
			if !c.structs[i].deleted() {
				continue
			}
			start := c.structs[i].id.Clock
			for i+1 < len(c.structs) && c.structs[i+1].deleted() {
				i++
			}
			ranges = append(ranges, Range{start, c.structs[i].end() - start})
		}
		if len(ranges) > 0 {
			ds.client(c.client).ranges = ranges
		}
	}
	return ds
}

// tail is what one client's structs are from a clock on.
type tail struct {
	c     *clientStructs
	clock uint64
}

// beyond are the structs that sv lacks.
func (s *store) beyond(sv StateVector) []tail {
	var tails []tail
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
	first := c.index(clock)
	e.uvarint(uint64(len(c.structs) - first))
	e.client(c.client)
	e.uvarint(clock)
	c.structs[first].write(e, clock-c.structs[first].id.Clock)
	for _, it := range c.structs[first+1:] {
		it.write(e, 0)
	}
}
