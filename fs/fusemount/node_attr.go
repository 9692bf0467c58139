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

// Getattr returns the attributes. go-fuse passes any open handle of the node, which makes fstat(2) work on superseded nodes.
func (n *node) Getattr(ctx context.Context, fh gofuse.FileHandle, out *fuse.AttrOut) syscall.Errno {
	if n.m.echo.calls(ctx) {
		return n.echoGetattr(ctx, out)
	}
	c, errno := n.begin(ctx, partAttributes)
	if errno != 0 {
		return errno
	}
	a, errno := n.attr(c, fh)
	if errno == 0 {
		fillAttr(&out.Attr, a)
		out.SetTimeout(c.attrFor(n))
	}
	return errno
}

// Statx returns the attributes with the time of birth.
func (n *node) Statx(ctx context.Context, fh gofuse.FileHandle, _, _ uint32, out *fuse.StatxOut) syscall.Errno {
	c, errno := n.begin(ctx, partAttributes)
	if errno != 0 {
		return errno
	}
	a, errno := n.attr(c, fh)
	if errno == 0 {
		fillStatx(&out.Statx, a)
		out.SetTimeout(c.attrFor(n))
	}
	return errno
}

func fillStatx(out *fuse.Statx, a fs.Attr) {
	out.Mask = unix.STATX_BASIC_STATS
	out.Ino, out.Mode, out.Nlink = a.Ino, uint16(a.Mode), a.Nlink
	out.Uid, out.Gid = a.UID, a.GID
	out.Size, out.Blocks, out.Blksize = uint64(a.Size), uint64(a.Blocks), blockSize
	out.RdevMajor, out.RdevMinor = unix.Major(uint64(a.Rdev)), unix.Minor(uint64(a.Rdev))
	out.Atime, out.Mtime, out.Ctime = sxTime(a.Atime), sxTime(a.Mtime), sxTime(a.Ctime)
	if !a.Btime.IsZero() {
		out.Mask |= unix.STATX_BTIME
		out.Btime = sxTime(a.Btime)
	}
}

func sxTime(t time.Time) fuse.SxTime {
	return fuse.SxTime{Sec: uint64(t.Unix()), Nsec: uint32(t.Nanosecond())}
}

// opener returns the handle to ask for the attributes, nil if the path counts. go-fuse passes the first that the node has; that of
// the echo thread, which is none of a program's, must not stand before the others. The caller calls done.
func (n *node) opener(c *call, fh gofuse.FileHandle) (h *handle, done func()) {
	done = func() {}
	h, ok := fh.(*handle)
	if !ok || c.led {
		return nil, done
	}
	if h.echo {
		if h = n.otherThanEcho(); h == nil {
			return nil, done
		}
		done = h.asking.Done
	}
	if n.m.opts.PerCaller && h.view != c.view {
		done()
		return nil, func() {}
	}
	return h, done
}

// attr returns the attributes, through the handle if there is one of the caller's.
func (n *node) attr(c *call, fh gofuse.FileHandle) (fs.Attr, syscall.Errno) {
	h, done := n.opener(c, fh)
	defer done()
	if h != nil {
		a, err := h.h.Attr(c.ctx)
		return a, n.errno("getattr", err)
	}
	if n.settle(c) {
		return fs.Attr{}, syscall.ESTALE
	}
	var a fs.Attr
	errno := n.onEither(c, "getattr", func() (err error) {
		a, err = c.nodes.Attr(c.ctx, n.fs)
		return err
	})
	return a, errno
}

// Setattr changes attributes.
func (n *node) Setattr(ctx context.Context, fh gofuse.FileHandle, in *fuse.SetAttrIn, out *fuse.AttrOut) syscall.Errno {
	if n.m.echo.calls(ctx) {
		return n.echoGetattr(ctx, out)
	}
	c, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	a, errno := n.setattr(c, fh, setAttrOf(in))
	if errno == 0 {
		n.tellOther()
		fillAttr(&out.Attr, a)
		out.SetTimeout(c.attrFor(n))
	}
	return errno
}

// tellOther has the kernel ask for the attributes of the node that has taken the place of n, if one has.
func (n *node) tellOther() {
	if !n.retired.Load() {
		return
	}
	if other := n.m.table.known(n.fs); other != nil {
		other.NotifyContent(-1, 0)
	}
}

