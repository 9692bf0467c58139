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
	pl, m, rel, err := t.target(ctx, "save", p)
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

// target resolves the path of something that is about to be made or replaced.
func (t *Tree) target(ctx context.Context, op string, p fs.Path) (pl Place, m *mounted, rel string, err error) {
	pl, err = t.Find(ctx, p, true)
	if err != nil {
		return pl, nil, "", fs.Wrap(op, string(p), err)
	}
	if pl.Dir == nil {
		return pl, nil, "", &fs.Error{Op: op, Path: string(p), Kind: fs.NotPermitted, Err: errors.New("this is the top of a drive")}
	}
	if err := t.mayHold(op, pl.Dir, pl.Name); err != nil {
		return pl, nil, "", err
	}
	m, rel, err = t.split(pl.Real)
	return pl, m, rel, err
}

// MkdirPath makes the directory p; its parent must exist.
func (t *Tree) MkdirPath(ctx context.Context, p fs.Path, o fs.CreateOptions) (fs.Dir, error) {
	pl, err := t.Find(ctx, p, false)
	if err != nil {
		return nil, fs.Wrap("mkdir", string(p), err)
	}
	if pl.Node != nil {
		return nil, &fs.Error{Op: "mkdir", Path: string(p), Kind: fs.Exist}
	}
	d, err := t.Mkdir(ctx, pl.Dir, pl.Name, o)
	return d, fs.Wrap("mkdir", string(p), err)
}

// RemovePath removes what p names, a link itself and not its target. With all a directory goes with everything below it.
func (t *Tree) RemovePath(ctx context.Context, p fs.Path, all bool) error {
	pl, err := t.Find(ctx, p, false)
	switch {
	case err != nil:
		return fs.Wrap("remove", string(p), err)
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
	if src.Dir == nil {
		return &fs.Error{Op: "rename", Path: string(from), Kind: fs.NotPermitted, Err: errors.New("a drive is renamed in the configuration")}
	}
	if src.Node.Drive() == dst.Dir.Drive() {
		return fs.Wrap("rename", string(from), t.Move(ctx, src.Dir, src.Name, dst.Dir, dst.Name, fs.RenameNoReplace))
	}
	if err := t.copyInto(ctx, src.Node, dst.Dir, dst.Name); err != nil {
		return fs.Wrap("rename", string(from), err)
	}
	return t.RemovePath(ctx, from, true)
}

// CopyPath makes the free path to a copy of the file or directory from.
func (t *Tree) CopyPath(ctx context.Context, from, to fs.Path) error {
	src, dst, err := t.pair(ctx, "copy", from, to)
	if err != nil {
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

// pair finds the two ends of a copy or rename: the first must exist, the second must not.
func (t *Tree) pair(ctx context.Context, op string, from, to fs.Path) (src, dst Place, err error) {
	if src, err = t.Find(ctx, from, op == "copy"); err != nil {
		return src, dst, fs.Wrap(op, string(from), err)
	}
	if src.Node == nil {
		return src, dst, &fs.Error{Op: op, Path: string(from), Kind: fs.NotExist}
	}
	if dst, err = t.Find(ctx, to, false); err != nil {
		return src, dst, fs.Wrap(op, string(to), err)
	}
	if dst.Dir == nil {
		return src, dst, &fs.Error{Op: op, Path: string(to), Kind: fs.NotPermitted, Err: errors.New("the top folder holds only drives")}
	}
	if dst.Node != nil && dst.Node != src.Node {
		return src, dst, &fs.Error{Op: op, Path: string(to), Kind: fs.Exist}
	}
	return src, dst, t.mayHold(op, dst.Dir, dst.Name)
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
