package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// job is a key being brought up to date: what is wanted there and what is known of the store, as of one moment.
type job struct {
	keyed
	have    version
	unsure  bool
	trash   bool
	to      string
	n       inode    // what the tree has there; nil = nothing
	m       meta     // of n
	content *content // of n, if it is a file with bytes that the store does not have
	v       view     // the bytes of n
	gen     uint64   // names what is written
	oldMeta bool     // the store was given other attributes, by an earlier try
}

// begin takes down what a key needs. Its layers stay until the job ends.
func (d *Drive) job(k keyed) (*job, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.newJob(k)
}

// newJob is job with mu held.
func (d *Drive) newJob(k keyed) (*job, bool) {
	p := d.pending[k]
	if p == nil {
		return nil, false
	}
	j := &job{keyed: k, have: p.have, unsure: p.unsure, trash: p.trash, to: p.to, n: d.at(k)}
	if j.n == nil {
		return j, true
	}
	j.m, j.gen = j.n.meta().m, j.n.meta().ino
	if f, ok := j.n.(*file); ok {
		j.v, j.content = f.view(), j.m.get().content
		switch {
		case j.content != nil:
			j.gen = j.content.gen
		case j.v.at.version != "": // the same file may be copied to the same key again, with other bytes
			j.gen = fs.Ino(d.id, j.gen, hash(j.v.at.key), hash(string(j.v.at.version)))
		}
		d.ref(j.v.stack)
	}
	return j, true
}

// readyJob is job for a key that must not wait for others. It did not when its worker began, but names may have changed since.
func (d *Drive) readyJob(k keyed) (*job, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.pending[k]; p == nil || d.blocker(p) != (blocker{}) {
		return nil, false
	}
	return d.newJob(k)
}

func (d *Drive) endJob(j *job) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unref(j.v.stack)
}

// reconcile brings one key of the store up to date. It returns nil when that is done, or when the next step is to be taken by
// another call.
func (d *Drive) reconcile(ctx context.Context, k keyed) error {
	j, ok := d.readyJob(k)
	if !ok {
		return nil
	}
	defer d.endJob(j)
	if j.n == nil {
		d.endUpload(ctx, k)
	} else if again, err := d.toTrashFirst(ctx, j); again || err != nil {
		return err
	}
	switch n := j.n.(type) {
	case nil:
		return d.reconcileGone(ctx, j)
	case *dir:
		return d.reconcileDir(ctx, j, n)
	case *symlink, *special:
		return d.reconcileBare(ctx, j)
	case *file:
		return d.reconcileFile(ctx, j, n)
	}
	return nil
}

// settled takes a key out: the store has what is wanted.
func (d *Drive) settled(j *job) error {
	return d.settle("settle", j.key, func(t *tx) error {
		if p := t.d.pending[j.keyed]; p != nil && (p.again || t.d.at(j.keyed) != j.n) {
			if j.n != nil {
				t.edit(j.keyed) // something else is wanted meanwhile
				return nil
			}
			t.setTo(j.keyed, "")
			now := t.edit(j.keyed)
			now.have, now.unsure = "", false
			return nil
		}
		t.setPending(j.keyed, nil)
		t.touchName(j.key)
		if j.n == nil && j.dir {
			t.noteOccupied(j.key, 0)
		}
		return nil
	})
}

// touchName notes that a listing under way may not know the present state of a key.
func (t *tx) touchName(key string) {
	dir, name := split(key)
	if x, ok := t.d.lookup(dir).(*dirNode); ok {
		x.note(name)
	}
}

type dirNode = dir

// expire has the directory of a key listed anew when it is next asked for.
func (d *Drive) expire(key string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	path, _ := split(key)
	if x, ok := d.lookup(path).(*dir); ok {
		x.listed = time.Time{}
	}
	return nil
}

