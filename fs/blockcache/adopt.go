package blockcache

import (
	"errors"
	"io"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// AdoptFile makes a file of the local disk the contents of a key. It reads the file for its checksums, and moves it into the cache, or copies
// it from another file system; the path is gone afterwards. Nobody may write to the file any more. It fails with NoSpace if there is no room
// for it; the file stays then.
func (c *Cache) AdoptFile(k Key, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return fs.Wrap("adopt", path, err)
	}
	f, err := c.Open(k, info.Size())
	if err != nil {
		return err
	}
	if !f.Complete() {
		err = f.adopt(path)
	}
	if err == nil {
		err = remove(path)
	}
	return errors.Join(fs.Wrap("adopt", path, err), f.Close())
}

// remove removes what may be gone already.
func remove(path string) error {
	if err := os.Remove(path); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func (f *File) adopt(path string) error {
	if f.data.size == 0 {
		return nil
	}
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	sums, err := sumFile(file, f.data.size)
	if err != nil {
		return errors.Join(err, file.Close())
	}
	price := f.data.price(0, units(f.data.size)-1)
	if !f.cache.reserve(f.entry, price) {
		return errors.Join(&fs.Error{Op: "adopt", Path: path, Kind: fs.NoSpace, Err: errNoRoom}, file.Close())
	}
	cost, taken, err := f.data.adopt(path, file, sums)
	f.cache.giveBack(f.entry, price-cost, false)
	if taken {
		return err
	}
	if errors.Is(err, unix.EXDEV) {
		err = f.copyFrom(file)
	}
	return errors.Join(err, file.Close())
}

// sumFile reads a file of that size.
func sumFile(file *os.File, size int64) ([]uint32, error) {
	sums := make([]uint32, 0, units(size))
	buf := make([]byte, min(size, chunkSize))
	for off := int64(0); off < size; off += int64(len(buf)) {
		p := buf[:min(int64(len(buf)), size-off)]
		if _, err := file.ReadAt(p, off); err != nil {
			return nil, err
		}
		sums = append(sums, sumsOf(p)...)
	}
	return sums, nil
}

// copyFrom stores what the file holds.
func (f *File) copyFrom(file *os.File) error {
	buf := make([]byte, min(f.data.size, chunkSize))
	for off := int64(0); off < f.data.size; {
		n, err := io.ReadFull(io.NewSectionReader(file, off, f.data.size-off), buf)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		if err := f.WriteAt(buf[:n], off); err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// adopt moves the file to where the contents are, in place of what is there. It returns what of the price was needed, and whether the file
// belongs to the contents now.
func (c *contents) adopt(path string, file *os.File, sums []uint32) (cost int64, taken bool, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if cost, err = c.create(); err != nil {
		return 0, false, err
	}
	c.state.Lock()
	if c.foreign {
		c.state.Unlock()
		return cost, false, &fs.Error{Op: "adopt", Path: path, Kind: fs.NoSpace, Err: errNoRoom}
	}
	if c.orphaned {
		err = os.Remove(path)
	} else {
		err = errors.Join(os.MkdirAll(filepath.Dir(c.dataPath), 0o700), os.Rename(path, c.dataPath))
	}
	old := c.data
	if err == nil {
		c.data = file
	}
	c.state.Unlock()
	if err != nil {
		return cost, false, err
	}
	more, err := c.note(0, sums)
	return cost + more, true, errors.Join(err, old.Close())
}
