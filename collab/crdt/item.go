package crdt

import "slices"

// Kinds of structs, as they are numbered on the wire.
type kind uint8

const (
	kindGC kind = iota
	kindDeleted
	kindJSON
	kindBinary
	kindString
	kindEmbed
	kindFormat
	kindType
	kindAny
	kindDoc
	kindSkip
)

type itemFlags uint16

const (
	flagDeleted     itemFlags = 1 << iota
	flagKeep                  // an undo manager needs the content: it must not be collected
	flagMarked                // a search marker points here
	flagOrigin                // there is an origin
	flagCut                   // the origin is the unit before, of which the item was cut off
	flagRightOrigin           // rightOrigin is set
	flagParentID              // parent is not known yet; its ID is kept in rightOrigin
	flagRedone                // store.redone names the item that replaced this one
)

// item is one struct of the store: content in a list or map, or what is left of it (kindGC), or, in updates only, a gap
// (kindSkip). It is one Go type so that structs of all kinds can lie in one slice. Deletions can make an item of each
// character of a text, so it is small: 64 bytes.
type item struct {
	*insertion
	clock       uint64
	length      uint64 // in clocks, for text in UTF-16 units
	left, right *item
	content     any    // by kind: []byte, Value, units of bytes or Values, *format, *branch or *Subdoc
	seen        uint32 // the scan for a place that came by last; in a list with an index, its number there
	flags       itemFlags
	kind        kind
}

// insertion is what the parts of an item have in common when it is cut.
type insertion struct {
	client      uint64
	parent      *branch
	key         *string // of a value of a map
	leftOrigin  ID      // last ID of what was left when it was made: the first part's origin
	rightOrigin ID      // first ID of what was right when it was made
}

// units are contents of more than one unit that take one element for each: the values of kindJSON and kindAny, the bytes of a
// kindString that is all ASCII. The parts of an item share them when it is cut.
type units[T any] struct {
	list  []T
	first uint64 // clock of the first one
}

// contents are the bytes or Values that an item holds.
func contents[T any](it *item) []T {
	switch c := it.content.(type) {
	case *units[T]:
		at := it.clock - c.first
		return c.list[at : at+it.length : at+it.length]
	case T:
		return []T{c}
	default:
		return c.([]T)
	}
}

// hold makes it the content: as units if there are several, and one Value as it is.
func (it *item) hold(content any) {
	it.content = content
	switch c := content.(type) {
	case []Value:
		if len(c) == 1 {
			it.content = c[0]
		} else {
			it.content = &units[Value]{c, it.clock}
		}
	case []byte:
		if it.length > 1 && uint64(len(c)) == it.length {
			it.content = &units[byte]{c, it.clock}
		}
	}
}

// holdOne lets go of units of which the item holds but one Value.
func (it *item) holdOne() {
	if u, ok := it.content.(*units[Value]); ok && it.length == 1 {
		it.content = u.list[it.clock-u.first]
	}
}

// joined are the contents of an item and of its right neighbour, as units if they can be.
func joined[T any](it, right *item, asUnits bool) any {
	u, ok := it.content.(*units[T])
	switch {
	case ok && it.content == right.content: // they were cut
		return u
	case !asUnits:
		return append(contents[T](it), contents[T](right)...)
	case ok && it.end()-u.first == uint64(len(u.list)):
		u.list = append(u.list, contents[T](right)...)
		return u
	default:
		return &units[T]{slices.Concat(contents[T](it), contents[T](right)), it.clock}
	}
}

// made is an item with an insertion of its own.
type made struct {
	item
	insertion insertion
}

// own is the item, which knows its insertion from now on.
func (m *made) own() *item {
	m.item.insertion = &m.insertion
	return &m.item
}

// format is the content of a format mark: from here on the attribute has this value.
type format struct {
	key   string
	value Value
}

func (it *item) has(f itemFlags) bool { return it.flags&f != 0 }
func (it *item) keyed() bool          { return it.key != nil }
func (it *item) deleted() bool        { return it.flags&flagDeleted != 0 }
func (it *item) isItem() bool         { return it.kind != kindGC && it.kind != kindSkip }
func (it *item) id() ID               { return ID{it.client, it.clock} }
func (it *item) end() uint64          { return it.clock + it.length }
func (it *item) lastID() ID           { return ID{it.client, it.end() - 1} }

