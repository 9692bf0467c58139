package tree

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	// SettleWait is how long an operation on a live document waits for unsaved changes to be saved.
	SettleWait = 2 * time.Second
	// RemoveWait is how long a live document whose name is gone waits for a new file of that name: many programs save so.
	RemoveWait = time.Minute
	// QuietWait is how long bytes that are no document wait for better ones before they become a conflict copy.
	QuietWait = 2 * time.Second
)

// live is what the tree does with files that are edited live: it asks fs.Live to save and to merge, and keeps what programs write
// apart until then.
type live struct {
	t       *Tree
	staging stagingDir
	reads   reads
	ctx     context.Context // ends with the tree
	cancel  context.CancelFunc
	work    sync.WaitGroup // goroutines and armed timers
	count   atomic.Int32   // of attached documents

	mu      sync.Mutex // guards all below
	docs    map[fs.FileID]*doc
	nodes   map[uint64]fs.FileID // by inode number: the nodes that documents have now
	unmet   int                  // documents whose node is not known
	gone    map[fs.Path]*departure
	open    map[uint64]*opened // by inode number
	refused map[refusalKey]*refusal
	queue   []func(context.Context) // done one after the other by one goroutine
	working bool
	closed  bool
}

// doc is a document that is edited live. It is guarded by live.mu.
type doc struct {
	attached int
	drive    fs.DriveID
	ino      uint64        // of its node; 0 = not known
	flushing chan struct{} // closed when the flush under way has ended; nil = none
	next     chan struct{} // closed when the one after it has ended; nil = nobody waits for that
	path     fs.Path
	version  fs.Version // the last that was published
	seq      uint64     // of that change
	away     *departure // nil = the name is there
}

func (l *live) init(t *Tree) error {
	l.t = t
	l.docs = map[fs.FileID]*doc{}
	l.nodes = map[uint64]fs.FileID{}
	l.gone = map[fs.Path]*departure{}
	l.open = map[uint64]*opened{}
	l.refused = map[refusalKey]*refusal{}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	return l.staging.init(t.opts.StateDir)
}

// close writes conflict copies of what was refused and waits for all that is under way. The drives must be open still.
func (l *live) close() error {
	l.mu.Lock()
	l.closed = true
	for _, d := range l.gone {
		if d.timer.Stop() {
			l.work.Done()
		}
	}
	var late []*refusal
	for key, r := range l.refused {
		if r.timer.Stop() {
			l.work.Done()
			late = append(late, r)
		}
		delete(l.refused, key)
	}
	l.mu.Unlock()
	for _, r := range late {
		l.keepRefused(r)
	}
	l.cancel()
	l.work.Wait()
	return l.staging.close()
}

// Attach marks the file that n is now as live, whatever becomes of its node, until release is called. It returns when the mount
// keeps nothing of it any more.
func (t *Tree) Attach(ctx context.Context, n fs.Node) (release func(), err error) {
	id, err := n.FileID(ctx)
	if err != nil {
		return nil, err
	}
	a, err := n.Attr(ctx)
	if err != nil {
		return nil, err
	}
	if a.Type() != fs.File {
		return nil, &fs.Error{Op: "attach", Kind: fs.Invalid, Err: errors.New("only files are edited live")}
	}
	p, named := t.Path(n)
	d, isNew := t.live.attach(id, n, p, a.Version)
	if m, err := t.of(n); err == nil && isNew && named {
		t.tell(m, fs.Change{Drive: n.Drive(), FileID: id, Path: p, Op: fs.OpLive, Type: fs.File, Node: n,
			Cause: fs.Cause{Origin: fs.OriginRoom}, Time: time.Now()})
		t.seen(ctx, m)
	}
	return sync.OnceFunc(func() { t.live.detach(id, d) }), nil
}

// attach counts one more for whom the file is live, and reports whether it is the first.
func (l *live) attach(id fs.FileID, n fs.Node, p fs.Path, v fs.Version) (d *doc, isNew bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d = l.docs[id]; d == nil {
		d, isNew = &doc{drive: n.Drive(), path: p, version: v}, true
		l.docs[id] = d
		l.count.Add(1)
		l.unmet++
		l.met(id, d, n.Ino())
	}
	d.attached++
	return d, isNew
}

