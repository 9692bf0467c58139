package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// warm reads a file, or all below a folder, which brings it into the cache.
func (d *daemon) warm(ctx context.Context, query url.Values) (warmResult, error) {
	p, err := d.pathOf(query.Get("path"))
	if err != nil {
		return warmResult{}, err
	}
	name, rel := p.Drive(), p.Rel()
	if d.opts.root != "" {
		name, rel = d.opts.root, string(p)
	}
	opened, err := d.tree.Drive(name)
	if err != nil {
		return warmResult{}, fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", name)
	}
	n, err := walkTo(ctx, opened.Root(), rel)
	if err != nil {
		return warmResult{}, fail(exitCodeOf(err), "%w", err)
	}
	w := &warmer{}
	w.node(ctx, n, rel)
	return w.result, ctx.Err()
}

// pathOf returns the path that an argument means: one of this machine below the mount, or one of the tree.
func (d *daemon) pathOf(arg string) (fs.Path, error) {
	if filepath.IsAbs(arg) {
		p, ok := d.apiPath(filepath.Clean(arg))
		if !ok {
			return "", fail(exitUsage, "%s is not in the mount (%s)", arg, d.mountpoint)
		}
		return p, nil
	}
	p, err := fs.ParsePath(arg)
	if err != nil {
		return "", fail(exitUsage, "%v", err)
	}
	return p, nil
}

