package tree

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// staged is a staging file: what programs have made of a live document.
type staged struct {
	dir     *stagingDir
	f       *os.File
	base    fs.Version   // what the program had read
	writers atomic.Int32 // handles
	ended   bool         // the bytes were handed on; guarded by opened.mu

	mu        sync.Mutex // guards all below
	rec       record
	dirty     bool     // written to
	cause     fs.Cause // of the last write
	mtime     time.Time
	gen       uint64 // grows with each write
	committed uint64 // the gen of the record on disk, plus one
}

func (s *staged) readAt(p []byte, off int64) (int, error) {
	n, err := s.f.ReadAt(p, off)
	if err == io.EOF {
		return n, err
	}
	return n, fs.Wrap("read", "", err)
}

func (s *staged) writeAt(ctx context.Context, p []byte, off int64, flags fs.OpenFlags) (n int, err error) {
	err = s.change(ctx, func() error {
		if flags.Appends(ctx) {
			st, err := s.f.Stat()
			if err != nil {
				return err
			}
			off = st.Size()
		}
		n, err = s.f.WriteAt(p, off)
		return err
	})
	if err == nil && flags.Has(fs.OpenSync) {
		err = s.commit(true, false)
	}
	return n, err
}

func (s *staged) truncate(ctx context.Context, size int64) error {
	return s.change(ctx, func() error { return s.f.Truncate(size) })
}

func (s *staged) allocate(ctx context.Context, off, size int64, mode uint32) error {
	return s.change(ctx, func() error { return syscall.Fallocate(int(s.f.Fd()), mode, off, size) })
}

// change does a write. A record that says that all is written is taken back first.
func (s *staged) change(ctx context.Context, do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.committed > 0 && s.rec.Closed {
		s.rec.Closed = false
		if err := s.dir.commit(s.rec, s.f, false); err != nil {
			return fs.Wrap("write", "", err)
		}
	}
	if err := do(); err != nil {
		return fs.Wrap("write", "", err)
	}
	s.dirty, s.cause, s.mtime = true, fs.CauseOf(ctx), time.Now()
	s.gen++
	return nil
}

func (s *staged) setTime(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mtime = at
}

// commit writes the record, so that a crash does not lose the bytes. closing is set when a descriptor is closed: if it is the
// only one, the bytes are what the program wanted.
func (s *staged) commit(durable, closing bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	closed := closing && s.writers.Load() == 1
	done := s.committed == s.gen+1 && (s.rec.Closed || !closed)
	if !s.dirty || done && !durable {
		return nil
	}
	s.rec.Closed, s.committed = closed || s.rec.Closed, s.gen+1
	return fs.Wrap("sync", "", s.dir.commit(s.rec, s.f, durable))
}

