package wire

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"unicode/utf8"
)

// legacyFrame is the JSON object of the legacy framing as clients send it.
type legacyFrame struct {
	Channel      *string         `json:"channel"`
	Header       json.RawMessage `json:"header"`
	ParentHeader json.RawMessage `json:"parent_header"`
	Metadata     json.RawMessage `json:"metadata"`
	Content      json.RawMessage `json:"content"`
}

// EncodeLegacy returns m in the legacy framing: a text frame of JSON, or, when m has buffers, a binary frame of a
// big-endian count, that many 32-bit offsets, the JSON and the buffers. Bytes that are not UTF-8, in which Python kernels
// write names of files that are not, cannot be in a text frame: they become U+FFFD, as jupyter_server has it. It fails for
// a message whose parts are not JSON or that is too large for 32-bit offsets.
func EncodeLegacy(m Message) (frame []byte, binaryFrame bool, err error) {
	text, err := legacyJSON(m)
	if err != nil {
		return nil, false, err
	}
	if len(m.Buffers) == 0 {
		return text, false, nil
	}
	parts := append([][]byte{text}, m.Buffers...)
	offset := 4 * (len(parts) + 1)
	size := offset
	for _, p := range parts {
		size += len(p)
	}
	if int64(size) > 1<<32-1 {
		return nil, false, fmt.Errorf("message of %d bytes: %w", size, ErrMalformed)
	}
	frame = make([]byte, 0, size)
	frame = binary.BigEndian.AppendUint32(frame, uint32(len(parts)))
	for _, p := range parts {
		frame = binary.BigEndian.AppendUint32(frame, uint32(offset))
		offset += len(p)
	}
	for _, p := range parts {
		frame = append(frame, p...)
	}
	return frame, true, nil
}

// legacyJSON writes the JSON object that a server sends, with m's parts byte for byte.
func legacyJSON(m Message) ([]byte, error) {
	h, err := m.DecodeHeader()
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	b.Grow(m.Size() + 256)
	b.WriteByte('{')
	fields := []struct {
		name string
		raw  []byte
	}{
		{"header", m.Header}, {"msg_id", quote(h.MsgID)}, {"msg_type", quote(h.MsgType)},
		{"parent_header", orEmpty(m.ParentHeader)}, {"metadata", orEmpty(m.Metadata)}, {"content", orEmpty(m.Content)},
		{"buffers", []byte("[]")}, {"channel", quote(string(m.Channel))},
	}
	for i, f := range fields {
		if !utf8.Valid(f.raw) {
			f.raw = bytes.ToValidUTF8(f.raw, []byte("\ufffd"))
		}
		if !json.Valid(f.raw) {
			return nil, fmt.Errorf("%s is not JSON: %w", f.name, ErrMalformed)
		}
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(`"` + f.name + `":`)
		b.Write(f.raw)
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// DecodeLegacyText reads a text frame of the legacy framing. A missing channel means the shell. The error matches
// [ErrMalformed], or [ErrChannel] for a channel that clients may not send on.
func DecodeLegacyText(frame []byte) (Message, error) {
	var f legacyFrame
	if err := json.Unmarshal(frame, &f); err != nil {
		return Message{}, fmt.Errorf("legacy frame: %w: %w", ErrMalformed, err)
	}
	if !isObject(f.Header) {
		return Message{}, fmt.Errorf("legacy frame without a header: %w", ErrMalformed)
	}
	name := ""
	if f.Channel != nil {
		name = *f.Channel
	}
	channel, err := clientChannel(name)
	if err != nil {
		return Message{}, err
	}
	return Message{
		Channel:      channel,
		Header:       f.Header,
		ParentHeader: objectOrEmpty(f.ParentHeader),
		Metadata:     objectOrEmpty(f.Metadata),
		Content:      objectOrEmpty(f.Content),
	}, nil
}

// DecodeLegacyBinary reads a binary frame of the legacy framing. The buffers share the frame's bytes. The error
// matches [ErrMalformed], or [ErrChannel] for a channel that clients may not send on.
func DecodeLegacyBinary(frame []byte) (Message, error) {
	if len(frame) < 8 {
		return Message{}, fmt.Errorf("frame of %d bytes: %w", len(frame), ErrMalformed)
	}
	n := uint64(binary.BigEndian.Uint32(frame))
	if n < 1 || n > maxOffsets || n > uint64(len(frame)-4)/4 {
		return Message{}, fmt.Errorf("%d parts: %w", n, ErrMalformed)
	}
	parts := make([][]byte, n)
	end := uint64(len(frame))
	for i := n; i > 0; i-- {
		start := uint64(binary.BigEndian.Uint32(frame[4*i:]))
		if start < 4*(n+1) || start > end {
			return Message{}, fmt.Errorf("offset %d is %d before %d: %w", i-1, start, end, ErrMalformed)
		}
		parts[i-1] = frame[start:end:end]
		end = start
	}
	m, err := DecodeLegacyText(parts[0])
	if err != nil {
		return Message{}, err
	}
	m.Buffers = parts[1:]
	return m, nil
}

// quote returns s as a JSON string.
func quote(s string) []byte {
	raw, err := json.Marshal(s)
	if err != nil { // a string always has a JSON form
		return []byte(`""`)
	}
	return raw
}

func isObject(raw json.RawMessage) bool {
	return len(raw) > 0 && raw[0] == '{'
}

func objectOrEmpty(raw json.RawMessage) []byte {
	if isObject(raw) {
		return raw
	}
	return emptyObject
}
