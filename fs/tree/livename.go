package tree

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// truncate changes the size of a live node without a handle; ok is false for any other.
func (l *live) truncate(ctx context.Context, n fs.Node, set fs.SetAttr) (a fs.Attr, ok bool, err error) {
	id, isLive := l.present(n)
	o := l.find(n)
	if !isLive && (o == nil || o.stage.Load() == nil) {
		return a, false, nil
	}
	flags := fs.OpenReadWrite
	if *set.Size == 0 {
		flags |= fs.OpenTruncate
	}
	h, err := l.openLive(ctx, n, id, flags)
	if err != nil {
		return a, true, err
	}
	a, err = h.SetAttr(ctx, set)
	return a, true, errors.Join(err, h.Flush(ctx), h.Release(ctx))
}

// create makes or opens a file under a name that may be live, or may have been until just now.
func (l *live) create(ctx context.Context, dir fs.Dir, name string, o fs.CreateOptions) (fs.Node, fs.Handle, error) {
	p := l.t.childPath(dir, name)
	if !l.idle() && !o.Flags.Has(fs.OpenExclusive) {
		if n, err := dir.Lookup(ctx, name); err == nil {
			if h, ok, err := l.opens(ctx, n, o.Flags); ok || err != nil {
				return n, h, err
			}
		}
	}
	away := l.departed(p)
	var base fs.Version
	if away != nil {
		base = l.base(fs.CauseOf(ctx), p)
	}
	n, h, err := dir.Create(ctx, name, o)
	if err != nil {
		return nil, nil, err
	}
	if away != nil {
		l.adopt(ctx, away, n)
	}
	if o.Flags.Has(fs.OpenWrite) {
		h = l.watch(ctx, h, base, away != nil || o.Flags.Has(fs.OpenTruncate))
	}
	return n, h, nil
}

// rename moves a file onto a live one, or to a name that was live until just now; ok is false for any other.
func (l *live) rename(ctx context.Context, dir fs.Dir, name string, to fs.Dir, newName string, flags fs.RenameFlags) (ok bool, err error) {
	if l.idle() || flags == fs.RenameExchange {
		return false, nil
	}
	src, err := dir.Lookup(ctx, name)
	if err != nil {
		return false, nil //nolint:nilerr // the drive says so better
	}
	if _, isDir := src.(fs.Dir); isDir {
		return false, nil
	}
	p := l.t.childPath(to, newName)
	dst, err := to.Lookup(ctx, newName)
	if err != nil {
		return l.renameBack(ctx, src, dir, name, to, newName, flags)
	}
	id, isLive := l.present(dst)
	if !isLive || flags != 0 || src == dst {
		return false, nil
	}
	base := l.base(fs.CauseOf(ctx), p)
	return true, l.absorbRename(ctx, src, dir, name, written{id: id, path: p, base: base, cause: fs.CauseOf(ctx)})
}

// absorbRename merges the file src into a live document. Its name vanishes.
func (l *live) absorbRename(ctx context.Context, src fs.Node, dir fs.Dir, name string, w written) error {
	h, err := src.Open(ctx, fs.OpenRead)
	if err != nil {
		return err
	}
	defer h.Release(ctx) //nolint:errcheck // nothing was written
	w.from = func() io.Reader { return io.NewSectionReader(readerAt{context.WithoutCancel(ctx), h}, 0, 1<<62) }
	if err := l.stage(&w); err != nil {
		return err
	}
	l.deliver(ctx, w)
	if err := dir.Remove(ctx, name, false); err != nil {
		return err
	}
	l.displaced(ctx, src, w)
	return nil
}

// displaced tells observers that the name does not have the node src, which the kernel has moved there.
func (l *live) displaced(ctx context.Context, src fs.Node, w written) {
	n, p, err := l.t.Resolve(ctx, w.path)
	if err != nil {
		return // it was removed meanwhile
	}
	if m, err := l.t.of(src); err == nil {
		l.t.tell(m, fs.Change{Drive: src.Drive(), FileID: w.id, Path: p, Op: fs.OpReplace, Type: fs.File, Node: n, Old: src,
			Cause: fs.Cause{Origin: fs.OriginRoom}, Time: time.Now()})
	}
}

// stage copies bytes whose file is about to vanish to a staging file.
func (l *live) stage(w *written) error {
	m, rel, err := l.t.split(w.path)
	if err != nil {
		return err
	}
	f, name, err := l.staging.create()
	if err != nil {
		return fs.Wrap("staging", string(w.path), err)
	}
	w.rec = &record{Name: name, Drive: fs.FileID(m.drive.ID()), Path: []byte(rel), FileID: w.id, Actor: w.cause.Actor}
	w.data = f
	_, err = io.Copy(f, w.from())
	if err == nil {
		err = l.staging.commit(*w.rec, f, false)
	}
	return errors.Join(err, f.Close())
}

// renameBack moves a file to a free name; ok is false if that was not live until just now.
func (l *live) renameBack(ctx context.Context, src fs.Node, dir fs.Dir, name string, to fs.Dir, newName string,
	flags fs.RenameFlags,
) (ok bool, err error) {
	p := l.t.childPath(to, newName)
	away := l.departed(p)
	if away == nil {
		return false, nil
	}
	if id, err := src.FileID(ctx); err != nil || id == away.id {
		return false, nil //nolint:nilerr // the document itself comes back, or the drive says what is wrong
	}
	cause := fs.CauseOf(ctx)
	base := l.base(cause, p)
	if err := dir.Rename(ctx, name, to, newName, flags); err != nil {
		return true, err
	}
	if l.adopt(ctx, away, src) {
		l.absorbNode(ctx, away.id, src, base, cause)
	}
	return true, nil
}

// replace merges a save into a live document; ok is false for any other file, and for saves by the document itself.
func (l *live) replace(ctx context.Context, pl Place, r io.Reader, o fs.ReplaceOptions) (res fs.Replaced, ok bool, err error) {
	if pl.Node == nil || fs.CauseOf(ctx).Origin == fs.OriginRoom {
		return res, false, nil
	}
	id, isLive := l.present(pl.Node)
	if !isLive {
		return res, false, nil
	}
	if o.IfAbsent {
		return res, true, &fs.Error{Op: "save", Path: string(pl.Real), Kind: fs.Exist}
	}
	data, err := load(r)
	if err != nil {
		return res, true, fs.Wrap("save", string(pl.Real), err)
	}
	a := fs.Absorption{ID: id, Path: pl.Real, Base: o.Base, Data: data, Cause: fs.CauseOf(ctx)}
	if a.Base == "" {
		a.Base = o.IfVersion
	}
	before := l.seq(id)
	if err := l.t.opts.Live.Absorb(ctx, a); err != nil {
		return res, true, fs.Wrap("save", string(pl.Real), err)
	}
	n, err := pl.Dir.Lookup(ctx, pl.Name)
	if err != nil {
		return res, true, fs.Wrap("save", string(pl.Real), err)
	}
	res.Node = n
	if after := l.seq(id); after != before {
		res.Seq = after
	}
	res.Attr, err = n.Attr(ctx)
	return res, true, fs.Wrap("save", string(pl.Real), err)
}

// seq is that of the last change of a live document.
func (l *live) seq(id fs.FileID) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d := l.docs[id]; d != nil {
		return d.seq
	}
	return 0
}
