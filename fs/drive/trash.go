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

// trashDay is how a day is written in a key.
const trashDay = "2006-01-02"

// trash has what the store has under a removed key kept for a while.
func (t *tx) trash(k keyed) {
	if p := t.d.pending[k]; t.d.opts.Trash && p != nil && p.have != "" && !k.dir {
		p = t.edit(k)
		p.trash = true
	}
}

// toTrash copies what is about to be removed.
func (d *Drive) toTrash(ctx context.Context, j *job) error {
	dst := fmt.Sprintf("%s%s/%08x/%s", trashPrefix, time.Now().UTC().Format(trashDay), uint32(hash(string(j.have))), j.key)
	d.hook("store:trash:before")
	_, err := d.backend.Copy(ctx, j.key, dst, fs.CopyOptions{SrcVersion: j.have})
	d.heard(err)
	d.hook("store:trash:after")
	if err != nil && isCondition(err) {
		return nil // the removal will find out
	}
	return err
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
