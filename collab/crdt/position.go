package crdt

import (
	"errors"
)

// RelativePosition is a place in a list that moves with the content around it: before or behind one unit, or at an end
// of the list. Exactly one of Item, Type and Root is set, or Item together with one of the others.
type RelativePosition struct {
	// Item is the unit that the position sticks to.
	Item *ID
	// Type is the item that holds the shared type, if that is not a root.
	Type *ID
	// Root is the name of the root, if the type is one and HasRoot is set.
	Root    string
	HasRoot bool
	// Assoc says on which side of the place the unit stands: on its right if zero or more, else on its left.
	Assoc int
}

// RelativeTo returns the position at index of a type's list. With assoc below zero it sticks to what stands on its left.
func RelativeTo(t SharedType, index, assoc int) RelativePosition {
	b := t.branch()
	p := RelativePosition{Assoc: assoc}
	if b.item == nil {
		p.Root, p.HasRoot = *b.name, true
	} else {
		id := b.item.id()
		p.Type = &id
	}
	if assoc < 0 {
		if index == 0 {
			return p
		}
		index--
	}
	for it := b.start; it != nil; it = it.right {
		if it.visible() {
			if int(it.length) > index {
				p.Item = &ID{it.client, it.clock + uint64(index)}
				return p
			}
			index -= int(it.length)
		}
		if it.right == nil && assoc < 0 {
			id := it.lastID()
			p.Item = &id
		}
	}
	return p
}

// Resolve finds the list and the index that a position is at now. With follow, content that was undone and redone is
// found again. It fails if the position's content is unknown or was forgotten.
func (d *Doc) Resolve(p RelativePosition, follow bool) (t SharedType, index int, ok bool) {
	defer d.hold("Doc.Resolve")()
	b, index := d.resolve(p, follow)
	if b == nil {
		return nil, 0, false
	}
	return b.value().(SharedType), index, true
}

func (d *Doc) resolve(p RelativePosition, follow bool) (*branch, int) {
	if p.Item != nil {
		return d.resolveItem(*p.Item, p.Assoc, follow)
	}
	var b *branch
	switch {
	case p.HasRoot:
		b = d.root(p.Root, branchUndefined)
	case p.Type != nil && d.store.state(p.Type.Client) > p.Type.Clock:
		it, _ := d.store.follow(*p.Type, follow)
		b = it.branchOf()
	}
	if b == nil || p.Assoc < 0 {
		return b, 0
	}
	return b, b.length
}

func (d *Doc) resolveItem(id ID, assoc int, follow bool) (*branch, int) {
	if d.store.state(id.Client) <= id.Clock {
		return nil, 0
	}
	it, offset := d.store.follow(id, follow)
	if !it.isItem() {
		return nil, 0
	}
	index := 0
	if !it.parent.dead() {
		if it.visible() {
			index = offset
			if assoc < 0 {
				index++
			}
		}
		for l := it.left; l != nil; l = l.left {
			if l.visible() {
				index += int(l.length)
			}
		}
	}
	return it.parent, index
}

// follow finds the item that holds id, or what replaced it by redoing, and the offset in it.
func (s *store) follow(id ID, redone bool) (it *item, offset int) {
	for {
		it = s.find(id)
		offset := id.Clock - it.clock
		if !redone || !it.has(flagRedone) {
			return it, int(offset)
		}
		next := s.redone[it]
		id = ID{next.Client, next.Clock + offset}
	}
}

// Encode returns the position in Yjs' binary format.
func (p RelativePosition) Encode() []byte {
	var b []byte
	switch {
	case p.Item != nil:
		b = appendUvarint(appendUvarint(append(b, 0), p.Item.Client), p.Item.Clock)
	case p.HasRoot:
		b = appendString(append(b, 1), p.Root)
	case p.Type != nil:
		b = appendUvarint(appendUvarint(append(b, 2), p.Type.Client), p.Type.Clock)
	default:
		b = appendString(append(b, 1), "")
	}
	return appendSigned(b, int64(p.Assoc))
}

// DecodeRelativePosition reads a position in Yjs' binary format. The error is a *[DecodeError].
func DecodeRelativePosition(data []byte) (RelativePosition, error) {
	r := &reader{buf: data}
	var p RelativePosition
	switch r.uvarint() {
	case 0:
		p.Item = &ID{r.uvarint(), r.uvarint()}
	case 1:
		p.Root, p.HasRoot = r.string(), true
	case 2:
		p.Type = &ID{r.uvarint(), r.uvarint()}
	default:
		r.fail("unknown kind of position")
	}
	if r.err == nil && r.remaining() > 0 {
		n, neg := r.varint()
		if p.Assoc = int(n); neg {
			p.Assoc = -p.Assoc
		}
	}
	if r.err != nil {
		return RelativePosition{}, r.err
	}
	return p, nil
}

// MarshalJSON writes the position as Yjs does, with the keys type, tname, item and assoc.
func (p RelativePosition) MarshalJSON() ([]byte, error) {
	o := &Object{}
	id := func(id ID) Value {
		v := &Object{}
		v.Set("client", Number(id.Client))
		v.Set("clock", Number(id.Clock))
		return v
	}
	if p.Type != nil {
		o.Set("type", id(*p.Type))
	}
	if p.HasRoot && p.Root != "" {
		o.Set("tname", String(p.Root))
	}
	if p.Item != nil {
		o.Set("item", id(*p.Item))
	}
	o.Set("assoc", Number(p.Assoc))
	return AppendJSON(nil, o), nil
}

var errPosition = errors.New("crdt: not a relative position")

// UnmarshalJSON reads what MarshalJSON writes.
func (p *RelativePosition) UnmarshalJSON(data []byte) error {
	v, err := ParseJSON(data)
	if err != nil {
		return err
	}
	o, ok := v.(*Object)
	if !ok {
		return errPosition
	}
	*p = RelativePosition{}
	for key, v := range o.All() {
		switch key {
		case "type", "item":
			id, ok := idFromJSON(v)
			if !ok {
				return errPosition
			}
			if key == "type" {
				p.Type = id
			} else {
				p.Item = id
			}
		case "tname":
			name, ok := v.(String)
			p.Root, p.HasRoot = string(name), ok
		case "assoc":
			n, _ := v.(Number)
			p.Assoc = int(max(-1, min(1, n)))
		}
	}
	if p.Type == nil && p.Item == nil && !p.HasRoot {
		return errPosition
	}
	return nil
}

func idFromJSON(v Value) (*ID, bool) {
	if v == (Null{}) {
		return nil, true
	}
	o, ok := v.(*Object)
	if !ok {
		return nil, false
	}
	client, _ := o.Get("client")
	clock, _ := o.Get("clock")
	c, ok1 := client.(Number)
	k, ok2 := clock.(Number)
	if !ok1 || !ok2 || c < 0 || k < 0 || c > maxInt || k > maxInt {
		return nil, false
	}
	return &ID{uint64(c), uint64(k)}, true
}
