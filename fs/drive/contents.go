package drive

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// file is a regular file.
type file struct {
	node

	// Guarded by Drive.mu.
	open    *contents // the bytes of an open file; nil = no handle, and all is as meta says
	handles int32
	writers int32
	live    *live // what was written since the last commit makes of the attributes; nil = nothing was
	checked int64 // when the store was last asked whether at is its version still
	byDrive bool  // nobody has asked for the last commit: the file is held open
	dressed bool  // the attributes are more than a listing tells
}

// live are the attributes of a file that is being written to.
type live struct {
	size, mtime int64
	version     version
}

var _ fs.Xattrer = (*file)(nil)

func (f *file) kind() kind { return kindFile }

// stat returns the attributes. The caller holds Drive.mu.
func (f *file) stat() fs.Attr {
	a := f.node.stat()
	a.Version = f.m.version
	if l := f.live; l != nil {
		a.Size, a.Blocks, a.Mtime, a.Version = l.size, (l.size+511)/512, stamp(l.mtime), l.version
	}
	return a
}

// contents are the bytes of an open file.
type contents struct {
	f *file

	mu    sync.RWMutex // guards all below; taken before Drive.order and Drive.mu
	v     view         // of its layers only the last may be written to
	dirty bool         // it was since the last commit: that layer is in no content
	cause fs.Cause     // of the last write
	lost  extents      // what nobody has any more: who has the file open gets no zeros for it

	writing []*handle // in the order in which they were opened; guarded by Drive.mu
	lent    *lent     // what the kernel reads by itself; nil = nothing
}

// acquire counts a handle. The caller holds Drive.mu.
func (f *file) acquire(writes bool) *contents {
	f.d.regain(f)
	if f.open == nil {
		f.open = &contents{f: f, v: f.view()}
		f.d.ref(f.open.v.stack)
	}
	f.handles++
	if writes {
		f.writers++
	}
	return f.open
}

// view returns what was committed. The caller holds Drive.mu.
func (f *file) view() view {
	v := view{at: f.baseAt(), size: f.m.size}
	if c := f.m.get().content; c != nil {
		v.stack, v.size = c.stack, c.size
	}
	return v
}

// release is the reverse of acquire. The caller holds Drive.mu.
func (f *file) release(writes bool) {
	f.handles--
	if writes {
		f.writers--
	}
	if f.handles > 0 {
		return
	}
	f.d.unref(f.open.v.stack)
	delete(f.d.unsaved, f.open)
	f.open.lent.close(f.d.log) // without handles nobody else has it
	f.open, f.live = nil, nil
	if !f.named() {
		f.d.drop(f)
	}
}

// drop lets go of what an unnamed node without handles has. The caller holds Drive.mu.
func (d *Drive) drop(f *file) {
	if c := f.m.get().content; c != nil {
		d.unref(c.stack)
		f.m.edit(func(m *more) { m.content = nil })
	}
	if key := f.m.at.key; key != "" {
		d.noteDisplaced(key, f, false)
		f.m.at = base{}
		d.queue.kick()
	}
}

// ref counts a user of layers. The caller holds Drive.mu.
func (d *Drive) ref(stack []*layer) {
	for _, l := range stack {
		l.refs++
	}
}

// unref is the reverse of ref: what nobody uses any more is removed. The caller holds Drive.mu.
func (d *Drive) unref(stack []*layer) {
	for _, l := range stack {
		if l.refs--; l.refs == 0 {
			d.staging.bury(l)
			d.queue.kick()
		}
	}
}

// maxFileSize is the size over which no store takes a file, and local files do not go either.
const maxFileSize = 1 << 43

// fits returns nil if a file may end at off+size.
func (d *Drive) fits(off, size int64) error {
	limit := int64(maxFileSize)
	if caps := d.backend.Caps(); caps.MaxSize > 0 {
		limit = min(limit, caps.MaxSize)
	}
	switch {
	case off < 0 || size < 0:
		return fail("write", "", fs.Invalid)
	case off > limit-size:
		return fail("write", "", fs.TooLarge)
	}
	return nil
}

