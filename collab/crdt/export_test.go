package crdt

// Calls that edit XML, for the programs of the tests: there are none for others.

// NewXMLElement returns an element that belongs to no document yet.
func NewXMLElement(name string) SharedType {
	return newShared(branchXMLElement, name, nil).value().(SharedType)
}

// NewXMLHook returns a hook that belongs to no document yet.
func NewXMLHook(name string) SharedType {
	return newShared(branchXMLHook, name, nil).value().(SharedType)
}

// NewXMLText returns an XML text that belongs to no document yet.
func NewXMLText(content string) SharedType {
	b := newShared(branchXMLText, "", nil)
	b.ext.prelim = func(tx *Tx) error {
		tx.textInsert(b, 0, content)
		return nil
	}
	return b.value().(SharedType)
}

// XMLInsert inserts children.
func XMLInsert(tx *Tx, x *XML, index int, values ...Value) error {
	return tx.listInsert(x.b, index, values)
}

// XMLDelete deletes children.
func XMLDelete(tx *Tx, x *XML, index, n int) error { return tx.listDelete(x.b, index, n) }

// XMLSet sets an attribute.
func XMLSet(tx *Tx, x *XML, key string, v Value) error { return tx.mapSet(x.b, key, v) }

// XMLUnset deletes an attribute.
func XMLUnset(tx *Tx, x *XML, key string) { tx.mapDelete(x.b, key) }

// TextUnset deletes an attribute of a text itself.
func TextUnset(tx *Tx, t *Text, key string) { tx.mapDelete(t.b, key) }
