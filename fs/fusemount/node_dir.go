package fusemount

import (
	"context"
	"errors"
	"io"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// OpendirHandle opens a directory.
func (n *node) OpendirHandle(ctx context.Context, _ uint32) (gofuse.FileHandle, uint32, syscall.Errno) {
	c, errno := n.enter(ctx)
	if errno != 0 {
		return nil, 0, errno
	}
	if _, errno := n.directory(); errno != 0 {
		return nil, 0, errno
	}
	if err := c.nodes.Access(c.ctx, n.fs, fs.Read); err != nil {
		return nil, 0, n.errno("opendir", err)
	}
	return &dirHandle{n: n}, 0, 0
}

// dirHandle is an open directory. The kernel makes one call of it at a time. A snapshot is taken whenever reading begins at the
// start, not at opendir(3): a descriptor that is rewound shows what is there then.
type dirHandle struct {
	n       *node
	listing fs.Listing // nil until the first entry is asked for
	next    int        // entries returned so far, with "." and ".."

	last   fs.Entry        // what Readdirent returned last
	during context.Context //nolint:containedctx // identifies the request in which it did
}

// dots are the entries before those of the listing.
const dots = 2

// Readdirent returns the next entry.
func (d *dirHandle) Readdirent(ctx context.Context) (*fuse.DirEntry, syscall.Errno) {
	c, errno := d.n.enter(ctx)
	if errno != 0 {
		return nil, errno
	}
	if d.listing == nil {
		l, err := c.nodes.List(c.ctx, d.n.dir)
		if err != nil {
			return nil, d.n.errno("readdir", err)
		}
		d.listing = l
	}
	if d.next < dots {
		d.next++
		return &fuse.DirEntry{Name: ".."[:d.next], Mode: fs.ModeDir, Ino: d.n.fs.Ino(), Off: uint64(d.next)}, 0
	}
	for {
		e, err := d.listing.At(c.ctx, d.next-dots)
		switch {
		case errors.Is(err, io.EOF):
			return nil, 0
		case err != nil && fs.KindOf(err) == fs.NotExist:
			d.next++
			continue
		case err != nil:
			return nil, d.n.errno("readdir", err)
		}
		d.next++
		d.last, d.during = e, ctx
		return &fuse.DirEntry{Name: e.Name, Mode: e.Attr.Mode & fs.ModeType, Ino: inoOf(e), Off: uint64(d.next)}, 0
	}
}

// unknownIno is what FUSE calls FUSE_UNKNOWN_INO: 0 would hide the entry from programs.
const unknownIno = 0xffffffff

func inoOf(e fs.Entry) uint64 {
	switch {
	case e.Attr.Ino != 0:
		return e.Attr.Ino
	case e.Node != nil:
		return e.Node.Ino()
	}
	return unknownIno
}

// Lookup returns the child that has the name now, which need not be the one of the snapshot. An entry that was read within the
// same request is as it is now: the kernel holds the directory meanwhile.
func (d *dirHandle) Lookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofuse.Inode, syscall.Errno) {
	c, errno := d.n.enter(ctx)
	if errno != 0 {
		return nil, errno
	}
	e := d.last
	if d.during == ctx && e.Name == name && e.Node != nil && e.Attr.Nlink > 0 {
		child := c.node(e.Node, e.Attr.Mode)
		if !e.Node.Superseded() {
			fillEntry(out, e.Attr, c.cacheFor(e.Node))
			return child.EmbeddedInode(), 0
		}
	}
	return d.n.lookup(c, name, out)
}

// Seekdir goes on after the entry whose offset is off; 0 begins again, with a new snapshot.
func (d *dirHandle) Seekdir(_ context.Context, off uint64) syscall.Errno {
	if off > 1<<40 {
		return syscall.EINVAL
	}
	if off == 0 {
		d.close()
	}
	d.next = int(off)
	return 0
}

// Fsyncdir does nothing: names are durable when the call that made them returns, or journaled by the drive.
func (d *dirHandle) Fsyncdir(context.Context, uint32) syscall.Errno { return 0 }

// Releasedir ends the handle.
func (d *dirHandle) Releasedir(context.Context, uint32) { d.close() }

func (d *dirHandle) close() {
	if d.listing == nil {
		return
	}
	if err := d.listing.Close(); err != nil {
		d.n.m.log.Warn("a listing was not closed well", "err", err)
	}
	d.listing = nil
}
