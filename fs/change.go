package fs

import (
	"context"
	"time"
)

// Op is what happened to a path.
type Op uint8

// The kinds of change.
const (
	OpCreate  Op = iota + 1 // a new name
	OpWrite                 // contents changed in place: same node
	OpReplace               // contents replaced: new node
	OpAttr                  // attributes only
	OpRemove
	OpRename // from OldPath to Path
	OpLost   // changes were missed: read again what matters below Path
	OpLive   // nothing has changed, but from now on the file is edited live; only observers are told
)

// String returns the name of the op.
func (o Op) String() string {
	return [...]string{"none", "create", "write", "replace", "attr", "remove", "rename", "lost", "live"}[min(o, OpLive)]
}

// Origin is the way by which a change came.
type Origin string

// The origins of changes.
const (
	OriginMount   Origin = "mount"   // through the mount
	OriginAPI     Origin = "api"     // through the HTTP API
	OriginRoom    Origin = "room"    // saved by a live document
	OriginOutside Origin = "outside" // found in the store: somebody else made it
)

// Cause is who makes a change, and how.
type Cause struct {
	Actor  string // Principal.ID
	Origin Origin
	PID    int // the process that called through the mount; 0 = unknown
}

type causeKey struct{}

// WithCause returns a context whose changes carry c.
func WithCause(ctx context.Context, c Cause) context.Context {
	return context.WithValue(ctx, causeKey{}, c)
}

// CauseOf returns the cause that the context carries, or a zero one.
func CauseOf(ctx context.Context) Cause {
	c, _ := ctx.Value(causeKey{}).(Cause)
	return c
}

// Change is one thing that happened in a drive.
type Change struct {
	Seq     uint64 // grows by at least one with each change of a drive, also over restarts
	Epoch   uint64 // another epoch means that older Seqs say nothing: read everything again
	Drive   DriveID
	FileID  FileID // zero if the file has none
	Path    Path   // a drive publishes the path inside it; the tree puts the drive's name before it
	OldPath Path   // OpRename: where it was
	Op      Op
	Type    Type
	Version Version // the new version, of a file
	Node    Node    // the node that now has Path; nil if unknown or gone
	Old     Node    // the node that Path named before, if it no longer does; nil if unknown or none
	Cause   Cause
	Time    time.Time
}

// Observer is told of every change as it happens, in order.
type Observer interface {
	// Observe must not block and must not call back. The channel is closed when the observer has acted upon the change (the mount:
	// when the kernel has let go of the old node); nil means at once.
	Observe(c Change) <-chan struct{}
}
