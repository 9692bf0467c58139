package crdt

import (
	"iter"
	"math"
	"slices"
	"strconv"
	"strings"
)

// XML is a shared XML element or fragment. It is kept, merged and sent like the other types; there are no calls to edit
// it. Texts in it are a [*Text], hooks a [*Map].
type XML struct{ shared }

// Name is the element's node name, empty for a fragment.
func (x *XML) Name() string {
	if x.b.kind == branchXMLElement {
		return *x.b.name
	}
	return ""
}

// Children yields the child nodes with their index.
func (x *XML) Children() iter.Seq2[int, Value] { return x.b.values }

// Attributes yields the element's attributes in the order in which they were first seen.
func (x *XML) Attributes() iter.Seq2[string, Value] { return x.b.eachEntry }

// String is the markup, as Yjs prints it: names in lower case, attributes sorted, nothing escaped.
func (x *XML) String() string {
	defer x.hold("XML.String")()
	return string(x.b.appendMarkup(nil))
}

func (b *branch) appendMarkup(w []byte) []byte {
	name := ""
	if b.kind == branchXMLElement {
		name = strings.ToLower(*b.name)
		w = append(append(w, '<'), name...)
		var keys []string
		for key := range b.eachEntry {
			keys = append(keys, key)
		}
		slices.Sort(keys)
		for _, key := range keys {
			v, _ := b.entry(key)
			w = append(appendPlain(append(append(append(w, ' '), key...), `="`...), v), '"')
		}
		w = append(w, '>')
	}
	for _, v := range b.values {
		w = appendPlain(w, v)
	}
	if b.kind == branchXMLElement {
		w = append(append(append(w, "</"...), name...), '>')
	}
	return w
}

// appendPlain appends a value as it reads inside markup: as JavaScript makes a string of it.
func appendPlain(w []byte, v Value) []byte {
	switch v := v.(type) {
	case String:
		return append(w, v...)
	case Undefined:
		return append(w, "undefined"...)
	case Number:
		switch f := float64(v); {
		case math.IsNaN(f):
			return append(w, "NaN"...)
		case math.IsInf(f, 1):
			return append(w, "Infinity"...)
		case math.IsInf(f, -1):
			return append(w, "-Infinity"...)
		}
	case Bytes:
		for i, b := range v {
			if i > 0 {
				w = append(w, ',')
			}
			w = strconv.AppendUint(w, uint64(b), 10)
		}
		return w
	case List:
		return appendJoined(w, v)
	case *Text:
		if v.b.kind == branchXMLText {
			return v.appendMarkup(w)
		}
		return append(w, v.String()...)
	case *XML:
		return v.b.appendMarkup(w)
	case *Array, *Map, *Object, *Subdoc:
		return append(w, "[object Object]"...)
	}
	return AppendJSON(w, v)
}

// appendJoined appends a list's elements with commas between them, null as nothing.
func appendJoined(w []byte, list List) []byte {
	for i, v := range list {
		if i > 0 {
			w = append(w, ',')
		}
		switch v.(type) {
		case Undefined, Null:
		default:
			w = appendPlain(w, v)
		}
	}
	return w
}

// appendMarkup appends the text with its attributes as elements around it.
func (t *Text) appendMarkup(w []byte) []byte {
	for _, op := range t.Delta() {
		attrs := slices.Clone(op.Attributes)
		slices.SortFunc(attrs, func(x, y Attribute) int { return strings.Compare(x.Key, y.Key) })
		for _, a := range attrs {
			w = append(append(w, '<'), a.Key...)
			if o, ok := a.Value.(*Object); ok {
				members := slices.Clone(o.members)
				slices.SortFunc(members, func(x, y member) int { return strings.Compare(x.key, y.key) })
				for _, m := range members {
					w = append(appendPlain(append(append(append(w, ' '), m.key...), `="`...), m.value), '"')
				}
			}
			w = append(w, '>')
		}
		w = appendPlain(w, op.Insert)
		for _, a := range slices.Backward(attrs) {
			w = append(append(append(w, "</"...), a.Key...), '>')
		}
	}
	return w
}
