package crdt

import (
	"cmp"
	"math"
)

// splayTree is a sequence that is searched, cut and added to in logarithmic time, taken over many calls: whatever is asked
// for moves to the root. Its nodes are numbered, and lie in chunks, as they take a good part of the memory of a large update.
type splayTree struct {
	chunks []*[chunkNodes]node
	count  nodeNumber // how many there are
}

const chunkNodes = 64

// nodeNumber names a node in its tree. Number 0 is none: that node is greater than all others in whatever is compared.
type nodeNumber uint32

// node holds an item of a [listIndex], none at the ends of the list.
type node struct {
	it              *item
	depth           uint64
	nesting         *nesting // nil for one whose reach is its depth
	up, left, right nodeNumber
	// Of all in the subtree: one of the least reach, and, of those of the least depth, one of the least client and one of the
	// greatest reach.
	minReach, minClient, maxReach nodeNumber
}

// nesting says where a nested item stands.
type nesting struct {
	reach    uint64
	in, jump nodeNumber // the sibling that it stands in, and one further out
	level    int32      // in how many it stands
}

// add makes a node, which has no place yet.
func (t *splayTree) add(it *item, depth uint64) nodeNumber {
	if t.count == 0 {
		t.chunks = append(t.chunks, &[chunkNodes]node{{depth: math.MaxUint64}})
		t.count = 1
	}
	n := t.count
	if n%chunkNodes == 0 {
		t.chunks = append(t.chunks, new([chunkNodes]node))
	}
	t.count++
	*t.at(n) = node{it: it, depth: depth, minReach: n, minClient: n, maxReach: n}
	return n
}

func (t *splayTree) at(n nodeNumber) *node { return &t.chunks[n/chunkNodes][n%chunkNodes] }

func (t *splayTree) depth(n nodeNumber) uint64 { return t.at(n).depth }

func (t *splayTree) reach(n nodeNumber) uint64 {
	if in := t.at(n).nesting; in != nil {
		return in.reach
	}
	return t.depth(n)
}

func (t *splayTree) client(n nodeNumber) uint64 {
	if it := t.at(n).it; it != nil {
		return it.client
	}
	return maxInt
}

// level is in how many siblings the node's item stands.
func (t *splayTree) level(n nodeNumber) int32 {
	if in := t.at(n).nesting; in != nil {
		return in.level
	}
	return 0
}

// minReach and minDepth are the least of the subtree.
func (t *splayTree) minReach(n nodeNumber) uint64 { return t.reach(t.at(n).minReach) }
func (t *splayTree) minDepth(n nodeNumber) uint64 { return t.depth(t.at(n).minClient) }

func (t *splayTree) update(number nodeNumber) {
	n := t.at(number)
	n.minReach, n.minClient, n.maxReach = number, number, number
	for _, child := range [...]nodeNumber{n.left, n.right} {
		c := t.at(child)
		if t.reach(c.minReach) < t.reach(n.minReach) {
			n.minReach = c.minReach
		}
		switch cmp.Compare(t.depth(c.minClient), t.depth(n.minClient)) {
		case -1:
			n.minClient, n.maxReach = c.minClient, c.maxReach
		case 0:
			if t.client(c.minClient) < t.client(n.minClient) {
				n.minClient = c.minClient
			}
			if t.reach(c.maxReach) > t.reach(n.maxReach) {
				n.maxReach = c.maxReach
			}
		}
	}
}

// Directions of a search.
const (
	forwards  = false
	backwards = true
)

// search is the first node of the subtree that holds, or backwards the last one; 0 if there is none. A subtree has one if some
// says so.
func (t *splayTree) search(n nodeNumber, back bool, some, holds func(nodeNumber) bool) nodeNumber {
	if !some(n) {
		return 0
	}
	for {
		near, far := t.at(n).left, t.at(n).right
		if back {
			near, far = far, near
		}
		switch {
		case some(near):
			n = near
		case holds(n):
			return n
		default:
			n = far
		}
	}
}

