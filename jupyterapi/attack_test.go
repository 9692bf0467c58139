package jupyterapi

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/klauspost/compress/gzip"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// raw sends a request line as it is: clients clean paths up.
func (s *site) raw(method, target string, headers ...string) reply {
	s.t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	host := "127.0.0.1"
	var rest strings.Builder
	for _, h := range headers {
		if name, value, _ := strings.Cut(h, ": "); name == "Host" {
			host = value
			continue
		}
		rest.WriteString(h + "\r\n")
	}
	fmt.Fprintf(conn, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n%s\r\n", method, target, host, rest.String())
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method, URL: &url.URL{Path: target}})
	if err != nil {
		s.t.Fatalf("%s %s: %v", method, target, err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{res, string(body)}
}

const adaHeader = "Authorization: token " + adaToken

func TestEscapingPaths(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("data/a.txt", "inside")
	s.write("data-secret/a.txt", "sibling")
	names := []string{
		"../etc/passwd", "..", "%2e%2e/etc/passwd", "%2e%2e", "..%2fetc%2fpasswd", "..%2f", "%2e%2e%2fetc%2fpasswd", "%252e%252e%252fetc",
		"..%252fetc", "data/../../etc/passwd", "data/..%2f..%2fetc%2fpasswd", "data/%2e%2e/data-secret/a.txt", "data/..%5c..%5cetc",
		`..\..\etc\passwd`, "..%5cetc%5cpasswd", "%00", "data/a.txt%00", "data/a.txt%00.ipynb", "%00.ipynb", "./data/./a.txt", "%2e/data/a.txt",
		"/etc/passwd", "%2fetc%2fpasswd", "//etc//passwd", "data//a.txt", "..%c0%af..%c0%afetc", "%c0%ae%c0%ae/etc", "%ff%fe", "..;/etc", "data/a.txt/..",
		strings.Repeat("x", 300), strings.Repeat("y/", 2500) + "z", "~root", "%e2%80%ae", "CON", "data/a.txt%2f..%2f..", "....//etc", ".jupyter-drive/x",
	}
	doors := []string{"/api/contents/", "/files/", "/view/", "/nbconvert/html/", "/static/", "/kernelspecs/python3/"}
	methods := []string{"GET", "HEAD", "DELETE", "PATCH", "POST"}
	for _, door := range doors {
		for _, name := range names {
			for _, method := range methods {
				r := s.raw(method, door+name, adaHeader)
				refused := r.StatusCode == 400 || r.StatusCode == 403 || r.StatusCode == 404 || r.StatusCode == 405
				redirected := r.StatusCode == 302 && strings.HasPrefix(r.Header.Get("Location"), door[:strings.IndexByte(door[1:], '/')+1])
				if !refused && !redirected {
					t.Errorf("%s %s%.60s = %d %.200s, want a refusal", method, door, name, r.StatusCode, r.body)
				}
				if strings.Contains(r.body, "root:") || strings.Contains(r.body, "sibling") {
					t.Errorf("%s %s%.60s answers with a file", method, door, name)
				}
			}
		}
	}
	if s.read("data/a.txt") != "inside" || s.read("data-secret/a.txt") != "sibling" {
		t.Error("a file was changed")
	}
}

func TestPathsInBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("a.txt", "x")
	for _, p := range []string{"../x", "..", "a/../../x", `x\u0000`, "a//b", "./x", `.jupyter-drive/x`, `..\\/x`, `\ud83d.txt`, "\xff"} {
		body := `{"path":"` + p + `","type":"file","format":"text","content":"x"}`
		for _, r := range []reply{
			s.request(patch, "/api/contents/a.txt", body),
			s.request(put, "/api/contents/b.txt", body),
			s.request(post, "/api/contents", `{"copy_from":"`+p+`"}`),
		} {
			if r.StatusCode != 400 && r.StatusCode != 403 && r.StatusCode != 404 {
				t.Errorf("%s with path %s = %d %s, want a refusal", r.Request.Method, p, r.StatusCode, r.body)
			}
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{auth: func(o *identity.Options) { o.Hosts = []string{"drive.example"} }})
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8888": 200, "[::1]:8888": 200, "127.9.9.9": 200, "drive.example": 200, "DRIVE.example:1": 200,
		"evil.example": 403, "127.0.0.1.nip.io": 403, "localhost.": 403, "drive.example.": 403, "drive.example.evil.example": 403,
		"[::1%25lo]": 403, "0.0.0.0": 403, "2130706433": 403, "localhost.evil.example": 403,
	} {
		if r := s.raw("GET", "/api", "Host: "+host); r.StatusCode != want {
			t.Errorf("Host %s = %d, want %d", host, r.StatusCode, want)
		}
	}
	if r := s.raw("GET", "http://evil.example/api", "Host: localhost"); r.StatusCode != 403 {
		t.Errorf("absolute form = %d, want 403", r.StatusCode)
	}
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{auth: func(o *identity.Options) {
		o.Origins, o.OriginPattern = []string{"https://one.example"}, `https://.*\.trusted\.example`
	}})
	s.write("a.txt", "x")
	cookie, xsrf := s.login(adaToken)
	own := s.URL
	tests := []struct {
		name   string
		header string
		want   int
	}{
		{"none", "X-Nothing: 1", 200},
		{"own", "Origin: " + own, 200},
		{"named", "Origin: https://one.example", 200},
		{"pattern", "Origin: https://a.trusted.example", 200},
		{"pattern is whole", "Origin: https://a.trusted.example.evil.example", 404},
		{"foreign", "Origin: https://evil.example", 404},
		{"null", "Origin: null", 404},
		{"other port", "Origin: http://127.0.0.1:1", 404},
		{"user info", "Origin: " + strings.Replace(own, "http://", "http://x@", 1), 404},
		{"suffix", "Origin: " + own + ".evil.example", 404},
		{"path", "Origin: " + own + "/x", 404},
		{"scheme", "Origin: " + strings.Replace(own, "http:", "ftp:", 1), 404},
		{"cross site", "Sec-Fetch-Site: cross-site", 404},
		{"same site", "Sec-Fetch-Site: same-site", 404},
		{"same origin", "Sec-Fetch-Site: same-origin", 200},
		{"typed", "Sec-Fetch-Site: none", 200},
	}
	for _, tt := range tests {
		for _, mode := range []string{"", "navigate", "no-cors", "cors", "websocket"} { // the mode says nothing
			headers := []string{"Cookie: " + cookie, tt.header, "X-XSRFToken: " + xsrf}
			if mode != "" {
				headers = append(headers, "Sec-Fetch-Mode: "+mode)
			}
			if r := s.request(get, "/api/contents", "", headers...); r.StatusCode != tt.want {
				t.Errorf("%s, mode %q: GET = %d, want %d", tt.name, mode, r.StatusCode, tt.want)
			}
			if r := s.request(put, "/api/config/x", "{}", headers...); (r.StatusCode == 204) != (tt.want == 200) {
				t.Errorf("%s, mode %q: PUT = %d", tt.name, mode, r.StatusCode)
			}
			if r := s.request(get, "/files/a.txt", "", headers...); (r.StatusCode == 200) != (tt.want == 200) {
				t.Errorf("%s, mode %q: GET of a file = %d", tt.name, mode, r.StatusCode)
			}
		}
		name, value, _ := strings.Cut(tt.header, ": ")
		_, status := s.dial("/api/events/subscribe", http.Header{"Cookie": {cookie}, name: {value}})
		if want := map[int]int{200: 101, 404: 403}[tt.want]; status != want {
			t.Errorf("%s: WebSocket = %d, want %d", tt.name, status, want)
		}
	}
	if r := s.request(get, "/files/a.txt", "", "Cookie: "+cookie, "Referer: https://evil.example/"); r.StatusCode != 403 {
		t.Errorf("a file with a foreign Referer = %d, want 403", r.StatusCode)
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{auth: func(o *identity.Options) { o.Origins = []string{"https://one.example"} }})
	allowed := func(r reply) string { return r.Header.Get("Access-Control-Allow-Origin") }
	foreign := s.request("OPTIONS", "/api/contents", "", "anonymous:", "Origin: https://evil.example")
	if foreign.StatusCode != 200 || allowed(foreign) != "" || foreign.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("preflight of a foreign origin = %d %q, want 200 without a grant", foreign.StatusCode, allowed(foreign))
	}
	if got := foreign.Header.Get("Access-Control-Allow-Headers"); !strings.HasPrefix(got, "accept, content-type, authorization, x-xsrftoken") {
		t.Errorf("Access-Control-Allow-Headers = %q", got)
	}
	if got, want := foreign.Header.Get("Access-Control-Allow-Methods"), "GET, PUT, POST, PATCH, DELETE, OPTIONS"; got != want {
		t.Errorf("Access-Control-Allow-Methods = %q, want %q", got, want)
	}
	if r := s.request("OPTIONS", "/api/contents", "", "anonymous:", "Origin: https://one.example"); allowed(r) != "https://one.example" {
		t.Errorf("preflight of a named origin = %q", allowed(r))
	}
	if r := s.request(get, "/api/contents/nope", "", "Origin: https://evil.example"); allowed(r) != "https://evil.example" ||
		r.Header.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("an error to who sent a token = %q, want the origin without credentials", allowed(r))
	}
}

