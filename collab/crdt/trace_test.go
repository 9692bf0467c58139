package crdt_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// edit is one step of a trace; it is JSON as [index, deleted, inserted].
type edit struct {
	at, deleted int
	inserted    string
}

func (e edit) MarshalJSON() ([]byte, error) { return json.Marshal([]any{e.at, e.deleted, e.inserted}) }

// Figures of the automerge-perf trace.
const (
	traceInserts = 182_315
	traceDeletes = 77_463
	traceJumps   = 51_956
)

// syntheticTrace is a long editing session: runs of typing, or of deleting backwards, with jumps between them.
func syntheticTrace(seed uint64) []edit {
	rng := rand.New(rand.NewPCG(seed, 2))
	var edits []edit
	length, cursor, inserts, deletes, deleting := 0, 0, traceInserts, traceDeletes, false
	for inserts+deletes > 0 {
		left := inserts + deletes
		if rng.IntN(traceInserts+traceDeletes) < traceJumps {
			if cursor += rng.IntN(21) - 10; rng.IntN(10) == 0 {
				cursor = rng.IntN(length + 1)
			}
			cursor = max(0, min(cursor, length))
			deleting = rng.IntN(left) < deletes
		}
		if (deleting && deletes > 0 || inserts == 0) && length > 0 {
			cursor = max(cursor, 1) - 1
			edits = append(edits, edit{cursor, 1, ""})
			deletes, length = deletes-1, length-1
			continue
		}
		edits = append(edits, edit{cursor, 0, string(rune('a' + rng.IntN(26)))})
		inserts, length, cursor = inserts-1, length+1, cursor+1
	}
	return edits
}

// realTrace reads a trace of josephg/editing-traces.
func realTrace(t testing.TB, file string) []edit {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var trace struct {
		Txns []struct{ Patches [][]any }
	}
	if err := json.NewDecoder(z).Decode(&trace); err != nil {
		t.Fatal(err)
	}
	var edits []edit
	for _, txn := range trace.Txns {
		for _, p := range txn.Patches {
			edits = append(edits, edit{int(p[0].(float64)), int(p[1].(float64)), p[2].(string)})
		}
	}
	return edits
}

func replay(t testing.TB, d *crdt.Doc, edits []edit) {
	t.Helper()
	text := d.Text("text")
	for _, e := range edits {
		change(t, d, func(tx *crdt.Tx) error {
			if err := text.Delete(tx, e.at, e.deleted); err != nil {
				return err
			}
			return text.Insert(tx, e.at, e.inserted)
		})
	}
}

// columns are what is measured of an engine: milliseconds, bytes and UTF-16 units.
type columns struct {
	Replay, Updates, Encode, Load float64
	V1, V2, Length                int
}

func measure(t testing.TB, edits []edit) (c columns, heap int) {
	t.Helper()
	ms := func(f func()) float64 {
		runtime.GC()
		start := time.Now()
		f()
		return float64(time.Since(start).Microseconds()) / 1000
	}
	d := newDoc()
	c.Replay = ms(func() { replay(t, d, edits) })
	recorded := newDoc()
	var updates [][]byte
	recorded.OnUpdate(func(u []byte, _ *crdt.Tx) { updates = append(updates, u) })
	replay(t, recorded, edits)
	other := newDoc()
	other.SetClientID(2)
	apply := func(to *crdt.Doc, u []byte) {
		if err := to.ApplyUpdate(u, ""); err != nil {
			t.Fatal(err)
		}
	}
	c.Updates = ms(func() {
		for _, u := range updates {
			apply(other, u)
		}
	})
	var full []byte
	c.Encode = ms(func() { full = d.EncodeStateAsUpdate(nil) })
	c.V1, c.V2 = len(full), len(d.EncodeStateAsUpdateV2(nil))
	if !bytes.Equal(other.EncodeStateAsUpdate(nil), full) {
		t.Error("the document fed with single updates differs")
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	loaded := newDoc()
	loaded.SetClientID(3)
	c.Load = ms(func() { apply(loaded, full) })
	runtime.GC()
	runtime.ReadMemStats(&after)
	c.Length = loaded.Text("text").Len()
	return c, int(after.HeapAlloc) - int(before.HeapAlloc)
}

// TestTrace replays a long editing session. With JUPYTER_DRIVE_TEST_FULL it does so beside yjs, five times in turn, and
// prints the medians; TRACE= names a file of josephg/editing-traces to use instead of a generated session.
func TestTrace(t *testing.T) {
	edits := syntheticTrace(1)
	if file := os.Getenv("TRACE"); file != "" {
		edits = realTrace(t, file)
	}
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") == "" {
		edits = edits[:len(edits)/10]
		measure(t, edits)
		return
	}
	modules := nodeModules(t)
	input, err := json.Marshal(edits)
	if err != nil {
		t.Fatal(err)
	}
	const rounds = 5
	var ours, theirs [4][]float64
	var c, y columns
	var heap int
	for range rounds {
		c, heap = measure(t, edits)
		cmd := exec.Command("node", filepath.Join("testdata", "bench.mjs"), modules)
		cmd.Stdin = bytes.NewReader(input)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(out, &y); err != nil {
			t.Fatal(err)
		}
		for i, v := range []float64{c.Replay, c.Updates, c.Encode, c.Load} {
			ours[i] = append(ours[i], v)
		}
		for i, v := range []float64{y.Replay, y.Updates, y.Encode, y.Load} {
			theirs[i] = append(theirs[i], v)
		}
	}
	if c.V1 != y.V1 || c.V2 != y.V2 || c.Length != y.Length {
		t.Errorf("sizes and length = %v, want those of yjs, %v", c, y)
	}
	for i, name := range []string{"replay", "single updates", "encode", "load"} {
		a, b := median(ours[i]), median(theirs[i])
		t.Logf("%-15s ours %8.1f ms   yjs %8.1f ms   ratio %.2f", name, a, b, a/b)
	}
	t.Logf("%d edits, %d units, %d bytes V1, %d bytes V2, heap after load %d bytes", len(edits), c.Length, c.V1, c.V2, heap)
}

func median(xs []float64) float64 {
	slices.Sort(xs)
	return xs[len(xs)/2]
}
