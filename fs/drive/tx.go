package drive

import (
	"context"
	"os"
	"slices"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/journal"
)

// recordType is the only type of record there is: a list of items that are done together.
const recordType journal.Type = 1

// tx is a change under way. Its methods are called with Drive.order and Drive.mu held. What they change they can take back.
type tx struct {
	d       *Drive
	now     int64 // nanoseconds
	cause   fs.Cause
	settles bool // it lets space be given back, and works on a full disk

	undo    []func()
	touched []inode
	seen    map[inode]bool // what touched has
	gone    []uint64
	keys    []keyed
	left    map[keyed]*pending // what was known of keys of which nothing is wanted any more
	moved   map[inode]string   // of what has given up its path: where the store has the last version
	uploads []keyed
	noted   []conflictRecord
	after   []func() // run when all is written down
	changes []fs.Change
}

// mutate is change for what a drive that is read-only refuses.
func (d *Drive) mutate(ctx context.Context, op, path string, fn func(*tx) error) (uint64, error) {
	if err := ctx.Err(); err != nil {
		return 0, fs.Wrap(op, path, err)
	}
	if d.opts.ReadOnly {
		return 0, fail(op, path, fs.ReadOnly)
	}
	return d.change(ctx, op, path, fn)
}

// change runs fn with the state locked, writes down what it has done and publishes what it has recorded. If fn fails, or the
// journal does, nothing has changed. It returns the number of the last change published, 0 if there was none.
func (d *Drive) change(ctx context.Context, op, path string, fn func(*tx) error) (uint64, error) {
	t := &tx{d: d, cause: fs.CauseOf(ctx)}
	return d.commit(t, op, path, fn)
}

// settle is change for what follows from an answer of the store.
func (d *Drive) settle(op, path string, fn func(*tx) error) error {
	t := &tx{d: d, cause: fs.Cause{Origin: fs.OriginOutside}, settles: true}
	_, err := d.commit(t, op, path, fn)
	return err
}

func (d *Drive) commit(t *tx, op, path string, fn func(*tx) error) (seq uint64, err error) {
	d.order.Lock()
	defer d.order.Unlock()
	if err := d.locked(t, fn); err != nil {
		return 0, fs.Wrap(op, path, err)
	}
	for _, c := range t.changes {
		c.Seq, c.Epoch = d.nextSeq(), d.epoch
		seq = c.Seq
		if d.sink != nil {
			d.sink(c)
		}
	}
	return seq, nil
}

