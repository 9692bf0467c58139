package jupyterapi

import (
	"bytes"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
)

// maxTries bounds the search for a free name.
const maxTries = 10000

// postContents answers POST /api/contents{path}: a new file with a name of ours, or a copy, in a directory.
func postContents(c *call) error {
	p, err := c.path()
	if err != nil {
		return err
	}
	var body struct {
		CopyFrom string `json:"copy_from"`
		Ext      string `json:"ext"`
		Type     string `json:"type"`
	}
	if _, err := c.decode(&body); err != nil {
		return err
	}
	e, there, err := c.exists(p)
	switch {
	case err != nil:
		return err
	case there && e.Attr.Type() == fs.File:
		return failed(http.StatusBadRequest, "Cannot POST to files, use PUT instead.")
	case body.CopyFrom != "":
		return c.copy(p, there, body.CopyFrom)
	case c.hidden(p):
		return failed(http.StatusBadRequest, "Cannot create file or directory '/"+string(p)+"'")
	}
	return c.untitled(p, body.Type, body.Ext)
}

// untitled makes a new file, notebook or directory in dir.
func (c *call) untitled(dir fs.Path, kind, ext string) error {
	e, there, err := c.exists(dir)
	switch {
	case err != nil:
		return err
	case !there || e.Attr.Type() != fs.Directory:
		return failed(http.StatusNotFound, "No such directory: "+string(dir))
	}
	if kind == "" {
		kind = fileType
		if ext == ".ipynb" {
			kind = notebookType
		}
	}
	var name, insert string
	var data []byte
	switch knownType(kind) {
	case directoryType:
		name, insert = "Untitled Folder", " "
	case notebookType:
		name = "Untitled.ipynb"
		if data, err = nbformat.New().Marshal(); err != nil {
			return err
		}
	default:
		name = "untitled" + ext
	}
	if err := fs.CheckName(name); err != nil {
		return failed(http.StatusBadRequest, "Not a possible extension: "+ext)
	}
	if c.hidden(dir.Join(name)) {
		return failed(http.StatusBadRequest, "Cannot create file or directory '/"+string(dir.Join(name))+"'")
	}
	var m model
	p, err := c.firstFree(dir, name, insert, func(p fs.Path) (err error) {
		m, err = c.makeNew(p, knownType(kind), data)
		return err
	})
	if err != nil {
		return c.saveError(p, condition{}, err)
	}
	if m.kind == notebookType {
		c.firstCheckpoint(p)
	}
	c.s.publishContents("create", p, "")
	return c.replyModel(http.StatusCreated, m)
}

// makeNew makes something at p, which must be free.
func (c *call) makeNew(p fs.Path, kind string, data []byte) (model, error) {
	if kind == directoryType {
		e, err := c.view.Mkdir(c.ctx(), p, fs.CreateOptions{})
		return c.model(c.ctx(), p, e.Attr), err
	}
	res, err := c.view.Replace(c.ctx(), p, bytes.NewReader(data), fs.ReplaceOptions{IfAbsent: true})
	return c.model(c.ctx(), p, res.Attr), err
}

// firstFree calls make with the first name of a numbered series that is free; make fails with Exist where somebody was faster.
func (c *call) firstFree(dir fs.Path, name, insert string, make func(fs.Path) error) (fs.Path, error) {
	for i := range maxTries {
		p := dir.Join(numbered(name, insert, i))
		if _, there, err := c.exists(p); err != nil || there {
			if err != nil {
				return p, err
			}
			continue
		}
		if err := make(p); !isKind(err, fs.Exist) {
			return p, err
		}
	}
	return dir.Join(name), failed(http.StatusConflict, "No free name for "+name)
}

// numbered puts a number, if it is not 0, before the first dot of a name, or before the last one of a notebook's.
func numbered(name, insert string, i int) string {
	if i == 0 {
		return name
	}
	dot := strings.IndexByte(name, '.')
	if strings.HasSuffix(name, ".ipynb") {
		dot = strings.LastIndexByte(name, '.')
	}
	if dot < 0 {
		dot = len(name)
	}
	return name[:dot] + insert + strconv.Itoa(i) + name[dot:]
}

var copyMark = regexp.MustCompile(`-Copy\d*\.`)

// copy makes a copy of another file or directory in dir, or at it if nothing is there.
func (c *call) copy(to fs.Path, there bool, from string) error {
	src, err := fs.ParsePath(from)
	if err != nil {
		return failed(http.StatusNotFound, "No such file or directory: "+from)
	}
	for _, p := range []fs.Path{src, to} {
		if c.hidden(p) {
			return failed(http.StatusBadRequest, "Cannot copy file or directory '/"+string(p)+"'")
		}
	}
	e, found, err := c.exists(src)
	switch {
	case err != nil:
		return err
	case !found:
		return failed(http.StatusNotFound, "No such file or directory: "+string(src))
	case e.Attr.Type() == fs.Directory && !there: // a directory is always copied into another one
		if _, err := c.view.Mkdir(c.ctx(), to, fs.CreateOptions{}); err != nil {
			return c.saveError(to, condition{}, err)
		}
		there = true
	}
	make := func(p fs.Path) error { return c.view.Copy(c.ctx(), src, p) }
	dst := to
	if there {
		name := copyMark.ReplaceAllLiteralString(src.Base(), ".")
		dst, err = c.firstFree(to, name, "-Copy", make)
	} else {
		err = make(dst)
	}
	if err != nil {
		return c.saveError(dst, condition{}, err)
	}
	if e, err = c.view.Stat(c.ctx(), dst); err != nil {
		return err
	}
	c.s.publishContents("copy", dst, src)
	return c.replyModel(http.StatusCreated, c.model(c.ctx(), dst, e.Attr))
}
