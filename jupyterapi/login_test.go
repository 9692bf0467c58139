package jupyterapi

import (
	"crypto/sha256"
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

func sum(token string) [32]byte { return sha256.Sum256([]byte(token)) }

// login logs in by the form and returns the headers that a browser sends from then on.
func (s *site) login(token string) (cookie, xsrf string) {
	s.t.Helper()
	form := s.request(get, s.base+"login", "", "anonymous:")
	first := cookiesOf(form)
	body := url.Values{"password": {token}, "_xsrf": {first["_xsrf"]}}.Encode()
	r := s.request(post, s.base+"login", body, "anonymous:", "Content-Type: application/x-www-form-urlencoded", "Cookie: _xsrf="+first["_xsrf"])
	if r.StatusCode != 302 {
		s.t.Fatalf("POST login = %d %s", r.StatusCode, r.body)
	}
	all := cookiesOf(r)
	for name, value := range all {
		if name != "_xsrf" {
			cookie = name + "=" + value
		}
	}
	return cookie + "; _xsrf=" + all["_xsrf"], all["_xsrf"]
}

func cookiesOf(r reply) map[string]string {
	all := map[string]string{}
	for _, c := range r.Cookies() {
		all[c.Name] = c.Value
	}
	return all
}

func TestLogin(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/b/"})
	cookie, xsrf := s.login(bobToken)
	expect(t, s.request(get, "/b/api/me", "", "Cookie: "+cookie), 200, `"username":"bob"`)
	expect(t, s.request(get, "/b/login?next=%2Fb%2Flab%2Ftree", "", "Cookie: "+cookie), 302, "")
	expect(t, s.request(post, "/b/api/contents", "{}", "Cookie: "+cookie), 403, "'_xsrf' argument missing from POST")
	expect(t, s.request(post, "/b/api/contents", "{}", "Cookie: "+cookie, "X-XSRFToken: wrong"), 403, "XSRF")
	expect(t, s.request(post, "/b/api/contents", "{}", "Cookie: "+cookie, "X-XSRFToken: "+xsrf), 201, "")
	expect(t, s.request(post, "/b/api/contents?_xsrf="+xsrf, "{}", "Cookie: "+cookie), 201, "")
	out := s.request(get, "/b/logout", "", "Cookie: "+cookie)
	expect(t, out, 200, "logged out")
	expect(t, s.request(get, "/b/api/me", "", "Cookie: "+cookie), 403, "Forbidden")
}

func TestLoginCookie(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/b/"})
	r := s.request(post, "/b/login", url.Values{"password": {adaToken}, "_xsrf": {"x"}, "next": {"/b/lab?a=1"}}.Encode(), "anonymous:",
		"Content-Type: application/x-www-form-urlencoded", "Cookie: _xsrf=x")
	expect(t, r, 302, "")
	if got := r.Header.Get("Location"); got != "/b/lab?a=1" {
		t.Errorf("Location = %q, want /b/lab?a=1", got)
	}
	host := strings.NewReplacer(".", "-", ":", "-").Replace(strings.TrimPrefix(s.URL, "http://"))
	for _, c := range r.Cookies() {
		isSession := c.Name == "username-"+host
		if c.Path != "/b/" || c.HttpOnly != isSession || !strings.Contains(c.Raw, "SameSite=Lax") || c.Secure {
			t.Errorf("cookie %s, want Path=/b/, SameSite=Lax, HttpOnly for the session", c.Raw)
		}
	}
}

func TestLoginRefusals(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	form := func(token, xsrf string, headers ...string) reply {
		return s.request(post, "/login", url.Values{"password": {token}, "_xsrf": {xsrf}}.Encode(),
			append(headers, "anonymous:", "Content-Type: application/x-www-form-urlencoded", "Cookie: _xsrf=x")...)
	}
	expect(t, form(adaToken, ""), 403, "")
	expect(t, form(adaToken, "y"), 403, "")
	expect(t, form(adaToken, "x", "Origin: https://evil.example"), 403, "")
	expect(t, form(adaToken, "x", "Sec-Fetch-Site: cross-site"), 403, "")
	for range 10 {
		expect(t, form("wrong", "x"), 401, "This token is not known")
	}
	expect(t, form(adaToken, "x"), 429, "Too many")
}

func TestTokenInPageURL(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{options: func(o *Options) { o.App = testApp() }})
	r := s.request(get, "/lab?token="+adaToken+"&reset", "", "anonymous:")
	expect(t, r, 302, "")
	if got := r.Header.Get("Location"); got != "/lab?reset=" {
		t.Errorf("Location = %q, want the page without the token", got)
	}
	var cookies []string
	for name, value := range cookiesOf(r) {
		cookies = append(cookies, name+"="+value)
	}
	page := s.request(get, "/lab?reset=", "", "Cookie: "+strings.Join(cookies, "; "))
	expect(t, page, 200, "/lab local:ada")
	// Under no-referrer browsers send "Origin: null" with the login form, which is refused.
	if got := page.Header.Get("Referrer-Policy"); got != "same-origin" {
		t.Errorf("Referrer-Policy = %q, want same-origin", got)
	}
	expect(t, s.request(get, "/lab?token=wrong", "", "anonymous:"), 302, "")
	// A link from another site does not make bob of ada.
	foreign := s.request(get, "/lab?token="+bobToken, "", "Cookie: "+strings.Join(cookies, "; "), "Sec-Fetch-Site: cross-site")
	if len(foreign.Cookies()) != 0 {
		t.Errorf("a link from another site set %v", foreign.Cookies())
	}
}

