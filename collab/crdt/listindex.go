package crdt

import (
	"cmp"
	"math"
	"slices"
	"sort"
)

// listIndex finds where an item goes among those that others put at the same place: what [Tx.scan] finds, in any list that
// came about by its rules, without coming by all of them.
//
// Take each unit of a list as the child of its origin, and those without one as children of a unit in front of the list. A
// scan begins behind the new item's origin and ends at what has its origin before that, so all between descend from the
// origin. Its children there, the siblings of the new item, divide them into segments, each of a sibling and what descends
// from it. A sibling with a smaller client goes before the new item, and then all that descends from it does. So the item goes
// behind the last segment of such a sibling. Depths in the tree tell all that: a scan ends at the first item that is no deeper
// than the origin, and siblings are one deeper than it.
//
// One kind of item breaks this order: one whose right neighbour lies within a segment that goes before it. It stands nested in
// that segment. Editing hardly makes such items: who knows the right neighbour knows the sibling from which it descends, and
// has that between the item's neighbours, which are next to each other in what people edit. (They need not be where an undo
// manager brings back what was in a deleted list.) But bytes can name any two neighbours. So an item has a depth, which is that
// of the item on its right if it comes to stand nested, and a reach, one more than its origin's depth, which is the same for
// all other items. Scans end by reach: those that begin inside the segment end at a nested item. Segments go by depth.
//
// What is nested in a sibling's segment has a greater client than that sibling. So of the siblings that an item stands in, those
// with smaller clients than a new one are the outer ones, and what it must not go behind is the outermost of the others, and
// what stands right before that in the same place.
//
// An index lives while the function of its transaction runs. In that time items only come to a list, and are cut. It takes about
// as much memory as the items themselves.
type listIndex struct {
	steps, due int        // steps of long scans in the list; how many it takes until the list may get its index
	nodes      []*node    // by the numbers that their items were seen with; the first is the one in front of the list
	order      splayTree  // the list, between two ends
	siblings   structList // by compareSiblings, behind an empty one; without those that no scan can get to any more
}

// node is the item's node, nil if it is in another list.
func (x *listIndex) node(it *item) *node {
	if i := int(it.seen); i < len(x.nodes) && x.nodes[i].it == it {
		return x.nodes[i]
	}
	return nil
}

// listOf names a list of items: that of a branch, or of one of its keys.
type listOf struct {
	b     *branch
	key   string
	keyed bool
}

func (it *item) list() listOf { return listOf{it.parent, it.key, it.has(flagKey)} }

// defaultLongScan is more steps than the scans of most documents have. To index a list costs some tens of steps for each item.
const defaultLongScan = 64

// noteScan notes a long scan. Once such scans have come by as many items as the list has, eight times over, it gets an index.
func (tx *Tx) noteScan(it *item, steps int) {
	x := tx.indexes[it.list()]
	if x == nil {
		x = &listIndex{}
		if tx.indexes == nil {
			tx.indexes = map[listOf]*listIndex{}
		}
		tx.indexes[it.list()] = x
	}
	x.steps += steps
	if x.steps < x.due {
		return
	}
	x.due = 2 * x.steps // not to count a longer list for each scan
	limit := x.steps / 8
	if tx.doc.longScan == 0 {
		limit = math.MaxInt
	}
	var list []*node
	for o := it.firstInList(); o != nil; o = o.right {
		if len(list) == limit {
			return
		}
		list = append(list, &node{it: o})
	}
	x.build(&tx.doc.store, list)
}

// index is the index of the item's list, nil if it has none.
func (tx *Tx) index(it *item) *listIndex {
	if x := tx.indexes[it.list()]; x != nil && x.nodes != nil {
		return x
	}
	return nil
}

// source is a unit of a list that is being indexed: the place of its item, and which of the item's units it is.
type source struct {
	at   int
	unit uint64
}

func (a source) before(b source) bool { return a.at < b.at || a.at == b.at && a.unit < b.unit }

