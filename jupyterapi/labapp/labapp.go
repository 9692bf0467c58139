// Package labapp serves the JupyterLab application: its page, its files, and the stores that it keeps under /lab/api.
//
// # Nouns
//
// The application is JupyterLab's built front end: a static bundle, settings schemas and themes. It comes from the archive that is
// embedded in the binary, or from an installed JupyterLab application folder ([Options.Dir]). Labextensions are prebuilt extensions
// found in the Jupyter data paths. The page config is the JSON document in the page that tells the front end its URLs, extensions
// and switches. Settings and workspaces are what a user changes; they are stored per user under [Options.StateDir].
//
// # Rules
//
// A [Handler] gets requests whose path is relative to the base URL, after the caller has authenticated them, checked XSRF and
// origin, and decided by [Route.Class] how to refuse. Every file is looked up inside its own folder and cannot escape it, by dots or
// by symbolic links. A stored document is replaced as a whole, or not at all, and is durable when the answer is sent.
//
// # Errors
//
// API routes answer errors as {"message": …, "reason": null}; a bad document is 400 with a message that says what to change, an
// unknown one 404. The page of a binary without a front end answers 503 and says how to add it.
//
// # Concurrency
//
// A Handler may be used by many goroutines. Of two writers of one document the last one wins.
//
//	app, err := labapp.New(labapp.Options{BaseURL: "/", StateDir: dir, User: principalID})
//	if err != nil { … }
//	defer app.Close()
//	mux.Handle("/lab/", app)
//
// The package does not authenticate, knows no kernels, contents or sessions, and neither installs nor builds extensions.
package labapp

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
)

// DefaultUser is the user to whom settings belong when [Options.User] is nil.
const DefaultUser = "owner"

// Options say what a [Handler] serves. The zero value serves the embedded application at "/" and stores nothing.
type Options struct {
	// BaseURL is the escaped URL path under which the caller mounts the handler. It begins and ends with a slash; "" is "/".
	BaseURL string

	// Dir is an installed JupyterLab application folder (…/share/jupyter/lab) that is served instead of the embedded one.
	Dir string

	// LabextensionDirs are the labextensions folders of the Jupyter data paths, the most important first. Missing ones are skipped.
	LabextensionDirs []string

	// ConfigDirs are the Jupyter configuration folders, the most important first, whose labconfig folder may hold page_config.json,
	// page_config.d/*.json and default_setting_overrides.json.
	ConfigDirs []string

	// StateDir is where each user's settings and workspaces are kept. With "" nothing can be saved: writes answer 403.
	StateDir string

	// User returns the stable identity whose settings a request uses; any text will do, "" answers 403. With nil all requests
	// share [DefaultUser].
	User func(*http.Request) string

	// PageConfig returns keys that are put over the page config of a request, such as token or terminalsAvailable. A list or map
	// replaces the one that was there. It may be nil.
	PageConfig func(*http.Request) map[string]any

	// Logger receives what an administrator should look at, such as unreadable configuration. With nil nothing is logged.
	Logger *slog.Logger
}

// Class says how a caller refuses a request to a route that it does not let through.
type Class int

// The classes of routes.
const (
	Public Class = iota + 1 // needs no authentication: the front end's files and icons
	Page                    // is opened by people: redirect to the login page
	API                     // is called by programs: 403 with a JSON body; writes need an XSRF check
)

// String returns the class's name.
func (c Class) String() string {
	switch c {
	case Public:
		return "public"
	case Page:
		return "page"
	case API:
		return "api"
	}
	return fmt.Sprintf("Class(%d)", int(c))
}

// Route is a set of paths that a [Handler] serves.
type Route struct {
	Path    string   // an exact path; or, when it ends with a slash, all paths that begin with it
	Methods []string // allowed methods; GET includes HEAD
	Class   Class
}

// Handler serves the JupyterLab application. Make one with [New].
type Handler struct {
	opts   Options
	log    *slog.Logger
	app    folder    // the application; its fsys is nil when there is none
	root   *os.Root  // of Options.Dir, else nil
	icons  folder    // drawn icons
	routes []handled // specific paths before the folders that hold them
	gzips  sync.Pool // of *gzip.Writer
}

// handled is a route with what serves it; rest is the path after the route's.
type handled struct {
	Route
	serve func(w http.ResponseWriter, r *http.Request, rest string)
}

