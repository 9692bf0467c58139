package drive

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// asidePrefix is where versions are kept that are to go where another one is that is to go where they are.
const asidePrefix = fs.ReservedName + "/aside/"

// unblockStuck makes keys go on when all wait for each other, as those of two files do that have changed places: of each such circle one
// version is put aside. The caller holds mu.
func (d *Drive) unblockStuck(now time.Time, most int) {
	q := &d.queue
	q.stuck = slices.DeleteFunc(q.stuck, func(k keyed) bool { return d.pending[k] == nil || d.pending[k].stuck == blocker{} })
	depth, freed := d.shallowest(now), map[string]bool{}
	for _, bare := range []bool{true, false} { // what has no contents needs no request
		for _, k := range q.stuck {
			n := d.inTheWay(d.pending[k], now)
			if n == nil || bare == (n.kind() == kindFile) || freed[k.key] || strings.Count(k.key, "/") > depth {
				continue
			}
			d.noteFreed(freed, k.key)
			d.free(k, n)
			if most--; most <= 0 {
				return
			}
		}
	}
}

// shallowest returns how far up the first keys are that have a node in the way: what is below them may wait for nothing else.
func (d *Drive) shallowest(now time.Time) int {
	depth := maxDepth
	for _, k := range d.queue.stuck {
		if at := strings.Count(k.key, "/"); at < depth && d.inTheWay(d.pending[k], now) != nil {
			depth = at
		}
	}
	return depth
}

// maxDepth is more than the slashes of any key.
const maxDepth = 1 << 20

// noteFreed notes the keys that can go on when nothing elsewhere needs what the store has under key: those of the same circle.
func (d *Drive) noteFreed(freed map[string]bool, key string) {
	for key != "" && !freed[key] {
		freed[key] = true
		n := d.at(keyed{key, false})
		if n == nil {
			return
		}
		key = n.meta().m.at.key // what n needs, and overwriting which may wait for n
	}
}

// inTheWay returns a node elsewhere that needs what the store has under a key that is due, and must wait for others itself or has no name
// any more; nil if there is none. What was put aside is not put aside again. The caller holds mu.
func (d *Drive) inTheWay(p *pending, now time.Time) inode {
	if p.dir || p.have == "" || p.due.After(now) {
		return nil
	}
	for n := range d.displaced[p.key] {
		if n.meta().m.at.version != p.have || n == d.at(p.keyed()) {
			continue
		}
		if !n.meta().named() {
			return n
		}
		if own := d.pending[keyOf(n)]; own != nil && !strings.HasPrefix(p.key, asidePrefix) && own.stuck != (blocker{}) && !own.due.After(now) {
			return n
		}
	}
	return nil
}

// free makes a node independent of what the store has under k. The caller holds mu.
func (d *Drive) free(k keyed, n inode) {
	d.queue.busy++
	d.queue.work.Go(func() {
		var err error
		if f, ok := n.(*file); ok {
			err = d.freeFile(d.ctx, f)
		} else {
			err = d.settle("free", k.key, func(t *tx) error {
				if n.meta().m.at.key == k.key {
					t.setAt(n, base{}) // all that it is is known here
				}
				return nil
			})
		}
		d.mu.Lock()
		d.queue.busy--
		if f, ok := n.(*file); ok {
			d.unlocalized(k, f, err)
		}
		d.queue.look(k)
		d.mu.Unlock()
		d.queue.kick()
	})
}

// freeFile puts a file's version aside in the store; where the file has no name any more, or the store cannot copy, on this machine.
func (d *Drive) freeFile(ctx context.Context, f *file) error {
	d.mu.RLock()
	v, named := f.view(), f.named()
	d.mu.RUnlock()
	if named && !v.isOwn() {
		if err := d.putAside(ctx, f); err == nil || fs.KindOf(err) != fs.Unsupported {
			return err
		}
	}
	return d.localize(ctx, f)
}

// aside is a file's version being put aside.
type aside struct {
	d    *Drive
	f    *file
	at   base  // the version
	from keyed // the file's own key, for which no worker begins meanwhile
	to   keyed // where the version is copied to; the same
	id   uint64
}