// build makes the index of a list. An item is as deep as the children of the last unit before it that has children there or
// further right: of its origin, or of one within the segment that it stands in.
func (x *listIndex) build(s *store, list []*node) {
	place := make(map[*item]int, len(list))
	for i, n := range list {
		place[n.it] = i
	}
	front := source{at: -1}
	origins, parents := make([]source, len(list)), make([]source, len(list))
	open := []source{front} // have children here or further right, the last of them last
	for i, n := range slices.Backward(list) {
		origins[i] = front
		if n.it.has(flagOrigin) {
			o := s.find(n.it.origin)
			origins[i] = source{place[o], n.it.origin.Clock - o.id.Clock}
		}
		for open[len(open)-1].at >= i {
			open = open[:len(open)-1]
		}
		if origins[i].at < i && open[len(open)-1].before(origins[i]) {
			open = append(open, origins[i])
		}
		parents[i] = open[len(open)-1]
	}
	x.nodes = append(make([]*node, 0, len(list)+1), &node{})
	x.order.insert(nil, x.nodes[0])
	x.order.insert(x.nodes[0], &node{})
	x.siblings.push(&item{})
	of := func(u source) *node {
		if u == front {
			return x.nodes[0]
		}
		return list[u.at]
	}
	last := x.nodes[0]
	for i, n := range list {
		n.depth = of(parents[i]).depth + parents[i].unit + 1
		reach := uint64(0)
		if origins[i].at < i {
			reach = of(origins[i]).depth + origins[i].unit + 1
		}
		x.add(of(origins[i]), last, n, reach)
		last = n
	}
}

// add puts a node of some reach behind prev. Its origin is in the item of the node from.
func (x *listIndex) add(from, prev, n *node, reach uint64) {
	n.it.seen = uint32(len(x.nodes))
	x.nodes = append(x.nodes, n)
	if n.depth > reach {
		n.nesting = &nesting{reach: reach}
	}
	x.order.insert(prev, n)
	if reach == 0 {
		return // not behind its origin, so no scan comes by
	}
	if n.depth > reach {
		x.nest(n, from)
	}
	x.siblings.insertBehind(x.siblingsUntil(n.it), n.it)
}

// siblingsUntil is the last spot in siblings before the item, and before those that are equal.
func (x *listIndex) siblingsUntil(it *item) spot {
	chunks := x.siblings.chunks
	i := sort.Search(len(chunks), func(i int) bool { return compareSiblings(chunks[i][0], it) >= 0 })
	i = max(i-1, 0)
	at := sort.Search(len(chunks[i]), func(j int) bool { return compareSiblings(chunks[i][j], it) >= 0 })
	return spot{i, max(at-1, 0)}
}

// linked adds an item that was put into the list.
func (x *listIndex) linked(s *store, it *item) {
	prev, from := x.nodes[0], x.nodes[0]
	if it.left != nil {
		prev = x.node(it.left)
	}
	reach := uint64(1)
	if it.has(flagOrigin) {
		o := s.find(it.origin)
		from = x.node(o)
		reach = from.depth + it.origin.Clock - o.id.Clock + 1
	}
	if x.order.before(prev, from) {
		reach = 0 // both neighbours are in one item, the right one first
	}
	x.add(from, prev, &node{it: it, depth: max(reach, x.order.next(prev).depth)}, reach)
}

// split adds what was cut off an item.
func (x *listIndex) split(it, right *item) {
	left := x.node(it)
	depth := left.depth + it.length
	x.add(left, left, &node{it: right, depth: depth}, depth)
}

// compareSiblings orders items by their neighbours, those of equal ones by client.
func compareSiblings(a, b *item) int {
	const neighbours = flagOrigin | flagRightOrigin
	return cmp.Or(
		cmp.Compare(a.flags&neighbours, b.flags&neighbours),
		cmp.Compare(a.origin.Client, b.origin.Client), cmp.Compare(a.origin.Clock, b.origin.Clock),
		cmp.Compare(a.rightOrigin.Client, b.rightOrigin.Client), cmp.Compare(a.rightOrigin.Clock, b.rightOrigin.Clock),
		cmp.Compare(a.id.Client, b.id.Client),
	)
}

