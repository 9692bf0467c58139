package nbformat

import (
	"errors"
	"strings"
	"testing"
)

func TestParseSyntaxErrors(t *testing.T) {
	for _, tt := range []struct {
		name, file   string
		line, column int
		reason       string
	}{
		{"empty", "", 1, 1, "unexpected end of the text"},
		{"spaces", " \n ", 2, 2, "unexpected end of the text"},
		{"cut object", "{\"a\": 1", 1, 8, "unexpected end of the text"},
		{"cut string", "{\"a", 1, 4, "unexpected end of the text"},
		{"cut escape", `{"a\`, 1, 5, "unexpected end of the text"},
		{"conflict marker", "{\n \"a\": 1,\n<<<<<<< HEAD\n", 3, 1, "expected a property name in double quotes"},
		{"trailing comma in an array", "[1,]", 1, 4, "expected a value"},
		{"trailing comma in an object", `{"a":1,}`, 1, 8, "expected a property name in double quotes"},
		{"no colon", `{"a" 1}`, 1, 6, "expected ':'"},
		{"no comma in an object", "{\"é\": 1 \"b\"}", 1, 9, "expected ',' or '}'"},
		{"no comma in an array", "[1 2]", 1, 4, "expected ',' or ']'"},
		{"two values", "{}{}", 1, 3, "extra data after the notebook"},
		{"line feed in a string", "[\"a\n\"]", 1, 4, "control character in a string"},
		{"unknown escape", `["\x"]`, 1, 4, "invalid escape in a string"},
		{"short code", `["\u12"]`, 1, 4, `invalid \u escape in a string`},
		{"code that is not hexadecimal", `["\u12g4"]`, 1, 4, `invalid \u escape in a string`},
		{"code with a control character", "[\"\\u12\x113\"]", 1, 4, `invalid \u escape in a string`},
		{"leading zero", "[01]", 1, 3, "expected ',' or ']'"},
		{"bare point", "[1.]", 1, 3, "expected ',' or ']'"},
		{"bare exponent", "[1e+]", 1, 3, "expected ',' or ']'"},
		{"plus", "[+1]", 1, 2, "expected a value"},
		{"minus", "[-]", 1, 2, "expected a value"},
		{"negative NaN", "[-NaN]", 1, 2, "expected a value"},
		{"Python's None", "[None]", 1, 2, "expected a value"},
		{"invalid UTF-8", "[\"日\xff\"]", 1, 4, "invalid UTF-8"},
		{"surrogate in UTF-8", "[\"\xed\xa0\x80\"]", 1, 3, "invalid UTF-8"},
		{"UTF-16", "\xff\xfe{\x00", 1, 1, "invalid UTF-8"},
		{"long integer", "[" + strings.Repeat("9", 4301) + "]", 1, 2, "integer of more than 4300 digits"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse([]byte(tt.file))
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("Parse(%.40q) = %v, want a SyntaxError", tt.file, err)
			}
			if syntax.Line != tt.line || syntax.Column != tt.column || syntax.Reason != tt.reason {
				t.Errorf("Parse(%.40q) = %v, want line %d, column %d: %s", tt.file, err, tt.line, tt.column, tt.reason)
			}
		})
	}
}

func TestErrorMessages(t *testing.T) {
	for _, tt := range []struct {
		file   string
		limits Limits
		want   string
	}{
		{"{\n<<<<<<< HEAD", Limits{}, "notebook is not JSON: line 2, column 1: expected a property name in double quotes"},
		{"{}", Limits{Bytes: 1}, "notebook has more than 1 bytes"},
	} {
		if _, err := ParseWithin([]byte(tt.file), tt.limits); errorText(err) != tt.want {
			t.Errorf("ParseWithin(%q) = %v, want %s", tt.file, err, tt.want)
		}
	}
}

func TestParseOtherErrors(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{"array", "[]", "notebook validation failed: must be an object, not an array"},
		{"text", `"x"`, "notebook validation failed: must be an object, not a string"},
		{"cells are an object", `{"nbformat": 4, "cells": {}}`, "notebook validation failed: cells: must be an array, not an object"},
		{"cell is null", `{"nbformat": 4, "cells": [{}, null]}`, "notebook validation failed: cells[1]: must be an object, not null"},
		{"worksheet is a number", `{"nbformat": 3, "worksheets": [1.5]}`, "notebook validation failed: worksheets[0]: must be an object, not a number"},
		{"worksheet without cells", `{"nbformat": 3, "worksheets": [{}]}`, `notebook validation failed: worksheets[0]: missing required field "cells"`},
		{"version 5", `{"nbformat": 5}`, "unsupported notebook version 5: versions 1 to 4 can be read, 3 and 4 written"},
		{"version 0", `{"nbformat": 0}`, "unsupported notebook version 0: versions 1 to 4 can be read, 3 and 4 written"},
		{"version is text", `{"nbformat": "4"}`, "unsupported notebook version a string: versions 1 to 4 can be read, 3 and 4 written"},
		{"huge version", `{"nbformat": 99999999999999999999}`, "unsupported notebook version 2147483647: versions 1 to 4 can be read, 3 and 4 written"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := Parse([]byte(tt.file)); errorText(err) != tt.want {
				t.Errorf("Parse(%s) = %v, want %s", tt.file, err, tt.want)
			}
		})
	}
}

func TestParseWithinLimits(t *testing.T) {
	deep := notebookOf(5, `"x": `+strings.Repeat("[", 10)+strings.Repeat("]", 10))
	for _, tt := range []struct {
		name   string
		limits Limits
		what   string
	}{
		{"no limit reached", Limits{Bytes: len(deep), Depth: 12, Values: 15}, ""},
		{"too long", Limits{Bytes: len(deep) - 1}, "bytes"},
		{"too deep", Limits{Depth: 11}, "levels"},
		{"too many values", Limits{Values: 14}, "values"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseWithin([]byte(deep), tt.limits)
			var limit *LimitError
			if tt.what == "" && err == nil || errors.As(err, &limit) && limit.What == tt.what {
				return
			}
			t.Errorf("ParseWithin(%+v) = %v, want a limit of %q", tt.limits, err, tt.what)
		})
	}
}

func TestParseBoundsRecursion(t *testing.T) {
	for _, open := range []string{"[", `{"a":`} {
		var limit *LimitError
		if _, err := Parse([]byte(strings.Repeat(open, 1_000_000))); !errors.As(err, &limit) {
			t.Errorf("Parse of a million %q = %.100v, want a LimitError", open, err)
		}
	}
}

func TestParseByteOrderMark(t *testing.T) {
	if got, want := mustMarshal(t, mustParse(t, "\ufeff"+notebookOf(5, ""))), mustMarshal(t, New()); got != want {
		t.Errorf("with a byte order mark the notebook is %s, want %s", got, want)
	}
}

func TestStringsInFiles(t *testing.T) {
	for _, tt := range []struct{ name, in, out string }{
		{"plain", `"aé日😀"`, `"aé日😀"`},
		{"escapes", `"\"\\\/\b\f\n\r\t"`, `"\"\\/\b\f\n\r\t"`},
		{"control characters", `"\u0000\u001F\u007f"`, "\"\\u0000\\u001f\x7f\""},
		{"separators stay", `"\u2028\u2029"`, "\"\u2028\u2029\""},
		{"HTML stays", `"<&>"`, `"<&>"`},
		{"pair", `"\uD83D\uDE00"`, `"😀"`},
		{"high half", `"a\ud83db"`, `"a\ud83db"`},
		{"low half", `"\ude00"`, `"\ude00"`},
		{"halves in the wrong order", `"\ude00\ud83d"`, `"\ude00\ud83d"`},
		{"half before another escape", `"\ud83d\n"`, `"\ud83d\n"`},
		{"half before a half pair", `"\ud83d\ud83d\ude00"`, `"\ud83d😀"`},
		{"replacement character", `"\ufffd"`, "\"\ufffd\""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, notebookOf(5, `"x": `+tt.in))
			if got := mustMarshal(t, n); !strings.Contains(got, `"x": `+tt.out+"\n") {
				t.Errorf("%s is written as %s, want %s", tt.in, got, tt.out)
			}
		})
	}
}

func TestHalvesJoinedFromLinesAreAPair(t *testing.T) {
	n := mustParse(t, notebookOf(5, "", `{"id": "a", "cell_type": "raw", "metadata": {}, "source": ["\ud83d", "\ude00"]}`))
	once := mustMarshal(t, n)
	if !strings.Contains(once, `"😀"`) {
		t.Errorf("Marshal() = %s, want the pair as one character", once)
	}
}

func TestRepeatedKeysLastWins(t *testing.T) {
	n := mustParse(t, `{"nbformat": 3, "cells": [], "nbformat": 4, "nbformat_minor": 5, "metadata": {"x": 1, "x": 2}}`)
	if got := n.Metadata()["x"]; got != Int(2) {
		t.Errorf("x = %v, want 2", got)
	}
}

func TestNumbers(t *testing.T) {
	for literal, want := range map[string]Number{
		"0": "0", "-0": "0", "-1": "-1", "9007199254740993": "9007199254740993",
		"123456789012345678901234567890": "123456789012345678901234567890",
		"1.0":                            "1.0", "-0.0": "-0.0", "1E5": "100000.0", "1e15": "1000000000000000.0", "1e16": "1e+16",
		"123456789012345680.0": "1.2345678901234568e+17", "0.0001": "0.0001", "0.00001": "1e-05", "1.5e300": "1.5e+300",
		"5e-324": "5e-324", "1e-400": "0.0", "2.50": "2.5", "0.1000000000000000055": "0.1",
		"1e400": "Infinity", "-1e400": "-Infinity", "NaN": "NaN", "Infinity": "Infinity", "-Infinity": "-Infinity",
	} {
		v, err := parseJSON([]byte(literal), Limits{Values: 1})
		if err != nil || v != want {
			t.Errorf("parseJSON(%s) = %v, %v, want %s", literal, v, err, want)
		}
	}
}

func TestNumberValues(t *testing.T) {
	for _, tt := range []struct {
		n             Number
		isInt, finite bool
		i             int64
		ok            bool
	}{
		{"7", true, true, 7, true},
		{"99999999999999999999", true, true, 0, false},
		{"7.0", false, true, 0, false},
		{"1e+16", false, true, 0, false},
		{"NaN", false, false, 0, false},
		{"-Infinity", false, false, 0, false},
	} {
		i, ok := tt.n.Int64()
		if !ok {
			i = 0
		}
		if tt.n.IsInt() != tt.isInt || tt.n.IsFinite() != tt.finite || i != tt.i || ok != tt.ok {
			t.Errorf("%s: IsInt %v, IsFinite %v, Int64 %d %v", tt.n, tt.n.IsInt(), tt.n.IsFinite(), i, ok)
		}
	}
}
