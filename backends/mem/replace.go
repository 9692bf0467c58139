package mem

import (
	"context"
	"io"
	"maps"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// defaultMode is that of a file for which nobody has asked for another.
const defaultMode = 0o644

// Replace makes r the contents of a file.
func (d *Drive) Replace(ctx context.Context, rel string, r io.Reader, o fs.ReplaceOptions) (out fs.Replaced, err error) {
	data, ok, err := readAll(r, d.opts.MaxFileSize)
	switch {
	case err != nil:
		return fs.Replaced{}, fs.Wrap("replace", rel, err)
	case !ok:
		return fs.Replaced{}, fail("replace", rel, fs.TooLarge)
	}
	seq, err := d.mutate(ctx, "replace", rel, func(t *tx) error {
		f, err := t.put(rel, data, o)
		if err == nil {
			out.Node, out.Attr = f, f.stat()
		}
		return err
	})
	out.Seq = seq
	return out, err
}

// put gives the name rel a file with that data.
func (t *tx) put(rel string, data contents, o fs.ReplaceOptions) (*file, error) {
	at, name, err := t.d.find(rel)
	if err != nil {
		return nil, err
	}
	n := at.children[name]
	old, isFile := n.(*file)
	switch {
	case n != nil && o.IfAbsent:
		return nil, fail("replace", rel, fs.Exist)
	case n != nil && !isFile:
		_, err := asFile(n)
		return nil, err
	case o.IfVersion != "" && (old == nil || old.version() != o.IfVersion):
		return nil, fail("replace", rel, fs.Conflict)
	case old != nil && old.data.equal(&data):
		return old, nil
	case at.gone():
		return nil, fail("replace", rel, fs.NotExist)
	}
	if err := t.d.grow(data.bytes()); err != nil {
		return nil, err
	}
	f := newFile(t.d, fs.CreateOptions{Mode: o.Mode, Owner: o.Owner})
	f.data = data
	if o.Mode == 0 {
		f.attr.Mode |= defaultMode
	}
	t.swap(at, name, old, f)
	if !o.ModTime.IsZero() {
		f.attr.Mtime = o.ModTime
	}
	if old == nil {
		t.record(fs.OpCreate, f, fs.Change{})
	} else {
		t.record(fs.OpReplace, f, fs.Change{Old: old})
	}
	return f, nil
}

// swap gives the name, which old has if it is not nil, to f.
func (t *tx) swap(at *dir, name string, old, f *file) {
	if old != nil {
		if old.id.IsZero() {
			old.id = fs.NewFileID() // both are the same document
		}
		f.attr.Mode, f.attr.UID, f.attr.GID, f.attr.Btime = old.attr.Mode, old.attr.UID, old.attr.GID, old.attr.Btime
		f.xattrs, f.id = maps.Clone(old.xattrs), old.id
		old.superseded.Store(true)
		at.unlink(t, name)
	}
	at.attach(t, f, name)
}

// Copy copies a file.
func (d *Drive) Copy(ctx context.Context, src, dst string) (out fs.Replaced, err error) {
	seq, err := d.mutate(ctx, "copy", src, func(t *tx) error {
		at, name, err := d.find(src)
		if err != nil {
			return err
		}
		n, ok := at.children[name]
		if !ok {
			return fail("copy", src, fs.NotExist)
		}
		from, err := asFile(n)
		if err != nil {
			return err
		}
		f, err := t.put(dst, from.data.clone(), fs.ReplaceOptions{IfAbsent: true})
		if err != nil {
			return err
		}
		f.attr.Mode, f.xattrs = from.attr.Mode, maps.Clone(from.xattrs)
		out.Node, out.Attr = f, f.stat()
		return nil
	})
	out.Seq = seq
	return out, err
}
