package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// warmResult is what `warm` has read.
type warmResult struct {
	Files int   `json:"files"`
	Bytes int64 `json:"bytes"` // fetched; what was cached already is not counted
}

// fsckResult is what `fsck` found of a drive.
type fsckResult struct {
	Drive    string   `json:"drive"`
	Files    int      `json:"files"`
	Dirs     int      `json:"dirs"`
	Bytes    int64    `json:"cached_bytes"`  // checked
	Damaged  int64    `json:"damaged_bytes"` // dropped; they are fetched again when they are read
	Pending  int      `json:"pending"`
	Findings []string `json:"findings,omitempty"`
	Error    string   `json:"error,omitempty"` // why the store could not be compared
}

// askLong has the daemon do something long, and tells on stderr how far it is.
func (a *app) askLong(ctx context.Context, doing, path string, result any) error {
	p := a.newProgress()
	defer p.end()
	return a.env.askWithNews(ctx, path, func(n news) {
		text := fmt.Sprintf("%s %s, %s", doing, count(n.Files, "file"), sizeText(n.Bytes))
		if n.Drive != "" {
			text = fmt.Sprintf("%s drive %s: %s, %s", doing, n.Drive, count(n.Files, "file"), sizeText(n.Bytes))
		}
		p.tell(text)
	}, result)
}

// gcResult is what `gc` has freed.
type gcResult struct {
	Cache   int64    `json:"cache_bytes"` // of drives that are gone
	Uploads int      `json:"uploads"`     // unfinished ones in stores
	Trash   int      `json:"trash"`       // files that were deleted long ago
	States  int      `json:"states"`      // state folders of drives that are gone
	Kept    []string `json:"kept,omitempty"`
}

func (a *app) warmCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "warm PATH", Short: "Fetch a file or folder of a store into the cache", Args: cobra.ExactArgs(1),
		Long: "Fetch a file, or all files below a folder, into the cache: what is in it is read at the speed of the local disk, also without\n" +
			"a network. PATH is a whole path in the mount, or begins with the drive's name. It is meant from the working folder if it is \".\" or begins\n" +
			"with \"./\" or \"../\", or if from there it is something in the mount. What does not fit drives out what was used longest ago.\n" +
			"Modes, times and symbolic links, which a list does not tell, are asked for too: git, tar and rsync want them.",
		Example: "  jupyter-drive warm data/2026\n  jupyter-drive warm ~/JupyterDrive/data/table.parquet\n  cd ~/JupyterDrive/data; jupyter-drive warm table.parquet",
		RunE: func(cmd *cobra.Command, args []string) error {
			path, err := a.warmPath(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			var r warmResult
			if err := a.askLong(cmd.Context(), "Fetching", "/warm?path="+url.QueryEscape(path), &r); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(r)
			}
			_, err = fmt.Fprintf(a.stdout, "Fetched  %s of %s\n", sizeText(r.Bytes), count(r.Files, "file"))
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// warmPath returns the path that an argument means, for the daemon: a whole one of this machine, or one that begins with a drive's name.
// An argument is meant from the working folder if it says so, or if what it then names is in the mount, and is there or cannot be meant
// otherwise.
func (a *app) warmPath(ctx context.Context, arg string) (string, error) {
	if arg == "" || filepath.IsAbs(arg) {
		return arg, nil
	}
	var s status
	if err := a.env.ask(ctx, "GET", "/status", &s); err != nil {
		return "", err
	}
	here := filepath.Join(resolved(a.env.cwd), arg)
	mount := resolved(s.Mount)
	inMount := s.Mount != "" && within(here, mount)
	if inMount {
		here = filepath.Join(s.Mount, strings.TrimPrefix(here, mount)) // as the daemon knows it
	}
	first, _, _ := strings.Cut(arg, "/")
	isDrive := s.Root != "" || slices.ContainsFunc(s.Drives, func(d driveStatus) bool { return d.Name == first })
	switch {
	case first == "." || first == "..", inMount && !isDrive:
		return here, nil
	case inMount:
		if _, missing := os.Lstat(here); missing == nil {
			return here, nil
		}
	}
	return arg, nil
}

func (a *app) fsckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "fsck [DRIVE]", Short: "Compare drives with their stores, and check what is on this machine", Args: cobra.MaximumNArgs(1),
		Example: "  jupyter-drive fsck\n  jupyter-drive fsck data --json",
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []fsckResult
			if err := a.askLong(cmd.Context(), "Checking", "/fsck?drive="+url.QueryEscape(firstOf(args...)), &all); err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(a.stdout).Encode(map[string]any{"drives": all}); err != nil {
					return err
				}
			}
			return a.writeFsck(all, asJSON)
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// writeFsck prints what was found, unless that has been printed, and fails if there was something.
func (a *app) writeFsck(all []fsckResult, quiet bool) error {
	if len(all) == 0 && !quiet {
		fmt.Fprintln(a.stdout, "No drive is in a store: there is nothing to compare.")
	}
	bad, away := 0, 0
	for _, r := range all {
		bad += len(r.Findings)
		if r.Error != "" {
			away++
		}
		if quiet {
			continue
		}
		fmt.Fprintf(a.stdout, "%s  %s, %s; %s cached, %s of it damaged and dropped; %s to upload\n",
			r.Drive, count(r.Files, "file"), count(r.Dirs, "folder"), sizeText(r.Bytes), sizeText(r.Damaged), count(r.Pending, "change"))
		for _, f := range r.Findings {
			fmt.Fprintln(a.stdout, "  "+f)
		}
		if r.Error != "" {
			fmt.Fprintln(a.stdout, "  not compared with the store: "+r.Error)
		}
	}
	switch {
	case bad > 0:
		return fail(exitUnhealthy, "%s", count(bad, "finding"))
	case away > 0:
		return fail(exitUnavailable, "%d of %s could not be compared with the store; try again later, and see: jupyter-drive drive check", away, count(len(all), "drive"))
	}
	return nil
}

func (a *app) gcCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove old trash and unfinished uploads from stores, and what is left of drives that are gone", Args: cobra.NoArgs,
		Long: "Remove from each drive's store what was deleted more than 30 days ago and uploads in parts that were begun more than 7 days ago,\n" +
			"which cost money and are not this daemon's. Remove from this machine what the cache folder and the state folder hold of drives that are not in the\n" +
			"configuration any more. State with changes that were never uploaded is kept.",
		Example: "  jupyter-drive gc",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r gcResult
			if err := a.env.ask(cmd.Context(), "POST", "/gc", &r); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(r)
			}
			fmt.Fprintf(a.stdout, "Removed  %s, %s, %s of the cache, %s\n",
				count(r.Trash, "deleted file"), count(r.Uploads, "unfinished upload"), sizeText(r.Cache), count(r.States, "state folder"))
			for _, k := range r.Kept {
				fmt.Fprintln(a.stdout, "Kept     "+k)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// answer makes a handler of an action that returns something.
func answer[T any](c *control, action func(ctx context.Context, query url.Values) (T, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		result, err := action(r.Context(), r.URL.Query())
		if err != nil {
			c.refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(result); err != nil {
			c.d.log.Warn("an answer could not be sent", "err", err)
		}
	}
}
