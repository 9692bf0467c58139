package nbformat

import (
	"errors"
	"strings"
	"testing"
)

// breaches maps the name of each invalid sample to the message about it; all other samples are valid.
func breaches() map[string]string {
	const prompt = " is not one of code, heading, html, markdown, raw"
	return map[string]string{
		"no version":                       `there are no rules for version 1.0`,
		"no minor version":                 `missing required field "nbformat_minor"`,
		"minor version is text":            `nbformat_minor: must be an integer, not a string`,
		"negative minor version":           `there are no rules for version 4.-1`,
		"no cells":                         `missing required field "cells"`,
		"no metadata":                      `missing required field "metadata"`,
		"later minor version, broken tags": `cells[0].metadata.tags[0]: must not be empty`,
		"later minor version, no id":       `cells[0]: missing required field "id"`,
		"raw cell without id in 4.5":       `cells[0]: missing required field "id"`,
		"id in 4.4":                        `cells[0]: unknown field "id"`,
		"title is a number in 4.2":         `metadata.title: must be a string, not an integer`,
		"authors are text in 4.2":          `metadata.authors: must be an array, not a string`,
		"jupyter is text in 4.3":           `cells[0].metadata.jupyter: must be an object, not a string`,
		"execution is text in 4.5":         `cells[0].metadata.execution: must be an object, not a string`,
		"execution time is a number":       `cells[0].metadata.execution.x: must be a string, not an integer`,
		"unknown field of the notebook":    `unknown field "x"`,
		"unknown field of a cell":          `cells[0]: unknown field "x"`,
		"unknown cell type":                `cells[0].cell_type: "heading" is not one of code, markdown, raw`,
		"no cell type":                     `cells[0]: missing required field "cell_type"`,
		"no source":                        `cells[0]: missing required field "source"`,
		"no cell metadata":                 `cells[0]: missing required field "metadata"`,
		"no outputs":                       `cells[0]: missing required field "outputs"`,
		"no execution count":               `cells[0]: missing required field "execution_count"`,
		"negative execution count":         `cells[0].execution_count: must be at least 0`,
		"execution count 1.0":              `cells[0].execution_count: must be an integer, not a number`,
		"attachments of code":              `cells[0]: unknown field "attachments"`,
		"attachment with numbers":          `cells[0].attachments.x.text/plain[0]: must be a string, not an integer`,
		"id of 65 characters":              `cells[0].id: must be 1 to 64 of the letters, digits, - and _`,
		"empty id":                         `cells[0].id: must be 1 to 64 of the letters, digits, - and _`,
		"id with a dot":                    `cells[0].id: must be 1 to 64 of the letters, digits, - and _`,
		"repeated id":                      `cells[2].id: "m" is the id of an earlier cell too`,
		"empty tag":                        `cells[0].metadata.tags[0]: must not be empty`,
		"tag with a comma":                 `cells[0].metadata.tags[0]: must not contain a comma`,
		"repeated tag":                     `cells[0].metadata.tags[2]: repeats the tag "a"`,
		"empty name":                       `cells[0].metadata.name: must be a line of text that is not empty`,
		"name of two lines":                `cells[0].metadata.name: must be a line of text that is not empty`,
		"scrolled is text":                 `cells[0].metadata.scrolled: must be true, false or "auto"`,
		"collapsed is a number":            `cells[0].metadata.collapsed: must be a boolean, not an integer`,
		"kernelspec without display name":  `metadata.kernelspec: missing required field "display_name"`,
		"language without name":            `metadata.language_info: missing required field "name"`,
		"codemirror mode is a number":      `metadata.language_info.codemirror_mode: must be a string or an object, not an integer`,
		"display without metadata":         `cells[0].outputs[0]: missing required field "metadata"`,
		"display without data":             `cells[0].outputs[0]: missing required field "data"`,
		"display with a count":             `cells[0].outputs[0]: unknown field "execution_count"`,
		"display with an id":               `cells[0].outputs[0]: unknown field "transient"`,
		"result without count":             `cells[0].outputs[0]: missing required field "execution_count"`,
		"stream without name":              `cells[0].outputs[0]: missing required field "name"`,
		"stream without text":              `cells[0].outputs[0]: missing required field "text"`,
		"error with text as traceback":     `cells[0].outputs[0].traceback: must be an array, not a string`,
		"error with lines of text":         `cells[0].outputs[0]: unknown field "text"`,
		"output of version 3":              `cells[0].outputs[0].output_type: "pyout" is not one of display_data, error, execute_result, stream`,
		"output without type":              `cells[0].outputs[0]: missing required field "output_type"`,
		"data is a number":                 `cells[0].outputs[0].data.text/plain: must be a string or an array of strings, not an integer`,
		"not an application":               `cells[0].outputs[0].data.text/x+json: must be a string or an array of strings, not an object`,
		"3: no worksheets":                 `missing required field "worksheets"`,
		"3: no metadata":                   `missing required field "metadata"`,
		"3: code without outputs":          `worksheets[0].cells[0]: missing required field "outputs"`,
		"3: heading of level 0":            `worksheets[0].cells[0].level: must be at least 1`,
		"3: heading without level":         `worksheets[0].cells[0]: missing required field "level"`,
		"3: unknown cell type":             `worksheets[0].cells[0].cell_type: "plaintext"` + prompt,
		"3: stream without name":           `worksheets[0].cells[0].outputs[0]: missing required field "stream"`,
		"3: result without count":          `worksheets[0].cells[0].outputs[0]: missing required field "prompt_number"`,
		"3: unknown output field":          `worksheets[0].cells[0].outputs[0]: unknown field "odd"`,
		"2":                                `there are no rules for version 2.0`,
		"1":                                `there are no rules for version 1.0`,
		"1: unknown cell type":             `there are no rules for version 1.0`,
	}
}

