package nbformat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Marshal returns the bytes of the notebook's file, byte for byte as Python's nbformat writes them, with a line feed at
// the end. Transient metadata is left out. A half of a surrogate pair, which Python cannot write, becomes its \u escape.
// The error is a [*VersionError] for versions 1 and 2, which have to be upgraded, or says which type of value cannot be
// written.
func (n *Notebook) Marshal() ([]byte, error) {
	major, _ := n.Version()
	e := encoder{pretty: true, ascii: major == 3, buf: n.room()}
	var stored map[string]any
	switch major {
	case 4:
		stored = n.split()
	case 3:
		stored = n.splitLegacy()
	default:
		return nil, &VersionError{Version: fmt.Sprint(major)}
	}
	if err := e.value(stored, 0); err != nil {
		return nil, err
	}
	return append(e.buf, '\n'), nil
}

// MarshalJSON returns the notebook as compact JSON for the contents API: text joined, transient metadata kept. NaN and
// the infinities, which JSON has not, become null.
func (n *Notebook) MarshalJSON() ([]byte, error) {
	e := encoder{finite: true, buf: n.room()}
	err := e.value(n.root, 0)
	return e.buf, err
}

// room returns an empty buffer for about what the notebook was parsed from.
func (n *Notebook) room() []byte { return make([]byte, 0, n.size+n.size/16+512) }

// split returns a copy of a version 4 document, as deep as it has to be, with its text in lines.
func (n *Notebook) split() map[string]any {
	root := maps.Clone(n.withoutTransients())
	cells := cellsOf(root)
	list := make([]any, len(cells))
	for i, cell := range cells {
		list[i] = cell.split()
	}
	root["cells"] = list
	return root
}

func (c Cell) split() map[string]any {
	cell := maps.Clone(map[string]any(c))
	splitField(cell, "source")
	if attachments, ok := cell["attachments"].(map[string]any); ok {
		attachments = maps.Clone(attachments)
		for name := range attachments {
			splitBundle(attachments, name)
		}
		cell["attachments"] = attachments
	}
	if c.Type() == "code" {
		mapOutputs(cell, splitOutput)
	}
	return cell
}

// mapOutputs gives the cell new outputs, copies that change may modify.
func mapOutputs(cell map[string]any, change func(output map[string]any)) {
	outputs, ok := cell["outputs"].([]any)
	if !ok {
		return
	}
	list := slices.Clone(outputs)
	for i, v := range list {
		if output, ok := v.(map[string]any); ok {
			output = maps.Clone(output)
			change(output)
			list[i] = output
		}
	}
	cell["outputs"] = list
}

func splitOutput(output map[string]any) {
	switch text(output["output_type"]) {
	case "execute_result", "display_data":
		splitBundle(output, "data")
	case "stream":
		splitField(output, "text")
	}
}

// splitBundle replaces the MIME bundle holder[key] by a copy whose text is in lines.
func splitBundle(holder map[string]any, key string) {
	bundle, ok := holder[key].(map[string]any)
	if !ok {
		return
	}
	bundle = maps.Clone(bundle)
	for mime := range bundle {
		if strings.HasPrefix(mime, "text/") || mime == "application/javascript" || mime == "image/svg+xml" {
			splitField(bundle, mime)
		}
	}
	holder[key] = bundle
}

// lines is text that is written as an array of its lines.
type lines string

func splitField(m map[string]any, key string) {
	if s, ok := m[key].(string); ok {
		m[key] = lines(s)
	}
}

// splitLegacy returns a copy of a version 3 document, as deep as it has to be, without transients, its text in lines.
func (n *Notebook) splitLegacy() map[string]any {
	root := maps.Clone(n.root)
	delete(root, "orig_nbformat")
	delete(root, "orig_nbformat_minor")
	sheets, _ := root["worksheets"].([]any)
	list := make([]any, len(sheets))
	for i, v := range sheets {
		sheet := maps.Clone(object(v))
		cells := cellsOf(sheet)
		split := make([]any, len(cells))
		for j, cell := range cells {
			split[j] = cell.splitLegacy()
		}
		sheet["cells"] = split
		list[i] = sheet
	}
	root["worksheets"] = list
	return root
}

func (c Cell) splitLegacy() map[string]any {
	cell := maps.Clone(without(c, "metadata", "trusted"))
	delete(cell, "trusted")
	if c.Type() != "code" {
		splitField(cell, "source")
		splitField(cell, "rendered")
		return cell
	}
	splitField(cell, "input")
	mapOutputs(cell, func(output map[string]any) {
		for _, key := range legacyText() {
			splitField(output, key)
		}
	})
	return cell
}

// encoder writes JSON as Python's json.dumps does with sort_keys.
type encoder struct {
	buf    []byte
	pretty bool // a line for each value, indented by one space for each level
	ascii  bool // escape all that is not ASCII
	finite bool // null for NaN and the infinities
}

