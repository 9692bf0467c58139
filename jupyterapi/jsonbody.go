package jupyterapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

// maxNesting is how deep a body may be nested.
const maxNesting = 1000

var errNotObject = errors.New("not a JSON object")

// splitObject returns the members of a JSON object as they stand in data, the last of equal keys, without decoding them. A document
// may have half a gigabyte: its content is parsed once, by what understands it. Values are checked for balance only; whoever decodes
// one checks the rest.
func splitObject(data []byte) (map[string]json.RawMessage, error) {
	s := scanner{data: data}
	s.space()
	if !s.take('{') {
		return nil, errNotObject
	}
	members := map[string]json.RawMessage{}
	s.space()
	if !s.take('}') {
		for more := true; more; {
			key, value, err := s.member()
			if err != nil {
				return nil, err
			}
			members[key] = value
			more = s.take(',')
		}
		if !s.take('}') {
			return nil, errNotObject
		}
	}
	s.space()
	if s.pos < len(data) {
		return nil, errNotObject
	}
	return members, nil
}

// scanner walks over JSON text.
type scanner struct {
	data []byte
	pos  int
}

func (s *scanner) space() {
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return
		}
	}
}

func (s *scanner) take(c byte) bool {
	if s.pos < len(s.data) && s.data[s.pos] == c {
		s.pos++
		return true
	}
	return false
}

// member reads one "key": value and the space after it.
func (s *scanner) member() (string, json.RawMessage, error) {
	s.space()
	raw, err := s.value()
	if err != nil {
		return "", nil, err
	}
	var key string
	if err := json.Unmarshal(raw, &key); err != nil || raw[0] != '"' {
		return "", nil, errNotObject
	}
	s.space()
	if !s.take(':') {
		return "", nil, errNotObject
	}
	s.space()
	value, err := s.value()
	s.space()
	return key, value, err
}

// value skips one value.
func (s *scanner) value() (json.RawMessage, error) {
	start, depth := s.pos, 0
	for s.pos < len(s.data) {
		switch s.data[s.pos] {
		case '"':
			if !s.text() {
				return nil, errNotObject
			}
		case '{', '[':
			if depth++; depth > maxNesting {
				return nil, errors.New("JSON is nested too deep")
			}
			s.pos++
			continue
		case '}', ']':
			if depth == 0 {
				return s.since(start)
			}
			depth--
			s.pos++
		case ',', ':', ' ', '\t', '\n', '\r':
			if depth == 0 {
				return s.since(start)
			}
			s.pos++
			continue
		default:
			s.literal()
		}
		if depth == 0 {
			return s.since(start)
		}
	}
	return nil, errNotObject
}

func (s *scanner) since(start int) (json.RawMessage, error) {
	if s.pos == start {
		return nil, errNotObject
	}
	return s.data[start:s.pos], nil
}

// text skips a string: it ends at a quote with an even number of backslashes before it.
func (s *scanner) text() bool {
	begin := s.pos + 1
	for at := begin; ; at++ {
		next := bytes.IndexByte(s.data[at:], '"')
		if next < 0 {
			s.pos = len(s.data)
			return false
		}
		at += next
		escapes := at
		for escapes > begin && s.data[escapes-1] == '\\' {
			escapes--
		}
		if (at-escapes)%2 == 0 {
			s.pos = at + 1
			return true
		}
	}
}

// literal skips a number, true, false or null.
func (s *scanner) literal() {
	for s.pos < len(s.data) && strings.IndexByte("{}[],: \t\n\r\"", s.data[s.pos]) < 0 {
		s.pos++
	}
}

// appendString appends s as a JSON string. Bytes that are not UTF-8 become U+FFFD.
func appendString(dst []byte, s string) []byte {
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "\ufffd")
	}
	dst = append(dst, '"')
	dst = appendEscaped(dst, []byte(s))
	return append(dst, '"')
}

// appendEscaped appends a part of a JSON string, which is UTF-8; it may end within a character.
func appendEscaped(dst, s []byte) []byte {
	const hexDigits = "0123456789abcdef"
	start := 0
	for i, c := range s {
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		dst = append(dst, s[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return append(dst, s[start:]...)
}
