package crdt

import "bytes"

// encoderV2 writes each kind of field into a column of its own.
type encoderV2 struct {
	b          []byte // the rest: counts, clocks, plain values and delete sets
	keyClock   diffRuns
	clients    uintRuns
	leftClock  diffRuns
	rightClock diffRuns
	infos      byteRuns
	strings    stringColumn
	parents    byteRuns
	types      uintRuns
	lengths    uintRuns
	keys       uint64
	clock      uint64 // end of the last range
}

func newEncoderV2() encoder { return &encoderV2{} }

func (e *encoderV2) uvarint(v uint64) { e.b = appendUvarint(e.b, v) }
func (e *encoderV2) client(c uint64)  { e.clients.write(c) }
func (e *encoderV2) info(b byte)      { e.infos.write(b) }
func (e *encoderV2) string(s string)  { e.strings.write(s, UTF16Len(s)) }
func (e *encoderV2) text(b []byte)    { e.strings.write(string(b), countUnits(b)) }
func (e *encoderV2) typeRef(b byte)   { e.types.write(uint64(b)) }
func (e *encoderV2) length(n uint64)  { e.lengths.write(n) }
func (e *encoderV2) any(v Value)      { e.b = appendAny(e.b, v) }
func (e *encoderV2) json(v Value)     { e.b = appendAny(e.b, v) }
func (e *encoderV2) bytes(b []byte)   { e.b = appendBytes(e.b, b) }
func (e *encoderV2) resetRanges()     { e.clock = 0 }

func (e *encoderV2) leftID(id ID) {
	e.clients.write(id.Client)
	e.leftClock.write(id.Clock)
}

func (e *encoderV2) rightID(id ID) {
	e.clients.write(id.Client)
	e.rightClock.write(id.Clock)
}

func (e *encoderV2) parentIsRoot(root bool) {
	if root {
		e.parents.write(1)
	} else {
		e.parents.write(0)
	}
}

// key could refer to a key that was written before, which Yjs reads but never writes.
func (e *encoderV2) key(s string) {
	e.keyClock.write(e.keys)
	e.keys++
	e.string(s)
}

func (e *encoderV2) rangeOf(r Range) {
	e.uvarint(r.Clock - e.clock)
	e.uvarint(r.Len - 1)
	e.clock = r.end()
}

func (e *encoderV2) swapRest(rest []byte) []byte {
	old := e.b
	e.b = rest
	return old
}

func (e *encoderV2) finish() []byte {
	e.keyClock.flush()
	e.clients.flush()
	e.leftClock.flush()
	e.rightClock.flush()
	e.types.flush()
	e.lengths.flush()
	out := []byte{0} // no features
	for _, column := range [...][]byte{
		e.keyClock.b, e.clients.b, e.leftClock.b, e.rightClock.b, e.infos.b, e.strings.bytes(), e.parents.b, e.types.b, e.lengths.b,
	} {
		out = appendBytes(out, column)
	}
	return append(out, e.b...)
}

// decoderV2 reads columns. Their faults are handed to the rest.
type decoderV2 struct {
	r          reader
	keyClock   diffRunsReader
	clients    uintRunsReader
	leftClock  diffRunsReader
	rightClock diffRunsReader
	infos      byteRunsReader
	strings    stringColumnReader
	parents    byteRunsReader
	types      uintRunsReader
	lengths    uintRunsReader
	keys       []string
	clock      uint64
}

func newDecoderV2(data []byte) decoder {
	d := &decoderV2{r: reader{buf: data}}
	d.r.uvarint() // features
	for _, column := range [...]*reader{&d.keyClock.r, &d.clients.r, &d.leftClock.r, &d.rightClock.r, &d.infos.r} {
		column.buf = d.r.bytes()
	}
	var err *DecodeError
	if d.strings, err = newStringColumnReader(d.r.bytes()); err != nil && d.r.err == nil {
		d.r.err = err
	}
	for _, column := range [...]*reader{&d.parents.r, &d.types.r, &d.lengths.r} {
		column.buf = d.r.bytes()
	}
	return d
}

// check makes a column's fault the decoder's.
func (d *decoderV2) check(column *reader) {
	if column.err != nil && d.r.err == nil {
		d.r.fail(column.err.Reason)
		d.r.err.Offset = column.err.Offset
	}
}

func (d *decoderV2) rest() *reader { return &d.r }

func (d *decoderV2) uint(column *uintRunsReader) uint64 {
	v := column.read()
	d.check(&column.r)
	return v
}

func (d *decoderV2) byte(column *byteRunsReader) byte {
	v := column.read()
	d.check(&column.r)
	return v
}

func (d *decoderV2) id(clocks *diffRunsReader) ID {
	id := ID{d.uint(&d.clients), clocks.read()}
	d.check(&clocks.r)
	return id
}

func (d *decoderV2) client() uint64     { return d.uint(&d.clients) }
func (d *decoderV2) info() byte         { return d.byte(&d.infos) }
func (d *decoderV2) leftID() ID         { return d.id(&d.leftClock) }
func (d *decoderV2) rightID() ID        { return d.id(&d.rightClock) }
func (d *decoderV2) parentIsRoot() bool { return d.byte(&d.parents) == 1 }
func (d *decoderV2) typeRef() uint64    { return d.uint(&d.types) }
func (d *decoderV2) length() uint64     { return d.uint(&d.lengths) }
func (d *decoderV2) any() Value         { return d.r.any(0) }
func (d *decoderV2) json() Value        { return d.r.any(0) }
func (d *decoderV2) bytes() []byte      { return bytes.Clone(d.r.bytes()) }
func (d *decoderV2) text() []byte       { return bytes.Clone(d.shared()) }
func (d *decoderV2) string() string     { return string(d.shared()) }
func (d *decoderV2) resetRanges()       { d.clock = 0 }

// shared is the next string, in the column's memory.
func (d *decoderV2) shared() []byte {
	s := d.strings.read()
	d.check(&d.strings.lengths.r)
	return s
}

func (d *decoderV2) key() string {
	n := d.keyClock.read()
	d.check(&d.keyClock.r)
	if n < uint64(len(d.keys)) {
		return d.keys[n]
	}
	key := d.string()
	d.keys = append(d.keys, key)
	return key
}

func (d *decoderV2) rangeOf() Range {
	clock := d.clock + d.r.uvarint()
	r := Range{clock, d.r.uvarint() + 1}
	if d.clock = r.end(); d.clock > maxInt {
		d.r.fail("clock out of range")
		d.clock = 0
	}
	return r
}
