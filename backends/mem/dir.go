package mem

import (
	"context"
	"io"
	"maps"
	"slices"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// dir is a directory.
type dir struct {
	node
	children map[string]inode
	dirs     uint32 // how many of them are directories
}

var (
	_ fs.Dir       = (*dir)(nil)
	_ fs.Symlinker = (*dir)(nil)
	_ fs.Mknoder   = (*dir)(nil)
	_ fs.Xattrer   = (*dir)(nil)
)

func newDir(d *Drive, o fs.CreateOptions) *dir {
	n := &dir{children: map[string]inode{}}
	n.init(d, n, fs.ModeDir, o)
	return n
}

func (d *dir) stat() fs.Attr {
	a := d.attr
	if a.Nlink > 0 {
		a.Nlink = 2 + d.dirs
	}
	return a
}

// Open refuses: directories are listed.
func (d *dir) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, fail("open", d.where(), fs.IsDir)
}

// Lookup returns a child.
func (d *dir) Lookup(ctx context.Context, name string) (fs.Node, error) {
	if err := d.d.enter(ctx, "lookup", d.under(name)); err != nil {
		return nil, err
	}
	d.d.mu.RLock()
	defer d.d.mu.RUnlock()
	n, ok := d.children[name]
	if !ok {
		return nil, fail("lookup", name, fs.NotExist)
	}
	return n, nil
}

// under is the path of a child for messages.
func (d *dir) under(name string) string {
	if p := d.where(); p != "" {
		return p + "/" + name
	}
	return name
}

// free returns nil if name can be made here.
func (d *dir) free(name string) error {
	if d.gone() {
		return fail("create", name, fs.NotExist)
	}
	if d.children[name] != nil {
		return fail("create", name, fs.Exist)
	}
	return nil
}

// attach gives n the name, which is free.
func (d *dir) attach(t *tx, n inode, name string) {
	m := n.meta()
	m.parent, m.name = d, name
	d.children[name] = n
	if _, ok := n.(*dir); ok {
		d.dirs++
	}
	d.attr.Mtime, d.attr.Ctime = t.now, t.now
}

// detach takes a name away.
func (d *dir) detach(t *tx, name string) {
	n := d.children[name]
	m := n.meta()
	m.last, _ = m.path()
	m.parent = nil
	delete(d.children, name)
	if _, ok := n.(*dir); ok {
		d.dirs--
	}
	d.attr.Mtime, d.attr.Ctime, m.attr.Ctime = t.now, t.now, t.now
}

// unlink takes a name away for good.
func (d *dir) unlink(t *tx, name string) {
	n := d.children[name]
	d.detach(t, name)
	n.meta().attr.Nlink = 0
	if f, ok := n.(*file); ok {
		f.forget()
	}
}

// add makes a child and publishes it.
func (d *dir) add(ctx context.Context, op, name string, make func(*tx) inode) error {
	_, err := d.d.mutate(ctx, op, d.under(name), func(t *tx) error {
		if err := d.free(name); err != nil {
			return err
		}
		n := make(t)
		d.attach(t, n, name)
		t.record(fs.OpCreate, n, fs.Change{})
		return nil
	})
	return err
}

