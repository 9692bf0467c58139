package identity

import (
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	adaToken = "ada-token-0123456789"
	bobToken = "bob-token-0123456789"
)

func user(name, token string) User {
	return User{Name: name, TokenSHA256: sha256.Sum256([]byte(token))}
}

// clock is a time that tests move.
type clock struct{ now time.Time }

func (c *clock) Now() time.Time { return c.now }

func newAuth(t *testing.T, o Options) *Authenticator {
	t.Helper()
	if o.Users == nil {
		users, err := NewUsers(user("ada", adaToken), user("bob", bobToken))
		if err != nil {
			t.Fatal(err)
		}
		o.Users = users
	}
	a, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func request(method, target string, headers ...string) *http.Request {
	r := httptest.NewRequest(method, target, nil)
	r.Host = "localhost:8888"
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

// login returns the header Cookie that a browser sends after a login.
func login(t *testing.T, a *Authenticator, token string) string {
	t.Helper()
	w := httptest.NewRecorder()
	if _, err := a.Login(w, request("POST", "/login"), token); err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, c := range w.Result().Cookies() {
		all = append(all, c.Name+"="+c.Value)
	}
	return "Cookie: " + strings.Join(all, "; ")
}

// who returns the id of the caller, or the kind of the error.
func who(a *Authenticator, r *http.Request) string {
	c, err := a.Authenticate(r)
	if err != nil {
		return fs.KindOf(err).String()
	}
	return c.Principal.ID
}

func TestUsers(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		list []User
		ok   bool
	}{
		{"none", nil, true},
		{"two tokens of one", []User{user("ada", "1"), user("ada", "2")}, true},
		{"one token of two", []User{user("ada", "1"), user("bob", "1")}, false},
		{"empty token", []User{user("ada", "")}, false},
		{"no token", []User{{Name: "ada"}}, false},
		{"no name", []User{user("", "1")}, false},
		{"slash", []User{user("a/b", "1")}, false},
		{"dots", []User{user("..", "1")}, false},
		{"newline", []User{user("a\nb", "1")}, false},
		{"long", []User{user(strings.Repeat("a", 65), "1")}, false},
	}
	for _, tt := range tests {
		if _, err := NewUsers(tt.list...); (err == nil) != tt.ok || err != nil && fs.KindOf(err) != fs.Invalid {
			t.Errorf("%s: NewUsers() = %v, want ok %v", tt.name, err, tt.ok)
		}
	}
}

func TestReplaceWakesAndKeepsOnError(t *testing.T) {
	t.Parallel()
	users, err := NewUsers(user("ada", adaToken))
	if err != nil {
		t.Fatal(err)
	}
	changed := users.Changed()
	if err := users.Replace(user("", "x")); err == nil {
		t.Error("a bad set was taken")
	}
	if _, ok := users.find(adaToken); !ok {
		t.Error("a bad set has replaced the good one")
	}
	select {
	case <-changed:
		t.Error("woken by a set that was not taken")
	default:
	}
	if err := users.Replace(user("bob", bobToken)); err != nil {
		t.Fatal(err)
	}
	<-changed
	if _, ok := users.find(adaToken); ok {
		t.Error("a removed user is still found")
	}
}

func TestAuthenticate(t *testing.T) {
	t.Parallel()
	a := newAuth(t, Options{})
	cookie := login(t, a, bobToken)
	nobody := fs.Unauthenticated.String()
	tests := []struct {
		name    string
		target  string
		headers []string
		want    string
	}{
		{"nothing", "/", nil, nobody},
		{"query", "/?token=" + adaToken, nil, "local:ada"},
		{"header", "/", []string{"Authorization: token " + adaToken}, "local:ada"},
		{"bearer", "/", []string{"Authorization: bEaReR " + adaToken}, "local:ada"},
		{"basic", "/", []string{"Authorization: Basic " + adaToken}, nobody},
		{"query first", "/?token=" + bobToken, []string{"Authorization: token " + adaToken}, "local:bob"},
		{"cookie", "/", []string{cookie}, "local:bob"},
		{"token before cookie", "/?token=" + adaToken, []string{cookie}, "local:ada"},
		{"wrong token and cookie", "/?token=x", []string{cookie}, "local:bob"},
		{"cookie of another host", "/", []string{strings.Replace(cookie, "localhost", "other", 1)}, nobody},
		{"tampered cookie", "/", []string{cookie[:len("Cookie: username-localhost-8888=")+5]}, nobody},
		{"tossed cookie before", "/", []string{"Cookie: username-localhost-8888=x; " + strings.TrimPrefix(cookie, "Cookie: ")}, "local:bob"},
		{"the hash as a token", "/?token=" + digestHex(adaToken), nil, nobody},
	}
	for _, tt := range tests {
		if got := who(a, request("GET", tt.target, tt.headers...)); got != tt.want {
			t.Errorf("%s: caller = %q, want %q", tt.name, got, tt.want)
		}
	}
}

func digestHex(token string) string {
	text, err := digestOf(token).MarshalText()
	if err != nil {
		panic(err) // it never fails
	}
	return string(text)
}

func TestSessionsOutliveTheProcess(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	now := &clock{time.Unix(1e9, 0)}
	a := newAuth(t, Options{StateDir: dir, Now: now.Now})
	cookie := login(t, a, adaToken)
	file := filepath.Join(dir, "sessions.json")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(strings.Split(cookie, ";")[0], "=")
	if strings.Contains(string(data), id) || strings.Contains(string(data), adaToken) {
		t.Errorf("the file holds a secret: %s", data)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v, want 0600", info.Mode(), err)
	}
	b := newAuth(t, Options{StateDir: dir, Now: now.Now})
	if got := who(b, request("GET", "/", cookie)); got != "local:ada" {
		t.Errorf("after a restart the caller = %q, want local:ada", got)
	}
	now.now = now.now.Add(DefaultSessionAge + time.Second)
	if got := who(b, request("GET", "/", cookie)); got != fs.Unauthenticated.String() {
		t.Errorf("after a month the caller = %q, want nobody", got)
	}
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	nobody := fs.Unauthenticated.String()
	t.Run("at logout", func(t *testing.T) {
		t.Parallel()
		a := newAuth(t, Options{})
		cookie := login(t, a, adaToken)
		c, err := a.Authenticate(request("GET", "/", cookie))
		if err != nil || !a.Valid(c) {
			t.Fatalf("Authenticate() = %v, %v", c, err)
		}
		a.Logout(httptest.NewRecorder(), request("GET", "/logout", cookie))
		if got := who(a, request("GET", "/", cookie)); got != nobody || a.Valid(c) {
			t.Errorf("a replayed cookie is %q, valid %v", got, a.Valid(c))
		}
	})
	t.Run("with the token", func(t *testing.T) {
		t.Parallel()
		dir := t.TempDir()
		a := newAuth(t, Options{StateDir: dir})
		cookie := login(t, a, adaToken)
		if err := a.opts.Users.Replace(user("ada", "another token")); err != nil {
			t.Fatal(err)
		}
		if got := who(a, request("GET", "/", cookie)); got != nobody {
			t.Errorf("a cookie of the old token is %q", got)
		}
		if err := a.Prune(); err != nil {
			t.Fatal(err)
		}
		if err := a.opts.Users.Replace(user("ada", adaToken)); err != nil {
			t.Fatal(err)
		}
		if got := who(a, request("GET", "/", cookie)); got != nobody {
			t.Errorf("the session came back to life as %q", got)
		}
	})
	t.Run("at the next login", func(t *testing.T) {
		t.Parallel()
		a := newAuth(t, Options{})
		cookie := login(t, a, adaToken)
		if _, err := a.Login(httptest.NewRecorder(), request("POST", "/login", cookie), bobToken); err != nil {
			t.Fatal(err)
		}
		if got := who(a, request("GET", "/", cookie)); got != nobody {
			t.Errorf("the old cookie is %q after another login", got)
		}
	})
}

func TestCookieAttributes(t *testing.T) {
	t.Parallel()
	proxy := netip.MustParsePrefix("192.0.2.0/24") // httptest's peer is in it
	a := newAuth(t, Options{BaseURL: "/b/", TrustedProxies: []netip.Prefix{proxy}})
	w := httptest.NewRecorder()
	if _, err := a.Login(w, request("POST", "/login", "X-Forwarded-Proto: https", "X-Forwarded-Host: drive.example"), adaToken); err != nil {
		t.Fatal(err)
	}
	for _, c := range w.Result().Cookies() {
		session := c.Name == "username-drive-example"
		if !c.Secure || c.Path != "/b/" || c.SameSite != http.SameSiteLaxMode || c.HttpOnly != session || c.Domain != "" {
			t.Errorf("cookie = %s", c.Raw)
		}
	}
	untrusting := newAuth(t, Options{})
	if untrusting.Secure(request("GET", "/", "X-Forwarded-Proto: https")) {
		t.Error("a header of anybody is believed")
	}
}

func TestLoginIsThrottled(t *testing.T) {
	t.Parallel()
	now := &clock{time.Unix(1e9, 0)}
	a := newAuth(t, Options{Now: now.Now})
	try := func(token string) fs.Kind {
		_, err := a.Login(httptest.NewRecorder(), request("POST", "/login"), token)
		if err == nil {
			return fs.Internal
		}
		return fs.KindOf(err)
	}
	for i := range maxFailures {
		if got := try("wrong"); got != fs.Unauthenticated {
			t.Fatalf("try %d = %v", i, got)
		}
	}
	if got := try(adaToken); got != fs.Throttled {
		t.Errorf("after ten = %v, want throttled", got)
	}
	now.now = now.now.Add(failureWindow + time.Second)
	if got := try(adaToken); got != fs.Internal {
		t.Errorf("a minute later = %v, want a login", got)
	}
}

func TestNext(t *testing.T) {
	t.Parallel()
	for _, good := range []string{"/b/", "/b/lab", "/b/lab/tree/a%20b.ipynb?x=1#y", "/b/lab/tree/"} {
		if got := Next(good, "/b/", "FALLBACK"); got != good {
			t.Errorf("Next(%q) = %q", good, got)
		}
	}
	for _, bad := range []string{
		"", "/", "/bx", "/basex/", "//evil.example/b/", "///evil.example", `/\evil.example`, `\\evil.example`, "http:evil.example",
		"http:///evil.example", "https://evil.example/b/", "/%09/evil.example", "/b/%09/evil", "/\t/evil.example", "/b/\n", "javascript:alert(1)",
		"data:text/html,x", "/b/../../evil", "/b/%2e%2e/x", "/b//evil.example", "@evil.example", "/b/\\evil", "/b/%5cevil", "b/lab", "?x", "http://x@/b/",
		"/b/./x", "/b/%2f/evil.example", " /b/", "/b/%0d%0aSet-Cookie:x",
	} {
		if got := Next(bad, "/b/", "FALLBACK"); got != "FALLBACK" {
			t.Errorf("Next(%q) = %q, want the fallback", bad, got)
		}
	}
}

func TestProfilePersists(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	a := newAuth(t, Options{StateDir: dir})
	c, err := a.Authenticate(request("GET", "/?token="+adaToken))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.UpdateProfile(c, map[string]string{"color": "var(--jp-collaborator-color1)", "display_name": "Ada Łovelace"}); err != nil {
		t.Fatal(err)
	}
	if _, err := a.UpdateProfile(c, map[string]string{"color": "red", "username": "x"}); fs.KindOf(err) != fs.Invalid {
		t.Errorf("an unknown field = %v, want invalid", err)
	}
	b := newAuth(t, Options{StateDir: dir})
	c, err = b.Authenticate(request("GET", "/?token="+adaToken))
	if err != nil || c.Principal.DisplayName != "Ada Łovelace" || c.Principal.Color != "var(--jp-collaborator-color1)" || c.Principal.Name != "ada" {
		t.Errorf("after a restart = %+v, %v", c.Principal, err)
	}
}

func TestBrokenState(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]fs.Kind{`{`: fs.Internal, `{"version":99}`: fs.Unsupported} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "sessions.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		users, err := NewUsers()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := New(Options{Users: users, StateDir: dir}); err == nil || fs.KindOf(err) != want {
			t.Errorf("New() with %s = %v, want %v", content, err, want)
		}
	}
	if _, err := New(Options{}); fs.KindOf(err) != fs.Invalid {
		t.Errorf("New() without users = %v, want invalid", err)
	}
	users, err := NewUsers()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := New(Options{Users: users, OriginPattern: "("}); fs.KindOf(err) != fs.Invalid {
		t.Errorf("New() with a bad pattern = %v, want invalid", err)
	}
}

