package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	drivefs "github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp"
	"github.com/jupyter-drive/jupyter-drive/kernels"
)

// portTries is how many ports are tried when nobody asked for a certain one.
const portTries = 50

// startServer starts the API and the front end, unless there is to be none.
func (d *daemon) startServer(context.Context) error {
	if d.opts.noServe {
		return nil
	}
	base, err := cleanBaseURL(firstOf(d.opts.baseURL, d.cfg.BaseURL))
	if err != nil { // the configuration was checked
		return fail(exitUsage, "--base-url %q %v", d.opts.baseURL, err)
	}
	cert, key, err := d.tlsFiles()
	if err != nil {
		return err
	}
	if err := d.listen(); err != nil {
		return err
	}
	d.ends("port", func(context.Context) error { // for a start that fails before the server has it
		if err := d.listener.Close(); !errors.Is(err, net.ErrClosed) {
			return err
		}
		return nil
	})
	auth, err := d.startIdentity(base)
	if err != nil {
		return err
	}
	lab, err := d.startLab(base)
	if err != nil {
		return err
	}
	d.api, err = jupyterapi.New(d.apiOptions(auth, lab, base))
	if err != nil {
		return fail(exitOther, "%v", err)
	}
	d.ends("API", d.api.Close)
	d.serveHTTP(d.api.Handler(), cert, key)
	return d.announce(base, cert != "")
}

func (d *daemon) apiOptions(auth *identity.Authenticator, lab *labapp.Handler, base string) jupyterapi.Options {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	t := &trust{dir: d.stateDir("trust"), log: d.log, all: map[string]*nbformat.Notary{}}
	d.ends("trust", t.close)
	return jupyterapi.Options{
		Auth: auth,
		View: func(p drivefs.Principal) *access.View {
			return access.New(d.tree, d.policy, p, drivefs.OriginAPI)
		},
		App:       &jupyterapi.App{Handler: lab, Routes: labRoutes(lab.Routes())},
		Trust:     t.notary,
		Kernels:   kernelDoor{d.kernels},
		Sessions:  sessionDoor{d.sessions},
		Terminals: terminalDoor{d.terminals},
		Dir:       d.workdir,
		APIPath:   d.apiPath,
		BaseURL:   base,
		StateDir:  d.stateDir("api"),
		Metrics:   promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}),
		Shutdown:  d.stop,
		Logger:    d.log.With("part", "api"),
	}
}

// stateDir makes and returns a private folder in the state folder.
func (d *daemon) stateDir(part string) string {
	dir := filepath.Join(d.env.stateDir(), part)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		d.log.Error("a state folder cannot be made", "dir", dir, "err", err)
	}
	return dir
}

// cleanBaseURL returns the path with slashes at both ends, escapes kept. Its errors go after the value.
func cleanBaseURL(base string) (string, error) {
	inner := strings.Trim(base, "/")
	if inner == "" {
		return "/", nil
	}
	path := "/" + inner + "/"
	u, err := url.Parse(path)
	if err != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" {
		return "", errors.New(`is not a path such as "/drive/"`)
	}
	if clean := u.EscapedPath(); clean != path {
		return "", fmt.Errorf("has characters that must be escaped; write %q", clean)
	}
	return path, nil
}

func (d *daemon) tlsFiles() (cert, key string, err error) {
	cert, key = firstOf(d.opts.tlsCert, d.cfg.TLS.Cert), firstOf(d.opts.tlsKey, d.cfg.TLS.Key)
	if cert == "" && key == "" {
		return "", "", nil
	}
	if cert == "" || key == "" {
		return "", "", fail(exitUsage, "TLS needs both --tls-cert and --tls-key")
	}
	cert, err = d.tlsFile("cert", d.opts.tlsCert, d.cfg.TLS.Cert)
	if err != nil {
		return "", "", err
	}
	key, err = d.tlsFile("key", d.opts.tlsKey, d.cfg.TLS.Key)
	return cert, key, err
}

// tlsFile returns the path of a file for TLS, which the flag names or else the configuration.
func (d *daemon) tlsFile(what, flag, configured string) (string, error) {
	by := "--tls-" + what + " " + flag
	if flag == "" {
		by = "[tls] " + what + " = " + strconv.Quote(configured)
	}
	path := d.env.expand(firstOf(flag, configured))
	if !d.opts.noMount && within(resolved(path), resolved(d.mountpoint)) {
		return "", fail(exitConfig, "%s lies in the daemon's own mount, which it must not read; keep it elsewhere", by)
	}
	_, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", fail(exitNotFound, "%s: there is no file %s; name the %s (PEM), or leave both out to serve without TLS", by, path, tlsNames[what])
	case err != nil:
		return "", fail(exitPermission, "%s: %v", by, err)
	}
	return path, nil
}

// tlsNames are what the files for TLS hold.
var tlsNames = map[string]string{"cert": "certificate", "key": "certificate's key"}

// listen opens the port. If nobody asked for a certain one and it is taken, the next free one serves.
func (d *daemon) listen() error {
	address := firstOf(d.opts.listen, d.cfg.Listen)
	host, first, err := splitListen(address)
	if err != nil { // the configuration was checked
		return fail(exitUsage, "--listen %q %v", address, err)
	}
	for n := first; ; n++ {
		d.listener, err = net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(n)))
		if err == nil {
			return nil
		}
		taken := errors.Is(err, syscall.EADDRINUSE)
		if !taken || d.opts.listen != "" || n == min(first+portTries, maxPort) {
			return fail(exitOther, "cannot listen at %s: %v; choose another port with --listen", address, err)
		}
	}
}

