package crdt

import (
	"fmt"
	"strings"
	"unsafe"
)

// ItemSize is how many bytes an item takes.
const ItemSize = unsafe.Sizeof(item{})

// Calls that edit XML, for the programs of the tests: there are none for others.

// NewXMLElement returns an element that belongs to no document yet.
func NewXMLElement(name string) SharedType {
	return newShared(branchXMLElement, name, nil).value().(SharedType)
}

// NewXMLHook returns a hook that belongs to no document yet.
func NewXMLHook(name string) SharedType {
	return newShared(branchXMLHook, name, nil).value().(SharedType)
}

// NewXMLText returns an XML text that belongs to no document yet.
func NewXMLText(content string) SharedType {
	var b *branch
	b = newShared(branchXMLText, "", func(tx *Tx) error {
		tx.textInsert(b, 0, content)
		return nil
	})
	return b.value().(SharedType)
}

// XMLInsert inserts children.
func XMLInsert(tx *Tx, x *XML, index int, values ...Value) error {
	return tx.listInsert(x.b, index, values)
}

// XMLDelete deletes children.
func XMLDelete(tx *Tx, x *XML, index, n int) error { return tx.listDelete(x.b, index, n) }

// XMLSet sets an attribute.
func XMLSet(tx *Tx, x *XML, key string, v Value) error { return tx.mapSet(x.b, key, v) }

// XMLUnset deletes an attribute.
func XMLUnset(tx *Tx, x *XML, key string) { tx.mapDelete(x.b, key) }

// Check looks for a fault in how a document's structs hang together, and returns an error that says where.
func Check(d *Doc) error {
	for _, c := range d.store.order {
		clock := uint64(0)
		for _, chunk := range c.list.chunks {
			if len(chunk) == 0 || len(chunk) > chunkLen {
				return fmt.Errorf("client %d has a chunk of %d structs", c.client, len(chunk))
			}
			for _, it := range chunk {
				if it.id() != (ID{c.client, clock}) || it.length == 0 {
					return fmt.Errorf("struct %v of length %d stands at clock %d of client %d", it.id(), it.length, clock, c.client)
				}
				if !it.isItem() && *it.insertion != (insertion{client: c.client}) {
					return fmt.Errorf("struct %v holds on to where it stood", it.id())
				}
				clock = it.end()
				if b := it.branchOf(); b != nil && !it.deleted() {
					if err := checkBranch(b); err != nil {
						return err
					}
				}
			}
		}
	}
	for _, b := range d.roots {
		if err := checkBranch(b); err != nil {
			return err
		}
	}
	return nil
}

func checkBranch(b *branch) error {
	n := 0
	var left *item
	for it := b.start; it != nil; left, it = it, it.right {
		if it.left != left || it.parent != b || it.keyed() {
			return fmt.Errorf("item %v of a list hangs wrong", it.id())
		}
		if it.visible() {
			n += int(it.length)
		}
	}
	if n != b.length {
		return fmt.Errorf("a list of length %d says %d", n, b.length)
	}
	for i := range b.entries.len() {
		e := b.entries.list[i]
		if e.item.right != nil || e.first.left != nil {
			return fmt.Errorf("key %q does not begin and end where it should", e.key)
		}
		it := e.first
		for ; it != e.item; it = it.right {
			if it == nil || it.parent != b || !it.keyed() || *it.key != e.key || it.right == nil || it.right.left != it {
				return fmt.Errorf("key %q hangs wrong", e.key)
			}
		}
	}
	return nil
}

// Work is how many structs were moved and how many items were come by in search of a place, which counting statements
// leaves out.
func Work(d *Doc) (n uint64) {
	for _, c := range d.store.order {
		n += c.list.moved
	}
	return n + d.scanned
}

// Scanned is how many items were come by in search of a place.
func Scanned(d *Doc) uint64 { return d.scanned }

// SetLongScan sets how many steps a scan for a place may have without leading to an index of the list. With none, a list gets
// one at once.
func SetLongScan(d *Doc, steps int) { d.longScan = steps }

// Lists writes down the order of the items in all lists of roots, and of their keys.
func Lists(d *Doc) string {
	var b strings.Builder
	write := func(it *item) {
		for ; it != nil; it = it.right {
			fmt.Fprintf(&b, " %d.%d+%d", it.client, it.clock, it.length)
		}
	}
	for _, r := range d.roots {
		fmt.Fprintf(&b, "\n%s:", *r.name)
		write(r.start)
		for i := range r.entries.len() {
			fmt.Fprintf(&b, "\n%s.%s:", *r.name, r.entries.list[i].key)
			write(r.entries.list[i].first)
		}
	}
	return b.String()
}

// SetScans sets how many scans there were.
func SetScans(d *Doc, n uint32) { d.scan = n }
