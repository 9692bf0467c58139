package fusemount

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

// reach begins a request that reached the node by a path and does not open it.
func (n *node) reach(ctx context.Context) (*call, syscall.Errno) {
	c, errno := n.enter(ctx)
	if errno == 0 && n.stale(c) {
		errno = syscall.ESTALE
	}
	return c, errno
}

// Getxattr returns an extended attribute; with too small a dest its size and ERANGE.
func (n *node) Getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	c, errno := n.reach(ctx)
	if errno != 0 {
		return 0, errno
	}
	v, err := c.nodes.Xattr(c.ctx, n.fs, attr)
	if err != nil {
		return 0, n.errno("getxattr", err)
	}
	return fit(dest, v)
}

// Listxattr returns the names, each ended by NUL.
func (n *node) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	c, errno := n.reach(ctx)
	if errno != 0 {
		return 0, errno
	}
	names, err := c.nodes.Xattrs(c.ctx, n.fs)
	if err != nil {
		return 0, n.errno("listxattr", err)
	}
	var list []byte
	for _, name := range names {
		list = append(append(list, name...), 0)
	}
	return fit(dest, list)
}

func fit(dest, v []byte) (uint32, syscall.Errno) {
	if len(dest) < len(v) {
		return uint32(len(v)), syscall.ERANGE
	}
	return uint32(copy(dest, v)), 0
}

// Setxattr sets an extended attribute.
func (n *node) Setxattr(ctx context.Context, attr string, data []byte, flags uint32) syscall.Errno {
	c, errno := n.reach(ctx)
	if errno != 0 {
		return errno
	}
	create, replace := flags&unix.XATTR_CREATE != 0, flags&unix.XATTR_REPLACE != 0
	return n.errno("setxattr", c.nodes.SetXattr(c.ctx, n.fs, attr, data, create, replace))
}

// Removexattr removes one.
func (n *node) Removexattr(ctx context.Context, attr string) syscall.Errno {
	c, errno := n.reach(ctx)
	if errno != 0 {
		return errno
	}
	return n.errno("removexattr", c.nodes.RemoveXattr(c.ctx, n.fs, attr))
}
