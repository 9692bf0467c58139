package access

import (
	"context"
	"sync/atomic"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// file is an open handle that keeps the policy's decision until the epoch moves.
type file struct {
	h     fs.Handle
	v     *View
	n     fs.Node
	flags fs.OpenFlags
	epoch atomic.Uint64 // at which the decision was made
}

var (
	_ fs.Handle        = (*file)(nil)
	_ fs.Allocater     = (*file)(nil)
	_ fs.HoleSeeker    = (*file)(nil)
	_ fs.Passthrougher = (*file)(nil)
)

func (v *View) file(n fs.Node, flags fs.OpenFlags) *file {
	f := &file{v: v, n: n, flags: flags}
	f.epoch.Store(v.policy.Epoch())
	return f
}

// decide asks the policy whether the handle may be, or stay, open.
func (f *file) decide(ctx context.Context) error {
	epoch := f.v.policy.Epoch()
	p, _ := f.v.t.Path(f.n)
	if f.flags.Has(fs.OpenRead) || f.flags&(fs.OpenWrite|fs.OpenAppend) == 0 {
		if err := f.v.may(ctx, fs.Read, p); err != nil {
			return err
		}
	}
	if actionOf(f.flags) == fs.Write {
		if err := f.v.may(ctx, fs.Write, p); err != nil {
			return err
		}
	}
	f.epoch.Store(epoch)
	return nil
}

// check costs one comparison as long as the policy stays as it is.
func (f *file) check(ctx context.Context) error {
	if f.epoch.Load() == f.v.policy.Epoch() {
		return nil
	}
	return f.decide(ctx)
}

func (f *file) Node() fs.Node { return f.h.Node() }

func (f *file) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.check(ctx); err != nil {
		return 0, err
	}
	return f.h.ReadAt(ctx, p, off)
}

func (f *file) WriteAt(ctx context.Context, p []byte, off int64) (int, error) {
	if err := f.check(ctx); err != nil {
		return 0, err
	}
	return f.h.WriteAt(ctx, p, off)
}

func (f *file) Attr(ctx context.Context) (fs.Attr, error) {
	if err := f.check(ctx); err != nil {
		return fs.Attr{}, err
	}
	return f.h.Attr(ctx)
}

// SetAttr through a handle needs the right to write, which a handle for reading was not asked for.
func (f *file) SetAttr(ctx context.Context, set fs.SetAttr) (fs.Attr, error) {
	p, _ := f.v.t.Path(f.n)
	if err := f.v.may(ctx, fs.Write, p); err != nil {
		return fs.Attr{}, err
	}
	return f.h.SetAttr(f.v.cause(ctx), set)
}

func (f *file) Sync(ctx context.Context) error {
	if err := f.check(ctx); err != nil {
		return err
	}
	return f.h.Sync(ctx)
}

// Flush and Release are never refused: what was written while it was allowed is kept.
func (f *file) Flush(ctx context.Context) error   { return f.h.Flush(f.v.cause(ctx)) }
func (f *file) Release(ctx context.Context) error { return f.h.Release(f.v.cause(ctx)) }

func (f *file) Allocate(ctx context.Context, off, size int64, mode uint32) error {
	if err := f.check(ctx); err != nil {
		return err
	}
	if a, ok := fs.As[fs.Allocater](f.h); ok {
		return a.Allocate(ctx, off, size, mode)
	}
	return &fs.Error{Op: "allocate", Kind: fs.Unsupported}
}

func (f *file) SeekHole(ctx context.Context, off int64, whence int) (int64, error) {
	if err := f.check(ctx); err != nil {
		return 0, err
	}
	if s, ok := fs.As[fs.HoleSeeker](f.h); ok {
		return s.SeekHole(ctx, off, whence)
	}
	return 0, &fs.Error{Op: "seek", Kind: fs.Unsupported}
}

// PassthroughFd gives the descriptor only to the daemon's owner: a right that is taken away later cannot reach what the kernel
// reads by itself. Nor may a live document bypass the daemon.
func (f *file) PassthroughFd() (int, bool) {
	if !f.v.p.Owner || f.v.t.IsLive(f.n) {
		return 0, false
	}
	if p, ok := fs.As[fs.Passthrougher](f.h); ok {
		return p.PassthroughFd()
	}
	return 0, false
}
