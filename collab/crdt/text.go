package crdt

import "strings"

// Text is a shared text, with formatting attributes on ranges and with embedded values. All indexes and lengths count
// UTF-16 code units; an embedded value counts one. [UTF16Offset] and [ByteOffset] convert. An edit that cuts a surrogate
// pair in two leaves two replacement characters, as in Yjs.
type Text struct{ shared }

// NewText returns a text that belongs to no document yet. It is inserted into one as a [Value], with this content.
func NewText(content string) *Text {
	b := newShared(branchText, "", nil)
	b.ext.prelim = func(tx *Tx) error {
		tx.textInsert(b, 0, content)
		return nil
	}
	return b.value().(*Text)
}

// String is the text without attributes and embedded values.
func (t *Text) String() string {
	defer t.hold("Text.String")()
	var s strings.Builder
	for it := t.b.start; it != nil; it = it.right {
		if it.kind == kindString && !it.deleted() {
			s.Write(it.text())
		}
	}
	return s.String()
}

// check is the error for an edit of n units at index.
func (t *Text) check(tx *Tx, index, n int) error {
	if err := t.editable(tx); err != nil {
		return err
	}
	if index < 0 || n < 0 || n > t.b.length-index {
		return ErrRange
	}
	return nil
}

// Insert inserts s at index, with the attributes of what stands before it. The error is [ErrRange] or [ErrDetached], and
// then nothing was changed; the same holds for the other edits.
func (t *Text) Insert(tx *Tx, index int, s string) error {
	if err := t.check(tx, index, 0); err != nil {
		return err
	}
	tx.textInsert(t.b, index, s)
	return nil
}

// InsertFormatted inserts s at index with exactly these attributes.
func (t *Text) InsertFormatted(tx *Tx, index int, s string, attrs Attributes) error {
	if err := t.check(tx, index, 0); err != nil || s == "" {
		return err
	}
	tx.insertAt(tx.textCursor(t.b, index, false), t.b, textItem(s), attrs)
	return nil
}

// InsertEmbed inserts one value at index: a plain value, which travels as JSON, or a new shared type. A String is inserted
// as text, as Yjs does. Without attributes (nil) those of what stands before it end there.
func (t *Text) InsertEmbed(tx *Tx, index int, v Value, attrs Attributes) error {
	if s, ok := v.(String); ok {
		return t.InsertFormatted(tx, index, string(s), attrs)
	}
	if err := t.check(tx, index, 0); err != nil {
		return err
	}
	it, err := embedItem(v)
	if err != nil {
		return err
	}
	tx.insertAt(tx.textCursor(t.b, index, attrs == nil), t.b, it, attrs)
	return tx.takeError()
}

// Delete deletes n units from index on.
func (t *Text) Delete(tx *Tx, index, n int) error {
	if err := t.check(tx, index, n); err != nil || n == 0 {
		return err
	}
	tx.deleteText(tx.textCursor(t.b, index, true), n)
	return nil
}

// Format gives n units from index on these attributes. A Null value takes an attribute away.
func (t *Text) Format(tx *Tx, index, n int, attrs Attributes) error {
	if err := t.check(tx, index, n); err != nil || n == 0 {
		return err
	}
	c := tx.textCursor(t.b, index, false)
	if c.right != nil {
		tx.formatText(c, t.b, n, attrs)
	}
	return nil
}

// ApplyDelta makes the edits one after the other. Retaining or formatting beyond the end adds newlines, as in Yjs. The
// error is [ErrDetached].
func (t *Text) ApplyDelta(tx *Tx, delta []DeltaOp) error {
	if err := t.editable(tx); err != nil {
		return err
	}
	for _, op := range delta {
		if _, err := embedItem(op.Insert); op.Insert != nil && err != nil {
			return err
		}
	}
	c := &cursor{right: t.b.start}
	for _, op := range delta {
		switch {
		case op.Insert != nil:
			if s, ok := op.Insert.(String); ok {
				if s != "" {
					tx.insertAt(c, t.b, textItem(string(s)), op.Attributes)
				}
				continue
			}
			it, err := embedItem(op.Insert)
			if err != nil {
				return err
			}
			tx.insertAt(c, t.b, it, op.Attributes)
		case op.Retain > 0:
			tx.formatText(c, t.b, op.Retain, op.Attributes)
		case op.Delete > 0:
			tx.deleteText(c, op.Delete)
		}
	}
	return tx.takeError()
}

// Attribute returns an attribute of the text itself, not of a range in it.
func (t *Text) Attribute(key string) (Value, bool) { return t.b.entry(key) }

// SetAttribute sets an attribute of the text itself. The error is [ErrDetached].
func (t *Text) SetAttribute(tx *Tx, key string, v Value) error {
	if err := t.editable(tx); err != nil {
		return err
	}
	return tx.mapSet(t.b, key, v)
}

// RemoveAttribute deletes an attribute of the text itself; one that is not there is left so. The error is [ErrDetached].
func (t *Text) RemoveAttribute(tx *Tx, key string) error {
	if err := t.editable(tx); err != nil {
		return err
	}
	tx.mapDelete(t.b, key)
	return nil
}

func textItem(s string) item {
	s = cleanUTF8(s)
	return item{kind: kindString, content: []byte(s), length: uint64(UTF16Len(s))}
}

func embedItem(v Value) (item, error) {
	it, err := itemFor(v)
	if err == nil && it.kind != kindType {
		it = item{kind: kindEmbed, content: v, length: 1}
	}
	return it, err
}

// textInsert inserts text with the attributes that hold at index.
func (tx *Tx) textInsert(b *branch, index int, s string) {
	if s == "" {
		return
	}
	c := tx.textCursor(b, index, true)
	tx.insertAt(c, b, textItem(s), append(Attributes(nil), c.attrs...))
}

// Delta is the content as inserts, one for each run of equal attributes and each embedded value.
func (t *Text) Delta() []DeltaOp {
	defer t.hold("Text.Delta")()
	return t.b.delta(func(it *item) bool { return !it.deleted() })
}

func (b *branch) delta(visible func(*item) bool) []DeltaOp {
	var ops []DeltaOp
	var attrs Attributes
	var text []byte
	add := func(v Value) {
		ops = append(ops, DeltaOp{Insert: v, Attributes: append(Attributes(nil), attrs...)})
	}
	flush := func() {
		if len(text) > 0 {
			add(String(text))
			text = nil
		}
	}
	for it := b.start; it != nil; it = it.right {
		if !visible(it) {
			continue
		}
		switch it.kind {
		case kindString:
			text = append(text, it.text()...)
		case kindType, kindEmbed:
			flush()
			add(it.last())
		case kindFormat:
			flush()
			attrs.update(it.content.(*format))
		}
	}
	flush()
	return ops
}

// DeltaOp is one step of a change, or of content: exactly one of Insert, Retain and Delete is set.
type DeltaOp struct {
	// Insert is inserted: in a text a String or one embedded value, in other types a List of elements.
	Insert Value
	// Retain and Delete count the units that stay and that go.
	Retain, Delete int
	// Attributes are those of the inserted text, or those that change on the retained one.
	Attributes Attributes
}
