package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func (a *app) driveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "drive", Short: "List, add, remove and check drives", RunE: needSubcommand}
	cmd.AddCommand(a.driveListCommand(), a.driveAddCommand(), a.driveCheckCommand(), &cobra.Command{
		Use: "remove NAME", Short: "Take a drive out of the tree; its files stay where they are", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.driveRemove(cmd.Context(), args[0]) },
	})
	return cmd
}

func (a *app) driveListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the drives of the configuration", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			list := []driveStatus{}
			for _, name := range c.driveNames() {
				list = append(list, driveStatusOf(name, c.Drives[name], a.env))
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"drives": list})
			}
			return writeDrives(a, list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// driveStatusOf tells what can be told without a daemon.
func driveStatusOf(name string, d driveConfig, env environment) driveStatus {
	s := driveStatus{Name: name, URL: d.URL, Mode: "read-write", State: "ok"}
	if d.readOnly() {
		s.Mode = "read-only"
	}
	dir, err := d.dir(env)
	if err == nil {
		_, err = os.Stat(dir)
	}
	if err != nil {
		s.State = err.Error()
	}
	return s
}

func writeDrives(a *app, list []driveStatus) error {
	w := tabwriter.NewWriter(a.stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "DRIVE\tURL\tMODE\tSTATE")
	for _, d := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", d.Name, d.URL, d.Mode, d.State)
	}
	return w.Flush()
}

func (a *app) driveAddCommand() *cobra.Command {
	var readOnly, create bool
	cmd := &cobra.Command{
		Use: "add NAME URL", Short: "Add a drive: a local folder as file:PATH", Args: cobra.ExactArgs(2),
		Example: "  jupyter-drive drive add notes ~/notes\n  jupyter-drive drive add data file:/srv/data --read-only",
		RunE: func(cmd *cobra.Command, args []string) error {
			d := driveConfig{URL: args[1]}
			if readOnly {
				d.Mode = "read-only"
			}
			return a.driveAdd(cmd.Context(), args[0], d, create)
		},
	}
	cmd.Flags().BoolVar(&readOnly, "read-only", false, "nothing in it can be changed")
	cmd.Flags().BoolVar(&create, "create", false, "make the folder if it is missing")
	return cmd
}

func (a *app) driveAdd(ctx context.Context, name string, d driveConfig, create bool) error {
	if err := fs.CheckDriveName(name); err != nil {
		return fail(exitUsage, "%v", err)
	}
	c, err := a.config()
	if err != nil {
		return err
	}
	if _, there := c.Drives[name]; there {
		return fail(exitConflict, "there is a drive %q already; see: jupyter-drive drive list", name)
	}
	dir, err := d.dir(a.env)
	if err != nil {
		return fail(exitUsage, "%v", err)
	}
	if err := checkPlace(a.env, a.env.expand(c.Mount), name, dir); err != nil {
		return err
	}
	if create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fail(exitPermission, "the folder cannot be made: %v", err)
		}
	}
	d.URL = "file:" + dir
	id, err := checkLocal(ctx, a, d)
	if err != nil {
		return err
	}
	err = c.editConfig(func(text string) (string, error) {
		return appendTable(text, "[drives."+quoteKey(name)+"]",
			[2]string{"url", d.URL}, [2]string{"id", id.String()}, [2]string{"mode", d.Mode}), nil
	})
	if err != nil {
		return err
	}
	if err := a.env.ask(ctx, "POST", "/reload", nil); err != nil && !errors.Is(err, errNotRunning) {
		undo := c.editConfig(func(text string) (string, error) {
			text, _ = removeDrive(text, name)
			return text, nil
		})
		return errors.Join(err, undo) // what the daemon refuses must not keep the next one from starting
	}
	fmt.Fprintf(a.stderr, "Added    drive %q at %s\n", name, filepath.Join(a.env.expand(c.Mount), name))
	return nil
}

// quoteKey writes a name as a TOML key: bare if it may be.
func quoteKey(name string) string {
	for _, r := range name {
		if r == '.' {
			return quote(name)
		}
	}
	return name
}