func (l *live) detach(id fs.FileID, d *doc) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if d.attached--; d.attached > 0 {
		return
	}
	if d.away != nil {
		l.forget(d.away)
	}
	l.met(id, d, 0)
	l.unmet--
	delete(l.docs, id)
	l.count.Add(-1)
}

// met notes which node a document has; 0 is none that is known. The caller holds mu.
func (l *live) met(id fs.FileID, d *doc, ino uint64) {
	switch {
	case d.ino == 0 && ino != 0:
		l.unmet--
	case d.ino != 0 && ino == 0:
		l.unmet++
	}
	delete(l.nodes, d.ino)
	if d.ino = ino; ino != 0 {
		l.nodes[ino] = id
	}
}

// IsLive reports whether a node is edited live.
func (t *Tree) IsLive(n fs.Node) bool {
	_, ok := t.live.id(n)
	return ok
}

// idle reports whether no document is edited live, so that nothing need be asked.
func (l *live) idle() bool { return l.count.Load() == 0 || l.t.opts.Live == nil }

// id returns the file id of a live node. Only where it may be an unknown or former node of a document the drive is asked, which
// might have to give the file an id.
func (l *live) id(n fs.Node) (fs.FileID, bool) {
	if l.idle() {
		return fs.FileID{}, false
	}
	l.mu.Lock()
	id, ok := l.nodes[n.Ino()]
	sure := ok || l.unmet == 0
	l.mu.Unlock()
	if sure && !n.Superseded() {
		return id, ok
	}
	if _, isDir := n.(fs.Dir); isDir {
		return fs.FileID{}, false
	}
	id, err := n.FileID(l.ctx)
	if err != nil {
		return id, false
	}
	current := !n.Superseded()
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.docs[id]
	if d != nil && current && d.ino == 0 {
		l.met(id, d, n.Ino())
	}
	return id, d != nil
}

// kick starts saving what is unsaved of a live node, and does not wait.
func (l *live) kick(n fs.Node) {
	if id, ok := l.id(n); ok {
		l.flush(id, false)
	}
}

// flush saves what is unsaved, once at a time, and returns a channel that is closed when that has ended. With fresh a save that is
// under way does not count: it may have begun before the last keystroke. Nothing is saved while the document's name is gone.
func (l *live) flush(id fs.FileID, fresh bool) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	d := l.docs[id]
	switch {
	case d == nil || d.away != nil || l.closed:
		nothing := make(chan struct{})
		close(nothing)
		return nothing
	case d.flushing == nil:
		d.flushing = make(chan struct{})
		l.work.Go(func() { l.flushAll(id, d) })
	case fresh:
		if d.next == nil {
			d.next = make(chan struct{})
		}
		return d.next
	}
	return d.flushing
}

// flushAll saves until nobody asks for a later save.
func (l *live) flushAll(id fs.FileID, d *doc) {
	for {
		if err := l.t.opts.Live.Flush(l.ctx, id); err != nil {
			l.t.log.Warn("a live document could not be saved", "file_id", id.String(), "err", err)
		}
		l.mu.Lock()
		close(d.flushing)
		d.flushing, d.next = d.next, nil
		more := d.flushing != nil
		l.mu.Unlock()
		if !more {
			return
		}
	}
}

// Settle waits until what is unsaved of a live node is saved, at most SettleWait. For any other node it returns at once.
// Afterwards the node may be superseded.
func (t *Tree) Settle(ctx context.Context, n fs.Node) {
	id, ok := t.live.id(n)
	if !ok {
		return
	}
	late := time.NewTimer(SettleWait)
	defer late.Stop()
	select {
	case <-t.live.flush(id, true):
	case <-late.C:
		t.log.Warn("a live document was not saved in time; its last saved version is used", "file_id", id.String())
	case <-ctx.Done():
	}
}

// Attr returns a node's attributes. To programs in the mount a live file that is being written looks as they have written it.
func (t *Tree) Attr(ctx context.Context, n fs.Node) (fs.Attr, error) {
	if fs.CauseOf(ctx).Origin == fs.OriginMount {
		if o := t.live.find(n); o != nil && o.stage.Load() != nil {
			return o.attr(ctx)
		}
	}
	return n.Attr(ctx)
}

