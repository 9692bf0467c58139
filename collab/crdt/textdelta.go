package crdt

import "slices"

// textDelta gathers the change of a text: attributes make it more than a list's.
type textDelta struct {
	ops     []DeltaOp
	pending DeltaOp    // the op that is being gathered; Insert is a String
	text    []byte     // of pending, if it inserts
	now     Attributes // that hold here after the change
	old     Attributes // that held here before it
	changed Attributes // by which retained text differs
	action  deltaAction
}

type deltaAction uint8

const (
	deltaNone deltaAction = iota
	deltaInsert
	deltaRetain
	deltaDelete
)

func (d *textDelta) flush() {
	op := d.pending
	switch d.action {
	case deltaInsert:
		if len(d.text) > 0 {
			d.addInsert(String(d.text))
		}
	case deltaRetain:
		if op.Retain > 0 {
			op.Attributes = slices.Clone(d.changed)
			d.ops = append(d.ops, op)
		}
	case deltaDelete:
		if op.Delete > 0 {
			d.ops = append(d.ops, op)
		}
	case deltaNone:
	}
	d.action, d.pending, d.text = deltaNone, DeltaOp{}, nil
}

func (d *textDelta) addInsert(v Value) {
	attrs := slices.DeleteFunc(slices.Clone(d.now), func(a Attribute) bool { return a.Value == (Null{}) })
	d.ops = append(d.ops, DeltaOp{Insert: v, Attributes: attrs})
}

func (d *textDelta) begin(a deltaAction) {
	if d.action != a {
		d.flush()
		d.action = a
	}
}

func (d *textDelta) endRetain() {
	if d.action == deltaRetain {
		d.flush()
	}
}

// textDelta computes the change of a text. Marks that turn out to change nothing are deleted in clean.
func (e *Event) textDelta(clean *Tx) []DeltaOp {
	d := &textDelta{}
	for it := e.target.start; it != nil; it = it.right {
		switch it.kind {
		case kindString, kindEmbed, kindType:
			e.contentDelta(d, it)
		case kindFormat:
			e.formatDelta(d, it, clean)
		}
	}
	d.flush()
	for n := len(d.ops); n > 0 && d.ops[n-1].Retain > 0 && len(d.ops[n-1].Attributes) == 0; n-- {
		d.ops = d.ops[:n-1]
	}
	return d.ops
}

func (e *Event) contentDelta(d *textDelta, it *item) {
	switch adds, removes := e.tx.adds(it), e.tx.removes(it); {
	case adds && removes:
	case adds && it.kind == kindString:
		d.begin(deltaInsert)
		d.text = append(d.text, it.text()...)
	case adds:
		d.flush()
		if v := it.last(); reported(v) {
			d.addInsert(v)
		}
	case removes:
		d.begin(deltaDelete)
		d.pending.Delete += int(it.length)
	case !it.deleted():
		d.begin(deltaRetain)
		d.pending.Retain += int(it.length)
	}
}

// reported tells which embedded values Yjs reports in a change: not numbers, booleans and the empty string.
func reported(v Value) bool {
	switch v := v.(type) {
	case Number, Bool, BigInt, Undefined:
		return false
	case String:
		return v != ""
	default:
		return true
	}
}

func (e *Event) formatDelta(d *textDelta, it *item, clean *Tx) {
	f := it.content.(*format)
	switch adds, removes := e.tx.adds(it), e.tx.removes(it); {
	case adds && removes:
	case adds:
		if !equalAttribute(d.now.orNull(f.key), f.value) {
			d.endRetain()
			if equalAttribute(f.value, d.old.orNull(f.key)) {
				d.changed.remove(f.key)
			} else {
				d.changed.set(f.key, f.value)
			}
		} else if f.value != (Null{}) {
			clean.delete(it)
		}
	case removes:
		d.old.set(f.key, f.value)
		if now := d.now.orNull(f.key); !equalAttribute(now, f.value) {
			d.endRetain()
			d.changed.set(f.key, now)
		}
	case !it.deleted():
		d.old.set(f.key, f.value)
		e.keptFormat(d, it, f, clean)
	}
	if !it.deleted() {
		if d.action == deltaInsert {
			d.flush()
		}
		d.now.update(f)
	}
}

// keptFormat handles a mark that was there before and still is.
func (e *Event) keptFormat(d *textDelta, it *item, f *format, clean *Tx) {
	v := d.changed.Get(f.key)
	switch {
	case v == nil:
	case !equalAttribute(v, f.value):
		d.endRetain()
		if f.value == (Null{}) {
			d.changed.remove(f.key)
		} else {
			d.changed.set(f.key, f.value)
		}
	case v != (Null{}):
		clean.delete(it)
	}
}
