package fs

import (
	"context"
	"io"
	"time"
)

// Cond is the condition of a write. The zero value is none; both fields set are Invalid.
type Cond struct {
	IfAbsent  bool    // else Exist
	IfVersion Version // else Conflict
}

// Guarantee is how well a store keeps a condition.
type Guarantee uint8

// The guarantees.
const (
	None     Guarantee = iota // the condition is ignored
	Advisory                  // checked just before; another writer may slip in between
	Atomic                    // checked and done in one
)

// Caps is what a backend's store can do. It is probed when the drive is opened, on a key of the daemon's own, never assumed.
type Caps struct {
	CondWrite, CondRemove, CondCopy, CondMeta Guarantee

	AtomicMoveFile, AtomicMoveDir bool
	RealDirs, EmptyDirs           bool
	DupNames, CaseFold            bool
	NativeDocs                    bool // documents without bytes, which can be exported
	RandomWrite, Append           bool
	MetaInPlace, ModTimeWritable  bool
	Trash                         bool
	ListStrong                    bool // a listing shows every write that was acknowledged before it

	MTimePrecision          time.Duration
	MaxName, MaxKey         int   // bytes; 0 = no limit
	MaxSize                 int64 // bytes; 0 = no limit
	PartMin, PartMax        int64
	MaxParts                int
	PreferRead, PreferWrite int64         // bytes per request that suit the store
	MinWriteInterval        time.Duration // between two writes of one key
}

// Sums are checksums of whole contents as the store gives them; nil where it has none.
type Sums struct {
	MD5, CRC32C, CRC64NVME, SHA256 []byte
}

// Info is what a store knows of a key.
type Info struct {
	Key             string // path inside the drive
	ID              string // the store's own, if keys are not identities there
	Type            Type
	Size            int64 // -1 = unknown
	ModTime, Stored time.Time
	Version         Version
	MIME            string
	Mode            uint32 // permission bits, valid if HasMode
	HasMode         bool
	Link            string // target of a symlink
	Sums            Sums
	Meta            map[string]string
	Implicit        bool // a directory that is only a prefix of keys
}

// Backend is an object store: whole versions under keys. Keys are paths inside the drive. Each method may be called at any time
// from any goroutine and ends with its context. Nothing is retried here but what the store's own library retries.
type Backend interface {
	Caps() Caps
	Stat(ctx context.Context, key string) (Info, error)
	// List returns one page of the directory dir, ordered by key.
	List(ctx context.Context, dir string, o ListOptions) (Page, error)
	// Read opens a range of one version. A version that is gone is Conflict, a range past the end Range.
	Read(ctx context.Context, key string, o ReadOptions) (Reader, error)
	// Write begins a new version of key, of which nothing is visible before Commit.
	Write(ctx context.Context, key string, o WriteOptions) (Writer, error)
	Remove(ctx context.Context, key string, o RemoveOptions) error
	// Copy copies on the store's side.
	Copy(ctx context.Context, src, dst string, o CopyOptions) (Info, error)
	Close() error
}

// Mkdirer is a Backend with directories of its own, or markers for them.
type Mkdirer interface {
	Mkdir(ctx context.Context, key string, c Cond) (Info, error)
}

// Mover is a Backend that can rename in one step.
type Mover interface {
	Move(ctx context.Context, src, dst string, o CopyOptions) (Info, error)
}

// MetaSetter is a Backend that can change metadata without the contents.
type MetaSetter interface {
	SetMeta(ctx context.Context, key string, p MetaPatch, c Cond) (Info, error)
}

// Versioner is a Backend that keeps old versions.
type Versioner interface {
	Versions(ctx context.Context, key string, o ListOptions) (Page, error)
	Restore(ctx context.Context, key string, v Version, c Cond) (Info, error)
	Drop(ctx context.Context, key string, v Version) error
}

// Feeder is a Backend that tells of changes made elsewhere.
type Feeder interface {
	// Cursor returns the present end of the feed.
	Cursor(ctx context.Context) (string, error)
	// Changes returns what happened after cursor and the new cursor, waiting up to wait for something. A cursor that is no longer
	// known is Conflict: read everything again.
	Changes(ctx context.Context, cursor string, wait time.Duration) ([]KeyChange, string, error)
}

// KeyChange is a change that a store tells of.
type KeyChange struct {
	Key, OldKey, ID string
	Version         Version
	Type            Type
	Gone            bool
}

// Signer is a Backend that makes links which others can read without credentials.
type Signer interface {
	SignURL(ctx context.Context, key string, v Version, ttl time.Duration, disposition string) (string, error)
}

// Quoter is a Backend with a limit on space.
type Quoter interface {
	Quota(ctx context.Context) (Statfs, error)
}

// ListOptions choose a page of a listing.
type ListOptions struct {
	Token string // Page.Next of the page before
	After string // names after this one; "" = from the start
	Max   int    // 0 = as the store likes
}

// Page is a part of a listing. Next is "" on the last.
type Page struct {
	Infos []Info
	Next  string
}

// ReadOptions choose a range.
type ReadOptions struct {
	Off, Len  int64   // Len 0 = to the end
	IfVersion Version // must be the present one, else Conflict
	Version   Version // an old one, where the store keeps them
}

// Reader is an open range.
type Reader interface {
	io.ReadCloser
	Info() Info
}

// WriteOptions describe a new version.
type WriteOptions struct {
	Cond    Cond
	Size    int64 // -1 = unknown
	MIME    string
	Meta    map[string]string
	ModTime time.Time
	Mode    uint32
	HasMode bool
	Sums    Sums // checked by the store where it can
}

// Writer is a version being written. Cancelling the context of Write aborts it.
type Writer interface {
	io.Writer
	Commit(ctx context.Context) (Info, error)
	// Abort forgets it; after Commit or a second time it does nothing.
	Abort() error
}

// RemoveOptions are the conditions of a Remove.
type RemoveOptions struct {
	Cond  Cond
	Dir   bool // a directory or its marker
	Trash bool // into the store's own trash
}

// CopyOptions are the conditions of a Copy or Move.
type CopyOptions struct {
	SrcVersion Version // must be the present one
	Dst        Cond
	Meta       *MetaPatch
}

// MetaPatch is a change of metadata; nil fields stay.
type MetaPatch struct {
	Meta    map[string]string // a "" value removes the key
	MIME    *string
	ModTime *time.Time
	Mode    *uint32
}
