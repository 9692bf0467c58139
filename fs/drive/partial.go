package drive

import (
	"context"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// lostBase works in that bytes under those that were written are gone from the store.
func (d *Drive) lostBase(ctx context.Context, j *job, why error) error {
	if err := d.elsewhere(j); err != nil {
		return err
	}
	info, err := d.stat(ctx, j.v.at.key)
	switch {
	case err != nil && fs.KindOf(err) != fs.NotExist:
		return err
	case err == nil && info.Version == j.v.at.version:
		return why // they are there again, or were all the time
	case j.v.at.key != j.key:
		if err := d.uploadedBefore(j, info); err != nil {
			return err
		}
		info, err = d.stat(ctx, j.key)
	}
	switch {
	case err != nil && fs.KindOf(err) != fs.NotExist:
		return err
	case err != nil:
		return d.keepPart(j, nil)
	case info.Version == j.have && info.WriteID != d.writeID(j.key, j.gen):
		return d.keepPart(j, &info)
	}
	return d.conflict(ctx, j)
}

// uploadedBefore returns an error, with which the job is begun again, if the store has what is gone from under the job's layers after all: in a
// newer version, info, that was uploaded of the file under the name that it had before, and perhaps is being worked in. A zero info is none.
func (d *Drive) uploadedBefore(j *job, info fs.Info) error {
	if f, ok := j.n.(*file); ok && info.WriteID != "" {
		if err := d.rebased(f, j.v.at.key, info); err != nil {
			return err
		}
	}
	if d.isWorking(j.v.at.key) {
		return &fs.Error{Op: "upload", Path: j.key, Kind: fs.Busy, Hint: "it is begun again"}
	}
	return d.elsewhere(j)
}

// inFlight is how long to wait before it is looked again whether an upload that has come to the store is worked in.
const inFlight = 10 * time.Millisecond

// isWorking reports whether a file's key is being brought up to date.
func (d *Drive) isWorking(key string) bool {
	d.mu.RLock()
	defer d.mu.RUnlock()
	return d.queue.working[keyed{key, false}]
}

// keepPart gives what was written to the job's file a name that says that it is a part: zeros are in the place of what neither the store
// nor the cache has any more. If the cache has all that is needed, it is a conflict copy as any other. The path is for what the store has
// there, nil if that is nothing.
func (d *Drive) keepPart(j *job, info *fs.Info) error {
	f, ok := j.n.(*file)
	if !ok || j.content == nil {
		return fail("upload", j.key, fs.Stale) // nothing was written to it
	}
	l, lost, err := d.salvage(&j.v)
	if l != nil {
		defer d.letGoOf(l)
	}
	if err != nil {
		return err
	}
	c, err := f.hold("conflict", false)
	if err != nil {
		return nil // it is no more, which the next look will see
	}
	defer func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		f.release(false)
	}()
	c.mu.Lock()
	defer c.mu.Unlock()
	naming := fs.PartialName
	if len(lost) == 0 {
		naming = fs.ConflictName
	}
	var to string
	err = d.settle("conflict", j.key, func(t *tx) error {
		if t.d.at(j.keyed) != j.n || f.m.get().content != j.content || f.baseAt() != j.v.at {
			return nil // it was saved anew meanwhile
		}
		t.settlePart(c, l, lost)
		to = t.aside(j, info, naming, lost.bytes())
		t.record(fs.OpWrite, f, fs.Change{})
		return nil
	})
	switch {
	case err != nil || to == "":
	case len(lost) == 0:
		d.tellBoth(j.key, to)
	default:
		d.log.Error("a file was changed here in a part, and its other bytes are gone from the store: what there is of it is kept",
			"path", j.key, "kept", to, "bytes lost", lost.bytes())
	}
	return err
}

// letGoOf ends the use of a layer by who has made it.
func (d *Drive) letGoOf(l *layer) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.unref([]*layer{l})
}

// settlePart puts l under the other layers of a file in place of the store's version, of which the bytes in lost are in no layer. The
// caller holds c.mu.
func (t *tx) settlePart(c *contents, l *layer, lost extents) {
	f, before := c.f, c.f.m.get().content
	t.touch(f)
	now := &content{stack: append([]*layer{l}, before.stack...), size: before.size, gen: t.d.next()}
	f.m.edit(func(m *more) { m.content = now })
	f.m.version = t.d.newVersion() // the bytes are others
	t.setAt(f, base{})
	t.after = append(t.after, func() {
		t.d.ref(now.stack)
		t.d.unref(before.stack)
		l.refs++
		c.v.stack = append([]*layer{l}, c.v.stack...)
		c.v.at = base{}
		c.lost = lost
		if f.live != nil {
			f.live.version = t.d.newVersion()
		}
	})
}

// salvage copies into a layer what the cache has of the store's part of v. It returns which bytes nobody has any more.
func (d *Drive) salvage(v *view) (l *layer, lost extents, err error) {
	d.mu.Lock()
	id := d.next()
	d.mu.Unlock()
	if l, err = d.staging.create(id, 0); err != nil {
		return nil, nil, err
	}
	d.mu.Lock()
	l.refs = 1
	d.mu.Unlock()
	cached := d.cacheFile(v.at)
	if cached != nil {
		defer (&lent{file: cached}).close(d.log)
	}
	buf := make([]byte, min(v.size, 1<<20))
	for off := int64(0); off < v.size; off += int64(len(buf)) {
		missing, err := v.readLocal(buf[:min(int64(len(buf)), v.size-off)], off)
		if err != nil {
			return l, nil, err
		}
		for _, m := range missing {
			gone, err := l.fill(cached, m)
			if err != nil {
				return l, nil, err
			}
			for _, s := range gone {
				lost = lost.add(s)
			}
		}
	}
	return l, lost, l.sync()
}

// fill writes down what the cache has of a piece, whose bytes are memory for it, and returns what it has not.
func (l *layer) fill(cached *blockcache.File, m piece) (gone []span, err error) {
	for end := m.off + int64(len(m.p)); m.off < end; {
		n := min((m.off/blockcache.Unit+1)*blockcache.Unit, end) - m.off
		ok := false
		if cached != nil {
			if _, ok, err = cached.ReadAt(m.p[:n], m.off); err != nil {
				ok = false // that the cache is damaged is no reason to give up
			}
		}
		if !ok {
			gone = append(gone, span{m.off, m.off + n})
		} else if err := l.write(m.p[:n], m.off); err != nil {
			return nil, err
		}
		m.p, m.off = m.p[n:], m.off+n
	}
	return gone, nil
}
