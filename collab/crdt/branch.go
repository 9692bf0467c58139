package crdt

import "slices"

// branchKind says which shared type a branch is, as it is numbered on the wire.
type branchKind uint8

const (
	branchArray branchKind = iota
	branchMap
	branchText
	branchXMLElement
	branchXMLFragment
	branchXMLHook
	branchXMLText
	branchUndefined // a root that was named by an update and not asked for yet
)

// maxTypeDepth bounds how deep shared types may be nested; what lies deeper is integrated as if its parent were gone.
const maxTypeDepth = 10_000

// branch is the state of any shared type: a list of items and a map of items.
type branch struct {
	doc           *Doc
	item          *item // that holds the type; nil for a root
	start         *item
	entries       *entryTable
	ext           *branchExt
	name          *string // key of a root, node name of an XML element or hook
	length        int
	depth         uint16
	kind          branchKind
	hasFormatting bool
}

func newBranch(name string, k branchKind) *branch { return &branch{name: &name, kind: k} }

// branchExt holds what most branches never need.
type branchExt struct {
	markers       markers
	face          Value // the exported type that wraps the branch
	prelim        func(*Tx) error
	observers     listeners[*Event]
	deepObservers listeners[[]*Event]
	undos         int // managers that have it in their scope
}

func (b *branch) more() *branchExt {
	if b.ext == nil {
		b.ext = &branchExt{}
	}
	return b.ext
}

// markers are the branch's search markers, or nil if it has none.
func (b *branch) markers() *markers {
	switch b.kind {
	case branchArray, branchText, branchXMLText:
		if m := &b.more().markers; !m.off {
			return m
		}
	}
	return nil
}

func (b *branch) isText() bool { return b.kind == branchText || b.kind == branchXMLText }

// value is the exported type of the branch.
func (b *branch) value() Value {
	ext := b.more()
	if ext.face == nil {
		ext.face = b.wrap()
	}
	return ext.face
}

func (b *branch) wrap() Value {
	switch b.kind {
	case branchArray:
		return &Array{shared{b}}
	case branchMap, branchXMLHook:
		return &Map{shared{b}}
	case branchText, branchXMLText:
		return &Text{shared{b}}
	default:
		return &XML{shared{b}}
	}
}

// dead reports whether the type was deleted.
func (b *branch) dead() bool { return b.item != nil && b.item.deleted() }

// parent is the branch that holds this one, nil for a root.
func (b *branch) parent() *branch {
	if b.item == nil {
		return nil
	}
	return b.item.parent
}

// holds reports whether it lies in b or below.
func (b *branch) holds(it *item) bool {
	for it != nil {
		if it.parent == b {
			return true
		}
		if it.parent == nil {
			return false
		}
		it = it.parent.item
	}
	return false
}

func (b *branch) write(e encoder) {
	e.typeRef(byte(b.kind))
	if b.kind == branchXMLElement || b.kind == branchXMLHook {
		e.key(*b.name)
	}
}

// blank is a new branch of the same kind, without content.
func (b *branch) blank() *branch { return &branch{kind: b.kind, name: b.name} }

// collect turns all content into collected structs.
func (b *branch) collect() {
	for it := b.start; it != nil; {
		next := it.right
		it.collect(true)
		it = next
	}
	b.start = nil
	for i := range b.entries.len() {
		for it := b.entries.list[i].item; it != nil; {
			next := it.left
			it.collect(true)
			it = next
		}
	}
	b.entries = nil
}

// values yields the list's values with their index.
func (b *branch) values(yield func(int, Value) bool) {
	i := 0
	for it := b.start; it != nil; it = it.right {
		if !it.visible() {
			continue
		}
		for _, v := range it.values() {
			if !yield(i, v) {
				return
			}
			i++
		}
	}
}

// at returns the list's value at index, or nil.
func (b *branch) at(index int) Value {
	it := b.start
	if m := b.markers().near(b, index); m != nil {
		it, index = m.at, index-m.index
	}
	for ; it != nil; it = it.right {
		if it.visible() {
			if index < int(it.length) {
				return it.values()[index]
			}
			index -= int(it.length)
		}
	}
	return nil
}

// entryTable maps keys to their items, in the order in which the keys came.
type entryTable struct {
	list  []entry
	index map[string]int // built from indexFrom entries on
}

type entry struct {
	key   string
	item  *item // the newest
	first *item // the oldest
}

func (t *entryTable) len() int {
	if t == nil {
		return 0
	}
	return len(t.list)
}

func (t *entryTable) find(key string) int {
	if t == nil {
		return -1
	}
	if t.index != nil {
		if i, ok := t.index[key]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(t.list, func(e entry) bool { return e.key == key })
}

func (t *entryTable) get(key string) *item {
	if i := t.find(key); i >= 0 {
		return t.list[i].item
	}
	return nil
}

// first is the oldest item of the key.
func (t *entryTable) first(key string) *item {
	if i := t.find(key); i >= 0 {
		return t.list[i].first
	}
	return nil
}

// begin makes it, which has come to stand before all others of its key, the oldest item.
func (t *entryTable) begin(key string, it *item) {
	if i := t.find(key); i >= 0 {
		t.list[i].first = it
	}
}

func (t *entryTable) set(key string, it *item) {
	if i := t.find(key); i >= 0 {
		t.list[i].item = it
		return
	}
	t.list = append(t.list, entry{key, it, it})
	if n := len(t.list); n >= indexFrom {
		if t.index == nil {
			t.index = make(map[string]int, 2*indexFrom)
			for i, e := range t.list {
				t.index[e.key] = i
			}
		}
		t.index[key] = n - 1
	}
}

// replace puts it in the place of old, if old is the key's newest item.
func (t *entryTable) replace(key string, old, it *item) {
	if i := t.find(key); i >= 0 && t.list[i].item == old {
		t.list[i].item = it
	}
}

func (b *branch) setEntry(key string, it *item) {
	if b.entries == nil {
		b.entries = &entryTable{}
	}
	b.entries.set(key, it)
}
