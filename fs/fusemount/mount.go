package fusemount

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Server is the tree at a directory. Close it when done.
type Server struct {
	opts       Options
	log        *slog.Logger
	host       host
	mountpoint string // absolute
	device     uint64 // st_dev of all that is in the mount
	self       Caller // the daemon
	root       *node

	passthrough atomic.Bool // the kernel can read and write by itself
	mapped      sync.Map    // writes of what was changed in mapped memory, by the same channel as leaving
	leaving     sync.Map    // handles that go-fuse is releasing, by the channel that tells of the request's end: that is the request's own

	table     table
	handles   handles
	processes processes
	refusals  refusals
	walks     walks
	notifier  *notifier
	pruner    pruner
	echo      *echo
	unobserve func() // may be nil

	served    chan struct{} // closed when the kernel has gone
	closeOnce sync.Once
	closeErr  error
}

// handedOver is how the path of a descriptor begins that somebody else has mounted.
const handedOver = "/dev/fd/"

// Mount mounts the tree and returns when it can be used. A mount of ours at the same place whose daemon is gone is replaced.
func Mount(ctx context.Context, o Options) (*Server, error) {
	o.setDefaults()
	m := &Server{opts: o, log: o.Logger, host: thisHost(), served: make(chan struct{})}
	m.pruner = pruner{m: m, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{})}
	m.table = table{nodes: map[fs.Node]*node{}, most: o.MaxNodes, begin: o.MaxNodes, full: m.pruner.kick}
	m.notifier, m.echo = newNotifier(m), newEcho(m)
	if err := m.prepare(ctx); err != nil {
		return nil, err
	}
	if err := m.serve(); err != nil {
		return nil, err
	}
	go m.notifier.run()
	go m.pruner.run()
	if !o.NoEcho {
		m.echo.start()
	}
	if o.Observe != nil {
		m.unobserve = o.Observe(m)
	}
	m.log.Info("mounted", "mountpoint", m.mountpoint)
	return m, nil
}

// prepare checks what can be checked before anything is mounted.
func (m *Server) prepare(ctx context.Context) (err error) {
	if strings.HasPrefix(m.opts.Mountpoint, handedOver) {
		m.mountpoint, m.opts.NoEcho = m.opts.Mountpoint, true
		return nil
	}
	if m.opts.Mountpoint == "" {
		return &fs.Error{Op: "mount", Kind: fs.Invalid, Err: errors.New("no mount point is given")}
	}
	if m.mountpoint, err = filepath.Abs(m.opts.Mountpoint); err != nil {
		return fs.Wrap("mount", m.opts.Mountpoint, err)
	}
	if err := m.host.check(m.opts.AllowOther); err != nil {
		return err
	}
	if state, err := Check(m.mountpoint); err == nil && state == Dead {
		m.log.Warn("the mount of a daemon that is gone is replaced", "mountpoint", m.mountpoint)
	}
	if err := Detach(ctx, m.mountpoint); err != nil {
		return err
	}
	return prepare(m.mountpoint, m.opts.NonEmpty)
}

// serve mounts, and starts answering.
func (m *Server) serve() error {
	m.self = Caller{UID: uint32(unix.Geteuid()), GID: uint32(unix.Getegid())}
	v, err := m.opts.View(m.self)
	if err != nil {
		return fs.Wrap("mount", m.mountpoint, err)
	}
	top := v.Nodes().Root()
	m.root = &node{m: m, fs: top, dir: top}
	m.table.nodes[top] = m.root

	opts := m.fuseOptions()
	opts.RootStableAttr = &gofuse.StableAttr{Ino: top.Ino()}
	server, err := m.newServer(opts)
	if err != nil {
		return m.mountError(err)
	}
	go func() {
		defer close(m.served)
		server.Serve()
	}()
	if err := server.WaitMount(); err != nil {
		return errors.Join(m.mountError(err), m.host.detach(context.Background(), m.mountpoint))
	}
	m.passthrough.Store(!m.opts.NoPassthrough && canPassThrough(server))
	if at, err := mountAt(m.mountpoint); err == nil && at != nil {
		m.device = at.device
	}
	return nil
}

