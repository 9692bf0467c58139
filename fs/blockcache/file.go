package blockcache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// File is one use of a key. Close it; nothing else may be running on it then.
type File struct {
	cache *Cache
	entry *entry
	data  *contents

	mu         sync.Mutex // guards what follows
	pinned     bool
	closed     bool
	descriptor *os.File
}

// Size returns the file's size in bytes.
func (f *File) Size() int64 { return f.data.size }

// Limit returns the limit of the whole cache in bytes.
func (f *File) Limit() int64 { return f.cache.opts.Limit }

// span returns the first and last unit of a range, which must not be empty.
func (f *File) span(off, n int64) (int64, int64) { return off / Unit, (off + n - 1) / Unit }

// clip returns how many of n bytes lie in the file.
func (f *File) clip(off, n int64) int64 { return max(min(n, f.data.size-off), 0) }

// ReadAt reads into p and returns how many bytes lie in the file from off on, at most len(p). ok is false when not all of them are
// present, also when they turned out to be damaged, which makes them absent; what p holds is undefined then.
func (f *File) ReadAt(p []byte, off int64) (n int, ok bool, err error) {
	if off < 0 {
		return 0, false, f.invalid("read from cache")
	}
	size := f.clip(off, int64(len(p)))
	if size == 0 {
		return 0, true, nil
	}
	first, last := f.span(off, size)
	bad, ok, err := f.read(p[:size], off, first, last)
	if len(bad) > 0 {
		f.drop(bad)
	}
	f.count(ok)
	if !ok || err != nil {
		return 0, false, err
	}
	return int(size), true, nil
}

// read returns the units that cannot be read, and whether all could.
func (f *File) read(p []byte, off, first, last int64) (bad []int64, ok bool, err error) {
	d := f.data
	d.mu.RLock()
	defer d.mu.RUnlock()
	if d.closed {
		return nil, false, f.closedError("read from cache")
	}
	all, check := d.look(first, last)
	if !all {
		return nil, false, nil
	}
	if bad = f.check(check); len(bad) > 0 {
		return bad, false, nil
	}
	if _, err := d.data.ReadAt(p, off); err != nil {
		f.cache.opts.Logger.Warn("cannot read from the cache", "error", err)
		for u := first; u <= last; u++ {
			bad = append(bad, u)
		}
		return bad, false, nil
	}
	return nil, true, nil
}

// check verifies units and returns the bad ones. The caller holds the contents' mu for reading.
func (f *File) check(units []int64) (bad []int64) {
	for _, u := range units {
		if !f.data.verify(u) {
			bad = append(bad, u)
		}
	}
	f.cache.counts.checked.Add(int64(len(units)))
	return bad
}

// drop makes damaged units absent.
func (f *File) drop(bad []int64) {
	f.cache.opts.Logger.Warn("dropped damaged parts of the cache", "file", f.data.name(), "units", len(bad))
	freed := int64(0)
	d := f.data
	d.mu.Lock()
	for _, u := range bad {
		n, err := d.take(u, u)
		freed += n
		if err != nil {
			f.cache.opts.Logger.Warn("cannot drop a damaged part of the cache", "error", err)
		}
	}
	d.mu.Unlock()
	f.cache.giveBack(f.entry, freed, false)
	f.cache.counts.damaged.Add(int64(len(bad)))
}

func (f *File) count(hit bool) {
	if hit {
		f.cache.counts.hits.Add(1)
	} else {
		f.cache.counts.misses.Add(1)
	}
}

// Missing returns what is absent of a range, in whole units, in order.
func (f *File) Missing(off, n int64) []Range {
	if n = f.clip(off, n); n == 0 || off < 0 {
		return nil
	}
	return f.data.missing(f.span(off, n))
}

// Touch notes that a range was used, though it was not read from here.
func (f *File) Touch(off, n int64) {
	if n = f.clip(off, n); n > 0 && off >= 0 {
		f.data.look(f.span(off, n))
	}
}

// WriteAt stores bytes of the file. off is a multiple of [Unit], and so is the length unless p ends with the file. It fails with NoSpace if
// there is no room in the cache, and with Invalid for another range.
func (f *File) WriteAt(p []byte, off int64) error {
	end := off + int64(len(p))
	if off < 0 || off%Unit != 0 || end > f.data.size || (end%Unit != 0 && end != f.data.size) {
		return f.invalid("write to cache")
	}
	if len(p) == 0 {
		return nil
	}
	err := f.store(p, off)
	if err != nil && fs.KindOf(err) == fs.NoSpace && !errors.Is(err, errNoRoom) {
		// The disk had less than the limit allows: make room once.
		f.cache.diskFull()
		f.cache.makeRoom(int64(len(p)))
		err = f.store(p, off)
	}
	return fs.Wrap("write to cache", f.data.name(), err)
}

