package fusemount

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// rememberRefusal is how long a thread that was answered ESTALE is expected to come back.
const rememberRefusal = 10 * time.Second

// maxRefusals is how many such threads are kept before old ones are looked for.
const maxRefusals = 1024

// refusals remembers the threads whose last path operation was answered ESTALE: the kernel repeats a call once only, so a second
// ESTALE would surface in the program.
type refusals struct {
	some atomic.Bool // whether last may hold anything
	mu   sync.Mutex  // guards last
	last map[uint32]time.Time
}

// refuse reports whether the thread may be answered ESTALE, and remembers that it was.
func (r *refusals) refuse(tid uint32) bool {
	if tid == 0 {
		return false
	}
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if at, ok := r.last[tid]; ok && now.Sub(at) < rememberRefusal {
		delete(r.last, tid)
		return false
	}
	if len(r.last) >= maxRefusals {
		r.prune(now)
	}
	if r.last == nil {
		r.last = map[uint32]time.Time{}
	}
	r.last[tid] = now
	r.some.Store(true)
	return true
}

// prune forgets the threads that did not come back. The caller holds mu.
func (r *refusals) prune(now time.Time) {
	for tid, at := range r.last {
		if now.Sub(at) >= rememberRefusal {
			delete(r.last, tid)
		}
	}
}

// clear forgets a thread whose path operation went well.
func (r *refusals) clear(tid uint32) {
	if !r.some.Load() {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.last, tid)
	r.some.Store(len(r.last) > 0)
}

// stale reports whether an operation that reached the node by a path, without a handle, is to be answered ESTALE.
func (n *node) stale(c *call) bool {
	if !n.fs.Superseded() || n.detached.Load() {
		return false
	}
	if n.linked(c.ctx) {
		return false // its other names would fail for good
	}
	n.m.notifier.detach(n)
	return c.refuse()
}

// refuse reports whether the request may be answered ESTALE.
func (c *call) refuse() bool {
	if !c.again {
		c.again = !c.m.refusals.refuse(c.who.TID)
	}
	return !c.again
}

// linked reports whether a node has a name left.
func (n *node) linked(ctx context.Context) bool {
	a, err := n.fs.Attr(ctx)
	return err == nil && a.Nlink > 0
}

// byPath does what a call by path asks for. When the thread was refused before, a superseded node serves it; what the drive
// cannot reach any more is then done to the node that has the name now, which is what the caller named.
func (n *node) byPath(c *call, op string, do func(fs.Node) error) syscall.Errno {
	if n.stale(c) {
		return syscall.ESTALE
	}
	err := do(n.fs)
	if err != nil && fs.KindOf(err) == fs.Stale {
		if c.refuse() {
			return syscall.ESTALE
		}
		if now := n.current(c); now != nil {
			err = do(now)
		}
	}
	if err == nil && n.dir == nil {
		n.m.refusals.clear(c.who.TID)
	}
	return n.errno(op, err)
}

// current returns the node that has the name that n had, nil if none has.
func (n *node) current(c *call) fs.Node {
	p, _ := c.nodes.Path(n.fs)
	in := n.m.notifier.find(p.Dir())
	if in == nil {
		return nil
	}
	dir, ok := in.Operations().(*node)
	if !ok || dir.dir == nil {
		return nil
	}
	now, err := c.nodes.Lookup(c.ctx, dir.dir, p.Base())
	if err != nil || now == n.fs {
		return nil // what the old node has said holds
	}
	return now
}
