package labapp

import (
	"encoding/json"
	"maps"
	"net/http"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var configElement = regexp.MustCompile(`(?s)<script id="jupyter-config-data" type="application/json">(.*?)</script>`)

// pageConfigOf returns the page config in the page at path, and the page.
func pageConfigOf(t *testing.T, h *Handler, path string) (map[string]any, string) {
	t.Helper()
	resp := do(t, h, "GET", path, "")
	page := resp.Body
	if resp.Status != 200 || resp.Header.Get("Content-Type") != "text/html; charset=utf-8" || resp.Header.Get("Cache-Control") != "no-store" {
		t.Fatalf("GET %s = %d %v, want a page", path, resp.Status, resp.Header)
	}
	m := configElement.FindStringSubmatch(page)
	if m == nil {
		t.Fatalf("GET %s has no page config:\n%s", path, page)
	}
	if strings.ContainsAny(m[1], "<>&") {
		t.Errorf("the page config has bytes that HTML may take as its own: %s", m[1])
	}
	config := map[string]any{}
	if err := json.Unmarshal([]byte(m[1]), &config); err != nil {
		t.Fatalf("page config of %s: %v", path, err)
	}
	return config, page
}

func TestPageConfig(t *testing.T) {
	opts := testOptions(t)
	opts.BaseURL = "/a%40b/"
	opts.PageConfig = func(r *http.Request) map[string]any {
		return map[string]any{"hubUser": r.Header.Get("Test-User"), "terminalsAvailable": false}
	}
	got, page := pageConfigOf(t, newHandler(t, opts), "/lab")
	want := map[string]any{
		"appName": "Sky Lab </script><script>alert(1)", "appNamespace": "lab", "appVersion": "9.8.7",
		"baseUrl": "/a%40b/", "wsUrl": "", "token": "",
		"appUrl": "/lab", "fullAppUrl": "/a%40b/lab",
		"treeUrl": "/lab/tree", "fullTreeUrl": "/a%40b/lab/tree",
		"labextensionsUrl": "/lab/extensions", "fullLabextensionsUrl": "/a%40b/lab/extensions",
		"settingsUrl": "/lab/api/settings", "fullSettingsUrl": "/a%40b/lab/api/settings",
		"workspacesApiUrl": "/lab/api/workspaces", "fullWorkspacesApiUrl": "/a%40b/lab/api/workspaces",
		"themesUrl": "/lab/api/themes", "fullThemesUrl": "/a%40b/lab/api/themes",
		"listingsUrl": "/lab/api/listings", "fullListingsUrl": "/a%40b/lab/api/listings",
		"licensesUrl": "/lab/api/licenses", "fullLicensesUrl": "/a%40b/lab/api/licenses",
		"translationsApiUrl": "/lab/api/translations", "fullTranslationsApiUrl": "/a%40b/lab/api/translations",
		"fullStaticUrl": "/a%40b/static/lab",
		"mode":          "multiple-document", "workspace": "default", "treePath": "",
		"buildAvailable": false, "buildCheck": false, "devMode": false, "cacheFiles": true, "exposeAppInBrowser": false, "quitButton": false,
		"news":               map[string]any{"disabled": true},
		"extensionManager":   map[string]any{"name": "read-only", "can_install": false, "install_path": nil},
		"terminalsAvailable": false, "notebookStartsKernel": true, "copyAbsolutePath": false, "allow_hidden_files": false, "delete_to_trash": false,
		"preferredPath": "/", "serverRoot": "", "serverName": "drop-in", "hubUser": "ada", "notebookVersion": `[2, 21, 0, ""]`,
		"ignorePlugins":      []any{},
		"deferredExtensions": []any{"@test/late:plugin"},
		"disabledExtensions": []any{
			"@jupyterlab/apputils-extension:announcements", "@jupyterlab/extensionmanager-extension", "@jupyterlab/pluginmanager-extension",
			"@test/off:plugin", "@test/replaced:plugin",
		},
		"federated_extensions": []any{map[string]any{
			"name": "@test/fine", "load": "static/remoteEntry.aabbccddeeff00112233.js", "extension": "./extension", "style": "./style", "entrypoints": nil,
		}},
	}
	if n, ok := got["untracked_message_types"].([]any); !ok || len(n) != len(untrackedMessages) {
		t.Errorf("untracked_message_types = %v, want %d types", got["untracked_message_types"], len(untrackedMessages))
	}
	delete(got, "untracked_message_types")
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			t.Errorf("page config has %s = %v, want no such key", key, got[key])
		}
	}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if !reflect.DeepEqual(got[key], want[key]) {
			t.Errorf("page config %s = %v, want %v", key, got[key], want[key])
		}
	}
	for _, part := range []string{
		`<script defer src="/a%40b/static/lab/vendors.00112233445566778899.js"></script>`,
		`<script defer src="/a%40b/static/lab/main.0123456789abcdef.js?v=0123456789abcdef"></script>`,
		`href="/a%40b/static/favicons/favicon.ico" class="idle favicon"`,
		`href="/a%40b/static/favicons/favicon-busy-1.ico" class="busy favicon"`,
	} {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %s:\n%s", part, page)
		}
	}
}

