package fusemount

import (
	"context"
	"errors"
	"os"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// abort ends the kernel's side of a mount: every program in it gets ENOTCONN. The control file is in the fusectl file system,
// which need not be mounted; root can open it all the same.
func abort(device uint64) error {
	file := strconv.FormatUint(uint64(unix.Minor(device)), 10) + "/abort"
	err := os.WriteFile("/sys/fs/fuse/connections/"+file, []byte("1"), 0)
	if !errors.Is(err, os.ErrNotExist) {
		return err
	}
	control, err := openFusectl()
	if err != nil {
		return err
	}
	defer closeFd(control)
	fd, err := unix.Openat(control, file, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &os.PathError{Op: "open", Path: file, Err: err}
	}
	defer closeFd(fd)
	_, err = unix.Write(fd, []byte("1"))
	return err
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
