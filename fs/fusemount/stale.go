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

// refusals remembers the threads whose last path operation was answered ESTALE. The kernel repeats a call once only, so a second
// ESTALE would surface in the program: what such a thread looks up is kept open until its operation is done.
type refusals struct {
	some atomic.Bool // whether last may hold anything
	mu   sync.Mutex  // guards last
	last map[uint32]*refusal
}

type refusal struct {
	timer *time.Timer // forgets a thread that does not come back
	pin   fs.Handle   // of what the thread has looked up since; may be nil
	asked bool        // the thread has come back, and asked for the attributes
}

// part is which part of a system call by path a request is.
type part uint8

const (
	partFinal      part = iota // what the call is about
	partAttributes             // all that stat(2) is about; before it executes or opens a file, the kernel may ask for them too
	partLink                   // a symbolic link
)

// refuse reports whether the thread may be answered ESTALE, and remembers that it was. If not, and there is nothing more to come of the
// call, it forgets the thread and returns what was kept open for it.
func (r *refusals) refuse(ctx context.Context, tid uint32, p part) (bool, *refusal) {
	if tid == 0 {
		return false, nil
	}
	if r.comesBack(tid, p) {
		return false, nil
	}
	before := r.take(tid)
	if before != nil && p == partFinal {
		return false, before
	}
	before.release(ctx) // it was of another call
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[uint32]*refusal{}
	}
	r.last[tid] = &refusal{timer: time.AfterFunc(rememberRefusal, func() { r.take(tid).release(context.Background()) })}
	r.some.Store(true)
	return true, nil
}

// comesBack reports whether the thread was answered ESTALE, and what the call is about is still to come.
func (r *refusals) comesBack(tid uint32, p part) bool {
	if !r.some.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.last[tid]
	if x == nil || p == partFinal || p == partAttributes && x.asked {
		return false
	}
	x.asked = x.asked || p == partAttributes
	return true
}

// begin forgets a thread that has done what it was refused, and begins another call.
func (r *refusals) begin(ctx context.Context, tid uint32) {
	if !r.some.Load() {
		return
	}
	r.mu.Lock()
	x := r.last[tid]
	asked := x != nil && x.asked
	r.mu.Unlock()
	if asked {
		r.take(tid).release(ctx)
	}
}

// refused reports whether the thread was answered ESTALE.
func (r *refusals) refused(tid uint32) bool {
	if !r.some.Load() {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last[tid] != nil
}

// keep keeps h open until the thread's next path operation is done.
func (r *refusals) keep(ctx context.Context, tid uint32, h fs.Handle) {
	r.mu.Lock()
	x := r.last[tid]
	if x != nil {
		x.pin, h = h, x.pin
	}
	r.mu.Unlock()
	(&refusal{pin: h}).release(ctx)
}

// take forgets a thread and returns what is known of it, nil if nothing is.
func (r *refusals) take(tid uint32) *refusal {
	if !r.some.Load() {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	x := r.last[tid]
	delete(r.last, tid)
	r.some.Store(len(r.last) > 0)
	return x
}

// close forgets all.
func (r *refusals) close(ctx context.Context) {
	r.mu.Lock()
	all := r.last
	r.last = nil
	r.mu.Unlock()
	for _, x := range all {
		x.release(ctx)
	}
}

// release lets go of what was kept open.
func (x *refusal) release(ctx context.Context) {
	if x == nil {
		return
	}
	if x.timer != nil {
		x.timer.Stop()
	}
	if x.pin != nil {
		_ = x.pin.Release(ctx) // nothing was written through it
	}
}

// stale reports whether an operation that reached the node by a path, without a handle, is to be answered ESTALE.
func (n *node) stale(c *call) bool {
	if !n.old() || n.detached.Load() && !c.led {
		return false
	}
	if !n.retired.Load() && n.linked(c.ctx) {
		return false // its other names would fail for good
	}
	n.m.notifier.detach(n)
	return c.refuse()
}

// settle waits until what is unsaved of a live document is saved. It reports whether the request is to be answered ESTALE, because
// that has made a new node: the kernel may have let go of this one meanwhile, but the caller has asked for the name.
func (n *node) settle(c *call) bool {
	before := n.old()
	c.nodes.Settle(c.ctx, n.fs)
	return n.old() && (c.led || !before) && c.refuse()
}

// refuse reports whether the request may be answered ESTALE.
func (c *call) refuse() bool {
	if c.again {
		return false
	}
	ok, kept := c.m.refusals.refuse(c.ctx, c.who.TID, c.part)
	if !ok {
		c.again, c.kept = true, kept
	}
	return ok
}

// done ends a path operation that went well, or was not to be refused.
func (c *call) done() {
	c.kept.release(c.ctx)
	if c.part == partFinal || !c.again && !c.m.refusals.comesBack(c.who.TID, c.part) {
		c.m.refusals.take(c.who.TID).release(c.ctx)
	}
}

// linked reports whether a node has a name left.
func (n *node) linked(ctx context.Context) bool {
	a, err := n.fs.Attr(ctx)
	return err == nil && a.Nlink > 0
}

// byPath does what a call by path asks for, unless it is to be answered ESTALE. A drive says so too, of a file that it cannot reach
// any more.
func (n *node) byPath(c *call, op string, do func() error) syscall.Errno {
	if n.stale(c) {
		return syscall.ESTALE
	}
	return n.reached(c, op, do)
}

// onEither is byPath for what is the same for a node and the one that has taken its place. A program that has the file open asks so too.
func (n *node) onEither(c *call, op string, do func() error) syscall.Errno {
	if n.retired.Load() && !n.fs.Superseded() {
		n.m.notifier.detach(n)
		return n.reached(c, op, do)
	}
	return n.byPath(c, op, do)
}

// reached does the work of byPath.
func (n *node) reached(c *call, op string, do func() error) syscall.Errno {
	err := do()
	if err != nil && fs.KindOf(err) == fs.Stale && c.refuse() {
		return syscall.ESTALE
	}
	if c.again || err == nil && n.dir == nil {
		c.done()
	}
	return n.errno(op, err)
}

// hold keeps f, which the request has looked up, open for a thread that was answered ESTALE. It reports whether f can be reached.
func (c *call) hold(f fs.Node, a fs.Attr) bool {
	if a.Type() != fs.File || !c.m.refusals.refused(c.who.TID) {
		return true
	}
	h, err := c.nodes.Open(c.ctx, f, fs.OpenRead)
	if err != nil {
		return fs.KindOf(err) != fs.Stale
	}
	c.m.refusals.keep(c.ctx, c.who.TID, h)
	return true
}

// byName does what a call asks for that names a child of a directory. A drive says Stale when the name is given to another file in
// that moment: the name is what counts, so it is done again.
func byName(do func() error) error {
	for try := 1; ; try++ {
		err := do()
		if err == nil || try == maxLookups || fs.KindOf(err) != fs.Stale {
			return err
		}
	}
}
