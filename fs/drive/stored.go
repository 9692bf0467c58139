package drive

import (
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// stored works in that the store has, as info, what the job has written.
func (d *Drive) stored(j *job, info fs.Info) error {
	f, ok := j.n.(*file)
	if !ok {
		return d.settle("settle", j.key, func(t *tx) error { return t.stored(j, info, nil) })
	}
	d.toCache(j, info) // before it is read from there
	if err := f.settle(j.key, func(t *tx, c *contents) error { return t.stored(j, info, c) }); err != nil {
		return err
	}
	for _, other := range d.sharers(j.key, f) {
		if err := other.settle(j.key, func(t *tx, c *contents) error { return t.storedBefore(other, j, info, c) }); err != nil {
			return err
		}
	}
	return nil
}

// settle is [Drive.settle] with the file's contents held and locked, so that its bytes stay where they are.
func (f *file) settle(key string, do func(*tx, *contents) error) error {
	c, done := f.use()
	defer done()
	c.mu.Lock()
	defer c.mu.Unlock()
	return f.d.settle("settle", key, func(t *tx) error { return do(t, c) })
}

// sharers returns the other files that lie over what the store has, or had, under a file's key: copies that were made of it, and files that
// were moved away.
func (d *Drive) sharers(key string, of *file) (all []*file) {
	d.mu.RLock()
	defer d.mu.RUnlock()
	for n := range d.displaced[key] {
		if f, ok := n.(*file); ok && f != of {
			all = append(all, f)
		}
	}
	return all
}

// stored is [Drive.stored] for what the node's meta says. The caller holds c.mu, unless c is nil.
func (t *tx) stored(j *job, info fs.Info, c *contents) error {
	t.touchName(j.key)
	t.uploaded(j)
	p := t.edit(j.keyed)
	p.have, p.unsure, p.tries, p.err, p.since, p.saved = info.Version, false, 0, nil, t.now, time.Time{}
	if t.d.at(j.keyed) != j.n || j.n == nil {
		p.due = time.Now()
		if f, ok := j.n.(*file); ok {
			return t.storedBefore(f, j, info, c)
		}
		return nil
	}
	x := j.n.meta()
	m := &x.m
	t.touch(j.n)
	at := base{version: info.Version, size: max(info.Size, 0)}
	if m.ctime == j.m.ctime && m.mtime == j.m.mtime && m.mode == j.m.mode {
		m.metaDirty = j.oldMeta
	}
	f, ok := j.n.(*file)
	if !ok {
		if t.setAt(j.n, at); !m.metaDirty {
			t.setPending(j.keyed, nil)
		}
		return nil
	}
	f.checked = t.now
	now := m.get().content
	if earliest := time.Now().Add(settleAfter); now != j.content && p.due.Before(earliest) {
		p.due, p.saved = earliest, time.Now() // what was saved meanwhile, perhaps for more than ageMax after the last time, begins to wait anew
	}
	if now == j.content {
		t.setAt(f, at)
		m.edit(func(m *more) { m.content = nil })
		if !m.metaDirty {
			t.setPending(j.keyed, nil)
		}
	} else if now == nil {
		return nil // it was uploaded under another name meanwhile, and has come back
	} else if rest, ok := withoutPrefix(now.stack, j.v.stack); ok {
		t.setAt(f, at)
		m.edit(func(m *more) { m.content = &content{stack: rest, size: now.size, gen: now.gen} })
	} else {
		return nil
	}
	after := m.get().content
	t.after = append(t.after, func() { t.d.unlayer(f, c, j, now, after) })
	return nil
}

// storedBefore works in that a job has uploaded a file's bytes under a name that the file has lost meanwhile, or was copied from: the version
// under its layers is overwritten, and the new one takes its place. The caller holds c.mu.
func (t *tx) storedBefore(f *file, j *job, info fs.Info, c *contents) error {
	now := f.m.get().content
	if f.m.at.version == "" || f.m.at != j.v.at || f.m.at.key != j.key || now == nil {
		return nil
	}
	rest, ok := withoutPrefix(now.stack, j.v.stack)
	if !ok {
		return nil
	}
	t.setAt(f, base{j.key, info.Version, max(info.Size, 0)})
	f.m.edit(func(m *more) {
		if m.content = nil; len(rest) > 0 {
			m.content = &content{stack: rest, size: now.size, gen: now.gen}
		}
	})
	after := f.m.get().content
	t.after = append(t.after, func() { t.d.unlayer(f, c, j, now, after) })
	return nil
}

// withoutPrefix returns the layers that lie over those of prefix, if they do.
func withoutPrefix(stack, prefix []*layer) ([]*layer, bool) {
	if len(stack) < len(prefix) {
		return nil, false
	}
	for i, l := range prefix {
		if stack[i] != l {
			return nil, false
		}
	}
	return stack[len(prefix):], true
}

// unlayer lets the store's new version take the place of the layers that were uploaded. The caller holds mu and c.mu.
func (d *Drive) unlayer(f *file, c *contents, j *job, before, after *content) {
	if after != nil {
		d.ref(after.stack)
	}
	if before != nil {
		d.unref(before.stack)
	}
	rest, ok := withoutPrefix(c.v.stack, j.v.stack)
	if !ok {
		return
	}
	d.ref(rest)
	d.unref(c.v.stack)
	c.v.stack = append([]*layer{}, rest...)
	c.v.at = f.baseAt()
}
