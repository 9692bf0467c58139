package labapp

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/internal/jsontext"
)

const settingsExt = ".jupyterlab-settings"

// setting is a plugin's schema with what a user has set, as the front end reads it.
type setting struct {
	ID           string          `json:"id"`
	Schema       json.RawMessage `json:"schema"`
	Version      string          `json:"version"`
	Raw          string          `json:"raw"`      // what the user wrote, JSON5
	Settings     map[string]any  `json:"settings"` // the same, parsed
	Warning      *string         `json:"warning"`
	LastModified *string         `json:"last_modified"`
	Created      *string         `json:"created"`
}

// listSettings answers with the settings of all plugins, or with ?ids_only=true with their ids.
func (h *Handler) listSettings(w http.ResponseWriter, r *http.Request, _ string) {
	dir, ok := h.userDir(w, r)
	if !ok {
		return
	}
	idsOnly := r.URL.Query().Get("ids_only") == "true"
	list := []any{}
	for _, s := range h.schemas() {
		if idsOnly {
			list = append(list, map[string]string{"id": s.id.String()})
			continue
		}
		list = append(list, h.userSetting(r, dir, s))
	}
	h.writeJSON(w, r, map[string]any{"settings": list})
}

// serveSetting reads or stores the settings of one plugin.
func (h *Handler) serveSetting(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" && r.Method != http.MethodPut {
		h.listSettings(w, r, "")
		return
	}
	dir, ok := h.userDir(w, r)
	if !ok {
		return
	}
	id, valid := parsePluginID(name)
	if !valid {
		writeError(w, http.StatusNotFound, fmt.Sprintf("%q is no plugin's id; ids look like @jupyterlab/apputils-extension:themes", name))
		return
	}
	s, err := h.schema(id)
	switch {
	case isMissing(err):
		writeError(w, http.StatusNotFound, fmt.Sprintf("Plugin %s has no settings here", id))
	case err != nil:
		h.fail(w, r, err)
	case r.Method == http.MethodPut:
		h.putSetting(w, r, dir, s)
	default:
		h.writeJSON(w, r, h.userSetting(r, dir, s))
	}
}

// settingPath returns the file of a user's settings of a plugin. The id's parts are single, plain file names.
func settingPath(dir string, id pluginID) string {
	return filepath.Join(dir, "settings", filepath.FromSlash(id.pkg), id.plugin+settingsExt)
}

// userSetting returns a plugin's settings of the user whose folder is dir. Stored settings that are not valid (any more) count as
// unset, with a warning.
func (h *Handler) userSetting(r *http.Request, dir string, s schema) setting {
	out := setting{ID: s.id.String(), Schema: s.doc, Version: s.version, Raw: "{}", Settings: map[string]any{}}
	if dir == "" {
		return out
	}
	doc, err := readDocument(settingPath(dir, s.id))
	if isMissing(err) {
		return out
	}
	var parsed map[string]any
	if err == nil {
		parsed, err = parseJSON5Object(doc.data)
	}
	if err == nil && len(parsed) > 0 {
		err = s.validate(parsed)
	}
	if err != nil {
		h.log.WarnContext(r.Context(), "stored settings are not valid", "plugin", out.ID, "err", err)
		warning := fmt.Sprintf("The stored settings of %s are not used: %v", out.ID, err)
		out.Warning = &warning
		return out
	}
	out.Raw, out.Settings, out.LastModified, out.Created = string(doc.data), parsed, &doc.modified, &doc.modified
	return out
}

// putSetting stores {"raw": "…"}, the user's text with its comments, after it was parsed and checked against the schema.
func (h *Handler) putSetting(w http.ResponseWriter, r *http.Request, dir string, s schema) {
	body, ok := readBody(w, r)
	if !ok || !h.writable(w) {
		return
	}
	raw, err := parsePut(body)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	settings, err := parseJSON5Object([]byte(raw))
	if err != nil {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("The settings are no JSON5 object: %v", err))
		return
	}
	if err := s.validate(settings); err != nil {
		writeError(w, http.StatusBadRequest, fmt.Sprintf("The settings of %s are not valid: %v", s.id, err))
		return
	}
	if err := writeDocument(settingPath(dir, s.id), []byte(raw)); err != nil {
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// parsePut returns the text in the body of a request to store settings.
func parsePut(body []byte) (string, error) {
	var payload struct {
		Raw *string `json:"raw"`
	}
	if err := json.Unmarshal(body, &payload); err != nil {
		return "", fmt.Errorf(`send the settings as JSON, {"raw": "TEXT"}: %w`, err)
	}
	if err := jsontext.Check(body); err != nil {
		return "", fmt.Errorf("the settings cannot be kept as they are: %w", err)
	}
	if payload.Raw == nil {
		return "", fmt.Errorf(`send the settings as {"raw": "TEXT"}; "raw" is missing`)
	}
	return *payload.Raw, nil
}
