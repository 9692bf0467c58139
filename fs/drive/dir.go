package drive

import (
	"context"
	"sync/atomic"
	"syscall"
	"time"
	"weak"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// dir is a directory. All is guarded by Drive.mu.
type dir struct {
	node
	children map[string]inode
	listed   time.Time // when the store was last asked for all names; zero = never
	loading  *load     // under way; nil = none is
	complete bool      // children are all there is, as of listed
	replayed bool      // they are complete as far as the journal knows: what others had put there may be written down
	left     uint64    // how many names were taken away
	dressed  bool      // the store was asked for the attributes of its marker
	edits    uint64    // how often anything was changed of what is written down of children

	shed map[string]weak.Pointer[node] // loose children
	pins atomic.Int32                  // who uses it just now
	used atomic.Int64                  // when somebody last did
}

var (
	_ fs.Dir       = (*dir)(nil)
	_ fs.Symlinker = (*dir)(nil)
	_ fs.Xattrer   = (*dir)(nil)
)

func (x *dir) kind() kind { return kindDir }

// Open refuses: directories are listed.
func (x *dir) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, fail("open", x.where(), fs.IsDir)
}

// Lookup returns a child.
func (x *dir) Lookup(ctx context.Context, name string) (fs.Node, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("lookup", name, err)
	}
	n, err := x.child(ctx, name)
	if err != nil {
		return nil, fs.Wrap("lookup", join(x.where(), name), err)
	}
	return n, nil
}

// child returns the node of that name, having asked the store if what is known is old.
func (x *dir) child(ctx context.Context, name string) (inode, error) {
	x.pin()
	defer x.unpin()
	if err := x.fresh(ctx, name); err != nil {
		return nil, err
	}
	x.d.mu.RLock()
	defer x.d.mu.RUnlock()
	if n, ok := x.children[name]; ok {
		return n, nil
	}
	return nil, fail("lookup", name, fs.NotExist)
}

// free returns nil if name can be made here.
func (x *dir) free(name string) error {
	if !x.named() {
		return fail("create", name, fs.NotExist)
	}
	if x.children[name] != nil || x.reserved(name) {
		return fail("create", name, fs.Exist)
	}
	return nil
}

// reserved reports whether the name is the daemon's own.
func (x *dir) reserved(name string) bool { return x == x.d.root && name == fs.ReservedName }

// checkKey returns nil if the store can have a file of that name here. The caller holds Drive.mu.
func (x *dir) checkKey(name string) error {
	caps := x.d.backend.Caps()
	path, _ := x.path()
	if caps.MaxName > 0 && len(name) > caps.MaxName || caps.MaxKey > 0 && len(path)+1+len(name) > caps.MaxKey {
		return fail("create", name[:min(len(name), 32)], fs.NameTooLong)
	}
	return nil
}

// attach gives n the name, which is free, and has the store brought up to date after wait.
func (t *tx) attach(x *dir, n inode, name string, wait time.Duration) {
	t.place(x, n, name)
	t.wantAfter(n, wait)
	t.touch(x)
	x.m.mtime, x.m.ctime = t.now, t.now
}

// place gives n the name, which is free.
func (t *tx) place(x *dir, n inode, name string) {
	t.touch(n)
	m := &n.meta().m
	m.parent, m.name = x, name
	t.put(x, name, n)
	x.note(name)
	t.comeBack(n)
}

// comeBack works in that n may have got the path again under which the store has it.
func (t *tx) comeBack(n inode) {
	m := &n.meta().m
	if m.at.key == "" {
		return
	}
	if path, named := n.meta().path(); named && path == m.at.key {
		at := m.at
		at.key = ""
		t.setAt(n, at)
		m.sendAgain()
	}
}

// note remembers that a listing under way may not know the present state of a name.
func (x *dir) note(name string) {
	if x.loading != nil {
		x.loading.touched[name] = true
	}
}

// isTouched reports whether a name was changed while a listing is under way.
func (x *dir) isTouched(name string) bool { return x.loading != nil && x.loading.touched[name] }

// detach takes a name away.
func (t *tx) detach(x *dir, name string) {
	n := x.children[name]
	t.leave(n)
	t.unplace(x, name)
	t.touch(x)
	x.m.mtime, x.m.ctime = t.now, t.now
	n.meta().m.ctime = t.now
	if len(x.children) == 0 && x.m.parent != nil && x.m.at.version == "" && t.d.pending[keyOf(x)] == nil {
		t.wantAfter(x, settleAfter) // what is only a prefix of keys would vanish with the last of them
	}
}

// unplace takes a name away without telling the store.
func (t *tx) unplace(x *dir, name string) {
	n := x.children[name]
	t.touch(n)
	last, _ := n.meta().path()
	t.d.keeper.gone(last, n.kind() == kindDir)
	if x.left++; n.kind() == kindDir {
		delete(t.d.evictor.loaded, n.(*dir))
	}
	m := &n.meta().m
	m.edit(func(m *more) { m.last = last })
	m.parent = nil
	t.put(x, name, nil)
	x.note(name)
}

// unlink takes a name away for good.
func (t *tx) unlink(x *dir, name string) {
	n := x.children[name]
	t.detach(x, name)
	t.bury(n)
}

