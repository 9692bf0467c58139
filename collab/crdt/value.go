package crdt

import (
	"cmp"
	"iter"
	"math"
	"slices"
	"strconv"
)

// Value is what an Array, a Map, an embed or a formatting attribute holds: one of the plain values [Undefined], [Null],
// [Bool], [Number], [BigInt], [String], [Bytes], [List] and [*Object], or one of the shared types [*Text], [*Array],
// [*Map], [*XML] and [*Subdoc]. The set is closed. Plain values are never changed after they were handed over.
type Value interface{ isValue() }

// Undefined is JavaScript's undefined, which an Any value may carry.
type Undefined struct{}

// Null is JSON's null.
type Null struct{}

// Bool is a boolean.
type Bool bool

// Number is a JavaScript number. Whole numbers up to 2^31-1 in size travel as integers, others as floats.
type Number float64

// BigInt is a JavaScript BigInt of at most 64 bits. JavaScript peers get a BigInt from it, so use [Number] for numbers.
type BigInt int64

// String is text in UTF-8.
type String string

// Bytes is a Uint8Array.
type Bytes []byte

// List is a plain array, not a shared one.
type List []Value

// Object is a plain object whose keys have an order, as in JavaScript: index-like keys ascending, then the others as
// they were first set. The zero Object is empty and ready.
type Object struct {
	members []member
	index   map[string]int // built from indexFrom members on
}

type member struct {
	key   string
	value Value
}

// indexFrom is the number of members from which a linear search is slower than a map.
const indexFrom = 16

func (Undefined) isValue() {}
func (Null) isValue()      {}
func (Bool) isValue()      {}
func (Number) isValue()    {}
func (BigInt) isValue()    {}
func (String) isValue()    {}
func (Bytes) isValue()     {}
func (List) isValue()      {}
func (*Object) isValue()   {}
func (*Text) isValue()     {}
func (*Array) isValue()    {}
func (*Map) isValue()      {}
func (*XML) isValue()      {}
func (*Subdoc) isValue()   {}

// Set gives key the value v: in place when the key is there, else behind the keys that are.
func (o *Object) Set(key string, v Value) {
	if i := o.find(key); i >= 0 {
		o.members[i].value = v
		return
	}
	at := len(o.members)
	if n, ok := indexKey(key); ok {
		at, _ = slices.BinarySearchFunc(o.members, n, func(m member, n uint32) int {
			if k, ok := indexKey(m.key); ok {
				return cmp.Compare(k, n)
			}
			return 1
		})
	}
	o.members = slices.Insert(o.members, at, member{key, v})
	o.reindex(at)
}

func (o *Object) reindex(from int) {
	if len(o.members) < indexFrom {
		return
	}
	if o.index == nil {
		o.index, from = make(map[string]int, 2*indexFrom), 0
	}
	for i := from; i < len(o.members); i++ {
		o.index[o.members[i].key] = i
	}
}

// read sets a key as Set does, but leaves the order to settle.
func (o *Object) read(key string, v Value) {
	if i := o.find(key); i >= 0 {
		o.members[i].value = v
		return
	}
	o.members = append(o.members, member{key, v})
	o.reindex(len(o.members) - 1)
}

// settle puts index-like keys first.
func (o *Object) settle() {
	compare := func(a, b member) int {
		i, first := indexKey(a.key)
		j, second := indexKey(b.key)
		switch {
		case first && second:
			return cmp.Compare(i, j)
		case first:
			return -1
		case second:
			return 1
		default:
			return 0
		}
	}
	if !slices.IsSortedFunc(o.members, compare) {
		slices.SortStableFunc(o.members, compare)
		o.reindex(0)
	}
}

func (o *Object) find(key string) int {
	if o.index != nil {
		if i, ok := o.index[key]; ok {
			return i
		}
		return -1
	}
	return slices.IndexFunc(o.members, func(m member) bool { return m.key == key })
}

