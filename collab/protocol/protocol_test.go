package protocol_test

import (
	"encoding/hex"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
	"github.com/jupyter-drive/jupyter-drive/collab/protocol"
)

func TestSyncBytes(t *testing.T) {
	doc := crdt.New(crdt.Options{})
	for _, c := range []struct {
		name string
		msg  []byte
		want string
	}{
		{"step 1 of an empty document", protocol.SyncStep1(doc), "000100"},
		{"step 2 of an empty document", protocol.SyncStep2(doc, nil), "01020000"},
		{"update", protocol.Update([]byte{0, 0}), "02020000"},
	} {
		if got := hex.EncodeToString(c.msg); got != c.want {
			t.Errorf("%s = %s, want %s", c.name, got, c.want)
		}
	}
}

func TestHandleSync(t *testing.T) {
	a, b := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
	a.Transact(func(tx *crdt.Tx) {
		if err := a.Text("t").Insert(tx, 0, "hello"); err != nil {
			t.Fatal(err)
		}
	})
	answer, err := protocol.HandleSync(a, protocol.SyncStep1(b), "b")
	if err != nil {
		t.Fatal(err)
	}
	if more, err := protocol.HandleSync(b, answer, "a"); err != nil || more != nil {
		t.Fatalf("HandleSync(step 2) = %x, %v, want no answer", more, err)
	}
	if got := b.Text("t").String(); got != "hello" {
		t.Errorf("text = %q, want hello", got)
	}
	for _, bad := range [][]byte{nil, {0}, {3, 0}, {1, 5, 0}, {255}} {
		if _, err := protocol.HandleSync(a, bad, ""); !errors.Is(err, protocol.ErrMessage) {
			t.Errorf("HandleSync(%x) = %v, want ErrMessage", bad, err)
		}
	}
}

func TestAwarenessBytes(t *testing.T) {
	entries := []protocol.AwarenessEntry{{Client: 9, Clock: 1, State: []byte(`{"user":{"name":"a"}}`)}}
	got := hex.EncodeToString(protocol.EncodeAwareness(entries))
	if want := "01090115" + hex.EncodeToString(entries[0].State); got != want {
		t.Errorf("EncodeAwareness = %s, want %s", got, want)
	}
	back, err := protocol.DecodeAwareness(protocol.EncodeAwareness(entries))
	if err != nil || !reflect.DeepEqual(back, entries) {
		t.Errorf("DecodeAwareness = %v, %v, want %v", back, err, entries)
	}
}

func TestAwarenessClocks(t *testing.T) {
	now := time.Unix(0, 0)
	var changes []protocol.AwarenessChange
	a := protocol.NewAwareness(1, protocol.AwarenessOptions{
		Now: func() time.Time { return now }, OnChange: func(c protocol.AwarenessChange) { changes = append(changes, c) },
	})
	apply := func(client, clock uint64, state string) {
		t.Helper()
		e := protocol.AwarenessEntry{Client: client, Clock: clock}
		if state != "" {
			e.State = []byte(state)
		}
		if err := a.Apply(protocol.EncodeAwareness([]protocol.AwarenessEntry{e}), "peer"); err != nil {
			t.Fatal(err)
		}
	}
	state := func(client uint64, want string) {
		t.Helper()
		if got := string(a.State(client)); got != want {
			t.Errorf("state of %d = %q, want %q", client, got, want)
		}
	}
	apply(2, 3, `{"a":1}`)
	apply(2, 3, `{"a":2}`) // not newer
	state(2, `{"a":1}`)
	apply(2, 4, `{"a":2}`)
	state(2, `{"a":2}`)
	apply(2, 4, "") // the same clock removes
	state(2, "")
	apply(2, 4, `{"a":3}`) // and cannot bring back
	state(2, "")
	apply(1, 7, "") // nobody else removes one's own
	state(1, "{}")
	if got, want := hex.EncodeToString(a.Encode([]uint64{1})), "010108027b7d"; got != want {
		t.Errorf("own state after a removal by others = %s, want %s", got, want)
	}
	apply(2, 5, `{}`)
	now = now.Add(20 * time.Second)
	a.Tick() // renews one's own
	now = now.Add(11 * time.Second)
	a.Tick()
	state(2, "")
	state(1, "{}")
	if last := changes[len(changes)-1]; last.Origin != protocol.TimeoutOrigin || !reflect.DeepEqual(last.Removed, []uint64{2}) {
		t.Errorf("last change = %+v, want the removal of 2 by timeout", last)
	}
}

func FuzzAwareness(f *testing.F) {
	f.Add([]byte{1, 9, 1, 2, '{', '}'})
	f.Fuzz(func(t *testing.T, data []byte) {
		a := protocol.NewAwareness(1, protocol.AwarenessOptions{})
		if a.Apply(data, "") != nil {
			return
		}
		if err := a.Apply(a.Encode(a.Clients()), ""); err != nil {
			t.Errorf("own update is refused: %v", err)
		}
	})
}

func FuzzSync(f *testing.F) {
	f.Add([]byte{0, 1, 0})
	f.Add([]byte{2, 2, 0, 0})
	f.Fuzz(func(_ *testing.T, data []byte) {
		doc := crdt.New(crdt.Options{MaxStructs: 1000})
		_, _ = protocol.HandleSync(doc, data, "")
	})
}
