package drive

import (
	"context"
	"errors"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// reconcileGone removes what the store has under a key that nobody has any more.
func (d *Drive) reconcileGone(ctx context.Context, j *job) error {
	if j.have == "" && j.unsure && !j.dir {
		if err := d.recover(ctx, j); err != nil || j.have == "" {
			return err
		}
		return d.known(j, j.have) // it may have to wait for who needs that
	}
	if j.have == "" && !(j.dir && j.unsure) {
		return d.settled(j)
	}
	if j.trash && !j.dir {
		if again, err := d.toTrash(ctx, j); again || err != nil {
			return err
		}
	}
	if err := d.attempt(j); err != nil {
		return err
	}
	o := fs.RemoveOptions{Dir: j.dir}
	if !j.dir {
		o.Cond.IfVersion = j.have
	}
	d.hook("store:remove:before")
	err := d.backend.Remove(ctx, j.key, o)
	d.heard(err)
	d.hook("store:remove:after")
	return d.removed(ctx, j, err)
}

// removed works in the store's answer to a removal.
func (d *Drive) removed(ctx context.Context, j *job, err error) error {
	switch {
	case err == nil, fs.KindOf(err) == fs.NotExist:
		return d.settled(j)
	case fs.KindOf(err) == fs.NotEmpty && j.dir:
		return d.occupied(j)
	case fs.KindOf(err) == fs.Conflict && j.unsure:
		if err := d.recover(ctx, j); err != nil || j.have == "" {
			return err
		}
		return d.known(j, j.have)
	case fs.KindOf(err) == fs.Conflict:
		d.log.Info("a removed file was changed in the store, and stays", "key", j.key)
		return errors.Join(d.settled(j), d.expire(j.key))
	}
	return err
}

// occupied works in that a directory that was removed here has something in it that others have put there: it stays, and is found again.
func (d *Drive) occupied(j *job) error {
	if err := errors.Join(d.settled(j), d.expire(j.key), d.settle("conflict", j.key, func(t *tx) error {
		t.noteOccupied(j.key, t.now)
		return nil
	})); err != nil {
		return err
	}
	d.log.Warn("a removed folder stays, since somebody else has put something into it", "path", j.key)
	return nil
}

// recover finds out whether a write whose answer was lost has reached the store. Files that have lost the key find their bytes there then.
func (d *Drive) recover(ctx context.Context, j *job) error {
	info, err := d.stat(ctx, j.key)
	switch {
	case err == nil && d.isOurs(info.WriteID, j.key):
		j.have = info.Version
		return d.rebased(nil, j.key, info)
	case err == nil || fs.KindOf(err) == fs.NotExist:
		j.have = ""
		return errors.Join(d.settled(j), d.expire(j.key))
	}
	return err
}
