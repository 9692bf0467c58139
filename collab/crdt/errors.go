package crdt

import (
	"errors"
	"fmt"
)

// DecodeError reports bytes that are no update, state vector, snapshot or position. Nothing was applied.
type DecodeError struct {
	// Offset is where the fault was seen, in bytes from the start of the input. In an update of version 2 it is relative to
	// the column that ran out or was wrong.
	Offset int
	// Reason says what is wrong there.
	Reason string
}

// Error returns the offset and the reason.
func (e *DecodeError) Error() string { return fmt.Sprintf("crdt: byte %d: %s", e.Offset, e.Reason) }

// Errors of editing calls and of limits. They are returned as they are.
var (
	// ErrRange means that an index or a length lies outside the text or array. Nothing was changed.
	ErrRange = errors.New("crdt: index out of range")
	// ErrDetached means that a shared type is not part of a document yet, or of another document, or is already part of one
	// where a new one is needed.
	ErrDetached = errors.New("crdt: shared type does not belong here")
	// ErrCollected means that a snapshot cannot be restored because the document forgets deleted content.
	ErrCollected = errors.New("crdt: document does not keep deleted content")
)
