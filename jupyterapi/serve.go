package jupyterapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// errAnswered tells that a check has answered the request by itself.
var errAnswered = errors.New("answered")

// serve takes a request from the outside to its handler: headers, host, route, method, caller, origin, right.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	begin := time.Now()
	a := newAnswer(w, r, newPatience(w, r, s.opts.Patience), &s.zippers)
	c := &call{s: s, w: a, r: r}
	defer func() {
		if p := recover(); p != nil {
			if err, ok := p.(error); ok && errors.Is(err, http.ErrAbortHandler) {
				panic(p)
			}
			s.log.Error("panic", "method", r.Method, "uri", scrubbed(r), "panic", fmt.Sprint(p), "stack", string(debug.Stack()))
			s.fail(a, r, c.style(), failed(http.StatusInternalServerError, "Unhandled error"))
		}
		a.finish()
		s.logRequest(c, time.Since(begin))
	}()
	r.Body = http.MaxBytesReader(w, r.Body, s.opts.MaxBody)
	if err := s.dispatch(c); err != nil && !errors.Is(err, errAnswered) {
		s.fail(a, r, c.style(), err)
	}
}

// style is how errors are shown; before a route is known the path tells.
func (c *call) style() style {
	if c.route != nil {
		return c.route.style
	}
	if strings.HasPrefix(c.r.URL.Path, c.s.plain+"api/") {
		return apiStyle
	}
	return pageStyle
}

func (s *Server) logRequest(c *call, took time.Duration) {
	level := slog.LevelDebug
	if c.w.status >= 400 && c.w.status != http.StatusNotFound {
		level = slog.LevelInfo
	}
	s.log.Log(context.WithoutCancel(c.ctx()), level, "request", "method", c.r.Method, "uri", scrubbed(c.r), "status", c.w.status,
		"bytes", c.w.sent, "ms", took.Milliseconds(), "user", c.caller.Principal.ID, "from", s.auth.RemoteHost(c.r))
}

// scrubbed is the request's URL for a log line.
func scrubbed(r *http.Request) string { return identity.ScrubURL(r.URL) }

func (s *Server) dispatch(c *call) error {
	s.secure(c.w.Header(), pageStyle)
	if err := s.auth.CheckHost(c.r); err != nil {
		return err
	}
	path, err := s.below(c)
	if err != nil {
		return err
	}
	if c.route, c.vars = s.routes.find(path); c.route == nil {
		return failed(http.StatusNotFound, "Not Found")
	}
	s.secure(c.w.Header(), c.route.style)
	s.allowOrigin(c)
	if c.r.Method == http.MethodOptions {
		return c.options()
	}
	e, ok := c.route.endpoint(c.r.Method)
	if !ok {
		c.w.Header().Set("Allow", c.route.allow())
		return failed(http.StatusMethodNotAllowed, "Method Not Allowed")
	}
	if err := s.admit(c, e); err != nil {
		return err
	}
	c.query = c.r.URL.Query()
	return e.serve(c)
}

// below returns the path below the base URL, with a leading slash. A trailing slash is redirected away.
func (s *Server) below(c *call) (string, error) {
	path := c.r.URL.Path
	if path+"/" == s.plain {
		return "", c.redirect(s.base, true)
	}
	rest, ok := strings.CutPrefix(path, s.plain)
	if !ok {
		return "", failed(http.StatusNotFound, "Not Found")
	}
	if rest != "" && strings.HasSuffix(rest, "/") && !s.isTop("/"+rest) {
		return "", c.redirect(s.base+escapePath(strings.Trim(rest, "/")), true)
	}
	return "/" + rest, nil
}

// isTop reports whether a path with a slash at its end is the top folder of a route, which clients name so.
func (s *Server) isTop(path string) bool {
	route, vars := s.routes.find(path)
	return route != nil && vars["path"] == "/"
}

// redirect answers 302 to an escaped URL of ours, with the request's query if it is to be kept.
func (c *call) redirect(to string, keepQuery bool) error {
	if keepQuery && c.r.URL.RawQuery != "" {
		to += "?" + c.r.URL.RawQuery
	}
	c.w.Header().Set("Location", to)
	c.w.WriteHeader(http.StatusFound)
	return errAnswered
}

// secure sets the headers that every answer has.
func (s *Server) secure(h http.Header, st style) {
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "same-origin") // no-referrer would make browsers send "Origin: null" with the login form
	h.Set("Content-Security-Policy", s.policy(st))
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	if st == pageStyle {
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
	}
}

// policy is the value of Content-Security-Policy.
func (s *Server) policy(st style) string {
	p := "frame-ancestors 'self'; report-uri " + s.base + "api/security/csp-report"
	if st == apiStyle || st == socketStyle {
		p += "; default-src 'none'"
	}
	return p
}

