package crdt_test

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// fuzzLimit keeps the run-length forms of version 2 small.
const fuzzLimit = 1 << 12

func addUpdates(f *testing.F, v2 bool) {
	f.Helper()
	for _, s := range []string{
		"0000",
		"01010100040106736f757263650568656c6c6f00",
		"01040100010106736f75726365018401000165840101036c6c6fc40101010201580101010001",
		"01020100210105737461746505646972747901a8010001780101010001",
		"0105010007010563656c6c730128000100026964017701612700010006736f7572636502040001020178280001000f657865637574696f6e5f636f756e74017e00",
	} {
		b, err := hex.DecodeString(s)
		if err != nil {
			f.Fatal(err)
		}
		if v2 {
			if b, err = crdt.ConvertUpdateV1ToV2(b); err != nil {
				f.Fatal(err)
			}
		}
		f.Add(b)
	}
	for seed := range uint64(8) {
		m := play(seed, scenario{Nested: true, Rich: true, Undo: true, Delivery: "shuffled"})
		if d := m.peers[0].doc; v2 {
			f.Add(d.EncodeStateAsUpdateV2(nil))
		} else {
			f.Add(d.EncodeStateAsUpdate(nil))
		}
	}
}

// checkDoc encodes what was applied and checks that it gives the same document again.
func checkDoc(t *testing.T, d *crdt.Doc) {
	t.Helper()
	if d.HasPending() {
		return
	}
	for name := range d.Roots() {
		_ = name
	}
	update := d.EncodeStateAsUpdate(nil)
	again := crdt.New(crdt.Options{})
	if err := again.ApplyUpdate(update, ""); err != nil {
		t.Fatalf("own update is refused: %v: %x", err, update)
	}
	if got, want := again.StateVector().Encode(), d.StateVector().Encode(); !bytes.Equal(got, want) {
		t.Fatalf("state vector after a round trip = %x, want %x", got, want)
	}
}

func FuzzApplyUpdate(f *testing.F) {
	addUpdates(f, false)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := crdt.New(crdt.Options{})
		if d.ApplyUpdate(data, "") == nil {
			_ = d.Text("source").Delta()
			crdt.AppendJSON(nil, d.Map("m"))
			checkDoc(t, d)
		}
	})
}

func FuzzApplyUpdateV2(f *testing.F) {
	addUpdates(f, true)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := crdt.New(crdt.Options{MaxStructs: fuzzLimit})
		if d.ApplyUpdateV2(data, "") == nil {
			checkDoc(t, d)
		}
	})
}

func FuzzMergeUpdates(f *testing.F) {
	d := crdt.New(crdt.Options{})
	f.Add(d.EncodeStateAsUpdate(nil), d.EncodeStateAsUpdate(nil))
	m := play(1, scenario{Rich: true, Nested: true, Delivery: "causal"})
	for i := range m.updates[1:] {
		f.Add(m.updates[i], m.updates[i+1])
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		merged, err := crdt.MergeUpdates(a, b)
		if err != nil {
			return
		}
		if _, err := crdt.DiffUpdate(merged, crdt.StateVector{1: 2}); err != nil {
			t.Errorf("merged update is refused: %v", err)
		}
		if _, err := crdt.EncodeStateVectorFromUpdate(merged); err != nil {
			t.Errorf("merged update is refused: %v", err)
		}
	})
}

func FuzzDecoders(f *testing.F) {
	f.Add([]byte{0, 1, 2})
	f.Fuzz(func(_ *testing.T, data []byte) {
		_, _ = crdt.DecodeStateVector(data)
		_, _ = crdt.DecodeSnapshot(data)
		_, _ = crdt.DecodeSnapshotV2(data)
		_, _ = crdt.ParseJSON(data)
		if p, err := crdt.DecodeRelativePosition(data); err == nil {
			crdt.New(crdt.Options{}).Resolve(p, true)
		}
	})
}
