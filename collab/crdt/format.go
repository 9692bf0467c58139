package crdt

import "slices"

// cursor is a place in a text between two items, with the attributes that hold there.
type cursor struct {
	left, right *item
	index       int
	attrs       Attributes
}

// forward steps over one item.
func (c *cursor) forward() {
	if !c.right.deleted() {
		if c.right.kind == kindFormat {
			c.attrs.update(c.right.content.(*format))
		} else {
			c.index += int(c.right.length)
		}
	}
	c.left, c.right = c.right, c.right.right
}

// textCursor finds the place at index and splits the item there. Attributes are only complete without markers.
func (tx *Tx) textCursor(b *branch, index int, useMarkers bool) *cursor {
	c := &cursor{right: b.start}
	n := index
	if useMarkers {
		if k := b.markers().near(b, index); k != nil {
			c.left, c.right, c.index = k.at.left, k.at, k.index
			n -= k.index
		}
	}
	for c.right != nil && n > 0 {
		if it := c.right; it.kind != kindFormat && !it.deleted() {
			if n < int(it.length) {
				tx.itemAt(ID{it.client, it.clock + uint64(n)})
			}
			n -= int(it.length)
		}
		c.forward()
	}
	return c
}

func (tx *Tx) insertFormat(c *cursor, b *branch, key string, v Value) {
	c.right = tx.insert(insertion{parent: b}, c.left, c.right, item{kind: kindFormat, content: &format{key, v}, length: 1})
	c.forward()
}

// skipEqual steps over what is deleted and over format marks that say what attrs say.
func (c *cursor) skipEqual(attrs Attributes) {
	for c.right != nil {
		if !c.right.deleted() {
			if c.right.kind != kindFormat {
				return
			}
			f := c.right.content.(*format)
			if !equalAttribute(attrs.orNull(f.key), f.value) {
				return
			}
		}
		c.forward()
	}
}

// beginFormats inserts marks for the attributes that do not hold yet and returns what held before.
func (tx *Tx) beginFormats(c *cursor, b *branch, attrs Attributes) (before Attributes) {
	for _, a := range attrs {
		if now := c.attrs.orNull(a.Key); !equalAttribute(now, a.Value) {
			before.set(a.Key, now)
			tx.insertFormat(c, b, a.Key, a.Value)
		}
	}
	return before
}

// endFormats inserts marks that bring back what held before, unless that is what follows anyway.
func (tx *Tx) endFormats(c *cursor, b *branch, before Attributes) {
	for c.right != nil {
		if !c.right.deleted() {
			if c.right.kind != kindFormat {
				break
			}
			f := c.right.content.(*format)
			if !equalAttribute(before.Get(f.key), f.value) {
				break
			}
			before.remove(f.key)
		}
		c.forward()
	}
	for _, a := range before {
		tx.insertFormat(c, b, a.Key, a.Value)
	}
}

// insertAt inserts an item with exactly the given attributes.
func (tx *Tx) insertAt(c *cursor, b *branch, it item, attrs Attributes) {
	attrs = slices.Clone(attrs)
	for _, a := range c.attrs {
		if attrs.Get(a.Key) == nil {
			attrs.set(a.Key, Null{})
		}
	}
	c.skipEqual(attrs)
	before := tx.beginFormats(c, b, attrs)
	if m := b.markers(); m != nil {
		m.shift(c.index, int(it.length))
	}
	c.right = tx.insert(insertion{parent: b}, c.left, c.right, it)
	c.forward()
	tx.endFormats(c, b, before)
}

// formatText gives n units attributes, and replaces the marks among them that say otherwise.
func (tx *Tx) formatText(c *cursor, b *branch, n int, attrs Attributes) {
	c.skipEqual(attrs)
	before := tx.beginFormats(c, b, attrs)
	for c.right != nil && (n > 0 || len(before) > 0 && (c.right.deleted() || c.right.kind == kindFormat)) {
		it := c.right
		switch {
		case it.deleted():
		case it.kind == kindFormat:
			if !tx.replaceFormat(it, attrs, &before, n) {
				tx.endFormats(c, b, before)
				return
			}
		default:
			if n < int(it.length) {
				tx.itemAt(ID{it.client, it.clock + uint64(n)})
			}
			n -= int(it.length)
		}
		c.forward()
	}
	if n > 0 {
		c.right = tx.insert(insertion{parent: b}, c.left, c.right, textItem(newlines(n)))
		c.forward()
	}
	tx.endFormats(c, b, before)
}

func newlines(n int) string {
	return string(slices.Repeat([]byte{'\n'}, n))
}

