package nbformat

import (
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonParser reads JSON as Python's json module does: with NaN and the infinities, lone surrogates in escapes, and the
// last of equal keys. The text is valid UTF-8.
type jsonParser struct {
	text   string
	pos    int
	depth  int
	values int
	limits Limits
}

// parseJSON returns the value in data, which is within limits.
func parseJSON(data []byte, limits Limits) (any, error) {
	text := strings.TrimPrefix(string(data), "\ufeff")
	if !utf8.ValidString(text) {
		return nil, syntaxError(text, invalidUTF8(text), "invalid UTF-8")
	}
	p := &jsonParser{text: text, limits: limits}
	p.space()
	v, err := p.value()
	if err != nil {
		return nil, err
	}
	p.space()
	if p.pos < len(text) {
		return nil, p.fail("extra data after the notebook")
	}
	return v, nil
}

// invalidUTF8 returns the offset of the first byte of text that is not part of a UTF-8 sequence.
func invalidUTF8(text string) int {
	for i, r := range text {
		if r == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd") {
			return i
		}
	}
	return len(text)
}

func (p *jsonParser) fail(reason string) error {
	if p.pos >= len(p.text) {
		reason = "unexpected end of the text"
	}
	return syntaxError(p.text, min(p.pos, len(p.text)), reason)
}

func (p *jsonParser) space() {
	for p.pos < len(p.text) && strings.IndexByte(" \t\n\r", p.text[p.pos]) >= 0 {
		p.pos++
	}
}

// take consumes the literal if the text goes on with it.
func (p *jsonParser) take(literal string) bool {
	if !strings.HasPrefix(p.text[p.pos:], literal) {
		return false
	}
	p.pos += len(literal)
	return true
}

func (p *jsonParser) value() (any, error) {
	if p.values++; p.values > p.limits.Values {
		return nil, &LimitError{What: "values", Limit: p.limits.Values}
	}
	if p.pos >= len(p.text) {
		return nil, p.fail("")
	}
	switch p.text[p.pos] {
	case '{':
		return p.nested(p.object)
	case '[':
		return p.nested(p.array)
	case '"':
		return p.string()
	}
	if v, ok := p.literal(); ok {
		return v, nil
	}
	return p.number()
}

// nested parses an object or array, one level down.
func (p *jsonParser) nested(parse func() (any, error)) (any, error) {
	if p.depth++; p.depth > p.limits.Depth {
		return nil, &LimitError{What: "levels", Limit: p.limits.Depth}
	}
	p.pos++
	p.space()
	v, err := parse()
	p.depth--
	return v, err
}

func (p *jsonParser) object() (any, error) {
	m := map[string]any{}
	if p.take("}") {
		return m, nil
	}
	for {
		if p.pos >= len(p.text) || p.text[p.pos] != '"' {
			return nil, p.fail("expected a property name in double quotes")
		}
		key, err := p.string()
		if err != nil {
			return nil, err
		}
		p.space()
		if !p.take(":") {
			return nil, p.fail("expected ':'")
		}
		p.space()
		if m[key], err = p.value(); err != nil {
			return nil, err
		}
		p.space()
		if p.take("}") {
			return m, nil
		}
		if !p.take(",") {
			return nil, p.fail("expected ',' or '}'")
		}
		p.space()
	}
}

func (p *jsonParser) array() (any, error) {
	list := []any{}
	if p.take("]") {
		return list, nil
	}
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.space()
		if p.take("]") {
			return list, nil
		}
		if !p.take(",") {
			return nil, p.fail("expected ',' or ']'")
		}
		p.space()
	}
}

func (p *jsonParser) literal() (v any, ok bool) {
	switch {
	case p.take("null"):
		return nil, true
	case p.take("true"):
		return true, true
	case p.take("false"):
		return false, true
	}
	for _, n := range []Number{"NaN", "Infinity", "-Infinity"} {
		if p.take(string(n)) {
			return n, true
		}
	}
	return nil, false
}

func (p *jsonParser) number() (any, error) {
	start := p.pos
	p.take("-")
	whole := p.pos
	if !p.take("0") && p.digits() == 0 {
		p.pos = start
		return nil, p.fail("expected a value")
	}
	length := p.pos - whole
	isFloat := p.fraction()
	isFloat = p.exponent() || isFloat
	if !isFloat && length > maxDigits {
		p.pos = start
		return nil, p.fail("integer of more than 4300 digits")
	}
	return numberFromLiteral(p.text[start:p.pos]), nil
}

// digits consumes decimal digits and returns how many.
func (p *jsonParser) digits() int {
	start := p.pos
	for p.pos < len(p.text) && p.text[p.pos] >= '0' && p.text[p.pos] <= '9' {
		p.pos++
	}
	return p.pos - start
}

// fraction consumes ".123" and reports whether it was there; a bare "." is left as it is.
func (p *jsonParser) fraction() bool {
	start := p.pos
	if p.take(".") && p.digits() > 0 {
		return true
	}
	p.pos = start
	return false
}

// exponent consumes "e+12" and reports whether it was there; a bare "e" is left as it is.
func (p *jsonParser) exponent() bool {
	start := p.pos
	if p.take("e") || p.take("E") {
		if !p.take("+") {
			p.take("-")
		}
		if p.digits() > 0 {
			return true
		}
	}
	p.pos = start
	return false
}

