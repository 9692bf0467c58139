package fusemount

import (
	"sync"
	"sync/atomic"
	"time"
)

const (
	// rememberWalk is how long after a LOOKUP the operation may come for which it was made.
	rememberWalk = 5 * time.Second
	// maxWalks is how many threads are remembered.
	maxWalks = 4096
)

// walks remembers the live document that a thread's last LOOKUP has led to. The operation that follows was asked for by path: it must
// meet the saved text, even if the LOOKUP itself has made the node an old one. Nothing else tells stat(2) from fstat(2), nor a path
// from a descriptor. Names of live documents are not cached, so there is a LOOKUP each time.
type walks struct {
	some atomic.Bool // whether last holds anything
	mu   sync.Mutex  // guards last
	last map[uint32]walk
}

type walk struct {
	n     *node
	at    time.Time
	asked bool // for the attributes, which the kernel may want before it opens a file
}

// note remembers that the thread has looked up n.
func (w *walks) note(tid uint32, n *node) {
	if tid == 0 {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.last == nil || len(w.last) >= maxWalks {
		w.last = map[uint32]walk{}
	}
	w.last[tid] = walk{n: n, at: time.Now()}
	w.some.Store(true)
}

// led reports whether the thread has come to n by a path. That holds for one operation, and before it for one that asks for the
// attributes.
func (w *walks) led(tid uint32, n *node, attributes bool) bool {
	if !w.some.Load() {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	x, ok := w.last[tid]
	if !ok || x.n != n || attributes && x.asked {
		return false
	}
	if attributes {
		x.asked = true
		w.last[tid] = x
	} else {
		delete(w.last, tid)
		w.some.Store(len(w.last) > 0)
	}
	return time.Since(x.at) < rememberWalk
}
