package journal

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Open opens the journal in dir, which is made if it does not exist, and gives all its records to replay, beginning with the last
// checkpoint's. An error of replay ends it. Open fails with Checksum where durable records are damaged, and with Unsupported for what
// a newer release wrote.
func Open(dir string, o Options, replay func(Record) error) (*Journal, error) {
	j := &Journal{
		dir: dir, opts: o.withDefaults(),
		dirty: make(chan struct{}, 1), closing: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, j.wrap("open journal", err)
	}
	if err := j.load(replay); err != nil {
		return nil, err
	}
	go j.syncLoop()
	return j, nil
}

// load reads the segments and opens the last for writing.
func (j *Journal) load(replay func(Record) error) error {
	numbers, err := j.segments()
	if err != nil {
		return j.wrap("open journal", err)
	}
	if len(numbers) == 0 {
		return j.create()
	}
	first, err := j.lastCheckpoint(numbers)
	if err != nil {
		return err
	}
	numbers = numbers[first:]
	for i, number := range numbers {
		r := reader{journal: j, number: number, first: i == 0, last: i == len(numbers)-1, replay: replay}
		if err := r.read(); err != nil {
			return err
		}
	}
	j.oldest = numbers[0]
	return j.wrap("open journal", j.removeOlder())
}

// create begins an empty journal.
func (j *Journal) create() error {
	s, _, err := newSegment(j.dir, 1, kindCheckpoint, 0, j.opts.SegmentSize, nil)
	if err != nil {
		return j.wrap("create journal", err)
	}
	j.current, j.number = s, 1
	return nil
}

