package fs

import "context"

// Live is a set of documents that are being edited by several people at once. Drives below know the last saved version; Live
// knows what is newer. The tree asks it only for files that were attached as live.
type Live interface {
	// Flush saves what is not saved yet, without touching the network, and returns when a Replace of it has ended.
	Flush(ctx context.Context, id FileID) error
	// Absorb merges what a program has written over base into the live document, which then saves the result. Invalid means that
	// the bytes are no such document; then nothing has changed.
	Absorb(ctx context.Context, a Absorption) error
	// Moved tells that the file has another path.
	Moved(ctx context.Context, id FileID, from, to Path)
	// Removed tells that the file's name is gone and nothing was created in its place for a while.
	Removed(ctx context.Context, id FileID, path Path)
}

// Absorption is a foreign write to a live document.
type Absorption struct {
	ID    FileID
	Path  Path
	Base  Version // what the writer last read; "" = unknown
	Data  []byte
	Cause Cause
}

// Companion names the files that go along with a document when it is renamed, copied or restored. Paths are in pairs: where the
// companion of from is, and where it would be for to.
type Companion interface {
	Paths(from, to Path) [][2]Path
}

// TextSource knows the current text of a document that is newer than what the drive has. ok is false if it does not.
type TextSource interface {
	Text(ctx context.Context, p Path) (text []byte, v Version, ok bool, err error)
}
