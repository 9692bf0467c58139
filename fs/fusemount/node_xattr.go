package fusemount

import (
	"context"
	"syscall"

	"golang.org/x/sys/unix"
)

// reach does what a call asks for that reached the node by a path and does not open it.
func (n *node) reach(ctx context.Context, op string, do func(*call) error) syscall.Errno {
	c, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	return n.onEither(c, op, func() error { return do(c) })
}

// Getxattr returns an extended attribute; with too small a dest its size and ERANGE.
func (n *node) Getxattr(ctx context.Context, attr string, dest []byte) (uint32, syscall.Errno) {
	var v []byte
	errno := n.reach(ctx, "getxattr", func(c *call) (err error) {
		v, err = c.nodes.Xattr(c.ctx, n.fs, attr)
		return err
	})
	if errno != 0 {
		return 0, errno
	}
	return fit(dest, v)
}

// Listxattr returns the names, each ended by NUL.
func (n *node) Listxattr(ctx context.Context, dest []byte) (uint32, syscall.Errno) {
	var names []string
	errno := n.reach(ctx, "listxattr", func(c *call) (err error) {
		names, err = c.nodes.Xattrs(c.ctx, n.fs)
		return err
	})
	if errno != 0 {
		return 0, errno
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
	create, replace := flags&unix.XATTR_CREATE != 0, flags&unix.XATTR_REPLACE != 0
	return n.reach(ctx, "setxattr", func(c *call) error {
		return c.nodes.SetXattr(c.ctx, n.fs, attr, data, create, replace)
	})
}

// Removexattr removes one.
func (n *node) Removexattr(ctx context.Context, attr string) syscall.Errno {
	return n.reach(ctx, "removexattr", func(c *call) error {
		return c.nodes.RemoveXattr(c.ctx, n.fs, attr)
	})
}
