package nbformat

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// SyntaxError says where bytes stop being JSON as Python's json module reads it.
type SyntaxError struct {
	Offset int    // in bytes, from 0
	Line   int    // from 1
	Column int    // in characters, from 1
	Reason string // what is wrong there
}

// Error describes the place and the reason.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("notebook is not JSON: line %d, column %d: %s", e.Line, e.Column, e.Reason)
}

// syntaxError returns the SyntaxError for a byte offset in text.
func syntaxError(text string, offset int, reason string) *SyntaxError {
	before := text[:offset]
	line := before[strings.LastIndexByte(before, '\n')+1:]
	return &SyntaxError{
		Offset: offset,
		Line:   strings.Count(before, "\n") + 1,
		Column: utf8.RuneCountInString(line) + 1,
		Reason: reason,
	}
}

// VersionError says that a notebook has a version this package cannot read or write.
type VersionError struct {
	Version string // the value of nbformat as the file has it
}

// Error names the version and the versions that are known.
func (e *VersionError) Error() string {
	return fmt.Sprintf("unsupported notebook version %s: versions 1 to 4 can be read, 3 and 4 written", e.Version)
}

// LimitError says that an input is over one of the [Limits].
type LimitError struct {
	What  string // "bytes", "levels" or "values"
	Limit int
}

// Error names the limit.
func (e *LimitError) Error() string {
	return fmt.Sprintf("notebook has more than %d %s", e.Limit, e.What)
}

// ValidationError says which part of a notebook breaks the rules of its version, and which rule.
type ValidationError struct {
	Path   string // such as "cells[3].outputs[0].text"; empty for the notebook itself
	Cell   int    // index of the cell, -1 outside of cells
	Reason string // such as `missing required field "metadata"`
}

// Error begins with "notebook validation failed", which clients look for.
func (e *ValidationError) Error() string {
	if e.Path == "" {
		return "notebook validation failed: " + e.Reason
	}
	return "notebook validation failed: " + e.Path + ": " + e.Reason
}

// invalid returns a ValidationError about the value that is being looked at; [ValidationError.in] adds where it is.
func invalid(format string, args ...any) *ValidationError {
	return &ValidationError{Cell: -1, Reason: fmt.Sprintf(format, args...)}
}

// in returns e, nil or not, as seen from the object that holds the offending value as field name.
func (e *ValidationError) in(name string) *ValidationError {
	if e == nil {
		return nil
	}
	name = shorten(name)
	if e.Path == "" || strings.HasPrefix(e.Path, "[") {
		e.Path = name + e.Path
	} else {
		e.Path = name + "." + e.Path
	}
	return e
}

// at returns e, nil or not, as seen from the array that holds the offending value at index i.
func (e *ValidationError) at(i int) *ValidationError { return e.in(fmt.Sprintf("[%d]", i)) }

// item is at and in for the element i of the array in field name, which may be the cells.
func (e *ValidationError) item(name string, i int) *ValidationError {
	if name == "cells" {
		e.Cell = i
	}
	return e.at(i).in(name)
}

// shorten cuts text that would make a message unreadable.
func shorten(s string) string {
	const most = 64
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "..."
}

// quote returns text of a notebook for a message.
func quote(s string) string { return strconv.Quote(shorten(s)) }

// show returns a string in quotes and the type of any other value.
func show(v any) string {
	if s, ok := v.(string); ok {
		return quote(s)
	}
	return kindOf(v)
}

// kindOf names the JSON type of v for an error message.
func kindOf(v any) string {
	switch v := v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case string:
		return "a string"
	case Number:
		if v.IsInt() {
			return "an integer"
		}
		return "a number"
	case []any:
		return "an array"
	case map[string]any:
		return "an object"
	}
	return fmt.Sprintf("a %T", v)
}