// string parses a string at its opening quote. Without escapes it shares the memory of the text.
func (p *jsonParser) string() (string, error) {
	p.pos++
	start := p.pos
	p.plain()
	if p.take(`"`) {
		return p.text[start : p.pos-1], nil
	}
	var b strings.Builder
	b.Grow(closingQuote(p.text[start:]))
	b.WriteString(p.text[start:p.pos])
	for {
		run := p.pos
		p.plain()
		b.WriteString(p.text[run:p.pos])
		if p.take(`"`) {
			return b.String(), nil
		}
		if !p.take(`\`) {
			return "", p.fail("control character in a string")
		}
		if err := p.escape(&b); err != nil {
			return "", err
		}
	}
}

// closingQuote returns how long the inside of a string is that s begins with, escapes and all.
func closingQuote(s string) int {
	for at := 0; ; {
		next := strings.IndexByte(s[at:], '"')
		if next < 0 {
			return len(s)
		}
		at += next
		escapes := at
		for escapes > 0 && s[escapes-1] == '\\' {
			escapes--
		}
		if (at-escapes)%2 == 0 {
			return at
		}
		at++
	}
}

// plain moves to the next byte that cannot be taken as it is: a quote, a backslash, a control character or the end.
func (p *jsonParser) plain() { p.pos += plainLength(p.text[p.pos:]) }

// plainLength returns how many bytes at the beginning of s are neither a quote, a backslash nor a control character. It looks at eight
// at a time: most of a notebook is images.
func plainLength(s string) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	n := 0
	for ; len(s)-n >= 8; n += 8 {
		w := s[n : n+8]
		word := uint64(w[0]) | uint64(w[1])<<8 | uint64(w[2])<<16 | uint64(w[3])<<24 |
			uint64(w[4])<<32 | uint64(w[5])<<40 | uint64(w[6])<<48 | uint64(w[7])<<56
		// Subtracting borrows into the high bit of a byte that is less; bytes that have it already are not ASCII, and plain.
		quote, backslash := word^(ones*'"'), word^(ones*'\\')
		if ((word-ones*' ')|(quote-ones)|(backslash-ones))&^word&highs != 0 {
			break
		}
	}
	for n < len(s) && s[n] >= ' ' && s[n] != '"' && s[n] != '\\' {
		n++
	}
	return n
}

// escape parses what follows a backslash and writes what it stands for.
func (p *jsonParser) escape(b *strings.Builder) error {
	if p.pos >= len(p.text) {
		return p.fail("")
	}
	const escapes, meanings = `"\/bfnrt`, "\"\\/\b\f\n\r\t"
	if i := strings.IndexByte(escapes, p.text[p.pos]); i >= 0 {
		p.pos++
		b.WriteByte(meanings[i])
		return nil
	}
	if p.text[p.pos] != 'u' {
		return p.fail("invalid escape in a string")
	}
	r, ok := p.codeUnit()
	if !ok {
		return p.fail("invalid \\u escape in a string")
	}
	if !utf16.IsSurrogate(r) {
		b.WriteRune(r)
		return nil
	}
	if start := p.pos; p.take(`\`) {
		low, ok := p.codeUnit()
		if pair := utf16.DecodeRune(r, low); ok && pair != utf8.RuneError {
			b.WriteRune(pair)
			return nil
		}
		p.pos = start
	}
	half := surrogate(r)
	b.Write(half[:])
	return nil
}

// codeUnit parses "u12ab" of an escape.
func (p *jsonParser) codeUnit() (r rune, ok bool) {
	if len(p.text)-p.pos < 5 || p.text[p.pos] != 'u' {
		return 0, false
	}
	for _, c := range []byte(p.text[p.pos+1 : p.pos+5]) {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 || c < '0' {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	p.pos += 5
	return r, true
}

// surrogate returns half of a surrogate pair in the three bytes that UTF-8 would give it. Strings in memory hold lone halves in this form
// (known as WTF-8), as Python's strings can hold them too.
func surrogate(r rune) [3]byte {
	return [3]byte{0xe0 | byte(r>>12), 0x80 | byte(r>>6&0x3f), 0x80 | byte(r&0x3f)}
}

// surrogateAt returns the lone half of a surrogate pair that s starts with.
func surrogateAt(s string) (r rune, ok bool) {
	if len(s) < 3 || s[0] != 0xed || s[1]&0xe0 != 0xa0 || s[2]&0xc0 != 0x80 {
		return 0, false
	}
	return 0xd000 | rune(s[1]&0x3f)<<6 | rune(s[2]&0x3f), true
}

// joinHalves makes one character of each two halves that belong together, as they can after lines were joined.
func joinHalves(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		high, isHigh := surrogateAt(s[i:])
		low, isLow := surrogateAt(s[min(i+3, len(s)):])
		if pair := utf16.DecodeRune(high, low); isHigh && isLow && pair != utf8.RuneError {
			b = utf8.AppendRune(b, pair)
			i += 5
			continue
		}
		b = append(b, s[i])
	}
	return string(b)
}
