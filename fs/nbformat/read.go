package nbformat

import (
	"cmp"
	"fmt"
	"maps"
	"strings"
)

// Limits that [Parse] keeps to.
const (
	DefaultMaxBytes  = 512 << 20
	DefaultMaxDepth  = 512
	DefaultMaxValues = 20_000_000
)

// Limits bounds what is parsed. The zero value means the defaults.
type Limits struct {
	Bytes  int // length of the input
	Depth  int // levels of arrays and objects
	Values int // number of values, also in arrays and objects
}

// Parse reads the file of a notebook of version 1 to 4, keeping its version, within the default [Limits].
func Parse(data []byte) (*Notebook, error) { return ParseWithin(data, Limits{}) }

// ParseWithin is Parse within the given limits.
func ParseWithin(data []byte, limits Limits) (*Notebook, error) {
	n, err := parse(data, limits)
	if err != nil {
		return nil, err
	}
	n.root = n.withoutTransients()
	return n, nil
}

// UnmarshalJSON makes n the notebook in data, the content that a client of the contents API sends. It is [Parse], but
// keeps transient metadata: which cells the user trusts, for one, is not in files.
func (n *Notebook) UnmarshalJSON(data []byte) error {
	parsed, err := parse(data, Limits{})
	if err != nil {
		return err
	}
	*n = *parsed
	return nil
}

func parse(data []byte, limits Limits) (*Notebook, error) {
	limits.Bytes = cmp.Or(limits.Bytes, DefaultMaxBytes)
	limits.Depth = cmp.Or(limits.Depth, DefaultMaxDepth)
	limits.Values = cmp.Or(limits.Values, DefaultMaxValues)
	if len(data) > limits.Bytes {
		return nil, &LimitError{What: "bytes", Limit: limits.Bytes}
	}
	v, err := parseJSON(data, limits)
	if err != nil {
		return nil, err
	}
	root, ok := v.(map[string]any)
	if !ok {
		return nil, invalid("must be an object, not %s", kindOf(v))
	}
	n, err := FromMap(root)
	if err == nil {
		n.size = len(data)
	}
	return n, err
}

// readMajor returns the major version, which is 1 when the file does not say.
func readMajor(root map[string]any) (int, error) {
	v, ok := root["nbformat"]
	if !ok {
		return 1, nil
	}
	major, ok := integer(v)
	if !ok {
		return 0, &VersionError{Version: kindOf(v)}
	}
	if major < 1 || major > Major {
		return 0, &VersionError{Version: fmt.Sprint(major)}
	}
	return major, nil
}

// outline checks that cells can be reached: nothing else is required to read a notebook.
func outline(root map[string]any, major int) *ValidationError {
	if major == 1 || major == 4 {
		return outlineCells(root)
	}
	return outlineList(root, "worksheets", outlineCells)
}

func outlineCells(holder map[string]any) *ValidationError {
	return outlineList(holder, "cells", func(map[string]any) *ValidationError { return nil })
}

func outlineList(holder map[string]any, key string, check func(map[string]any) *ValidationError) *ValidationError {
	v, ok := holder[key]
	if !ok {
		return invalid("missing required field %q", key)
	}
	list, ok := v.([]any)
	if !ok {
		return invalid("must be an array, not %s", kindOf(v)).in(key)
	}
	for i, item := range list {
		m, ok := item.(map[string]any)
		if !ok {
			return invalid("must be an object, not %s", kindOf(item)).item(key, i)
		}
		if err := check(m); err != nil {
			return err.item(key, i)
		}
	}
	return nil
}

// join makes one string of each text that the file has as an array of lines.
func (n *Notebook) join(major int) {
	for _, cell := range n.allCells(major) {
		switch major {
		case 4:
			cell.joinLines()
		case 3:
			cell.joinLegacyLines(joinKeptOrCut)
		case 2:
			cell.joinLegacyLines(joinCut)
		}
	}
}

func (c Cell) joinLines() {
	joinField(c, "source", concatenate)
	for _, attachment := range object(c["attachments"]) {
		joinBundle(object(attachment))
	}
	if c.Type() != "code" {
		return
	}
	for _, output := range c.Outputs() {
		switch text(output["output_type"]) {
		case "execute_result", "display_data":
			joinBundle(object(output["data"]))
		case "":
		default:
			joinField(output, "text", concatenate)
		}
	}
}

func joinBundle(bundle map[string]any) {
	for mime := range bundle {
		if !isJSONMime(mime) {
			joinField(bundle, mime, concatenate)
		}
	}
}

// isJSONMime reports whether data of the type is JSON, whose arrays are values, not lines.
func isJSONMime(mime string) bool {
	subtype, ok := strings.CutPrefix(mime, "application/")
	return ok && (subtype == "json" || strings.HasSuffix(subtype, "+json"))
}

// legacyText returns the output fields that versions 2 and 3 split into lines.
func legacyText() []string { return []string{"text", "html", "svg", "latex", "javascript", "json"} }

// joinLegacyLines joins the text of a cell of version 2 or 3.
func (c Cell) joinLegacyLines(join func([]string) string) {
	if c.Type() != "code" {
		joinField(c, "source", join)
		joinField(c, "rendered", join)
		return
	}
	joinField(c, "input", join)
	for _, output := range c.Outputs() {
		for _, key := range legacyText() {
			joinField(output, key, join)
		}
	}
}

// withoutTransients returns the document without what lives in memory only: where a version 4 notebook came from, its
// signature of old, and which cells are trusted. What has nothing to remove is shared with the notebook, not copied.
func (n *Notebook) withoutTransients() map[string]any {
	if major, _ := n.Version(); major != Major {
		return n.root
	}
	root := without(n.root, "metadata", "orig_nbformat", "orig_nbformat_minor", "signature")
	cells := n.Cells()
	list := make([]any, len(cells))
	for i, cell := range cells {
		list[i] = without(cell, "metadata", "trusted")
	}
	root = maps.Clone(root)
	root["cells"] = list
	return root
}

// without returns holder with the keys removed from the object at field, copying both only if there is one to remove.
func without(holder map[string]any, field string, keys ...string) map[string]any {
	inner := object(holder[field])
	found := false
	for _, key := range keys {
		_, ok := inner[key]
		found = found || ok
	}
	if !found {
		return holder
	}
	inner = maps.Clone(inner)
	for _, key := range keys {
		delete(inner, key)
	}
	holder = maps.Clone(holder)
	holder[field] = inner
	return holder
}
