package identity

import (
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"net/http"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// xsrfCookie holds the value that our own pages must send back to change something.
const xsrfCookie = "_xsrf"

// CookieName returns the name of the session cookie for the host that was asked: cookies do not tell ports apart, names do.
func (a *Authenticator) CookieName(r *http.Request) string {
	return "username-" + strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' {
			return c
		}
		return '-'
	}, a.host(r))
}

// Login makes a session for the user with that token and gives its cookie to the browser. A wrong token is an error of kind
// Unauthenticated; after ten of them in a minute from one address (of IPv6: one /64) it is Throttled, whatever the token.
func (a *Authenticator) Login(w http.ResponseWriter, r *http.Request, token string) (Caller, error) {
	from := a.RemoteHost(r)
	if a.failures.blocked(from, a.opts.Now()) {
		return Caller{}, &fs.Error{Op: "login", Kind: fs.Throttled, Err: errors.New("too many wrong tokens"), Hint: "wait a minute"}
	}
	user, ok := a.opts.Users.find(token)
	if !ok {
		a.failures.add(from, a.opts.Now())
		a.log.Warn("login refused: wrong token", "from", from)
		return Caller{}, &fs.Error{Op: "login", Kind: fs.Unauthenticated, Err: errors.New("no user has this token")}
	}
	a.endSessions(r)
	id, err := a.sessions.create(digestOf(token))
	if err != nil {
		return Caller{}, err
	}
	http.SetCookie(w, a.cookie(r, a.CookieName(r), id, true))
	a.renewXSRF(w, r)
	a.log.Info("login", "user", user.Name, "from", from)
	return a.caller(user, ByCookie, id), nil
}

// Logout ends the sessions of the request and takes the cookies away.
func (a *Authenticator) Logout(w http.ResponseWriter, r *http.Request) {
	a.endSessions(r)
	for _, name := range []string{a.CookieName(r), xsrfCookie} {
		gone := a.cookie(r, name, "", true)
		gone.MaxAge = -1
		http.SetCookie(w, gone)
	}
}

func (a *Authenticator) endSessions(r *http.Request) {
	for _, cookie := range r.CookiesNamed(a.CookieName(r)) {
		if err := a.sessions.end(cookie.Value); err != nil {
			a.log.Error("a session has ended, but the file of sessions could not be written", "err", err)
		}
	}
}

func (a *Authenticator) cookie(r *http.Request, name, value string, httpOnly bool) *http.Cookie {
	return &http.Cookie{
		Name: name, Value: value, Path: a.opts.BaseURL, HttpOnly: httpOnly, Secure: a.Secure(r), SameSite: http.SameSiteLaxMode,
		MaxAge: int(a.opts.SessionAge / time.Second),
	}
}

// EnsureXSRF returns the browser's XSRF value, giving it one if it has none. Call it before a page is written.
func (a *Authenticator) EnsureXSRF(w http.ResponseWriter, r *http.Request) string {
	if value := xsrfOf(r); value != "" {
		return value
	}
	return a.renewXSRF(w, r)
}

func (a *Authenticator) renewXSRF(w http.ResponseWriter, r *http.Request) string {
	value := rand.Text()
	http.SetCookie(w, a.cookie(r, xsrfCookie, value, false)) // our pages read it
	return value
}

// xsrfOf returns the value of the last XSRF cookie: JupyterLab takes the last too.
func xsrfOf(r *http.Request) string {
	cookies := r.CookiesNamed(xsrfCookie)
	if len(cookies) == 0 {
		return ""
	}
	return cookies[len(cookies)-1].Value
}

// CheckXSRF returns an error of kind Permission unless the request repeats the value of the XSRF cookie: in the header X-XSRFToken,
// or as the argument "_xsrf" of the query or, where form is given, of the form.
func (a *Authenticator) CheckXSRF(r *http.Request, form string) error {
	sent := r.Header.Get("X-XSRFToken")
	if sent == "" {
		sent = r.Header.Get("X-CSRFToken")
	}
	if sent == "" {
		sent = r.URL.Query().Get(xsrfCookie)
	}
	if sent == "" {
		sent = form
	}
	want := xsrfOf(r)
	switch {
	case sent == "":
		return &fs.Error{Op: "xsrf", Kind: fs.Permission, Err: errors.New("'_xsrf' argument missing from " + r.Method)}
	case want == "" || subtle.ConstantTimeCompare([]byte(sent), []byte(want)) != 1:
		return &fs.Error{Op: "xsrf", Kind: fs.Permission, Err: errors.New("XSRF cookie does not match " + r.Method + " argument")}
	}
	return nil
}
