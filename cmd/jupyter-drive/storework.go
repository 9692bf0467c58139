package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// warm fetches a file, or all below a folder, into the cache, and asks for what a list does not tell.
func (d *daemon) warm(ctx context.Context, query url.Values, tell func(news)) (warmResult, error) {
	p, err := d.pathOf(query.Get("path"))
	if err != nil {
		return warmResult{}, err
	}
	name, rel := p.Drive(), p.Rel()
	if d.opts.root != "" {
		name, rel = d.opts.root, string(p)
	}
	b, ok := d.backlogOf(name)
	if !ok {
		return warmResult{}, d.nothingToFetch(name)
	}
	done, err := b.Warm(ctx, rel, func(p drive.Progress) { tell(news{Files: p.Files, Bytes: p.Bytes}) })
	switch {
	case err != nil && done.Files == 0:
		return warmResult{}, &exitError{exitCodeOf(err), err}
	case err != nil:
		return warmResult{}, fail(exitCodeOf(err), "after %s: %w", count(done.Files, "file"), err)
	}
	return warmResult{Files: done.Files, Bytes: done.Bytes}, nil
}

// pathOf returns the path that an argument means: one of this machine below the mount, or one of the tree.
func (d *daemon) pathOf(arg string) (fs.Path, error) {
	if filepath.IsAbs(arg) {
		p, ok := d.apiPath(filepath.Clean(arg))
		if !ok {
			return "", fail(exitUsage, "%s is not in the mount (%s); name a file or folder there, or begin with the drive's name", arg, d.mountpoint)
		}
		return p, nil
	}
	p, err := fs.ParsePath(arg)
	if err != nil {
		return "", fail(exitUsage, "%v", err)
	}
	return p, nil
}

// nothingToFetch says why a drive has no cache to fetch into.
func (d *daemon) nothingToFetch(name string) error {
	if name == "" {
		return fail(exitUsage, "the mount itself is in no store: name a drive, or a file or folder in one; see: jupyter-drive drive list")
	}
	cfg, _ := d.present()
	if _, known := cfg.Drives[name]; !known {
		return fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", name)
	}
	if why := d.allAbsent()[name]; why != nil {
		return fail(exitCodeOf(why), "drive %s: %w", name, why)
	}
	return fail(exitUsage, "%q is no drive in a store: there is nothing to fetch; see: jupyter-drive drive list", name)
}

// fsck compares one drive, or all, with the store, and checks what is on this machine.
func (d *daemon) fsck(ctx context.Context, query url.Values, tell func(news)) ([]fsckResult, error) {
	cfg, _ := d.present()
	only := query.Get("drive")
	if _, known := cfg.Drives[only]; only != "" && !known {
		return nil, fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", only)
	}
	if only != "" && !cfg.Drives[only].isBucket() {
		return nil, fail(exitUsage, "%q is no drive in a store: there is nothing to compare; see: jupyter-drive drive list", only)
	}
	all, absent := []fsckResult{}, d.allAbsent()
	for _, name := range cfg.driveNames() {
		c := cfg.Drives[name]
		if !c.isBucket() || (only != "" && only != name) {
			continue
		}
		if why := absent[name]; why != nil {
			all = append(all, fsckResult{Drive: name, Error: why.Error()})
			continue
		}
		r, err := d.fsckDrive(ctx, name, c, tell)
		if err != nil {
			return nil, fail(exitCodeOf(err), "drive %s: %w", name, err)
		}
		all = append(all, r)
	}
	return all, nil
}

// fsckDrive checks one drive. That its store is away is no error and no finding, but the result says so.
func (d *daemon) fsckDrive(ctx context.Context, name string, c driveConfig, tell func(news)) (r fsckResult, err error) {
	b, ok := d.backlogOf(name)
	if !ok {
		return r, fail(exitNotFound, "it was just removed")
	}
	checked, err := d.checkCache(ctx, c) // first: the drive drops what is damaged too, and does not count it
	if err != nil {
		return r, err
	}
	found, seen, err := b.Fsck(ctx, func(p drive.Progress) { tell(news{Drive: name, Files: p.Files, Bytes: p.Bytes}) })
	now := b.Status()
	r = fsckResult{Drive: name, Files: seen.Files, Dirs: seen.Dirs, Bytes: checked.Bytes, Damaged: checked.Damaged, Pending: now.Pending}
	switch {
	case isAway(err):
		r.Error = err.Error()
	case err != nil:
		return r, err
	case now.Away != nil:
		r.Error = now.Away.Error()
	case now.Refused != nil:
		r.Error = now.Refused.Error()
	}
	r.note(found)
	return r, nil
}

