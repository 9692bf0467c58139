package tree

import (
	"context"
	"errors"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// departure is a live document whose name is gone. It waits: a file that is made under the name continues the document.
type departure struct {
	id    fs.FileID
	doc   *doc
	from  fs.Path
	to    fs.Path // where the file went; "" = it was removed
	node  fs.Node // what went there
	timer *time.Timer
}

// leave notes that a document's file was removed, or renamed to to. The caller holds mu.
func (l *live) leave(d *doc, c fs.Change, to fs.Path) {
	from := c.Path
	if to != "" {
		from = c.OldPath
	}
	if away := d.away; away != nil {
		if to == away.from {
			l.forget(away) // it was only moved away and back
			return
		}
		away.to, away.node = to, c.Node
		return
	}
	d.path = from
	if o := c.Cause.Origin; o == fs.OriginAPI || o == fs.OriginRoom {
		d.path = to
		l.laterLocked(func(ctx context.Context) { l.tellLeft(ctx, c.FileID, from, to) })
		return
	}
	if l.closed {
		return
	}
	away := &departure{id: c.FileID, doc: d, from: from, to: to, node: c.Node}
	d.away = away
	l.gone[from] = away
	l.work.Add(1)
	away.timer = time.AfterFunc(RemoveWait, func() {
		defer l.work.Done()
		l.gaveUp(away)
	})
}

// forget ends a departure. The caller holds mu.
func (l *live) forget(d *departure) {
	if l.gone[d.from] == d {
		delete(l.gone, d.from)
	}
	d.doc.away = nil
	if d.timer.Stop() {
		l.work.Done()
	}
}

// gaveUp is called when nothing took the name in time.
func (l *live) gaveUp(d *departure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.gone[d.from] != d || l.closed {
		return
	}
	delete(l.gone, d.from)
	d.doc.away, d.doc.path = nil, d.to
	to := d.to
	l.laterLocked(func(ctx context.Context) { l.tellLeft(ctx, d.id, d.from, to) })
}

func (l *live) tellLeft(ctx context.Context, id fs.FileID, from, to fs.Path) {
	if to != "" {
		l.t.opts.Live.Moved(ctx, id, from, to)
		return
	}
	l.t.opts.Live.Removed(ctx, id, from)
}

// departed returns the document that was at p until just now, or nil.
func (l *live) departed(p fs.Path) *departure {
	if l.idle() {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.gone[p]
}

// adopt makes n, which has the name of a departed document, continue it. It reports false if somebody else was faster, or the
// drive cannot.
func (l *live) adopt(ctx context.Context, d *departure, n fs.Node) bool {
	l.mu.Lock()
	if l.gone[d.from] != d {
		l.mu.Unlock()
		return false
	}
	l.forget(d)
	d.doc.path = d.from
	l.mu.Unlock()
	err := errors.New("the drive's files cannot be given an id")
	if a, ok := n.(fs.Adopter); ok {
		if err = l.renounce(ctx, d); err == nil {
			err = a.Adopt(ctx, d.id)
		}
	}
	if err == nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.docs[d.id] == d.doc {
			l.met(d.id, d.doc, n.Ino())
		}
		return true
	}
	l.t.log.Error("a live document has lost its file", "path", string(d.from), "err", err)
	l.later(func(ctx context.Context) { l.tellLeft(ctx, d.id, d.from, d.to) })
	return false
}

// renounce gives the file that was moved away an id of its own.
func (l *live) renounce(ctx context.Context, d *departure) error {
	if a, ok := d.node.(fs.Adopter); ok && d.to != "" {
		return a.Adopt(ctx, fs.NewFileID())
	}
	return nil
}

// comeBack is adopt for a file whose bytes are there already.
func (l *live) comeBack(ctx context.Context, d *departure, n fs.Node, cause fs.Cause) {
	base := l.base(cause, d.from)
	if l.adopt(ctx, d, n) {
		l.absorbNode(ctx, d.id, n, base, cause)
	}
}

// base returns the version that a program has last read of the file at p; "" leaves the choice to the document.
func (l *live) base(cause fs.Cause, p fs.Path) fs.Version { return l.reads.get(cause.PID, p) }
