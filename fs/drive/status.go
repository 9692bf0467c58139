package drive

import (
	"context"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Conflict is a file that was changed here and in the store. The store's version has the path. One without a Copy is a folder that was
// removed here, and into which others have put something: it has come back.
type Conflict struct {
	Path, Copy string
	Time       time.Time
	Lost       int64 // bytes of the copy that neither the store nor this machine has any more: zeros are in their place
}

// Trouble is a key that cannot be brought up to date just now.
type Trouble struct {
	Path  string
	Err   error
	Tries int
	Next  time.Time // when it is tried again
}

// Status is how far the store is behind.
type Status struct {
	Pending   int        // keys to be brought up to date
	Bytes     int64      // of contents among them
	Oldest    time.Time  // since when the first of them waits; zero = nothing does
	Uploading int        // requests under way
	Staged    int64      // bytes of staging files
	LocalOnly int        // files that are never uploaded
	Hidden    int64      // keys of the store that cannot be shown, as far as listings have told
	Away      error      // why the store is out of reach; nil = it is not
	AwaySince time.Time  // zero = it is not
	Refused   error      // why the store does not let the drive in; nil = it does, as far as is known
	Troubles  []Trouble  // at most 100
	Conflicts []Conflict // until the copy has gone or somebody has removed the attribute that says so; the first, at most 100
}

// maxTold is how many of a kind a Status names.
const maxTold = 100

// Status returns how far the store is behind.
func (d *Drive) Status() Status {
	d.mu.RLock()
	defer d.mu.RUnlock()
	s := Status{
		Pending: len(d.pending), Uploading: d.queue.busy, Hidden: d.hidden.Load(),
		Conflicts: d.conflicts.told(),
	}
	s.AwaySince, s.Away = d.reach.away()
	s.Refused = d.reach.refusal()
	for k, p := range d.pending {
		if since := stamp(p.since); s.Oldest.IsZero() || since.Before(s.Oldest) {
			s.Oldest = since
		}
		if f, ok := d.at(k).(*file); ok && f.m.get().content != nil {
			s.Bytes += f.m.size
		}
		if p.err != nil && len(s.Troubles) < maxTold {
			s.Troubles = append(s.Troubles, Trouble{k.key, p.err, p.tries, p.due})
		}
	}
	d.eachLayer(func(l *layer) {
		l.mu.RLock()
		s.Staged += l.ext.bytes()
		l.mu.RUnlock()
	})
	s.LocalOnly = d.countLocal(d.root)
	return s
}

// countLocal counts the files that are never uploaded. The caller holds mu.
func (d *Drive) countLocal(x *dir) (n int) {
	if len(d.local) == 0 {
		return 0
	}
	for _, c := range x.children {
		if sub, ok := c.(*dir); ok {
			n += d.countLocal(sub)
		} else if d.isLocal(c) {
			n++
		}
	}
	return n
}

// Wait has everything that is pending brought up to date without delay, and returns when nothing is pending. What files that are
// open for writing have not committed is no part of it.
func (d *Drive) Wait(ctx context.Context) error {
	for {
		changed, begin := d.progress.next(), time.Now()
		if d.hurry(func(*file) bool { return false }) == 0 {
			return nil
		}
		took := time.Since(begin)
		err := d.await(ctx, changed)
		if err == nil {
			err = pause(ctx, 10*took) // with many keys to look at it would keep the workers from their work
		}
		if err != nil {
			return fs.Wrap("wait", d.opts.Name, err)
		}
	}
}

// waitFor returns when the store has what was committed of a file, or the error why it has not after a few tries or Deadline.
func (d *Drive) waitFor(ctx context.Context, f *file) error {
	ctx, cancel := context.WithTimeoutCause(ctx, d.opts.Deadline, errPatience)
	defer cancel()
	for {
		changed := d.progress.next()
		d.mu.Lock()
		var p *pending
		if f.named() && (f.m.at.version != "" || f.m.get().content != nil) { // of another nothing was committed
			p = d.pending[keyOf(f)]
		}
		var err error
		if p != nil {
			if p.tries == 0 && p.due.After(time.Now()) {
				p.due = time.Now()
				d.queue.look(p.keyed())
			}
			if p.tries >= 3 && !isAway(p.err) {
				err = p.err
			}
		}
		d.mu.Unlock()
		if p == nil || err != nil {
			return err
		}
		d.queue.kick()
		if err := d.await(ctx, changed); err != nil {
			return fs.Wrap("upload", f.where(), d.gaveUp(ctx, err))
		}
	}
}

// progress lets others wait for something to change.
type progress struct {
	mu sync.Mutex // guards ch
	ch chan struct{}
}

func (p *progress) init() { p.ch = make(chan struct{}) }

// next returns what is closed at the next change.
func (p *progress) next() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ch
}

func (p *progress) changed() {
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.ch)
	p.ch = make(chan struct{})
}

// await returns when changed is closed, or with an error when ctx or the drive has ended.
func (d *Drive) await(ctx context.Context, changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-d.ctx.Done():
		return &fs.Error{Kind: fs.Unavailable, Err: d.ctx.Err()}
	}
}
