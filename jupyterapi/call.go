package jupyterapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/internal/jsontext"
)

// maxSmallBody is the limit of the bodies that are no documents, in bytes.
const maxSmallBody = 4 << 20

// call is one request on its way through a handler. caller and view are set where the route needs somebody.
type call struct {
	s      *Server
	w      *answer
	r      *http.Request
	route  *route
	vars   map[string]string
	query  url.Values
	caller identity.Caller
	view   *access.View
}

func (c *call) ctx() context.Context { return c.r.Context() }

func (c *call) log() *slog.Logger { return c.s.log }

// path returns the path of a file that the route's variable names.
func (c *call) path() (fs.Path, error) { return parsePath(c.vars["path"]) }

// parsePath reads a path of the API. What cannot be a path does not exist.
func parsePath(s string) (fs.Path, error) {
	p, err := fs.ParsePath(s)
	if err != nil {
		return "", failed(http.StatusNotFound, identity.ScrubText(s)+" is not a valid path")
	}
	if !p.UTF8() {
		return "", failed(http.StatusNotFound, identity.ScrubText(strings.ToValidUTF8(s, "?"))+" is not a valid path")
	}
	return p, nil
}

// allowed asks whether the caller may do something, with the message that Jupyter's clients know.
func (c *call) allowed(a fs.Action, r fs.Resource) error {
	err := c.view.Allowed(c.ctx(), a, r)
	if err == nil || fs.KindOf(err) == fs.NotExist {
		return err
	}
	return failed(http.StatusForbidden, "User is not authorized to "+string(a)+" on resource: "+string(r.Kind)+".")
}

// may reports whether the caller may do something.
func (c *call) may(a fs.Action, r fs.Resource) bool { return c.view.Allowed(c.ctx(), a, r) == nil }

// body reads the request's body: at most limit bytes, unpacked if it was sent packed.
func (c *call) body(limit int64) ([]byte, error) {
	tooLarge := failed(http.StatusRequestEntityTooLarge, "The request is too large")
	if c.r.ContentLength > limit {
		return nil, tooLarge
	}
	var src io.Reader = c.r.Body
	switch c.r.Header.Get("Content-Encoding") {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(src)
		if err != nil {
			return nil, failed(http.StatusBadRequest, "The body is not gzip")
		}
		src = z
	default:
		return nil, failed(http.StatusUnsupportedMediaType, "The body may be sent plain or as gzip")
	}
	data, err := readAll(io.LimitReader(src, limit+1), c.r.ContentLength)
	var overLimit *http.MaxBytesError
	switch {
	case errors.As(err, &overLimit):
		return nil, tooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, &failure{status: http.StatusRequestTimeout, message: "The body came too slowly", err: err}
	case err != nil:
		return nil, failed(http.StatusBadRequest, "The body could not be read")
	case int64(len(data)) > limit:
		return nil, tooLarge
	}
	return data, nil
}

// readAll is io.ReadAll with a first buffer for what is expected.
func readAll(r io.Reader, expected int64) ([]byte, error) {
	buf := make([]byte, 0, max(expected, 0)+512)
	for {
		n, err := r.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if err == io.EOF {
			return buf, nil
		}
		if err != nil {
			return buf, err
		}
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
	}
}

// decode reads a small JSON body into v. It reports whether there was one; null and an empty body are none.
func (c *call) decode(v any) (bool, error) {
	data, err := c.body(maxSmallBody)
	if err != nil {
		return false, err
	}
	return decodeJSON(data, v)
}

func decodeJSON(data []byte, v any) (bool, error) {
	if text := bytes.TrimSpace(data); len(text) == 0 || string(text) == "null" {
		return false, nil
	}
	err := unmarshal(data, v)
	var wrongType *json.UnmarshalTypeError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return false, failed(http.StatusBadRequest, "Unexpected type of "+identity.ScrubText(wrongType.Field)+" in body of request")
	case err != nil:
		return false, failed(http.StatusBadRequest, "Invalid JSON in body of request")
	}
	return true, checkText(data)
}

// checkText refuses JSON whose text would be another one once it is decoded.
func checkText(data []byte) error {
	if err := jsontext.Check(data); err != nil {
		return failed(http.StatusBadRequest, "The body cannot be kept as it is: "+err.Error())
	}
	return nil
}

// unmarshal is json.Unmarshal that keeps numbers as they are written where v does not say what they are.
func unmarshal(data []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	if err := d.Decode(v); err != nil {
		return err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errNotObject
	}
	return nil
}

// reply answers with a JSON value.
func (c *call) reply(status int, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	return c.replyJSON(status, data)
}

func (c *call) replyJSON(status int, data []byte) error {
	c.w.Header().Set("Content-Type", "application/json")
	c.w.WriteHeader(status)
	_, err := c.w.Write(data)
	return ended(err)
}

// noContent answers without a body.
func (c *call) noContent(status int) error {
	if status != http.StatusNoContent {
		c.w.Header().Set("Content-Type", "application/json")
	}
	c.w.WriteHeader(status)
	return nil
}

// location sets the header Location to a path below the base URL; the parts are escaped.
func (c *call) location(parts ...string) {
	c.w.Header().Set("Location", c.s.url(parts...))
}

// url returns a path below the base URL. Slashes in parts stay.
func (s *Server) url(parts ...string) string {
	return s.base + escapePath(strings.Join(parts, "/"))
}

// escapePath percent-encodes all but slashes and the characters that never need it.
func escapePath(p string) string {
	const hexDigits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(p) {
		ch := p[i]
		if ch >= 'a' && ch <= 'z' || ch >= 'A' && ch <= 'Z' || ch >= '0' && ch <= '9' || strings.IndexByte("/-_.~", ch) >= 0 {
			b.WriteByte(ch)
			continue
		}
		b.Write([]byte{'%', hexDigits[ch>>4], hexDigits[ch&15]})
	}
	return b.String()
}

// ended marks an error that came after the answer was begun: the client has gone.
func ended(err error) error {
	if err == nil {
		return nil
	}
	return &fs.Error{Op: "answer", Kind: fs.Canceled, Err: err}
}
