package fusemount

import (
	"context"
	"errors"
	"io"
	"sync"
	"syscall"

	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
)

// handle is an open file of the kernel. That of the echo thread reads at most, and may have no h.
type handle struct {
	n           *node
	h           fs.Handle
	view        *access.View
	cause       fs.Cause // of who opened it
	writes      bool
	echo        bool // of the echo thread: nothing is to be done with it
	passthrough bool
	fd          int // what the kernel may read, and write if writes, by itself; -1 = nothing

	authors authors

	release sync.Once
	ending  bool           // it is not to be asked any more; guarded by node.mu
	asking  sync.WaitGroup // requests that have not come by it, and ask it all the same; Release waits for them
}

// context returns the context of an operation by whoever opened the handle.
func (f *handle) context(ctx context.Context) context.Context {
	return fs.WithCause(context.WithoutCancel(ctx), f.cause)
}

// PassthroughFd returns the descriptor with which the kernel works by itself.
func (f *handle) PassthroughFd() (int, bool) { return f.fd, f.passthrough && f.fd >= 0 }

// Read reads.
func (f *handle) Read(ctx context.Context, dest []byte, off int64) (fuse.ReadResult, syscall.Errno) {
	if f.echo {
		return nil, syscall.EBADF
	}
	if f.fd >= 0 && !f.view.Nodes().Live(f.n.fs) {
		return fuse.ReadResultFd(uintptr(f.fd), off, len(dest)), 0 // from there to the kernel without a copy
	}
	n, err := f.h.ReadAt(context.WithoutCancel(ctx), dest, off)
	if err != nil && !errors.Is(err, io.EOF) && fs.KindOf(err) != fs.Range {
		return nil, f.n.errno("read", err)
	}
	return fuse.ReadResultData(dest[:n]), 0
}

// Write writes.
func (f *handle) Write(ctx context.Context, data []byte, off int64) (uint32, syscall.Errno) {
	if f.echo {
		return 0, syscall.EBADF
	}
	f.changes(ctx)
	by := f.context(ctx)
	if f.n.m.isMapped(ctx) {
		by = fs.AtOffset(by)
	}
	n, err := f.h.WriteAt(by, data, off)
	if n > 0 {
		return uint32(n), 0
	}
	return 0, f.n.errno("write", err)
}

// Fsync makes what was written durable.
func (f *handle) Fsync(ctx context.Context, _ uint32) syscall.Errno {
	if f.echo {
		return 0
	}
	return f.n.errno("fsync", f.h.Sync(f.context(ctx)))
}

// Flush commits what was written: it is sent for each close of a descriptor. The close of somebody who has not opened it and written
// nothing commits nothing.
func (f *handle) Flush(ctx context.Context) syscall.Errno {
	if f.echo || !f.isWhole(ctx) {
		return 0
	}
	ctx = f.context(ctx)
	errno := f.n.errno("flush", f.h.Flush(ctx))
	if f.writes {
		f.n.sawVersion(ctx, f.h) // the kernel has written to its pages too
	}
	return errno
}

// Release ends the handle. Nobody hears of an error: what must be reported was, by Flush. It counts as open until go-fuse has let go of
// what the kernel read with it.
func (f *handle) Release(ctx context.Context) syscall.Errno {
	errno := f.end(ctx)
	if request, ok := ctx.(*fuse.Context); ok {
		f.n.m.leaving.Store(request.Cancel, f)
	} else {
		f.n.closed(f)
	}
	return errno
}

// end does what Release does for the file.
func (f *handle) end(ctx context.Context) syscall.Errno {
	var errno syscall.Errno
	f.release.Do(func() {
		f.n.ending(f)
		if f.h != nil {
			if err := f.h.Release(f.context(ctx)); err != nil {
				f.n.m.log.Warn("a file was not closed well", "err", err)
				errno = fs.Errno(err)
			}
		}
	})
	return errno
}

// Allocate is fallocate(2).
func (f *handle) Allocate(ctx context.Context, off, size uint64, mode uint32) syscall.Errno {
	a, ok := fs.As[fs.Allocater](f.h)
	if !ok {
		return syscall.ENOTSUP
	}
	f.changes(ctx)
	return f.n.errno("fallocate", a.Allocate(f.context(ctx), int64(off), int64(size), mode))
}

// Lseek finds data and holes. A drive that knows none has files without holes.
func (f *handle) Lseek(ctx context.Context, off uint64, whence uint32) (uint64, syscall.Errno) {
	ctx = context.WithoutCancel(ctx)
	if s, ok := fs.As[fs.HoleSeeker](f.h); ok {
		at, err := s.SeekHole(ctx, int64(off), int(whence))
		if err == nil || fs.KindOf(err) != fs.Unsupported {
			return uint64(at), f.n.errno("lseek", err)
		}
	}
	if f.echo {
		return 0, syscall.EBADF
	}
	a, err := f.h.Attr(ctx)
	switch {
	case err != nil:
		return 0, f.n.errno("lseek", err)
	case off >= uint64(a.Size):
		return 0, syscall.ENXIO
	case whence == unix.SEEK_DATA:
		return off, 0
	}
	return uint64(a.Size), 0
}

// handles are those that the kernel has open, to be ended when it cannot any more.
type handles struct {
	mu   sync.Mutex // guards open
	open map[*handle]struct{}
}

func (s *handles) add(f *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = map[*handle]struct{}{}
	}
	s.open[f] = struct{}{}
}

func (s *handles) remove(f *handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, f)
}

// releaseAll ends what is left after the kernel has gone: what was written is committed as if the files had been closed.
func (s *handles) releaseAll(ctx context.Context) {
	s.mu.Lock()
	left := make([]*handle, 0, len(s.open))
	for f := range s.open {
		left = append(left, f)
	}
	s.mu.Unlock()
	for _, f := range left {
		if errno := f.Flush(ctx); errno != 0 {
			f.n.m.log.Warn("a file that was open could not be committed", "errno", errno.Error())
		}
		_ = f.Release(ctx) // it logs what goes wrong
	}
}
