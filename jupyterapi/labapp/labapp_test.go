package labapp

import (
	"bytes"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp/internal/archive"
)

// testOptions serves the application, extensions and configuration in testdata.
func testOptions(tb testing.TB) Options {
	tb.Helper()
	return Options{
		Dir:              "testdata/lab",
		LabextensionDirs: []string{filepath.Join(tb.TempDir(), "absent"), "testdata/labextensions"},
		ConfigDirs:       []string{"testdata/config"},
		StateDir:         tb.TempDir(),
		User:             func(r *http.Request) string { return r.Header.Get("Test-User") },
	}
}

func newHandler(tb testing.TB, opts Options) *Handler {
	tb.Helper()
	h, err := New(opts)
	if err != nil {
		tb.Fatalf("New: %v", err)
	}
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return h
}

// newArchiveHandler serves testdata/lab from an archive.
func newArchiveHandler(tb testing.TB) *Handler {
	tb.Helper()
	var files []archive.File
	disk := os.DirFS("testdata")
	for _, root := range []string{"lab", "labextensions"} {
		if err := fs.WalkDir(disk, root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			data, err := fs.ReadFile(disk, path)
			files = append(files, archive.File{Name: path, Data: data})
			return err
		}); err != nil {
			tb.Fatal(err)
		}
	}
	var buf bytes.Buffer
	if err := archive.Write(&buf, "", files); err != nil {
		tb.Fatal(err)
	}
	tree, err := archive.Open(bytes.NewReader(buf.Bytes()), int64(buf.Len()))
	if err != nil {
		tb.Fatal(err)
	}
	h := newHandler(tb, Options{StateDir: tb.TempDir()})
	h.app = folder{fsys: tree, dir: "lab"}
	return h
}

// answer is a response that was read.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

// do sends a request as the user ada. Headers are given as name, value.
func do(tb testing.TB, h http.Handler, method, target, body string, headers ...string) answer {
	tb.Helper()
	r := httptest.NewRequest(method, "/", strings.NewReader(body))
	path, query, _ := strings.Cut(target, "?")
	r.URL.Path, r.URL.RawQuery = path, query // as given: a client's spelling of a path is no concern of these tests
	r.Header.Set("Test-User", "ada")
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
}

// getJSON decodes the body of a successful GET.
func getJSON(tb testing.TB, h http.Handler, target string, v any, headers ...string) {
	tb.Helper()
	resp := do(tb, h, "GET", target, "", headers...)
	body := resp.Body
	if resp.Status != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		tb.Fatalf("GET %s = %d %s %s, want 200 application/json", target, resp.Status, resp.Header.Get("Content-Type"), body)
	}
	if err := json.Unmarshal([]byte(body), v); err != nil {
		tb.Fatalf("GET %s: %v", target, err)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, tt := range []struct {
		name string
		opts Options
		want string
	}{
		{"missing folder", Options{Dir: "testdata/none"}, "jupyter lab path"},
		{"other folder", Options{Dir: "testdata/config"}, "no JupyterLab application folder"},
		{"relative base URL", Options{BaseURL: "a/"}, "slash"},
		{"open base URL", Options{BaseURL: "/a"}, "slash"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := New(tt.opts); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("New = %v, want an error with %q", err, tt.want)
			}
		})
	}
}

