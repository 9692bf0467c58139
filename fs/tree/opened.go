package tree

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// opened is a node with handles that the tree watches: all that write, and those of live documents that read. What is written to a
// live document goes to a staging file, which all programs in the mount see as the file's bytes from then on.
type opened struct {
	l        *live
	n        fs.Node
	refs     int                    // handles; guarded by live.mu, as the next
	replaced time.Time              // when the name went to another node
	stage    atomic.Pointer[staged] // nil = the bytes are those of the drive

	wrote  atomic.Bool // in place, since the first of these writers came
	late   atomic.Bool // in place, when the name had another node already
	passed atomic.Bool // bytes through us: the kernel does not write by itself

	mu      sync.Mutex // guards all below; held while bytes are copied and merged
	pin     fs.Handle  // keeps the drive's bytes readable; nil = not needed so far
	old     []*staged  // that may still be read from
	writers int        // in place
	base    fs.Version // what the first of these writers had read
	first   fs.Version // of the bytes when it came, if the kernel writes by itself
}

// find returns the watched node, or nil.
func (l *live) find(n fs.Node) *opened {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[n.Ino()]
}

// ref counts a handle.
func (l *live) ref(n fs.Node) *opened {
	l.mu.Lock()
	defer l.mu.Unlock()
	o := l.open[n.Ino()]
	if o == nil {
		o = &opened{l: l, n: n}
		l.open[n.Ino()] = o
	}
	o.refs++
	return o
}

// unref is the reverse of ref. The last one ends what was kept for readers.
func (o *opened) unref(ctx context.Context) error {
	o.l.mu.Lock()
	o.refs--
	last := o.refs == 0
	if last {
		delete(o.l.open, o.n.Ino())
	}
	o.l.mu.Unlock()
	if !last {
		return nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	if st := o.stage.Load(); st != nil {
		o.old = append(o.old, st)
	}
	for _, st := range o.old {
		errs = append(errs, st.f.Close())
	}
	if o.pin != nil {
		errs = append(errs, o.pin.Release(ctx))
	}
	return errors.Join(errs...)
}

// open opens a file that the tree has to watch; ok is false for any other.
func (l *live) opens(ctx context.Context, n fs.Node, flags fs.OpenFlags) (h fs.Handle, ok bool, err error) {
	if _, isDir := n.(fs.Dir); isDir {
		return nil, false, nil
	}
	writes := flags&(fs.OpenWrite|fs.OpenAppend|fs.OpenTruncate) != 0
	id, isLive := l.present(n)
	o := l.find(n)
	switch {
	case isLive, o != nil && o.stage.Load() != nil:
		h, err = l.openLive(ctx, n, id, flags)
	case writes:
		h, err = l.openInPlace(ctx, n, flags)
	default:
		l.remember(ctx, n)
		return nil, false, nil
	}
	if err == nil && flags.Has(fs.OpenRead) && !flags.Has(fs.OpenTruncate) {
		l.remember(ctx, n)
	}
	return h, true, err
}

// present is id for a document whose name is there.
func (l *live) present(n fs.Node) (fs.FileID, bool) {
	id, ok := l.id(n)
	if !ok {
		return id, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.docs[id]
	return id, d != nil && d.away == nil
}

// remember notes which version the calling process sees.
func (l *live) remember(ctx context.Context, n fs.Node) {
	pid := fs.CauseOf(ctx).PID
	if pid == 0 || l.idle() {
		return
	}
	if a, err := n.Attr(ctx); err == nil {
		p, _ := l.t.Path(n)
		l.reads.put(pid, p, a.Version)
	}
}

// openLive opens a live document: to read, or to write to its staging file.
func (l *live) openLive(ctx context.Context, n fs.Node, id fs.FileID, flags fs.OpenFlags) (fs.Handle, error) {
	o := l.ref(n)
	if err := o.prepare(ctx, id, flags); err != nil {
		return nil, errors.Join(err, o.unref(ctx))
	}
	return &liveHandle{o: o, flags: flags}, nil
}

// prepare makes the node ready for a handle with these flags.
func (o *opened) prepare(ctx context.Context, id fs.FileID, flags fs.OpenFlags) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.pin == nil {
		pin, err := o.n.Open(ctx, fs.OpenRead)
		if err != nil {
			return err
		}
		o.pin = pin
	}
	if !flags.Has(fs.OpenWrite) {
		return nil
	}
	st := o.stage.Load()
	switch {
	case st == nil || st.ended:
		made, err := o.seed(ctx, id, flags.Has(fs.OpenTruncate))
		if err != nil {
			return fs.Wrap("open", "", err)
		}
		if st != nil {
			o.old = append(o.old, st)
		}
		st = made
		o.stage.Store(st)
	case flags.Has(fs.OpenTruncate):
		if err := st.truncate(ctx, 0); err != nil {
			return err
		}
	}
	st.writers.Add(1)
	return nil
}

// seed makes a staging file with the bytes that programs see just now, or none of them. The caller holds mu.
func (o *opened) seed(ctx context.Context, id fs.FileID, empty bool) (*staged, error) {
	a, err := o.pin.Attr(ctx)
	if err != nil {
		return nil, err
	}
	p, _ := o.l.t.Path(o.n)
	rel, _ := o.n.Path()
	st := &staged{dir: &o.l.staging, base: a.Version, dirty: empty, cause: fs.CauseOf(ctx), mtime: a.Mtime}
	st.rec = record{Drive: fs.FileID(o.n.Drive()), Path: []byte(rel), FileID: id, At: a.Version, Actor: st.cause.Actor}
	if empty {
		st.base = o.l.base(st.cause, p)
	}
	if st.f, st.rec.Name, err = o.l.staging.create(); err != nil || empty {
		return st, err
	}
	var from io.ReaderAt = readerAt{ctx, o.pin}
	if before := o.stage.Load(); before != nil {
		from, st.base = before.f, before.base
	}
	if _, err = io.Copy(st.f, io.NewSectionReader(from, 0, 1<<62)); err != nil {
		return nil, errors.Join(err, st.f.Close(), o.l.staging.remove(st.rec.Name))
	}
	return st, nil
}

// attr returns the attributes as programs see them.
func (o *opened) attr(ctx context.Context) (fs.Attr, error) {
	a, err := o.n.Attr(ctx)
	if st := o.stage.Load(); st != nil && err == nil {
		err = st.describe(&a)
	}
	return a, err
}

// leave ends a writer of the staging file. The last one hands the bytes on.
func (o *opened) leave(ctx context.Context) {
	o.mu.Lock()
	defer o.mu.Unlock()
	st := o.stage.Load()
	if st.writers.Add(-1) > 0 || st.ended {
		return
	}
	st.ended = true
	if !st.dirty {
		o.stage.Store(nil)
		o.old = append(o.old, st)
		o.l.discard(st.rec.Name)
		return
	}
	p, named := o.l.t.Path(o.n)
	if named || o.n.Superseded() { // else the file was removed, and its bytes with it
		o.l.deliver(ctx, st.written(p))
	} else {
		o.l.discard(st.rec.Name)
	}
	if !o.n.Superseded() { // what programs see is the drive's again
		o.stage.Store(nil)
		o.old = append(o.old, st)
		o.l.settled(o.n, st.rec.FileID)
	}
}

func (l *live) discard(name string) {
	if err := l.staging.remove(name); err != nil {
		l.t.log.Warn("a staging file could not be removed", "name", name, "err", err)
	}
}

// liveHandle is an open live document.
type liveHandle struct {
	o     *opened
	flags fs.OpenFlags
}

var (
	_ fs.Handle     = (*liveHandle)(nil)
	_ fs.Allocater  = (*liveHandle)(nil)
	_ fs.HoleSeeker = (*liveHandle)(nil)
)

func (h *liveHandle) writes() bool { return h.flags.Has(fs.OpenWrite) }

func (h *liveHandle) refuse(op string) error {
	return &fs.Error{Op: op, Kind: fs.Invalid, Err: errors.New("the file was not opened for that")}
}

func (h *liveHandle) Node() fs.Node { return h.o.n }

func (h *liveHandle) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if !h.flags.Has(fs.OpenRead) {
		return 0, h.refuse("read")
	}
	if st := h.o.stage.Load(); st != nil {
		return st.readAt(p, off)
	}
	return h.o.pin.ReadAt(ctx, p, off)
}

