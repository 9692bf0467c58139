package tree

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	// maxAbsorb is the size over which what a program writes is kept beside a live document instead of being merged.
	maxAbsorb = 256 << 20
	// absorbWait is how long a merge may take before a conflict copy is made instead.
	absorbWait = 10 * time.Second
	// maxCopies is how many conflict copies of one second there may be.
	maxCopies = 100
)

// written is what a program has made of a document.
type written struct {
	id    fs.FileID
	path  fs.Path
	base  fs.Version // what it had read; "" = unknown
	at    fs.Version // what the file was when it began; "" = the bytes are not for the file as it is
	cause fs.Cause
	from  func() io.Reader // the bytes from the start
	rec   *record          // of its staging file; nil = it has none
	data  *os.File         // that file
}

// outcome is what became of bytes.
type outcome uint8

const (
	absorbed outcome = iota
	refused          // no document: kept until it is quiet
	noRoom           // there is no live document any more
	failed
)

// deliver merges what was written into the live document, or else keeps it in another way. Afterwards the staging file is gone,
// unless that failed.
func (l *live) deliver(ctx context.Context, w written) {
	var err error
	switch got := l.absorb(ctx, &w); got {
	case refused:
		l.refuse(w)
		return
	case noRoom:
		err = l.withoutRoom(ctx, w)
	case failed:
		err = l.keepCopy(ctx, w)
	case absorbed:
		l.accepted(ctx, w)
	}
	switch {
	case err != nil:
		l.t.log.Error("what a program has written could not be kept", "path", string(w.path), "err", err)
	case w.rec != nil:
		l.discard(w.rec.Name)
	}
}

// absorb hands bytes to the live document and loads them on the way.
func (l *live) absorb(ctx context.Context, w *written) outcome {
	l.mu.Lock()
	d := l.docs[w.id]
	if d == nil || d.away != nil {
		l.mu.Unlock()
		return noRoom
	}
	w.path = d.path
	l.mu.Unlock()
	data, err := load(w.from())
	if err == nil {
		from := func() io.Reader { return bytes.NewReader(data) }
		w.from = from
		wait, cancel := context.WithTimeout(context.WithValue(context.WithoutCancel(ctx), insideMount{}, true), absorbWait)
		defer cancel()
		err = l.t.opts.Live.Absorb(wait, fs.Absorption{ID: w.id, Path: w.path, Base: w.base, Data: data, Cause: w.cause})
	}
	switch {
	case err == nil:
		return absorbed
	case fs.KindOf(err) == fs.Invalid:
		return refused
	}
	l.t.log.Warn("a live document did not take what a program has written", "path", string(w.path), "err", err)
	return failed
}

// load reads what a merge can take.
func load(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxAbsorb+1))
	if err == nil && len(data) > maxAbsorb {
		err = &fs.Error{Op: "merge", Kind: fs.TooLarge, Err: errors.New("too large to be merged")}
	}
	return data, err
}

// absorbNode hands a file's bytes to its live document.
func (l *live) absorbNode(ctx context.Context, id fs.FileID, n fs.Node, base fs.Version, cause fs.Cause) {
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		l.t.log.Warn("a changed file could not be read", "file_id", id.String(), "err", err)
		return
	}
	defer h.Release(ctx) //nolint:errcheck // nothing was written
	p, _ := l.t.Path(n)
	l.deliver(ctx, written{
		id: id, path: p, base: base, cause: cause,
		from: func() io.Reader { return io.NewSectionReader(readerAt{ctx, h}, 0, 1<<62) },
	})
}

// withoutRoom makes the bytes the file's, if it is as it was when the program opened it, and a conflict copy if not.
func (l *live) withoutRoom(ctx context.Context, w written) error {
	if m, rel, err := l.t.split(w.path); err == nil && w.at != "" {
		if _, err = m.drive.Replace(keeping(ctx, w.cause), rel, w.from(), fs.ReplaceOptions{IfVersion: w.at}); err == nil {
			return nil
		}
	}
	return l.keepCopy(ctx, w)
}

// keeping is the context of saves by the tree itself. The mount is told of them.
func keeping(ctx context.Context, c fs.Cause) context.Context {
	ctx = context.WithValue(context.WithoutCancel(ctx), insideMount{}, true)
	return fs.WithCause(ctx, fs.Cause{Actor: c.Actor, Origin: fs.OriginRoom})
}

// keepCopy writes a conflict copy beside the document, or at the drive's top if its folder is gone.
func (l *live) keepCopy(ctx context.Context, w written) error {
	m, rel, err := l.t.split(w.path)
	if err != nil {
		return err
	}
	dir, name := "", rel
	if i := strings.LastIndexByte(rel, '/'); i >= 0 {
		dir, name = rel[:i+1], rel[i+1:]
	}
	now := time.Now()
	for n := range maxCopies {
		as := dir + fs.ConflictName(name, who(w.cause), now, n)
		_, err = m.drive.Replace(keeping(ctx, w.cause), as, w.from(), fs.ReplaceOptions{IfAbsent: true})
		switch {
		case err == nil:
			l.t.log.Warn("a conflict: both versions were kept", "path", string(w.path), "copy", as)
			return nil
		case fs.KindOf(err) == fs.NotExist && dir != "":
			dir = ""
		case fs.KindOf(err) != fs.Exist:
			return err
		}
	}
	return err
}

