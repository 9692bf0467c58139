package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/fusemount"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/terminal"
)

// shutdownLimit is how long each part may take to end.
const shutdownLimit = 20 * time.Second

// daemon is everything that runs, joined.
type daemon struct {
	app  *app
	env  environment
	opts runOptions
	log  *slog.Logger

	ctx     context.Context // ends when the daemon is to end
	stop    context.CancelFunc
	closers []closer // in the order of start; ended backwards

	tree       *tree.Tree
	policy     access.Policy
	owner      fs.Principal
	users      *identity.Users
	kernels    *kernels.Manager
	sessions   *kernels.Sessions
	terminals  *terminal.Manager
	api        *jupyterapi.Server
	listener   net.Listener
	started    time.Time
	token      string
	url        string // of the server, with the base URL; "" without one
	openPage   string // a file that leads the browser there
	labVersion string
	mountpoint string

	reloading sync.Mutex     // held by the one reload under way
	probes    sync.WaitGroup // of stores whose abilities are found out

	mu     sync.Mutex        // guards what can change while it runs
	cfg    *config           // its drives are those that are wanted
	absent map[string]error  // those of them that are not in the tree, and why
	mount  *fusemount.Server // nil = not mounted
	guard  *guard            // of the mount
	stores stores
}

// closer ends one part.
type closer struct {
	name  string
	close func(context.Context) error
}

// startDaemon starts every part, or ends those that had started and returns why.
func startDaemon(ctx context.Context, a *app, cfg *config, o runOptions) (*daemon, error) {
	d := &daemon{app: a, env: a.env, opts: o, cfg: cfg, policy: access.Everyone{}, started: time.Now()}
	level := slog.LevelWarn
	if a.verbose {
		level = slog.LevelDebug
	}
	d.log = slog.New(slog.NewTextHandler(a.stderr, &slog.HandlerOptions{Level: level}))
	d.ctx, d.stop = context.WithCancel(ctx)
	d.owner = fs.Principal{ID: "local:" + a.env.user, Name: a.env.user, DisplayName: a.env.user, Owner: true}
	if d.opts.root == "" {
		d.opts.root = cfg.Root
	}
	d.mountpoint = a.env.expand(firstOf(o.mountpoint, cfg.Mount))
	d.collectGarbage()
	for _, step := range []func(context.Context) error{
		d.startLock, d.startRuntimeDir, d.startTree, d.startMount, d.startKernels, d.startServer, d.startControl,
	} {
		err := d.ctx.Err()
		if err == nil {
			err = step(d.ctx)
		}
		if err != nil {
			return nil, errors.Join(err, d.shutdown())
		}
	}
	return d, nil
}

// present returns the configuration that counts now, which a reload replaces but never changes, and the mount, nil without one.
func (d *daemon) present() (*config, *fusemount.Server) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cfg, d.mount
}

// collectGarbage collects all the time while JUPYTER_DRIVE_DEBUG_GC is 1. It is for tests: a collection stops all threads, which shows
// any that waits in a system call on our own mount.
func (d *daemon) collectGarbage() {
	if d.env.vars["JUPYTER_DRIVE_DEBUG_GC"] != "1" {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for d.ctx.Err() == nil {
			runtime.GC()
		}
	}()
	d.ends("garbage loop", func(context.Context) error { <-done; return nil })
}

// ends registers how a part is ended.
func (d *daemon) ends(name string, end func(context.Context) error) {
	d.closers = append(d.closers, closer{name, end})
}

// shutdown ends all parts, the last started first. Each has shutdownLimit.
func (d *daemon) shutdown() error {
	d.stop()
	var errs []error
	for _, c := range slices.Backward(d.closers) {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownLimit)
		if err := c.close(ctx); err != nil {
			errs = append(errs, fmt.Errorf("ending the %s: %w", c.name, err))
		}
		cancel()
	}
	d.closers = nil
	if err := errors.Join(errs...); err != nil {
		return &exitError{exitUnflushed, err}
	}
	return nil
}

func (d *daemon) startLock(ctx context.Context) error {
	l, err := takeLock(d.env.stateDir())
	var held *heldError
	if errors.As(err, &held) && held.dead() {
		l, err = d.takeFromDead(ctx, held)
	}
	if err == nil && !d.opts.noMount {
		err = l.note(d.mountpoint)
	}
	if err != nil {
		return err
	}
	d.ends("lock", func(context.Context) error { return l.release() })
	return nil
}

