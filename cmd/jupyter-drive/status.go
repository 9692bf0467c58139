package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"
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
	Drives     []driveStatus `json:"drives"`
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
}

// problem is something that somebody should look at.
type problem struct {
	Code string `json:"code"`
	Text string `json:"text"`
}

func (a *app) statusCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "status", Short: "What runs, what is wrong and what to do", Args: cobra.NoArgs,
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
			if len(s.Problems) > 0 {
				return fail(exitUnhealthy, "%d problems", len(s.Problems))
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
	fmt.Fprintf(a.stdout, "KERNELS %d   TERMINALS %d   USERS %d\n", s.Kernels, s.Terminals, s.Users)
	if len(s.Problems) == 0 {
		fmt.Fprintln(a.stdout, "No problems.")
	}
	for _, p := range s.Problems {
		fmt.Fprintf(a.stdout, "PROBLEM  %s: %s\n", p.Code, p.Text)
	}
	return nil
}

func (a *app) versionCommand() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
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
	cmd := &cobra.Command{Use: "config", Short: "Where the configuration is and whether it is right", RunE: needSubcommand}
	cmd.AddCommand(
		&cobra.Command{Use: "path", Short: "Print the path of the configuration file", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				_, err := fmt.Fprintln(a.stdout, a.configFile())
				return err
			}},
		&cobra.Command{Use: "check", Short: "Check the configuration file", Args: cobra.NoArgs,
			RunE: func(*cobra.Command, []string) error {
				c, err := a.config()
				if err != nil {
					return err
				}
				note := ""
				if _, err := os.Stat(c.path); os.IsNotExist(err) {
					note = " (there is no file; these are the defaults)"
				}
				_, err = fmt.Fprintf(a.stdout, "%s: ok (%d drives, %d users)%s\n", c.path, len(c.Drives), len(c.Users), note)
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
	return loadConfig(a.configFile())
}

// status gathers the daemon's state.
func (d *daemon) status(context.Context) status {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := status{
		Version: version, PID: os.Getpid(), Started: d.started, URL: d.url, Root: d.opts.root, JupyterLab: d.labVersion,
		Drives: []driveStatus{}, Users: len(d.cfg.Users), Problems: []problem{},
	}
	if d.mount != nil {
		s.Mount = d.mountpoint
		select {
		case <-d.mount.Done():
			s.Problems = append(s.Problems, problem{"mount-gone", "somebody else has unmounted " + d.mountpoint +
				"; mount it again with: jupyter-drive umount, then mount"})
		default:
		}
	}
	for _, name := range d.cfg.driveNames() {
		ds := driveStatusOf(name, d.cfg.Drives[name], d.env)
		if ds.State != "ok" {
			s.Problems = append(s.Problems, problem{"drive-" + name, ds.State})
		}
		s.Drives = append(s.Drives, ds)
	}
	if d.kernels != nil {
		s.Kernels = len(d.kernels.Kernels())
		s.Terminals = len(d.terminals.Terminals())
	}
	return s
}
