package identity

import (
	"net/url"
	"strings"
)

// Next returns where to go after a login: next if it is a path below base on this server, else fallback. base is the escaped base
// URL with slashes at both ends.
func Next(next, base, fallback string) string {
	if strings.ContainsFunc(next, func(r rune) bool { return r <= ' ' || r == '\\' || r == 0x7f || r == 0xfffd }) {
		return fallback
	}
	u, err := url.Parse(next)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || u.Opaque != "" {
		return fallback
	}
	// A browser reads "//host" as another server, also where dots or escapes hide it: no empty, "." or ".." part.
	for part := range strings.SplitSeq(strings.Trim(u.Path, "/"), "/") {
		if part == "." || part == ".." || part == "" && strings.Trim(u.Path, "/") != "" || strings.ContainsFunc(part, isControl) {
			return fallback
		}
	}
	if strings.HasPrefix(next, "//") || !strings.HasPrefix(u.EscapedPath(), base) || strings.Contains(u.Path, "//") {
		return fallback
	}
	return next
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }
