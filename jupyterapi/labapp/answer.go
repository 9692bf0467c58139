package labapp

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strconv"
)

// writeError answers with a JSON error as Jupyter's API has it.
func writeError(w http.ResponseWriter, status int, message string) {
	body, err := json.Marshal(map[string]any{"message": message, "reason": nil})
	if err != nil { // text always marshals
		body = []byte(`{}`)
	}
	header := w.Header()
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(body)))
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(body) // a client that has gone needs no answer
}

// writeJSON answers 200 with v as JSON, compressed if that pays and the client takes it.
func (h *Handler) writeJSON(w http.ResponseWriter, r *http.Request, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	h.writeBody(w, r, "application/json", body)
}

// writeBody answers 200 with body, compressed if that pays and the client takes it.
func (h *Handler) writeBody(w http.ResponseWriter, r *http.Request, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	h.send(w, r, int64(len(body)), bytes.NewReader(body), len(body) >= gzipFrom)
}

// fail answers 500 and logs err, which clients do not see: it may name files of this machine.
func (h *Handler) fail(w http.ResponseWriter, r *http.Request, err error) {
	h.log.ErrorContext(r.Context(), "request failed", "method", r.Method, "path", r.URL.Path, "err", err)
	writeError(w, http.StatusInternalServerError, "Internal Server Error")
}
