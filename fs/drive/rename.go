package drive

import (
	"context"
	"errors"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Rename moves a child. The store hears of it later.
func (x *dir) Rename(ctx context.Context, name string, to fs.Dir, newName string, flags fs.RenameFlags) error {
	dst, ok := fs.As[*dir](to)
	if !ok || dst.d != x.d {
		return fail("rename", join(x.where(), name), fs.CrossDrive)
	}
	if flags != 0 && flags != fs.RenameNoReplace && flags != fs.RenameExchange {
		return fail("rename", join(x.where(), name), fs.Invalid)
	}
	for _, dir := range []*dir{x, dst} {
		dir.pin()
		defer dir.unpin()
	}
	if err := x.prepare(ctx, "rename", name); err != nil {
		return err
	}
	if err := dst.prepare(ctx, "rename", newName); err != nil {
		return err
	}
	x.d.mu.RLock()
	src, _ := x.children[name].(*dir)
	over, isDir := dst.children[newName].(*dir)
	x.d.mu.RUnlock()
	src.restoreAll()
	if flags == fs.RenameExchange {
		over.restoreAll()
	}
	if isDir && flags != fs.RenameExchange {
		over.pin()
		defer over.unpin()
		if err := over.fresh(ctx, ""); err != nil {
			return fs.Wrap("rename", over.where(), err)
		}
	}
	_, err := x.d.mutate(ctx, "rename", join(x.where(), name), func(t *tx) error {
		m := move{from: x, to: dst, name: name, newName: newName, src: x.children[name], old: dst.children[newName]}
		if err := m.check(flags); err != nil {
			return err
		}
		switch {
		case m.src == m.old:
		case flags == fs.RenameExchange:
			m.exchange(t)
		default:
			m.do(t)
		}
		return nil
	})
	return err
}

// move is a rename under way.
type move struct {
	from, to      *dir
	name, newName string
	src, old      inode // old is nil if the target is free
}

func (m *move) check(flags fs.RenameFlags) error {
	bad := func(k fs.Kind) error { return fail("rename", m.name, k) }
	exchange := flags == fs.RenameExchange
	switch {
	case m.src == nil, !m.to.named(), exchange && m.old == nil:
		return bad(fs.NotExist)
	case flags == fs.RenameNoReplace && m.old != nil:
		return bad(fs.Exist)
	case m.src == m.old:
		return nil
	case m.to.within(m.src), exchange && m.from.within(m.old):
		return bad(fs.Invalid)
	case m.to.reserved(m.newName):
		return bad(fs.Exist)
	case m.old == nil:
		return m.to.checkKey(m.newName)
	case exchange:
		return errors.Join(m.to.checkKey(m.newName), m.from.checkKey(m.name))
	}
	_, srcDir := m.src.(*dir)
	oldDir, isDir := m.old.(*dir)
	switch {
	case srcDir && !isDir:
		return bad(fs.NotDir)
	case !srcDir && isDir:
		return bad(fs.IsDir)
	case isDir && len(oldDir.children) > 0:
		return bad(fs.NotEmpty)
	}
	return nil
}

// within reports whether x is n or lies below it.
func (x *dir) within(n inode) bool {
	for ; x != nil; x = x.m.parent {
		if inode(x) == n {
			return true
		}
	}
	return false
}

func (m *move) do(t *tx) {
	path, _ := m.src.meta().path()
	c := fs.Change{OldPath: fs.Path(path)}
	if m.old != nil {
		t.unlink(m.to, m.newName)
		c.Old = m.old
		t.inherit(m.old, m.src)
	}
	if sub, ok := m.src.(*dir); ok {
		t.leaveBelow(sub)
	}
	t.retire(m.src)
	t.detach(m.from, m.name)
	t.attach(m.to, m.src, m.newName, settleAfter)
	if sub, ok := m.src.(*dir); ok {
		t.wantBelow(sub)
	}
	t.record(fs.OpRename, m.src, c)
}

// inherit makes n, which takes the place of old, the same document. If the store has not told yet which that is, and n is in the store
// itself, it stays the document that it was.
func (t *tx) inherit(old, n inode) {
	from := &old.meta().m
	m := &n.meta().m
	if id := from.get().id; !id.IsZero() && from.untold&untoldID == 0 {
		t.setID(n, id)
	} else if from.untold&untoldID != 0 && n.kind() == kindFile && m.at.version == "" {
		t.touch(n)
		m.untold |= untoldID
		if m.get().content != nil {
			t.setAt(n, from.at)
		}
	}
}

// exchange has the two change places, each with all below it. Both keep their documents' identities.
func (m *move) exchange(t *tx) {
	a, _ := m.src.meta().path()
	b, _ := m.old.meta().path()
	both := []inode{m.src, m.old}
	for _, n := range both {
		if sub, ok := n.(*dir); ok {
			t.leaveBelow(sub)
		}
		t.retire(n)
	}
	for _, n := range both {
		t.leave(n) // while both have their paths
	}
	t.unplace(m.from, m.name)
	t.unplace(m.to, m.newName)
	t.attach(m.to, m.src, m.newName, settleAfter)
	t.attach(m.from, m.old, m.name, settleAfter)
	for _, n := range both {
		n.meta().m.ctime = t.now
		if sub, ok := n.(*dir); ok {
			t.wantBelow(sub)
		}
	}
	t.record(fs.OpRename, m.src, fs.Change{OldPath: fs.Path(a), Old: m.old})
	t.record(fs.OpRename, m.old, fs.Change{OldPath: fs.Path(b)})
}

// leaveBelow is leave for all below a directory that is about to be moved. What is not known of it is found where it was before: so is
// what others have put there since it was listed, if that is long ago.
func (t *tx) leaveBelow(x *dir) {
	if m := x.m.get(); x.isOld() && !m.moved {
		key, _ := x.path()
		t.touch(x)
		x.m.edit(func(m *more) { m.origin, m.moved, m.local = key, true, m.local || x.complete })
		t.d.noteOrigin(key, 1)
		t.undo = append(t.undo, func() { t.d.noteOrigin(key, -1) })
	}
	x.regainAll()
	for _, n := range x.children {
		if sub, ok := n.(*dir); ok {
			t.leaveBelow(sub)
		}
		t.retire(n)
		t.leave(n)
		if n.kind() != kindDir {
			t.touch(n) // its place depends on its directory now
		}
	}
}

// wantBelow is want for all below a directory that was moved.
func (t *tx) wantBelow(x *dir) {
	t.d.keeper.keep(x)
	for _, n := range x.children {
		if sub, ok := n.(*dir); ok {
			t.wantBelow(sub)
		}
		t.comeBack(n)
		t.want(n)
	}
}

// noteOrigin counts the directories whose unknown children are still below key. The caller holds mu.
func (d *Drive) noteOrigin(key string, by int) {
	if d.origins[key] += by; d.origins[key] <= 0 {
		delete(d.origins, key)
		d.queue.unblock(blocker{byOrigin, key})
	}
}

// endMove notes that nothing is to be found any more where the directory was before it was moved.
func (t *tx) endMove(x *dir) {
	m := x.m.get()
	if !m.moved {
		return
	}
	t.touch(x)
	x.m.edit(func(m *more) { m.moved, m.origin = false, "" })
	t.d.noteOrigin(m.origin, -1)
	t.undo = append(t.undo, func() { t.d.noteOrigin(m.origin, 1) })
}

// movingFrom reports whether the store may have, at that path, what belongs to a directory that was moved from there: from, or above it.
// The caller holds mu.
func (d *Drive) movingFrom(path string) (from string, moving bool) {
	if len(d.origins) == 0 {
		return "", false
	}
	for {
		if d.origins[path] > 0 {
			return path, true
		}
		i := strings.LastIndexByte(path, '/')
		if i < 0 {
			return "", false
		}
		path = path[:i]
	}
}

// wasSent reports whether the store may have, under the key of p, what was sent there before the directory was moved, and so was known: from
// then on nothing is sent there until all is known. After a restart that is taken for so where nothing is to have the key.
func (t *tx) wasSent(p *pending) bool {
	k := p.keyed()
	return t.d.queue.working[k] || p.unsure && (!p.replayed || t.d.at(k) == nil)
}

// adopt gives the moved directory x a child that the store has at its old place.
func (t *tx) adopt(x *dir, name string, info *fs.Info) {
	old := keyed{info.Key, info.Type == fs.Directory}
	if x.known(name) != nil {
		return
	}
	p := t.d.pending[old]
	if p != nil && (p.have != "" || t.wasSent(p)) {
		return // it was known, and was removed or moved elsewhere since
	}
	n := t.placeFound(x, name, info)
	t.touch(n)
	if sub, ok := n.(*dir); ok {
		sub.m.at = base{}
		sub.m.edit(func(m *more) { m.origin, m.moved = info.Key, true })
		t.d.noteOrigin(info.Key, 1)
		t.undo = append(t.undo, func() { t.d.noteOrigin(info.Key, -1) })
	} else {
		at := n.meta().m.at
		at.key = info.Key
		t.setAt(n, at)
		t.comeBack(n)
	}
	if !info.Implicit && (p == nil || !t.d.queue.working[old]) { // else what is being written there is not what was listed
		p := t.edit(old)
		p.have = info.Version
		if old.dir {
			p.have = markerVersion
		}
		if !old.dir {
			t.noteLast(n, old.key) // whoever is to have the path now
		}
	}
	t.want(n)
}
