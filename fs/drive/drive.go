package drive

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/journal"
)

// Drive makes a [fs.Backend] a [fs.Drive]. Close it when done.
type Drive struct {
	opts    Options
	id      fs.DriveID
	backend fs.Backend
	log     *slog.Logger
	lock    *os.File
	staging layers
	journal *journal.Journal
	root    *dir
	local   patterns
	store   reserved

	ctx    context.Context // of what runs in the background
	stop   context.CancelFunc
	queue  queue
	loads  sync.WaitGroup // of directories; none begins once closed is set
	keeper keeper

	evictor evictor

	background sync.WaitGroup // what else runs until ctx ends
	checking   sync.Mutex     // held while something is checked in the background

	progress progress
	hidden   atomic.Int64
	reach    reach

	order sync.Mutex // serialises changes up to their publication; taken after contents.mu, before mu
	sink  func(fs.Change)

	mu        sync.RWMutex // guards nodes, handles and all below
	numbers                // seq is guarded by order too
	closed    bool
	pending   map[keyed]*pending
	below     map[string]int            // how many pending keys there are below a directory
	moved     map[string]string         // see movedFrom
	displaced map[string]map[inode]bool // nodes whose bytes are in the store under another path than their own, by key
	uploads   map[keyed]*parts          // under way, or cut off by the end of the daemon
	origins   map[string]int            // see noteOrigin
	retired   map[uint64]bool           // see retire
	unsaved   map[*contents]*unsaved    // of open files
	conflicts conflicts
	snapshot  int64 // bytes of the last checkpoint
}

var (
	_ fs.Drive    = (*Drive)(nil)
	_ fs.Reserver = (*Drive)(nil)
)

// Open opens a drive over a backend, which is closed with it. It reads the journal and needs no network. Busy means that another
// daemon has the state.
func Open(ctx context.Context, o Options) (*Drive, error) {
	if err := ctx.Err(); err != nil {
		return nil, fs.Wrap("open drive", o.Name, err)
	}
	o.setDefaults()
	d := &Drive{
		opts: o, id: o.ID, backend: o.Backend, log: o.Logger,
		pending: map[keyed]*pending{}, below: map[string]int{}, moved: map[string]string{}, displaced: map[string]map[inode]bool{}, origins: map[string]int{}, uploads: map[keyed]*parts{}, retired: map[uint64]bool{},
		unsaved: map[*contents]*unsaved{},
	}
	d.ctx, d.stop = context.WithCancel(context.WithoutCancel(ctx))
	d.queue.init()
	d.conflicts.init()
	d.store.d, d.local = d, patterns(o.LocalPatterns)
	d.progress.init()
	d.evictor.init(o.MaxNodes)
	d.startKeeper()
	err := d.local.check()
	if err == nil {
		err = d.start()
	}
	if err != nil {
		return nil, fs.Wrap("open drive", o.Name, errors.Join(err, d.end()))
	}
	go d.upload(d.ctx)
	d.background.Go(func() { d.evictNodes(d.ctx) })
	d.queue.kick()
	return d, nil
}

func (d *Drive) start() error {
	if err := d.lockState(); err != nil {
		return err
	}
	d.staging.dir = filepath.Join(d.opts.State, "staging")
	if err := os.MkdirAll(d.staging.dir, 0o700); err != nil {
		return err
	}
	d.root = &dir{children: map[string]inode{}}
	now := time.Now().UnixNano()
	d.root.d, d.root.self, d.root.ino = d, d.root, fs.Ino(d.id, inoMade, 0)
	d.root.m = meta{mode: fs.ModeDir | 0o755, uid: d.opts.UID, gid: d.opts.GID, mtime: now, ctime: now, kept: false}
	var b [8]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	d.epoch = binary.LittleEndian.Uint64(b[:]) >> 1
	r := &replay{d: d, nodes: map[uint64]*nodeRecord{}, conflicts: map[uint64]loser{}, pending: map[keyed]pendingRecord{}, aside: map[uint64]string{}}
	var err error
	d.journal, err = journal.Open(filepath.Join(d.opts.State, "journal"), journal.Options{
		Types: []journal.Type{recordType}, SegmentSize: d.opts.SegmentSize, Logger: d.log,
	}, r.apply)
	if err != nil {
		return err
	}
	if err := r.build(); err != nil {
		return err
	}
	d.reserved, d.reservedSeq = d.last, d.seq // the first record takes a new block
	d.mu.Lock()
	defer d.mu.Unlock()
	d.reserve()
	if len(r.change.b) > 0 {
		return d.append(r.change.b, true)
	}
	return nil
}