// TestEveryRouteAnswers walks the routes, so that each has at least one path that works and each refuses other methods.
func TestEveryRouteAnswers(t *testing.T) {
	h := newHandler(t, testOptions(t))
	samples := map[string]string{
		"/lab/api/settings/":     "@test/plain-extension:plugin",
		"/lab/api/workspaces/":   "default",
		"/lab/api/translations/": "default",
		"/lab/api/themes/":       "@test/sky-extension/index.css",
		"/lab/api/listings/":     "@jupyterlab/extensionmanager-extension/listings.json",
		"/lab/extensions/":       "@test/fine/static/style.js",
		"/lab/":                  "tree/a",
		"/doc/":                  "tree/a",
		"/static/lab/":           "bootstrap.js",
		"/static/favicons/":      "favicon.ico",
		"/static/logo/":          "logo.png",
	}
	for _, route := range h.Routes() {
		t.Run(route.Path, func(t *testing.T) {
			path := route.Path + samples[route.Path]
			want := http.StatusOK
			if route.Path == "/lab/api/" || route.Path == "/static/" {
				want = http.StatusNotFound
			}
			for _, method := range []string{"GET", "HEAD"} {
				resp := do(t, h, method, path, "")
				body := resp.Body
				if resp.Status != want || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
					t.Errorf("%s %s = %d with nosniff %q, want %d", method, path, resp.Status, resp.Header.Get("X-Content-Type-Options"), want)
				}
				if method == "GET" && body == "" {
					t.Errorf("GET %s has no body", path)
				}
			}
			resp := do(t, h, "PATCH", path, "")
			if resp.Status != http.StatusMethodNotAllowed || resp.Header.Get("Allow") != strings.Join(route.Methods, ", ") {
				t.Errorf("PATCH %s = %d, Allow %q, want 405, %q", path, resp.Status, resp.Header.Get("Allow"), route.Methods)
			}
		})
	}
}

func TestRoutesHaveAClass(t *testing.T) {
	for _, route := range newHandler(t, Options{}).Routes() {
		want := Page
		if strings.HasPrefix(route.Path, "/lab/api/") || strings.HasPrefix(route.Path, "/lab/extensions/") || strings.HasPrefix(route.Path, "/lsp/") {
			want = API
		} else if strings.HasPrefix(route.Path, "/static/") || route.Path == "/favicon.ico" {
			want = Public
		}
		if route.Class != want {
			t.Errorf("class of %s = %v, want %v", route.Path, route.Class, want)
		}
	}
}

func TestUnknownPaths(t *testing.T) {
	h := newHandler(t, testOptions(t))
	for _, path := range []string{"", "/", "/labs", "/favicon.icon", "/lab/api/build", "/lab/api/extensions", "/api/contents"} {
		resp := do(t, h, "GET", path, "")
		var doc struct {
			Message string
			Reason  *string
		}
		if err := json.Unmarshal([]byte(resp.Body), &doc); resp.Status != 404 || err != nil || doc.Message == "" || doc.Reason != nil {
			t.Errorf("GET %q = %d %+v %v, want 404 with a JSON message", path, resp.Status, doc, err)
		}
	}
}

