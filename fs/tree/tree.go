package tree

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// ObserverWait is how long a mutation waits at most for the observers to act upon it.
const ObserverWait = 100 * time.Millisecond

// Options configure a Tree. The zero value works.
type Options struct {
	Logger    *slog.Logger // nil = discard
	StateDir  string       // where the staging of live documents is kept; "" = a temporary folder
	Root      string       // the drive that is the root; "" = the root holds the drives
	Live      fs.Live      // nil = there are no live documents
	Companion fs.Companion // nil = files go alone
	OwnerUID  uint32       // who owns the root folder
	OwnerGID  uint32
}

// Tree is the shared tree. Close it when done.
type Tree struct {
	opts   Options
	log    *slog.Logger
	root   *root
	hashes hashes
	feed   feed
	live   live

	mu     sync.RWMutex // guards the maps
	byName map[string]*mounted
	byID   map[fs.DriveID]*mounted
}

// mounted is a drive in the tree. Its fields do not change.
type mounted struct {
	name  string
	drive fs.Drive
	acks  acks
}

// New returns an empty tree.
func New(o Options) (*Tree, error) {
	t := &Tree{
		opts:   o,
		log:    o.Logger,
		byName: map[string]*mounted{},
		byID:   map[fs.DriveID]*mounted{},
	}
	if t.log == nil {
		t.log = slog.New(slog.DiscardHandler)
	}
	if o.Root != "" {
		if err := fs.CheckDriveName(o.Root); err != nil {
			return nil, err
		}
	}
	t.root = &root{t: t, born: time.Now()}
	if err := t.live.init(t); err != nil {
		return nil, err
	}
	return t, nil
}

// Add hangs a drive into the tree. From then on its changes are published; the tree closes it.
func (t *Tree) Add(name string, d fs.Drive) error {
	if err := fs.CheckDriveName(name); err != nil {
		return err
	}
	m := &mounted{name: name, drive: d}
	if err := t.hang(m); err != nil {
		return err
	}
	t.live.recover(m)
	t.announce(m, fs.OpCreate)
	return nil
}

func (t *Tree) hang(m *mounted) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byName[m.name] != nil || t.byID[m.drive.ID()] != nil {
		return &fs.Error{Op: "add drive", Path: m.name, Kind: fs.Exist,
			Err: errors.New("a drive of that name or identity is there already")}
	}
	m.drive.Publish(func(c fs.Change) { t.publish(m, c) })
	t.byName[m.name], t.byID[m.drive.ID()] = m, m
	return nil
}

// Remove takes a drive out of the tree and closes it. Nodes of it that are still referred to fail from then on.
func (t *Tree) Remove(ctx context.Context, name string) error {
	t.mu.Lock()
	m := t.byName[name]
	if m == nil {
		t.mu.Unlock()
		return &fs.Error{Op: "remove drive", Path: name, Kind: fs.NotExist}
	}
	delete(t.byName, name)
	delete(t.byID, m.drive.ID())
	t.mu.Unlock()
	t.announce(m, fs.OpRemove)
	t.seen(ctx, m)
	return m.drive.Close(ctx)
}

// Drives returns the names of the drives, sorted.
func (t *Tree) Drives() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	names := make([]string, 0, len(t.byName))
	for name := range t.byName {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Drive returns the drive of that name.
func (t *Tree) Drive(name string) (fs.Drive, error) {
	m, err := t.named(name)
	if err != nil {
		return nil, err
	}
	return m.drive, nil
}

// Close closes all drives. No other call may be under way or follow, but for those of subscriptions.
func (t *Tree) Close(ctx context.Context) error {
	errs := []error{t.live.close()}
	t.feed.close()
	t.mu.Lock()
	all := t.byName
	t.byName, t.byID = map[string]*mounted{}, map[fs.DriveID]*mounted{}
	t.mu.Unlock()
	for _, m := range all {
		errs = append(errs, m.drive.Close(ctx))
	}
	return errors.Join(errs...)
}

func (t *Tree) named(name string) (*mounted, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if m := t.byName[name]; m != nil {
		return m, nil
	}
	return nil, &fs.Error{Op: "find drive", Path: name, Kind: fs.NotExist}
}

// of returns the drive that a node belongs to.
func (t *Tree) of(n fs.Node) (*mounted, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	if m := t.byID[n.Drive()]; m != nil {
		return m, nil
	}
	return nil, &fs.Error{Op: "find drive", Kind: fs.NotExist, Err: errors.New("the drive was removed")}
}

// split returns the drive of a path and the path inside it.
func (t *Tree) split(p fs.Path) (m *mounted, rel string, err error) {
	name, rel := p.Drive(), p.Rel()
	if t.opts.Root != "" {
		name, rel = t.opts.Root, string(p)
	}
	m, err = t.named(name)
	return m, rel, err
}

// join is the reverse of split.
func (t *Tree) join(m *mounted, rel string) fs.Path {
	if t.opts.Root != "" {
		return fs.Path(rel)
	}
	if rel == "" {
		return fs.Path(m.name)
	}
	return fs.Path(m.name + "/" + rel)
}

// Path returns where a node is in the tree, or last was and false once it has no name.
func (t *Tree) Path(n fs.Node) (fs.Path, bool) {
	if n == fs.Node(t.root) {
		return "", true
	}
	m, err := t.of(n)
	if err != nil {
		return "", false
	}
	rel, ok := n.Path()
	return t.join(m, rel), ok
}

// Root returns the top directory.
func (t *Tree) Root() fs.Dir {
	if t.opts.Root != "" {
		if m, err := t.named(t.opts.Root); err == nil {
			return m.drive.Root()
		}
	}
	return t.root
}

// reserved reports whether name in dir is the daemon's own folder.
func (t *Tree) reserved(dir fs.Dir, name string) bool {
	if name != fs.ReservedName || dir == fs.Dir(t.root) {
		return false
	}
	m, err := t.of(dir)
	return err == nil && dir.Ino() == m.drive.Root().Ino()
}

// mayHold returns nil if a new name may be made in dir, or one removed from it.
func (t *Tree) mayHold(op string, dir fs.Dir, name string) error {
	if err := fs.CheckName(name); err != nil {
		return fs.Wrap(op, name, err)
	}
	if dir == fs.Dir(t.root) {
		return &fs.Error{Op: op, Path: name, Kind: fs.NotPermitted, Err: errors.New("the top folder holds only drives"),
			Hint: "choose a folder inside a drive, or add a drive with: jupyter-drive drive add"}
	}
	if t.reserved(dir, name) {
		return &fs.Error{Op: op, Path: name, Kind: fs.NotPermitted, Err: errors.New("this name belongs to the daemon")}
	}
	return nil
}
