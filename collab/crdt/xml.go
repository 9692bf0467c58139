package crdt

import (
	"iter"
	"math"
	"slices"
	"strings"
)

// XML is a shared XML element or fragment. It is kept, merged and sent like the other types; there are no calls to edit
// it. Texts in it are a [*Text], hooks a [*Map].
type XML struct{ shared }

// Name is the element's node name, empty for a fragment.
func (x *XML) Name() string {
	if x.b.kind == branchXMLElement {
		return x.b.name
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
	var b strings.Builder
	x.b.writeXML(&b)
	return b.String()
}

func (b *branch) writeXML(w *strings.Builder) {
	if b.kind != branchXMLElement {
		b.writeChildren(w)
		return
	}
	name := strings.ToLower(b.name)
	w.WriteString("<" + name)
	var keys []string
	for key := range b.eachEntry {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for _, key := range keys {
		v, _ := b.entry(key)
		w.WriteString(" " + key + `="` + plainString(v) + `"`)
	}
	w.WriteString(">")
	b.writeChildren(w)
	w.WriteString("</" + name + ">")
}

func (b *branch) writeChildren(w *strings.Builder) {
	for _, v := range b.values {
		w.WriteString(plainString(v))
	}
}

// plainString is how a value reads inside markup: as JavaScript makes a string of it.
func plainString(v Value) string {
	switch v := v.(type) {
	case String:
		return string(v)
	case Undefined:
		return "undefined"
	case Number:
		switch f := float64(v); {
		case math.IsNaN(f):
			return "NaN"
		case math.IsInf(f, 1):
			return "Infinity"
		case math.IsInf(f, -1):
			return "-Infinity"
		}
	case Bytes:
		list := make(List, len(v))
		for i, b := range v {
			list[i] = Number(b)
		}
		return joinedString(list)
	case List:
		return joinedString(v)
	case *Text:
		if v.b.kind == branchXMLText {
			return v.markup()
		}
		return v.String()
	case *XML:
		return v.String()
	case *Array, *Map, *Object, *Subdoc:
		return "[object Object]"
	}
	return string(AppendJSON(nil, v))
}

// joinedString is a list as JavaScript makes a string of it: elements with commas between them, null as nothing.
func joinedString(list List) string {
	parts := make([]string, len(list))
	for i, v := range list {
		switch v.(type) {
		case Undefined, Null:
		default:
			parts[i] = plainString(v)
		}
	}
	return strings.Join(parts, ",")
}

// markup is the text with its attributes as elements around it.
func (t *Text) markup() string {
	var b strings.Builder
	for _, op := range t.Delta() {
		attrs := slices.Clone(op.Attributes)
		slices.SortFunc(attrs, func(x, y Attribute) int { return strings.Compare(x.Key, y.Key) })
		for _, a := range attrs {
			b.WriteString("<" + a.Key)
			if o, ok := a.Value.(*Object); ok {
				members := slices.Clone(o.members)
				slices.SortFunc(members, func(x, y member) int { return strings.Compare(x.key, y.key) })
				for _, m := range members {
					b.WriteString(" " + m.key + `="` + plainString(m.value) + `"`)
				}
			}
			b.WriteString(">")
		}
		b.WriteString(plainString(op.Insert))
		for _, a := range slices.Backward(attrs) {
			b.WriteString("</" + a.Key + ">")
		}
	}
	return b.String()
}