// top returns the layer to write to. The caller holds mu.
func (c *contents) top() (*layer, error) {
	if c.dirty {
		return c.v.stack[len(c.v.stack)-1], nil
	}
	d := c.f.d
	d.mu.Lock()
	id := d.next()
	d.mu.Unlock()
	l, err := d.staging.create(id, c.v.size)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	c.v.stack = append(slices.Clip(c.v.stack), l)
	l.refs++
	c.dirty = true
	return l, nil
}

// edited notes that bytes were written. The caller holds mu.
func (c *contents) edited(ctx context.Context, size int64) {
	c.cause = fs.CauseOf(ctx)
	c.v.size = size
	c.lost = c.lost.cut(size)
	d := c.f.d
	d.mu.Lock()
	defer d.mu.Unlock()
	c.f.live = &live{size, time.Now().UnixNano(), d.newVersion()}
	d.noteUnsaved(c)
}

// newVersion names contents that the store does not have. The caller holds Drive.mu.
func (d *Drive) newVersion() version {
	return version("j:" + strconv.FormatUint(d.epoch, 36) + "." + strconv.FormatUint(d.next(), 36))
}

// write puts p at off, or at the end if off is negative.
func (c *contents) write(ctx context.Context, p []byte, off int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if off < 0 {
		off = c.v.size
	}
	if err := c.f.d.fits(off, int64(len(p))); err != nil || len(p) == 0 {
		return err
	}
	l, err := c.top()
	if err != nil {
		return err
	}
	if err := l.write(p, off); err != nil {
		return c.broken(ctx, l, err)
	}
	c.lost = c.lost.without(span{off, off + int64(len(p))})
	c.show(off, int64(len(p)), func(f *os.File) error { _, err := f.WriteAt(p, off); return err })
	c.edited(ctx, max(c.v.size, off+int64(len(p))))
	return nil
}

// broken works in that a write has failed on the way, and returns why: the file does not grow, and what was written past its end must
// not show when it does. The caller holds mu.
func (c *contents) broken(ctx context.Context, l *layer, why error) error {
	err := l.cut(c.v.size)
	c.showSize(c.v.size)
	c.edited(ctx, c.v.size)
	return errors.Join(why, err)
}

// truncate sets the size.
func (c *contents) truncate(ctx context.Context, size int64) error {
	if err := c.f.d.fits(0, size); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.top()
	if err != nil {
		return err
	}
	if err := l.cut(size); err != nil {
		return err
	}
	c.showSize(size)
	c.edited(ctx, size)
	return nil
}

// The modes of fallocate(2).
const (
	keepSize  = 0x01
	punchHole = 0x02
	zeroRange = 0x10
)

// allocate is fallocate(2).
func (c *contents) allocate(ctx context.Context, off, n int64, mode uint32) error {
	if err := c.f.d.fits(off, n); err != nil {
		return err
	}
	if n == 0 {
		return fail("fallocate", "", fs.Invalid)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	l, err := c.top()
	if err != nil {
		return err
	}
	size := c.v.size
	if mode&keepSize == 0 {
		size = max(size, off+n)
	}
	if mode&(punchHole|zeroRange) != 0 {
		if err := l.zero(span{off, min(off+n, size)}); err != nil {
			return c.broken(ctx, l, err)
		}
		c.lost = c.lost.without(span{off, off + n})
		c.show(off, min(off+n, size)-off, func(f *os.File) error { return zeroFile(f, off, min(off+n, size)) })
	}
	if size > c.v.size {
		c.showSize(size)
	}
	c.edited(ctx, size)
	return nil
}

// read reads like io.ReaderAt. from reads a version in the store.
func (c *contents) read(ctx context.Context, p []byte, off int64, from func(base) remote) (int, error) {
	for {
		n, at, missing, err := c.readLocal(p, off)
		if err != nil {
			return 0, err
		}
		end := error(nil)
		if n < len(p) {
			end = io.EOF
		}
		for _, m := range missing {
			if err = from(at)(ctx, m.p, m.off); err != nil {
				break
			}
		}
		switch {
		case err == nil:
			return n, end
		case !isGone(err):
			return 0, err
		case !c.moved(at) && !c.found(ctx, at):
			c.f.doubt(at)
			return 0, &fs.Error{Op: "read", Path: at.key, Kind: fs.Stale, Err: err}
		}
	}
}

func (c *contents) readLocal(p []byte, off int64) (n int, at base, missing []piece, err error) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if off >= c.v.size {
		return 0, c.v.at, nil, nil
	}
	n = int(min(int64(len(p)), c.v.size-off))
	if c.lost.meets(span{off, off + int64(n)}) {
		return 0, c.v.at, nil, fail("read", c.f.where(), fs.Stale)
	}
	missing, err = c.v.readLocal(p[:n], off)
	return n, c.v.at, missing, err
}

