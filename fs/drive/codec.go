package drive

import (
	"encoding/binary"
	"errors"
	"maps"
	"slices"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// encoder writes the payload of a journal record: numbers as varints, text after its length.
type encoder struct{ b []byte }

func (e *encoder) uint(v uint64)     { e.b = binary.AppendUvarint(e.b, v) }
func (e *encoder) int(v int64)       { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) text(s string)     { e.uint(uint64(len(s))); e.b = append(e.b, s...) }
func (e *encoder) id(id fs.FileID)   { e.b = append(e.b, id[:]...) }
func (e *encoder) flag(v bool)       { e.b = append(e.b, map[bool]byte{true: 1}[v]) }
func (e *encoder) item(kind item)    { e.b = append(e.b, byte(kind)) }
func (e *encoder) version(v version) { e.text(string(v)) }

type version = fs.Version

// decoder reads what an encoder wrote. After the first mistake all it gives is zero and err is set.
type decoder struct {
	b   []byte
	err error
}

var errShort = errors.New("a record ends too early")

func (d *decoder) fail() {
	if d.err == nil {
		d.err = errShort
	}
	d.b = nil
}

func (d *decoder) uint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.fail()
		return nil
	}
	out := d.b[:n]
	d.b = d.b[n:]
	return out
}

func (d *decoder) text() string     { return string(d.take(d.uint())) }
func (d *decoder) version() version { return version(d.text()) }

