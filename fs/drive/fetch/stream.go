package fetch

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// Stream is one handle's reading of one version. Close it.
type Stream struct {
	src  *source
	file *blockcache.File // nil = not cached

	mu    sync.Mutex // guards what follows; taken after source.mu
	plan  *planner
	trial trial
}

// cacheTries is how often a read begins anew because what was cached a moment before is gone.
const cacheTries = 3

// ReadAt reads as io.ReaderAt does. It fails with Conflict if the store has another version, and with the store's error once nothing has come
// for [Options].Deadline.
func (st *Stream) ReadAt(ctx context.Context, p []byte, off int64) (int, error) {
	n := min(int64(len(p)), st.src.size-off)
	if off < 0 {
		return 0, &fs.Error{Op: "read", Path: st.src.id.key, Kind: fs.Invalid}
	}
	if n <= 0 {
		return 0, io.EOF
	}
	if err := st.read(ctx, p[:n], off); err != nil {
		return 0, fs.Wrap("read", st.src.id.key, err)
	}
	if n < int64(len(p)) {
		return int(n), io.EOF
	}
	return int(n), nil
}

func (st *Stream) read(ctx context.Context, p []byte, off int64) error {
	w := st.next(off, int64(len(p)))
	if st.cached(p, off) {
		st.fetchAhead(w)
		return nil
	}
	for range cacheTries {
		if err := st.src.pool.ctx.Err(); err != nil {
			return err
		}
		done, err := st.gather(ctx, p, off, w)
		if done || err != nil {
			return err
		}
	}
	return st.direct(ctx, p, off)
}

func (st *Stream) next(off, n int64) wish {
	st.mu.Lock()
	defer st.mu.Unlock()
	return st.plan.read(off, n)
}

// cached reads what is all there.
func (st *Stream) cached(p []byte, off int64) bool {
	if st.file == nil {
		return false
	}
	_, ok, err := st.file.ReadAt(p, off)
	return ok && err == nil
}

// fetchAhead asks for what will probably be read.
func (st *Stream) fetchAhead(w wish) {
	if len(w.ahead) == 0 && w.long.Len == 0 {
		return
	}
	st.src.mu.Lock()
	defer st.src.mu.Unlock()
	st.src.extend(st, w.long)
	st.startAhead(w)
}

// startAhead is fetchAhead. The caller holds src.mu.
func (st *Stream) startAhead(w wish) {
	if len(w.ahead) > 0 {
		st.judge()
	}
	for _, r := range w.ahead {
		if st.src.ahead() >= st.src.pool.opts.PerFile {
			st.mu.Lock()
			st.plan.stopped(r.Off)
			st.mu.Unlock()
			return
		}
		st.src.start(st, r, background)
	}
}

// gather collects the bytes from where they are and from requests. It is false if some that were there have gone meanwhile.
func (st *Stream) gather(ctx context.Context, p []byte, off int64, w wish) (done bool, err error) {
	ws, there := st.request(p, off, w)
	err = st.await(ctx, ws)
	if errors.Is(err, errAbandoned) {
		return false, ctx.Err()
	}
	if err != nil {
		return false, err
	}
	for _, r := range there {
		if !st.cached(p[r.Off-off:r.Off-off+r.Len], r.Off) {
			return false, nil
		}
	}
	if st.file != nil {
		st.file.Touch(off, int64(len(p)))
	}
	return true, nil
}

// request makes sure that all that is missing is under way. It returns what to wait for, and what is cached.
func (st *Stream) request(p []byte, off int64, w wish) (ws []*waiter, there []blockcache.Range) {
	s := st.src
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := s.pool.buffers.read(s, p, off)
	if st.file != nil {
		there = missing
		missing = clip(st.file.Missing(off, int64(len(p))), missing)
		for _, m := range missing {
			there = subtract(there, m.Off, m.Off+m.Len)
		}
	}
	if len(missing) > 0 {
		st.noteLoss(missing, w)
	}
	s.extend(st, w.long)
	if len(missing) > 0 {
		s.start(st, w.need, foreground)
	}
	for _, m := range missing {
		more, rest := s.wait(m, p[m.Off-off:m.Off-off+m.Len], true)
		ws = append(ws, more...)
		there = append(there, rest...) // brought and cached just now
	}
	st.startAhead(w)
	return ws, there
}