// putAside copies what the store has of a file to a key of its own, from where it is copied on when its place is free. The copy has all that
// others have said of the object. A crash before the copy is known leaves it to be removed.
func (d *Drive) putAside(ctx context.Context, f *file) error {
	a := &aside{d: d, f: f}
	if ok, err := a.begin(); !ok || err != nil {
		return err
	}
	d.hook("store:aside:before")
	info, err := d.backend.Copy(ctx, a.at.key, a.to.key, fs.CopyOptions{
		SrcVersion: a.at.version, Dst: fs.Cond{IfAbsent: true}, WriteID: d.writeID(a.to.key, a.id),
	})
	d.heard(err)
	d.hook("store:aside:after")
	switch {
	case err == nil:
		d.renamed(a.at, a.to.key, info.Version)
	case isCondition(err):
		info, err = fs.Info{}, d.lostAside(ctx, f, a.at)
	default:
		info = fs.Info{}
	}
	return errors.Join(err, a.end(info))
}

// begin writes down where the version is to be copied to. It reports false if it need not be, or the file is being brought up to date.
func (a *aside) begin() (ok bool, err error) {
	d, working := a.d, a.d.queue.working
	err = d.settle("put aside", a.f.where(), func(t *tx) error {
		a.at, a.from = a.f.m.at, keyOf(a.f)
		if a.at.key == "" || !a.f.named() || working[a.from] {
			return nil
		}
		a.id = d.next()
		a.to = keyed{key: fmt.Sprintf("%s%016x", asidePrefix, fs.Ino(d.id, d.epoch, a.id))}
		working[a.from], working[a.to] = true, true
		t.undo = append(t.undo, a.letGo)
		t.edit(a.to).unsure = true
		ok = true
		return nil
	})
	return ok && err == nil, err
}

// letGo has workers begin with the keys again. The caller holds Drive.mu.
func (a *aside) letGo() {
	for _, k := range []keyed{a.from, a.to} {
		delete(a.d.queue.working, k)
		a.d.queue.look(k)
	}
}

// end has the file read from where its version was copied to; info is zero if it was not.
func (a *aside) end(info fs.Info) error {
	d, f := a.d, a.f
	c, done := f.use()
	defer func() {
		done()
		d.mu.Lock()
		defer d.mu.Unlock()
		a.letGo() // from here on the copy is removed if nobody needs it
	}()
	if info.Version == "" {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return d.settle("put aside", a.to.key, func(t *tx) error {
		p := t.edit(a.to)
		p.have, p.unsure, p.due = info.Version, false, time.Now()
		if f.m.at != a.at || !f.named() {
			return nil // it needs the copy no more
		}
		t.setAt(f, base{a.to.key, info.Version, a.at.size})
		if path, _ := f.path(); t.d.movedFrom(path) == a.at.key {
			t.follow(a.to.key, path)
		}
		t.after = append(t.after, func() { c.v.at = f.baseAt() })
		return nil
	})
}

// lostAside works in that others have changed or removed a file that is being moved here.
func (d *Drive) lostAside(ctx context.Context, f *file, at base) error {
	info, err := d.stat(ctx, at.key)
	switch {
	case err != nil && fs.KindOf(err) != fs.NotExist:
		return err
	case err == nil && info.Version == at.version:
		return &fs.Error{Op: "put aside", Path: at.key, Kind: fs.Busy, Hint: "it is begun again"}
	case err == nil:
		if err := d.rebased(f, at.key, info); err != nil {
			return err
		}
	}
	d.mu.RLock()
	k, changed, found := keyOf(f), f.m.get().content != nil, f.m.at != at
	d.mu.RUnlock()
	if found {
		return &fs.Error{Op: "put aside", Path: at.key, Kind: fs.Busy, Hint: "it is begun again"}
	}
	j, ok := d.job(k)
	if ok {
		defer d.endJob(j)
	}
	if ok && !changed && j.n == inode(f) && j.v.at == at {
		return d.lostSource(j, info, err != nil)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if f.m.at == at { // its upload finds out that what it needs is gone, and nothing waits for it
		d.noteDisplaced(at.key, f, false)
	}
	return nil
}