// allowOrigin tells the browser which other site may read the answer: only those of the configuration.
func (s *Server) allowOrigin(c *call) {
	origin := c.r.Header.Get("Origin")
	if origin == "" {
		return
	}
	c.w.Header().Add("Vary", "Origin")
	if s.auth.ForeignOriginAllowed(origin) {
		c.grantOrigin(origin)
		c.w.Header().Set("Access-Control-Allow-Credentials", "true")
	}
}

func (c *call) grantOrigin(origin string) {
	c.w.Header().Set("Access-Control-Allow-Origin", origin)
	c.w.Header().Set("Cross-Origin-Resource-Policy", "cross-origin")
	c.w.Header().Set("Access-Control-Expose-Headers", "Location, ETag, Last-Modified")
}

// options answers a browser's question before a request from another site, and anybody's.
func (c *call) options() error {
	h := c.w.Header()
	h.Set("Allow", c.route.allow())
	h.Set("Access-Control-Allow-Headers", "accept, content-type, authorization, x-xsrftoken, if-match, if-none-match")
	h.Set("Access-Control-Allow-Methods", "GET, PUT, POST, PATCH, DELETE, OPTIONS")
	h.Set("Content-Length", "0")
	c.w.WriteHeader(http.StatusOK)
	return nil
}

// admit lets a request through that has what its endpoint needs.
func (s *Server) admit(c *call, e endpoint) error {
	switch e.need.level {
	case everybody:
		return nil
	case refuseAll:
		return failed(http.StatusForbidden, "Forbidden")
	case signedIn, authorized:
	}
	if err := s.identify(c); err != nil {
		return err
	}
	if !e.unchecked {
		if err := s.checkSender(c); err != nil {
			return err
		}
	}
	s.active.touch()
	c.view = s.opts.View(c.caller.Principal)
	c.r = c.r.WithContext(context.WithValue(c.ctx(), principalKey{}, c.caller.Principal))
	if e.need.level == signedIn {
		return nil
	}
	return c.authorize(e.need)
}

// identify finds the caller, or answers as the style has it: pages lead to the login.
func (s *Server) identify(c *call) error {
	caller, err := s.auth.Authenticate(c.r)
	if err == nil {
		c.caller = caller
		s.echoOrigin(c)
		return nil
	}
	isRead := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
	if c.route.style != pageStyle || !isRead {
		return err
	}
	return c.redirect(s.base+"login?next="+url.QueryEscape(withoutToken(c.r.URL)), false)
}

// echoOrigin lets any site read the answer to a request that carries a token: its page has the right by itself.
func (s *Server) echoOrigin(c *call) {
	if origin := c.r.Header.Get("Origin"); origin != "" && c.caller.Method == identity.ByToken {
		c.grantOrigin(origin)
	}
}

// withoutToken returns the path and query of a URL, without a token and without its secrets.
func withoutToken(u *url.URL) string {
	q := u.Query()
	q.Del("token")
	out := u.EscapedPath()
	if len(q) > 0 {
		out += "?" + q.Encode()
	}
	return out
}

// checkSender refuses what another site's page sends with a visitor's cookie.
func (s *Server) checkSender(c *call) error {
	isRead := c.r.Method == http.MethodGet || c.r.Method == http.MethodHead
	if c.route.style == pageStyle && isRead {
		return nil // a link from elsewhere; what serves raw bytes checks by itself
	}
	if err := s.auth.CheckOrigin(c.r, c.caller); err != nil {
		if c.route.style == socketStyle {
			return failed(http.StatusForbidden, "Forbidden")
		}
		return failed(http.StatusNotFound, "Not Found")
	}
	if isRead || c.caller.Method == identity.ByToken {
		return nil
	}
	if err := s.auth.CheckXSRF(c.r, ""); err != nil {
		if e, ok := errors.AsType[*fs.Error](err); ok {
			return failed(http.StatusForbidden, e.Err.Error())
		}
		return err
	}
	return nil
}

// authorize asks the policy about everything that the route's variables name.
func (c *call) authorize(n need) error {
	resources, err := c.resources(n.kind)
	if err != nil {
		return err
	}
	for _, r := range resources {
		if err := c.allowed(n.action, r); err != nil {
			return err
		}
	}
	return nil
}

// resources returns what the request is about: a kernel belongs to its documents.
func (c *call) resources(kind fs.ResourceKind) ([]fs.Resource, error) {
	if _, ok := c.vars["path"]; ok {
		p, err := c.path()
		return []fs.Resource{{Kind: kind, Path: p}}, err
	}
	if id := c.vars["kernel"]; id != "" {
		return c.s.kernelResources(kind, id), nil
	}
	if id := c.vars["session"]; id != "" {
		return c.s.sessionResources(kind, id), nil
	}
	if name := c.vars["terminal"]; name != "" {
		return []fs.Resource{c.s.terminalResource(name)}, nil
	}
	return []fs.Resource{{Kind: kind}}, nil
}