// describe puts the file's size, time and version into a.
func (s *staged) describe(a *fs.Attr) error {
	st, err := s.f.Stat()
	if err != nil {
		return fs.Wrap("stat", "", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a.Size, a.Blocks, a.Mtime = st.Size(), (st.Size()+511)/512, s.mtime
	if a.Ctime.Before(s.mtime) {
		a.Ctime = s.mtime
	}
	a.Version = fs.Version(fmt.Sprintf("staged.%s.%d", s.rec.Name, s.gen))
	return nil
}

// written is what the file holds, for the document at p.
func (s *staged) written(p fs.Path) written {
	s.mu.Lock()
	defer s.mu.Unlock()
	rec := s.rec
	return written{
		id: rec.FileID, path: p, base: s.base, at: rec.At, cause: s.cause, rec: &rec, data: s.f,
		from: func() io.Reader { return io.NewSectionReader(s.f, 0, 1<<62) },
	}
}

// inPlace is a handle that writes to a file of the drive itself. It is watched, because the file may become live, or superseded.
type inPlace struct {
	fs.Handle
	o *opened
}

var (
	_ fs.Handle               = (*inPlace)(nil)
	_ fs.Allocater            = (*inPlace)(nil)
	_ fs.Unwrapper[fs.Handle] = (*inPlace)(nil)
)

func (l *live) openInPlace(ctx context.Context, n fs.Node, flags fs.OpenFlags) (fs.Handle, error) {
	p, _ := l.t.Path(n)
	base := l.reads.get(fs.CauseOf(ctx).PID, p)
	if a, err := n.Attr(ctx); err == nil && !flags.Has(fs.OpenTruncate) {
		base = a.Version
	}
	h, err := n.Open(ctx, flags)
	if err != nil {
		return nil, err
	}
	return l.watch(ctx, h, base, flags.Has(fs.OpenTruncate)), nil
}

// watch makes h an inPlace. base is what the program has read.
func (l *live) watch(ctx context.Context, h fs.Handle, base fs.Version, wrote bool) fs.Handle {
	o := l.ref(h.Node())
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writers++; o.writers == 1 {
		o.base, o.first = base, directVersion(ctx, h)
	}
	if wrote {
		o.noteWrite()
	}
	return &inPlace{h, o}
}

func (o *opened) noteWrite() {
	o.wrote.Store(true)
	if o.n.Superseded() {
		o.late.Store(true)
	}
}

// Unwrap returns the drive's handle.
func (h *inPlace) Unwrap() fs.Handle { return h.Handle }

func (h *inPlace) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	h.o.passed.Store(true)
	n, err := h.Handle.WriteAt(ctx, p, off)
	if n > 0 {
		h.o.noteWrite()
	}
	return n, err
}

func (h *inPlace) SetAttr(ctx context.Context, set fs.SetAttr) (fs.Attr, error) {
	a, err := h.o.setAttr(ctx, set, func() (fs.Attr, error) { return h.Handle.SetAttr(ctx, set) })
	if err == nil && set.Size != nil {
		h.o.noteWrite()
	}
	return a, err
}

func (h *inPlace) Allocate(ctx context.Context, off, size int64, mode uint32) error {
	a, ok := fs.As[fs.Allocater](h.Handle)
	if !ok {
		return &fs.Error{Op: "fallocate", Kind: fs.Unsupported}
	}
	err := a.Allocate(ctx, off, size, mode)
	if err == nil {
		h.o.noteWrite()
	}
	return err
}

func (h *inPlace) Release(ctx context.Context) error {
	ctx = context.WithoutCancel(ctx)
	return errors.Join(h.o.leaveInPlace(ctx, h.Handle), h.o.unref(ctx))
}

// leaveInPlace ends a writer. What the last one leaves may belong to a live document, or to nobody any more.
func (o *opened) leaveInPlace(ctx context.Context, h fs.Handle) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writers--; o.writers > 0 {
		return h.Release(ctx)
	}
	if a, err := h.Attr(ctx); err == nil {
		o.noteDirect(a)
	}
	wrote, late := o.wrote.Swap(false), o.late.Swap(false)
	o.passed.Store(false)
	superseded := o.n.Superseded()
	id, isLive := o.l.present(o.n)
	if !wrote || !isLive && !(superseded && late) {
		return h.Release(ctx)
	}
	p, named := o.l.t.Path(o.n)
	if !named && !superseded {
		return h.Release(ctx) // removed
	}
	reader, err := o.n.Open(ctx, fs.OpenRead)
	if err != nil {
		return errors.Join(err, h.Release(ctx))
	}
	err = h.Release(ctx)
	o.l.deliver(ctx, written{
		id: id, path: p, base: o.base, cause: fs.CauseOf(ctx),
		from: func() io.Reader { return io.NewSectionReader(readerAt{ctx, reader}, 0, 1<<62) },
	})
	return errors.Join(err, reader.Release(ctx))
}

// clockStep is how coarse the times of files are at most.
const clockStep = 10 * time.Millisecond

// noteDirect finds out whether the kernel has written by itself. It does so with all handles of a node or with none. The caller
// holds mu.
func (o *opened) noteDirect(a fs.Attr) {
	if o.first == "" || o.passed.Load() || a.Version == o.first {
		return
	}
	o.wrote.Store(true)
	o.l.mu.Lock()
	replaced := o.replaced
	o.l.mu.Unlock()
	if o.n.Superseded() && a.Mtime.After(replaced.Add(-clockStep)) {
		o.late.Store(true)
	}
}

// setAttr changes attributes with do. Times that a program sets hide when the kernel has written by itself: that is noted before.
func (o *opened) setAttr(ctx context.Context, set fs.SetAttr, do func() (fs.Attr, error)) (fs.Attr, error) {
	if set.Mtime == nil {
		return do()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.writers == 0 || o.first == "" {
		return do()
	}
	if a, err := o.n.Attr(ctx); err == nil {
		o.noteDirect(a)
	}
	a, err := do()
	if err == nil {
		o.first = a.Version
	}
	return a, err
}

// directVersion is the version of a file that the kernel may write to by itself, "" for any other.
func directVersion(ctx context.Context, h fs.Handle) fs.Version {
	p, ok := fs.As[fs.Passthrougher](h)
	if !ok {
		return ""
	}
	if _, direct := p.PassthroughFd(); !direct {
		return ""
	}
	a, err := h.Attr(ctx)
	if err != nil {
		return ""
	}
	return a.Version
}
