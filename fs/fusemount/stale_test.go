package fusemount

import (
	"context"
	"testing"
)

// TestESTALEOncePerCall goes through the requests of system calls whose file is replaced again and again meanwhile.
func TestESTALEOncePerCall(t *testing.T) {
	const tid = 7
	type request struct {
		name  string
		part  part
		stale bool // the node is found to be old
		want  bool // the answer is ESTALE
	}
	lookup := request{name: "LOOKUP"}
	for _, tt := range []struct {
		name string
		seq  []request
	}{
		{"open", []request{
			lookup, {"OPEN", partFinal, true, true},
			lookup, {"OPEN again", partFinal, true, false},
			lookup, {"another OPEN", partFinal, true, true},
		}},
		{"exec asks for the attributes", []request{
			lookup, {"OPEN", partFinal, true, true},
			lookup, {"GETATTR", partAttributes, false, false}, {"OPEN again", partFinal, true, false},
			lookup, {"another OPEN", partFinal, true, true},
		}},
		{"exec asks for the attributes of an old node", []request{
			lookup, {"GETATTR", partAttributes, true, true},
			lookup, {"GETATTR again", partAttributes, true, false}, {"OPEN", partFinal, true, false},
			lookup, {"another OPEN", partFinal, true, true},
		}},
		{"through a link", []request{
			lookup, {"READLINK", partLink, true, true},
			lookup, {"READLINK again", partLink, true, false}, lookup, {"OPEN", partFinal, true, false},
		}},
		{"stat", []request{
			lookup, {"GETATTR", partAttributes, true, true},
			lookup, {"GETATTR again", partAttributes, true, false},
			lookup, {"another GETATTR", partAttributes, true, true},
		}},
		{"stat of a cached name", []request{
			{"GETATTR", partAttributes, true, true},
			lookup, {"GETATTR again", partAttributes, false, false},
			{"another GETATTR", partAttributes, true, true},
		}},
		{"stat, then open", []request{
			lookup, {"GETATTR", partAttributes, true, true},
			lookup, {"GETATTR again", partAttributes, false, false},
			lookup, {"OPEN", partFinal, true, true},
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := &Server{}
			defer m.refusals.close(context.Background())
			for _, r := range tt.seq {
				if r == lookup {
					m.refusals.begin(t.Context(), tid)
					continue
				}
				c := &call{m: m, ctx: t.Context(), who: Caller{TID: tid}, part: r.part}
				if got := r.stale && c.refuse(); got != r.want {
					t.Errorf("%s is answered ESTALE: %v, want %v", r.name, got, r.want)
				}
				if !r.want {
					c.done()
				}
			}
		})
	}
}
