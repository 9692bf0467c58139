package drive

import (
	"container/heap"
	"sync"
	"time"
)

// queue hands keys that are due to workers. What it does for a change takes no longer for there being more keys.
type queue struct {
	wake chan struct{} // holds one element when there may be something to do
	end  chan struct{} // closed when the loop has ended
	work sync.WaitGroup

	// Guarded by Drive.mu. A pending key is in fresh, in later, in ready, under a blocker, or has a worker.
	fresh   []keyed             // to be looked at: something has changed
	later   dueKeys             // that are not due yet
	ready   []keyed             // in the order in which they became so
	blocked map[blocker][]keyed // that must wait for others
	stuck   []keyed             // the same in the order in which they began to wait, and some that do not wait any more
	working map[keyed]bool      // keys that have a worker: it may outlive what was pending when it began, and there is never a second one
	busy    int                 // workers, with those of free
	looks   int                 // how often a key was looked at
}

func (q *queue) init() {
	q.wake, q.end = make(chan struct{}, 1), make(chan struct{})
	q.working, q.blocked = map[keyed]bool{}, map[blocker][]keyed{}
}

// blocker is what a key waits for; the zero value is nothing.
type blocker struct {
	why byte
	key string
}

// The kinds of blockers.
const (
	byBelow   byte = 1 + iota // keys below it are pending
	byOrigin                  // what was moved from there is not known yet
	byNeed                    // nodes elsewhere need what the store has there
	byPending                 // the key itself is pending, as a file or a directory
)

// dueKey says when a key is due.
type dueKey struct {
	keyed
	due time.Time
}

// dueKeys is a heap, the first due at the top. Of a key only the entry counts that its pending names.
type dueKeys []dueKey

func (h dueKeys) Len() int           { return len(h) }
func (h dueKeys) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h dueKeys) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *dueKeys) Push(x any)        { *h = append(*h, x.(dueKey)) }
func (h *dueKeys) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = dueKey{}
	*h = (*h)[:last]
	return x
}

// kick has the loop look again.
func (q *queue) kick() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// look has a key looked at when the loop looks next. The caller holds Drive.mu.
func (q *queue) look(k keyed) { q.fresh = append(q.fresh, k) }

// unblock has the keys looked at that wait for b. The caller holds Drive.mu.
func (q *queue) unblock(b blocker) {
	if keys, ok := q.blocked[b]; ok {
		q.fresh = append(q.fresh, keys...)
		delete(q.blocked, b)
	}
}

// sort finds out what is due. The caller holds mu.
func (d *Drive) sort(now time.Time) {
	q := &d.queue
	for len(q.later) > 0 && !q.later[0].due.After(now) {
		x := heap.Pop(&q.later).(dueKey)
		if p := d.pending[x.keyed]; p != nil && p.queued.Equal(x.due) {
			p.queued = time.Time{}
			q.look(x.keyed)
		}
	}
	fresh := q.fresh
	q.fresh = nil
	for _, k := range fresh {
		d.place(k, now)
	}
}

// place puts a key where it belongs. The caller holds mu.
func (d *Drive) place(k keyed, now time.Time) {
	q := &d.queue
	q.looks++
	p := d.pending[k]
	if p == nil || q.working[k] || p.ready {
		return // a worker that ends looks again
	}
	if p.due.After(now) {
		if !p.queued.Equal(p.due) {
			p.queued = p.due
			heap.Push(&q.later, dueKey{k, p.due})
		}
		return
	}
	b := d.blocker(p)
	switch {
	case b == blocker{}:
		p.ready = true
		q.ready = append(q.ready, k)
	default:
		if keys := q.blocked[b]; len(keys) == 0 || keys[len(keys)-1] != k {
			q.blocked[b] = append(keys, k)
		}
		if p.stuck == (blocker{}) {
			q.stuck = append(q.stuck, k)
		}
	}
	p.stuck = b
}

// nextReady returns a key to begin with, nil if there is none. The caller holds mu.
func (d *Drive) nextReady(now time.Time) *pending {
	q := &d.queue
	for len(q.ready) > 0 {
		k := q.ready[0]
		q.ready = q.ready[1:]
		p := d.pending[k]
		if p == nil || !p.ready {
			continue
		}
		p.ready = false
		if !q.working[k] && !p.due.After(now) && d.blocker(p) == (blocker{}) {
			return p
		}
		d.place(k, now)
	}
	return nil
}

// untilNext returns how long it is until the next key is due. The caller holds Drive.mu.
func (q *queue) untilNext(now time.Time) (time.Duration, bool) {
	if len(q.later) == 0 {
		return 0, false
	}
	return max(q.later[0].due.Sub(now), 0), true
}
