package drive

import (
	"cmp"
	"context"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// inode is a file, dir, symlink or special.
type inode interface {
	fs.Node
	meta() *node
	stat() fs.Attr // with Drive.mu held
	kind() kind
}

// node is what all inodes have.
type node struct {
	d          *Drive
	self       inode
	ino        uint64
	superseded atomic.Bool
	loose      atomic.Bool // see evictor; changed with Drive.mu held
	m          meta        // guarded by Drive.mu, changed through tx.touch only
}

// meta is what is known of a node. Of a file that is being written to it is the state of the last commit.
type meta struct {
	parent *dir // nil for the root and for what has no name
	name   string

	mode, uid, gid uint32
	kept           bool // the journal knows the node
	metaDirty      bool // the store does not have these attributes yet
	untold         untold
	size           int64 // of contents
	mtime, ctime   int64 // nanoseconds since 1970
	version        version
	at             base // contents in the store; key "" = that of the node's own path
	more           *more
}

// more is what few nodes have. It is not changed but replaced.
type more struct {
	id           fs.FileID
	atime, btime int64
	link         string // symlink: target
	rdev         uint32 // special: number of a device
	xattrs       map[string][]byte
	content      *content // file: committed bytes that the store does not have yet
	origin       string   // dir: where its children are in the store
	moved        bool     // dir: origin is valid, the children are to be moved
	local        bool     // dir: was made here, or moved when all was known: the journal knows all children but what others put there since
	conflict     string   // path of the file of which this is the losing version
	last         string   // the path it had when its name went
	sent         sent     // file: over the version at which meta.at is
}

// content is one committed state of a file's bytes: layers over meta.at. It does not change.
type content struct {
	stack []*layer
	size  int64
	gen   uint64 // names it
}

// sent are the numbers of the contents that a file had, one after the other, over a version in the store while it had the key of that
// version. The store may have any of them there without this drive having been told. Zero is the number of the present content.
type sent struct{ first, last uint64 }

// has reports whether gen is among them; now is the number of the present content.
func (s sent) has(gen, now uint64) bool {
	return gen >= cmp.Or(s.first, now) && gen <= cmp.Or(s.last, now)
}

// saved gives a file its next contents, which are not sent to where meta.at is if the file is elsewhere.
func (m *meta) saved(now *content) {
	m.edit(func(x *more) {
		old := x.content
		x.content = now
		switch {
		case m.at.version == "":
		case old != nil:
			x.sent.first = cmp.Or(x.sent.first, old.gen)
			if m.at.key != "" {
				x.sent.last = cmp.Or(x.sent.last, old.gen)
			}
		case m.at.key != "":
			x.sent = sent{now.gen, now.gen} // none was
		}
	})
}

// sendAgain notes that the file has the key again of the version over which it lies.
func (m *meta) sendAgain() {
	if m.get().sent.last != 0 {
		m.edit(func(x *more) { x.sent.last = 0 })
	}
}

// sentBefore returns the same for a copy that is made of a file now.
func (m *meta) sentBefore() sent {
	x := m.get()
	if x.content == nil {
		return sent{}
	}
	return sent{cmp.Or(x.sent.first, x.content.gen), cmp.Or(x.sent.last, x.content.gen)}
}

// get returns more for reading.
func (m *meta) get() *more {
	if m.more == nil {
		return &more{}
	}
	return m.more
}

// edit replaces more by a copy that f has changed.
func (m *meta) edit(f func(*more)) {
	c := *m.get()
	f(&c)
	m.more = &c
}

func (n *node) meta() *node { return n }

// Ino returns the inode number.
func (n *node) Ino() uint64 { return n.ino }

// Drive returns the drive's id.
func (n *node) Drive() fs.DriveID { return n.d.id }

// Superseded reports whether the contents were replaced.
func (n *node) Superseded() bool { return n.superseded.Load() }

// Path returns where the node is.
func (n *node) Path() (string, bool) {
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	return n.path()
}

// path is Path with Drive.mu held.
func (n *node) path() (string, bool) {
	switch {
	case n == &n.d.root.node:
		return "", true
	case n.m.parent == nil:
		return n.m.get().last, false
	}
	dir, ok := n.m.parent.path()
	return join(dir, n.m.name), ok
}

func join(dir, name string) string {
	if dir == "" {
		return name
	}
	return dir + "/" + name
}

// where is the path for messages.
func (n *node) where() string {
	p, _ := n.Path()
	return p
}

// named reports whether the node has a name. The caller holds Drive.mu.
func (n *node) named() bool { return n.m.parent != nil || n == &n.d.root.node }

// stat returns the attributes. The caller holds Drive.mu.
func (n *node) stat() fs.Attr {
	m := &n.m
	a := fs.Attr{
		Ino: n.ino, Mode: m.mode, Nlink: 1, UID: m.uid, GID: m.gid, Size: m.size, Blocks: (m.size + 511) / 512,
		Mtime: stamp(m.mtime), Ctime: stamp(m.ctime), Atime: stamp(m.mtime), Btime: stamp(m.mtime),
	}
	if m.more != nil && m.more.atime != 0 {
		a.Atime = stamp(m.more.atime)
	}
	if m.more != nil && m.more.btime != 0 {
		a.Btime = stamp(m.more.btime)
	}
	if !n.named() {
		a.Nlink = 0
	}
	return a
}

func stamp(ns int64) time.Time { return time.Unix(0, ns) }

// Attr returns the attributes.
func (n *node) Attr(ctx context.Context) (fs.Attr, error) {
	if err := ctx.Err(); err != nil {
		return fs.Attr{}, fs.Wrap("stat", "", err)
	}
	n.d.mu.RLock()
	defer n.d.mu.RUnlock()
	return statFor(ctx, n.self), nil
}

// FileID returns the document's identity.
func (n *node) FileID(ctx context.Context) (fs.FileID, error) {
	if err := ctx.Err(); err != nil {
		return fs.FileID{}, fs.Wrap("file id", "", err)
	}
	n.d.mu.RLock()
	id, untold := n.m.get().id, n.m.untold&untoldID != 0
	n.d.mu.RUnlock()
	if !id.IsZero() && !untold {
		return id, nil
	}
	if f, ok := n.self.(*file); ok && untold {
		now, err := f.revalidate(ctx, untoldID)
		if err != nil {
			return fs.FileID{}, err
		}
		if now != nil && now != n.self {
			return now.FileID(ctx)
		}
	}
	_, err := n.d.change(context.WithoutCancel(ctx), "file id", n.where(), func(t *tx) error {
		if id = n.m.get().id; id.IsZero() {
			id = fs.NewFileID()
			t.setID(n.self, id)
		}
		return nil
	})
	return id, err
}

// Adopt makes id the document's identity.
func (n *node) Adopt(ctx context.Context, id fs.FileID) error {
	_, err := n.d.mutate(ctx, "adopt", n.where(), func(t *tx) error {
		t.setID(n.self, id)
		return nil
	})
	return err
}

// setID gives a node an identity.
func (t *tx) setID(n inode, id fs.FileID) {
	t.touch(n)
	n.meta().m.untold &^= untoldID
	n.meta().m.edit(func(m *more) { m.id = id })
}

// SetAttr changes attributes.
func (n *node) SetAttr(ctx context.Context, set fs.SetAttr) (a fs.Attr, err error) {
	if set.Size != nil {
		f, ok := n.self.(*file)
		if !ok {
			return a, fail("truncate", n.where(), map[bool]fs.Kind{true: fs.IsDir, false: fs.Invalid}[n.self.kind() == kindDir])
		}
		if err := f.resize(ctx, *set.Size); err != nil {
			return a, err
		}
		set.Size = nil
		if set == (fs.SetAttr{}) {
			return n.self.Attr(ctx)
		}
	}
	_, err = n.d.mutate(ctx, "setattr", n.where(), func(t *tx) error {
		t.apply(n.self, set)
		t.record(fs.OpAttr, n.self, fs.Change{})
		a = n.self.stat()
		return nil
	})
	return a, err
}

// apply changes attributes other than the size.
func (t *tx) apply(n inode, set fs.SetAttr) {
	t.touch(n)
	x := n.meta()
	m := &x.m
	stored := m.setMode(set.Mode)
	if set.UID != nil {
		m.uid = *set.UID
	}
	if set.GID != nil {
		m.gid = *set.GID
	}
	if set.Atime != nil {
		m.edit(func(m *more) { m.atime = set.Atime.UnixNano() })
	}
	if set.Mtime != nil {
		stored = m.setTime(set.Mtime.UnixNano()) || stored
		if f, ok := n.(*file); ok && f.live != nil {
			f.live.mtime = m.mtime
		}
	}
	m.ctime = t.now
	switch x, isDir := n.(*dir); {
	case isDir && set.Mode != nil && stored && t.d.marks(nil) && x != t.d.root:
		x.dressed, m.metaDirty = true, true
		t.want(n)
	case stored && (n.kind() == kindFile || n.kind() == kindSpecial):
		m.metaDirty = true
		t.want(n)
	}
}

// setMode sets the permissions, unless mode is nil. It reports whether the store is to be told.
func (m *meta) setMode(mode *uint32) bool {
	if mode == nil {
		return false
	}
	before, untold := m.mode, m.untold
	m.mode, m.untold = m.mode&fs.ModeType|*mode&fs.ModePerm, m.untold&^untoldMode
	return m.mode&fs.ModePerm != before&fs.ModePerm || m.untold != untold
}

// setTime sets when the contents were changed. It reports whether the store is to be told.
func (m *meta) setTime(at int64) bool {
	before, untold := m.mtime, m.untold
	m.mtime, m.untold = at, m.untold&^untoldTime
	return at != before || m.untold != untold
}

// init makes self a new inode of this drive's own making. The caller holds Drive.mu.
func (n *node) init(t *tx, self inode, mode uint32, o fs.CreateOptions) {
	n.d, n.self, n.ino = t.d, self, fs.Ino(t.d.id, inoMade, t.d.next())
	n.m = meta{mode: mode | o.Mode&fs.ModePerm, uid: t.d.opts.UID, gid: t.d.opts.GID, mtime: t.now, ctime: t.now}
	n.m.edit(func(m *more) { m.atime, m.btime = t.now, t.now })
	if o.Owner.Set {
		n.m.uid, n.m.gid = o.Owner.UID, o.Owner.GID
	}
}

// What inode numbers are made of besides the drive.
const (
	inoMade  = 1 // a counter
	inoFound = 2 // what was found in the store
)

// symlink is a symbolic link.
type symlink struct{ node }

func (l *symlink) kind() kind { return kindSymlink }

func (l *symlink) stat() fs.Attr {
	a := l.node.stat()
	a.Size = int64(len(l.m.get().link))
	return a
}

// Open refuses: the kernel reads links itself.
func (l *symlink) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, &fs.Error{Op: "open", Path: l.where(), Kind: fs.Invalid, Err: syscall.ELOOP}
}

// Readlink returns the target.
func (l *symlink) Readlink(ctx context.Context) (string, error) {
	if err := ctx.Err(); err != nil {
		return "", fs.Wrap("readlink", "", err)
	}
	l.d.mu.RLock()
	defer l.d.mu.RUnlock()
	return l.m.get().link, nil
}

func fail(op, path string, kind fs.Kind) error { return &fs.Error{Op: op, Path: path, Kind: kind} }
