package drive

import (
	"context"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// throttle holds a writer while there is more staged than is good: a moment above nine tenths of the limit, and above the limit until
// something was uploaded. It fails with NoSpace if nothing is for as long as [Options].Deadline.
func (d *Drive) throttle(ctx context.Context) error {
	limit := d.opts.DirtyLimit
	switch staged := d.staging.size.Load(); {
	case staged < limit/10*9:
		return nil
	case staged < limit:
		return pause(ctx, 10*time.Millisecond)
	}
	ctx, cancel := context.WithTimeout(ctx, d.opts.Deadline)
	defer cancel()
	for d.staging.size.Load() >= limit {
		changed := d.progress.next()
		if d.hurry(func(f *file) bool { return f.writers > 0 && f.byDrive }) == 0 && !d.staging.dying() {
			return nil // no upload would take anything off the disk
		}
		if err := d.await(ctx, changed); err != nil {
			return &fs.Error{Op: "write", Kind: fs.NoSpace, Err: err,
				Hint: "what was written waits for the store, which does not take it: see the drive's status"}
		}
	}
	return nil
}

func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// hurry has everything that is pending brought up to date without delay. It returns how many keys there are, without those of files
// that are being made and of which nothing was committed, and without those that spare names: who writes a large file in one go must
// not wait until the store has what there is of it.
func (d *Drive) hurry(spare func(*file) bool) (left int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for k, p := range d.pending {
		if f, ok := d.at(k).(*file); ok && (f.writers > 0 && f.m.get().content == nil || spare(f)) {
			continue
		}
		left++
		if p.due.After(now) && p.tries == 0 {
			p.due = now
			d.queue.look(k)
		}
	}
	d.queue.kick()
	return left
}
