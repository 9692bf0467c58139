package nbformat

import "strings"

// maxHeading bounds the number signs a heading of version 3 turns into; more than 6 are no heading anyway.
const maxHeading = 100

// Upgrade raises a notebook of version 1, 2 or 3 to 4.5, with cell identifiers from ids, and leaves any version 4
// notebook as it is. The metadata orig_nbformat and orig_nbformat_minor, which are not written to files, tell what it
// was. If something necessary is missing, the error is a [*ValidationError] and the notebook is unchanged.
func (n *Notebook) Upgrade(ids IDSource) error {
	major, _ := n.Version()
	if major == Major {
		return nil
	}
	upgraded := n.Clone()
	steps := []func(*Notebook) *ValidationError{upgradeFrom1, upgradeFrom2, upgradeFrom3}
	for _, step := range steps[major-1:] {
		if err := step(upgraded); err != nil {
			return err
		}
	}
	fillIDs(upgraded.Cells(), ids)
	n.root = upgraded.root
	return nil
}

// UpgradeMinor raises a notebook of version 4.0 to 4.4 to 4.5: cells get identifiers from ids where they have none, and
// the metadata orig_nbformat_minor, which is not written to files, tells what it was. A later minor version stays.
func (n *Notebook) UpgradeMinor(ids IDSource) error {
	major, minor := n.Version()
	if _, ok := n.root["nbformat_minor"]; !ok || major != Major {
		return invalid("only a notebook of version 4 with its nbformat_minor can be upgraded to 4.%d", Minor)
	}
	if minor >= Minor {
		return nil
	}
	metadata := n.Metadata()
	if metadata == nil {
		return invalid("missing required field %q", "metadata")
	}
	metadata["orig_nbformat_minor"] = Int(int64(minor))
	n.root["nbformat_minor"] = Int(Minor)
	fillIDs(n.Cells(), ids)
	return nil
}

// upgradeFrom1 makes a notebook of version 2, with one worksheet.
func upgradeFrom1(n *Notebook) *ValidationError {
	cells := []any{}
	for i, old := range n.Cells() {
		cell, err := cellFrom1(old)
		if err != nil {
			return err.item("cells", i)
		}
		cells = append(cells, cell)
	}
	n.root = map[string]any{
		"nbformat":   Int(2),
		"metadata":   map[string]any{},
		"worksheets": []any{map[string]any{"cells": cells}},
	}
	return nil
}

func cellFrom1(old Cell) (map[string]any, *ValidationError) {
	switch old.Type() {
	case "code":
		cell := map[string]any{"cell_type": "code", "language": "python", "collapsed": false, "outputs": []any{}}
		rename(old, "code", cell, "input")
		rename(old, "prompt_number", cell, "prompt_number")
		return cell, nil
	case "text":
		cell := map[string]any{"cell_type": "markdown"}
		rename(old, "text", cell, "source")
		return cell, nil
	}
	return nil, invalid("must be \"code\" or \"text\"").in("cell_type")
}

// rename sets to[toKey] to the value of from[fromKey], if there is one and it is not null.
func rename(from map[string]any, fromKey string, to map[string]any, toKey string) {
	if v := from[fromKey]; v != nil {
		to[toKey] = v
	}
}

// upgradeFrom2 makes a notebook of version 3.
func upgradeFrom2(n *Notebook) *ValidationError {
	n.root["nbformat"] = Int(3)
	n.root["nbformat_minor"] = Int(0)
	n.root["orig_nbformat"] = Int(2)
	return nil
}

// upgradeFrom3 makes a notebook of version 4.5 whose cells still lack identifiers.
func upgradeFrom3(n *Notebook) *ValidationError {
	metadata := n.Metadata()
	if metadata == nil {
		return invalid("missing required field %q", "metadata")
	}
	metadata["orig_nbformat"] = originally(n.root, "orig_nbformat", 3)
	metadata["orig_nbformat_minor"] = originally(n.root, "orig_nbformat_minor", 0)
	delete(metadata, "name")
	delete(metadata, "signature")

	cells := worksheetCells(n.root)
	for i, cell := range cells {
		if err := cell.upgrade(); err != nil {
			return err.item("cells", i)
		}
	}
	delete(n.root, "worksheets")
	n.root["nbformat"] = Int(Major)
	n.root["nbformat_minor"] = Int(Minor)
	n.SetCells(cells)
	return nil
}

// originally takes a version number out of the root; without one, or with an empty value, it is what the notebook has now.
func originally(root map[string]any, key string, now int64) any {
	v := root[key]
	delete(root, key)
	if isEmpty(v) {
		return Int(now)
	}
	return v
}

