package crdt

import (
	"encoding/binary"
	"math"
	"unicode/utf8"
)

// maxInt is the greatest integer that a JavaScript number holds exactly; no length or clock may exceed it.
const maxInt = 1<<53 - 1

// maxNesting bounds the depth of plain values, so that decoding cannot exhaust the stack.
const maxNesting = 1000

// reader takes lib0's basic types from a buffer. The first fault sticks: from then on every call returns zero.
type reader struct {
	buf []byte
	pos int
	err *DecodeError
}

func (r *reader) fail(reason string) {
	if r.err == nil {
		r.err = &DecodeError{Offset: r.pos, Reason: reason}
		r.pos = len(r.buf)
	}
}

func (r *reader) remaining() int { return len(r.buf) - r.pos }

func (r *reader) uint8() byte {
	if r.pos >= len(r.buf) {
		r.fail("unexpected end")
		return 0
	}
	b := r.buf[r.pos]
	r.pos++
	return b
}

// uvarint reads a varuint: groups of 7 bits, the lowest first.
func (r *reader) uvarint() uint64 {
	if r.pos < len(r.buf) && r.buf[r.pos] < 0x80 {
		r.pos++
		return uint64(r.buf[r.pos-1])
	}
	return r.longUvarint(0, 0)
}

func (r *reader) longUvarint(v uint64, shift uint) uint64 {
	for {
		b := r.uint8()
		if r.err != nil {
			return 0
		}
		if uint64(b&0x7f) > maxInt>>shift {
			r.fail("integer out of range")
			return 0
		}
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return v
		}
		if shift += 7; shift > 56 {
			r.fail("integer out of range")
			return 0
		}
	}
}

// varint reads a varint: sign bit 0x40 and 6 bits first, then groups of 7. A negative zero is told by neg.
func (r *reader) varint() (magnitude uint64, neg bool) {
	b := r.uint8()
	magnitude, neg = uint64(b&0x3f), b&0x40 != 0
	if b&0x80 != 0 {
		magnitude = r.longUvarint(magnitude, 6)
	}
	return magnitude, neg
}

// take returns the next n bytes of the buffer itself.
func (r *reader) take(n uint64) []byte {
	if n > uint64(r.remaining()) {
		r.fail("length exceeds the input")
		return nil
	}
	b := r.buf[r.pos : r.pos+int(n)]
	r.pos += int(n)
	return b
}

func (r *reader) bytes() []byte { return r.take(r.uvarint()) }

// text reads a string and returns the bytes of the buffer, checked to be UTF-8.
func (r *reader) text() []byte {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.pos -= len(b)
		r.fail("string is not UTF-8")
		return nil
	}
	return b
}

func (r *reader) string() string { return string(r.text()) }

// count reads a number of things that take at least size bytes each, so that it may be allocated for.
func (r *reader) count(size int) int {
	n := r.uvarint()
	if n > uint64(r.remaining()/size) {
		r.fail("count exceeds the input")
		return 0
	}
	return int(n)
}

func appendUvarint(b []byte, v uint64) []byte { return binary.AppendUvarint(b, v) }

func appendVarint(b []byte, magnitude uint64, neg bool) []byte {
	first := byte(magnitude & 0x3f)
	if neg {
		first |= 0x40
	}
	if magnitude >>= 6; magnitude == 0 {
		return append(b, first)
	}
	return binary.AppendUvarint(append(b, first|0x80), magnitude)
}

func appendSigned(b []byte, v int64) []byte {
	if v < 0 {
		return appendVarint(b, uint64(-v), true)
	}
	return appendVarint(b, uint64(v), false)
}

func appendString(b []byte, s string) []byte {
	return append(appendUvarint(b, uint64(len(s))), s...)
}

func appendBytes(b, s []byte) []byte {
	return append(appendUvarint(b, uint64(len(s))), s...)
}

// Tags of lib0's Any encoding.
const (
	anyBytes     = 116
	anyList      = 117
	anyObject    = 118
	anyString    = 119
	anyTrue      = 120
	anyFalse     = 121
	anyBigInt    = 122
	anyFloat64   = 123
	anyFloat32   = 124
	anyInteger   = 125
	anyNull      = 126
	anyUndefined = 127
)

func (r *reader) any(depth int) Value {
	if depth > maxNesting {
		r.fail("value is nested too deeply")
		return Null{}
	}
	switch r.uint8() {
	case anyUndefined:
		return Undefined{}
	case anyNull:
		return Null{}
	case anyInteger:
		n, neg := r.varint()
		if neg {
			return Number(-float64(n))
		}
		return Number(n)
	case anyFloat32:
		if b := r.take(4); b != nil {
			return Number(math.Float32frombits(binary.BigEndian.Uint32(b)))
		}
	case anyFloat64:
		if b := r.take(8); b != nil {
			return Number(math.Float64frombits(binary.BigEndian.Uint64(b)))
		}
	case anyBigInt:
		if b := r.take(8); b != nil {
			return BigInt(binary.BigEndian.Uint64(b))
		}
	case anyFalse:
		return Bool(false)
	case anyTrue:
		return Bool(true)
	case anyString:
		return String(r.string())
	case anyObject:
		return r.anyObject(depth)
	case anyList:
		n := r.count(1)
		list := make(List, 0, n)
		for range n {
			list = append(list, r.any(depth+1))
		}
		return list
	case anyBytes:
		return append(Bytes{}, r.bytes()...)
	default:
		r.pos--
		r.fail("unknown kind of value")
	}
	return Null{}
}

func (r *reader) anyObject(depth int) Value {
	n := r.count(2)
	o := &Object{members: make([]member, 0, min(n, 64))}
	for range n {
		key := r.string()
		o.read(key, r.any(depth+1))
		if r.err != nil {
			break
		}
	}
	o.settle()
	return o
}

// appendAny encodes a plain value as lib0 does. Shared types have no such form and become undefined.
func appendAny(b []byte, v Value) []byte {
	switch v := v.(type) {
	case Null:
		return append(b, anyNull)
	case Bool:
		if v {
			return append(b, anyTrue)
		}
		return append(b, anyFalse)
	case Number:
		return appendNumber(b, float64(v))
	case BigInt:
		return binary.BigEndian.AppendUint64(append(b, anyBigInt), uint64(v))
	case String:
		return appendString(append(b, anyString), string(v))
	case Bytes:
		return appendBytes(append(b, anyBytes), v)
	case List:
		b = appendUvarint(append(b, anyList), uint64(len(v)))
		for _, x := range v {
			b = appendAny(b, x)
		}
		return b
	case *Object:
		b = appendUvarint(append(b, anyObject), uint64(len(v.members)))
		for _, m := range v.members {
			b = appendAny(appendString(b, m.key), m.value)
		}
		return b
	default:
		return append(b, anyUndefined)
	}
}

func appendNumber(b []byte, f float64) []byte {
	if f == math.Trunc(f) && math.Abs(f) <= math.MaxInt32 {
		return appendVarint(append(b, anyInteger), uint64(math.Abs(f)), math.Signbit(f))
	}
	if float64(float32(f)) == f {
		return binary.BigEndian.AppendUint32(append(b, anyFloat32), math.Float32bits(float32(f)))
	}
	if math.IsNaN(f) {
		return binary.BigEndian.AppendUint64(append(b, anyFloat64), 0x7ff8000000000000)
	}
	return binary.BigEndian.AppendUint64(append(b, anyFloat64), math.Float64bits(f))
}
