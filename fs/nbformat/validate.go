package nbformat

import "strings"

// Validate returns nil if the notebook obeys the rules of its own version, else a [*ValidationError] about the first
// breach. It agrees with Python's nbformat, and like that is lenient with minor versions after 4.5: fields, cell types
// and output types it does not know are allowed. It changes nothing: a missing or repeated cell identifier is an error,
// which [Notebook.RepairIDs] would mend.
func (n *Notebook) Validate() error {
	major, minor := n.Version()
	var err *ValidationError
	switch {
	case major == Major && minor >= 0:
		err = validate4(n, format{minor: min(minor, Minor), future: minor > Minor})
	case major == 3 && minor >= 0:
		err = notebook3()(format{future: minor > 0}, n.root)
	default:
		err = invalid("there are no rules for version %d.%d", major, minor)
	}
	if err != nil {
		return err
	}
	return nil
}

func validate4(n *Notebook, f format) *ValidationError {
	if f.minor >= 5 {
		if err := uniqueIDs(n.Cells()); err != nil {
			return err
		}
	}
	return notebook4()(f, n.root)
}

// uniqueIDs checks what a rule for one cell cannot see.
func uniqueIDs(cells []Cell) *ValidationError {
	seen := map[string]bool{}
	for i, cell := range cells {
		id, ok := cell["id"].(string)
		if ok && seen[id] {
			return invalid("%s is the id of an earlier cell too", quote(id)).in("id").item("cells", i)
		}
		seen[id] = ok
	}
	return nil
}

// notebook4 returns the rule of versions 4.0 to 4.5.
func notebook4() rule {
	return closed(
		required("metadata", open(
			optional("kernelspec", open(required("name", isString), required("display_name", isString))),
			optional("language_info", open(
				required("name", isString),
				optional("codemirror_mode", isStringOrObject),
				optional("file_extension", isString),
				optional("mimetype", isString),
				optional("pygments_lexer", isString))),
			optional("orig_nbformat", isInteger(1)),
			optional("title", isString).since(2),
			optional("authors", isArray).since(2))),
		required("nbformat_minor", isInteger(0)),
		required("nbformat", isInteger(Major)),
		required("cells", listOf("cells", tagged("cell_type", cells4(), open(
			required("metadata", open(optional("name", isName), optional("tags", isTags))))))))
}

func cells4() map[string]rule {
	jupyter := optional("jupyter", isObject).since(3)
	name, tags := optional("name", isName), optional("tags", isTags)
	id := required("id", isCellID).since(5)
	source := required("source", isMultiline)
	attachments := optional("attachments", mapOf(mimeBundle))
	return map[string]rule{
		"raw": closed(id, anything("cell_type"), source, attachments,
			required("metadata", open(name, tags, jupyter, optional("format", isString)))),
		"markdown": closed(id, anything("cell_type"), source, attachments,
			required("metadata", open(name, tags, jupyter))),
		"code": closed(id, anything("cell_type"), source,
			required("metadata", open(name, tags, jupyter,
				optional("execution", mapOf(isString)).since(4),
				optional("collapsed", isBool),
				optional("scrolled", isScrolled))),
			required("outputs", listOf("outputs", tagged("output_type", outputs4(), open()))),
			required("execution_count", isCount)),
	}
}

func outputs4() map[string]rule {
	data, metadata := required("data", mimeBundle), required("metadata", isObject)
	return map[string]rule{
		"execute_result": closed(anything("output_type"), data, metadata, required("execution_count", isCount)),
		"display_data":   closed(anything("output_type"), data, metadata),
		"stream":         closed(anything("output_type"), required("name", isString), required("text", isMultiline)),
		"error":          errorOutput(),
	}
}

// errorOutput returns the rule of an error, the same in versions 3 and 4.
func errorOutput() rule {
	return closed(anything("output_type"),
		required("ename", isString), required("evalue", isString), required("traceback", listOf("traceback", isString)))
}

// mimeBundle is the rule of data by MIME type: JSON for JSON types, text for all others.
func mimeBundle(f format, v any) *ValidationError {
	return mapOfEntries(func(f format, mime string, v any) *ValidationError {
		if isJSONMime(mime) || f.future {
			return nil
		}
		return isMultiline(f, v)
	})(f, v)
}

// notebook3 returns the rule of version 3.0.
func notebook3() rule {
	return closed(
		required("metadata", open(
			optional("kernel_info", open(
				required("name", isString), required("language", isString), optional("codemirror_mode", isString))),
			optional("signature", isString))),
		required("nbformat_minor", isInteger(0)),
		required("nbformat", isInteger(3)),
		optional("orig_nbformat", isInteger(1)),
		optional("orig_nbformat_minor", isInteger(0)),
		required("worksheets", listOf("worksheets", closed(
			required("cells", listOf("cells", tagged("cell_type", cells3(), nil))),
			optional("metadata", isObject)))))
}

func cells3() map[string]rule {
	name, tags := optional("name", isName), optional("tags", isTags)
	source, metadata := required("source", isMultiline), optional("metadata", isObject)
	markdown := closed(anything("cell_type"), source, optional("metadata", open(name, tags)))
	return map[string]rule{
		"raw": closed(anything("cell_type"), source,
			optional("metadata", open(name, tags, optional("format", isString)))),
		"markdown": markdown,
		"html":     markdown,
		"heading":  closed(anything("cell_type"), source, metadata, required("level", isInteger(1))),
		"code": closed(anything("cell_type"), metadata,
			required("input", isMultiline),
			required("language", isString),
			optional("collapsed", isBool),
			optional("prompt_number", isCount),
			required("outputs", listOf("outputs", tagged("output_type", outputs3(), nil)))),
	}
}

func outputs3() map[string]rule {
	data := []field{anything("output_type"), optional("metadata", isObject)}
	for _, key := range append(legacyText(), "png", "jpeg", "pdf") {
		data = append(data, optional(key, isMultiline))
	}
	return map[string]rule{
		"pyout": fields{
			list:  append([]field{required("prompt_number", isPosition)}, data...),
			other: legacyMime(func(typ string) bool { return consistsOf(typ, isAlphanumeric) }),
		}.check,
		"display_data": fields{
			list:  data,
			other: legacyMime(func(typ string) bool { return typ != "" && isAlphanumeric(rune(typ[len(typ)-1])) }),
		}.check,
		"stream": closed(anything("output_type"), required("stream", isString), required("text", isMultiline)),
		"pyerr":  errorOutput(),
	}
}

// legacyMime returns the rule for the fields of an output that are named by their MIME type.
func legacyMime(isType func(typ string) bool) entryRule {
	return func(f format, key string, v any) *ValidationError {
		slash := strings.LastIndexByte(key, '/')
		if slash < 0 || !isType(key[:slash]) || !consistsOf(key[slash+1:], isMimeCharacter) {
			return unknownField(key)
		}
		return isMultiline(f, v).in(key)
	}
}