// The limits of the kernel's requests.
const (
	maxWrite      = 1 << 20
	maxBackground = 128
	congestion    = 96
	maxInflight   = 256 << 20
)

func (m *Server) fuseOptions() *gofuse.Options {
	negative := m.opts.CacheFor
	o := &gofuse.Options{
		// EntryTimeout and AttrTimeout stay nil: they would become the default of replies that say 0.
		NullPermissions: true,
		MountOptions: fuse.MountOptions{
			AllowOther:               m.opts.AllowOther,
			MaxWrite:                 maxWrite,
			MaxBackground:            maxBackground,
			CongestionThreshold:      congestion,
			MaxInflightRequestBytes:  maxInflight,
			EnableSymlinkCaching:     m.opts.CacheFor > 0,
			IgnoreSecurityLabels:     true,
			ExplicitDataCacheControl: true,
			ExtraCapabilities:        fuse.CAP_ATOMIC_O_TRUNC,
			DirectMountStrict:        m.host.root && !strings.HasPrefix(m.mountpoint, handedOver),
			FsName:                   m.opts.FsName,
			Name:                     name,
			PanicHandler:             m.panicked,
		},
	}
	if negative > 0 {
		o.NegativeTimeout = &negative
	}
	if m.opts.AllowOther {
		o.Options = []string{"default_permissions"}
	}
	o.Logger = slog.NewLogLogger(m.log.Handler(), slog.LevelDebug)
	o.MountOptions.Logger = o.Logger
	return o
}

// panicked is told of a panic in a handler, which is answered EIO.
func (m *Server) panicked(v any) fuse.Status {
	m.log.Error("a request ended in a panic", "panic", v, "stack", string(debug.Stack()))
	if m.opts.PanicHandler != nil {
		m.opts.PanicHandler(v)
	}
	return fuse.EIO
}

func (m *Server) mountError(err error) error {
	e := &fs.Error{Op: "mount", Path: m.mountpoint, Kind: fs.Unavailable, Err: err}
	if errors.Is(err, unix.EPERM) {
		e.Hint = "mounting is not allowed here. In a container: --cap-add SYS_ADMIN. Or go on without: jupyter-drive up --no-mount"
	}
	return e
}

// Mountpoint returns the directory, as an absolute path.
func (m *Server) Mountpoint() string { return m.mountpoint }

// Done returns a channel that is closed when the kernel has gone: after Close, or when somebody else has unmounted.
func (m *Server) Done() <-chan struct{} { return m.served }

// abortWait is how long the kernel gets to go by itself.
const abortWait = 2 * time.Second

// Close unmounts. While programs still stand in the mount it is detached: it vanishes from the tree at once, and they get
// ENOTCONN from then on. What they have written is committed. It may be called more than once.
func (m *Server) Close(ctx context.Context) error {
	m.closeOnce.Do(func() { m.closeErr = m.close(ctx) })
	return m.closeErr
}

func (m *Server) close(ctx context.Context) error {
	if m.unobserve != nil {
		m.unobserve()
	}
	m.echo.stop()
	m.notifier.stop()
	m.pruner.stop()
	err := m.leave(ctx)
	m.refusals.close(context.WithoutCancel(ctx))
	m.handles.releaseAll(context.WithoutCancel(ctx))
	return fs.Wrap("unmount", m.mountpoint, err)
}

// leave unmounts and waits until the kernel has gone.
func (m *Server) leave(ctx context.Context) error {
	select {
	case <-m.served:
		return nil // somebody else has unmounted
	default:
	}
	if strings.HasPrefix(m.mountpoint, handedOver) {
		return wait(ctx, m.served)
	}
	if m.host.unmount(ctx, m.mountpoint) == nil {
		return wait(ctx, m.served)
	}
	m.log.Info("programs still use the mount; it is detached", "mountpoint", m.mountpoint)
	if err := m.host.detach(ctx, m.mountpoint); err != nil {
		return err
	}
	if err := abort(m.device); err != nil {
		m.log.Debug("the connection ends with the process", "err", err)
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, abortWait)
	defer cancel()
	return wait(ctx, m.served)
}

func wait(ctx context.Context, done <-chan struct{}) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
