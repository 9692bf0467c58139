package crdt_test

import (
	"bytes"
	"encoding/hex"
	"math"
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
	for seed := range uint64(48) {
		m := playSeed(seed)
		for _, p := range m.peers {
			if v2 {
				f.Add(p.doc.EncodeStateAsUpdateV2(nil))
			} else {
				f.Add(p.doc.EncodeStateAsUpdate(nil))
			}
		}
	}
}

// holds is all that a document holds as JSON, without formatting.
func holds(d *crdt.Doc) []byte {
	b := append(crdt.AppendJSON([]byte{'['}, d.Map("m")), ',')
	b = append(crdt.AppendJSON(b, d.Array("a")), ',')
	b = append(crdt.AppendJSON(b, d.Text("t")), ',')
	return append(crdt.AppendJSON(b, d.XMLFragment("x")), ']')
}

func open(limit int) *crdt.Doc {
	d := crdt.New(crdt.Options{MaxStructs: limit})
	d.Map("m")
	d.Array("a")
	d.Text("t")
	d.XMLFragment("x")
	return d
}

func ok(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v", what, err)
	}
}

// checkApplied checks a document that some bytes were applied to: that it hangs together, that the same bytes change
// nothing more, and that what it encodes in either version makes the same copy, with the same state. The copy may hold
// another order than the document if the bytes name neighbours that cannot have been so; it does in yjs, too.
func checkApplied(t *testing.T, d *crdt.Doc, apply func(*crdt.Doc) error) {
	t.Helper()
	ok(t, "document", crdt.Check(d))
	v1, v2 := d.EncodeStateAsUpdate(nil), d.EncodeStateAsUpdateV2(nil)
	ok(t, "second time", apply(d))
	ok(t, "document after the second time", crdt.Check(d))
	if d.HasPending() {
		return // more may have become known by what waited
	}
	if again := d.EncodeStateAsUpdate(nil); !bytes.Equal(again, v1) {
		t.Fatalf("applied twice: %x, once: %x", again, v1)
	}
	one, two := open(0), open(0)
	ok(t, "own update", one.ApplyUpdate(v1, ""))
	ok(t, "own update of version 2", two.ApplyUpdateV2(v2, ""))
	ok(t, "copy", crdt.Check(one))
	if a, b := one.EncodeStateAsUpdate(nil), two.EncodeStateAsUpdate(nil); !bytes.Equal(a, b) {
		t.Fatalf("copy by version 1: %x, by version 2: %x", a, b)
	}
	if got, want := one.StateVector().Encode(), d.StateVector().Encode(); !bytes.Equal(got, want) {
		t.Fatalf("state vector of the copy = %x, want %x", got, want)
	}
	if got, want := holds(one), holds(two); !sameJSON(got, want) {
		t.Fatalf("copy by version 1 = %s, by version 2 = %s", got, want)
	}
}

// checkOrder applies some bytes again, to a document that scans for each place and to one that does not: they must bring the
// same lists about.
func checkOrder(t *testing.T, apply func(*crdt.Doc) error) {
	t.Helper()
	scanned, indexed := open(fuzzLimit), open(fuzzLimit)
	crdt.SetLongScan(scanned, math.MaxInt)
	crdt.SetLongScan(indexed, 0)
	if apply(scanned) != nil {
		return
	}
	ok(t, "with an index", apply(indexed))
	if got, want := crdt.Lists(indexed), crdt.Lists(scanned); got != want {
		t.Fatalf("with an index:%s\nwithout:%s", got, want)
	}
}

func FuzzApplyUpdate(f *testing.F) {
	addUpdates(f, false)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := open(0)
		apply := func(d *crdt.Doc) error { return d.ApplyUpdate(data, "") }
		if apply(d) == nil {
			_ = d.Text("t").Delta()
			checkApplied(t, d, apply)
			checkOrder(t, apply)
		}
	})
}

func FuzzApplyUpdateV2(f *testing.F) {
	addUpdates(f, true)
	f.Fuzz(func(t *testing.T, data []byte) {
		d := open(fuzzLimit)
		apply := func(d *crdt.Doc) error { return d.ApplyUpdateV2(data, "") }
		if apply(d) == nil {
			checkApplied(t, d, apply)
			checkOrder(t, apply)
		}
	})
}