// walkTo returns the node at a path below a folder.
func walkTo(ctx context.Context, from fs.Dir, rel string) (fs.Node, error) {
	var n fs.Node = from
	for name := range strings.SplitSeq(rel, "/") {
		if name == "" {
			continue
		}
		dir, ok := n.(fs.Dir)
		if !ok {
			return nil, &fs.Error{Op: "look up", Path: rel, Kind: fs.NotDir}
		}
		var err error
		if n, err = dir.Lookup(ctx, name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// warmer reads files.
type warmer struct{ result warmResult }

// maxFailed is how many failures are told.
const maxFailed = 100

func (w *warmer) failed(path string, err error) {
	if err != nil && len(w.result.Failed) < maxFailed {
		w.result.Failed = append(w.result.Failed, path+": "+err.Error())
	}
}

// node reads a file, or all below a folder.
func (w *warmer) node(ctx context.Context, n fs.Node, path string) {
	if ctx.Err() != nil {
		return
	}
	if dir, ok := n.(fs.Dir); ok {
		w.failed(path, w.dir(ctx, dir, path))
		return
	}
	attr, err := n.Attr(ctx)
	if err == nil && attr.Type() == fs.File {
		err = w.file(ctx, n)
	}
	w.failed(path, err)
}

// dir reads all below a folder.
func (w *warmer) dir(ctx context.Context, dir fs.Dir, path string) error {
	l, err := dir.List(ctx)
	if err != nil {
		return err
	}
	for e, err := range fs.Entries(ctx, l) {
		if err != nil {
			return errors.Join(err, l.Close())
		}
		n, err := dir.Lookup(ctx, e.Name)
		if err == nil {
			w.node(ctx, n, filepath.Join(path, e.Name))
		} else if fs.KindOf(err) != fs.NotExist {
			w.failed(filepath.Join(path, e.Name), err)
		}
	}
	return l.Close()
}

func (w *warmer) file(ctx context.Context, n fs.Node) error {
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return err
	}
	buf := make([]byte, 1<<20)
	for off := int64(0); err == nil; {
		var got int
		got, err = h.ReadAt(ctx, buf, off)
		off += int64(got)
		w.result.Bytes += int64(got)
	}
	if errors.Is(err, io.EOF) {
		err = nil
		w.result.Files++
	}
	return errors.Join(err, h.Release(context.WithoutCancel(ctx)))
}

// fsck checks what is cached of one drive, or of all.
func (d *daemon) fsck(ctx context.Context, query url.Values) ([]fsckResult, error) {
	d.mu.Lock()
	cfg, cache := d.cfg, d.stores.cache
	d.mu.Unlock()
	only := query.Get("drive")
	if _, known := cfg.Drives[only]; only != "" && !known {
		return nil, fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", only)
	}
	all := []fsckResult{}
	for _, name := range cfg.driveNames() {
		b, ok := d.backlogOf(name)
		if !ok || (only != "" && only != name) {
			continue
		}
		now := b.Status()
		r := fsckResult{Drive: name, Pending: now.Pending, Errors: len(now.Troubles)}
		if id, err := cfg.Drives[name].bucketID(); err == nil && cache != nil {
			checked, err := cache.Check(ctx, id.String())
			if err != nil {
				return nil, fail(exitCodeOf(err), "drive %s: %w", name, err)
			}
			r.Files, r.Bytes, r.Damaged = checked.Files, checked.Bytes, checked.Damaged
		}
		all = append(all, r)
	}
	return all, nil
}

// gc removes what is left of drives that are gone, and gives up old uploads in parts.
func (d *daemon) gc(ctx context.Context, _ url.Values) (gcResult, error) {
	d.reloading.Lock() // drives neither come nor go meanwhile
	defer d.reloading.Unlock()
	d.mu.Lock()
	cfg, cache := d.cfg, d.stores.cache
	d.mu.Unlock()
	var r gcResult
	var ids []string
	for _, c := range cfg.Drives {
		if id, err := c.bucketID(); err == nil {
			ids = append(ids, id.String())
		}
	}
	if cache != nil {
		r.Cache = cache.KeepOnly(ids)
	}
	var errs []error
	for _, name := range cfg.driveNames() {
		n, err := d.abortOld(ctx, name)
		r.Uploads += n
		errs = append(errs, err)
	}
	errs = append(errs, d.removeStates(ctx, ids, &r))
	if err := errors.Join(errs...); err != nil {
		return r, fail(exitCodeOf(err), "%w", err)
	}
	return r, nil
}

// abortOld gives up the uploads in parts below a drive that were begun long ago.
func (d *daemon) abortOld(ctx context.Context, name string) (n int, err error) {
	d.mu.Lock()
	b := d.stores.backends[name]
	d.mu.Unlock()
	uploads, ok := fs.As[fs.Uploads](b)
	if b == nil || !ok {
		return 0, nil
	}
	all, err := uploads.Unfinished(ctx)
	for _, u := range all {
		if time.Since(u.Begun) < unfinishedAge {
			continue
		}
		if err := uploads.AbortUpload(ctx, u); err != nil {
			return n, err
		}
		n++
	}
	return n, err
}

// removeStates removes state folders of bucket drives that are not configured and of which nothing is pending.
func (d *daemon) removeStates(ctx context.Context, known []string, r *gcResult) error {
	base := filepath.Join(d.env.stateDir(), "drives")
	entries, err := os.ReadDir(base)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	isKnown := map[string]bool{}
	for _, id := range known {
		isKnown[id] = true
	}
	for _, e := range entries {
		state := filepath.Join(base, e.Name())
		id, bad := fs.ParseDriveID(e.Name())
		if _, missing := os.Stat(filepath.Join(state, "journal")); bad != nil || isKnown[e.Name()] || missing != nil {
			continue // a folder's state, or somebody else's
		}
		n, err := pendingAt(ctx, id, state)
		switch {
		case err != nil:
			r.Kept = append(r.Kept, fmt.Sprintf("%s: %v", state, err))
		case n > 0:
			r.Kept = append(r.Kept, fmt.Sprintf("%s: %d changes that were never uploaded", state, n))
		default:
			if err := os.RemoveAll(state); err != nil {
				return err
			}
			r.States++
		}
	}
	return err
}

// pendingAt returns how many changes a state folder has that its store has not.
func pendingAt(ctx context.Context, id fs.DriveID, state string) (int, error) {
	opened, err := drive.Open(ctx, drive.Options{ID: id, Backend: away{}, State: state, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return 0, err
	}
	n := opened.Status().Pending
	return n, opened.Close(ctx)
}
