package fetch

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// Waits between attempts that brought nothing.
const (
	firstPause = 100 * time.Millisecond
	longPause  = 10 * time.Second
	aheadTries = 3 // without a byte, when nobody waits
)

// errAbandoned ends a flight that nobody waits for.
var errAbandoned = errors.New("nobody waits for it any more")

// flight brings one range, from its first missing byte to its end, with as many requests as that takes. It pauses where nobody wants more yet.
type flight struct {
	src    *source
	owner  *Stream // that asked for it
	cancel context.CancelFunc
	more   chan struct{} // tells that more is wanted, or that it is to end sooner

	// Guarded by src.mu.
	ticket  *ticket // replaced for each slot
	pos     int64   // what lies before was delivered
	until   int64   // up to where it is wanted by now
	end     int64   // not less than until
	long    bool    // end is far, and until moves
	waiters []*waiter
	lastErr error

	// Of the flight's own goroutine.
	buf    []byte // while it has a slot
	filled int    // bytes in it that were not delivered
	rest   []byte // what was not delivered when it lost its slot: less than a unit
	turn   int64  // bytes delivered since it got its slot
	slots  int    // that it has had
	tries  int    // attempts since the last byte
	stall  *time.Timer
	pace   pace
}

// run is the flight's goroutine.
func (f *flight) run(ctx context.Context) {
	defer f.cancel()
	f.finish(f.bring(ctx))
}

// bring makes requests until all is delivered.
func (f *flight) bring(ctx context.Context) error {
	for !f.arrived() {
		err := f.attempt(ctx)
		if err == nil {
			continue
		}
		if ctx.Err() != nil {
			return errAbandoned
		}
		if final := f.note(err); final != nil {
			return final
		}
		if !pause(ctx, f.delay(err)) {
			return errAbandoned
		}
	}
	return nil
}

func (f *flight) arrived() bool {
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	return f.pos >= f.end
}

// finish takes the flight away and tells who still waits.
func (f *flight) finish(err error) {
	s := f.src
	s.mu.Lock()
	s.flights = slices.DeleteFunc(s.flights, func(other *flight) bool { return other == f })
	for _, w := range f.waiters {
		w.err = err
		close(w.done)
	}
	f.waiters = nil
	if f.pos < f.end {
		s.stopped(f.pos)
	}
	s.mu.Unlock()
	s.pool.leave(s)
}

// attempt makes one request for what is missing, within a slot.
func (f *flight) attempt(ctx context.Context) error {
	p := f.src.pool
	if err := f.takeSlot(ctx); err != nil {
		return err
	}
	defer f.giveSlot()
	p.count(1, 0, 0)
	before := f.received()
	err := f.request(ctx)
	if err != nil {
		p.count(0, 0, 1)
	}
	if f.received() > before {
		f.tries = 0
		p.slots.served()
	}
	if err != nil && fs.KindOf(err) == fs.Throttled {
		p.slots.throttled()
	}
	return err
}

// takeSlot waits for a slot and gets a buffer, with what was left over in it.
func (f *flight) takeSlot(ctx context.Context) error {
	p := f.src.pool
	if err := p.slots.acquire(ctx, f.newTicket()); err != nil {
		return err
	}
	f.buf = p.buffers.get()
	f.filled = copy(f.buf, f.rest)
	f.rest, f.turn = nil, 0
	return nil
}

// giveSlot gives slot and buffer back, if it has them. What is in the buffer is delivered but for what is no whole unit.
func (f *flight) giveSlot() {
	if f.buf == nil {
		return
	}
	if whole := f.filled / blockcache.Unit * blockcache.Unit; whole > 0 {
		rest := bytes.Clone(f.buf[whole:f.filled])
		f.filled = whole
		f.deliver()
		f.rest = rest
	} else {
		f.rest = bytes.Clone(f.buf[:f.filled])
	}
	p := f.src.pool
	p.buffers.put(f.buf)
	f.buf, f.filled = nil, len(f.rest)
	p.slots.release(f.ticket) // only this goroutine replaces it
}

// newTicket returns the ticket for the next slot: urgent if somebody waits.
func (f *flight) newTicket() *ticket {
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	if f.slots++; f.slots > 1 {
		c := background
		if f.awaited() {
			c = foreground
		}
		f.ticket = newTicket(c)
	}
	return f.ticket
}

// awaited reports whether somebody reads what is to come. The caller holds src.mu.
func (f *flight) awaited() bool {
	return slices.ContainsFunc(f.waiters, func(w *waiter) bool { return w.into != nil })
}

// received returns how many bytes have come.
func (f *flight) received() int64 {
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	return f.pos + int64(f.filled)
}

