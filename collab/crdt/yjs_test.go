package crdt_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// oracle is one Node process that runs programs on yjs.
type oracle struct {
	in  *json.Encoder
	out *bufio.Reader
}

// nodeModules finds the Node packages, or skips the test.
func nodeModules(t testing.TB) string {
	t.Helper()
	dir := os.Getenv("JUPYTER_DRIVE_TEST_NODE_MODULES")
	if dir == "" {
		dir = filepath.Join("..", "..", "integration", "node", "node_modules")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "yjs", "package.json")); err != nil {
		t.Skip("yjs is not installed: run npm ci in integration/node or set JUPYTER_DRIVE_TEST_NODE_MODULES")
	}
	if _, err := exec.LookPath("node"); err != nil {
		t.Skip("node is not installed")
	}
	return dir
}

func startOracle(t testing.TB) *oracle {
	t.Helper()
	cmd := exec.Command("node", filepath.Join("testdata", "oracle.mjs"), nodeModules(t))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("oracle: %v", err)
		}
	})
	enc := json.NewEncoder(in)
	enc.SetEscapeHTML(false)
	return &oracle{enc, bufio.NewReaderSize(out, 1<<20)}
}

// result is what a program leaves, of either engine.
type result struct {
	Error     string      `json:"error"`
	Updates   []string    `json:"updates"`
	Updates2  []string    `json:"updates2"`
	Events    []any       `json:"events"`
	Positions [][]any     `json:"positions"`
	Docs      []docResult `json:"docs"`
}

type docResult struct {
	Content   any    `json:"content"`
	SV        []byte `json:"sv"`
	V1        []byte `json:"v1"`
	V2        []byte `json:"v2"`
	Snapshot  []byte `json:"snapshot"`
	Snapshot2 []byte `json:"snapshot2"`
}

func (o *oracle) run(t testing.TB, program []any) result {
	t.Helper()
	if err := o.in.Encode(program); err != nil {
		t.Fatal(err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		t.Fatal(err)
	}
	var r result
	if err := json.Unmarshal(line, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// difference names the first thing in which two results differ, "" if none.
func difference(got, want result) string {
	if want.Error != "" {
		return "yjs failed: " + want.Error
	}
	for i := range want.Updates {
		if i >= len(got.Updates) || got.Updates[i] != want.Updates[i] {
			return "update"
		}
	}
	for i := range want.Updates2 {
		if i >= len(got.Updates2) || got.Updates2[i] != want.Updates2[i] {
			return "update of version 2"
		}
	}
	if len(got.Updates) != len(want.Updates) || len(got.Updates2) != len(want.Updates2) {
		return "number of updates"
	}
	if !reflect.DeepEqual(normal(got.Events), normal(want.Events)) {
		return "events"
	}
	if !reflect.DeepEqual(normal(got.Positions), normal(want.Positions)) {
		return "positions"
	}
	for i, w := range want.Docs {
		g := got.Docs[i]
		switch {
		case !reflect.DeepEqual(normal(g.Content), normal(w.Content)):
			return "content"
		case !bytes.Equal(g.SV, w.SV):
			return "state vector"
		case !bytes.Equal(g.V1, w.V1):
			return "full update"
		case !bytes.Equal(g.V2, w.V2):
			return "full update of version 2"
		case !bytes.Equal(g.Snapshot, w.Snapshot), !bytes.Equal(g.Snapshot2, w.Snapshot2):
			return "snapshot"
		}
	}
	return ""
}

// normal makes JSON comparable: nil and empty are the same.
func normal(v any) any {
	b, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	if string(b) == "null" {
		b = []byte("[]")
	}
	var out any
	if err := json.Unmarshal(b, &out); err != nil {
		return err.Error()
	}
	return out
}

func sum(b []byte) string {
	h := sha1.Sum(b)
	return hex.EncodeToString(h[:])
}

// plainJSON is a value as the oracle prints it in deltas and events.
func plainJSON(v crdt.Value) any {
	switch v := v.(type) {
	case nil:
		return nil
	case crdt.Undefined:
		return nil
	case crdt.Bytes:
		return map[string]any{"$": base64.StdEncoding.EncodeToString(v)}
	case *crdt.Text, *crdt.Array, *crdt.Map, *crdt.XML:
		return map[string]any{"$": json.RawMessage(crdt.AppendJSON(nil, v))}
	default:
		return json.RawMessage(crdt.AppendJSON(nil, v))
	}
}

func deltaJSON(ops []crdt.DeltaOp) []any {
	list := []any{}
	for _, op := range ops {
		o := map[string]any{}
		switch in := op.Insert.(type) {
		case nil:
			if op.Retain > 0 {
				o["retain"] = op.Retain
			} else {
				o["delete"] = op.Delete
			}
		case crdt.List:
			vs := []any{}
			for _, v := range in {
				vs = append(vs, plainJSON(v))
			}
			o["insert"] = vs
		default:
			o["insert"] = plainJSON(in)
		}
		if len(op.Attributes) > 0 {
			attrs := map[string]any{}
			for _, a := range op.Attributes {
				attrs[a.Key] = json.RawMessage(crdt.AppendJSON(nil, a.Value))
			}
			o["attributes"] = attrs
		}
		list = append(list, o)
	}
	return list
}

func eventJSON(e *crdt.Event) any {
	path, keys := []any{}, []any{}
	for _, s := range e.Path() {
		if s.InList {
			path = append(path, s.Index)
		} else {
			path = append(path, s.Key)
		}
	}
	for _, k := range e.Keys() {
		change := []any{k.Key, [...]string{"", "add", "update", "delete"}[k.Action]}
		keys = append(keys, append(change, plainJSON(k.Old)))
	}
	delta := []any{}
	if _, ok := e.Target().(*crdt.Map); !ok {
		delta = deltaJSON(e.Delta())
	}
	return map[string]any{"path": path, "keys": keys, "delta": delta}
}
