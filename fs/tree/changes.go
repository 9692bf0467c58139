package tree

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// feed passes changes on to observers and subscriptions.
type feed struct {
	mu        sync.Mutex     // guards all below; held while observers are told, so that they hear in order
	observers []*fs.Observer // pointers tell apart what cannot be compared
	subs      map[*Subscription]bool
	closed    bool
}

// Observe registers an observer for all changes to come.
func (t *Tree) Observe(o fs.Observer) (stop func()) {
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	t.feed.observers = append(t.feed.observers, &o)
	return func() {
		t.feed.mu.Lock()
		defer t.feed.mu.Unlock()
		t.feed.observers = slices.DeleteFunc(t.feed.observers, func(x *fs.Observer) bool { return x == &o })
	}
}

// publish is the sink of a drive's changes.
func (t *Tree) publish(m *mounted, c fs.Change) {
	c.Path = t.join(m, string(c.Path))
	if c.Op == fs.OpRename {
		c.OldPath = t.join(m, string(c.OldPath))
	}
	t.live.changed(c)
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	t.feed.tell(m, c)
	for s := range t.feed.subs {
		s.offer(c)
	}
}

// announce tells that a drive has come or gone, unless it is the root, which is always there.
func (t *Tree) announce(m *mounted, op fs.Op) {
	if t.opts.Root != "" {
		return
	}
	c := fs.Change{Op: op, Drive: m.drive.ID(), Path: fs.Path(m.name), Type: fs.Directory, Time: time.Now()}
	if op == fs.OpCreate {
		c.Node = m.drive.Root()
	} else {
		c.Old = m.drive.Root()
	}
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	t.feed.tell(m, c)
	for s := range t.feed.subs {
		s.offer(c)
	}
}

// tell tells only the observers: of something that is no change of the drive.
func (t *Tree) tell(m *mounted, c fs.Change) {
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	t.feed.tell(m, c)
}

// tell is Tree.tell with mu held.
func (f *feed) tell(m *mounted, c fs.Change) {
	for _, o := range f.observers {
		if done := (*o).Observe(c); done != nil {
			m.acks.add(done)
		}
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for s := range f.subs {
		close(s.c)
	}
	f.subs = nil
}

// acks holds what observers have not finished yet, of one drive.
type acks struct {
	mu   sync.Mutex // guards open
	open []<-chan struct{}
}

func (a *acks) add(done <-chan struct{}) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open = append(a.pending(), done)
}

// pending returns the channels that are not closed. The caller holds mu.
func (a *acks) pending() []<-chan struct{} {
	return slices.DeleteFunc(a.open, func(c <-chan struct{}) bool {
		select {
		case <-c:
			return true
		default:
			return false
		}
	})
}

// seen waits until the observers have acted upon all changes so far, at most ObserverWait. Callers inside a mount operation do
// not wait: the kernel could not answer before they return.
func (t *Tree) seen(ctx context.Context, m *mounted) {
	if fs.CauseOf(ctx).Origin == fs.OriginMount || ctx.Value(insideMount{}) != nil {
		return
	}
	m.acks.mu.Lock()
	m.acks.open = m.acks.pending()
	open := slices.Clone(m.acks.open)
	m.acks.mu.Unlock()
	if len(open) == 0 {
		return
	}
	late := time.NewTimer(ObserverWait)
	defer late.Stop()
	for _, c := range open {
		select {
		case <-c:
		case <-late.C:
			return
		}
	}
}

// Subscription delivers changes in order. When its buffer is full, what follows is lost, and one change with OpLost stands for it.
type Subscription struct {
	t    *Tree
	c    chan fs.Change
	see  func(fs.Change) (fs.Change, bool)
	lost bool // OpLost is the last that was queued; guarded by feed.mu
}

// Subscribe returns the changes from now on for which see, which must not block, returns true, as it returns them; a nil see takes
// all. buffer is how many may wait, at least 1. Close the subscription when done.
func (t *Tree) Subscribe(buffer int, see func(fs.Change) (fs.Change, bool)) *Subscription {
	s := &Subscription{t: t, c: make(chan fs.Change, max(buffer, 1)+1), see: see}
	t.feed.mu.Lock()
	defer t.feed.mu.Unlock()
	if t.feed.closed {
		close(s.c)
		return s
	}
	if t.feed.subs == nil {
		t.feed.subs = map[*Subscription]bool{}
	}
	t.feed.subs[s] = true
	return s
}

// C returns the channel of changes. It is closed when the tree or the subscription is.
func (s *Subscription) C() <-chan fs.Change { return s.c }

// Close ends the subscription. It may be called more than once.
func (s *Subscription) Close() {
	s.t.feed.mu.Lock()
	defer s.t.feed.mu.Unlock()
	if s.t.feed.subs[s] {
		delete(s.t.feed.subs, s)
		close(s.c)
	}
}

// offer queues a change. The last place is for OpLost, so that it waits there at once and not only with the next change: whoever reads
// it reads everything again after what was lost. The caller holds feed.mu, so nobody else sends: a free place stays free.
func (s *Subscription) offer(c fs.Change) {
	if s.see != nil {
		var ok bool
		if c, ok = s.see(c); !ok {
			return
		}
	}
	if len(s.c) < cap(s.c)-1 {
		s.c <- c
		s.lost = false
		return
	}
	if !s.lost && len(s.c) < cap(s.c) {
		s.c <- fs.Change{Op: fs.OpLost, Seq: c.Seq, Epoch: c.Epoch, Drive: c.Drive, Time: c.Time}
		s.lost = true
	}
}
