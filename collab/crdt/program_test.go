package crdt_test

import (
	"encoding/base64"
	"strconv"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// step is one step of a program. Documents are numbered as they are opened, updates by the step that made them.
type step struct {
	id      int
	op      string
	doc     int // that is changed, or read from
	other   int
	client  uint64
	flags   [5]bool // of a new document: gc, undo, observe, xml, updates of version 2
	origin  string
	refs    []int
	path    []any
	at      int
	assoc   int
	actions []action
}

// ref names the k-th update that a step made.
func ref(id, k int) int { return id*64 + k }

// action is one edit in a transaction. The path leads from a root through keys and indexes to what is edited.
type action struct {
	path   []any
	name   string
	at, n  int
	text   string // also a key
	values []sample
	attrs  []sample // named
	delta  []crdt.DeltaOp
}

// sample is a value that is made anew each time it is inserted, for our documents and as JSON for those of yjs.
type sample struct {
	name string
	kind string // of the JSON's key $, or "" for a plain value
	v    crdt.Value
	text string
	kids []sample
}

func (s sample) value() crdt.Value {
	switch s.kind {
	case "text":
		return crdt.NewText(s.text)
	case "array":
		return crdt.NewArray(values(s.kids)...)
	case "map":
		return crdt.NewMap(s.entries()...)
	case "element":
		return crdt.NewXMLElement(s.text)
	case "hook":
		return crdt.NewXMLHook(s.text)
	case "xmltext":
		return crdt.NewXMLText(s.text)
	case "doc":
		meta := &crdt.Object{}
		meta.Set("a", crdt.Number(1))
		return crdt.NewSubdoc(s.text, meta)
	default:
		return s.v
	}
}

func values(list []sample) []crdt.Value {
	vs := make([]crdt.Value, len(list))
	for i, s := range list {
		vs[i] = s.value()
	}
	return vs
}

func (s sample) entries() []crdt.Entry {
	entries := make([]crdt.Entry, len(s.kids))
	for i, k := range s.kids {
		entries[i] = crdt.Entry{Key: k.name, Value: k.value()}
	}
	return entries
}

func attributes(list []sample) crdt.Attributes {
	if list == nil {
		return nil
	}
	as := crdt.Attributes{}
	for _, s := range list {
		as = append(as, crdt.Attribute{Key: s.name, Value: s.v})
	}
	return as
}

// jsonText appends a program's texts as JSON.
func jsonText(b []byte, s string) []byte { return crdt.AppendJSON(b, crdt.String(s)) }

func (s sample) json(b []byte) []byte {
	if s.kind == "" {
		switch v := s.v.(type) {
		case crdt.Bytes:
			b = append(append(b, `{"$":"bytes","v":"`...), base64.StdEncoding.EncodeToString(v)...)
			return append(b, `"}`...)
		case crdt.Undefined:
			return append(b, `{"$":"undefined"}`...)
		}
		return crdt.AppendJSON(b, s.v)
	}
	b = append(append(append(b, `{"$":"`...), s.kind...), `","v":`...)
	switch s.kind {
	case "array":
		b = samplesJSON(b, s.kids)
	case "map":
		b = append(b, '[')
		for i, k := range s.kids {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(jsonText(append(b, '['), k.name), ',')
			b = append(k.json(b), ']')
		}
		b = append(b, ']')
	default:
		b = jsonText(b, s.text)
	}
	return append(b, '}')
}

func samplesJSON(b []byte, list []sample) []byte {
	b = append(b, '[')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.json(b)
	}
	return append(b, ']')
}

func attributesJSON(b []byte, list []sample) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '{')
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.json(append(jsonText(b, s.name), ':'))
	}
	return append(b, '}')
}

func pathJSON(b []byte, path []any) []byte {
	b = append(b, '[')
	for i, p := range path {
		if i > 0 {
			b = append(b, ',')
		}
		if n, ok := p.(int); ok {
			b = strconv.AppendInt(b, int64(n), 10)
		} else {
			b = jsonText(b, p.(string))
		}
	}
	return append(b, ']')
}

func (a action) json(b []byte) []byte {
	b = pathJSON(append(b, '['), a.path)
	b = append(append(append(b, `,"`...), a.name...), `",`...)
	switch a.name {
	case "insert":
		b = jsonText(intJSON(b, a.at), a.text)
	case "insertf":
		b = attributesJSON(append(jsonText(intJSON(b, a.at), a.text), ','), a.attrs)
	case "embed":
		b = attributesJSON(append(a.values[0].json(intJSON(b, a.at)), ','), a.attrs)
	case "delete":
		b = strconv.AppendInt(intJSON(b, a.at), int64(a.n), 10)
	case "format":
		b = attributesJSON(intJSON(intJSON(b, a.at), a.n), a.attrs)
	case "delta":
		b = appendDelta(b, a.delta)
	case "values":
		b = samplesJSON(intJSON(b, a.at), a.values)
	case "push":
		b = samplesJSON(b, a.values)
	case "set":
		b = a.values[0].json(append(jsonText(b, a.text), ','))
	default: // unset, clear
		b = jsonText(b, a.text)
	}
	return append(b, ']')
}