// TestNothingOutsideIsRead asks for a secret beside the served folders in every spelling, also through links.
func TestNothingOutsideIsRead(t *testing.T) {
	dir := t.TempDir()
	const secret = "the secret"
	write := func(name, content string) {
		t.Helper()
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("secret.js", secret)
	write("lab/secret.js", secret) // in the application folder, but outside of what is served
	write("lab/static/index.html", `<script src="{{page_config.fullStaticUrl}}/main.js"></script>`)
	write("lab/themes/p/a.css", "a{}")
	write("ext/p/package.json", `{"name":"p","jupyterlab":{"_build":{"load":"x.js"}}}`)
	write("ext/secret.js", secret)
	write("ext/package.json", `{"secret":"the secret"}`)
	for _, link := range []string{"lab/static/link", "lab/themes/p/link", "ext/p/link"} {
		if err := os.Symlink(dir, filepath.Join(dir, link)); err != nil {
			t.Fatal(err)
		}
	}
	h := newHandler(t, Options{Dir: filepath.Join(dir, "lab"), LabextensionDirs: []string{filepath.Join(dir, "ext")}, StateDir: filepath.Join(dir, "state")})
	for _, base := range []string{
		"/static/lab/", "/static/favicons/", "/lab/extensions/", "/lab/extensions/p/", "/lab/api/themes/", "/lab/api/themes/p/",
		"/lab/api/settings/", "/lab/api/settings/p:", "/lab/api/translations/", "/lab/api/workspaces/",
	} {
		for _, way := range []string{
			"../secret.js", "../../secret.js", "../../../secret.js", "./../../secret.js", "..\\secret.js", "%2e%2e/secret.js", "..%2fsecret.js",
			"link/secret.js", "link/../secret.js", "//secret.js", "secret.js", "../secret.js\x00.js", "\x00", "\xff", "..", ".", "p/../../secret.js",
			dir + "/secret.js", "../package.json", "package.json/", "", "/",
		} {
			resp := do(t, h, "GET", base+way, "")
			body := resp.Body
			if strings.Contains(body, secret) {
				t.Errorf("GET %q = %d and reads the secret", base+way, resp.Status)
			}
			if resp.Status >= 500 {
				t.Errorf("GET %q = %d, want it refused", base+way, resp.Status)
			}
		}
	}
}

// TestLinkedExtensionIsServed installs an extension as `jupyter labextension develop` does: a link to its source folder.
func TestLinkedExtensionIsServed(t *testing.T) {
	dir := t.TempDir()
	source, err := filepath.Abs("testdata/labextensions/@test/fine")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "@test"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(source, filepath.Join(dir, "@test", "fine")); err != nil {
		t.Fatal(err)
	}
	h := newHandler(t, Options{Dir: "testdata/lab", LabextensionDirs: []string{dir, "testdata/labextensions"}})
	if list := h.extensions(); len(list) != 1 || list[0].dir != filepath.Join(dir, "@test", "fine") {
		t.Errorf("extensions() = %+v, want the linked one alone", list)
	}
	if got := do(t, h, "GET", "/lab/extensions/@test/fine/static/style.js", ""); got.Status != 200 {
		t.Errorf("GET of the linked extension's file = %d, want 200", got.Status)
	}
}

func TestFilesComeInTheEncodingThatIsAccepted(t *testing.T) {
	want, err := os.ReadFile("testdata/lab/static/main.0123456789abcdef.js")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ source, accept, want string }{
		{"archive", "", ""},
		{"archive", "identity", ""},
		{"archive", "gzip, deflate, br, zstd", "zstd"},
		{"archive", "zstd", "zstd"},
		{"archive", "ZSTD;q=0.5", "zstd"},
		{"archive", "gzip, deflate, br", "gzip"},
		{"archive", "gzip, zstd;q=0", "gzip"},
		{"archive", "*", "zstd"},
		{"archive", "*;q=0", ""},
		{"archive", "gzip;q=bad", ""},
		{"folder", "gzip, zstd", "gzip"},
		{"folder", "", ""},
	} {
		t.Run(tt.source+" "+tt.accept, func(t *testing.T) {
			h := newArchiveHandler(t)
			if tt.source == "folder" {
				h = newHandler(t, testOptions(t))
			}
			resp := do(t, h, "GET", "/static/lab/main.0123456789abcdef.js?v=1", "", "Accept-Encoding", tt.accept)
			body := resp.Body
			if got := resp.Header.Get("Content-Encoding"); got != tt.want {
				t.Fatalf("Content-Encoding = %q, want %q", got, tt.want)
			}
			if got := decode(t, tt.want, body); got != string(want) {
				t.Errorf("the decoded body has %d bytes, want the file's %d", len(got), len(want))
			}
			header := resp.Header
			if header.Get("Vary") != "Accept-Encoding" || header.Get("Cache-Control") != cacheForever || header.Get("ETag") == "" {
				t.Errorf("headers = %v, want Vary, an ETag and caching for ever", header)
			}
			if header.Get("Content-Type") != "text/javascript; charset=utf-8" {
				t.Errorf("Content-Type = %q, want JavaScript", header.Get("Content-Type"))
			}
			head := do(t, h, "HEAD", "/static/lab/main.0123456789abcdef.js", "", "Accept-Encoding", tt.accept)
			if body := head.Body; body != "" || head.Header.Get("Content-Length") != header.Get("Content-Length") {
				t.Errorf("HEAD = %d bytes, Content-Length %q, want 0, %q", len(body), head.Header.Get("Content-Length"), header.Get("Content-Length"))
			}
			again := do(t, h, "GET", "/static/lab/main.0123456789abcdef.js", "", "Accept-Encoding", tt.accept, "If-None-Match", `"x", `+header.Get("ETag"))
			if body := again.Body; again.Status != http.StatusNotModified || body != "" {
				t.Errorf("GET with the ETag = %d and %d bytes, want 304 and none", again.Status, len(body))
			}
		})
	}
}

