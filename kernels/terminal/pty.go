package terminal

import (
	"errors"
	"os"

	"github.com/creack/pty"
	"golang.org/x/sys/unix"
)

// openPTY opens a pseudo terminal of the default size: our end, and the one for a program. Our end is non-blocking,
// so that closing it makes a pending Read or Write return; creack/pty opens it so and then makes it block.
func openPTY() (control, tty *os.File, err error) {
	opened, tty, err := pty.Open()
	if err != nil {
		return nil, nil, err
	}
	fd, err := unix.FcntlInt(opened.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err = errors.Join(err, opened.Close()); err != nil {
		return nil, nil, errors.Join(err, tty.Close())
	}
	err = unix.SetNonblock(fd, true)
	control = os.NewFile(uintptr(fd), opened.Name())
	if err == nil {
		err = setSize(control, defaultRows, defaultColumns)
	}
	if err != nil {
		return nil, nil, errors.Join(err, control.Close(), tty.Close())
	}
	return control, tty, nil
}

// setSize tells a pseudo terminal its size in characters.
func setSize(control *os.File, rows, columns int) error {
	raw, err := control.SyscallConn()
	if err != nil {
		return err
	}
	size := unix.Winsize{Row: uint16(rows), Col: uint16(columns)}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.IoctlSetWinsize(int(fd), unix.TIOCSWINSZ, &size) })
	return errors.Join(err, failed)
}
