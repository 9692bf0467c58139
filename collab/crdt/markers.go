package crdt

import "slices"

// maxMarkers is the number of places that a list remembers. Where a local insertion lands among deleted items depends on
// the markers, so they follow Yjs' rules exactly.
const maxMarkers = 80

// markers remember the index of some items of a list, so that a position is found without walking from the start.
type markers struct {
	list []marker
	tick uint64
	off  bool // since the list has format marks
}

type marker struct {
	at    *item
	index int
	used  uint64
}

func (m *markers) stamp() uint64 {
	m.tick++
	return m.tick
}

// move lets a marker point to it.
func (m *markers) move(k *marker, it *item, index int) {
	k.at.flags &^= flagMarked
	it.flags |= flagMarked
	k.at, k.index, k.used = it, index, m.stamp()
}

// add remembers a new place, instead of the one unused for longest when there are too many.
func (m *markers) add(it *item, index int) *marker {
	if len(m.list) < maxMarkers {
		it.flags |= flagMarked
		m.list = append(m.list, marker{it, index, m.stamp()})
		return &m.list[len(m.list)-1]
	}
	oldest := &m.list[0]
	for i := range m.list {
		if m.list[i].used < oldest.used {
			oldest = &m.list[i]
		}
	}
	m.move(oldest, it, index)
	return oldest
}

func distance(a, b int) int {
	if a < b {
		return b - a
	}
	return a - b
}

func (m *markers) closest(index int) *marker {
	if len(m.list) == 0 {
		return nil
	}
	best := &m.list[0]
	for i := 1; i < len(m.list); i++ {
		if distance(index, best.index) >= distance(index, m.list[i].index) {
			best = &m.list[i]
		}
	}
	return best
}

// near finds a marker close to index and leaves it there. It is valid until the markers change; nil means to walk from
// the start.
func (m *markers) near(b *branch, index int) *marker {
	if m == nil || b.start == nil || index == 0 {
		return nil
	}
	k := m.closest(index)
	it, at := b.start, 0
	if k != nil {
		it, at = k.at, k.index
		k.used = m.stamp()
	}
	for it.right != nil && at < index {
		if it.visible() {
			if index < at+int(it.length) {
				break
			}
			at += int(it.length)
		}
		it = it.right
	}
	back := func() {
		it = it.left
		if it.visible() {
			at -= int(it.length)
		}
	}
	for it.left != nil && at > index {
		back()
	}
	// An item that may be merged with its left neighbour must not be marked.
	for it.left != nil && it.left.client == it.client && it.left.end() == it.clock {
		back()
	}
	if k != nil && distance(k.index, at)*maxMarkers < it.parent.length {
		m.move(k, it, at)
		return k
	}
	return m.add(it, at)
}

// shift adjusts the markers to n units inserted at index, or to -n deleted there.
func (m *markers) shift(index, n int) {
	for i := len(m.list) - 1; i >= 0; i-- {
		k := &m.list[i]
		if n > 0 && !k.settle() {
			m.list = slices.Delete(m.list, i, i+1)
			continue
		}
		if index < k.index || n > 0 && index == k.index {
			k.index = max(index, k.index+n)
		}
	}
}

// settle moves the marker left to an item that takes up room. It fails if there is none or if that is marked already.
func (k *marker) settle() bool {
	it := k.at
	it.flags &^= flagMarked
	for it != nil && !it.visible() {
		if it = it.left; it != nil && it.visible() {
			k.index -= int(it.length)
		}
	}
	if it == nil || it.has(flagMarked) {
		return false
	}
	k.at = it
	it.flags |= flagMarked
	return true
}

// merged adjusts the markers when right became part of left, which was length units long before.
func (m *markers) merged(left, right *item, length int) {
	for i := range m.list {
		if k := &m.list[i]; k.at == right {
			k.at = left
			if left.visible() {
				k.index -= length
			}
		}
	}
}