// intJSON appends a number and a comma.
func intJSON(b []byte, n int) []byte { return append(strconv.AppendInt(b, int64(n), 10), ',') }

func (s step) json(b []byte) []byte {
	b = append(append(intJSON(append(b, '['), s.id), '"'), s.op...)
	b = append(b, '"', ',')
	switch s.op {
	case "new":
		b = strconv.AppendUint(b, s.client, 10)
		for _, f := range s.flags {
			b = strconv.AppendBool(append(b, ','), f)
		}
	case "edit":
		b = append(jsonText(intJSON(b, s.doc), s.origin), ',', '[')
		for i, a := range s.actions {
			if i > 0 {
				b = append(b, ',')
			}
			b = a.json(b)
		}
		b = append(b, ']')
	case "merged":
		b = append(intJSON(b, s.doc), '[')
		for i, r := range s.refs {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendInt(b, int64(r), 10)
		}
		b = append(b, ']')
	case "position":
		b = pathJSON(intJSON(b, s.doc), s.path)
		b = strconv.AppendInt(intJSON(append(b, ','), s.at), int64(s.assoc), 10)
	default:
		b = strconv.AppendInt(intJSON(b, s.doc), int64(s.other), 10)
	}
	return append(b, ']')
}

func programJSON(b []byte, program []step) []byte {
	b = append(b, '[')
	for i, s := range program {
		if i > 0 {
			b = append(b, ',')
		}
		b = s.json(b)
	}
	return append(b, ']')
}

// appendDelta writes a delta as yjs does, bytes and shared types in an object with the key $.
func appendDelta(b []byte, ops []crdt.DeltaOp) []byte {
	b = append(b, '[')
	for i, op := range ops {
		if i > 0 {
			b = append(b, ',')
		}
		switch {
		case op.Insert != nil:
			b = appendInsert(append(b, `{"insert":`...), op.Insert)
		case op.Retain > 0:
			b = strconv.AppendInt(append(b, `{"retain":`...), int64(op.Retain), 10)
		default:
			b = strconv.AppendInt(append(b, `{"delete":`...), int64(op.Delete), 10)
		}
		if len(op.Attributes) > 0 {
			b = append(b, `,"attributes":{`...)
			for i, a := range op.Attributes {
				if i > 0 {
					b = append(b, ',')
				}
				b = crdt.AppendJSON(append(jsonText(b, a.Key), ':'), a.Value)
			}
			b = append(b, '}')
		}
		b = append(b, '}')
	}
	return append(b, ']')
}

func appendInsert(b []byte, v crdt.Value) []byte {
	list, ok := v.(crdt.List)
	if !ok {
		return appendPlain(b, v)
	}
	b = append(b, '[')
	for i, x := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendPlain(b, x)
	}
	return append(b, ']')
}

func appendPlain(b []byte, v crdt.Value) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case crdt.Bytes:
		b = append(append(b, `{"$":"`...), base64.StdEncoding.EncodeToString(v)...)
		return append(b, `"}`...)
	case crdt.SharedType:
		return append(crdt.AppendJSON(append(b, `{"$":`...), v), '}')
	default:
		return crdt.AppendJSON(b, v)
	}
}

func appendEvents(b []byte, es []*crdt.Event) []byte {
	b = append(b, '[')
	for i, e := range es {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"path":[`...)
		for j, s := range e.Path() {
			if j > 0 {
				b = append(b, ',')
			}
			if s.InList {
				b = strconv.AppendInt(b, int64(s.Index), 10)
			} else {
				b = jsonText(b, s.Key)
			}
		}
		b = append(b, `],"keys":[`...)
		for j, k := range e.Keys() {
			if j > 0 {
				b = append(b, ',')
			}
			b = jsonText(append(b, '['), k.Key)
			b = append(append(b, `,"`...), [...]string{"", "add", "update", "delete"}[k.Action]...)
			b = append(appendPlain(append(b, `",`...), k.Old), ']')
		}
		b = append(b, `],"delta":`...)
		var delta []crdt.DeltaOp
		if _, ok := e.Target().(*crdt.Map); !ok {
			delta = e.Delta()
		}
		b = append(appendDelta(b, delta), '}')
	}
	return append(b, ']')
}
