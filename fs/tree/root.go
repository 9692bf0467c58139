package tree

import (
	"context"
	"errors"
	"io"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// rootIno is the inode number of the root folder, which fs.Ino never returns.
const rootIno = 1

// root is the folder that holds the drives. Nothing can be made in it.
type root struct {
	t    *Tree
	born time.Time
}

var _ fs.Dir = (*root)(nil)

func (r *root) Ino() uint64          { return rootIno }
func (r *root) Drive() fs.DriveID    { return fs.DriveID{} }
func (r *root) Path() (string, bool) { return "", true }
func (r *root) Superseded() bool     { return false }

func (r *root) FileID(context.Context) (fs.FileID, error) { return fs.FileID{}, nil }

func (r *root) Attr(context.Context) (fs.Attr, error) {
	return fs.Attr{
		Ino: rootIno, Mode: fs.ModeDir | 0o755, Nlink: 2, UID: r.t.opts.OwnerUID, GID: r.t.opts.OwnerGID,
		Atime: r.born, Mtime: r.born, Ctime: r.born, Btime: r.born,
	}, nil
}

func (r *root) SetAttr(context.Context, fs.SetAttr) (fs.Attr, error) {
	return fs.Attr{}, r.refuse("setattr", "")
}

func (r *root) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, &fs.Error{Op: "open", Path: "/", Kind: fs.IsDir}
}

func (r *root) Lookup(_ context.Context, name string) (fs.Node, error) {
	m, err := r.t.named(name)
	if err != nil {
		return nil, err
	}
	return m.drive.Root(), nil
}

func (r *root) List(context.Context) (fs.Listing, error) {
	return &rootListing{t: r.t, names: r.t.Drives()}, nil
}

func (r *root) Create(_ context.Context, name string, _ fs.CreateOptions) (fs.Node, fs.Handle, error) {
	return nil, nil, r.refuse("create", name)
}

func (r *root) Mkdir(_ context.Context, name string, _ fs.CreateOptions) (fs.Dir, error) {
	return nil, r.refuse("mkdir", name)
}

func (r *root) Remove(_ context.Context, name string, _ bool) error { return r.refuse("remove", name) }

func (r *root) Rename(_ context.Context, name string, _ fs.Dir, _ string, _ fs.RenameFlags) error {
	return r.refuse("rename", name)
}

func (r *root) refuse(op, name string) error {
	return &fs.Error{Op: op, Path: "/" + name, Kind: fs.NotPermitted, Err: errors.New("the top folder holds only drives"),
		Hint: "choose a folder inside a drive"}
}

// Statfs of the root has no sizes of its own.
func (r *root) statfs() fs.Statfs { return fs.Statfs{BlockSize: uint32(syscall.Getpagesize())} }

// rootListing is a snapshot of the drives' names.
type rootListing struct {
	t     *Tree
	names []string
}

func (l *rootListing) At(ctx context.Context, i int) (fs.Entry, error) {
	if i >= len(l.names) {
		return fs.Entry{}, io.EOF
	}
	m, err := l.t.named(l.names[i])
	if err != nil {
		return fs.Entry{}, err
	}
	n := m.drive.Root()
	a, err := n.Attr(ctx)
	return fs.Entry{Name: m.name, Node: n, Attr: a}, err
}

func (l *rootListing) Close() error { return nil }
