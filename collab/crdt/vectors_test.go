package crdt_test

import (
	"bytes"
	"encoding/json"
	"os"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// TestVectors reads documents that testdata/vectors.mjs made with yjs, and writes them again.
func TestVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors map[string]struct {
		V1, V2, Tail, SV, Snapshot, Snapshot2 []byte
		XML                                   string
	}
	if err := json.Unmarshal(data, &vectors); err != nil {
		t.Fatal(err)
	}
	for name, v := range vectors {
		t.Run(name, func(t *testing.T) {
			one, two := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
			if err := one.ApplyUpdate(v.V1, ""); err != nil {
				t.Fatal(err)
			}
			if err := two.ApplyUpdateV2(v.V2, ""); err != nil {
				t.Fatal(err)
			}
			for what, pair := range map[string][2][]byte{
				"V1": {one.EncodeStateAsUpdate(nil), v.V1}, "V1 from V2": {two.EncodeStateAsUpdate(nil), v.V1},
				"V2": {two.EncodeStateAsUpdateV2(nil), v.V2}, "V2 from V1": {one.EncodeStateAsUpdateV2(nil), v.V2},
				"tail":         {one.EncodeStateAsUpdate(crdt.StateVector{1: 2}), v.Tail},
				"state vector": {one.StateVector().Encode(), v.SV}, "snapshot": {one.Snapshot().Encode(), v.Snapshot},
				"snapshot of version 2": {one.Snapshot().EncodeV2(), v.Snapshot2},
			} {
				if !bytes.Equal(pair[0], pair[1]) {
					t.Errorf("%s = %x, want %x", what, pair[0], pair[1])
				}
			}
			again, err := crdt.DecodeSnapshot(v.Snapshot)
			if err != nil || !again.Equal(one.Snapshot()) {
				t.Errorf("snapshot read = %v, %v, want that of the document", again, err)
			}
			if got := one.XMLFragment("x").String(); v.XML != "" && got != v.XML {
				t.Errorf("markup = %s, want %s", got, v.XML)
			}
		})
	}
}
