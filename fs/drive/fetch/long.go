package fetch

import (
	"context"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// Of the request that brings a run by itself.
const (
	longRange  = 1 << 30          // bytes it asks for at most
	idlePause  = 10 * time.Second // after which it ends if nobody wants more of it
	turnBytes  = MaxRange         // that it brings before it lets others have its slot
	gaugeBytes = 8 << 20          // over which its rate is measured
	fastEnough = 96 << 20         // bytes per second, which is what stores give one connection; when it brings less, several are tried
	trialBytes = 64 << 20         // that these bring before they are judged
	worthwhile = 1.5              // times the rate of one they must reach
)

// extend has what lies from one offset to another brought: by the request that brings what lies before it, or by one more. It returns at once.
// The caller holds mu.
func (s *source) extend(st *Stream, r blockcache.Range) {
	for end := r.Off + r.Len; r.Off < end; {
		r.Len = end - r.Off
		missing := s.uncovered(st.file, r)
		if len(missing) == 0 {
			return
		}
		r.Off = missing[0].Off
		f := s.before(r.Off)
		if f == nil {
			if f = s.launchLong(st, r.Off); f == nil {
				continue // somebody else has just brought it
			}
		}
		f.until = max(f.until, min(end, f.end))
		f.wake()
		r.Off = f.until
	}
}

// uncovered returns what of a range is neither there nor under way and wanted. The caller holds mu.
func (s *source) uncovered(file *blockcache.File, r blockcache.Range) []blockcache.Range {
	all := s.missing(file, r)
	for _, f := range s.flights {
		all = subtract(all, f.pos, f.until)
	}
	return all
}

// before returns the flight that brings off next if it goes on, nil if there is none. The caller holds mu.
func (s *source) before(off int64) *flight {
	for _, f := range s.flights {
		if f.pos <= off && off < f.end && off-f.until <= mergeGap {
			return f
		}
	}
	return nil
}

// launchLong begins a flight from off, which is missing, to where something is there already or under way. It returns nil if nothing is
// missing any more: files of one cache entry are brought by several sources where a name has changed. The caller holds mu.
func (s *source) launchLong(st *Stream, off int64) *flight {
	for _, f := range s.flights {
		if f.pos < off && off < f.end {
			f.endBefore(st.file, off)
		}
	}
	all := s.uncovered(st.file, blockcache.Range{Off: off, Len: min(longRange, s.size-off)})
	if len(all) == 0 {
		return nil
	}
	first := merge(all, s.flights)[0]
	f := s.launch(st, first.Off, first.Off+first.Len, background)
	f.until, f.long = f.pos, true
	return f
}

// endBefore ends a flight with the last that is missing before off, which is not wanted of it. The caller holds src.mu.
func (f *flight) endBefore(file *blockcache.File, off int64) {
	f.end = f.until
	if left := f.src.uncovered(file, blockcache.Range{Off: f.until, Len: off - f.until}); len(left) > 0 {
		last := left[len(left)-1]
		f.end = last.Off + last.Len
	}
	f.wake()
}

// wake tells a flight that until or end has changed. The caller holds src.mu.
func (f *flight) wake() {
	select {
	case f.more <- struct{}{}:
	default:
	}
}

// bounds returns up to where the flight is wanted, and whether it has come to its end.
func (f *flight) bounds() (until int64, done bool) {
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	return f.until, f.pos >= f.end
}

// wanted returns up to where the flight is to go on, or its end. It pauses, without a slot, until somebody wants more, and after some time lets
// others have the slot.
func (f *flight) wanted(ctx context.Context) (int64, error) {
	for {
		until, done := f.bounds()
		if done || f.buf != nil && until > f.pos && !f.isTurnOver() {
			return until, nil
		}
		f.yield()
		if until == f.pos {
			if err := f.idle(ctx); err != nil {
				return until, err
			}
			continue
		}
		if err := f.takeSlot(ctx); err != nil {
			return until, err
		}
		f.stall.Reset(f.src.pool.opts.Stall)
	}
}

// isTurnOver reports whether others wait for a slot that the flight has had for long.
func (f *flight) isTurnOver() bool {
	return f.turn >= turnBytes && f.filled == 0 && f.src.pool.slots.contended()
}

// yield gives the slot back and keeps the request.
func (f *flight) yield() {
	f.stall.Stop()
	f.pace = pace{}
	f.giveSlot()
}

// idle waits until more is wanted. After some time it ends the flight where it is, at once if too many are idle.
func (f *flight) idle(ctx context.Context) error {
	p := f.src.pool
	limit := idlePause
	if n := p.idle.Add(1); n > int64(p.opts.Foreground) {
		limit = 0
	}
	defer p.idle.Add(-1)
	t := time.NewTimer(limit)
	defer t.Stop()
	select {
	case <-f.more:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
	}
	f.src.mu.Lock()
	defer f.src.mu.Unlock()
	if f.until == f.pos && f.pos < f.end {
		f.end = f.pos
	}
	return nil
}

// stopped tells the streams that what is likely to be read is not brought from off on. The caller holds mu.
func (s *source) stopped(off int64) {
	for _, st := range s.streams {
		st.mu.Lock()
		st.plan.stopped(off)
		st.mu.Unlock()
	}
}

// pace is how fast a flight goes without a pause.
type pace struct {
	since   time.Time // zero = nothing came yet
	bytes   int64
	awaited int64 // of them those that somebody waited for
}

// gauge notes that bytes have come. Where a reader waits for a run and one request does not bring it as fast as stores can, the rest is left to
// many. The caller holds src.mu.
func (f *flight) gauge(n int64, awaited bool) {
	now := time.Now()
	if f.pace.since.IsZero() {
		f.pace.since = now // how long the first took says little
		return
	}
	f.pace.bytes += n
	if awaited {
		f.pace.awaited += n
	}
	if f.pace.bytes < gaugeBytes {
		return
	}
	rate := float64(f.pace.bytes) / now.Sub(f.pace.since).Seconds()
	if f.long && f.pace.awaited >= f.pace.bytes/2 && rate < fastEnough {
		f.leaveRest(rate)
	}
	f.pace = pace{since: now}
}

// leaveRest ends a flight soon, for many to go on. The caller holds src.mu.
func (f *flight) leaveRest(rate float64) {
	st := f.owner
	st.mu.Lock()
	defer st.mu.Unlock()
	from, ok := st.plan.widen(f.pos, f.end)
	if !ok {
		return
	}
	for _, w := range f.waiters {
		from = max(from, w.end)
	}
	f.end = min(st.plan.align(f.pos, from).Len+f.pos, f.end)
	f.until = f.end
	st.trial = trial{since: time.Now(), got: f.src.got, alone: rate}
}

// trial is the time in which many requests bring what one brought before. The zero value is none.
type trial struct {
	since time.Time
	got   int64   // source.got then
	alone float64 // the rate of the one
}

// judge ends a trial: if many were hardly faster, the one goes on. The caller holds src.mu.
func (st *Stream) judge() {
	st.mu.Lock()
	defer st.mu.Unlock()
	got := st.src.got - st.trial.got
	if st.trial.since.IsZero() || got < trialBytes {
		return
	}
	if rate := float64(got) / time.Since(st.trial.since).Seconds(); rate < worthwhile*st.trial.alone {
		st.plan.narrow()
	}
	st.trial = trial{}
}
