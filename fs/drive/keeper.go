package drive

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/snapshot"
)

// keeper writes down what directories have: for a start without the store, and for what the store has told of files that a listing does not tell. What the journal knows is left out: it is there in any case.
type keeper struct {
	file *snapshot.File // nil = nothing is kept
	wake chan struct{}  // holds one element when there is something to do
	end  chan struct{}  // closed when the loop has ended

	mu  sync.Mutex    // guards due; may be taken with Drive.mu held
	due map[*dir]bool // directories to be written down
}

// keepAfter is how long what was listed is not written down, so that what changes meanwhile is written once.
const keepAfter = 2 * time.Second

// startKeeper opens the file of listings. Without one everything works, but for a start without the store.
func (d *Drive) startKeeper() {
	d.keeper.wake, d.keeper.end, d.keeper.due = make(chan struct{}, 1), make(chan struct{}), map[*dir]bool{}
	if d.opts.Listings == "" {
		close(d.keeper.end)
		return
	}
	var err error
	d.keeper.file, err = snapshot.Open(d.opts.Listings, snapshot.Options{Drive: d.id, Logger: d.log})
	if err != nil {
		d.log.Warn("listings are not kept over a restart", "error", err)
		close(d.keeper.end)
		return
	}
	go d.keepListings(d.ctx)
}

// keepListings is the loop that writes listings down.
func (d *Drive) keepListings(ctx context.Context) {
	defer close(d.keeper.end)
	for {
		select {
		case <-ctx.Done():
			return
		case <-d.keeper.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(keepAfter):
		}
		d.keepDue()
	}
}

// endKeeper writes down what is due, and closes the file. Nothing changes any more.
func (d *Drive) endKeeper() error {
	<-d.keeper.end
	if d.keeper.file == nil {
		return nil
	}
	d.keepDue()
	return d.keeper.file.Close()
}

