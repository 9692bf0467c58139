package crdt

import (
	"cmp"
	"iter"
	"slices"
	"sort"
)

// Range is a run of clocks of one client: Clock up to, but not including, Clock+Len.
type Range struct {
	Clock uint64
	Len   uint64
}

func (r Range) end() uint64 { return r.Clock + r.Len }

// DeleteSet is a set of IDs, kept as ranges per client. The zero DeleteSet is empty.
type DeleteSet struct {
	clients []clientRanges // in the order in which they came, which decides the order of undoing
	index   map[uint64]int // built from indexFrom clients on
}

type clientRanges struct {
	client uint64
	ranges []Range
}

func (ds *DeleteSet) find(client uint64) *clientRanges {
	if ds.index != nil {
		if i, ok := ds.index[client]; ok {
			return &ds.clients[i]
		}
		return nil
	}
	for i := range ds.clients {
		if ds.clients[i].client == client {
			return &ds.clients[i]
		}
	}
	return nil
}

func (ds *DeleteSet) client(client uint64) *clientRanges {
	if c := ds.find(client); c != nil {
		return c
	}
	ds.clients = append(ds.clients, clientRanges{client: client})
	if n := len(ds.clients); n >= indexFrom {
		if ds.index == nil {
			ds.index = make(map[uint64]int)
			for i := range ds.clients {
				ds.index[ds.clients[i].client] = i
			}
		}
		ds.index[client] = n - 1
	}
	return &ds.clients[len(ds.clients)-1]
}

func (ds *DeleteSet) add(client, clock, length uint64) {
	c := ds.client(client)
	c.ranges = append(c.ranges, Range{clock, length})
}

// join is add where it does not matter in how many ranges the set is.
func (ds *DeleteSet) join(client, clock, length uint64) {
	c := ds.client(client)
	if n := len(c.ranges); n > 0 && c.ranges[n-1].end() == clock {
		c.ranges[n-1].Len += length
	} else {
		c.ranges = append(c.ranges, Range{clock, length})
	}
}

// grow makes room for n more ranges of a client that is in the set.
func (ds *DeleteSet) grow(client uint64, n int) {
	if c := ds.find(client); c != nil {
		c.ranges = slices.Grow(c.ranges, n)
	}
}

// normalize sorts the ranges and joins those that touch or overlap.
func (ds *DeleteSet) normalize() {
	for i := range ds.clients {
		ds.clients[i].ranges = joinRanges(ds.clients[i].ranges)
	}
}

func compareRanges(a, b Range) int { return cmp.Compare(a.Clock, b.Clock) }

func joinRanges(rs []Range) []Range {
	if !slices.IsSortedFunc(rs, compareRanges) {
		slices.SortStableFunc(rs, compareRanges)
	}
	n := 0
	for i, r := range rs {
		if i > 0 && rs[n-1].end() >= r.Clock {
			rs[n-1].Len = max(rs[n-1].Len, r.end()-rs[n-1].Clock)
			continue
		}
		rs[n] = r
		n++
	}
	return rs[:n]
}

// Contains reports whether id is in the set.
func (ds *DeleteSet) Contains(id ID) bool {
	c := ds.find(id.Client)
	if c == nil {
		return false
	}
	i := sort.Search(len(c.ranges), func(i int) bool { return c.ranges[i].end() > id.Clock })
	return i < len(c.ranges) && c.ranges[i].Clock <= id.Clock
}

// Empty reports whether nothing is in the set.
func (ds *DeleteSet) Empty() bool { return len(ds.clients) == 0 }

// All yields the ranges with their clients.
func (ds *DeleteSet) All() iter.Seq2[uint64, Range] {
	return func(yield func(uint64, Range) bool) {
		for _, c := range ds.clients {
			for _, r := range c.ranges {
				if !yield(c.client, r) {
					return
				}
			}
		}
	}
}

// Equal reports whether both sets hold the same ranges.
func (ds *DeleteSet) Equal(other *DeleteSet) bool {
	if len(ds.clients) != len(other.clients) {
		return false
	}
	for _, c := range ds.clients {
		o := other.find(c.client)
		if o == nil || !slices.Equal(c.ranges, o.ranges) {
			return false
		}
	}
	return true
}

// union returns the normalized union and leaves the sets as they are.
func union(sets ...*DeleteSet) *DeleteSet {
	merged := &DeleteSet{}
	for _, ds := range sets {
		for _, c := range ds.clients {
			m := merged.client(c.client)
			m.ranges = append(m.ranges, c.ranges...)
		}
	}
	merged.normalize()
	return merged
}

func (ds *DeleteSet) write(e encoder) {
	order := slices.Clone(ds.clients)
	slices.SortFunc(order, func(a, b clientRanges) int { return cmp.Compare(b.client, a.client) })
	e.uvarint(uint64(len(order)))
	for _, c := range order {
		e.resetRanges()
		e.uvarint(c.client)
		e.uvarint(uint64(len(c.ranges)))
		for _, r := range c.ranges {
			e.rangeOf(r)
		}
	}
}

// readDeleteSet reads a set. Ranges that nobody writes, empty ones and those that overlap or come in another order, are
// left out and joined.
func readDeleteSet(d decoder) *DeleteSet {
	ds := &DeleteSet{}
	r := d.rest()
	for range r.count(2) {
		d.resetRanges()
		client := r.uvarint()
		for range r.count(2) {
			one := d.rangeOf()
			if one.Clock > maxInt-one.Len {
				r.fail("clock out of range")
			}
			if r.err != nil {
				return ds
			}
			if one.Len > 0 {
				ds.add(client, one.Clock, one.Len)
			}
		}
	}
	for i := range ds.clients {
		c := &ds.clients[i]
		for j := 1; j < len(c.ranges); j++ {
			if c.ranges[j-1].end() > c.ranges[j].Clock {
				c.ranges = joinRanges(c.ranges)
				break
			}
		}
	}
	return ds
}
