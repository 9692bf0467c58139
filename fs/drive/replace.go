package drive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// defaultMode is that of a file for which nobody has asked for another.
const defaultMode = 0o644

// find returns the directory and the last name of a path. The caller unpins the directory.
func (d *Drive) find(ctx context.Context, rel string) (*dir, string, error) {
	at := d.root
	for {
		name, rest, more := strings.Cut(rel, "/")
		if err := fs.CheckName(name); err != nil {
			return nil, "", err
		}
		if !more {
			at.pin()
			if err := at.fresh(ctx, name); err != nil {
				at.unpin()
				return nil, "", err
			}
			return at, name, nil
		}
		n, err := at.child(ctx, name)
		if err != nil {
			return nil, "", err
		}
		var ok bool
		if at, ok = n.(*dir); !ok {
			return nil, "", fail("find", rel, fs.NotDir)
		}
		rel = rest
	}
}

// Replace makes r the contents of a file. A condition is compared with what the store has now, if it can be reached. It is durable on this machine when Replace returns, and with [CloseUpload] in the store.
func (d *Drive) Replace(ctx context.Context, rel string, r io.Reader, o fs.ReplaceOptions) (out fs.Replaced, err error) {
	if err := ctx.Err(); err != nil {
		return out, fs.Wrap("replace", rel, err)
	}
	if d.opts.ReadOnly {
		return out, fail("replace", rel, fs.ReadOnly)
	}
	if o.IfVersion != "" && fs.SinceOf(ctx).IsZero() {
		ctx = fs.WithSince(ctx, time.Now())
	}
	x, name, err := d.find(ctx, rel)
	if err != nil {
		return out, fs.Wrap("replace", rel, err)
	}
	defer x.unpin()
	if err := d.throttle(ctx); err != nil {
		return out, fs.Wrap("replace", rel, err)
	}
	w := &replacement{d: d, x: x, name: name, rel: rel, o: o}
	defer w.end()
	if err := w.stage(ctx, r); err != nil {
		return out, fs.Wrap("replace", rel, err)
	}
	out, err = w.put(ctx)
	if err != nil {
		return out, err
	}
	if err := d.journal.Sync(context.WithoutCancel(ctx)); err != nil {
		return out, fs.Wrap("replace", rel, err)
	}
	if d.opts.Close == CloseUpload {
		err = d.waitFor(ctx, out.Node.(*file))
	}
	return out, err
}

// replacement is a Replace under way.
type replacement struct {
	d    *Drive
	x    *dir
	name string
	rel  string
	o    fs.ReplaceOptions
	l    *layer // the new bytes
	size int64
}

// stage writes the new bytes to a layer.
func (w *replacement) stage(ctx context.Context, r io.Reader) error {
	w.d.mu.Lock()
	id := w.d.next()
	w.d.mu.Unlock()
	var err error
	if w.l, err = w.d.staging.create(id, 0); err != nil {
		return err
	}
	w.d.mu.Lock()
	w.l.refs = 1
	w.d.mu.Unlock()
	buf := make([]byte, 256<<10)
	for {
		n, err := r.Read(buf)
		if ended := ctx.Err(); ended != nil {
			return ended
		}
		if fits := w.d.fits(w.size, int64(n)); fits != nil {
			return fits
		}
		if failed := w.l.write(buf[:n], w.size); failed != nil {
			return failed
		}
		w.size += int64(n)
		if errors.Is(err, io.EOF) {
			return w.l.sync()
		}
		if err != nil {
			return err
		}
	}
}

// end lets go of the layer.
func (w *replacement) end() {
	if w.l == nil {
		return
	}
	w.d.mu.Lock()
	defer w.d.mu.Unlock()
	w.d.unref([]*layer{w.l})
}

