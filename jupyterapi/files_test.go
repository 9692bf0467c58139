package jupyterapi

import (
	"strings"
	"testing"
)

func TestFiles(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	furnish(s)
	s.write("page.html", "<script>1</script>")
	s.write("pic.svg", "<svg/>")
	s.write("two words é.txt", "x")
	const sandboxed = "frame-ancestors 'self'; report-uri /api/security/csp-report; sandbox allow-scripts"
	tests := []struct {
		name, path string
		headers    []string
		status     int
		body       string
		want       map[string]string
	}{
		{"text", "a.txt", nil, 200, "hi", map[string]string{
			"Content-Type": "text/plain; charset=UTF-8", "Accept-Ranges": "bytes", "Cache-Control": "no-cache", "Content-Disposition": "",
			"Content-Security-Policy": sandboxed, "X-Content-Type-Options": "nosniff",
		}},
		{"html", "page.html", nil, 200, "<script>1</script>", map[string]string{"Content-Type": "text/html", "Content-Security-Policy": sandboxed}},
		{"svg", "pic.svg", nil, 200, "<svg/>", map[string]string{"Content-Type": "image/svg+xml", "Content-Security-Policy": sandboxed}},
		{"unknown", "unknown", nil, 200, "x", map[string]string{"Content-Type": "application/octet-stream"}},
		{"notebook", "nb.ipynb", nil, 200, emptyNotebook, map[string]string{
			"Content-Type": "application/x-ipynb+json", "Content-Disposition": "attachment; filename*=utf-8''nb.ipynb",
		}},
		{"download", "two%20words%20%C3%A9.txt?download=1", nil, 200, "x", map[string]string{
			"Content-Disposition": "attachment; filename*=utf-8''two%20words%20%C3%A9.txt",
		}},
		{"empty download", "a.txt?download=", nil, 200, "hi", map[string]string{"Content-Disposition": ""}},
		{"version", "a.txt?v=1", nil, 200, "hi", map[string]string{"Cache-Control": ""}},
		{"range", "a.txt", []string{"Range: bytes=1-1"}, 206, "i", map[string]string{
			"Content-Range": "bytes 1-1/2", "Content-Security-Policy": sandboxed, "X-Content-Type-Options": "nosniff",
		}},
		{"suffix range", "a.txt", []string{"Range: bytes=-1"}, 206, "i", map[string]string{"Content-Range": "bytes 1-1/2"}},
		{"beyond", "a.txt", []string{"Range: bytes=5-"}, 416, "", map[string]string{"Content-Range": "bytes */2"}},
		{"stale range", "a.txt", []string{"Range: bytes=1-1", `If-Range: "old"`}, 200, "hi", nil},
		{"not packed", "a.txt", []string{"Accept-Encoding: gzip"}, 200, "hi", map[string]string{"Content-Encoding": ""}},
		{"missing", "nope", nil, 404, "", map[string]string{"Content-Type": "text/html; charset=utf-8"}},
		{"directory", "sub", nil, 404, "", nil},
		{"hidden", ".hidden", nil, 404, "", nil},
		{"worker", "a.txt", []string{"Service-Worker: script"}, 403, "", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := s.request(get, "/files/"+tt.path, "", tt.headers...)
			if r.StatusCode != tt.status || tt.body != "" && r.body != tt.body {
				t.Errorf("GET %s = %d %q, want %d %q", tt.path, r.StatusCode, r.body, tt.status, tt.body)
			}
			for name, want := range tt.want {
				if got := r.Header.Get(name); got != want {
					t.Errorf("%s = %q, want %q", name, got, want)
				}
			}
			head := s.request("HEAD", "/files/"+tt.path, "", tt.headers...)
			if head.StatusCode != tt.status || head.body != "" {
				t.Errorf("HEAD %s = %d with %d bytes, want %d with none", tt.path, head.StatusCode, len(head.body), tt.status)
			}
			for name, want := range tt.want {
				if got := head.Header.Get(name); got != want {
					t.Errorf("HEAD: %s = %q, want %q", name, got, want)
				}
			}
		})
	}
}

func TestFilesNotModified(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("a.txt", "hi")
	first := s.request(get, "/files/a.txt", "")
	expect(t, s.request(get, "/files/a.txt", "", "If-None-Match: "+first.Header.Get("ETag")), 304, "")
	s.write("a.txt", "ho")
	expect(t, s.request(get, "/files/a.txt", "", "If-None-Match: "+first.Header.Get("ETag")), 200, "ho")
}

func TestView(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/b/"})
	s.write(`x"><b>.html`, "page")
	r := s.request(get, "/b/view/x%22%3E%3Cb%3E.html", "")
	expect(t, r, 200, `<iframe sandbox="allow-scripts" src="/b/files/x%22%3E%3Cb%3E.html">`)
	if strings.Contains(r.body, "<b>") {
		t.Errorf("the name is not escaped: %s", r.body)
	}
	expect(t, s.request(get, "/b/view/nope", ""), 404, "")
}