func (e *encoder) value(v any, level int) error {
	switch v := v.(type) {
	case map[string]any:
		return e.object(v, level)
	case []any:
		return e.array(v, level)
	case string:
		e.string(v)
	case lines:
		e.lines(string(v), level)
	case nil:
		e.buf = append(e.buf, "null"...)
	case bool:
		e.buf = fmt.Append(e.buf, v)
	default:
		return e.number(v)
	}
	return nil
}

func (e *encoder) number(v any) error {
	n, ok := numberOf(v)
	switch {
	case !ok:
		return fmt.Errorf("a notebook cannot hold a value of type %T", v)
	case e.finite && !n.IsFinite():
		e.buf = append(e.buf, "null"...)
	default:
		e.buf = append(e.buf, n...)
	}
	return nil
}

// numberOf returns the Number that v, of any type for numbers a notebook may hold, stands for.
func numberOf(v any) (n Number, ok bool) {
	switch v := v.(type) {
	case Number:
		return v, true
	case int:
		return Int(int64(v)), true
	case int64:
		return Int(v), true
	case float64:
		return Float(v), true
	}
	return "", false
}

func (e *encoder) array(list []any, level int) error {
	if len(list) == 0 {
		e.buf = append(e.buf, "[]"...)
		return nil
	}
	separator := byte('[')
	for _, v := range list {
		e.buf = append(e.buf, separator)
		e.newline(level + 1)
		if err := e.value(v, level+1); err != nil {
			return err
		}
		separator = ','
	}
	e.newline(level)
	e.buf = append(e.buf, ']')
	return nil
}

// lines writes the lines of a text as an array.
func (e *encoder) lines(s string, level int) {
	if s == "" {
		e.buf = append(e.buf, "[]"...)
		return
	}
	separator := byte('[')
	for s != "" {
		end := lineEnd(s)
		e.buf = append(e.buf, separator)
		e.newline(level + 1)
		e.string(s[:end])
		separator, s = ',', s[end:]
	}
	e.newline(level)
	e.buf = append(e.buf, ']')
}

// object sorts keys by their bytes, which for UTF-8 is by code point, as Python sorts strings.
func (e *encoder) object(m map[string]any, level int) error {
	if len(m) == 0 {
		e.buf = append(e.buf, "{}"...)
		return nil
	}
	separator := byte('{')
	for _, key := range slices.Sorted(maps.Keys(m)) {
		e.buf = append(e.buf, separator)
		e.newline(level + 1)
		e.string(key)
		e.buf = append(e.buf, ':')
		if e.pretty {
			e.buf = append(e.buf, ' ')
		}
		if err := e.value(m[key], level+1); err != nil {
			return err
		}
		separator = ','
	}
	e.newline(level)
	e.buf = append(e.buf, '}')
	return nil
}

func (e *encoder) newline(level int) {
	if !e.pretty {
		return
	}
	e.buf = append(e.buf, '\n')
	for range level {
		e.buf = append(e.buf, ' ')
	}
}

func (e *encoder) string(s string) {
	e.buf = append(e.buf, '"')
	start := 0
	for i := 0; i < len(s); {
		if e.plain(s[i]) {
			i += e.plainLength(s[i:])
			continue
		}
		e.buf = append(e.buf, s[start:i]...)
		i += e.special(s[i:])
		start = i
	}
	e.buf = append(e.buf, s[start:]...)
	e.buf = append(e.buf, '"')
}

// plain reports whether the byte stands for itself in a string.
func (e *encoder) plain(c byte) bool {
	return c >= ' ' && c < utf8.RuneSelf && c != '"' && c != '\\' && !(e.ascii && c == 0x7f)
}

// plainLength returns how many bytes at the beginning of s, of which the first is plain, stand for themselves. It looks at eight at a
// time.
func (e *encoder) plainLength(s string) int {
	n := 1
	for !e.ascii && len(s)-n >= 8 {
		w := s[n : n+8]
		if plainLength(w) < 8 || (w[0]|w[1]|w[2]|w[3]|w[4]|w[5]|w[6]|w[7])&utf8.RuneSelf != 0 {
			break
		}
		n += 8
	}
	for n < len(s) && e.plain(s[n]) {
		n++
	}
	return n
}

// special writes the first character of s, which is not plain, and returns its length in s.
func (e *encoder) special(s string) int {
	r, size := utf8.DecodeRuneInString(s)
	if half, ok := surrogateAt(s); ok {
		r, size = half, 3
	}
	switch {
	case r < utf8.RuneSelf:
		e.escape(s[0])
	case utf16.IsSurrogate(r), e.ascii && r < 0x10000:
		e.codeUnit(r)
	case e.ascii:
		high, low := utf16.EncodeRune(r)
		e.codeUnit(high)
		e.codeUnit(low)
	default:
		e.buf = utf8.AppendRune(e.buf, r)
	}
	return size
}

// escape writes a quote, backslash or control character.
func (e *encoder) escape(c byte) {
	if i := strings.IndexByte("\"\\\b\f\n\r\t", c); i >= 0 {
		e.buf = append(e.buf, '\\', `"\bfnrt`[i])
		return
	}
	e.codeUnit(rune(c))
}

func (e *encoder) codeUnit(r rune) { e.buf = fmt.Appendf(e.buf, `\u%04x`, r) }
