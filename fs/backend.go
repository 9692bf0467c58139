package fs

import (
	"context"
	"io"
	"strings"
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
	Versions                      bool // keeps what is replaced or removed: see Versioner
	AnyName                       bool // names may hold control characters; else such a name is an error of kind Name
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
	Link            string  // target of a symlink
	Special         Special // what it is, if Type is Other
	Sums            Sums
	Meta            map[string]string // what is kept beyond the fields here
	FileID          FileID            // zero = none is kept in the store
	WriteID         string            // WriteOptions.WriteID of this version; "" = none
	Implicit        bool              // a directory that is only a prefix of keys
	// Partial says that this comes from a listing that tells only type, size, time and version of a key: ModTime is Stored, a
	// symlink or special shows as a file, mode, FileID, metadata and sums are not known. Stat and Read tell all.
	Partial bool
}

// Special is a FIFO, socket or device as stat(2) tells it. The zero value is none.
type Special struct {
	Mode uint32 // type bits
	Rdev uint32 // number of a device
}

// IsDevice reports whether it is a device, which has a number.
func (s Special) IsDevice() bool { return s.Mode == ModeChar || s.Mode == ModeBlock }

// Known reports whether it is a FIFO, socket or device, and not something else or nothing.
func (s Special) Known() bool { return s.IsDevice() || s.Mode == ModeFIFO || s.Mode == ModeSocket }

// Backend is an object store: whole versions under keys. Keys are paths inside the drive, "" its top directory. Each method may be
// called at any time from any goroutine and ends with its context. Nothing is retried here but what the store's own library
// retries.
//
// Where Caps.RealDirs is false, directories are prefixes of keys, some with a marker that [Mkdirer] makes. Such a directory exists
// while a key lies below it or its marker is there: the one without a marker vanishes with its last key, and nobody checks parents.
//
// A store may hold keys that are no paths (empty or dotted components, NUL, components over [MaxName] bytes). They are left out of
// listings and counted in Page.Hidden. Of a file and a directory of one name the directory has the name, and the file is reached
// as [ShadowName]; where that name is taken too, it is hidden.
//
// A condition that fails is Exist for Cond.IfAbsent, and for Cond.IfVersion Conflict, or NotExist where the store tells that the
// key is gone. With a WriteID it has not failed if the present version carries that id: then the answer to an earlier attempt was
// lost, and the version is returned. UnknownOutcome means that not even that could be found out: ask again with the same WriteID.
// Throttled errors carry RetryAfter where the store gives one.
type Backend interface {
	Caps() Caps
	Stat(ctx context.Context, key string) (Info, error)
	// List returns one page of the directory dir, in a fixed order of the store, no name twice. Names that are there all the time
	// are in one of the pages, whatever else changes meanwhile. A directory that is not there is NotExist, a file NotDir or NotExist.
	List(ctx context.Context, dir string, o ListOptions) (Page, error)
	// Read opens a range of one version. A version that is not the present one is Conflict, a range that begins past the end Range;
	// one that begins at the end is empty, one that ends past it shorter. Of a symlink it reads the target.
	Read(ctx context.Context, key string, o ReadOptions) (Reader, error)
	// Write begins a new version of key, of which nothing is visible before Commit.
	Write(ctx context.Context, key string, o WriteOptions) (Writer, error)
	// Remove removes a file, or with Dir a directory's marker. It is no error if there is nothing; under a condition it may be NotExist.
	Remove(ctx context.Context, key string, o RemoveOptions) error
	// Copy copies a file on the store's side. Without CopyOptions.Meta everything is copied, the FileID too.
	Copy(ctx context.Context, src, dst string, o CopyOptions) (Info, error)
	// Close ends the backend; calls under way may fail.
	Close() error
}

// ShadowName returns the name under which a file is reached whose own name is that of a directory too.
func ShadowName(name string) string { return name + shadowMark }

// ShadowedName is the reverse of [ShadowName]: ok is false if name is not of that form.
func ShadowedName(name string) (shadowed string, ok bool) {
	shadowed, ok = strings.CutSuffix(name, shadowMark)
	return shadowed, ok && shadowed != "" && !strings.HasSuffix(shadowed, "/")
}

const shadowMark = " (file)"

// Rechecker is a Backend that looks at a file that is known for less than Stat does.
type Rechecker interface {
	// Recheck is Stat for a key that was a file when it was last seen. It takes one request if it still is one; that a directory
	// of the same name has come beside it may go unnoticed.
	Recheck(ctx context.Context, key string) (Info, error)
}

// Prober is a Backend that finds out what its store can do by trying, on a key of its own.
type Prober interface {
	// Probe makes a few requests and returns what Caps returns from then on. The caller may keep it for a day.
	Probe(ctx context.Context) (Caps, error)
}

// Mkdirer is a Backend with directories of its own, or markers for them.
type Mkdirer interface {
	Mkdir(ctx context.Context, key string, c Cond) (Info, error)
}

// Marker is a Mkdirer whose markers have attributes of the directories.
type Marker interface {
	// Marked returns what a directory's marker tells. It fails with NotExist if the directory has none.
	Marked(ctx context.Context, key string) (Info, error)
	// Mark sets attributes of a directory's marker, which it makes if there is none. It fails with Unsupported for one that has contents.
	Mark(ctx context.Context, key string, p MetaPatch) (Info, error)
}

// Mover is a Backend that can rename in one step.
type Mover interface {
	Move(ctx context.Context, src, dst string, o CopyOptions) (Info, error)
}

// MetaSetter is a Backend that can change metadata without the contents.
type MetaSetter interface {
	SetMeta(ctx context.Context, key string, p MetaPatch, c Cond) (Info, error)
}

// Versioner is a Backend that keeps old versions, if Caps.Versions says so.
type Versioner interface {
	// Versions returns the versions of a file, the newest first. Their Version is of use for Read, Restore and Drop alone: it names one
	// of the versions and not only its contents.
	Versions(ctx context.Context, key string, o ListOptions) (Page, error)
	// Restore makes an old version the present one.
	Restore(ctx context.Context, key string, v Version, c Cond) (Info, error)
	// Drop forgets an old version for ever. The present one is Invalid.
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
	Max   int    // about how many; 0 = as the store likes
}

// Page is a part of a listing. Next is "" on the last. A page may be empty and not the last.
type Page struct {
	Infos  []Info
	Next   string
	Hidden int  // keys of this page that cannot be shown
	Marked bool // the directory itself has a marker; told by the first page of a Marker
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
	Size    int64 // -1 = unknown; other contents than that are Invalid
	MIME    string
	Meta    map[string]string
	ModTime time.Time
	Mode    uint32 // permission bits, if HasMode
	HasMode bool
	Link    string  // not "": a symlink to there, without contents of its own
	Special Special // not zero: a FIFO, socket or device, without contents
	FileID  FileID  // zero = none
	WriteID string  // names this write for ever, in up to 64 of [0-9a-zA-Z._-]: see Backend; "" = none
	Sums    Sums    // contents that do not match are Checksum
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
	WriteID    string // as in WriteOptions
}

// MetaPatch is a change of metadata; nil fields stay.
type MetaPatch struct {
	Meta    map[string]string // a "" value removes the key
	MIME    *string
	ModTime *time.Time
	Mode    *uint32
	FileID  *FileID // zero = none
}
