package local

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// beneath is how every path is resolved.
const beneath = unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS

// maxWalk is how long a path may be for one system call; longer ones are walked in parts.
const maxWalk = 4000

// is reports whether err is one of those system errors.
func is(err error, any ...unix.Errno) bool {
	if err == nil {
		return false // most often, and before anything is allocated
	}
	var no unix.Errno
	return errors.As(err, &no) && slices.Contains(any, no)
}

// retry calls f until it is not interrupted by a signal.
func retry(f func() error) error {
	for {
		if err := f(); !is(err, unix.EINTR) {
			return err
		}
	}
}

// openAt opens path below the directory at, never outside it and through no link.
func openAt(at int, path string, flags int, mode uint32) (fd int, err error) {
	how := unix.OpenHow{Flags: uint64(flags | unix.O_CLOEXEC | unix.O_NOFOLLOW), Mode: uint64(mode), Resolve: beneath}
	err = retry(func() error {
		fd, err = unix.Openat2(at, path, &how)
		return err
	})
	return fd, err
}

// openPath opens a path of any length below the directory at.
func openPath(at int, path string, flags int) (int, error) {
	if path == "" {
		path = "."
	}
	top := at
	for len(path) > maxWalk {
		cut := strings.LastIndexByte(path[:maxWalk], '/')
		fd, err := openAt(at, path[:cut], unix.O_PATH|unix.O_DIRECTORY, 0)
		if at != top {
			closeFd(at)
		}
		if err != nil {
			return -1, err
		}
		at, path = fd, path[cut+1:]
	}
	fd, err := openAt(at, path, flags, 0)
	if at != top {
		closeFd(at)
	}
	return fd, err
}

// closeFd closes a descriptor of which nothing is to be learnt any more: it was only read, or synced before.
func closeFd(fd int) { _ = unix.Close(fd) }

// procPath is a path that leads to the open file itself, whatever its name, also for a symbolic link.
func procPath(fd int) string { return "/proc/self/fd/" + strconv.Itoa(fd) }

// statMask is what is asked of statx(2).
const statMask = unix.STATX_BASIC_STATS | unix.STATX_BTIME

// statAt fills st with what is at name, a link itself included.
func statAt(dir int, name string, st *unix.Statx_t) error {
	return retry(func() error {
		return unix.Statx(dir, name, unix.AT_SYMLINK_NOFOLLOW|unix.AT_NO_AUTOMOUNT, statMask, st)
	})
}

// statFd fills st with what fd is.
func statFd(fd int, st *unix.Statx_t) error {
	return retry(func() error { return unix.Statx(fd, "", unix.AT_EMPTY_PATH, statMask, st) })
}

// ident identifies a file for as long as the file system lives. dev is 0 on the root's own device, so that it does not depend on
// the order in which devices are found; btime is 0 where the file system has none.
type ident struct {
	dev, ino uint64
	btime    int64
}

// ident returns the identity of what st describes.
func (d *Drive) ident(st *unix.Statx_t) ident {
	id := ident{dev: device(st), ino: st.Ino}
	if id.dev == d.dev {
		id.dev = 0
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		id.btime = nanos(st.Btime)
	}
	return id
}

func device(st *unix.Statx_t) uint64 { return unix.Mkdev(st.Dev_major, st.Dev_minor) }

// nanos counts since 1970; far dates wrap around, which does not matter for comparison.
func nanos(t unix.StatxTimestamp) int64 { return t.Sec*1e9 + int64(t.Nsec) }

// stamp is what changes when a file does; of a directory only owner and mode count, for its times follow its entries.
type stamp struct{ ctime, mtime, size int64 }

func stampOf(st *unix.Statx_t) stamp {
	if uint32(st.Mode)&fs.ModeType == fs.ModeDir {
		return stamp{mtime: int64(st.Uid)<<32 | int64(st.Gid), size: int64(st.Mode)}
	}
	return stamp{nanos(st.Ctime), nanos(st.Mtime), int64(st.Size)}
}

// attr makes an fs.Attr without the version.
func (d *Drive) attr(st *unix.Statx_t) fs.Attr {
	id := d.ident(st)
	a := fs.Attr{
		Ino: d.inoOf(id), Mode: uint32(st.Mode), Nlink: st.Nlink, UID: st.Uid, GID: st.Gid,
		Rdev: uint32(unix.Mkdev(st.Rdev_major, st.Rdev_minor)), Size: int64(st.Size), Blocks: int64(st.Blocks),
		Atime: timeOf(st.Atime), Mtime: timeOf(st.Mtime), Ctime: timeOf(st.Ctime), Btime: timeOf(st.Ctime),
	}
	if st.Mask&unix.STATX_BTIME != 0 {
		a.Btime = timeOf(st.Btime)
	}
	return a
}

func (d *Drive) inoOf(id ident) uint64 { return fs.Ino(d.id, id.dev, id.ino, uint64(id.btime)) }

func timeOf(t unix.StatxTimestamp) time.Time { return time.Unix(t.Sec, int64(t.Nsec)) }

func isFile(st *unix.Statx_t) bool { return uint32(st.Mode)&fs.ModeType == fs.ModeFile }
func isDir(st *unix.Statx_t) bool  { return uint32(st.Mode)&fs.ModeType == fs.ModeDir }
