package drive

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// trashPrefix is where removed files are kept, by day.
const trashPrefix = fs.ReservedName + "/trash/"

// nobody is no path: what the store has under a key is no file's last version any more.
const nobody = "/"

// trashDay is how a day is written in a key.
const trashDay = "2006-01-02"

// trash has the last version that the store has of what was removed from k kept for a while.
func (t *tx) trash(k keyed) {
	if key := t.d.lastOf(k); t.d.opts.Trash && key != "" {
		t.edit(keyed{key: key}).trash = true
	}
}

// lastOf returns the key under which the store has, or may have, the last version of the file whose path is k, "" if it has none. The caller
// holds mu.
func (d *Drive) lastOf(k keyed) string {
	if k.dir {
		return ""
	}
	if from := d.movedFrom(k.key); from != "" {
		return from
	}
	if p := d.pending[k]; p != nil && p.mayBeThere() && p.to == "" && !p.trash {
		return k.key
	}
	return ""
}

// movedFrom returns the key under which the store has, or may have, the last version of the file at path, if that was moved there, and the store was not
// told yet; "" otherwise. The caller holds mu.
func (d *Drive) movedFrom(path string) string {
	from := d.moved[path]
	if p := d.pending[keyed{key: from}]; p != nil && p.to == path && p.mayBeThere() && !p.trash {
		return from
	}
	return ""
}

// noteMoved is told before p, or nil, becomes what is known of a key. The caller holds mu.
func (d *Drive) noteMoved(k keyed, p *pending) {
	if before := d.pending[k]; before != nil && before.to != "" && d.moved[before.to] == k.key {
		delete(d.moved, before.to)
	}
	if p != nil && p.to != "" && p.to != nobody && !p.trash {
		d.moved[p.to] = k.key
	}
}

// awaitsHeir reports whether what the store has under a key is the last version of a file that was moved and then written anew: it must not go
// before the store has that, or nothing could be kept of a file that is removed meanwhile. The caller holds mu.
func (d *Drive) awaitsHeir(p *pending) bool {
	if p.to == "" || d.movedFrom(p.to) != p.key {
		return false
	}
	heir := d.pending[keyed{key: p.to}]
	if heir == nil || d.at(heir.keyed()) == nil || heir.tries > patientTries || d.pending[keyed{p.key, true}] != nil {
		return false // who fails for long, or a folder that is to be made here, does not wait for that
	}
	return d.blocker(heir) == blocker{} // else it may wait for this one
}

// patientTries is how often the upload of a file that was moved and written anew fails before its last version is given up.
const patientTries = 2

// depart notes where the store has the last version of n, which gives up the path k.
func (t *tx) depart(n inode, k keyed) {
	if key := t.d.lastOf(k); key != "" {
		t.noteLast(n, key)
	}
}

// noteLast notes that the store has the last version of n, which is about to arrive somewhere, under key.
func (t *tx) noteLast(n inode, key string) {
	if !t.d.opts.Trash {
		return
	}
	if t.moved == nil {
		t.moved = map[inode]string{}
	}
	t.moved[n] = key
}

// arrive notes that n, which has given up another path, has the path k now.
func (t *tx) arrive(n inode, k keyed) {
	if key, ok := t.moved[n]; ok {
		delete(t.moved, n)
		t.follow(key, k.key)
	}
}

// follow notes that the file of which the store has the last version under key is at path now. Of another one that was there nothing is kept:
// it was replaced.
func (t *tx) follow(key, path string) {
	if before := t.d.lastOf(keyed{key: path}); before != "" && before != key {
		t.setTo(keyed{key: before}, nobody)
	}
	if path == key {
		path = ""
	}
	t.setTo(keyed{key: key}, path)
}

// setTo notes where the file is of which the store has the last version under k. It was not removed.
func (t *tx) setTo(k keyed, to string) {
	if before := t.d.pending[k]; before != nil && (before.to != to || before.trash) {
		p := *before
		p.trash, p.to = false, to
		t.setPending(k, &p)
	}
}

// uploaded notes that the store has the job's file under its own key: that is its last version.
func (t *tx) uploaded(j *job) {
	if j.n == nil || t.d.at(j.keyed) != j.n {
		return
	}
	if from := t.d.movedFrom(j.key); from != "" {
		t.setTo(keyed{key: from}, nobody)
	}
	t.setTo(j.keyed, "")
}

