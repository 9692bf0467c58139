package local

import (
	"context"
	"os"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// node implements fs.Node for everything, and is part of dir for directories.
type node struct {
	d   *Drive
	id  ident
	ino uint64
	typ uint32 // type bits of the mode
	dir *dir   // the whole of which this is a part, of a directory

	superseded atomic.Bool
	dirty      atomic.Bool  // written since the version was last told
	writers    atomic.Int32 // open handles that may write

	// Guarded by names.mu.
	places []place // empty once it has no name
	last   place   // the name to use, or the last one it had; of the root zero

	mu                  sync.Mutex // guards all below
	meta                sync.Mutex // held while attributes are changed; taken after a dir's ops, before mu
	pin                 *file      // of an open handle
	opens               int        // open handles
	gone                *fs.Attr   // what it was when it lost its last name
	stamp               stamp      // when its contents were last told of
	toldCtime, toldSize int64      // of the version last told
}

var (
	_ fs.Node       = (*node)(nil)
	_ fs.Readlinker = (*node)(nil)
	_ fs.Xattrer    = (*node)(nil)
)

// as returns the node as doors know it.
func (n *node) as() fs.Node {
	switch {
	case n == nil:
		return nil
	case n.dir != nil:
		return n.dir
	}
	return n
}

// Ino returns the inode number.
func (n *node) Ino() uint64 { return n.ino }

// Drive returns the drive's id.
func (n *node) Drive() fs.DriveID { return n.d.id }

// Superseded reports whether the name went to a new node because the contents were replaced.
func (n *node) Superseded() bool { return n.superseded.Load() }

// writing reports whether a handle may be changing the file just now.
func (n *node) writing() bool { return n != nil && n.writers.Load() > 0 }

func (n *node) stale(op string) error {
	p, _ := n.Path()
	return &fs.Error{Op: op, Path: p, Kind: fs.Stale}
}

// open opens the node by its name and fills st, having made sure that the name leads to this node. Without a name, or with O_PATH
// on a node that has none, an open handle serves. It fails with Stale if there is no way to the node.
func (n *node) open(op string, flags int, st *unix.Statx_t) (int, error) {
	for range maxTries {
		path, ok := n.Path()
		if n.d.closed.Load() {
			return -1, &fs.Error{Op: op, Path: path, Kind: fs.Unavailable, Err: os.ErrClosed}
		}
		if !ok {
			break
		}
		fd, err := n.openAs(op, path, flags, st)
		if err == nil || fs.KindOf(err) != fs.Stale {
			return fd, err
		}
		n.refind()
		if now, named := n.Path(); named && now == path {
			return -1, err
		}
	}
	if _, ok := n.where(); ok {
		return -1, n.stale(op)
	}
	return n.reopen(op, flags, st)
}

// openAs opens path, which should lead to the node. It fails with Stale if it does not.
func (n *node) openAs(op, path string, flags int, st *unix.Statx_t) (int, error) {
	fd, err := openPath(n.d.rootFd, path, flags)
	switch {
	case is(err, unix.ENOENT, unix.ENOTDIR, unix.ELOOP, unix.EISDIR, unix.ENXIO):
		return -1, &fs.Error{Op: op, Path: path, Kind: fs.Stale}
	case err != nil:
		return -1, fs.Wrap(op, path, err)
	}
	if err := statFd(fd, st); err != nil {
		closeFd(fd)
		return -1, fs.Wrap(op, path, err)
	}
	if n.d.ident(st) != n.id {
		closeFd(fd)
		return -1, &fs.Error{Op: op, Path: path, Kind: fs.Stale}
	}
	return fd, nil
}

// refind looks what became of a name that does not lead here any more.
func (n *node) refind() {
	if p, ok := n.where(); ok && p.dir != nil {
		p.dir.check(p.name)
	}
}

// reopen opens a node without a name through one of its handles.
func (n *node) reopen(op string, flags int, st *unix.Statx_t) (int, error) {
	f := n.hold()
	if f == nil {
		return -1, n.lost(op)
	}
	defer f.drop()
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Open(procPath(f.fd), flags&^unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err == nil {
		err = statFd(fd, st)
	}
	if err != nil && fd >= 0 {
		closeFd(fd)
	}
	p, _ := n.Path()
	return fd, fs.Wrap(op, p, err)
}

// lost is the error of an operation on a node that has no name and no handle.
func (n *node) lost(op string) error {
	p, _ := n.Path()
	kind := fs.NotExist
	if n.Superseded() || n.dir == nil {
		kind = fs.Stale
	}
	return &fs.Error{Op: op, Path: p, Kind: kind}
}

// hold returns an open file of the node, to be dropped, or nil if it has no handle.
func (n *node) hold() *file {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.pin != nil {
		n.pin.refs.Add(1)
	}
	return n.pin
}

// Attr returns the attributes. Those of a file without name or handle are the last ones.
func (n *node) Attr(ctx context.Context) (fs.Attr, error) {
	if err := ctx.Err(); err != nil {
		return fs.Attr{}, fs.Wrap("stat", "", err)
	}
	var st unix.Statx_t
	fd, err := n.open("stat", unix.O_PATH, &st)
	if err != nil {
		if a := n.goneAttr(); a != nil {
			return *a, nil
		}
		return fs.Attr{}, err
	}
	closeFd(fd)
	return n.attr(&st), nil
}

// attr makes the attributes of the node from st.
func (n *node) attr(st *unix.Statx_t) fs.Attr {
	a := n.d.attr(st)
	a.Version = n.d.version(n, st)
	return a
}

func (n *node) goneAttr() *fs.Attr {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.gone
}

// leave records what the node was when it lost its last name. st is from just before.
func (n *node) leave(st *unix.Statx_t) {
	if n == nil {
		return
	}
	if _, named := n.where(); named {
		return
	}
	if f := n.hold(); f != nil {
		var now unix.Statx_t
		if statFd(f.fd, &now) == nil {
			n.d.keep(st, &now) // the loss of a name moves ctime, not the contents
		}
		f.drop()
	}
	a := n.attr(st)
	a.Nlink = 0
	n.mu.Lock()
	defer n.mu.Unlock()
	n.gone = &a
}

// Readlink returns the target of a symbolic link.
func (n *node) Readlink(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fs.Wrap("readlink", "", err)
	}
	if n.typ != fs.ModeSymlink {
		p, _ := n.Path()
		return "", &fs.Error{Op: "readlink", Path: p, Kind: fs.Invalid}
	}
	var st unix.Statx_t
	fd, err := n.open("readlink", unix.O_PATH, &st)
	if err != nil {
		return "", err
	}
	defer closeFd(fd)
	buf := make([]byte, unix.PathMax)
	size, err := unix.Readlinkat(fd, "", buf)
	if err != nil {
		return "", fs.Wrap("readlink", "", err)
	}
	return string(buf[:size]), nil
}
