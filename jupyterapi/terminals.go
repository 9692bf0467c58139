package jupyterapi

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"path"
	"strings"

	"github.com/gorilla/websocket"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// terminalModel is what the API tells of a terminal.
type terminalModel struct {
	Name         string `json:"name"`
	LastActivity string `json:"last_activity"`
}

func showTerminal(t Terminal) terminalModel { return terminalModel{t.Name, stamp(t.LastActivity)} }

// terminalResource returns what the right on a terminal depends on: the folder it was started in.
func (s *Server) terminalResource(name string) fs.Resource {
	p, _ := s.places.get("terminal " + name)
	return fs.Resource{Kind: fs.Terminals, ID: name, Path: p}
}

// listTerminals answers GET /api/terminals.
func listTerminals(c *call) error {
	list := []terminalModel{}
	for _, t := range c.s.opts.Terminals.List() {
		if c.may(fs.Read, c.s.terminalResource(t.Name)) {
			list = append(list, showTerminal(t))
		}
	}
	return c.reply(http.StatusOK, list)
}

// startTerminal answers POST /api/terminals. A folder that is not there is passed over silently.
func startTerminal(c *call) error {
	var body struct {
		Name string `json:"name"`
		CWD  string `json:"cwd"`
	}
	if _, err := c.decode(&body); err != nil {
		return err
	}
	p := c.workingDir(body.CWD)
	if err := c.allowed(fs.Execute, fs.Resource{Kind: fs.Terminals, Path: p}); err != nil {
		return err
	}
	if e, there, err := c.exists(p); err != nil || !there || e.Attr.Type() != fs.Directory {
		p = ""
		if err := c.allowed(fs.Execute, fs.Resource{Kind: fs.Terminals}); err != nil {
			return err
		}
	}
	t, err := c.s.opts.Terminals.Create(c.ctx(), body.Name, c.s.opts.Dir(p))
	if err != nil {
		return startError(err, body.Name)
	}
	c.s.places.set("terminal "+t.Name, p)
	return c.reply(http.StatusOK, showTerminal(t))
}

// workingDir returns the directory that a client names: a path of the API, or an absolute one in the mount.
func (c *call) workingDir(cwd string) fs.Path {
	var p fs.Path
	var ok bool
	if strings.HasPrefix(cwd, "/") {
		p, ok = c.s.opts.APIPath(path.Clean(cwd))
	}
	if !ok {
		p = documentOf(path.Clean("/" + cwd))
	}
	return p
}

func noTerminal(name string, err error) error {
	if fs.KindOf(err) == fs.NotExist {
		return failed(http.StatusNotFound, "Terminal not found: "+name)
	}
	return err
}

// getTerminal answers GET /api/terminals/{terminal}.
func getTerminal(c *call) error {
	t, err := c.s.opts.Terminals.Get(c.vars["terminal"])
	if err != nil {
		return noTerminal(c.vars["terminal"], err)
	}
	return c.reply(http.StatusOK, showTerminal(t))
}

// deleteTerminal answers DELETE /api/terminals/{terminal}.
func deleteTerminal(c *call) error {
	name := c.vars["terminal"]
	if err := c.s.opts.Terminals.Delete(c.ctx(), name); err != nil {
		return noTerminal(name, err)
	}
	c.s.places.forget("terminal " + name)
	return c.noContent(http.StatusNoContent)
}

// openTerminal answers the WebSocket /terminals/websocket/{terminal}: arrays such as ["stdout", "text"].
func openTerminal(c *call) error {
	name := c.vars["terminal"]
	if _, err := c.s.opts.Terminals.Get(name); err != nil {
		return noTerminal(name, err)
	}
	return c.withSocket(nil, func(one *socket) {
		client, err := c.s.opts.Terminals.Attach(name)
		if err != nil {
			c.log().Debug("terminal", "name", name, "err", err)
			return
		}
		t := &terminalSocket{call: c, socket: one, client: client, resource: c.s.terminalResource(name)}
		stop := context.AfterFunc(one.ctx, t.detach) // also while a program does not read what is typed
		done := make(chan struct{})
		go func() { defer close(done); t.fromShell() }()
		t.fromClient()
		one.cancel()
		<-done
		stop()
		t.detach()
	})
}

// terminalSocket joins a WebSocket and a shell.
type terminalSocket struct {
	*call
	socket   *socket
	client   TerminalClient
	resource fs.Resource
}

func (t *terminalSocket) detach() {
	if err := t.client.Close(); err != nil {
		t.log().Debug("terminal", "err", err)
	}
}

func (t *terminalSocket) say(parts ...any) error {
	data, err := json.Marshal(parts)
	if err != nil {
		return err
	}
	return t.socket.send(websocket.TextMessage, data)
}

// fromShell shows the shell's output until one side ends.
func (t *terminalSocket) fromShell() {
	err := t.say("setup", struct{}{})
	for err == nil {
		var text string
		if text, err = t.client.Recv(t.socket.ctx); err != nil {
			break
		}
		if !t.may(fs.Execute, t.resource) {
			break
		}
		err = t.say("stdout", text)
	}
	if errors.Is(err, io.EOF) {
		if err := t.say("disconnect", 1); err != nil {
			t.log().Debug("terminal", "err", err)
		}
	}
	t.socket.end(websocket.CloseNormalClosure, "")
}

// fromClient types what the client sends until one side ends.
func (t *terminalSocket) fromClient() {
	for {
		_, data, err := t.socket.receive()
		if err != nil {
			return
		}
		if !t.may(fs.Execute, t.resource) {
			continue
		}
		t.s.active.touch()
		if err := t.obey(data); err != nil {
			t.log().Debug("terminal", "err", err)
			return
		}
	}
}

// obey does what one message says. Messages that make no sense are ignored.
func (t *terminalSocket) obey(data []byte) error {
	var parts []any
	if json.Unmarshal(data, &parts) != nil || len(parts) < 2 {
		parts = []any{nil, nil}
	}
	switch parts[0] {
	case "stdin":
		if text, ok := parts[1].(string); ok {
			return t.client.Write(text)
		}
	case "set_size":
		rows, isRows := parts[1].(float64)
		cols, isCols := parts[min(2, len(parts)-1)].(float64)
		if isRows && isCols && rows >= 1 && cols >= 1 && rows < maxSize && cols < maxSize {
			return t.client.Resize(int(rows), int(cols))
		}
	}
	return nil
}

// maxSize bounds the rows and columns of a terminal.
const maxSize = 1 << 15
