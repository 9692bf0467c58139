package local

import (
	"context"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Create makes and opens a file.
func (x *dir) Create(ctx context.Context, name string, o fs.CreateOptions) (fs.Node, fs.Handle, error) {
	for tries := 0; ; tries++ {
		n, h, err := x.create(ctx, name, o)
		if err != nil || h != nil {
			return n, h, err
		}
		if n, err = x.Lookup(ctx, name); err == nil {
			h, err = n.Open(ctx, o.Flags)
		}
		if err == nil {
			return n, h, nil
		}
		// Somebody may have taken it away in between.
		if k := fs.KindOf(err); tries == maxTries || k != fs.NotExist && k != fs.Stale {
			return nil, nil, err
		}
	}
}

// maxTries is how often an operation is begun anew when others change the name in the middle of it.
const maxTries = 8

// create makes and opens a file. It returns no handle if the file is there and may be.
func (x *dir) create(ctx context.Context, name string, o fs.CreateOptions) (fs.Node, fs.Handle, error) {
	fd, done, err := x.begin(ctx, "create", name)
	if err != nil {
		return nil, nil, err
	}
	defer done()
	flags := openFlags(o.Flags) | unix.O_CREAT | unix.O_EXCL
	f, err := openAt(fd, name, flags, o.Mode&fs.ModePerm)
	if is(err, unix.EEXIST) && !o.Flags.Has(fs.OpenExclusive) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fs.Wrap("create", x.pathOf(name), err)
	}
	var st unix.Statx_t
	n, err := x.made(ctx, fd, name, o, &st)
	if err != nil {
		closeFd(f)
		return nil, nil, err
	}
	h, err := n.handle(ctx, f, o.Flags&^fs.OpenTruncate, &st)
	if err != nil {
		return nil, nil, fs.Wrap("create", x.pathOf(name), err)
	}
	return n, h, nil
}

// made gives what was just made at name its owner and tells of it. If that fails the name is free again.
func (x *dir) made(ctx context.Context, fd int, name string, o fs.CreateOptions, st *unix.Statx_t) (*node, error) {
	err := statAt(fd, name, st)
	if err == nil && giveOwner(fd, name, o, st) {
		err = statAt(fd, name, st)
	}
	if err != nil {
		flags := 0
		if isDir(st) {
			flags = unix.AT_REMOVEDIR
		}
		_ = unix.Unlinkat(fd, name, flags) // the first error says it all
		return nil, fs.Wrap("create", x.pathOf(name), err)
	}
	n := x.d.put(x, name, st)
	x.d.feed.publish(x.change(ctx, fs.OpCreate, name, n, st))
	return n, nil
}

// giveOwner makes what was just made the owner's, as far as the daemon may: only root gives files away. In a directory with the
// setgid bit the group is the directory's. It reports whether anything was changed.
func giveOwner(fd int, name string, o fs.CreateOptions, st *unix.Statx_t) bool {
	if !o.Owner.Set || os.Geteuid() != 0 || st.Uid == o.Owner.UID && st.Gid == o.Owner.GID {
		return false
	}
	gid := int(o.Owner.GID)
	var parent unix.Statx_t
	if statFd(fd, &parent) == nil && parent.Mode&unix.S_ISGID != 0 {
		gid = -1
	}
	if unix.Fchownat(fd, name, int(o.Owner.UID), gid, unix.AT_SYMLINK_NOFOLLOW) != nil {
		return false // a file system without owners
	}
	if mode := o.Mode & fs.ModePerm; mode&0o6000 != 0 && uint32(st.Mode)&fs.ModeType == fs.ModeFile {
		_ = unix.Fchmodat(fd, name, mode, 0) // chown has cleared these bits; a file system that refuses them has none
	}
	return true
}

// make runs one call that makes name, and tells of it.
func (x *dir) make(ctx context.Context, op, name string, o fs.CreateOptions, call func(fd int) error) (*node, error) {
	fd, done, err := x.begin(ctx, op, name)
	if err != nil {
		return nil, err
	}
	defer done()
	if err := retry(func() error { return call(fd) }); err != nil {
		return nil, fs.Wrap(op, x.pathOf(name), err)
	}
	var st unix.Statx_t
	return x.made(ctx, fd, name, o, &st)
}

// Mkdir makes a directory.
func (x *dir) Mkdir(ctx context.Context, name string, o fs.CreateOptions) (fs.Dir, error) {
	n, err := x.make(ctx, "mkdir", name, o, func(fd int) error { return unix.Mkdirat(fd, name, o.Mode&fs.ModePerm) })
	if err != nil {
		return nil, err
	}
	if n.dir == nil { // somebody else was at the name between two calls
		return nil, n.stale("mkdir")
	}
	return n.dir, nil
}

