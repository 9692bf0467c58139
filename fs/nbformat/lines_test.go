package nbformat

import (
	"reflect"
	"strings"
	"testing"
)

func TestSplitLines(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want []any
	}{
		{"", []any{}},
		{"a", []any{"a"}},
		{"\n", []any{"\n"}},
		{"a\nb", []any{"a\n", "b"}},
		{"a\n\nb\n", []any{"a\n", "\n", "b\n"}},
		{"a\r\nb\rc", []any{"a\r\n", "b\r", "c"}},
		{"a\n\rb", []any{"a\n", "\r", "b"}},
		{"a\vb\fc", []any{"a\v", "b\f", "c"}},
		{"a\x1cb\x1dc\x1ed\x1fe", []any{"a\x1c", "b\x1d", "c\x1e", "d\x1fe"}},
		{"a\u0085b\u2028c\u2029d", []any{"a\u0085", "b\u2028", "c\u2029", "d"}},
		{"a\u0084\u2027\u202ab\u00c2", []any{"a\u0084\u2027\u202ab\u00c2"}},
	} {
		got := splitLines(tt.in)
		if !reflect.DeepEqual(got, tt.want) {
			t.Errorf("splitLines(%q) = %q, want %q", tt.in, got, tt.want)
		}
		if joined, _ := stringList(got); concatenate(joined) != tt.in {
			t.Errorf("splitLines(%q) loses text: %q", tt.in, got)
		}
		for _, line := range got {
			if trimmed := trimBoundary(line.(string)); lineEnd(trimmed+"\n") != len(trimmed)+1 {
				t.Errorf("trimBoundary(%q) = %q, which has a boundary", line, trimmed)
			}
		}
	}
}

func TestJoinLegacyLines(t *testing.T) {
	for _, tt := range []struct {
		name             string
		lines            []string
		version3, cutOff string
	}{
		{"none", []string{}, "", ""},
		{"ends kept", []string{"a\n", "b"}, "a\nb", "a\n\nb"},
		{"carriage return kept", []string{"a\r", "b"}, "a\rb", "a\r\nb"},
		{"ends cut", []string{"a", "b"}, "a\nb", "a\nb"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := joinKeptOrCut(tt.lines); got != tt.version3 {
				t.Errorf("joinKeptOrCut(%q) = %q, want %q", tt.lines, got, tt.version3)
			}
			if got := joinCut(tt.lines); got != tt.cutOff {
				t.Errorf("joinCut(%q) = %q, want %q", tt.lines, got, tt.cutOff)
			}
		})
	}
}

func TestWhatIsJoinedAndSplit(t *testing.T) {
	for _, tt := range []struct {
		name, output  string
		field, joined string // the field of the output in memory
		stored        string // and in the file
	}{
		{"text", `{"output_type": "display_data", "metadata": {}, "data": {"text/plain": ["a\n", "b"]}}`, "text/plain", `"a\nb"`, `["a\n","b"]`},
		{"script", `{"output_type": "display_data", "metadata": {}, "data": {"application/javascript": ["a\n", "b"]}}`, "application/javascript", `"a\nb"`, `["a\n","b"]`},
		{"SVG", `{"output_type": "display_data", "metadata": {}, "data": {"image/svg+xml": ["a\n", "b"]}}`, "image/svg+xml", `"a\nb"`, `["a\n","b"]`},
		{"image", `{"output_type": "display_data", "metadata": {}, "data": {"image/png": ["a\n", "b"]}}`, "image/png", `"a\nb"`, `"a\nb"`},
		{"PDF", `{"output_type": "display_data", "metadata": {}, "data": {"application/pdf": ["a\n", "b"]}}`, "application/pdf", `"a\nb"`, `"a\nb"`},
		{"JSON", `{"output_type": "display_data", "metadata": {}, "data": {"application/json": ["a\n", "b"]}}`, "application/json", `["a\n","b"]`, `["a\n","b"]`},
		{"kind of JSON", `{"output_type": "execute_result", "metadata": {}, "data": {"application/geo+json": ["a\n", "b"]}, "execution_count": 1}`, "application/geo+json", `["a\n","b"]`, `["a\n","b"]`},
		{"empty list", `{"output_type": "display_data", "metadata": {}, "data": {"image/png": []}}`, "image/png", `""`, `""`},
		{"empty text", `{"output_type": "display_data", "metadata": {}, "data": {"text/plain": ""}}`, "text/plain", `""`, `[]`},
		{"stream", `{"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]}`, "text", `"a\nb"`, `["a\n","b"]`},
		{"unknown output", `{"output_type": "new", "text": ["a\n", "b"]}`, "text", `"a\nb"`, `"a\nb"`},
		{"list of other things", `{"output_type": "stream", "name": "stdout", "text": ["a\n", 1]}`, "text", `["a\n",1]`, `["a\n",1]`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, withOutput(tt.output))
			if got := mustJSON(t, n); !strings.Contains(got, `"`+tt.field+`":`+tt.joined) {
				t.Errorf("in memory %s, want %q as %s", got, tt.field, tt.joined)
			}
			stored := &encoder{}
			if err := stored.value(n.split(), 0); err != nil {
				t.Fatal(err)
			}
			if got := string(stored.buf); !strings.Contains(got, `"`+tt.field+`":`+tt.stored) {
				t.Errorf("in the file %s, want %q as %s", got, tt.field, tt.stored)
			}
		})
	}
}
