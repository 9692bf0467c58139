package mem

import (
	"context"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Rename moves a child.
func (d *dir) Rename(ctx context.Context, name string, to fs.Dir, newName string, flags fs.RenameFlags) error {
	dst, ok := fs.As[*dir](to)
	if !ok || dst.d != d.d {
		return fail("rename", d.under(name), fs.CrossDrive)
	}
	_, err := d.d.mutate(ctx, "rename", d.under(name), func(t *tx) error {
		m := move{from: d, to: dst, name: name, newName: newName, src: d.children[name], old: dst.children[newName]}
		if err := m.check(flags); err != nil {
			return err
		}
		switch {
		case m.src == m.old:
			return nil
		case flags == fs.RenameExchange:
			m.exchange(t)
		default:
			m.replace(t)
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
	case flags != 0 && !exchange && flags != fs.RenameNoReplace:
		return bad(fs.Invalid)
	case m.src == nil, m.to.gone(), exchange && m.old == nil:
		return bad(fs.NotExist)
	case flags == fs.RenameNoReplace && m.old != nil:
		return bad(fs.Exist)
	case m.src == m.old:
		return nil
	case m.to.within(m.src), exchange && m.from.within(m.old):
		return bad(fs.Invalid)
	case m.old == nil, exchange:
		return nil
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

// within reports whether d is n or lies below it.
func (d *dir) within(n inode) bool {
	for ; d != nil; d = d.parent {
		if inode(d) == n {
			return true
		}
	}
	return false
}

func (m *move) replace(t *tx) {
	path, _ := m.src.meta().path()
	c := fs.Change{OldPath: fs.Path(path)}
	if m.old != nil {
		m.to.unlink(t, m.newName)
		c.Old = m.old
		if id := m.old.meta().id; !id.IsZero() {
			m.src.meta().id = id
		}
	}
	m.from.detach(t, m.name)
	m.to.attach(t, m.src, m.newName)
	t.record(fs.OpRename, m.src, c)
}

func (m *move) exchange(t *tx) {
	a, _ := m.src.meta().path()
	b, _ := m.old.meta().path()
	m.from.detach(t, m.name)
	m.to.detach(t, m.newName)
	m.to.attach(t, m.src, m.newName)
	m.from.attach(t, m.old, m.name)
	t.record(fs.OpRename, m.src, fs.Change{OldPath: fs.Path(a), Old: m.old})
	t.record(fs.OpRename, m.old, fs.Change{OldPath: fs.Path(b)})
}
