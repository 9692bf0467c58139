package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// reload reads the configuration again: users, and drives that were added, removed or changed. Users come first, so that nobody who was
// removed stays in because of a drive; a drive that fails does not hold up the others.
func (d *daemon) reload(ctx context.Context) error {
	d.reloading.Lock()
	defer d.reloading.Unlock()
	cfg, err := d.app.config()
	if err != nil {
		return err
	}
	var errs []error
	if d.users != nil {
		errs = append(errs, d.users.Replace(d.userList(cfg)...))
	}
	d.mu.Lock()
	old := d.cfg
	d.mu.Unlock()
	if old.chosen != nil {
		errs = append(errs, cfg.choose(old.chosen, old.aside))
	}
	cfg.Drives, err = d.follow(ctx, old.Drives, cfg.Drives)
	d.mu.Lock()
	d.cfg = cfg
	d.mu.Unlock()
	return errors.Join(append(errs, err)...)
}

// follow removes and adds drives until the tree has those wanted, and returns the drives that are wanted now: also those that are absent,
// and those that could not be removed. Its errors are about what has changed; what was absent before is no news.
func (d *daemon) follow(ctx context.Context, old, wanted map[string]driveConfig) (map[string]driveConfig, error) {
	have, absent := maps.Clone(old), d.allAbsent()
	var errs []error
	for name, c := range old {
		next, still := wanted[name]
		if still && c.same(next, d.env) {
			continue
		}
		if _, out := absent[name]; !out {
			if err := d.tree.Remove(ctx, name); err != nil {
				errs = append(errs, fail(exitCodeOf(err), "drive %s: %v", name, err))
				continue
			}
		}
		d.setAbsent(name, nil)
		delete(have, name)
		if !still {
			errs = append(errs, d.forgetStore(c))
		}
	}
	d.tryAbsent(have)
	for name, c := range wanted {
		if _, known := have[name]; known { // also one that could not be removed
			continue
		}
		err := d.addDrive(d.ctx, name, c)
		d.setAbsent(name, err)
		have[name] = c
		errs = append(errs, err)
	}
	return have, errors.Join(errs...)
}

// absentEvery is how often a drive that is absent is tried again.
const absentEvery = 2 * time.Second

// awaitAbsent tries drives that are absent again until the daemon ends: a disk that is connected later brings its drive with it.
func (d *daemon) awaitAbsent() {
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(absentEvery)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				d.reloading.Lock()
				d.mu.Lock()
				drives := d.cfg.Drives
				d.mu.Unlock()
				d.tryAbsent(drives)
				d.reloading.Unlock()
			case <-d.ctx.Done():
				return
			}
		}
	}()
	d.ends("wait for absent drives", func(ctx context.Context) error {
		select {
		case <-done:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
}

// tryAbsent tries all drives that are absent. The caller holds reloading.
func (d *daemon) tryAbsent(drives map[string]driveConfig) {
	for name := range d.allAbsent() {
		if d.ctx.Err() != nil {
			return
		}
		err := d.addDrive(d.ctx, name, drives[name])
		if d.setAbsent(name, err); err == nil {
			fmt.Fprintf(d.app.stderr, "Drive    %-10s %s   (it is there now)\n", name, drives[name].URL)
		}
	}
}

// setAbsent notes why a drive is absent; nil is that it is not.
func (d *daemon) setAbsent(name string, why error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if why == nil {
		delete(d.absent, name)
		return
	}
	if d.absent == nil {
		d.absent = map[string]error{}
	}
	d.absent[name] = why
}

// allAbsent returns the drives that are absent, and why.
func (d *daemon) allAbsent() map[string]error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maps.Clone(d.absent)
}

// absentStep says what to do about a drive that is absent.
func absentStep(name string, why error) string {
	step := "It is tried again every few seconds"
	//exhaustive:ignore
	switch fs.KindOf(why) {
	case fs.NotExist:
		step = "It comes by itself when the folder is there: connect its disk, or make the folder"
	case fs.Permission, fs.NotPermitted:
		step = "It comes by itself when this user may use the folder"
	}
	return step + ". To do without it: jupyter-drive drive remove " + name
}
