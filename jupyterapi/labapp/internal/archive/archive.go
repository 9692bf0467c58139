// Package archive keeps a read-only tree of files in one compressed file that serves any of them without unpacking the rest.
//
// An archive is a plain .tar.zst: zstd frames whose contents, one after another, are a tar stream, so `tar --zstd -xf` reads it.
// Two things are added. Every file's content is a frame of its own, and the last, skippable frame (which decompressors pass over)
// holds an index of names, offsets, sizes and checksums. A reader therefore keeps the index alone in memory, hands a stored frame
// to a client that accepts zstd, and decompresses a single file for one that does not.
//
// [Write] makes an archive, the same bytes for the same files. [Open] reads one through an [io.ReaderAt] and gives an [FS].
//
// Rules: names are slash-separated and valid for [fs.ValidPath]; folders are implied by the names of files; nothing is ever changed.
//
// Errors are those of [io/fs]: a name that is absent is [fs.ErrNotExist]; a damaged archive is refused by Open, or by reading the
// damaged file.
//
// An FS may be used by many goroutines; a file opened from it by one.
//
//	tree, err := archive.Open(file, size)
//	if err != nil { … }
//	page, err := fs.ReadFile(tree, "lab/static/index.html")
//	frame, ok := tree.Frame("lab/static/main.js") // zstd bytes, ready to send
//
// The package does not read other .tar.zst files (they have no index) and keeps neither times, owners nor permissions.
package archive

import (
	"errors"
	"io/fs"
)

// MaxFileSize bounds the content of one file, in bytes, so that a damaged archive cannot ask for all memory.
const MaxFileSize = 64 << 20

// maxIndexSize bounds the compressed and the decompressed index, in bytes.
const maxIndexSize = 16 << 20

// The end of an archive: a skippable frame (RFC 8878, section 3.1.2) that holds the compressed index, its length as a 32-bit
// little-endian number, and indexMagic.
const (
	skippableMagic = 0x184D2A5E
	indexMagic     = "jdx1"
	footerSize     = 8
)

// ErrFormat says that the bytes are no archive of this package, or a damaged one.
var ErrFormat = errors.New("not an indexed .tar.zst archive, or a damaged one")

// File is one file to be written.
type File struct {
	Name string // slash-separated, valid for [fs.ValidPath]
	Data []byte
}

// index is the JSON document at the end of an archive.
type index struct {
	Key   string  `json:"key"`
	Files []entry `json:"files"` // sorted by name
}

// entry describes one file of an archive.
type entry struct {
	Name   string `json:"name"`
	Size   int64  `json:"size"`   // of the content, bytes
	Offset int64  `json:"offset"` // of the frame in the archive
	Packed int64  `json:"packed"` // of the frame, bytes
	Sum    string `json:"sum"`    // sha256 of the content, hex
}

// valid reports whether e can be a file of an archive whose frames end at end.
func (e entry) valid(end int64) bool {
	return fs.ValidPath(e.Name) && e.Name != "." &&
		e.Size >= 0 && e.Size <= MaxFileSize &&
		e.Packed > 0 && e.Offset >= 0 && e.Packed <= end && e.Offset <= end-e.Packed
}
