package identity

import (
	"crypto/sha256"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// DefaultSessionAge is how long a login lasts.
const DefaultSessionAge = 30 * 24 * time.Hour

// Options configure an Authenticator. Only Users is needed.
type Options struct {
	Users          *Users           // who has a token
	StateDir       string           // an existing private folder for sessions and profiles; "" = they are forgotten at the end
	BaseURL        string           // escaped base URL with slashes at both ends; "" = "/"
	Hosts          []string         // host names, without port, that are answered besides those of this machine
	AnyHost        bool             // every host name is answered: for a server that others reach under names it does not know
	Origins        []string         // other sites whose pages may use the API, as "https://host[:port]"
	OriginPattern  string           // a regular expression for more of them, which must match the whole origin
	TrustedProxies []netip.Prefix   // peers whose X-Forwarded-{Proto,Host,For} are believed
	SessionAge     time.Duration    // 0 = DefaultSessionAge
	Now            func() time.Time // nil = time.Now
	Logger         *slog.Logger     // nil = discard
}

// Method is how a caller was recognised.
type Method uint8

// The methods.
const (
	ByToken  Method = iota + 1 // the request carries a token
	ByCookie                   // the browser's session
)

// Caller is who sent a request.
type Caller struct {
	Principal fs.Principal
	Method    Method
	token     digest // what the caller's right to be here depends on
	session   string // the session's id; "" without one
}

// Authenticator recognises callers.
type Authenticator struct {
	opts          Options
	log           *slog.Logger
	originPattern *regexp.Regexp
	sessions      *sessions
	profiles      *profiles
	failures      failures
}

// New returns an authenticator. It reads the sessions and profiles that an earlier one has left in StateDir.
func New(o Options) (*Authenticator, error) {
	if o.Users == nil {
		return nil, &fs.Error{Op: "identity", Kind: fs.Invalid, Err: errors.New("no set of users was given")}
	}
	a := &Authenticator{opts: o, log: o.Logger}
	if a.log == nil {
		a.log = slog.New(slog.DiscardHandler)
	}
	if a.opts.Now == nil {
		a.opts.Now = time.Now
	}
	if a.opts.BaseURL == "" {
		a.opts.BaseURL = "/"
	}
	if a.opts.SessionAge == 0 {
		a.opts.SessionAge = DefaultSessionAge
	}
	var err error
	if a.originPattern, err = compileOrigin(o.OriginPattern); err != nil {
		return nil, err
	}
	if a.sessions, err = openSessions(stateFile(o.StateDir, "sessions.json"), a.opts.SessionAge, a.opts.Now); err != nil {
		return nil, err
	}
	if a.profiles, err = openProfiles(stateFile(o.StateDir, "profiles.json")); err != nil {
		return nil, err
	}
	return a, nil
}

func stateFile(dir, name string) string {
	if dir == "" {
		return ""
	}
	return filepath.Join(dir, name)
}

// compileOrigin makes a pattern that matches whole origins only.
func compileOrigin(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	re, err := regexp.Compile(`^(?:` + pattern + `)$`)
	if err != nil {
		return nil, &fs.Error{Op: "origin pattern", Path: pattern, Kind: fs.Invalid, Err: err}
	}
	return re, nil
}

// Authenticate returns who sent the request: by its token, else by its session. Nobody is an error of kind Unauthenticated.
func (a *Authenticator) Authenticate(r *http.Request) (Caller, error) {
	if user, ok := a.opts.Users.find(requestToken(r)); ok {
		return a.caller(user, ByToken, ""), nil
	}
	for _, cookie := range r.CookiesNamed(a.CookieName(r)) {
		token, ok := a.sessions.find(cookie.Value)
		if !ok {
			continue
		}
		if user, ok := a.opts.Users.findHash(token); ok {
			return a.caller(user, ByCookie, cookie.Value), nil
		}
	}
	return Caller{}, &fs.Error{Op: "authenticate", Kind: fs.Unauthenticated}
}

func (a *Authenticator) caller(user User, m Method, session string) Caller {
	p := user.principal()
	a.profiles.apply(&p)
	return Caller{Principal: p, Method: m, token: digest(user.TokenSHA256), session: session}
}

// Valid reports whether the caller is still one: it is false when the token is gone or the session has ended. Ask it again for
// connections that stay open; [Authenticator.Changed] tells when.
func (a *Authenticator) Valid(c Caller) bool {
	if c.Method == ByCookie {
		if _, ok := a.sessions.find(c.session); !ok {
			return false
		}
	}
	_, ok := a.opts.Users.findHash(c.token)
	return ok
}

// Changed returns a channel that is closed when the set of users has changed.
func (a *Authenticator) Changed() <-chan struct{} { return a.opts.Users.Changed() }

// Prune ends the sessions of users who are gone. Call it when the set of users has changed.
func (a *Authenticator) Prune() error {
	return a.sessions.retain(func(token digest) bool {
		_, ok := a.opts.Users.findHash(token)
		return ok
	})
}

// HasToken reports whether the request carries a token, right or wrong.
func HasToken(r *http.Request) bool { return requestToken(r) != "" }

// requestToken returns the token of the query, else that of the header.
func requestToken(r *http.Request) string {
	if token := r.URL.Query().Get("token"); token != "" {
		return token
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "token") || strings.EqualFold(scheme, "bearer") {
		return strings.TrimSpace(token)
	}
	return ""
}

// digestOf returns the hash that stands for a token.
func digestOf(token string) digest { return sha256.Sum256([]byte(token)) }
