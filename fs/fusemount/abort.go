package fusemount

import (
	"context"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// abort ends the kernel's side of a mount: every program in it gets ENOTCONN.
func abort(device uint64) error {
	control, err := openControl(device)
	if err != nil {
		return err
	}
	_, err = control.WriteString("1")
	return errors.Join(err, control.Close())
}

// openControl opens the file by which a connection is ended. It is in the fusectl file system, which need not be mounted; root can open
// it all the same.
func openControl(device uint64) (*os.File, error) {
	file := strconv.FormatUint(uint64(unix.Minor(device)), 10) + "/abort"
	f, err := os.OpenFile("/sys/fs/fuse/connections/"+file, os.O_WRONLY, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	control, err := openFusectl()
	if err != nil {
		return nil, err
	}
	defer closeFd(control)
	fd, err := unix.Openat(control, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: file, Err: err}
	}
	return os.NewFile(uintptr(fd), file), nil
}

// openFusectl returns a descriptor of the fusectl file system without hanging it into the tree.
func openFusectl() (int, error) {
	conf, err := unix.Fsopen("fusectl", unix.FSOPEN_CLOEXEC)
	if err != nil {
		return -1, os.NewSyscallError("fsopen", err)
	}
	defer closeFd(conf)
	if err := unix.FsconfigCreate(conf); err != nil {
		return -1, os.NewSyscallError("fsconfig", err)
	}
	fd, err := unix.Fsmount(conf, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		return -1, os.NewSyscallError("fsmount", err)
	}
	return fd, nil
}

// Abort ends a mount of ours whose daemon is known to be dead or dying, and takes it away. A daemon that is killed while it tells
// the kernel of a change can neither answer nor die: the thread that tells waits for a directory which a program holds that waits
// for the daemon. Only ending the connection frees both. Anything that is not ours is left alone.
func Abort(ctx context.Context, mountpoint string) error {
	mp, err := mountAt(mountpoint)
	if err != nil || mp == nil || mp.fstype != FSType {
		return err
	}
	if err := abort(mp.device); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fs.Wrap("abort", mountpoint, err)
	}
	return fs.Wrap("detach", mountpoint, thisHost().detach(ctx, mountpoint))
}

// Connection is the kernel's side of a mount of ours. It can be ended whatever has become of the daemon and of its mount point, and no
// other in its place: numbers and paths are given again, this is not. Close it when done.
type Connection struct {
	control    *os.File // nil = this user may not end it: the mount is only taken away once it is dead
	mountpoint string
}

// OpenConnection returns the connection of the mount of ours at a directory; NotExist if there is none.
func OpenConnection(mountpoint string) (*Connection, error) {
	mp, err := mountAt(mountpoint)
	switch {
	case err != nil:
		return nil, err
	case mp == nil || mp.fstype != FSType:
		return nil, &fs.Error{Op: "open connection", Path: mountpoint, Kind: fs.NotExist}
	}
	control, err := openControl(mp.device)
	if err != nil {
		return &Connection{nil, mountpoint}, nil //nolint:nilerr // see Connection
	}
	return &Connection{control, mountpoint}, nil
}

// Abort ends the connection, as [Abort] does, and takes the mount away unless another daemon has put its own there.
func (c *Connection) Abort(ctx context.Context) error {
	if c.control != nil {
		if _, err := c.control.WriteString("1"); err != nil {
			return fs.Wrap("abort", c.mountpoint, err)
		}
	}
	err := Detach(ctx, c.mountpoint)
	if fs.KindOf(err) == fs.Busy {
		return nil // it is another's
	}
	return err
}

// Close lets go of the connection.
func (c *Connection) Close() error {
	if c.control == nil {
		return nil
	}
	return fs.Wrap("close connection", c.mountpoint, c.control.Close())
}
