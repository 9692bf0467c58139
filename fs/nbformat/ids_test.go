package nbformat

import (
	"fmt"
	"strings"
	"testing"
)

func idsOf(n *Notebook) string {
	var ids []string
	for _, cell := range n.Cells() {
		ids = append(ids, cell.ID())
	}
	return strings.Join(ids, " ")
}

func TestRepairIDs(t *testing.T) {
	for _, tt := range []struct {
		name    string
		minor   int
		ids     []string // JSON, empty for none
		want    string
		changed int
	}{
		{"all there", 5, []string{`"a"`, `"b"`}, "a b", 0},
		{"missing", 5, []string{`"a"`, ``, ``}, "a id-0 id-1", 2},
		{"repeated", 5, []string{`"a"`, `"b"`, `"a"`, `"a"`}, "a b id-0 id-1", 2},
		{"not a string", 5, []string{`1`, `[]`, `1`, `null`}, "  id-0 ", 1},
		{"later version", 9, []string{``}, "id-0", 1},
		{"before identifiers", 4, []string{``, `"a"`, `"a"`}, " a a", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var cells []string
			for _, id := range tt.ids {
				field := ""
				if id != "" {
					field = `"id": ` + id + `, `
				}
				cells = append(cells, `{`+field+`"cell_type": "raw", "metadata": {}, "source": ""}`)
			}
			n := mustParse(t, notebookOf(tt.minor, "", cells...))
			if changed := n.RepairIDs(numberedIDs()); changed != tt.changed || idsOf(n) != tt.want {
				t.Errorf("RepairIDs() = %d and made %q, want %d and %q", changed, idsOf(n), tt.changed, tt.want)
			}
		})
	}
}

func TestStripIDs(t *testing.T) {
	n := mustParse(t, notebookOf(4, "", markdownCell, rawCell))
	if changed := n.StripIDs(); changed != 1 || n.Validate() != nil {
		t.Errorf("StripIDs() = %d, then %v, want 1 and a valid notebook", changed, n.Validate())
	}
	n = mustParse(t, notebookOf(5, "", markdownCell))
	if changed := n.StripIDs(); changed != 0 || idsOf(n) != "m" {
		t.Errorf("StripIDs() of 4.5 = %d and made %q, want it unchanged", changed, idsOf(n))
	}
}

func TestDerivedIDsDependOnCellsOnly(t *testing.T) {
	file := notebookOf(4, "", rawCell, rawCell, strings.Replace(rawCell, "raw", "markdown", 1))
	// SHA-256 over the type, NUL, the source, NUL and the ordinal.
	const want = "e4d69842 f7b84068 982f4f9d"
	for range 2 {
		n := mustParse(t, file)
		if err := n.UpgradeMinor(DerivedIDs()); err != nil {
			t.Fatal(err)
		}
		if got := idsOf(n); got != want {
			t.Errorf("DerivedIDs() gave %s, want %s", got, want)
		}
	}
}

func TestIDSourcesAvoidTakenIDs(t *testing.T) {
	cell := Cell{"cell_type": "raw", "source": "x"}
	none := func(string) bool { return false }
	first := DerivedIDs()(cell, none)
	longer := DerivedIDs()(cell, func(id string) bool { return id == first })
	if len(first) != 8 || len(longer) != 12 || !strings.HasPrefix(longer, first) {
		t.Errorf("DerivedIDs() gave %q, and %q where that is taken", first, longer)
	}
	asked := 0
	id := RandomIDs()(cell, func(string) bool { asked++; return asked < 3 })
	if asked != 3 || len(id) != 8 {
		t.Errorf("RandomIDs() asked %d times and gave %q, want 3 times and 8 digits", asked, id)
	}
}

func TestGivenIDsAreTaken(t *testing.T) {
	n := mustParse(t, notebookOf(5, "", rawCell, strings.Replace(markdownCell, `"m"`, `"x1"`, 1), rawCell))
	n.RepairIDs(func(_ Cell, taken func(string) bool) string {
		for i := 0; ; i++ {
			if id := fmt.Sprintf("x%d", i); !taken(id) {
				return id
			}
		}
	})
	if got, want := idsOf(n), "x0 x1 x2"; got != want {
		t.Errorf("RepairIDs() made %q, want %q", got, want)
	}
}

func TestRepairedNotebooksAreValid(t *testing.T) {
	var cells []string
	for i := range 200 {
		cells = append(cells, fmt.Sprintf(`{"cell_type": "raw", "metadata": {}, "source": "%d"}`, i%7))
	}
	for name, source := range map[string]IDSource{"random": RandomIDs(), "derived": DerivedIDs()} {
		n := mustParse(t, notebookOf(5, "", cells...))
		if changed := n.RepairIDs(source); changed != 200 || n.Validate() != nil {
			t.Errorf("%s: RepairIDs() = %d, then %v, want 200 and a valid notebook", name, changed, n.Validate())
		}
	}
}