func (it *item) countable() bool {
	return it.kind != kindDeleted && it.kind != kindFormat && it.kind != kindGC
}

// visible reports whether the item takes up room in its list.
func (it *item) visible() bool { return !it.deleted() && it.countable() }

func (it *item) setOrigin(id ID)      { it.leftOrigin, it.flags = id, it.flags|flagOrigin }
func (it *item) setRightOrigin(id ID) { it.rightOrigin, it.flags = id, it.flags|flagRightOrigin }

// origin is the last ID of what was left of the item when it was made.
func (it *item) origin() ID {
	if it.has(flagCut) {
		return ID{it.client, it.clock - 1}
	}
	return it.leftOrigin
}

// text is the content in UTF-8 of kindString, and the bytes of kindBinary.
func (it *item) text() []byte { return contents[byte](it) }

// ascii reports whether the text takes one byte for each unit.
func (it *item) ascii() bool { return uint64(len(it.text())) == it.length }

func (it *item) sameOrigin(o *item) bool {
	return (it.flags^o.flags)&flagOrigin == 0 && (!it.has(flagOrigin) || it.origin() == o.origin())
}

func (it *item) sameRightOrigin(o *item) bool {
	return (it.flags^o.flags)&flagRightOrigin == 0 && (!it.has(flagRightOrigin) || it.rightOrigin == o.rightOrigin)
}

// values are the content as a list; texts, deleted content and format marks have none.
func (it *item) values() []Value {
	switch it.kind {
	case kindJSON, kindAny:
		return contents[Value](it)
	case kindBinary:
		return []Value{Bytes(it.text())}
	case kindEmbed:
		return []Value{it.content.(Value)}
	case kindType:
		return []Value{it.content.(*branch).value()}
	case kindDoc:
		return []Value{it.content.(*Subdoc)}
	case kindString:
		return textValues(it.text())
	default:
		return nil
	}
}

// textValues are the UTF-16 units of a text, halves of pairs as replacement characters.
func textValues(text []byte) []Value {
	var vs []Value
	for _, r := range string(text) {
		if r >= 0x10000 {
			vs = append(vs, String(replacement), String(replacement))
		} else {
			vs = append(vs, String(r))
		}
	}
	return vs
}

// last is the newest value of a map's item.
func (it *item) last() Value {
	if v, ok := it.content.(Value); ok {
		return v
	}
	vs := it.values()
	if len(vs) == 0 {
		return Undefined{}
	}
	return vs[len(vs)-1]
}

// branchOf is the shared type that the item holds, or nil.
func (it *item) branchOf() *branch {
	if it.kind != kindType {
		return nil
	}
	return it.content.(*branch)
}

// cut shortens the content to its first n units and puts the others into right.
func (it *item) cut(right *item, n uint64) {
	right.kind, right.length = it.kind, it.length-n
	if text, ok := it.content.([]byte); ok {
		it.content, right.content = splitText(text, int(it.length), int(n))
	} else { // it is shared, or there is none
		right.content = it.content
		right.holdOne()
	}
	it.length = n
	it.holdOne()
}

// join appends the content of right, of the same kind.
func (it *item) join(right *item) {
	switch it.kind {
	case kindString:
		it.content = joined[byte](it, right, it.ascii() && right.ascii())
	case kindJSON, kindAny:
		it.content = joined[Value](it, right, true)
	}
	it.length += right.length
}

// joins reports whether contents of its kind can be joined.
func (it *item) joins() bool {
	switch it.kind {
	case kindString, kindJSON, kindAny, kindDeleted, kindGC, kindSkip:
		return true
	default:
		return false
	}
}

// mergesWith reports whether both it and its neighbour right could have been made as one.
func (it *item) mergesWith(right *item) bool {
	if it.kind != right.kind || it.deleted() != right.deleted() || !it.joins() {
		return false
	}
	return !it.isItem() || right.has(flagOrigin) && right.origin() == it.lastID() && it.right == right && it.sameRightOrigin(right) &&
		it.client == right.client && it.end() == right.clock && (it.flags|right.flags)&flagRedone == 0
}

