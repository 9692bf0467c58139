package labapp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const workspaceExt = ".jupyterlab-workspace"

// workspace is a layout that the front end stores: data is opaque, metadata has an id.
type workspace struct {
	Data     json.RawMessage `json:"data"`
	Metadata map[string]any  `json:"metadata"`
}

// id returns the workspace's id, "" when there is none.
func (ws workspace) id() string {
	id, _ := ws.Metadata["id"].(string)
	return id
}

// parseWorkspace reads a workspace. The error says what is wrong with it.
func parseWorkspace(data []byte) (workspace, error) {
	var ws workspace
	if err := json.Unmarshal(data, &ws); err != nil {
		return ws, fmt.Errorf("a workspace is a JSON object: %w", err)
	}
	if len(ws.Data) == 0 || ws.Data[0] != '{' {
		return ws, errors.New(`a workspace needs an object "data"`)
	}
	if ws.id() == "" {
		return ws, errors.New(`a workspace needs "metadata" with a text "id"`)
	}
	return ws, nil
}

// named reports whether the workspace's id is name. The front end writes ids with or without a leading slash, escaped or not.
func (ws workspace) named(name string) bool {
	id := strings.TrimPrefix(ws.id(), "/")
	unescaped, err := url.PathUnescape(id)
	return id == name || err == nil && unescaped == name
}

// listWorkspaces answers with all workspaces of a user. A damaged one is logged and left out.
func (h *Handler) listWorkspaces(w http.ResponseWriter, r *http.Request, _ string) {
	dir, ok := h.userDir(w, r)
	if !ok {
		return
	}
	ids, values := []string{}, []workspace{}
	for _, path := range h.workspacePaths(dir) {
		ws, err := readWorkspace(path)
		if err != nil {
			h.log.WarnContext(r.Context(), "workspace skipped", "path", path, "err", err)
			continue
		}
		ids, values = append(ids, ws.id()), append(values, ws)
	}
	h.writeJSON(w, r, map[string]any{"workspaces": map[string]any{"ids": ids, "values": values}})
}

// workspacePaths returns the files of a user's stored workspaces, sorted.
func (h *Handler) workspacePaths(dir string) []string {
	if dir == "" {
		return nil
	}
	dir = filepath.Join(dir, "workspaces")
	entries, err := os.ReadDir(dir)
	if err != nil && !isMissing(err) {
		h.log.Warn("workspaces cannot be listed", "err", err)
	}
	var paths []string
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), workspaceExt) {
			paths = append(paths, filepath.Join(dir, e.Name()))
		}
	}
	return paths
}

// readWorkspace reads a stored workspace and puts its times into the metadata.
func readWorkspace(path string) (workspace, error) {
	doc, err := readDocument(path)
	if err != nil {
		return workspace{}, err
	}
	ws, err := parseWorkspace(doc.data)
	if err != nil {
		return workspace{}, err
	}
	ws.Metadata["last_modified"], ws.Metadata["created"] = doc.modified, doc.modified
	return ws, nil
}

// serveWorkspace reads, stores or deletes one workspace.
func (h *Handler) serveWorkspace(w http.ResponseWriter, r *http.Request, name string) {
	if name == "" && r.Method != http.MethodPut && r.Method != http.MethodDelete {
		h.listWorkspaces(w, r, "")
		return
	}
	dir, ok := h.userDir(w, r)
	if !ok {
		return
	}
	if name == "" {
		writeError(w, http.StatusBadRequest, "Name the workspace at the end of the path")
		return
	}
	path := filepath.Join(dir, "workspaces", fileName(name)+workspaceExt)
	switch {
	case r.Method == http.MethodPut:
		h.putWorkspace(w, r, name, path)
	case r.Method == http.MethodDelete:
		h.deleteWorkspace(w, r, name, path)
	case dir == "":
		h.writeJSON(w, r, emptyWorkspace(name))
	default:
		h.getWorkspace(w, r, name, path)
	}
}

// emptyWorkspace stands for one that was never stored.
func emptyWorkspace(name string) workspace {
	return workspace{Data: json.RawMessage("{}"), Metadata: map[string]any{"id": "/" + strings.TrimPrefix(name, "/")}}
}

// getWorkspace answers with a workspace; one that was never stored is empty. So is a damaged one, for the front end to start anew.
func (h *Handler) getWorkspace(w http.ResponseWriter, r *http.Request, name, path string) {
	ws, err := readWorkspace(path)
	if err != nil {
		if !isMissing(err) {
			h.log.WarnContext(r.Context(), "workspace taken as empty", "path", path, "err", err)
		}
		ws = emptyWorkspace(name)
	}
	h.writeJSON(w, r, ws)
}

func (h *Handler) putWorkspace(w http.ResponseWriter, r *http.Request, name, path string) {
	body, ok := readBody(w, r)
	if !ok || !h.writable(w) {
		return
	}
	ws, err := parseWorkspace(body)
	if err == nil && !ws.named(name) {
		err = fmt.Errorf("metadata.id is %q, but the path names %q: make them equal", ws.id(), name)
	}
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	if err := writeDocument(path, body); err != nil {
		h.fail(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func (h *Handler) deleteWorkspace(w http.ResponseWriter, r *http.Request, name, path string) {
	if !h.writable(w) {
		return
	}
	switch err := os.Remove(path); {
	case isMissing(err):
		writeError(w, http.StatusNotFound, fmt.Sprintf("Workspace %q is not stored", name))
	case err != nil:
		h.fail(w, r, err)
	default:
		w.WriteHeader(http.StatusNoContent)
	}
}
