package jupyterapi

import (
	"net/http"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// sessionModel is what the API tells of a session. Clients refuse a list in which a name is null.
type sessionModel struct {
	ID       string         `json:"id"`
	Path     string         `json:"path"`
	Name     string         `json:"name"`
	Type     string         `json:"type"`
	Kernel   kernelModel    `json:"kernel"`
	Notebook *notebookModel `json:"notebook,omitempty"`
}

type notebookModel struct {
	Path string `json:"path"`
	Name string `json:"name"`
}

func showSession(s Session) sessionModel {
	m := sessionModel{ID: s.ID, Path: s.Path, Name: s.Name, Type: s.Type, Kernel: showKernel(s.Kernel)}
	if s.Type == notebookType {
		m.Notebook = &notebookModel{Path: s.Path, Name: s.Name}
	}
	return m
}

// sessionResources returns what the right on a session depends on.
func (s *Server) sessionResources(kind fs.ResourceKind, id string) []fs.Resource {
	r := fs.Resource{Kind: kind, ID: id}
	if s.opts.Sessions != nil {
		if one, err := s.opts.Sessions.Get(id); err == nil {
			r.Path = documentOf(one.Path)
		}
	}
	return []fs.Resource{r}
}

// listSessions answers GET /api/sessions.
func listSessions(c *call) error {
	list := []sessionModel{}
	for _, one := range c.s.opts.Sessions.List() {
		if c.may(fs.Read, fs.Resource{Kind: fs.Sessions, ID: one.ID, Path: documentOf(one.Path)}) {
			list = append(list, showSession(one))
		}
	}
	return c.reply(http.StatusOK, list)
}

// kernelBody names a kernel in a body.
type kernelBody struct {
	startRequest
	ID   *string `json:"id"`
	Name *string `json:"name"`
}

// ref returns the kernel that is meant. What cannot be the id of one is none.
func (k *kernelBody) ref() KernelRef {
	var r KernelRef
	if k.ID != nil && kernelID.MatchString(*k.ID) {
		r.ID = *k.ID
	}
	if k.Name != nil {
		r.Name = specName(*k.Name)
	}
	return r
}

// sessionBody is the body of POST and PATCH.
type sessionBody struct {
	Path     *string        `json:"path"`
	Name     *string        `json:"name"`
	Type     *string        `json:"type"`
	Kernel   *kernelBody    `json:"kernel"`
	Notebook *notebookModel `json:"notebook"` // as clients of 2015 send it
}

// complete takes the old form for the new one and says what is missing.
func (b *sessionBody) complete() error {
	if b.Notebook != nil {
		path, kind := b.Notebook.Path, notebookType
		if path == "" {
			path = b.Notebook.Name
		}
		b.Path, b.Type = &path, &kind
	}
	switch {
	case b.Path == nil:
		return failed(http.StatusBadRequest, "Missing field in JSON data: path")
	case b.Type == nil:
		return failed(http.StatusBadRequest, "Missing field in JSON data: type")
	}
	return nil
}

// startSession answers POST /api/sessions.
func startSession(c *call) error {
	var body sessionBody
	sent, err := c.decode(&body)
	switch {
	case err != nil:
		return err
	case !sent:
		return failed(http.StatusBadRequest, "No JSON data provided")
	}
	if err := body.complete(); err != nil {
		return err
	}
	kernel := body.Kernel
	if kernel == nil {
		kernel = &kernelBody{}
	}
	req := SessionRequest{Path: *body.Path, Type: *body.Type, Kernel: kernel.ref()}
	if body.Name != nil {
		req.Name = *body.Name
	}
	if req.Start, err = c.sessionStart(req.Path, kernel); err != nil {
		return err
	}
	one, err := c.s.opts.Sessions.Create(c.ctx(), req)
	if err != nil {
		return startError(err, req.Kernel.Name)
	}
	c.location("api/sessions/" + one.ID)
	return c.reply(http.StatusCreated, showSession(one))
}

// sessionStart says how a kernel starts for a document. Taking a running kernel needs the right on it.
func (c *call) sessionStart(path string, k *kernelBody) (KernelStart, error) {
	if id := k.ref().ID; id != "" {
		for _, r := range c.s.kernelResources(fs.Kernels, id) {
			if err := c.allowed(fs.Execute, r); err != nil {
				return KernelStart{}, err
			}
		}
	}
	start, _, err := c.start(startRequest{Path: path, Env: k.Env})
	start.SessionName = path
	return start, err
}

// noSession is the answer for a session that is not there.
func noSession(id string, err error) error {
	if fs.KindOf(err) == fs.NotExist {
		return failed(http.StatusNotFound, "Session not found: session_id='"+id+"'")
	}
	return err
}

// getSession answers GET /api/sessions/{session}.
func getSession(c *call) error {
	one, err := c.s.opts.Sessions.Get(c.vars["session"])
	if err != nil {
		return noSession(c.vars["session"], err)
	}
	return c.reply(http.StatusOK, showSession(one))
}

// patchSession answers PATCH /api/sessions/{session}: another path, name, type or kernel.
func patchSession(c *call) error {
	id := c.vars["session"]
	var body sessionBody
	sent, err := c.decode(&body)
	switch {
	case err != nil:
		return err
	case !sent:
		return failed(http.StatusBadRequest, "No JSON data provided")
	}
	before, err := c.s.opts.Sessions.Get(id)
	if err != nil {
		return noSession(id, err)
	}
	if body.Notebook != nil && body.Notebook.Path != "" {
		body.Path = &body.Notebook.Path
	}
	patch := SessionPatch{Path: body.Path, Name: body.Name, Type: body.Type}
	path := before.Path
	if body.Path != nil {
		path = *body.Path
		if err := c.allowed(fs.Write, fs.Resource{Kind: fs.Sessions, ID: id, Path: documentOf(path)}); err != nil {
			return err
		}
	}
	if body.Kernel != nil {
		ref := body.Kernel.ref()
		if patch.Start, err = c.sessionStart(path, body.Kernel); err != nil {
			return err
		}
		patch.Kernel = &ref
		if id := body.Kernel.ID; id != nil && *id != "" {
			if _, err := c.s.opts.Kernels.Get(*id); err != nil {
				return failed(http.StatusBadRequest, "No such kernel: "+identity.ScrubText(*id))
			}
		}
	}
	one, err := c.s.opts.Sessions.Update(c.ctx(), id, patch)
	if err != nil {
		if patch.Kernel != nil {
			return startError(err, patch.Kernel.Name)
		}
		return noSession(id, err)
	}
	return c.reply(http.StatusOK, showSession(one))
}

// deleteSession answers DELETE /api/sessions/{session}.
func deleteSession(c *call) error {
	err := c.s.opts.Sessions.Delete(c.ctx(), c.vars["session"])
	switch {
	case err == nil:
		return c.noContent(http.StatusNoContent)
	case fs.KindOf(err) == fs.Stale:
		return &failure{status: http.StatusGone, message: "Kernel deleted before session", err: err}
	}
	return noSession(c.vars["session"], err)
}
