package identity

import (
	"net/url"
	"strings"
)

// maxLogged is how many bytes of a field from outside go into a log line.
const maxLogged = 256

// secretKeys are what a query key contains whose value must not be logged.
var secretKeys = [...]string{"token", "auth", "key", "code", "state", "xsrf", "password", "secret"}

// ScrubURL returns the path and query of u for a log line: values that may be secrets are replaced, control characters are
// escaped, and it is at most 256 bytes long.
func ScrubURL(u *url.URL) string {
	out := u.EscapedPath()
	if u.RawQuery != "" {
		out += "?" + scrubQuery(u.RawQuery)
	}
	return ScrubText(out)
}

// scrubQuery works on the text of the query, so that nothing a parser would drop escapes it.
func scrubQuery(query string) string {
	pairs := strings.FieldsFunc(query, func(r rune) bool { return r == '&' || r == ';' })
	for i, pair := range pairs {
		key, _, hasValue := strings.Cut(pair, "=")
		if hasValue && isSecretKey(key) {
			pairs[i] = key + "=[secret]"
		}
	}
	return strings.Join(pairs, "&")
}

func isSecretKey(key string) bool {
	plain, err := url.QueryUnescape(key)
	if err != nil {
		return true
	}
	plain = strings.ToLower(plain)
	for _, secret := range secretKeys {
		if strings.Contains(plain, secret) {
			return true
		}
	}
	return false
}

// ScrubText returns s for a log line or an error page: control characters become "?", and what exceeds 256 bytes is cut.
func ScrubText(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
	if len(s) > maxLogged {
		s = strings.ToValidUTF8(s[:maxLogged], "") + "…"
	}
	return s
}
