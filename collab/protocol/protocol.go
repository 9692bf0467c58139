// Package protocol speaks y-protocols 1.0: the messages by which replicas of a [crdt.Doc] synchronize, and awareness,
// the short-lived states (names, cursors) of those who are connected.
//
// A sync message is the first exchange between two replicas or an update that follows. Each side sends [SyncStep1]; the
// other answers with what is missing ([HandleSync]), and from then on both send [Update]. A message has no envelope: a
// room puts a number before it that tells sync from awareness.
//
//	answer, err := protocol.HandleSync(doc, message, "peer 7")
//
// [Awareness] keeps one JSON state per client, with a clock that says which state is newer. States that are not renewed
// for [OutdatedTimeout] are removed by [Awareness.Tick], which the owner calls every few seconds; there is no goroutine.
//
// Errors: bytes that are no message give a [*crdt.DecodeError] or [ErrMessage], and nothing is changed.
//
// Concurrency: a document and its awareness belong to one goroutine.
//
// The package does not authenticate: whether a client may speak for an ID is for the caller to check, see
// [DecodeAwareness].
package protocol

import (
	"encoding/binary"
	"errors"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// SyncKind says what a sync message is, as it is numbered on the wire.
type SyncKind uint8

// Kinds of sync messages.
const (
	KindStep1  SyncKind = 0 // a state vector; asks for what is missing
	KindStep2  SyncKind = 1 // the update that answers it
	KindUpdate SyncKind = 2 // an update
)

// ErrMessage means bytes that are no message of this protocol.
var ErrMessage = errors.New("protocol: malformed message")

// SyncStep1 asks another replica for what the document lacks.
func SyncStep1(doc *crdt.Doc) []byte { return message(KindStep1, doc.StateVector().Encode()) }

// SyncStep2 answers a state vector with what the document has beyond it.
func SyncStep2(doc *crdt.Doc, sv crdt.StateVector) []byte {
	return message(KindStep2, doc.EncodeStateAsUpdate(sv))
}

// Update sends an update of version 1.
func Update(update []byte) []byte { return message(KindUpdate, update) }

func message(k SyncKind, body []byte) []byte {
	b := make([]byte, 0, len(body)+6)
	return append(binary.AppendUvarint(append(b, byte(k)), uint64(len(body))), body...)
}

// DecodeSync takes a sync message apart. The body is a state vector or an update, in the message's own memory. What
// follows the message is ignored. The error is [ErrMessage].
func DecodeSync(msg []byte) (k SyncKind, body []byte, err error) {
	r := &reader{b: msg}
	n := r.uvarint()
	body = r.bytes()
	if r.bad || n > uint64(KindUpdate) {
		return 0, nil, ErrMessage
	}
	return SyncKind(n), body, nil
}

// HandleSync applies a sync message to the document, with the given origin, and returns the answer to send back, nil if
// there is none. The error is [ErrMessage] or a *[crdt.DecodeError].
func HandleSync(doc *crdt.Doc, msg []byte, origin crdt.Origin) (answer []byte, err error) {
	k, body, err := DecodeSync(msg)
	if err != nil {
		return nil, err
	}
	if k != KindStep1 {
		return nil, doc.ApplyUpdate(body, origin)
	}
	sv, err := crdt.DecodeStateVector(body)
	if err != nil {
		return nil, err
	}
	return SyncStep2(doc, sv), nil
}

// reader takes varuints and strings of bytes; the first fault makes it bad and empty.
type reader struct {
	b   []byte
	bad bool
}

const maxInt = 1<<53 - 1

func (r *reader) uvarint() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > maxInt {
		r.b, r.bad = nil, true
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) bytes() []byte {
	n := r.uvarint()
	if n > uint64(len(r.b)) {
		r.b, r.bad = nil, true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *reader) text() []byte {
	b := r.bytes()
	if !utf8.Valid(b) {
		r.b, r.bad = nil, true
	}
	return b
}
