package jupyterapi

import (
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// kernelModel is what the API tells of a kernel.
type kernelModel struct {
	ID             string `json:"id"`
	Name           string `json:"name"`
	LastActivity   string `json:"last_activity"`
	ExecutionState string `json:"execution_state"`
	Connections    int    `json:"connections"`
	Reason         string `json:"reason,omitempty"`
}

func showKernel(k Kernel) kernelModel {
	return kernelModel{k.ID, k.Name, stamp(k.LastActivity), k.ExecutionState, k.Connections, k.Reason}
}

// places remembers for which documents kernels were started, so that a right on a document reaches its kernels.
type places struct {
	mu sync.Mutex // guards by
	by map[string]fs.Path
}

func (p *places) set(kernel string, path fs.Path) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.by == nil {
		p.by = map[string]fs.Path{}
	}
	p.by[kernel] = path
}

func (p *places) get(kernel string) (fs.Path, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	path, ok := p.by[kernel]
	return path, ok
}

func (p *places) forget(kernel string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.by, kernel)
}

// moved follows a rename.
func (p *places) moved(from, to fs.Path) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, path := range p.by {
		if path.Within(from) {
			p.by[id] = to + path[len(from):]
		}
	}
}

// kernelResources returns what the right on a kernel depends on: each document that has it.
func (s *Server) kernelResources(kind fs.ResourceKind, id string) []fs.Resource {
	var list []fs.Resource
	if path, ok := s.places.get(id); ok {
		list = append(list, fs.Resource{Kind: kind, ID: id, Path: path})
	}
	if s.opts.Sessions != nil {
		for _, one := range s.opts.Sessions.List() {
			if one.Kernel.ID == id {
				list = append(list, fs.Resource{Kind: kind, ID: id, Path: documentOf(one.Path)})
			}
		}
	}
	if list == nil {
		list = append(list, fs.Resource{Kind: kind, ID: id})
	}
	return list
}

// documentOf returns the path of a session as one of a file. A console's is not one, but lies in the same folder.
func documentOf(s string) fs.Path {
	p, err := fs.ParsePath(s)
	if err != nil {
		return ""
	}
	return p
}

// mayAll reports whether the caller may do something to all of these.
func (c *call) mayAll(a fs.Action, list []fs.Resource) bool {
	return !slices.ContainsFunc(list, func(r fs.Resource) bool { return !c.may(a, r) })
}

// engine answers 501 where the daemon has no kernels, sessions or terminals.
func engine(there bool, h handler) handler {
	if there {
		return h
	}
	return func(*call) error { return failed(http.StatusNotImplemented, "This server has none") }
}

// listKernels answers GET /api/kernels.
func listKernels(c *call) error {
	list := []kernelModel{}
	for _, k := range c.s.opts.Kernels.List() {
		if c.mayAll(fs.Read, c.s.kernelResources(fs.Kernels, k.ID)) {
			list = append(list, showKernel(k))
		}
	}
	return c.reply(http.StatusOK, list)
}

// startRequest is the part of a body that says how a kernel starts.
type startRequest struct {
	Path string            `json:"path"`
	Env  map[string]string `json:"env"`
}

var kernelID = regexp.MustCompile(`^\w+-\w+-\w+-\w+-\w+$`)

// startKernel answers POST /api/kernels.
func startKernel(c *call) error {
	var body struct {
		startRequest
		Name string `json:"name"`
		ID   string `json:"kernel_id"`
	}
	if _, err := c.decode(&body); err != nil {
		return err
	}
	if body.ID != "" && !kernelID.MatchString(body.ID) {
		return failed(http.StatusBadRequest, "Invalid kernel id")
	}
	start, doc, err := c.start(body.startRequest)
	if err != nil {
		return err
	}
	start.ID, start.Name = body.ID, specName(body.Name)
	k, err := c.s.opts.Kernels.Start(c.ctx(), start)
	if err != nil {
		return startError(err, body.Name)
	}
	c.s.places.set(k.ID, doc)
	c.location("api/kernels/" + k.ID)
	return c.reply(http.StatusCreated, showKernel(k))
}

// specName returns the name of a kernelspec that a client means: "python" is what notebooks of old say for the default one.
func specName(name string) string {
	if name == "python" {
		return ""
	}
	return name
}

// start says how and where a kernel starts for the caller, who must have the right to run code there.
func (c *call) start(r startRequest) (KernelStart, fs.Path, error) {
	doc := documentOf(r.Path)
	if err := c.allowed(fs.Execute, fs.Resource{Kind: fs.Kernels, Path: doc}); err != nil {
		return KernelStart{}, "", err
	}
	start := KernelStart{Env: kernelEnv(r.Env), Owner: c.caller.Principal.ID, Dir: c.folder(doc)}
	if wanted, ok := c.s.opts.APIPath(r.Env["KERNEL_WORKING_DIR"]); ok && r.Path == "" {
		if err := c.allowed(fs.Execute, fs.Resource{Kind: fs.Kernels, Path: wanted}); err != nil {
			return KernelStart{}, "", err
		}
		start.Dir, doc = c.s.opts.Dir(wanted), wanted
	}
	return start, doc, nil
}

// folder returns the directory in the mount for a document: itself if it is a folder, else the nearest one above that exists.
func (c *call) folder(p fs.Path) string {
	for ; p != ""; p = p.Dir() {
		if e, there, err := c.exists(p); err == nil && there && e.Attr.Type() == fs.Directory {
			break
		}
	}
	return c.s.opts.Dir(p)
}

