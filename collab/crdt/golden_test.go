package crdt_test

import (
	"encoding/hex"
	"errors"
	"math"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// newDoc is a document with client 1.
func newDoc() *crdt.Doc {
	d := crdt.New(crdt.Options{})
	d.SetClientID(1)
	return d
}

// change makes one transaction and fails the test if an edit fails.
func change(t testing.TB, d *crdt.Doc, f func(tx *crdt.Tx) error) {
	t.Helper()
	d.Transact(func(tx *crdt.Tx) {
		if err := f(tx); err != nil {
			t.Fatal(err)
		}
	})
}

func TestGoldenUpdates(t *testing.T) {
	text := newDoc()
	flag := newDoc()
	cell := newDoc()
	for _, c := range []struct {
		name string
		doc  *crdt.Doc
		edit func(tx *crdt.Tx) error
		want string
	}{
		{"insert", text, func(tx *crdt.Tx) error { return text.Text("source").Insert(tx, 0, "hello") },
			"01010100040106736f757263650568656c6c6f00"},
		{"insert inside", text, func(tx *crdt.Tx) error { return text.Text("source").Insert(tx, 2, "X") },
			"01030100040106736f75726365026865840101036c6c6fc401010102015800"},
		{"delete", text, func(tx *crdt.Tx) error { return text.Text("source").Delete(tx, 0, 1) },
			"01040100010106736f75726365018401000165840101036c6c6fc40101010201580101010001"},
		{"set", flag, func(tx *crdt.Tx) error { return flag.Map("state").Set(tx, "dirty", crdt.Bool(false)) },
			"010101002801057374617465056469727479017900"},
		{"set again", flag, func(tx *crdt.Tx) error { return flag.Map("state").Set(tx, "dirty", crdt.Bool(true)) },
			"01020100210105737461746505646972747901a8010001780101010001"},
		{"cell", cell, func(tx *crdt.Tx) error {
			return cell.Array("cells").Insert(tx, 0, crdt.NewMap(
				crdt.Entry{Key: "id", Value: crdt.String("a")},
				crdt.Entry{Key: "source", Value: crdt.NewText("x")},
				crdt.Entry{Key: "execution_count", Value: crdt.Null{}},
			))
		}, "0105010007010563656c6c730128000100026964017701612700010006736f7572636502040001020178280001000f657865637574696f6e5f636f756e74017e00"},
	} {
		change(t, c.doc, c.edit)
		got := hex.EncodeToString(c.doc.EncodeStateAsUpdate(nil))
		if got != c.want {
			t.Errorf("%s: update = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestGoldenV2(t *testing.T) {
	d := newDoc()
	change(t, d, func(tx *crdt.Tx) error { return d.Text("source").Insert(tx, 0, "hello") })
	want := "00000101000001040e0b736f7572636568656c6c6f06050101000001010000"
	if got := hex.EncodeToString(d.EncodeStateAsUpdateV2(nil)); got != want {
		t.Errorf("update of version 2 = %s, want %s", got, want)
	}
	if got, want := hex.EncodeToString(d.StateVector().Encode()), "010105"; got != want {
		t.Errorf("state vector = %s, want %s", got, want)
	}
}

// TestGoldenAny sends values through a map: the value's bytes stand at the end of the update, before the deletions.
func TestGoldenAny(t *testing.T) {
	object := &crdt.Object{}
	object.Set("a", crdt.Number(1))
	for _, c := range []struct {
		v    crdt.Value
		want string
	}{
		{crdt.Undefined{}, "7f"}, {crdt.Null{}, "7e"}, {crdt.Number(1), "7d01"}, {crdt.Number(-1), "7d41"},
		{crdt.Number(64), "7d8001"}, {crdt.Number(-64), "7dc001"}, {crdt.Number(math.Copysign(0, -1)), "7d40"},
		{crdt.Number(1.5), "7c3fc00000"}, {crdt.Number(1.1), "7b3ff199999999999a"}, {crdt.Number(1 << 31), "7c4f000000"},
		{crdt.BigInt(1), "7a0000000000000001"}, {crdt.Bool(false), "79"}, {crdt.Bool(true), "78"},
		{crdt.String("é"), "7702c3a9"}, {object, "760101617d01"}, {crdt.List{crdt.Number(1)}, "75017d01"},
		{crdt.List{crdt.Bytes{7}}, "7501740107"},
	} {
		d := newDoc()
		change(t, d, func(tx *crdt.Tx) error { return d.Map("m").Set(tx, "k", c.v) })
		update := d.EncodeStateAsUpdate(nil)
		if got, want := hex.EncodeToString(update), "010101002801016d016b01"+c.want+"00"; got != want {
			t.Errorf("%#v = %s, want %s", c.v, got, want)
		}
		other := newDoc()
		other.SetClientID(2)
		if err := other.ApplyUpdate(update, ""); err != nil {
			t.Fatal(err)
		}
		if got, _ := other.Map("m").Get("k"); !crdt.Equal(got, c.v) {
			t.Errorf("%#v came as %#v", c.v, got)
		}
	}
}

func TestSurrogatePairs(t *testing.T) {
	d := newDoc()
	change(t, d, func(tx *crdt.Tx) error { return d.Text("t").Insert(tx, 0, "😀") })
	change(t, d, func(tx *crdt.Tx) error { return d.Text("t").Insert(tx, 1, "a") })
	if got, want := d.Text("t").String(), "\uFFFDa\uFFFD"; got != want {
		t.Errorf("text = %q, want %q", got, want)
	}
	s := "aé😀b"
	for byteOffset, units := range map[int]int{0: 0, 1: 1, 2: 1, 3: 2, 7: 4, 8: 5, 99: 5} {
		if got := crdt.UTF16Offset(s, byteOffset); got != units {
			t.Errorf("UTF16Offset(%q, %d) = %d, want %d", s, byteOffset, got, units)
		}
	}
	for units, byteOffset := range map[int]int{0: 0, 1: 1, 2: 3, 3: 3, 4: 7, 5: 8, 99: 8} {
		if got := crdt.ByteOffset(s, units); got != byteOffset {
			t.Errorf("ByteOffset(%q, %d) = %d, want %d", s, units, got, byteOffset)
		}
	}
}

func TestErrors(t *testing.T) {
	d := newDoc()
	text := d.Text("t")
	change(t, d, func(tx *crdt.Tx) error { return text.Insert(tx, 0, "abc") })
	before := d.StateVector()
	d.Transact(func(tx *crdt.Tx) {
		child := crdt.NewText("x")
		for name, err := range map[string]error{
			"insert beyond the end":   text.Insert(tx, 4, "x"),
			"negative index":          text.Delete(tx, -1, 1),
			"delete beyond the end":   text.Delete(tx, 1, 3),
			"format beyond the end":   text.Format(tx, 3, 1, nil),
			"array beyond the end":    d.Array("a").Insert(tx, 1, crdt.Null{}),
			"array delete on nothing": d.Array("a").Delete(tx, 0, 1),
		} {
			if !errors.Is(err, crdt.ErrRange) {
				t.Errorf("%s: %v, want ErrRange", name, err)
			}
		}
		if err := d.Array("a").Insert(tx, 0, child, child); !errors.Is(err, crdt.ErrDetached) {
			t.Errorf("one type twice: %v, want ErrDetached", err)
		}
		if err := child.Insert(tx, 0, "x"); !errors.Is(err, crdt.ErrDetached) {
			t.Errorf("edit of a type without a document: %v, want ErrDetached", err)
		}
	})
	if got := d.StateVector(); got[1] != before[1] {
		t.Errorf("refused edits changed the state: %v, want %v", got, before)
	}
	for _, bad := range []string{"", "01", "0101010004", "01010100040106736f757263650568656c6c", "0101010005", "01010100ff00000000",
		"010102000101017481808080801000", // one unit more than a client can make
	} {
		data, err := hex.DecodeString(bad)
		if err != nil {
			t.Fatal(err)
		}
		var fault *crdt.DecodeError
		if err := d.ApplyUpdate(data, ""); !errors.As(err, &fault) || fault.Offset > len(data) {
			t.Errorf("ApplyUpdate(%s) = %v, want a DecodeError inside the input", bad, err)
		}
	}
	most, err := hex.DecodeString("010102000101017480808080801000")
	if err == nil {
		err = d.ApplyUpdate(most, "")
	}
	if got := d.StateVector()[2]; err != nil || got != 1<<39 {
		t.Errorf("ApplyUpdate(%x) = %v, state %d", most, err, got)
	}
}

func TestClientIDInUse(t *testing.T) {
	theirs, ours := newDoc(), newDoc()
	change(t, theirs, func(tx *crdt.Tx) error { return theirs.Text("t").Insert(tx, 0, "abc") })
	update := theirs.EncodeStateAsUpdate(nil)
	was := ours.ClientID()
	if ok(t, "update", ours.ApplyUpdate(update, "")); ours.ClientID() == was {
		t.Errorf("client ID is still %d, which another document uses", was)
	}
	ours.SetClientID(was)
	if ok(t, "update", ours.ApplyUpdate(update, "")); ours.ClientID() != was {
		t.Errorf("client ID is %d after an update with nothing new, want %d", ours.ClientID(), was)
	}
}

func TestRestore(t *testing.T) {
	d := crdt.New(crdt.Options{KeepDeleted: true})
	text := d.Text("t")
	change(t, d, func(tx *crdt.Tx) error { return text.Insert(tx, 0, "hello") })
	s := d.Snapshot()
	change(t, d, func(tx *crdt.Tx) error { return text.Delete(tx, 1, 3) })
	change(t, d, func(tx *crdt.Tx) error { return text.Insert(tx, 2, "!") })
	for name, decode := range map[string]func() (*crdt.Snapshot, error){
		"1": func() (*crdt.Snapshot, error) { return crdt.DecodeSnapshot(s.Encode()) },
		"2": func() (*crdt.Snapshot, error) { return crdt.DecodeSnapshotV2(s.EncodeV2()) },
	} {
		again, err := decode()
		if err != nil || !again.Equal(s) {
			t.Fatalf("snapshot of version %s came back as %v, %v", name, again, err)
		}
		old, err := d.Restore(again, crdt.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if got := old.Text("t").String(); got != "hello" {
			t.Errorf("restored text = %q, want hello", got)
		}
	}
	if _, err := newDoc().Restore(s, crdt.Options{}); !errors.Is(err, crdt.ErrCollected) {
		t.Errorf("Restore without deleted content = %v, want ErrCollected", err)
	}
}

// TestRedoneValuesStayApart inserts behind values that were brought back: what they were cut off must stay as it is.
func TestRedoneValuesStayApart(t *testing.T) {
	d := newDoc()
	a := d.Array("a")
	change(t, d, func(tx *crdt.Tx) error {
		return a.Push(tx, crdt.Number(1), crdt.Number(2), crdt.Number(3), crdt.Number(4))
	})
	u := crdt.NewUndoManager(d, crdt.UndoOptions{}, a)
	change(t, d, func(tx *crdt.Tx) error { return a.Delete(tx, 0, 2) })
	u.Undo()
	change(t, d, func(tx *crdt.Tx) error { return a.Insert(tx, 2, crdt.Number(9)) })
	if got := string(crdt.AppendJSON(nil, a)); got != "[1,2,9,3,4]" {
		t.Errorf("array = %s, want [1,2,9,3,4]", got)
	}
}

// TestKnownValuesAreSkipped applies a struct of which all values but the last are known.
func TestKnownValuesAreSkipped(t *testing.T) {
	for n := 1; n < 4; n++ {
		d, other := newDoc(), crdt.New(crdt.Options{})
		a := d.Array("a")
		for i := range n + 1 {
			if i == n {
				must(other.ApplyUpdate(d.EncodeStateAsUpdate(nil), ""))
			}
			change(t, d, func(tx *crdt.Tx) error { return a.Push(tx, crdt.Number(i)) })
		}
		must(other.ApplyUpdate(d.EncodeStateAsUpdate(nil), ""))
		if got, want := string(crdt.AppendJSON(nil, other.Array("a"))), string(crdt.AppendJSON(nil, a)); got != want {
			t.Errorf("array = %s, want %s", got, want)
		}
	}
}
