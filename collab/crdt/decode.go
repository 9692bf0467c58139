package crdt

import "slices"

// maxClock bounds the clocks of structs. No client makes so many units. Those of all clients can be counted in 64 bits, which
// what yjs takes for a clock (up to 2⁵³) would not guarantee: deleted content says how long it is and has no bytes.
const maxClock = 1 << 39

// structReader reads the structs of an update one after the other.
type structReader struct {
	d       decoder
	root    func(name string) *branch
	clients uint64 // sections to come
	structs uint64 // in this section, to come
	client  uint64
	clock   uint64
	left    int    // structs that may still come
	begin   func() // called for each section, if set
	slab    []made
	bare    *insertion // of the section's structs that are no items
}

func newStructReader(d decoder, root func(string) *branch, limit int) *structReader {
	return &structReader{d: d, root: root, clients: d.rest().uvarint(), left: limit}
}

// namedRoots stands for the roots of an update that is read without a document.
func namedRoots() func(string) *branch {
	last := newBranch("", branchUndefined)
	return func(name string) *branch {
		if *last.name != name {
			last = newBranch(name, branchUndefined)
		}
		return last
	}
}

// section begins the next client's structs. It fails at the end, or on a fault.
func (r *structReader) section() bool {
	if r.clients == 0 {
		return false
	}
	r.clients--
	rest := r.d.rest()
	r.structs = rest.uvarint()
	r.client = r.d.client()
	r.clock = rest.uvarint()
	if r.structs > uint64(r.left) {
		rest.fail("too many structs")
	}
	r.left -= int(min(r.structs, uint64(r.left)))
	if rest.err != nil {
		return false
	}
	r.bare = nil
	if r.begin != nil {
		r.begin()
	}
	return true
}

// next reads the next struct, or nil at the end or on a fault. Empty structs, which no replica makes, are left out.
func (r *structReader) next() *item {
	for {
		for r.structs == 0 {
			if !r.section() {
				return nil
			}
		}
		r.structs--
		it := r.read()
		if r.d.rest().err != nil {
			return nil
		}
		if it.length == 0 {
			continue
		}
		r.clock += it.length
		return it
	}
}

// allot makes an item. Those with an insertion of their own are taken from slabs of four kilobytes, with eight bytes that the
// runtime adds; large updates need many.
func (r *structReader) allot(k kind) *item {
	if k == kindGC || k == kindSkip {
		if r.bare == nil {
			r.bare = &insertion{client: r.client}
		}
		return &item{insertion: r.bare, clock: r.clock, kind: k}
	}
	if len(r.slab) == 0 {
		r.slab = make([]made, min(r.structs/4+1, 34))
	}
	it := r.slab[0].own()
	r.slab = r.slab[1:]
	it.client, it.clock, it.kind = r.client, r.clock, k
	return it
}

func (r *structReader) read() *item {
	d := r.d
	info := d.info()
	it := r.allot(kind(info & infoKind))
	switch it.kind {
	case kindGC:
		it.flags = flagDeleted
		it.length = d.length()
	case kindSkip:
		it.flags = flagDeleted
		it.length = d.rest().uvarint()
	default:
		r.readNeighbours(it, info)
		r.readContent(it)
	}
	if it.length > maxClock || r.clock > maxClock-it.length {
		d.rest().fail("clock out of range")
	}
	return it
}

func (r *structReader) readNeighbours(it *item, info byte) {
	d := r.d
	if info&infoOrigin != 0 {
		it.setOrigin(r.earlier(d.leftID()))
	}
	if info&infoRightOrigin != 0 {
		it.setRightOrigin(r.earlier(d.rightID()))
	}
	if info&(infoOrigin|infoRightOrigin) != 0 {
		return // parent and key are the neighbours'
	}
	if d.parentIsRoot() {
		it.parent = r.root(d.string())
	} else {
		it.rightOrigin = r.earlier(d.leftID())
		it.flags |= flagParentID
	}
	if info&infoKey != 0 {
		key := d.string()
		it.key = &key
	}
}

// earlier checks that a struct refers only to what its own client made before it.
func (r *structReader) earlier(id ID) ID {
	if id.Client == r.client && id.Clock >= r.clock {
		r.d.rest().fail("struct refers to a later one")
	}
	return id
}

func (r *structReader) readContent(it *item) {
	d := r.d
	it.length = 1
	switch it.kind {
	case kindDeleted:
		it.length = d.length()
	case kindJSON:
		it.length = d.length()
		it.hold(r.values(it.length, func() Value { return d.rest().parseJSON(d.rest().pos, []byte(d.string())) }))
	case kindBinary:
		it.content = d.bytes()
	case kindString:
		text := d.text()
		it.length = uint64(countUnits(text))
		it.hold(text)
	case kindEmbed:
		it.content = d.json()
	case kindFormat:
		key := d.key()
		it.content = &format{key, d.json()}
	case kindType:
		it.content = r.readBranch()
	case kindAny:
		it.length = d.length()
		it.hold(r.values(it.length, d.any))
	case kindDoc:
		guid := d.string()
		it.content = subdocFrom(guid, d.any())
	default:
		d.rest().fail("unknown kind of struct")
	}
}

// values reads n values, of which each takes at least one byte.
func (r *structReader) values(n uint64, read func() Value) []Value {
	var vs []Value
	if n <= uint64(r.d.rest().remaining()) {
		vs = make([]Value, 0, min(n, 16))
	}
	for range n {
		v := read()
		if r.d.rest().err != nil {
			return nil
		}
		vs = append(vs, v)
	}
	return slices.Clip(vs)
}

func (r *structReader) readBranch() *branch {
	k := r.d.typeRef()
	if k >= uint64(branchUndefined) {
		r.d.rest().fail("unknown shared type")
		return &branch{}
	}
	b := &branch{kind: branchKind(k)}
	if b.kind == branchXMLElement || b.kind == branchXMLHook {
		name := r.d.key()
		b.name = &name
	}
	return b
}
