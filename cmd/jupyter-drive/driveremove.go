package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func (a *app) driveRemoveCommand() *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "remove NAME", Short: "Take a drive out of the tree; its files stay where they are", Args: cobra.ExactArgs(1),
		Example: "  jupyter-drive drive remove notes\n  jupyter-drive drive remove data --force",
		RunE:    func(cmd *cobra.Command, args []string) error { return a.driveRemove(cmd.Context(), args[0], force) },
	}
	cmd.Flags().BoolVar(&force, "force", false, "also while something is not uploaded; that stays in the state folder")
	return cmd
}

func (a *app) driveRemove(ctx context.Context, name string, force bool) error {
	c, err := a.config()
	if err != nil {
		return err
	}
	d, found := c.Drives[name]
	if !found {
		return fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", name)
	}
	kept := ""
	if d.isBucket() {
		if kept, err = a.mayRemove(ctx, name, d, force); err != nil {
			return err
		}
	}
	err = c.editConfig(func(text string) (string, error) {
		out, found := removeDrive(text, name)
		if !found {
			return "", fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", name)
		}
		return out, nil
	})
	if err != nil {
		return err
	}
	if err := a.env.ask(ctx, "POST", "/reload", nil); err != nil && !errors.Is(err, errNotRunning) {
		return err
	}
	fmt.Fprintf(a.stderr, "Removed  drive %q; its files stay at %s\n", name, d.URL)
	if kept != "" {
		if err := writeRemoved(kept, d); err != nil {
			return fail(exitOther, "what was not uploaded is in %s, but adding the bucket again will not find it: %v", kept, err)
		}
		fmt.Fprintf(a.stderr, "Kept     what was not uploaded, in %s; to upload it after all: %s\n", kept, d.addCommand(name))
		return nil
	}
	return a.removeState(d)
}

// mayRemove refuses to remove a bucket of which something is not uploaded. With force it returns the folder where that stays instead.
func (a *app) mayRemove(ctx context.Context, name string, d driveConfig, force bool) (kept string, err error) {
	left, err := a.pending(ctx, name, d)
	if err != nil {
		return "", err
	}
	id, err := d.bucketID()
	switch {
	case err != nil || left.changes == 0:
		return "", err
	case force:
		return a.env.driveState(id), nil
	}
	return "", fail(exitUnflushed, "drive %q has %s to upload yet; see: jupyter-drive status. To remove it all the same: --force", name, left)
}

// pending returns what a bucket's store does not have, from the daemon, or without one from the drive's state.
func (a *app) pending(ctx context.Context, name string, d driveConfig) (leftover, error) {
	var s status
	err := a.env.ask(ctx, "GET", "/status", &s)
	if err == nil {
		for _, x := range s.Drives {
			if x.Name == name && x.Store != nil {
				return leftover{state: x.Store.State, changes: x.Store.Pending, bytes: x.Store.Bytes}, nil
			}
		}
	} else if !errors.Is(err, errNotRunning) {
		return leftover{}, err
	}
	return a.pendingInState(ctx, d)
}

// pendingInState opens a drive's state with a store that is away.
func (a *app) pendingInState(ctx context.Context, d driveConfig) (leftover, error) {
	id, err := d.bucketID()
	if err != nil {
		return leftover{}, fail(exitConfig, "%v", err)
	}
	state := a.env.driveState(id)
	if _, err := os.Stat(state); errors.Is(err, os.ErrNotExist) {
		return leftover{}, nil
	}
	left, err := pendingAt(ctx, id, state)
	if err != nil {
		return left, &exitError{exitCodeOf(err), err}
	}
	return left, nil
}

// removeState removes the state folder of a drive of which nothing is pending. The daemon, if one runs, has let go of it.
func (a *app) removeState(d driveConfig) error {
	id, err := d.bucketID()
	if !d.isBucket() || err != nil {
		return err
	}
	return os.RemoveAll(a.env.driveState(id))
}

// away is a store that cannot be reached.
type away struct{}

var errAway = &fs.Error{Op: "reach the store", Kind: fs.Unavailable}

func (away) Caps() fs.Caps { return fs.Caps{} }
func (away) Close() error  { return nil }

func (away) Stat(context.Context, string) (fs.Info, error) { return fs.Info{}, errAway }

func (away) List(context.Context, string, fs.ListOptions) (fs.Page, error) { return fs.Page{}, errAway }

func (away) Read(context.Context, string, fs.ReadOptions) (fs.Reader, error) { return nil, errAway }

func (away) Write(context.Context, string, fs.WriteOptions) (fs.Writer, error) { return nil, errAway }

func (away) Remove(context.Context, string, fs.RemoveOptions) error { return errAway }

func (away) Copy(context.Context, string, string, fs.CopyOptions) (fs.Info, error) {
	return fs.Info{}, errAway
}
