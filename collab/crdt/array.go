package crdt

import "iter"

// Array is a shared list of values.
type Array struct{ shared }

// NewArray returns an array that belongs to no document yet. It is inserted into one as a [Value], with these elements.
func NewArray(values ...Value) *Array {
	b := newShared(branchArray, "", nil)
	b.ext.prelim = func(tx *Tx) error { return tx.listInsert(b, 0, values) }
	return b.value().(*Array)
}

// Insert inserts values before the element at index. Neighbouring plain values make one struct. The error is [ErrRange]
// or [ErrDetached], and then nothing was changed.
func (a *Array) Insert(tx *Tx, index int, values ...Value) error {
	if err := a.editable(tx); err != nil {
		return err
	}
	return tx.listInsert(a.b, index, values)
}

// Push inserts values at the end.
func (a *Array) Push(tx *Tx, values ...Value) error {
	if err := a.editable(tx); err != nil {
		return err
	}
	return tx.listPush(a.b, values)
}

// Delete deletes n elements from index on. The error is [ErrRange] or [ErrDetached].
func (a *Array) Delete(tx *Tx, index, n int) error {
	if err := a.editable(tx); err != nil {
		return err
	}
	return tx.listDelete(a.b, index, n)
}

// At returns the element at index, nil outside the array.
func (a *Array) At(index int) Value {
	defer a.hold("Array.At")()
	if index < 0 || index >= a.b.length {
		return nil
	}
	return a.b.at(index)
}

// All yields the elements with their index.
func (a *Array) All() iter.Seq2[int, Value] { return a.b.values }

// Values returns the elements.
func (a *Array) Values() List {
	defer a.hold("Array.Values")()
	vs := make(List, 0, a.b.length)
	for _, v := range a.All() {
		vs = append(vs, v)
	}
	return vs
}

func (s shared) hold(call string) func() {
	if s.b.doc == nil {
		return func() {}
	}
	return s.b.doc.hold(call)
}
