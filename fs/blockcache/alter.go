package blockcache

import (
	"os"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Alter has do change the file whose descriptor was handed out, for those who read it: in n bytes from off on, or in all that follows if
// n is negative. What it holds of the key there is absent from now on, nothing is stored in it any more, and with its last use it is
// forgotten. The file may grow and shrink.
func (f *File) Alter(off, n int64, do func(*os.File) error) error {
	size, err := f.data.alter(off, n, do)
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if more := size - f.entry.bytes; more > 0 {
		f.cache.charge(f.entry, more)
	}
	return fs.Wrap("alter in cache", f.data.name(), err)
}

// alter does the work of Alter, and returns what the file takes on the disk.
func (c *contents) alter(off, n int64, do func(*os.File) error) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.data == nil {
		return 0, os.ErrClosed
	}
	if err := c.spoil(off, n); err != nil {
		return 0, err
	}
	if err := do(c.data); err != nil {
		return 0, err
	}
	info, err := c.data.Stat()
	if err != nil {
		return 0, err
	}
	return blocks(info), nil
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

// altered reports whether the file has bytes that are not the key's.
func (c *contents) altered() bool {
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
