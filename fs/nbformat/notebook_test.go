package nbformat

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"
)

func mustParse(tb testing.TB, file string) *Notebook {
	tb.Helper()
	n, err := Parse([]byte(file))
	if err != nil {
		tb.Fatalf("Parse(%.200s) = %v", file, err)
	}
	return n
}

func mustMarshal(tb testing.TB, n *Notebook) string {
	tb.Helper()
	data, err := n.Marshal()
	if err != nil {
		tb.Fatalf("Marshal() = %v", err)
	}
	return string(data)
}

func mustJSON(tb testing.TB, n *Notebook) string {
	tb.Helper()
	data, err := n.MarshalJSON()
	if err != nil {
		tb.Fatalf("MarshalJSON() = %v", err)
	}
	return string(data)
}

func TestNewIsTheEmptyNotebookOf72Bytes(t *testing.T) {
	n := New()
	want := "{\n \"cells\": [],\n \"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"
	if got := mustMarshal(t, n); got != want || len(got) != 72 {
		t.Errorf("New().Marshal() = %q of %d bytes, want %q of 72", got, len(got), want)
	}
	if err := n.Validate(); err != nil {
		t.Errorf("New().Validate() = %v, want nil", err)
	}
	if major, minor := n.Version(); major != 4 || minor != 5 {
		t.Errorf("New().Version() = %d, %d, want 4, 5", major, minor)
	}
}

func TestCells(t *testing.T) {
	n := mustParse(t, notebookOf(5, `"title": "T"`, markdownCell,
		`{"id": "c", "cell_type": "code", "metadata": {"x": 1}, "source": ["a\n", "b"], "outputs": [{"output_type": "stream", "name": "stdout", "text": ["x\n", "y"]}, 3], "execution_count": 1}`))
	cells := n.Cells()
	if len(cells) != 2 {
		t.Fatalf("Cells() has %d cells, want 2", len(cells))
	}
	c := cells[1]
	if c.ID() != "c" || c.Type() != "code" || c.Source() != "a\nb" || c.Metadata()["x"] != Int(1) {
		t.Errorf("Cells()[1] = %v", c)
	}
	outputs := c.Outputs()
	if len(outputs) != 2 || outputs[0]["text"] != "x\ny" || outputs[1] != nil {
		t.Errorf("Outputs() = %v, want the stream joined and nil", outputs)
	}
	if n.Metadata()["title"] != "T" {
		t.Errorf("Metadata() = %v", n.Metadata())
	}
}

func TestNewCell(t *testing.T) {
	n := New()
	n.SetCells([]Cell{NewCell("code", "a", "x"), NewCell("markdown", "b", "y"), NewCell("raw", "c", "z")})
	if err := n.Validate(); err != nil {
		t.Errorf("Validate() = %v, want nil", err)
	}
	if c := n.Cells()[0]; c.Type() != "code" || c.ID() != "a" || c.Source() != "x" {
		t.Errorf("NewCell(code, a, x) = %v", c)
	}
}

// TestConcurrentReaders is for the race detector.
func TestConcurrentReaders(t *testing.T) {
	n := mustParse(t, withOutput(`{"output_type": "stream", "name": "stdout", "text": ["a\n", "b"]}`))
	n.MarkTrusted(true)
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			if _, err := n.Marshal(); err != nil {
				t.Error(err)
			}
			if err := n.Validate(); err != nil {
				t.Error(err)
			}
			n.Digest(nil)
			n.Clone().StripTrust()
		})
	}
	readers.Wait()
}

func TestSetCellsKeepsUnknownFields(t *testing.T) {
	n := New()
	n.SetCells([]Cell{{"id": "a", "cell_type": "raw", "metadata": map[string]any{}, "source": "x\ny", "odd": 1}})
	want := "{\n \"cells\": [\n  {\n   \"cell_type\": \"raw\",\n   \"id\": \"a\",\n   \"metadata\": {},\n   \"odd\": 1,\n" +
		"   \"source\": [\n    \"x\\n\",\n    \"y\"\n   ]\n  }\n ],\n \"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"
	if got := mustMarshal(t, n); got != want {
		t.Errorf("Marshal() = %s, want %s", got, want)
	}
}

func TestFromMapTakesGoNumbers(t *testing.T) {
	n, err := FromMap(map[string]any{
		"nbformat": 4, "nbformat_minor": int64(5), "cells": []any{},
		"metadata": map[string]any{"int": 1, "float": 2.0, "small": 1e-7},
	})
	if err != nil {
		t.Fatalf("FromMap() = %v", err)
	}
	if err := n.Validate(); err != nil {
		t.Errorf("Validate() = %v, want nil", err)
	}
	want := `{"cells":[],"metadata":{"float":2.0,"int":1,"small":1e-07},"nbformat":4,"nbformat_minor":5}`
	if got := mustJSON(t, n); got != want {
		t.Errorf("MarshalJSON() = %s, want %s", got, want)
	}
}

