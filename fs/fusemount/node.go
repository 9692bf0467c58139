package fusemount

import (
	"context"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
)

// node is what the kernel knows of an [fs.Node]: one per node, as long as the kernel refers to it.
type node struct {
	gofuse.Inode
	m   *Server
	fs  fs.Node
	dir fs.Dir // fs as a directory; nil for anything else

	gen      uint64      // tells apart the nodes of one fs
	retired  atomic.Bool // another node has taken its place, with the same fs
	detached atomic.Bool // old, and the kernel has let go of the name
	noticed  atomic.Bool // on its way to being detached

	handedOut time.Time // guarded by table.mu: when a reply last named it
	asked     time.Time // guarded by table.mu: when the kernel was last asked to let go of it

	mu          sync.Mutex // guards all below
	open        []*handle  // of the kernel
	passthrough bool       // how it is open: one way for all handles until the last is closed
	direct      bool       // whether it ever was open so
	seen        fs.Version // what the kernel's pages are of
}

// table finds the node of an [fs.Node].
type table struct {
	mu    sync.Mutex // guards all below, and node.handedOut and asked
	nodes map[fs.Node]*node
	left  []forgotten // in the order of time
	most  int         // nodes that the kernel may know; does not change
	begin int         // nodes before it is asked to let go of some: more than most if it uses more
	full  func()      // called when there are more; must not block
}

type forgotten struct {
	n  *node
	at time.Time
}

// How long a node that the kernel has forgotten stays after a reply has named it, which may be on its way: many take too much memory for that.
const (
	keepForgotten = 2 * time.Second
	keepMany      = keepForgotten / 4
)

// get returns the node for f, making it if the kernel does not know it. mode has its type.
func (t *table) get(m *Server, f fs.Node, mode uint32) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if n := t.nodes[f]; n != nil {
		n.handedOut = now
		return n
	}
	return t.add(&node{m: m, fs: f, handedOut: now}, mode)
}

// add makes n the node of its fs. The caller holds mu.
func (t *table) add(n *node, mode uint32) *node {
	n.dir, _ = fs.As[fs.Dir](n.fs)
	n.m.root.NewInode(context.Background(), n, gofuse.StableAttr{Mode: mode & syscall.S_IFMT, Ino: n.fs.Ino(), Gen: n.gen})
	t.nodes[n.fs] = n
	t.clean(n.handedOut)
	if t.count() > t.begin {
		t.full()
	}
	return n
}

// retire gives the fs of n another node, unless it has one already, and returns that. Who has n open goes on with it, and is told its
// attributes each time from now on: they may change through the other node, of which the kernel knows nothing.
func (n *node) retire() *node {
	now := n.m.table.retire(n)
	n.NotifyContent(-1, 0)
	return now
}

// retire is node.retire without a word to the kernel.
func (t *table) retire(n *node) *node {
	t.mu.Lock()
	defer t.mu.Unlock()
	if now := t.nodes[n.fs]; now != nil && now != n {
		return now
	}
	n.retired.Store(true)
	return t.add(&node{m: n.m, fs: n.fs, gen: n.gen + 1, handedOut: time.Now()}, n.Mode())
}

// node returns the node for f to hand out. The kernel may not go on reading and writing a document by itself that is edited live now:
// those who have it open that way keep the node, and the name gets another.
func (c *call) node(f fs.Node, mode uint32) *node {
	n := c.m.table.get(c.m, f, mode)
	if n.isDirect() && c.nodes.Live(f) {
		return n.retire()
	}
	return n
}

// isDirect reports whether the kernel reads and writes the file by itself, or once did.
func (n *node) isDirect() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.direct
}

// old reports whether its name leads to another node.
func (n *node) old() bool { return n.retired.Load() || n.fs.Superseded() }

// known returns the node for f, or nil if the kernel does not know it.
func (t *table) known(f fs.Node) *node {
	if f == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.nodes[f]
}

// gone reports whether the kernel has forgotten f, or never knew it.
func (t *table) gone(f fs.Node) bool {
	n := t.known(f)
	//nolint:staticcheck // see forget
	return n == nil || n.Forgotten()
}

// forget notes that the kernel has forgotten n.
func (t *table) forget(n *node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	if !t.drop(n, now.Add(-t.keep())) {
		t.left = append(t.left, forgotten{n, now})
	}
	t.clean(now)
	t.begin = min(t.begin, t.next())
}

// count returns about how many nodes the kernel knows. The caller holds mu.
func (t *table) count() int { return len(t.nodes) - len(t.left) }

// drop drops a node that the kernel has forgotten, unless a reply has named it since then. The caller holds mu.
func (t *table) drop(n *node, since time.Time) bool {
	if !n.handedOut.Before(since) {
		return false
	}
	//nolint:staticcheck // Forgotten says whether the kernel came back, which NodeOnForgetter cannot
	if n.Forgotten() && t.nodes[n.fs] == n {
		delete(t.nodes, n.fs)
	}
	return true
}

// keep returns how long forgotten nodes stay. The caller holds mu.
func (t *table) keep() time.Duration {
	if len(t.left) > t.most/8 {
		return keepMany
	}
	return keepForgotten
}

// clean drops the nodes that the kernel forgot a while ago. The caller holds mu.
func (t *table) clean(now time.Time) {
	for len(t.left) > 0 {
		since, old := now.Add(-t.keep()), t.left[0]
		if !old.at.Before(since) {
			return
		}
		t.left[0], t.left = forgotten{}, t.left[1:]
		t.drop(old.n, since)
	}
}