const maxPort = 1<<16 - 1

// splitListen returns the host and the port of an address to listen at. Its errors go after the value.
func splitListen(address string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, fmt.Errorf("is not an address such as %q", defaultListen)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > maxPort {
		return "", 0, fmt.Errorf("is not an address such as %q: ports are numbers up to %d", defaultListen, maxPort)
	}
	return host, port, nil
}

// startIdentity sets up who may come in: the owner by the daemon's token, users by theirs.
func (d *daemon) startIdentity(base string) (*identity.Authenticator, error) {
	d.token = firstOf(d.env.vars["JUPYTER_DRIVE_TOKEN"], d.env.vars["JUPYTER_TOKEN"], newToken())
	users, err := identity.NewUsers(d.userList(d.cfg)...)
	if err != nil {
		return nil, fail(exitConfig, "%v", err)
	}
	d.users = users
	host, _, err := net.SplitHostPort(d.listener.Addr().String())
	if err != nil {
		return nil, err
	}
	addr, err := netip.ParseAddr(host)
	open := err == nil && !addr.IsLoopback()
	proxies, err := d.cfg.trustedProxies()
	if err != nil {
		return nil, fail(exitConfig, "%v", err)
	}
	auth, err := identity.New(identity.Options{
		Users: users, StateDir: d.stateDir("identity"), BaseURL: base,
		Hosts: d.cfg.AllowedHosts, AnyHost: open && len(d.cfg.AllowedHosts) == 0, Origins: d.cfg.AllowOrigins,
		TrustedProxies: proxies,
		Logger:         d.log.With("part", "identity"),
	})
	if err != nil {
		return nil, fail(exitConfig, "%v", err)
	}
	return auth, nil
}

// userList returns the owner and the users of the configuration.
func (d *daemon) userList(cfg *config) []identity.User {
	list := []identity.User{{Name: d.owner.Name, TokenSHA256: sha256.Sum256([]byte(d.token)), Owner: true}}
	for _, u := range cfg.Users {
		sum, err := hex.DecodeString(u.TokenSHA256)
		if err == nil && len(sum) == sha256.Size { // the configuration was checked
			list = append(list, identity.User{Name: u.Name, TokenSHA256: [32]byte(sum)})
		}
	}
	return list
}

// startLab opens the front end.
func (d *daemon) startLab(base string) (*labapp.Handler, error) {
	python := d.python()
	o := labapp.Options{
		BaseURL: base, Dir: d.opts.labDir, ConfigDirs: d.env.jupyterConfigPath(python), StateDir: d.stateDir("lab"),
		User: func(r *http.Request) string {
			p, _ := jupyterapi.PrincipalOf(r.Context())
			return p.ID
		},
		PageConfig: func(*http.Request) map[string]any {
			return map[string]any{
				"terminalsAvailable":      true,
				"serverRoot":              d.mountpoint,
				"preferredPath":           d.firstFolder(),
				"delete_to_trash":         false,
				"untracked_message_types": kernels.UntrackedMessageTypes(),
			}
		},
		Logger: d.log.With("part", "lab"),
	}
	if o.Dir != "" {
		o.Dir = d.env.expand(o.Dir)
		if !d.opts.noMount && within(resolved(o.Dir), resolved(d.mountpoint)) {
			return nil, fail(exitConfig, "--lab-dir lies in the daemon's own mount, which it must not read; keep it elsewhere")
		}
	}
	for _, dir := range d.env.jupyterPath(python) {
		o.LabextensionDirs = append(o.LabextensionDirs, filepath.Join(dir, "labextensions"))
	}
	lab, err := labapp.New(o)
	if err != nil {
		return nil, fail(exitConfig, "%v", err)
	}
	d.ends("front end", func(context.Context) error { return lab.Close() })
	d.labVersion = lab.Version()
	return lab, nil
}

// firstFolder is the folder in which the file browser opens.
func (d *daemon) firstFolder() string {
	if d.opts.root != "" {
		return "/"
	}
	if names := d.tree.Drives(); len(names) > 0 {
		return "/" + names[0]
	}
	return "/"
}

// announce fills in the URL and leaves the files by which Jupyter's tools find the server.
func (d *daemon) announce(base string, secure bool) error {
	host, portText, err := net.SplitHostPort(d.listener.Addr().String())
	if err != nil {
		return err
	}
	port, err := strconv.Atoi(portText)
	if err != nil {
		return err
	}
	scheme := "http"
	if secure {
		scheme = "https"
	}
	if addr, err := netip.ParseAddr(host); err == nil && addr.IsUnspecified() {
		if host, err = os.Hostname(); err != nil {
			host = "localhost"
		}
	}
	d.url = fmt.Sprintf("%s://%s%s", scheme, net.JoinHostPort(host, portText), base)
	files := newServerFiles(d.env.jupyterRuntimeDir(), os.Getpid(), filepath.Join(d.env.stateDir(), "server-page"))
	if err := removeStaleFiles(files.note); err != nil {
		d.log.Warn("files of a daemon that was killed cannot be removed", "err", err)
	}
	err = files.write(serverFile{
		BaseURL: base, Hostname: host, PID: os.Getpid(), Port: port, RootDir: d.mountpoint, Secure: secure,
		Token: d.token, URL: d.url, Version: jupyterapi.DefaultVersion,
	})
	if err != nil {
		return errors.Join(err, files.remove())
	}
	d.openPage = files.page
	d.ends("server files", func(context.Context) error { return files.remove() })
	return nil
}