// noteLoss tells the planner if something is missing that was fetched and is not under way. The caller holds src.mu.
func (st *Stream) noteLoss(missing []blockcache.Range, w wish) {
	for _, m := range missing {
		if m.Off < w.fetched && !under(m, st.src.flights) {
			st.mu.Lock()
			st.plan.lost(m.Off)
			st.mu.Unlock()
			return
		}
	}
}

// clip returns what of ranges lies in others.
func clip(ranges, others []blockcache.Range) []blockcache.Range {
	var all []blockcache.Range
	for _, r := range ranges {
		for _, o := range others {
			from, to := max(r.Off, o.Off), min(r.Off+r.Len, o.Off+o.Len)
			if from < to {
				all = append(all, blockcache.Range{Off: from, Len: to - from})
			}
		}
	}
	return all
}

// await waits for all waiters. After an error none of them is written to any more.
func (st *Stream) await(ctx context.Context, ws []*waiter) error {
	for i, w := range ws {
		if err := st.awaitOne(ctx, w); err != nil {
			for _, rest := range ws[i:] {
				st.src.detach(rest)
			}
			return err
		}
	}
	return nil
}

func (st *Stream) awaitOne(ctx context.Context, w *waiter) error {
	limit := st.src.pool.opts.Deadline
	timer := time.NewTimer(limit)
	defer timer.Stop()
	for {
		select {
		case <-w.done:
			return w.err
		case <-ctx.Done():
			return ctx.Err()
		case <-timer.C:
		}
		heard, last := st.src.lastHeard(w)
		if left := limit - time.Since(heard); left > 0 {
			timer.Reset(left)
			continue
		}
		if last != nil {
			return last
		}
		return &fs.Error{Op: "read", Path: st.src.id.key, Kind: fs.Timeout}
	}
}

// direct reads without the cache, which drops everything at once.
func (st *Stream) direct(ctx context.Context, p []byte, off int64) error {
	s := st.src
	ctx, cancel := context.WithTimeout(ctx, s.pool.opts.Deadline)
	defer cancel()
	ticket := newTicket(foreground)
	if err := s.pool.slots.acquire(ctx, ticket); err != nil {
		return err
	}
	defer s.pool.slots.release(ticket)
	r, err := s.id.backend.Read(ctx, s.id.key, fs.ReadOptions{Off: off, Len: int64(len(p)), IfVersion: s.id.version})
	if err != nil {
		return err
	}
	n := 0
	if err = s.check(r); err == nil {
		n, err = io.ReadFull(r, p)
	}
	s.pool.count(1, int64(n), 0)
	return errors.Join(err, r.Close())
}

// fillStep is how much Fill reads at a time.
const fillStep = 1 << 20

// Fill brings ranges into the cache, as a run does that is read from their start to their end, and calls progress with the bytes that are
// there. It fails with NoSpace if the cache cannot keep them. Nothing else may be read through the stream meanwhile.
func (st *Stream) Fill(ctx context.Context, ranges []blockcache.Range, progress func(int64)) error {
	buf := make([]byte, fillStep)
	for _, r := range ranges {
		st.mu.Lock()
		st.plan.follow(r.Off)
		st.mu.Unlock()
		for off, end := r.Off, min(r.Off+r.Len, st.src.size); off < end; {
			p := buf[:min((off/fillStep+1)*fillStep, end)-off]
			if _, err := st.ReadAt(ctx, p, off); err != nil {
				return fs.Wrap("fill", st.src.id.key, err)
			}
			if st.file == nil || len(st.file.Missing(off, int64(len(p)))) > 0 {
				return fs.Wrap("fill", st.src.id.key, errNotCached)
			}
			off += int64(len(p))
			if progress != nil {
				progress(int64(len(p)))
			}
		}
	}
	return nil
}

// Size returns the size of the version in bytes.
func (st *Stream) Size() int64 { return st.src.size }

// Close ends the stream. What was fetched ahead and is not there yet is given up.
func (st *Stream) Close() { st.src.leave(st) }
