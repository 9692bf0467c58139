package drive

import (
	"context"
	"io"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// seesCommitted reports whether a caller is shown files as they were last committed: all but programs on the mount, which see each other's
// writes at once.
func seesCommitted(ctx context.Context) bool {
	origin := fs.CauseOf(ctx).Origin
	return origin == fs.OriginAPI || origin == fs.OriginRoom
}

// statFor returns the attributes as the caller is shown them. The caller holds Drive.mu.
func statFor(ctx context.Context, n inode) fs.Attr {
	if f, ok := n.(*file); ok && seesCommitted(ctx) {
		return f.statCommitted()
	}
	return n.stat()
}

// statCommitted returns the attributes of the last commit. The caller holds Drive.mu.
func (f *file) statCommitted() fs.Attr {
	a := f.node.stat()
	a.Version = f.m.version
	return a
}

// committed is the state of a file when a handle was opened: what is written or committed later is not seen through it.
type committed struct {
	f    *file
	c    *contents
	attr fs.Attr

	mu   sync.Mutex // guards what follows; taken before Drive.mu
	v    view
	held [][]*layer // of v now and before: they do not change, and stay, as long as they are held here
}

// pin makes the handle one that reads what is committed now.
func (h *handle) pin() {
	d := h.f.d
	d.mu.Lock()
	defer d.mu.Unlock()
	h.pinned = &committed{f: h.f, c: h.c, attr: h.f.statCommitted()}
	h.pinned.hold(h.f.view())
}

// hold makes v what is read. The caller holds Drive.mu.
func (p *committed) hold(v view) {
	p.f.d.ref(v.stack)
	p.v, p.held = v, append(p.held, v.stack)
}

// release lets go of the layers. The caller holds Drive.mu.
func (p *committed) release() {
	for _, stack := range p.held {
		p.f.d.unref(stack)
	}
}

// read reads like io.ReaderAt. from reads a version in the store.
func (p *committed) read(ctx context.Context, b []byte, off int64, from func(base) remote) (int, error) {
	for {
		v := p.now()
		if off >= v.size {
			return 0, io.EOF
		}
		n := int(min(int64(len(b)), v.size-off))
		missing, err := v.readLocal(b[:n], off)
		for _, m := range missing {
			if err == nil {
				err = from(v.at)(ctx, m.p, m.off)
			}
		}
		switch {
		case err == nil && n < len(b):
			return n, io.EOF
		case err == nil:
			return n, nil
		case !isGone(err):
			return 0, err
		case !p.follow(v.at) && !(p.c.found(ctx, v.at) && p.follow(v.at)):
			p.f.doubt(v.at)
			return 0, &fs.Error{Op: "read", Path: v.at.key, Kind: fs.Stale, Err: err}
		}
	}
}

func (p *committed) now() view {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.v
}

// follow has the same bytes read from where they are now, if they have been moved from a place in the store that is gone: they were
// uploaded, or are in a staging file.
func (p *committed) follow(gone base) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.f.d
	d.mu.Lock()
	defer d.mu.Unlock()
	if p.v.at != gone {
		return true
	}
	now := p.f.view()
	if p.f.m.version != p.attr.Version || now.at == gone {
		return false
	}
	p.hold(now)
	return true
}
