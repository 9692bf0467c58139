package drive

import (
	"context"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// found works in what the store has under a name.
func (t *tx) found(x *dir, name string, info *fs.Info, asked int64) {
	n := x.known(name)
	if t.d.isPending(info.Key) || n != nil && isBeingWritten(n) {
		return // what this drive wants there comes first
	}
	if n == nil {
		t.placeFound(x, name, info)
		if x.complete {
			t.record(fs.OpCreate, x.children[name], fs.Change{})
		}
		return
	}
	m := &n.meta().m
	switch {
	case (n.kind() == kindDir) != (info.Type == fs.Directory):
		if n.kind() != kindDir || !t.needed(n) {
			t.replaceFound(x, name, info)
		}
	case n.kind() == kindDir:
		if !info.Implicit && m.at.version == "" {
			m.at.version = markerVersion
		}
	case m.at.key == "" && m.at.isOf(n, info):
		if f, ok := n.(*file); ok {
			f.checked = max(f.checked, asked)
		}
	case m.at.version == "" && t.d.isLocal(n):
	default:
		t.replaceFound(x, name, info)
	}
}

// isOf reports whether info tells of the version that n has in the store. Bytes of another size are others, whatever the store calls them.
func (at base) isOf(n inode, info *fs.Info) bool {
	return at.version == info.Version && (n.kind() != kindFile || info.Type != fs.File || info.Size < 0 || info.Size == at.size)
}

// isBeingWritten reports whether somebody has a file open for writing, or has written what is not committed yet: where the store has
// something else by now the upload will meet it, and both are kept. The caller holds mu.
func isBeingWritten(n inode) bool {
	f, ok := n.(*file)
	return ok && (f.writers > 0 || f.live != nil)
}

// needed reports whether a node has something that the store does not have (yet).
func (t *tx) needed(n inode) bool {
	if t.d.pending[keyOf(n)] != nil || isBeingWritten(n) {
		return true
	}
	if x, ok := n.(*dir); ok {
		for _, c := range x.children {
			if t.needed(c) {
				return true
			}
		}
		return x.m.get().moved || x.m.at.version == "" && x.m.get().local && t.d.isLocal(n)
	}
	m := &n.meta().m
	return m.at.version == "" || m.at.key != "" || m.get().content != nil
}

// vanish takes a name away that somebody has removed in the store.
func (t *tx) vanish(x *dir, name string) {
	n := x.children[name]
	path, _ := n.meta().path()
	t.discard(x, name)
	t.record(fs.OpRemove, n, fs.Change{Path: fs.Path(path)})
}

// discard takes a name away, with all below it, without a word to the store.
func (t *tx) discard(x *dir, name string) {
	n := x.children[name]
	if sub, ok := n.(*dir); ok {
		path, _ := sub.path()
		t.d.keeper.gone(path, true) // in one, and not each below it
		t.noteOccupied(path, 0)
		sub.regainAll()
		for name := range sub.children {
			t.discard(sub, name)
		}
	}
	t.retire(n)
	if m := &n.meta().m; m.at.version != "" && m.at.key == "" && n.kind() != kindDir {
		at := m.at
		at.key, _ = n.meta().path()
		t.setAt(n, at)
	}
	t.unplace(x, name)
	t.bury(n)
}

// retire makes sure that a number that was made of key and version is not used again.
func (t *tx) retire(n inode) { t.d.retired[n.meta().ino] = true }

// placeFound makes a node of what the store has, which takes no place in the journal.
func (t *tx) placeFound(x *dir, name string, info *fs.Info) inode {
	n := t.d.newFound(info, t.now)
	m := &n.meta().m
	m.parent, m.name = x, name
	t.put(x, name, n)
	t.d.evictor.loaded[x] = true
	t.d.keeper.keep(x)
	return n
}

// replaceFound gives a name to what the store has there now: it is a new node.
func (t *tx) replaceFound(x *dir, name string, info *fs.Info) inode {
	old := x.children[name]
	before := old.meta().m.get()
	kept := old.meta().m.kept
	uid, gid := old.meta().m.uid, old.meta().m.gid
	t.discard(x, name)
	n := t.placeFound(x, name, info)
	m := &n.meta().m
	if n.kind() == old.kind() && (kept || !before.id.IsZero()) {
		m.uid, m.gid = uid, gid
		m.edit(func(m *more) { m.id, m.xattrs = before.id, before.xattrs })
		if !before.id.IsZero() {
			m.untold &^= untoldID
		}
		if info.Partial || !info.HasMode {
			m.mode = old.meta().m.mode
		}
		t.touch(n)
	}
	t.after = append(t.after, func() { old.meta().superseded.Store(true) })
	t.record(fs.OpReplace, n, fs.Change{Old: old})
	return n
}

// newFound returns a node for what the store has. The caller holds mu.
func (d *Drive) newFound(info *fs.Info, now int64) inode {
	at := base{version: info.Version, size: max(info.Size, 0)}
	modTime := info.ModTime
	if modTime.IsZero() {
		modTime = info.Stored
	}
	stampAt := now
	if !modTime.IsZero() {
		stampAt = modTime.UnixNano()
	}
	m := meta{uid: d.opts.UID, gid: d.opts.GID, mtime: stampAt, ctime: stampAt, version: info.Version, at: at, size: at.size}
	if !info.FileID.IsZero() {
		m.edit(func(m *more) { m.id = info.FileID })
	}
	perm := func(normal uint32) uint32 {
		if info.HasMode {
			return info.Mode & fs.ModePerm
		}
		return normal
	}
	var n inode
	switch info.Type {
	case fs.Directory:
		m.mode, m.size, m.version, m.at = fs.ModeDir|perm(0o755), 0, "", base{}
		if !info.Implicit {
			m.at.version = markerVersion
		}
		n = &dir{children: map[string]inode{}}
	case fs.Symlink:
		m.mode, m.version = fs.ModeSymlink|0o777, ""
		m.edit(func(m *more) { m.link = info.Link })
		n = &symlink{}
	case fs.Other:
		m.mode, m.version = info.Special.Mode|perm(0o644), ""
		m.edit(func(m *more) { m.rdev = info.Special.Rdev })
		n = &special{}
	default:
		m.mode, m.untold = fs.ModeFile|perm(0o644), untoldOf(info)
		n = &file{checked: now}
	}
	x := n.meta()
	x.d, x.self, x.m = d, n, m
	x.ino = d.foundIno(info)
	return n
}

// foundIno returns the number of a node that was found in the store: the same over restarts.
func (d *Drive) foundIno(info *fs.Info) uint64 {
	key, v := hash(info.Key), hash(string(info.Version))
	if info.Type == fs.Directory {
		v = 0 // of the marker, which a directory may get and lose
	}
	for salt := uint64(0); ; salt++ {
		if ino := fs.Ino(d.id, inoFound, key, v, uint64(info.Type), salt); !d.retired[ino] {
			return ino
		}
	}
}

// recheck asks the store for a key that is known as a file's, with one request where the store can do that.
func (d *Drive) recheck(ctx context.Context, key string) (fs.Info, error) {
	if r, ok := fs.As[fs.Rechecker](d.backend); ok {
		return r.Recheck(ctx, key)
	}
	return d.backend.Stat(ctx, key)
}

// stat asks the store for a key.
func (d *Drive) stat(ctx context.Context, key string) (fs.Info, error) {
	ctx, cancel := context.WithTimeout(ctx, d.opts.Deadline)
	defer cancel()
	info, err := d.backend.Stat(ctx, key)
	d.heard(err)
	return info, err
}

// compare works in what the store, when it was asked, said of one file, and returns the node that has its name then.
func (t *tx) compare(f *file, info fs.Info, gone bool, asked int64) inode {
	x, name := f.m.parent, f.m.name
	switch {
	case gone:
		t.vanish(x, name)
		return nil
	case f.m.at.isOf(f, &info) && info.Type == fs.File:
		f.checked = max(f.checked, asked)
		t.dress(f, info)
		return f
	}
	return t.replaceFound(x, name, &info)
}
