package nbformat

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// format is the version a notebook is checked against.
type format struct {
	minor  int
	future bool // later than any version known here: what is unknown is allowed
}

// rule checks one value of a notebook.
type rule func(f format, v any) *ValidationError

// entryRule checks the value that an object has for a key; its error includes the key.
type entryRule func(f format, key string, v any) *ValidationError

// field is a field of an object.
type field struct {
	name     string
	rule     rule
	required bool
	minor    int // the field is unknown to earlier minor versions
}

func required(name string, r rule) field { return field{name: name, rule: r, required: true} }
func optional(name string, r rule) field { return field{name: name, rule: r} }

// anything returns a field that needs no check of its own.
func anything(name string) field {
	return optional(name, func(format, any) *ValidationError { return nil })
}

// since returns the field as one that minor introduced.
func (d field) since(minor int) field {
	d.minor = minor
	return d
}

// fields is the rule of an object. Other fields obey the entry rule; without one all are allowed.
type fields struct {
	list  []field
	other entryRule
}

// open returns the rule of an object that may have other fields too.
func open(list ...field) rule { return fields{list: list}.check }

// closed returns the rule of an object that may not.
func closed(list ...field) rule {
	return fields{list: list, other: func(f format, key string, _ any) *ValidationError {
		if f.future {
			return nil
		}
		return unknownField(key)
	}}.check
}

func unknownField(key string) *ValidationError { return invalid("unknown field %s", quote(key)) }

func (o fields) check(f format, v any) *ValidationError {
	m, ok := v.(map[string]any)
	if !ok {
		return invalid("must be an object, not %s", kindOf(v))
	}
	for _, d := range o.list {
		if d.minor > f.minor {
			continue
		}
		value, present := m[d.name]
		if !present && d.required {
			return invalid("missing required field %q", d.name)
		}
		if present {
			if err := d.rule(f, value); err != nil {
				return err.in(d.name)
			}
		}
	}
	if o.other == nil {
		return nil
	}
	return o.others(f, m)
}

// others checks the fields that are not in the list, in the order of their names.
func (o fields) others(f format, m map[string]any) *ValidationError {
	var unlisted []string
	for key := range m {
		if !slices.ContainsFunc(o.list, func(d field) bool { return d.name == key && d.minor <= f.minor }) {
			unlisted = append(unlisted, key)
		}
	}
	slices.Sort(unlisted)
	for _, key := range unlisted {
		if err := o.other(f, key, m[key]); err != nil {
			return err
		}
	}
	return nil
}

// tagged returns the rule of an object whose kind is in a field of it. An unknown kind obeys the last rule in a future
// version and is an error in a known one.
func tagged(tag string, kinds map[string]rule, unknown rule) rule {
	return func(f format, v any) *ValidationError {
		m, ok := v.(map[string]any)
		if !ok {
			return invalid("must be an object, not %s", kindOf(v))
		}
		kind, present := m[tag]
		if !present {
			return invalid("missing required field %q", tag)
		}
		if r, ok := kinds[text(kind)]; ok {
			return r(f, v)
		}
		if f.future && unknown != nil {
			return unknown(f, v)
		}
		return invalid("%s is not one of %s", show(kind), strings.Join(slices.Sorted(maps.Keys(kinds)), ", ")).in(tag)
	}
}

// listOf returns the rule of the array, in the field called name, whose elements obey r.
func listOf(name string, r rule) rule {
	return func(f format, v any) *ValidationError {
		list, ok := v.([]any)
		if !ok {
			return invalid("must be an array, not %s", kindOf(v))
		}
		for i, item := range list {
			if err := r(f, item); err != nil {
				if name == "cells" {
					err.Cell = i
				}
				return err.at(i)
			}
		}
		return nil
	}
}

// mapOf returns the rule of an object whose values obey r.
func mapOf(r rule) rule {
	return mapOfEntries(func(f format, _ string, v any) *ValidationError { return r(f, v) })
}