// stateVersion is the version of what is in the state folder.
const stateVersion = "1\n"

func (d *Drive) lockState() error {
	if err := os.MkdirAll(d.opts.State, 0o700); err != nil {
		return err
	}
	lock, err := os.OpenFile(filepath.Join(d.opts.State, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	d.lock = lock
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return &fs.Error{Kind: fs.Busy, Err: err, Hint: "another daemon uses this drive; stop it first: jupyter-drive down"}
	}
	name := filepath.Join(d.opts.State, "VERSION")
	b, err := os.ReadFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist), err == nil && len(b) == 0: // a full disk or a loss of power has left it so
		return os.WriteFile(name, []byte(stateVersion), 0o600)
	case err != nil:
		return err
	case string(b) != stateVersion:
		return &fs.Error{Path: d.opts.State, Kind: fs.Unsupported, Err: errors.New("unknown version of the state"),
			Hint: "it was written by a newer release: use that one, or move the folder away and start anew"}
	}
	return nil
}

// ID returns the drive's UUID.
func (d *Drive) ID() fs.DriveID { return d.id }

// Caps returns what the drive can do.
func (d *Drive) Caps() fs.DriveCaps {
	return fs.DriveCaps{
		ReadOnly: d.opts.ReadOnly, Symlinks: true, Mknod: true, Xattrs: true, Exchange: true, CaseFold: d.backend.Caps().CaseFold, Notices: d.opts.NamesTTL,
	}
}

// Root returns the top directory.
func (d *Drive) Root() fs.Dir { return d.root }

// Reserved returns the engines' records, which are in the store itself.
func (d *Drive) Reserved() fs.Reserved { return &d.store }

// Publish names who is told of changes.
func (d *Drive) Publish(sink func(fs.Change)) {
	d.order.Lock()
	defer d.order.Unlock()
	d.sink = sink
}

// Statfs returns the store's quota, where it has one.
func (d *Drive) Statfs(ctx context.Context) (fs.Statfs, error) {
	if err := ctx.Err(); err != nil {
		return fs.Statfs{}, fs.Wrap("statfs", "", err)
	}
	if q, ok := fs.As[fs.Quoter](d.backend); ok && !d.isOffline() {
		if st, err := q.Quota(ctx); err == nil {
			return st, nil
		}
	}
	const unlimited = 1 << 38 // blocks: a pebibyte, which programs take for plenty
	return fs.Statfs{Blocks: unlimited, Free: unlimited, Avail: unlimited, BlockSize: 4096}, nil
}

// Close waits for what is being sent to the store, but not for what is due later, which stays in the journal for the next start.
func (d *Drive) Close(context.Context) error {
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.stop()
	d.loads.Wait()
	<-d.queue.end
	d.background.Wait()
	return fs.Wrap("close drive", d.opts.Name, d.end())
}

// end lets go of what Open has taken.
func (d *Drive) end() error {
	d.stop()
	errs := []error{d.endKeeper()}
	if d.journal != nil {
		errs = append(errs, d.journal.Close())
	}
	d.mu.Lock()
	d.closed = true
	open := map[*layer]bool{}
	d.eachLayer(func(l *layer) { open[l] = true })
	d.mu.Unlock()
	for _, l := range d.staging.take() {
		open[l] = true
	}
	for l := range open {
		errs = append(errs, l.f.Close())
	}
	errs = append(errs, d.backend.Close())
	if d.lock != nil {
		errs = append(errs, unix.Flock(int(d.lock.Fd()), unix.LOCK_UN), d.lock.Close())
	}
	return errors.Join(errs...)
}

// eachLayer calls f for the layers of all files that have a name. The caller holds mu.
func (d *Drive) eachLayer(f func(*layer)) {
	if d.root == nil {
		return
	}
	var walk func(x *dir)
	walk = func(x *dir) {
		for _, n := range x.children {
			switch n := n.(type) {
			case *dir:
				walk(n)
			case *file:
				if c := n.m.get().content; c != nil {
					for _, l := range c.stack {
						f(l)
					}
				}
			}
		}
	}
	walk(d.root)
}

// hook tells a test where the drive is.
func (d *Drive) hook(point string) {
	if d.opts.hook != nil {
		d.opts.hook(point)
	}
}
