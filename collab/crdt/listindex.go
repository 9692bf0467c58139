package crdt

import "math"

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
// A scan also ends at a sibling with the same neighbours as the new item's and no smaller client, which needs no rule here. What
// that sibling's own scan left behind it has greater clients, and no smaller one has got past it since, so nothing behind it
// goes before the new item.
//
// An index lives while an update's structs are integrated, or while the function of a local transaction runs. In that time items
// only come to a list, and are cut. It takes 48 bytes for each item, and 24 more for a nested one.
type listIndex struct {
	steps, due int       // steps of long scans in the list; how many it takes until the list may get its index
	order      splayTree // the list between two ends; empty without an index. Items were seen with their nodes' numbers
}

// The ends of an indexed list.
const (
	listFront nodeNumber = 1 + iota
	listEnd
)

// node is the item's node, 0 if it is in another list.
func (x *listIndex) node(it *item) nodeNumber {
	if n := nodeNumber(it.seen); n < x.order.count && x.order.at(n).it == it {
		return n
	}
	return 0
}

// listOf names a list of items: that of a branch, or of one of its keys.
type listOf struct {
	b     *branch
	key   string
	keyed bool
}

func (it *item) list() listOf {
	if !it.keyed() {
		return listOf{b: it.parent}
	}
	return listOf{it.parent, *it.key, true}
}

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
	n := 0
	for o := it.firstInList(); o != nil; o = o.right {
		if n++; n > limit {
			return
		}
	}
	x.build(&tx.doc.store, it.firstInList())
}

// index is the index of the item's list, nil if it has none.
func (tx *Tx) index(it *item) *listIndex {
	if x := tx.indexes[it.list()]; x != nil && x.order.count > 0 {
		return x
	}
	return nil
}

// source is a unit of an indexed list, or in front of it: the node of its item, and which of the item's units it is.
type source struct {
	at   nodeNumber
	unit uint64
}

// origin is the unit that the item is a child of.
func (x *listIndex) origin(s *store, it *item) source {
	if !it.has(flagOrigin) {
		return source{at: listFront}
	}
	o := s.find(it.origin())
	return source{x.node(o), it.origin().Clock - o.clock}
}

// below is the depth of a unit's children.
func (x *listIndex) below(u source) uint64 { return x.order.depth(u.at) + u.unit + 1 }

// build makes the index of a list. An item is as deep as the children of the last unit before it that has children there or
// further right: of its origin, or of one within the segment that it stands in.
func (x *listIndex) build(s *store, first *item) {
	x.order.add(nil, 0)
	x.order.add(nil, 0)
	x.order.insert(listFront, listEnd)
	for o := first; o != nil; o = o.right {
		x.add(o, 0)
	}
	end := x.order.count // until something is added, nodes are numbered by their places
	parents := make([]source, end)
	open := []source{{at: listFront}} // have children here or further right, the last of them last
	for n := end - 1; n > listEnd; n-- {
		for open[len(open)-1].at >= n {
			open = open[:len(open)-1]
		}
		o, last := x.origin(s, x.order.at(n).it), open[len(open)-1]
		if o.at < n && (last.at < o.at || last.at == o.at && last.unit < o.unit) {
			open = append(open, o)
		}
		parents[n] = open[len(open)-1]
	}
	prev := listFront
	for n := listEnd + 1; n < end; n++ {
		x.order.at(n).depth = x.below(parents[n])
		reach := uint64(0)
		o := x.origin(s, x.order.at(n).it)
		if o.at < n {
			reach = x.below(o)
		}
		x.insert(o.at, prev, n, reach)
		prev = n
	}
}

// add makes the item's node.
func (x *listIndex) add(it *item, depth uint64) nodeNumber {
	n := x.order.add(it, depth)
	it.seen = uint32(n)
	return n
}

// insert puts a node of some reach behind prev. Its origin is in the item of the node from.
func (x *listIndex) insert(from, prev, n nodeNumber, reach uint64) {
	nested := x.order.depth(n) > reach
	if nested {
		x.order.at(n).nesting = &nesting{reach: reach}
	}
	x.order.insert(prev, n)
	if nested && reach > 0 { // otherwise it is not behind its origin, so no scan comes by
		x.nest(n, from)
	}
}