func TestMarshalRefusesOtherTypes(t *testing.T) {
	n := New()
	n.Metadata()["x"] = struct{}{}
	if _, err := n.Marshal(); err == nil || !strings.Contains(err.Error(), "struct {}") {
		t.Errorf("Marshal() = %v, want an error that names the type", err)
	}
}

func TestMarshalRefusesOldVersions(t *testing.T) {
	n := mustParse(t, `{"nbformat": 2, "metadata": {}, "worksheets": []}`)
	var version *VersionError
	if _, err := n.Marshal(); !errors.As(err, &version) {
		t.Errorf("Marshal() = %v, want a VersionError", err)
	}
}

func TestMarshalVersion3(t *testing.T) {
	n := mustParse(t, `{"nbformat": 3, "nbformat_minor": 0, "orig_nbformat": 2, "metadata": {"name": "é\u007f"}, "worksheets": [{"cells": [
		{"cell_type": "heading", "level": 1, "source": "😀", "metadata": {"trusted": true}, "trusted": true},
		{"cell_type": "code", "language": "python", "input": ["a\n", "b"], "outputs": [{"output_type": "stream", "stream": "stdout", "text": "x\ny"}]}]}]}`)
	want := `{
 "metadata": {
  "name": "\u00e9\u007f"
 },
 "nbformat": 3,
 "nbformat_minor": 0,
 "worksheets": [
  {
   "cells": [
    {
     "cell_type": "heading",
     "level": 1,
     "metadata": {},
     "source": [
      "\ud83d\ude00"
     ]
    },
    {
     "cell_type": "code",
     "input": [
      "a\n",
      "b"
     ],
     "language": "python",
     "outputs": [
      {
       "output_type": "stream",
       "stream": "stdout",
       "text": [
        "x\n",
        "y"
       ]
      }
     ]
    }
   ]
  }
 ]
}
`
	if got := mustMarshal(t, n); got != want {
		t.Errorf("Marshal() = %s, want %s", got, want)
	}
}

func TestCloneIsDeep(t *testing.T) {
	n := mustParse(t, notebookOf(5, `"a": [{"b": 1}]`, codeCell))
	before := mustMarshal(t, n)
	c := n.Clone()
	c.Cells()[0]["source"] = "changed"
	c.Metadata()["a"].([]any)[0].(map[string]any)["b"] = "changed"
	if got := mustMarshal(t, n); got != before {
		t.Errorf("changing the clone made the notebook %s", got)
	}
}

func TestMarshalKeepsTheNotebook(t *testing.T) {
	n := mustParse(t, notebookOf(5, "", codeCell))
	n.MarkTrusted(true)
	n.Metadata()["orig_nbformat"] = Int(3)
	before := mustJSON(t, n)
	file := mustMarshal(t, n)
	if strings.Contains(file, "trusted") || strings.Contains(file, "orig_nbformat") {
		t.Errorf("Marshal() = %s, want it without transients", file)
	}
	if after := mustJSON(t, n); after != before {
		t.Errorf("Marshal changed %s to %s", before, after)
	}
}

// TestJSONForTheContentsAPI passes a notebook through encoding/json as the field of a model.
func TestJSONForTheContentsAPI(t *testing.T) {
	type model struct {
		Content *Notebook `json:"content"`
	}
	n := mustParse(t, notebookOf(4, `"x": [1.0, 1e400, NaN, 12345678901234567890, "<\ud800\u2028"]`,
		`{"cell_type": "code", "metadata": {}, "source": ["a\n", "b"], "outputs": [], "execution_count": null}`))
	n.MarkTrusted(false)
	data, err := json.Marshal(model{n})
	if err != nil {
		t.Fatalf("json.Marshal() = %v", err)
	}
	want := `{"content":{"cells":[{"cell_type":"code","execution_count":null,"metadata":{"trusted":false},"outputs":[],"source":"a\nb"}],` +
		`"metadata":{"x":[1.0,null,null,12345678901234567890,"\u003c\ud800\u2028"]},"nbformat":4,"nbformat_minor":4}}`
	if string(data) != want {
		t.Errorf("json.Marshal() = %s, want %s", data, want)
	}
	var back model
	if err := json.Unmarshal(data, &back); err != nil {
		t.Fatalf("json.Unmarshal() = %v", err)
	}
	if trusted := back.Content.Cells()[0].Metadata()["trusted"]; trusted != false {
		t.Errorf("after the API trusted = %v, want false", trusted)
	}
	if got, want := mustMarshal(t, back.Content), strings.Replace(mustMarshal(t, n), "Infinity,\n   NaN", "null,\n   null", 1); got != want {
		t.Errorf("after the API the file is %s, want %s", got, want)
	}
	var version *VersionError
	if err := json.Unmarshal([]byte(`{"content": {"nbformat": 7}}`), &back); !errors.As(err, &version) {
		t.Errorf("json.Unmarshal(version 7) = %v, want a VersionError", err)
	}
}
