package blockcache

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// keepLimit is the size up to which a file is copied before it is altered, so that the cache goes on having the key's bytes: they are what
// is written over, and the store may not have them for long.
const keepLimit = 32 << 20

// Alter has do change the file whose descriptor was handed out, for those who read it: in n bytes from off on, or in all that follows if
// n is negative. The file may grow and shrink. The cache keeps a copy of the key's own bytes if there is room for one and the file has at
// most 32 MiB. Else what the file holds of the key there is absent from now on, nothing is stored in it any more, and with its last use
// it is forgotten. No descriptor is handed out any more until that last use.
func (f *File) Alter(off, n int64, do func(*os.File) error) error {
	f.keep()
	size, err := f.data.alter(off, n, do)
	if f.charge(size) {
		f.cache.makeRoom(0) // what was written was written: others give way
	}
	return fs.Wrap("alter in cache", f.data.name(), err)
}

// charge counts what the contents take now, and reports whether that is more than before.
func (f *File) charge(size int64) bool {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	more := size - f.entry.bytes
	f.cache.charge(f.entry, max(more, 0))
	return more > 0
}

// keep gives the cache a copy of a file that is about to be altered, if it may have one.
func (f *File) keep() {
	size := f.data.size
	if size > keepLimit || f.data.altered() || !f.cache.reserve(f.entry, size) {
		return
	}
	done, err := f.data.divide()
	if err != nil {
		f.cache.opts.Logger.Warn("the cache loses a file that is written to while it is read", "file", f.data.name(), "error", err)
	}
	if !done {
		f.cache.giveBack(f.entry, size, false)
	}
}

// divide makes a copy the contents, and leaves the file itself to those who have its descriptor.
func (c *contents) divide() (done bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.data == nil || c.altered() {
		return false, nil
	}
	own, err := c.duplicate()
	if err != nil {
		return false, err
	}
	c.state.Lock()
	defer c.state.Unlock()
	c.shown, c.data, c.lent = c.data, own, false
	return true, nil
}

// duplicate puts a copy of the file in its place, and returns it. The caller holds mu, but not state, for which others wait who have the
// whole cache locked.
func (c *contents) duplicate() (*os.File, error) {
	from, err := c.reopen()
	if err != nil {
		return nil, err
	}
	defer func() { _ = from.Close() }() // it was only read
	own, path, err := c.createCopy()
	if err != nil {
		return nil, err
	}
	_, err = io.CopyN(own, from, c.size)
	c.state.Lock()
	defer c.state.Unlock()
	switch {
	case path == "":
	case err == nil && !c.orphaned:
		err = os.Rename(path, c.dataPath)
	default:
		err = errors.Join(err, remove(path))
	}
	if err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return own, nil
}

// createCopy makes a file beside that of the contents; it has no path if the entry was removed.
func (c *contents) createCopy() (own *os.File, path string, err error) {
	c.state.Lock()
	defer c.state.Unlock()
	path = c.dataPath + newSuffix
	own, err = c.createFile(path)
	if c.orphaned {
		path = ""
	}
	return own, path, err
}

// alter does the work of Alter, and returns what the contents take on the disk.
func (c *contents) alter(off, n int64, do func(*os.File) error) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.data == nil {
		return 0, os.ErrClosed
	}
	file, own := c.shown, c.cost()
	if file == nil {
		if err := c.spoil(off, n); err != nil {
			return 0, err
		}
		file, own = c.data, 0
	}
	if err := do(file); err != nil {
		return 0, err
	}
	info, err := file.Stat()
	if err != nil {
		return 0, err
	}
	return own + blocks(info), nil
}

// spoil makes the units of a range absent, and leaves their bytes where they are. The caller holds mu.
func (c *contents) spoil(off, n int64) error {
	c.state.Lock()
	defer c.state.Unlock()
	c.foreign = true
	end := c.size
	if n >= 0 {
		end = min(end, off+n)
	}
	if off >= end {
		return nil
	}
	first, last := off/Unit, (end-1)/Unit
	for u := first; u <= last; u++ {
		ch, un := c.at(u)
		if un == nil || un.state == absent {
			continue
		}
		*un = unit{}
		c.count--
		if ch.count--; ch.count == 0 {
			delete(c.chunks, u/chunkUnits)
		}
	}
	return c.save(first, last)
}

// altered reports whether the file that was handed out has, or is about to have, bytes that are not the key's.
func (c *contents) altered() bool {
	c.state.Lock()
	defer c.state.Unlock()
	return c.foreign || c.shown != nil
}

// spoiled reports whether the contents themselves have bytes that are not the key's.
func (c *contents) spoiled() bool {
	c.state.Lock()
	defer c.state.Unlock()
	return c.foreign
}

// seal tells whether a file is as it was. The zero value is none.
type seal struct {
	ino          uint64
	size         int64
	mtime, ctime unix.Timespec
}

func sealOf(f *os.File) seal {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return seal{}
	}
	return seal{ino: st.Ino, size: st.Size, mtime: st.Mtim, ctime: st.Ctim}
}

// trust takes what is present as checked if the file is as it was then.
func (c *contents) trust(s seal) {
	if s == (seal{}) || c.data == nil || sealOf(c.data) != s {
		return
	}
	c.state.Lock()
	defer c.state.Unlock()
	for _, ch := range c.chunks {
		for i := range ch.units {
			if ch.units[i].state == unchecked {
				ch.units[i].state = present
			}
		}
	}
}
