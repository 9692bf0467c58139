package drive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// Progress is how far Warm or Fsck has come.
type Progress struct {
	Files, Dirs int
	Bytes       int64 // fetched by Warm, checked by Fsck
}

// Warm fetches everything at and below a path, "" for the whole drive, into the cache, and asks for what a listing does not tell: modes, times and
// what is a symbolic link. told, if not nil, is called now and then. Of a file larger than the cache the contents are left out.
func (d *Drive) Warm(ctx context.Context, rel string, told func(Progress)) (p Progress, err error) {
	if d.opts.Cache == nil || d.opts.Pool == nil {
		return p, fail("warm", rel, fs.Unsupported)
	}
	if told == nil {
		told = func(Progress) {}
	}
	err = d.walk(ctx, rel, func(n inode) error {
		f, ok := n.(*file)
		if !ok {
			p.Dirs += map[bool]int{true: 1}[n.kind() == kindDir]
			return nil
		}
		p.Files++
		f, err := f.toldAll(ctx)
		if f == nil || err != nil {
			return err
		}
		return d.warm(ctx, f, func(n int64) {
			p.Bytes += n
			told(p)
		})
	})
	told(p)
	return p, fs.Wrap("warm", rel, err)
}

func (d *Drive) warm(ctx context.Context, f *file, got func(int64)) error {
	d.mu.RLock()
	v := f.view()
	d.mu.RUnlock()
	at := v.at
	if v.isOwn() || at.version == "" || at.size == 0 || at.size > d.opts.Cache.Limit() {
		return nil
	}
	src, ok := d.openSource(at).(*pooled)
	if !ok {
		return nil
	}
	defer src.Close()
	if src.file == nil {
		return nil
	}
	missing := src.file.Missing(0, at.size)
	if len(missing) == 0 {
		return nil
	}
	err := src.stream.Fill(ctx, missing, got)
	d.heard(err)
	return err
}

// walk calls f for what is at and below a path, a directory before what is in it.
func (d *Drive) walk(ctx context.Context, rel string, f func(inode) error) error {
	var n inode = d.root
	if rel != "" {
		x, name, err := d.find(ctx, rel)
		if err != nil {
			return err
		}
		defer x.unpin()
		if n, err = x.child(ctx, name); err != nil {
			return err
		}
	}
	return d.walkFrom(ctx, n, f)
}

func (d *Drive) walkFrom(ctx context.Context, n inode, f func(inode) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := f(n); err != nil {
		return err
	}
	x, ok := n.(*dir)
	if !ok {
		return nil
	}
	children, err := x.all(ctx)
	if err != nil {
		return err
	}
	for _, c := range children {
		if err := d.walkFrom(ctx, c, f); err != nil {
			return err
		}
	}
	return nil
}

// all returns the children.
func (x *dir) all(ctx context.Context) ([]inode, error) {
	x.pin()
	defer x.unpin()
	if err := x.fresh(ctx, ""); err != nil {
		return nil, err
	}
	x.d.mu.RLock()
	defer x.d.mu.RUnlock()
	return slices.Collect(maps.Values(x.children)), nil
}

// Finding is something that Fsck does not like.
type Finding struct {
	Path string
	Err  error
}

// Fsck compares what is known of the drive with the store, and checks staging files and what is cached. It changes nothing but what a
// look at the store changes anyway. It fails only if it cannot go on.
func (d *Drive) Fsck(ctx context.Context, told func(Progress)) (found []Finding, p Progress, err error) {
	if told == nil {
		told = func(Progress) {}
	}
	d.refresh(d.root)
	err = d.walk(ctx, "", func(n inode) error {
		p.Files += map[bool]int{true: 1}[n.kind() != kindDir]
		p.Dirs += map[bool]int{true: 1}[n.kind() == kindDir]
		if f, ok := n.(*file); ok {
			size, err := d.checkFile(ctx, f)
			if p.Bytes += size; err != nil {
				found = append(found, Finding{f.where(), err})
			}
		}
		told(p)
		return ctx.Err()
	})
	for _, t := range d.Status().Troubles {
		found = append(found, Finding{t.Path, t.Err})
	}
	return found, p, fs.Wrap("fsck", d.opts.Name, err)
}

// checkFile checks the local bytes of a file and returns how many.
func (d *Drive) checkFile(ctx context.Context, f *file) (n int64, err error) {
	d.mu.RLock()
	v := f.view()
	for _, l := range v.stack {
		l.mu.RLock()
		n += l.ext.bytes()
		l.mu.RUnlock()
		if _, statErr := os.Stat(d.staging.path(l.id)); statErr != nil {
			err = errors.Join(err, fmt.Errorf("a staging file is missing: %w", statErr))
		}
	}
	d.mu.RUnlock()
	if v.at.version == "" || d.opts.Cache == nil {
		return n, err
	}
	c := d.cacheFile(v.at)
	if c == nil {
		return n, err
	}
	if c.Complete() {
		n += v.at.size
	}
	return n, errors.Join(err, c.Verify(ctx), c.Close())
}

// Collected is what GC has removed.
type Collected struct {
	Uploads int // in parts that were never completed
	Trash   int // keys that were removed long ago
	Cache   bool
}

// Defaults of GC.
const (
	KeepUploads = 7 * 24 * time.Hour
	KeepTrash   = 30 * 24 * time.Hour
)

// GC removes from the store what this kind of daemon has left there: uploads in parts that were begun before keepUploads ago, and what
// was put into the trash before keepTrash ago.
func (d *Drive) GC(ctx context.Context, keepUploads, keepTrash time.Duration) (c Collected, err error) {
	if d.opts.ReadOnly {
		return c, fail("gc", d.opts.Name, fs.ReadOnly)
	}
	if up, ok := fs.As[fs.Uploads](d.backend); ok {
		if c.Uploads, err = d.abortOld(ctx, up, keepUploads); err != nil {
			return c, fs.Wrap("gc", d.opts.Name, err)
		}
	}
	c.Trash, err = d.emptyTrash(ctx, keepTrash)
	return c, fs.Wrap("gc", d.opts.Name, errors.Join(err, d.checkpoint(true)))
}

func (d *Drive) abortOld(ctx context.Context, up fs.Uploads, keep time.Duration) (n int, err error) {
	all, err := up.Unfinished(ctx)
	if err != nil {
		return 0, err
	}
	d.mu.RLock()
	own := map[string]bool{}
	for _, u := range d.uploads {
		own[u.id] = true
	}
	d.mu.RUnlock()
	for _, u := range all {
		if own[u.ID] || time.Since(u.Begun) < keep {
			continue
		}
		if err := up.AbortUpload(ctx, u); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// renamed gives what is cached of a version its new key.
func (d *Drive) renamed(from base, key string, v version) {
	if d.opts.Cache == nil || from.key == key {
		return
	}
	to := blockcache.Key{Drive: d.id.String(), Name: key, Version: v}
	if err := d.opts.Cache.Rename(d.cacheKey(from.key, from.version), to); err != nil {
		d.log.Debug("what was cached could not be renamed", "key", key, "error", err)
	}
}
