package blockcache

import (
	"container/list"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Unit is the size in bytes of what is present or absent as a whole. The last unit of a file ends with it.
const Unit = 32 << 10

// Defaults of Options.
const (
	DefaultLimit   = 20 << 30
	DefaultMinFree = 1 << 30
)

// Options tell how much is kept.
type Options struct {
	Limit   int64        // bytes on the disk; 0 = DefaultLimit
	MinFree int64        // bytes of the file system that stay free; 0 = DefaultMinFree, negative = none
	Logger  *slog.Logger // nil = silent
}

func (o Options) withDefaults() Options {
	if o.Limit <= 0 {
		o.Limit = DefaultLimit
	}
	if o.MinFree == 0 {
		o.MinFree = DefaultMinFree
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Key names one version of one file.
type Key struct {
	Drive   string // the drive's id
	Name    string // its path in the drive
	Version fs.Version
}

// Range is a part of a file in bytes.
type Range struct{ Off, Len int64 }

// Stats tell what the cache holds and did since it was opened.
type Stats struct {
	Limit, Used   int64 // bytes on the disk
	Pinned        int64 // bytes that cannot be evicted now
	Files, Open   int
	Hits, Misses  int64 // reads
	Evicted       int64 // bytes
	DamagedUnits  int64
	CheckedUnits  int64
	RefusedWrites int64 // for want of room
}

// Cache is an open cache. Close it after its files.
type Cache struct {
	dir  string
	opts Options

	mu        sync.Mutex // guards what follows; held for short operations on the disk only, never while contents are read or written
	entries   map[string]*entry
	open      map[*entry]struct{} // those with files open, also removed ones
	probation *list.List          // closed entries that were used once, newest first
	protected *list.List          // closed entries that were used again, newest first
	guarded   int64               // bytes in protected
	used      int64
	free      budget
	evicted   int64
	closed    bool

	evicting sync.Mutex // one at a time makes room; taken before mu

	counts counts
	clock  atomic.Uint64 // counts uses of chunks
}

// counts are what happened, for [Stats].
type counts struct{ hits, misses, damaged, checked, refused atomic.Int64 }

// entry is a key that is known, with or without contents. Its fields are guarded by Cache.mu.
type entry struct {
	id     string
	key    Key // valid while open
	size   int64
	bytes  int64 // what it takes of the limit
	refs   int   // open Files
	pins   int   // of them those that pin
	uses   int
	gone   bool // removed while open
	lent   bool // a descriptor was handed out once: a mapping of its file may outlive the descriptor
	seal   seal // of the contents when they were closed, if all of them were checked
	elem   *list.Element
	inList *list.List
	data   *contents // while open
	lender *File     // whose descriptor may be used; nil = nobody's
}

// Open opens the cache in dir, which is made if it does not exist. Contents of another format are removed.
func Open(dir string, o Options) (*Cache, error) {
	c := &Cache{
		dir: dir, opts: o.withDefaults(), entries: make(map[string]*entry), open: make(map[*entry]struct{}),
		probation: list.New(), protected: list.New(),
	}
	if err := prepare(dir); err != nil {
		return nil, fs.Wrap("open cache", dir, err)
	}
	c.scan()
	c.mu.Lock()
	full := c.used > c.opts.Limit
	c.mu.Unlock()
	if full {
		c.makeRoom(0)
	}
	return c, nil
}

// idOf returns the path of a key's files below the directory of contents, without their suffixes.
func idOf(k Key) string {
	sum := sha256.Sum256([]byte(k.Name + "\x00" + string(k.Version)))
	name := hex.EncodeToString(sum[:16])
	return driveDir(k.Drive) + "/" + name[:2] + "/" + name[2:]
}

// driveDir is the folder of a drive's contents.
func driveDir(drive string) string {
	sum := sha256.Sum256([]byte(drive))
	return hex.EncodeToString(sum[:8])
}

func (c *Cache) dataPath(id string) string { return filepath.Join(c.dir, contentsDir, id+dataSuffix) }
func (c *Cache) mapPath(id string) string  { return filepath.Join(c.dir, contentsDir, id+mapSuffix) }

// Open returns the file of a key, which has size bytes. Nothing needs to be cached of it yet. What is cached under that key with another
// size is removed.
func (c *Cache) Open(k Key, size int64) (*File, error) {
	if size < 0 {
		return nil, &fs.Error{Op: "open in cache", Path: k.Name, Kind: fs.Invalid}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, &fs.Error{Op: "open in cache", Path: k.Name, Kind: fs.Invalid, Err: os.ErrClosed}
	}
	id := idOf(k)
	e := c.entries[id]
	if e != nil && e.refs > 0 && e.size != size {
		c.forget(e)
		e = nil
	}
	if e == nil {
		e = &entry{id: id}
		c.entries[id] = e
	}
	if e.refs == 0 {
		c.load(e, k, size)
	}
	e.refs++
	return &File{cache: c, entry: e, data: e.data}, nil
}

// load reads what is on the disk of an entry that gets its first user. The caller holds mu.
func (c *Cache) load(e *entry, k Key, size int64) {
	c.unlist(e)
	e.key, e.size = k, size
	e.data = loadContents(&c.clock, c.dataPath(e.id), c.mapPath(e.id), k, size)
	e.data.lent = e.lent
	e.data.trust(e.seal)
	c.charge(e, e.data.cost()-e.bytes)
	c.open[e] = struct{}{}
}

// charge changes what an entry takes of the limit. The caller holds mu.
func (c *Cache) charge(e *entry, bytes int64) {
	e.bytes += bytes
	c.used += bytes
}

// unlist takes an entry out of the lists of closed ones. The caller holds mu.
func (c *Cache) unlist(e *entry) {
	if e.inList == nil {
		return
	}
	e.inList.Remove(e.elem)
	if e.inList == c.protected {
		c.guarded -= e.bytes
	}
	e.inList, e.elem = nil, nil
}

// release ends one use of an entry.
func (c *Cache) release(e *entry, pinned bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if pinned {
		e.pins--
		e.data.setPinned(e.pins > 0)
	}
	e.refs--
	if e.refs > 0 {
		return nil
	}
	seal, err := e.data.close(time.Now())
	empty := e.data.empty() || e.data.spoiled()
	if e.data.altered() {
		c.charge(e, e.data.cost()-e.bytes) // the file that was altered is gone, and so is who had it
		e.lent = false
	}
	e.data, e.seal = nil, seal
	delete(c.open, e)
	switch {
	case e.gone:
		c.used -= e.bytes
	case empty:
		c.drop(e)
	default:
		e.uses++
		c.enlist(e)
	}
	return err
}

// enlist puts a closed entry where it will be found by evictions. The caller holds mu.
func (c *Cache) enlist(e *entry) {
	e.inList = c.probation
	if e.uses > 1 {
		e.inList = c.protected
		c.guarded += e.bytes
	}
	e.elem = e.inList.PushFront(e)
	for c.guarded > c.opts.Limit/5*4 && c.protected.Len() > 1 {
		old := c.protected.Back().Value.(*entry)
		c.unlist(old)
		old.inList, old.elem = c.probation, c.probation.PushFront(old)
	}
}

// drop removes a closed entry. The caller holds mu.
func (c *Cache) drop(e *entry) {
	c.unlist(e)
	c.used -= e.bytes
	delete(c.entries, e.id)
	c.unlink(e.id)
}

// forget removes an entry, which stays usable for those who have it open. The caller holds mu.
func (c *Cache) forget(e *entry) {
	if e.refs == 0 {
		c.drop(e)
		return
	}
	e.gone = true
	e.data.orphan()
	delete(c.entries, e.id)
	c.unlink(e.id)
}

// unlink removes an entry's files: the map first, since contents without a map are nothing.
func (c *Cache) unlink(id string) {
	for _, path := range []string{c.mapPath(id), c.dataPath(id)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			c.opts.Logger.Warn("cannot remove a file of the cache", "file", path, "error", err)
		}
	}
}

// Remove forgets a key. Those who have it open go on reading.
func (c *Cache) Remove(k Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := c.entries[idOf(k)]; e != nil {
		c.forget(e)
	}
}

// RemoveDrive forgets everything of a drive.
func (c *Cache) RemoveDrive(drive string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	prefix := driveDir(drive)
	for id, e := range c.entries {
		if id[:len(prefix)] == prefix {
			c.forget(e)
		}
	}
	return fs.Wrap("remove from cache", drive, os.RemoveAll(filepath.Join(c.dir, contentsDir, prefix)))
}

// Rename gives the contents of one key to another, whose own are removed. Files that are open stay so.
func (c *Cache) Rename(from, to Key) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.entries[idOf(from)]
	if e == nil || from == to {
		return nil
	}
	id := idOf(to)
	if old := c.entries[id]; old != nil {
		c.forget(old)
	}
	if err := c.move(e, id, to); err != nil {
		c.forget(e)
		return fs.Wrap("rename in cache", from.Name, err)
	}
	delete(c.entries, e.id)
	e.id, e.key = id, to
	c.entries[id] = e
	return nil
}

// move renames an entry's files, if it has some, and writes the new key into the map. A crash on the way leaves something that is
// removed later. The caller holds mu.
func (c *Cache) move(e *entry, id string, to Key) error {
	if e.data != nil {
		return e.data.move(c.dataPath(id), c.mapPath(id), to)
	}
	return moveFiles(c.dataPath(e.id), c.mapPath(e.id), c.dataPath(id), c.mapPath(id), to)
}

// Stats returns what the cache holds.
func (c *Cache) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := Stats{
		Limit: c.opts.Limit, Used: c.used, Files: len(c.entries), Open: len(c.open), Evicted: c.evicted,
		Hits: c.counts.hits.Load(), Misses: c.counts.misses.Load(), DamagedUnits: c.counts.damaged.Load(),
		CheckedUnits: c.counts.checked.Load(), RefusedWrites: c.counts.refused.Load(),
	}
	for e := range c.open {
		if e.pins > 0 {
			s.Pinned += e.bytes
		}
	}
	return s
}

// Used returns how many bytes of a drive are cached.
func (c *Cache) Used(drive string) int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	prefix := driveDir(drive)
	var n int64
	for id, e := range c.entries {
		if id[:len(prefix)] == prefix {
			n += e.bytes
		}
	}
	return n
}

// Limit returns the limit in bytes.
func (c *Cache) Limit() int64 { return c.opts.Limit }

// Close ends the cache. What it holds stays on the disk. Files must be closed before.
func (c *Cache) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.closed = true
	return nil
}