// New returns a handler. It fails when BaseURL is malformed, or Dir is given and holds no JupyterLab application.
func New(opts Options) (*Handler, error) {
	if opts.BaseURL == "" {
		opts.BaseURL = "/"
	}
	if !strings.HasPrefix(opts.BaseURL, "/") || !strings.HasSuffix(opts.BaseURL, "/") {
		return nil, fmt.Errorf("base URL %q must begin and end with a slash", opts.BaseURL)
	}
	if opts.User == nil {
		opts.User = func(*http.Request) string { return DefaultUser }
	}
	h := &Handler{opts: opts, log: opts.Logger, icons: folder{fsys: embeddedIcons, dir: "icons"}}
	if h.log == nil {
		h.log = slog.New(slog.DiscardHandler)
	}
	if err := h.openApplication(); err != nil {
		return nil, err
	}
	h.routes = h.table()
	return h, nil
}

// openApplication opens the folder of Options.Dir, or else the embedded archive if there is one.
func (h *Handler) openApplication() error {
	if h.opts.Dir == "" {
		tree, err := openEmbedded()
		if tree != nil {
			h.app = folder{fsys: tree, dir: "lab"}
		}
		return err
	}
	root, err := os.OpenRoot(h.opts.Dir)
	if err != nil {
		return fmt.Errorf("open the JupyterLab application folder: %w (`jupyter lab path` prints the right one)", err)
	}
	app := folder{fsys: root.FS(), dir: "."}
	if _, err := app.scripts(); err != nil {
		_ = root.Close() // nothing was written through it; the error below matters
		return fmt.Errorf("%s is no JupyterLab application folder: %w (`jupyter lab path` prints the right one)", h.opts.Dir, err)
	}
	h.root, h.app = root, app
	return nil
}

// Close releases the application folder. No request may be running.
func (h *Handler) Close() error {
	if h.root == nil {
		return nil
	}
	return h.root.Close()
}

// Available reports whether there is an application to serve. Without one, pages say how to add it.
func (h *Handler) Available() bool { return h.app.fsys != nil }

// Routes returns the routes in the order in which they are tried. Paths outside of them answer 404.
func (h *Handler) Routes() []Route {
	list := make([]Route, len(h.routes))
	for i, r := range h.routes {
		list[i] = r.Route
		list[i].Methods = slices.Clone(r.Methods)
	}
	return list
}

// table returns the routes with their handlers.
func (h *Handler) table() []handled {
	get := []string{http.MethodGet}
	getPut := []string{http.MethodGet, http.MethodPut}
	getPutDelete := []string{http.MethodGet, http.MethodPut, http.MethodDelete}
	return []handled{
		{Route{"/lab/api/settings", get, API}, h.listSettings},
		{Route{"/lab/api/settings/", getPut, API}, h.serveSetting},
		{Route{"/lab/api/workspaces", get, API}, h.listWorkspaces},
		{Route{"/lab/api/workspaces/", getPutDelete, API}, h.serveWorkspace},
		{Route{"/lab/api/translations", get, API}, h.listTranslations},
		{Route{"/lab/api/translations/", get, API}, h.serveTranslation},
		{Route{"/lab/api/themes/", get, API}, h.serveTheme},
		{Route{"/lab/api/licenses", get, API}, h.serveLicenses},
		{Route{"/lab/api/licenses/", get, API}, h.serveLicenses},
		{Route{"/lab/api/listings/", get, API}, h.serveListings},
		{Route{"/lab/api/", get, API}, h.refuse},
		{Route{"/lab/extensions/", get, API}, h.serveExtension},
		{Route{"/lsp/status", get, API}, h.serveLanguageServers},
		{Route{"/lab", get, Page}, h.servePage},
		{Route{"/lab/", get, Page}, h.servePage},
		{Route{"/doc", get, Page}, h.servePage},
		{Route{"/doc/", get, Page}, h.servePage},
		{Route{"/static/lab/", get, Public}, h.serveStatic},
		{Route{"/static/favicons/", get, Public}, h.serveIcon},
		{Route{"/static/logo/", get, Public}, h.serveIcon},
		{Route{"/static/", get, Public}, h.refuse},
		{Route{"/favicon.ico", get, Public}, h.serveFavicon},
	}
}

// ServeHTTP implements [http.Handler] for requests whose URL path is relative to the base URL and begins with a slash.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Content-Type-Options", "nosniff")
	for _, route := range h.routes {
		rest, ok := strings.CutPrefix(r.URL.Path, route.Path)
		if !ok || rest != "" && !strings.HasSuffix(route.Path, "/") {
			continue
		}
		method := r.Method
		if method == http.MethodHead {
			method = http.MethodGet
		}
		if !slices.Contains(route.Methods, method) {
			w.Header().Set("Allow", strings.Join(route.Methods, ", "))
			writeError(w, http.StatusMethodNotAllowed, fmt.Sprintf("%s is not allowed here", r.Method))
			return
		}
		route.serve(w, r, rest)
		return
	}
	h.refuse(w, r, "")
}

// refuse answers 404.
func (h *Handler) refuse(w http.ResponseWriter, _ *http.Request, _ string) {
	writeError(w, http.StatusNotFound, "Not Found")
}
