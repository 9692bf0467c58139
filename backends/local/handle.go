package local

import (
	"context"
	"io"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// file is an open descriptor with several users.
type file struct {
	fd   int
	refs atomic.Int32
}

// drop ends one use; the last one closes.
func (f *file) drop() {
	if f.refs.Add(-1) == 0 {
		closeFd(f.fd)
	}
}

// handle implements fs.Handle.
type handle struct {
	n     *node
	f     *file
	flags fs.OpenFlags
}

var (
	_ fs.Handle        = (*handle)(nil)
	_ fs.Allocater     = (*handle)(nil)
	_ fs.HoleSeeker    = (*handle)(nil)
	_ fs.Passthrougher = (*handle)(nil)
)

// openFlags are those of open(2), without truncation. O_NONBLOCK makes sure that a FIFO put in a file's place does not hold us up.
func openFlags(f fs.OpenFlags) int {
	flags := unix.O_RDONLY
	switch {
	case f.Has(fs.OpenReadWrite):
		flags = unix.O_RDWR
	case f.Has(fs.OpenWrite):
		flags = unix.O_WRONLY
	}
	if f.Has(fs.OpenAppend) {
		flags |= unix.O_APPEND
	}
	if f.Has(fs.OpenSync) {
		flags |= unix.O_SYNC
	}
	return flags | unix.O_NONBLOCK | unix.O_NOCTTY
}

// changes reports whether a handle opened so may change the file.
func changes(f fs.OpenFlags) bool { return f&(fs.OpenWrite|fs.OpenTruncate) != 0 }

// Open opens a file.
func (n *node) Open(ctx context.Context, flags fs.OpenFlags) (fs.Handle, error) {
	p, _ := n.Path()
	switch {
	case ctx.Err() != nil:
		return nil, fs.Wrap("open", p, ctx.Err())
	case n.typ == fs.ModeDir:
		return nil, fs.Wrap("open", p, unix.EISDIR)
	case n.typ == fs.ModeSymlink:
		return nil, fs.Wrap("open", p, unix.ELOOP)
	case n.typ != fs.ModeFile:
		return nil, fs.Wrap("open", p, unix.ENXIO)
	}
	if changes(flags) {
		if err := n.d.writable("open", p); err != nil {
			return nil, err
		}
	}
	var st unix.Statx_t
	fd, err := n.open("open", openFlags(flags), &st)
	if err != nil {
		return nil, err
	}
	if !n.knownAs(stampOf(&st)) {
		n.refind() // what others did before is not to be taken for ours
	}
	h, err := n.handle(ctx, fd, flags, &st)
	if err != nil {
		return nil, fs.Wrap("open", p, err)
	}
	return h, nil
}

// handle makes a handle of fd, which st describes, and empties the file if flags say so. It closes fd if that fails.
func (n *node) handle(ctx context.Context, fd int, flags fs.OpenFlags, st *unix.Statx_t) (*handle, error) {
	if changes(flags) {
		n.writers.Add(1)
	}
	f := &file{fd: fd}
	f.refs.Store(1)
	n.pinTo(f)
	n.mu.Lock()
	if n.stamp == (stamp{}) {
		n.stamp = stampOf(st)
	}
	n.mu.Unlock()
	h := &handle{n: n, f: f, flags: flags}
	if flags.Has(fs.OpenTruncate) {
		n.dirty.Store(true)
		if err := retry(func() error { return unix.Truncate(procPath(fd), 0) }); err != nil {
			_ = h.Release(ctx) // the truncation's error says it all
			return nil, err
		}
	}
	return h, nil
}

// Node returns the node that was opened.
func (h *handle) Node() fs.Node { return h.n }

func (h *handle) wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	p, _ := h.n.Path()
	return fs.Wrap(op, p, err)
}

// ReadAt reads at off.
func (h *handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	for done := 0; ; {
		if done == len(p) {
			return done, nil
		}
		if err := ctx.Err(); err != nil {
			return done, h.wrap("read", err)
		}
		n, err := unix.Pread(h.f.fd, p[done:], off+int64(done))
		switch {
		case is(err, unix.EINTR):
		case err != nil:
			return done, h.wrap("read", err)
		case n == 0:
			return done, io.EOF
		default:
			done += n
		}
	}
}

// WriteAt writes at off, or at the end if the handle appends: pwrite(2) sees to that.
func (h *handle) WriteAt(ctx context.Context, p []byte, off int64) (done int, err error) {
	if err := ctx.Err(); err != nil {
		return 0, h.wrap("write", err)
	}
	h.n.dirty.Store(true)
	defer h.n.dirty.Store(true) // whoever asked in between was told of the version before
	write := unix.Pwrite
	if h.flags.Has(fs.OpenAppend) && !h.flags.Appends(ctx) {
		write = pwriteAtOffset
	}
	for done < len(p) {
		n, err := write(h.f.fd, p[done:], off+int64(done))
		if err != nil && !is(err, unix.EINTR) {
			return done, h.wrap("write", err)
		}
		done += max(n, 0)
	}
	return done, nil
}