func TestScrub(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"/a?token=x&b=1":             "/a?token=[secret]&b=1",
		"/a?TOKEN=x;_xsrf=y":         "/a?TOKEN=[secret]&_xsrf=[secret]",
		"/a?to%6ben=x":               "/a?to%6ben=[secret]",
		"/a?%zz=x":                   "/a?%zz=[secret]",
		"/a?code=1&state=2&apikey=3": "/a?code=[secret]&state=[secret]&apikey=[secret]",
		"/a?1700000000000":           "/a?1700000000000",
		"/a%0Ab":                     "/a%0Ab",
	} {
		u, err := url.Parse(in)
		if err != nil {
			t.Fatal(err)
		}
		if got := ScrubURL(u); got != want {
			t.Errorf("ScrubURL(%q) = %q, want %q", in, got, want)
		}
	}
	if got := ScrubText("a\x1b[31m\n" + strings.Repeat("é", 500)); strings.ContainsAny(got, "\x1b\n") || len(got) > maxLogged+4 {
		t.Errorf("ScrubText() = %q", got)
	}
}

func FuzzNext(f *testing.F) {
	for _, seed := range []string{"/b/lab", "//e", "/b/%2f%2fe", `/b/\e`, "/b/?next=//e"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, next string) {
		got := Next(next, "/b/", "/b/lab")
		u, err := url.Parse(got)
		if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(got, "/b/") || strings.ContainsAny(got, "\\\r\n\t ") || strings.Contains(u.Path, "//") {
			t.Errorf("Next(%q) = %q", next, got)
		}
	})
}

