package snapshot

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// DefaultLimit is the default of Options.Limit.
const DefaultLimit = 64 << 20

// Options tell how a file is kept. Drive is needed.
type Options struct {
	Drive  fs.DriveID
	Limit  int64        // bytes of the file; 0 = DefaultLimit
	Logger *slog.Logger // nil = silent

	boot string // names the time since the machine was started; "" = the kernel tells
}

const (
	magic      = "jdnames1"
	headerSize = len(magic) + 16 + 16 + 1
	cleanAt    = int64(headerSize - 1)
	frameHead  = 4 + 4 + 1 + 4 // length, checksum, kind, length of the path
)

// The kinds of frames. The numbers are stored.
const (
	kindListing byte = 1
	kindGone    byte = 2 // what was at and below the path is not there any more
	kindDropped byte = 3 // the listing of the path is not known any more
)

// File is an open file of listings. Close it.
type File struct {
	path string
	opts Options

	mu    sync.Mutex // guards what follows
	file  *os.File   // nil = nothing can be kept
	size  int64      // of the file
	live  int64      // of the frames that count
	index map[string]*entry
	order uint64 // of the last frame
}

// entry is where the listing of a directory is.
type entry struct {
	off, size int64 // of the frame
	path      int   // length of the path
	sum       uint32
	order     uint64
	gone      map[string]bool // names that have left since
}

// Open opens the file at path, which is made, with its folder, if it is not there or cannot be trusted. It fails with Busy if another
// process has it open.
func Open(path string, o Options) (*File, error) {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.boot == "" {
		id, _ := os.ReadFile("/proc/sys/kernel/random/boot_id") // without it only a file that was closed is trusted
		o.boot = strings.ReplaceAll(strings.TrimSpace(string(id)), "-", "")
	}
	f := &File{path: path, opts: o, index: map[string]*entry{}}
	if err := f.open(); err != nil {
		if f.file != nil {
			err = errors.Join(err, f.file.Close())
		}
		return nil, fs.Wrap("open listings", path, err)
	}
	return f, nil
}

func (f *File) open() (err error) {
	if err := os.MkdirAll(filepath.Dir(f.path), 0o700); err != nil {
		return err
	}
	if f.file, err = os.OpenFile(f.path, os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return err
	}
	if err := lock(f.file); err != nil {
		return err
	}
	size := int64(0)
	if f.isTrusted() {
		size = f.read()
	}
	if err := f.file.Truncate(size); err != nil {
		return err
	}
	f.size = max(size, int64(headerSize))
	if _, err := f.file.WriteAt(f.header(false), 0); err != nil {
		return err
	}
	return f.file.Sync() // or it would seem to have been closed after a loss of power
}

func lock(file *os.File) error {
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return &fs.Error{Kind: fs.Busy, Err: err}
	}
	return nil
}

func (f *File) header(clean bool) []byte {
	boot := make([]byte, 16)
	copy(boot, fmt.Sprintf("%.16s", f.opts.boot))
	b := append([]byte(magic), f.opts.Drive[:]...)
	b = append(b, boot...)
	return append(b, map[bool]byte{true: 1}[clean])
}

// isTrusted reports whether the file has this drive's listings, and all that was written to it.
func (f *File) isTrusted() bool {
	b := make([]byte, headerSize)
	if _, err := f.file.ReadAt(b, 0); err != nil {
		return false
	}
	own := f.header(false)
	drive, boot := len(magic)+16, len(magic)+32
	if string(b[:drive]) != string(own[:drive]) {
		return false
	}
	return b[cleanAt] == 1 || f.opts.boot != "" && string(b[drive:boot]) == string(own[drive:boot])
}

// read makes the index and returns where the good frames end.
func (f *File) read() int64 {
	off := int64(headerSize)
	in := io.NewSectionReader(f.file, off, 1<<62)
	var buf []byte
	for {
		var frame []byte
		frame, buf = next(in, buf, f.opts.Limit)
		if frame == nil {
			return off
		}
		if !f.note(off, frame) {
			return off
		}
		off += int64(len(frame))
	}
}

