package local

import (
	"context"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// lockPlace locks the directory that holds the node's name, so that notices of what follows are not taken for changes by others.
func (n *node) lockPlace() (unlock func()) {
	for {
		p, ok := n.where()
		if !ok || p.dir == nil {
			return func() {}
		}
		p.dir.ops.Lock()
		if now, ok := n.where(); ok && now == p {
			return p.dir.ops.Unlock
		}
		p.dir.ops.Unlock()
	}
}

// knownAs reports whether what is known of the node's name is that state.
func (n *node) knownAs(s stamp) bool {
	p, ok := n.where()
	if !ok || p.dir == nil {
		return false
	}
	k, ok := p.dir.kid(p.name)
	return ok && k.id == n.id && k.stamp == s
}

// SetAttr changes attributes.
func (n *node) SetAttr(ctx context.Context, set fs.SetAttr) (fs.Attr, error) {
	p, _ := n.Path()
	if err := n.d.writable("setattr", p); err != nil {
		return fs.Attr{}, err
	}
	if err := ctx.Err(); err != nil {
		return fs.Attr{}, fs.Wrap("setattr", p, err)
	}
	var st unix.Statx_t
	fd, err := n.open("setattr", unix.O_PATH, &st)
	if err != nil {
		return fs.Attr{}, err
	}
	defer closeFd(fd)
	return n.setAttr(ctx, procPath(fd), fd, set)
}

// setAttr changes attributes of the node, which is open as fd; path leads there.
func (n *node) setAttr(ctx context.Context, path string, fd int, set fs.SetAttr) (fs.Attr, error) {
	var st unix.Statx_t
	err := n.alter(ctx, fd, &st, set.Size != nil, func() error { return n.apply(path, fd, set) })
	if err != nil {
		p, _ := n.Path()
		return fs.Attr{}, fs.Wrap("setattr", p, err)
	}
	return n.attr(&st), nil
}

// alter runs f, which changes the file that fd is in place, and tells of it. contents says that the bytes may change too.
func (n *node) alter(ctx context.Context, fd int, st *unix.Statx_t, contents bool, f func() error) error {
	unlock := n.lockPlace()
	defer unlock()
	n.meta.Lock()
	defer n.meta.Unlock()
	var before unix.Statx_t
	if err := statFd(fd, &before); err != nil {
		return err
	}
	fail := f()
	if err := statFd(fd, st); err != nil {
		return err
	}
	op := fs.OpAttr
	switch {
	case contents:
		n.dirty.Store(true)
		op = fs.OpWrite
	case !n.writing():
		n.d.keep(&before, st)
	case isFile(&before) && !n.wasTold(stampOf(&before)):
		op = fs.OpWrite // what was written so far: afterwards it could not be told from this
	}
	if *st != before || contents {
		n.tell(ctx, op, st)
	}
	return fail
}

// tell publishes a change in place of the node, which looks like st now. The caller holds the lock of its place.
func (n *node) tell(ctx context.Context, op fs.Op, st *unix.Statx_t) {
	n.d.restamp(n, st)
	if p, ok := n.where(); ok && p.dir != nil {
		n.d.feed.publish(p.dir.change(ctx, op, p.name, n, st))
	}
}

// apply makes the system calls of a SetAttr. The size comes first, for it may be refused and changes times; the owner before the
// mode, for it clears bits of it.
func (n *node) apply(path string, fd int, set fs.SetAttr) error {
	if set.Size != nil {
		if n.dir != nil {
			return unix.EISDIR
		}
		if *set.Size < 0 || n.typ != fs.ModeFile {
			return unix.EINVAL
		}
		if err := retry(func() error { return unix.Truncate(path, *set.Size) }); err != nil {
			return err
		}
	}
	if set.UID != nil || set.GID != nil {
		if err := unix.Fchownat(fd, "", orKeep(set.UID), orKeep(set.GID), unix.AT_EMPTY_PATH); err != nil {
			return err
		}
	}
	if set.Mode != nil {
		if err := unix.Fchmodat(unix.AT_FDCWD, path, *set.Mode&fs.ModePerm, 0); err != nil {
			return err
		}
	}
	if set.Atime != nil || set.Mtime != nil {
		ts := []unix.Timespec{timespec(set.Atime), timespec(set.Mtime)}
		return unix.UtimesNanoAt(unix.AT_FDCWD, path, ts, 0)
	}
	return nil
}

func orKeep(id *uint32) int {
	if id == nil {
		return -1
	}
	return int(*id)
}

func timespec(t *time.Time) unix.Timespec {
	if t == nil {
		return unix.Timespec{Nsec: unix.UTIME_OMIT}
	}
	return unix.Timespec{Sec: t.Unix(), Nsec: int64(t.Nanosecond())}
}
