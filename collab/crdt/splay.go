package crdt

// splayTree is a sequence that is searched, cut and added to in logarithmic time, taken over many calls: whatever is asked
// for moves to the root.
type splayTree struct{ root *node }

// node holds an item of a [listIndex], none at the ends of the list.
type node struct {
	up, left, right *node
	it              *item
	depth           uint64
	nesting         *nesting // nil for one whose reach is its depth
	// Over all of the subtree: the least reach and the least depth, and, of those that have that, the least client and the
	// greatest reach.
	minReach, minDepth, minClient, maxReach uint64
}

// nesting says where a nested item stands.
type nesting struct {
	reach    uint64
	in, jump *node // the sibling that it stands in, and one further out
	level    int   // in how many it stands
}

func (n *node) reach() uint64 {
	if n.nesting != nil {
		return n.nesting.reach
	}
	return n.depth
}

func (n *node) level() int {
	if n.nesting != nil {
		return n.nesting.level
	}
	return 0
}

func (n *node) client() uint64 {
	if n.it == nil {
		return maxInt
	}
	return n.it.id.Client
}

func (n *node) update() {
	reach := n.reach()
	n.minReach, n.minDepth, n.minClient, n.maxReach = reach, n.depth, n.client(), reach
	for _, c := range [...]*node{n.left, n.right} {
		if c == nil {
			continue
		}
		n.minReach = min(n.minReach, c.minReach)
		switch {
		case c.minDepth < n.minDepth:
			n.minDepth, n.minClient, n.maxReach = c.minDepth, c.minClient, c.maxReach
		case c.minDepth == n.minDepth:
			n.minClient, n.maxReach = min(n.minClient, c.minClient), max(n.maxReach, c.maxReach)
		}
	}
}

// firstReach is the first node of the subtree with at most that reach, which the caller knows to exist.
func (n *node) firstReach(reach uint64) *node {
	for {
		switch l := n.left; {
		case l != nil && l.minReach <= reach:
			n = l
		case n.reach() <= reach:
			return n
		default:
			n = n.right
		}
	}
}

// lastReach is the last such node.
func (n *node) lastReach(reach uint64) *node {
	for {
		switch r := n.right; {
		case r != nil && r.minReach <= reach:
			n = r
		case n.reach() <= reach:
			return n
		default:
			n = n.left
		}
	}
}

// firstAt is the first node of the subtree with at most that depth, nil if there is none.
func (n *node) firstAt(depth uint64) *node {
	if n == nil || n.minDepth > depth {
		return nil
	}
	for {
		switch l := n.left; {
		case l != nil && l.minDepth <= depth:
			n = l
		case n.depth <= depth:
			return n
		default:
			n = n.right
		}
	}
}

// lastBefore is the last node of the subtree that is less deep than b, or as deep and no sibling of it, or one with a client
// that is smaller than the given one. It is nil if there is none.
func (n *node) lastBefore(b *node, client uint64) *node {
	siblings := b.reach()
	holds := func(depth, least, reach uint64) bool {
		return depth < b.depth || depth == b.depth && (least < client || reach > siblings)
	}
	if n == nil || !holds(n.minDepth, n.minClient, n.maxReach) {
		return nil
	}
	for {
		switch r := n.right; {
		case r != nil && holds(r.minDepth, r.minClient, r.maxReach):
			n = r
		case holds(n.depth, n.client(), n.reach()):
			return n
		default:
			n = n.left
		}
	}
}

// splay moves a node up until it is below top, or the root if top is nil.
func (t *splayTree) splay(n, top *node) {
	for n.up != top {
		p := n.up
		if g := p.up; g != top {
			if (g.left == p) == (p.left == n) {
				t.rotate(p)
			} else {
				t.rotate(n)
			}
		}
		t.rotate(n)
	}
	n.update()
}

// rotate lets a node change places with the one above.
func (t *splayTree) rotate(n *node) {
	p := n.up
	g := p.up
	if p.left == n {
		p.left, n.right = n.right, p
		p.left.hang(p)
	} else {
		p.right, n.left = n.left, p
		p.right.hang(p)
	}
	p.up, n.up = n, g
	switch {
	case g == nil:
		t.root = n
	case g.left == p:
		g.left = n
	default:
		g.right = n
	}
	p.update()
}

func (n *node) hang(up *node) {
	if n != nil {
		n.up = up
	}
}

// insert puts n behind prev, or in front of all if prev is nil.
func (t *splayTree) insert(prev, n *node) {
	if prev == nil {
		n.right = t.root
	} else {
		t.splay(prev, nil)
		n.left, n.right, prev.right = prev, prev.right, nil
		prev.update()
		prev.up = n
	}
	n.right.hang(n)
	n.update()
	t.root = n
}

// next is the node behind n, which is not the last one.
func (t *splayTree) next(n *node) *node {
	t.splay(n, nil)
	m := n.right
	for m.left != nil {
		m = m.left
	}
	t.splay(m, nil)
	return m
}

// prev is the node before n, which is not the first one.
func (t *splayTree) prev(n *node) *node {
	t.splay(n, nil)
	m := n.left
	for m.right != nil {
		m = m.right
	}
	t.splay(m, nil)
	return m
}

// before reports whether a stands before b.
func (t *splayTree) before(a, b *node) bool {
	t.splay(a, nil)
	t.splay(b, nil)
	for a.up != nil && a.up != b {
		a = a.up
	}
	return a.up == b && b.left == a
}

// between is the subtree of what stands between a and b, which is behind a.
func (t *splayTree) between(a, b *node) *node {
	t.splay(a, nil)
	t.splay(b, a)
	return b.left
}
