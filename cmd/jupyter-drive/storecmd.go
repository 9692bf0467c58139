package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/spf13/cobra"
)

// warmResult is what `warm` has read.
type warmResult struct {
	Files  int      `json:"files"`
	Bytes  int64    `json:"bytes"`
	Failed []string `json:"failed,omitempty"` // paths and why
}

// fsckResult is what `fsck` found of a drive.
type fsckResult struct {
	Drive   string `json:"drive"`
	Files   int    `json:"files"`         // in the cache
	Bytes   int64  `json:"bytes"`         // of them
	Damaged int64  `json:"damaged_bytes"` // dropped; they are fetched again when they are read
	Pending int    `json:"pending"`
	Errors  int    `json:"errors"` // changes that cannot be uploaded
}

// gcResult is what `gc` has freed.
type gcResult struct {
	Cache   int64    `json:"cache_bytes"` // of drives that are gone
	Uploads int      `json:"uploads"`     // unfinished ones in stores
	States  int      `json:"states"`      // state folders of drives that are gone
	Kept    []string `json:"kept,omitempty"`
}

func (a *app) warmCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "warm PATH", Short: "Fetch a file or folder of a store into the cache", Args: cobra.ExactArgs(1),
		Long: "Fetch a file, or all files below a folder, into the cache: what is in it is read at the speed of the local disk, also without\n" +
			"a network. PATH is a path in the mount, or begins with the drive's name. What does not fit drives out what was used longest ago.",
		Example: "  jupyter-drive warm data/2026\n  jupyter-drive warm ~/JupyterDrive/data/table.parquet",
		RunE: func(cmd *cobra.Command, args []string) error {
			var r warmResult
			if err := a.env.ask(cmd.Context(), "POST", "/warm?path="+url.QueryEscape(args[0]), &r); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(r)
			}
			fmt.Fprintf(a.stdout, "Fetched  %d files, %s\n", r.Files, sizeText(r.Bytes))
			for _, f := range r.Failed {
				fmt.Fprintln(a.stdout, "FAIL     "+f)
			}
			if len(r.Failed) > 0 {
				return fail(exitUnavailable, "%d files could not be fetched", len(r.Failed))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) fsckCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "fsck [DRIVE]", Short: "Check what is cached of stores against its checksums", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var all []fsckResult
			if err := a.env.ask(cmd.Context(), "POST", "/fsck?drive="+url.QueryEscape(firstOf(args...)), &all); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(map[string]any{"drives": all})
			}
			for _, r := range all {
				fmt.Fprintf(a.stdout, "%s  %d files cached, %s; %s damaged and dropped; %d changes to upload, %d of them with errors\n",
					r.Drive, r.Files, sizeText(r.Bytes), sizeText(r.Damaged), r.Pending, r.Errors)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) gcCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "gc", Short: "Remove what is left of drives that are gone, and unfinished uploads", Args: cobra.NoArgs,
		Long: "Remove what the cache and the state folder hold of drives that are not in the configuration any more, and abort uploads in parts\n" +
			"below each drive's prefix that were begun more than " + unfinishedAge.String() + " ago: they cost money and can never be finished by others.\n" +
			"State with changes that were never uploaded is kept.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r gcResult
			if err := a.env.ask(cmd.Context(), "POST", "/gc", &r); err != nil {
				return err
			}
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(r)
			}
			fmt.Fprintf(a.stdout, "Removed  %s of the cache, %d state folders, %d unfinished uploads\n", sizeText(r.Cache), r.States, r.Uploads)
			for _, k := range r.Kept {
				fmt.Fprintln(a.stdout, "Kept     "+k)
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

// unfinishedAge is how old an upload in parts must be to be given up.
const unfinishedAge = 24 * time.Hour

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
