// Package editing makes up editing sessions: what a person types and deletes over hours, and the small workloads of
// crdt-benchmarks. The same edits are given to several engines, so that these can be compared.
//
// A session of the same seed is always the same. Indexes and lengths count characters, all of which are ASCII.
package editing

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
)

// Edit is one change of a text: at an index some characters are deleted and others inserted. In JSON it is a list of
// the three.
type Edit struct {
	At, Deleted int
	Inserted    string
}

// MarshalJSON writes the edit as [index, deleted, inserted].
func (e Edit) MarshalJSON() ([]byte, error) { return json.Marshal([]any{e.At, e.Deleted, e.Inserted}) }

// UnmarshalJSON reads what MarshalJSON writes.
func (e *Edit) UnmarshalJSON(data []byte) error {
	return json.Unmarshal(data, &[]any{&e.At, &e.Deleted, &e.Inserted})
}

// Figures of the automerge-perf trace, which Session follows: single characters inserted and deleted, how often the cursor
// jumps, and the length in the end. Most of the jumps are deletions of what follows, where one of what is before was expected;
// the others lead elsewhere.
const (
	Inserts = 182_315
	Deletes = 77_463
	Jumps   = 51_956
	Length  = Inserts - Deletes
	moves   = 5_611
	run     = 14 // edits until the next choice between typing and deleting, which then take turns 7,700 times as there
)

// Session is a long session of the figures above: runs of typing, and of deleting backwards or forwards, with jumps between
// some of them.
func Session(seed uint64) []Edit {
	rng := rand.New(rand.NewPCG(seed, 2))
	edits := make([]Edit, 0, Inserts+Deletes)
	length, cursor, inserts, deletes := 0, 0, Inserts, Deletes
	moves, forwards, deleting, forward := moves, Jumps-moves, false, false
	for inserts+deletes > 0 {
		left := inserts + deletes
		if length > 0 && rng.IntN(left) < moves {
			moves--
			if cursor += rng.IntN(21) - 10; rng.IntN(10) == 0 {
				cursor = rng.IntN(length + 1)
			}
			cursor = max(0, min(cursor, length))
		}
		if rng.IntN(run) == 0 {
			deleting = rng.IntN(left) < deletes
			forward = deleting && rng.IntN(deletes) < forwards
		}
		if (deleting && deletes > 0 || inserts == 0) && length > 0 {
			if forward && forwards > 0 && cursor < length {
				forwards--
			} else {
				cursor = max(cursor, 1) - 1
			}
			edits = append(edits, Edit{cursor, 1, ""})
			deletes, length = deletes-1, length-1
			continue
		}
		edits = append(edits, Edit{cursor, 0, string(rune('a' + rng.IntN(26)))})
		inserts, length, cursor = inserts-1, length+1, cursor+1
	}
	return edits
}

// errTrace means a file that is no trace.
var errTrace = errors.New("editing: not a trace of josephg/editing-traces")

// ReadTrace reads a sequential trace of josephg/editing-traces, a gzipped JSON file.
func ReadTrace(file string) (edits []Edit, err error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var trace struct {
		Txns []struct{ Patches []Edit }
	}
	if err := json.NewDecoder(z).Decode(&trace); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	for _, txn := range trace.Txns {
		edits = append(edits, txn.Patches...)
	}
	if len(edits) == 0 {
		return nil, fmt.Errorf("%s: %w", file, errTrace)
	}
	return edits, nil
}
