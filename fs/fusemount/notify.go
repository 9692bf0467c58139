package fusemount

import (
	"context"
	"slices"
	"strings"
	"sync"
	"syscall"

	gofuse "github.com/hanwen/go-fuse/v2/fs"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// maxNotices is how many notices may wait. When there are more, the kernel is told to ask about everything again.
const maxNotices = 1 << 16

// notice is what the kernel is to be told about one name. Changes of the same name that follow each other are one notice.
type notice struct {
	path, oldPath fs.Path
	node          fs.Node   // that has the name now; may be nil
	olds          []fs.Node // that had it
	nodes         []*node   // to be let go of, if only that is known: path is not
	typ           fs.Type

	entry   bool // the name's node is another, or there is none
	content bool // the node's bytes are others
	lost    bool // all below path
	rename  bool // from oldPath to path
	live    bool // what the kernel knows of it holds no longer
	watch   event

	done chan struct{} // closed when the kernel knows
}

// event is what inotify watchers are to see of a change.
type event uint8

const (
	nothing event = iota
	created
	changed
	attributes
	removed
	renamed
)

// notifier tells the kernel of changes made elsewhere, in order, on one goroutine. Nothing waits for it but callers of the API.
type notifier struct {
	m    *Server
	wake chan struct{} // holds one token when there is something to do
	quit chan struct{}
	done chan struct{}

	mu     sync.Mutex // guards all below
	queue  []*notice
	last   map[fs.Path]*notice // waiting notices that later changes may join
	closed bool
}

func newNotifier(m *Server) *notifier {
	return &notifier{
		m: m, wake: make(chan struct{}, 1), quit: make(chan struct{}), done: make(chan struct{}), last: map[fs.Path]*notice{},
	}
}

// Observe takes note of a change. What came through the mount the kernel knows already.
func (m *Server) Observe(c fs.Change) <-chan struct{} {
	if c.Cause.Origin == fs.OriginMount && (c.Old == nil || !c.Old.Superseded()) {
		return nil
	}
	return m.notifier.add(noticeOf(c))
}

func noticeOf(c fs.Change) *notice {
	n := &notice{path: c.Path, oldPath: c.OldPath, node: c.Node, typ: c.Type, done: make(chan struct{})}
	if c.Old != nil {
		n.olds = []fs.Node{c.Old}
	}
	switch c.Op {
	case fs.OpCreate:
		n.entry, n.watch = true, created
	case fs.OpReplace:
		n.entry, n.watch = true, changed
	case fs.OpWrite:
		n.content, n.watch = true, changed
	case fs.OpAttr:
		n.watch = attributes
	case fs.OpRemove:
		n.entry, n.watch = true, removed
	case fs.OpRename:
		n.entry, n.rename, n.watch = true, true, renamed
	case fs.OpLost:
		n.lost = true
	case fs.OpLive:
		n.entry, n.live = true, true
	}
	return n
}

// add queues a notice, or lets it join one that waits, and returns the channel that is closed when it was delivered.
func (q *notifier) add(n *notice) <-chan struct{} {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return nil
	}
	joins := !n.rename && !n.lost && n.nodes == nil
	if before := q.last[n.path]; before != nil && joins {
		before.join(n)
		return before.done
	}
	if len(q.queue) >= maxNotices {
		n = q.overflow(n)
	}
	q.queue = append(q.queue, n)
	switch {
	case joins:
		q.last[n.path] = n
	case n.nodes == nil:
		clear(q.last) // what follows must stay behind it
	}
	select {
	case q.wake <- struct{}{}:
	default:
	}
	return n.done
}

// overflow puts one notice about everything in the place of all that wait. The caller holds mu.
func (q *notifier) overflow(n *notice) *notice {
	all := &notice{lost: true, done: make(chan struct{}), olds: n.olds, nodes: n.nodes}
	for _, x := range q.queue {
		all.olds, all.nodes = append(all.olds, x.olds...), append(all.nodes, x.nodes...)
		close(x.done)
	}
	q.queue = q.queue[:0]
	q.m.log.Warn("too many changes at once; the kernel is told to look at everything again")
	return all
}

// join adds a later change of the same name.
func (n *notice) join(later *notice) {
	n.olds = append(n.olds, later.olds...)
	n.node, n.typ = later.node, later.typ
	n.entry = n.entry || later.entry
	n.content = n.content || later.content
	n.live = n.live || later.live
	switch {
	case n.watch == removed && later.watch == created:
		n.watch = changed
	case n.watch == created && later.watch != removed, later.watch == attributes, later.watch == nothing:
		// the earlier event says it all
	default:
		n.watch = later.watch
	}
}

// detach queues the notice about a superseded node that a request has met: the change itself need not have named it.
func (q *notifier) detach(n *node) {
	if n.noticed.Swap(true) {
		return
	}
	q.add(&notice{nodes: []*node{n}, done: make(chan struct{})})
}

// run delivers notices until stop.
func (q *notifier) run() {
	defer close(q.done)
	for {
		select {
		case <-q.quit:
			return
		case <-q.wake:
		}
		for n := q.take(); n != nil; n = q.take() {
			q.deliver(n)
			close(n.done)
		}
	}
}