// put gives the name a file with the new bytes.
func (w *replacement) put(ctx context.Context) (out fs.Replaced, err error) {
	for {
		old, same, err := w.compare(ctx)
		if err != nil {
			return out, fs.Wrap("replace", w.rel, err)
		}
		again := false
		seq, err := w.d.mutate(context.WithoutCancel(ctx), "replace", w.rel, func(t *tx) error {
			n := w.x.children[w.name]
			if again = n != old.node(); again {
				return nil
			}
			if f, ok := n.(*file); ok && f.stat().Version != old.version {
				again = true
				return nil
			}
			f, err := w.swap(t, old.f, n, same)
			if err == nil {
				out.Node, out.Attr = f, f.stat()
			}
			return err
		})
		if !again || err != nil {
			out.Seq = seq
			return out, err
		}
	}
}

// former is what a name had before.
type former struct {
	n       inode
	f       *file // n, if it is one
	version version
}

func (o former) node() inode { return o.n }

// compare returns what the name has now, and whether that has the same bytes already.
func (w *replacement) compare(ctx context.Context) (old former, same bool, err error) {
	w.d.mu.RLock()
	old.n = w.x.children[w.name]
	old.f, _ = old.n.(*file)
	w.d.mu.RUnlock()
	if old.f == nil {
		return old, false, nil
	}
	now, err := old.f.revalidate(ctx, untoldType)
	if err != nil {
		return old, false, err
	}
	if now != old.n {
		old.n = now
		if old.f, _ = now.(*file); old.f == nil {
			return old, false, nil
		}
	}
	w.d.mu.RLock()
	a := old.f.stat() // what programs on the mount have written is not to be lost either
	w.d.mu.RUnlock()
	old.version = a.Version
	if a.Size != w.size || w.o.IfAbsent || w.o.IfVersion != "" && w.o.IfVersion != a.Version {
		return old, false, nil
	}
	h, err := old.f.openNow(ctx, fs.OpenRead)
	if err != nil {
		return old, false, nil // it has gone meanwhile, which swap will see
	}
	defer func() { _ = h.Release(ctx) }() // nothing is written through it
	if same, err = sameBytes(ctx, h, w.l.f, w.size); err != nil || !same {
		return old, false, nil
	}
	return old, true, h.Sync(ctx) // they may be nobody's word yet
}