// takeFromDead takes the lock from a daemon that was killed but hangs in its own mount: without the mount it can end.
func (d *daemon) takeFromDead(ctx context.Context, held *heldError) (*lock, error) {
	d.log.Warn("the daemon before was killed and hangs in its mount; the mount is ended", "pid", held.pid, "mount", held.mountpoint)
	if held.mountpoint != "" {
		if err := fusemount.Abort(ctx, held.mountpoint); err != nil {
			return nil, fail(exitMount, "%v", err)
		}
	}
	if err := waitUnlocked(d.env.stateDir(), 5*time.Second); err != nil {
		return nil, err
	}
	return takeLock(d.env.stateDir())
}

func (d *daemon) startRuntimeDir(context.Context) error { return d.env.makeRuntimeDir() }

func (d *daemon) startTree(ctx context.Context) error {
	t, err := tree.New(tree.Options{
		Logger: d.log.With("part", "tree"), StateDir: filepath.Join(d.env.stateDir(), "tree"),
		Root: d.opts.root, OwnerUID: uint32(d.env.uid), OwnerGID: uint32(d.env.gid),
	})
	if err != nil {
		return fail(exitConfig, "%v", err)
	}
	d.tree = t
	d.ends("cache", d.endStores)
	d.ends("drives", t.Close)
	d.ends("leftovers", d.endLeftovers)
	d.ends("probes", func(context.Context) error { d.probes.Wait(); return nil })
	for _, name := range d.cfg.driveNames() {
		err := d.addDrive(ctx, name, d.cfg.Drives[name])
		if err != nil && (exitCodeOf(err) == exitConfig || d.cfg.chosen != nil || name == d.opts.root) {
			return err
		}
		d.setAbsent(name, err)
	}
	if d.opts.root != "" {
		if _, err := t.Drive(d.opts.root); err != nil {
			return fail(exitNotFound, "--root %s: there is no such drive; there are: %s", d.opts.root, strings.Join(t.Drives(), ", "))
		}
	}
	d.awaitAbsent()
	return nil
}

// addDrive opens a drive and hangs it into the tree.
func (d *daemon) addDrive(ctx context.Context, name string, c driveConfig) error {
	if c.isBucket() {
		return d.addBucket(ctx, name, c)
	}
	dir, err := c.dir(d.env)
	if err != nil {
		return fail(exitConfig, "drive %s: %v", name, err)
	}
	mountpoint := d.mountpoint
	if d.opts.noMount && !d.mounted() {
		mountpoint = ""
	}
	if err := checkPlace(d.env, mountpoint, name, dir); err != nil {
		return err
	}
	id, err := driveID(dir, c.ID)
	if err != nil {
		return fail(exitCodeOf(err), "drive %s: %w", name, err)
	}
	drive, err := local.Open(ctx, local.Options{
		Root: dir, ID: id, StateDir: filepath.Join(d.env.stateDir(), "drives", id.String()), Hide: []string{d.mountpoint},
		ReadOnly: c.readOnly(), Logger: d.log.With("drive", name),
	})
	if err != nil {
		return fail(exitCodeOf(err), "drive %s: %w", name, err)
	}
	if err := d.tree.Add(name, drive); err != nil {
		return errors.Join(fail(exitCodeOf(err), "drive %s: %v", name, err), drive.Close(ctx))
	}
	return nil
}

// checkPlace refuses a drive inside our own mount ("" is none) or state: the daemon would serve itself.
func checkPlace(env environment, mountpoint, name, dir string) error {
	for what, place := range map[string]string{"mount": mountpoint, "state": env.stateDir(), "runtime folder": env.runtimeDir()} {
		if place != "" && within(resolved(dir), resolved(place)) {
			return fail(exitConfig, "drive %s: %s lies inside the daemon's own %s (%s); choose another folder", name, dir, what, place)
		}
	}
	return nil
}

// driveID returns the identity that the configuration or the folder knows, else a new one.
func driveID(dir, configured string) (fs.DriveID, error) {
	if configured != "" {
		return fs.ParseDriveID(configured)
	}
	id, ok, err := readLocalID(dir)
	if err == nil && !ok {
		id = fs.NewDriveID()
	}
	return id, err
}

func readLocalID(dir string) (fs.DriveID, bool, error) { return local.ReadID(dir) }

func (d *daemon) startMount(ctx context.Context) error {
	d.ends("mount", d.umountNow) // also one that is asked for later
	if d.opts.noMount {
		return nil
	}
	return d.mountNow(ctx)
}

