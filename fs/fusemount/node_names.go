package fusemount

import (
	"context"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Lookup finds a child. It never waits for a live document.
func (n *node) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	if n.m.echo.calls(ctx) {
		return n.echoLookup(ctx, name, out)
	}
	c, errno := n.enter(ctx)
	if errno != 0 {
		return nil, errno
	}
	c.m.refusals.begin(c.ctx, c.who.TID)
	in, errno := n.lookup(c, name, out)
	switch {
	case errno == 0:
		c.reached(in)
	case errno == syscall.ENOENT && n.m.opts.CacheFor == 0:
		doNotCache(out)
	}
	return in, errno
}

// reached notes that the thread comes to a live document.
func (c *call) reached(in *gofuse.Inode) {
	if child, ok := in.Operations().(*node); ok && c.nodes.Live(child.fs) {
		c.m.walks.note(c.who.TID, child)
	}
}

// lookup replies with the child that has the name now.
func (n *node) lookup(c *call, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	dir, errno := n.directory()
	if errno != 0 {
		return nil, errno
	}
	return n.reply(c, out, func() (f fs.Node, err error) {
		err = byName(func() error { f, err = c.nodes.Lookup(c.ctx, dir, name); return err })
		return f, err
	})
}

// doNotCache makes an answer that there is no such name hold for this time only: go-fuse puts its default into replies without a
// timeout, and sends those with one as plain errors.
func doNotCache(out *fuse.EntryOut) { out.SetEntryTimeout(time.Nanosecond) }

// Mkdir makes a directory.
func (n *node) Mkdir(ctx context.Context, name string, mode uint32, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	if n.m.echo.calls(ctx) {
		return n.echoMade(ctx, name, out)
	}
	return n.make(ctx, mode, out, func(c *call, dir fs.Dir, o fs.CreateOptions) (fs.Node, error) {
		return c.nodes.Mkdir(c.ctx, dir, name, o)
	})
}

// Mknod makes an empty file, FIFO, socket or device.
func (n *node) Mknod(ctx context.Context, name string, mode, dev uint32, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	return n.make(ctx, mode, out, func(c *call, dir fs.Dir, o fs.CreateOptions) (fs.Node, error) {
		if mode&fs.ModeType != fs.ModeFile {
			return c.nodes.Mknod(c.ctx, dir, name, mode, dev, o)
		}
		o.Flags = fs.OpenWrite | fs.OpenExclusive
		f, h, err := c.nodes.Create(c.ctx, dir, name, o)
		if err != nil {
			return nil, err
		}
		return f, h.Release(c.ctx)
	})
}

// Symlink makes a symbolic link.
func (n *node) Symlink(ctx context.Context, target, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	if n.m.echo.calls(ctx) {
		return n.echoMade(ctx, name, out)
	}
	return n.make(ctx, 0o777, out, func(c *call, dir fs.Dir, o fs.CreateOptions) (fs.Node, error) {
		return c.nodes.Symlink(c.ctx, dir, name, target, o)
	})
}

// make replies with what do makes in the directory n.
func (n *node) make(ctx context.Context, mode uint32, out *fuse.EntryOut,
	do func(*call, fs.Dir, fs.CreateOptions) (fs.Node, error),
) (*gofuse.Inode, syscall.Errno) {
	c, errno := n.enter(ctx)
	if errno != 0 {
		return nil, errno
	}
	dir, errno := n.directory()
	if errno != 0 {
		return nil, errno
	}
	var f fs.Node
	err := byName(func() (err error) {
		f, err = do(c, dir, fs.CreateOptions{Mode: mode & fs.ModePerm, Owner: c.owner()})
		return err
	})
	return n.replyMade(c, out, f, err)
}

// Link makes a hard link.
func (n *node) Link(ctx context.Context, target gofuse.InodeEmbedder, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	c, errno := n.enter(ctx)
	if errno != 0 {
		return nil, errno
	}
	dir, errno := n.directory()
	if errno != 0 {
		return nil, errno
	}
	t, ok := target.(*node)
	if !ok {
		return nil, syscall.EXDEV
	}
	var made fs.Node
	errno = t.byPath(c, "link", func() (err error) {
		made, err = c.nodes.Link(c.ctx, t.fs, dir, name)
		return err
	})
	if errno != 0 {
		return nil, errno
	}
	return n.replyMade(c, out, made, nil)
}

// Unlink removes what is not a directory.
func (n *node) Unlink(ctx context.Context, name string) syscall.Errno {
	return n.remove(ctx, name, false)
}

// Rmdir removes an empty directory.
func (n *node) Rmdir(ctx context.Context, name string) syscall.Errno {
	return n.remove(ctx, name, true)
}

func (n *node) remove(ctx context.Context, name string, isDir bool) syscall.Errno {
	if n.m.echo.calls(ctx) {
		return n.echoRemove(name)
	}
	c, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	dir, errno := n.directory()
	if errno != 0 {
		return errno
	}
	return n.errno("remove", byName(func() error { return c.nodes.Remove(c.ctx, dir, name, isDir) }))
}

// Rename moves a child.
func (n *node) Rename(ctx context.Context, name string, to gofuse.InodeEmbedder, newName string, flags uint32) syscall.Errno {
	dst, ok := to.(*node)
	if !ok {
		return syscall.EXDEV
	}
	if n.m.echo.calls(ctx) {
		return n.echoRename(name, dst, newName)
	}
	c, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	how, errno := renameFlags(flags)
	if errno != 0 {
		return errno
	}
	if n.dir == nil || dst.dir == nil {
		return syscall.ENOTDIR
	}
	// The kernel moves its entry for the source, and for both when they change places: it must be that of the present node.
	if n.childStale(c, name) || how == fs.RenameExchange && dst.childStale(c, newName) {
		return syscall.ESTALE
	}
	err := byName(func() error { return c.nodes.Rename(c.ctx, n.dir, name, dst.dir, newName, how) })
	c.done()
	return n.errno("rename", err)
}

// childStale is stale for the child of that name, if the kernel knows one.
func (n *node) childStale(c *call, name string) bool {
	in := n.GetChild(name)
	if in == nil {
		return false
	}
	child, ok := in.Operations().(*node)
	return ok && child.stale(c)
}

func renameFlags(flags uint32) (fs.RenameFlags, syscall.Errno) {
	switch flags {
	case 0:
		return 0, 0
	case unix.RENAME_NOREPLACE:
		return fs.RenameNoReplace, 0
	case unix.RENAME_EXCHANGE:
		return fs.RenameExchange, 0
	}
	return 0, syscall.EINVAL
}