// segments returns the numbers of all segments in order, and removes what a crash left of one that had no name yet.
func (j *Journal) segments() ([]uint64, error) {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return nil, err
	}
	var numbers []uint64
	for _, e := range entries {
		if number, ok := segmentNumber(e.Name()); ok {
			numbers = append(numbers, number)
		} else if strings.HasSuffix(e.Name(), segmentSuffix+tempSuffix) {
			if err := os.Remove(filepath.Join(j.dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(numbers)
	return numbers, nil
}

// lastCheckpoint returns the index of the last segment that begins with a snapshot.
func (j *Journal) lastCheckpoint(numbers []uint64) (int, error) {
	for i, number := range slices.Backward(numbers) {
		h, err := j.readHead(number)
		if err != nil {
			return 0, err
		}
		if h.kind == kindCheckpoint {
			return i, nil
		}
	}
	return 0, j.damaged(segmentName(numbers[0]), 0, "the segment before it is missing")
}

// segmentHead is what a segment's first frame says.
type segmentHead struct {
	kind    byte
	seq     uint64
	durable int64
}

func (j *Journal) readHead(number uint64) (segmentHead, error) {
	name := segmentName(number)
	file, err := os.Open(filepath.Join(j.dir, name))
	if err != nil {
		return segmentHead{}, j.wrap("open journal", err)
	}
	defer file.Close()
	f, _, err := readFrame(file, nil)
	switch {
	case errors.Is(err, errBad), errors.Is(err, errEnd):
		return segmentHead{}, j.damaged(name, 0, "its head is damaged")
	case err != nil:
		return segmentHead{}, j.wrap("open journal", err)
	case f.version != version:
		return segmentHead{}, j.unknown(name, fmt.Sprintf("version %d", f.version))
	case f.Type != internal || len(f.Payload) != headPayload:
		return segmentHead{}, j.damaged(name, 0, "it has no head")
	}
	return segmentHead{kind: f.Payload[0], seq: f.Seq, durable: int64(binary.LittleEndian.Uint64(f.Payload[1:]))}, nil
}

func (j *Journal) damaged(name string, off int64, what string) error {
	return &fs.Error{
		Op: "open journal", Path: filepath.Join(j.dir, name), Kind: fs.Checksum,
		Err:  fmt.Errorf("damaged at byte %d: %s", off, what),
		Hint: "bring the file back from a backup, or move the folder " + j.dir + " away: what was not uploaded yet is then only in the staging files beside it",
	}
}

func (j *Journal) unknown(name, what string) error {
	return &fs.Error{
		Op: "open journal", Path: filepath.Join(j.dir, name), Kind: fs.Unsupported,
		Err:  fmt.Errorf("holds a record of %s, which this release does not know", what),
		Hint: "start the newer release that wrote it, wait until nothing is pending, then use this one",
	}
}

// reader replays one segment.
type reader struct {
	journal *Journal
	number  uint64
	first   bool // of those that are needed
	last    bool
	replay  func(Record) error

	head segmentHead
	off  int64 // of the next frame
}

func (r *reader) name() string { return segmentName(r.number) }

func (r *reader) read() error {
	j := r.journal
	h, err := j.readHead(r.number)
	if err != nil {
		return err
	}
	r.head, r.off = h, headFrame
	if r.first {
		j.seq = h.seq
	} else if h.seq != j.seq {
		return j.damaged(r.name(), 0, fmt.Sprintf("it goes on after record %d, but the segment before it ends with %d", h.seq, j.seq))
	}
	file, err := os.OpenFile(filepath.Join(j.dir, r.name()), os.O_RDWR, 0)
	if err != nil {
		return j.wrap("open journal", err)
	}
	err = r.frames(file)
	if err == nil && r.last {
		return r.keep(file)
	}
	if err == nil {
		j.older += r.off
	}
	return errors.Join(err, file.Close())
}

// frames replays what the file holds up to its end, or up to where it is cut.
func (r *reader) frames(file *os.File) error {
	in := bufio.NewReaderSize(io.NewSectionReader(file, r.off, 1<<62), 1<<20)
	var buf []byte
	for {
		var f frame
		var err error
		f, buf, err = readFrame(in, buf)
		if err == nil && !r.follows(f) {
			err = errBad
		}
		switch {
		case errors.Is(err, errEnd), errors.Is(err, errBad):
			return r.end(file, err)
		case err != nil:
			return r.journal.wrap("read journal", err)
		}
		if err := r.take(f); err != nil {
			return err
		}
		r.off += headerSize + int64(len(f.Payload))
	}
}

// follows says whether a frame is the next one. What it means in another version is not known.
func (r *reader) follows(f frame) bool {
	if f.version == version && f.Type == internal {
		return f.Seq <= r.journal.seq && len(f.Payload) == markerPayload
	}
	return f.Seq == r.journal.seq+1
}

// take gives a record to its owner.
func (r *reader) take(f frame) error {
	j := r.journal
	switch {
	case f.version != version:
		return j.unknown(r.name(), fmt.Sprintf("version %d", f.version))
	case f.Type == internal:
		return nil
	case !slices.Contains(j.opts.Types, f.Type):
		return j.unknown(r.name(), fmt.Sprintf("type %d", f.Type))
	}
	if err := r.replay(f.Record); err != nil {
		return j.wrap("replay journal", err)
	}
	j.seq = f.Seq
	return nil
}

// end decides about what follows the last good frame: nothing, a torn write, or damage.
func (r *reader) end(file *os.File, why error) error {
	j := r.journal
	if r.off < r.head.durable {
		return j.damaged(r.name(), r.off, "a record that was durable cannot be read")
	}
	if !r.last {
		if errors.Is(why, errBad) {
			return j.damaged(r.name(), r.off, "a record in the middle cannot be read")
		}
		return nil // what is missing is missed by the next segment
	}
	rest, err := io.ReadAll(io.NewSectionReader(file, r.off, 1<<62))
	if err != nil {
		return j.wrap("read journal", err)
	}
	if isZero(rest) {
		return nil
	}
	if wasDurable(rest, j.seq+1) {
		return j.damaged(r.name(), r.off, "a record that was durable cannot be read")
	}
	return j.wrap("cut journal", r.cut(file, rest))
}

// wasDurable looks for a marker which says that record seq was durable.
func wasDurable(rest []byte, seq uint64) bool {
	length := binary.LittleEndian.AppendUint32(nil, prefixSize+markerPayload)
	for {
		i := bytes.Index(rest, length)
		if i < 0 {
			return false
		}
		f, _, err := readFrame(bytes.NewReader(rest[i:]), nil)
		if err == nil && f.version == version && f.Type == internal && f.Payload[0] == kindSynced && f.Seq >= seq {
			return true
		}
		rest = rest[i+1:]
	}
}

// cut keeps the torn end in a file beside the segment and writes zeros over it, so that nothing of it can come back.
func (r *reader) cut(file *os.File, rest []byte) error {
	j := r.journal
	rest = bytes.TrimRight(rest, "\x00")
	path := filepath.Join(j.dir, r.name()+tornSuffix)
	j.opts.Logger.Warn("the end of the journal was torn by a crash and is cut off", "file", path, "bytes", len(rest))
	if err := os.WriteFile(path, rest, 0o600); err != nil {
		j.opts.Logger.Warn("cannot keep the torn end", "file", path, "error", err)
	}
	s := &segment{file: file}
	return errors.Join(s.zero(r.off, r.off+int64(len(rest))), file.Sync())
}

// keep makes the segment the one that is written to.
func (r *reader) keep(file *os.File) error {
	j := r.journal
	s := &segment{file: file, path: filepath.Join(j.dir, r.name()), used: r.off}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(j.wrap("open journal", err), file.Close())
	}
	s.space = info.Size()
	if err := s.take(max(s.space, j.opts.SegmentSize)); err != nil {
		j.opts.Logger.Warn("the disk is full: the journal cannot grow", "dir", j.dir, "error", err)
	}
	// Everything read is durable before anything is built on it.
	if err := s.sync(); err != nil {
		return errors.Join(j.wrap("open journal", err), file.Close())
	}
	j.current, j.number = s, r.number
	j.durable, j.marked = j.seq, j.seq
	return nil
}

// removeOlder removes the segments before the oldest that is needed, and their torn ends. The caller holds mu, if anybody else knows
// the journal.
func (j *Journal) removeOlder() error {
	entries, err := os.ReadDir(j.dir)
	if err != nil {
		return err
	}
	removed := false
	for _, e := range entries {
		number, ok := segmentNumber(strings.TrimSuffix(e.Name(), tornSuffix))
		if !ok || number >= j.oldest {
			continue
		}
		if err := os.Remove(filepath.Join(j.dir, e.Name())); err != nil {
			return err
		}
		removed = true
	}
	if !removed {
		return nil
	}
	return syncDir(j.dir)
}