// later has do called on the one goroutine that talks to fs.Live about changes.
func (l *live) later(do func(ctx context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.laterLocked(do)
}

func (l *live) laterLocked(do func(ctx context.Context)) {
	if l.closed {
		return
	}
	l.queue = append(l.queue, do)
	if l.working {
		return
	}
	l.working = true
	l.work.Go(func() {
		for do := l.next(); do != nil; do = l.next() {
			do(l.ctx)
		}
	})
}

func (l *live) next() func(context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.queue) == 0 {
		l.working = false
		return nil
	}
	do := l.queue[0]
	l.queue = l.queue[1:]
	return do
}

// changed is told of each change, by a drive that may hold locks: it takes note and leaves the rest for later.
func (l *live) changed(c fs.Change) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c.Old != nil {
		if o := l.open[c.Old.Ino()]; o != nil {
			o.replaced = c.Time
		}
	}
	if l.idle() {
		return
	}
	switch {
	case c.Op == fs.OpLost:
		l.lost(c)
		return
	case c.Op == fs.OpRename && c.Type == fs.Directory:
		l.dirMoved(c)
		return
	}
	if d := l.docs[c.FileID]; d != nil {
		l.docChanged(d, c)
		return
	}
	taken := c.Op == fs.OpCreate || c.Op == fs.OpRename
	if d := l.gone[c.Path]; d != nil && taken && c.Cause.Origin != fs.OriginMount && c.Node != nil {
		l.laterLocked(func(ctx context.Context) { l.comeBack(ctx, d, c.Node, c.Cause) })
	}
}

// docChanged is changed for a live document. The caller holds mu.
func (l *live) docChanged(d *doc, c fs.Change) {
	switch c.Op {
	case fs.OpRemove:
		l.leave(d, c, "")
		return
	case fs.OpRename:
		if c.Old == nil { // the document moved; else another file took its place, and its id
			l.leave(d, c, c.Path)
			return
		}
	}
	base := d.version
	d.path, d.seq = c.Path, c.Seq
	if c.Node != nil {
		l.met(c.FileID, d, c.Node.Ino())
	}
	if c.Version != "" {
		d.version = c.Version
	}
	if c.Cause.Origin == fs.OriginOutside && c.Op != fs.OpAttr && c.Node != nil {
		l.laterLocked(func(ctx context.Context) { l.absorbNode(ctx, c.FileID, c.Node, base, c.Cause) })
	}
}

// dirMoved tells of all documents below a directory that was renamed. The caller holds mu.
func (l *live) dirMoved(c fs.Change) {
	for id, d := range l.docs {
		if d.path == "" || !d.path.Within(c.OldPath) {
			continue
		}
		from := d.path
		d.path = c.Path + fs.Path(strings.TrimPrefix(string(from), string(c.OldPath)))
		to := d.path
		l.laterLocked(func(ctx context.Context) { l.t.opts.Live.Moved(ctx, id, from, to) })
	}
}

// lost looks again at all documents of a drive. The caller holds mu.
func (l *live) lost(c fs.Change) {
	for id, d := range l.docs {
		if d.drive == c.Drive {
			l.met(id, d, 0)
			before, p := d.version, d.path
			l.laterLocked(func(ctx context.Context) { l.look(ctx, id, p, before, c.Cause) })
		}
	}
}

// look merges what a file holds if it is not at the version before. One that is gone stays as it is: nobody has said so.
func (l *live) look(ctx context.Context, id fs.FileID, p fs.Path, before fs.Version, cause fs.Cause) {
	n, _, err := l.t.Resolve(ctx, p)
	if err != nil {
		return
	}
	got, isLive := l.id(n)
	a, err := n.Attr(ctx)
	if err != nil || !isLive || got != id || a.Version == before {
		return
	}
	l.mu.Lock()
	if d := l.docs[id]; d != nil {
		d.version = a.Version
	}
	l.mu.Unlock()
	l.absorbNode(ctx, id, n, before, cause)
}

// insideMount marks the context of what is done inside an operation of the mount: the kernel cannot be waited for.
type insideMount struct{}

// settled tells observers that a node's bytes are those of the drive again, not those that programs had written.
func (l *live) settled(n fs.Node, id fs.FileID) {
	m, err := l.t.of(n)
	p, named := l.t.Path(n)
	if err != nil || !named {
		return // the mount's node has gone too
	}
	l.t.tell(m, fs.Change{Drive: n.Drive(), FileID: id, Path: p, Op: fs.OpWrite, Type: fs.File, Node: n,
		Cause: fs.Cause{Origin: fs.OriginRoom}, Time: time.Now()})
}
