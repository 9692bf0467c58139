package journal

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	version    = 1         // of the frames
	lenSize    = 4         // of the length
	sumSize    = 4         // of the checksum
	prefixSize = 1 + 8 + 1 // version, sequence, type: what the length counts besides the payload
	headerSize = lenSize + sumSize + prefixSize
)

// MaxPayload is the longest payload in bytes.
const MaxPayload = 64 << 20

// Type is what a record is about. Owners use 1 to 255.
type Type uint8

// internal is the type of the journal's own frames.
const internal Type = 0

// Record is a record that was read. Its payload is valid until the function it was given to returns.
type Record struct {
	Seq     uint64 // one more than that of the record before
	Type    Type
	Payload []byte
}

// Entry is a record to be written.
type Entry struct {
	Type    Type
	Payload []byte
}

func (e Entry) size() int64 { return headerSize + int64(len(e.Payload)) }

// castagnoli is the table of crc32c.
func checksum(length, rest []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	return crc32.Update(crc32.Checksum(length, table), table, rest)
}

// appendFrame adds a frame to b.
func appendFrame(b []byte, seq uint64, e Entry) []byte {
	start := len(b)
	b = binary.LittleEndian.AppendUint32(b, uint32(prefixSize+len(e.Payload)))
	b = append(b, 0, 0, 0, 0, version)
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = append(b, byte(e.Type))
	b = append(b, e.Payload...)
	frame := b[start:]
	binary.LittleEndian.PutUint32(frame[lenSize:], checksum(frame[:lenSize], frame[lenSize+sumSize:]))
	return b
}

// Errors of readFrame. Those of reading itself come as they are.
var (
	errEnd = errors.New("end of segment") // a zero length, or the end of the file between two frames
	errBad = errors.New("damaged frame")
)

// frame is a frame as it was read.
type frame struct {
	version byte
	Record
}

// readFrame reads the next frame. buf is used for its payload if it is large enough; the larger buffer is returned for the next call.
func readFrame(r io.Reader, buf []byte) (frame, []byte, error) {
	var head [lenSize + sumSize]byte
	if n, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, buf, short(err, head[:n])
	}
	length := binary.LittleEndian.Uint32(head[:lenSize])
	if length == 0 {
		return frame{}, buf, errEnd
	}
	if length < prefixSize || length > prefixSize+MaxPayload {
		return frame{}, buf, errBad
	}
	buf, err := readBody(r, buf, int(length))
	if err != nil {
		return frame{}, buf, err
	}
	if checksum(head[:lenSize], buf) != binary.LittleEndian.Uint32(head[lenSize:]) {
		return frame{}, buf, errBad
	}
	return frame{version: buf[0], Record: Record{
		Seq: binary.LittleEndian.Uint64(buf[1:]), Type: Type(buf[9]), Payload: buf[prefixSize:],
	}}, buf, nil
}

// readBody reads n bytes. Memory grows with what is really there, not with what a damaged length promises.
func readBody(r io.Reader, buf []byte, n int) ([]byte, error) {
	const step = 1 << 20
	buf = buf[:0]
	for len(buf) < n {
		more := min(step, n-len(buf))
		start := len(buf)
		buf = append(buf, make([]byte, more)...)
		if _, err := io.ReadFull(r, buf[start:]); err != nil {
			return buf, short(err, []byte{1})
		}
	}
	return buf, nil
}

// short tells the end of a segment, where at most a few zeros were left, from a frame that is cut off.
func short(err error, read []byte) error {
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	switch {
	case ended && isZero(read):
		return errEnd
	case ended:
		return errBad
	}
	return err
}

func isZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
