package drive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// conflict works in that the store has under the job's key something that this drive does not know: the same bytes are taken over,
// others keep the path, and what was to be written goes to a name of its own.
func (d *Drive) conflict(ctx context.Context, j *job) error {
	info, err := d.stat(ctx, j.key)
	switch {
	case err != nil && fs.KindOf(err) == fs.NotExist:
		return d.remade(j)
	case err != nil:
		return err
	case info.WriteID == d.writeID(j.key, j.gen), j.isSame(info):
		j.oldMeta = j.differs(info) // they may have been changed since that write was sent, or by others
		return d.stored(j, info)
	case info.Version == j.have: // it was not the condition, but an upload in parts that has gone
		return &fs.Error{Op: "upload", Path: j.key, Kind: fs.Busy, Hint: "it is begun again"}
	case d.isOurs(info.WriteID, j.key):
		if f, ok := j.n.(*file); ok {
			if err := d.rebased(f, j.key, info); err != nil {
				return err
			}
		}
		return d.known(j, info.Version) // an earlier write of ours, whose answer was lost
	}
	f, isFile := j.n.(*file)
	if isFile && info.Type == fs.File {
		same, err := d.sameAs(ctx, j, info)
		if err != nil && !isGone(err) {
			return err
		}
		if same {
			return d.stored(j, info)
		}
	}
	if isFile && !j.v.complete() && j.content != nil {
		switch err := d.localize(ctx, f); {
		case isGone(err):
			return d.conflictInPart(ctx, j, info)
		case err != nil:
			return err
		}
	}
	return d.keepBoth(j, info)
}

// conflictInPart is keepPart, once it is certain that the bytes under the job's layers are not in what was uploaded of the file elsewhere.
func (d *Drive) conflictInPart(ctx context.Context, j *job, info fs.Info) error {
	if j.v.at.key != j.key {
		there, err := d.stat(ctx, j.v.at.key)
		if err != nil && fs.KindOf(err) != fs.NotExist {
			return err
		}
		if err := d.uploadedBefore(j, there); err != nil {
			return err
		}
	}
	return d.keepPart(j, &info)
}

// known notes what the store has under a key, and has it tried again.
func (d *Drive) known(j *job, v version) error {
	return d.settle("upload", j.key, func(t *tx) error {
		if t.d.pending[j.keyed] == nil {
			return nil
		}
		if v != "" && j.m.at.key == "" {
			t.uploaded(j) // else it is of a file that was there before
		}
		p := t.edit(j.keyed)
		p.have, p.due, p.unsure = v, time.Now(), false
		return nil
	})
}

// rebased lets a version that this drive has written of a file, though it was never told so, take the place of the one that the file's
// layers lie over: what they do not hide is the same in both. Nothing is done if that version is of another file. The same goes for
// all that lie over what the key had; who has the key comes last, since the others would find neither version once that is uploaded again. f is
// nil if it is of nobody that is known.
func (d *Drive) rebased(f *file, key string, info fs.Info) error {
	if !d.isOurs(info.WriteID, key) {
		return nil
	}
	all := d.sharers(key, f)
	if f != nil {
		all = append(all, f)
	}
	d.mu.RLock()
	if owner, ok := d.at(keyed{key, false}).(*file); ok && owner != f {
		all = append(all, owner)
	}
	d.mu.RUnlock()
	for _, other := range all {
		if err := other.rebase(key, info); err != nil {
			return err
		}
	}
	return nil
}

// rebase does the work of [Drive.rebased] for one file.
func (f *file) rebase(key string, info fs.Info) error {
	return f.settle(key, func(t *tx, c *contents) error {
		if !t.d.isUploadOf(f, key, info) {
			return nil
		}
		if p := t.d.pending[keyed{key, false}]; p != nil && (f.m.at.key == "" || p.have == f.m.at.version) {
			t.edit(p.keyed()).have = info.Version
		}
		t.setAt(f, base{f.m.at.key, info.Version, max(info.Size, 0)})
		t.after = append(t.after, func() { c.v.at = f.baseAt() })
		return nil
	})
}

// isUploadOf reports whether a version that this drive has written under a key is of that file: of the one that has the key, or of one that
// has lost it since, or was copied from there, lies over the version before, and has the same bytes still. The caller holds Drive.mu.
func (d *Drive) isUploadOf(f *file, key string, info fs.Info) bool {
	if f.m.at.version == "" || f.m.at.version == info.Version {
		return false
	}
	if path, ok := f.path(); ok && path == key && f.m.at.key == "" {
		return d.pending[keyed{key, false}] != nil
	}
	now, is := f.m.get().content, d.genOf(info.WriteID, key)
	return f.m.at.key == key && now != nil && is != 0 && f.m.get().sent.has(is, now.gen)
}

