package fusemount

import (
	"context"
	"slices"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Open opens a file. Where a live document has unsaved changes it waits for their save, then ESTALE leads to the new node.
func (n *node) Open(ctx context.Context, flags uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	if n.m.echo.calls(ctx) {
		return n.echoOpen(ctx), fuse.FOPEN_KEEP_CACHE, 0
	}
	c, errno := n.enter(ctx)
	if errno != 0 {
		return nil, 0, errno
	}
	how := openFlags(flags)
	if !how.Has(fs.OpenTruncate) && n.settle(c) {
		return nil, 0, syscall.ESTALE
	}
	if n.isDirect() && c.nodes.Live(n.fs) {
		n.retire()
	}
	var h fs.Handle
	errno = n.byPath(c, "open", func() (err error) {
		h, err = c.nodes.Open(c.ctx, n.fs, how)
		return err
	})
	if errno != 0 {
		return nil, 0, errno
	}
	return n.openedBy(c, h, how)
}

// openedBy returns what OPEN answers.
func (n *node) openedBy(c *call, h fs.Handle, how fs.OpenFlags) (gofuse.FileHandle, uint32, syscall.Errno) {
	f := n.opened(c.handle(h, how))
	if f != nil {
		return f, n.keepCache(c, h), 0
	}
	n.retire()
	if c.refuse() {
		return nil, 0, n.abandon(c, h, syscall.ESTALE)
	}
	return nil, 0, n.abandon(c, h, syscall.EBUSY)
}

// Create makes and opens a file.
func (n *node) Create(ctx context.Context, name string, flags, mode uint32, out *fuse.EntryOut) (
	*gofuse.Inode, gofuse.FileHandle, uint32, syscall.Errno,
) {
	if n.m.echo.calls(ctx) {
		return n.echoCreate(ctx, name, out)
	}
	c, errno := n.enter(ctx)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	dir, errno := n.directory()
	if errno != 0 {
		return nil, nil, 0, errno
	}
	o := fs.CreateOptions{Mode: mode & fs.ModePerm, Flags: openFlags(flags), Owner: c.owner()}
	if flags&syscall.O_EXCL != 0 {
		o.Flags |= fs.OpenExclusive
	}
	var (
		f fs.Node
		h fs.Handle
	)
	err := byName(func() (err error) {
		f, h, err = c.nodes.Create(c.ctx, dir, name, o)
		return err
	})
	if err != nil {
		return nil, nil, 0, n.errno("create", err)
	}
	in, errno := n.replyMade(c, out, f, nil)
	if errno != 0 {
		return nil, nil, 0, n.abandon(c, h, errno)
	}
	c.done()
	child, _ := in.Operations().(*node)
	fh, keep, errno := child.openedBy(c, h, o.Flags|fs.OpenWrite)
	return in, fh, keep, errno
}

// abandon releases a handle that the kernel never hears of.
func (n *node) abandon(c *call, h fs.Handle, errno syscall.Errno) syscall.Errno {
	if err := h.Release(c.ctx); err != nil {
		n.m.log.Warn("a file that could not be opened was not closed well", "err", err)
	}
	return errno
}

func openFlags(flags uint32) fs.OpenFlags {
	var o fs.OpenFlags
	switch flags & syscall.O_ACCMODE {
	case syscall.O_RDONLY:
		o = fs.OpenRead
	case syscall.O_WRONLY:
		o = fs.OpenWrite
	default:
		o = fs.OpenReadWrite
	}
	for _, f := range []struct {
		bit uint32
		is  fs.OpenFlags
	}{{syscall.O_APPEND, fs.OpenAppend}, {syscall.O_TRUNC, fs.OpenTruncate}, {syscall.O_DSYNC, fs.OpenSync}} {
		if flags&f.bit != 0 {
			o |= f.is
		}
	}
	return o
}

// handle returns h as the kernel has it.
func (c *call) handle(h fs.Handle, flags fs.OpenFlags) *handle {
	f := &handle{h: h, view: c.view, cause: fs.CauseOf(c.ctx), writes: flags.Has(fs.OpenWrite), fd: -1}
	f.authors.add(c.who.PID)
	if p, ok := fs.As[fs.Passthrougher](h); ok && !c.m.opts.NoPassthrough {
		if fd, ok := p.PassthroughFd(); ok {
			f.fd = fd
		}
	}
	return f
}

// opened counts a handle of the kernel. The first one decides whether the kernel reads and writes by itself: it cannot do both
// with one inode, and go-fuse counts every handle of an inode that it does so with. It returns nil for a handle to write with, past
// which the kernel would write.
func (n *node) opened(f *handle) *handle {
	f.n = n
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.open) > 0 && n.passthrough && f.fd < 0 && f.writes {
		return nil
	}
	if len(n.open) == 0 {
		n.passthrough = f.fd >= 0 && n.m.passthrough.Load()
		n.direct = n.direct || n.passthrough
	}
	n.open = append(n.open, f)
	f.passthrough = n.passthrough
	n.m.handles.add(f)
	return f
}

// closed is the reverse of opened.
func (n *node) closed(f *handle) {
	n.m.handles.remove(f)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.open = slices.DeleteFunc(n.open, func(x *handle) bool { return x == f })
}

// ending makes sure that nobody asks the handle but by its own requests.
func (n *node) ending(f *handle) {
	n.mu.Lock()
	f.ending = true
	n.mu.Unlock()
	f.asking.Wait()
}

// otherThanEcho returns a handle that a program has, or nil. The caller calls its asking.Done.
func (n *node) otherThanEcho() *handle {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, f := range n.open {
		if !f.echo && !f.ending {
			f.asking.Add(1)
			return f
		}
	}
	return nil
}

// keepCache returns FOPEN_KEEP_CACHE if the pages that the kernel may have are of the present version. They are not only where
// a file was changed in place by somebody else.
func (n *node) keepCache(c *call, h fs.Handle) uint32 {
	if n.sawVersion(c.ctx, h) {
		return fuse.FOPEN_KEEP_CACHE
	}
	return 0
}

// sawVersion notes the version that the kernel's pages are of, and reports whether it is the same as before.
func (n *node) sawVersion(ctx context.Context, h fs.Handle) (same bool) {
	a, err := h.Attr(ctx)
	if err != nil {
		return false // nothing is kept, which is always right
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	same = a.Version != "" && a.Version == n.seen
	n.seen = a.Version
	return same
}
