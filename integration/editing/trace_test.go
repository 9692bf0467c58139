package editing

import "testing"

func TestSession(t *testing.T) {
	inserts, deletes, jumps, length, cursor := 0, 0, 0, 0, 0
	for _, e := range Session(1) {
		at := cursor
		if e.Deleted > 0 {
			at = max(cursor, 1) - 1
		}
		if e.At != at {
			jumps++
		}
		inserts, deletes = inserts+len(e.Inserted), deletes+e.Deleted
		length += len(e.Inserted) - e.Deleted
		cursor = e.At + len(e.Inserted)
		if e.At < 0 || cursor > length {
			t.Fatalf("edit %v in a text of %d characters", e, length)
		}
	}
	if inserts != Inserts || deletes != Deletes || length != Length {
		t.Errorf("%d inserts, %d deletes, length %d; want %d, %d, %d", inserts, deletes, length, Inserts, Deletes, Length)
	}
	// A jump may lead to where the cursor is.
	if jumps < Jumps*8/10 || jumps > Jumps {
		t.Errorf("%d jumps, want nearly %d", jumps, Jumps)
	}
}

func TestWorkloads(t *testing.T) {
	ws := Workloads(1)
	if len(ws) != 19 {
		t.Fatalf("%d workloads, want 19", len(ws))
	}
	for _, w := range ws {
		if w.Type != "text" {
			continue
		}
		for _, cs := range [][]Change{w.Edits, w.Others} {
			length := len(w.Start)
			for _, c := range cs {
				if c.At < 0 || c.At+c.Deleted > length {
					t.Fatalf("%s: change %v in a text of %d characters", w.Name, c, length)
				}
				length += len(c.Value.(string)) - c.Deleted
			}
		}
	}
}
