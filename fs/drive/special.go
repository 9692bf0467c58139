package drive

import (
	"context"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// special is a FIFO, socket or device: the kernel does what is done with it, and the store keeps an empty object that says what it is.
type special struct{ node }

var (
	_ fs.Mknoder = (*dir)(nil)
	_ fs.Xattrer = (*special)(nil)
)

func (s *special) kind() kind { return kindSpecial }

func (s *special) stat() fs.Attr {
	a := s.node.stat()
	a.Rdev = s.m.get().rdev
	return a
}

// specialOf returns what a special file is.
func specialOf(m *meta) fs.Special { return fs.Special{Mode: m.mode & fs.ModeType, Rdev: m.get().rdev} }

// Open refuses: the kernel opens it by itself.
func (s *special) Open(context.Context, fs.OpenFlags) (fs.Handle, error) {
	return nil, errNoContents(s.where())
}

// errNoContents is the errno that open(2) has for what nobody is behind.
func errNoContents(path string) error {
	return &fs.Error{Op: "open", Path: path, Kind: fs.Invalid, Err: syscall.ENXIO}
}

// Mknod makes a FIFO, socket or device, or an empty file. Whether a device may be opened is the mount's business: see fusemount.
func (x *dir) Mknod(ctx context.Context, name string, mode, rdev uint32, o fs.CreateOptions) (fs.Node, error) {
	what := fs.Special{Mode: mode & fs.ModeType}
	o.Mode = mode
	switch {
	case what.Mode == 0, what.Mode == fs.ModeFile:
		o.Flags = fs.OpenWrite | fs.OpenExclusive
		n, h, err := x.Create(ctx, name, o)
		if err != nil {
			return nil, err
		}
		return n, h.Release(ctx)
	case !what.Known():
		return nil, fail("mknod", join(x.where(), name), fs.Invalid)
	case what.IsDevice():
		what.Rdev = rdev
	}
	s := &special{}
	err := x.add(ctx, "mknod", name, settleAfter, func(t *tx) inode {
		s.init(t, s, what.Mode, o)
		s.m.edit(func(m *more) { m.rdev = what.Rdev })
		return s
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// reconcileBare writes what has no contents: a symbolic link or a special file. One whose attributes were changed is written anew.
func (d *Drive) reconcileBare(ctx context.Context, j *job) error {
	if j.m.at.key == "" && j.m.at.version != "" && !j.m.metaDirty {
		return d.settled(j)
	}
	o := d.writeOptions(j)
	o.Link, o.Size = j.m.get().link, 0
	if _, ok := j.n.(*special); ok {
		o.Special = specialOf(&j.m)
	}
	if err := d.attempt(j); err != nil {
		return err
	}
	d.hook("store:bare:before")
	info, err := d.stream(ctx, j.key, nil, o)
	d.hook("store:bare:after")
	return d.wrote(ctx, j, info, err)
}

// isSame reports whether the store has the symbolic link or special file that the job was to write.
func (j *job) isSame(info fs.Info) bool {
	switch j.n.(type) {
	case *symlink:
		return info.Type == fs.Symlink && info.Link == j.m.get().link
	case *special:
		return info.Type == fs.Other && info.Special == specialOf(&j.m)
	}
	return false
}
