package mem

import (
	"context"
	"errors"
	"strconv"
	"sync"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// file is a regular file.
type file struct {
	node
	data  contents
	gen   uint64 // grows with every change of the contents
	opens int    // handles
	freed bool   // without name and handle: its memory does not count any more
}

var _ fs.Xattrer = (*file)(nil)

func newFile(d *Drive, o fs.CreateOptions) *file {
	f := &file{}
	f.init(d, f, fs.ModeFile, o)
	return f
}

func (f *file) version() fs.Version {
	return fs.Version(strconv.FormatUint(f.ino, 36) + "." + strconv.FormatUint(f.gen, 36))
}

func (f *file) stat() fs.Attr {
	a := f.attr
	a.Size, a.Blocks, a.Version = f.data.size, f.data.bytes()/512, f.version()
	return a
}

// forget stops counting the memory of a file that has neither a name nor a handle. Who still refers to the node can read it.
func (f *file) forget() {
	if !f.freed && f.opens == 0 && f.attr.Nlink == 0 {
		f.d.used -= f.data.bytes()
		f.freed = true
	}
}

// grow returns nil if the drive has room for more bytes of chunks.
func (d *Drive) grow(more int64) error {
	if d.opts.Size > 0 && more > 0 && d.used+more > d.opts.Size {
		return fail("write", "", fs.NoSpace)
	}
	d.used += more
	return nil
}

// edit changes the contents in place. more is the memory that is needed beforehand.
func (f *file) edit(t *tx, more int64, change func()) error {
	before := f.data.bytes()
	if !f.freed {
		if err := f.d.grow(more); err != nil {
			return err
		}
		before += more
	}
	change()
	if !f.freed {
		f.d.used += f.data.bytes() - before
	}
	f.gen++
	f.attr.Mtime, f.attr.Ctime = t.now, t.now
	return nil
}

// fits returns nil if a file may end at end.
func (f *file) fits(off, size int64) error {
	switch {
	case off < 0 || size < 0:
		return fail("write", "", fs.Invalid)
	case off > f.d.opts.MaxFileSize-size:
		return fail("write", "", fs.TooLarge)
	}
	return nil
}

func (f *file) truncate(t *tx, size int64) error {
	if err := f.fits(0, size); err != nil {
		return err
	}
	return f.edit(t, 0, func() { f.data.truncate(size) })
}

// Open opens the file.
func (f *file) Open(ctx context.Context, flags fs.OpenFlags) (h fs.Handle, err error) {
	if flags.Has(fs.OpenWrite) || flags.Has(fs.OpenTruncate) {
		_, err = f.d.mutate(ctx, "open", f.where(), func(t *tx) error {
			h, err = f.openLocked(t, flags)
			return err
		})
		return h, err
	}
	if err := f.d.enter(ctx, "open", f.where()); err != nil {
		return nil, err
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.open(flags), nil
}

func (f *file) openLocked(t *tx, flags fs.OpenFlags) (*handle, error) {
	if flags.Has(fs.OpenTruncate) {
		if err := f.truncate(t, 0); err != nil {
			return nil, err
		}
		t.record(fs.OpWrite, f, fs.Change{})
	}
	return f.open(flags), nil
}

// open returns a handle. The caller holds mu for writing.
func (f *file) open(flags fs.OpenFlags) *handle {
	f.opens++
	return &handle{f: f, flags: flags}
}

// handle is an open file.
type handle struct {
	f     *file
	flags fs.OpenFlags

	mu    sync.Mutex // guards all below
	dirty bool       // written to, not yet published
	cause fs.Cause   // of the last write
}

var (
	_ fs.Handle     = (*handle)(nil)
	_ fs.Allocater  = (*handle)(nil)
	_ fs.HoleSeeker = (*handle)(nil)
)

func (h *handle) Node() fs.Node { return h.f }

func (h *handle) Attr(ctx context.Context) (fs.Attr, error) { return h.f.Attr(ctx) }

func (h *handle) SetAttr(ctx context.Context, set fs.SetAttr) (fs.Attr, error) {
	if set.Size != nil && !h.flags.Has(fs.OpenWrite) {
		return fs.Attr{}, h.notOpenFor("writing")
	}
	return h.f.SetAttr(ctx, set)
}

func (h *handle) notOpenFor(what string) error {
	return &fs.Error{Op: "open file", Path: h.f.where(), Kind: fs.Invalid, Err: errors.New("not opened for " + what)}
}

func (h *handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := h.f.d.enter(ctx, "read", h.f.where()); err != nil {
		return 0, err
	}
	switch {
	case !h.flags.Has(fs.OpenRead):
		return 0, h.notOpenFor("reading")
	case off < 0:
		return 0, fail("read", h.f.where(), fs.Invalid)
	}
	h.f.d.mu.RLock()
	defer h.f.d.mu.RUnlock()
	return h.f.data.readAt(p, off)
}

func (h *handle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if !h.flags.Has(fs.OpenWrite) {
		return 0, h.notOpenFor("writing")
	}
	_, err := h.f.d.mutate(ctx, "write", h.f.where(), func(t *tx) error {
		if h.flags.Appends(ctx) {
			off = h.f.data.size
		}
		size := int64(len(p))
		if err := h.f.fits(off, size); err != nil || size == 0 {
			return err
		}
		return h.f.edit(t, h.f.data.missing(off, size)*chunkSize, func() { h.f.data.writeAt(p, off) })
	})
	if err != nil {
		return 0, err
	}
	h.wrote(ctx)
	if h.flags.Has(fs.OpenSync) {
		return len(p), h.publish(ctx)
	}
	return len(p), nil
}

func (h *handle) wrote(ctx context.Context) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.dirty, h.cause = true, fs.CauseOf(ctx)
}

// publish tells of what was written since the last time.
func (h *handle) publish(ctx context.Context) error {
	h.mu.Lock()
	dirty, cause := h.dirty, h.cause
	h.dirty = false
	h.mu.Unlock()
	if !dirty {
		return nil
	}
	ctx = fs.WithCause(context.WithoutCancel(ctx), cause)
	_, err := h.f.d.mutate(ctx, "flush", h.f.where(), func(t *tx) error {
		t.record(fs.OpWrite, h.f, fs.Change{})
		return nil
	})
	return err
}

func (h *handle) Sync(ctx context.Context) error {
	if err := h.f.d.enter(ctx, "sync", h.f.where()); err != nil {
		return err
	}
	return h.publish(ctx)
}

func (h *handle) Flush(ctx context.Context) error { return h.publish(ctx) }

func (h *handle) Release(ctx context.Context) error {
	err := h.publish(ctx)
	h.f.d.mu.Lock()
	defer h.f.d.mu.Unlock()
	h.f.opens--
	h.f.forget()
	return err
}

// The modes of fallocate(2).
const (
	keepSize  = 0x01
	punchHole = 0x02
	zeroRange = 0x10
)

// Allocate is fallocate(2): memory is not set aside, holes are made.
func (h *handle) Allocate(ctx context.Context, off, size int64, mode uint32) error {
	switch mode {
	case 0, keepSize, keepSize | punchHole, zeroRange, zeroRange | keepSize:
	default:
		return fail("fallocate", h.f.where(), fs.Unsupported)
	}
	if !h.flags.Has(fs.OpenWrite) {
		return h.notOpenFor("writing")
	}
	_, err := h.f.d.mutate(ctx, "fallocate", h.f.where(), func(t *tx) error {
		if err := h.f.fits(off, size); err != nil {
			return err
		}
		if size == 0 {
			return fail("fallocate", "", fs.Invalid)
		}
		return h.f.edit(t, 0, func() {
			if mode&(punchHole|zeroRange) != 0 {
				h.f.data.zero(off, size)
			}
			if mode&keepSize == 0 {
				h.f.data.size = max(h.f.data.size, off+size)
			}
		})
	})
	if err == nil {
		h.wrote(ctx)
	}
	return err
}

// SeekHole finds data or holes.
func (h *handle) SeekHole(ctx context.Context, off int64, whence int) (int64, error) {
	if err := h.f.d.enter(ctx, "seek", h.f.where()); err != nil {
		return 0, err
	}
	if whence != seekData && whence != seekHole {
		return 0, fail("seek", h.f.where(), fs.Invalid)
	}
	h.f.d.mu.RLock()
	defer h.f.d.mu.RUnlock()
	if off >= 0 && off < h.f.data.size {
		if at, ok := h.f.data.seek(off, whence); ok {
			return at, nil
		}
	}
	return 0, &fs.Error{Op: "seek", Path: h.f.name, Kind: fs.Invalid, Err: syscall.ENXIO}
}