// next reads a frame, nil if there is no good one. buf is memory for it.
func next(in io.Reader, buf []byte, limit int64) (frame, more []byte) {
	var head [frameHead]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return nil, buf
	}
	length, path := binary.LittleEndian.Uint32(head[:]), binary.LittleEndian.Uint32(head[9:])
	if length < frameHead || int64(length) > limit || path > length-frameHead {
		return nil, buf
	}
	buf = append(slices.Grow(buf[:0], int(length)), head[:]...)[:length]
	if _, err := io.ReadFull(in, buf[frameHead:]); err != nil || checksum(buf) != binary.LittleEndian.Uint32(buf[4:]) {
		return nil, buf
	}
	return buf, buf
}

// checksum is that of all of a frame but the checksum.
func checksum(frame []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	return crc32.Update(crc32.Checksum(frame[:4], table), table, frame[8:])
}

func frameOf(kind byte, path string, data []byte) []byte {
	b := make([]byte, frameHead, frameHead+len(path)+len(data))
	binary.LittleEndian.PutUint32(b, uint32(cap(b)))
	b[8] = kind
	binary.LittleEndian.PutUint32(b[9:], uint32(len(path)))
	b = append(append(b, path...), data...)
	binary.LittleEndian.PutUint32(b[4:], checksum(b))
	return b
}

// note works a frame into the index. It is false for one of a kind that it does not know. The caller holds mu, if anybody else knows f.
func (f *File) note(off int64, frame []byte) bool {
	path := string(frame[frameHead:][:binary.LittleEndian.Uint32(frame[9:])])
	f.order++
	switch frame[8] {
	case kindGone:
		f.forget(path)
	case kindDropped:
		f.drop(path)
	case kindListing:
		f.drop(path)
		f.index[path] = &entry{
			off: off, size: int64(len(frame)), path: len(path), sum: binary.LittleEndian.Uint32(frame[4:]), order: f.order,
		}
		f.live += int64(len(frame))
	default:
		return false
	}
	return true
}

// drop takes a directory out of the index. The caller holds mu.
func (f *File) drop(dir string) {
	if e := f.index[dir]; e != nil {
		f.live -= e.size
		delete(f.index, dir)
	}
}

// forget works in that a name is gone, with all below it. The caller holds mu.
func (f *File) forget(path string) {
	dir, name := split(path)
	if e := f.index[dir]; e != nil {
		if e.gone == nil {
			e.gone = map[string]bool{}
		}
		e.gone[name] = true
	}
	for _, below := range f.below(path) {
		f.drop(below)
	}
}

// below returns the directories of the index at and below a path. The caller holds mu.
func (f *File) below(path string) (all []string) {
	for dir := range f.index {
		if rest, ok := strings.CutPrefix(dir, path); ok && (rest == "" || rest[0] == '/') {
			all = append(all, dir)
		}
	}
	return all
}

