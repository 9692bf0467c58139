package jupyterapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
)

// chunkSize is how much of a file is in memory while it is sent, in bytes. It is a multiple of what base64 puts on lines.
const chunkSize = 57 * 4096

// wholeSize is the size in bytes up to which a file is read before the answer begins, so that a failure still has a status.
const wholeSize = 4 << 20

// base64Line is how many bytes of a file are on one line of base64.
const base64Line = 57

// reader reads a handle from its beginning.
func reader(ctx context.Context, h fs.Handle) io.Reader {
	return io.NewSectionReader(handleReader{ctx, h}, 0, 1<<62)
}

// handleReader makes a handle an io.ReaderAt.
type handleReader struct {
	ctx context.Context
	h   fs.Handle
}

func (r handleReader) ReadAt(p []byte, off int64) (int, error) { return r.h.ReadAt(r.ctx, p, off) }

// getDirectory answers with a directory, with its entries if they are wanted.
func (c *call) getDirectory(m model, q contentsQuery) error {
	if !q.content {
		m.headers(c)
		return c.replyJSON(http.StatusOK, m.append(nil))
	}
	m.format = "json"
	body, err := c.appendEntries(m.appendHead(nil), m.path)
	if err != nil {
		return err
	}
	body = m.appendTail(body)
	sum := sha256.Sum256(body)
	m.headers(c)
	tag := hex.EncodeToString(sum[:16])
	c.w.Header().Set("ETag", `W/"`+tag+`"`)
	if hasTag(c.r.Header.Get("If-None-Match"), tag) {
		return c.noContent(http.StatusNotModified)
	}
	return c.replyJSON(http.StatusOK, body)
}

