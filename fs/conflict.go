package fs

import (
	"fmt"
	"strings"
	"time"
)

// ConflictName returns the name under which the losing side of a conflict is kept: "name (conflict WHO 2026-01-02T030405Z).ext".
// n tells apart several of one second: 0 for the first. The result is a valid name: a long one is cut before the mark, a slash
// or control character in who becomes "-".
func ConflictName(name, who string, t time.Time, n int) string {
	return conflictName(name, who, t, n, "")
}

// PartialName is ConflictName for a version of which bytes are gone: "name (conflict WHO 2026-01-02T030405Z).ext.partial", which no
// program takes for a file of its kind.
func PartialName(name, who string, t time.Time, n int) string {
	return conflictName(name, who, t, n, ".partial")
}

func conflictName(name, who string, t time.Time, n int, suffix string) string {
	who = strings.Map(func(r rune) rune {
		if r < ' ' || r == '/' || r == 0x7f {
			return '-'
		}
		return r
	}, who)
	who = cut(who, 64)
	mark := fmt.Sprintf(" (conflict %s %s)", who, t.UTC().Format("2006-01-02T150405Z"))
	if n > 0 {
		mark = fmt.Sprintf(" (conflict %s %s %d)", who, t.UTC().Format("2006-01-02T150405Z"), n+1)
	}
	stem, ext := name, ""
	if i := strings.LastIndexByte(name, '.'); i > 0 && len(name)-i <= 32 {
		stem, ext = name[:i], name[i:]
	}
	tail := mark + ext + suffix
	return cut(stem, MaxName-len(tail)) + tail
}

// cut shortens s to at most n bytes without splitting a character.
func cut(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xc0 == 0x80 {
		n--
	}
	return s[:n]
}
