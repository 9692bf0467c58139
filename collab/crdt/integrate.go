package crdt

import "math"

// missing names the client whose structs must come before it, if any. Otherwise it finds the item's neighbours and
// parent. A collected neighbour or parent leaves the item without a parent.
func (tx *Tx) missing(it *item) (client uint64, waits bool) {
	s := &tx.doc.store
	for _, ref := range [...]struct {
		flag itemFlags
		id   ID
	}{{flagOrigin, it.origin()}, {flagRightOrigin | flagParentID, it.rightOrigin}} {
		if it.has(ref.flag) && ref.id.Client != it.client && ref.id.Clock >= s.state(ref.id.Client) {
			return ref.id.Client, true
		}
	}
	if it.has(flagOrigin) {
		it.left = tx.itemUntil(it.origin())
	}
	if it.has(flagRightOrigin) {
		it.right = tx.itemAt(it.rightOrigin)
	}
	it.adopt(s)
	return 0, false
}

// adopt finds the parent.
func (it *item) adopt(s *store) {
	switch left, right := it.left, it.right; {
	case left != nil && !left.isItem(), right != nil && !right.isItem():
		it.parent = nil
	case it.has(flagParentID):
		it.parent = s.find(it.rightOrigin).branchOf()
		it.rightOrigin, it.flags = ID{}, it.flags&^flagParentID
	case it.parent != nil:
	case left != nil:
		it.inherit(left)
	case right != nil:
		it.inherit(right)
	}
}

func (it *item) inherit(from *item) {
	it.parent, it.key = from.parent, from.key
}

// integrate puts an item, without its first offset units, into its parent and into the store.
func (tx *Tx) integrate(it *item, offset uint64) {
	if offset > 0 {
		tx.skip(it, offset)
	}
	if it.parent == nil || it.kind == kindType && it.parent.depth >= maxTypeDepth {
		it.forget()
		tx.doc.store.add(tx, it)
		return
	}
	if it.left == nil && (it.right == nil || it.right.left != nil) || it.left != nil && it.left.right != it.right {
		it.left = tx.place(it)
	}
	tx.link(it)
	p := it.parent
	if !it.keyed() && it.visible() {
		p.length += int(it.length)
	}
	tx.doc.store.add(tx, it)
	tx.integrateContent(it)
	tx.changedIn(p, it)
	if p.dead() || it.keyed() && it.right != nil {
		tx.delete(it)
	}
}

// skip cuts off the first n units, which are known already.
func (tx *Tx) skip(it *item, n uint64) {
	if it.kind == kindGC {
		it.clock, it.length = it.clock+n, it.length-n
		return
	}
	rest := &item{clock: it.clock + n}
	it.cut(rest, n)
	it.content, it.length = rest.content, rest.length
	it.clock += n
	it.flags |= flagOrigin | flagCut
	it.left = tx.itemUntil(it.origin())
	if l := it.left; !l.isItem() || l.list() != it.list() {
		it.parent = nil // also if what is known under these IDs stands elsewhere, which no honest client says
	}
}

// place finds the left neighbour among the items that others put at the same place.
func (tx *Tx) place(it *item) *item {
	if x := tx.index(it); x != nil {
		return x.place(&tx.doc.store, it)
	}
	left, steps := tx.scan(it)
	tx.doc.scanned += uint64(steps)
	if steps > tx.doc.longScan {
		tx.noteScan(it, steps)
	}
	return left
}

// firstInList is the first item of the list that the item belongs to.
func (it *item) firstInList() *item {
	if it.keyed() {
		return it.parent.entries.first(*it.key)
	}
	return it.parent.start
}

