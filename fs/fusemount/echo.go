package fusemount

import (
	"context"
	"os"
	"path"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"github.com/hanwen/go-fuse/v2/fuse"
	"golang.org/x/sys/unix"
	"golang.org/x/time/rate"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// echoRate is how many events a second are shown to watchers, and echoQueue how many names may wait for theirs.
const (
	echoRate  = 100
	echoQueue = 4096
)

// job is an event that watchers are to see.
type job struct {
	event         event
	path, oldPath fs.Path
	typ           fs.Type
	parent, to    *gofuse.Inode // the directories of oldPath and path if renamed, else parent is that of path
	node          fs.Node
	olds          []fs.Node // that had the name before, the latest last
}

// dir returns the directory of path.
func (j *job) dir() *gofuse.Inode {
	if j.event == renamed {
		return j.to
	}
	return j.parent
}

// old returns what had the name last, nil if that is unknown.
func (j *job) old() fs.Node {
	if len(j.olds) == 0 {
		return nil
	}
	return j.olds[len(j.olds)-1]
}

// echo makes inotify events for changes made elsewhere: the kernel makes them only for system calls, so one marked thread does
// harmless ones in the mount, whose requests the handlers recognise by the thread's id and answer without changing anything.
type echo struct {
	m       *Server
	limiter *rate.Limiter
	wake    chan struct{} // holds one token when there is something to do
	done    chan struct{}
	end     context.CancelFunc

	tid   atomic.Uint32 // of the thread; 0 = there is none
	now   atomic.Pointer[job]
	made  atomic.Bool          // the name of now is free no more: it was made
	shown atomic.Pointer[node] // what the name of now leads to for the moment, if not nil

	mu     sync.Mutex // guards all below
	queue  []*job
	byName map[fs.Path]*job
	closed bool
}

func newEcho(m *Server) *echo {
	return &echo{
		m: m, limiter: rate.NewLimiter(echoRate, echoRate), wake: make(chan struct{}, 1), done: make(chan struct{}),
		byName: map[fs.Path]*job{},
	}
}

// is reports whether tid is the marked thread.
func (e *echo) is(tid uint32) bool { return tid != 0 && e.tid.Load() == tid }

// calls reports whether a request comes from it.
func (e *echo) calls(ctx context.Context) bool {
	who, ok := fuse.FromContext(ctx)
	return ok && e.is(who.Pid)
}

// add queues an event; one that waits for the same name is replaced if it says as much.
func (e *echo) add(j *job) {
	if j.event == nothing || j.typ == fs.Other || e.m.opts.NoEcho {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if before := e.byName[j.path]; before != nil && before.event == j.event && j.event != renamed {
		j.olds = slices.Concat(slices.DeleteFunc(before.olds, e.m.table.gone), j.olds)
		*before = *j
		return
	}
	if e.closed || len(e.queue) >= echoQueue {
		return // watchers see later changes of the name
	}
	e.queue = append(e.queue, j)
	e.byName[j.path] = j
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// start starts the thread.
func (e *echo) start() {
	ctx, end := context.WithCancel(context.Background())
	e.end = end
	go e.run(ctx)
}

// run serves the queue on a thread of its own. That must not be the process's first one, whose descriptors /proc/self/fd shows.
func (e *echo) run(ctx context.Context) {
	runtime.LockOSThread() // and never unlocked: the marked thread ends with the goroutine
	if unix.Gettid() == unix.Getpid() {
		started := make(chan struct{})
		go func() {
			runtime.LockOSThread()
			close(started)
			e.serve(ctx)
		}()
		<-started
		runtime.UnlockOSThread()
		return
	}
	e.serve(ctx)
}

// serve serves the queue. The calling goroutine is locked to its thread.
func (e *echo) serve(ctx context.Context) {
	defer close(e.done)
	if err := ownDescriptors(); err != nil {
		e.m.log.Warn("inotify watchers are not told of changes made elsewhere", "err", err)
		return
	}
	e.tid.Store(uint32(unix.Gettid()))
	defer e.tid.Store(0)
	for {
		select {
		case <-ctx.Done():
			return
		case <-e.wake:
		}
		for j := e.take(); j != nil; j = e.take() {
			if e.limiter.Wait(ctx) != nil {
				return
			}
			e.now.Store(j)
			e.made.Store(false)
			e.do(j)
			e.now.Store(nil)
		}
	}
}

// ownDescriptors gives the calling thread descriptors of its own, none but those of the runtime. It waits for requests that this
// process answers: were it killed meanwhile, a thread that held /dev/fuse open would wait for ever, and the mount with it. Nor may
// it hold pipes and sockets open that others close.
func ownDescriptors() error {
	// The runtime wakes its poller from every thread: its descriptors must exist before they are copied, as they do with a timer.
	time.AfterFunc(time.Hour, func() {}).Stop()
	if err := unix.Unshare(unix.CLONE_FILES); err != nil {
		return os.NewSyscallError("unshare", err)
	}
	const fds = "/proc/thread-self/fd/"
	list, err := os.ReadDir(fds)
	if err != nil {
		return err
	}
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= syscall.Stderr {
			continue
		}
		to, err := os.Readlink(fds + e.Name())
		if err == nil && to != "anon_inode:[eventpoll]" && to != "anon_inode:[eventfd]" {
			closeFd(fd)
		}
	}
	return nil
}

func (e *echo) take() *job {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.queue) == 0 || e.closed {
		return nil
	}
	j := e.queue[0]
	e.queue = e.queue[1:]
	if e.byName[j.path] == j {
		delete(e.byName, j.path)
	}
	return j
}

// stop ends the thread. It returns when the thread has left the mount.
func (e *echo) stop() {
	e.mu.Lock()
	e.closed = true
	e.mu.Unlock()
	if e.end != nil {
		e.end()
		<-e.done
	}
}

// do makes the event. Errors mean that the name has changed again, for which another job comes.
func (e *echo) do(j *job) {
	dir, err := e.openDir(j.path.Dir())
	if err != nil {
		return
	}
	defer closeFd(dir)
	name := j.path.Base()
	if j.event != removed {
		e.drop(dir, name, j)
	}
	switch j.event {
	case created:
		e.create(dir, name, j)
	case changed:
		if j.typ != fs.File || modify(dir, name) != nil {
			touch(dir, name)
		}
	case attributes:
		touch(dir, name)
	case removed:
		flags := 0
		if j.typ == fs.Directory {
			flags = unix.AT_REMOVEDIR
		}
		_ = unix.Unlinkat(dir, name, flags) // see above
	case renamed:
		e.rename(dir, name, j)
	}
}

// openDir opens a directory of the mount, and never anything outside of it.
func (e *echo) openDir(p fs.Path) (int, error) {
	top, err := unix.Open(e.m.mountpoint, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	var st unix.Stat_t
	if err := unix.Fstat(top, &st); err != nil || st.Dev != e.m.device {
		closeFd(top)
		return -1, unix.ENOTCONN // something else is mounted there
	}
	if p == "" {
		return top, nil
	}
	defer closeFd(top)
	return openBeneath(top, string(p), unix.O_PATH|unix.O_DIRECTORY)
}

func openBeneath(dir int, p string, flags uint64) (int, error) {
	return unix.Openat2(dir, p, &unix.OpenHow{
		Flags:   flags | unix.O_CLOEXEC | unix.O_NOFOLLOW,
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_XDEV,
	})
}

func closeFd(fd int) { _ = unix.Close(fd) } // nothing was written through it

// create gives CREATE, and for a file CLOSE_WRITE.
func (e *echo) create(dir int, name string, j *job) {
	switch j.typ {
	case fs.Directory:
		_ = unix.Mkdirat(dir, name, 0o755) // see do
	case fs.Symlink:
		_ = unix.Symlinkat(".", dir, name) // see do
	case fs.File:
		// O_EXCL makes the kernel look the name up, which is free for us, even if somebody has found the file already.
		const flags = unix.O_CREAT | unix.O_EXCL | unix.O_RDONLY | unix.O_NOFOLLOW | unix.O_NONBLOCK | unix.O_CLOEXEC
		if fd, err := unix.Openat(dir, name, flags, 0o644); err == nil {
			closeFd(fd)
		}
		if fd, err := openToWrite(dir, name); err == nil {
			closeFd(fd)
		}
	case fs.Other:
	}
}

// modify gives OPEN, MODIFY and CLOSE_WRITE: truncating to its own size changes nothing, and is a change for the kernel.
func modify(dir int, name string) error {
	fd, err := openToWrite(dir, name)
	if err != nil {
		return err
	}
	defer closeFd(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	return unix.Ftruncate(fd, st.Size)
}

// openToWrite opens a file, unless somebody may want to execute it, which fails while anybody has it open to write. Only the kernel can
// be asked: the thread has none of the descriptors by which drives work.
func openToWrite(dir int, name string) (int, error) {
	var st unix.Stat_t
	if err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return -1, err
	}
	if st.Mode&0o111 != 0 {
		return -1, unix.ETXTBSY
	}
	return openBeneath(dir, name, unix.O_WRONLY|unix.O_NONBLOCK)
}

// touch gives ATTRIB.
func touch(dir int, name string) {
	now := []unix.Timespec{{Nsec: unix.UTIME_NOW}, {Nsec: unix.UTIME_NOW}}
	_ = unix.UtimesNanoAt(dir, name, now, unix.AT_SYMLINK_NOFOLLOW) // see do
}

// rename gives MOVED_FROM and MOVED_TO.
func (e *echo) rename(dir int, name string, j *job) {
	from, err := e.openDir(j.oldPath.Dir())
	if err != nil {
		return
	}
	defer closeFd(from)
	apart(func() {
		j.parent.NotifyEntry(j.oldPath.Base())
		j.to.NotifyEntry(name) // it must look free
	})
	_ = unix.Renameat(from, j.oldPath.Base(), dir, name) // see do
}

// apart runs f on another thread and waits for it: the marked one has no descriptor by which to notify the kernel.
func apart(f func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	<-done
}

// maxShown is how often a file that had a name is shown under it, because somebody has looked up the present one meanwhile.
const maxShown = 3

// drop shows those who watch a replaced file itself that it is gone. The kernel tells them when it lets go of the name of a file
// that has no links left. But it may have let go before it heard of that, for a lookup that found the new file, and tells nobody
// then: it is shown the old one under that name once more.
func (e *echo) drop(dir int, name string, j *job) {
	for _, old := range j.olds {
		n := e.m.table.known(old)
		if n == nil || n.dir != nil || e.m.table.gone(old) {
			continue
		}
		for range maxShown {
			apart(func() { j.dir().NotifyEntry(name) })
			var st unix.Stat_t
			e.shown.Store(n)
			err := unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
			e.shown.Store(nil)
			if err != nil {
				break
			}
			var errno syscall.Errno
			apart(func() { errno = j.dir().NotifyDelete(name, n.EmbeddedInode()) })
			if st.Ino == old.Ino() && errno == 0 {
				break
			}
		}
	}
}

// The handlers of the marked thread's requests. They change nothing.

// echoLookup shows the tree as it was before the event.
func (n *node) echoLookup(ctx context.Context, name string, out *fuse.EntryOut) (*gofuse.Inode, unix.Errno) {
	j := n.m.echo.now.Load()
	if j == nil || n.dir == nil {
		return nil, unix.ENOENT
	}
	in := n.EmbeddedInode()
	it := in == j.dir() && name == j.path.Base()
	shown := n.m.echo.shown.Load()
	switch {
	case it && shown != nil:
		return shown.echoDropped(ctx, out)
	case it && (j.event == created && !n.m.echo.made.Load() || j.event == renamed):
		doNotCache(out)
		return nil, unix.ENOENT
	case it && j.event == removed:
		return n.echoEntry(ctx, j.old(), out)
	case j.event == renamed && in == j.parent && name == path.Base(string(j.oldPath)):
		return n.echoEntry(ctx, j.node, out)
	}
	f, err := n.dir.Lookup(context.WithoutCancel(ctx), name)
	if err != nil {
		doNotCache(out)
		return nil, fs.Errno(err)
	}
	return n.echoEntry(ctx, f, out)
}

// echoEntry replies with f, not to be kept.
func (n *node) echoEntry(ctx context.Context, f fs.Node, out *fuse.EntryOut) (*gofuse.Inode, unix.Errno) {
	if f == nil {
		return nil, unix.ENOENT
	}
	a, err := f.Attr(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fs.Errno(err)
	}
	child := n.m.table.get(n.m, f, a.Mode)
	fillEntry(out, a, 0)
	return child.EmbeddedInode(), 0
}

// echoDropped replies with n, which has lost its name.
func (n *node) echoDropped(ctx context.Context, out *fuse.EntryOut) (*gofuse.Inode, unix.Errno) {
	a, err := n.fs.Attr(context.WithoutCancel(ctx))
	if err != nil {
		return nil, fs.Errno(err)
	}
	if a.Nlink > 0 {
		return nil, unix.ENOENT // its other names stay
	}
	fillEntry(out, a, 0)
	return n.EmbeddedInode(), 0
}

func (n *node) echoGetattr(ctx context.Context, out *fuse.AttrOut) unix.Errno {
	a, err := n.fs.Attr(context.WithoutCancel(ctx))
	if err != nil {
		return fs.Errno(err)
	}
	fillAttr(&out.Attr, a)
	return 0
}

// echoMade answers the making of a name that is there already.
func (n *node) echoMade(ctx context.Context, name string, out *fuse.EntryOut) (*gofuse.Inode, unix.Errno) {
	j := n.m.echo.now.Load()
	if j == nil || j.event != created || n.EmbeddedInode() != j.parent || name != j.path.Base() {
		return nil, unix.EEXIST
	}
	n.m.echo.made.Store(true)
	return n.echoEntry(ctx, j.node, out)
}

func (n *node) echoCreate(ctx context.Context, name string, out *fuse.EntryOut) (*gofuse.Inode, gofuse.FileHandle, uint32, unix.Errno) {
	in, errno := n.echoMade(ctx, name, out)
	if errno != 0 {
		return nil, nil, 0, errno
	}
	child, _ := in.Operations().(*node)
	return in, child.echoOpen(ctx), fuse.FOPEN_KEEP_CACHE, 0
}

// echoOpen returns a handle that is open the way others of the node are, or may be meanwhile. It opens the file for reading: no
// writer is counted.
func (n *node) echoOpen(ctx context.Context) *handle {
	f := &handle{fd: -1}
	c := &call{m: n.m, ctx: context.WithoutCancel(ctx)}
	if v, err := n.m.opts.View(n.m.self); err == nil {
		c.view, c.nodes = v, v.Nodes()
		if h, err := c.nodes.Open(c.ctx, n.fs, fs.OpenRead); err == nil {
			f = c.handle(h, fs.OpenRead)
		}
	}
	f.echo = true
	return n.opened(f)
}

// echoRemove lets the kernel forget the removed node, and refuses if it has found another meanwhile.
func (n *node) echoRemove(name string) unix.Errno {
	j := n.m.echo.now.Load()
	if j == nil || j.event != removed || !n.holds(name, j.old()) {
		return unix.ENOENT
	}
	return 0
}

func (n *node) echoRename(name string, to *node, newName string) unix.Errno {
	j := n.m.echo.now.Load()
	if j == nil || j.event != renamed || newName != j.path.Base() || to.EmbeddedInode() != j.to || !n.holds(name, j.node) {
		return unix.ENOENT
	}
	return 0
}

// holds reports whether the kernel knows f under that name.
func (n *node) holds(name string, f fs.Node) bool {
	in := n.GetChild(name)
	if in == nil {
		return false
	}
	child, ok := in.Operations().(*node)
	return ok && child.fs == f
}
