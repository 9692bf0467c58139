package identity

import (
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// CheckHost returns an error of kind Permission if the request is for a host name that is not ours: a page of another site whose name
// was made to lead to this machine (DNS rebinding).
func (a *Authenticator) CheckHost(r *http.Request) error {
	host := hostName(a.host(r))
	if a.opts.AnyHost || isLoopback(host) || slices.ContainsFunc(a.opts.Hosts, func(h string) bool { return strings.EqualFold(h, host) }) {
		return nil
	}
	return &fs.Error{Op: "host", Path: ScrubText(host), Kind: fs.Permission, Err: errors.New("requests for this host name are not answered"),
		Hint: "name it in allowed_hosts in the configuration"}
}

// CheckOrigin returns an error of kind Permission if a browser sent the request for a page of another site. Who sent a token needs
// no such check.
func (a *Authenticator) CheckOrigin(r *http.Request, c Caller) error {
	if c.Method == ByToken || a.sameOrigin(r) {
		return nil
	}
	return &fs.Error{Op: "origin", Path: ScrubText(r.Header.Get("Origin")), Kind: fs.Permission,
		Err: errors.New("the request was made by a page of another site")}
}

// sameOrigin reports whether the request comes from our own pages, or not from a page at all.
func (a *Authenticator) sameOrigin(r *http.Request) bool {
	if origin := r.Header.Get("Origin"); origin != "" {
		return a.AllowedOrigin(r, origin)
	}
	site := r.Header.Get("Sec-Fetch-Site")
	return site == "" || site == "same-origin" || site == "none"
}

// AllowedOrigin reports whether origin is that of the request's own host, or one of the configured ones.
func (a *Authenticator) AllowedOrigin(r *http.Request, origin string) bool {
	if a.ForeignOriginAllowed(origin) {
		return true
	}
	u, err := url.Parse(origin)
	if err != nil || u.User != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.Fragment != "" {
		return false
	}
	if u.Scheme != "http" && u.Scheme != "https" {
		return false
	}
	return strings.EqualFold(u.Host, a.host(r))
}

// ForeignOriginAllowed reports whether the configuration names the origin.
func (a *Authenticator) ForeignOriginAllowed(origin string) bool {
	return slices.Contains(a.opts.Origins, origin) || a.originPattern != nil && a.originPattern.MatchString(origin)
}

// SameSiteRead reports whether a read of raw bytes may be answered: it is false for a request that a page of another site makes with
// a visitor's cookie, such as a script element.
func (a *Authenticator) SameSiteRead(r *http.Request, c Caller) bool {
	if c.Method == ByToken {
		return true
	}
	if !a.sameOrigin(r) {
		return false
	}
	if r.Header.Get("Sec-Fetch-Site") != "" {
		return true
	}
	// An old browser tells by the Referer; a link typed or opened from outside has none and carries no page with it.
	referer := r.Header.Get("Referer")
	if referer == "" {
		return true
	}
	u, err := url.Parse(referer)
	return err == nil && strings.EqualFold(u.Host, a.host(r))
}

// Secure reports whether the browser talks TLS, to us or to a trusted proxy in front.
func (a *Authenticator) Secure(r *http.Request) bool {
	return r.TLS != nil || a.forwarded(r, "X-Forwarded-Proto") == "https"
}

// RemoteHost returns the address of the client, as a trusted proxy tells or as it connected.
func (a *Authenticator) RemoteHost(r *http.Request) string {
	if from := a.forwarded(r, "X-Forwarded-For"); from != "" {
		return ScrubText(from)
	}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr
	}
	return host
}

// host returns the host and port that the browser asked for.
func (a *Authenticator) host(r *http.Request) string {
	if host := a.forwarded(r, "X-Forwarded-Host"); host != "" {
		return host
	}
	return r.Host
}

// forwarded returns the last value of a header of a trusted proxy, "" from anybody else.
func (a *Authenticator) forwarded(r *http.Request, header string) string {
	if len(a.opts.TrustedProxies) == 0 || r.Header.Get(header) == "" {
		return ""
	}
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil || !slices.ContainsFunc(a.opts.TrustedProxies, func(p netip.Prefix) bool { return p.Contains(peer.Addr().Unmap()) }) {
		return ""
	}
	values := strings.Split(strings.Join(r.Header.Values(header), ","), ",")
	return strings.TrimSpace(values[len(values)-1])
}

// hostName returns the name or address in a Host header, without port and brackets. A trailing dot is kept: browsers treat that
// name as another site.
func hostName(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
}

func isLoopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.Zone() == "" && addr.Unmap().IsLoopback()
}