// isEmpty reports whether v is null, false, zero, or without elements or characters.
func isEmpty(v any) bool {
	switch v := v.(type) {
	case string:
		return v == ""
	case []any:
		return len(v) == 0
	case map[string]any:
		return len(v) == 0
	case Number:
		return v.Float64() == 0
	}
	return v == nil || v == false
}

// upgrade makes a cell of version 3 one of version 4.
func (c Cell) upgrade() *ValidationError {
	delete(c, "id")
	if _, ok := c["metadata"]; !ok {
		c["metadata"] = map[string]any{}
	}
	switch c.Type() {
	case "":
		return invalid("missing required field %q", "cell_type")
	case "code":
		return c.upgradeCode()
	case "heading":
		return c.upgradeHeading()
	case "html":
		c["cell_type"] = "markdown"
	}
	return nil
}

func (c Cell) upgradeCode() *ValidationError {
	delete(c, "language")
	if collapsed, ok := c["collapsed"]; ok {
		metadata := c.Metadata()
		if metadata == nil {
			return invalid("must be an object, not %s", kindOf(c["metadata"])).in("metadata")
		}
		metadata["collapsed"] = collapsed
		delete(c, "collapsed")
	}
	move(c, "input", "source", "")
	move(c, "prompt_number", "execution_count", nil)
	outputs, ok := c["outputs"].([]any)
	if !ok {
		return invalid("must be an array").in("outputs")
	}
	for i, v := range outputs {
		output, ok := v.(map[string]any)
		if _, typed := output["output_type"]; !ok || !typed {
			return invalid("must be an object with an output_type").at(i).in("outputs")
		}
		upgradeOutput(output)
	}
	return nil
}

// upgradeHeading makes a line of Markdown, with as many number signs as the level of the heading.
func (c Cell) upgradeHeading() *ValidationError {
	level := 1
	if v, ok := c["level"]; ok {
		if level, ok = integer(v); !ok {
			return invalid("must be an integer, not %s", kindOf(v)).in("level")
		}
	}
	source, ok := c["source"].(string)
	if _, present := c["source"]; present && !ok {
		return invalid("must be a string or an array of strings").in("source")
	}
	lines := splitLines(source)
	words := make([]string, len(lines))
	for i, line := range lines {
		words[i] = trimBoundary(text(line))
	}
	delete(c, "level")
	c["cell_type"] = "markdown"
	c["source"] = strings.Repeat("#", max(0, min(level, maxHeading))) + " " + strings.Join(words, " ")
	return nil
}

// upgradeOutput makes an output of version 3 one of version 4.
func upgradeOutput(output map[string]any) {
	switch output["output_type"] {
	case "pyout":
		output["output_type"] = "execute_result"
		move(output, "prompt_number", "execution_count", nil)
		upgradeBundle(output)
	case "display_data":
		upgradeBundle(output)
	case "pyerr":
		output["output_type"] = "error"
	case "stream":
		move(output, "stream", "name", "stdout")
	}
}

// upgradeBundle moves the data of an output, which version 3 has among its fields, into a MIME bundle.
func upgradeBundle(output map[string]any) {
	data := map[string]any{}
	for key, v := range output {
		switch key {
		case "output_type", "execution_count", "metadata":
		default:
			data[key] = v
			delete(output, key)
		}
	}
	nameMimes(data)
	upgradeJSON(data)
	output["data"] = data
	if _, ok := output["metadata"]; !ok {
		output["metadata"] = map[string]any{}
	}
	nameMimes(object(output["metadata"]))
}

// nameMimes replaces the short keys of version 3 by MIME types.
func nameMimes(bundle map[string]any) {
	for short, mime := range map[string]string{
		"text":       "text/plain",
		"html":       "text/html",
		"svg":        "image/svg+xml",
		"png":        "image/png",
		"jpeg":       "image/jpeg",
		"latex":      "text/latex",
		"json":       "application/json",
		"javascript": "application/javascript",
	} {
		if v, ok := bundle[short]; ok {
			bundle[mime] = v
			delete(bundle, short)
		}
	}
}

// upgradeJSON replaces the text of JSON data, as version 3 has it, by its value. Text that is not JSON stays text.
func upgradeJSON(data map[string]any) {
	const mime = "application/json"
	s, ok := data[mime].(string)
	if !ok {
		return
	}
	limits := Limits{Depth: DefaultMaxDepth, Values: DefaultMaxValues}
	if v, err := parseJSON([]byte(s), limits); err == nil {
		data[mime] = v
	}
}

// move renames the field from of m; if it is missing, to becomes the fallback.
func move(m map[string]any, from, to string, fallback any) {
	v, ok := m[from]
	if !ok {
		v = fallback
	}
	delete(m, from)
	m[to] = v
}
