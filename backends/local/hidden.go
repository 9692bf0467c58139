package local

import (
	"context"
	"io"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// hidden is a folder that is shown empty and never touched.
type hidden struct {
	x    *dir
	name string
}

var _ fs.Dir = hidden{}

func (x *dir) hidden(name string) hidden { return hidden{x, name} }

// Ino returns a number of its own: there is no file behind it to ask.
func (h hidden) Ino() uint64 {
	const hiddenDev = 1<<64 - 1
	parts := []uint64{hiddenDev, h.x.ino}
	for _, c := range []byte(h.name) {
		parts = append(parts, uint64(c))
	}
	return fs.Ino(h.x.d.id, parts...)
}

// Drive returns the drive's id.
func (h hidden) Drive() fs.DriveID { return h.x.d.id }

// FileID returns none.
func (h hidden) FileID(context.Context) (fs.FileID, error) { return fs.FileID{}, h.refuse("file id") }

// Path returns where it is.
func (h hidden) Path() (string, bool) { return h.x.pathOf(h.name), true }

// Superseded reports false.
func (h hidden) Superseded() bool { return false }

// Attr returns those of an empty folder that nobody may change.
func (h hidden) Attr(context.Context) (fs.Attr, error) {
	never := time.Unix(0, 0)
	return fs.Attr{Ino: h.Ino(), Mode: fs.ModeDir | 0o555, Nlink: 2, Atime: never, Mtime: never, Ctime: never, Btime: never}, nil
}

// SetAttr fails.
func (h hidden) SetAttr(context.Context, fs.SetAttr) (fs.Attr, error) {
	return fs.Attr{}, h.refuse("setattr")
}

// Open fails: it is a folder.
func (h hidden) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, &fs.Error{Op: "open", Path: h.x.pathOf(h.name), Kind: fs.IsDir}
}

// Lookup finds nothing.
func (h hidden) Lookup(_ context.Context, name string) (fs.Node, error) {
	return nil, &fs.Error{Op: "lookup", Path: h.x.pathOf(h.name) + "/" + name, Kind: fs.NotExist}
}

// List returns an empty listing.
func (h hidden) List(context.Context) (fs.Listing, error) { return emptyListing{}, nil }

// Create fails.
func (h hidden) Create(context.Context, string, fs.CreateOptions) (fs.Node, fs.Handle, error) {
	return nil, nil, h.refuse("create")
}

// Mkdir fails.
func (h hidden) Mkdir(context.Context, string, fs.CreateOptions) (fs.Dir, error) {
	return nil, h.refuse("mkdir")
}

// Remove fails.
func (h hidden) Remove(context.Context, string, bool) error { return h.refuse("remove") }

// Rename fails.
func (h hidden) Rename(context.Context, string, fs.Dir, string, fs.RenameFlags) error {
	return h.refuse("rename")
}

func (h hidden) refuse(op string) error {
	return &fs.Error{Op: op, Path: h.x.pathOf(h.name), Kind: fs.NotPermitted, Hint: "drives are mounted there"}
}

type emptyListing struct{}

func (emptyListing) At(context.Context, int) (fs.Entry, error) { return fs.Entry{}, io.EOF }
func (emptyListing) Close() error                              { return nil }