// moved reports whether the store's part of the bytes is elsewhere now.
func (c *contents) moved(from base) bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.v.at != from
}

// doubt has the next open ask the store, which does not have a version of the file any more.
func (f *file) doubt(at base) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if f.m.at.version == at.version {
		f.checked = 0
	}
}

// isGone reports whether an error says that the store does not have that version any more.
func isGone(err error) bool {
	if err == nil {
		return false
	}
	kind := fs.KindOf(err)
	return kind == fs.Conflict || kind == fs.NotExist || kind == fs.Stale
}

// save does the work of commit. What it commits byDrive is not held back from the store for what comes after it.
func (c *contents) save(ctx context.Context, byDrive bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	f, d := c.f, c.f.d
	fin := &content{stack: c.v.trimmed(), size: c.v.size}
	ctx = fs.WithCause(context.WithoutCancel(ctx), c.cause)
	var before []*layer
	_, err := d.change(ctx, "commit", f.where(), func(t *tx) error {
		if f.live == nil {
			f.live = &live{c.v.size, t.now, d.newVersion()}
		}
		fin.gen = d.next()
		t.touch(f)
		old := f.m.get().content
		f.m.size, f.m.mtime, f.m.ctime, f.m.version = f.live.size, f.live.mtime, t.now, f.live.version
		f.m.untold &^= untoldTime
		f.m.saved(fin)
		wait := settleAfter
		if f.writers > 0 && !byDrive {
			wait = idleAfter
		}
		t.wantAfter(f, wait)
		if f.m.untold == 0 && (&view{stack: fin.stack, at: c.v.at, size: fin.size}).complete() {
			t.setAt(f, base{}) // what the store has is known by the pending key
		}
		t.record(fs.OpWrite, f, fs.Change{})
		t.after = append(t.after, func() {
			d.ref(fin.stack)
			if old != nil {
				d.unref(old.stack)
			}
			d.ref(fin.stack)
			before = c.v.stack
			d.unref(before)
			c.v.stack = fin.stack
			c.v.at = f.baseAt()
			f.live, f.byDrive, c.dirty = nil, byDrive, false
			delete(d.unsaved, c)
		})
		return nil
	})
	if err != nil {
		return err
	}
	limit := int64(maxFileSize)
	if byDrive {
		limit = mergeLimit
	}
	return c.merge(ctx, limit)
}

func (c *contents) size() int64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.v.size
}

// trimmed returns the layers without those that nothing is seen of.
func (v *view) trimmed() []*layer {
	for i := len(v.stack) - 1; i > 0; i-- {
		if v.stack[i].complete(v.size) {
			return v.stack[i:]
		}
	}
	return v.stack
}

// unlessFull returns err, but for nil if the disk is full.
func unlessFull(err error) error {
	if fs.KindOf(err) == fs.NoSpace {
		err = nil
	}
	return err
}

