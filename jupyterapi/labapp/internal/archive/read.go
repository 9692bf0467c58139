package archive

import (
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"
)

// FS is the tree of files in an archive. It implements [fs.FS], [fs.ReadDirFS] and [fs.StatFS].
type FS struct {
	r        io.ReaderAt
	index    index
	decoders sync.Pool // of *zstd.Decoder that read nothing at the moment
}

var (
	_ fs.ReadDirFS = (*FS)(nil)
	_ fs.StatFS    = (*FS)(nil)
)

// Open reads the index of the archive of size bytes behind r, which must stay readable as long as the FS is used.
// It returns an error that is [ErrFormat] for anything [Write] did not make.
func Open(r io.ReaderAt, size int64) (*FS, error) {
	doc, end, err := readIndex(r, size)
	if err != nil {
		return nil, err
	}
	a := &FS{r: r}
	if err := json.Unmarshal(doc, &a.index); err != nil {
		return nil, fmt.Errorf("%w: index: %w", ErrFormat, err)
	}
	for i, e := range a.index.Files {
		if !e.valid(end) || i > 0 && a.index.Files[i-1].Name >= e.Name {
			return nil, fmt.Errorf("%w: entry %q", ErrFormat, e.Name)
		}
	}
	return a, nil
}

// readIndex returns the decompressed index and the offset at which the files' frames end.
func readIndex(r io.ReaderAt, size int64) (doc []byte, end int64, err error) {
	footer := make([]byte, footerSize)
	if size < footerSize {
		return nil, 0, ErrFormat
	}
	if _, err := r.ReadAt(footer, size-footerSize); err != nil {
		return nil, 0, fmt.Errorf("read the archive's end: %w", err)
	}
	length := int64(binary.LittleEndian.Uint32(footer))
	end = size - footerSize - length
	if string(footer[4:]) != indexMagic || end < 0 || length > maxIndexSize {
		return nil, 0, ErrFormat
	}
	packed := make([]byte, length)
	if _, err := r.ReadAt(packed, end); err != nil {
		return nil, 0, fmt.Errorf("read the archive's index: %w", err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxIndexSize))
	if err != nil {
		return nil, 0, fmt.Errorf("start zstd: %w", err)
	}
	defer dec.Close()
	doc, err = dec.DecodeAll(packed, nil)
	if err != nil {
		return nil, 0, fmt.Errorf("%w: index: %w", ErrFormat, err)
	}
	return doc, end, nil
}

// Key returns the key that the archive was written with.
func (a *FS) Key() string { return a.index.Key }

// Len returns the number of files.
func (a *FS) Len() int { return len(a.index.Files) }

// Frame is a file as it is stored.
type Frame struct {
	*io.SectionReader        // the zstd frame
	Sum               string // sha256 of the decompressed content, hex
}

// Frame returns the named file as it is stored. It reports false when there is no such file.
func (a *FS) Frame(name string) (Frame, bool) {
	i, ok := a.find(name)
	if !ok {
		return Frame{}, false
	}
	e := a.index.Files[i]
	return Frame{SectionReader: io.NewSectionReader(a.r, e.Offset, e.Packed), Sum: e.Sum}, true
}

// find returns the position of the named file, or else where it would be.
func (a *FS) find(name string) (int, bool) {
	return slices.BinarySearchFunc(a.index.Files, name, func(e entry, name string) int { return cmp.Compare(e.Name, name) })
}

// Open implements [fs.FS]. A file is decompressed while it is read.
func (a *FS) Open(name string) (fs.File, error) {
	info, err := a.stat("open", name)
	if err != nil {
		return nil, err
	}
	if info.dir {
		return &folder{info: info, tree: a, name: name}, nil
	}
	frame, _ := a.Frame(name)
	return &file{info: info, frame: frame, decoders: &a.decoders}, nil
}

// Stat implements [fs.StatFS].
func (a *FS) Stat(name string) (fs.FileInfo, error) {
	return a.stat("stat", name)
}

func (a *FS) stat(op, name string) (info, error) {
	if !fs.ValidPath(name) {
		return info{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrInvalid}
	}
	if i, ok := a.find(name); ok {
		return info{name: path.Base(name), size: a.index.Files[i].Size}, nil
	}
	if i, _ := a.find(name + "/"); name == "." || i < a.Len() && strings.HasPrefix(a.index.Files[i].Name, name+"/") {
		return info{name: path.Base(name), dir: true}, nil
	}
	return info{}, &fs.PathError{Op: op, Path: name, Err: fs.ErrNotExist}
}