// sameBytes compares.
func sameBytes(ctx context.Context, h *handle, with io.ReaderAt, size int64) (bool, error) {
	a, b := make([]byte, 256<<10), make([]byte, 256<<10)
	for off := int64(0); off < size; {
		n := int(min(int64(len(a)), size-off))
		if m, err := h.ReadAt(ctx, a[:n], off); m < n {
			return false, err
		}
		if err := readFull(with, b[:n], off); err != nil {
			return false, err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
		off += int64(n)
	}
	return true, nil
}

// swap does the work of put.
func (w *replacement) swap(t *tx, old *file, n inode, same bool) (*file, error) {
	switch {
	case n != nil && w.o.IfAbsent:
		return nil, fail("replace", w.rel, fs.Exist)
	case n != nil && old == nil:
		_, err := asFile(n)
		return nil, err
	case w.o.IfVersion != "" && (old == nil || old.stat().Version != w.o.IfVersion):
		return nil, fail("replace", w.rel, fs.Conflict)
	case same:
		return old, nil
	case !w.x.named():
		return nil, fail("replace", w.rel, fs.NotExist)
	case w.x.reserved(w.name):
		return nil, fail("replace", w.rel, fs.Exist)
	}
	if err := w.x.checkKey(w.name); err != nil {
		return nil, err
	}
	f := t.newFile(fs.CreateOptions{Mode: w.o.Mode, Owner: w.o.Owner}, &content{stack: []*layer{w.l}, size: w.size})
	if w.o.Mode == 0 {
		f.m.mode |= defaultMode
	}
	if old != nil {
		t.succeed(old, f)
		t.unlink(w.x, w.name)
		t.after = append(t.after, func() { old.superseded.Store(true) })
	}
	if !w.o.ModTime.IsZero() {
		f.m.mtime = w.o.ModTime.UnixNano()
	}
	t.attach(w.x, f, w.name, settleAfter)
	if old == nil {
		t.record(fs.OpCreate, f, fs.Change{})
	} else {
		t.record(fs.OpReplace, f, fs.Change{Old: old})
	}
	return f, nil
}

// newFile makes a file that has contents from the start.
func (t *tx) newFile(o fs.CreateOptions, c *content) *file {
	f := &file{}
	f.init(t, f, fs.ModeFile, o)
	f.m.version = t.d.newVersion()
	if c != nil {
		if c.gen == 0 {
			c.gen = t.d.next()
		}
		f.m.size = c.size
		f.m.edit(func(m *more) { m.content = c })
		t.after = append(t.after, func() { t.d.ref(c.stack) })
	}
	return f
}

// succeed makes f the same document as old.
func (t *tx) succeed(old, f *file) {
	before := old.m.get()
	if before.id.IsZero() && old.m.untold&untoldID == 0 {
		t.setID(old, fs.NewFileID())
		before = old.m.get()
	}
	f.m.mode, f.m.uid, f.m.gid = old.m.mode, old.m.uid, old.m.gid
	if f.m.untold = old.m.untold &^ untoldTime; f.m.untold != 0 {
		t.setAt(f, old.m.at)
	}
	f.m.edit(func(m *more) { m.xattrs, m.id, m.btime = maps.Clone(before.xattrs), before.id, before.btime })
	if is := t.d.conflicts.copies[old]; is != (loser{}) {
		f.m.edit(func(m *more) { m.conflict = before.conflict })
		t.noteConflict(f, is)
	}
}

// Copy copies a file: on the store's side, later, what the store has.
func (d *Drive) Copy(ctx context.Context, src, dst string) (out fs.Replaced, err error) {
	if err := ctx.Err(); err != nil {
		return out, fs.Wrap("copy", src, err)
	}
	from, err := d.source(ctx, src)
	if err != nil {
		return out, fs.Wrap("copy", src, err)
	}
	x, name, err := d.find(ctx, dst)
	if err != nil {
		return out, fs.Wrap("copy", dst, err)
	}
	defer x.unpin()
	seq, err := d.mutate(ctx, "copy", dst, func(t *tx) error {
		if err := x.free(name); err != nil {
			return err
		}
		if err := x.checkKey(name); err != nil {
			return err
		}
		if !from.named() {
			return fail("copy", src, fs.NotExist)
		}
		v := from.view()
		var c *content
		if from.m.get().content != nil {
			c = &content{stack: v.stack, size: v.size, gen: from.m.get().content.gen}
		}
		f := t.newFile(fs.CreateOptions{Mode: from.m.mode & fs.ModePerm}, c)
		f.m.size, f.m.uid, f.m.gid, f.m.untold = from.m.size, from.m.uid, from.m.gid, from.m.untold&(untoldMode|untoldType)
		f.m.edit(func(m *more) { m.xattrs, m.id = maps.Clone(from.m.get().xattrs), fs.NewFileID() })
		if v.at.version != "" && (!v.complete() || f.m.untold != 0) {
			t.setAt(f, v.at)
			f.m.metaDirty = true // what the store copies has the attributes of the other
			f.m.edit(func(m *more) { m.sent = from.m.sentBefore() })
		}
		t.attach(x, f, name, settleAfter)
		t.record(fs.OpCreate, f, fs.Change{})
		out.Node, out.Attr = f, f.stat()
		return nil
	})
	out.Seq = seq
	return out, err
}

// source returns the file to be copied, with all that was written to it committed.
func (d *Drive) source(ctx context.Context, src string) (*file, error) {
	x, name, err := d.find(ctx, src)
	if err != nil {
		return nil, err
	}
	defer x.unpin()
	n, err := x.child(ctx, name)
	if err != nil {
		return nil, err
	}
	f, err := asFile(n)
	if err != nil {
		return nil, err
	}
	now, err := f.revalidate(ctx, untoldType|untoldMode)
	if err != nil {
		return nil, err
	}
	if f, _ = now.(*file); f == nil {
		return nil, fail("copy", src, fs.NotExist)
	}
	c, err := f.hold("copy", false)
	if err != nil {
		return nil, err
	}
	err = c.commit(ctx)
	d.mu.Lock()
	defer d.mu.Unlock()
	f.release(false)
	return f, err
}
