package fetch

import (
	"context"
	"slices"
	"sync"
	"time"
)

// class is how urgent a request is.
type class uint8

const (
	foreground class = iota // somebody waits for it
	background
)

// How the number of requests follows what the store bears.
const (
	throttleFactor = 0.7         // by which the limit falls, once in throttlePause
	throttlePause  = time.Second // between two falls
	growPause      = time.Second // between two steps upwards, of one request each
)

// slots are the right to have a request under way. Requests that somebody waits for go first, in order, and have slots that others cannot take.
type slots struct {
	max [2]int // by class

	mu      sync.Mutex // guards what follows
	running [2]int
	queue   [2][]*ticket
	limit   float64 // of all requests together, moved by the store's complaints
	changed time.Time
}

// ticket is one place in the queue, or one slot.
type ticket struct {
	class class
	ready chan struct{} // closed when it is a slot
}

func newSlots(fg, bg int) *slots {
	return &slots{max: [2]int{fg, bg}, limit: float64(fg + bg)}
}

func newTicket(c class) *ticket { return &ticket{class: c, ready: make(chan struct{})} }

// acquire waits for a slot. The ticket is used once.
func (s *slots) acquire(ctx context.Context, t *ticket) error {
	s.mu.Lock()
	s.queue[t.class] = append(s.queue[t.class], t)
	s.admit()
	s.mu.Unlock()
	select {
	case <-t.ready:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.queue[t.class], t); i >= 0 {
		s.queue[t.class] = slices.Delete(s.queue[t.class], i, i+1)
		s.admit()
		return ctx.Err()
	}
	s.free(t) // it became a slot meanwhile
	return ctx.Err()
}

// release gives a slot back.
func (s *slots) release(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.free(t)
}

// free is release. The caller holds mu.
func (s *slots) free(t *ticket) {
	s.running[t.class]--
	s.admit()
}

// contended reports whether somebody waits for a slot.
func (s *slots) contended() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.queue[foreground])+len(s.queue[background]) > 0
}

// promote makes a ticket that is no slot yet one that somebody waits for.
func (s *slots) promote(t *ticket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-t.ready:
		return
	default:
	}
	t.class = foreground
	if i := slices.Index(s.queue[background], t); i >= 0 {
		s.queue[background] = slices.Delete(s.queue[background], i, i+1)
		s.queue[foreground] = append(s.queue[foreground], t)
		s.admit()
	}
}

// admit turns tickets into slots while it may. The caller holds mu.
func (s *slots) admit() {
	for s.grant(foreground) {
	}
	for s.grant(background) {
	}
}

// grant turns the first ticket of a class into a slot. The caller holds mu.
func (s *slots) grant(c class) bool {
	total := s.running[foreground] + s.running[background]
	limit := int(s.limit)
	if c == background {
		if len(s.queue[foreground]) > 0 {
			return false
		}
		if limit > 1 {
			limit-- // one stays for who comes next
		}
	}
	if len(s.queue[c]) == 0 || s.running[c] >= s.max[c] || total >= limit {
		return false
	}
	t := s.queue[c][0]
	s.queue[c] = s.queue[c][1:]
	s.running[c]++
	close(t.ready)
	return true
}

// throttled notes that the store asked to slow down.
func (s *slots) throttled() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); now.Sub(s.changed) >= throttlePause {
		s.changed = now
		s.limit = max(s.limit*throttleFactor, 1)
	}
}

// served notes that the store gave what it was asked for.
func (s *slots) served() {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := float64(s.max[foreground] + s.max[background])
	if now := time.Now(); s.limit < most && now.Sub(s.changed) >= growPause {
		s.changed = now
		s.limit = min(s.limit+1, most)
		s.admit()
	}
}