func (n *node) setattr(c *call, fh gofuse.FileHandle, set fs.SetAttr) (fs.Attr, syscall.Errno) {
	if h, ok := fh.(*handle); ok && !h.echo {
		h.authors.add(c.who.PID)
		a, err := h.h.SetAttr(c.ctx, set)
		return a, n.errno("setattr", err)
	}
	reach := n.onEither
	if set.Size != nil {
		reach = n.byPath // which changes what the kernel has of the contents too
	}
	var a fs.Attr
	errno := reach(c, "setattr", func() (err error) {
		a, err = c.nodes.SetAttr(c.ctx, n.fs, set)
		return err
	})
	return a, errno
}

func setAttrOf(in *fuse.SetAttrIn) fs.SetAttr {
	var set fs.SetAttr
	if v, ok := in.GetMode(); ok {
		v &= fs.ModePerm
		set.Mode = &v
	}
	if v, ok := in.GetUID(); ok {
		set.UID = &v
	}
	if v, ok := in.GetGID(); ok {
		set.GID = &v
	}
	if v, ok := in.GetSize(); ok {
		size := int64(v)
		set.Size = &size
	}
	if v, ok := in.GetATime(); ok {
		set.Atime = &v
	}
	if v, ok := in.GetMTime(); ok {
		set.Mtime = &v
	}
	return set
}

// Access answers access(2) and chdir(2) where the kernel does not check modes itself.
func (n *node) Access(ctx context.Context, mask uint32) syscall.Errno {
	if n.m.echo.calls(ctx) {
		return 0
	}
	c, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	action := fs.Read
	if mask&unix.W_OK != 0 {
		action = fs.Write
	}
	if err := c.nodes.Access(c.ctx, n.fs, action); err != nil {
		return n.errno("access", err)
	}
	var a fs.Attr
	errno = n.onEither(c, "access", func() (err error) {
		a, err = c.nodes.Attr(c.ctx, n.fs)
		return err
	})
	if errno != 0 {
		return errno
	}
	if !permits(a, c.who, mask) {
		return syscall.EACCES
	}
	return 0
}

// permits reports whether the mode lets the caller do what mask (R_OK, W_OK, X_OK) says. Supplementary groups are not known here.
func permits(a fs.Attr, who Caller, mask uint32) bool {
	perm := a.Mode & 0o777
	if who.UID == 0 {
		anyX := perm&0o111 != 0 || a.Type() == fs.Directory
		return mask&unix.X_OK == 0 || anyX
	}
	switch {
	case who.UID == a.UID:
		perm >>= 6
	case who.GID == a.GID:
		perm >>= 3
	}
	return mask&7&^perm == 0
}

// blockSize is the unit that programs are told to read and write in.
const blockSize = 4096

// unknownBlocks is what a drive that knows no sizes is said to have: programs that check for room go on.
const unknownBlocks = 1 << 38

// Statfs returns the sizes of the drive.
func (n *node) Statfs(ctx context.Context, out *fuse.StatfsOut) syscall.Errno {
	c, errno := n.enter(ctx)
	if errno != 0 {
		return errno
	}
	var s fs.Statfs
	errno = n.byPath(c, "statfs", func() (err error) {
		s, err = c.nodes.Statfs(c.ctx, n.fs)
		return err
	})
	if errno != 0 {
		return errno
	}
	if s.BlockSize == 0 {
		s.BlockSize = blockSize
	}
	if s.Blocks == 0 {
		s.Blocks, s.Free, s.Avail = unknownBlocks, unknownBlocks, unknownBlocks
	}
	*out = fuse.StatfsOut{
		Blocks: s.Blocks, Bfree: s.Free, Bavail: s.Avail, Files: s.Files, Ffree: s.FreeFiles,
		Bsize: s.BlockSize, Frsize: s.BlockSize, NameLen: fs.MaxName,
	}
	return 0
}

// Readlink returns the link's target as text.
func (n *node) Readlink(ctx context.Context) ([]byte, syscall.Errno) {
	c, errno := n.begin(ctx, partLink)
	if errno != 0 {
		return nil, errno
	}
	var target string
	errno = n.byPath(c, "readlink", func() (err error) {
		target, err = c.nodes.Readlink(c.ctx, n.fs)
		return err
	})
	return []byte(target), errno
}
