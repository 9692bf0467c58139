package drive

import (
	"log/slog"
	"os"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// lent is the file of the cache from which the kernel reads an open file by itself. It has exactly the bytes of the open file until the
// last handle is closed: what is written meanwhile goes into it too, past the cache, which does not take it for the store's version then.
type lent struct {
	file *blockcache.File // pinned
	fd   int
	lost bool // something could not be written to it
}

// checkNow is how many bytes are read for their checksums while a program waits for its open(2).
const checkNow = 64 << 20

var _ fs.Passthrougher = (*handle)(nil)

// PassthroughFd returns a descriptor to read with, if the whole version is cached and checked and nothing was written over it. A large
// version of which nothing was read since the daemon began is checked in the background, for the next time.
func (h *handle) PassthroughFd() (int, bool) {
	if h.flags.Has(fs.OpenWrite) || h.flags.Has(fs.OpenTruncate) || h.pinned != nil {
		return -1, false
	}
	h.c.mu.Lock()
	defer h.c.mu.Unlock()
	if h.c.lent == nil {
		h.c.lent = h.f.d.lend(&h.c.v)
	}
	if h.c.lent == nil || h.c.lent.lost {
		return -1, false
	}
	return h.c.lent.fd, true
}

// lend returns what the kernel may read v from, nil if nothing.
func (d *Drive) lend(v *view) *lent {
	if len(v.stack) > 0 || v.at.version == "" || v.at.size != v.size || v.size == 0 {
		return nil
	}
	f := d.cacheFile(v.at)
	if f == nil {
		return nil
	}
	x := &lent{file: f}
	if f.Complete() && d.checked(f, v.at) {
		if file, ok := f.Descriptor(); ok {
			x.fd = int(file.Fd())
			return x
		}
	}
	x.close(d.log)
	return nil
}

// checked has a complete file checked, at once or in the background, and reports whether it is good.
func (d *Drive) checked(f *blockcache.File, at base) bool {
	switch n := f.Unchecked(); {
	case n == 0:
		return true
	case n > checkNow:
		d.checkLater(at)
		return false
	}
	return f.Verify(d.ctx) == nil && f.Complete()
}

// checkLater checks a version in the background, unless another is being checked.
func (d *Drive) checkLater(at base) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || !d.checking.TryLock() {
		return
	}
	d.background.Go(func() {
		defer d.checking.Unlock()
		f := d.cacheFile(at)
		if f == nil {
			return
		}
		if err := f.Verify(d.ctx); err != nil {
			d.log.Debug("what is cached was not checked", "key", at.key, "error", err)
		}
		(&lent{file: f}).close(d.log)
	})
}

func (x *lent) close(log *slog.Logger) {
	if x == nil {
		return
	}
	if err := x.file.Close(); err != nil {
		log.Warn("the cache cannot be used", "error", err)
	}
}

// show does what was done to n bytes from off on (to all that follows if n is negative) to the file that the kernel reads as well. The
// caller holds mu.
func (c *contents) show(off, n int64, do func(*os.File) error) {
	if c.lent == nil || c.lent.lost {
		return
	}
	if err := c.lent.file.Alter(off, n, do); err != nil {
		c.lent.lost = true
		c.f.d.log.Warn("programs that have the file open do not see what is written to it", "file", c.f.where(), "error", err)
	}
}

// showSize is show for a new size. The caller holds mu.
func (c *contents) showSize(size int64) {
	c.show(size, -1, func(f *os.File) error { return f.Truncate(size) })
}

// zeroFile makes a range of a file zeros, which grows if the range ends past it.
func zeroFile(f *os.File, off, end int64) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if part := min(end, info.Size()) - off; part > 0 {
		if err := unix.Fallocate(int(f.Fd()), unix.FALLOC_FL_ZERO_RANGE|unix.FALLOC_FL_KEEP_SIZE, off, part); err != nil {
			if _, err := f.WriteAt(make([]byte, part), off); err != nil {
				return err
			}
		}
	}
	if end > info.Size() {
		return f.Truncate(end)
	}
	return nil
}