// Create makes and opens a file.
func (d *dir) Create(ctx context.Context, name string, o fs.CreateOptions) (fs.Node, fs.Handle, error) {
	var h *handle
	_, err := d.d.mutate(ctx, "create", d.under(name), func(t *tx) error {
		n, ok := d.children[name]
		if !ok || o.Flags.Has(fs.OpenExclusive) {
			if err := d.free(name); err != nil {
				return err
			}
			f := newFile(d.d, o)
			d.attach(t, f, name)
			t.record(fs.OpCreate, f, fs.Change{})
			h = f.open(o.Flags &^ fs.OpenTruncate)
			return nil
		}
		f, err := asFile(n)
		if err != nil {
			return err
		}
		h, err = f.openLocked(t, o.Flags)
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	return h.f, h, nil
}

// asFile returns n if it can be opened.
func asFile(n inode) (*file, error) {
	switch n := n.(type) {
	case *file:
		return n, nil
	case *dir:
		return nil, fail("open", n.name, fs.IsDir)
	case *symlink:
		return nil, &fs.Error{Op: "open", Path: n.name, Kind: fs.Invalid, Err: syscall.ELOOP}
	}
	return nil, &fs.Error{Op: "open", Path: n.meta().name, Kind: fs.Invalid, Err: syscall.ENXIO}
}

// Mkdir makes a directory.
func (d *dir) Mkdir(ctx context.Context, name string, o fs.CreateOptions) (fs.Dir, error) {
	var n *dir
	err := d.add(ctx, "mkdir", name, func(*tx) inode {
		n = newDir(d.d, o)
		return n
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Symlink makes a symbolic link.
func (d *dir) Symlink(ctx context.Context, name, target string, o fs.CreateOptions) (fs.Node, error) {
	l := &symlink{target: target}
	err := d.add(ctx, "symlink", name, func(*tx) inode {
		o.Mode = 0o777
		l.init(d.d, l, fs.ModeSymlink, o)
		return l
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Mknod makes a FIFO, socket or device, or a file.
func (d *dir) Mknod(ctx context.Context, name string, mode, rdev uint32, o fs.CreateOptions) (fs.Node, error) {
	var n inode
	err := d.add(ctx, "mknod", name, func(*tx) inode {
		o.Mode = mode
		if kind := mode & fs.ModeType; kind == 0 || kind == fs.ModeFile {
			n = newFile(d.d, o)
			return n
		}
		s := &special{}
		s.init(d.d, s, mode&fs.ModeType, o)
		s.attr.Rdev = rdev
		n = s
		return n
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Remove takes a name away.
func (d *dir) Remove(ctx context.Context, name string, wantDir bool) error {
	_, err := d.d.mutate(ctx, "remove", d.under(name), func(t *tx) error {
		n, ok := d.children[name]
		if !ok {
			return fail("remove", name, fs.NotExist)
		}
		sub, isDir := n.(*dir)
		switch {
		case isDir && !wantDir:
			return fail("remove", name, fs.IsDir)
		case !isDir && wantDir:
			return fail("remove", name, fs.NotDir)
		case isDir && len(sub.children) > 0:
			return fail("remove", name, fs.NotEmpty)
		}
		path, _ := n.meta().path()
		d.unlink(t, name)
		t.record(fs.OpRemove, n, fs.Change{Path: fs.Path(path)})
		return nil
	})
	return err
}

// Open refuses: the kernel reads links itself.
func (l *symlink) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, &fs.Error{Op: "open", Path: l.where(), Kind: fs.Invalid, Err: syscall.ELOOP}
}

// Readlink returns the target.
func (l *symlink) Readlink(ctx context.Context) (string, error) {
	return l.target, l.d.enter(ctx, "readlink", l.where())
}

// Open refuses: the kernel opens FIFOs and devices itself.
func (s *special) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, &fs.Error{Op: "open", Path: s.where(), Kind: fs.Invalid, Err: syscall.ENXIO}
}

// List returns a snapshot, sorted by name.
func (d *dir) List(ctx context.Context) (fs.Listing, error) {
	if err := d.d.enter(ctx, "list", d.where()); err != nil {
		return nil, err
	}
	d.d.mu.RLock()
	defer d.d.mu.RUnlock()
	return &listing{d: d, names: slices.Sorted(maps.Keys(d.children))}, nil
}

type listing struct {
	d     *dir
	names []string
}

func (l *listing) At(ctx context.Context, i int) (fs.Entry, error) {
	if err := ctx.Err(); err != nil {
		return fs.Entry{}, fs.Wrap("list", l.d.where(), err)
	}
	if i < 0 || i >= len(l.names) {
		return fs.Entry{}, io.EOF
	}
	l.d.d.mu.RLock()
	defer l.d.d.mu.RUnlock()
	name := l.names[i]
	n, ok := l.d.children[name]
	if !ok {
		return fs.Entry{}, fail("list", name, fs.NotExist)
	}
	return fs.Entry{Name: name, Node: n, Attr: n.stat()}, nil
}

func (l *listing) Close() error { return nil }
