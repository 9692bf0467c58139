package tree

import (
	"context"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Lookup returns the child of that name; links are not followed. It never waits for a live document.
func (t *Tree) Lookup(ctx context.Context, dir fs.Dir, name string) (fs.Node, error) {
	if t.reserved(dir, name) {
		return nil, &fs.Error{Op: "lookup", Path: name, Kind: fs.NotExist}
	}
	n, err := dir.Lookup(ctx, name)
	if err == nil {
		t.live.kick(n)
	}
	return n, err
}

// List returns a snapshot of a directory, without the daemon's own folder.
func (t *Tree) List(ctx context.Context, dir fs.Dir) (fs.Listing, error) {
	l, err := dir.List(ctx)
	if err != nil || !t.reserved(dir, fs.ReservedName) {
		return l, err
	}
	return &driveListing{Listing: l}, nil
}

// driveListing leaves the reserved folder out. The entry in its place is reported as gone, so that offsets stay.
type driveListing struct{ fs.Listing }

func (l *driveListing) At(ctx context.Context, i int) (fs.Entry, error) {
	e, err := l.Listing.At(ctx, i)
	if err == nil && e.Name == fs.ReservedName {
		return fs.Entry{}, &fs.Error{Op: "list", Path: e.Name, Kind: fs.NotExist}
	}
	return e, err
}

// Open opens a file. One that is edited live is opened for writing as a private copy, which is merged when its last writer closes.
func (t *Tree) Open(ctx context.Context, n fs.Node, flags fs.OpenFlags) (fs.Handle, error) {
	if h, ok, err := t.live.opens(ctx, n, flags); ok || err != nil {
		return h, err
	}
	return n.Open(ctx, flags)
}

// SetAttr changes attributes.
func (t *Tree) SetAttr(ctx context.Context, n fs.Node, set fs.SetAttr) (fs.Attr, error) {
	if set.Size != nil {
		if a, ok, err := t.live.truncate(ctx, n, set); ok || err != nil {
			return a, err
		}
	}
	do := func() (fs.Attr, error) { return n.SetAttr(ctx, set) }
	var a fs.Attr
	var err error
	if o := t.live.find(n); o != nil {
		a, err = o.setAttr(ctx, set, do)
	} else {
		a, err = do()
	}
	t.seenOf(ctx, n)
	return a, err
}

// Create makes and opens a file.
func (t *Tree) Create(ctx context.Context, dir fs.Dir, name string, o fs.CreateOptions) (fs.Node, fs.Handle, error) {
	if err := t.mayHold("create", dir, name); err != nil {
		return nil, nil, err
	}
	n, h, err := t.live.create(ctx, dir, name, o)
	t.seenOf(ctx, dir)
	return n, h, err
}

// Mkdir makes a directory.
func (t *Tree) Mkdir(ctx context.Context, dir fs.Dir, name string, o fs.CreateOptions) (fs.Dir, error) {
	if err := t.mayHold("mkdir", dir, name); err != nil {
		return nil, err
	}
	n, err := dir.Mkdir(ctx, name, o)
	t.seenOf(ctx, dir)
	return n, err
}

// Mknod makes a FIFO, socket or device; Unsupported where the drive has none.
func (t *Tree) Mknod(ctx context.Context, dir fs.Dir, name string, mode, rdev uint32, o fs.CreateOptions) (fs.Node, error) {
	if err := t.mayHold("mknod", dir, name); err != nil {
		return nil, err
	}
	d, ok := fs.As[fs.Mknoder](dir)
	if !ok {
		return nil, &fs.Error{Op: "mknod", Path: name, Kind: fs.NotPermitted}
	}
	return d.Mknod(ctx, name, mode, rdev, o)
}

// Symlink makes a symbolic link; NotPermitted where the drive has none.
func (t *Tree) Symlink(ctx context.Context, dir fs.Dir, name, target string, o fs.CreateOptions) (fs.Node, error) {
	if err := t.mayHold("symlink", dir, name); err != nil {
		return nil, err
	}
	d, ok := fs.As[fs.Symlinker](dir)
	if !ok {
		return nil, &fs.Error{Op: "symlink", Path: name, Kind: fs.NotPermitted}
	}
	return d.Symlink(ctx, name, target, o)
}

// Link makes a hard link; NotPermitted where the drive has none, CrossDrive between two.
func (t *Tree) Link(ctx context.Context, n fs.Node, dir fs.Dir, name string) (fs.Node, error) {
	if n.Drive() != dir.Drive() {
		return nil, &fs.Error{Op: "link", Path: name, Kind: fs.CrossDrive}
	}
	if err := t.mayHold("link", dir, name); err != nil {
		return nil, err
	}
	d, ok := fs.As[fs.Linker](dir)
	if !ok {
		return nil, &fs.Error{Op: "link", Path: name, Kind: fs.NotPermitted}
	}
	return d.Link(ctx, n, name)
}

// Readlink returns a symbolic link's target.
func (t *Tree) Readlink(ctx context.Context, n fs.Node) (string, error) {
	if r, ok := fs.As[fs.Readlinker](n); ok {
		return r.Readlink(ctx)
	}
	return "", &fs.Error{Op: "readlink", Kind: fs.Invalid}
}

// Unlink takes a name away: of an empty directory if isDir, of anything else if not.
func (t *Tree) Unlink(ctx context.Context, dir fs.Dir, name string, isDir bool) error {
	if err := t.mayHold("remove", dir, name); err != nil {
		return err
	}
	err := dir.Remove(ctx, name, isDir)
	t.seenOf(ctx, dir)
	return err
}

// Move renames a child within a drive; CrossDrive between two. Companions of a document go along.
func (t *Tree) Move(ctx context.Context, dir fs.Dir, name string, to fs.Dir, newName string, flags fs.RenameFlags) error {
	if dir.Drive() != to.Drive() {
		return &fs.Error{Op: "rename", Path: name, Kind: fs.CrossDrive}
	}
	if err := t.mayHold("rename", dir, name); err != nil {
		return err
	}
	if err := t.mayHold("rename", to, newName); err != nil {
		return err
	}
	if ok, err := t.live.rename(ctx, dir, name, to, newName, flags); ok || err != nil {
		return err
	}
	if err := dir.Rename(ctx, name, to, newName, flags); err != nil {
		return err
	}
	if flags == 0 || flags == fs.RenameNoReplace {
		t.moveCompanions(ctx, t.childPath(dir, name), t.childPath(to, newName))
	}
	t.seenOf(ctx, dir)
	return nil
}

// Statfs returns the sizes of the drive that a node belongs to.
func (t *Tree) Statfs(ctx context.Context, n fs.Node) (fs.Statfs, error) {
	if n == fs.Node(t.root) {
		return t.root.statfs(), nil
	}
	m, err := t.of(n)
	if err != nil {
		return fs.Statfs{}, err
	}
	return m.drive.Statfs(ctx)
}

func (t *Tree) childPath(dir fs.Dir, name string) fs.Path {
	p, _ := t.Path(dir)
	return p.Join(name)
}

// seenOf waits for the observers of the drive that a node belongs to.
func (t *Tree) seenOf(ctx context.Context, n fs.Node) {
	if m, err := t.of(n); err == nil {
		t.seen(ctx, m)
	}
}
