package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func (a *app) driveCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "drive", Short: "List, add, remove and check drives", RunE: needSubcommand,
		Example: "  jupyter-drive drive add notes ~/notes\n  jupyter-drive drive list"}
	cmd.AddCommand(a.driveListCommand(), a.driveAddCommand(), a.driveCheckCommand(), a.driveRemoveCommand())
	return cmd
}

func (a *app) driveListCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "list", Short: "List the drives of the configuration", Args: cobra.NoArgs,
		Example: "  jupyter-drive drive list\n  jupyter-drive drive list --json",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.config()
			if err != nil {
				return err
			}
			list := a.driveStatuses(cmd.Context(), c)
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"drives": list})
			}
			return writeDrives(a, list)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// listLimit is how long a list waits for a daemon that runs and does not answer.
const listLimit = 5 * time.Second

// driveStatuses tells of each drive of a configuration what the running daemon says of it, else what can be told without one.
func (a *app) driveStatuses(ctx context.Context, c *config) []driveStatus {
	ctx, cancel := context.WithTimeout(ctx, listLimit)
	defer cancel()
	var s status
	if err := a.env.ask(ctx, "GET", "/status", &s); err != nil {
		s = status{} // there is a list all the same
	}
	list := []driveStatus{}
	for _, name := range c.driveNames() {
		d := driveStatusOf(name, c.Drives[name], a.env)
		i := slices.IndexFunc(s.Drives, func(x driveStatus) bool { return x.Name == name && x.URL == d.URL })
		if i >= 0 { // else it is one of another configuration
			d.State, d.Store = s.Drives[i].State, s.Drives[i].Store
		}
		list = append(list, d)
	}
	return list
}