func (d *Drive) locked(t *tx, fn func(*tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	t.now = time.Now().UnixNano()
	if d.closed {
		return &fs.Error{Kind: fs.Unavailable, Err: os.ErrClosed}
	}
	err := fn(t)
	if err == nil {
		err = t.write()
	}
	if err != nil {
		for _, undo := range slices.Backward(t.undo) {
			undo()
		}
		return err
	}
	for _, f := range t.after {
		f()
	}
	if e := &d.evictor; e.count > e.begin {
		e.kick()
	}
	return nil
}

// touch is called before a node's meta is changed.
func (t *tx) touch(n inode) {
	x := n.meta()
	if t.seen[n] {
		return
	}
	t.d.regain(n)
	if t.seen == nil {
		t.seen = map[inode]bool{}
	}
	t.seen[n] = true
	before := x.m
	t.undo = append(t.undo, func() { x.m = before })
	t.touched = append(t.touched, n)
}

// put gives a name in a directory to n; nil takes it away.
func (t *tx) put(x *dir, name string, n inode) {
	before := x.children[name]
	t.undo = append(t.undo, func() { x.set(name, before) })
	x.edits++
	x.set(name, n)
}

// forget takes a node out of the journal.
func (t *tx) forget(n inode) {
	if x := n.meta(); x.m.kept {
		t.gone = append(t.gone, x.ino)
		x.m.kept = false
	}
}

// write appends what was done to the journal.
func (t *tx) write() error {
	e := &encoder{}
	if c := t.d.numbers; c.due() {
		t.d.numbers.encode(e)
		t.undo = append(t.undo, func() { t.d.reserved, t.d.reservedSeq = c.reserved, c.reservedSeq })
	}
	seen := map[inode]bool{}
	for _, n := range t.touched {
		t.encode(e, n, seen)
	}
	for _, ino := range t.gone {
		e.item(itemGone)
		e.uint(ino)
	}
	done := map[keyed]bool{}
	for _, k := range t.keys {
		if done[k] {
			continue
		}
		done[k] = true
		if p := t.d.pending[k]; p != nil {
			e.pending(&p.pendingRecord)
		} else {
			e.settled(k.key, k.dir)
		}
	}
	for _, k := range t.uploads {
		e.upload(k, t.d.uploads[k])
	}
	for _, r := range t.noted {
		e.conflict(r)
	}
	if len(e.b) == 0 {
		return nil
	}
	return t.d.append(e.b, t.settles)
}

// encode writes a node, after its directory if the journal does not know that.
func (t *tx) encode(e *encoder, n inode, seen map[inode]bool) {
	x := n.meta()
	if seen[n] || !x.named() {
		return
	}
	seen[n] = true
	if p := x.m.parent; p != nil && !p.m.kept {
		t.touch(p)
		t.encode(e, p, seen)
	}
	x.m.kept = true
	e.node(t.d.recordOf(n))
}

// recordSize is how many bytes go into one record. What is done together and takes more goes into several.
const recordSize = 16 << 20

// inRecords returns the records for a payload.
func (d *Drive) inRecords(payload []byte) []journal.Entry {
	if len(payload) <= recordSize {
		return []journal.Entry{{Type: recordType, Payload: payload}}
	}
	d.last++ // not next, which may write a record itself
	var all []journal.Entry
	left := (len(payload)+recordSize-1)/recordSize - 1
	for part := range slices.Chunk(payload, recordSize) {
		e := &encoder{b: make([]byte, 0, len(part)+32)}
		e.item(itemPart)
		e.uint(d.last)
		e.uint(uint64(left))
		all = append(all, journal.Entry{Type: recordType, Payload: append(e.b, part...)})
		left--
	}
	return all
}

// append writes a record, or several of which all count or none.
func (d *Drive) append(payload []byte, settles bool) error {
	d.hook("journal:before")
	add := d.journal.Append
	if settles {
		add = d.journal.AppendSettled
	}
	_, err := add(d.inRecords(payload)...)
	if err == nil {
		d.hook("journal:after")
	}
	return err
}

// record notes that op happened to n, which has its name.
func (t *tx) record(op fs.Op, n inode, c fs.Change) {
	x := n.meta()
	if c.Path == "" {
		path, ok := x.path()
		if !ok {
			return // a file without a name is nobody's business
		}
		c.Path = fs.Path(path)
	}
	a := n.stat()
	c.Drive, c.Op, c.Cause, c.Time = t.d.id, op, t.cause, time.Unix(0, t.now)
	c.FileID, c.Type = x.m.get().id, a.Type()
	if op == fs.OpRemove {
		c.Old = n
	} else {
		c.Node, c.Version = n, a.Version
	}
	t.changes = append(t.changes, c)
}

// numbers are the counters that never go back: blocks of them are written down as used before they are.
type numbers struct {
	last, reserved   uint64 // of nodes, layers and versions
	seq, reservedSeq uint64 // of changes
	epoch            uint64
}

const numberBlock = 1 << 16

// due reports whether a new block must be written down.
func (c *numbers) due() bool {
	return c.last+numberBlock/2 > c.reserved || c.seq+numberBlock/2 > c.reservedSeq
}

// encode writes down a new block.
func (c *numbers) encode(e *encoder) {
	c.reserved, c.reservedSeq = c.last+numberBlock, c.seq+numberBlock
	e.item(itemCounter)
	e.uint(c.reserved)
	e.item(itemSeq)
	e.uint(c.reservedSeq)
	e.uint(c.epoch)
}

// next returns a number that was never returned before. The caller holds Drive.mu.
func (d *Drive) next() uint64 {
	d.last++
	if d.last >= d.reserved {
		d.reserve()
	}
	return d.last
}

// nextSeq returns the number of a change. The caller holds order.
func (d *Drive) nextSeq() uint64 {
	d.seq++
	if d.seq >= d.reservedSeq {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.reserve()
	}
	return d.seq
}

// reserve writes a block of numbers down outside of a change. A failure leads to a new epoch of versions and changes at worst.
func (d *Drive) reserve() {
	e := &encoder{}
	d.numbers.encode(e)
	if err := d.append(e.b, true); err != nil {
		d.log.Warn("cannot write down which numbers are used", "error", err)
	}
}