func (h *liveHandle) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if !h.writes() {
		return 0, h.refuse("write")
	}
	return h.o.stage.Load().writeAt(ctx, p, off, h.flags)
}

func (h *liveHandle) Attr(ctx context.Context) (fs.Attr, error) {
	a, err := h.o.pin.Attr(ctx)
	if st := h.o.stage.Load(); st != nil && err == nil {
		err = st.describe(&a)
	}
	return a, err
}

func (h *liveHandle) SetAttr(ctx context.Context, set fs.SetAttr) (fs.Attr, error) {
	if set.Size != nil {
		if !h.writes() {
			return fs.Attr{}, h.refuse("truncate")
		}
		if err := h.o.stage.Load().truncate(ctx, *set.Size); err != nil {
			return fs.Attr{}, err
		}
		set.Size = nil
	}
	if st := h.o.stage.Load(); st != nil && set.Mtime != nil {
		st.setTime(*set.Mtime)
	}
	if set != (fs.SetAttr{}) {
		if _, err := h.o.pin.SetAttr(ctx, set); err != nil {
			return fs.Attr{}, err
		}
	}
	return h.Attr(ctx)
}

func (h *liveHandle) Allocate(ctx context.Context, off, size int64, mode uint32) error {
	if !h.writes() {
		return h.refuse("fallocate")
	}
	return h.o.stage.Load().allocate(ctx, off, size, mode)
}

func (h *liveHandle) SeekHole(ctx context.Context, off int64, whence int) (int64, error) {
	if st := h.o.stage.Load(); st != nil {
		at, err := st.f.Seek(off, whence)
		return at, fs.Wrap("seek", "", err)
	}
	if s, ok := fs.As[fs.HoleSeeker](h.o.pin); ok {
		return s.SeekHole(ctx, off, whence)
	}
	return 0, &fs.Error{Op: "seek", Kind: fs.Unsupported}
}

// Sync makes what was written durable. Nothing is merged yet.
func (h *liveHandle) Sync(context.Context) error {
	if !h.writes() {
		return nil
	}
	return h.o.stage.Load().commit(true, false)
}

// Flush makes what was written survive the daemon.
func (h *liveHandle) Flush(context.Context) error {
	if !h.writes() {
		return nil
	}
	return h.o.stage.Load().commit(false, true)
}

func (h *liveHandle) Release(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	if h.writes() {
		h.o.leave(ctx)
	}
	return h.o.unref(ctx)
}
