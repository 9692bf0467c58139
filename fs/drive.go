package fs

import (
	"context"
	"encoding/hex"
	"io"
	"time"
)

// DriveID is a drive's UUID. State is kept under it, never under the drive's name.
type DriveID [16]byte

// NewDriveID returns a random id.
func NewDriveID() DriveID { return DriveID(NewFileID()) }

// ParseDriveID reads what [DriveID.String] wrote.
func ParseDriveID(s string) (DriveID, error) {
	id, err := ParseFileID(s)
	return DriveID(id), err
}

// String returns 32 hexadecimal digits.
func (id DriveID) String() string { return hex.EncodeToString(id[:]) }

// DriveCaps is what a drive can do beyond the contract, as facts for doors and tests.
type DriveCaps struct {
	ReadOnly  bool
	HardLinks bool
	Symlinks  bool
	Mknod     bool
	Xattrs    bool
	Exchange  bool          // RenameExchange
	CaseFold  bool          // "A" and "a" are one name
	Notices   time.Duration // how soon a change made elsewhere is known; 0 = at once
}

// Drive is one tree of files.
type Drive interface {
	// ID returns the drive's UUID.
	ID() DriveID
	// Caps returns what the drive can do.
	Caps() DriveCaps
	// Root returns the top directory, always the same node.
	Root() Dir
	// Statfs returns sizes.
	Statfs(ctx context.Context) (Statfs, error)
	// Replace makes r the whole contents of the file at rel, a path in the drive: afterwards the name has a new node with all of
	// it, or (after an error) nothing has changed. Parents must exist. Equal bytes keep the node. What r returns other than io.EOF
	// ends the call with that error.
	Replace(ctx context.Context, rel string, r io.Reader, o ReplaceOptions) (Replaced, error)
	// Copy makes dst, which must be free, a copy of the file src, on the store's side where it can.
	Copy(ctx context.Context, src, dst string) (Replaced, error)
	// Publish names who is told of changes: sink is called once for each, in the order of Seq, before the call that caused it
	// returns. It must not block and must not call the drive. It is set once, before the drive is used.
	Publish(sink func(Change))
	// Close writes out what is pending and ends the drive. No other call may be under way or follow.
	Close(ctx context.Context) error
}

// ReplaceOptions are the conditions of a Replace.
type ReplaceOptions struct {
	IfVersion Version   // the file must be at this version, else Conflict
	IfAbsent  bool      // the name must be free, else Exist
	Base      Version   // what the writer had read: kept for a merge, no condition
	Mode      uint32    // permission bits of a new file; 0 = 0644. An existing file keeps its own.
	Owner     Owner     // of a new file
	ModTime   time.Time // zero = now
}

// Replaced is what a Replace or Copy has made.
type Replaced struct {
	Node Node
	Attr Attr
	Seq  uint64 // of the Change; 0 if nothing changed
}

// Statfs is what statfs(2) tells. Zero sizes mean unknown.
type Statfs struct {
	Blocks, Free, Avail uint64 // of BlockSize bytes
	Files, FreeFiles    uint64
	BlockSize           uint32
}

// Unwrapper is a decorator around something of type T.
type Unwrapper[T any] interface{ Unwrap() T }

// As returns v, or what v wraps, as a T: how optional abilities are found through decorators.
func As[T, D any](v D) (T, bool) {
	for {
		if t, ok := any(v).(T); ok {
			return t, true
		}
		u, ok := any(v).(Unwrapper[D])
		if !ok {
			var zero T
			return zero, false
		}
		v = u.Unwrap()
	}
}

// Reserver is a Drive with a place for engines' own records inside the drive ([ReservedName]).
type Reserver interface {
	Reserved() Reserved
}

// Reserved is a small store with conditional writes in a drive: leases, shared histories. Names have slashes like paths.
type Reserved interface {
	// Get returns a record; NotExist if there is none.
	Get(ctx context.Context, name string) ([]byte, Version, error)
	// Put writes one, durable before it returns, if the condition holds; else Conflict, or Exist with IfAbsent.
	Put(ctx context.Context, name string, data []byte, c Cond) (Version, error)
	// Delete removes one, if the condition holds.
	Delete(ctx context.Context, name string, c Cond) error
	// Names returns the names that begin with prefix, sorted.
	Names(ctx context.Context, prefix string) ([]string, error)
}
