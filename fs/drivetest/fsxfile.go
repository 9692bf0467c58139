package drivetest

import (
	"context"
	"errors"
	"os"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// NewDriveFile makes the file name in dir, empty, for FSX. ctx is that of all its operations.
func NewDriveFile(ctx context.Context, dir fs.Dir, name string) (File, error) {
	n, h, err := dir.Create(ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenTruncate})
	if err != nil {
		return nil, err
	}
	f := driveFile{ctx, n, h}
	if _, ok := h.(fs.Allocater); ok {
		return &allocDriveFile{f}, nil
	}
	return &f, nil
}

// driveFile is a file of a drive without a mount.
type driveFile struct {
	ctx context.Context
	n   fs.Node
	h   fs.Handle
}

func (f *driveFile) ReadAt(p []byte, off int64) (int, error)  { return f.h.ReadAt(f.ctx, p, off) }
func (f *driveFile) WriteAt(p []byte, off int64) (int, error) { return f.h.WriteAt(f.ctx, p, off) }
func (f *driveFile) Sync() error                              { return f.h.Sync(f.ctx) }

func (f *driveFile) Size() (int64, error) {
	a, err := f.h.Attr(f.ctx)
	return a.Size, err
}

func (f *driveFile) Truncate(size int64) error {
	_, err := f.h.SetAttr(f.ctx, fs.SetAttr{Size: &size})
	return err
}

func (f *driveFile) Append(p []byte) (int, error) {
	h, err := f.n.Open(f.ctx, fs.OpenWrite|fs.OpenAppend)
	if err != nil {
		return 0, err
	}
	n, err := h.WriteAt(f.ctx, p, 0)
	return n, errors.Join(err, h.Flush(f.ctx), h.Release(f.ctx))
}

func (f *driveFile) Reopen() (err error) {
	if err := f.Close(); err != nil {
		return err
	}
	f.h, err = f.n.Open(f.ctx, fs.OpenReadWrite)
	return err
}

func (f *driveFile) Close() error { return errors.Join(f.h.Flush(f.ctx), f.h.Release(f.ctx)) }

// allocDriveFile is a driveFile whose handles can allocate.
type allocDriveFile struct{ driveFile }

func (f *allocDriveFile) Allocate(off, size int64, mode uint32) error {
	return f.h.(fs.Allocater).Allocate(f.ctx, off, size, mode)
}

// NewOSFile makes the file at path, empty, for FSX: for instance in a mount. That must be another process's: the page faults of a
// mapped file stop a process that should serve them.
func NewOSFile(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return nil, err
	}
	return &osFile{f}, nil
}

// OpenOSFile is NewOSFile for a file that is there, and stays as it is.
func OpenOSFile(path string) (File, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	return &osFile{f}, nil
}

// osFile is a file that the kernel has opened.
type osFile struct{ *os.File }

func (f *osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

func (f *osFile) Append(p []byte) (int, error) {
	a, err := os.OpenFile(f.Name(), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return 0, err
	}
	n, err := a.Write(p)
	return n, errors.Join(err, a.Close())
}

func (f *osFile) Allocate(off, size int64, mode uint32) error {
	return syscall.Fallocate(int(f.Fd()), mode, off, size)
}

func (f *osFile) Reopen() (err error) {
	name := f.Name()
	if err := f.Close(); err != nil {
		return err
	}
	f.File, err = os.OpenFile(name, os.O_RDWR, 0)
	return err
}

func (f *osFile) ReadMapped(p []byte, off int64) error {
	return f.mapped(off, len(p), syscall.PROT_READ, func(m []byte) { copy(p, m) })
}

func (f *osFile) WriteMapped(p []byte, off int64) error {
	return f.mapped(off, len(p), syscall.PROT_READ|syscall.PROT_WRITE, func(m []byte) { copy(m, p) })
}

// mapped calls use with a range of the file mapped into memory.
func (f *osFile) mapped(off int64, size, prot int, use func([]byte)) error {
	before := int(off % int64(os.Getpagesize()))
	m, err := syscall.Mmap(int(f.Fd()), off-int64(before), before+size, prot, syscall.MAP_SHARED)
	if err != nil {
		return err
	}
	use(m[before:])
	return syscall.Munmap(m)
}