// bury lets go of a node that has lost its name for good.
func (t *tx) bury(n inode) {
	t.forget(n)
	if x, ok := n.(*dir); ok {
		t.endMove(x)
	}
	t.noteConflict(n, loser{})
	t.after = append(t.after, func() {
		if f, ok := n.(*file); ok && f.handles == 0 {
			t.d.drop(f)
		} else if !ok && n.meta().m.at.key != "" {
			t.d.noteDisplaced(n.meta().m.at.key, n, false)
		}
	})
}

// prepare makes sure that it is known whether name is taken. The caller has pinned the directory.
func (x *dir) prepare(ctx context.Context, op, name string) error {
	if err := ctx.Err(); err != nil {
		return fs.Wrap(op, name, err)
	}
	if x.d.opts.ReadOnly {
		return fail(op, join(x.where(), name), fs.ReadOnly)
	}
	return fs.Wrap(op, join(x.where(), name), x.fresh(ctx, name))
}

// add makes a child and publishes it.
func (x *dir) add(ctx context.Context, op, name string, wait time.Duration, make func(*tx) inode) error {
	x.pin()
	defer x.unpin()
	if err := x.prepare(ctx, op, name); err != nil {
		return err
	}
	_, err := x.d.mutate(ctx, op, join(x.where(), name), func(t *tx) error {
		if err := x.free(name); err != nil {
			return err
		}
		if err := x.checkKey(name); err != nil {
			return err
		}
		n := make(t)
		t.attach(x, n, name, wait)
		t.record(fs.OpCreate, n, fs.Change{})
		return nil
	})
	return err
}

// Create makes and opens a file.
func (x *dir) Create(ctx context.Context, name string, o fs.CreateOptions) (fs.Node, fs.Handle, error) {
	for {
		var h *handle
		err := x.add(ctx, "create", name, idleAfter, func(t *tx) inode {
			f := &file{}
			f.init(t, f, fs.ModeFile, o)
			f.m.version = t.d.newVersion()
			t.after = append(t.after, func() {
				h = &handle{f: f, c: f.acquire(o.Flags.Has(fs.OpenWrite)), flags: o.Flags &^ fs.OpenTruncate, made: true}
			})
			return f
		})
		if err == nil {
			h.begin()
			return h.f, h, nil
		}
		if fs.KindOf(err) != fs.Exist || o.Flags.Has(fs.OpenExclusive) {
			return nil, nil, err
		}
		n, err := x.child(ctx, name)
		if err != nil && fs.KindOf(err) == fs.NotExist && !x.reserved(name) {
			continue // it has gone meanwhile
		}
		if err != nil {
			return nil, nil, err
		}
		opened, err := n.Open(ctx, o.Flags)
		if err != nil {
			return nil, nil, err
		}
		return opened.Node(), opened, nil
	}
}

// Mkdir makes a directory.
func (x *dir) Mkdir(ctx context.Context, name string, o fs.CreateOptions) (fs.Dir, error) {
	var n *dir
	err := x.add(ctx, "mkdir", name, settleAfter, func(t *tx) inode {
		n = &dir{children: map[string]inode{}, complete: true, listed: time.Now()}
		n.init(t, n, fs.ModeDir, o)
		n.m.edit(func(m *more) { m.local = true })
		n.dressed, n.m.metaDirty = true, t.d.marks(n)
		return n
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// Symlink makes a symbolic link.
func (x *dir) Symlink(ctx context.Context, name, target string, o fs.CreateOptions) (fs.Node, error) {
	l := &symlink{}
	err := x.add(ctx, "symlink", name, settleAfter, func(t *tx) inode {
		o.Mode = 0o777
		l.init(t, l, fs.ModeSymlink, o)
		l.m.edit(func(m *more) { m.link = target })
		return l
	})
	if err != nil {
		return nil, err
	}
	return l, nil
}

// Remove takes a name away.
func (x *dir) Remove(ctx context.Context, name string, wantDir bool) error {
	x.pin()
	defer x.unpin()
	if err := x.prepare(ctx, "remove", name); err != nil {
		return err
	}
	x.d.mu.RLock()
	sub, isDir := x.children[name].(*dir)
	x.d.mu.RUnlock()
	if isDir && wantDir {
		sub.pin()
		defer sub.unpin()
		if err := sub.fresh(ctx, ""); err != nil {
			return fs.Wrap("remove", sub.where(), err)
		}
	}
	_, err := x.d.mutate(ctx, "remove", join(x.where(), name), func(t *tx) error {
		n, ok := x.children[name]
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
		k := keyOf(n)
		t.unlink(x, name)
		t.trash(k)
		t.record(fs.OpRemove, n, fs.Change{Path: fs.Path(path)})
		return nil
	})
	return err
}

// asFile returns n if it can be opened.
func asFile(n inode) (*file, error) {
	switch n := n.(type) {
	case *file:
		return n, nil
	case *dir:
		return nil, fail("open", n.m.name, fs.IsDir)
	case *special:
		return nil, errNoContents(n.m.name)
	}
	return nil, &fs.Error{Op: "open", Path: n.meta().m.name, Kind: fs.Invalid, Err: syscall.ELOOP}
}
