package journal

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// The kinds of internal frames: the first byte of their payload.
const (
	kindPlain      = 'p' // head of a segment: its records follow those of the segment before
	kindCheckpoint = 'c' // head of a segment: it begins with a snapshot, older ones are not needed
	kindSynced     = 's' // the records up to its number were durable
)

const (
	headPayload   = 1 + 8 // kind, how many bytes were durable at birth
	headFrame     = headerSize + headPayload
	markerPayload = 1
	markerFrame   = headerSize + markerPayload
)

// segment is a file of the journal that is open for writing.
type segment struct {
	file  *os.File
	path  string
	used  int64 // bytes written
	space int64 // bytes whose place on the disk is taken
}

const (
	segmentSuffix = ".log"
	tempSuffix    = ".tmp"
	tornSuffix    = ".torn"
)

func segmentName(number uint64) string { return fmt.Sprintf("%020d%s", number, segmentSuffix) }

// segmentNumber reads a name that segmentName made.
func segmentNumber(name string) (uint64, bool) {
	var number uint64
	digits, ok := strings.CutSuffix(name, segmentSuffix)
	if _, err := fmt.Sscanf(digits, "%d", &number); !ok || err != nil || segmentName(number) != name {
		return 0, false
	}
	return number, true
}

func head(kind byte, seq uint64, durable int64) []byte {
	payload := binary.LittleEndian.AppendUint64([]byte{kind}, uint64(durable))
	return appendFrame(nil, seq, Entry{Type: internal, Payload: payload})
}

func marker(b []byte, seq uint64) []byte {
	return appendFrame(b, seq, Entry{Type: internal, Payload: []byte{kindSynced}})
}

// newSegment makes a segment whose first record will have the number after seq. fill, if given, writes records that must be durable before
// the segment has its name, and returns the last number. size bytes are free in it after that.
func newSegment(dir string, number uint64, kind byte, seq uint64, size int64, fill func(io.Writer) (uint64, error)) (*segment, uint64, error) {
	s := &segment{path: filepath.Join(dir, segmentName(number))}
	temp := s.path + tempSuffix
	file, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, 0, err
	}
	s.file = file
	last, err := s.begin(kind, seq, size, fill)
	if err == nil {
		err = publish(dir, temp, s.path)
	}
	if err != nil {
		return nil, 0, errors.Join(err, file.Close(), os.Remove(temp))
	}
	return s, last, nil
}

// begin writes the head and what fill has, and takes the space.
func (s *segment) begin(kind byte, seq uint64, size int64, fill func(io.Writer) (uint64, error)) (uint64, error) {
	s.used = headFrame
	last := seq
	if fill != nil {
		w := &countingWriter{w: io.NewOffsetWriter(s.file, headFrame)}
		buffered := bufio.NewWriterSize(w, 1<<20)
		var err error
		if last, err = fill(buffered); err != nil {
			return 0, err
		}
		if err := buffered.Flush(); err != nil {
			return 0, err
		}
		s.used += w.n
	}
	if err := s.take(s.used + size); err != nil {
		return 0, err
	}
	if _, err := s.file.WriteAt(head(kind, seq, s.used), 0); err != nil {
		return 0, err
	}
	return last, s.file.Sync()
}

// countingWriter counts what was written.
type countingWriter struct {
	w io.Writer
	n int64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}

// take makes the file size bytes long, with a place on the disk for each, where the file system can do that. Elsewhere zeros are written.
func (s *segment) take(size int64) error {
	err := unix.Fallocate(int(s.file.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		err = s.zero(s.used, size)
	}
	if err != nil {
		return err
	}
	s.space = size
	return nil
}

// zero writes zeros from one offset to another.
func (s *segment) zero(from, to int64) error {
	zeros := make([]byte, min(max(to-from, 0), 1<<20))
	for from < to {
		n, err := s.file.WriteAt(zeros[:min(int64(len(zeros)), to-from)], from)
		if err != nil {
			return err
		}
		from += int64(n)
	}
	return nil
}

// publish gives a durable file its name.
func publish(dir, temp, path string) error {
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(dir)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// append writes b. After a failure nothing of it may be read later: another record of the same length written over its beginning would
// bring the rest back.
func (s *segment) append(b []byte) error {
	if _, err := s.file.WriteAt(b, s.used); err != nil {
		if err2 := s.zero(s.used, s.used+int64(len(b))); err2 != nil {
			return &brokenError{errors.Join(err, err2)}
		}
		return err
	}
	s.used += int64(len(b))
	return nil
}

// brokenError is a failure after which the segment must not be used.
type brokenError struct{ err error }

func (e *brokenError) Error() string { return e.err.Error() }
func (e *brokenError) Unwrap() error { return e.err }

// sync makes what was written durable.
func (s *segment) sync() error {
	conn, err := s.file.SyscallConn()
	if err != nil {
		return err
	}
	var failed error
	err = conn.Control(func(fd uintptr) {
		for failed = unix.EINTR; errors.Is(failed, unix.EINTR); {
			failed = unix.Fdatasync(int(fd))
		}
	})
	return errors.Join(err, failed)
}

// finish gives back the space that was not used, and closes the file.
func (s *segment) finish() error {
	return errors.Join(s.file.Truncate(s.used), s.file.Close())
}

func (j *Journal) wrap(op string, err error) error {
	return fs.Wrap(op, j.dir, err)
}
