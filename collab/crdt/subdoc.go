package crdt

import (
	"iter"
	"slices"
)

// Subdoc is a reference to another document, held in this one. The other document's content lives elsewhere: whoever
// wants it opens a [Doc] of its own for the GUID.
type Subdoc struct {
	guid     string
	noGC     bool
	autoLoad bool
	meta     Value
	item     *item
	tx       *Tx // that added it, while it runs
}

// NewSubdoc returns a reference to insert. meta may be nil.
func NewSubdoc(guid string, meta Value) *Subdoc { return &Subdoc{guid: cleanUTF8(guid), meta: meta} }

// GUID names the document.
func (s *Subdoc) GUID() string { return s.guid }

// Meta is what its creator said about the document, or nil.
func (s *Subdoc) Meta() Value { return s.meta }

// AutoLoad reports whether every replica should load the document at once.
func (s *Subdoc) AutoLoad() bool { return s.autoLoad }

// options are what is sent with the GUID.
func (s *Subdoc) options() Value {
	o := &Object{}
	if s.noGC {
		o.Set("gc", Bool(false))
	}
	if s.autoLoad {
		o.Set("autoLoad", Bool(true))
	}
	if s.meta != nil {
		o.Set("meta", s.meta)
	}
	return o
}

func subdocFrom(guid string, options Value) *Subdoc {
	s := &Subdoc{guid: guid}
	o, ok := options.(*Object)
	if !ok {
		return s
	}
	if v, ok := o.Get("gc"); ok && v != (Undefined{}) {
		s.noGC = !truthy(v)
	}
	if v, ok := o.Get("autoLoad"); ok {
		s.autoLoad = truthy(v)
	}
	if v, ok := o.Get("meta"); ok && v != (Undefined{}) && v != (Null{}) {
		s.meta = v
	}
	return s
}

// truthy is how JavaScript sees a plain value as a condition.
func truthy(v Value) bool {
	switch v := v.(type) {
	case Undefined, Null:
		return false
	case Bool:
		return bool(v)
	case Number:
		return v < 0 || v > 0 // not NaN
	case BigInt:
		return v != 0
	case String:
		return v != ""
	default:
		return true
	}
}

// SubdocsEvent says which subdocuments a transaction brought and took away.
type SubdocsEvent struct {
	Added, Removed []*Subdoc
}

// Subdocs yields the subdocuments that the document holds.
func (d *Doc) Subdocs() iter.Seq[*Subdoc] { return slices.Values(d.subdocs) }

// OnSubdocs calls f at the end of each transaction that brought or took away subdocuments. The returned function ends it.
func (d *Doc) OnSubdocs(f func(e SubdocsEvent, tx *Tx)) (cancel func()) { return d.onSubdocs.add(f) }

func (tx *Tx) subdocAdded(s *Subdoc, it *item) {
	s.item, s.tx = it, tx
	tx.subdocsAdded = append(tx.subdocsAdded, s)
}

func (tx *Tx) subdocRemoved(s *Subdoc) {
	if s.tx == tx {
		s.tx = nil // it came and went
		return
	}
	tx.subdocsRemoved = append(tx.subdocsRemoved, s)
}

func (tx *Tx) emitSubdocs() {
	tx.subdocsAdded = slices.DeleteFunc(tx.subdocsAdded, func(s *Subdoc) bool { return s.tx != tx })
	if len(tx.subdocsAdded) == 0 && len(tx.subdocsRemoved) == 0 {
		return
	}
	d := tx.doc
	for _, s := range tx.subdocsAdded {
		s.tx = nil
	}
	d.subdocs = append(d.subdocs, tx.subdocsAdded...)
	gone := make(map[*Subdoc]bool, len(tx.subdocsRemoved))
	for _, s := range tx.subdocsRemoved {
		gone[s] = true
	}
	d.subdocs = slices.DeleteFunc(d.subdocs, func(s *Subdoc) bool { return gone[s] })
	d.onSubdocs.call(SubdocsEvent{Added: tx.subdocsAdded, Removed: tx.subdocsRemoved}, tx)
}
