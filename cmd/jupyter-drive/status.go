package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// status is what `status --json` prints. Fields are only ever added (docs/cli.md).
type status struct {
	Version    string        `json:"version"`
	PID        int           `json:"pid"`
	Started    time.Time     `json:"started"`
	URL        string        `json:"url"`   // "" without a server
	Mount      string        `json:"mount"` // "" without a mount
	Root       string        `json:"root,omitempty"`
	JupyterLab string        `json:"jupyterlab,omitempty"` // version of the front end
	Config     string        `json:"config"`               // the configuration file that it follows
	Drives     []driveStatus `json:"drives"`
	Cache      *cacheStatus  `json:"cache,omitempty"` // of object stores; left out if there are none
	Kernels    int           `json:"kernels"`
	Terminals  int           `json:"terminals"`
	Users      int           `json:"users"`
	Problems   []problem     `json:"problems"`
}

type driveStatus struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	Mode  string `json:"mode"`
	State string `json:"state"` // "ok", or what is wrong

	Store *storeStatus `json:"store,omitempty"` // of a drive in an object store, while the daemon runs
}

// problem is something that somebody should look at.
type problem struct {
	Code string `json:"code"`
	Text string `json:"text"`

	Severity string `json:"severity"` // "low" (worth knowing), "medium" (something does not work) or "high" (data is at risk)
}

func severityName(s fs.Severity) string {
	switch s {
	case fs.Low:
		return "low"
	case fs.High:
		return "high"
	case fs.Medium:
	}
	return "medium"
}

// serious counts the problems that make status fail: all but those worth knowing only.
func (s status) serious() (n int) {
	for _, p := range s.Problems {
		if p.Severity != severityName(fs.Low) {
			n++
		}
	}
	return n
}

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "What runs, what is wrong and what to do", Args: cobra.NoArgs,
		Example: "  jupyter-drive status\n  jupyter-drive status --json | jq .problems",
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s status
			if err := a.env.ask(cmd.Context(), "GET", "/status", &s); err != nil {
				return err
			}
			if asJSON {
				if err := json.NewEncoder(a.stdout).Encode(s); err != nil {
					return err
				}
			} else if err := a.writeStatus(s); err != nil {
				return err
			}
			if n := s.serious(); n > 0 {
				return fail(exitUnhealthy, "%s", count(n, "problem"))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) writeStatus(s status) error {
	up := time.Since(s.Started).Round(time.Second)
	fmt.Fprintf(a.stdout, "jupyter-drive %s   up %s   pid %d\n", s.Version, up, s.PID)
	if s.URL != "" {
		fmt.Fprintf(a.stdout, "Serving  %s\n", s.URL)
	}
	if s.Mount != "" {
		fmt.Fprintf(a.stdout, "Mounted  %s\n", s.Mount)
	}
	if err := writeDrives(a, s.Drives); err != nil {
		return err
	}
	a.writeStores(s)
	fmt.Fprintf(a.stdout, "KERNELS %d   TERMINALS %d   USERS %d\n", s.Kernels, s.Terminals, s.Users)
	if len(s.Problems) == 0 {
		fmt.Fprintln(a.stdout, "No problems.")
	}
	for _, p := range s.Problems {
		word := "PROBLEM"
		if p.Severity == severityName(fs.Low) {
			word = "NOTE"
		}
		fmt.Fprintf(a.stdout, "%-8s %s\n", word, p.line())
	}
	return nil
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Example: "  jupyter-drive version\n  jupyter-drive version --json",
		RunE: func(*cobra.Command, []string) error {
			if asJSON {
				return json.NewEncoder(a.stdout).Encode(map[string]string{"version": version})
			}
			_, err := fmt.Fprintln(a.stdout, "jupyter-drive "+version)
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func (a *app) configCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "config", Short: "Where the configuration is and whether it is right", RunE: needSubcommand,
		Example: "  jupyter-drive config check"}
	cmd.AddCommand(
		&cobra.Command{Use: "path", Short: "Print the path of the configuration file", Args: cobra.NoArgs,
			Example: "  $EDITOR \"$(jupyter-drive config path)\"",
			RunE: func(*cobra.Command, []string) error {
				_, err := fmt.Fprintln(a.stdout, a.configFile())
				return err
			}},
		&cobra.Command{Use: "check", Short: "Check the configuration file", Args: cobra.NoArgs,
			Example: "  jupyter-drive config check\n  jupyter-drive config check --config new.toml",
			RunE: func(*cobra.Command, []string) error {
				c, err := a.config()
				if err != nil {
					return err
				}
				note := ""
				if _, err := os.Stat(c.path); os.IsNotExist(err) {
					note = " (there is no file; these are the defaults)"
				}
				_, err = fmt.Fprintf(a.stdout, "%s: ok (%s, %s)%s\n", c.path, count(len(c.Drives), "drive"), count(len(c.Users), "user"), note)
				for _, warning := range c.warnings() {
					fmt.Fprintln(a.stderr, "warning: "+warning)
				}
				return err
			}},
	)
	return cmd
}