// linked adds an item that was put into the list.
func (x *listIndex) linked(s *store, it *item) {
	prev := listFront
	if it.left != nil {
		prev = x.node(it.left)
	}
	o := x.origin(s, it)
	reach := x.below(o)
	if x.order.before(prev, o.at) {
		reach = 0 // both neighbours are in one item, the right one first
	}
	x.insert(o.at, prev, x.add(it, max(reach, x.order.depth(x.order.next(prev)))), reach)
}

// split adds what was cut off an item.
func (x *listIndex) split(it, right *item) {
	left := x.node(it)
	depth := x.order.depth(left) + it.length
	x.insert(left, left, x.add(right, depth), depth)
}

// place is what [Tx.scan] finds.
func (x *listIndex) place(s *store, it *item) *item {
	t := &x.order
	from, depth := listFront, uint64(0)
	if it.left != nil {
		from = x.node(it.left)
		depth = t.depth(from) + it.left.length - 1
	}
	t.splay(from, 0)
	end := t.atReach(t.at(from).right, forwards, depth)
	if it.right != nil {
		if r := x.node(it.right); r != 0 && t.before(from, r) && t.before(r, end) {
			end = r
		}
	}
	siblings := t.between(from, end)
	if siblings == 0 {
		return it.left
	}
	last := t.atReach(siblings, backwards, depth+1)
	t.splay(last, 0)
	b := x.outermost(last, it.client)
	if b != 0 && t.depth(b) == 0 {
		b = x.node(s.find(ID{it.origin().Client, it.origin().Clock + 1}))
	}
	if b == 0 || !x.holds(b, end) {
		return t.at(t.prev(end)).it
	}
	prev := t.lastBefore(t.between(from, b), b, it.client)
	if prev == 0 {
		return it.left
	}
	if first := t.firstAt(t.between(prev, b), t.depth(b)); first != 0 {
		b = first
	}
	return t.at(t.prev(b)).it
}

// holds reports whether all that stands from n to end belongs to n's segment.
func (x *listIndex) holds(n, end nodeNumber) bool {
	return x.order.minDepth(x.order.between(n, end)) > x.order.depth(n)
}

// outermost is the outermost of the siblings that n stands in, and of n itself, whose clients are not smaller than the given
// one; 0 if there is none.
func (x *listIndex) outermost(n nodeNumber, client uint64) nodeNumber {
	t := &x.order
	if t.client(n) < client {
		return 0
	}
	for in := t.at(n).nesting; in != nil && t.client(in.in) >= client; in = t.at(n).nesting {
		if t.client(in.jump) >= client {
			n = in.jump
		} else {
			n = in.in
		}
	}
	return n
}

// nest finds the innermost of its siblings that n stands in. If that is a unit within the item of its origin, a node without
// a depth stands for it.
func (x *listIndex) nest(n, from nodeNumber) {
	t := &x.order
	outside := func(k nodeNumber) bool {
		return t.depth(k) > 0 && (t.depth(k) >= t.depth(n) || !x.holds(k, n))
	}
	nesting := t.at(n).nesting
	var k nodeNumber
	if c := t.between(from, n); t.minReach(c) == nesting.reach { // if it is less, no scan gets to n any more
		k = t.atReach(c, backwards, nesting.reach)
		t.splay(k, 0)
	}
	for k != 0 && outside(k) {
		switch in := t.at(k).nesting; {
		case in == nil:
			k = 0
		case outside(in.jump):
			k = in.jump
		default:
			k = in.in
		}
	}
	if k == 0 {
		k = t.add(t.at(from).it, 0)
	}
	nesting.in, nesting.jump, nesting.level = k, k, t.level(k)+1
	// Jumps of such lengths lead to any of them in logarithmic time.
	if out := t.at(k).nesting; out != nil && t.at(out.jump).nesting != nil {
		if far := t.at(out.jump).nesting; out.level-far.level == far.level-t.level(far.jump) {
			nesting.jump = far.jump
		}
	}
}
