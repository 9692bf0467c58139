package drive

import (
	"context"
	"io"
	"sync/atomic"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// base is a version in the store. The zero value is none.
type base struct {
	key     string
	version fs.Version
	size    int64
}

// view is a file's bytes: layers over each other, the lowest first, over a version in the store.
type view struct {
	stack []*layer
	at    base
	size  int64
}

// remote reads the version below a view's layers.
type remote func(ctx context.Context, p []byte, off int64) error

// piece is a part of a read.
type piece struct {
	p   []byte
	off int64
}

// readLocal fills p, whose end lies within the file, with what the layers have. It returns the parts that only the store has.
func (v *view) readLocal(p []byte, off int64) (missing []piece, err error) {
	return v.readLevel(len(v.stack)-1, p, off, nil)
}

func (v *view) readLevel(level int, p []byte, off int64, missing []piece) ([]piece, error) {
	if level < 0 {
		n := min(max(v.at.size-off, 0), int64(len(p)))
		clear(p[n:])
		if n > 0 {
			missing = append(missing, piece{p[:n], off})
		}
		return missing, nil
	}
	l := v.stack[level]
	for len(p) > 0 {
		part, where := l.next(span{off, off + int64(len(p))})
		q := p[:part.end-part.off]
		var err error
		switch where {
		case here:
			err = readFull(l.f, q, off)
		case below:
			missing, err = v.readLevel(level-1, q, off, missing)
		default:
			clear(q)
		}
		if err != nil {
			return nil, fs.Wrap("read", "", err)
		}
		p, off = p[len(q):], part.end
	}
	return missing, nil
}

// complete reports whether nothing of the store's version is needed.
func (v *view) complete() bool {
	if v.at.version == "" {
		return true
	}
	if len(v.stack) == 0 {
		return v.size == 0
	}
	// Only the lowest layer that hides everything below it matters; looking at each alone is enough in practice, since layers are
	// absorbed into one.
	for _, l := range v.stack {
		if l.complete(v.size) {
			return true
		}
	}
	return false
}

// isOwn reports whether all bytes were written here, over a version that is only kept for what else it tells.
func (v *view) isOwn() bool { return len(v.stack) > 0 && v.complete() }

// data returns the next offset from off on where bytes were written (or may have been), and size if there is none.
func (v *view) data(off int64) int64 { return v.seek(off, true) }

// hole returns the next offset from off on where none were, at most size.
func (v *view) hole(off int64) int64 { return v.seek(off, false) }

func (v *view) seek(off int64, data bool) int64 {
	for off < v.size {
		part, is := v.probe(len(v.stack)-1, span{off, v.size})
		if is == data {
			return off
		}
		off = part.end
	}
	return v.size
}

// probe returns the first part of s that is all data or all hole.
func (v *view) probe(level int, s span) (span, bool) {
	if level < 0 {
		if s.off < v.at.size {
			return span{s.off, min(s.end, v.at.size)}, true
		}
		return s, false
	}
	part, where := v.stack[level].next(s)
	switch where {
	case here:
		return part, true
	case below:
		return v.probe(level-1, part)
	}
	return part, false
}

// viewReader reads a view that does not change, from anywhere in it, as an io.ReaderAt.
type viewReader struct {
	ctx  context.Context
	v    *view
	from remote
	lost atomic.Bool // the store's part is not there any more
}

func (r *viewReader) ReadAt(p []byte, off int64) (int, error) {
	if off >= r.v.size {
		return 0, io.EOF
	}
	n := int(min(int64(len(p)), r.v.size-off))
	missing, err := r.v.readLocal(p[:n], off)
	for _, m := range missing {
		if err == nil {
			if err = r.from(r.ctx, m.p, m.off); isGone(err) {
				r.lost.Store(true)
			}
		}
	}
	switch {
	case err != nil:
		return 0, err // whoever has as many bytes as he asked for looks at no error
	case n < len(p):
		return n, io.EOF
	}
	return n, nil
}