// reconcileDir makes a directory's marker, after its children were found if it was moved before they were known.
func (d *Drive) reconcileDir(ctx context.Context, j *job, x *dir) error {
	if j.m.get().moved {
		return x.adoptAll(ctx)
	}
	marker, marks := fs.As[fs.Marker](d.backend)
	dirty := j.m.metaDirty
	if marks && !dirty && j.have == markerVersion && j.m.at.version == "" {
		var err error
		if dirty, err = d.isOfAnother(ctx, j, marker); err != nil {
			return err
		}
	}
	if marks && dirty {
		if err := d.mark(ctx, j, marker); err != nil {
			return err
		}
	} else if maker, ok := fs.As[fs.Mkdirer](d.backend); ok && (j.have == "" || j.unsure) && j.m.at.version == "" {
		if err := d.attempt(j); err != nil {
			return err
		}
		d.hook("store:mkdir:before")
		_, err := maker.Mkdir(ctx, j.key, fs.Cond{IfAbsent: true})
		d.heard(err)
		d.hook("store:mkdir:after")
		if err != nil && fs.KindOf(err) != fs.Exist {
			return err
		}
	}
	return d.settle("mkdir", j.key, func(t *tx) error {
		if t.d.at(j.keyed) != inode(x) {
			p := t.edit(j.keyed)
			p.have = markerVersion
			return nil
		}
		t.touch(x)
		x.m.at = base{version: markerVersion}
		if x.m.mode != j.m.mode {
			p := t.edit(j.keyed) // it was changed meanwhile
			p.have, p.due = markerVersion, time.Now()
			return nil
		}
		x.m.metaDirty = false
		t.setPending(j.keyed, nil)
		t.touchName(j.key)
		return nil
	})
}

// reconcileFile uploads contents, copies on the store's side, or sets attributes.
func (d *Drive) reconcileFile(ctx context.Context, j *job, f *file) error {
	own := j.m.at.key == "" && j.m.at.version != ""
	switch {
	case j.content != nil, j.m.at.version == "":
		switch {
		case j.content == nil && d.isBeingMade(f):
			return d.postpone(j)
		case j.m.untold != 0:
			return d.learn(ctx, j, f)
		}
		return d.put(ctx, j)
	case !own:
		return d.copy(ctx, j)
	case j.m.metaDirty:
		return d.setMeta(ctx, j)
	}
	return d.settled(j)
}

// isBeingMade reports whether a file was made whose bytes nobody has committed yet.
func (d *Drive) isBeingMade(f *file) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return f.writers > 0
}

// postpone leaves a key for later.
func (d *Drive) postpone(j *job) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if p := d.pending[j.keyed]; p != nil {
		p.due = time.Now().Add(idleAfter)
		d.queue.look(j.keyed)
	}
	return nil
}

// attempt notes that from here on the store may have what the job writes.
func (d *Drive) attempt(j *job) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	p := d.pending[j.keyed]
	if p == nil || d.ctx.Err() != nil {
		return context.Canceled
	}
	p.unsure, p.replayed = true, false
	return nil
}

// cond is the condition of the job's write.
func (j *job) cond() fs.Cond {
	if j.have == "" {
		return fs.Cond{IfAbsent: true}
	}
	return fs.Cond{IfVersion: j.have}
}

// differs reports whether the store has other attributes than the job's.
func (j *job) differs(info fs.Info) bool {
	const precision = time.Second // of stores
	return info.HasMode && j.m.untold&untoldMode == 0 && (info.Mode^j.m.mode)&fs.ModePerm != 0 ||
		j.m.untold&untoldTime == 0 && !info.ModTime.Truncate(precision).Equal(stamp(j.m.mtime).Truncate(precision))
}

// writeOptions describe the new version of the job's key.
func (d *Drive) writeOptions(j *job) fs.WriteOptions {
	return fs.WriteOptions{
		Cond: j.cond(), Size: j.v.size, ModTime: stamp(j.m.mtime), Mode: j.m.mode & fs.ModePerm, HasMode: true,
		FileID: j.m.get().id, WriteID: d.writeID(j.key, j.gen),
	}
}

// writeID names a write: it is made of what the journal has, so that it is the same after a restart.
func (d *Drive) writeID(key string, gen uint64) string {
	return fmt.Sprintf("%s.%x", d.writePrefix(key), gen)
}

// writePrefix is the same for all writes of one key. Another daemon on the same store, which has another epoch, has another one.
func (d *Drive) writePrefix(key string) string {
	return fmt.Sprintf("%016x", fs.Ino(d.id, d.epoch, hash(key)))
}

