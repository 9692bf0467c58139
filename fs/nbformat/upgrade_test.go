package nbformat

import (
	"errors"
	"strings"
	"testing"
)

func TestUpgradeCells(t *testing.T) {
	for _, tt := range []struct{ name, from, to string }{
		{
			"code",
			`{"cell_type": "code", "language": "python", "collapsed": true, "input": ["a\n", "b"], "prompt_number": 3, "outputs": [], "odd": 1}`,
			`{"cell_type":"code","execution_count":3,"id":"id-0","metadata":{"collapsed":true},"odd":1,"outputs":[],"source":"a\nb"}`,
		},
		{
			"code without input",
			`{"cell_type": "code", "outputs": []}`,
			`{"cell_type":"code","execution_count":null,"id":"id-0","metadata":{},"outputs":[],"source":""}`,
		},
		{
			"heading",
			`{"cell_type": "heading", "level": 2, "source": ["a\r\n", "b\n", "c"]}`,
			`{"cell_type":"markdown","id":"id-0","metadata":{},"source":"## a b c"}`,
		},
		{
			"heading without anything",
			`{"cell_type": "heading"}`,
			`{"cell_type":"markdown","id":"id-0","metadata":{},"source":"# "}`,
		},
		{
			"heading of a hostile level",
			`{"cell_type": "heading", "level": 99999999999, "source": "x"}`,
			`{"cell_type":"markdown","id":"id-0","metadata":{},"source":"` + strings.Repeat("#", 100) + ` x"}`,
		},
		{
			"HTML",
			`{"cell_type": "html", "source": "<b>", "metadata": {"x": 1}}`,
			`{"cell_type":"markdown","id":"id-0","metadata":{"x":1},"source":"<b>"}`,
		},
		{
			"identifier that version 3 does not have",
			`{"cell_type": "raw", "source": "", "id": "old"}`,
			`{"cell_type":"raw","id":"id-0","metadata":{},"source":""}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, notebook3Of(tt.from))
			if err := n.Upgrade(numberedIDs()); err != nil {
				t.Fatalf("Upgrade() = %v", err)
			}
			want := `{"cells":[` + tt.to + `],"metadata":{"orig_nbformat":3,"orig_nbformat_minor":0},"nbformat":4,"nbformat_minor":5}`
			if got := mustJSON(t, n); got != want {
				t.Errorf("Upgrade() made %s, want %s", got, want)
			}
		})
	}
}

func TestUpgradeOutputs(t *testing.T) {
	for _, tt := range []struct{ name, from, to string }{
		{
			"result",
			`{"output_type": "pyout", "prompt_number": 2, "text": ["a\n", "b"], "html": "h", "svg": "s", "png": "p", "jpeg": "j", "latex": "l", "javascript": "x", "metadata": {"png": {"w": 1}}}`,
			`{"data":{"application/javascript":"x","image/jpeg":"j","image/png":"p","image/svg+xml":"s","text/html":"h","text/latex":"l","text/plain":"a\nb"},"execution_count":2,"metadata":{"image/png":{"w":1}},"output_type":"execute_result"}`,
		},
		{"JSON", `{"output_type": "display_data", "json": ["[1.50,", "NaN]"]}`, `{"data":{"application/json":[1.5,null]},"metadata":{},"output_type":"display_data"}`},
		{"JSON that is none", `{"output_type": "display_data", "json": "{"}`, `{"data":{"application/json":"{"},"metadata":{},"output_type":"display_data"}`},
		{"full type", `{"output_type": "display_data", "text/x-y": "a"}`, `{"data":{"text/x-y":"a"},"metadata":{},"output_type":"display_data"}`},
		{"stream", `{"output_type": "stream", "stream": "stderr", "text": "x"}`, `{"name":"stderr","output_type":"stream","text":"x"}`},
		{"stream without name", `{"output_type": "stream", "text": "x"}`, `{"name":"stdout","output_type":"stream","text":"x"}`},
		{"error", `{"output_type": "pyerr", "ename": "E", "evalue": "v", "traceback": []}`, `{"ename":"E","evalue":"v","output_type":"error","traceback":[]}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, notebook3Of(`{"cell_type": "code", "input": "", "outputs": [`+tt.from+`]}`))
			if err := n.Upgrade(numberedIDs()); err != nil {
				t.Fatalf("Upgrade() = %v", err)
			}
			if got := mustJSON(t, n); !strings.Contains(got, `"outputs":[`+tt.to+`]`) {
				t.Errorf("Upgrade() made %s, want the output %s", got, tt.to)
			}
		})
	}
}

