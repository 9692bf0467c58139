package jupyterapi

import (
	"encoding/json"
	"errors"
	"net/http"
	"path"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// getVersion answers GET /api.
func getVersion(c *call) error {
	return c.reply(http.StatusOK, map[string]string{"version": c.s.opts.Version})
}

// getStatus answers GET /api/status.
func getStatus(c *call) error {
	kernels, connections := 0, 0
	if c.s.opts.Kernels != nil {
		for _, k := range c.s.opts.Kernels.List() {
			kernels++
			connections += k.Connections
		}
	}
	return c.reply(http.StatusOK, map[string]any{
		"connections": connections, "kernels": kernels, "last_activity": stamp(c.s.active.time()), "started": stamp(c.s.started),
	})
}

// identityModel is what the API tells of a person.
type identityModel struct {
	Username    string  `json:"username"`
	Name        string  `json:"name"`
	DisplayName string  `json:"display_name"`
	Initials    *string `json:"initials"`
	AvatarURL   *string `json:"avatar_url"`
	Color       *string `json:"color"`
}

func showPrincipal(p fs.Principal) identityModel {
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	display := p.DisplayName
	if display == "" {
		display = p.Name
	}
	return identityModel{p.Name, p.Name, display, optional(p.Initials), optional(p.AvatarURL), optional(p.Color)}
}

// getMe answers GET /api/me: who the caller is, and which of the rights he asks about he has.
func getMe(c *call) error {
	permissions := map[string][]string{}
	if asked := c.query.Get("permissions"); asked != "" {
		wanted := map[string][]string{}
		if err := json.Unmarshal([]byte(asked), &wanted); err != nil || wanted == nil {
			return failed(http.StatusBadRequest,
				`permissions should be a JSON dict of {"resource": ["action",]}, got '`+identity.ScrubText(asked)+`'`)
		}
		for kind, list := range wanted {
			permissions[kind] = c.permitted(kind, list)
		}
	}
	permissions["updatable_fields"] = identity.UpdatableFields()
	return c.reply(http.StatusOK, map[string]any{"identity": showPrincipal(c.caller.Principal), "permissions": permissions})
}

// permitted returns those of the actions that the caller may do to some resource of a kind.
func (c *call) permitted(kind string, list []string) []string {
	may := []string{}
	for _, a := range list {
		if c.may(fs.Action(a), fs.Resource{Kind: fs.ResourceKind(kind)}) {
			may = append(may, a)
		}
	}
	return may
}

// patchMe answers PATCH /api/me: the caller's own colour and names.
func patchMe(c *call) error {
	fields := map[string]string{}
	sent, err := c.decode(&fields)
	switch {
	case err != nil:
		return err
	case !sent || len(fields) == 0:
		return failed(http.StatusBadRequest, "Invalid or missing JSON body")
	}
	p, err := c.s.auth.UpdateProfile(c.caller, fields)
	var e *fs.Error
	if errors.As(err, &e) && e.Kind == fs.Invalid {
		return failed(http.StatusBadRequest, e.Err.Error())
	}
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, map[string]any{"status": "success", "identity": showPrincipal(p)})
}

// reportCSP answers POST /api/security/csp-report, which browsers send by themselves.
func reportCSP(c *call) error {
	data, err := c.body(64 << 10)
	if err != nil {
		return err
	}
	c.log().Warn("a page broke the content security policy", "report", identity.ScrubText(string(data)))
	return c.noContent(http.StatusOK)
}

// shutDown answers POST /api/shutdown.
func shutDown(c *call) error {
	if c.s.opts.Shutdown == nil {
		return failed(http.StatusNotImplemented, "This server cannot be stopped from here")
	}
	err := c.noContent(http.StatusOK)
	c.w.Flush()
	c.s.once.Do(func() { go c.s.opts.Shutdown() })
	return err
}

// resolved is a path that was found, as the API knows it.
type resolved struct {
	Scope string `json:"scope"`
	Path  string `json:"path"`
}

type unresolved struct {
	Scope  string `json:"scope"`
	Reason string `json:"reason"`
}

// resolvePath answers GET /api/resolvePath: which file a path in a program's output means. It knows files of the drive only: for
// the server by their path in the API, for a kernel by the one that the kernel itself sees.
func resolvePath(c *call) error {
	if !c.query.Has("path") {
		return failed(http.StatusBadRequest, "Missing argument path")
	}
	var answer struct {
		Resolved   []resolved   `json:"resolved"`
		Unresolved []unresolved `json:"unresolved,omitempty"`
	}
	answer.Resolved = []resolved{}
	asked := c.query.Get("path")
	if p, ok := c.resolve(asked, ""); ok {
		answer.Resolved = append(answer.Resolved, resolved{"server", string(p)})
	}
	if id := c.query.Get("kernel"); id != "" {
		cwd, known := c.kernelFolder(id)
		if !known {
			answer.Unresolved = append(answer.Unresolved, unresolved{"kernel", "Kernel " + identity.ScrubText(id) + " could not be found"})
		} else if p, ok := c.resolve(asked, cwd); ok {
			answer.Resolved = append(answer.Resolved, resolved{"kernel", path.Join(c.s.opts.Dir(p.Dir()), p.Base())})
		}
	}
	return c.reply(http.StatusOK, answer)
}

// kernelFolder returns the folder of a kernel's first document.
func (c *call) kernelFolder(id string) (fs.Path, bool) {
	if c.s.opts.Kernels == nil {
		return "", false
	}
	if _, err := c.s.opts.Kernels.Get(id); err != nil {
		return "", false
	}
	about := c.s.kernelResources(fs.Kernels, id)
	if !c.mayAll(fs.Execute, about) {
		return "", false
	}
	p := about[0].Path
	if e, there, err := c.exists(p); err == nil && there && e.Attr.Type() == fs.Directory {
		return p, true
	}
	return p.Dir(), true
}

// resolve returns the path in the API of a file that is there: asked is absolute in the mount, or relative to a folder.
func (c *call) resolve(asked string, folder fs.Path) (fs.Path, bool) {
	var p fs.Path
	var ok bool
	switch {
	case strings.HasPrefix(asked, "/"):
		p, ok = c.s.opts.APIPath(path.Clean(asked))
	case slices.Contains(strings.Split(asked, "/"), ".."):
		full := path.Join(string(folder), asked)
		ok = full != ".." && !strings.HasPrefix(full, "../")
		p = fs.Path(strings.TrimPrefix(full, "."))
	default:
		var err error
		p, err = fs.ParsePath(path.Join(string(folder), asked))
		ok = err == nil
	}
	if !ok || !p.UTF8() || c.hidden(p) {
		return "", false
	}
	_, there, err := c.exists(p)
	return p, err == nil && there
}
