package access

import (
	"context"
	"errors"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Nodes are the operations of a view by node, for the mount.
type Nodes struct{ v *View }

// Nodes returns the operations by node.
func (v *View) Nodes() *Nodes { return &Nodes{v} }

// Root returns the top directory.
func (s *Nodes) Root() fs.Dir { return s.v.t.Root() }

// Path returns where a node is in the tree, or last was and false once it has no name.
func (s *Nodes) Path(n fs.Node) (fs.Path, bool) { return s.v.t.Path(n) }

// Live reports whether a file is being edited live.
func (s *Nodes) Live(n fs.Node) bool { return s.v.t.IsLive(n) }

// Settle waits, at most [tree.SettleWait], until what is unsaved of a live file is saved. For any other it returns at once.
func (s *Nodes) Settle(ctx context.Context, n fs.Node) { s.v.t.Settle(ctx, n) }

// Access asks whether the principal may do a to a node.
func (s *Nodes) Access(ctx context.Context, n fs.Node, a fs.Action) error {
	p, _ := s.v.t.Path(n)
	return s.v.may(ctx, a, p)
}

// child asks about a name in a directory.
func (s *Nodes) child(ctx context.Context, a fs.Action, dir fs.Dir, name string) error {
	p, _ := s.v.t.Path(dir)
	return s.v.may(ctx, a, p.Join(name))
}

// Lookup returns the child of that name as it is now.
func (s *Nodes) Lookup(ctx context.Context, dir fs.Dir, name string) (fs.Node, error) {
	if err := s.child(ctx, fs.Read, dir, name); err != nil {
		return nil, err
	}
	return s.v.t.Lookup(ctx, dir, name)
}

// List returns a snapshot of a directory with what the principal may read.
func (s *Nodes) List(ctx context.Context, dir fs.Dir) (fs.Listing, error) {
	if err := s.Access(ctx, dir, fs.Read); err != nil {
		return nil, err
	}
	return s.v.list(ctx, dir)
}

// Attr returns a node's attributes.
func (s *Nodes) Attr(ctx context.Context, n fs.Node) (fs.Attr, error) {
	if err := s.Access(ctx, n, fs.Read); err != nil {
		return fs.Attr{}, err
	}
	return s.v.t.Attr(s.v.cause(ctx), n)
}

// SetAttr changes them.
func (s *Nodes) SetAttr(ctx context.Context, n fs.Node, set fs.SetAttr) (fs.Attr, error) {
	if err := s.Access(ctx, n, fs.Write); err != nil {
		return fs.Attr{}, err
	}
	return s.v.t.SetAttr(s.v.cause(ctx), n, set)
}

// Open opens a file. The handle asks again when the policy's epoch moves.
func (s *Nodes) Open(ctx context.Context, n fs.Node, flags fs.OpenFlags) (fs.Handle, error) {
	f := s.v.file(n, flags)
	if err := f.decide(ctx); err != nil {
		return nil, err
	}
	h, err := s.v.t.Open(s.v.cause(ctx), n, flags)
	if err != nil {
		return nil, err
	}
	f.h = h
	return f, nil
}

// Create makes and opens a file.
func (s *Nodes) Create(ctx context.Context, dir fs.Dir, name string, o fs.CreateOptions) (fs.Node, fs.Handle, error) {
	if err := s.child(ctx, fs.Write, dir, name); err != nil {
		return nil, nil, err
	}
	n, h, err := s.v.t.Create(s.v.cause(ctx), dir, name, o)
	if err != nil {
		return nil, nil, err
	}
	f := s.v.file(n, o.Flags|fs.OpenWrite)
	f.h = h
	return n, f, nil
}

// Mkdir makes a directory.
func (s *Nodes) Mkdir(ctx context.Context, dir fs.Dir, name string, o fs.CreateOptions) (fs.Dir, error) {
	if err := s.child(ctx, fs.Write, dir, name); err != nil {
		return nil, err
	}
	return s.v.t.Mkdir(s.v.cause(ctx), dir, name, o)
}

// Mknod makes a FIFO, socket or device.
func (s *Nodes) Mknod(ctx context.Context, dir fs.Dir, name string, mode, rdev uint32, o fs.CreateOptions) (fs.Node, error) {
	if err := s.child(ctx, fs.Write, dir, name); err != nil {
		return nil, err
	}
	return s.v.t.Mknod(s.v.cause(ctx), dir, name, mode, rdev, o)
}

// Symlink makes a symbolic link.
func (s *Nodes) Symlink(ctx context.Context, dir fs.Dir, name, target string, o fs.CreateOptions) (fs.Node, error) {
	if err := s.child(ctx, fs.Write, dir, name); err != nil {
		return nil, err
	}
	return s.v.t.Symlink(s.v.cause(ctx), dir, name, target, o)
}

// Link makes a hard link. It needs the right to write at both names: writing through one changes the other.
func (s *Nodes) Link(ctx context.Context, n fs.Node, dir fs.Dir, name string) (fs.Node, error) {
	if err := s.Access(ctx, n, fs.Write); err != nil {
		return nil, err
	}
	if err := s.child(ctx, fs.Write, dir, name); err != nil {
		return nil, err
	}
	return s.v.t.Link(s.v.cause(ctx), n, dir, name)
}

// Readlink returns a symbolic link's target as text.
func (s *Nodes) Readlink(ctx context.Context, n fs.Node) (string, error) {
	if err := s.Access(ctx, n, fs.Read); err != nil {
		return "", err
	}
	return s.v.t.Readlink(ctx, n)
}

// Remove takes a name away: of an empty directory if isDir, of anything else if not.
func (s *Nodes) Remove(ctx context.Context, dir fs.Dir, name string, isDir bool) error {
	if err := s.child(ctx, fs.Write, dir, name); err != nil {
		return err
	}
	return s.v.t.Unlink(s.v.cause(ctx), dir, name, isDir)
}

// Rename moves a child, with everything below it.
func (s *Nodes) Rename(ctx context.Context, dir fs.Dir, name string, to fs.Dir, newName string, flags fs.RenameFlags) error {
	for _, end := range []struct {
		dir  fs.Dir
		name string
	}{{dir, name}, {to, newName}} {
		p, _ := s.v.t.Path(end.dir)
		if err := s.v.mayTree(ctx, fs.Write, p.Join(end.name)); err != nil {
			return err
		}
	}
	return s.v.t.Move(s.v.cause(ctx), dir, name, to, newName, flags)
}

// Statfs returns the sizes of a node's drive.
func (s *Nodes) Statfs(ctx context.Context, n fs.Node) (fs.Statfs, error) {
	if err := s.Access(ctx, n, fs.Read); err != nil {
		return fs.Statfs{}, err
	}
	return s.v.t.Statfs(ctx, n)
}

// xattrer asks about a node and returns its extended attributes.
func (s *Nodes) xattrer(ctx context.Context, n fs.Node, a fs.Action) (fs.Xattrer, error) {
	if err := s.Access(ctx, n, a); err != nil {
		return nil, err
	}
	x, ok := fs.As[fs.Xattrer](n)
	if !ok {
		return nil, &fs.Error{Op: "xattr", Kind: fs.Unsupported, Err: errors.New("this drive keeps no extended attributes")}
	}
	return x, nil
}

// Xattr returns an extended attribute.
func (s *Nodes) Xattr(ctx context.Context, n fs.Node, name string) ([]byte, error) {
	x, err := s.xattrer(ctx, n, fs.Read)
	if err != nil {
		return nil, err
	}
	return x.Xattr(ctx, name)
}

// Xattrs returns their names.
func (s *Nodes) Xattrs(ctx context.Context, n fs.Node) ([]string, error) {
	x, err := s.xattrer(ctx, n, fs.Read)
	if err != nil {
		return nil, err
	}
	return x.Xattrs(ctx)
}

// SetXattr sets one.
func (s *Nodes) SetXattr(ctx context.Context, n fs.Node, name string, value []byte, create, replace bool) error {
	x, err := s.xattrer(ctx, n, fs.Write)
	if err != nil {
		return err
	}
	return x.SetXattr(s.v.cause(ctx), name, value, create, replace)
}

// RemoveXattr removes one.
func (s *Nodes) RemoveXattr(ctx context.Context, n fs.Node, name string) error {
	x, err := s.xattrer(ctx, n, fs.Write)
	if err != nil {
		return err
	}
	return x.RemoveXattr(s.v.cause(ctx), name)
}
