package drive

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/journal"
)

// recordOf returns a node as the journal keeps it. The caller holds Drive.mu.
func (d *Drive) recordOf(n inode) *nodeRecord {
	x := n.meta()
	m, more := &x.m, x.m.get()
	r := &nodeRecord{
		ino: x.ino, name: m.name, kind: n.kind(), mode: m.mode, uid: m.uid, gid: m.gid, size: m.size,
		times: [4]int64{more.atime, m.mtime, m.ctime, more.btime}, version: m.version, at: m.at, metaDirty: m.metaDirty, untold: m.untold,
		local: more.local, id: more.id, link: more.link, rdev: more.rdev, origin: more.origin, moved: more.moved, conflict: more.conflict,
		xattrs: more.xattrs, sent: more.sent,
	}
	if m.parent != nil {
		r.parent = m.parent.ino
	}
	if c := more.content; c != nil {
		r.content = &contentRecord{gen: c.gen, size: c.size}
		for _, l := range c.stack {
			l.mu.RLock()
			r.content.layers = append(r.content.layers, layerRecord{l.id, l.floor, slices.Clone(l.ext)})
			l.mu.RUnlock()
		}
	}
	return r
}

// replay is what the journal says, while it is being read.
type replay struct {
	d         *Drive
	nodes     map[uint64]*nodeRecord
	pending   map[keyed]pendingRecord
	conflicts map[uint64]loser  // copies, by number
	lost      []inode           // whose staging files are not there
	aside     map[uint64]string // staging files that are of no use without others, and the paths of the files they were of
	change    encoder           // what that makes of the journal
	parts     partial
}

// partial are the first of several records that count together.
type partial struct {
	id, left uint64 // left: how many are to follow
	payload  []byte
}

// join returns what a record says, nil if it is a part and others follow. Parts of which the last was not written count for nothing.
func (p *partial) join(payload []byte) []byte {
	if len(payload) == 0 || item(payload[0]) != itemPart {
		*p = partial{}
		return payload
	}
	d := &decoder{b: payload[1:]}
	id, left := d.uint(), d.uint()
	if p.id != id || p.left != left+1 {
		*p = partial{id: id}
	}
	p.left = left
	p.payload = append(p.payload, d.b...)
	if left > 0 {
		return nil
	}
	whole := p.payload
	*p = partial{}
	return whole
}

func (r *replay) apply(rec journal.Record) error {
	d := &decoder{b: r.parts.join(rec.Payload)}
	for len(d.b) > 0 && d.err == nil {
		switch kind := item(d.byte()); kind {
		case itemCounter:
			r.d.last = max(r.d.last, d.uint())
		case itemSeq:
			r.d.seq = max(r.d.seq, d.uint())
			r.d.epoch = d.uint()
		case itemNode:
			n := d.node()
			r.nodes[n.ino] = n
		case itemSent:
			ino, which := d.uint(), sent{d.uint(), d.uint()}
			if n := r.nodes[ino]; n != nil {
				n.sent = which
			}
		case itemGone:
			delete(r.nodes, d.uint())
		case itemPending:
			p := d.pending()
			r.pending[keyed{p.key, p.dir}] = p
		case itemMoved:
			k := keyed{key: d.text()}
			p := r.pending[k]
			p.to = d.text()
			r.pending[k] = p
		case itemUpload:
			r.d.putUpload(d.upload())
		case itemConflict:
			r.conflict(d.conflict())
		case itemPartial:
			r.conflict(d.partialConflict())
		case itemSettled:
			delete(r.pending, keyed{d.text(), d.flag()})
		default:
			return &fs.Error{Op: "open drive", Kind: fs.Unsupported, Err: fmt.Errorf("unknown item %d in the journal", kind),
				Hint: "it was written by a newer release: use that one"}
		}
	}
	if d.err != nil {
		return &fs.Error{Op: "open drive", Kind: fs.Checksum, Err: d.err, Hint: "the journal is damaged"}
	}
	return nil
}

func (r *replay) conflict(c conflictRecord) {
	if c.ino != 0 {
		r.conflicts[c.ino] = loser{c.at, c.lost}
		return
	}
	r.d.conflicts.setOccupied(c.path, c.at)
}