// Symlink makes a symbolic link. The target is text and may be anything.
func (x *dir) Symlink(ctx context.Context, name, target string, o fs.CreateOptions) (fs.Node, error) {
	n, err := x.make(ctx, "symlink", name, o, func(fd int) error { return unix.Symlinkat(target, fd, name) })
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Mknod makes a FIFO, a socket, a device or an empty file.
func (x *dir) Mknod(ctx context.Context, name string, mode, rdev uint32, o fs.CreateOptions) (fs.Node, error) {
	n, err := x.make(ctx, "mknod", name, o, func(fd int) error {
		return unix.Mknodat(fd, name, mode&(fs.ModeType|fs.ModePerm)|o.Mode&fs.ModePerm, int(rdev))
	})
	if err != nil {
		return nil, err
	}
	return n.as(), nil
}

// Link gives a node of the same drive another name.
func (x *dir) Link(ctx context.Context, target fs.Node, name string) (fs.Node, error) {
	n, ok := fs.As[*node](target)
	if !ok || n.d != x.d {
		if _, isDir := fs.As[fs.Dir](target); isDir {
			return nil, fs.Wrap("link", x.pathOf(name), unix.EPERM)
		}
		return nil, fs.Wrap("link", x.pathOf(name), unix.EXDEV)
	}
	var before, after unix.Statx_t
	from, err := n.open("link", unix.O_PATH, &before)
	if err != nil {
		return nil, err
	}
	defer closeFd(from)
	fd, done, err := x.begin(ctx, "link", name)
	if err != nil {
		return nil, err
	}
	defer done()
	// The descriptor names the file for sure; without CAP_DAC_READ_SEARCH it has to be reached through /proc.
	err = unix.Linkat(unix.AT_FDCWD, procPath(from), fd, name, unix.AT_SYMLINK_FOLLOW)
	if err == nil {
		err = statFd(from, &after)
	}
	if err != nil {
		return nil, fs.Wrap("link", x.pathOf(name), err)
	}
	x.d.keep(&before, &after)
	x.d.put(x, name, &after)
	x.d.feed.publish(x.change(ctx, fs.OpCreate, name, n, &after))
	return n, nil
}

// Remove takes a name away.
func (x *dir) Remove(ctx context.Context, name string, isADir bool) error {
	fd, done, err := x.begin(ctx, "remove", name)
	if err != nil {
		return err
	}
	defer done()
	flags := 0
	if isADir {
		flags = unix.AT_REMOVEDIR
	}
	var st unix.Statx_t
	path := x.pathOf(name)
	if err := statAt(fd, name, &st); err != nil {
		return fs.Wrap("remove", path, err)
	}
	id := x.d.idAt(fd, name, x.d.ident(&st))
	x.d.linger(fd, name, &st)
	unlink := func() error { return unix.Unlinkat(fd, name, flags) }
	err = retry(unlink)
	if isADir && is(err, unix.ENOTEMPTY) && x.d.clearTemps(fd, name) {
		err = retry(unlink)
	}
	if err != nil {
		return fs.Wrap("remove", path, err)
	}
	c := x.change(ctx, fs.OpRemove, name, nil, nil)
	c.FileID, c.Type = id, fs.Attr{Mode: uint32(st.Mode)}.Type()
	c.Old = x.taken(name, &st).as()
	x.d.feed.publish(c)
	return nil
}

// taken records that name was taken from the file that st described before. It returns its node, or nil if nobody has it.
func (x *dir) taken(name string, st *unix.Statx_t) *node {
	old := x.d.take(x, name, x.d.ident(st), true)
	switch {
	case old != nil && old.dir != nil:
		old.leave(st)
		x.d.unwatch(old.dir)
	case st.Nlink > 1:
		old.relinked(st)
	default:
		old.leave(st)
		if id := x.d.ident(st); id.btime == 0 {
			x.d.ids.drop(id)
		}
	}
	return old
}

// relinked renews what is known of a file that has lost one of its names: its ctime moved, its contents did not.
func (n *node) relinked(before *unix.Statx_t) {
	if n == nil {
		return
	}
	var st unix.Statx_t
	// Only the names that are left are tried, and nobody is told: the caller holds a lock.
	path, ok := n.Path()
	if !ok {
		return
	}
	fd, err := openPath(n.d.rootFd, path, unix.O_PATH)
	if err != nil {
		return
	}
	defer closeFd(fd)
	if statFd(fd, &st) == nil && n.d.ident(&st) == n.id {
		n.d.keep(before, &st)
		n.d.restamp(n, &st)
	}
}
