package local

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Defaults of Options.
const (
	DefaultCoalesce   = 100 * time.Millisecond
	DefaultMaxWatches = 8192
	DefaultMaxPending = 16384
)

// Options configure a Drive. Root is needed, the rest may be zero.
type Options struct {
	Root     string       // the folder; it must exist
	ID       fs.DriveID   // what the drive is expected to be; zero = what the folder says, or a new one
	StateDir string       // where sequence numbers and ids are kept, of this drive alone; "" = nowhere, for the life of the Drive
	Hide     []string     // absolute paths of folders that are shown empty and never touched: our own mount point
	ReadOnly bool         // refuse every change
	Logger   *slog.Logger // nil = discard

	NoWatch    bool          // do not look for changes by others
	Coalesce   time.Duration // how long notices are gathered; 0 = DefaultCoalesce
	MaxWatches int           // directories watched at once, one descriptor each; 0 = DefaultMaxWatches, or half of what the process may have
	MaxPending int           // names with notices not yet looked at before all count as lost; 0 = DefaultMaxPending
}

func (o *Options) setDefaults() {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Coalesce == 0 {
		o.Coalesce = DefaultCoalesce
	}
	if o.MaxWatches == 0 {
		o.MaxWatches = DefaultMaxWatches
		var files unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_NOFILE, &files) == nil {
			o.MaxWatches = int(min(uint64(o.MaxWatches), files.Cur/2))
		}
	}
	if o.MaxPending == 0 {
		o.MaxPending = DefaultMaxPending
	}
}

// Drive is a local folder. It implements [fs.Drive] and [fs.Reserver]. Close it when done.
type Drive struct {
	opts      Options
	log       *slog.Logger
	id        fs.DriveID
	rootFd    int
	closed    atomic.Bool
	dev       uint64 // device of the root
	root      *dir
	hide      map[string]bool // paths in the drive
	caps      fs.DriveCaps
	state     *state
	feed      feed
	versions  versions
	ids       ids
	temps     temps
	lingering lingering
	watcher   *watcher // nil = changes by others are found on lookup only

	warnMu   sync.Mutex // guards warnings
	warnings map[string]fs.Warning

	reservedMu sync.Mutex // held while a record of an engine is written

	names names
}

var (
	_ fs.Drive    = (*Drive)(nil)
	_ fs.Reserver = (*Drive)(nil)
)

// Open opens the folder as a drive. A missing folder is an error of kind NotExist, anything but a folder NotDir, one that may not
// be read Permission, one with another UUID than expected Conflict, one whose state folder is in use Busy.
func Open(ctx context.Context, o Options) (*Drive, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("open drive", o.Root, err)
	}
	o.setDefaults()
	fd, err := openRoot(o.Root)
	if err != nil {
		return nil, err
	}
	d := &Drive{opts: o, log: o.Logger, rootFd: fd, warnings: map[string]fs.Warning{}}
	d.names.nodes = map[ident]nodeRef{}
	if err := d.start(); err != nil {
		if failed := d.stop(); failed != nil {
			d.log.Warn("a drive that could not be opened was not closed cleanly", "drive", o.Root, "err", failed)
		}
		return nil, err
	}
	return d, nil
}

