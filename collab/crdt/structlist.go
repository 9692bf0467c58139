package crdt

import (
	"slices"
	"sort"
)

// chunkLen is the greatest number of structs in a chunk.
const chunkLen = 512

// structList holds structs by clock without gaps. They lie in chunks, so that cutting one in two moves few others.
type structList struct {
	chunks [][]*item // none of them empty
	moved  uint64    // how many structs were moved to make or close room; tests hold it to the input's size
}

// spot is a place in a structList. It is valid until structs before it come or go.
type spot struct{ chunk, at int }

func (l *structList) empty() bool { return len(l.chunks) == 0 }

func (l *structList) get(p spot) *item { return l.chunks[p.chunk][p.at] }

// last is the struct with the highest clock, nil if there is none.
func (l *structList) last() *item {
	if l.empty() {
		return nil
	}
	c := l.chunks[len(l.chunks)-1]
	return c[len(c)-1]
}

// end is the spot of the last struct.
func (l *structList) end() spot {
	n := len(l.chunks) - 1
	return spot{n, len(l.chunks[n]) - 1}
}

// next is the spot behind p, false if p is the last one.
func (l *structList) next(p spot) (spot, bool) {
	if p.at+1 < len(l.chunks[p.chunk]) {
		return spot{p.chunk, p.at + 1}, true
	}
	return spot{p.chunk + 1, 0}, p.chunk+1 < len(l.chunks)
}

// prev is the spot before p, false if p is the first one.
func (l *structList) prev(p spot) (spot, bool) {
	if p.at > 0 {
		return spot{p.chunk, p.at - 1}, true
	}
	if p.chunk == 0 {
		return p, false
	}
	return spot{p.chunk - 1, len(l.chunks[p.chunk-1]) - 1}, true
}

// push puts a struct at the end.
func (l *structList) push(it *item) {
	n := len(l.chunks) - 1
	if n < 0 || len(l.chunks[n]) == chunkLen {
		l.chunks = append(l.chunks, nil)
		n++
	}
	l.chunks[n] = append(l.chunks[n], it)
}

// find is the spot of the struct that holds clock, which the caller knows to exist.
func (l *structList) find(clock uint64) spot {
	n := len(l.chunks) - 1
	if n > 0 && l.chunks[n][0].clock > clock {
		n = sort.Search(n, func(i int) bool { return l.chunks[i][0].clock > clock }) - 1
	}
	return spot{n, findIn(l.chunks[n], clock)}
}

// findIn begins where the clock would be if all structs were of one length.
func findIn(structs []*item, clock uint64) int {
	lo, hi := 0, len(structs)-1
	last := structs[hi]
	if last.clock <= clock {
		return hi
	}
	first := structs[0].clock
	mid := int(float64(clock-first) / float64(last.end()-first) * float64(hi))
	for lo < hi {
		it := structs[mid]
		switch {
		case it.clock > clock:
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

// insertBehind puts a struct behind p and returns its spot, and that of the one at p.
func (l *structList) insertBehind(p spot, it *item) (behind, at spot) {
	if len(l.chunks[p.chunk]) == chunkLen {
		p = l.halve(p)
	}
	c := l.chunks[p.chunk]
	l.moved += uint64(len(c) - p.at)
	l.chunks[p.chunk] = slices.Insert(c, p.at+1, it)
	return spot{p.chunk, p.at + 1}, p
}

// halve makes two chunks of one and returns where p is then. There is room there, and none in the other one.
func (l *structList) halve(p spot) spot {
	c := l.chunks[p.chunk]
	const half = chunkLen / 2
	l.moved += half
	if p.at < half {
		l.chunks = slices.Insert(l.chunks, p.chunk+1, slices.Clone(c[half:]))
	} else {
		l.chunks = slices.Insert(l.chunks, p.chunk, slices.Clone(c[:half]))
		copy(c, c[half:])
		p = spot{p.chunk + 1, p.at - half}
	}
	clear(c[half:])
	l.chunks[p.chunk] = c[:half]
	return p
}

// removeBehind takes out n structs behind p.
func (l *structList) removeBehind(p spot, n int) {
	i, at := p.chunk, p.at+1
	for n > 0 {
		c := l.chunks[i]
		k := min(n, len(c)-at)
		n -= k
		if k == len(c) {
			l.chunks = slices.Delete(l.chunks, i, i+1)
			continue
		}
		l.moved += uint64(len(c) - at - k)
		l.chunks[i] = slices.Delete(c, at, at+k)
		i, at = i+1, 0
	}
}

// mergeLefts merges the struct at p with as many left neighbours as it goes and returns where it is then, and how many are
// gone. It does so from left to right: the other way what is there already would be copied for each.
func (l *structList) mergeLefts(p spot) (at spot, gone int) {
	at = p
	for right := l.get(p); ; gone++ {
		left, ok := l.prev(at)
		if !ok || !l.get(left).mergesWith(right) {
			break
		}
		at, right = left, l.get(left)
	}
	if gone > 0 {
		it := l.get(at)
		for next, n := at, gone; n > 0; n-- {
			next, _ = l.next(next)
			it.merge(l.get(next))
		}
		l.removeBehind(at, gone)
	}
	return at, gone
}

// count is the number of structs from p on.
func (l *structList) count(p spot) int {
	n := len(l.chunks[p.chunk]) - p.at
	for _, c := range l.chunks[p.chunk+1:] {
		n += len(c)
	}
	return n
}

// from yields the structs from p on. The list may not change meanwhile.
func (l *structList) from(p spot) func(func(*item) bool) {
	return func(yield func(*item) bool) {
		for i := p.chunk; i < len(l.chunks); i++ {
			for _, it := range l.chunks[i][p.at:] {
				if !yield(it) {
					return
				}
			}
			p.at = 0
		}
	}
}
