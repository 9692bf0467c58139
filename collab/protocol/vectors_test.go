package protocol_test

import (
	"bytes"
	"encoding/json"
	"os"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
	"github.com/jupyter-drive/jupyter-drive/collab/protocol"
)

// vectors are what testdata/vectors.mjs wrote with y-protocols.
type vectors struct {
	Doc, Other           []byte
	Step1, Step2, Update []byte
	Steps                []awarenessStep
}

// awarenessStep is something that is done to awareness, and what comes of it.
type awarenessStep struct {
	Name    string
	Arg     string
	Changes []struct {
		Added, Updated, Removed []uint64
		Origin                  crdt.Origin
	}
	All    []byte
	States map[string]json.RawMessage
}

func readVectors(t *testing.T) (v vectors) {
	t.Helper()
	data, err := os.ReadFile("testdata/vectors.json")
	if err == nil {
		err = json.Unmarshal(data, &v)
	}
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSyncVectors(t *testing.T) {
	v := readVectors(t)
	doc, other := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
	for d, update := range map[*crdt.Doc][]byte{doc: v.Doc, other: v.Other} {
		if err := d.ApplyUpdate(update, ""); err != nil {
			t.Fatal(err)
		}
	}
	for name, pair := range map[string][2][]byte{
		"step 1": {protocol.SyncStep1(doc), v.Step1},
		"step 2": {protocol.SyncStep2(other, doc.StateVector()), v.Step2},
		"update": {protocol.Update(v.Doc), v.Update},
	} {
		if !bytes.Equal(pair[0], pair[1]) {
			t.Errorf("%s = %x, want %x", name, pair[0], pair[1])
		}
	}
	answer, err := protocol.HandleSync(other, v.Step1, "peer")
	if err != nil || !bytes.Equal(answer, v.Step2) {
		t.Errorf("HandleSync(step 1) = %x, %v, want %x", answer, err, v.Step2)
	}
	if _, err := protocol.HandleSync(doc, v.Step2, "peer"); err != nil || doc.Text("t").String() != "hello!" {
		t.Errorf("HandleSync(step 2): %v, text %q, want hello!", err, doc.Text("t"))
	}
}

// TestAwarenessVectors does what was done to y-protocols' awareness and looks for the same clocks, states and changes.
func TestAwarenessVectors(t *testing.T) {
	var got []protocol.AwarenessChange
	a := protocol.NewAwareness(7, protocol.AwarenessOptions{
		Now:      func() time.Time { return time.Unix(0, 0) },
		OnChange: func(c protocol.AwarenessChange) { got = append(got, c) },
	})
	known := []uint64{7}
	for i, s := range readVectors(t).Steps {
		got = nil
		var err error
		switch s.Name {
		case "local":
			err = a.SetLocalState(json.RawMessage(s.Arg))
		case "apply":
			var update []byte
			if err = json.Unmarshal([]byte(`"`+s.Arg+`"`), &update); err == nil {
				err = a.Apply(update, "peer")
			}
		default:
			var clients []uint64
			if err = json.Unmarshal([]byte(s.Arg), &clients); err == nil {
				a.Remove(clients, "gone")
			}
		}
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		entries, err := protocol.DecodeAwareness(s.All)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !slices.Contains(known, e.Client) {
				known = append(known, e.Client)
			}
		}
		slices.Sort(known)
		if all := a.Encode(known); !bytes.Equal(all, s.All) {
			t.Errorf("step %d (%s %s): sent %q, want %q", i, s.Name, s.Arg, all, s.All)
		}
		if len(a.Clients()) != len(s.States) {
			t.Errorf("step %d: states of %v, want %v", i, a.Clients(), s.States)
		}
		if len(got) != len(s.Changes) {
			t.Fatalf("step %d (%s %s): changes %+v, want %+v", i, s.Name, s.Arg, got, s.Changes)
		}
		for j, want := range s.Changes {
			have := [][]uint64{got[j].Added, got[j].Updated, got[j].Removed}
			for k, clients := range [][]uint64{want.Added, want.Updated, want.Removed} {
				if !slices.Equal(have[k], clients) || !reflect.DeepEqual(got[j].Origin, want.Origin) {
					t.Errorf("step %d (%s %s): change %+v, want %+v", i, s.Name, s.Arg, got[j], want)
				}
			}
		}
	}
}
