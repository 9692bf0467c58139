package drive

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// layer is a staging file: bytes of a file that lie over others, those of an older layer or of a version in the store.
type layer struct {
	id uint64
	f  *os.File
	in *layers

	mu     sync.RWMutex // guards all below
	ext    extents      // what was written
	floor  int64        // what is below is seen up to here, and zeros from here on
	synced bool         // nothing was written since the last sync
	kept   bool         // some of it was synced
	failed error        // why a sync has failed: the kernel says so once, and what was not written may be gone from its memory

	syncing sync.Mutex // held while the file is being synced; taken before mu

	refs int // guarded by Drive.mu: contents and stacks that have it
}

// layers is the directory of staging files.
type layers struct {
	dir string

	size atomic.Int64 // bytes in all of them

	mu     sync.Mutex // guards all below
	graves []*layer   // without use, to be removed once the journal says so durably
	digs   bool       // some that were taken are being removed
}

func (s *layers) path(id uint64) string { return filepath.Join(s.dir, strconv.FormatUint(id, 36)) }

// create makes an empty one.
func (s *layers) create(id uint64, floor int64) (*layer, error) {
	f, err := os.OpenFile(s.path(id), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fs.Wrap("stage", "", err)
	}
	return &layer{id: id, f: f, in: s, floor: floor, synced: true}, nil
}

// open opens one that the journal names, of which is seen what lies before limit.
func (s *layers) open(r layerRecord, limit int64) (*layer, error) {
	f, err := os.OpenFile(s.path(r.id), os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	need := r.ext.cut(limit) // the rest may have gone when another layer was being absorbed
	if st, err := f.Stat(); err != nil || len(need) > 0 && st.Size() < need[len(need)-1].end {
		return nil, errors.Join(err, f.Close(), os.ErrNotExist) // a loss of power took what was never synced
	}
	s.size.Add(r.ext.bytes())
	return &layer{id: r.id, f: f, in: s, floor: r.floor, ext: r.ext, kept: true}, nil
}

// bury removes a layer that nothing uses, after the journal is durable.
func (s *layers) bury(l *layer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.graves = append(s.graves, l)
}

// take returns what is to be removed.
func (s *layers) take() []*layer {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := s.graves
	s.graves, s.digs = nil, len(all) > 0
	return all
}

// dug ends what take has begun.
func (s *layers) dug() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.digs = false
}

// dying reports whether there are layers that are about to be removed.
func (s *layers) dying() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.digs || len(s.graves) > 0
}

// remove deletes a layer's file.
func (s *layers) remove(l *layer) error {
	l.mu.Lock()
	s.size.Add(-l.ext.bytes())
	l.ext = nil
	l.mu.Unlock()
	err := os.Remove(s.path(l.id))
	if errors.Is(err, os.ErrNotExist) {
		err = nil // it was given to the cache
	}
	return errors.Join(err, l.f.Close())
}

// strays returns the ids of the files for which known says no.
func (s *layers) strays(known func(uint64) bool) ([]uint64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, err
	}
	var out []uint64
	for _, e := range entries {
		id, err := strconv.ParseUint(strings.TrimPrefix(e.Name(), "+"), 36, 64)
		if err == nil && !known(id) {
			out = append(out, id)
		}
	}
	return out, nil
}

// write puts p at off.
func (l *layer) write(p []byte, off int64) error {
	n, err := l.f.WriteAt(p, off)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.include(span{off, off + int64(n)})
	l.synced = false
	return fs.Wrap("write", "", err)
}

// include adds a range to what was written. The caller holds mu.
func (l *layer) include(s span) {
	if l.ext.covers(s) {
		return
	}
	before := l.ext.bytes()
	l.ext = l.ext.add(s)
	l.in.size.Add(l.ext.bytes() - before)
}

// zero makes a range zeros.
func (l *layer) zero(s span) error {
	if s.off >= s.end {
		return nil
	}
	st, err := l.f.Stat()
	if err != nil {
		return fs.Wrap("write", "", err)
	}
	if s.off < st.Size() {
		err = unix.Fallocate(int(l.f.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, s.off, min(s.end, st.Size())-s.off)
		if err != nil {
			return l.write(make([]byte, s.end-s.off), s.off)
		}
	}
	if s.end > st.Size() {
		if err := l.f.Truncate(s.end); err != nil {
			return fs.Wrap("write", "", err)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.include(s)
	l.synced = false
	return nil
}

// cut forgets what lies at or after size. Outside ext the file holds nothing but zeros.
func (l *layer) cut(size int64) error {
	st, err := l.f.Stat()
	if err == nil && st.Size() > size {
		err = l.f.Truncate(size)
	}
	if err != nil {
		return fs.Wrap("write", "", err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	before := l.ext.bytes()
	l.ext = l.ext.cut(size)
	l.in.size.Add(l.ext.bytes() - before)
	l.floor = min(l.floor, size)
	l.synced = false
	return nil
}

// sync makes what was written durable.
func (l *layer) sync() error {
	l.syncing.Lock() // who comes second must not return before the first
	defer l.syncing.Unlock()
	l.mu.Lock()
	done, failed := l.synced, l.failed
	l.synced = true
	l.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case done:
		return nil
	}
	if err := unix.Fdatasync(int(l.f.Fd())); err != nil {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.failed = fs.Wrap("sync", "", err)
		return l.failed
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.kept = true
	return nil
}

// bytes returns how many were written.
func (l *layer) bytes() int64 {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ext.bytes()
}

// cannotSync returns why a sync has failed, nil if none has.
func (l *layer) cannotSync() error {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.failed
}

// isDurable reports whether some of the layer may have been said to be durable.
func (l *layer) isDurable() bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.kept
}

// next returns the first part of s that is all in the layer, all below it or all zeros.
func (l *layer) next(s span) (part span, where place) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	part, in := l.ext.next(s)
	switch {
	case in:
		return part, here
	case part.off >= l.floor:
		return part, nowhere
	}
	return span{part.off, min(part.end, l.floor)}, below
}

// place is where bytes are, as a layer sees it.
type place uint8

const (
	here place = iota
	below
	nowhere // zeros
)

// complete reports whether nothing below is seen through the layer in a file of that size.
func (l *layer) complete(size int64) bool {
	l.mu.RLock()
	defer l.mu.RUnlock()
	return l.ext.covers(span{0, min(l.floor, size)})
}

// absorb takes the bytes of upper, which lies directly over l, in such a way that the two together read the same all the time: what
// is overwritten here is hidden by upper.
func (l *layer) absorb(upper *layer) error {
	upper.mu.RLock()
	ext, floor := append(extents{}, upper.ext...), upper.floor
	upper.mu.RUnlock()
	if err := l.cut(floor); err != nil {
		return err
	}
	buf := make([]byte, 256<<10)
	for _, s := range ext {
		for off := s.off; off < s.end; {
			p := buf[:min(int64(len(buf)), s.end-off)]
			if err := readFull(upper.f, p, off); err != nil {
				return fs.Wrap("stage", "", err)
			}
			if _, err := l.f.WriteAt(p, off); err != nil {
				return fs.Wrap("stage", "", err)
			}
			off += int64(len(p))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range ext {
		l.include(s)
	}
	l.synced = false
	return nil
}

// readFull reads all of p; past the end of the file are zeros.
func readFull(r io.ReaderAt, p []byte, off int64) error {
	n, err := r.ReadAt(p, off)
	if errors.Is(err, io.EOF) {
		clear(p[n:])
		return nil
	}
	return err
}
