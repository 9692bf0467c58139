package jupyterapi

import (
	"html"
	"net/http"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// maxForm is the largest login form, in bytes.
const maxForm = 16 << 10

// getRoot answers GET /: on to the front end.
func getRoot(c *call) error {
	return c.redirect(c.s.base+strings.TrimPrefix(c.s.opts.DefaultURL, "/"), true)
}

// getTree answers GET /tree{path}, where the classic notebook was.
func getTree(c *call) error {
	return c.redirect(c.s.base+"lab/tree"+escapePath(strings.TrimSuffix(c.vars["path"], "/")), true)
}

// getRobots answers GET /robots.txt.
func getRobots(c *call) error {
	c.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, err := c.w.Write([]byte("User-agent: *\nDisallow: /\n"))
	return ended(err)
}

// getLogin answers GET /login: the form, or on to where one came from if it is not needed.
func getLogin(c *call) error {
	next := c.next(c.query.Get("next"))
	if caller, err := c.s.auth.Authenticate(c.r); err == nil {
		c.caller = caller
		if err := c.s.enter(c, next); err != nil {
			return err
		}
		return c.redirect(next, false)
	}
	return c.loginPage(http.StatusOK, c.query.Get("next"), "")
}

// next returns where a login leads to.
func (c *call) next(wanted string) string {
	fallback := c.s.base + strings.TrimPrefix(c.s.opts.DefaultURL, "/")
	if wanted == "" {
		return fallback
	}
	return identity.Next(wanted, c.s.base, fallback)
}

// postLogin answers POST /login.
func postLogin(c *call) error {
	c.r.Body = http.MaxBytesReader(c.w, c.r.Body, maxForm)
	if err := c.r.ParseForm(); err != nil {
		return failed(http.StatusBadRequest, "The form could not be read")
	}
	form := c.r.PostForm
	if err := c.s.auth.CheckOrigin(c.r, identity.Caller{}); err != nil {
		return failed(http.StatusForbidden, "Forbidden")
	}
	if err := c.s.auth.CheckXSRF(c.r, form.Get("_xsrf")); err != nil {
		return failed(http.StatusForbidden, "The form is too old: go back and try again")
	}
	_, err := c.s.auth.Login(c.w, c.r, form.Get("password"))
	switch {
	case err == nil:
		wanted := form.Get("next")
		if wanted == "" {
			wanted = c.query.Get("next")
		}
		return c.redirect(c.next(wanted), false)
	case fs.KindOf(err) == fs.Throttled:
		return &failure{status: http.StatusTooManyRequests, message: "Too many wrong tokens. Wait a minute.", err: err}
	case fs.KindOf(err) != fs.Unauthenticated:
		return err
	}
	return c.loginPage(http.StatusUnauthorized, form.Get("next"), "This token is not known.")
}

// getLogout answers GET /logout.
func getLogout(c *call) error {
	c.s.auth.Logout(c.w, c.r)
	c.s.sockets.closeInvalid(c.s.auth.Valid)
	return c.loginPage(http.StatusOK, "", "You have logged out.")
}

// pageHead is the beginning of our own pages, up to their first heading. It needs nothing from elsewhere.
func pageHead(title string) string {
	return `<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">` +
		`<title>` + html.EscapeString(title) + ` - Jupyter Drive</title><link rel="icon" href="data:,"><style>:root{color-scheme:light dark}` +
		`body{font:16px system-ui,sans-serif;max-width:24rem;margin:15vh auto;padding:0 1rem}` +
		`input,button{font:inherit;padding:.5rem;width:100%;box-sizing:border-box;margin:.3rem 0}#hint{font-size:.85rem}</style></head><body>`
}

func (c *call) loginPage(status int, next, message string) error {
	xsrf := c.s.auth.EnsureXSRF(c.w, c.r)
	c.w.Header().Set("Cache-Control", "no-store")
	c.w.Header().Set("Content-Security-Policy", c.s.policy(pageStyle)+"; default-src 'none'; img-src data:; style-src 'unsafe-inline'; form-action 'self'")
	page := pageHead("Log in") + `<h1>Jupyter Drive</h1><p role="status">` + html.EscapeString(message) + `</p>` +
		`<form method="post" action="` + html.EscapeString(c.s.base) + `login"><label for="password">Token</label>` +
		`<input id="password" name="password" type="password" autocomplete="current-password" autofocus required aria-describedby="hint">` +
		`<p id="hint">The token is what follows <code>token=</code> in the link that you were given, or that ` +
		`<code>jupyter server list</code> prints on the machine itself.</p>` +
		`<input type="hidden" name="_xsrf" value="` + html.EscapeString(xsrf) + `">` +
		`<input type="hidden" name="next" value="` + html.EscapeString(next) + `">` +
		`<button>Log in</button></form></body></html>` + "\n"
	return c.replyPage(status, page)
}

// enter makes a session of a token in a page's URL, and leads on to an address without it: the token is neither kept in the history
// nor sent on. A link from another site does not replace somebody's session by another one.
func (s *Server) enter(c *call, to string) error {
	q := c.r.URL.Query()
	if c.r.Method != http.MethodGet || q.Get("token") == "" {
		return nil
	}
	old, bare := identity.Caller{}, c.r.Clone(c.ctx())
	bare.URL.RawQuery = ""
	bare.Header.Del("Authorization")
	if caller, err := s.auth.Authenticate(bare); err == nil {
		old = caller
	}
	if old.Principal.ID != "" && (old.Principal.ID == c.caller.Principal.ID || c.r.Header.Get("Sec-Fetch-Site") == "cross-site") {
		return c.redirect(to, false)
	}
	if _, err := s.auth.Login(c.w, c.r, q.Get("token")); err != nil {
		if fs.KindOf(err) == fs.Unauthenticated {
			return nil // another right, such as a header, has let the request in
		}
		return err
	}
	return c.redirect(to, false)
}
