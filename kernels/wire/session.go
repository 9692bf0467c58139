package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"hash"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// ProtocolVersion is the version of the messaging protocol that [Session.Request] writes into headers.
const ProtocolVersion = "5.3"

// delimiter separates the routing identities from the message on ZeroMQ.
const delimiter = "<IDS|MSG>"

// emptyObject is the JSON of an absent header or metadata.
var emptyObject = []byte("{}")

// Session signs, verifies and numbers the messages between one client and one kernel. It is safe for concurrent use.
type Session struct {
	id       string
	username string
	signed   bool
	counter  atomic.Uint64
	macs     sync.Pool // of hash.Hash, keyed
}

// NewSession returns a Session that signs with HMAC-SHA256 under key; an empty key leaves messages unsigned, as the
// connection file's format allows.
func NewSession(key []byte, username string) *Session {
	s := &Session{id: uuid.NewString(), username: username, signed: len(key) > 0}
	s.macs.New = func() any { return hmac.New(sha256.New, key) }
	return s
}

// ID returns the session id that requests of this Session carry.
func (s *Session) ID() string { return s.id }

// Request returns a new message of this session with content as its JSON and a fresh id.
func (s *Session) Request(channel Channel, msgType string, content any) (Message, error) {
	return s.Reply(channel, msgType, nil, content)
}

// Reply returns a new message of this session whose parent header is parent; nil means none.
func (s *Session) Reply(channel Channel, msgType string, parent []byte, content any) (Message, error) {
	body, err := json.Marshal(content)
	if err != nil {
		return Message{}, fmt.Errorf("content of %s: %w", msgType, err)
	}
	header, err := json.Marshal(Header{
		MsgID:    s.id + "_" + strconv.FormatUint(s.counter.Add(1), 10),
		Session:  s.id,
		Username: s.username,
		Date:     time.Now().UTC().Format(time.RFC3339Nano),
		MsgType:  msgType,
		Version:  ProtocolVersion,
	})
	if err != nil {
		return Message{}, fmt.Errorf("header of %s: %w", msgType, err)
	}
	if parent == nil {
		parent = emptyObject
	}
	return Message{Channel: channel, Header: header, ParentHeader: parent, Metadata: emptyObject, Content: body}, nil
}

// Encode returns the signed ZeroMQ frames of m, after the routing identities given. The frames share m's bytes.
func (s *Session) Encode(m Message, identities ...[]byte) [][]byte {
	parts := [4][]byte{orEmpty(m.Header), orEmpty(m.ParentHeader), orEmpty(m.Metadata), orEmpty(m.Content)}
	frames := make([][]byte, 0, len(identities)+6+len(m.Buffers))
	frames = append(frames, identities...)
	frames = append(frames, []byte(delimiter), s.signature(parts))
	frames = append(frames, parts[:]...)
	return append(frames, m.Buffers...)
}

// Decode verifies the frames of one ZeroMQ message and returns it with the routing identities left out. The error
// matches [ErrMalformed] or [ErrSignature].
func (s *Session) Decode(channel Channel, frames [][]byte) (Message, error) {
	m, _, err := s.DecodeRouted(channel, frames)
	return m, err
}

// DecodeRouted is Decode for the kernel's end: it also returns the identities that name the sender.
func (s *Session) DecodeRouted(channel Channel, frames [][]byte) (m Message, identities [][]byte, err error) {
	at := 0
	for at < len(frames) && string(frames[at]) != delimiter {
		at++
	}
	if len(frames)-at < 6 {
		return Message{}, nil, fmt.Errorf("%d frames, delimiter at %d: %w", len(frames), at, ErrMalformed)
	}
	parts := [4][]byte(frames[at+2 : at+6])
	if s.signed && !hmac.Equal(frames[at+1], s.signature(parts)) {
		return Message{}, nil, ErrSignature
	}
	return Message{
		Channel: channel,
		Header:  parts[0], ParentHeader: parts[1], Metadata: parts[2], Content: parts[3],
		Buffers: frames[at+6:],
	}, frames[:at], nil
}

// signature returns the hexadecimal HMAC of the parts, empty when the session does not sign.
func (s *Session) signature(parts [4][]byte) []byte {
	if !s.signed {
		return nil
	}
	mac, _ := s.macs.Get().(hash.Hash)
	defer s.macs.Put(mac)
	mac.Reset()
	for _, p := range parts {
		mac.Write(p) // a hash never returns an error
	}
	var sum [sha256.Size]byte
	return hex.AppendEncode(nil, mac.Sum(sum[:0]))
}

func orEmpty(part []byte) []byte {
	if len(part) == 0 {
		return emptyObject
	}
	return part
}
