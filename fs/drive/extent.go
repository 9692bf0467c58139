package drive

import "sort"

// span is a range of bytes: from off up to end.
type span struct{ off, end int64 }

// extents are ranges in order, without overlap or contact.
type extents []span

// add includes a range.
func (e extents) add(s span) extents {
	if s.off >= s.end {
		return e
	}
	// The first range that ends at or after the start, and the first that begins after the end.
	i := sort.Search(len(e), func(i int) bool { return e[i].end >= s.off })
	j := sort.Search(len(e), func(i int) bool { return e[i].off > s.end })
	if i < j {
		s.off, s.end = min(s.off, e[i].off), max(s.end, e[j-1].end)
	}
	if j-i == 1 {
		e[i] = s
		return e
	}
	out := append(make(extents, 0, len(e)+1), e[:i]...)
	out = append(out, s)
	return append(out, e[j:]...)
}

// cut leaves out what lies at or after size.
func (e extents) cut(size int64) extents {
	i := sort.Search(len(e), func(i int) bool { return e[i].end > size })
	if i == len(e) {
		return e
	}
	out := append(make(extents, 0, i+1), e[:i]...)
	if e[i].off < size {
		out = append(out, span{e[i].off, size})
	}
	return out
}

// without leaves out a range.
func (e extents) without(s span) (out extents) {
	for _, x := range e {
		out = out.add(span{x.off, min(x.end, s.off)})
		out = out.add(span{max(x.off, s.end), x.end})
	}
	return out
}

// meets reports whether some of s is included.
func (e extents) meets(s span) bool {
	part, in := e.next(s)
	return in || part.end < s.end
}

// covers reports whether all of s is included.
func (e extents) covers(s span) bool {
	if s.off >= s.end {
		return true
	}
	i := sort.Search(len(e), func(i int) bool { return e[i].end > s.off })
	return i < len(e) && e[i].off <= s.off && e[i].end >= s.end
}

// next returns the part of s at its start that is wholly included (true) or wholly not.
func (e extents) next(s span) (span, bool) {
	i := sort.Search(len(e), func(i int) bool { return e[i].end > s.off })
	switch {
	case i == len(e):
		return s, false
	case e[i].off > s.off:
		return span{s.off, min(s.end, e[i].off)}, false
	}
	return span{s.off, min(s.end, e[i].end)}, true
}

// bytes returns how many are included.
func (e extents) bytes() (n int64) {
	for _, s := range e {
		n += s.end - s.off
	}
	return n
}