// mapOfEntries is mapOf for a rule that depends on the key.
func mapOfEntries(r entryRule) rule {
	return fields{other: func(f format, key string, v any) *ValidationError { return r(f, key, v).in(key) }}.check
}

func isString(_ format, v any) *ValidationError {
	if _, ok := v.(string); !ok {
		return invalid("must be a string, not %s", kindOf(v))
	}
	return nil
}

func isBool(_ format, v any) *ValidationError {
	if _, ok := v.(bool); !ok {
		return invalid("must be a boolean, not %s", kindOf(v))
	}
	return nil
}

func isObject(_ format, v any) *ValidationError {
	if _, ok := v.(map[string]any); !ok {
		return invalid("must be an object, not %s", kindOf(v))
	}
	return nil
}

func isArray(_ format, v any) *ValidationError {
	if _, ok := v.([]any); !ok {
		return invalid("must be an array, not %s", kindOf(v))
	}
	return nil
}

func isStringOrObject(f format, v any) *ValidationError {
	if isString(f, v) != nil && isObject(f, v) != nil {
		return invalid("must be a string or an object, not %s", kindOf(v))
	}
	return nil
}

// isInteger returns the rule of integers of at least least.
func isInteger(least int) rule {
	return func(_ format, v any) *ValidationError {
		i, ok := integer(v)
		if !ok {
			return invalid("must be an integer, not %s", kindOf(v))
		}
		if i < least {
			return invalid("must be at least %d", least)
		}
		return nil
	}
}

// isPosition is the rule of integers from 0.
func isPosition(f format, v any) *ValidationError { return isInteger(0)(f, v) }

// isCount is the rule of execution counts: null until the cell has run.
func isCount(f format, v any) *ValidationError {
	if v == nil {
		return nil
	}
	return isPosition(f, v)
}

// isMultiline is the rule of text: a string, or an array of strings that are its lines.
func isMultiline(f format, v any) *ValidationError {
	switch v.(type) {
	case string:
		return nil
	case []any:
		return listOf("", isString)(f, v)
	}
	return invalid("must be a string or an array of strings, not %s", kindOf(v))
}

// isCellID is the rule of cell identifiers.
func isCellID(f format, v any) *ValidationError {
	if err := isString(f, v); err != nil {
		return err
	}
	id := text(v)
	if utf8.RuneCountInString(id) > 64 || !consistsOf(id, isIDCharacter) {
		return invalid("must be 1 to 64 of the letters, digits, - and _")
	}
	return nil
}

// isName is the rule of cell names: not empty, on one line.
func isName(f format, v any) *ValidationError {
	if err := isString(f, v); err != nil {
		return err
	}
	if name := text(v); name == "" || strings.Contains(name, "\n") {
		return invalid("must be a line of text that is not empty")
	}
	return nil
}

// isTags is the rule of cell tags.
func isTags(f format, v any) *ValidationError {
	seen := map[string]bool{}
	return listOf("", func(f format, v any) *ValidationError {
		if err := isString(f, v); err != nil {
			return err
		}
		tag := text(v)
		switch {
		case tag == "":
			return invalid("must not be empty")
		case strings.Contains(tag, ","):
			return invalid("must not contain a comma")
		case seen[tag]:
			return invalid("repeats the tag %s", quote(tag))
		}
		seen[tag] = true
		return nil
	})(f, v)
}

// isScrolled is the rule of whether a long output scrolls.
func isScrolled(f format, v any) *ValidationError {
	if v == "auto" || isBool(f, v) == nil {
		return nil
	}
	return invalid(`must be true, false or "auto"`)
}

// consistsOf reports whether s is not empty and has only characters of the class.
func consistsOf(s string, class func(r rune) bool) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return !class(r) })
}

func isAlphanumeric(r rune) bool {
	return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9'
}

func isIDCharacter(r rune) bool   { return isAlphanumeric(r) || r == '-' || r == '_' }
func isMimeCharacter(r rune) bool { return isAlphanumeric(r) || strings.ContainsRune("-+.", r) }
