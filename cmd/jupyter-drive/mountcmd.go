package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/fs/fusemount"
)

func (a *app) mountCommand() *cobra.Command {
	o := runOptions{noServe: true, noBrowser: true}
	cmd := &cobra.Command{
		Use:   "mount [URL DIR]",
		Short: "Mount without serving",
		Long: "mount URL DIR mounts one local folder (file:PATH) at DIR, in the foreground. A bucket is added first, with: jupyter-drive drive add\n" +
			"mount alone mounts the drives of the configuration; a daemon that runs with --no-mount is asked to do it.",
		Example: "  jupyter-drive mount file:/srv/data /mnt/data",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 0 && len(args) != 2 {
				return fail(exitUsage, "mount takes a URL and a folder, or nothing")
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				o.dirs, o.mountpoint = args[:1], args[1]
				return a.mountOne(cmd, o)
			}
			err := a.env.ask(cmd.Context(), "POST", "/mount", nil)
			if errors.Is(err, errNotRunning) {
				return a.up(cmd.Context(), o)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&o.allowOther, "allow-other", false, "let other users of this machine in, as file modes allow")
	return cmd
}

func (a *app) mountOne(cmd *cobra.Command, o runOptions) error {
	dir, err := a.folderOf("mount URL DIR", o.dirs[0])
	if err != nil {
		return err
	}
	o.root = driveNameOf(baseName(dir))
	return a.up(cmd.Context(), o)
}

func (a *app) umountCommand() *cobra.Command {
	var stale bool
	cmd := &cobra.Command{
		Use:     "umount [DIR]",
		Short:   "Unmount; with --stale, detach what a daemon that died has left",
		Args:    cobra.MaximumNArgs(1),
		Example: "  jupyter-drive umount\n  jupyter-drive umount --stale /mnt/data",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			dir := a.env.expand(c.Mount)
			if len(args) == 1 {
				dir = a.env.expand(args[0])
			}
			if stale {
				return a.detachStale(cmd.Context(), dir, true)
			}
			var s status
			err = a.env.ask(cmd.Context(), "GET", "/status", &s)
			switch {
			case err == nil && s.Mount != "" && (len(args) == 0 || resolved(dir) == resolved(s.Mount)):
				return a.env.ask(cmd.Context(), "POST", "/umount", nil)
			case err != nil && !errors.Is(err, errNotRunning):
				return err
			}
			return a.detachStale(cmd.Context(), dir, false)
		},
	}
	cmd.Flags().BoolVar(&stale, "stale", false, "only detach a dead mount of ours; nothing to do is no error")
	return cmd
}

// detachStale takes away what a daemon that died has left at dir. Nothing to do is an error unless quiet.
func (a *app) detachStale(ctx context.Context, dir string, quiet bool) error {
	state, err := fusemount.Check(dir)
	switch {
	case err != nil:
		return fail(exitMount, "%v", err)
	case quiet && (state == fusemount.Free || state == fusemount.Live):
		return nil
	case state == fusemount.Free:
		return fail(exitNotFound, "nothing of ours is mounted at %s", dir)
	}
	if err := fusemount.Detach(ctx, dir); err != nil {
		return fail(exitMount, "%v", err)
	}
	fmt.Fprintf(a.stderr, "Detached %s\n", dir)
	return nil
}
