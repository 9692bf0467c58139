package crdt

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// ParseJSON reads one JSON value. The order of keys is kept.
func ParseJSON(data []byte) (Value, error) {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	v, err := parseValue(dec, 0)
	if err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("crdt: more than one JSON value")
	}
	return v, nil
}

var errNested = errors.New("crdt: JSON is nested too deeply")

func parseValue(dec *json.Decoder, depth int) (Value, error) {
	if depth > maxNesting {
		return nil, errNested
	}
	token, err := dec.Token()
	if err != nil {
		return nil, err
	}
	switch t := token.(type) {
	case bool:
		return Bool(t), nil
	case json.Number:
		// An overflow gives an infinity, as it does in JavaScript; the syntax was checked by the decoder.
		f, _ := strconv.ParseFloat(string(t), 64)
		return Number(f), nil
	case string:
		return String(t), nil
	case json.Delim:
		if t == '[' {
			return parseList(dec, depth)
		}
		return parseObject(dec, depth)
	default:
		return Null{}, nil
	}
}

func parseList(dec *json.Decoder, depth int) (Value, error) {
	list := List{}
	for dec.More() {
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	_, err := dec.Token()
	return list, err
}

func parseObject(dec *json.Decoder, depth int) (Value, error) {
	o := &Object{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return nil, err
		}
		v, err := parseValue(dec, depth+1)
		if err != nil {
			return nil, err
		}
		o.read(key.(string), v)
	}
	o.settle()
	_, err := dec.Token()
	return o, err
}

// AppendJSON appends v as JavaScript's JSON.stringify writes it: no spaces, keys in order, undefined left out of objects
// and null elsewhere. Shared types are written with their content, a Text as a string and XML as markup. Bytes become an object with one
// key per byte, as a Uint8Array does; a BigInt, which JavaScript refuses, becomes a number.
func AppendJSON(dst []byte, v Value) []byte { return appendJSON(dst, v, 0) }

func appendJSON(b []byte, v Value, depth int) []byte {
	if depth > maxTypeDepth+maxNesting {
		return append(b, "null"...)
	}
	switch v := v.(type) {
	case Bool:
		return strconv.AppendBool(b, bool(v))
	case Number:
		return appendJSNumber(b, float64(v))
	case BigInt:
		return appendJSNumber(b, float64(v))
	case String:
		return appendJSString(b, string(v))
	case Bytes:
		return appendJSBytes(b, v)
	case List:
		b = append(b, '[')
		for i, x := range v {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendJSON(b, x, depth+1)
		}
		return append(b, ']')
	case *Object:
		return appendMembers(b, v.All(), depth)
	case *Text:
		return appendJSString(b, appendPlain(nil, v))
	case *Map:
		return appendMembers(b, v.All(), depth)
	case *Array:
		return appendItems(b, v.b, depth)
	case *XML:
		return appendJSString(b, v.b.appendMarkup(nil))
	case *Subdoc:
		return append(b, "{}"...)
	default:
		return append(b, "null"...)
	}
}

func appendMembers(b []byte, all func(func(string, Value) bool), depth int) []byte {
	b = append(b, '{')
	start := len(b)
	all(func(key string, v Value) bool {
		if _, ok := v.(Undefined); ok {
			return true
		}
		if len(b) > start {
			b = append(b, ',')
		}
		b = append(appendJSString(b, key), ':')
		b = appendJSON(b, v, depth+1)
		return true
	})
	return append(b, '}')
}

func appendItems(b []byte, t *branch, depth int) []byte {
	b = append(b, '[')
	start := len(b)
	t.values(func(_ int, v Value) bool {
		if len(b) > start {
			b = append(b, ',')
		}
		b = appendJSON(b, v, depth+1)
		return true
	})
	return append(b, ']')
}

func appendJSBytes(b []byte, v Bytes) []byte {
	b = append(b, '{')
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(strconv.AppendInt(append(b, '"'), int64(i), 10), '"', ':')
		b = strconv.AppendUint(b, uint64(x), 10)
	}
	return append(b, '}')
}

// appendJSNumber writes the shortest digits that give f back, in JavaScript's layout.
func appendJSNumber(b []byte, f float64) []byte {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		return append(b, "null"...)
	}
	if f == 0 {
		return append(b, '0')
	}
	if abs := math.Abs(f); abs >= 1e-6 && abs < 1e21 {
		return strconv.AppendFloat(b, f, 'f', -1, 64)
	}
	b = strconv.AppendFloat(b, f, 'e', -1, 64)
	if n := len(b); n >= 4 && (b[n-3] == '-' || b[n-3] == '+') && b[n-2] == '0' { // e-09 is e-9
		b = append(b[:n-2], b[n-1])
	}
	return b
}

func appendJSString[T string | []byte](b []byte, s T) []byte {
	const hex = "0123456789abcdef"
	b = append(b, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c == '\r':
			b = append(b, '\\', 'r')
		case c == '\t':
			b = append(b, '\\', 't')
		case c == '\b':
			b = append(b, '\\', 'b')
		case c == '\f':
			b = append(b, '\\', 'f')
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			b = append(b, c)
		}
	}
	return append(b, '"')
}
