package jupyterapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/internal/jsontext"
)

// save writes a whole document and answers with its model.
func (c *call) save(p fs.Path, r saveRequest, cond condition) error {
	e, there, err := c.exists(p)
	if err != nil {
		return err
	}
	status := http.StatusOK
	if !there || e.Attr.Type() != fs.File {
		status = http.StatusCreated
		r.fill(p)
	}
	switch {
	case !r.hasType:
		return failed(http.StatusBadRequest, "No file type provided")
	case !r.hasContent && r.kind != directoryType:
		return failed(http.StatusBadRequest, "No file content provided")
	case r.kind == directoryType:
		return c.saveDirectory(p, e, there)
	case there && e.Attr.Type() == fs.Directory:
		return failed(http.StatusBadRequest, "Cannot save a file over the directory "+string(p))
	}
	doc, err := c.document(r)
	if err != nil {
		return err
	}
	m, err := c.replace(p, bytes.NewReader(doc.data), cond)
	if err != nil {
		return err
	}
	m.message = doc.message
	if r.kind == notebookType {
		c.firstCheckpoint(p)
	}
	action := "save"
	if !there {
		action = "create"
	}
	c.s.publishContents(action, p, "")
	return c.replyModel(status, m)
}

// fill completes what a client may leave out for a new file.
func (r *saveRequest) fill(p fs.Path) {
	if !r.hasType {
		r.kind, r.hasType = kindOf(p, fs.Attr{}), true
	}
	if r.hasContent || r.kind == directoryType {
		return
	}
	r.hasContent = true
	if r.kind == notebookType {
		r.content = json.RawMessage(`{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5}`)
		return
	}
	r.format, r.content = "text", json.RawMessage(`""`)
}

// document is what is written to the file.
type document struct {
	data    []byte
	message string // what is wrong with it, though it is written
}

// document decodes the content of a save.
func (c *call) document(r saveRequest) (document, error) {
	if r.kind == notebookType {
		return c.notebook(r.content)
	}
	data, err := decodeContent(r)
	return document{data: data}, err
}

// notebook returns the file of a notebook as it is always written. One that breaks the rules of its format is written all the same.
func (c *call) notebook(content json.RawMessage) (document, error) {
	nb := &nbformat.Notebook{}
	if err := nb.UnmarshalJSON(content); err != nil {
		return document{}, &failure{status: http.StatusBadRequest, message: "Unexpected error while saving file: " + err.Error(), err: err}
	}
	if notary := c.notary(); notary == nil {
		nb.StripTrust()
	} else if err := notary.Save(nb); err != nil {
		return document{}, err
	}
	message := validationMessage(nb)
	data, err := nb.Marshal()
	if err != nil {
		return document{}, &failure{status: http.StatusBadRequest, message: "Unexpected error while saving file: " + err.Error(), err: err}
	}
	return document{data: data, message: message}, nil
}

// decodeContent returns the bytes of a file that was sent as text or base64.
func decodeContent(r saveRequest) ([]byte, error) {
	if r.format != "text" && r.format != "base64" {
		return nil, failed(http.StatusBadRequest, "Must specify format of file contents as 'text' or 'base64'")
	}
	var text *string
	if err := json.Unmarshal(r.content, &text); err != nil || text == nil {
		return nil, failed(http.StatusBadRequest, "The content of a file must be a string")
	}
	if err := checkContent(r.content); err != nil {
		return nil, err
	}
	if r.format == "text" {
		return []byte(*text), nil
	}
	data, err := decodeBase64(*text)
	if err != nil {
		return nil, failed(http.StatusBadRequest, "Encoding error saving file: the content is not base64")
	}
	return data, nil
}

// checkContent refuses a JSON string that no file in UTF-8 can hold, and says where in the text the reason is.
func checkContent(raw json.RawMessage) error {
	err := jsontext.Check(raw)
	bad, ok := errors.AsType[*jsontext.Error](err)
	if !ok {
		return err
	}
	var before string
	if err := json.Unmarshal(append(slices.Clone(raw[:bad.Offset]), '"'), &before); err != nil {
		before = ""
	}
	line := strings.Count(before, "\n") + 1
	column := utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:]) + 1
	return failed(http.StatusBadRequest, fmt.Sprintf("The content cannot be saved as UTF-8: %s in line %d, column %d", bad.What, line, column))
}

// decodeBase64 is strict but for white space: a letter that was dropped would be a silent change of the file.
func decodeBase64(text string) ([]byte, error) {
	text = strings.Map(func(r rune) rune {
		switch r {
		case ' ', '\t', '\r', '\n':
			return -1
		}
		return r
	}, text)
	return base64.StdEncoding.Strict().DecodeString(text)
}

// replace writes the file as a whole.
func (c *call) replace(p fs.Path, r io.Reader, cond condition) (model, error) {
	unlock, err := c.s.changes.lock(c.ctx(), p)
	if err != nil {
		return model{}, err
	}
	defer unlock()
	res, err := c.view.Replace(c.ctx(), p, r, fs.ReplaceOptions{IfVersion: cond.version, IfAbsent: cond.ifAbsent})
	if err != nil {
		return model{}, c.saveError(p, cond, err)
	}
	return c.model(c.ctx(), p, res.Attr), nil
}

// saveDirectory makes a directory; one that is there already is as good.
func (c *call) saveDirectory(p fs.Path, e fs.Entry, there bool) error {
	if there && e.Attr.Type() != fs.Directory {
		return failed(http.StatusBadRequest, "Not a directory: "+string(p))
	}
	if !there {
		made, err := c.view.Mkdir(c.ctx(), p, fs.CreateOptions{})
		if err != nil {
			return c.saveError(p, condition{}, err)
		}
		e = made
		c.s.publishContents("create", p, "")
	}
	return c.replyModel(http.StatusCreated, c.model(c.ctx(), p, e.Attr))
}

// trustNotebook answers POST /api/contents{path}/trust: the caller trusts the notebook as it is now.
func trustNotebook(c *call) error {
	p, err := c.path()
	if err != nil {
		return err
	}
	if _, err := c.stat(p); err != nil {
		return err
	}
	notary := c.notary()
	if notary == nil {
		return failed(http.StatusNotImplemented, "Notebooks cannot be trusted here")
	}
	nb, err := c.openNotebook(p)
	if err != nil {
		return err
	}
	if err := notary.Sign(nb); err != nil {
		return err
	}
	return c.noContent(http.StatusCreated)
}

// openNotebook reads the notebook at p, raised to version 4.
func (c *call) openNotebook(p fs.Path) (*nbformat.Notebook, error) {
	h, err := c.view.Open(c.ctx(), p, fs.OpenRead)
	if err != nil {
		return nil, c.openError(p, err)
	}
	defer h.Release(c.ctx()) //nolint:errcheck // nothing was written
	a, err := h.Attr(c.ctx())
	if err != nil {
		return nil, err
	}
	data, err := c.readWhole(h, a.Size)
	if err != nil {
		return nil, err
	}
	nb, err := nbformat.Parse(data)
	if err == nil {
		err = nb.Upgrade(nbformat.DerivedIDs())
	}
	if err != nil {
		return nil, &failure{status: http.StatusBadRequest, message: "Unreadable Notebook: " + string(p) + " " + err.Error(), err: err}
	}
	return nb, nil
}

// isKind reports whether err is of that kind.
func isKind(err error, k fs.Kind) bool { return err != nil && !errIsAnswer(err) && fs.KindOf(err) == k }