func TestUpgradeNotebooks(t *testing.T) {
	for _, tt := range []struct{ name, from, to string }{
		{
			"worksheets become one list",
			`{"nbformat": 3, "nbformat_minor": 1, "orig_nbformat": 2, "metadata": {"name": "n", "signature": "s", "x": 1}, "worksheets": [{"cells": [{"cell_type": "raw", "source": "a"}]}, {"cells": [{"cell_type": "raw", "source": "b"}]}]}`,
			`{"cells":[{"cell_type":"raw","id":"id-0","metadata":{},"source":"a"},{"cell_type":"raw","id":"id-1","metadata":{},"source":"b"}],"metadata":{"orig_nbformat":2,"orig_nbformat_minor":0,"x":1},"nbformat":4,"nbformat_minor":5}`,
		},
		{
			"versions it came from are empty",
			`{"nbformat": 3, "nbformat_minor": 0, "orig_nbformat": 0, "orig_nbformat_minor": [], "metadata": {}, "worksheets": []}`,
			`{"cells":[],"metadata":{"orig_nbformat":3,"orig_nbformat_minor":0},"nbformat":4,"nbformat_minor":5}`,
		},
		{
			"version 2",
			`{"nbformat": 2, "metadata": {}, "worksheets": [{"cells": [{"cell_type": "markdown", "source": ["a", "b"]}]}]}`,
			`{"cells":[{"cell_type":"markdown","id":"id-0","metadata":{},"source":"a\nb"}],"metadata":{"orig_nbformat":2,"orig_nbformat_minor":0},"nbformat":4,"nbformat_minor":5}`,
		},
		{
			"version 1",
			`{"cells": [{"cell_type": "code", "code": "x", "prompt_number": 2}, {"cell_type": "text", "text": "y"}]}`,
			`{"cells":[{"cell_type":"code","execution_count":2,"id":"id-0","metadata":{"collapsed":false},"outputs":[],"source":"x"},{"cell_type":"markdown","id":"id-1","metadata":{},"source":"y"}],"metadata":{"orig_nbformat":2,"orig_nbformat_minor":0},"nbformat":4,"nbformat_minor":5}`,
		},
		{
			"version 4.2 stays",
			`{"nbformat": 4, "nbformat_minor": 2, "metadata": {}, "cells": [{"cell_type": "raw", "metadata": {}, "source": ""}]}`,
			`{"cells":[{"cell_type":"raw","metadata":{},"source":""}],"metadata":{},"nbformat":4,"nbformat_minor":2}`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, tt.from)
			if err := n.Upgrade(numberedIDs()); err != nil {
				t.Fatalf("Upgrade() = %v", err)
			}
			if got := mustJSON(t, n); got != tt.to {
				t.Errorf("Upgrade() made %s, want %s", got, tt.to)
			}
		})
	}
}

func TestUpgradeErrorsChangeNothing(t *testing.T) {
	good := `{"cell_type": "heading", "source": "a"}`
	for _, tt := range []struct{ name, file, want string }{
		{"no metadata", `{"nbformat": 3, "worksheets": []}`, `missing required field "metadata"`},
		{"no cell type", notebook3Of(good, `{}`), `cells[1]: missing required field "cell_type"`},
		{"no outputs", notebook3Of(good, `{"cell_type": "code"}`), `cells[1].outputs: must be an array`},
		{"output is text", notebook3Of(good, `{"cell_type": "code", "outputs": ["x"]}`), `cells[1].outputs[0]: must be an object with an output_type`},
		{"output without type", notebook3Of(good, `{"cell_type": "code", "outputs": [{}]}`), `cells[1].outputs[0]: must be an object with an output_type`},
		{"metadata is text", notebook3Of(good, `{"cell_type": "code", "collapsed": true, "metadata": "x", "outputs": []}`), `cells[1].metadata: must be an object, not a string`},
		{"level is text", notebook3Of(good, `{"cell_type": "heading", "level": "1"}`), `cells[1].level: must be an integer, not a string`},
		{"heading is a number", notebook3Of(good, `{"cell_type": "heading", "source": 1}`), `cells[1].source: must be a string or an array of strings`},
		{"version 1 with a new cell", `{"cells": [{"cell_type": "raw"}]}`, `cells[0].cell_type: must be "code" or "text"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, tt.file)
			before := mustJSON(t, n)
			err := n.Upgrade(RandomIDs())
			if want := "notebook validation failed: " + tt.want; errorText(err) != want {
				t.Errorf("Upgrade() = %v, want %s", err, want)
			}
			if after := mustJSON(t, n); after != before {
				t.Errorf("Upgrade() changed %s to %s", before, after)
			}
		})
	}
}

func TestUpgradeMinor(t *testing.T) {
	n := mustParse(t, notebookOf(4, "", rawCell, markdownCell))
	if err := n.UpgradeMinor(numberedIDs()); err != nil {
		t.Fatalf("UpgradeMinor() = %v", err)
	}
	want := `{"cells":[{"cell_type":"raw","id":"id-0","metadata":{},"source":"x"},{"cell_type":"markdown","id":"m","metadata":{},"source":"a\nb"}],` +
		`"metadata":{"orig_nbformat_minor":4},"nbformat":4,"nbformat_minor":5}`
	if got := mustJSON(t, n); got != want {
		t.Errorf("UpgradeMinor() made %s, want %s", got, want)
	}
	later := mustParse(t, notebookOf(7, ""))
	if err := later.UpgradeMinor(numberedIDs()); err != nil {
		t.Errorf("UpgradeMinor() of 4.7 = %v, want nil", err)
	}
	if _, minor := later.Version(); minor != 7 {
		t.Errorf("UpgradeMinor() of 4.7 made 4.%d", minor)
	}
	for _, file := range []string{`{"nbformat": 4, "metadata": {}, "cells": []}`, notebook3Of(), `{"nbformat": 4, "nbformat_minor": 1, "cells": []}`} {
		var breach *ValidationError
		if err := mustParse(t, file).UpgradeMinor(numberedIDs()); !errors.As(err, &breach) {
			t.Errorf("UpgradeMinor(%s) = %v, want a ValidationError", file, err)
		}
	}
}