// scan finds the left neighbour by the YATA rules, and says how many items it came by.
func (tx *Tx) scan(it *item) (left *item, steps int) {
	left = it.left
	o := it.firstInList()
	if left != nil {
		o = left.right
	}
	first := tx.beginScan()
	scan := first // what was seen in an earlier scan than this may not come to stand right of it any more
	for ; o != nil && o != it.right; o = o.right {
		steps++
		o.seen = scan
		if it.sameOrigin(o) {
			if o.client < it.client {
				left, scan = o, scan+1
			} else if it.sameRightOrigin(o) {
				break
			}
			continue
		}
		if !o.has(flagOrigin) {
			break
		}
		origin := o.left
		if origin == nil || origin.lastID() != o.origin() {
			origin = tx.doc.store.find(o.origin())
		}
		if origin.seen < first {
			break
		}
		if origin.seen < scan {
			left, scan = o, scan+1
		}
	}
	tx.doc.scan = scan
	return left, steps
}

// beginScan returns a number that is higher than any that an item was seen with.
func (tx *Tx) beginScan() uint32 {
	d := tx.doc
	if d.scan > math.MaxUint32/2 {
		tx.dropIndexes()
		d.scan = 0
		for _, c := range d.store.order {
			for it := range c.list.from(spot{}) {
				it.seen = 0
			}
		}
	}
	d.scan++
	return d.scan
}

// dropIndexes gives the numbers that items were seen with back to scans.
func (tx *Tx) dropIndexes() {
	for _, x := range tx.indexes {
		tx.doc.scan = max(tx.doc.scan, uint32(x.order.count))
	}
	tx.indexes = nil
}

// link connects the item with its neighbours. The last item of a key is its value; the one before it is deleted.
func (tx *Tx) link(it *item) {
	p := it.parent
	switch {
	case it.left != nil:
		it.right = it.left.right
		it.left.right = it
	case it.keyed():
		it.right = p.entries.first(*it.key)
		p.entries.begin(*it.key, it)
	default:
		it.right = p.start
		p.start = it
	}
	if it.right != nil {
		it.right.left = it
	} else if it.keyed() {
		p.setEntry(*it.key, it)
		if it.left != nil {
			tx.delete(it.left)
		}
	}
	if x := tx.index(it); x != nil {
		x.linked(&tx.doc.store, it)
	}
}

func (tx *Tx) integrateContent(it *item) {
	switch it.kind {
	case kindDeleted:
		tx.deletes.join(it.client, it.clock, it.length)
		it.flags |= flagDeleted
	case kindFormat:
		it.parent.more().markers = markers{off: true}
		it.parent.hasFormatting = true
	case kindType:
		b := it.content.(*branch)
		b.doc, b.item, b.depth = tx.doc, it, it.parent.depth+1
		if b.ext != nil && b.ext.prelim != nil {
			prelim := b.ext.prelim
			b.ext.prelim = nil
			if err := prelim(tx); err != nil && tx.err == nil {
				tx.err = err
			}
		}
	case kindDoc:
		tx.subdocAdded(it.content.(*Subdoc), it)
	}
}

// delete marks an item and all that lies below it as deleted.
func (tx *Tx) delete(it *item) {
	if it.deleted() || !it.isItem() {
		return
	}
	if it.countable() && !it.keyed() {
		it.parent.length -= int(it.length)
	}
	it.flags |= flagDeleted
	tx.deletes.join(it.client, it.clock, it.length)
	tx.changedIn(it.parent, it)
	switch it.kind {
	case kindType:
		tx.deleteBranch(it.content.(*branch))
	case kindDoc:
		tx.subdocRemoved(it.content.(*Subdoc))
	}
}

func (tx *Tx) deleteBranch(b *branch) {
	remove := func(it *item) {
		if !it.deleted() {
			tx.delete(it)
		} else if it.clock < tx.before(it.client) {
			tx.splits = append(tx.splits, it.id()) // it can be merged with its neighbours from now on
		}
	}
	for it := b.start; it != nil; it = it.right {
		remove(it)
	}
	for i := range b.entries.len() {
		remove(b.entries.list[i].item)
	}
	tx.forgetChanges(b)
}
