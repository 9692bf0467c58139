package mem

import (
	"context"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// DefaultMaxFileSize is the size over which a file does not grow: more would not make a useful test of memory.
const DefaultMaxFileSize = 1 << 42

// Options configure a Drive. The zero value works.
type Options struct {
	ID          fs.DriveID // zero = a random one
	Size        int64      // bytes of contents that fit; 0 = as many as memory holds
	MaxFileSize int64      // 0 = DefaultMaxFileSize
	ReadOnly    bool       // every change fails with ReadOnly
	// Intercept is called before each operation without any lock held; op is the method's name in lower case. It may wait, and an
	// error it returns is the operation's result.
	Intercept func(ctx context.Context, op, path string) error
}

// Drive is a tree of files in memory.
type Drive struct {
	opts  Options
	id    fs.DriveID
	epoch uint64
	root  *dir
	store reserved

	change sync.Mutex // serialises changes up to their publication; taken before mu
	sink   func(fs.Change)
	seq    uint64 // guarded by change

	mu   sync.RWMutex // guards nodes, contents and the fields below
	last uint64       // number of the newest node
	used int64        // bytes of chunks
}

var (
	_ fs.Drive    = (*Drive)(nil)
	_ fs.Reserver = (*Drive)(nil)
)

// New returns an empty drive.
func New(o Options) *Drive {
	if o.ID == (fs.DriveID{}) {
		o.ID = fs.NewDriveID()
	}
	if o.MaxFileSize == 0 {
		o.MaxFileSize = DefaultMaxFileSize
	}
	d := &Drive{opts: o, id: o.ID, epoch: uint64(time.Now().UnixNano())}
	d.store.d = d
	d.root = newDir(d, fs.CreateOptions{Mode: 0o755})
	return d
}

// ID returns the drive's UUID.
func (d *Drive) ID() fs.DriveID { return d.id }

// Caps returns what the drive can do.
func (d *Drive) Caps() fs.DriveCaps {
	return fs.DriveCaps{ReadOnly: d.opts.ReadOnly, Symlinks: true, Mknod: true, Xattrs: true, Exchange: true}
}

// Root returns the top directory.
func (d *Drive) Root() fs.Dir { return d.root }

// Reserved returns the engines' records.
func (d *Drive) Reserved() fs.Reserved { return &d.store }

// Publish names who is told of changes.
func (d *Drive) Publish(sink func(fs.Change)) {
	d.change.Lock()
	defer d.change.Unlock()
	d.sink = sink
}

// Close drops everything.
func (d *Drive) Close(context.Context) error {
	d.change.Lock()
	defer d.change.Unlock()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.root.children, d.used = map[string]inode{}, 0
	return nil
}

// Statfs returns the sizes, which are unknown without a limit.
func (d *Drive) Statfs(ctx context.Context) (fs.Statfs, error) {
	if err := d.enter(ctx, "statfs", ""); err != nil {
		return fs.Statfs{}, err
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	st := fs.Statfs{BlockSize: chunkSize}
	if d.opts.Size > 0 {
		st.Blocks = uint64(d.opts.Size / chunkSize)
		st.Free = uint64(max(d.opts.Size-d.used, 0) / chunkSize)
		st.Avail = st.Free
	}
	return st, nil
}

// enter returns the error with which an operation ends before it has begun.
func (d *Drive) enter(ctx context.Context, op, path string) error {
	if err := ctx.Err(); err != nil {
		return fs.Wrap(op, path, err)
	}
	if d.opts.Intercept == nil {
		return nil
	}
	return fs.Wrap(op, path, d.opts.Intercept(ctx, op, path))
}

// tx is a change under way. Its functions are called with the locks held.
type tx struct {
	d       *Drive
	now     time.Time
	cause   fs.Cause
	changes []fs.Change
}

// mutate runs fn with the state locked, then publishes what it has recorded. fn that fails must not have changed anything.
func (d *Drive) mutate(ctx context.Context, op, path string, fn func(*tx) error) (seq uint64, err error) {
	if err := d.enter(ctx, op, path); err != nil {
		return 0, err
	}
	if d.opts.ReadOnly {
		return 0, fail(op, path, fs.ReadOnly)
	}
	t := &tx{d: d, cause: fs.CauseOf(ctx)}
	d.change.Lock()
	defer d.change.Unlock()
	if err := d.locked(t, fn); err != nil {
		return 0, fs.Wrap(op, path, err)
	}
	for _, c := range t.changes {
		d.seq++
		c.Seq = d.seq
		if d.sink != nil {
			d.sink(c)
		}
	}
	if len(t.changes) == 0 {
		return 0, nil
	}
	return d.seq, nil
}

func (d *Drive) locked(t *tx, fn func(*tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.now = time.Now()
	return fn(t)
}

// record notes that op happened to n, which has its name.
func (t *tx) record(op fs.Op, n inode, c fs.Change) {
	m := n.meta()
	if c.Path == "" {
		path, ok := m.path()
		if !ok {
			return // a file without a name is nobody's business
		}
		c.Path = fs.Path(path)
	}
	a := n.stat()
	c.Epoch, c.Drive, c.Op, c.Cause, c.Time = t.d.epoch, t.d.id, op, t.cause, t.now
	c.FileID, c.Type = m.id, a.Type()
	if op == fs.OpRemove {
		c.Old = n
	} else {
		c.Node, c.Version = n, a.Version
	}
	t.changes = append(t.changes, c)
}

// find returns the directory and the last name of a path. The caller holds mu.
func (d *Drive) find(rel string) (*dir, string, error) {
	at := d.root
	for {
		name, rest, more := strings.Cut(rel, "/")
		if err := fs.CheckName(name); err != nil {
			return nil, "", err
		}
		if !more {
			return at, name, nil
		}
		n, ok := at.children[name]
		if !ok {
			return nil, "", fail("find", rel, fs.NotExist)
		}
		if at, ok = n.(*dir); !ok {
			return nil, "", fail("find", rel, fs.NotDir)
		}
		rel = rest
	}
}

func fail(op, path string, kind fs.Kind) error { return &fs.Error{Op: op, Path: path, Kind: kind} }