func TestPageLocations(t *testing.T) {
	h := newHandler(t, testOptions(t))
	for _, tt := range []struct {
		path string
		want location
	}{
		{"/lab", location{"multiple-document", "default", "", false}},
		{"/lab/tree", location{"multiple-document", "default", "", false}},
		{"/lab/tree/", location{"multiple-document", "default", "", false}},
		{"/lab/tree/a b/é.ipynb", location{"multiple-document", "default", "a b/é.ipynb", false}},
		{"/lab/workspaces/auto-1_X", location{"multiple-document", "auto-1_X", "", false}},
		{"/lab/workspaces/w/tree/a/tree/b", location{"multiple-document", "w", "a/tree/b", false}},
		{"/doc", location{"single-document", "default", "", false}},
		{"/doc/tree/n.ipynb", location{"single-document", "default", "n.ipynb", false}},
		{"/doc/workspaces/w/tree/n.ipynb", location{"single-document", "w", "n.ipynb", false}},
		{"/lab/nowhere", location{"multiple-document", "default", "", true}},
		{"/lab/workspaces/a b", location{"multiple-document", "default", "", true}},
		{"/lab/tree/<x>\n", location{"multiple-document", "default", "", true}},
	} {
		config, _ := pageConfigOf(t, h, tt.path)
		_, unknown := config["notFoundUrl"]
		got := location{config["mode"].(string), config["workspace"].(string), config["treePath"].(string), unknown}
		if got != tt.want {
			t.Errorf("page at %q = %+v, want %+v", tt.path, got, tt.want)
		}
	}
}

func TestPageWithSlashRedirects(t *testing.T) {
	opts := testOptions(t)
	opts.BaseURL = "/a%40b/"
	resp := do(t, newHandler(t, opts), "GET", "/lab/?reset=1", "")
	if got := resp.Header.Get("Location"); resp.Status != 302 || got != "/a%40b/lab?reset=1" {
		t.Errorf("GET /lab/ = %d to %q, want 302 to /a%%40b/lab?reset=1", resp.Status, got)
	}
}

func TestPageWithoutAFrontEnd(t *testing.T) {
	h := newHandler(t, Options{})
	h.app = folder{}
	resp := do(t, h, "GET", "/lab/tree/x", "")
	page := resp.Body
	if resp.Status != 503 || !strings.Contains(page, "make ui") || !strings.Contains(page, "--lab-dir") {
		t.Errorf("GET /lab = %d, want 503 and what to do:\n%s", resp.Status, page)
	}
	if h.Available() || h.Version() != "" {
		t.Errorf("Available, Version = %v, %q, want false, none", h.Available(), h.Version())
	}
	for path, want := range map[string]int{"/lab/api/settings": 200, "/lab/api/settings/a:b": 404, "/static/lab/main.js": 404, "/lab/api/themes/p/a.css": 404, "/favicon.ico": 200} {
		if resp := do(t, h, "GET", path, ""); resp.Status != want {
			t.Errorf("GET %s = %d, want %d", path, resp.Status, want)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add("/lab/tree/a")
	f.Add("/lab/workspaces/x/tree/../..")
	f.Add("/lab/</script><script>")
	f.Add("/doc/tree/\xff\x00")
	opts := testOptions(f)
	opts.LabextensionDirs, opts.ConfigDirs = nil, nil
	h := newHandler(f, opts)
	f.Fuzz(func(t *testing.T, path string) {
		resp := do(t, h, "GET", "/lab/"+path, "")
		page := resp.Body
		if resp.Status == 200 && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") && strings.Count(page, "<script") != 4 {
			t.Errorf("the page at %q has %d script elements, want 4", path, strings.Count(page, "<script"))
		}
		if resp.Status >= 500 {
			t.Errorf("GET %q = %d", path, resp.Status)
		}
	})
}
