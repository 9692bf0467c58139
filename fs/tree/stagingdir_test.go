package tree

import (
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// FuzzRecord reads records that a crash, or anybody, may have left.
func FuzzRecord(f *testing.F) {
	good, err := json.Marshal(record{
		Name: fs.NewFileID().String(), Drive: fs.NewFileID(), Path: []byte("a/\xff"), FileID: fs.NewFileID(), At: "v1", Closed: true,
	})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(good), "", "{", "null", `{"name":"../x"}`, `{"drive":"zz"}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		rec, err := parseRecord(b, nil)
		if err != nil {
			return
		}
		if name := rec.Name + ".data"; filepath.Base(name) != name {
			t.Errorf("parseRecord(%q) gives the name %q, which leads out of the folder", b, rec.Name)
		}
		again, err := json.Marshal(rec)
		if err != nil {
			t.Fatalf("a record that was read cannot be written: %v", err)
		}
		if got, err := parseRecord(again, nil); err != nil || got.Name != rec.Name || string(got.Path) != string(rec.Path) {
			t.Errorf("parseRecord(%q) = %+v, %v, want %+v", again, got, err, rec)
		}
	})
}
