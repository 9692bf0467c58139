// Package wire is the Jupyter kernel message: its frames on ZeroMQ, its signature and its two WebSocket framings.
//
// A [Message] keeps the four JSON parts as the bytes that arrived, because encoding them again would break the
// signature and change numbers; only headers are ever decoded. [Session] turns messages into signed ZeroMQ frames and
// back. The v1 framing ([EncodeV1], [DecodeV1]) and the legacy one ([EncodeLegacy], [DecodeLegacyText],
// [DecodeLegacyBinary]) are what browsers speak.
//
// Every decoder takes bytes from outside: it returns an error that matches [ErrMalformed] and never panics. Nothing
// here keeps state between calls but a Session's message counter, so all of it may be used from several goroutines.
//
//	s := wire.NewSession(key, "alice")
//	req, _ := s.Request(wire.Shell, "kernel_info_request", struct{}{})
//	frames := s.Encode(req)
//	reply, err := s.Decode(wire.Shell, received)
//	header, err := reply.DecodeHeader()
//
// The package opens no connection and does not know which message types exist.
package wire

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// Channel names one of a kernel's sockets, spelled as in WebSocket frames.
type Channel string

// The channels that carry messages. The heartbeat carries raw bytes and is not among them.
const (
	Shell   Channel = "shell"   // requests that the kernel handles one after the other
	Control Channel = "control" // requests that overtake those on the shell
	Stdin   Channel = "stdin"   // the kernel asks, the client answers
	IOPub   Channel = "iopub"   // what the kernel publishes to everyone
)

// Errors that decoders wrap.
var (
	// ErrMalformed marks bytes that are not a message: drop them and go on.
	ErrMalformed = errors.New("malformed kernel message")
	// ErrChannel marks a message for a channel that no client may write to, or that does not exist.
	ErrChannel = errors.New("unknown channel")
	// ErrSignature marks a message whose signature does not match the key.
	ErrSignature = errors.New("kernel message has a wrong signature")
)

// Message is one kernel message. The byte slices are shared freely between readers and are never written to.
type Message struct {
	// Channel is the socket that the message came from or is meant for.
	Channel Channel
	// Header, ParentHeader, Metadata and Content are JSON objects, byte for byte as they arrived.
	Header, ParentHeader, Metadata, Content []byte
	// Buffers are binary attachments. They are not covered by the signature.
	Buffers [][]byte
}

// DecodeHeader returns the message's header, or an error that matches [ErrMalformed].
func (m *Message) DecodeHeader() (Header, error) {
	return decodeHeader(m.Header)
}

// DecodeParent returns the header of the request that caused m. A message without a parent gives the zero Header.
func (m *Message) DecodeParent() (Header, error) {
	if len(m.ParentHeader) == 0 {
		return Header{}, nil
	}
	return decodeHeader(m.ParentHeader)
}

// Size returns the number of bytes that the message's parts hold.
func (m *Message) Size() int {
	n := len(m.Header) + len(m.ParentHeader) + len(m.Metadata) + len(m.Content)
	for _, b := range m.Buffers {
		n += len(b)
	}
	return n
}

// FromClient returns m as a kernel may get it from the user: with that username in its header. Dates that are seconds, as
// jupyter_server's own client of a gateway sends them, become text again, which is what kernels are promised. Every other field of
// the headers stays as it is, also those that [Header] does not name. The error matches [ErrMalformed].
func (m Message) FromClient(username string) (Message, error) {
	name, err := json.Marshal(username)
	if err != nil {
		return m, fmt.Errorf("username: %w", err)
	}
	header, err := rewrite(m.Header, map[string]json.RawMessage{"username": name})
	if err != nil {
		return m, fmt.Errorf("header: %w", err)
	}
	m.Header = header
	if parent, err := rewrite(m.ParentHeader, nil); err == nil {
		m.ParentHeader = parent // any other one is the kernel's to judge
	}
	return m, nil
}

// rewrite sets fields of a header, and writes its date as text. A header in which nothing changes stays byte for byte.
func rewrite(raw []byte, set map[string]json.RawMessage) ([]byte, error) {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil || fields == nil {
		return nil, ErrMalformed
	}
	changed := false
	for key, value := range set {
		changed = changed || !bytes.Equal(fields[key], value)
		fields[key] = value
	}
	if date, ok := seconds(fields["date"]); ok {
		fields["date"], changed = quote(date.Format(dateFormat)), true
	}
	if !changed {
		return raw, nil
	}
	return json.Marshal(fields)
}

// dateFormat is how Python writes dates into headers: ISO 8601 in UTC.
const dateFormat = "2006-01-02T15:04:05.000000Z"

// seconds reads a date that is a number: the seconds since 1970.
func seconds(raw json.RawMessage) (time.Time, bool) {
	var n *float64
	if err := json.Unmarshal(raw, &n); err != nil || n == nil || math.Abs(*n) > 1<<38 {
		return time.Time{}, false
	}
	return time.UnixMicro(int64(math.Round(*n * 1e6))).UTC(), true
}