// request asks for what is missing and delivers what comes.
func (f *flight) request(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	s := f.src
	f.stall = time.AfterFunc(s.pool.opts.Stall, func() { cancel(errStalled) })
	defer func() { f.stall.Stop() }()
	f.pace = pace{}
	from, end := f.received(), f.limit()
	r, err := s.id.backend.Read(ctx, s.id.key, fs.ReadOptions{Off: from, Len: end - from, IfVersion: s.id.version})
	if err != nil {
		return cause(ctx, err)
	}
	if err = s.check(r); err == nil {
		err = f.receive(ctx, r)
	}
	if closed := r.Close(); err == nil && !f.arrived() {
		err = closed
	}
	return cause(ctx, err)
}

// check returns nil if what is being read has the size of the version: a store may call other bytes the same.
func (s *source) check(r fs.Reader) error {
	if size := r.Info().Size; size > 0 && size != s.size {
		return &fs.Error{Op: "read", Path: s.id.key, Kind: fs.Conflict}
	}
	return nil
}

func (f *flight) limit() int64 {
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	return f.end
}

// errStalled ends a request that gives nothing.
var errStalled = &fs.Error{Op: "read", Kind: fs.Timeout, Err: errors.New("the store stopped answering")}

// cause returns why a request ended: an error of its own if its context was ended for that.
func cause(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// receive reads the body into the buffer and delivers it whenever it is full. A body that ends too early is Unavailable.
func (f *flight) receive(ctx context.Context, r io.Reader) error {
	for {
		until, err := f.wanted(ctx)
		if err != nil || until <= f.pos {
			return err
		}
		want := int(min(int64(len(f.buf)), until-f.pos))
		n, err := r.Read(f.buf[f.filled:want])
		f.filled += n
		if n > 0 {
			f.stall.Reset(f.src.pool.opts.Stall)
		}
		if f.filled == want {
			f.deliver()
			continue
		}
		if errors.Is(err, io.EOF) {
			return &fs.Error{Op: "read", Path: f.src.id.key, Kind: fs.Unavailable, Err: io.ErrUnexpectedEOF}
		}
		if err != nil {
			return err
		}
	}
}

// deliver writes the buffer to the cache, copies it to who waits, and keeps it if neither took it.
func (f *flight) deliver() {
	s := f.src
	s.mu.Lock()
	file := s.file()
	s.mu.Unlock()
	p := f.buf[:f.filled]
	stored := false
	if file != nil {
		err := file.WriteAt(p, f.pos)
		stored = err == nil
		if kind := fs.KindOf(err); !stored && kind != fs.NoSpace && kind != fs.Invalid { // Invalid: closed meanwhile
			s.pool.opts.Logger.Warn("cannot cache", "key", s.id.key, "error", err)
		}
	}
	s.pool.count(0, int64(len(p)), 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	awaited := f.awaited()
	if taken := f.give(p, stored); !stored && !taken {
		s.pool.buffers.keep(s, f.pos, f.buf, f.filled)
		f.buf = s.pool.buffers.get()
	}
	f.pos += int64(len(p))
	f.turn += int64(len(p))
	s.got += int64(len(p))
	f.filled = 0
	f.gauge(int64(len(p)), awaited)
}

var errNotCached = &fs.Error{Op: "fetch", Kind: fs.NoSpace, Err: errors.New("no room in the cache")}

// give copies to the waiters what they want of p, and says whether one took all of it. The caller holds src.mu.
func (f *flight) give(p []byte, stored bool) (taken bool) {
	f.waiters = slices.DeleteFunc(f.waiters, func(w *waiter) bool {
		from, to := max(w.off, f.pos), min(w.end, f.pos+int64(len(p)))
		if from >= to {
			return false
		}
		if w.into != nil {
			copy(w.into[from-w.off:to-w.off], p[from-f.pos:])
		} else if !stored {
			w.err = errNotCached
		}
		taken = taken || to-from == int64(len(p))
		w.left -= to - from
		w.heard = time.Now()
		if w.left == 0 || w.err != nil {
			close(w.done)
			return true
		}
		return false
	})
	return taken
}

// note notes an error, and returns one if it is not worth another request.
func (f *flight) note(err error) error {
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	f.lastErr = err
	f.tries++
	switch fs.KindOf(err) {
	case fs.Throttled, fs.Unavailable, fs.Timeout, fs.Busy, fs.Checksum, fs.UnknownOutcome, fs.Internal:
	default:
		return err
	}
	if len(f.waiters) == 0 && f.tries >= aheadTries {
		return errAbandoned // and who comes just now asks again
	}
	return nil
}

// delay returns how long to wait before the next request.
func (f *flight) delay(err error) time.Duration {
	d := longPause
	if f.tries < 8 {
		d = min(firstPause<<max(f.tries-1, 0), longPause)
	}
	return max(d/2+rand.N(d/2+1), fs.RetryAfter(err))
}

// pause waits; it is false if ctx ended.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