// isOurs reports whether this drive has made a write of that id to key.
func (d *Drive) isOurs(id, key string) bool {
	prefix := d.writePrefix(key) + "."
	return len(id) > len(prefix) && id[:len(prefix)] == prefix
}

// genOf returns what a write of this drive to key is named by, 0 if id is of another.
func (d *Drive) genOf(id, key string) uint64 {
	if !d.isOurs(id, key) {
		return 0
	}
	gen, err := strconv.ParseUint(id[len(d.writePrefix(key))+1:], 16, 64)
	if err != nil {
		return 0
	}
	return gen
}

// put uploads contents.
func (d *Drive) put(ctx context.Context, j *job) error {
	if err := d.attempt(j); err != nil {
		return err
	}
	from, done := d.reader(j.v.at)
	defer done()
	src := &viewReader{ctx: ctx, v: &j.v, from: from}
	o := d.writeOptions(j)
	d.hook("store:put:before")
	info, err := d.send(ctx, j, src, o)
	d.hook("store:put:after")
	if err != nil && src.lost.Load() {
		d.heard(err)
		return d.lostBase(ctx, j, err)
	}
	if err = d.wrote(ctx, j, info, err); err == nil {
		d.endUpload(ctx, j.keyed)
	}
	return err
}

// elsewhere returns an error if the store's part of the job's bytes is elsewhere by now: the job is begun again.
func (d *Drive) elsewhere(j *job) error {
	d.mu.RLock()
	defer d.mu.RUnlock()
	if f, ok := j.n.(*file); ok && f.baseAt() != j.v.at {
		return &fs.Error{Op: "upload", Path: j.key, Kind: fs.Busy, Hint: "it is begun again"}
	}
	return nil
}

// send chooses how contents are sent.
func (d *Drive) send(ctx context.Context, j *job, src io.ReaderAt, o fs.WriteOptions) (fs.Info, error) {
	if up, ok := fs.As[fs.Uploads](d.backend); ok {
		if o.Size <= d.opts.PartSize {
			return up.Put(ctx, j.key, src, o)
		}
		return d.sendParts(ctx, up, j, src, o)
	}
	return d.stream(ctx, j.key, io.NewSectionReader(src, 0, o.Size), o)
}

// stream writes contents in one go.
func (d *Drive) stream(ctx context.Context, key string, r io.Reader, o fs.WriteOptions) (fs.Info, error) {
	w, err := d.backend.Write(ctx, key, o)
	if err != nil {
		return fs.Info{}, err
	}
	if r != nil {
		if _, err := io.Copy(w, r); err != nil {
			return fs.Info{}, errors.Join(err, w.Abort())
		}
	}
	info, err := w.Commit(ctx)
	if err != nil {
		return fs.Info{}, errors.Join(err, w.Abort())
	}
	return info, nil
}

// wrote works in the store's answer to a write.
func (d *Drive) wrote(ctx context.Context, j *job, info fs.Info, err error) error {
	d.heard(err)
	switch {
	case err == nil:
		j.oldMeta = j.unsure && j.m.metaDirty && j.differs(info) // the store may answer for an earlier try
		return d.stored(j, info)
	case isCondition(err):
		return d.conflict(ctx, j)
	}
	return err
}

// isCondition reports whether an error says that a condition of a write did not hold.
func isCondition(err error) bool {
	kind := fs.KindOf(err)
	return kind == fs.Exist || kind == fs.Conflict || kind == fs.NotExist
}

// copy copies on the store's side what lies under another key.
func (d *Drive) copy(ctx context.Context, j *job) error {
	if err := d.attempt(j); err != nil {
		return err
	}
	o := fs.CopyOptions{SrcVersion: j.v.at.version, Dst: j.cond(), WriteID: d.writeID(j.key, j.gen)}
	if j.m.metaDirty || !j.m.get().id.IsZero() {
		o.Meta = &fs.MetaPatch{}
		if j.m.metaDirty {
			j.m.patch(o.Meta)
		}
		if id := j.m.get().id; !id.IsZero() {
			o.Meta.FileID = &id
		}
	}
	d.hook("store:copy:before")
	info, err := d.backend.Copy(ctx, j.v.at.key, j.key, o)
	d.heard(err)
	d.hook("store:copy:after")
	if err == nil && d.isGoing(j.v.at) {
		d.renamed(j.v.at, j.key, info.Version)
	}
	if err == nil || !isCondition(err) {
		return d.wrote(ctx, j, info, err)
	}
	src, srcErr := d.stat(ctx, j.v.at.key)
	switch {
	case srcErr != nil && fs.KindOf(srcErr) != fs.NotExist:
		return srcErr
	case srcErr == nil && src.Version == j.v.at.version:
		return d.conflict(ctx, j)
	}
	return d.lostSource(j, src, srcErr != nil)
}

