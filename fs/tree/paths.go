package tree

import (
	"context"
	"crypto/sha256"
	"errors"
	"io"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Replace makes r the whole contents of the file p; see [fs.Drive]. Symbolic links are followed inside the drive.
func (t *Tree) Replace(ctx context.Context, p fs.Path, r io.Reader, o fs.ReplaceOptions) (fs.Replaced, error) {
	pl, err := t.Find(ctx, p, true)
	if err != nil {
		return fs.Replaced{}, fs.Wrap("save", string(p), err)
	}
	return t.ReplaceAt(ctx, pl, r, o)
}

// ReplaceAt is Replace at a place that was found, whatever leads there now.
func (t *Tree) ReplaceAt(ctx context.Context, pl Place, r io.Reader, o fs.ReplaceOptions) (fs.Replaced, error) {
	p := pl.Real
	m, rel, err := t.target("save", pl)
	if err != nil {
		return fs.Replaced{}, err
	}
	if _, isDir := pl.Node.(fs.Dir); isDir {
		return fs.Replaced{}, &fs.Error{Op: "save", Path: string(p), Kind: fs.IsDir}
	}
	if res, ok, err := t.live.replace(ctx, pl, r, o); ok || err != nil {
		return res, err
	}
	sum := sha256.New()
	res, err := m.drive.Replace(ctx, rel, hashingReader{r, sum}, o)
	if err != nil {
		return res, fs.Wrap("save", string(p), err)
	}
	t.hashes.put(hashKey{res.Node.Ino(), res.Attr.Version}, Sum(sum.Sum(nil)))
	t.seen(ctx, m)
	return res, nil
}

// target returns the drive and the path in it of something that is about to be made or replaced.
func (t *Tree) target(op string, pl Place) (m *mounted, rel string, err error) {
	if pl.Dir == nil {
		return nil, "", &fs.Error{Op: op, Path: string(pl.Real), Kind: fs.NotPermitted, Err: errors.New("this is the top of a drive")}
	}
	if err := t.mayHold(op, pl.Dir, pl.Name); err != nil {
		return nil, "", err
	}
	return t.split(pl.Real)
}

// MkdirPath makes the directory p; its parent must exist.
func (t *Tree) MkdirPath(ctx context.Context, p fs.Path, o fs.CreateOptions) (fs.Dir, error) {
	pl, err := t.Find(ctx, p, false)
	if err != nil {
		return nil, fs.Wrap("mkdir", string(p), err)
	}
	return t.MkdirAt(ctx, pl, o)
}

// MkdirAt is MkdirPath at a place that was found, whatever leads there now.
func (t *Tree) MkdirAt(ctx context.Context, pl Place, o fs.CreateOptions) (fs.Dir, error) {
	p := pl.Real
	if pl.Node != nil {
		return nil, &fs.Error{Op: "mkdir", Path: string(p), Kind: fs.Exist}
	}
	d, err := t.Mkdir(ctx, pl.Dir, pl.Name, o)
	return d, fs.Wrap("mkdir", string(p), err)
}

// RemovePath removes what p names, a link itself and not its target. With all a directory goes with everything below it.
func (t *Tree) RemovePath(ctx context.Context, p fs.Path, all bool) error {
	pl, err := t.Find(ctx, p, false)
	if err != nil {
		return fs.Wrap("remove", string(p), err)
	}
	return t.RemoveAt(ctx, pl, all)
}

// RemoveAt is RemovePath at a place that was found, whatever leads there now.
func (t *Tree) RemoveAt(ctx context.Context, pl Place, all bool) error {
	p := pl.Real
	switch {
	case pl.Node == nil:
		return &fs.Error{Op: "remove", Path: string(p), Kind: fs.NotExist}
	case pl.Dir == nil:
		return &fs.Error{Op: "remove", Path: string(p), Kind: fs.NotPermitted, Err: errors.New("a drive's top folder cannot be removed")}
	}
	dir, isDir := pl.Node.(fs.Dir)
	if isDir && all {
		if err := t.empty(ctx, dir); err != nil {
			return fs.Wrap("remove", string(p), err)
		}
	}
	return fs.Wrap("remove", string(p), t.Unlink(ctx, pl.Dir, pl.Name, isDir))
}

// empty removes everything in a directory.
func (t *Tree) empty(ctx context.Context, dir fs.Dir) error {
	entries, err := t.entries(ctx, dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := dir.Lookup(ctx, e.Name)
		if err != nil {
			if fs.KindOf(err) == fs.NotExist {
				continue
			}
			return err
		}
		sub, isDir := n.(fs.Dir)
		if isDir {
			if err := t.empty(ctx, sub); err != nil {
				return err
			}
		}
		if err := dir.Remove(ctx, e.Name, isDir); err != nil && fs.KindOf(err) != fs.NotExist {
			return fs.Wrap("remove", e.Name, err)
		}
	}
	return nil
}

// entries returns all entries of a directory but the daemon's own.
func (t *Tree) entries(ctx context.Context, dir fs.Dir) ([]fs.Entry, error) {
	l, err := t.List(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	var all []fs.Entry
	for e, err := range fs.Entries(ctx, l) {
		if err != nil {
			return nil, err
		}
		all = append(all, e)
	}
	return all, nil
}

// RenamePath moves what from names, a link itself, to the free path to. Between two drives it is copied, then removed.
func (t *Tree) RenamePath(ctx context.Context, from, to fs.Path) error {
	src, dst, err := t.pair(ctx, "rename", from, to)
	if err != nil {
		return err
	}
	return t.RenameAt(ctx, src, dst)
}

// RenameAt is RenamePath between places that were found, whatever leads there now.
func (t *Tree) RenameAt(ctx context.Context, src, dst Place) error {
	from := src.Real
	if err := t.checkPair("rename", src, dst); err != nil {
		return err
	}
	if src.Dir == nil {
		return &fs.Error{Op: "rename", Path: string(from), Kind: fs.NotPermitted, Err: errors.New("a drive is renamed in the configuration")}
	}
	if src.Node.Drive() == dst.Dir.Drive() {
		return fs.Wrap("rename", string(from), t.Move(ctx, src.Dir, src.Name, dst.Dir, dst.Name, fs.RenameNoReplace))
	}
	if err := t.copyInto(ctx, src.Node, dst.Dir, dst.Name); err != nil {
		return fs.Wrap("rename", string(from), err)
	}
	return t.RemoveAt(ctx, src, true)
}

// CopyPath makes the free path to a copy of the file or directory from.
func (t *Tree) CopyPath(ctx context.Context, from, to fs.Path) error {
	src, dst, err := t.pair(ctx, "copy", from, to)
	if err != nil {
		return err
	}
	return t.CopyAt(ctx, src, dst)
}

// CopyAt is CopyPath between places that were found, whatever leads there now.
func (t *Tree) CopyAt(ctx context.Context, src, dst Place) error {
	from := src.Real
	if err := t.checkPair("copy", src, dst); err != nil {
		return err
	}
	if dst.Real != src.Real && dst.Real.Within(src.Real) {
		return &fs.Error{Op: "copy", Path: string(from), Kind: fs.Invalid, Err: errors.New("a folder cannot be copied into itself")}
	}
	if err := t.copyInto(ctx, src.Node, dst.Dir, dst.Name); err != nil {
		return fs.Wrap("copy", string(from), err)
	}
	t.copyCompanions(ctx, src.Real, dst.Real)
	t.seenOf(ctx, dst.Dir)
	return nil
}

// pair finds the two ends of a copy or rename.
func (t *Tree) pair(ctx context.Context, op string, from, to fs.Path) (src, dst Place, err error) {
	if src, err = t.Find(ctx, from, op == "copy"); err != nil {
		return src, dst, fs.Wrap(op, string(from), err)
	}
	dst, err = t.Find(ctx, to, false)
	return src, dst, fs.Wrap(op, string(to), err)
}

// checkPair checks the two ends of a copy or rename: the first must exist, the second must not.
func (t *Tree) checkPair(op string, src, dst Place) error {
	switch {
	case src.Node == nil:
		return &fs.Error{Op: op, Path: string(src.Real), Kind: fs.NotExist}
	case dst.Dir == nil:
		return &fs.Error{Op: op, Path: string(dst.Real), Kind: fs.NotPermitted, Err: errors.New("the top folder holds only drives")}
	case dst.Node != nil && dst.Node != src.Node:
		return &fs.Error{Op: op, Path: string(dst.Real), Kind: fs.Exist}
	}
	return t.mayHold(op, dst.Dir, dst.Name)
}

// copyInto copies a node of any type to a free name.
func (t *Tree) copyInto(ctx context.Context, n fs.Node, dir fs.Dir, name string) error {
	if sub, ok := n.(fs.Dir); ok {
		return t.copyDir(ctx, sub, dir, name)
	}
	a, err := n.Attr(ctx)
	if err != nil {
		return err
	}
	switch a.Type() {
	case fs.Symlink:
		target, err := t.Readlink(ctx, n)
		if err != nil {
			return err
		}
		_, err = t.Symlink(ctx, dir, name, target, fs.CreateOptions{})
		return err
	case fs.File:
		return t.copyFile(ctx, n, a, dir, name)
	}
	return &fs.Error{Op: "copy", Path: name, Kind: fs.Unsupported, Err: errors.New("only files, folders and links can be copied")}
}

func (t *Tree) copyFile(ctx context.Context, n fs.Node, a fs.Attr, dir fs.Dir, name string) error {
	m, err := t.of(dir)
	if err != nil {
		return err
	}
	_, rel, err := t.split(t.childPath(dir, name))
	if err != nil {
		return err
	}
	if src, named := n.Path(); named && n.Drive() == dir.Drive() {
		_, err = m.drive.Copy(ctx, src, rel)
		return err
	}
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return err
	}
	defer h.Release(ctx) //nolint:errcheck // nothing was written
	r := io.NewSectionReader(readerAt{ctx, h}, 0, 1<<62)
	_, err = m.drive.Replace(ctx, rel, r, fs.ReplaceOptions{IfAbsent: true, Mode: a.Mode & fs.ModePerm, ModTime: a.Mtime})
	return err
}

func (t *Tree) copyDir(ctx context.Context, src, dir fs.Dir, name string) error {
	a, err := src.Attr(ctx)
	if err != nil {
		return err
	}
	entries, err := t.entries(ctx, src)
	if err != nil {
		return err
	}
	made, err := t.Mkdir(ctx, dir, name, fs.CreateOptions{Mode: a.Mode & fs.ModePerm})
	if err != nil {
		return err
	}
	for _, e := range entries {
		n, err := src.Lookup(ctx, e.Name)
		if err != nil {
			if fs.KindOf(err) == fs.NotExist {
				continue
			}
			return err
		}
		if err := t.copyInto(ctx, n, made, e.Name); err != nil {
			return fs.Wrap("copy", e.Name, err)
		}
	}
	return nil
}