// OnForget is called when the kernel has dropped the node.
func (n *node) OnForget() {
	if n != n.m.root {
		n.m.table.forget(n)
	}
}

// call is a request: who makes it, and through which view.
type call struct {
	ctx   context.Context
	m     *Server
	who   Caller
	view  *access.View
	nodes *access.Nodes
	part  part
	led   bool     // it has come to the node by a path
	again bool     // the thread was answered ESTALE before, and must not be twice
	kept  *refusal // what was kept open for it
}

// enter begins a request.
func (n *node) enter(ctx context.Context) (*call, syscall.Errno) { return n.begin(ctx, partFinal) }

// begin is enter for a part of a system call.
func (n *node) begin(ctx context.Context, p part) (*call, syscall.Errno) {
	c := &call{m: n.m, ctx: context.WithoutCancel(ctx), part: p}
	if who, ok := fuse.FromContext(ctx); ok {
		c.who = Caller{UID: who.Uid, GID: who.Gid, TID: who.Pid}
	}
	if n.m.echo.is(c.who.TID) {
		return nil, syscall.EPERM // the operations that it needs know it before they come here
	}
	c.who.PID = n.m.processes.of(c.who.TID)
	c.led = n.m.walks.led(c.who.TID, n, p == partAttributes)
	v, err := n.m.opts.View(c.who)
	if err != nil {
		return nil, n.m.errno("view", err)
	}
	c.view, c.nodes = v, v.Nodes()
	c.ctx = fs.WithCause(c.ctx, fs.Cause{Actor: v.Principal().ID, Origin: fs.OriginMount, PID: int(c.who.PID)})
	return c, 0
}

// owner returns to whom a new file belongs.
func (c *call) owner() fs.Owner { return fs.Owner{UID: c.who.UID, GID: c.who.GID, Set: true} }

// errno returns the system error for err, and logs a fault of ours.
func (m *Server) errno(op string, err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if fs.KindOf(err) == fs.Internal {
		m.log.Error("a request failed", "op", op, "err", err)
	}
	return fs.Errno(err)
}

// errno is [Server.errno] for a node's operations.
func (n *node) errno(op string, err error) syscall.Errno { return n.m.errno(op, err) }

// cacheFor returns how long the kernel may keep what it is told of f.
func (c *call) cacheFor(f fs.Node) time.Duration {
	if c.nodes.Live(f) {
		return 0
	}
	return c.m.opts.CacheFor
}

// attrFor returns how long the kernel may keep the attributes of n.
func (c *call) attrFor(n *node) time.Duration {
	if n.retired.Load() {
		return 0
	}
	return c.cacheFor(n.fs)
}

// maxLookups is how often a name that is replaced meanwhile is looked up again.
const maxLookups = 16

// reply fills out with what find returns, a child of n. It is called again if the child was superseded before the kernel could
// be told: after that moment no reply may name it.
func (n *node) reply(c *call, out *fuse.EntryOut, find func() (fs.Node, error)) (*gofuse.Inode, syscall.Errno) {
	for try := 1; ; try++ {
		f, err := find()
		if err != nil {
			return nil, n.errno("lookup", err)
		}
		a, err := c.nodes.Attr(c.ctx, f)
		if err != nil {
			if kind := fs.KindOf(err); try < maxLookups && (kind == fs.NotExist || kind == fs.Stale) {
				continue
			}
			return nil, n.errno("lookup", err)
		}
		child := c.node(f, a.Mode)
		if (!c.hold(f, a) || f.Superseded()) && try < maxLookups {
			continue
		}
		fillEntry(out, a, c.cacheFor(f))
		return child.EmbeddedInode(), 0
	}
}

// replyMade is reply for a node that the request has made.
func (n *node) replyMade(c *call, out *fuse.EntryOut, f fs.Node, err error) (*gofuse.Inode, syscall.Errno) {
	if err != nil {
		return nil, n.errno("create", err)
	}
	a, err := c.nodes.Attr(c.ctx, f)
	if err != nil {
		a, err = f.Attr(c.ctx) // who may write but not read has made it all the same
	}
	if err != nil {
		return nil, n.errno("create", err)
	}
	keep := c.cacheFor(f)
	child := c.node(f, a.Mode)
	if f.Superseded() {
		keep = 0
	}
	fillEntry(out, a, keep)
	return child.EmbeddedInode(), 0
}

func fillEntry(out *fuse.EntryOut, a fs.Attr, keep time.Duration) {
	fillAttr(&out.Attr, a)
	out.SetEntryTimeout(keep)
	out.SetAttrTimeout(keep)
}

func fillAttr(out *fuse.Attr, a fs.Attr) {
	out.Ino = a.Ino
	out.Mode = a.Mode
	out.Nlink = a.Nlink
	out.Owner = fuse.Owner{Uid: a.UID, Gid: a.GID}
	out.Rdev = a.Rdev
	out.Size = uint64(a.Size)
	out.Blocks = uint64(a.Blocks)
	out.SetTimes(&a.Atime, &a.Mtime, &a.Ctime)
}

// directory returns the node as a directory.
func (n *node) directory() (fs.Dir, syscall.Errno) {
	if n.dir == nil {
		return nil, syscall.ENOTDIR
	}
	return n.dir, 0
}