// replaceFormat deletes a mark whose attribute is being set. It fails where no more marks need to be looked at.
func (tx *Tx) replaceFormat(it *item, attrs Attributes, before *Attributes, n int) bool {
	f := it.content.(*format)
	v := attrs.Get(f.key)
	if v == nil {
		return true
	}
	if equalAttribute(v, f.value) {
		before.remove(f.key)
	} else {
		if n == 0 {
			return false
		}
		before.set(f.key, f.value)
	}
	tx.delete(it)
	return true
}

// deleteText deletes n units and the marks that have no effect any more.
func (tx *Tx) deleteText(c *cursor, n int) {
	length := n
	attrs, start := slices.Clone(c.attrs), c.right
	for n > 0 && c.right != nil {
		if it := c.right; !it.deleted() && (it.kind == kindString || it.kind == kindType || it.kind == kindEmbed) {
			if n < int(it.length) {
				tx.itemAt(ID{it.client, it.clock + uint64(n)})
			}
			n -= int(it.length)
			tx.delete(it)
		}
		c.forward()
	}
	if start != nil {
		tx.cleanGap(start, c.right, attrs, &c.attrs)
	}
	at := c.left
	if at == nil {
		at = c.right
	}
	if at == nil {
		return
	}
	if m := at.parent.markers(); m != nil {
		m.shift(c.index, n-length)
	}
}

// cleanGap deletes the marks between two pieces of content that another mark overrides or that change nothing. first is
// where the gap begins, at with its attributes a place that the caller stands at.
func (tx *Tx) cleanGap(first, at *item, firstAttrs Attributes, attrs *Attributes) {
	end := first
	last := map[string]*format{}
	for end != nil && !end.visible() {
		if !end.deleted() && end.kind == kindFormat {
			f := end.content.(*format)
			last[f.key] = f
		}
		end = end.right
	}
	reached := false
	for it := first; it != end; it = it.right {
		reached = reached || it == at
		if it.deleted() || it.kind != kindFormat {
			continue
		}
		f := it.content.(*format)
		was := firstAttrs.orNull(f.key)
		if last[f.key] != f || identical(was, f.value) {
			tx.delete(it)
			if !reached && identical(attrs.orNull(f.key), f.value) && !identical(was, f.value) {
				attrs.update(&format{f.key, was})
			}
		}
		if !reached && !it.deleted() {
			attrs.update(f)
		}
	}
}

// cleaner deletes, in a transaction of its own, the format marks that what was received made useless.
type cleaner struct {
	tx    *Tx
	texts map[*branch]bool // to be cleaned as a whole
	order []*branch
	gaps  map[*item]bool // what lies in gaps that are clean
}

// cleanGapAround deletes the marks around a deleted item that a later mark of the same gap overrides.
func (c *cleaner) cleanGapAround(it *item) {
	if c.gaps[it] {
		return
	}
	for it.right != nil && !it.right.visible() {
		it = it.right
	}
	seen := map[string]bool{}
	for ; it != nil && !it.visible(); it = it.left {
		c.gaps[it] = true
		if it.deleted() || it.kind != kindFormat {
			continue
		}
		if key := it.content.(*format).key; seen[key] {
			c.tx.delete(it)
		} else {
			seen[key] = true
		}
	}
}

// cleanText deletes the marks before the first content of a text that have no effect. Yjs goes on behind it, but there it
// looks for marks only where content stands.
func (tx *Tx) cleanText(b *branch) {
	for it := b.start; it != nil; it = it.right {
		if !it.deleted() && it.kind != kindFormat {
			var unused Attributes
			tx.cleanGap(b.start, b.start, nil, &unused)
			return
		}
	}
}

func (c *cleaner) note(b *branch) {
	if !c.texts[b] {
		c.texts[b] = true
		c.order = append(c.order, b)
	}
}

func (tx *Tx) cleanFormatting() {
	c := &cleaner{texts: map[*branch]bool{}, gaps: map[*item]bool{}}
	for _, t := range slices.Clone(tx.touched) {
		if t.before == t.after {
			continue
		}
		tx.each(t.c, Range{t.before, t.after}, func(it *item) {
			if !it.deleted() && it.kind == kindFormat {
				c.note(it.parent)
			}
		})
	}
	tx.doc.run(Tx{local: true}, func(clean *Tx) {
		c.tx = clean
		tx.eachIn(&tx.deletes, func(it *item) {
			switch {
			case !it.isItem(), !it.parent.hasFormatting, c.texts[it.parent]:
			case it.kind == kindFormat:
				c.note(it.parent)
			default:
				c.cleanGapAround(it)
			}
		})
		for _, b := range c.order {
			clean.cleanText(b)
		}
	})
}
