package machine

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// side is one of the two folders, with what is open in it.
type side struct {
	root string
	open map[int]*opened // by slot
}

// opened is an open file.
type opened struct {
	fd     int
	mapped []byte // nil = it is not mapped
}

func (s *side) path(rel string) string { return filepath.Join(s.root, rel) }

// outcome is what an operation has come to: what it returned, or the error's number.
func outcome(result string, err error) string {
	var errno syscall.Errno
	switch {
	case err == nil:
		return "ok " + result
	case errors.As(err, &errno):
		return unix.ErrnoName(errno)
	}
	return err.Error()
}

// again makes a system call until no signal interrupts it.
func again(call func() error) error {
	for {
		if err := call(); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

func (s *side) openFile(slot int, rel string, flags int, mode uint32) string {
	f := &opened{}
	err := again(func() (err error) {
		f.fd, err = unix.Open(s.path(rel), flags|unix.O_CLOEXEC|unix.O_NONBLOCK, mode) // nobody may be at the other end of a FIFO
		return err
	})
	if err == nil {
		s.open[slot] = f
	}
	return outcome("", err)
}

func (s *side) closeFile(slot int) string {
	f := s.open[slot]
	delete(s.open, slot)
	err := s.unmap(f)
	return outcome("", errors.Join(err, unix.Close(f.fd)))
}

func (s *side) unmap(f *opened) error {
	if f.mapped == nil {
		return nil
	}
	m := f.mapped
	f.mapped = nil
	return unix.Munmap(m)
}

func (s *side) write(slot int, data []byte, off int64) string {
	n := 0
	err := again(func() (err error) {
		n, err = unix.Pwrite(s.open[slot].fd, data, off)
		return err
	})
	return outcome(fmt.Sprint(n), err)
}

// add writes at the descriptor's own place, which is the end for one that was opened to append.
func (s *side) add(slot int, data []byte) string {
	n := 0
	err := again(func() (err error) {
		n, err = unix.Write(s.open[slot].fd, data)
		return err
	})
	return outcome(fmt.Sprint(n), err)
}

func (s *side) read(slot int, size int, off int64) string {
	p, n := make([]byte, size), 0
	err := again(func() (err error) {
		n, err = unix.Pread(s.open[slot].fd, p, off)
		return err
	})
	return outcome(sum(p[:max(n, 0)]), err)
}

// sum stands for bytes.
func sum(p []byte) string { return fmt.Sprintf("%d bytes %x", len(p), sha256.Sum256(p)) }

func (s *side) sync(slot int, dataOnly bool) string {
	call := unix.Fsync
	if dataOnly {
		call = unix.Fdatasync
	}
	return outcome("", again(func() error { return call(s.open[slot].fd) }))
}

func (s *side) resize(slot int, size int64) string {
	return outcome("", again(func() error { return unix.Ftruncate(s.open[slot].fd, size) }))
}

func (s *side) allocate(slot int, mode uint32, off, size int64) string {
	return outcome("", again(func() error { return unix.Fallocate(s.open[slot].fd, mode, off, size) }))
}

func (s *side) stat(slot int) string {
	var st unix.Stat_t
	err := again(func() error { return unix.Fstat(s.open[slot].fd, &st) })
	return outcome(describe(&st), err)
}

// describe tells of attributes what both sides have.
func describe(st *unix.Stat_t) string {
	if st.Mode&unix.S_IFMT == unix.S_IFDIR {
		return fmt.Sprintf("folder %o", st.Mode&0o7777)
	}
	return fmt.Sprintf("mode %o size %d links %d", st.Mode, st.Size, st.Nlink)
}

// mapIn maps a file, as far as it goes, into memory.
func (s *side) mapIn(slot int) string {
	f := s.open[slot]
	var st unix.Stat_t
	err := errors.Join(s.unmap(f), again(func() error { return unix.Fstat(f.fd, &st) }))
	if err == nil && st.Size > 0 && st.Mode&unix.S_IFMT != unix.S_IFDIR { // whose size is its own business
		f.mapped, err = unix.Mmap(f.fd, 0, int(st.Size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	}
	return outcome(fmt.Sprint(len(f.mapped)), err)
}

// inside cuts a range to what of a mapping is in the file: who touches more of it is killed.
func (s *side) inside(slot int, off, size int64) []byte {
	f := s.open[slot]
	var st unix.Stat_t
	if again(func() error { return unix.Fstat(f.fd, &st) }) != nil {
		return nil
	}
	end := min(off+size, st.Size, int64(len(f.mapped)))
	if off >= end {
		return nil
	}
	return f.mapped[off:end]
}

func (s *side) readMapped(slot int, off, size int64) string { return sum(s.inside(slot, off, size)) }

func (s *side) writeMapped(slot int, off int64, data []byte, flush bool) string {
	n := copy(s.inside(slot, off, int64(len(data))), data)
	var err error
	if f := s.open[slot]; flush && len(f.mapped) > 0 {
		err = again(func() error { return unix.Msync(f.mapped, unix.MS_SYNC) })
	}
	return outcome(fmt.Sprint(n), err)
}

func (s *side) truncate(rel string, size int64) string {
	return outcome("", again(func() error { return unix.Truncate(s.path(rel), size) }))
}

func (s *side) rename(from, to string, flags uint) string {
	return outcome("", again(func() error { return unix.Renameat2(unix.AT_FDCWD, s.path(from), unix.AT_FDCWD, s.path(to), flags) }))
}

func (s *side) unlink(rel string) string {
	return outcome("", again(func() error { return unix.Unlink(s.path(rel)) }))
}

func (s *side) mknod(rel string, mode uint32) string {
	return outcome("", again(func() error { return unix.Mknod(s.path(rel), mode, 0) }))
}

func (s *side) mkdir(rel string) string {
	return outcome("", again(func() error { return unix.Mkdir(s.path(rel), 0o755) }))
}

func (s *side) rmdir(rel string) string {
	return outcome("", again(func() error { return unix.Rmdir(s.path(rel)) }))
}

func (s *side) symlink(target, rel string) string {
	return outcome("", again(func() error { return unix.Symlink(target, s.path(rel)) }))
}

func (s *side) chmod(rel string, mode uint32) string {
	return outcome("", again(func() error { return unix.Chmod(s.path(rel), mode) }))
}

// setTime sets the time of the last change, and reads it back.
func (s *side) setTime(rel string, nanoseconds int64) string {
	var st unix.Stat_t
	when := []unix.Timespec{{Nsec: unix.UTIME_OMIT}, unix.NsecToTimespec(nanoseconds)}
	err := again(func() error { return unix.UtimesNanoAt(unix.AT_FDCWD, s.path(rel), when, unix.AT_SYMLINK_NOFOLLOW) })
	if err == nil {
		err = again(func() error { return unix.Lstat(s.path(rel), &st) })
	}
	return outcome(fmt.Sprint(st.Mtim.Nano()), err)
}

func (s *side) setXattr(rel, name, value string) string {
	return outcome("", again(func() error { return unix.Lsetxattr(s.path(rel), name, []byte(value), 0) }))
}

func (s *side) getXattr(rel, name string) string {
	p, n := make([]byte, 100), 0
	err := again(func() (err error) {
		n, err = unix.Lgetxattr(s.path(rel), name, p)
		return err
	})
	return outcome(string(p[:max(n, 0)]), err)
}

func (s *side) lstat(rel string) string {
	var st unix.Stat_t
	err := again(func() error { return unix.Lstat(s.path(rel), &st) })
	return outcome(describe(&st), err)
}

func (s *side) readlink(rel string) string {
	to, err := os.Readlink(s.path(rel))
	return outcome(to, err)
}

func (s *side) list(rel string) string {
	entries, err := os.ReadDir(s.path(rel))
	names := make([]string, 0, len(entries))
	for _, e := range entries {
		names = append(names, e.Name()+" "+e.Type().String())
	}
	return outcome(strings.Join(names, ", "), err)
}

func (s *side) readFile(rel string) string {
	f, err := os.OpenFile(s.path(rel), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return outcome("", err)
	}
	defer f.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil || st.Mode&unix.S_IFMT == unix.S_IFIFO {
		return outcome(describe(&st), err)
	}
	p, err := io.ReadAll(f)
	return outcome(sum(p), err)
}

// tree describes all that is in the folder, one a line.
func (s *side) tree() (string, error) {
	var lines []string
	err := filepath.WalkDir(s.root, func(path string, e os.DirEntry, err error) error {
		if err != nil || path == s.root {
			return err
		}
		rel, err := filepath.Rel(s.root, path)
		if err != nil {
			return err
		}
		line := rel + " " + s.lstat(rel)
		switch {
		case e.Type()&os.ModeSymlink != 0:
			line += " " + s.readlink(rel)
		case e.Type().IsRegular():
			line += " " + s.readFile(rel)
		}
		lines = append(lines, line)
		return nil
	})
	slices.Sort(lines)
	return strings.Join(lines, "\n"), err
}

// visit opens each file once: that is when a daemon asks the store for what a list does not tell.
func (s *side) visit() error {
	return filepath.WalkDir(s.root, func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
		if errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.ENXIO) {
			return nil // a symbolic link or a socket
		}
		if err != nil {
			return err
		}
		return f.Close()
	})
}
