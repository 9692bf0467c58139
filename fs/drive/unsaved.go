package drive

import (
	"context"
	"time"
)

// unsaved is what was written to an open file since its last commit. All is guarded by Drive.mu.
type unsaved struct {
	first, last time.Time // when it was
	busy        bool      // it is being committed
	retry       time.Time // when a commit that failed is tried again
}

// due returns when it is committed though nobody has asked for it.
func (u *unsaved) due() time.Time {
	at := u.last.Add(idleAfter)
	if limit := u.first.Add(ageMax); limit.Before(at) {
		at = limit
	}
	if u.retry.After(at) {
		at = u.retry
	}
	return at
}

// noteUnsaved notes that something was written. The caller holds Drive.mu.
func (d *Drive) noteUnsaved(c *contents) {
	if !c.f.named() {
		return // it goes with its last handle
	}
	u := d.unsaved[c]
	if u == nil {
		u = &unsaved{first: time.Now()}
		if len(d.unsaved) == 0 {
			d.queue.kick() // else the loop looks again before this is due
		}
		d.unsaved[c] = u
	}
	u.last = time.Now()
}

// saveOpen commits what was written to files that are held open: after idleAfter without a write, or ageMax after the first. It
// returns how long until the next is due.
func (d *Drive) saveOpen() (wait time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for c, u := range d.unsaved {
		at := u.due()
		switch {
		case u.busy:
		case !c.f.named():
			delete(d.unsaved, c)
		case at.After(now):
			if left := at.Sub(now); !ok || left < wait {
				wait, ok = left, true
			}
		default:
			u.busy = true
			c.f.acquire(false) // so that its layers stay
			d.queue.work.Go(func() { d.save(c) })
		}
	}
	return wait, ok
}

// save commits what was written to a file that is held open, and ends the use of it that saveOpen has begun.
func (d *Drive) save(c *contents) {
	err := c.save(d.ctx, true)
	if err != nil {
		d.log.Warn("what was written to an open file could not be committed", "path", c.f.where(), "error", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.unsaved[c]; u != nil {
		if u.busy = false; err != nil {
			u.retry = time.Now().Add(idleAfter)
		}
	}
	c.f.release(false)
	d.queue.kick()
}

// commit makes what was written the file's state: it survives a crash of the daemon from now on.
func (c *contents) commit(ctx context.Context) error { return c.save(ctx, false) }