// atReach is the first or last node of the subtree with at most that reach.
func (t *splayTree) atReach(n nodeNumber, back bool, reach uint64) nodeNumber {
	return t.search(n, back,
		func(n nodeNumber) bool { return t.minReach(n) <= reach },
		func(n nodeNumber) bool { return t.reach(n) <= reach })
}

// firstAt is the first node of the subtree with at most that depth.
func (t *splayTree) firstAt(n nodeNumber, depth uint64) nodeNumber {
	return t.search(n, forwards,
		func(n nodeNumber) bool { return t.minDepth(n) <= depth },
		func(n nodeNumber) bool { return t.depth(n) <= depth })
}

// lastBefore is the last node of the subtree that is less deep than b, or as deep and no sibling of it, or one with a client
// that is smaller than the given one.
func (t *splayTree) lastBefore(n, b nodeNumber, client uint64) nodeNumber {
	depth, siblings := t.depth(b), t.reach(b)
	holds := func(minClient, maxReach nodeNumber) bool {
		switch cmp.Compare(t.depth(minClient), depth) {
		case -1:
			return true
		case 0:
			return t.client(minClient) < client || t.reach(maxReach) > siblings
		default:
			return false
		}
	}
	return t.search(n, backwards,
		func(n nodeNumber) bool { return holds(t.at(n).minClient, t.at(n).maxReach) },
		func(n nodeNumber) bool { return holds(n, n) })
}

// splay moves a node up until it is below top, or the root if top is 0.
func (t *splayTree) splay(n, top nodeNumber) {
	for up := t.at(n).up; up != top; up = t.at(n).up {
		if p := t.at(up); p.up != top {
			if (t.at(p.up).left == up) == (p.left == n) {
				t.rotate(up)
			} else {
				t.rotate(n)
			}
		}
		t.rotate(n)
	}
	t.update(n)
}

// rotate lets a node change places with the one above.
func (t *splayTree) rotate(number nodeNumber) {
	n := t.at(number)
	up := n.up
	p := t.at(up)
	if p.left == number {
		p.left, n.right = n.right, up
		t.at(p.left).up = up
	} else {
		p.right, n.left = n.left, up
		t.at(p.right).up = up
	}
	p.up, n.up = number, p.up
	switch g := t.at(n.up); {
	case n.up == 0:
	case g.left == up:
		g.left = number
	default:
		g.right = number
	}
	t.update(up)
}

// insert puts n behind prev.
func (t *splayTree) insert(prev, n nodeNumber) {
	t.splay(prev, 0)
	p := t.at(prev)
	t.at(n).left, t.at(n).right = prev, p.right
	t.at(p.right).up = n
	p.right, p.up = 0, n
	t.update(prev)
	t.update(n)
}

// next is the node behind n, which is not the last one.
func (t *splayTree) next(n nodeNumber) nodeNumber {
	t.splay(n, 0)
	m := t.at(n).right
	for l := t.at(m).left; l != 0; l = t.at(m).left {
		m = l
	}
	t.splay(m, 0)
	return m
}

// prev is the node before n, which is not the first one.
func (t *splayTree) prev(n nodeNumber) nodeNumber {
	t.splay(n, 0)
	m := t.at(n).left
	for r := t.at(m).right; r != 0; r = t.at(m).right {
		m = r
	}
	t.splay(m, 0)
	return m
}

// before reports whether a stands before b.
func (t *splayTree) before(a, b nodeNumber) bool {
	t.splay(a, 0)
	t.splay(b, 0)
	for t.at(a).up != 0 && t.at(a).up != b {
		a = t.at(a).up
	}
	return t.at(a).up == b && t.at(b).left == a
}

// between is the subtree of what stands between a and b, which is behind a.
func (t *splayTree) between(a, b nodeNumber) nodeNumber {
	t.splay(a, 0)
	t.splay(b, a)
	return t.at(b).left
}