// who is the actor as it appears in names of files.
func who(c fs.Cause) string {
	name := c.Actor[strings.LastIndexByte(c.Actor, ':')+1:]
	if name == "" {
		return "unknown"
	}
	return name
}

// refusal are bytes that were no document. They wait: a program that writes in steps comes with better ones soon.
type refusal struct {
	w     written
	timer *time.Timer
}

// refusalKey is who has written what.
type refusalKey struct {
	id  fs.FileID
	pid int
	seq fs.FileID // tells apart what unknown programs have written
}

// refuse keeps bytes until it has been quiet for a while. Earlier ones of the same program are forgotten.
func (l *live) refuse(w written) {
	if w.rec != nil {
		w.rec.Closed = false // after a crash they must not replace the document
		if err := l.staging.commit(*w.rec, w.data, false); err != nil {
			l.t.log.Warn("a staging file may be lost in a crash", "path", string(w.path), "err", err)
		}
	}
	if r := l.arm(w); r != nil {
		l.keepRefused(r)
	}
}

// arm starts the wait for quiet. It returns the refusal if there is no time to wait.
func (l *live) arm(w written) *refusal {
	r := &refusal{w: w}
	key := refusalKey{id: w.id, pid: w.cause.PID}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return r
	}
	l.supersede(key)
	if l.refused[key] != nil {
		key.seq = fs.NewFileID() // of another program
	}
	l.refused[key] = r
	l.work.Add(1)
	r.timer = time.AfterFunc(QuietWait, func() {
		defer l.work.Done()
		if l.disarm(key, r) {
			l.keepRefused(r)
		}
	})
	return nil
}

// disarm reports whether r still waited.
func (l *live) disarm(key refusalKey, r *refusal) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.refused[key] != r {
		return false
	}
	delete(l.refused, key)
	return true
}

// supersede forgets what a program had written before. The caller holds mu.
func (l *live) supersede(key refusalKey) {
	r := l.refused[key]
	if r == nil || key.pid == 0 {
		return // it may have been another program
	}
	delete(l.refused, key)
	if r.timer.Stop() {
		l.work.Done()
	}
	if r.w.rec != nil {
		l.discard(r.w.rec.Name)
	}
}

// accepted forgets what a program had written before it came with a document. If that is the document now, it knows its version.
func (l *live) accepted(ctx context.Context, w written) {
	l.mu.Lock()
	l.supersede(refusalKey{id: w.id, pid: w.cause.PID})
	l.mu.Unlock()
	if w.cause.PID == 0 {
		return
	}
	n, _, err := l.t.Resolve(ctx, w.path)
	if err != nil {
		return // it was removed meanwhile
	}
	if v, same := sameBytes(ctx, n, w.from()); same {
		l.reads.put(w.cause.PID, w.path, v)
	}
}

// sameBytes reports whether a file holds what r has, and at which version.
func sameBytes(ctx context.Context, n fs.Node, r io.Reader) (fs.Version, bool) {
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return "", false
	}
	defer h.Release(ctx) //nolint:errcheck // nothing was written
	want, wantErr := io.ReadAll(r)
	got, gotErr := load(io.NewSectionReader(readerAt{ctx, h}, 0, 1<<62))
	a, err := h.Attr(ctx)
	return a.Version, errors.Join(wantErr, gotErr, err) == nil && bytes.Equal(got, want)
}

// keepRefused makes the conflict copy. Nothing is lost with no bytes at all.
func (l *live) keepRefused(r *refusal) {
	if n, err := r.w.from().Read(make([]byte, 1)); n > 0 || err != io.EOF {
		if err := l.keepCopy(l.ctx, r.w); err != nil {
			l.t.log.Error("what a program has written could not be kept", "path", string(r.w.path), "err", err)
			return
		}
	}
	if r.w.rec != nil {
		l.discard(r.w.rec.Name)
	}
}

// recover brings back what programs had written to live documents of a drive when the process before ended.
func (l *live) recover(m *mounted) {
	for _, rec := range l.staging.take(m.drive.ID()) {
		if err := l.recoverOne(m, rec); err != nil {
			l.t.log.Error("what a program has written stays in the staging folder", "name", rec.Name, "err", err)
		}
	}
}

func (l *live) recoverOne(m *mounted, rec record) error {
	f, err := os.Open(l.staging.data(rec.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	w := written{
		id: rec.FileID, path: l.t.join(m, string(rec.Path)), at: rec.At, cause: fs.Cause{Actor: rec.Actor},
		from: func() io.Reader { return io.NewSectionReader(f, 0, 1<<62) },
	}
	if !rec.Closed {
		w.at = ""
	}
	if err := l.withoutRoom(l.ctx, w); err != nil {
		return err
	}
	return l.staging.remove(rec.Name)
}
