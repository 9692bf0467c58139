package journal

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Defaults of Options.
const (
	DefaultSegmentSize  = 16 << 20
	DefaultReserve      = 1 << 20
	DefaultSyncInterval = time.Second
)

// Options tell how a journal is kept. The zero value knows no types.
type Options struct {
	Types        []Type        // those that its owner knows; another one in the journal fails Open
	SegmentSize  int64         // bytes; 0 = DefaultSegmentSize
	Reserve      int64         // bytes of each segment that only AppendSettled may use; 0 = DefaultReserve
	SyncInterval time.Duration // the longest time a record stays undurable; 0 = DefaultSyncInterval
	Logger       *slog.Logger  // nil = silent
}

func (o Options) withDefaults() Options {
	if o.SegmentSize <= 0 {
		o.SegmentSize = DefaultSegmentSize
	}
	if o.Reserve <= 0 {
		o.Reserve = min(DefaultReserve, o.SegmentSize/2)
	}
	if o.SyncInterval <= 0 {
		o.SyncInterval = DefaultSyncInterval
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Journal is an open journal. Close it.
type Journal struct {
	dir  string
	opts Options

	dirty   chan struct{} // holds one element when something is to be synced
	closing chan struct{} // closed by Close
	ended   chan struct{} // closed when the syncing goroutine has ended

	mu      sync.Mutex // guards what follows, and writing to the segment
	current *segment
	number  uint64 // of current
	oldest  uint64 // number of the oldest segment that is needed
	older   int64  // bytes in the segments before current
	seq     uint64 // of the last record
	durable uint64 // the last record that is known to be durable
	marked  uint64 // what the last marker says
	round   *round // the sync that is running
	failed  error  // after which nothing works; fs.Error
	closed  bool
	buf     []byte
}

// round is one sync, for which several callers may wait.
type round struct {
	seq  uint64 // the last record in it
	done chan struct{}
	err  error // valid once done is closed
}

// Append writes records and returns the number of the last. They are in the page cache then. It fails with NoSpace if the disk is full,
// with TooLarge for a payload over [MaxPayload], and with Invalid for type 0; nothing is written then.
func (j *Journal) Append(recs ...Entry) (uint64, error) { return j.append(j.opts.Reserve, recs) }

// AppendSettled is Append for records that let their owner give space back: it may use the reserve.
func (j *Journal) AppendSettled(recs ...Entry) (uint64, error) { return j.append(0, recs) }

func (j *Journal) append(reserve int64, recs []Entry) (uint64, error) {
	size, err := j.check(recs)
	if err != nil {
		return 0, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return 0, err
	}
	if err := j.room(size+markerFrame, reserve); err != nil {
		return 0, j.wrap("append", err)
	}
	if err := j.write(recs); err != nil {
		return 0, j.wrap("append", err)
	}
	j.wake()
	return j.seq, nil
}

// check returns the records' size.
func (j *Journal) check(recs []Entry) (int64, error) {
	size := int64(0)
	for _, r := range recs {
		if r.Type == internal {
			return 0, &fs.Error{Op: "append", Path: j.dir, Kind: fs.Invalid, Err: errors.New("type 0 is the journal's own")}
		}
		if len(r.Payload) > MaxPayload {
			return 0, &fs.Error{Op: "append", Path: j.dir, Kind: fs.TooLarge}
		}
		size += r.size()
	}
	return size, nil
}

// usable says why nothing works, if so. The caller holds mu.
func (j *Journal) usable() error {
	if j.failed != nil {
		return j.failed
	}
	if j.closed {
		return &fs.Error{Op: "append", Path: j.dir, Kind: fs.Invalid, Err: os.ErrClosed}
	}
	return nil
}

// room makes sure that size bytes fit before the reserve. The caller holds mu.
func (j *Journal) room(size, reserve int64) error {
	if j.current.used+size <= j.current.space-reserve {
		return nil
	}
	// Records of the old segment must not be missing before those of the new one.
	if err := j.current.sync(); err != nil {
		return j.fail(err)
	}
	next, _, err := newSegment(j.dir, j.number+1, kindPlain, j.seq, max(j.opts.SegmentSize, size+j.opts.Reserve), nil)
	if err != nil {
		return err
	}
	if err := j.current.finish(); err != nil {
		j.opts.Logger.Warn("cannot close a full segment of the journal", "file", j.current.path, "error", err)
	}
	j.older += j.current.used
	j.current, j.number = next, j.number+1
	j.durable, j.marked = j.seq, j.seq
	return nil
}

// write appends the frames, after a marker if a sync went before. The caller holds mu.
func (j *Journal) write(recs []Entry) error {
	b := j.buf[:0]
	if j.durable > j.marked {
		b = marker(b, j.durable)
	}
	seq := j.seq
	for _, r := range recs {
		seq++
		b = appendFrame(b, seq, r)
	}
	if err := j.current.append(b); err != nil {
		if _, broken := errors.AsType[*brokenError](err); broken {
			return j.fail(err)
		}
		return err
	}
	j.seq, j.marked = seq, j.durable
	if cap(b) <= 1<<20 {
		j.buf = b
	}
	return nil
}

// fail makes an error final. The caller holds mu.
func (j *Journal) fail(err error) error {
	if j.failed == nil {
		j.failed = j.wrap("journal", err)
	}
	return j.failed
}

// wake lets the syncing goroutine know that there is something to do.
func (j *Journal) wake() {
	select {
	case j.dirty <- struct{}{}:
	default:
	}
}

// syncLoop makes records durable soon after they were written.
func (j *Journal) syncLoop() {
	defer close(j.ended)
	for {
		select {
		case <-j.closing:
			return
		case <-j.dirty:
		}
		select {
		case <-j.closing:
			return
		case <-time.After(j.opts.SyncInterval):
		}
		if err := j.Sync(context.Background()); err != nil {
			j.opts.Logger.Error("cannot make the journal durable", "dir", j.dir, "error", err)
			return
		}
	}
}

// Sync returns when everything that was appended before it was called is durable. Callers at one time share one write to the disk.
func (j *Journal) Sync(ctx context.Context) error {
	j.mu.Lock()
	want := j.seq
	for j.failed == nil && j.durable < want {
		r := j.round
		if r == nil {
			r = j.startRound()
		}
		j.mu.Unlock()
		select {
		case <-ctx.Done():
			return fs.Wrap("sync", j.dir, ctx.Err())
		case <-r.done:
		}
		j.mu.Lock()
	}
	defer j.mu.Unlock()
	return j.failed
}

// startRound syncs the current segment in a goroutine that ends with the sync. The caller holds mu.
func (j *Journal) startRound() *round {
	r := &round{seq: j.seq, done: make(chan struct{})}
	j.round = r
	current := j.current
	go func() {
		err := current.sync()
		j.mu.Lock()
		defer j.mu.Unlock()
		j.endRound(r, err)
	}()
	return r
}

// endRound notes the end of a sync. A segment that was finished meanwhile is durable, whatever the sync says. The caller holds mu.
func (j *Journal) endRound(r *round, err error) {
	if j.durable < r.seq {
		if err != nil {
			r.err = j.fail(err)
		} else {
			j.durable = r.seq
		}
	}
	j.round = nil
	close(r.done)
}

// Checkpoint begins a new segment with a snapshot, and removes all older ones once it is durable. snapshot is given a function that writes
// one record; what it returns as an error ends the checkpoint, and everything stays as it was. Appends wait for it.
func (j *Journal) Checkpoint(snapshot func(write func(Entry) error) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.usable(); err != nil {
		return err
	}
	fill := func(w io.Writer) (uint64, error) { return j.fill(w, snapshot) }
	next, last, err := newSegment(j.dir, j.number+1, kindCheckpoint, j.seq, j.opts.SegmentSize, fill)
	if err != nil {
		return j.wrap("checkpoint", err)
	}
	old := j.current
	j.current, j.number, j.seq, j.durable, j.marked, j.older = next, j.number+1, last, last, last, 0
	j.oldest = j.number
	if err := errors.Join(old.file.Close(), j.removeOlder()); err != nil {
		j.opts.Logger.Warn("cannot remove old parts of the journal", "dir", j.dir, "error", err)
	}
	return nil
}

// fill writes a snapshot.
func (j *Journal) fill(w io.Writer, snapshot func(func(Entry) error) error) (uint64, error) {
	seq := j.seq
	var buf []byte
	err := snapshot(func(e Entry) error {
		if _, err := j.check([]Entry{e}); err != nil {
			return err
		}
		seq++
		buf = appendFrame(buf[:0], seq, e)
		_, err := w.Write(buf)
		return err
	})
	return seq, err
}

// Size returns how many bytes of records the journal holds, those of the last checkpoint included.
func (j *Journal) Size() int64 {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.older + j.current.used
}

// Close makes everything durable and ends the journal. A second call does nothing.
func (j *Journal) Close() error {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		return nil
	}
	j.closed = true
	j.mu.Unlock()
	close(j.closing)
	<-j.ended
	err := j.Sync(context.Background())
	j.mu.Lock()
	defer j.mu.Unlock()
	return errors.Join(err, j.wrap("close", j.current.file.Close()))
}
