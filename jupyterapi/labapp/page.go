package labapp

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"html/template"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
)

//go:embed page.html
var pageHTML string

//go:embed missing.html
var missingHTML string

var (
	pageTemplate    = template.Must(template.New("page").Parse(pageHTML))
	missingTemplate = template.Must(template.New("missing").Parse(missingHTML))
)

// alwaysDisabled are the plugins that have no place here: extensions are installed by whoever runs the server, and nobody is asked
// whether to fetch news from elsewhere.
var alwaysDisabled = []string{
	"@jupyterlab/apputils-extension:announcements",
	"@jupyterlab/extensionmanager-extension",
	"@jupyterlab/pluginmanager-extension",
}

// untrackedMessages are the kernel messages that do not count as activity of a user.
var untrackedMessages = []string{
	"clear_output", "comm_info_reply", "comm_info_request", "debug_event", "debug_reply", "debug_request", "display_data", "error",
	"execute_input", "execute_result", "input_reply", "input_request", "interrupt_reply", "interrupt_request", "kernel_info_reply",
	"kernel_info_request", "shutdown_reply", "shutdown_request", "status", "stream", "update_display_data",
}

// location is what a page's path says.
type location struct {
	mode      string // multiple-document or single-document
	workspace string
	tree      string // path of a file or folder to open, without a leading slash
	unknown   bool   // the path is none of a page; the front end says so
}

var pagePath = regexp.MustCompile(`^/(lab|doc)(?:/workspaces/([A-Za-z0-9_-]+))?(?:/tree(?:/(.*))?)?$`)

// parseLocation reads the path of a page.
func parseLocation(path string) location {
	loc := location{mode: "multiple-document", workspace: "default"}
	m := pagePath.FindStringSubmatch(path)
	if m == nil {
		loc.unknown = true
		return loc
	}
	if m[1] == "doc" {
		loc.mode = "single-document"
	}
	if m[2] != "" {
		loc.workspace = m[2]
	}
	loc.tree = m[3]
	return loc
}

// servePage answers with the application's page.
func (h *Handler) servePage(w http.ResponseWriter, r *http.Request, rest string) {
	if rest == "" && strings.HasSuffix(r.URL.Path, "/") {
		h.redirect(w, r, strings.Trim(r.URL.Path, "/"))
		return
	}
	if !h.Available() {
		h.render(w, r, http.StatusServiceUnavailable, missingTemplate, map[string]any{"BaseURL": h.opts.BaseURL})
		return
	}
	scripts, err := h.app.scripts()
	if err != nil {
		h.fail(w, r, err)
		return
	}
	config := h.pageConfig(r)
	doc, err := json.Marshal(config) // escapes <, > and &, so that no value can end the script element
	if err != nil {
		h.fail(w, r, err)
		return
	}
	h.render(w, r, http.StatusOK, pageTemplate, map[string]any{
		"Title": config["appName"], "BaseURL": h.opts.BaseURL, "Scripts": scripts, "Config": template.JS(doc),
	})
}

// redirect leads to a path below the base URL with the request's query.
func (h *Handler) redirect(w http.ResponseWriter, r *http.Request, path string) {
	target := h.opts.BaseURL + path
	if r.URL.RawQuery != "" {
		target += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", target)
	w.WriteHeader(http.StatusFound)
}

// render answers with a page that no cache keeps: its page config depends on the caller.
func (h *Handler) render(w http.ResponseWriter, r *http.Request, status int, t *template.Template, data any) {
	var page bytes.Buffer
	if err := t.Execute(&page, data); err != nil {
		h.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(page.Bytes()) // a client that has gone needs no page
	}
}

// pageConfig returns the page config of a request.
func (h *Handler) pageConfig(r *http.Request) map[string]any {
	config := h.fixedConfig()
	loc := parseLocation(r.URL.Path)
	config["mode"], config["workspace"], config["treePath"] = loc.mode, loc.workspace, loc.tree
	if loc.unknown {
		config["notFoundUrl"] = h.opts.BaseURL + strings.TrimPrefix(r.URL.EscapedPath(), "/")
	}
	merge(config, h.configDocument("page_config", "page_config.json5", "page_config.json"))
	h.addExtensions(config)
	if h.opts.PageConfig != nil {
		maps.Copy(config, h.opts.PageConfig(r))
	}
	return config
}

// fixedConfig returns the keys that are the same for all requests.
func (h *Handler) fixedConfig() map[string]any {
	base := h.opts.BaseURL
	config := map[string]any{
		"appName": "JupyterLab", "appNamespace": "lab", "appVersion": h.Version(),
		"baseUrl": base, "wsUrl": "", "token": "", "fullStaticUrl": base + "static/lab",
		"buildAvailable": false, "buildCheck": false, "devMode": false, "cacheFiles": true,
		"exposeAppInBrowser": false, "quitButton": false, "news": map[string]any{"disabled": true},
		"extensionManager":   map[string]any{"name": "read-only", "can_install": false, "install_path": nil},
		"terminalsAvailable": true, "notebookStartsKernel": true, "copyAbsolutePath": false,
		"allow_hidden_files": false, "delete_to_trash": false, "preferredPath": "/", "serverRoot": "",
		"notebookVersion": `[2, 21, 0, ""]`, // of the server's API
		"ignorePlugins":   []string{}, "untracked_message_types": untrackedMessages,
	}
	for key, path := range map[string]string{
		"app": "lab", "tree": "lab/tree", "labextensions": "lab/extensions", "settings": "lab/api/settings",
		"workspacesApi": "lab/api/workspaces", "themes": "lab/api/themes", "listings": "lab/api/listings",
		"licenses": "lab/api/licenses", "translationsApi": "lab/api/translations",
	} {
		config[key+"Url"] = "/" + path
		config["full"+strings.ToUpper(key[:1])+key[1:]+"Url"] = base + path
	}
	return config
}

// addExtensions puts the installed extensions into config, and turns its sets of disabled and deferred plugins into lists.
func (h *Handler) addExtensions(config map[string]any) {
	disabled, _ := config["disabledExtensions"].(map[string]any)
	builds := []extensionBuild{}
	names := slices.Concat(alwaysDisabled, trueKeys(disabled))
	for _, e := range h.extensions() {
		build := *e.meta.JupyterLab.Build
		build.Name = e.name
		builds = append(builds, build)
		if disabled[e.name] == true {
			continue // what is disabled disables nothing
		}
		for _, name := range e.meta.JupyterLab.DisabledExtensions {
			if disabled[name] != false { // an administrator's false keeps a plugin that an extension would disable
				names = append(names, name)
			}
		}
	}
	slices.Sort(names)
	deferred, _ := config["deferredExtensions"].(map[string]any)
	config["federated_extensions"] = builds
	config["disabledExtensions"] = slices.Compact(names)
	config["deferredExtensions"] = trueKeys(deferred)
}
