package jupyterapi

import (
	"io"
	"net/http"
	"testing"
)

// testApp is a front end that says what it was asked, by whom.
func testApp() *App {
	return &App{
		Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			p, _ := PrincipalOf(r.Context())
			_, _ = io.WriteString(w, r.URL.EscapedPath()+" "+p.ID) // a test's client reads it
		}),
		Routes: []AppRoute{
			{Path: "/lab", Methods: []string{get}, Class: AppPage},
			{Path: "/lab/api/settings/", Methods: []string{get, put}, Class: AppAPI},
			{Path: "/lab/", Methods: []string{get}, Class: AppPage},
			{Path: "/static/", Methods: []string{get}, Class: AppPublic},
			{Path: "/forgotten", Methods: []string{get}},
		},
	}
}

func TestApp(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/a%40b/", options: func(o *Options) { o.App = testApp() }})
	expect(t, s.request(get, "/a%40b/lab", ""), 200, "/lab local:ada")
	expect(t, s.request(get, "/a@b/lab/tree/x%2Fy%20z", ""), 200, "/lab/tree/x/y%20z local:ada")
	expect(t, s.request(get, "/a%40b/lab/tree/x%2Fy%20z", ""), 200, "/lab/tree/x%2Fy%20z local:ada")
	expect(t, s.request(get, "/a%40b/static/lab/x.js", "", "anonymous:"), 200, "/static/lab/x.js ")
	expect(t, s.request(get, "/a%40b/lab/api/settings/x", "", "anonymous:"), 403, "Forbidden")
	expect(t, s.request(put, "/a%40b/lab/api/settings/x", "", "anonymous:"), 403, "Forbidden")
	expect(t, s.request(put, "/a%40b/lab/api/settings/x", ""), 200, "/lab/api/settings/x local:ada")
	expect(t, s.request(put, "/a%40b/lab", ""), 405, "")
	expect(t, s.request(get, "/a%40b/forgotten", ""), 403, "")
	anonymous := s.request(get, "/a%40b/lab/tree/x?y=1", "", "anonymous:")
	expect(t, anonymous, 302, "")
	if got, want := anonymous.Header.Get("Location"), "/a%40b/login?next=%2Fa%2540b%2Flab%2Ftree%2Fx%3Fy%3D1"; got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
	page := s.request(get, "/a%40b/lab", "")
	if cookiesOf(page)["_xsrf"] == "" {
		t.Error("a page sets no _xsrf cookie")
	}
}