// FuzzApplyTwo applies two updates in both orders.
func FuzzApplyTwo(f *testing.F) {
	for seed := range uint64(32) {
		m := playSeed(seed)
		for i := 1; i < len(m.updates); i++ {
			f.Add(m.updates[i-1], m.updates[i])
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		d := open(0)
		apply := func(d *crdt.Doc) error {
			if err := d.ApplyUpdate(b, ""); err != nil {
				return err
			}
			return d.ApplyUpdate(a, "")
		}
		if apply(d) == nil {
			checkApplied(t, d, apply)
			checkOrder(t, apply)
		}
	})
}

// fuzzMerge merges two updates and checks that the results can be read.
func fuzzMerge(f *testing.F, second bool, merge func(...[]byte) ([]byte, error), diff func([]byte, crdt.StateVector) ([]byte, error), state func([]byte) ([]byte, error)) {
	f.Helper()
	for seed := range uint64(64) {
		m := playSeed(seed)
		updates := m.updates
		if second {
			updates = m.updates2
		}
		for i := 1; i < len(updates); i++ {
			if updates[i] != nil {
				f.Add(updates[i-1], updates[i])
			}
		}
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		merged, err := merge(a, b)
		if err != nil {
			return
		}
		_, err = diff(merged, crdt.StateVector{1: 2})
		ok(t, "difference of the merged update", err)
		sv, err := state(merged)
		ok(t, "state vector of the merged update", err)
		_, err = crdt.DecodeStateVector(sv)
		ok(t, "state vector", err)
	})
}

func FuzzMergeUpdates(f *testing.F) {
	fuzzMerge(f, false, crdt.MergeUpdates, crdt.DiffUpdate, crdt.EncodeStateVectorFromUpdate)
}

func FuzzMergeUpdatesV2(f *testing.F) {
	fuzzMerge(f, true, crdt.MergeUpdatesV2, crdt.DiffUpdateV2, crdt.EncodeStateVectorFromUpdateV2)
}

// FuzzConvert rewrites an update in the other version and back.
func FuzzConvert(f *testing.F) {
	addUpdates(f, false)
	f.Fuzz(func(t *testing.T, data []byte) {
		second, err := crdt.ConvertUpdateV1ToV2(data)
		if err != nil {
			return
		}
		first, err := crdt.ConvertUpdateV2ToV1(second)
		ok(t, "back", err)
		again, err := crdt.ConvertUpdateV1ToV2(first)
		ok(t, "again", err)
		if !bytes.Equal(again, second) {
			t.Fatalf("converted three times: %x, once: %x", again, second)
		}
	})
}

// FuzzDecoders reads what is not an update, and what it writes of it again.
func FuzzDecoders(f *testing.F) {
	f.Add([]byte{0, 1, 2})
	f.Add([]byte(`{"type":null,"tname":"t","item":{"client":1,"clock":2},"assoc":-1}`))
	m := playSeed(12)
	for _, p := range m.peers {
		s := p.doc.Snapshot()
		f.Add(s.Encode())
		f.Add(s.EncodeV2())
		f.Add(p.doc.StateVector().Encode())
	}
	for _, p := range m.positions {
		f.Add(p.p.Encode())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if sv, err := crdt.DecodeStateVector(data); err == nil {
			again, err := crdt.DecodeStateVector(sv.Encode())
			ok(t, "state vector", err)
			if len(again) != len(sv) {
				t.Fatalf("state vector = %v, want %v", again, sv)
			}
		}
		if s, err := crdt.DecodeSnapshot(data); err == nil {
			again, err := crdt.DecodeSnapshot(s.Encode())
			ok(t, "snapshot", err)
			if !again.Equal(s) {
				t.Fatalf("snapshot = %v, want %v", again, s)
			}
			d := crdt.New(crdt.Options{KeepDeleted: true})
			_, _ = d.Restore(s, crdt.Options{})
		}
		if s, err := crdt.DecodeSnapshotV2(data); err == nil {
			_, err := crdt.DecodeSnapshotV2(s.EncodeV2())
			ok(t, "snapshot of version 2", err)
		}
		if v, err := crdt.ParseJSON(data); err == nil {
			_, err := crdt.ParseJSON(crdt.AppendJSON(nil, v))
			ok(t, "JSON", err)
		}
		var p crdt.RelativePosition
		if p.UnmarshalJSON(data) == nil {
			crdt.New(crdt.Options{}).Resolve(p, true)
		}
		if p, err := crdt.DecodeRelativePosition(data); err == nil {
			crdt.New(crdt.Options{}).Resolve(p, true)
			again, err := crdt.DecodeRelativePosition(p.Encode())
			ok(t, "position", err)
			if !bytes.Equal(again.Encode(), p.Encode()) {
				t.Fatalf("position = %v, want %v", again, p)
			}
		}
	})
}
