package jupyterapi

import (
	"net/http"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// patchContents answers PATCH /api/contents{path}: rename or move.
func patchContents(c *call) error {
	from, err := c.path()
	if err != nil {
		return err
	}
	var body struct {
		Path *string `json:"path"`
	}
	if sent, err := c.decode(&body); err != nil || !sent {
		if err != nil {
			return err
		}
		return failed(http.StatusBadRequest, "JSON body missing")
	}
	to := from
	if body.Path != nil {
		if to, err = fs.ParsePath(*body.Path); err != nil || !to.UTF8() {
			return failed(http.StatusBadRequest, "The new path is not valid")
		}
	}
	for _, p := range []fs.Path{from, to} {
		if c.hidden(p) {
			return failed(http.StatusBadRequest, "Cannot rename file or directory '/"+string(p)+"'")
		}
	}
	unlock, err := c.s.changes.lock(c.ctx(), from, to)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.condition(from); err != nil {
		return err
	}
	if to != from {
		if err := c.rename(from, to); err != nil {
			return err
		}
	}
	e, err := c.view.Stat(c.ctx(), to)
	if err != nil {
		return c.moveError(from, to, err)
	}
	return c.replyModel(http.StatusOK, c.model(c.ctx(), to, e.Attr))
}

// rename moves a document and its checkpoint, and tells those who have it open.
func (c *call) rename(from, to fs.Path) error {
	if err := c.view.Rename(c.ctx(), from, to); err != nil {
		return c.moveError(from, to, err)
	}
	c.moveCheckpoint(from, to)
	if c.s.opts.Sessions != nil {
		c.s.opts.Sessions.Moved(string(from), string(to))
	}
	c.s.places.moved(from, to)
	c.s.publishContents("rename", to, from)
	return nil
}

func (c *call) moveError(from, to fs.Path, err error) error {
	switch fs.KindOf(err) {
	case fs.Exist:
		return &failure{status: http.StatusConflict, message: "File already exists: " + string(to), err: err}
	case fs.NotExist, fs.NotDir:
		return &failure{status: http.StatusNotFound, message: "File or directory does not exist: " + string(from), err: err}
	default:
		return c.saveError(to, condition{}, err)
	}
}

// deleteContents answers DELETE /api/contents{path}. A directory goes with all that is in it.
func deleteContents(c *call) error {
	p, err := c.path()
	if err != nil {
		return err
	}
	switch {
	case p == "":
		return failed(http.StatusBadRequest, "Can't delete root")
	case c.hidden(p):
		return failed(http.StatusBadRequest, "Cannot delete file or directory '/"+string(p)+"'")
	}
	unlock, err := c.s.changes.lock(c.ctx(), p)
	if err != nil {
		return err
	}
	defer unlock()
	if _, err := c.condition(p); err != nil {
		return err
	}
	if err := c.view.Remove(c.ctx(), p, true); err != nil {
		if isKind(err, fs.NotExist) || isKind(err, fs.NotDir) {
			return failed(http.StatusNotFound, "File or directory does not exist: "+string(p))
		}
		return c.saveError(p, condition{}, err)
	}
	c.removeCheckpoint(p)
	c.s.publishContents("delete", p, "")
	return c.noContent(http.StatusNoContent)
}
