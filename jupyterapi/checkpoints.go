package jupyterapi

import (
	"net/http"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// A document has at most one checkpoint: a copy of it in a hidden folder beside it, under the name that Jupyter gives it. It is in the
// drive, so every daemon and a plain Jupyter find it.
const (
	checkpointID  = "checkpoint"
	checkpointDir = ".ipynb_checkpoints"
)

// checkpointOf returns where the checkpoint of a document is.
func checkpointOf(p fs.Path) fs.Path {
	stem, ext := p.Base(), ""
	if i := strings.LastIndexByte(stem, '.'); i > 0 {
		stem, ext = stem[:i], stem[i:]
	}
	return p.Dir().Join(checkpointDir).Join(stem + "-" + checkpointID + ext)
}

// checkpointModel is what the API tells of a checkpoint.
type checkpointModel struct {
	ID           string `json:"id"`
	LastModified string `json:"last_modified"`
}

func checkpointAt(a fs.Attr) checkpointModel {
	return checkpointModel{ID: checkpointID, LastModified: stamp(a.Mtime)}
}

// listCheckpoints answers GET /api/contents{path}/checkpoints. The checkpoint of a document that has gone is still there.
func listCheckpoints(c *call) error {
	p, err := c.path()
	if err != nil {
		return err
	}
	list := []checkpointModel{}
	if c.hidden(p) || p == "" {
		return c.reply(http.StatusOK, list)
	}
	e, there, err := c.exists(checkpointOf(p))
	if err != nil {
		return err
	}
	if there {
		list = append(list, checkpointAt(e.Attr))
	}
	return c.reply(http.StatusOK, list)
}

// createCheckpoint answers POST /api/contents{path}/checkpoints.
func createCheckpoint(c *call) error {
	p, err := c.documentPath()
	if err != nil {
		return err
	}
	made, err := c.checkpoint(p)
	if err != nil {
		return err
	}
	c.location("api/contents/"+string(p), "checkpoints", checkpointID)
	return c.reply(http.StatusCreated, checkpointAt(made))
}

// restoreCheckpoint answers POST /api/contents{path}/checkpoints/{checkpoint}.
func restoreCheckpoint(c *call) error {
	p, err := c.checkpointPath()
	if err != nil {
		return err
	}
	if _, err := c.copyOver(checkpointOf(p), p); err != nil {
		return c.saveError(p, condition{}, err)
	}
	c.s.publishContents("save", p, "")
	return c.noContent(http.StatusNoContent)
}

// deleteCheckpoint answers DELETE /api/contents{path}/checkpoints/{checkpoint}.
func deleteCheckpoint(c *call) error {
	p, err := c.checkpointPath()
	if err != nil {
		return err
	}
	if err := c.view.Remove(c.ctx(), checkpointOf(p), false); err != nil {
		return c.saveError(p, condition{}, err)
	}
	return c.noContent(http.StatusNoContent)
}

// documentPath returns the path of the request if there is a file.
func (c *call) documentPath() (fs.Path, error) {
	p, err := c.path()
	if err != nil {
		return "", err
	}
	e, err := c.stat(p)
	switch {
	case err != nil:
		return "", err
	case e.Attr.Type() != fs.File:
		return "", failed(http.StatusBadRequest, "A checkpoint is of a file: "+string(p))
	}
	return p, nil
}

// checkpointPath returns the path of the document if it has the checkpoint that the request names. The document itself may be gone.
func (c *call) checkpointPath() (fs.Path, error) {
	p, err := c.path()
	if err != nil {
		return "", err
	}
	none := failed(http.StatusNotFound, "Checkpoint does not exist: "+string(p)+"@"+c.vars["checkpoint"])
	if c.hidden(p) || p == "" || c.vars["checkpoint"] != checkpointID {
		return "", none
	}
	_, there, err := c.exists(checkpointOf(p))
	if err == nil && !there {
		err = none
	}
	return p, err
}

// checkpoint copies a document to its checkpoint.
func (c *call) checkpoint(p fs.Path) (fs.Attr, error) {
	to := checkpointOf(p)
	if _, err := c.view.Mkdir(c.ctx(), to.Dir(), fs.CreateOptions{}); err != nil && !isKind(err, fs.Exist) {
		return fs.Attr{}, c.saveError(to.Dir(), condition{}, err)
	}
	a, err := c.copyOver(p, to)
	if err != nil {
		return a, c.saveError(to, condition{}, err)
	}
	return a, nil
}

// copyOver makes to a copy of the file from, with the same time.
func (c *call) copyOver(from, to fs.Path) (fs.Attr, error) {
	h, err := c.view.Open(c.ctx(), from, fs.OpenRead)
	if err != nil {
		return fs.Attr{}, err
	}
	defer h.Release(c.ctx()) //nolint:errcheck // nothing was written
	a, err := h.Attr(c.ctx())
	if err != nil {
		return a, err
	}
	unlock, err := c.s.changes.lock(c.ctx(), to)
	if err != nil {
		return a, err
	}
	defer unlock()
	res, err := c.view.Replace(c.ctx(), to, reader(c.ctx(), h), fs.ReplaceOptions{ModTime: a.Mtime})
	return res.Attr, err
}

// firstCheckpoint gives a notebook that was saved a checkpoint if it has none. The save has succeeded whatever comes of it.
func (c *call) firstCheckpoint(p fs.Path) {
	_, there, err := c.exists(checkpointOf(p))
	if err == nil && !there {
		_, err = c.checkpoint(p)
	}
	if err != nil {
		c.log().Warn("no checkpoint", "path", p, "err", err)
	}
}

// moveCheckpoint moves the checkpoint along with its document; that of a directory's documents is inside.
func (c *call) moveCheckpoint(from, to fs.Path) {
	src, dst := checkpointOf(from), checkpointOf(to)
	e, there, err := c.exists(src)
	if err != nil || !there || e.Attr.Type() != fs.File {
		return
	}
	_, err = c.view.Mkdir(c.ctx(), dst.Dir(), fs.CreateOptions{})
	if err == nil || isKind(err, fs.Exist) {
		c.removeCheckpoint(to)
		err = c.view.Rename(c.ctx(), src, dst)
	}
	if err != nil {
		c.log().Warn("the checkpoint stayed behind", "path", src, "err", err)
	}
}

// removeCheckpoint removes the checkpoint of a document that has gone.
func (c *call) removeCheckpoint(p fs.Path) {
	if err := c.view.Remove(c.ctx(), checkpointOf(p), false); err != nil && !absent(err) {
		c.log().Warn("the checkpoint stayed behind", "path", p, "err", err)
	}
}
