package crdt

import (
	"slices"
	"unicode/utf8"
)

// Columns of the second version of the update format. Each kind of field has a column of its own, in which runs are
// stored once.

// byteRuns is a column of bytes: each value, then how often it comes more, but for the last one.
type byteRuns struct {
	b     []byte
	value byte
	n     uint64
}

func (c *byteRuns) write(v byte) {
	if c.n > 0 && c.value == v {
		c.n++
		return
	}
	if c.n > 0 {
		c.b = appendUvarint(c.b, c.n-1)
	}
	c.b = append(c.b, v)
	c.value, c.n = v, 1
}

// byteRunsReader reads byteRuns; the last value comes for ever.
type byteRunsReader struct {
	r       reader
	value   byte
	n       uint64
	endless bool
}

func (c *byteRunsReader) read() byte {
	if c.n == 0 && !c.endless {
		c.value = c.r.uint8()
		if c.r.remaining() > 0 {
			c.n = c.r.uvarint() + 1
		} else {
			c.endless = true
		}
	}
	if !c.endless {
		c.n--
	}
	return c.value
}

// uintRuns is a column of unsigned integers: a value that comes once as it is, a run as its negative and its length.
type uintRuns struct {
	b     []byte
	value uint64
	n     uint64
}

func (c *uintRuns) write(v uint64) {
	if c.n > 0 && c.value == v {
		c.n++
		return
	}
	c.flush()
	c.value, c.n = v, 1
}

func (c *uintRuns) flush() {
	if c.n > 0 {
		c.b = appendVarint(c.b, c.value, c.n > 1)
	}
	if c.n > 1 {
		c.b = appendUvarint(c.b, c.n-2)
	}
	c.n = 0
}

type uintRunsReader struct {
	r     reader
	value uint64
	n     uint64
}

func (c *uintRunsReader) read() uint64 {
	if c.n == 0 {
		var run bool
		c.value, run = c.r.varint()
		c.n = 1
		if run {
			c.n = c.r.uvarint() + 2
		}
	}
	c.n--
	return c.value
}

// diffRuns is a column of integers stored as differences, of which equal ones make a run.
type diffRuns struct {
	b     []byte
	value int64
	diff  int64
	n     uint64
}

func (c *diffRuns) write(v uint64) {
	diff := int64(v) - c.value
	c.value = int64(v)
	if c.n > 0 && c.diff == diff {
		c.n++
		return
	}
	c.flush()
	c.diff, c.n = diff, 1
}

func (c *diffRuns) flush() {
	switch {
	case c.n == 1:
		c.b = appendSigned(c.b, c.diff*2)
	case c.n > 1:
		c.b = appendSigned(c.b, c.diff*2+1)
		c.b = appendUvarint(c.b, c.n-2)
	}
	c.n = 0
}

type diffRunsReader struct {
	r     reader
	value int64
	diff  int64
	n     uint64
}

func (c *diffRunsReader) read() uint64 {
	if c.n == 0 {
		magnitude, neg := c.r.varint()
		v := int64(magnitude)
		if neg {
			v = -v
		}
		c.diff, c.n = v>>1, 1
		if v&1 == 1 {
			c.n = c.r.uvarint() + 2
		}
	}
	c.n--
	c.value += c.diff
	if c.value < 0 || c.value > maxInt {
		c.r.fail("integer out of range")
		c.value, c.diff = 0, 0
	}
	return uint64(c.value)
}

// stringColumn holds all strings as one, and a column of their lengths in UTF-16 units.
type stringColumn struct {
	text    []byte
	lengths uintRuns
}

func (c *stringColumn) write(s string, units int) {
	c.text = append(c.text, s...)
	c.lengths.write(uint64(units))
}

func (c *stringColumn) bytes() []byte {
	c.lengths.flush()
	return append(appendBytes(nil, c.text), c.lengths.b...)
}

type stringColumnReader struct {
	text    []byte
	half    bool // text starts inside a surrogate pair
	lengths uintRunsReader
}

func newStringColumnReader(column []byte) (stringColumnReader, *DecodeError) {
	r := reader{buf: column}
	if len(column) == 0 {
		return stringColumnReader{}, nil
	}
	text := r.text()
	return stringColumnReader{text: text, lengths: uintRunsReader{r: reader{buf: column[r.pos:]}}}, r.err
}

// read takes the next string, as bytes of the column where possible. Halves of a pair become replacement characters.
func (c *stringColumnReader) read() []byte {
	units := c.lengths.read()
	if units == 0 {
		return nil
	}
	var head []byte
	if c.half {
		c.half = false
		_, size := utf8.DecodeRune(c.text)
		c.text = c.text[size:]
		head = []byte(replacement)
		if units--; units == 0 {
			return head
		}
	}
	if units > uint64(len(c.text)) {
		c.lengths.r.fail("length exceeds the input")
		return nil
	}
	at, inPair := unitIndex(c.text, int(units))
	s := c.text[:at]
	if at == len(c.text) && countUnits(s) < int(units) {
		c.lengths.r.fail("length exceeds the input")
		return nil
	}
	c.text, c.half = c.text[at:], inPair
	if head == nil && !inPair {
		return s
	}
	s = append(head, s...)
	if inPair {
		s = append(slices.Clip(s), replacement...)
	}
	return s
}