func FuzzAuthenticate(f *testing.F) {
	f.Add("token x", "username-localhost-8888=1", "token=1", "http://localhost:8888")
	f.Fuzz(func(t *testing.T, authorization, cookie, query, origin string) {
		a := newAuth(t, Options{})
		r := request("POST", "/")
		r.URL.RawQuery = query
		r.Header["Authorization"], r.Header["Cookie"], r.Header["Origin"] = []string{authorization}, []string{cookie}, []string{origin}
		if strings.Contains(authorization+query, adaToken) || strings.Contains(authorization+query, bobToken) {
			return
		}
		if c, err := a.Authenticate(r); err == nil {
			t.Errorf("somebody without a token is %v", c.Principal)
		}
		if a.CheckXSRF(r, "") == nil && !strings.Contains(cookie, "_xsrf") {
			t.Error("a request without an XSRF cookie passes")
		}
		_ = a.CheckOrigin(r, Caller{}) // must not panic
	})
}

func FuzzScrub(f *testing.F) {
	f.Add("a=1&token=s3cret")
	f.Fuzz(func(t *testing.T, query string) {
		u := &url.URL{Path: "/x", RawQuery: query}
		if token := u.Query().Get("token"); len(token) > 8 && strings.Contains(ScrubURL(u), "token="+token) {
			t.Errorf("ScrubURL(%q) = %q", query, ScrubURL(u))
		}
	})
}

func TestDigestText(t *testing.T) {
	t.Parallel()
	var back digest
	data, err := json.Marshal(digestOf("x"))
	if err != nil || json.Unmarshal(data, &back) != nil || back != digestOf("x") {
		t.Errorf("digest reads back %v, %v", back, err)
	}
	if json.Unmarshal([]byte(`"zz"`), &back) == nil {
		t.Error("a bad digest was read")
	}
}
