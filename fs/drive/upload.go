package drive

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// How long a key waits after failures.
const (
	retryFirst = 100 * time.Millisecond
	retryLast  = 30 * time.Second
	retryWrong = time.Minute // where only somebody's help helps
)

// upload is the loop that brings the store up to date.
func (d *Drive) upload(ctx context.Context) {
	defer close(d.queue.end)
	timer := time.NewTimer(settleAfter) // Open has kicked for the first look
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			d.queue.work.Wait()
			return
		case <-d.queue.wake:
		case <-timer.C:
		}
		d.sweep(ctx)
		if err := d.checkpoint(false); err != nil {
			d.log.Warn("cannot make the journal short", "error", err)
		}
		wait, ok := d.dispatch(ctx)
		if d.reach.beginProbe() {
			d.queue.work.Go(func() { d.probe(ctx) })
		}
		if left, is := d.saveOpen(); is && (!ok || left < wait) {
			wait, ok = left, true
		}
		if ok {
			timer.Reset(wait)
		}
	}
}

// sweep removes the layers that nobody uses, once the journal does not need them any more.
func (d *Drive) sweep(ctx context.Context) {
	graves := d.staging.take()
	defer d.staging.dug()
	if len(graves) == 0 {
		return
	}
	if err := d.journal.Sync(context.WithoutCancel(ctx)); err != nil {
		d.log.Error("cannot make the journal durable", "error", err)
		return // the files stay until the next start
	}
	for _, l := range graves {
		d.hook("staging:remove")
		if err := d.staging.remove(l); err != nil {
			d.log.Warn("cannot remove a staging file", "error", err)
		}
	}
	d.progress.changed()
}

// dispatch starts workers for keys that are due. It returns how long until the next one is.
func (d *Drive) dispatch(ctx context.Context) (wait time.Duration, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	most := d.opts.Uploads
	if d.isOffline() {
		most = 1 // the others would wait for nothing, and be late when it is back
	}
	d.sort(now)
	for d.queue.busy < most {
		p := d.nextReady(now)
		if p == nil {
			break
		}
		d.begin(ctx, p)
	}
	if d.queue.busy == 0 && len(d.queue.stuck) > 0 {
		d.unblockStuck(now, most)
	}
	return d.queue.untilNext(now)
}

// begin starts a worker. The caller holds mu.
func (d *Drive) begin(ctx context.Context, p *pending) {
	p.again = false
	k := p.keyed()
	d.queue.working[k] = true
	d.queue.busy++
	d.queue.work.Go(func() {
		err := d.reconcile(ctx, k)
		d.mu.Lock()
		d.queue.busy--
		d.finish(k, err)
		d.mu.Unlock()
		d.queue.kick()
		d.progress.changed()
	})
}

// finish notes how a worker has ended. The caller holds mu.
func (d *Drive) finish(k keyed, err error) {
	delete(d.queue.working, k)
	d.queue.look(k)
	p := d.pending[k]
	if p == nil {
		return
	}
	switch {
	case err == nil:
		p.tries, p.err = 0, nil
		return
	case d.ctx.Err() != nil:
		return
	}
	if p.tries++; p.tries == patientTries+1 {
		d.queue.unblock(blocker{byPending, k.key})
	}
	p.err, p.failed = err, time.Now()
	p.saved = time.Time{}
	p.due = p.failed.Add(backoff(p.tries, err))
	if p.tries == 3 || p.tries > 3 && p.tries%20 == 0 {
		d.log.Warn("the store cannot be brought up to date", "key", k.key, "tries", p.tries, "error", err)
	}
}

// backoff returns how long to wait after the given number of failures.
func backoff(tries int, err error) time.Duration {
	if after := fs.RetryAfter(err); after > 0 {
		return after
	}
	wait := min(retryFirst<<min(tries-1, 16), retryLast)
	switch fs.KindOf(err) {
	case fs.Permission, fs.NotPermitted, fs.ReadOnly, fs.Quota, fs.TooLarge, fs.Name, fs.NameTooLong, fs.Unsupported, fs.Invalid:
		if tries > 2 {
			wait = retryWrong
		}
	case fs.NotEmpty, fs.Busy:
		wait = min(wait, time.Second)
	}
	return wait/2 + rand.N(wait/2+1)
}

