package jupyterapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// The types of contents.
const (
	directoryType = "directory"
	notebookType  = "notebook"
	fileType      = "file"
)

// model is what the API tells of a file or directory. The content is written by whoever has it.
type model struct {
	path     fs.Path
	attr     fs.Attr
	kind     string // directoryType, notebookType or fileType
	writable bool
	size     int64
	format   string // "" = null
	mimetype string // "" = null
	hash     string // "" = null
	message  string // "" = no such key
}

// dateFormat is that of Jupyter Server: UTC with microseconds.
const dateFormat = "2006-01-02T15:04:05.000000Z"

// stamp shows a time. A store that knows none shows the beginning of time, always the same.
func stamp(t time.Time) string {
	if t.IsZero() {
		t = time.Unix(0, 0)
	}
	return t.UTC().Format(dateFormat)
}

// model describes what p names.
func (c *call) model(ctx context.Context, p fs.Path, a fs.Attr) model {
	m := model{path: p, attr: a, kind: kindOf(p, a), size: a.Size}
	m.writable = a.Mode&0o200 != 0 && c.view.Allowed(ctx, fs.Write, fs.Resource{Kind: fs.Contents, Path: p}) == nil
	if m.kind == fileType {
		m.mimetype = mimeOf(p.Base())
	}
	return m
}

// kindOf returns the type that Jupyter gives to a file.
func kindOf(p fs.Path, a fs.Attr) string {
	switch {
	case a.Type() == fs.Directory:
		return directoryType
	case strings.HasSuffix(string(p), ".ipynb"):
		return notebookType
	}
	return fileType
}

func (m *model) created() time.Time {
	if m.attr.Btime.IsZero() {
		return m.attr.Ctime
	}
	return m.attr.Btime
}

// appendHead appends the model up to the value of "content".
func (m *model) appendHead(b []byte) []byte {
	b = append(b, `{"name":`...)
	b = appendString(b, m.path.Base())
	b = append(b, `,"path":`...)
	b = appendString(b, string(m.path))
	b = append(b, `,"last_modified":"`...)
	b = append(b, stamp(m.attr.Mtime)...)
	b = append(b, `","created":"`...)
	b = append(b, stamp(m.created())...)
	return append(b, `","content":`...)
}

// appendTail appends what follows the value of "content".
func (m *model) appendTail(b []byte) []byte {
	b = append(b, `,"format":`...)
	b = appendOrNull(b, m.format)
	b = append(b, `,"mimetype":`...)
	b = appendOrNull(b, m.mimetype)
	b = append(b, `,"size":`...)
	if m.kind == directoryType {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, m.size, 10)
	}
	b = append(b, `,"writable":`...)
	b = strconv.AppendBool(b, m.writable)
	b = append(b, `,"hash":`...)
	b = appendOrNull(b, m.hash)
	b = append(b, `,"hash_algorithm":`...)
	if m.hash == "" {
		b = append(b, "null"...)
	} else {
		b = append(b, `"sha256"`...)
	}
	b = append(b, `,"type":"`...)
	b = append(b, m.kind...)
	b = append(b, '"')
	if m.message != "" {
		b = append(b, `,"message":`...)
		b = appendString(b, m.message)
	}
	return append(b, '}')
}

// append appends the model without content.
func (m *model) append(b []byte) []byte {
	return m.appendTail(append(m.appendHead(b), "null"...))
}

func appendOrNull(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return appendString(b, s)
}

// headers sets what the model says of itself in the answer's header.
func (m *model) headers(c *call) {
	h := c.w.Header()
	h.Set("Content-Type", "application/json")
	if !m.attr.Mtime.IsZero() {
		h.Set("Last-Modified", m.attr.Mtime.UTC().Format("Mon, 02 Jan 2006 15:04:05 GMT"))
	}
	if m.hash != "" {
		h.Set("ETag", `"`+m.hash+`"`)
	}
}

// sum returns the SHA-256 of a file as hexadecimal digits, and the version it is of.
func (c *call) sum(p fs.Path) (string, fs.Version, error) {
	var sum [sha256.Size]byte
	var version fs.Version
	err := again(func() (err error) {
		sum, version, err = c.view.Hash(c.ctx(), p)
		return err
	})
	if err != nil {
		return "", "", err
	}
	return hex.EncodeToString(sum[:]), version, nil
}

// sumOf returns the SHA-256 of what a handle reads.
func (c *call) sumOf(h fs.Handle) (string, error) {
	d := sha256.New()
	if _, err := io.CopyBuffer(d, reader(c.ctx(), h), make([]byte, chunkSize)); err != nil {
		return "", err
	}
	return hex.EncodeToString(d.Sum(nil)), nil
}

// replyModel answers with a model without content, as after a change of the file.
func (c *call) replyModel(status int, m model) error {
	if m.kind != directoryType {
		// Somebody may have saved again: a tag of that version would let this client overwrite it.
		if sum, version, err := c.sum(m.path); err == nil && version == m.attr.Version {
			c.w.Header().Set("ETag", `"`+sum+`"`)
		}
	}
	m.headers(c)
	c.location("api/contents/" + string(m.path))
	return c.replyJSON(status, m.append(nil))
}
