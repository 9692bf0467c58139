package local

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// In the reserved folder: where records are, and what is locked while one is written.
const (
	recordsDir = "records"
	lockFile   = "lock"
)

// reserved implements fs.Reserved on files. A record's version is the hash of its bytes.
type reserved struct {
	d  *Drive
	mu *sync.Mutex // held while a record is written; the lock file keeps other daemons out
}

// Reserved returns the drive's place for engines' records. Names have the rules of paths.
func (d *Drive) Reserved() fs.Reserved { return reserved{d, &d.reservedMu} }

func recordPath(op, name string) (string, error) {
	p, err := fs.ParsePath(name)
	if err == nil && (p == "" || string(p) != name) {
		err = &fs.Error{Op: op, Path: name, Kind: fs.Name}
	}
	return recordsDir + "/" + name, err
}

func recordVersion(b []byte) fs.Version {
	sum := sha256.Sum256(b)
	return fs.Version(hex.EncodeToString(sum[:16]))
}

// Get returns a record.
func (r reserved) Get(ctx context.Context, name string) ([]byte, fs.Version, error) {
	p, err := recordPath("get record", name)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		return nil, "", fs.Wrap("get record", name, err)
	}
	b, err := r.read(p)
	if err != nil {
		return nil, "", fs.Wrap("get record", name, err)
	}
	return b, recordVersion(b), nil
}

func (r reserved) read(p string) ([]byte, error) {
	fd, err := openPath(r.d.rootFd, fs.ReservedName+"/"+p, unix.O_RDONLY|unix.O_NONBLOCK)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), p)
	defer f.Close()
	return io.ReadAll(f)
}

// Put writes a record.
func (r reserved) Put(ctx context.Context, name string, data []byte, c fs.Cond) (fs.Version, error) {
	err := r.change(ctx, "put record", name, c, func(p string) error { return r.d.writeReserved(p, data) })
	if err != nil {
		return "", err
	}
	return recordVersion(data), nil
}

// Delete removes a record. With no condition a missing one is an error of kind NotExist.
func (r reserved) Delete(ctx context.Context, name string, c fs.Cond) error {
	return r.change(ctx, "delete record", name, c, func(p string) error {
		at := fs.Path(p)
		fd, err := openPath(r.d.rootFd, fs.ReservedName+"/"+string(at.Dir()), unix.O_RDONLY|unix.O_DIRECTORY)
		if err != nil {
			return err
		}
		defer closeFd(fd)
		if err := unix.Unlinkat(fd, at.Base(), 0); err != nil {
			return err
		}
		return unix.Fsync(fd)
	})
}

// change runs f if the condition holds, while nobody else changes records.
func (r reserved) change(ctx context.Context, op, name string, c fs.Cond, f func(path string) error) error {
	p, err := recordPath(op, name)
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fs.Wrap(op, name, ctx.Err())
	case c.IfAbsent && c.IfVersion != "":
		return &fs.Error{Op: op, Path: name, Kind: fs.Invalid}
	}
	if err := r.d.writable(op, name); err != nil {
		return err
	}
	unlock, err := r.lock()
	if err != nil {
		return fs.Wrap(op, name, err)
	}
	defer unlock()
	have, err := r.read(p)
	switch missing := errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR); {
	case err != nil && !missing:
		return fs.Wrap(op, name, err)
	case c.IfAbsent && !missing:
		return &fs.Error{Op: op, Path: name, Kind: fs.Exist}
	case c.IfVersion != "" && (missing || recordVersion(have) != c.IfVersion):
		return &fs.Error{Op: op, Path: name, Kind: fs.Conflict}
	}
	return fs.Wrap(op, name, f(p))
}

func (r reserved) lock() (unlock func(), err error) {
	r.mu.Lock()
	fd, err := r.d.openReservedDir("")
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	defer closeFd(fd)
	lock, err := openAt(fd, lockFile, unix.O_RDWR|unix.O_CREAT, 0o600)
	if err == nil {
		err = retry(func() error { return unix.Flock(lock, unix.LOCK_EX) })
	}
	if err != nil {
		r.mu.Unlock()
		return nil, err
	}
	return func() { closeFd(lock); r.mu.Unlock() }, nil
}

// Names returns the names of the records that begin with prefix.
func (r reserved) Names(ctx context.Context, prefix string) ([]string, error) {
	var names []string
	err := r.walk(ctx, "", func(name string) {
		if strings.HasPrefix(name, prefix) {
			names = append(names, name)
		}
	})
	slices.Sort(names)
	return names, fs.Wrap("list records", prefix, err)
}

func (r reserved) walk(ctx context.Context, dir string, f func(name string)) error {
	at := string(fs.Path(fs.ReservedName + "/" + recordsDir).Join(dir))
	if dir == "" {
		at = fs.ReservedName + "/" + recordsDir
	}
	fd, err := openPath(r.d.rootFd, at, unix.O_RDONLY|unix.O_DIRECTORY)
	if errors.Is(err, unix.ENOENT) {
		return nil
	}
	if err != nil {
		return err
	}
	defer closeFd(fd)
	names, err := readNames(ctx, fd)
	if err != nil {
		return err
	}
	for _, name := range names {
		var st unix.Statx_t
		child := string(fs.Path(dir).Join(name))
		switch {
		case isTemp(name) || statAt(fd, name, &st) != nil: // being written, or gone
		case isDir(&st):
			if err := r.walk(ctx, child, f); err != nil {
				return err
			}
		case isFile(&st):
			f(child)
		}
	}
	return nil
}

// openReservedDir opens a directory in the reserved folder, making what is missing.
func (d *Drive) openReservedDir(rel string) (int, error) {
	fd, err := openAt(d.rootFd, ".", unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for name := range strings.SplitSeq(strings.TrimSuffix(fs.ReservedName+"/"+rel, "/"), "/") {
		if err != nil {
			return -1, err
		}
		up := fd
		if err = unix.Mkdirat(up, name, 0o755); err == nil || is(err, unix.EEXIST) {
			fd, err = openAt(up, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		}
		closeFd(up)
	}
	return fd, err
}

// writeReserved puts whole contents at a path in the reserved folder, durably.
func (d *Drive) writeReserved(rel string, data []byte) error {
	p := fs.Path(rel)
	dir, err := d.openReservedDir(string(p.Dir()))
	if err != nil {
		return fs.Wrap("write", rel, err)
	}
	defer closeFd(dir)
	f, temp, err := d.makeTemp(dir, fs.ReservedName+"/"+string(p.Dir()))
	if err != nil {
		return fs.Wrap("write", rel, err)
	}
	defer d.temps.end(temp)
	_, err = f.Write(data)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = unix.Renameat(dir, temp, dir, p.Base())
	}
	if err == nil {
		err = unix.Fsync(dir)
	} else {
		_ = unix.Unlinkat(dir, temp, 0) // the first error says it all
	}
	return fs.Wrap("write", rel, errors.Join(err, f.Close()))
}