// checkCache checks what is cached of a drive.
func (d *daemon) checkCache(ctx context.Context, c driveConfig) (checked blockcache.Checked, err error) {
	d.mu.Lock()
	cache := d.stores.cache
	d.mu.Unlock()
	id, err := c.bucketID()
	if err != nil || cache == nil {
		return checked, err
	}
	return cache.Check(ctx, id.String())
}

// note adds what was found. That the store does not answer is no finding.
func (r *fsckResult) note(found []drive.Finding) {
	for _, f := range found {
		if isAway(f.Err) {
			r.Error = firstOf(r.Error, f.Err.Error())
			continue
		}
		r.Findings = append(r.Findings, fmt.Sprintf("%s: %v", f.Path, f.Err))
	}
}

// isAway reports whether an error is that a store does not answer: to an upload, that not even what became of it could be asked.
func isAway(err error) bool {
	return err != nil && (exitCodeOf(err) == exitUnavailable || fs.KindOf(err) == fs.UnknownOutcome)
}

// gc removes what is left of drives that are gone, and what drives have left in their stores.
func (d *daemon) gc(ctx context.Context, _ url.Values) (gcResult, error) {
	d.reloading.Lock() // drives neither come nor go meanwhile
	defer d.reloading.Unlock()
	cfg, _ := d.present()
	cache := d.cacheThatIsThere()
	var r gcResult
	var ids []string
	for _, c := range slices.Concat(slices.Collect(maps.Values(cfg.Drives)), slices.Collect(maps.Values(cfg.aside))) {
		if id, err := c.bucketID(); err == nil {
			ids = append(ids, id.String())
		}
	}
	if cache != nil {
		r.Cache = cache.KeepOnly(ids)
	}
	freed, err := d.env.removeListings(ids)
	r.Cache += freed
	errs := []error{err}
	for _, name := range cfg.driveNames() {
		b, ok := d.backlogOf(name)
		if !ok || cfg.Drives[name].readOnly() {
			continue
		}
		done, err := b.GC(ctx, drive.KeepUploads, drive.KeepTrash)
		r.Uploads += done.Uploads
		r.Trash += done.Trash
		errs = append(errs, err)
	}
	errs = append(errs, d.removeStates(ctx, ids, &r))
	if err := errors.Join(errs...); err != nil {
		return r, fail(exitCodeOf(err), "%w", err)
	}
	return r, nil
}

// cacheThatIsThere returns the cache, which nobody has opened where no drive is in a store; nil if there is none.
func (d *daemon) cacheThatIsThere() *blockcache.Cache {
	d.mu.Lock()
	cache := d.stores.cache
	d.mu.Unlock()
	if _, missing := os.Stat(d.env.blocksDir()); cache != nil || missing != nil {
		return cache
	}
	return d.startStores().cache
}

// removeListings removes what is known to be in drives that are not among the known ones, and returns how many bytes that freed.
func (e environment) removeListings(known []string) (freed int64, err error) {
	entries, err := os.ReadDir(e.listingsDir())
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	}
	for _, file := range entries {
		if _, bad := fs.ParseDriveID(file.Name()); bad != nil || slices.Contains(known, file.Name()) {
			continue
		}
		info, err := file.Info()
		if err == nil {
			err = os.Remove(filepath.Join(e.listingsDir(), file.Name()))
		}
		if err != nil {
			return freed, err
		}
		freed += info.Size()
	}
	return freed, err
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
		left, err := pendingAt(ctx, id, state)
		switch {
		case err != nil:
			r.Kept = append(r.Kept, fmt.Sprintf("%s: %v", state, err))
		case left.changes > 0:
			text := fmt.Sprintf("%s: %s, never uploaded", state, left)
			if kept, ok := readRemoved(state); ok {
				text += "; to upload them: " + kept.addCommand("NAME")
			}
			r.Kept = append(r.Kept, text)
		default:
			if err := os.RemoveAll(state); err != nil {
				return err
			}
			r.States++
		}
	}
	return err
}
