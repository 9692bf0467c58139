package crdt

import "iter"

// Map is a shared map from strings to values.
type Map struct{ shared }

// Entry is one key of a new map and its value.
type Entry struct {
	Key   string
	Value Value
}

// NewMap returns a map that belongs to no document yet. It is inserted into one as a [Value], with these entries, which
// are set in order.
func NewMap(entries ...Entry) *Map {
	b := newShared(branchMap, "", nil)
	b.ext.prelim = func(tx *Tx) error {
		for _, e := range entries {
			if err := tx.mapSet(b, e.Key, e.Value); err != nil {
				return err
			}
		}
		return nil
	}
	return b.value().(*Map)
}

func (tx *Tx) mapSet(b *branch, key string, v Value) error {
	it, err := itemFor(v)
	if err != nil {
		return err
	}
	key = cleanUTF8(key)
	tx.insert(insertion{parent: b, key: &key}, b.entries.get(key), nil, it)
	return tx.takeError()
}

func (tx *Tx) mapDelete(b *branch, key string) {
	if it := b.entries.get(key); it != nil {
		tx.delete(it)
	}
}

func (b *branch) entry(key string) (Value, bool) {
	if it := b.entries.get(key); it != nil && !it.deleted() {
		return it.last(), true
	}
	return nil, false
}

func (b *branch) eachEntry(yield func(string, Value) bool) {
	for i := 0; i < b.entries.len(); i++ {
		if e := b.entries.list[i]; !e.item.deleted() && !yield(e.key, e.item.last()) {
			return
		}
	}
}

// Set gives key the value v. The error is [ErrDetached], and then nothing was changed.
func (m *Map) Set(tx *Tx, key string, v Value) error {
	if err := m.editable(tx); err != nil {
		return err
	}
	return tx.mapSet(m.b, key, v)
}

// Delete deletes a key; one that is not there is left so. The error is [ErrDetached].
func (m *Map) Delete(tx *Tx, key string) error {
	if err := m.editable(tx); err != nil {
		return err
	}
	tx.mapDelete(m.b, key)
	return nil
}

// Clear deletes all keys. The error is [ErrDetached].
func (m *Map) Clear(tx *Tx) error {
	if err := m.editable(tx); err != nil {
		return err
	}
	for key := range m.All() {
		tx.mapDelete(m.b, key)
	}
	return nil
}

// Get returns the value of key and whether it is there.
func (m *Map) Get(key string) (Value, bool) {
	defer m.hold("Map.Get")()
	return m.b.entry(key)
}

// Size is the number of keys.
func (m *Map) Size() int {
	n := 0
	for range m.All() {
		n++
	}
	return n
}

// All yields the keys and values, in the order in which the keys were first seen.
func (m *Map) All() iter.Seq2[string, Value] { return m.b.eachEntry }