// build makes the tree of what was read.
func (r *replay) build() error {
	made := map[uint64]inode{r.d.root.ino: r.d.root}
	for ino, rec := range r.nodes {
		if ino == r.d.root.ino {
			r.fill(r.d.root, rec)
			continue
		}
		made[ino] = r.d.fromRecord(rec)
	}
	used := map[uint64]*layer{}
	for ino, rec := range r.nodes {
		n := made[ino]
		if n == inode(r.d.root) {
			continue
		}
		parent, ok := made[rec.parent].(*dir)
		if !ok {
			return &fs.Error{Op: "open drive", Path: rec.name, Kind: fs.Checksum, Err: errors.New("the journal names a file without its folder")}
		}
		r.fill(n, rec)
		n.meta().m.parent = parent
		parent.set(rec.name, n)
		if err := r.contents(n, rec, used); err != nil {
			return err
		}
	}
	for _, n := range r.lost {
		if r.giveUp(n); !n.meta().named() {
			delete(made, n.meta().ino)
		}
	}
	for ino, n := range made {
		r.d.retired[ino] = true // what is found where it came from is something else
		r.index(n)
	}
	for k, p := range r.pending {
		r.d.putPending(k, &pending{pendingRecord: p, due: time.Now(), unsure: true, replayed: true})
	}
	return r.removeStrays(used)
}

// giveUp has a file whose staging files are not there fall back to the version in the store that they lay over. Without one its name
// goes, and the store keeps what it has there.
func (r *replay) giveUp(n inode) {
	m, k := &n.meta().m, keyOf(n)
	if m.at.version != "" {
		m.size, m.version = m.at.size, m.at.version
		r.change.node(r.d.recordOf(n))
		return
	}
	delete(r.pending, k)
	m.parent.set(m.name, nil)
	m.parent = nil
	r.change.item(itemGone)
	r.change.uint(n.meta().ino)
	r.change.settled(k.key, k.dir)
}

func (d *Drive) fromRecord(rec *nodeRecord) inode {
	var n inode
	switch rec.kind {
	case kindDir:
		n = &dir{children: map[string]inode{}}
	case kindSymlink:
		n = &symlink{}
	case kindSpecial:
		n = &special{}
	default:
		n = &file{}
	}
	x := n.meta()
	x.d, x.self, x.ino = d, n, rec.ino
	return n
}

// fill sets what does not depend on other nodes.
func (r *replay) fill(n inode, rec *nodeRecord) {
	m := &n.meta().m
	*m = meta{
		name: rec.name, mode: rec.mode, uid: rec.uid, gid: rec.gid, kept: true, metaDirty: rec.metaDirty, untold: rec.untold, size: rec.size,
		mtime: rec.times[1], ctime: rec.times[2], version: rec.version, at: rec.at,
	}
	m.edit(func(x *more) {
		x.atime, x.btime, x.id, x.link, x.rdev, x.origin, x.moved = rec.times[0], rec.times[3], rec.id, rec.link, rec.rdev, rec.origin, rec.moved
		x.local, x.conflict, x.xattrs, x.sent = rec.local, rec.conflict, maps.Clone(rec.xattrs), rec.sent
	})
	if x, ok := n.(*dir); ok && rec.local {
		x.complete, x.replayed = true, true // and listed never: the store is asked when it can be
	}
}

// contents opens the layers of a file.
func (r *replay) contents(n inode, rec *nodeRecord, used map[uint64]*layer) error {
	if rec.content == nil {
		return nil
	}
	c := &content{size: rec.content.size, gen: rec.content.gen}
	seen := c.size // what lies after it is not seen of a layer, and may have been cut off
	for _, lr := range slices.Backward(rec.content.layers) {
		l := used[lr.id]
		if l == nil {
			var err error
			if l, err = r.d.staging.open(lr, seen); err != nil {
				path, _ := n.meta().path()
				if errors.Is(err, os.ErrNotExist) {
					r.lose(n, path, rec.content)
					return nil
				}
				return fs.Wrap("open drive", path, err)
			}
			used[lr.id] = l
		}
		seen = min(seen, lr.floor)
		c.stack = append(c.stack, l)
	}
	slices.Reverse(c.stack)
	r.d.ref(c.stack)
	n.meta().m.edit(func(m *more) { m.content = c })
	return nil
}

