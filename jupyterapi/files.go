package jupyterapi

import (
	"bytes"
	"errors"
	"html"
	"io"
	"net/http"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// getFiles answers GET and HEAD /files/{file}: the bytes of a file, whole or a range.
func getFiles(c *call) error {
	p, err := parsePath(c.vars["path"])
	if err != nil {
		return err
	}
	if err := c.refuseForeignRead(); err != nil {
		return err
	}
	e, err := c.stat(p)
	switch {
	case err != nil:
		return err
	case e.Attr.Type() != fs.File:
		return missing(p)
	}
	return again(func() error { return c.sendFile(p) })
}

// sendFile answers with the bytes of a file.
func (c *call) sendFile(p fs.Path) error {
	h, err := c.view.Open(c.ctx(), p, fs.OpenRead)
	if err != nil {
		return c.openError(p, err)
	}
	defer h.Release(c.ctx()) //nolint:errcheck // nothing was written
	a, err := h.Attr(c.ctx())
	if err != nil {
		return err
	}
	tag := ""
	if !a.Mtime.IsZero() || a.Version != "" {
		tag = fileTag(a)
	}
	in := &failing{r: handleReader{c.ctx(), h}}
	var contents io.ReadSeeker = io.NewSectionReader(in, 0, a.Size)
	if a.Size <= wholeSize && c.wantsAll(tag) {
		data, err := readAll(contents, a.Size)
		if err != nil {
			return err
		}
		contents = bytes.NewReader(data)
	}
	c.fileHeaders(p)
	if tag != "" {
		c.w.Header().Set("ETag", tag)
	}
	c.w.packs = false // ranges count the bytes of the file
	http.ServeContent(c.w, c.r, p.Base(), a.Mtime, contents)
	if in.err != nil {
		c.breakOff(p, in.err)
	}
	return nil
}

// wantsAll reports whether the answer to the request will most likely have all bytes of a file with that tag.
func (c *call) wantsAll(tag string) bool {
	h := c.r.Header
	known := h.Get("If-None-Match")
	return c.r.Method == http.MethodGet && h.Get("Range") == "" && !strings.Contains(known, tag) && (known != "" || h.Get("If-Modified-Since") == "")
}

// failing remembers why a read has failed: http.ServeContent does not tell.
type failing struct {
	r   io.ReaderAt
	err error
}

func (f *failing) ReadAt(p []byte, off int64) (int, error) {
	n, err := f.r.ReadAt(p, off)
	if err != nil && !errors.Is(err, io.EOF) {
		f.err = err
	}
	return n, err
}

// refuseForeignRead keeps pages of other sites from loading a visitor's files as scripts, pictures or workers.
func (c *call) refuseForeignRead() error {
	if !c.s.auth.SameSiteRead(c.r, c.caller) || c.r.Header.Get("Service-Worker") != "" {
		return failed(http.StatusForbidden, "Forbidden")
	}
	return nil
}

// fileTag is a tag of the version, which is cheaper than the hash and just as strong.
func fileTag(a fs.Attr) string {
	return `"v-` + strings.Trim(escapePath(string(a.Version)), "/") + `"`
}

// fileHeaders says what the file is, and that a page in it may not act in the visitor's name.
func (c *call) fileHeaders(p fs.Path) {
	h := c.w.Header()
	name := p.Base()
	h.Set("Content-Type", rawMimeOf(name))
	h.Set("Content-Security-Policy", c.s.policy(pageStyle)+"; "+sandbox)
	if !c.query.Has("v") {
		h.Set("Cache-Control", "no-cache")
	}
	if strings.HasSuffix(name, ".ipynb") || c.query.Get("download") != "" {
		h.Set("Content-Disposition", "attachment; filename*=utf-8''"+escapeSegment(name))
	}
}

// sandbox gives a page from a file an origin of its own.
const sandbox = "sandbox allow-scripts"

// escapeSegment percent-encodes a name, slashes too.
func escapeSegment(name string) string { return strings.ReplaceAll(escapePath(name), "/", "%2F") }

// getView answers GET /view{path}: a page that shows a file in a frame.
func getView(c *call) error {
	p, err := c.path()
	if err != nil {
		return err
	}
	e, err := c.stat(p)
	switch {
	case err != nil:
		return err
	case e.Attr.Type() != fs.File:
		return missing(p)
	}
	src := html.EscapeString(c.s.url("files/" + string(p)))
	page := `<!DOCTYPE html><html><head><meta charset="utf-8"><title>` + html.EscapeString(p.Base()) +
		`</title><style>html,body,iframe{margin:0;border:0;width:100%;height:100%}</style></head>` +
		`<body><iframe sandbox="allow-scripts" src="` + src + `"></iframe></body></html>` + "\n"
	return c.replyPage(http.StatusOK, page)
}

// replyPage answers with HTML.
func (c *call) replyPage(status int, page string) error {
	c.w.Header().Set("Content-Type", "text/html; charset=UTF-8")
	c.w.WriteHeader(status)
	_, err := io.WriteString(c.w, page)
	return ended(err)
}

// redirectNotebooks answers anything at /api/notebooks, the API before 2014.
func redirectNotebooks(c *call) error {
	err := c.redirect(c.s.url("api/contents/"+strings.Trim(c.vars["rest"], "/")), true)
	if errors.Is(err, errAnswered) {
		return nil
	}
	return err
}

// listNbconvert answers GET /api/nbconvert. Nothing is converted here, so there are no formats.
func listNbconvert(c *call) error { return c.reply(http.StatusOK, struct{}{}) }

// nbconvert answers requests for a format that is not there.
func nbconvert(c *call) error {
	if _, ok := c.vars["path"]; ok {
		p, err := c.path()
		if err != nil {
			return err
		}
		if _, err := c.stat(p); err != nil {
			return err
		}
	}
	return failed(http.StatusNotFound, "No exporter for the format "+c.vars["format"])
}