// kernelEnv keeps the variables that a client may set: a gateway's own, and nothing that changes how programs are loaded.
func kernelEnv(env map[string]string) map[string]string {
	kept := map[string]string{}
	for name, value := range env {
		if strings.HasPrefix(name, "KERNEL_") && name != "KERNEL_USERNAME" && !strings.ContainsRune(name+value, 0) {
			kept[name] = value
		}
	}
	return kept
}

// startError turns the error of a start into the API's answer.
func startError(err error, name string) error {
	switch fs.KindOf(err) {
	case fs.Unsupported:
		return &failure{status: http.StatusNotImplemented, message: "No such kernel: " + identity.ScrubText(name), err: err}
	case fs.Exist:
		return &failure{status: http.StatusConflict, message: "Kernel already exists", err: err}
	default:
		return err
	}
}

// noKernel is the answer for a kernel that is not there.
func noKernel(id string, err error) error {
	switch fs.KindOf(err) {
	case fs.NotExist:
		return failed(http.StatusNotFound, "Kernel does not exist: "+id)
	case fs.Busy, fs.Conflict:
		return &failure{status: http.StatusConflict, message: "The kernel is still starting: " + id, err: err}
	default:
		return err
	}
}

// getKernel answers GET /api/kernels/{kernel}.
func getKernel(c *call) error {
	k, err := c.s.opts.Kernels.Get(c.vars["kernel"])
	if err != nil {
		return noKernel(c.vars["kernel"], err)
	}
	return c.reply(http.StatusOK, showKernel(k))
}

// deleteKernel answers DELETE /api/kernels/{kernel}.
func deleteKernel(c *call) error {
	id := c.vars["kernel"]
	if err := c.s.opts.Kernels.Shutdown(c.ctx(), id); err != nil {
		return noKernel(id, err)
	}
	c.s.places.forget(id)
	return c.noContent(http.StatusNoContent)
}

// interruptKernel answers POST /api/kernels/{kernel}/interrupt.
func interruptKernel(c *call) error {
	if err := c.s.opts.Kernels.Interrupt(c.ctx(), c.vars["kernel"]); err != nil {
		return noKernel(c.vars["kernel"], err)
	}
	return c.noContent(http.StatusNoContent)
}

// restartKernel answers POST /api/kernels/{kernel}/restart.
func restartKernel(c *call) error {
	id := c.vars["kernel"]
	if err := c.s.opts.Kernels.Restart(c.ctx(), id); err != nil {
		return noKernel(id, err)
	}
	return getKernel(c)
}

// kernelspecModel is what the API tells of a kernelspec.
type kernelspecModel struct {
	Name      string            `json:"name"`
	Spec      json.RawMessage   `json:"spec"`
	Resources map[string]string `json:"resources"`
}

func (s *Server) showSpec(k Kernelspec) kernelspecModel {
	m := kernelspecModel{Name: k.Name, Spec: k.Spec, Resources: map[string]string{}}
	for key, file := range k.Resources {
		m.Resources[key] = s.url("kernelspecs/" + k.Name + "/" + file)
	}
	return m
}

// listSpecs answers GET /api/kernelspecs.
func listSpecs(c *call) error {
	specs, err := c.s.opts.Kernels.Specs(c.ctx())
	if err != nil {
		return err
	}
	all := map[string]kernelspecModel{}
	for _, k := range specs {
		all[k.Name] = c.s.showSpec(k)
	}
	return c.reply(http.StatusOK, map[string]any{"default": c.s.opts.Kernels.Default(c.ctx()), "kernelspecs": all})
}

// spec returns the kernelspec that the request names.
func (c *call) spec() (Kernelspec, error) {
	name := strings.ToLower(c.vars["spec"])
	specs, err := c.s.opts.Kernels.Specs(c.ctx())
	if err != nil {
		return Kernelspec{}, err
	}
	for _, k := range specs {
		if k.Name == name {
			return k, nil
		}
	}
	return Kernelspec{}, failed(http.StatusNotFound, "Kernel spec "+identity.ScrubText(c.vars["spec"])+" not found")
}

// getSpec answers GET /api/kernelspecs/{spec}.
func getSpec(c *call) error {
	k, err := c.spec()
	if err != nil {
		return err
	}
	return c.reply(http.StatusOK, c.s.showSpec(k))
}

// getSpecFile answers GET /kernelspecs/{spec}/{file}: a file beside a kernelspec, such as its logo.
func getSpecFile(c *call) error {
	k, err := c.spec()
	if err != nil {
		return err
	}
	notFound := failed(http.StatusNotFound, "Not Found")
	file := c.vars["file"]
	if k.Open == nil {
		return notFound
	}
	f, err := k.Open(file)
	switch {
	case isKind(err, fs.NotExist):
		return notFound
	case err != nil:
		return err
	}
	c.w.Header().Set("Content-Type", rawMimeOf(file))
	if strings.HasSuffix(file, ".png") || strings.HasSuffix(file, ".svg") {
		c.w.Header().Set("Cache-Control", "max-age=2592000")
	}
	c.w.packs = false
	http.ServeContent(c.w, c.r, file, time.Time{}, f)
	return ended(f.Close())
}