func split(path string) (dir, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// Has reports whether there is a listing of a directory.
func (f *File) Has(dir string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.index[dir] != nil
}

// Get returns the listing of a directory and the names that are gone from it since, or nil.
func (f *File) Get(dir string) (data []byte, gone map[string]bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	e := f.index[dir]
	if e == nil {
		return nil, nil
	}
	frame := make([]byte, e.size)
	if _, err := f.file.ReadAt(frame, e.off); err != nil || checksum(frame) != e.sum {
		f.opts.Logger.Warn("a listing that was kept cannot be read", "file", f.path, "path", dir, "error", err)
		f.drop(dir)
		return nil, nil
	}
	return frame[frameHead+e.path:], maps.Clone(e.gone)
}

// Put keeps the listing of a directory. One that is there already, or takes more than a fourth of the limit, is not written.
func (f *File) Put(dir string, data []byte) {
	frame := frameOf(kindListing, dir, data)
	f.mu.Lock()
	defer f.mu.Unlock()
	if e := f.index[dir]; e != nil && e.sum == binary.LittleEndian.Uint32(frame[4:]) && e.size == int64(len(frame)) && len(e.gone) == 0 {
		return
	}
	if int64(len(frame)) > f.opts.Limit/4 {
		if f.index[dir] != nil { // what is kept is old
			f.write(frameOf(kindDropped, dir, nil))
		}
		return
	}
	f.write(frame)
	f.shrink()
}

func join(dir, name string) string { return strings.TrimPrefix(dir+"/"+name, "/") }

// Gone notes that a name has left its directory, and that nothing is known any more of what was below it if it was one itself.
func (f *File) Gone(path string, isDir bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	dir, name := split(path)
	e := f.index[dir]
	if (e == nil || e.gone[name]) && (!isDir || len(f.below(path)) == 0) {
		return
	}
	f.write(frameOf(kindGone, path, nil))
}

// write appends a frame. After a failure nothing is kept any more. The caller holds mu.
func (f *File) write(frame []byte) {
	if f.file == nil {
		return
	}
	if _, err := f.file.WriteAt(frame, f.size); err != nil {
		f.fail(err)
		return
	}
	f.note(f.size, frame)
	f.size += int64(len(frame))
}

// fail gives the file up. The caller holds mu.
func (f *File) fail(why error) {
	f.opts.Logger.Warn("listings are not kept any more", "file", f.path, "error", errors.Join(why, f.file.Truncate(0), f.file.Close()))
	f.file, f.index, f.live = nil, map[string]*entry{}, 0
}

// shrinkFrom is the size from which a file is made smaller if half of it is of no use.
const shrinkFrom = 1 << 20

// shrink writes the file anew if it has grown. The caller holds mu.
func (f *File) shrink() {
	if f.file == nil || f.size <= f.opts.Limit && f.size <= max(2*f.live, shrinkFrom) {
		return
	}
	small := &File{path: f.path, opts: f.opts, index: map[string]*entry{}}
	temp := f.path + ".tmp"
	err := small.fill(temp, f)
	if err == nil {
		err = os.Rename(temp, f.path)
	}
	if err != nil {
		if small.file != nil {
			err = errors.Join(err, small.file.Close(), os.Remove(temp))
		}
		f.fail(err)
		return
	}
	if err := f.file.Close(); err != nil {
		f.opts.Logger.Debug("an old file of listings was not closed well", "file", f.path, "error", err)
	}
	f.file, f.size, f.live, f.index, f.order = small.file, small.size, small.live, small.index, small.order
}

// fill makes the file at path of the newest listings of another one.
func (f *File) fill(path string, from *File) (err error) {
	if f.file, err = os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	if err := lock(f.file); err != nil {
		return err
	}
	if _, err := f.file.WriteAt(f.header(false), 0); err != nil {
		return err
	}
	f.size = int64(headerSize)
	dirs := slices.SortedFunc(maps.Keys(from.index), func(a, b string) int { return -cmp.Compare(from.index[a].order, from.index[b].order) })
	room, count := f.opts.Limit/2, 0
	for _, dir := range dirs {
		if room -= from.index[dir].size; room < 0 {
			break
		}
		count++
	}
	for _, dir := range slices.Backward(dirs[:count]) {
		e := from.index[dir]
		frame := make([]byte, e.size)
		if _, err := from.file.ReadAt(frame, e.off); err != nil {
			return err
		}
		if err := f.copy(frame); err != nil {
			return err
		}
		for name := range e.gone {
			if err := f.copy(frameOf(kindGone, join(dir, name), nil)); err != nil {
				return err
			}
		}
	}
	return nil
}

// copy is write for a file that nobody uses yet.
func (f *File) copy(frame []byte) error {
	_, err := f.file.WriteAt(frame, f.size)
	f.note(f.size, frame)
	f.size += int64(len(frame))
	return err
}

// Close makes the file one that is trusted also after the machine was started anew.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	file := f.file
	f.file, f.index = nil, map[string]*entry{}
	err := file.Sync()
	if err == nil {
		_, err = file.WriteAt([]byte{1}, cleanAt)
	}
	if err == nil {
		err = file.Sync()
	}
	return fs.Wrap("close listings", f.path, errors.Join(err, file.Close()))
}