func decode(t *testing.T, encoding, body string) string {
	t.Helper()
	var r io.Reader = strings.NewReader(body)
	var err error
	switch encoding {
	case "gzip":
		r, err = gzip.NewReader(r)
	case "zstd":
		var dec *zstd.Decoder
		if dec, err = zstd.NewReader(r); err == nil {
			defer dec.Close()
			r = dec
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	plain, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(plain)
}

func TestFileHeaders(t *testing.T) {
	h := newHandler(t, testOptions(t))
	for _, tt := range []struct{ path, contentType, cache string }{
		{"/static/lab/bootstrap.js", "text/javascript; charset=utf-8", cacheAskFor},
		{"/static/lab/0123456789abcdef.woff", "font/woff", cacheForever},
		{"/lab/extensions/@test/fine/static/remoteEntry.aabbccddeeff00112233.js", "text/javascript; charset=utf-8", cacheForever},
		{"/lab/extensions/@test/fine/static/style.js", "text/javascript; charset=utf-8", cacheAskFor},
		{"/lab/extensions/@test/fine/package.json", "application/json", cacheAskFor},
		{"/lab/api/themes/@test/sky-extension/variables.css", "text/css; charset=utf-8", cacheAskFor},
		{"/lab/api/themes/@test/sky-extension/img/sky.png", "image/png", cacheAskFor},
		{"/favicon.ico", "image/x-icon", cacheAskFor},
		{"/static/favicons/favicon-busy-1.ico", "image/x-icon", cacheAskFor},
		{"/static/logo/logo.png", "image/png", cacheAskFor},
	} {
		resp := do(t, h, "GET", tt.path, "")
		if got := resp.Header; resp.Status != 200 || got.Get("Content-Type") != tt.contentType || got.Get("Cache-Control") != tt.cache {
			t.Errorf("GET %s = %d, %q, %q, want 200, %q, %q", tt.path, resp.Status, got.Get("Content-Type"), got.Get("Cache-Control"), tt.contentType, tt.cache)
		}
	}
}

func TestThemesRewriteReferences(t *testing.T) {
	opts := testOptions(t)
	opts.BaseURL = "/a%40b/"
	h := newHandler(t, opts)
	got := do(t, h, "GET", "/lab/api/themes/@test/sky-extension/index.css", "").Body
	base := "/a%40b/lab/api/themes/@test"
	want := `@import url('` + base + `/sky-extension/variables.css');
a { background: url('` + base + `/sky-extension/img/sky.png?v=1#x'); }
b { background: url('` + base + `/up.png'); }
c { background: url('/absolute.png'); }
d { background: url(data:image/png;base64,AA==); }
e { background: url('https://example.org/x.png'); }
f { filter: url('#glow'); }
`
	if got != want {
		t.Errorf("style sheet =\n%s\nwant\n%s", got, want)
	}
	got = do(t, h, "GET", "/lab/api/themes/@test/fine/index.css", "").Body
	if want := "p { background: url('" + base + "/fine/p.png'); }\n"; got != want {
		t.Errorf("an extension's style sheet = %q, want %q", got, want)
	}
}

func TestLicenses(t *testing.T) {
	h := newHandler(t, testOptions(t))
	var doc struct {
		Bundles map[string]bundle
	}
	getJSON(t, h, "/lab/api/licenses/?full_text=1", &doc)
	if got := doc.Bundles["@jupyterlab/application-top"].Packages; len(got) != 1 || got[0].Name != "left-pad" {
		t.Errorf("packages of the application = %v, want left-pad", got)
	}
	if _, ok := doc.Bundles["@test/fine"]; !ok {
		t.Error("the extension's bundle is missing")
	}
	for query, want := range map[string]string{
		"?format=csv":      "\"Do \"\"what\"\" you want,\nreally.\"\n",
		"?format=markdown": "really.",
		"?format=markdown&full_text=0&bundles=%40": "`1.3.0`",
	} {
		if got := do(t, h, "GET", "/lab/api/licenses"+query, "").Body; !strings.Contains(got, want) {
			t.Errorf("licenses%s = %q, want it to contain %q", query, got, want)
		}
	}
	for _, query := range []string{"?format=pdf", "?bundles=("} {
		if resp := do(t, h, "GET", "/lab/api/licenses"+query, ""); resp.Status != 400 {
			t.Errorf("licenses%s = %d, want 400", query, resp.Status)
		}
	}
	resp := do(t, h, "GET", "/lab/api/licenses?download=1&format=csv", "")
	if got := resp.Header.Get("Content-Disposition"); got != `attachment; filename="jupyterlab-licenses.csv"` {
		t.Errorf("Content-Disposition = %q, want an attachment", got)
	}
}

func TestTranslations(t *testing.T) {
	h := newHandler(t, Options{})
	for path, want := range map[string]string{
		"/lab/api/translations":         `{"data":{"en":{"displayName":"English","nativeName":"English"}},"message":""}`,
		"/lab/api/translations/":        `{"data":{"en":{"displayName":"English","nativeName":"English"}},"message":""}`,
		"/lab/api/translations/default": `{"data":{},"message":""}`,
		"/lab/api/translations/xx_YY":   `{"data":{},"message":"Language pack 'xx_YY' not installed!"}`,
	} {
		if got := do(t, h, "GET", path, "").Body; got != want {
			t.Errorf("GET %s = %s, want %s", path, got, want)
		}
	}
}

// embedded returns a handler of the archive in the binary, or skips the test.
func embedded(tb testing.TB) *Handler {
	tb.Helper()
	h := newHandler(tb, Options{StateDir: tb.TempDir()})
	if !h.Available() {
		tb.Skip("dist/lab.tar.zst is not there: `make ui` makes it")
	}
	return h
}

// TestEmbeddedApplication reads every file of the real front end through HTTP.
func TestEmbeddedApplication(t *testing.T) {
	h := embedded(t)
	if !strings.HasPrefix(h.Version(), "4.") {
		t.Errorf("Version() = %q, want 4.…", h.Version())
	}
	tree := h.app.fsys.(*archive.FS)
	count := 0
	err := fs.WalkDir(tree, "lab/static", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		count++
		info, err := d.Info()
		if err != nil {
			return err
		}
		resp := do(t, h, "GET", strings.Replace(path, "lab/static/", "/static/lab/", 1), "")
		if body := resp.Body; resp.Status != 200 || int64(len(body)) != info.Size() {
			t.Errorf("GET %s = %d with %d bytes, want 200 with %d", path, resp.Status, len(body), info.Size())
		}
		if got := resp.Header.Get("Content-Type"); got == "application/octet-stream" {
			t.Errorf("GET %s has no content type", path)
		}
		return nil
	})
	if err != nil || count < 250 {
		t.Errorf("walk = %d files, %v, want at least 250", count, err)
	}
	scripts, err := h.app.scripts()
	if err != nil || len(scripts) != 1 || !strings.HasPrefix(scripts[0], "main.") {
		t.Errorf("scripts() = %v, %v, want the main script", scripts, err)
	}
	licences, err := fs.Glob(tree, "licenses/*/LICENSE")
	if err != nil || !slices.ContainsFunc(licences, func(name string) bool { return strings.Contains(name, "jupyterlab") }) {
		t.Errorf("licences = %v, %v, want JupyterLab's", licences, err)
	}
}

// TestEmbeddedSchemas compiles every schema of the real front end, so that a setting of any plugin can be stored.
func TestEmbeddedSchemas(t *testing.T) {
	h := embedded(t)
	list := h.schemas()
	if len(list) < 60 {
		t.Errorf("schemas() has %d, want at least 60", len(list))
	}
	for _, s := range list {
		if err := s.validate(map[string]any{}); err != nil {
			t.Errorf("validate(%s, {}) = %v, want nil", s.id, err)
		}
		if s.version == "N/A" {
			t.Errorf("version of %s is not known", s.id)
		}
	}
}

func BenchmarkListSettings(b *testing.B) {
	h := embedded(b)
	b.ReportAllocs()
	for b.Loop() {
		do(b, h, "GET", "/lab/api/settings", "")
	}
}
