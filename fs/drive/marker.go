package drive

import (
	"context"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// dirMode is the mode of a directory of which the store says no other.
const dirMode = 0o755

// marks reports whether the store is to be told the mode of x, nil for whether it can be told any.
func (d *Drive) marks(x *dir) bool {
	_, ok := fs.As[fs.Marker](d.backend)
	return ok && (x == nil || x.m.mode&fs.ModePerm != dirMode)
}

// mark tells the store a directory's mode.
func (d *Drive) mark(ctx context.Context, j *job, marker fs.Marker) error {
	if err := d.attempt(j); err != nil {
		return err
	}
	mode := j.m.mode & fs.ModePerm
	d.hook("store:mark:before")
	_, err := marker.Mark(ctx, j.key, fs.MetaPatch{Mode: &mode})
	d.heard(err)
	d.hook("store:mark:after")
	if err != nil && fs.KindOf(err) == fs.Unsupported { // the marker has contents, which are others' business
		d.log.Info("the mode of a folder is not kept in the store: its marker has contents", "path", j.key)
		return nil
	}
	return err
}

// isOfAnother reports whether the marker that the store has in the job's place tells the mode of the directory that was there before.
func (d *Drive) isOfAnother(ctx context.Context, j *job, marker fs.Marker) (bool, error) {
	info, err := marker.Marked(ctx, j.key)
	d.heard(err)
	if err != nil && fs.KindOf(err) == fs.NotExist {
		return true, nil // others have removed it
	}
	return info.HasMode && (info.Mode^j.m.mode)&fs.ModePerm != 0, err
}

// dress takes over what the marker of a directory tells, which the listing of key has shown to be there. It is asked for once.
func (x *dir) dress(key string) {
	d := x.d
	marker, ok := fs.As[fs.Marker](d.backend)
	d.mu.Lock()
	due := ok && !x.dressed && !x.m.metaDirty && x != d.root && !d.closed
	x.dressed = x.dressed || due
	d.mu.Unlock()
	if !due {
		return
	}
	var info fs.Info
	err := d.look(d.ctx, func(ctx context.Context) (err error) {
		info, err = marker.Marked(ctx, key)
		return err
	})
	if err == nil {
		err = d.settle("list", key, func(t *tx) error {
			t.dressDir(x, info)
			return nil
		})
	}
	if err != nil {
		d.log.Debug("the attributes of a folder are not known", "path", key, "error", err)
		d.mu.Lock()
		defer d.mu.Unlock()
		x.dressed = false
	}
}

// isMoved reports whether the children are to be moved still.
func (x *dir) isMoved() bool {
	x.d.mu.RLock()
	defer x.d.mu.RUnlock()
	return x.m.get().moved
}

func (t *tx) dressDir(x *dir, info fs.Info) {
	m := &x.m
	mode := fs.ModeDir | info.Mode&fs.ModePerm
	if !x.named() || m.metaDirty || !info.HasMode || m.mode == mode {
		return
	}
	t.d.regain(x)
	moved := m.get().moved || m.at.version == "" // to where the store has no marker yet
	if m.kept || moved {
		t.touch(x)
	}
	m.mode = mode
	if moved && t.d.marks(x) {
		m.metaDirty = true
		t.want(x)
	}
	m.parent.edits++
	t.d.keeper.keep(m.parent)
	t.record(fs.OpAttr, x, fs.Change{})
}