// lose notes that not all staging files of a file are there. The others are kept for whoever can make something of them.
func (r *replay) lose(n inode, path string, c *contentRecord) {
	r.d.log.Error("a staging file is missing: what was written is lost", "path", path)
	r.lost = append(r.lost, n)
	for _, lr := range c.layers {
		r.aside[lr.id] = path
	}
}

// index notes what is found by other things than the path.
func (r *replay) index(n inode) {
	m := &n.meta().m
	if m.at.key != "" {
		r.d.noteDisplaced(m.at.key, n, true)
	}
	x := m.get()
	if x.moved {
		r.d.noteOrigin(x.origin, 1)
	}
	if x.conflict != "" {
		is := r.conflicts[n.meta().ino]
		if is.at == 0 {
			is.at = m.ctime // an older release did not write it down
		}
		r.d.conflicts.copies[n] = is
	}
}

// removeStrays removes the staging files that the journal does not name: nobody was told that they are safe. What is left of a file of
// which others are missing goes to the folder lost beside them.
func (r *replay) removeStrays(used map[uint64]*layer) error {
	s := &r.d.staging
	strays, err := s.strays(func(id uint64) bool { return used[id] != nil && used[id].refs > 0 })
	for _, id := range strays {
		path, keep := r.aside[id]
		if !keep {
			err = errors.Join(err, os.Remove(s.path(id)))
			continue
		}
		to := filepath.Join(r.d.opts.State, "lost", filepath.Base(s.path(id)))
		r.d.log.Error("a part of what was written to a file is left", "path", path, "kept", to)
		err = errors.Join(err, os.MkdirAll(filepath.Dir(to), 0o700), os.Rename(s.path(id), to))
	}
	for _, l := range used {
		if l.refs == 0 {
			s.size.Add(-l.ext.bytes())
			err = errors.Join(err, l.f.Close())
		}
	}
	return fs.Wrap("open drive", s.dir, err)
}

// snapshotSize is about how many bytes of a checkpoint go into one record.
const snapshotSize = 1 << 20

// checkpoint makes the journal short, if it has grown.
func (d *Drive) checkpoint(force bool) error {
	d.order.Lock()
	defer d.order.Unlock()
	if !force && d.journal.Size() < max(d.opts.CheckpointSize, 4*d.snapshot) {
		return nil
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.hook("checkpoint:before")
	size := int64(0)
	err := d.journal.Checkpoint(func(add func(journal.Entry) error) error {
		e := &encoder{}
		flush := func() error {
			size += int64(len(e.b))
			err := add(journal.Entry{Type: recordType, Payload: e.b})
			e = &encoder{}
			return err
		}
		d.numbers.encode(e)
		for _, p := range d.pending {
			if e.pending(&p.pendingRecord); len(e.b) < snapshotSize {
				continue
			}
			if err := flush(); err != nil {
				return err
			}
		}
		for k, u := range d.uploads {
			e.upload(k, u)
		}
		d.conflicts.encode(e)
		if err := flush(); err != nil {
			return err
		}
		if err := d.root.snapshot(func(n inode) error {
			if e.node(d.recordOf(n)); len(e.b) < snapshotSize {
				return nil
			}
			return flush()
		}); err != nil {
			return err
		}
		return flush()
	})
	if err == nil {
		d.snapshot = size
		d.hook("checkpoint:after")
	}
	return err
}

// snapshot calls add for all that the journal knows, a directory before what is in it.
func (x *dir) snapshot(add func(inode) error) error {
	if x.m.kept {
		if err := add(x); err != nil {
			return err
		}
	}
	for _, n := range x.children {
		if sub, ok := n.(*dir); ok {
			if err := sub.snapshot(add); err != nil {
				return err
			}
		} else if n.meta().m.kept {
			if err := add(n); err != nil {
				return err
			}
		}
	}
	return nil
}