// appendEntries appends the models of a directory's entries as a JSON array.
func (c *call) appendEntries(b []byte, dir fs.Path) ([]byte, error) {
	list, err := c.view.List(c.ctx(), dir)
	if err != nil {
		return nil, c.openError(dir, err)
	}
	defer list.Close()
	b = append(b, '[')
	first := true
	for e, err := range fs.Entries(c.ctx(), list) {
		if err != nil {
			return nil, err
		}
		attr, ok := c.entryAttr(dir, e)
		if !ok {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		m := c.model(c.ctx(), dir.Join(e.Name), attr)
		b = m.append(b)
	}
	return append(b, ']'), nil
}

// entryAttr returns the attributes of an entry as the API shows them; ok is false for what it does not show: hidden names, traces
// of programs, devices, links that lead nowhere or out of the drive.
func (c *call) entryAttr(dir fs.Path, e fs.Entry) (a fs.Attr, ok bool) {
	p := dir.Join(e.Name)
	if !c.s.opts.AllowHidden && strings.HasPrefix(e.Name, ".") || isTrace(e.Name) || !utf8.ValidString(e.Name) {
		return a, false
	}
	switch e.Attr.Type() {
	case fs.File, fs.Directory:
		if !e.Attr.Mtime.IsZero() || e.Attr.Version != "" {
			return e.Attr, true
		}
	case fs.Symlink:
	default:
		return a, false
	}
	target, err := c.view.Stat(c.ctx(), p)
	if err != nil || target.Attr.Type() != fs.File && target.Attr.Type() != fs.Directory {
		return a, false
	}
	return target.Attr, true
}

// isTrace reports whether a name is one that programs leave behind and nobody wants to see.
func isTrace(name string) bool {
	return name == "__pycache__" || name == ".DS_Store" || strings.HasSuffix(name, ".pyc") || strings.HasSuffix(name, ".pyo") ||
		strings.HasSuffix(name, "~")
}

// getNotebook answers with a notebook, raised to version 4 and marked as trusted or not.
func (c *call) getNotebook(m model, h fs.Handle) error {
	data, err := c.readWhole(h, m.size)
	if err != nil {
		return err
	}
	nb, err := nbformat.Parse(data)
	if err == nil {
		err = nb.Upgrade(nbformat.DerivedIDs())
	}
	if err != nil {
		return &failure{status: http.StatusBadRequest, message: "Unreadable Notebook: " + string(m.path) + " " + err.Error(), err: err}
	}
	if notary := c.notary(); notary != nil {
		notary.Mark(nb)
	} else {
		nb.MarkTrusted(false)
	}
	m.message = validationMessage(nb)
	content, err := nb.MarshalJSON()
	if err != nil {
		return err
	}
	m.format = "json"
	m.headers(c)
	c.w.WriteHeader(http.StatusOK)
	for _, part := range [][]byte{m.appendHead(nil), content, m.appendTail(nil)} {
		if _, err := c.w.Write(part); err != nil {
			return ended(err)
		}
	}
	return nil
}

// readWhole reads a document that has to be in memory.
func (c *call) readWhole(h fs.Handle, size int64) ([]byte, error) {
	if size > c.s.opts.MaxBody {
		return nil, failed(http.StatusRequestEntityTooLarge, "The notebook is too large")
	}
	return readAll(io.LimitReader(reader(c.ctx(), h), c.s.opts.MaxBody), size)
}

// notary returns who knows which notebooks the caller trusts, or nil.
func (c *call) notary() *nbformat.Notary {
	if c.s.opts.Trust == nil {
		return nil
	}
	return c.s.opts.Trust(c.caller.Principal)
}

// validationMessage says what is wrong with a notebook, "" if nothing is.
func validationMessage(nb *nbformat.Notebook) string {
	err := nb.Validate()
	if err == nil {
		return ""
	}
	message := "Notebook validation failed: " + err.Error()
	var invalid *nbformat.ValidationError
	if !errors.As(err, &invalid) || invalid.Cell < 0 || invalid.Cell >= len(nb.Cells()) {
		return message
	}
	return message + ":\n" + excerpt(nb.Cells()[invalid.Cell])
}

// excerpt shows the source of a cell, shortened.
func excerpt(cell nbformat.Cell) string {
	const most = 400
	source := cell.Source()
	if len(source) > most {
		source = strings.ToValidUTF8(source[:most], "") + "…"
	}
	return string(appendString(nil, source))
}

// getFile answers with a file as text or base64. Large files pass through a small buffer: one that may be text is read twice, once to
// find out.
func (c *call) getFile(m model, h fs.Handle, want string) error {
	open := func() io.Reader { return reader(c.ctx(), h) }
	if m.size <= wholeSize {
		data, err := readAll(open(), m.size)
		if err != nil {
			return err
		}
		open = func() io.Reader { return bytes.NewReader(data) }
	}
	format := want
	if format != "base64" {
		isText, err := isUTF8(open())
		switch {
		case err != nil:
			return err
		case !isText && want == "text":
			return because(http.StatusBadRequest, string(m.path)+" is not UTF-8 encoded", "bad format")
		case isText:
			format = "text"
		default:
			format = "base64"
		}
	}
	m.format = format
	if m.mimetype == "" {
		m.mimetype = map[string]string{"text": "text/plain", "base64": "application/octet-stream"}[format]
	}
	m.headers(c)
	c.w.WriteHeader(http.StatusOK)
	if _, err := c.w.Write(append(m.appendHead(nil), '"')); err != nil {
		return ended(err)
	}
	send := sendText
	if format == "base64" {
		send = sendBase64
	}
	if err := send(c.w, open()); err != nil {
		c.breakOff(m.path, err)
	}
	_, err := c.w.Write(m.appendTail([]byte{'"'}))
	return ended(err)
}

// breakOff ends an answer of which the status was sent: cutting the connection is the only way left to say that the content is not whole.
func (c *call) breakOff(p fs.Path, err error) {
	if c.ctx().Err() == nil {
		c.log().Warn("a file could not be sent to its end", "path", p, "err", err)
	}
	panic(http.ErrAbortHandler)
}

// isUTF8 reports whether all of r is UTF-8.
func isUTF8(r io.Reader) (bool, error) {
	buf, rest := make([]byte, chunkSize), 0
	for {
		n, err := io.ReadFull(r, buf[rest:])
		part := buf[:rest+n]
		end := err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return false, err
		}
		cut := len(part)
		if !end {
			cut = wholeRunes(part)
		}
		if !utf8.Valid(part[:cut]) {
			return false, nil
		}
		if end {
			return true, nil
		}
		rest = copy(buf, part[cut:])
	}
}

// wholeRunes returns the length of p without a character that its end cuts in two.
func wholeRunes(p []byte) int {
	for i := 1; i < utf8.UTFMax && i <= len(p); i++ {
		if utf8.RuneStart(p[len(p)-i]) {
			if !utf8.FullRune(p[len(p)-i:]) {
				return len(p) - i
			}
			break
		}
	}
	return len(p)
}

// sendText writes r as the inside of a JSON string.
func sendText(w io.Writer, r io.Reader) error {
	return sendChunks(w, r, appendEscaped)
}

// sendBase64 writes r as base64 in lines of 76 characters, as the inside of a JSON string.
func sendBase64(w io.Writer, r io.Reader) error {
	return sendChunks(w, r, func(dst, p []byte) []byte {
		for len(p) > 0 {
			line := p[:min(base64Line, len(p))]
			dst = base64.StdEncoding.AppendEncode(dst, line)
			dst = append(dst, '\\', 'n')
			p = p[len(line):]
		}
		return dst
	})
}

func sendChunks(w io.Writer, r io.Reader, encode func(dst, p []byte) []byte) error {
	in, out := make([]byte, chunkSize), make([]byte, 0, 2*chunkSize)
	for {
		n, err := io.ReadFull(r, in)
		if n > 0 {
			out = encode(out[:0], in[:n])
			if _, err := w.Write(out); err != nil {
				return err
			}
		}
		switch {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			return nil
		case err != nil:
			return err
		}
	}
}
