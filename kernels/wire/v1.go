package wire

import (
	"encoding/binary"
	"fmt"
)

// Subprotocol is the WebSocket subprotocol that selects the v1 framing; a client that does not offer it speaks the
// legacy framing.
const Subprotocol = "v1.kernel.websocket.jupyter.org"

// maxOffsets bounds how many parts a v1 frame may announce, so that a short frame cannot ask for a large table.
const maxOffsets = 1 << 20

// EncodeV1 returns m as one binary WebSocket frame of the v1 framing: a little-endian count of 64-bit offsets, the
// offsets, the channel, the four JSON parts and the buffers.
func EncodeV1(m Message) []byte {
	parts := make([][]byte, 0, 5+len(m.Buffers))
	parts = append(parts, []byte(m.Channel),
		orEmpty(m.Header), orEmpty(m.ParentHeader), orEmpty(m.Metadata), orEmpty(m.Content))
	parts = append(parts, m.Buffers...)

	table := 8 * (len(parts) + 2)
	size := table
	for _, p := range parts {
		size += len(p)
	}
	frame := make([]byte, 0, size)
	frame = binary.LittleEndian.AppendUint64(frame, uint64(len(parts)+1))
	offset := table
	frame = binary.LittleEndian.AppendUint64(frame, uint64(offset))
	for _, p := range parts {
		offset += len(p)
		frame = binary.LittleEndian.AppendUint64(frame, uint64(offset))
	}
	for _, p := range parts {
		frame = append(frame, p...)
	}
	return frame
}

// DecodeV1 reads one binary frame of the v1 framing. The message shares the frame's bytes. The error matches
// [ErrMalformed], or [ErrChannel] for a channel that clients may not send on.
func DecodeV1(frame []byte) (Message, error) {
	parts, err := splitV1(frame)
	if err != nil {
		return Message{}, err
	}
	channel, err := clientChannel(string(parts[0]))
	if err != nil {
		return Message{}, err
	}
	return Message{
		Channel: channel,
		Header:  parts[1], ParentHeader: parts[2], Metadata: parts[3], Content: parts[4],
		Buffers: parts[5:],
	}, nil
}

// splitV1 cuts a v1 frame at its offsets into at least five parts.
func splitV1(frame []byte) ([][]byte, error) {
	if len(frame) < 8 {
		return nil, fmt.Errorf("frame of %d bytes: %w", len(frame), ErrMalformed)
	}
	n := binary.LittleEndian.Uint64(frame)
	if n < 6 || n > maxOffsets || n > uint64(len(frame)-8)/8 {
		return nil, fmt.Errorf("%d offsets: %w", n, ErrMalformed)
	}
	parts := make([][]byte, 0, n-1)
	start := binary.LittleEndian.Uint64(frame[8:])
	if start < 8*(n+1) {
		return nil, fmt.Errorf("first offset %d inside the table: %w", start, ErrMalformed)
	}
	for i := uint64(1); i < n; i++ {
		end := binary.LittleEndian.Uint64(frame[8*(i+1):])
		if end < start || end > uint64(len(frame)) {
			return nil, fmt.Errorf("offset %d is %d after %d: %w", i, end, start, ErrMalformed)
		}
		parts = append(parts, frame[start:end:end])
		start = end
	}
	return parts, nil
}

// clientChannel maps the channel of a client's frame; a missing one means the shell.
func clientChannel(name string) (Channel, error) {
	switch c := Channel(name); c {
	case Shell, Control, Stdin:
		return c, nil
	case "":
		return Shell, nil
	default:
		return "", fmt.Errorf("%w: %.40q", ErrChannel, name)
	}
}
