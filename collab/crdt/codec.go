package crdt

import (
	"bytes"
	"slices"
)

// encoder writes structs and delete sets in one of the two versions of the update format.
type encoder interface {
	uvarint(v uint64) // in the rest, which both versions have
	client(c uint64)
	info(b byte)
	leftID(id ID)
	rightID(id ID)
	parentIsRoot(root bool)
	string(s string)
	text(b []byte)
	key(s string)
	typeRef(b byte)
	length(n uint64)
	any(v Value)
	json(v Value)
	bytes(b []byte)
	resetRanges()
	rangeOf(r Range)
	swapRest(rest []byte) []byte // sets the rest and returns the one before
	finish() []byte
}

// decoder reads what an encoder of the same version wrote. Faults stick to rest.
type decoder interface {
	rest() *reader
	client() uint64
	info() byte
	leftID() ID
	rightID() ID
	parentIsRoot() bool
	string() string
	text() []byte // of its own memory
	key() string
	typeRef() uint64
	length() uint64
	any() Value
	json() Value
	bytes() []byte
	resetRanges()
	rangeOf() Range
}

// encoderV1 writes everything one after the other. What is long it writes in pieces, so that it is copied once and not each time
// a buffer grows.
type encoderV1 struct {
	b    []byte
	full [][]byte // the pieces before b
}

// pieceLen is the length from which on a piece is full. It is looked at where structs and ranges begin.
const pieceLen = 1 << 16

func newEncoderV1() encoder { return &encoderV1{} }

func (e *encoderV1) uvarint(v uint64) { e.b = appendUvarint(e.b, v) }
func (e *encoderV1) client(c uint64)  { e.uvarint(c) }
func (e *encoderV1) string(s string)  { e.b = appendString(e.b, s) }
func (e *encoderV1) text(b []byte)    { e.b = appendBytes(e.b, b) }
func (e *encoderV1) key(s string)     { e.string(s) }
func (e *encoderV1) typeRef(b byte)   { e.b = append(e.b, b) }
func (e *encoderV1) length(n uint64)  { e.uvarint(n) }
func (e *encoderV1) any(v Value)      { e.b = appendAny(e.b, v) }
func (e *encoderV1) bytes(b []byte)   { e.text(b) }
func (e *encoderV1) resetRanges()     {}
func (e *encoderV1) finish() []byte   { return e.swapRest(nil) }

func (e *encoderV1) info(b byte) {
	e.piece()
	e.b = append(e.b, b)
}

func (e *encoderV1) piece() {
	if len(e.b) >= pieceLen {
		e.full = append(e.full, e.b)
		e.b = make([]byte, 0, pieceLen+pieceLen/8)
	}
}

func (e *encoderV1) leftID(id ID)  { e.b = appendUvarint(appendUvarint(e.b, id.Client), id.Clock) }
func (e *encoderV1) rightID(id ID) { e.leftID(id) }

func (e *encoderV1) rangeOf(r Range) {
	e.piece()
	e.b = appendUvarint(appendUvarint(e.b, r.Clock), r.Len)
}

func (e *encoderV1) json(v Value) {
	if _, ok := v.(Undefined); ok {
		e.string("undefined")
		return
	}
	e.text(AppendJSON(nil, v))
}

func (e *encoderV1) parentIsRoot(root bool) {
	if root {
		e.b = append(e.b, 1)
	} else {
		e.b = append(e.b, 0)
	}
}

func (e *encoderV1) swapRest(rest []byte) []byte {
	old := e.b
	if e.full != nil {
		old = slices.Concat(append(e.full, old)...)
	}
	e.b, e.full = rest, nil
	return old
}

// decoderV1 reads from one buffer.
type decoderV1 struct{ r reader }

func newDecoderV1(data []byte) decoder { return &decoderV1{reader{buf: data}} }

func (d *decoderV1) rest() *reader   { return &d.r }
func (d *decoderV1) client() uint64  { return d.r.uvarint() }
func (d *decoderV1) info() byte      { return d.r.uint8() }
func (d *decoderV1) string() string  { return d.r.string() }
func (d *decoderV1) text() []byte    { return bytes.Clone(d.r.text()) }
func (d *decoderV1) key() string     { return d.r.string() }
func (d *decoderV1) typeRef() uint64 { return d.r.uvarint() }
func (d *decoderV1) length() uint64  { return d.r.uvarint() }
func (d *decoderV1) any() Value      { return d.r.any(0) }
func (d *decoderV1) bytes() []byte   { return bytes.Clone(d.r.bytes()) }
func (d *decoderV1) resetRanges()    {}

func (d *decoderV1) parentIsRoot() bool { return d.r.uvarint() == 1 }

func (d *decoderV1) leftID() ID {
	client := d.r.uvarint()
	return ID{client, d.r.uvarint()}
}
func (d *decoderV1) rightID() ID { return d.leftID() }

func (d *decoderV1) rangeOf() Range {
	clock := d.r.uvarint()
	return Range{clock, d.r.uvarint()}
}

func (d *decoderV1) json() Value {
	at := d.r.pos
	return d.r.parseJSON(at, d.r.text())
}

// parseJSON reads the JSON that a string at the given offset holds.
func (r *reader) parseJSON(at int, text []byte) Value {
	if r.err != nil {
		return Null{}
	}
	if string(text) == "undefined" {
		return Undefined{}
	}
	v, err := ParseJSON(text)
	if err != nil {
		r.pos = at
		r.fail("string is not JSON: " + err.Error())
		return Null{}
	}
	return v
}
