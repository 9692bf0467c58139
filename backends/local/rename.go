package local

import (
	"context"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// move is a rename under way.
type move struct {
	from, to       *dir
	name, newName  string
	fromFd, toFd   int
	src, dst       unix.Statx_t // before
	hasDst         bool
	dstID          fs.FileID // of the target
	dstFd          int       // the target, if it has other names, else -1
	oldPath, path  string
	cause          context.Context
	exchange, lone bool // lone: the target must be free
}

// Rename moves a child, replacing what is at its new name.
func (x *dir) Rename(ctx context.Context, name string, to fs.Dir, newName string, flags fs.RenameFlags) error {
	y, ok := fs.As[*dir](to)
	if !ok || y.d != x.d {
		return fs.Wrap("rename", x.pathOf(name), unix.EXDEV)
	}
	if err := x.mayChange(ctx, "rename", name); err != nil {
		return err
	}
	if err := y.mayChange(ctx, "rename", newName); err != nil {
		return err
	}
	m := &move{
		dstFd: -1, from: x, to: y, name: name, newName: newName, cause: ctx,
		exchange: flags&fs.RenameExchange != 0, lone: flags&fs.RenameNoReplace != 0,
	}
	if m.exchange && m.lone {
		return fs.Wrap("rename", x.pathOf(name), unix.EINVAL)
	}
	return m.run()
}

func (m *move) run() (err error) {
	m.from.watch()
	m.to.watch()
	if m.fromFd, err = m.from.enter("rename"); err != nil {
		return err
	}
	defer closeFd(m.fromFd)
	if m.toFd, err = m.to.enter("rename"); err != nil {
		return err
	}
	defer closeFd(m.toFd)
	defer func() {
		if m.dstFd >= 0 {
			closeFd(m.dstFd)
		}
	}()
	defer lockBoth(m.from, m.to)()
	m.oldPath, m.path = m.from.pathOf(m.name), m.to.pathOf(m.newName)
	if err := m.inspect(); err != nil {
		return fs.Wrap("rename", m.oldPath, err)
	}
	if err := m.call(); err != nil {
		return fs.Wrap("rename", m.oldPath, err)
	}
	if m.hasDst && !m.exchange && m.from.d.ident(&m.src) == m.from.d.ident(&m.dst) {
		return nil // two names of one file: POSIX leaves both
	}
	return fs.Wrap("rename", m.path, m.record())
}

// lockBoth locks two directories, which may be one.
func lockBoth(a, b *dir) (unlock func()) {
	if a == b {
		a.ops.Lock()
		return a.ops.Unlock
	}
	if a.ino > b.ino {
		a, b = b, a
	}
	a.ops.Lock()
	b.ops.Lock()
	return func() { b.ops.Unlock(); a.ops.Unlock() }
}

func (m *move) inspect() error {
	if err := statAt(m.fromFd, m.name, &m.src); err != nil {
		return err
	}
	d := m.from.d
	err := statAt(m.toFd, m.newName, &m.dst)
	switch {
	case err == nil:
		m.hasDst = true
		if !m.exchange && !isDir(&m.dst) {
			m.dstID = d.idAt(m.toFd, m.newName, d.ident(&m.dst))
		}
		if !m.exchange && m.dst.Nlink > 1 && !m.dstID.IsZero() && m.src.Ino != m.dst.Ino {
			m.dstFd, err = openAt(m.toFd, m.newName, unix.O_PATH, 0)
		}
		if !m.exchange && !m.lone && m.src.Ino != m.dst.Ino {
			d.linger(m.toFd, m.newName, &m.dst)
		}
		return err
	case is(err, unix.ENOENT):
		return nil
	default:
		return err
	}
}

func (m *move) call() error {
	flags := uint(0)
	if m.exchange {
		flags |= unix.RENAME_EXCHANGE
	}
	if m.lone {
		flags |= unix.RENAME_NOREPLACE
	}
	rename := func() error { return unix.Renameat2(m.fromFd, m.name, m.toFd, m.newName, flags) }
	err := retry(rename)
	switch {
	case is(err, unix.ENOTEMPTY, unix.EEXIST) && flags == 0 && isDir(&m.dst) && m.from.d.clearTemps(m.toFd, m.newName):
		return retry(rename)
	case is(err, unix.ENOTEMPTY) && flags == 0 && !isDir(&m.src):
		return unix.EISDIR // Linux says so of a file and the directory that it is in
	case is(err, unix.EINVAL) && flags != 0 && !isDir(&m.src) && !isDir(&m.dst):
		return unix.ENOTSUP // a file system that knows no flags; of a directory it may mean: into itself
	}
	return err
}

// record brings what is known up to date and tells of the rename. Both directories are locked.
func (m *move) record() error {
	d := m.from.d
	if m.exchange {
		return m.recordExchange()
	}
	var old *node
	if m.hasDst {
		old = m.to.taken(m.newName, &m.dst)
		if fs.CauseOf(m.cause).Origin != fs.OriginMount {
			old.supersede() // a kernel that did it knows by itself
		}
	}
	n, st, err := m.moved(m.from, m.name, m.to, m.newName, m.toFd, &m.src)
	if err != nil {
		return err
	}
	if !m.dstID.IsZero() && !isDir(st) {
		if m.dstFd >= 0 {
			d.disown(m.dstFd, old)
		}
		d.inherit(m.toFd, m.newName, n, m.dstID)
		if err := statAt(m.toFd, m.newName, st); err != nil {
			return err
		}
		d.restamp(n, st)
	}
	d.idAt(m.toFd, m.newName, n.id) // for the change
	c := m.to.change(m.cause, fs.OpRename, m.newName, n, st)
	c.OldPath, c.Old = fs.Path(m.oldPath), old.as()
	d.feed.publish(c)
	return nil
}

// moved records that a file, which st described before, has gone from one name to another.
func (m *move) moved(from *dir, name string, to *dir, newName string, fd int, before *unix.Statx_t) (*node, *unix.Statx_t, error) {
	var st unix.Statx_t
	if err := statAt(fd, newName, &st); err != nil {
		return nil, nil, err
	}
	d := from.d
	d.keep(before, &st)
	d.take(from, name, d.ident(before), true)
	return d.put(to, newName, &st), &st, nil
}

func (m *move) recordExchange() error {
	a, st, err := m.moved(m.from, m.name, m.to, m.newName, m.toFd, &m.src)
	if err != nil {
		return err
	}
	// Taking the second from its old name must not take the first, which is there now.
	m.from.d.take(m.to, m.newName, m.from.d.ident(&m.dst), false)
	m.from.d.put(m.to, m.newName, st)
	var other unix.Statx_t
	if err := statAt(m.fromFd, m.name, &other); err != nil {
		return err
	}
	m.from.d.keep(&m.dst, &other)
	b := m.from.d.put(m.from, m.name, &other)
	c := m.to.change(m.cause, fs.OpRename, m.newName, a, st)
	c.OldPath, c.Old = fs.Path(m.oldPath), b.as()
	m.from.d.feed.publish(c)
	c = m.from.change(m.cause, fs.OpRename, m.name, b, &other)
	c.OldPath, c.Old = fs.Path(m.path), a.as()
	m.from.d.feed.publish(c)
	return nil
}
