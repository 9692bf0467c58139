package tap

import (
	"os/exec"
	"reflect"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	tests := []struct {
		name, text string
		want       []Check
		err        string
	}{
		{"passes and fails", "TAP version 14\n1..2\nok 1 - a: one\nnot ok 2 - a: two\n# why\n# at line\n",
			[]Check{{"a: one", true, ""}, {"a: two", false, "why\nat line\n"}}, ""},
		{"other output between", "1..1\nnoise\nok 1 - a\nmore noise\n", []Check{{"a", true, ""}}, ""},
		{"ends early", "1..2\nok 1 - a\n", []Check{{"a", true, ""}}, "1 checks came, 2 were planned"},
		{"no plan", "ok 1 - a\n", []Check{{"a", true, ""}}, "-1 were planned"},
		{"nothing", "", nil, "0 checks came"},
		{"out of order", "1..2\nok 2 - b\n", nil, "check 2 comes after 0 others"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Parse(strings.NewReader(tt.text))
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("Parse() = %+v, want %+v", got, tt.want)
			}
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Parse() error = %v, want %q", err, tt.err)
			}
		})
	}
}

func TestCollect(t *testing.T) {
	tests := []struct {
		name, script string
		err          string
	}{
		{"passes", "echo 1..1; echo ok 1 - a", ""},
		{"says that a check failed", "echo 1..1; echo not ok 1 - a; exit 1", ""},
		{"ends badly without a failed check", "echo 1..1; echo ok 1 - a; echo the cause >&2; exit 3", "the cause"},
		{"dies", "echo 1..2; echo the cause >&2; exit 3", "the cause"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Collect(exec.Command("sh", "-c", tt.script))
			if (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Collect() error = %v, want %q", err, tt.err)
			}
		})
	}
}
