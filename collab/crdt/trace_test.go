package crdt_test

import (
	"bytes"
	"os"
	"runtime"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
	"github.com/jupyter-drive/jupyter-drive/integration/editing"
)

// maxHeap is how much memory the document of a long session may take once it is loaded.
const maxHeap = 3 << 20

// TestTrace replays a long editing session, a tenth of it unless JUPYTER_DRIVE_TEST_FULL is set, and checks that the
// document fed with its updates is the same, and how much memory it takes. TRACE= names a file of josephg/editing-traces to
// replay instead; of the trace of a paper that automerge-perf measures with, the sizes that yjs comes to are known.
func TestTrace(t *testing.T) {
	edits, file := editing.Session(1), os.Getenv("TRACE")
	if file != "" {
		var err error
		if edits, err = editing.ReadTrace(file); err != nil {
			t.Fatal(err)
		}
	} else if os.Getenv("JUPYTER_DRIVE_TEST_FULL") == "" {
		edits = edits[:len(edits)/10]
	}
	d, other := newDoc(), crdt.New(crdt.Options{})
	text := d.Text("text")
	d.OnUpdate(func(u []byte, _ *crdt.Tx) { check(other.ApplyUpdate(u, "")) })
	for _, e := range edits {
		change(t, d, func(tx *crdt.Tx) error {
			if err := text.Delete(tx, e.At, e.Deleted); err != nil {
				return err
			}
			return text.Insert(tx, e.At, e.Inserted)
		})
	}
	full, second := d.EncodeStateAsUpdate(nil), d.EncodeStateAsUpdateV2(nil)
	if !bytes.Equal(other.EncodeStateAsUpdate(nil), full) {
		t.Error("the document fed with single updates differs")
	}
	if len(edits) == editing.Inserts+editing.Deletes && file != "" {
		if text.Len() != editing.Length || len(full) != 223_414 || len(second) != 159_921 {
			t.Errorf("length %d, %d bytes, %d of version 2; want %d, 223414, 159921", text.Len(), len(full), len(second), editing.Length)
		}
	}
	if raceBuild || testing.CoverMode() != "" {
		return
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	loaded := crdt.New(crdt.Options{})
	check(loaded.ApplyUpdate(full, ""))
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(loaded)
	heap := int(after.HeapAlloc) - int(before.HeapAlloc)
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" && heap > maxHeap {
		t.Errorf("heap after loading = %d bytes, want at most %d", heap, maxHeap)
	}
	t.Logf("%d edits, length %d, %d bytes, %d of version 2, %d bytes of heap after loading", len(edits), text.Len(), len(full), len(second), heap)
}