func TestValidate(t *testing.T) {
	want := breaches()
	for _, s := range ruleSamples() {
		t.Run(s.name, func(t *testing.T) {
			n, err := Parse(s.data)
			if err == nil {
				err = n.Validate()
			}
			message := ""
			if breach, ok := want[s.name]; ok {
				message = "notebook validation failed: " + breach
			}
			if got := errorText(err); got != message {
				t.Errorf("Validate() = %q, want %q", got, message)
			}
		})
		delete(want, s.name)
	}
	for name := range want {
		t.Errorf("there is no sample %q", name)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestValidationErrorSaysWhichCell(t *testing.T) {
	const outside = -1
	for _, tt := range []struct {
		name, notebook string
		cell           int
	}{
		{"field of a cell", notebookOf(5, "", codeCell, markdownCell, cellWith(`"name": ""`)), 2},
		{"repeated id", notebookOf(5, "", codeCell, markdownCell, codeCell), 2},
		{"cell that is text", notebookOf(5, "", codeCell, `"text"`), 1},
		{"notebook metadata", notebookOf(5, `"title": 1`, codeCell), outside},
		{"cell of version 3", notebook3Of(`{"cell_type": "raw", "source": ""}`, `{"cell_type": "raw"}`), 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n, err := Parse([]byte(tt.notebook))
			if err == nil {
				err = n.Validate()
			}
			var breach *ValidationError
			if !errors.As(err, &breach) || breach.Cell != tt.cell {
				t.Errorf("Validate() = %#v, want an error of cell %d", err, tt.cell)
			}
		})
	}
}

func TestValidationErrorIsShort(t *testing.T) {
	long := strings.Repeat("日", 100_000)
	for _, cell := range []string{
		`{"id": "a", "cell_type": "raw", "metadata": {}, "source": "", "` + long + `": 1}`,
		`{"id": "a", "cell_type": "` + long + `", "metadata": {}, "source": ""}`,
		`{"id": "a", "cell_type": "raw", "metadata": {}, "source": "", "attachments": {"` + long + `": {"x": 1}}}`,
	} {
		n := mustParse(t, notebookOf(5, "", cell))
		err := n.Validate()
		if got := errorText(err); got == "" || len(got) > 300 || !strings.Contains(got, "日...") {
			t.Errorf("Validate() has a message of %d bytes, want a short one", len(got))
		}
	}
}

func TestValidateChangesNothing(t *testing.T) {
	for _, s := range ruleSamples() {
		n, err := Parse(s.data)
		if err != nil {
			continue
		}
		before := mustJSON(t, n)
		_ = n.Validate() // whether it is valid is not the question
		if after := mustJSON(t, n); after != before {
			t.Errorf("%s: Validate changed %s to %s", s.name, before, after)
		}
	}
}