// isGoing reports whether a version is to be removed from the store, or overwritten by what is elsewhere.
func (d *Drive) isGoing(at base) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	k := keyed{at.key, false}
	n := d.at(k)
	return d.pending[k] != nil && (n == nil || n.meta().m.at.key != "")
}

// lostSource works in that somebody has changed or removed what this drive was about to move or copy.
func (d *Drive) lostSource(j *job, src fs.Info, gone bool) error {
	return d.settle("copy", j.key, func(t *tx) error {
		f, ok := j.n.(*file)
		if !ok || t.d.at(j.keyed) != j.n || f.m.get().content != nil {
			return nil
		}
		if f.baseAt() != j.v.at { // it was put elsewhere meanwhile
			t.edit(j.keyed).due = time.Now()
			return nil
		}
		from := keyed{j.v.at.key, false}
		if gone {
			t.setAt(f, base{})
			t.vanish(f.m.parent, f.m.name)
			if p := t.d.pending[j.keyed]; p != nil && p.have != "" {
				t.edit(j.keyed).due = time.Now() // what was there before it is to go
			} else {
				t.setPending(j.keyed, nil)
			}
			if t.d.at(from) == nil {
				t.setPending(from, nil)
			} else if t.d.pending[from] != nil {
				t.edit(from).have = "" // something was made there meanwhile
			}
			t.d.log.Warn("a file was removed by others while it was being moved", "path", j.key)
			return nil
		}
		if p := t.d.pending[from]; p != nil && p.have == f.m.at.version {
			t.edit(from).have = src.Version
		}
		t.setAt(f, base{from.key, src.Version, src.Size})
		f.m.size, f.m.version = src.Size, t.d.newVersion()
		t.dressAnew(f, src)
		t.edit(j.keyed).due = time.Now()
		t.record(fs.OpWrite, f, fs.Change{})
		return nil
	})
}

// patch adds the attributes that are known.
func (m *meta) patch(p *fs.MetaPatch) {
	mode, at := m.mode&fs.ModePerm, stamp(m.mtime)
	if m.untold&untoldMode == 0 {
		p.Mode = &mode
	}
	if m.untold&untoldTime == 0 {
		p.ModTime = &at
	}
}

// setMeta sets attributes of contents that the store has.
func (d *Drive) setMeta(ctx context.Context, j *job) error {
	setter, ok := fs.As[fs.MetaSetter](d.backend)
	if !ok {
		return d.stored(j, fs.Info{Version: j.m.at.version, Size: j.m.at.size})
	}
	var p fs.MetaPatch
	j.m.patch(&p)
	if id := j.m.get().id; !id.IsZero() {
		p.FileID = &id
	}
	if err := d.attempt(j); err != nil {
		return err
	}
	d.hook("store:meta:before")
	info, err := setter.SetMeta(ctx, j.key, p, fs.Cond{IfVersion: j.m.at.version})
	d.heard(err)
	d.hook("store:meta:after")
	switch {
	case err == nil:
		if info.Size < 0 {
			info.Size = j.m.at.size
		}
		return d.stored(j, info)
	case isCondition(err):
		if now, err := d.stat(ctx, j.key); err == nil && d.isOurs(now.WriteID, j.key) {
			return errors.Join(d.rebased(j.n.(*file), j.key, now), d.known(j, now.Version)) // an answer was lost
		}
		fallthrough
	case fs.KindOf(err) == fs.Unsupported:
		return errors.Join(d.stored(j, fs.Info{Version: j.m.at.version, Size: j.m.at.size}), d.expire(j.key))
	}
	return err
}