func (a *app) driveRemove(ctx context.Context, name string) error {
	c, err := a.config()
	if err != nil {
		return err
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
	fmt.Fprintf(a.stderr, "Removed  drive %q; its files stay at %s\n", name, c.Drives[name].URL)
	return nil
}

// removeDrive takes a drive's table out of a configuration's text, however its name is written.
func removeDrive(text, name string) (out string, found bool) {
	whole := func([]string) bool { return true }
	out, found = removeTable(text, "[drives."+quoteKey(name)+"]", whole)
	if !found {
		out, found = removeTable(text, "[drives."+quote(name)+"]", whole)
	}
	return out, found
}

func (a *app) driveCheckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "check [NAME...]", Short: "List, write, read and remove in each drive, with times",
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			if len(args) == 0 {
				args = c.driveNames()
			}
			return a.driveCheck(cmd.Context(), c, args, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) driveCheck(ctx context.Context, c *config, names []string, asJSON bool) error {
	var results []checkResult
	bad := 0
	for _, name := range names {
		d, ok := c.Drives[name]
		if !ok {
			return fail(exitNotFound, "there is no drive %q; see: jupyter-drive drive list", name)
		}
		r := checkResult{Drive: name}
		start := time.Now()
		if _, err := checkLocal(ctx, a, d); err != nil {
			r.Error = err.Error()
			bad++
		}
		r.Milliseconds = time.Since(start).Milliseconds()
		results = append(results, r)
	}
	if asJSON {
		if err := json.NewEncoder(a.stdout).Encode(map[string]any{"checks": results}); err != nil {
			return err
		}
	} else {
		for _, r := range results {
			state := "ok"
			if r.Error != "" {
				state = "FAIL " + r.Error
			}
			fmt.Fprintf(a.stdout, "%s  %s (%d ms)\n", r.Drive, state, r.Milliseconds)
		}
	}
	if bad > 0 {
		return fail(exitUnhealthy, "%d of %d drives failed the check", bad, len(names))
	}
	return nil
}

type checkResult struct {
	Drive        string `json:"drive"`
	Error        string `json:"error,omitempty"`
	Milliseconds int64  `json:"ms"`
}

// checkLocal opens a local drive beside any running daemon, tries it, and returns its identity. Nothing of the user's is touched.
func checkLocal(ctx context.Context, a *app, c driveConfig) (id fs.DriveID, err error) {
	dir, err := c.dir(a.env)
	if err != nil {
		return id, fail(exitConfig, "%v", err)
	}
	known, found, err := local.ReadID(dir)
	if err != nil {
		return id, &exitError{exitCodeOf(err), err}
	}
	if !found {
		known = fs.NewDriveID()
	}
	scratch, err := os.MkdirTemp("", "jupyter-drive-check-*")
	if err != nil {
		return id, fail(exitOther, "%v", err)
	}
	defer func() { _ = os.RemoveAll(scratch) }() // a folder of ours in the system's temporary one
	d, err := local.Open(ctx, local.Options{Root: dir, ID: known, StateDir: scratch, ReadOnly: c.readOnly(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return id, &exitError{exitCodeOf(err), err}
	}
	defer func() { err = errors.Join(err, d.Close(ctx)) }()
	d.Publish(func(fs.Change) {})
	l, err := d.Root().List(ctx)
	if err != nil {
		return id, &exitError{exitCodeOf(err), err}
	}
	if err := l.Close(); err != nil || c.readOnly() {
		return known, err
	}
	return known, tryReserved(ctx, d)
}

// tryReserved writes, reads and removes a record in the drive's own folder.
func tryReserved(ctx context.Context, d fs.Drive) error {
	r, ok := fs.As[fs.Reserver](d)
	if !ok {
		return nil
	}
	name := "check/" + newToken()[:16]
	v, err := r.Reserved().Put(ctx, name, []byte("ok"), fs.Cond{IfAbsent: true})
	if err == nil {
		_, _, err = r.Reserved().Get(ctx, name)
	}
	if err == nil {
		err = r.Reserved().Delete(ctx, name, fs.Cond{IfVersion: v})
	}
	if err != nil {
		return &exitError{exitCodeOf(err), err}
	}
	return nil
}