// merge takes the neighbour right, with which it merges, into it.
func (it *item) merge(right *item) {
	length := it.length
	it.join(right)
	if !it.isItem() {
		return
	}
	if it.parent != nil && it.parent.ext != nil {
		it.parent.ext.markers.merged(it, right, int(length))
	}
	it.flags |= right.flags & flagKeep
	it.right = right.right
	if it.right != nil {
		it.right.left = it
	}
	if right.keyed() {
		it.parent.entries.replace(*right.key, right, it)
	}
}

// collect forgets the content of a deleted item. Below a collected parent nothing is left but the range of clocks.
func (it *item) collect(parentCollected bool) {
	if b := it.branchOf(); b != nil {
		b.collect()
	}
	if !parentCollected {
		it.kind, it.content = kindDeleted, nil
		return
	}
	it.forget()
}

// forget leaves nothing but the range of clocks. All parts of an insertion are forgotten together.
func (it *item) forget() {
	*it.insertion = insertion{client: it.client}
	*it = item{insertion: it.insertion, clock: it.clock, length: it.length, kind: kindGC, flags: flagDeleted}
}

// parentRef is how a struct that stands at no other item names its parent.
func (it *item) writeParent(e encoder) {
	switch {
	case it.has(flagParentID):
		e.parentIsRoot(false)
		e.leftID(it.rightOrigin)
	case it.parent.item == nil:
		e.parentIsRoot(true)
		e.string(*it.parent.name)
	default:
		e.parentIsRoot(false)
		e.leftID(it.parent.item.id())
	}
	if it.keyed() {
		e.string(*it.key)
	}
}

// Bits of a struct's first byte beside its kind.
const (
	infoKey         = 0x20
	infoRightOrigin = 0x40
	infoOrigin      = 0x80
	infoKind        = 0x1f
)

// write encodes the struct from its offset-th unit on.
func (it *item) write(e encoder, offset uint64) {
	switch it.kind {
	case kindGC:
		e.info(byte(kindGC))
		e.length(it.length - offset)
		return
	case kindSkip:
		e.info(byte(kindSkip))
		e.uvarint(it.length - offset)
		return
	}
	info, origin := byte(it.kind), it.origin()
	if offset > 0 {
		origin = ID{it.client, it.clock + offset - 1}
	}
	hasOrigin := offset > 0 || it.has(flagOrigin)
	if hasOrigin {
		info |= infoOrigin
	}
	if it.has(flagRightOrigin) {
		info |= infoRightOrigin
	}
	if it.keyed() {
		info |= infoKey
	}
	e.info(info)
	if hasOrigin {
		e.leftID(origin)
	}
	if it.has(flagRightOrigin) {
		e.rightID(it.rightOrigin)
	}
	if info&(infoOrigin|infoRightOrigin) == 0 {
		it.writeParent(e)
	}
	it.writeContent(e, offset)
}

func (it *item) writeContent(e encoder, offset uint64) {
	switch it.kind {
	case kindDeleted:
		e.length(it.length - offset)
	case kindJSON:
		e.length(it.length - offset)
		for _, v := range contents[Value](it)[offset:] {
			e.string(legacyJSON(v))
		}
	case kindBinary:
		e.bytes(it.text())
	case kindString:
		e.text(tailText(it.text(), int(it.length), int(offset)))
	case kindEmbed:
		e.json(it.content.(Value))
	case kindFormat:
		f := it.content.(*format)
		e.key(f.key)
		e.json(f.value)
	case kindType:
		it.content.(*branch).write(e)
	case kindAny:
		e.length(it.length - offset)
		if v, ok := it.content.(Value); ok {
			e.any(v)
			return
		}
		for _, v := range contents[Value](it)[offset:] {
			e.any(v)
		}
	case kindDoc:
		sub := it.content.(*Subdoc)
		e.string(sub.guid)
		e.any(sub.options())
	}
}

func legacyJSON(v Value) string {
	if _, ok := v.(Undefined); ok {
		return "undefined"
	}
	return string(AppendJSON(nil, v))
}
