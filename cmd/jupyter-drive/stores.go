package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
)

func (e environment) cacheDir() string { return e.dir("XDG_CACHE_HOME", ".cache") }

// blocksDir is the folder of the one cache of what is read of stores.
func (e environment) blocksDir() string { return filepath.Join(e.cacheDir(), "blocks") }

// driveState is the folder of what a drive must not lose.
func (e environment) driveState(id fs.DriveID) string {
	return filepath.Join(e.stateDir(), "drives", id.String())
}

// driveListings is the file of what a drive is known to have, which may be deleted.
func (e environment) driveListings(id fs.DriveID) string {
	return filepath.Join(e.listingsDir(), id.String())
}

func (e environment) listingsDir() string { return filepath.Join(e.cacheDir(), "listings") }

// stores are what all object stores share. They exist once the first is opened.
type stores struct {
	cache *blockcache.Cache // nil if it could not be opened: everything works, but is fetched each time
	pool  *fetch.Pool
	err   error // why there is no cache
}

// startStores opens the cache for what is read of object stores, once. A cache that cannot be used is no reason not to start.
func (d *daemon) startStores() stores {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stores.pool != nil {
		return d.stores
	}
	size, err := parseSize(d.cfg.Cache.Size)
	free, err2 := parseSize(d.cfg.Cache.MinFree)
	if err = errors.Join(err, err2); err == nil {
		d.stores.cache, err = blockcache.Open(d.env.blocksDir(), blockcache.Options{
			Limit: size, MinFree: free, Logger: d.log.With("part", "cache"),
		})
	}
	if err != nil {
		d.log.Warn("the cache cannot be used", "err", err)
		d.stores.err = err
	}
	d.stores.pool = fetch.NewPool(fetch.Options{Logger: d.log.With("part", "fetch")})
	return d.stores
}

// endStores ends what startStores began, after the drives.
func (d *daemon) endStores(context.Context) error {
	d.mu.Lock()
	shared := d.stores
	d.mu.Unlock()
	if shared.pool == nil {
		return nil
	}
	shared.pool.Close()
	if shared.cache == nil {
		return nil
	}
	return shared.cache.Close()
}

// addBucket opens a bucket as a drive. It makes no request: a store that is away is tried again later.
func (d *daemon) addBucket(ctx context.Context, name string, c driveConfig) error {
	id, err := c.bucketID()
	if err != nil {
		return fail(exitConfig, "drive %s: %v", name, err)
	}
	log := d.log.With("drive", name)
	state := d.env.driveState(id)
	caps := filepath.Join(state, "caps.json")
	backend, err := openBucket(ctx, d.env, c, caps, log)
	if err != nil {
		return fail(exitCodeOf(err), "drive %s: %w", name, err)
	}
	shared := d.startStores()
	opened, err := drive.Open(ctx, drive.Options{
		ID: id, Name: name, Backend: backend, State: state, Listings: d.env.driveListings(id), Cache: shared.cache, Pool: shared.pool,
		Close: c.Close, LocalPatterns: c.localPatterns(), Trash: !c.NoTrash, ReadOnly: c.readOnly(),
		UID: uint32(d.env.uid), GID: uint32(d.env.gid), Logger: log,
	})
	if err != nil {
		return fail(exitCodeOf(err), "drive %s: %w", name, err)
	}
	if err := d.tree.Add(name, opened); err != nil {
		return errors.Join(fail(exitCodeOf(err), "drive %s: %v", name, err), opened.Close(ctx))
	}
	if !c.readOnly() && readCaps(caps) == nil {
		d.probes.Go(func() { d.probe(name, backend, caps) })
	}
	return nil
}

// probe finds out what a store can do, as soon as it can be reached.
func (d *daemon) probe(name string, b *s3.Backend, keep string) {
	for wait := time.Second; ; wait = min(2*wait, 5*time.Minute) {
		ctx, cancel := context.WithTimeout(d.ctx, time.Minute)
		caps, err := b.Probe(ctx)
		cancel()
		if err == nil {
			err = writeCaps(keep, caps)
		}
		if err == nil || d.ctx.Err() != nil {
			return
		}
		d.log.Info("the store cannot be tried yet", "drive", name, "err", err)
		select {
		case <-time.After(wait):
		case <-d.ctx.Done():
			return
		}
	}
}

// backlog is a drive that brings a store up to date by itself.
type backlog interface {
	Status() drive.Status
	Wait(ctx context.Context) error
	Warm(ctx context.Context, rel string, told func(drive.Progress)) (drive.Progress, error)
	Fsck(ctx context.Context, told func(drive.Progress)) ([]drive.Finding, drive.Progress, error)
	GC(ctx context.Context, keepUploads, keepTrash time.Duration) (drive.Collected, error)
}

// backlogOf returns the named drive if it is one of a store.
func (d *daemon) backlogOf(name string) (backlog, bool) {
	opened, err := d.tree.Drive(name)
	if err != nil {
		return nil, false
	}
	return fs.As[backlog](opened)
}

// forgetStore lets go of what was kept for a drive that was removed.
func (d *daemon) forgetStore(c driveConfig) error {
	d.mu.Lock()
	cache := d.stores.cache
	d.mu.Unlock()
	id, err := c.bucketID()
	if !c.isBucket() || err != nil {
		return err
	}
	if err := os.Remove(d.env.driveListings(id)); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if cache == nil {
		return nil
	}
	return cache.RemoveDrive(id.String())
}