func (q *notifier) take() *notice {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.queue) == 0 || q.closed {
		return nil
	}
	n := q.queue[0]
	q.queue = q.queue[1:]
	if q.last[n.path] == n {
		delete(q.last, n.path)
	}
	return n
}

// stop ends the goroutine, and lets go of all that wait.
func (q *notifier) stop() {
	q.mu.Lock()
	q.closed = true
	for _, n := range q.queue {
		close(n.done)
	}
	q.queue = nil
	q.mu.Unlock()
	close(q.quit)
	<-q.done
}

// deliver tells the kernel. Errors say that it does not know the name or node, which is as good.
func (q *notifier) deliver(n *notice) {
	for _, old := range n.olds {
		if on := q.m.table.known(old); on != nil {
			q.detachFrom(n.path, on)
		}
	}
	for _, on := range n.nodes {
		q.detachFrom("", on)
	}
	switch {
	case n.lost:
		if dir := q.find(n.path); dir != nil {
			invalidate(dir)
		}
		return
	case n.nodes != nil:
		return
	case n.rename:
		q.renamed(n)
		return
	}
	parent := q.parent(n)
	if parent != nil && n.entry {
		if len(n.olds) == 0 {
			parent.NotifyEntry(n.path.Base())
		}
		parent.NotifyContent(-1, 0) // its times have changed
	}
	in := q.inode(n.node)
	switch {
	case in == nil:
	case n.content:
		in.NotifyContent(0, 0)
	case n.watch == attributes, n.live:
		in.NotifyContent(-1, 0)
	}
	if parent != nil {
		q.m.echo.add(&job{event: n.watch, path: n.path, typ: n.typ, parent: parent, node: n.node, olds: n.olds})
	}
}

// detachFrom makes the kernel let go of a node that has lost its name, p if that is known.
func (q *notifier) detachFrom(p fs.Path, on *node) {
	name, parent := on.Parent()
	if p != "" && (parent == nil || name != p.Base()) {
		name, parent = p.Base(), q.find(p.Dir())
	}
	if parent != nil {
		var errno syscall.Errno
		if on.linked(context.Background()) {
			errno = parent.NotifyEntry(name) // its other names stay
		} else {
			on.NotifyContent(-1, 0) // attributes that were asked for before, with a link, come too late now
			errno = parent.NotifyDelete(name, on.EmbeddedInode())
		}
		if errno != 0 && errno != syscall.ENOENT {
			q.m.log.Debug("the kernel kept a name", "errno", errno.Error())
			parent.NotifyEntry(name)
		}
	}
	on.detached.Store(true)
}

// renamed tells of both names, and moves the node in go-fuse's picture of the tree, by which later notices find it.
func (q *notifier) renamed(n *notice) {
	from, to := q.find(n.oldPath.Dir()), q.find(n.path.Dir())
	oldName, newName := n.oldPath.Base(), n.path.Base()
	if to != nil {
		if len(n.olds) == 0 {
			to.NotifyEntry(newName)
		}
		to.NotifyContent(-1, 0)
	}
	if from == nil {
		return
	}
	from.NotifyEntry(oldName)
	from.NotifyContent(-1, 0)
	if n.node == nil || to == nil {
		return
	}
	if in := q.inode(n.node); in != nil && from.GetChild(oldName) == in && to.GetChild(newName) != in {
		from.MvChild(oldName, to, newName, true)
	}
	q.m.echo.add(&job{event: renamed, path: n.path, oldPath: n.oldPath, typ: n.typ, parent: from, to: to, node: n.node, olds: n.olds})
}

// inode returns what the kernel knows f as, or nil.
func (q *notifier) inode(f fs.Node) *gofuse.Inode {
	if n := q.m.table.known(f); n != nil {
		return n.EmbeddedInode()
	}
	return nil
}

// parent returns the directory that holds the notice's name, nil if the kernel does not know it. A node of that name knows it
// even where the directory was moved.
func (q *notifier) parent(n *notice) *gofuse.Inode {
	for _, f := range slices.Backward(append(slices.Clone(n.olds), n.node)) {
		if in := q.inode(f); in != nil {
			if name, parent := in.Parent(); parent != nil && name == n.path.Base() {
				return parent
			}
		}
	}
	return q.find(n.path.Dir())
}

// find returns the inode at p, nil if the kernel does not know it.
func (q *notifier) find(p fs.Path) *gofuse.Inode {
	in := q.m.root.EmbeddedInode()
	if p == "" {
		return in
	}
	for name := range strings.SplitSeq(string(p), "/") {
		if in = in.GetChild(name); in == nil {
			return nil
		}
	}
	return in
}

// invalidate makes the kernel ask again about everything below dir.
func invalidate(dir *gofuse.Inode) {
	for name, in := range dir.Children() {
		if in.IsDir() {
			invalidate(in)
		} else {
			in.NotifyContent(0, 0)
		}
		dir.NotifyEntry(name)
	}
	dir.NotifyContent(-1, 0)
}
