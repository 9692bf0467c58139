// Package jsontext finds the text in JSON that encoding/json would change without saying so: bytes that are not UTF-8, and halves of
// surrogate pairs, both of which it turns into U+FFFD. What a client sends to be kept is refused rather than changed.
//
//	if err := jsontext.Check(body); err != nil { … } // 400, with err's words
//
// The package does not parse: whether the rest is JSON is for the parser to say. Its functions may be called from any goroutine.
package jsontext

import (
	"bytes"
	"fmt"
	"unicode/utf16"
	"unicode/utf8"
)

// Error says what cannot be kept, and where.
type Error struct {
	What   string // such as `half of a surrogate pair (\ud83d)`
	Offset int    // in bytes from the beginning of the JSON
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s at byte %d", e.What, e.Offset) }

// Check returns nil, or an [*Error] about the first place in data, a JSON text, that would not be kept as it is.
func Check(data []byte) error {
	if at := invalidUTF8(data); at >= 0 {
		return &Error{What: fmt.Sprintf("a byte that is not UTF-8 (0x%02x)", data[at]), Offset: at}
	}
	for at := 0; ; {
		next := bytes.IndexByte(data[at:], '\\')
		if next < 0 {
			return nil
		}
		at += next
		size, ok := escape(data[at:])
		if !ok {
			return &Error{What: fmt.Sprintf("half of a surrogate pair (%s)", data[at:at+6]), Offset: at}
		}
		at += size
	}
}

func invalidUTF8(data []byte) int {
	if utf8.Valid(data) {
		return -1
	}
	for i := 0; i < len(data); {
		r, size := utf8.DecodeRune(data[i:])
		if r == utf8.RuneError && size < 2 {
			return i
		}
		i += size
	}
	return -1
}

// escape returns the length of the escape that data begins with; ok is false for half of a surrogate pair.
func escape(data []byte) (size int, ok bool) {
	r, isUnit := unit(data)
	if !isUnit {
		return min(2, len(data)), true
	}
	if !utf16.IsSurrogate(r) {
		return 6, true
	}
	low, isUnit := unit(data[6:])
	if !isUnit || utf16.DecodeRune(r, low) == utf8.RuneError {
		return 6, false
	}
	return 12, true
}

// unit reads an escape such as \u12ab at the beginning of data.
func unit(data []byte) (r rune, ok bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	for _, c := range data[2:6] {
		digit := bytes.IndexByte([]byte("0123456789abcdef"), c|0x20)
		if digit < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}
