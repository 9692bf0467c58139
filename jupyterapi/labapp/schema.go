package labapp

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// pluginID is the identity of a plugin that has settings, such as @jupyterlab/apputils-extension:themes.
type pluginID struct {
	pkg, plugin string
}

// parsePluginID splits an id at its colon. It reports false for text that cannot be one, which includes all that would lead elsewhere
// in a file system.
func parsePluginID(id string) (pluginID, bool) {
	pkg, plugin, ok := strings.Cut(id, ":")
	return pluginID{pkg, plugin}, ok && packageName.MatchString(pkg) && pluginName.MatchString(plugin)
}

var pluginName = regexp.MustCompile(`^[A-Za-z0-9_~-][A-Za-z0-9._~-]*$`)

func (id pluginID) String() string { return id.pkg + ":" + id.plugin }

// schema is the JSON schema of a plugin's settings, with the defaults that administrators have set.
type schema struct {
	id      pluginID
	doc     json.RawMessage
	version string // of the package, or N/A
}

// schemaFolder is a folder of schemas, PACKAGE/PLUGIN.json.
type schemaFolder struct {
	folder
	done func()
}

// schemaFolders returns the folders that can hold a schema, those of extensions first. All are to be closed by done.
func (h *Handler) schemaFolders(extensions []extension) []schemaFolder {
	var list []schemaFolder
	for _, e := range extensions {
		f, done, err := h.openExtension(e)
		if err != nil {
			continue // it was removed just now
		}
		list = append(list, schemaFolder{f.sub("schemas"), done})
	}
	return append(list, schemaFolder{h.app.sub("schemas"), func() {}})
}

// schemas returns all schemas sorted by id in descending order, which is how Jupyter lists them. One that is damaged is logged and
// left out.
func (h *Handler) schemas() []schema {
	overrides := h.overrides()
	found := map[pluginID]bool{}
	var list []schema
	for _, f := range h.schemaFolders(h.extensions()) {
		for _, pkg := range packageNames(f.folder) {
			for _, e := range f.list(pkg) {
				name, isSchema := strings.CutSuffix(e.Name(), ".json")
				id, valid := parsePluginID(pkg + ":" + name)
				if !isSchema || !valid || found[id] {
					continue
				}
				s, err := readSchema(f.folder, id, overrides)
				if err != nil {
					h.log.Warn("settings schema skipped", "plugin", id.String(), "err", err)
					continue
				}
				found[id] = true
				list = append(list, s)
			}
		}
		f.done()
	}
	slices.SortFunc(list, func(a, b schema) int { return strings.Compare(b.id.String(), a.id.String()) })
	return list
}

// schema returns the schema of one plugin; one that is not there is [fs.ErrNotExist].
func (h *Handler) schema(id pluginID) (schema, error) {
	var from []extension
	if e, ok := h.findExtension(id.pkg); ok {
		from = append(from, e)
	}
	overrides := h.overrides()
	var s schema
	err := fs.ErrNotExist
	for _, f := range h.schemaFolders(from) {
		if isMissing(err) {
			s, err = readSchema(f.folder, id, overrides)
		}
		f.done()
	}
	return s, err
}

// readSchema reads a schema and puts the overridden defaults into it.
func readSchema(f folder, id pluginID, overrides map[string]any) (schema, error) {
	data, err := f.read(path.Join(id.pkg, id.plugin+".json"))
	if err != nil {
		return schema{}, err
	}
	s := schema{id: id, version: "N/A"}
	var pkg struct{ Version string }
	if meta, err := f.read(path.Join(id.pkg, "package.json.orig")); err == nil && json.Unmarshal(meta, &pkg) == nil && pkg.Version != "" {
		s.version = pkg.Version
	}
	defaults, _ := overrides[id.String()].(map[string]any)
	s.doc, err = overrideDefaults(data, defaults)
	return s, err
}

