package drive

import (
	"context"
	"errors"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// handle is an open file.
type handle struct {
	f     *file
	c     *contents
	flags fs.OpenFlags
	made  bool // it has made the file

	owes atomic.Bool // it has changed something since its last commit

	pinned *committed // what is read; nil = what the file has

	mu   sync.Mutex // guards all below
	at   base       // what src reads
	src  source     // nil = nothing was needed from the store yet
	old  []source   // of other versions, which somebody may be reading from
	done bool
}

var (
	_ fs.Handle     = (*handle)(nil)
	_ fs.Allocater  = (*handle)(nil)
	_ fs.HoleSeeker = (*handle)(nil)
)

// Open opens the file. Where the store has other contents by now the node is superseded: a call through the mount fails with Stale,
// so that the kernel looks the name up again, any other gets a handle of the new node.
func (f *file) Open(ctx context.Context, flags fs.OpenFlags) (fs.Handle, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("open", f.where(), err)
	}
	writes := flags.Has(fs.OpenWrite) || flags.Has(fs.OpenTruncate)
	if writes && f.d.opts.ReadOnly {
		return nil, fail("open", f.where(), fs.ReadOnly)
	}
	now, err := f.revalidate(ctx, untoldType)
	if err != nil {
		return nil, err
	}
	if now != inode(f) {
		if now == nil || fs.CauseOf(ctx).Origin == fs.OriginMount {
			return nil, fail("open", f.where(), fs.Stale)
		}
		return now.Open(ctx, flags)
	}
	h, err := f.openNow(ctx, flags)
	if err != nil {
		return nil, err
	}
	if !writes && seesCommitted(ctx) {
		h.pin()
	}
	return h, nil
}

func (f *file) openNow(ctx context.Context, flags fs.OpenFlags) (*handle, error) {
	c, err := f.hold("open", flags.Has(fs.OpenWrite))
	if err != nil {
		return nil, err
	}
	h := &handle{f: f, c: c, flags: flags}
	h.begin()
	if !flags.Has(fs.OpenTruncate) {
		return h, nil
	}
	if err := c.truncate(ctx, 0); err != nil {
		return nil, errors.Join(err, h.Release(ctx))
	}
	h.owes.Store(true)
	c.tell(ctx)
	return h, nil
}

// begin counts the handle among those that write.
func (h *handle) begin() {
	if !h.flags.Has(fs.OpenWrite) {
		return
	}
	h.f.d.mu.Lock()
	defer h.f.d.mu.Unlock()
	h.c.writing = append(h.c.writing, h)
}

// commit commits what was written to the file, if some of it was through this handle: another one may be in the middle of a version. So it
// may be though its program has closed this one, as RELEASE comes when close(2) has returned.
func (h *handle) commit(ctx context.Context) error {
	if !h.owes.Swap(false) {
		return nil
	}
	err := h.c.commit(ctx)
	if err != nil {
		h.owes.Store(true)
	}
	return err
}

// commitNew is commit also for a new file to which nothing was written.
func (h *handle) commitNew(ctx context.Context) error {
	if err := h.commit(ctx); err != nil || !h.made || !h.f.isNew() {
		return err
	}
	if err := h.c.truncate(ctx, h.c.size()); err != nil {
		return err
	}
	h.owes.Store(true)
	return h.commit(ctx)
}

// isNew reports whether nothing of a file was committed yet.
func (f *file) isNew() bool {
	f.d.mu.RLock()
	defer f.d.mu.RUnlock()
	return f.m.at.version == "" && f.m.get().content == nil
}

// Node returns the node that was opened.
func (h *handle) Node() fs.Node { return h.f }

// Attr returns the attributes.
func (h *handle) Attr(ctx context.Context) (fs.Attr, error) {
	if h.pinned != nil {
		return h.pinned.attr, fs.Wrap("stat", "", ctx.Err())
	}
	return h.f.Attr(ctx)
}

// SetAttr changes attributes.
func (h *handle) SetAttr(ctx context.Context, set fs.SetAttr) (fs.Attr, error) {
	if set.Size != nil && !h.flags.Has(fs.OpenWrite) {
		return fs.Attr{}, h.notOpenFor("writing")
	}
	if set.Size != nil {
		defer h.owes.Store(true)
	}
	return h.f.SetAttr(ctx, set)
}

func (h *handle) notOpenFor(what string) error {
	return &fs.Error{Op: "open file", Path: h.f.where(), Kind: fs.Invalid, Err: errors.New("not opened for " + what)}
}

// ReadAt reads.
func (h *handle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	switch {
	case !h.flags.Has(fs.OpenRead):
		return 0, h.notOpenFor("reading")
	case off < 0:
		return 0, fail("read", h.f.where(), fs.Invalid)
	}
	if h.pinned != nil {
		return h.pinned.read(ctx, p, off, h.from)
	}
	return h.c.read(ctx, p, off, h.from)
}

// from returns what reads a version in the store for this handle.
func (h *handle) from(at base) remote {
	return func(ctx context.Context, p []byte, off int64) error {
		return readAll(ctx, h.source(at), p, off)
	}
}

