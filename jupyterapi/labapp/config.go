package labapp

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
)

// configDocument reads one document that administrators lay in layers: first the application's own files in settings, then
// labconfig/SECTION.d/*.json and labconfig/SECTION.json of each configuration folder, the most important last. A layer overrides
// single keys of those before it, and removes a key with null. Files that cannot be read are logged and left out.
func (h *Handler) configDocument(section string, own ...string) map[string]any {
	doc := map[string]any{}
	for _, name := range own {
		h.mergeFile(doc, h.app.sub("settings"), name)
	}
	for _, dir := range slices.Backward(h.opts.ConfigDirs) {
		f := folder{fsys: os.DirFS(dir), dir: "labconfig"}
		for _, e := range f.list(section + ".d") {
			if path.Ext(e.Name()) == ".json" {
				h.mergeFile(doc, f, path.Join(section+".d", e.Name()))
			}
		}
		h.mergeFile(doc, f, section+".json")
	}
	return doc
}

// mergeFile merges a JSON5 file into doc; a file that is absent or empty changes nothing.
func (h *Handler) mergeFile(doc map[string]any, f folder, name string) {
	data, err := f.read(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(data) == 0 {
		return
	}
	layer := map[string]any{}
	if err == nil {
		layer, err = parseJSON5Object(data)
	}
	if err != nil {
		h.log.Warn("configuration file skipped", "file", name, "err", err)
		return
	}
	for _, key := range []string{"disabledExtensions", "deferredExtensions"} {
		if list, ok := layer[key].([]any); ok {
			layer[key] = setOf(list)
		}
	}
	merge(doc, layer)
}

// merge puts the keys of layer over doc: objects are merged, null removes a key, everything else replaces.
func merge(doc, layer map[string]any) {
	for key, value := range layer {
		object, isObject := value.(map[string]any)
		switch under, underIsObject := doc[key].(map[string]any); {
		case value == nil:
			delete(doc, key)
		case isObject && underIsObject:
			merge(under, object)
		case isObject:
			under = map[string]any{}
			merge(under, object)
			doc[key] = under
		default:
			doc[key] = value
		}
	}
}

// setOf turns a list of names into the object form, which layers can change name by name.
func setOf(list []any) map[string]any {
	set := make(map[string]any, len(list))
	for _, name := range list {
		set[fmt.Sprint(name)] = true
	}
	return set
}

// trueKeys returns the keys of set whose value is true, sorted.
func trueKeys[V any](set map[string]V) []string {
	names := []string{}
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if on, ok := any(set[name]).(bool); ok && on {
			names = append(names, name)
		}
	}
	return names
}
