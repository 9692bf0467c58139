package crdt

import (
	"slices"
	"unicode/utf8"
)

// UTF16Len is the length of s in UTF-16 code units, in which Yjs counts texts.
func UTF16Len(s string) int {
	n := len(s)
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			return i + countUnits(s[i:])
		}
	}
	return n
}

func countUnits[T string | []byte](s T) int {
	n := 0
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c < 0x80 || c >= 0xc0 && c < 0xf0:
			n++
		case c >= 0xf0:
			n += 2
		}
	}
	return n
}

// UTF16Offset converts an offset in bytes of s to one in UTF-16 code units. An offset inside a character counts as the
// start of the character, one beyond the end as the end.
func UTF16Offset(s string, byteOffset int) int {
	byteOffset = max(0, min(byteOffset, len(s)))
	for byteOffset < len(s) && !utf8.RuneStart(s[byteOffset]) {
		byteOffset--
	}
	return UTF16Len(s[:byteOffset])
}

// ByteOffset converts an offset in UTF-16 code units of s to one in bytes. An offset inside a surrogate pair counts as
// the start of the pair, one beyond the end as the end.
func ByteOffset(s string, utf16Offset int) int {
	at, _ := unitIndex(s, utf16Offset)
	return at
}

// unitIndex finds the byte where the given UTF-16 unit starts. Inside a pair it gives the pair's start and true.
func unitIndex[T string | []byte](s T, unit int) (at int, inPair bool) {
	for at < len(s) && unit > 0 {
		switch c := s[at]; {
		case c < 0x80:
			at++
		case c < 0xe0:
			at += 2
		case c < 0xf0:
			at += 3
		default:
			if unit == 1 {
				return at, true
			}
			at, unit = at+4, unit-1
		}
		unit--
	}
	return min(at, len(s)), false
}

const replacement = "\uFFFD"

// splitText cuts text behind its first n UTF-16 units and takes its memory. A cut through a surrogate pair leaves a
// replacement character on either side, as in Yjs. The left part cannot grow into the right one. The work is that of the
// shorter part, so that cutting a text to pieces takes little more than one pass.
func splitText(text []byte, units, n int) (left, right []byte) {
	if len(text) == units {
		return text[:n:n], text[n:]
	}
	at, inPair := nearIndex(text, units, n)
	switch {
	case !inPair:
		return text[:at:at], text[at:]
	case at < len(text)-at:
		left = slices.Concat(text[:at], []byte(replacement))
		right = text[at+1:]
		copy(right, replacement)
	default:
		right = append([]byte(replacement), text[at+4:]...)
		left = text[: at+3 : at+3]
		copy(left[at:], replacement)
	}
	return left, right
}

// nearIndex is unitIndex from the nearer end.
func nearIndex(text []byte, units, n int) (at int, inPair bool) {
	if n <= units/2 {
		return unitIndex(text, n)
	}
	at = len(text)
	for left := units - n; left > 0; {
		for at--; at > 0 && !utf8.RuneStart(text[at]); at-- {
		}
		if left--; text[at] >= 0xf0 {
			if left == 0 {
				return at, true
			}
			left--
		}
	}
	return at, false
}

// tailText returns text from its n-th UTF-16 unit on without changing it.
func tailText(text []byte, units, n int) []byte {
	if n == 0 {
		return text
	}
	if len(text) == units {
		return text[n:]
	}
	at, inPair := nearIndex(text, units, n)
	if !inPair {
		return text[at:]
	}
	return append([]byte(replacement), text[at+4:]...)
}

// cleanUTF8 returns s with every byte that is not UTF-8 replaced.
func cleanUTF8(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}
