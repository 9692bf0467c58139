package nbformat

import (
	"strings"
	"unicode/utf8"
)

// splitLines splits s after each line boundary, as Python's str.splitlines(keepends=True) does. Beyond \n, \r and \r\n
// these are \v, \f, the separators U+001C to U+001E, U+0085, U+2028 and U+2029.
func splitLines(s string) []any {
	lines := make([]any, 0, strings.Count(s, "\n")+1)
	for s != "" {
		end := lineEnd(s)
		lines = append(lines, s[:end])
		s = s[end:]
	}
	return lines
}

// lineEnd returns the index just after the first line boundary of s, or len(s) without one.
func lineEnd(s string) int {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= ' ' && c != 0xc2 && c != 0xe2 { // no boundary begins so
			continue
		}
		if n := boundary(s[i:]); n > 0 {
			return i + n
		}
	}
	return len(s)
}

// boundary returns the length of the line boundary that s, not empty, starts with, or 0.
func boundary(s string) int {
	switch c := s[0]; {
	case c == '\r' && strings.HasPrefix(s, "\r\n"):
		return 2
	case c >= '\n' && c <= '\r', c >= 0x1c && c <= 0x1e:
		return 1
	case c < utf8.RuneSelf:
		return 0
	}
	for _, wide := range []string{"\u0085", "\u2028", "\u2029"} {
		if strings.HasPrefix(s, wide) {
			return len(wide)
		}
	}
	return 0
}

// trimBoundary returns the line without the boundary it ends with.
func trimBoundary(line string) string {
	for i := max(0, len(line)-3); i < len(line); i++ {
		if boundary(line[i:]) == len(line)-i {
			return line[:i]
		}
	}
	return line
}

// stringList returns the strings of v when it is an array of strings only.
func stringList(v any) (list []string, ok bool) {
	items, ok := v.([]any)
	if !ok {
		return nil, false
	}
	list = make([]string, len(items))
	for i, item := range items {
		if list[i], ok = item.(string); !ok {
			return nil, false
		}
	}
	return list, true
}

// joinField replaces an array of strings at m[key] by one string made by join, and leaves any other value alone.
func joinField(m map[string]any, key string, join func([]string) string) {
	if list, ok := stringList(m[key]); ok {
		m[key] = join(list)
	}
}

// concatenate joins lines that kept their ends, as version 4 has them.
func concatenate(lines []string) string { return joinHalves(strings.Join(lines, "")) }

// joinKeptOrCut joins lines of version 3, whose writers kept the line ends or cut them.
func joinKeptOrCut(lines []string) string {
	if len(lines) > 0 && (strings.HasSuffix(lines[0], "\n") || strings.HasSuffix(lines[0], "\r")) {
		return concatenate(lines)
	}
	return joinCut(lines)
}

// joinCut joins lines whose ends were cut, as version 2 has them.
func joinCut(lines []string) string { return strings.Join(lines, "\n") }
