package fetch

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// sourceKey names what streams share: one version of one object.
type sourceKey struct {
	backend fs.Backend
	key     string
	version fs.Version
	size    int64
	cached  bool
}

// source is one version of one object that is being read.
type source struct {
	pool *Pool
	id   sourceKey
	size int64

	mu      sync.Mutex // guards what follows, and the bytes that flights copy to waiters. Pool.mu may be held, and buffers.mu is taken after it
	streams []*Stream
	flights []*flight // those that have not ended
	got     int64     // bytes that flights have delivered
}

// waiter is somebody who wants bytes of a flight. It is guarded by source.mu until done is closed.
type waiter struct {
	flight *flight
	off    int64
	end    int64
	left   int64
	into   []byte // nil = only to know that they are there
	heard  time.Time
	done   chan struct{}
	err    error
}

func (s *source) join(st *Stream) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.streams = append(s.streams, st)
}

func (s *source) unused() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.streams) == 0 && len(s.flights) == 0
}

// leave ends a stream's part: what was asked for ahead of it and nobody waits for ends.
func (s *source) leave(st *Stream) {
	s.mu.Lock()
	s.streams = slices.DeleteFunc(s.streams, func(other *Stream) bool { return other == st })
	for _, f := range s.flights {
		if len(f.waiters) == 0 && (f.owner == st || len(s.streams) == 0) {
			f.cancel()
		}
	}
	s.mu.Unlock()
	s.pool.leave(s)
}

// file returns where to write, nil if nowhere. The caller holds mu.
func (s *source) file() *blockcache.File {
	if len(s.streams) == 0 {
		return nil
	}
	return s.streams[len(s.streams)-1].file
}

// missing returns what of a range is neither cached nor kept. The caller holds mu.
func (s *source) missing(file *blockcache.File, r blockcache.Range) []blockcache.Range {
	all := []blockcache.Range{r}
	if file != nil {
		all = file.Missing(r.Off, r.Len)
	}
	return s.pool.buffers.held(s, all)
}

// start asks for what of a range is missing and not under way. The caller holds mu.
func (s *source) start(st *Stream, r blockcache.Range, c class) {
	for _, m := range merge(s.uncovered(st.file, r), s.flights) {
		for off, end := m.Off, m.Off+m.Len; off < end; off += MaxRange {
			s.launch(st, off, min(off+MaxRange, end), c)
		}
	}
}

// mergeGap is how much of what is there already may be fetched again to make one request of two.
const mergeGap = 128 << 10

// merge joins ranges that are close together, unless what lies between is under way.
func merge(ranges []blockcache.Range, flights []*flight) []blockcache.Range {
	var all []blockcache.Range
	for _, r := range ranges {
		if n := len(all); n > 0 {
			last := &all[n-1]
			gap := blockcache.Range{Off: last.Off + last.Len, Len: r.Off - last.Off - last.Len}
			if gap.Len <= mergeGap && !under(gap, flights) {
				last.Len += gap.Len + r.Len
				continue
			}
		}
		all = append(all, r)
	}
	return all
}

func under(r blockcache.Range, flights []*flight) bool {
	return slices.ContainsFunc(flights, func(f *flight) bool { return f.pos < r.Off+r.Len && r.Off < f.until })
}

// launch begins a flight. The caller holds mu.
func (s *source) launch(st *Stream, off, end int64, c class) *flight {
	f := &flight{src: s, owner: st, pos: off, until: end, end: end, ticket: newTicket(c), more: make(chan struct{}, 1)}
	var ctx context.Context
	ctx, f.cancel = context.WithCancel(s.pool.ctx)
	s.flights = append(s.flights, f)
	s.pool.flights.Go(func() { f.run(ctx) })
	return f
}

// ahead says how many flights are under way that nobody waits for. The caller holds mu.
func (s *source) ahead() int {
	n := 0
	for _, f := range s.flights {
		if len(f.waiters) == 0 {
			n++
		}
	}
	return n
}

// wait makes waiters for a range at the flights that will bring it, and returns what none will. The caller holds mu.
func (s *source) wait(r blockcache.Range, into []byte, urgent bool) (ws []*waiter, rest []blockcache.Range) {
	rest = []blockcache.Range{r}
	for _, f := range s.flights {
		from, to := max(r.Off, f.pos), min(r.Off+r.Len, f.until)
		if from >= to {
			continue
		}
		w := &waiter{flight: f, off: from, end: to, left: to - from, heard: time.Now(), done: make(chan struct{})}
		if into != nil {
			w.into = into[from-r.Off : to-r.Off]
		}
		f.waiters = append(f.waiters, w)
		if urgent {
			s.pool.slots.promote(f.ticket)
		}
		ws = append(ws, w)
		rest = subtract(rest, from, to)
	}
	return ws, rest
}

// detach ends a wait before its time. Nothing is copied into the waiter's bytes afterwards.
func (s *source) detach(w *waiter) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := w.flight
	f.waiters = slices.DeleteFunc(f.waiters, func(other *waiter) bool { return other == w })
}

// lastHeard returns when a waiter got its last byte, and the last error of its flight.
func (s *source) lastHeard(w *waiter) (time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return w.heard, w.flight.lastErr
}
