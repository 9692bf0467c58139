package crdt

import (
	"cmp"
	"slices"
)

// fewReaders is the number of updates up to which the order of readers follows that of Yjs even where it is arbitrary.
const fewReaders = 63

// order sorts the readers: the greatest client first, of one client the lowest clock. Of two structs with the same clock,
// of which one is collected and the other is not, Yjs says that either comes before the other. What it takes then depends
// on how V8 sorts, so that is done here too; with more than fewReaders the one that was first stays first.
func (m *merger) order() {
	m.readers = slices.DeleteFunc(m.readers, func(r *updateReader) bool { return r.cur == nil })
	switch {
	case len(m.readers) <= fewReaders:
		sortRuns(m.readers)
	case !m.sorted:
		slices.SortStableFunc(m.readers, (*updateReader).compare)
	default:
		m.settleFirst()
	}
	m.sorted = true
}

// compare tells which of two readers comes first.
func (r *updateReader) compare(s *updateReader) int {
	if c := cmp.Compare(s.cur.client, r.cur.client); c != 0 {
		return c
	}
	return cmp.Compare(r.cur.clock, s.cur.clock)
}

// precedes is Yjs' comparison.
func (r *updateReader) precedes(s *updateReader) bool {
	c := r.compare(s)
	return c < 0 || c == 0 && (r.cur.kind == kindGC) != (s.cur.kind == kindGC)
}

// settleFirst moves the first reader, the only one that was read from, to its place.
func (m *merger) settleFirst() {
	first := m.readers[0]
	at, _ := slices.BinarySearchFunc(m.readers[1:], first, (*updateReader).compare)
	copy(m.readers, m.readers[1:at+1])
	m.readers[at] = first
}

// sortRuns is the first pass of a merge sort by runs, which for few elements is all of it: the run at the start is turned
// round if it descends, and the others are inserted by binary search.
func sortRuns(rs []*updateReader) {
	if len(rs) < 2 {
		return
	}
	run := 2
	descends := rs[1].precedes(rs[0])
	for run < len(rs) && rs[run].precedes(rs[run-1]) == descends {
		run++
	}
	if descends {
		slices.Reverse(rs[:run])
	}
	for i := run; i < len(rs); i++ {
		r := rs[i]
		lo, hi := 0, i
		for lo < hi {
			if mid := lo + (hi-lo)/2; r.precedes(rs[mid]) {
				hi = mid
			} else {
				lo = mid + 1
			}
		}
		copy(rs[lo+1:i+1], rs[lo:i])
		rs[lo] = r
	}
}