var errNoRoom = errors.New("no room in the cache")

func (f *File) store(p []byte, off int64) error {
	first, last := f.span(off, int64(len(p)))
	price := f.data.price(first, last)
	if !f.cache.reserve(f.entry, price) {
		return &fs.Error{Kind: fs.NoSpace, Err: errNoRoom}
	}
	cost, err := f.write(p, off)
	if cost != price {
		f.cache.giveBack(f.entry, price-cost, false)
	}
	return err
}

func (f *File) write(p []byte, off int64) (int64, error) {
	f.data.mu.RLock()
	defer f.data.mu.RUnlock()
	if f.data.closed {
		return 0, f.closedError("write to cache")
	}
	return f.data.write(p, off)
}

// Complete says whether all of the file is present.
func (f *File) Complete() bool { return f.data.complete() }

// Verify checks all units that were not checked yet. Damaged ones are absent afterwards. It fails only if ctx ends or the file is closed.
func (f *File) Verify(ctx context.Context) error {
	for index, us := range f.data.uncheckedUnits() {
		if err := ctx.Err(); err != nil {
			return fs.Wrap("verify cache", f.data.name(), err)
		}
		bad, err := f.checkLocked(us)
		if err != nil {
			return fmt.Errorf("chunk %d: %w", index, err)
		}
		if len(bad) > 0 {
			f.drop(bad)
		}
	}
	return nil
}

func (f *File) checkLocked(us []int64) ([]int64, error) {
	f.data.mu.RLock()
	defer f.data.mu.RUnlock()
	if f.data.closed {
		return nil, f.closedError("verify cache")
	}
	return f.check(us), nil
}

// Pin keeps what is present, and what comes, from being evicted until the file is closed.
func (f *File) Pin() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.pin()
}

// pin is Pin. The caller holds mu.
func (f *File) pin() {
	if f.pinned || f.closed {
		return
	}
	f.pinned = true
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	f.entry.pins++
	f.data.setPinned(true)
}

// Unchecked returns how many bytes Verify would read.
func (f *File) Unchecked() int64 {
	var n int64
	for _, us := range f.data.uncheckedUnits() {
		n += int64(len(us)) * Unit
	}
	return n
}

// Descriptor returns the file's contents as a file that can only be read, if they are complete and checked. They stay so until Close, which
// closes the descriptor too, or Alter. One use of a key has a descriptor at a time. No part of them is evicted alone from then on: who has mapped the file would see zeros.
func (f *File) Descriptor() (*os.File, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.descriptor != nil {
		return f.descriptor, true
	}
	if f.closed || !f.data.ready() {
		return nil, false
	}
	f.pin()
	if !f.data.ready() { // evicted just before it was pinned
		return nil, false
	}
	if !f.lend() {
		return nil, false
	}
	file, err := f.data.reopen()
	if err != nil {
		f.cache.opts.Logger.Warn("cannot hand out a file of the cache", "error", err)
		return nil, false
	}
	f.descriptor = file
	return file, true
}

// lend notes that the descriptor is handed out, and says false if another use has it, or had it and has altered the file: two files that
// have the same version must not show each other's writes.
func (f *File) lend() bool {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if f.entry.lender != nil && f.entry.lender != f {
		return false
	}
	f.data.state.Lock()
	defer f.data.state.Unlock()
	if f.data.foreign || f.data.shown != nil {
		return false
	}
	f.entry.lent, f.entry.lender, f.data.lent = true, f, true
	return true
}

// takeBack is the reverse of lend.
func (f *File) takeBack() {
	f.cache.mu.Lock()
	defer f.cache.mu.Unlock()
	if f.entry.lender == f {
		f.entry.lender = nil
	}
}

// Close ends this use of the key. A second call does nothing.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return nil
	}
	f.closed = true
	var err error
	if f.descriptor != nil {
		err = f.descriptor.Close()
	}
	f.takeBack()
	return errors.Join(err, f.cache.release(f.entry, f.pinned))
}

func (f *File) invalid(op string) error {
	return &fs.Error{Op: op, Path: f.data.name(), Kind: fs.Invalid}
}

func (f *File) closedError(op string) error {
	return &fs.Error{Op: op, Path: f.data.name(), Kind: fs.Invalid, Err: os.ErrClosed}
}