// pwriteAtOffset is pwrite(2) that writes at off also where the descriptor appends.
func pwriteAtOffset(fd int, p []byte, off int64) (int, error) {
	n, err := unix.Pwritev2(fd, [][]byte{p}, off, unix.RWF_NOAPPEND)
	if !is(err, unix.EOPNOTSUPP) {
		return n, err
	}
	other, err := unix.Open(procPath(fd), unix.O_WRONLY|unix.O_CLOEXEC, 0) // before Linux 6.9
	if err != nil {
		return 0, err
	}
	defer closeFd(other)
	return unix.Pwrite(other, p, off)
}

// Attr returns the attributes of the open file.
func (h *handle) Attr(ctx context.Context) (fs.Attr, error) {
	if err := ctx.Err(); err != nil {
		return fs.Attr{}, h.wrap("stat", err)
	}
	var st unix.Statx_t
	if err := statFd(h.f.fd, &st); err != nil {
		return fs.Attr{}, h.wrap("stat", err)
	}
	return h.n.attr(&st), nil
}

// SetAttr changes attributes of the open file.
func (h *handle) SetAttr(ctx context.Context, set fs.SetAttr) (fs.Attr, error) {
	if err := ctx.Err(); err != nil {
		return fs.Attr{}, h.wrap("setattr", err)
	}
	p, _ := h.n.Path()
	if err := h.n.d.writable("setattr", p); err != nil {
		return fs.Attr{}, err
	}
	if set.Size != nil && !h.flags.Has(fs.OpenWrite) {
		return fs.Attr{}, h.wrap("truncate", unix.EINVAL)
	}
	return h.n.setAttr(ctx, procPath(h.f.fd), h.f.fd, set)
}

// Sync makes the file durable.
func (h *handle) Sync(context.Context) error {
	return h.wrap("sync", retry(func() error { return unix.Fsync(h.f.fd) }))
}

// Flush tells of what was written.
func (h *handle) Flush(ctx context.Context) error {
	if !changes(h.flags) {
		return nil
	}
	unlock := h.n.lockPlace()
	defer unlock()
	return h.wrap("flush", h.tellWrites(ctx))
}

// tellWrites publishes a change if the file differs from what was last told. Writes that the kernel made by itself
// ([fs.Passthrougher]) are found so too. The caller holds the lock of the node's place.
func (h *handle) tellWrites(ctx context.Context) error {
	var st unix.Statx_t
	if err := statFd(h.f.fd, &st); err != nil {
		return err
	}
	if !h.n.wasTold(stampOf(&st)) {
		h.n.tell(ctx, fs.OpWrite, &st)
	}
	return nil
}

// Release ends the handle.
func (h *handle) Release(ctx context.Context) error {
	var err error
	if changes(h.flags) {
		unlock := h.n.lockPlace()
		err = h.tellWrites(ctx)
		h.n.writers.Add(-1)
		unlock()
	}
	h.n.unpin()
	h.f.drop()
	return h.wrap("release", err)
}

// pinTo begins one opening: as long as there is one the node can be reached without a name.
func (n *node) pinTo(f *file) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.opens++
	if n.pin == nil {
		n.pin = f
		f.refs.Add(1)
	}
}

// unpin ends one opening; with the last one the node lets go of its descriptor.
func (n *node) unpin() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.opens--; n.opens == 0 {
		n.pin.drop()
		n.pin = nil
	}
}

// Allocate is fallocate(2).
func (h *handle) Allocate(_ context.Context, off, size int64, mode uint32) error {
	h.n.dirty.Store(true)
	defer h.n.dirty.Store(true)
	return h.wrap("allocate", retry(func() error { return unix.Fallocate(h.f.fd, mode, off, size) }))
}

// SeekHole finds data or a hole. It moves no position that others use.
func (h *handle) SeekHole(_ context.Context, off int64, whence int) (int64, error) {
	if whence != unix.SEEK_DATA && whence != unix.SEEK_HOLE {
		return 0, h.wrap("seek", unix.EINVAL)
	}
	pos, err := unix.Seek(h.f.fd, off, whence)
	return pos, h.wrap("seek", err)
}

// PassthroughFd returns the descriptor, which is that of the file itself.
func (h *handle) PassthroughFd() (int, bool) { return h.f.fd, true }
