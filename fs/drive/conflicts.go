package drive

import (
	"cmp"
	"context"
	"slices"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// conflicts are those of which nobody has said yet that they were seen to. All is guarded by Drive.mu, and in the journal.
type conflicts struct {
	copies   map[inode]loser  // losing versions under names of their own
	occupied map[string]int64 // folders that were removed, and into which others have put something, and since when
}

// loser is the losing version of a conflict. The zero value is none.
type loser struct {
	at   int64 // since when, in nanoseconds since 1970
	lost int64 // how many of its bytes are gone
}

func (c *conflicts) init() {
	c.copies, c.occupied = map[inode]loser{}, map[string]int64{}
}

// noteConflict notes that n is the losing version of a conflict; the zero value: it is not any more.
func (t *tx) noteConflict(n inode, now loser) {
	c := &t.d.conflicts
	before := c.copies[n]
	if before == now {
		return
	}
	t.undo = append(t.undo, func() { c.setCopy(n, before) })
	t.noted = append(t.noted, conflictRecord{ino: n.meta().ino, at: now.at, lost: now.lost})
	c.setCopy(n, now)
}

func (c *conflicts) setCopy(n inode, now loser) {
	if now == (loser{}) {
		delete(c.copies, n)
		return
	}
	c.copies[n] = now
}

// noteOccupied is noteConflict for a folder that was removed, and is still there.
func (t *tx) noteOccupied(path string, at int64) {
	c := &t.d.conflicts
	before := c.occupied[path]
	if before == at {
		return
	}
	t.undo = append(t.undo, func() { c.setOccupied(path, before) })
	t.noted = append(t.noted, conflictRecord{path: path, at: at})
	c.setOccupied(path, at)
}

func (c *conflicts) setOccupied(path string, at int64) {
	if at == 0 {
		delete(c.occupied, path)
		return
	}
	c.occupied[path] = at
}

// acknowledge notes that somebody has seen to the conflict of which the node tells.
func (n *node) acknowledge(ctx context.Context) error {
	_, err := n.d.mutate(ctx, "removexattr", n.where(), func(t *tx) error {
		path, _ := n.path()
		switch {
		case n.m.get().conflict != "":
			t.touch(n.self)
			n.m.edit(func(m *more) { m.conflict = "" })
			t.noteConflict(n.self, loser{})
		case n.self.kind() == kindDir && t.d.conflicts.occupied[path] != 0:
			t.noteOccupied(path, 0)
		default:
			return fail("removexattr", virtual+"conflict", fs.NoAttr)
		}
		t.record(fs.OpAttr, n.self, fs.Change{})
		return nil
	})
	return err
}

// encode writes all down.
func (c *conflicts) encode(e *encoder) {
	for n, x := range c.copies {
		e.conflict(conflictRecord{ino: n.meta().ino, at: x.at, lost: x.lost})
	}
	for path, at := range c.occupied {
		e.conflict(conflictRecord{path: path, at: at})
	}
}

// told returns the first of them.
func (c *conflicts) told() []Conflict {
	var all []Conflict
	for n, x := range c.copies {
		path, _ := n.meta().path()
		all = append(all, Conflict{Path: n.meta().m.get().conflict, Copy: path, Time: stamp(x.at), Lost: x.lost})
	}
	for path, at := range c.occupied {
		all = append(all, Conflict{Path: path, Time: stamp(at)})
	}
	slices.SortFunc(all, func(a, b Conflict) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.Copy, b.Copy)) })
	return all[:min(len(all), maxTold)]
}