func (d *decoder) byte() byte {
	if b := d.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

func (d *decoder) flag() bool { return d.byte() != 0 }

func (d *decoder) id() (id fs.FileID) {
	copy(id[:], d.take(uint64(len(id))))
	return id
}

// count reads how many elements follow, each of at least size bytes.
func (d *decoder) count(size int) int {
	n := d.uint()
	if n > uint64(len(d.b)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

// item is what a part of a record says. The numbers are stored.
type item byte

const (
	itemCounter  item = 1  // numbers up to this one are used
	itemNode     item = 2  // all of a node
	itemGone     item = 3  // a node is no more
	itemPending  item = 4  // a key of the store is to be brought up to date
	itemSettled  item = 5  // a key is as it should be
	itemUpload   item = 7  // an upload in parts is under way, or has ended
	itemConflict item = 9  // two versions are kept, or are known to somebody by now
	itemPart     item = 8  // the record is a part of what does not fit into one
	itemPartial  item = 10 // itemConflict of a version of which bytes are gone
	itemMoved    item = 11 // of an itemPending just before: where its file went
	itemSent     item = 12 // of an itemNode just before: which contents the store may have of it
	itemSeq      item = 6  // sequence numbers of changes up to this one are used, in this epoch
)

// kind is the type of a node in a record. The numbers are stored.
type kind byte

const (
	kindFile    kind = 1
	kindDir     kind = 2
	kindSymlink kind = 3
	kindSpecial kind = 4
)

// nodeRecord is a node as the journal has it.
type nodeRecord struct {
	ino, parent uint64 // parent 0: the root itself
	name        string
	kind        kind
	mode        uint32
	uid, gid    uint32
	size        int64
	times       [4]int64 // atime, mtime, ctime, btime
	version     version
	at          base
	metaDirty   bool
	untold      untold
	local       bool // dir: nothing is in the store but what the journal knows
	id          fs.FileID
	link        string
	rdev        uint32 // special: number of a device
	origin      string // dir: where its children are in the store
	moved       bool   // origin is valid
	conflict    string
	xattrs      map[string][]byte
	content     *contentRecord
	sent        sent
}

type contentRecord struct {
	gen    uint64
	size   int64
	layers []layerRecord
}

type layerRecord struct {
	id    uint64
	floor int64
	ext   extents
}

func (e *encoder) base(b base) {
	e.text(b.key)
	e.version(b.version)
	e.int(b.size)
}

func (d *decoder) base() base { return base{d.text(), d.version(), d.int()} }

func (e *encoder) node(r *nodeRecord) {
	e.item(itemNode)
	e.uint(r.ino)
	e.uint(r.parent)
	e.text(r.name)
	e.b = append(e.b, byte(r.kind))
	e.uint(uint64(r.mode))
	e.uint(uint64(r.uid))
	e.uint(uint64(r.gid))
	e.int(r.size)
	for _, t := range r.times {
		e.int(t)
	}
	e.version(r.version)
	e.base(r.at)
	e.attributes(r)
	e.flag(r.local)
	e.id(r.id)
	e.text(r.link)
	e.flag(r.moved)
	e.text(r.origin)
	e.text(r.conflict)
	e.uint(uint64(len(r.xattrs)))
	for _, name := range slices.Sorted(maps.Keys(r.xattrs)) {
		e.text(name)
		e.text(string(r.xattrs[name]))
	}
	e.flag(r.content != nil)
	if r.content != nil {
		e.content(r.content)
	}
	if r.kind == kindSpecial {
		e.uint(uint64(r.rdev))
	}
	if r.content != nil && r.sent != (sent{}) {
		e.item(itemSent)
		e.uint(r.ino)
		e.uint(r.sent.first)
		e.uint(r.sent.last)
	}
}

func (d *decoder) node() *nodeRecord {
	r := &nodeRecord{ino: d.uint(), parent: d.uint(), name: d.text(), kind: kind(d.byte())}
	r.mode, r.uid, r.gid, r.size = uint32(d.uint()), uint32(d.uint()), uint32(d.uint()), d.int()
	for i := range r.times {
		r.times[i] = d.int()
	}
	r.version, r.at = d.version(), d.base()
	d.attributes(r)
	r.local, r.id = d.flag(), d.id()
	r.link, r.moved, r.origin, r.conflict = d.text(), d.flag(), d.text(), d.text()
	for range d.count(2) {
		if r.xattrs == nil {
			r.xattrs = map[string][]byte{}
		}
		name := d.text()
		r.xattrs[name] = []byte(d.text())
	}
	if d.flag() {
		r.content = d.content()
	}
	if r.kind == kindSpecial {
		r.rdev = uint32(d.uint())
	}
	return r
}

// attributes says how the attributes stand: in the lowest bit whether the store is to be told, above it what it has not told.
func (e *encoder) attributes(r *nodeRecord) {
	e.b = append(e.b, map[bool]byte{true: 1}[r.metaDirty]|byte(r.untold)<<1)
}

func (d *decoder) attributes(r *nodeRecord) {
	b := d.byte()
	r.metaDirty, r.untold = b&1 != 0, untold(b>>1)
}

func (e *encoder) content(c *contentRecord) {
	e.uint(c.gen)
	e.int(c.size)
	e.uint(uint64(len(c.layers)))
	for _, l := range c.layers {
		e.uint(l.id)
		e.int(l.floor)
		e.uint(uint64(len(l.ext)))
		for _, s := range l.ext {
			e.int(s.off)
			e.int(s.end)
		}
	}
}

func (d *decoder) content() *contentRecord {
	c := &contentRecord{gen: d.uint(), size: d.int()}
	for range d.count(3) {
		l := layerRecord{id: d.uint(), floor: d.int()}
		for range d.count(2) {
			l.ext = append(l.ext, span{d.int(), d.int()})
		}
		c.layers = append(c.layers, l)
	}
	return c
}

// pendingRecord is a key to be brought up to date, as the journal has it.
type pendingRecord struct {
	key   string
	have  version // what the store has there as far as is known; "" = nothing
	dir   bool    // key is a directory's; have "dir" = its marker is there
	trash bool    // what is there was removed by somebody, and is to be kept for a while
	to    string  // the path to which the file was moved of which that is the last version, or where it was removed; "" = it was not moved; or nobody
	since int64
}

func (e *encoder) pending(r *pendingRecord) {
	e.item(itemPending)
	e.text(r.key)
	e.version(r.have)
	e.flag(r.dir)
	e.flag(r.trash)
	e.int(r.since)
	if r.to != "" {
		e.item(itemMoved)
		e.text(r.key)
		e.text(r.to)
	}
}

func (d *decoder) pending() pendingRecord {
	return pendingRecord{key: d.text(), have: d.version(), dir: d.flag(), trash: d.flag(), since: d.int()}
}

func (e *encoder) settled(key string, dir bool) {
	e.item(itemSettled)
	e.text(key)
	e.flag(dir)
}

func (e *encoder) upload(k keyed, u *parts) {
	e.item(itemUpload)
	e.text(k.key)
	e.flag(u != nil)
	if u != nil {
		e.uint(u.gen)
		e.text(u.id)
		e.int(u.begun)
	}
}

func (d *decoder) upload() (k keyed, u *parts) {
	k.key = d.text()
	if d.flag() {
		u = &parts{gen: d.uint(), id: d.text(), begun: d.int()}
	}
	return k, u
}

// conflictRecord is a conflict as the journal has it.
type conflictRecord struct {
	ino  uint64 // of the copy; 0 = there is none
	path string // of a folder that was not removed, if there is no copy
	at   int64  // since when; 0 = it is none any more
	lost int64  // bytes of the copy that are gone
}

func (e *encoder) conflict(r conflictRecord) {
	if r.lost != 0 {
		e.item(itemPartial)
		e.uint(r.ino)
		e.int(r.at)
		e.int(r.lost)
		return
	}
	e.item(itemConflict)
	e.uint(r.ino)
	e.text(r.path)
	e.int(r.at)
}

func (d *decoder) conflict() conflictRecord {
	return conflictRecord{ino: d.uint(), path: d.text(), at: d.int()}
}

func (d *decoder) partialConflict() conflictRecord {
	return conflictRecord{ino: d.uint(), at: d.int(), lost: d.int()}
}