// Get returns the value of key and whether it is there.
func (o *Object) Get(key string) (Value, bool) {
	if i := o.find(key); i >= 0 {
		return o.members[i].value, true
	}
	return nil, false
}

// Len is the number of keys.
func (o *Object) Len() int { return len(o.members) }

// All yields the keys and values in order.
func (o *Object) All() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for _, m := range o.members {
			if !yield(m.key, m.value) {
				return
			}
		}
	}
}

// indexKey reports whether JavaScript would treat key as an array index, and which.
func indexKey(key string) (uint32, bool) {
	if len(key) == 0 || len(key) > 10 || key[0] < '0' || key[0] > '9' || (key[0] == '0' && len(key) > 1) {
		return 0, false
	}
	n, err := strconv.ParseUint(key, 10, 32)
	return uint32(n), err == nil && n < math.MaxUint32
}

// Equal reports whether two values are deeply equal. Shared types are equal only to themselves, NaN is equal to NaN.
func Equal(a, b Value) bool {
	switch a := a.(type) {
	case Number:
		b, ok := b.(Number)
		return ok && (a == b || math.IsNaN(float64(a)) && math.IsNaN(float64(b)))
	case Bytes:
		b, ok := b.(Bytes)
		return ok && slices.Equal(a, b)
	case List:
		b, ok := b.(List)
		return ok && slices.EqualFunc(a, b, Equal)
	case *Object:
		b, ok := b.(*Object)
		return ok && a.equal(b, Equal)
	default:
		return a == b
	}
}

func (o *Object) equal(p *Object, same func(a, b Value) bool) bool {
	if len(o.members) != len(p.members) {
		return false
	}
	for _, m := range o.members {
		if v, ok := p.Get(m.key); !ok || !same(m.value, v) {
			return false
		}
	}
	return true
}

// identical is JavaScript's ===: objects, lists and bytes are identical only to themselves.
func identical(a, b Value) bool {
	switch a := a.(type) {
	case nil:
		return b == nil
	case Bytes:
		b, ok := b.(Bytes)
		return ok && len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
	case List:
		b, ok := b.(List)
		return ok && len(a) > 0 && len(a) == len(b) && &a[0] == &b[0]
	default:
		switch b.(type) {
		case Bytes, List:
			return false
		}
		return a == b
	}
}

// equalAttribute compares attribute values as Yjs does: objects and lists one level deep, all else by identity.
func equalAttribute(a, b Value) bool {
	switch x := a.(type) {
	case *Object:
		if y, ok := b.(*Object); ok {
			return x == y || x.equal(y, identical)
		}
	case List:
		if y, ok := b.(List); ok {
			return slices.EqualFunc(x, y, identical)
		}
	}
	return identical(a, b)
}

// Attribute is one formatting attribute of a Text. A Null value means that the attribute is off.
type Attribute struct {
	Key   string
	Value Value
}

// Attributes are formatting attributes with their order, in which they are written when they are new. Keys are unique.
type Attributes []Attribute

// Get returns the value of key, or nil.
func (a Attributes) Get(key string) Value {
	for i := range a {
		if a[i].Key == key {
			return a[i].Value
		}
	}
	return nil
}

func (a Attributes) orNull(key string) Value {
	if v := a.Get(key); v != nil {
		return v
	}
	return Null{}
}

func (a *Attributes) set(key string, v Value) {
	for i := range *a {
		if (*a)[i].Key == key {
			(*a)[i].Value = v
			return
		}
	}
	*a = append(*a, Attribute{key, v})
}

func (a *Attributes) remove(key string) {
	*a = slices.DeleteFunc(*a, func(x Attribute) bool { return x.Key == key })
}

// update follows one format mark of a text: a null ends the attribute.
func (a *Attributes) update(f *format) {
	if f.value == (Null{}) {
		a.remove(f.key)
	} else {
		a.set(f.key, f.value)
	}
}
