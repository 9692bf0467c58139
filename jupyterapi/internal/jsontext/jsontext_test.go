package jsontext

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, data, what string // what is part of the complaint; "" for none
		at               int
	}{
		{"nothing", "", "", 0},
		{"plain", `{"a":"b"}`, "", 0},
		{"pair", `"\ud83d\ude00"`, "", 0},
		{"pair in capitals", `"\uD83D\uDE00"`, "", 0},
		{"the character itself", "\"\U0001F600\"", "", 0},
		{"no surrogate", `"\u0041\ufffd"`, "", 0},
		{"the replacement character itself", "\"\ufffd\"", "", 0},
		{"escaped backslash", `"\\ud83d"`, "", 0},
		{"high half", `"ab\ud83d"`, `half of a surrogate pair (\ud83d)`, 3},
		{"low half", `"\uDE00"`, `half of a surrogate pair (\uDE00)`, 1},
		{"halves the wrong way", `"\ude00\ud83d"`, `(\ude00)`, 1},
		{"two high halves", `"\ud83d\ud83d\ude00"`, `(\ud83d)`, 1},
		{"half before another escape", `"\ud83d\n"`, `(\ud83d)`, 1},
		{"half after an escaped backslash", `"\\\ud83d"`, `(\ud83d)`, 3},
		{"in a key", `{"\ud800":1}`, `(\ud800)`, 2},
		{"bad byte", "\"a\xffb\"", "not UTF-8 (0xff)", 2},
		{"half as bytes", "\"\xed\xa0\xbd\"", "not UTF-8 (0xed)", 1},
		{"cut character", "\"\xe2\x82\"", "not UTF-8 (0xe2)", 1},
		{"a lone backslash at the end", `"\`, "", 0},
		{"a short escape", `"\ud8`, "", 0},
	}
	for _, tt := range tests {
		err := Check([]byte(tt.data))
		if tt.what == "" {
			if err != nil {
				t.Errorf("%s: Check() = %v, want nil", tt.name, err)
			}
			continue
		}
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(e.What, tt.what) || e.Offset != tt.at {
			t.Errorf("%s: Check() = %v, want %q at %d", tt.name, err, tt.what, tt.at)
		}
	}
}

// FuzzCheck compares Check with what encoding/json does to the text.
func FuzzCheck(f *testing.F) {
	for _, seed := range []string{`"\ud83d\ude00"`, `"\ud83d"`, `"\\ud83d"`, "\"\xff\"", `"\ufffd"`, `{"a":["\udc00"]}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		var text string
		if json.Unmarshal(data, &text) != nil {
			return
		}
		kept := !strings.Contains(text, "\ufffd") || strings.Contains(string(data), "\ufffd") ||
			strings.Contains(strings.ToLower(string(data)), `\ufffd`)
		if err := Check(data); kept && err != nil && !strings.Contains(text, "\ufffd") || !kept && err == nil {
			t.Errorf("Check(%q) = %v, but encoding/json makes it %q", data, err, text)
		}
	})
}