// driveStatusOf tells what can be told without a daemon.
func driveStatusOf(name string, d driveConfig, env environment) driveStatus {
	s := driveStatus{Name: name, URL: d.URL, Mode: "read-write", State: "ok"}
	if d.readOnly() {
		s.Mode = "read-only"
	}
	if d.isBucket() {
		return s
	}
	dir, err := d.dir(env)
	if err == nil {
		_, err = os.Stat(dir)
	}
	switch {
	case errors.Is(err, os.ErrNotExist):
		s.State = "there is no folder " + dir
	case err != nil:
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
	var o addOptions
	var local []string
	cmd := &cobra.Command{
		Use: "add NAME URL", Short: "Add a drive: a local folder as file:PATH, or a bucket as s3://BUCKET/PREFIX", Args: cobra.ExactArgs(2),
		Example: "  jupyter-drive drive add notes ~/notes\n  jupyter-drive drive add data file:/srv/data --read-only\n" +
			"  jupyter-drive drive add data s3://bucket/prefix\n" +
			"  jupyter-drive drive add lab s3://lab --endpoint https://minio.example.org --path-style",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.drive.URL = args[1]
			if o.readOnly {
				o.drive.Mode = "read-only"
			}
			if cmd.Flags().Changed("local") {
				o.drive.Local = &local
			}
			return a.driveAdd(cmd.Context(), args[0], o)
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.readOnly, "read-only", false, "nothing in it can be changed")
	f.BoolVar(&o.create, "create", false, "make the folder of a local drive if it is missing")
	f.BoolVar(&o.unchecked, "no-check", false, "add a bucket that cannot be reached or used just now")
	f.StringVar(&o.drive.Region, "region", "", "region of the bucket")
	f.StringVar(&o.drive.Endpoint, "endpoint", "", "URL of a store that is not AWS")
	f.BoolVar(&o.drive.PathStyle, "path-style", false, "the bucket in the path and not in the host name, as most stores but AWS want it")
	f.StringVar(&o.drive.Profile, "profile", "", "profile of the AWS configuration files")
	f.BoolVar(&o.drive.Anonymous, "anonymous", false, "send no credentials: public buckets")
	f.BoolVar(&o.drive.RequesterPays, "requester-pays", false, "pay for what is read")
	f.StringVar(&o.drive.Close, "close", "", `when closing a file returns: "local" (safe on this machine) or "upload" (safe in the store)`)
	f.BoolVar(&o.drive.NoTrash, "no-trash", false, "what is deleted is gone at once")
	f.StringSliceVar(&local, "local", nil, "names that are never uploaded (default "+strings.Join(defaultLocal(), ",")+")")
	return cmd
}

// addOptions are what `drive add` was told.
type addOptions struct {
	drive                       driveConfig
	readOnly, create, unchecked bool
	resumed                     bool // whether it takes up the journal of a drive that was removed
}

func (a *app) driveAdd(ctx context.Context, name string, o addOptions) error {
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
	if _, err := o.drive.checkURL(); err != nil {
		return fail(exitUsage, "drive %s: %v", name, err)
	}
	if o.drive.isBucket() {
		err = a.prepareBucket(ctx, c, name, &o)
	} else {
		err = a.prepareFolder(ctx, c, name, &o)
	}
	if err != nil {
		return err
	}
	err = c.editConfig(func(text string) (string, error) {
		return appendLines(text, "[drives."+quoteKey(name)+"]", o.drive.pairs()...), nil
	})
	if err != nil {
		return err
	}
	err = a.env.ask(ctx, "POST", "/reload", nil)
	if err == nil || errors.Is(err, errNotRunning) {
		a.tellResumed(o)
	}
	if errors.Is(err, errNotRunning) {
		fmt.Fprintf(a.stderr, "Added    drive %q; it is at %s once a daemon runs: jupyter-drive up\n", name, filepath.Join(a.env.expand(c.Mount), name))
		return nil
	}
	if err != nil {
		undo := c.editConfig(func(text string) (string, error) {
			text, _ = removeDrive(text, name)
			return text, nil
		})
		_ = a.env.ask(ctx, "POST", "/reload", nil) // so that it waits no longer for that drive; what else it has to say was said
		return errors.Join(err, undo)              // what the daemon refuses must not keep the next one from starting
	}
	return a.tellAdded(ctx, c, name)
}

// tellResumed says that a drive takes up what was left of one that was removed, which from now on is its own.
func (a *app) tellResumed(o addOptions) {
	if !o.resumed {
		return
	}
	id, err := o.drive.bucketID()
	if err == nil {
		err = os.Remove(filepath.Join(a.env.driveState(id), removedFile))
	}
	fmt.Fprintln(a.stderr, "Resumed  what was not uploaded when that bucket was removed")
	if err != nil {
		fmt.Fprintf(a.stderr, "Warning  %v\n", err)
	}
}

// tellAdded says where the running daemon shows a new drive, or why it does not and what to do.
func (a *app) tellAdded(ctx context.Context, c *config, name string) error {
	var s status
	if err := a.env.ask(ctx, "GET", "/status", &s); err != nil {
		return err
	}
	switch shown := slices.ContainsFunc(s.Drives, func(d driveStatus) bool { return d.Name == name }); {
	case !shown:
		fmt.Fprintf(a.stderr, "Added    drive %q to %s. The daemon that runs does not show it: it follows %s. To have it there: jupyter-drive --config %[3]s drive add …\n",
			name, c.path, s.Config)
	case s.Root != "" && s.Root != name:
		fmt.Fprintf(a.stderr, "Added    drive %q. The daemon that runs does not show it: it was started to show drive %q alone (--root). To see both: jupyter-drive down, then up without --root\n",
			name, s.Root)
	case s.Mount == "":
		fmt.Fprintf(a.stderr, "Added    drive %q; it is in JupyterLab (nothing is mounted)\n", name)
	case s.Root == name:
		fmt.Fprintf(a.stderr, "Added    drive %q at %s\n", name, s.Mount)
	default:
		fmt.Fprintf(a.stderr, "Added    drive %q at %s\n", name, filepath.Join(s.Mount, name))
	}
	return nil
}

// prepareFolder checks a folder that is to be a drive, and completes what is written down of it.
func (a *app) prepareFolder(ctx context.Context, c *config, name string, o *addOptions) error {
	dir, err := o.drive.dir(a.env)
	if err != nil {
		return fail(exitUsage, "%v", err)
	}
	if err := checkPlace(a.env, a.env.expand(c.Mount), name, dir); err != nil {
		return err
	}
	if o.create {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fail(exitPermission, "the folder cannot be made: %v", err)
		}
	}
	for _, other := range c.driveNames() {
		if o.drive.overlaps(c.Drives[other], a.env) != "" {
			return fail(exitConflict, "that folder is the drive %q already; see: jupyter-drive drive list", other)
		}
	}
	o.drive.URL = "file:" + dir
	id, err := checkLocal(ctx, a, o.drive)
	o.drive.ID = id.String()
	if err != nil {
		return fail(exitCodeOf(err), "drive %s: %w", name, err)
	}
	return nil
}