func openRoot(path string) (int, error) {
	fail := func(err error, hint string) error {
		return &fs.Error{Op: "open drive", Path: path, Kind: fs.KindOf(err), Err: err, Hint: hint}
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	switch {
	case err == nil:
		return fd, nil
	case is(err, unix.ENOENT):
		return -1, fail(err, "make the folder first: mkdir -p "+path)
	case is(err, unix.ENOTDIR):
		return -1, fail(err, "a drive is a folder; name the folder that holds the file")
	case is(err, unix.EACCES, unix.EPERM):
		return -1, fail(err, "the daemon's user needs the rights to read and enter the folder")
	}
	return -1, fail(err, "")
}

// start fills in what depends on the root descriptor.
func (d *Drive) start() (err error) {
	var st unix.Statx_t
	if err := statFd(d.rootFd, &st); err != nil {
		return fs.Wrap("open drive", d.opts.Root, err)
	}
	d.dev = device(&st)
	if err := d.checkSystem(); err != nil {
		return err
	}
	if d.id, err = d.settleID(); err != nil {
		return err
	}
	d.hide = hiddenPaths(d.opts)
	if d.state, err = openState(d.opts.StateDir); err != nil {
		return err
	}
	d.feed.init(d.id, d.state)
	if err := d.ids.load(d.state); err != nil {
		return err
	}
	if err := d.versions.load(d.state); err != nil {
		return err
	}
	d.root = d.newNode(&st).dir
	d.names.nodes[d.root.id] = refTo(&d.root.node)
	d.caps = fs.DriveCaps{
		ReadOnly: d.opts.ReadOnly, HardLinks: true, Symlinks: true, Mknod: true, Xattrs: d.probeXattrs(), Exchange: true,
		Notices: 2 * d.opts.Coalesce, // a removal waits for a round
	}
	if err := d.cleanTemps(); err != nil {
		return err
	}
	if !d.opts.NoWatch {
		d.startWatcher()
	}
	return nil
}

// checkSystem makes sure that the kernel can keep paths inside the root.
func (d *Drive) checkSystem() error {
	fd, err := openAt(d.rootFd, ".", unix.O_PATH|unix.O_DIRECTORY, 0)
	if err != nil {
		return &fs.Error{Op: "open drive", Path: d.opts.Root, Kind: fs.KindOf(err), Err: err,
			Hint: "openat2(2) is needed: Linux 5.6 or later, and a sandbox that allows it"}
	}
	defer closeFd(fd)
	if _, err := os.Stat(procPath(fd)); err != nil {
		return &fs.Error{Op: "open drive", Path: d.opts.Root, Kind: fs.Unsupported, Err: err, Hint: "/proc must be mounted"}
	}
	return nil
}

func (d *Drive) probeXattrs() bool {
	_, err := unix.Getxattr(procPath(d.rootFd), xattrID, nil)
	return !errors.Is(err, unix.ENOTSUP)
}

// hiddenPaths returns the paths inside the drive of the folders to hide.
func hiddenPaths(o Options) map[string]bool {
	root := realPath(o.Root)
	hide := map[string]bool{}
	for _, h := range o.Hide {
		// Only the parent is resolved: the folder itself is never touched.
		h, err := filepath.Abs(h)
		if err != nil {
			continue
		}
		h = filepath.Join(realPath(filepath.Dir(h)), filepath.Base(h))
		if rel, err := filepath.Rel(root, h); err == nil && rel != "." && rel != ".." && !strings.HasPrefix(rel, "../") {
			hide[rel] = true
		}
	}
	return hide
}

func realPath(p string) string {
	if abs, err := filepath.Abs(p); err == nil {
		p = abs
	}
	if real, err := filepath.EvalSymlinks(p); err == nil {
		return real
	}
	return p
}

// ID returns the drive's UUID.
func (d *Drive) ID() fs.DriveID { return d.id }

// Caps returns what the drive can do.
func (d *Drive) Caps() fs.DriveCaps { return d.caps }

// Root returns the folder itself.
func (d *Drive) Root() fs.Dir { return d.root }

// Statfs returns the sizes of the file system that holds the root.
func (d *Drive) Statfs(ctx context.Context) (fs.Statfs, error) {
	if err := ctx.Err(); err != nil {
		return fs.Statfs{}, fs.Wrap("statfs", "", err)
	}
	var s unix.Statfs_t
	if err := retry(func() error { return unix.Fstatfs(d.rootFd, &s) }); err != nil {
		return fs.Statfs{}, fs.Wrap("statfs", "", err)
	}
	return fs.Statfs{
		Blocks: s.Blocks, Free: s.Bfree, Avail: s.Bavail, Files: s.Files, FreeFiles: s.Ffree, BlockSize: uint32(s.Bsize),
	}, nil
}

// Publish names who is told of changes.
func (d *Drive) Publish(sink func(fs.Change)) { d.feed.publishTo(sink) }

// Warnings returns the drive's health problems, in no order.
func (d *Drive) Warnings() []fs.Warning {
	d.warnMu.Lock()
	defer d.warnMu.Unlock()
	all := make([]fs.Warning, 0, len(d.warnings))
	for _, w := range d.warnings {
		all = append(all, w)
	}
	return all
}

// warn registers a health problem, once.
func (d *Drive) warn(w fs.Warning) {
	d.warnMu.Lock()
	_, known := d.warnings[w.Code]
	d.warnings[w.Code] = w
	d.warnMu.Unlock()
	if !known {
		d.log.Warn("the drive has a problem", "drive", d.id.String(), "code", w.Code, "title", w.Title, "text", w.Text)
	}
}

// Close ends the drive: everything that was acknowledged is written already.
func (d *Drive) Close(context.Context) error { return d.stop() }

func (d *Drive) stop() error {
	d.closed.Store(true)
	var errs []error
	if d.watcher != nil {
		errs = append(errs, d.watcher.close())
	}
	d.lingering.close()
	errs = append(errs, d.ids.close(), d.temps.close())
	if d.state != nil {
		if d.root != nil { // else they were not read
			errs = append(errs, d.versions.save(d.state))
		}
		errs = append(errs, d.state.close())
	}
	errs = append(errs, d.releaseRoot())
	return fs.Wrap("close drive", d.opts.Root, errors.Join(errs...))
}

// releaseRoot lets go of the folder. The descriptor's number is kept from others as long as there are nodes that know it: they must
// not reach another folder by it.
func (d *Drive) releaseRoot() error {
	null, err := unix.Open("/dev/null", unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer closeFd(null)
	runtime.AddCleanup(d, closeFd, d.rootFd)
	return unix.Dup3(null, d.rootFd, unix.O_CLOEXEC)
}

// writable returns an error of kind ReadOnly if changes are refused.
func (d *Drive) writable(op, path string) error {
	if d.opts.ReadOnly {
		return &fs.Error{Op: op, Path: path, Kind: fs.ReadOnly}
	}
	return nil
}