// overrides returns the defaults that administrators have set, by plugin and key.
func (h *Handler) overrides() map[string]any {
	own := []string{}
	for _, e := range h.app.list("settings/overrides.d") {
		if ext := path.Ext(e.Name()); ext == ".json" || ext == ".json5" {
			own = append(own, path.Join("overrides.d", e.Name()))
		}
	}
	return h.configDocument("default_setting_overrides", append(own, "overrides.json", "overrides.json5")...)
}

// overrideDefaults returns the schema in data with other defaults: an object is merged into the one that is there. The order of keys
// stays. Data that is no JSON object is an error.
func overrideDefaults(data []byte, defaults map[string]any) (json.RawMessage, error) {
	if len(defaults) == 0 && json.Valid(data) && bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return data, nil
	}
	var doc object
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, err
	}
	var properties object
	if old := doc.get("properties"); old != nil {
		if err := json.Unmarshal(old, &properties); err != nil {
			return nil, fmt.Errorf("properties: %w", err)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(defaults)) {
		property, err := overrideDefault(properties.get(key), defaults[key])
		if err != nil {
			return nil, fmt.Errorf("property %q: %w", key, err)
		}
		properties.set(key, property)
	}
	var err error
	value, err := json.Marshal(properties)
	if err != nil {
		return nil, err
	}
	doc.set("properties", value)
	return json.Marshal(doc)
}

// overrideDefault returns the schema of one property, nil for none, with another default.
func overrideDefault(property json.RawMessage, value any) (json.RawMessage, error) {
	var doc object
	if property != nil {
		if err := json.Unmarshal(property, &doc); err != nil {
			return nil, err
		}
	}
	var old map[string]any
	if layer, ok := value.(map[string]any); ok && json.Unmarshal(doc.get("default"), &old) == nil && old != nil {
		merge(old, layer)
		value = old
	}
	data, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	doc.set("default", data)
	return json.Marshal(doc)
}

// validate checks settings against the schema (JSON Schema draft 7). The error is one line that says where and what.
func (s schema) validate(settings map[string]any) error {
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(s.doc))
	if err != nil {
		return err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft7)
	compiler.UseLoader(noLoader{})
	compiler.UseRegexpEngine(compilePattern)
	const location = "settings.json"
	if err := compiler.AddResource(location, doc); err != nil {
		return fmt.Errorf("the plugin's schema is broken: %w", err)
	}
	compiled, err := compiler.Compile(location)
	if err != nil {
		return fmt.Errorf("the plugin's schema is broken: %w", err)
	}
	err = compiled.Validate(settings)
	if invalid, ok := errors.AsType[*jsonschema.ValidationError](err); ok {
		return errors.New(describe(invalid))
	}
	return err
}

// describe returns the innermost reasons of a validation error, each with the place in the document.
func describe(invalid *jsonschema.ValidationError) string {
	if len(invalid.Causes) == 0 {
		place := strings.Join(invalid.InstanceLocation, ".")
		if place == "" {
			place = "the document"
		}
		return place + ": " + invalid.ErrorKind.LocalizedString(message.NewPrinter(language.English))
	}
	reasons := make([]string, len(invalid.Causes))
	for i, cause := range invalid.Causes {
		reasons[i] = describe(cause)
	}
	return strings.Join(reasons, "; ")
}

// noLoader refuses to fetch schemas that a schema refers to.
type noLoader struct{}

// Load implements [jsonschema.URLLoader].
func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("schemas of other places such as %s are not loaded", url)
}

// compilePattern compiles a pattern of a schema. Patterns that only other dialects of regular expressions have match everything:
// settings are better stored unchecked than not at all.
func compilePattern(pattern string) (jsonschema.Regexp, error) {
	if re, err := regexp.Compile(pattern); err == nil {
		return re, nil
	}
	return anyText(pattern), nil
}

// anyText is a pattern that is not understood.
type anyText string

// MatchString implements [jsonschema.Regexp].
func (anyText) MatchString(string) bool { return true }

// String returns the pattern.
func (p anyText) String() string { return string(p) }
