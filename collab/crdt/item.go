package crdt

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
	flagOrigin                // origin is set
	flagRightOrigin           // rightOrigin is set
	flagKey                   // key is set: the item is a value of a map
	flagParentID              // parent is not known yet; its ID is kept in rightOrigin
	flagRedone                // store.redone names the item that replaced this one
)

// item is one struct of the store: content in a list or map, or what is left of it (kindGC), or, in updates only, a gap
// (kindSkip). It is one Go type so that structs of all kinds can lie in one slice.
type item struct {
	id          ID
	origin      ID // last ID of what was left of the item when it was made
	rightOrigin ID // first ID of what was right of it
	left, right *item
	parent      *branch
	key         string
	text        []byte // UTF-8 of kindString, bytes of kindBinary
	content     any    // []Value, Value, *format, *branch or *Subdoc by kind
	length      uint64 // in clocks, for text in UTF-16 units
	flags       itemFlags
	kind        kind
	seen        uint32 // the scan for a place that came by last; in a list with an index, its number there
}

// format is the content of a format mark: from here on the attribute has this value.
type format struct {
	key   string
	value Value
}

func (it *item) has(f itemFlags) bool { return it.flags&f != 0 }
func (it *item) deleted() bool        { return it.flags&flagDeleted != 0 }
func (it *item) isItem() bool         { return it.kind != kindGC && it.kind != kindSkip }
func (it *item) end() uint64          { return it.id.Clock + it.length }
func (it *item) lastID() ID           { return ID{it.id.Client, it.end() - 1} }

func (it *item) countable() bool {
	return it.kind != kindDeleted && it.kind != kindFormat && it.kind != kindGC
}

// visible reports whether the item takes up room in its list.
func (it *item) visible() bool { return !it.deleted() && it.countable() }

func (it *item) setOrigin(id ID)      { it.origin, it.flags = id, it.flags|flagOrigin }
func (it *item) setRightOrigin(id ID) { it.rightOrigin, it.flags = id, it.flags|flagRightOrigin }

func (it *item) sameOrigin(o *item) bool {
	return (it.flags^o.flags)&flagOrigin == 0 && (!it.has(flagOrigin) || it.origin == o.origin)
}

func (it *item) sameRightOrigin(o *item) bool {
	return (it.flags^o.flags)&flagRightOrigin == 0 && (!it.has(flagRightOrigin) || it.rightOrigin == o.rightOrigin)
}

// values are the content as a list; texts, deleted content and format marks have none.
func (it *item) values() []Value {
	switch it.kind {
	case kindJSON, kindAny:
		return it.content.([]Value)
	case kindBinary:
		return []Value{Bytes(it.text)}
	case kindEmbed:
		return []Value{it.content.(Value)}
	case kindType:
		return []Value{it.content.(*branch).value()}
	case kindDoc:
		return []Value{it.content.(*Subdoc)}
	case kindString:
		return textValues(it.text)
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
	switch it.kind {
	case kindString:
		it.text, right.text = splitText(it.text, int(it.length), int(n))
	case kindJSON, kindAny:
		vs := it.content.([]Value)
		it.content, right.content = vs[:n:n], vs[n:]
	default: // the others are one unit long, or have no content
		right.content = it.content
	}
	it.length = n
}

// join appends the content of right, of the same kind.
func (it *item) join(right *item) {
	switch it.kind {
	case kindString:
		it.text = append(it.text, right.text...)
	case kindJSON, kindAny:
		it.content = append(it.content.([]Value), right.content.([]Value)...)
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
	return !it.isItem() || right.has(flagOrigin) && right.origin == it.lastID() && it.right == right && it.sameRightOrigin(right) &&
		it.id.Client == right.id.Client && it.end() == right.id.Clock && (it.flags|right.flags)&flagRedone == 0
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
	if right.has(flagKey) {
		it.parent.entries.replace(right.key, right, it)
	}
}

// collect forgets the content of a deleted item. Below a collected parent nothing is left but the range of clocks.
func (it *item) collect(parentCollected bool) {
	if b := it.branchOf(); b != nil {
		b.collect()
	}
	if !parentCollected {
		it.kind, it.text, it.content = kindDeleted, nil, nil
		return
	}
	*it = item{id: it.id, length: it.length, kind: kindGC, flags: flagDeleted}
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
		e.leftID(it.parent.item.id)
	}
	if it.has(flagKey) {
		e.string(it.key)
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
	info, origin := byte(it.kind), it.origin
	if offset > 0 {
		origin = ID{it.id.Client, it.id.Clock + offset - 1}
	}
	hasOrigin := offset > 0 || it.has(flagOrigin)
	if hasOrigin {
		info |= infoOrigin
	}
	if it.has(flagRightOrigin) {
		info |= infoRightOrigin
	}
	if it.has(flagKey) {
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
		for _, v := range it.content.([]Value)[offset:] {
			e.string(legacyJSON(v))
		}
	case kindBinary:
		e.bytes(it.text)
	case kindString:
		e.text(tailText(it.text, int(it.length), int(offset)))
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
		for _, v := range it.content.([]Value)[offset:] {
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