// found reports whether the store has a version that this drive has written over at, though it was never told so. Then the file's
// bytes are read from there.
func (c *contents) found(ctx context.Context, at base) bool {
	d, f := c.f.d, c.f
	d.mu.RLock()
	p := d.pending[keyed{at.key, false}]
	unsure := p != nil && p.unsure && d.at(p.keyed()) == inode(f) || f.m.at == at // which has no key in it where the file is itself
	d.mu.RUnlock()
	if !unsure {
		return false
	}
	info, err := d.stat(ctx, at.key)
	if err != nil || !d.isOurs(info.WriteID, at.key) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, d.opts.Deadline)
	defer cancel()
	for err = d.rebased(f, at.key, info); err == nil && !c.moved(at) && d.isWorking(at.key); {
		err = pause(ctx, inFlight) // the answer is being worked in
	}
	return err == nil && c.moved(at)
}

// remade works in that the store does not have any more what the job was to replace.
func (d *Drive) remade(j *job) error {
	d.log.Info("a file that was removed by others is made again, since it was changed here", "key", j.key)
	return d.known(j, "")
}

// sameAs reports whether the store has the job's bytes.
func (d *Drive) sameAs(ctx context.Context, j *job, info fs.Info) (bool, error) {
	if info.Size != j.v.size {
		return false, nil
	}
	from, done := d.reader(j.v.at)
	defer done()
	ours := &viewReader{ctx: ctx, v: &j.v, from: from}
	r, err := d.backend.Read(ctx, j.key, fs.ReadOptions{IfVersion: info.Version})
	if err != nil {
		return false, err
	}
	defer r.Close()
	a, b := make([]byte, 128<<10), make([]byte, 128<<10)
	for off := int64(0); off < info.Size; {
		n := int(min(int64(len(a)), info.Size-off))
		if _, err := io.ReadFull(r, a[:n]); err != nil {
			return false, fs.Wrap("read", j.key, err)
		}
		if _, err := ours.ReadAt(b[:n], off); err != nil && !errors.Is(err, io.EOF) {
			if moved := d.elsewhere(j); moved != nil {
				return false, moved
			}
			return false, err
		}
		if !bytes.Equal(a[:n], b[:n]) {
			return false, nil
		}
		off += int64(n)
	}
	return true, nil
}

// keepBoth gives the path to what the store has, and another name to what this drive has.
func (d *Drive) keepBoth(j *job, info fs.Info) error {
	var to string
	err := d.settle("conflict", j.key, func(t *tx) error {
		switch now := t.d.at(j.keyed); {
		case now == nil:
			t.setPending(j.keyed, nil) // nothing is to be kept: what the store has stays
			return nil
		case now != j.n:
			return nil // it was saved anew meanwhile, without knowing what the store has: that is in conflict itself
		}
		to = t.keepBoth(j, &info)
		return nil
	})
	if err == nil && to != "" {
		d.tellBoth(j.key, to)
	}
	return err
}

func (d *Drive) tellBoth(path, ours string) {
	d.log.Warn("somebody else has changed a file too: both versions are kept", "path", path, "ours", ours)
}

func (t *tx) keepBoth(j *job, info *fs.Info) (to string) {
	m := &j.n.meta().m
	if f, ok := j.n.(*file); ok && m.at.key == "" && m.at.version != "" {
		at := m.at
		at.key = j.key // whose bytes the store may not have any more
		t.setAt(f, at)
	}
	return t.aside(j, info, fs.ConflictName, 0)
}

