package mem

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// inode is a file, dir, symlink or special.
type inode interface {
	fs.Node
	meta() *node
	stat() fs.Attr // with mu held
}

// node is what all inodes have. All but the first four fields are guarded by Drive.mu.
type node struct {
	d          *Drive
	self       inode
	ino        uint64
	superseded atomic.Bool

	parent *dir // nil for the root and for what has no name
	name   string
	last   string // the path it had when its name went
	attr   fs.Attr
	xattrs map[string][]byte
	id     fs.FileID
}

// init makes self a new inode. The caller holds mu, or owns the drive alone.
func (n *node) init(d *Drive, self inode, mode uint32, o fs.CreateOptions) {
	d.last++
	now := time.Now()
	n.d, n.self, n.ino = d, self, fs.Ino(d.id, d.last)
	n.attr = fs.Attr{Ino: n.ino, Mode: mode | o.Mode&fs.ModePerm, Nlink: 1, Atime: now, Mtime: now, Ctime: now, Btime: now}
	if o.Owner.Set {
		n.attr.UID, n.attr.GID = o.Owner.UID, o.Owner.GID
	}
}

func (n *node) meta() *node { return n }

// Ino returns the inode number.
func (n *node) Ino() uint64 { return n.ino }

// Drive returns the drive's id.
func (n *node) Drive() fs.DriveID { return n.d.id }

// Superseded reports whether the contents were replaced.
func (n *node) Superseded() bool { return n.superseded.Load() }

// FileID returns the document's identity.
func (n *node) FileID(ctx context.Context) (fs.FileID, error) {
	if err := ctx.Err(); err != nil {
		return fs.FileID{}, fs.Wrap("file id", "", err)
	}
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	if n.id.IsZero() {
		n.id = fs.NewFileID()
	}
	return n.id, nil
}

// Adopt makes id the document's identity.
func (n *node) Adopt(ctx context.Context, id fs.FileID) error {
	if err := ctx.Err(); err != nil {
		return fs.Wrap("adopt", "", err)
	}
	n.d.mu.Lock()
	defer n.d.mu.Unlock()
	n.id = id
	return nil
}

// Path returns where the node is.
func (n *node) Path() (string, bool) {
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	return n.path()
}

// path is Path with mu held.
func (n *node) path() (string, bool) {
	switch {
	case n == &n.d.root.node:
		return "", true
	case n.parent == nil:
		return n.last, false
	case n.parent == n.d.root:
		return n.name, true
	}
	dir, ok := n.parent.path()
	return dir + "/" + n.name, ok
}

// where is the path for messages.
func (n *node) where() string {
	p, _ := n.Path()
	return p
}

// gone reports whether the node has no name any more.
func (n *node) gone() bool { return n.parent == nil && n != &n.d.root.node }

func (n *node) stat() fs.Attr { return n.attr }

// Attr returns the attributes.
func (n *node) Attr(ctx context.Context) (fs.Attr, error) {
	if err := n.d.enter(ctx, "attr", n.where()); err != nil {
		return fs.Attr{}, err
	}
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	return n.self.stat(), nil
}

// SetAttr changes attributes.
func (n *node) SetAttr(ctx context.Context, set fs.SetAttr) (a fs.Attr, err error) {
	_, err = n.d.mutate(ctx, "setattr", n.where(), func(t *tx) error {
		op := fs.OpAttr
		if set.Size != nil {
			if err := n.resize(t, *set.Size); err != nil {
				return err
			}
			op = fs.OpWrite
		}
		n.apply(t, set)
		t.record(op, n.self, fs.Change{})
		a = n.self.stat()
		return nil
	})
	return a, err
}

func (n *node) resize(t *tx, size int64) error {
	switch f := n.self.(type) {
	case *file:
		return f.truncate(t, size)
	case *dir:
		return fail("truncate", "", fs.IsDir)
	}
	return fail("truncate", "", fs.Invalid)
}

func (n *node) apply(t *tx, set fs.SetAttr) {
	a := &n.attr
	a.Ctime = t.now
	if set.Mode != nil {
		a.Mode = a.Mode&fs.ModeType | *set.Mode&fs.ModePerm
	}
	if set.UID != nil {
		a.UID = *set.UID
	}
	if set.GID != nil {
		a.GID = *set.GID
	}
	if set.Atime != nil {
		a.Atime = *set.Atime
	}
	if set.Mtime != nil {
		a.Mtime = *set.Mtime
	}
}

// Xattr returns one extended attribute.
func (n *node) Xattr(ctx context.Context, name string) ([]byte, error) {
	if err := n.d.enter(ctx, "getxattr", n.where()); err != nil {
		return nil, err
	}
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	v, ok := n.xattrs[name]
	if !ok {
		return nil, fail("getxattr", name, fs.NoAttr)
	}
	return slices.Clone(v), nil
}

// Xattrs returns the names, sorted.
func (n *node) Xattrs(ctx context.Context) ([]string, error) {
	if err := n.d.enter(ctx, "listxattr", n.where()); err != nil {
		return nil, err
	}
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	return slices.Sorted(maps.Keys(n.xattrs)), nil
}

// SetXattr sets one.
func (n *node) SetXattr(ctx context.Context, name string, value []byte, create, replace bool) error {
	_, err := n.d.mutate(ctx, "setxattr", n.where(), func(t *tx) error {
		_, there := n.xattrs[name]
		switch {
		case there && create:
			return fail("setxattr", name, fs.Exist)
		case !there && replace:
			return fail("setxattr", name, fs.NoAttr)
		case n.xattrs == nil:
			n.xattrs = map[string][]byte{}
		}
		n.xattrs[name] = append([]byte{}, value...)
		n.attr.Ctime = t.now
		t.record(fs.OpAttr, n.self, fs.Change{})
		return nil
	})
	return err
}

// RemoveXattr removes one.
func (n *node) RemoveXattr(ctx context.Context, name string) error {
	_, err := n.d.mutate(ctx, "removexattr", n.where(), func(t *tx) error {
		if _, ok := n.xattrs[name]; !ok {
			return fail("removexattr", name, fs.NoAttr)
		}
		delete(n.xattrs, name)
		n.attr.Ctime = t.now
		t.record(fs.OpAttr, n.self, fs.Change{})
		return nil
	})
	return err
}

// symlink is a symbolic link.
type symlink struct {
	node
	target string
}

func (l *symlink) stat() fs.Attr {
	a := l.attr
	a.Size = int64(len(l.target))
	return a
}

// special is a FIFO, socket or device.
type special struct{ node }