// ReadDir implements [fs.ReadDirFS].
func (a *FS) ReadDir(name string) ([]fs.DirEntry, error) {
	dir, err := a.stat("readdir", name)
	if err != nil {
		return nil, err
	}
	if !dir.dir {
		return nil, &fs.PathError{Op: "readdir", Path: name, Err: fs.ErrInvalid}
	}
	prefix := name + "/"
	if name == "." {
		prefix = ""
	}
	var list []fs.DirEntry
	first, _ := a.find(prefix)
	for _, e := range a.index.Files[first:] {
		rest, ok := strings.CutPrefix(e.Name, prefix)
		if !ok {
			break
		}
		child, _, dir := strings.Cut(rest, "/")
		// What a folder holds stands together; its name is taken once.
		if n := len(list); n > 0 && list[n-1].Name() == child {
			continue
		}
		i := info{name: child, dir: dir}
		if !dir {
			i.size = e.Size
		}
		list = append(list, fs.FileInfoToDirEntry(i))
	}
	// By whole names "a.js" comes before "a/b"; by base names "a" comes first.
	slices.SortFunc(list, func(x, y fs.DirEntry) int { return cmp.Compare(x.Name(), y.Name()) })
	return list, nil
}

// info implements [fs.FileInfo].
type info struct {
	name string
	size int64
	dir  bool
}

func (i info) Name() string       { return i.name }
func (i info) Size() int64        { return i.size }
func (i info) ModTime() time.Time { return time.Time{} }
func (i info) IsDir() bool        { return i.dir }
func (i info) Sys() any           { return nil }
func (i info) Mode() fs.FileMode {
	if i.dir {
		return fs.ModeDir | 0o555
	}
	return 0o444
}

// file is an open file: a frame and, from the first Read on, its decompressor.
type file struct {
	info     info
	frame    Frame
	decoders *sync.Pool
	dec      *zstd.Decoder
	read     int64
}

func (f *file) Stat() (fs.FileInfo, error) { return f.info, nil }

func (f *file) Read(p []byte) (int, error) {
	if f.dec == nil {
		if err := f.start(); err != nil {
			return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: err}
		}
	}
	n, err := f.dec.Read(p)
	f.read += int64(n)
	switch {
	case f.read > f.info.size, errors.Is(err, io.EOF) && f.read < f.info.size:
		return 0, &fs.PathError{Op: "read", Path: f.info.name, Err: ErrFormat}
	case err != nil && !errors.Is(err, io.EOF):
		return n, &fs.PathError{Op: "read", Path: f.info.name, Err: err}
	}
	return n, err
}

// start takes a decompressor for the frame. One without concurrency holds memory alone, so that the pool may drop it.
func (f *file) start() (err error) {
	if f.decoders == nil {
		return fs.ErrClosed
	}
	dec, ok := f.decoders.Get().(*zstd.Decoder)
	if !ok {
		dec, err = zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxMemory(MaxFileSize))
		if err != nil {
			return err
		}
	}
	f.dec = dec
	return dec.Reset(f.frame)
}

// Close gives the decompressor back.
func (f *file) Close() error {
	if f.dec != nil && f.dec.Reset(nil) == nil {
		f.decoders.Put(f.dec)
	}
	f.dec, f.decoders = nil, nil
	return nil
}

// folder is an open folder; next counts the entries that ReadDir has given.
type folder struct {
	info info
	tree *FS
	name string
	next int
}

func (d *folder) Stat() (fs.FileInfo, error) { return d.info, nil }
func (d *folder) Close() error               { return nil }

func (d *folder) Read([]byte) (int, error) {
	return 0, &fs.PathError{Op: "read", Path: d.name, Err: fs.ErrInvalid}
}

// ReadDir implements [fs.ReadDirFile].
func (d *folder) ReadDir(n int) ([]fs.DirEntry, error) {
	all, err := d.tree.ReadDir(d.name)
	if err != nil {
		return nil, err
	}
	list := all[min(d.next, len(all)):]
	if n > 0 {
		if len(list) == 0 {
			return nil, io.EOF
		}
		list = list[:min(n, len(list))]
	}
	d.next += len(list)
	return list, nil
}