func TestSmallRoutes(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/b/", options: func(o *Options) { o.Version = "2.99" }})
	furnish(s)
	tests := []struct {
		method, path, body string
		status             int
		want, location     string
	}{
		{get, "/b/api", "", 200, `{"version":"2.99"}`, ""},
		{get, "/b/api/status", "", 200, `"connections":0,"kernels":0,"last_activity":"`, ""},
		{get, "/b/api/spec.yaml", "", 200, "/api/contents{path}", ""},
		{get, "/b/api/nbconvert", "", 200, "{}", ""},
		{get, "/b/nbconvert/html/nb.ipynb", "", 404, "No exporter", ""},
		{post, "/b/nbconvert/html", "{}", 404, "No exporter", ""},
		{get, "/b/api/notebooks/sub/b.txt?x=1", "", 302, "", "/b/api/contents/sub/b.txt?x=1"},
		{get, "/b/", "", 302, "", "/b/lab"},
		{get, "/b?x=1", "", 302, "", "/b/?x=1"},
		{get, "/b/tree/sub/b.txt", "", 302, "", "/b/lab/tree/sub/b.txt"},
		{get, "/b/api/contents/", "", 200, `"path":""`, ""},
		{get, "/b/tree/", "", 302, "", "/b/lab/tree"},
		{post, "/b/api/contents/sub/?a=1", "", 302, "", "/b/api/contents/sub?a=1"},
		{get, "/b//evil.example/", "", 302, "", "/b/evil.example"},
		{get, "/b/robots.txt", "", 200, "Disallow: /", ""},
		{get, "/b/api/nope", "", 404, `{"message":"Not Found","reason":null}`, ""},
		{get, "/b/nope", "", 404, "<h1>Not Found</h1>", ""},
		{get, "/outside", "", 404, "", ""},
		{"DELETE", "/b/api/status", "", 405, `{"message":"Method Not Allowed","reason":null}`, ""},
		{get, "/b/api/shutdown", "", 405, "", ""},
		{post, "/b/api/shutdown", "", 501, "", ""},
		{get, "/b/metrics", "", 404, "", ""},
		{get, "/b/api/resolvePath", "", 400, "Missing argument path", ""},
		{get, "/b/api/resolvePath?path=sub/b.txt", "", 200, `{"resolved":[{"scope":"server","path":"sub/b.txt"}]}`, ""},
		{get, "/b/api/resolvePath?path=/mnt/a.txt", "", 200, `"path":"a.txt"`, ""},
		{get, "/b/api/resolvePath?path=/etc/passwd", "", 200, `{"resolved":[]}`, ""},
		{get, "/b/api/resolvePath?path=../../etc/passwd", "", 200, `{"resolved":[]}`, ""},
		{get, "/b/api/resolvePath?path=.hidden", "", 200, `{"resolved":[]}`, ""},
		{get, "/b/api/resolvePath?path=a.txt&kernel=zz", "", 200, `"unresolved":[{"scope":"kernel","reason":"Kernel zz could not be found"}]`, ""},
		{"OPTIONS", "/b/api/contents/a.txt", "", 200, "", ""},
	}
	for _, tt := range tests {
		r := s.request(tt.method, tt.path, tt.body)
		expect(t, r, tt.status, tt.want)
		if got := r.Header.Get("Location"); got != tt.location {
			t.Errorf("%s %s: Location = %q, want %q", tt.method, tt.path, got, tt.location)
		}
	}
}

func TestConfig(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	expect(t, s.request(get, "/api/config/one", ""), 200, "{}")
	expect(t, s.request(put, "/api/config/one", `{"a":{"b":1,"c":2},"d":3}`), 204, "")
	expect(t, s.request(patch, "/api/config/one", `{"a":{"b":null,"e":5},"d":null,"f":{"g":null}}`), 200, `{"a":{"c":2,"e":5}}`)
	expect(t, s.request(get, "/api/config/one", ""), 200, `{"a":{"c":2,"e":5}}`)
	expect(t, s.request(patch, "/api/config/one", `{"a":{"c":null,"e":null}}`), 200, `{}`)
	expect(t, s.request(put, "/api/config/one", `{"a":1}`), 204, "")
	expect(t, s.request(get, "/api/config/one", "", "Authorization: token "+bobToken), 200, "{}")
	expect(t, s.request(put, "/api/config/one", `{"a":12345678901234567890,"b":1.10}`), 204, "")
	expect(t, s.request(get, "/api/config/one", ""), 200, `{"a":12345678901234567890,"b":1.10}`)
	expect(t, s.request(patch, "/api/config/one", `{"c":-0.0}`), 200, `{"a":12345678901234567890,"b":1.10,"c":-0.0}`)
	expect(t, s.request(put, "/api/config/one", `{"a":"\udc00"}`), 400, `half of a surrogate pair (\\udc00) at byte 6`)
	expect(t, s.request(put, "/api/config/one", `{} {}`), 400, "Invalid JSON")
	expect(t, s.request(put, "/api/config/one", ``), 400, "")
	expect(t, s.request(put, "/api/config/one", `[]`), 400, "")
	expect(t, s.request(get, "/api/config/a-b", ""), 404, "")
	expect(t, s.request(get, "/api/config/..%2fx", ""), 404, "")
}

func TestGzip(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("long.txt", strings.Repeat("0123456789", 1000))
	packed := s.request(get, "/api/contents/long.txt", "", "Accept-Encoding: br, gzip;q=0.5")
	if packed.Header.Get("Content-Encoding") != "gzip" || len(packed.body) > 1000 {
		t.Errorf("Content-Encoding = %q with %d bytes, want gzip", packed.Header.Get("Content-Encoding"), len(packed.body))
	}
	plain := s.request(get, "/api/contents/long.txt", "", "Accept-Encoding: gzip;q=0")
	if plain.Header.Get("Content-Encoding") != "" || !strings.Contains(plain.body, "0123456789") {
		t.Error("an answer was packed for a client that does not take it")
	}
}