func (a *app) configFile() string {
	if a.configPath != "" {
		return a.env.expand(a.configPath)
	}
	return a.env.configFile()
}

// config reads the configuration that the flags name.
func (a *app) config() (*config, error) {
	path := a.configFile()
	if _, err := os.Stat(path); a.configPath != "" && errors.Is(err, os.ErrNotExist) {
		return nil, fail(exitConfig, "--config %s: there is no such file; make it with the line: version = 1", a.configPath)
	}
	return loadConfig(a.env, path)
}

// status gathers the daemon's state.
func (d *daemon) status(context.Context) status {
	cfg, mount := d.present()
	s := status{
		Version: version, PID: os.Getpid(), Started: d.started, URL: d.url, Root: d.opts.root, JupyterLab: d.labVersion, Config: cfg.path,
		Drives: []driveStatus{}, Users: len(cfg.Users), Problems: []problem{},
	}
	if mount != nil {
		s.Mount = d.mountpoint
		select {
		case <-mount.Done():
			s.Problems = append(s.Problems, problem{Code: "mount-gone", Text: "somebody else has unmounted " + d.mountpoint +
				"; mount it again with: jupyter-drive umount, then mount", Severity: severityName(fs.Medium)})
		default:
		}
	}
	absent := d.allAbsent()
	for _, name := range cfg.driveNames() {
		ds := driveStatusOf(name, cfg.Drives[name], d.env)
		if why := absent[name]; why != nil {
			ds.State = strings.TrimPrefix(why.Error(), "drive "+name+": ")
			s.Problems = append(s.Problems, driveProblem(ds, absentStep(name, why)))
			s.Drives = append(s.Drives, ds)
			continue
		}
		s.Problems = append(s.Problems, d.addStore(&ds)...)
		if ds.State != "ok" {
			s.Problems = append(s.Problems, driveProblem(ds, presentStep(ds)))
		}
		s.Drives = append(s.Drives, ds)
		if drive, err := d.tree.Drive(name); err == nil {
			s.Problems = append(s.Problems, warningsOf(name, drive)...)
		}
	}
	var cacheProblems []problem
	s.Cache, cacheProblems = d.cacheStatus()
	s.Problems = append(s.Problems, cacheProblems...)
	if d.kernels != nil {
		if fault := d.pythonFault(); fault != nil {
			s.Problems = append(s.Problems, problem{Code: "python", Text: fault.Error(), Severity: severityName(fs.Medium)})
		}
		s.Kernels = len(d.kernels.Kernels())
		s.Terminals = len(d.terminals.Terminals())
	}
	return s
}

// driveProblem tells that a drive does not work, and what to do.
func driveProblem(ds driveStatus, step string) problem {
	return problem{Code: driveCode + ds.Name, Text: "drive " + ds.Name + ": " + ds.State + ". " + step, Severity: severityName(fs.Medium)}
}

// driveCode begins the code of a problem with a drive as a whole; its name follows.
const driveCode = "drive-"

// line is a problem for people: a drive is named once.
func (p problem) line() string {
	text := p.Text
	if name, ok := strings.CutPrefix(p.Code, driveCode); ok {
		text = strings.TrimPrefix(text, "drive "+name+": ")
	}
	return p.Code + ": " + text
}

// presentStep says what becomes of a drive that does not work though it is in the tree, and what to do.
func presentStep(ds driveStatus) string {
	switch {
	case ds.Store == nil:
		return "If it was moved, move it back; for a new folder in its place: jupyter-drive down, then up. To do without it: jupyter-drive drive remove " + ds.Name
	case ds.Store.Offline:
		return "It is asked again every few seconds; what is written meanwhile is kept here and uploaded then. If that lasts: jupyter-drive drive check " + ds.Name
	}
	return "It is tried again every few seconds; what is written meanwhile is kept here and uploaded then. To see what is refused: jupyter-drive drive check " + ds.Name
}

// warningsOf returns a drive's own health problems, in the order of their codes.
func warningsOf(name string, d fs.Drive) (list []problem) {
	w, ok := fs.As[interface{ Warnings() []fs.Warning }](d)
	if !ok {
		return nil
	}
	for _, x := range w.Warnings() {
		list = append(list, problem{Code: x.Code, Text: "drive " + name + ": " + x.Title + ". " + x.Text, Severity: severityName(x.Severity)})
	}
	slices.SortFunc(list, func(a, b problem) int { return strings.Compare(a.Code, b.Code) })
	return list
}