// aside gives the job's node another name, which naming makes, and the path to what the store has, nil if that is nothing. It returns the
// new path. lost is how many bytes the node has lost.
func (t *tx) aside(j *job, info *fs.Info, naming func(name, who string, t time.Time, n int) string, lost int64) (to string) {
	m := &j.n.meta().m
	x, name := m.parent, m.name
	i := 0
	for to = naming(name, t.d.opts.Actor, stamp(t.now), i); x.known(to) != nil; i++ {
		to = naming(name, t.d.opts.Actor, stamp(t.now), i+1)
	}
	id := m.get().id
	t.setPending(j.keyed, nil)
	t.retire(j.n)
	t.unplace(x, name)
	t.place(x, j.n, to)
	m.edit(func(m *more) {
		m.conflict = j.key
		if !id.IsZero() && info != nil {
			m.id = fs.NewFileID() // the path keeps the document's identity
		}
	})
	t.noteConflict(j.n, loser{t.now, lost})
	t.touch(x)
	x.m.mtime = t.now
	t.want(j.n)
	t.record(fs.OpRename, j.n, fs.Change{OldPath: fs.Path(j.key)})
	to, _ = j.n.meta().path()
	if from := t.d.movedFrom(j.key); from != "" {
		t.follow(from, to)
	}
	if info == nil {
		return to
	}
	r := t.placeFound(x, name, info)
	if !id.IsZero() {
		r.meta().m.edit(func(m *more) { m.id = id })
		t.touch(r)
	}
	t.record(fs.OpCreate, r, fs.Change{})
	return to
}

// localize makes a file independent of what the store has of it: the bytes that it needs are fetched into a layer.
func (d *Drive) localize(ctx context.Context, f *file) error {
	if err := d.learnNow(ctx, f); err != nil {
		return err
	}
	d.mu.Lock()
	if f.m.at.version == "" || f.handles == 0 && !f.named() {
		d.mu.Unlock()
		return nil
	}
	c := f.acquire(false)
	v, id := f.view(), d.next()
	at := v.at
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		f.release(false)
	}()
	if v.isOwn() {
		return c.letGo(at)
	}
	l, err := d.staging.create(id, 0)
	if err != nil {
		return err
	}
	d.mu.Lock()
	l.refs = 1
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.unref([]*layer{l})
	}()
	if err := d.fetch(ctx, at, l); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return d.settle("fetch", at.key, func(t *tx) error {
		if f.baseAt() != at {
			return nil
		}
		t.settleLocal(c, l, at)
		return nil
	})
}

// letGo notes that nothing is needed of at, over which the file's layers lie.
func (c *contents) letGo(at base) error {
	f := c.f
	c.mu.Lock()
	defer c.mu.Unlock()
	return f.d.settle("fetch", at.key, func(t *tx) error {
		if v := f.view(); v.at != at || !v.isOwn() {
			return nil
		}
		t.setAt(f, base{})
		t.after = append(t.after, func() { c.v.at = base{} })
		t.want(f)
		return nil
	})
}

// fetch copies a version from the store into a layer.
func (d *Drive) fetch(ctx context.Context, at base, l *layer) error {
	from, done := d.reader(at)
	defer done()
	buf := make([]byte, 1<<20)
	for off := int64(0); off < at.size; {
		p := buf[:min(int64(len(buf)), at.size-off)]
		if err := from(ctx, p, off); err != nil {
			return err
		}
		if err := l.write(p, off); err != nil {
			return err
		}
		off += int64(len(p))
	}
	return nil
}

// settleLocal puts l, which has all bytes of at, under the other layers of a file. The caller holds c.mu.
func (t *tx) settleLocal(c *contents, l *layer, at base) {
	f := c.f
	t.touch(f)
	before := f.m.get().content
	now := &content{stack: []*layer{l}, size: at.size, gen: t.d.next()}
	if before != nil {
		now = &content{stack: append([]*layer{l}, before.stack...), size: before.size, gen: before.gen}
	}
	f.m.edit(func(m *more) { m.content = now })
	t.setAt(f, base{})
	t.after = append(t.after, func() {
		t.d.ref(now.stack)
		if before != nil {
			t.d.unref(before.stack)
		}
		l.refs++
		c.v.stack = append([]*layer{l}, c.v.stack...)
		c.v.at = base{}
	})
	if f.named() {
		t.want(f)
	}
}

// unlocalized works in how an attempt to localize a file has ended. Who still reads a version that cannot be fetched is told Stale.
// The caller holds mu.
func (d *Drive) unlocalized(k keyed, f *file, err error) {
	if p := d.pending[k]; p != nil && err != nil && !isUnreachable(err) && (!f.named() || isGone(err)) {
		d.log.Warn("a version that is still open could not be kept", "key", k.key, "error", err)
		if at := f.m.at; at.key != "" && !f.named() {
			d.noteDisplaced(at.key, f, false)
			return
		}
	}
	if p := d.pending[k]; p != nil && err != nil {
		p.tries++
		p.err, p.failed = err, time.Now()
		p.due = p.failed.Add(backoff(p.tries, err))
	}
}