// dueIn has a node's key, which was saved, brought up to date no later than after wait. The caller holds mu.
func (d *Drive) dueIn(n inode, wait time.Duration) {
	if !n.meta().named() {
		return
	}
	p := d.pending[keyOf(n)]
	if p == nil || p.tries > 0 {
		return
	}
	before := p.due
	if p.wait(wait); p.due.After(before) {
		p.due = before
	}
	d.queue.look(p.keyed())
	d.queue.kick()
}

// blocker returns what a key must wait for, the zero value if for nothing. Whoever changes that wakes the key. The caller holds mu.
func (d *Drive) blocker(p *pending) blocker {
	n := d.at(p.keyed())
	if n == nil && p.dir && d.below[p.key] > 0 {
		return blocker{byBelow, p.key} // as long as there are keys below it the store shows it
	}
	if from, moving := d.movingFrom(p.key); moving && !(n != nil && p.dir && n.(*dir).m.get().moved) {
		return blocker{byOrigin, from}
	}
	if !p.dir && p.have != "" && d.isNeeded(p, n) {
		return blocker{byNeed, p.key}
	}
	if n == nil && d.awaitsHeir(p) {
		return blocker{byPending, p.to}
	}
	if key, is := d.inPlaceOf(p.keyed()); is && n != nil {
		return blocker{byPending, key} // a file cannot be made where a directory is to go, nor the reverse
	}
	if d.awaitsParent(p, n) {
		above, _ := split(p.key)
		return blocker{byPending, above}
	}
	return blocker{}
}

// inPlaceOf returns the key, which may be above k, under which the store has, or may have, a directory where k is to be a file, or the
// reverse. The caller holds mu.
func (d *Drive) inPlaceOf(k keyed) (key string, is bool) {
	if twin := d.pending[keyed{k.key, !k.dir}]; twin != nil && (twin.mayBeThere() || twin.dir && d.below[k.key] > 0) {
		return k.key, true
	}
	for above, _ := split(k.key); above != ""; above, _ = split(above) {
		if p := d.pending[keyed{above, false}]; p != nil && p.mayBeThere() {
			return above, true
		}
	}
	return "", false
}

// awaitsParent reports whether the directory of a key is to be made first. The caller holds mu.
func (d *Drive) awaitsParent(p *pending, n inode) bool {
	if n == nil {
		return p.have != "" && !p.dir && d.wouldVanish(p.key)
	}
	return d.backend.Caps().RealDirs && d.parentPending(p.key)
}

// isNeeded reports whether other nodes than n need the bytes that are to be overwritten or removed. The caller holds mu.
func (d *Drive) isNeeded(p *pending, n inode) bool {
	for other := range d.displaced[p.key] {
		if other.meta().m.at.version == p.have && other != n {
			return true
		}
	}
	return false
}

// wouldVanish reports whether the directory of a key exists only as a prefix of keys, and its marker is to be made first.
func (d *Drive) wouldVanish(key string) bool {
	dir, _ := split(key)
	n := d.at(keyed{dir, true})
	return n != nil && dir != "" && n.meta().m.at.version == "" && d.pending[keyed{dir, true}] != nil
}

func (d *Drive) parentPending(key string) bool {
	dir, _ := split(key)
	p := d.pending[keyed{dir, true}]
	return dir != "" && p != nil && p.have == ""
}

// at returns the node that is to have a key, nil if none is. The caller holds mu.
func (d *Drive) at(k keyed) inode {
	n := d.lookup(k.key)
	if n == nil || (n.kind() == kindDir) != k.dir {
		return nil
	}
	return n
}

// lookup returns the node at a path as far as it is known. The caller holds mu.
func (d *Drive) lookup(path string) inode {
	x := d.root
	for path != "" {
		var name string
		name, path = cut(path)
		n, ok := x.children[name]
		if !ok || path == "" {
			return n
		}
		if x, ok = n.(*dir); !ok {
			return nil
		}
	}
	return x
}