// mergeLimit is how much is copied while a program that has asked for nothing may wait for it to write on.
const mergeLimit = 32 << 20

func (d *Drive) mayMerge(lower, upper *layer, limit int64) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return lower.refs <= 2 && upper.cannotSync() == nil && upper.bytes() <= limit
}

// merge makes one layer of the last two, if nobody else needs the lower one as it is, and the upper one has no more than limit bytes.
// The caller holds mu.
func (c *contents) merge(ctx context.Context, limit int64) error {
	f, d := c.f, c.f.d
	for len(c.v.stack) > 1 {
		n := len(c.v.stack)
		lower, upper := c.v.stack[n-2], c.v.stack[n-1]
		if !d.mayMerge(lower, upper, limit) {
			return nil
		}
		err := lower.absorb(upper)
		if err == nil && upper.isDurable() {
			err = lower.sync() // or what was durable is not any more once upper has gone
		}
		if err != nil {
			return unlessFull(err) // two layers read the same as one
		}
		stack := c.v.stack[: n-1 : n-1]
		_, err = d.change(ctx, "commit", f.where(), func(t *tx) error {
			if lower.refs > 2 {
				return fail("commit", "", fs.Busy) // an upload or a copy has begun that needs both
			}
			t.touch(f)
			old := f.m.get().content
			f.m.edit(func(m *more) { m.content = &content{stack: stack, size: old.size, gen: old.gen} })
			t.after = append(t.after, func() {
				d.ref(stack)
				d.ref(stack)
				d.unref(old.stack)
				d.unref(c.v.stack)
				c.v.stack = stack
			})
			return nil
		})
		if err != nil {
			return nil //nolint:nilerr // two layers read the same as one, and the journal has them
		}
	}
	return nil
}

// resize changes the size of a file that need not be open.
func (f *file) resize(ctx context.Context, size int64) error {
	if f.d.opts.ReadOnly {
		return fail("truncate", f.where(), fs.ReadOnly)
	}
	if size < 0 {
		return fail("truncate", f.where(), fs.Invalid)
	}
	if err := f.surely(ctx, "truncate"); err != nil {
		return err
	}
	c, err := f.hold("truncate", false)
	if err != nil {
		return err
	}
	err = c.truncate(ctx, size)
	writers := c.truncated()
	if err == nil && writers == 0 {
		err = c.commit(ctx)
	} else if err == nil {
		c.tell(ctx)
	}
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	f.release(false)
	return err
}

// truncated has the handle that was opened for writing last commit what a truncation by path has done, and returns how many such handles
// there are: open(2) with O_TRUNC comes as an open and a truncation, and others have nothing to do with that.
func (c *contents) truncated() (writers int32) {
	c.f.d.mu.RLock()
	defer c.f.d.mu.RUnlock()
	if n := len(c.writing); n > 0 {
		c.writing[n-1].owes.Store(true)
	}
	return c.f.writers
}

// use counts a user of the bytes until done is called.
func (f *file) use() (c *contents, done func()) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	return f.acquire(false), func() {
		f.d.mu.Lock()
		defer f.d.mu.Unlock()
		f.release(false)
	}
}

// hold counts a user of the bytes. It fails with Stale for a node that has neither name nor handle.
func (f *file) hold(op string, writes bool) (*contents, error) {
	f.d.mu.Lock()
	defer f.d.mu.Unlock()
	if !f.named() && f.handles == 0 {
		return nil, fail(op, f.m.get().last, fs.Stale)
	}
	return f.acquire(writes), nil
}

// tell publishes that bytes were written that are not committed yet.
func (c *contents) tell(ctx context.Context) {
	f := c.f
	if _, err := f.d.change(context.WithoutCancel(ctx), "write", f.where(), func(t *tx) error {
		t.record(fs.OpWrite, f, fs.Change{})
		return nil
	}); err != nil {
		f.d.log.Debug("a write was not told of", "error", err)
	}
}