func TestTokens(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	for header, want := range map[string]int{
		"Authorization: token " + adaToken:                       200,
		"Authorization: Token " + adaToken:                       200,
		"Authorization: BEARER " + adaToken:                      200,
		"Authorization: Basic " + adaToken:                       403,
		"Authorization: " + adaToken:                             403,
		"Authorization: token " + adaToken[1:]:                   403,
		"Authorization: token " + adaToken + "x":                 403,
		"Authorization: token":                                   403,
		"Authorization: token " + strings.Repeat("x", 100_000):   403,
		"Cookie: username-127-0-0-1=" + strings.Repeat("x", 999): 403,
		"Cookie: token=" + adaToken:                              403,
	} {
		if r := s.request(get, "/api/contents", "", header); r.StatusCode != want {
			t.Errorf("%.60s = %d, want %d", header, r.StatusCode, want)
		}
	}
	expect(t, s.request(get, "/api/contents?token="+adaToken, "", "anonymous:"), 200, "")
	expect(t, s.request(get, "/api/contents?token=", "", "anonymous:"), 403, "")
	expect(t, s.request(post, "/api/contents", "token="+adaToken, "anonymous:", "Content-Type: application/x-www-form-urlencoded"), 403, "")
}

func TestHostileBodies(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{options: func(o *Options) { o.MaxBody = 1 << 20 }})
	s.write("a.txt", "x")
	bomb := &bytes.Buffer{}
	z := gzip.NewWriter(bomb)
	if _, err := z.Write(make([]byte, 8<<20)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	deep := strings.Repeat("[", 100_000)
	tests := []struct {
		name, method, path, body string
		status                   int
		headers                  []string
	}{
		{"over the limit", put, "/api/contents/b", strings.Repeat("x", 2<<20), 413, nil},
		{"gzip bomb", put, "/api/contents/b", bomb.String(), 413, []string{"Content-Encoding: gzip"}},
		{"not gzip", put, "/api/contents/b", "plain", 400, []string{"Content-Encoding: gzip"}},
		{"unknown coding", put, "/api/contents/b", "plain", 415, []string{"Content-Encoding: br"}},
		{"deep", put, "/api/contents/b", deep, 400, nil},
		{"deep content", put, "/api/contents/b.ipynb", `{"type":"notebook","content":` + deep, 400, nil},
		{"deep and balanced", put, "/api/contents/b.ipynb", `{"type":"notebook","content":` + deep + strings.Repeat("]", 100_000) + `}`, 400, nil},
		{"deep in an unknown field", put, "/api/contents/b", `{"x":` + deep + strings.Repeat("]", 100_000) + `}`, 400, nil},
		{"deep config", put, "/api/config/x", `{"a":` + deep, 400, nil},
		{"bad UTF-8", put, "/api/contents/b", "{\"type\":\"file\xff", 400, nil},
		{"huge number", put, "/api/contents/b", `{"type":"file","format":"text","content":"","chunk":1e999}`, 400, nil},
		{"many keys", put, "/api/config/x", "{" + strings.Repeat(`"a":1,`, 100_000) + `"a":1}`, 204, nil},
	}
	for _, tt := range tests {
		if r := s.request(tt.method, tt.path, tt.body, tt.headers...); r.StatusCode != tt.status {
			t.Errorf("%s = %d %.200s, want %d", tt.name, r.StatusCode, r.body, tt.status)
		}
	}
	expect(t, s.request(get, "/api/contents/a.txt", ""), 200, "")
}