func TestMe(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	const me = `{"identity":{"username":"ada","name":"ada","display_name":"Ada L.","initials":null,"avatar_url":null,"color":null},"permissions":{"updatable_fields":["color","display_name","initials"]}}`
	expect(t, s.request(get, "/api/me", ""), 200, me)
	expect(t, s.request(get, "/api/me", ""), 200, me)
	expect(t, s.request(get, "/api/me", "", "Authorization: Bearer "+bobToken), 200, `"username":"bob"`)
	ask := func(permissions string) reply {
		return s.request(get, "/api/me?permissions="+url.QueryEscape(permissions), "")
	}
	expect(t, ask(`{"contents":["read","write"],"x":[]}`), 200, `"permissions":{"contents":["read","write"],"updatable_fields":["color","display_name","initials"],"x":[]}`)
	for _, bad := range []string{`[1]`, `x`, `{"contents":"read"}`, `{"contents":[1]}`, `null`} {
		expect(t, ask(bad), 400, `permissions should be a JSON dict of {\"resource\": [\"action\",]}, got '`)
	}
	expect(t, s.request(patch, "/api/me", `{"color":"#fff","initials":"AL"}`), 200, `"status":"success"`)
	expect(t, s.request(get, "/api/me", ""), 200, `"initials":"AL","avatar_url":null,"color":"#fff"`)
	expect(t, s.request(get, "/api/me", "", "Authorization: Bearer "+bobToken), 200, `"color":null`)
	for _, bad := range []string{`{"username":"bob"}`, `{"name":"bob"}`, ``, `{}`, `{"color":"url(http://x)"}`, `{"initials":"\u0000"}`, `{"color":1}`} {
		expect(t, s.request(patch, "/api/me", bad), 400, "")
	}
	expect(t, s.request(patch, "/api/me", `{"username":"bob"}`), 400, "Field username is not updatable")
}

func TestUsersAtRunTime(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	cookie, _ := s.login(bobToken)
	const carol = "carol-token-0123456789"
	expect(t, s.request(get, "/api/me", "", "Authorization: token "+carol), 403, "")
	if err := s.users.Replace(identity.User{Name: "ada", TokenSHA256: sum(adaToken)}, identity.User{Name: "carol", TokenSHA256: sum(carol)}); err != nil {
		t.Fatal(err)
	}
	expect(t, s.request(get, "/api/me", "", "Authorization: token "+carol), 200, `"username":"carol"`)
	expect(t, s.request(get, "/api/me", "", "Cookie: "+cookie), 403, "")
}

func TestSecretsAreNotLogged(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	cookie, xsrf := s.login(adaToken)
	paths := []string{"/api/contents/nope?token=" + adaToken, "/api/me?to%6ben=" + adaToken, "/nope?x=1;token=" + adaToken, "/api/kernels/x?_xsrf=" + xsrf}
	for _, p := range paths {
		s.request(get, p, "", "Authorization: token "+bobToken, "Referer: http://x/?token="+adaToken)
		s.request(get, p, "", "Cookie: "+cookie)
	}
	_, session, _ := strings.Cut(strings.Split(cookie, ";")[0], "=")
	for _, secret := range []string{adaToken, bobToken, xsrf, session} {
		if strings.Contains(s.logs.String(), secret) {
			t.Errorf("the log holds the secret %q", secret)
		}
	}
	if !strings.Contains(s.logs.String(), "/api/contents/nope") {
		t.Error("requests are not logged at all")
	}
	if data, err := json.Marshal(s.logs.String()); err != nil || strings.Contains(string(data), `\u0000`) {
		t.Error("the log holds a control character")
	}
}

func TestLoginByLink(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	r := s.request(get, "/login?token="+adaToken+"&next=/lab/tree", "", "anonymous:")
	expect(t, r, 302, "")
	if got := r.Header.Get("Location"); got != "/lab/tree" || len(r.Cookies()) == 0 {
		t.Errorf("Location = %q with %d cookies, want /lab/tree and a session", got, len(r.Cookies()))
	}
	cookie, _ := s.login(adaToken)
	foreign := s.request(get, "/login?token="+bobToken, "", "Cookie: "+cookie, "Sec-Fetch-Site: cross-site")
	if foreign.StatusCode != 302 || len(foreign.Cookies()) != 0 {
		t.Errorf("a link from another site = %d with %v, want the old session kept", foreign.StatusCode, foreign.Cookies())
	}
}