// keep has a directory written down.
func (k *keeper) keep(x *dir) {
	if k.file == nil {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.due[x] = true; len(k.due) == 1 {
		select {
		case k.wake <- struct{}{}:
		default:
		}
	}
}

// gone notes at once that a name leaves its directory, so that it does not come back after a crash. The caller holds Drive.mu.
func (k *keeper) gone(path string, isDir bool) {
	if k.file != nil {
		k.file.Gone(path, isDir)
	}
}

func (d *Drive) keepDue() {
	d.keeper.mu.Lock()
	due := d.keeper.due
	d.keeper.due = map[*dir]bool{}
	d.keeper.mu.Unlock()
	for x := range due {
		d.keepListing(x)
	}
}

// keepChunk is how many names are looked at with the lock held.
const keepChunk = 1024

// keepListing writes one directory down. If names leave it meanwhile it is left for the next time. It returns which edit of the directory
// it has met, and whether that is written down.
func (d *Drive) keepListing(x *dir) (edits uint64, written bool) {
	if d.keeper.file == nil {
		d.mu.RLock()
		defer d.mu.RUnlock()
		return x.edits, false
	}
	d.mu.RLock()
	path, known := x.path()
	known = known && x.complete && !x.replayed && !x.m.get().moved
	left, edits := x.left, x.edits
	names := slices.Collect(maps.Keys(x.children))
	d.mu.RUnlock()
	if !known {
		return edits, false
	}
	slices.Sort(names)
	e := &encoder{b: []byte{listingVersion}}
	for chunk := range slices.Chunk(names, keepChunk) {
		d.mu.RLock()
		for _, name := range chunk {
			e.child(name, x.children[name])
		}
		d.mu.RUnlock()
	}
	d.mu.RLock()
	defer d.mu.RUnlock()
	if now, _ := x.path(); now != path || x.left != left || x.m.get().moved {
		d.keeper.keep(x)
		return edits, false
	}
	d.keeper.file.Put(path, e.b)
	return edits, d.keeper.file.Has(path)
}

// listingVersion is the first byte of a listing that is kept.
const listingVersion = 2

// The bits that say what follows of a child.
const (
	childMarked = 1 << iota // the store has the directory by itself
	childID
	childUntold // this bit and those above it: see untold
)

// child writes what is needed to make a node as it was found in the store; nothing, if the journal has it, or the store has not.
func (e *encoder) child(name string, n inode) {
	if n == nil || n.meta().m.kept {
		return
	}
	m, more := &n.meta().m, n.meta().m.get()
	if n.kind() != kindDir && (m.at.version == "" || m.at.key != "") {
		return
	}
	bits := byte(m.untold) * childUntold
	if m.at.version != "" && n.kind() == kindDir {
		bits |= childMarked
	}
	if !more.id.IsZero() {
		bits |= childID
	}
	e.text(name)
	e.b = append(e.b, byte(n.kind()), bits)
	e.uint(uint64(m.mode))
	e.int(m.mtime)
	if n.kind() != kindDir {
		e.int(m.size)
		e.version(m.at.version)
	}
	switch n.kind() {
	case kindSymlink:
		e.text(more.link)
	case kindSpecial:
		e.uint(uint64(m.mode & fs.ModeType))
		e.uint(uint64(more.rdev))
	}
	if bits&childID != 0 {
		e.id(more.id)
	}
}

// child reads what an encoder's child has written.
func (d *decoder) child(dir string) (fs.Info, untold) {
	info := fs.Info{Key: join(dir, d.text()), HasMode: true}
	kind, bits := kind(d.byte()), d.byte()
	info.Mode = uint32(d.uint()) & fs.ModePerm
	info.ModTime = stamp(d.int())
	switch kind {
	case kindDir:
		info.Type, info.Implicit = fs.Directory, bits&childMarked == 0
	case kindSymlink:
		info.Type, info.Size, info.Version, info.Link = fs.Symlink, d.int(), d.version(), d.text()
	case kindSpecial:
		info.Type, info.Size, info.Version = fs.Other, d.int(), d.version()
		info.Special = fs.Special{Mode: uint32(d.uint()), Rdev: uint32(d.uint())}
	case kindFile:
		info.Type, info.Size, info.Version = fs.File, d.int(), d.version()
	default:
		d.fail()
	}
	if bits&childID != 0 {
		info.FileID = d.id()
	}
	return info, untold(bits / childUntold)
}

// lacks reports whether what is written down of the directory may have names that it has not. The caller holds Drive.mu.
func (x *dir) lacks() bool { return (!x.complete || x.replayed) && !x.m.get().moved }

// restore gives a directory that was never listed by this process, or whose children were let go of, what it was known to have.
func (x *dir) restore() {
	d := x.d
	if d.keeper.file == nil {
		return
	}
	d.mu.RLock()
	path, ok := "", x.lacks() && !d.closed
	if ok {
		path, ok = x.path()
	}
	d.mu.RUnlock()
	if !ok {
		return
	}
	data, gone := d.keeper.file.Get(path)
	if len(data) == 0 || data[0] != listingVersion {
		return
	}
	var children []restored
	in := &decoder{b: data[1:]}
	for len(in.b) > 0 {
		info, untold := in.child(path)
		children = append(children, restored{info, untold})
	}
	if in.err != nil {
		d.log.Warn("a listing that was kept cannot be read", "path", path, "error", in.err)
		return
	}
	if err := d.settle("restore", path, func(t *tx) error {
		if now, ok := x.path(); ok && now == path && x.lacks() {
			t.restore(x, children, gone)
		}
		return nil
	}); err != nil {
		d.log.Debug("a listing that was kept was not restored", "path", path, "error", err)
	}
}

// restoreAll is restore, while the store is away, for a directory that is about to be moved, nil for none, and for those below it that the journal
// knows: what is written down is found under their paths.
func (x *dir) restoreAll() {
	if x == nil || !x.d.isOffline() {
		return
	}
	x.d.mu.RLock()
	replayed := x.replayed
	var below []*dir
	for _, n := range x.children {
		if sub, ok := n.(*dir); ok {
			below = append(below, sub)
		}
	}
	x.d.mu.RUnlock()
	if replayed {
		x.restore()
	}
	for _, sub := range below {
		sub.restoreAll()
	}
}

// restored is a child of a directory as it was written down.
type restored struct {
	info   fs.Info
	untold untold
}

func (t *tx) restore(x *dir, children []restored, gone map[string]bool) {
	for i := range children {
		info := &children[i].info
		_, name := split(info.Key)
		if fs.CheckName(name) != nil || x.reserved(name) || x.known(name) != nil || gone[name] || x.isTouched(name) || t.d.isPending(info.Key) {
			continue
		}
		if f, ok := t.placeFound(x, name, info).(*file); ok {
			f.checked, f.m.untold = 0, children[i].untold
		}
	}
	t.after = append(t.after, func() {
		x.complete, x.replayed = true, false
	})
	x.regainAll()
}
