package crdt_test

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// TestHostileMemory applies a megabyte of the smallest structs of each kind and counts what stays in memory.
func TestHostileMemory(t *testing.T) {
	const size = 1 << 20
	first := []byte{4, 1, 1, 't', 1, 'x'}
	for name, piece := range map[string][]byte{
		"collected":    {0, 1},
		"gaps":         {10, 1},
		"deleted":      {0x81, 1, 0, 1},
		"text":         {0x84, 1, 0, 1, 'x'},
		"shared types": {0x87, 1, 0, 0},
		"values":       {0x88, 1, 0, 1, 126},
	} {
		t.Run(name, func(t *testing.T) {
			n := size / len(piece)
			update := binary.AppendUvarint([]byte{1}, uint64(n+1))
			update = append(append(update, 1, 0), first...)
			update = append(append(update, bytes.Repeat(piece, n)...), 0)
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			d := crdt.New(crdt.Options{})
			if err := d.ApplyUpdate(update, ""); err != nil {
				t.Fatal(err)
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			used := int(after.HeapAlloc) - int(before.HeapAlloc)
			if limit := 32<<20 + 64*len(update); used > limit {
				t.Errorf("%d bytes of input hold %d bytes of memory, want at most %d", len(update), used, limit)
			}
			if len(d.StateVector()) != 1 {
				t.Error("nothing was applied")
			}
		})
	}
}

// TestAnnouncedLengths checks that nothing is allocated for what is only announced.
func TestAnnouncedLengths(t *testing.T) {
	huge := []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x0f}
	for name, update := range map[string][]byte{
		"clients": huge,
		"structs": append([]byte{1}, huge...),
		"text":    append([]byte{1, 1, 1, 0, 4, 1, 1, 't'}, huge...),
		"values":  append([]byte{1, 1, 1, 0, 8, 1, 1, 't'}, huge...),
		"list":    append([]byte{1, 1, 1, 0, 8, 1, 1, 't', 1, 117}, huge...),
		"ranges":  append([]byte{0, 1, 1}, huge...),
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		err := crdt.New(crdt.Options{}).ApplyUpdate(update, "")
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; err == nil || used > 1<<20 {
			t.Errorf("%s: ApplyUpdate(%x) = %v with %d bytes, want an error and little memory", name, update, err, used)
		}
	}
}