// toTrashFirst copies what is about to be overwritten, if it is the last version of a file that was moved from there, and removed then. It
// reports whether the job is to be begun again.
func (d *Drive) toTrashFirst(ctx context.Context, j *job) (again bool, err error) {
	if !j.trash || j.to == "" || j.have == "" && !j.unsure {
		return false, nil
	}
	if j.have == "" {
		again, err = d.trashed(ctx, j)
	} else {
		again, err = d.toTrash(ctx, j)
	}
	if again || err != nil {
		return again, err
	}
	return false, d.settle("trash", j.key, func(t *tx) error {
		if p := t.d.pending[j.keyed]; p != nil && p.have == j.have {
			t.setTo(j.keyed, nobody)
		}
		return nil
	})
}

// toTrash copies what is about to be removed, under the name by which it was. It reports whether the store has another version of that by
// now, so that the job is to be begun again.
func (d *Drive) toTrash(ctx context.Context, j *job) (again bool, err error) {
	name := j.key
	if j.to != "" {
		name = j.to
	}
	dst := fmt.Sprintf("%s%s/%08x/%s", trashPrefix, time.Now().UTC().Format(trashDay), uint32(hash(string(j.have))), name)
	d.hook("store:trash:before")
	_, err = d.backend.Copy(ctx, j.key, dst, fs.CopyOptions{SrcVersion: j.have})
	d.heard(err)
	d.hook("store:trash:after")
	if err != nil && isCondition(err) {
		return d.trashed(ctx, j) // if not, the removal will find out what is there
	}
	if kind := fs.KindOf(err); err != nil && (kind == fs.NameTooLong || kind == fs.Unsupported) {
		d.log.Warn("what is removed cannot be kept in the trash", "key", j.key, "error", err)
		return false, nil
	}
	return false, err
}

// trashed reports whether a write whose answer was lost has put a version of what was removed under the job's key, and notes it: that is the
// one to be kept.
func (d *Drive) trashed(ctx context.Context, j *job) (is bool, err error) {
	if !j.unsure {
		return false, nil
	}
	info, err := d.stat(ctx, j.key)
	switch {
	case err != nil && fs.KindOf(err) == fs.NotExist:
		return false, nil
	case err != nil:
		return false, err
	case info.Version == j.have, !d.isOurs(info.WriteID, j.key), j.n != nil && info.WriteID == d.writeID(j.key, j.gen):
		return false, nil
	}
	if err := d.rebased(nil, j.key, info); err != nil {
		return false, err
	}
	return true, d.settle("trash", j.key, func(t *tx) error {
		if p := t.d.pending[j.keyed]; p != nil && (p.have == j.have || p.have == info.Version) {
			p := t.edit(j.keyed)
			p.have, p.due = info.Version, time.Now()
		}
		return nil
	})
}

// emptyTrash removes what was removed before keep ago. It returns how many keys.
func (d *Drive) emptyTrash(ctx context.Context, keep time.Duration) (n int, err error) {
	days, err := d.list(ctx, strings.TrimSuffix(trashPrefix, "/"))
	if err != nil {
		return 0, err
	}
	for _, day := range days {
		at, err := time.Parse(trashDay, strings.TrimPrefix(day.Key, trashPrefix))
		if err != nil || time.Since(at) < keep+24*time.Hour {
			continue
		}
		removed, err := d.removeAll(ctx, day.Key)
		if n += removed; err != nil {
			return n, err
		}
	}
	return n, nil
}

// removeAll removes all keys below dir. It is for keys that are the daemon's own.
func (d *Drive) removeAll(ctx context.Context, dir string) (n int, err error) {
	infos, err := d.list(ctx, dir)
	for _, info := range infos {
		if err != nil {
			return n, err
		}
		if info.Type == fs.Directory {
			var below int
			below, err = d.removeAll(ctx, info.Key)
			n += below
			continue
		}
		if err = d.backend.Remove(ctx, info.Key, fs.RemoveOptions{}); err == nil {
			n++
		}
	}
	if err == nil {
		err = d.backend.Remove(ctx, dir, fs.RemoveOptions{Dir: true})
		if fs.KindOf(err) == fs.NotExist {
			err = nil
		}
	}
	return n, err
}
