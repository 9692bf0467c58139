package jupyterapi

import (
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// failure is an error with the words and the status that Jupyter's clients know.
type failure struct {
	status  int
	message string
	reason  string // "" = null
	err     error  // the cause, for the log
}

func (f *failure) Error() string { return f.message }
func (f *failure) Unwrap() error { return f.err }

func failed(status int, message string) error { return &failure{status: status, message: message} }

// because is failed with a reason.
func because(status int, message, reason string) error {
	return &failure{status: status, message: message, reason: reason}
}

// describe returns the failure that err is shown as. Nothing of the inside is in it: the message of an unknown error stays in the log.
func describe(err error) *failure {
	var f *failure
	if errors.As(err, &f) {
		return f
	}
	status := fs.Status(err)
	f = &failure{status: status, message: "Unhandled error", err: err}
	var e *fs.Error
	if !errors.As(err, &e) || e.Kind == fs.Internal {
		return f
	}
	f.message = sentence(e)
	if e.Kind == fs.Unauthenticated {
		f.message = "Forbidden"
	}
	return f
}

// sentence says what an error of ours means, with the path as the API knows it.
func sentence(e *fs.Error) string {
	words := e.Kind.String()
	var cause *fs.Error
	if errors.As(e.Err, &cause) && cause.Hint != "" && e.Hint == "" {
		e = &fs.Error{Path: e.Path, Kind: e.Kind, Err: cause.Err, Hint: cause.Hint}
	}
	switch e.Kind {
	case fs.NotPermitted, fs.Invalid, fs.Throttled, fs.Name, fs.NameTooLong, fs.Unsupported:
		// The causes of these are written for people.
		if e.Err != nil {
			words = e.Err.Error()
		}
	}
	s := strings.ToUpper(words[:1]) + words[1:]
	if e.Path != "" {
		s += ": " + strings.TrimPrefix(e.Path, "/")
	}
	if e.Hint != "" {
		s += " (" + e.Hint + ")"
	}
	return strings.ToValidUTF8(s, "?")
}

// fail answers with an error in the route's style.
func (s *Server) fail(w *answer, r *http.Request, st style, err error) {
	f := describe(err)
	if f.status >= 500 {
		s.log.Error("request failed", "method", r.Method, "uri", scrubbed(r), "status", f.status, "err", err)
	}
	if w.begun {
		return // it is too late to say so: the body stays short
	}
	h := w.Header()
	h.Del("Content-Length")
	h.Del("ETag")
	h.Del("Last-Modified")
	if f.status == http.StatusServiceUnavailable || f.status == http.StatusTooManyRequests {
		h.Set("Retry-After", "2")
	}
	if st == pageStyle {
		s.failPage(w, f)
		return
	}
	data, err := json.Marshal(map[string]any{"message": f.message, "reason": orNull(f.reason)})
	if err != nil {
		data = []byte(`{"message":"Unhandled error","reason":null}`)
	}
	h.Set("Content-Type", "application/json")
	w.WriteHeader(f.status)
	_, _ = w.Write(data) // a client that has gone needs no answer
}

func (s *Server) failPage(w *answer, f *failure) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", s.policy(pageStyle)+"; sandbox")
	w.WriteHeader(f.status)
	title, message := http.StatusText(f.status), f.message
	if message == title {
		message = ""
	}
	page := pageHead(title) + `<h1>` + html.EscapeString(title) + `</h1><p>` + html.EscapeString(message) +
		`</p><p><a href="` + html.EscapeString(s.base) + `">Go to the drive</a></p></body></html>` + "\n"
	_, _ = w.Write([]byte(page)) // a client that has gone needs no answer
}

// orNull makes an empty string null in JSON.
func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
