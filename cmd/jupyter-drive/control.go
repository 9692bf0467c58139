package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// The control socket lets other commands of the same user talk to the daemon: HTTP over a Unix socket that only the user can open.

func (e environment) controlSocket() string { return filepath.Join(e.runtimeDir(), "control.sock") }

// makeRuntimeDir makes the runtime folder if need be, and refuses one that others could have prepared.
func (e environment) makeRuntimeDir() error {
	if err := os.MkdirAll(filepath.Dir(e.runtimeDir()), 0o700); err != nil {
		return fail(exitOther, "the runtime folder cannot be made: %v", err)
	}
	if err := os.Mkdir(e.runtimeDir(), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return fail(exitOther, "the runtime folder cannot be made: %v", err)
	}
	return e.checkRuntimeDir()
}

// checkRuntimeDir returns nil if the runtime folder is ours alone: it may lie in /tmp, where anybody can make a folder or a link of
// its name, and it holds the control socket and the keys of kernels.
func (e environment) checkRuntimeDir() error {
	dir := e.runtimeDir()
	info, err := os.Lstat(dir)
	if err != nil {
		return fail(exitOther, "the runtime folder cannot be used: %w", err)
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(owner.Uid) != e.uid || info.Mode().Perm()&0o077 != 0 {
		return fail(exitPermission, "%s must be a folder of yours that nobody else can enter (mode 0700); remove it, or set XDG_RUNTIME_DIR", dir)
	}
	return nil
}

// control serves the socket.
type control struct {
	d   *daemon
	srv *http.Server
}

func startControl(d *daemon) (*control, error) {
	path := d.env.controlSocket()
	if d.env.ask(d.ctx, "GET", "/status", nil) == nil {
		return nil, fail(exitRunning, "another daemon, with a state folder of its own, runs in %s; give each its own XDG_RUNTIME_DIR", filepath.Dir(path))
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fail(exitOther, "an old socket is in the way: %v", err)
	}
	ln, err := net.Listen("unix", path) // nobody else can enter its folder
	if err != nil {
		return nil, fail(exitOther, "the control socket cannot be made: %v", err)
	}
	c := &control{d: d}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", c.status)
	mux.HandleFunc("POST /stop", c.stop)
	mux.HandleFunc("POST /reload", c.do(d.reload))
	mux.HandleFunc("POST /mount", c.do(d.mountNow))
	mux.HandleFunc("POST /umount", c.do(d.umountNow))
	mux.HandleFunc("POST /flush", c.do(d.flush))
	mux.HandleFunc("POST /check", answer(c, d.check))
	mux.HandleFunc("POST /warm", answerWithNews(c, d.warm))
	mux.HandleFunc("POST /fsck", answerWithNews(c, d.fsck))
	mux.HandleFunc("POST /gc", answer(c, d.gc))
	c.srv = &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go func() {
		if err := c.srv.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("the control socket has ended", "err", err)
		}
	}()
	return c, nil
}

func (c *control) close(ctx context.Context) error { return c.srv.Shutdown(ctx) }

func (c *control) status(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(c.d.status(r.Context())); err != nil {
		c.d.log.Warn("a status could not be sent", "err", err)
	}
}

// stop ends the daemon; the caller learns that it has ended by the lock.
func (c *control) stop(w http.ResponseWriter, _ *http.Request) {
	w.WriteHeader(http.StatusAccepted)
	c.d.stop()
}

// do makes a handler of an action; an error comes back with its exit code.
func (c *control) do(action func(context.Context) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := action(r.Context()); err != nil {
			c.refuse(w, err)
		}
	}
}

// refuse answers with an error and its exit code.
func (c *control) refuse(w http.ResponseWriter, err error) {
	w.WriteHeader(http.StatusInternalServerError)
	if err := json.NewEncoder(w).Encode(controlError{exitCodeOf(err), err.Error()}); err != nil {
		c.d.log.Warn("an answer could not be sent", "err", err)
	}
}

type controlError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

// errNotRunning is what callers get when there is no daemon.
var errNotRunning = &exitError{exitNotRunning, errors.New("no daemon is running; start one with: jupyter-drive up")}

// ask sends a request to the running daemon and decodes the answer into result, if that is not nil.
func (e environment) ask(ctx context.Context, method, path string, result any) error {
	resp, err := e.send(ctx, method, path)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return fail(exitOther, "the daemon's answer broke off: %v", err)
	}
	if resp.StatusCode >= 300 {
		var e controlError
		if json.NewDecoder(bytes.NewReader(body)).Decode(&e) == nil && e.Message != "" {
			return &exitError{e.Code, errors.New(e.Message)}
		}
		return fail(exitOther, "the daemon answered %s", resp.Status)
	}
	if result == nil {
		return nil
	}
	return json.Unmarshal(body, result)
}

// send sends a request to the running daemon. The caller closes the answer's body.
func (e environment) send(ctx context.Context, method, path string) (*http.Response, error) {
	if err := e.checkRuntimeDir(); errors.Is(err, os.ErrNotExist) {
		return nil, errNotRunning
	} else if err != nil {
		return nil, err
	}
	client := &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", e.controlSocket())
		},
		DisableKeepAlives: true,
	}}
	req, err := http.NewRequestWithContext(ctx, method, "http://daemon"+path, http.NoBody)
	if err != nil {
		return nil, err
	}
	resp, err := client.Do(req)
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return nil, errNotRunning
	case err != nil && ctx.Err() != nil:
		return nil, fail(exitInterrupted, "interrupted")
	case err != nil:
		return nil, fail(exitOther, "the daemon does not answer: %v", err)
	}
	return resp, nil
}

// exitCodeOf returns the exit code that fits an error of the packages below. Kinds that it does not name are exitOther.
func exitCodeOf(err error) int {
	if exit, ok := errors.AsType[*exitError](err); ok {
		return exit.code
	}
	if errors.Is(err, s3.ErrNoBucket) { // to a drive its store is away, to who names it there is none
		return exitNotFound
	}
	//exhaustive:ignore
	switch fs.KindOf(err) {
	case fs.NotExist:
		return exitNotFound
	case fs.Permission, fs.NotPermitted, fs.ReadOnly, fs.Unauthenticated, fs.Credentials:
		return exitPermission
	case fs.Unavailable, fs.Timeout, fs.Throttled:
		return exitUnavailable
	case fs.Conflict, fs.Exist:
		return exitConflict
	}
	return exitOther
}