func TestErrorsAndHeadersHoldNothingOfTheRequest(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	r := s.raw("GET", "/files/%3Cscript%3Ealert(1)%3C%2Fscript%3E", adaHeader)
	if strings.Contains(r.body, "<script>") || !strings.Contains(r.Header.Get("Content-Security-Policy"), "sandbox") {
		t.Errorf("error page = %s, want the name escaped and the page in a sandbox", r.body)
	}
	r = s.raw("GET", "/login?next=%0d%0aSet-Cookie:%20x=1", adaHeader)
	if r.Header.Get("Location") != "/lab" || strings.Contains(fmt.Sprint(r.Header), "x=1") {
		t.Errorf("header injection: %v", r.Header)
	}
}

func TestPanicIsAnswered(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{options: func(o *Options) {
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("inside " + adaToken[:3]) })
	}})
	r := s.request(get, "/metrics", "")
	expect(t, r, 500, `{"message":"Unhandled error","reason":null}`)
	if n := strings.Count(s.logs.String(), "msg=panic"); n != 1 {
		t.Errorf("the panic was logged %d times, want once", n)
	}
}

func TestTwoUsers(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("a.txt", "x")
	expect(t, s.request(put, "/api/contents/up", chunkBody(1, "ada")), 201, "")
	expect(t, s.request(put, "/api/contents/up", chunkBody(1, "bob"), "Authorization: token "+bobToken), 201, "")
	expect(t, s.request(put, "/api/contents/up", chunkBody(-1, "-ada")), 200, "")
	if got := s.read("up"); got != "ada-ada" {
		t.Errorf("up = %q, want the parts of one person", got)
	}
	expect(t, s.request(patch, "/api/me", `{"color":"red"}`, "Authorization: token "+bobToken), 200, `"username":"bob"`)
	expect(t, s.request(get, "/api/me", ""), 200, `"username":"ada" … "color":null`)
	expect(t, s.request(put, "/api/config/x", `{"a":1}`), 204, "")
	expect(t, s.request(get, "/api/config/x", "", "Authorization: token "+bobToken), 200, "{}")
}