// place is what [Tx.scan] finds.
func (x *listIndex) place(s *store, it *item) *item {
	from, depth := x.nodes[0], uint64(0)
	if it.left != nil {
		from = x.node(it.left)
		depth = from.depth + it.left.length - 1
	}
	x.order.splay(from, nil)
	end := from.right.firstReach(depth)
	if r := it.right; r != nil && x.node(r) != nil && x.order.before(from, x.node(r)) && x.order.before(x.node(r), end) {
		end = x.node(r)
	}
	end = x.blocked(it, end)
	siblings := x.order.between(from, end)
	if siblings == nil {
		return it.left
	}
	last := siblings.lastReach(depth + 1)
	x.order.splay(last, nil)
	b := last.outermost(it.id.Client)
	if b != nil && b.depth == 0 {
		b = x.node(s.find(ID{it.origin.Client, it.origin.Clock + 1}))
	}
	if b == nil || !x.holds(b, end) {
		return x.order.prev(end).it
	}
	prev := x.order.between(from, b).lastBefore(b, it.id.Client)
	if prev == nil {
		return it.left
	}
	if first := x.order.between(prev, b).firstAt(b.depth); first != nil {
		b = first
	}
	return x.order.prev(b).it
}

// blocked returns where the scan ends that would end at the given node: at the first item before it with the same neighbours
// as the new one, and no smaller client. As far as scans get, such items stand in the order of their clients.
func (x *listIndex) blocked(it *item, end *node) *node {
	prev := x.siblingsUntil(it)
	for {
		p, more := x.siblings.next(prev)
		if !more {
			return end
		}
		o := x.siblings.get(p)
		if !o.sameOrigin(it) || !o.sameRightOrigin(it) {
			return end
		}
		if n := x.node(o); x.order.before(n, end) {
			return n
		}
		x.siblings.removeBehind(prev, 1) // what ends the scan before it will do so for ever
	}
}

// holds reports whether all that stands from n to end belongs to n's segment.
func (x *listIndex) holds(n, end *node) bool {
	c := x.order.between(n, end)
	return c == nil || c.minDepth > n.depth
}

// outermost is the outermost of the siblings that n stands in, and of n itself, whose clients are not smaller than the given
// one; nil if there is none.
func (n *node) outermost(client uint64) *node {
	if n.client() < client {
		return nil
	}
	for in := n.nesting; in != nil && in.in.client() >= client; in = n.nesting {
		if in.jump.client() >= client {
			n = in.jump
		} else {
			n = in.in
		}
	}
	return n
}

// nest finds the innermost of its siblings that n stands in. If that is a unit within the item of its origin, a node without
// a depth stands for it.
func (x *listIndex) nest(n, from *node) {
	outside := func(k *node) bool { return k.depth > 0 && (k.depth >= n.depth || !x.holds(k, n)) }
	var k *node
	if c := x.order.between(from, n); c != nil && c.minReach == n.nesting.reach { // if it is less, no scan gets to n any more
		k = c.lastReach(n.nesting.reach)
		x.order.splay(k, nil)
	}
	for k != nil && outside(k) {
		switch in := k.nesting; {
		case in == nil:
			k = nil
		case outside(in.jump):
			k = in.jump
		default:
			k = in.in
		}
	}
	if k == nil {
		k = &node{it: from.it}
	}
	n.nesting.in, n.nesting.jump, n.nesting.level = k, k, k.level()+1
	// Jumps of such lengths lead to any of them in logarithmic time.
	if out := k.nesting; out != nil && out.jump.nesting != nil {
		if far := out.jump.nesting; out.level-far.level == far.level-far.jump.level() {
			n.nesting.jump = far.jump
		}
	}
}