// prepareBucket checks a bucket that is to be a drive, and completes what is written down of it.
func (a *app) prepareBucket(ctx context.Context, c *config, name string, o *addOptions) error {
	if o.create {
		return fail(exitUsage, "drive %s: --create is for folders; make the bucket with the store's own tools", name)
	}
	o.drive.URL = strings.TrimRight(o.drive.URL, "/")
	for _, other := range c.driveNames() {
		if how := o.drive.overlaps(c.Drives[other], a.env); how != "" {
			return fail(exitConflict, "drive %s: %s %s drive %q; see: jupyter-drive drive list", name, o.drive.URL, how, other)
		}
	}
	id, resumed := a.env.findRemoved(o.drive)
	if !resumed {
		id = fs.NewDriveID()
	}
	o.drive.ID, o.resumed = id.String(), resumed
	if o.unchecked {
		return nil
	}
	for _, s := range checkBucket(ctx, a.env, o.drive, a.checkLog()) {
		if s.Error != "" {
			return refusedBy(s, name, o.drive.URL)
		}
	}
	return nil
}

// refusedBy is the error of a bucket that is not added since a step of its check has failed.
func refusedBy(s checkStep, name, url string) error {
	text := fmt.Sprintf("drive %s (%s): %s: %s\n%s", name, url, s.Step, s.Error, s.Hint)
	if s.passing {
		text += "\nTo add it anyway: --no-check"
	}
	return fail(s.code, "%s", text)
}

// pairs are the lines of a drive's table.
func (d driveConfig) pairs() [][2]string {
	flag := func(on bool) string {
		if on {
			return "true"
		}
		return ""
	}
	all := [][2]string{
		{"url", quoted(d.URL)}, {"id", quoted(d.ID)}, {"mode", quoted(d.Mode)}, {"region", quoted(d.Region)}, {"endpoint", quoted(d.Endpoint)},
		{"path_style", flag(d.PathStyle)}, {"profile", quoted(d.Profile)}, {"anonymous", flag(d.Anonymous)},
		{"requester_pays", flag(d.RequesterPays)}, {"close", quoted(d.Close)}, {"no_trash", flag(d.NoTrash)},
	}
	if d.Local != nil {
		names := make([]string, len(*d.Local))
		for i, n := range *d.Local {
			names[i] = quote(n)
		}
		all = append(all, [2]string{"local", "[" + strings.Join(names, ", ") + "]"})
	}
	return all
}

// quoted writes a TOML string; nothing stays nothing.
func quoted(s string) string {
	if s == "" {
		return ""
	}
	return quote(s)
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

// removeDrive takes a drive's table out of a configuration's text, however its name is written.
func removeDrive(text, name string) (out string, found bool) {
	whole := func([]string) bool { return true }
	out, found = removeTable(text, "[drives."+quoteKey(name)+"]", whole)
	if !found {
		out, found = removeTable(text, "[drives."+quote(name)+"]", whole)
	}
	return out, found
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
	return known, notWritable(dir, tryReserved(ctx, d))
}

// notWritable says of a folder in which the drive's own record cannot be written what to do.
func notWritable(dir string, err error) error {
	//exhaustive:ignore
	switch fs.KindOf(err) {
	case fs.Permission, fs.NotPermitted, fs.ReadOnly:
		return fail(exitPermission, "the folder %s cannot be written to by this user; to have it for reading: --read-only, or mode = \"read-only\" in its table", dir)
	}
	return err
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
