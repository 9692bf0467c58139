package local

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// ownXattr returns an error if name is one of ours, which callers do not see.
func ownXattr(name string, kind fs.Kind) error {
	if strings.HasPrefix(name, xattrPrefix) {
		return &fs.Error{Op: "xattr", Path: name, Kind: kind}
	}
	return nil
}

// Xattr returns an extended attribute.
func (n *node) Xattr(ctx context.Context, name string) ([]byte, error) {
	if err := ownXattr(name, fs.NoAttr); err != nil {
		return nil, err
	}
	var value []byte
	err := n.withPath(ctx, "getxattr", func(path string) (err error) {
		value, err = getXattr(path, name)
		return err
	})
	return value, err
}

// Xattrs returns the names of the extended attributes, without our own.
func (n *node) Xattrs(ctx context.Context) ([]string, error) {
	var names []string
	err := n.withPath(ctx, "listxattr", func(path string) (err error) {
		names, err = listXattrs(path)
		return err
	})
	return slices.DeleteFunc(names, func(s string) bool { return strings.HasPrefix(s, xattrPrefix) }), err
}

// SetXattr sets an extended attribute.
func (n *node) SetXattr(ctx context.Context, name string, value []byte, create, replace bool) error {
	if err := ownXattr(name, fs.NotPermitted); err != nil {
		return err
	}
	flags := 0
	if create {
		flags |= unix.XATTR_CREATE
	}
	if replace {
		flags |= unix.XATTR_REPLACE
	}
	return n.alterXattr(ctx, "setxattr", func(path string) error { return unix.Setxattr(path, name, value, flags) })
}

// RemoveXattr removes an extended attribute.
func (n *node) RemoveXattr(ctx context.Context, name string) error {
	if err := ownXattr(name, fs.NoAttr); err != nil {
		return err
	}
	return n.alterXattr(ctx, "removexattr", func(path string) error { return unix.Removexattr(path, name) })
}

// withPath calls f with a path that leads to the node itself.
func (n *node) withPath(ctx context.Context, op string, f func(path string) error) error {
	p, _ := n.Path()
	if err := ctx.Err(); err != nil {
		return fs.Wrap(op, p, err)
	}
	var st unix.Statx_t
	fd, err := n.open(op, unix.O_PATH, &st)
	if err != nil {
		return err
	}
	defer closeFd(fd)
	return fs.Wrap(op, p, f(procPath(fd)))
}

func (n *node) alterXattr(ctx context.Context, op string, f func(path string) error) error {
	p, _ := n.Path()
	if err := n.d.writable(op, p); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fs.Wrap(op, p, err)
	}
	var st unix.Statx_t
	fd, err := n.open(op, unix.O_PATH, &st)
	if err != nil {
		return err
	}
	defer closeFd(fd)
	return fs.Wrap(op, p, n.alter(ctx, fd, &st, false, func() error { return f(procPath(fd)) }))
}

// getXattr reads an attribute of any size.
func getXattr(path, name string) ([]byte, error) {
	return grow(func(buf []byte) (int, error) { return unix.Getxattr(path, name, buf) })
}

func listXattrs(path string) ([]string, error) {
	b, err := grow(func(buf []byte) (int, error) { return unix.Listxattr(path, buf) })
	if err != nil || len(b) == 0 {
		return nil, err
	}
	var names []string
	for name := range bytes.SplitSeq(bytes.TrimSuffix(b, []byte{0}), []byte{0}) {
		names = append(names, string(name))
	}
	return names, nil
}

// grow calls f with a buffer that is large enough.
func grow(f func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := f(buf)
		if is(err, unix.ERANGE) && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}

// ofContents are attributes that vouch for the contents they were set for.
var ofContents = []string{"security.capability", "security.ima", "security.evm"}

// copyXattrs gives the file at path to what the one at path from has, but for our own and those of the contents. Those that only a privileged user may set
// are left out where that is refused.
func copyXattrs(from, to string) error {
	names, err := listXattrs(from)
	if err != nil {
		return ignoreRefusal(err)
	}
	for _, name := range names {
		if strings.HasPrefix(name, xattrPrefix) || slices.Contains(ofContents, name) {
			continue
		}
		value, err := getXattr(from, name)
		if err == nil {
			err = unix.Setxattr(to, name, value, 0)
		}
		if err := ignoreRefusal(err); err != nil {
			return err
		}
	}
	return nil
}

func ignoreRefusal(err error) error {
	if is(err, unix.EPERM, unix.EACCES, unix.ENOTSUP, unix.ENODATA, unix.EROFS) {
		return nil
	}
	return err
}
