package local

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// dir implements fs.Dir.
type dir struct {
	node
	ops  sync.Mutex     // held while names in it are changed or compared with what is known; of two dirs, the lower ino first
	kids map[string]kid // guarded by names.mu

	watching sync.Mutex    // held while a watch is set
	watched  atomic.Bool   // changes by others are noticed
	used     atomic.Uint64 // watcher.tick when somebody last looked
}

var (
	_ fs.Dir       = (*dir)(nil)
	_ fs.Symlinker = (*dir)(nil)
	_ fs.Linker    = (*dir)(nil)
	_ fs.Mknoder   = (*dir)(nil)
)

// enter opens the directory, to be closed.
func (x *dir) enter(op string) (int, error) {
	var st unix.Statx_t
	return x.open(op, unix.O_PATH|unix.O_DIRECTORY, &st)
}

// Lookup returns the child of that name. A change by others that it meets is told first.
func (x *dir) Lookup(ctx context.Context, name string) (fs.Node, error) {
	n, _, err := x.lookup(ctx, name)
	if err != nil {
		return nil, err
	}
	return n, nil
}

func (x *dir) lookup(ctx context.Context, name string) (fs.Node, *unix.Statx_t, error) {
	if err := ctx.Err(); err != nil {
		return nil, nil, fs.Wrap("lookup", name, err)
	}
	if err := fs.CheckName(name); err != nil {
		return nil, nil, err // whatever the caller has checked: ".." is not beneath
	}
	if x.isReserved(name) {
		return nil, nil, &fs.Error{Op: "lookup", Path: x.pathOf(name), Kind: fs.NotExist}
	}
	if x.hides(name) {
		return x.hidden(name), nil, nil
	}
	x.watch()
	fd, err := x.enter("lookup")
	if err != nil {
		return nil, nil, err
	}
	defer closeFd(fd)
	var st unix.Statx_t
	for range maxTries {
		if err := statAt(fd, name, &st); err != nil {
			x.checkMissing(name, err)
			return nil, nil, fs.Wrap("lookup", x.pathOf(name), err)
		}
		if n, ok := x.d.meet(x, name, &st); ok {
			return n.as(), &st, nil
		}
		x.check(name)
	}
	return nil, nil, &fs.Error{Op: "lookup", Path: x.pathOf(name), Kind: fs.Busy}
}

// checkMissing tells of a removal by others if name was known.
func (x *dir) checkMissing(name string, err error) {
	if !is(err, unix.ENOENT) {
		return
	}
	if k, ok := x.kid(name); ok && !k.isGone() {
		x.check(name)
	}
}

// isReserved reports whether the name is not for users: the daemon's folder, or a temporary file of a Replace.
func (x *dir) isReserved(name string) bool {
	return x == x.d.root && name == fs.ReservedName || isTemp(name)
}

// hides reports whether name in x is a folder that must not be touched.
func (x *dir) hides(name string) bool { return len(x.d.hide) > 0 && x.d.hide[x.pathOf(name)] }

// holdsHidden reports whether name in x is, or has below it, a folder that must not be touched.
func (x *dir) holdsHidden(name string) bool {
	if len(x.d.hide) == 0 {
		return false
	}
	path := x.pathOf(name)
	for h := range x.d.hide {
		if fs.Path(h).Within(fs.Path(path)) {
			return true
		}
	}
	return false
}

// begin makes sure that name in x may be changed, opens x and locks it. The caller calls done.
func (x *dir) begin(ctx context.Context, op, name string) (fd int, done func(), err error) {
	if err := x.mayChange(ctx, op, name); err != nil {
		return -1, nil, err
	}
	x.watch()
	// Opened before it is locked: finding out why that fails may need the parent's lock.
	if fd, err = x.enter(op); err != nil {
		return -1, nil, err
	}
	x.ops.Lock()
	return fd, func() { x.ops.Unlock(); closeFd(fd) }, nil
}

// mayChange returns an error if name in x may not be changed.
func (x *dir) mayChange(ctx context.Context, op, name string) error {
	if err := fs.CheckName(name); err != nil {
		return err
	}
	path := x.pathOf(name)
	switch {
	case ctx.Err() != nil:
		return fs.Wrap(op, path, ctx.Err())
	case x.isReserved(name):
		return &fs.Error{Op: op, Path: path, Kind: fs.NotPermitted, Hint: "this name belongs to the daemon"}
	case x.holdsHidden(name):
		return &fs.Error{Op: op, Path: path, Kind: fs.Busy, Hint: "drives are mounted there"}
	}
	return x.d.writable(op, path)
}

// change fills in what every change through the drive has.
func (x *dir) change(ctx context.Context, op fs.Op, name string, n *node, st *unix.Statx_t) fs.Change {
	c := fs.Change{Op: op, Path: fs.Path(x.pathOf(name)), Node: n.as(), Cause: fs.CauseOf(ctx)}
	if st != nil {
		c.Type = fs.Attr{Mode: uint32(st.Mode)}.Type()
		c.Version = x.d.version(n, st)
		c.FileID = x.d.ids.get(x.d.ident(st))
	}
	return c
}
