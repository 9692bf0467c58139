package fs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"hash/fnv"
	"io"
	"iter"
	"time"
)

// Version names whole contents of a file: equal versions mean equal bytes. It is opaque, and never empty for a file.
type Version string

// FileID is the identity of a document: it survives rename and replacement of the contents, and no copy shares it.
type FileID [16]byte

// NewFileID returns a random id.
func NewFileID() FileID {
	var id FileID
	_, _ = rand.Read(id[:]) // documented never to fail
	return id
}

// ParseFileID reads what [FileID.String] wrote.
func ParseFileID(s string) (FileID, error) {
	var id FileID
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != len(id) {
		return id, &Error{Op: "file id", Path: s, Kind: Invalid}
	}
	return FileID(b), nil
}

// IsZero reports whether the id is not set.
func (id FileID) IsZero() bool { return id == FileID{} }

// String returns 32 hexadecimal digits.
func (id FileID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText makes ids readable in JSON.
func (id FileID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the reverse of MarshalText.
func (id *FileID) UnmarshalText(b []byte) (err error) {
	*id, err = ParseFileID(string(b))
	return err
}

// Type is what a node is.
type Type uint8

// The types of node. Other is a FIFO, socket or device: the mount shows it, the API does not.
const (
	Other Type = iota
	File
	Directory
	Symlink
)

// The file type bits of a mode, as stat(2) has them.
const (
	ModeType    uint32 = 0o170000
	ModeFile    uint32 = 0o100000
	ModeDir     uint32 = 0o040000
	ModeSymlink uint32 = 0o120000
	ModeFIFO    uint32 = 0o010000
	ModeSocket  uint32 = 0o140000
	ModeChar    uint32 = 0o020000
	ModeBlock   uint32 = 0o060000
	ModePerm    uint32 = 0o7777
)

// Attr is what stat(2) tells, and the version.
type Attr struct {
	Ino                        uint64 // Node.Ino
	Mode                       uint32 // type and permission bits, as st_mode
	Nlink                      uint32 // 0 once unlinked; directories may say 1
	UID, GID                   uint32
	Rdev                       uint32
	Size                       int64 // bytes; of a symlink its target's length
	Blocks                     int64 // of 512 bytes
	Atime, Mtime, Ctime, Btime time.Time
	Version                    Version // of a file's contents; "" for anything else
}

// Type returns what the mode's type bits say.
func (a Attr) Type() Type {
	switch a.Mode & ModeType {
	case ModeFile:
		return File
	case ModeDir:
		return Directory
	case ModeSymlink:
		return Symlink
	}
	return Other
}

// SetAttr is a change of attributes; nil fields stay as they are.
type SetAttr struct {
	Mode         *uint32 // permission bits
	UID, GID     *uint32
	Size         *int64
	Atime, Mtime *time.Time
}

// OpenFlags say how a file is opened.
type OpenFlags uint32

// The flags of Open and Create.
const (
	OpenRead      OpenFlags = 1 << iota
	OpenWrite               // without OpenRead: write only
	OpenAppend              // every write goes to the end
	OpenTruncate            // the contents are emptied
	OpenExclusive           // Create only: the name must be free
	OpenSync                // every write is durable before it returns
)

type atOffsetKey struct{}

// AtOffset returns a context in which [Handle].WriteAt writes at its offset through any handle: what a program has changed in the memory of
// a file that it has mapped has its place, also where the kernel sends it by a handle that appends.
func AtOffset(ctx context.Context) context.Context {
	return context.WithValue(ctx, atOffsetKey{}, true)
}

// Appends reports whether a write goes to the end of the file, whatever its offset is.
func (o OpenFlags) Appends(ctx context.Context) bool {
	return o.Has(OpenAppend) && ctx.Value(atOffsetKey{}) == nil
}

// OpenReadWrite is OpenRead and OpenWrite.
const OpenReadWrite = OpenRead | OpenWrite

// Has reports whether all of f are set.
func (o OpenFlags) Has(f OpenFlags) bool { return o&f == f }

// RenameFlags are the flags of renameat2(2).
type RenameFlags uint32

// The flags of Rename; zero replaces an existing target.
const (
	RenameNoReplace RenameFlags = 1 << iota // Exist if the target is there
	RenameExchange                          // swap the two; Unsupported where the drive cannot
)

// Owner is the user to whom a new file belongs. The zero value leaves it to the drive.
type Owner struct {
	UID, GID uint32
	Set      bool
}

// CreateOptions are the circumstances of Create, Mkdir, Mknod and Symlink.
type CreateOptions struct {
	Mode  uint32 // permission bits, the caller's umask already applied
	Flags OpenFlags
	Owner Owner
}

// Node is the identity behind an inode number. It lives as long as somebody refers to it, survives rename and unlink, and is the
// same Go value for everyone who looks up the same file of the same drive.
type Node interface {
	// Ino is the inode number. It is never 0 or 1, unlike that of any other node of any drive, and never used again for another
	// file. Made by [Ino].
	Ino() uint64
	// Drive returns the id of the drive the node belongs to; zero for the root of the tree.
	Drive() DriveID
	// FileID returns the document's identity, giving it one if it has none.
	FileID(ctx context.Context) (FileID, error)
	// Path returns where the node is in its drive just now, or where it last was and false once it has no name there.
	Path() (string, bool)
	// Superseded reports whether the name now belongs to a new node because the contents were replaced. It never goes back.
	Superseded() bool
	// Attr returns the attributes.
	Attr(ctx context.Context) (Attr, error)
	// SetAttr changes attributes and returns all of them. A new size of a file is a change of its contents, in place.
	SetAttr(ctx context.Context, set SetAttr) (Attr, error)
	// Open opens a file. On a directory it fails with IsDir, on a symlink with an errno ELOOP. The caller must release the handle.
	Open(ctx context.Context, flags OpenFlags) (Handle, error)
}

// Dir is a node that is a directory. Names are checked by the caller ([CheckName]).
type Dir interface {
	Node
	// Lookup returns the child of that name as it is now; a symlink is returned, not followed.
	Lookup(ctx context.Context, name string) (Node, error)
	// List returns a snapshot of the directory. The caller must close it.
	List(ctx context.Context) (Listing, error)
	// Create makes and opens a file; an existing one is opened, unless OpenExclusive is set.
	Create(ctx context.Context, name string, o CreateOptions) (Node, Handle, error)
	// Mkdir makes a directory.
	Mkdir(ctx context.Context, name string, o CreateOptions) (Dir, error)
	// Remove takes a name away: a directory, which must be empty, if dir is set, anything else if not.
	Remove(ctx context.Context, name string, dir bool) error
	// Rename moves a child to newName in to, which is a Dir of the same drive. The target's FileID, if it has one, stays with the
	// path.
	Rename(ctx context.Context, name string, to Dir, newName string, flags RenameFlags) error
}

// Symlinker is a Dir that can hold symbolic links.
type Symlinker interface {
	Symlink(ctx context.Context, name, target string, o CreateOptions) (Node, error)
}

// Readlinker is a Node that may be a symbolic link. Readlink returns the target as text; it fails with Invalid on anything else.
type Readlinker interface {
	Readlink(ctx context.Context) (string, error)
}

// Linker is a Dir that can hold hard links.
type Linker interface {
	Link(ctx context.Context, n Node, name string) (Node, error)
}

// Mknoder is a Dir that can hold FIFOs, sockets and devices. mode has the type bits of st_mode.
type Mknoder interface {
	Mknod(ctx context.Context, name string, mode, rdev uint32, o CreateOptions) (Node, error)
}

// Xattrer is a Node with extended attributes. A missing one is an error of kind NoAttr.
type Xattrer interface {
	Xattr(ctx context.Context, name string) ([]byte, error)
	Xattrs(ctx context.Context) ([]string, error)
	// SetXattr sets one; create fails with Exist if it is there, replace with NoAttr if it is not.
	SetXattr(ctx context.Context, name string, value []byte, create, replace bool) error
	RemoveXattr(ctx context.Context, name string) error
}

// Adopter is a Node that can continue another document: a program that saves removes the old file and makes a new one of its name.
type Adopter interface {
	// Adopt makes id the node's FileID. Whatever had it before must be gone or be given another one first.
	Adopt(ctx context.Context, id FileID) error
}

// Handle is an open node. What it reads is one version of the file, save for in-place writes of others on the same drive.
type Handle interface {
	// Node returns the node that was opened.
	Node() Node
	// ReadAt reads like io.ReaderAt: fewer bytes than asked for come with io.EOF.
	ReadAt(ctx context.Context, p []byte, off int64) (int, error)
	// WriteAt writes all of p at off, or at the end if the handle was opened with OpenAppend: see [AtOffset].
	WriteAt(ctx context.Context, p []byte, off int64) (int, error)
	// Attr and SetAttr are those of the node, reached through the handle: they work after unlink.
	Attr(ctx context.Context) (Attr, error)
	SetAttr(ctx context.Context, set SetAttr) (Attr, error)
	// Sync makes what was written durable on this machine.
	Sync(ctx context.Context) error
	// Flush commits what was written: it is called for every close of a duplicate, often more than once.
	Flush(ctx context.Context) error
	// Release ends the handle. It is called exactly once, after all other calls have returned.
	Release(ctx context.Context) error
}

// Allocater is a Handle with fallocate(2); mode is its mode. Modes it does not know fail with Unsupported.
type Allocater interface {
	Allocate(ctx context.Context, off, size int64, mode uint32) error
}

// HoleSeeker is a Handle with SEEK_DATA (3) and SEEK_HOLE (4) of lseek(2).
type HoleSeeker interface {
	SeekHole(ctx context.Context, off int64, whence int) (int64, error)
}

// Passthrougher is a Handle whose bytes are exactly those of an open file of this machine as long as it is open, so that the kernel may
// read that one by itself, and write it if the handle is open for writing. All handles of a node that offer one offer the same file. The
// descriptor stays the handle's.
type Passthrougher interface {
	PassthroughFd() (fd int, ok bool)
}

// Entry is a name in a directory.
type Entry struct {
	Name string
	Node Node // nil where the listing knows the name but has no node yet; look it up
	Attr Attr // Mode has at least the type bits
}

// Listing is a snapshot of a directory's names in a fixed order: an entry's index is its offset. The attributes may be fresher
// than the names.
type Listing interface {
	// At returns the entry with index i. It fails with io.EOF after the last, and with NotExist for one that has gone meanwhile.
	At(ctx context.Context, i int) (Entry, error)
	Close() error
}

// Entries iterates over a listing, leaving out what has gone meanwhile. It ends after the first error.
func Entries(ctx context.Context, l Listing) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		for i := 0; ; i++ {
			e, err := l.At(ctx, i)
			switch {
			case errors.Is(err, io.EOF):
				return
			case err != nil && KindOf(err) == NotExist:
				continue
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

// Ino returns an inode number for a file of that drive, a hash of what identifies the file there for all time (a counter that is
// never reset; or device, inode number and birth time). It is never 0 or 1.
func Ino(drive DriveID, parts ...uint64) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(drive[:]) // a hash.Hash never fails
	var b [8]byte
	for _, p := range parts {
		binary.LittleEndian.PutUint64(b[:], p)
		_, _ = h.Write(b[:])
	}
	// FNV mixes its last bytes badly into the high bits: finish with the mixer of splitmix64.
	x := h.Sum64()
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return max(x^x>>31, 2)
}