func (d *daemon) mounted() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.mount != nil
}

// mountNow mounts the tree if it is not mounted.
func (d *daemon) mountNow(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mount != nil {
		return nil
	}
	for name, c := range d.cfg.Drives {
		if c.isBucket() {
			continue
		}
		dir, err := c.dir(d.env)
		if err == nil {
			err = checkPlace(d.env, d.mountpoint, name, dir)
		}
		if err != nil {
			return err
		}
	}
	view := access.New(d.tree, d.policy, d.owner, fs.OriginMount)
	m, err := fusemount.Mount(context.WithoutCancel(ctx), fusemount.Options{
		Mountpoint: d.mountpoint,
		View:       func(fusemount.Caller) (*access.View, error) { return view, nil },
		Observe:    d.tree.Observe,
		AllowOther: d.opts.allowOther,
		FsName:     "jupyter-drive",
		Logger:     d.log.With("part", "mount"),
	})
	if err != nil {
		return fail(exitMount, "%v", err)
	}
	g, err := startGuard(d.env.exe, d.mountpoint)
	if err != nil {
		return errors.Join(fail(exitMount, "%v", err), m.Close(ctx))
	}
	d.mount, d.guard = m, g
	return nil
}

// umountNow takes the mount away if there is one.
func (d *daemon) umountNow(ctx context.Context) error {
	d.mu.Lock()
	m, g := d.mount, d.guard
	d.mount, d.guard = nil, nil
	d.mu.Unlock()
	if m == nil {
		return nil
	}
	err := m.Close(ctx)
	g.end()
	return err
}

func (d *daemon) startControl(context.Context) error {
	c, err := startControl(d)
	if err != nil {
		return err
	}
	d.ends("control socket", c.close)
	return nil
}

// workdir returns the absolute folder for a path of the API: in the mount, else in the local drive itself.
func (d *daemon) workdir(p fs.Path) string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.mount != nil {
		return filepath.Join(d.mountpoint, string(p))
	}
	name, rel := p.Drive(), p.Rel()
	if d.opts.root != "" {
		name, rel = d.opts.root, string(p)
	}
	dir, err := d.cfg.Drives[name].dir(d.env)
	if name == "" || err != nil {
		return d.env.home
	}
	return filepath.Join(dir, rel)
}

// apiPath is the way back from a path in the mount.
func (d *daemon) apiPath(absolute string) (fs.Path, bool) {
	rel, err := filepath.Rel(d.mountpoint, absolute)
	if err != nil || rel == ".." || strings.HasPrefix(rel, "../") {
		return "", false
	}
	if rel == "." {
		rel = ""
	}
	p, err := fs.ParsePath(rel)
	return p, err == nil
}

// serveHTTP starts the HTTP server on the listener.
func (d *daemon) serveHTTP(h http.Handler, certFile, keyFile string) {
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: 2 * time.Minute,
		ErrorLog: slog.NewLogLogger(d.log.Handler(), slog.LevelDebug)}
	done := make(chan struct{})
	go func() {
		defer close(done)
		serve := func() error { return srv.Serve(d.listener) }
		if certFile != "" {
			serve = func() error { return srv.ServeTLS(d.listener, certFile, keyFile) }
		}
		if err := serve(); !errors.Is(err, http.ErrServerClosed) {
			d.log.Error("the server has ended", "err", err)
			d.stop()
		}
	}()
	d.ends("server", func(ctx context.Context) error {
		// Requests under way get a moment; what is left after that are idle event streams.
		short, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		err := srv.Shutdown(short)
		if errors.Is(err, context.DeadlineExceeded) {
			err = srv.Close()
		}
		<-done
		return err
	})
}

// resolved returns the path without symbolic links, as far as it exists.
func resolved(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil {
		return real
	}
	if dir := filepath.Dir(path); dir != path {
		return filepath.Join(resolved(dir), filepath.Base(path))
	}
	return path
}

func within(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

func baseName(path string) string { return filepath.Base(path) }

// firstOf returns the first that is not empty.
func firstOf(values ...string) string {
	for _, v := range values {
		if v != "" {
			return v
		}
	}
	return ""
}

// errorsJoinMissing joins errors but those that say that a file was not there.
func errorsJoinMissing(errs ...error) error {
	var kept []error
	for _, err := range errs {
		if !errors.Is(err, os.ErrNotExist) {
			kept = append(kept, err)
		}
	}
	return errors.Join(kept...)
}