func (h *handle) source(at base) source {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.src != nil && h.at == at {
		return h.src
	}
	src := h.f.d.openSource(at)
	if h.src != nil {
		h.old = append(h.old, h.src)
	}
	h.src, h.at = src, at
	return src
}

// WriteAt writes.
func (h *handle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if !h.flags.Has(fs.OpenWrite) {
		return 0, h.notOpenFor("writing")
	}
	if off < 0 {
		return 0, fail("write", h.f.where(), fs.Invalid)
	}
	if h.flags.Appends(ctx) {
		off = -1
	}
	if err := h.f.d.throttle(ctx); err != nil {
		return 0, err
	}
	err := h.c.write(ctx, p, off)
	h.owes.Store(true) // once it is done, or a commit in between would pass for one of it
	if err != nil {
		return 0, fs.Wrap("write", h.f.where(), err)
	}
	if h.flags.Has(fs.OpenSync) {
		return len(p), h.Sync(ctx)
	}
	return len(p), nil
}

// Sync commits what was written, makes it durable on this machine, and has it uploaded soon.
func (h *handle) Sync(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return fs.Wrap("sync", h.f.where(), err)
	}
	if err := h.c.commit(ctx); err != nil {
		return err
	}
	if err := h.c.sync(); err != nil {
		return err
	}
	if err := h.f.d.journal.Sync(context.WithoutCancel(ctx)); err != nil {
		return err
	}
	h.f.soon()
	return nil
}

// sync makes the layers durable.
func (c *contents) sync() error {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, l := range c.v.stack {
		if err := l.sync(); err != nil {
			return err
		}
	}
	return nil
}

// Flush commits what was written through the handle. Where the drive is told to it waits for the store.
func (h *handle) Flush(ctx context.Context) error {
	if !h.flags.Has(fs.OpenWrite) {
		return nil
	}
	if h.f.d.opts.Close != CloseUpload {
		return h.commit(ctx)
	}
	if err := h.commitNew(ctx); err != nil {
		return err
	}
	h.f.soon()
	return h.f.d.waitFor(ctx, h.f)
}

// Release ends the handle. What was written after the last Flush, by a mapping, is committed too.
func (h *handle) Release(ctx context.Context) error {
	h.mu.Lock()
	done := h.done
	h.done = true
	if h.src != nil {
		h.old = append(h.old, h.src)
	}
	for _, src := range h.old {
		src.Close()
	}
	h.src, h.old = nil, nil
	h.mu.Unlock()
	if done {
		return nil
	}
	writes := h.flags.Has(fs.OpenWrite)
	if writes && h.isLast() {
		h.owes.Store(true) // for whatever has no other to commit it
	}
	err := h.lastly(func() error { return h.commit(ctx) })
	defer h.f.d.mu.Unlock()
	h.c.writing = slices.DeleteFunc(h.c.writing, func(x *handle) bool { return x == h })
	if h.pinned != nil {
		h.pinned.release()
	}
	h.f.release(writes)
	if writes && h.f.writers == 0 {
		h.f.d.dueIn(h.f, settleAfter)
	}
	return err
}

// lastly commits until Drive.mu, which it leaves locked, is held with nothing owed: who truncates a file by path leaves it to a writer to
// commit that, who may be just ending.
func (h *handle) lastly(commit func() error) error {
	for {
		err := commit()
		h.f.d.mu.Lock()
		if err != nil || !h.owes.Load() {
			return err
		}
		h.f.d.mu.Unlock()
	}
}

// isLast reports whether no other handle writes.
func (h *handle) isLast() bool {
	h.f.d.mu.RLock()
	defer h.f.d.mu.RUnlock()
	return h.f.writers == 1
}

// soon has a file that is to be uploaded uploaded shortly, though it is open.
func (f *file) soon() {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.d.dueIn(f, settleAfter)
}

// Allocate is fallocate(2): space is not set aside, holes are made.
func (h *handle) Allocate(ctx context.Context, off, size int64, mode uint32) error {
	switch mode {
	case 0, keepSize, keepSize | punchHole, zeroRange, zeroRange | keepSize:
	default:
		return fail("fallocate", h.f.where(), fs.Unsupported)
	}
	if !h.flags.Has(fs.OpenWrite) {
		return h.notOpenFor("writing")
	}
	defer h.owes.Store(true)
	return fs.Wrap("fallocate", h.f.where(), h.c.allocate(ctx, off, size, mode))
}

// The bases of lseek(2) that SeekHole knows.
const (
	seekData = 3
	seekHole = 4
)

// SeekHole finds data or holes. What the store has is all data.
func (h *handle) SeekHole(ctx context.Context, off int64, whence int) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fs.Wrap("seek", h.f.where(), err)
	}
	if whence != seekData && whence != seekHole {
		return 0, fail("seek", h.f.where(), fs.Invalid)
	}
	h.c.mu.RLock()
	defer h.c.mu.RUnlock()
	v := &h.c.v
	if off >= 0 && off < v.size {
		if whence == seekHole {
			return v.hole(off), nil
		}
		if at := v.data(off); at < v.size {
			return at, nil
		}
	}
	return 0, &fs.Error{Op: "seek", Path: h.f.where(), Kind: fs.Invalid, Err: syscall.ENXIO}
}
