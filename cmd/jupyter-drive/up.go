package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// runOptions are the flags of up, serve and mount.
type runOptions struct {
	noMount, noServe, noBrowser, detach bool
	listen, baseURL, root, mountpoint   string
	tlsCert, tlsKey, labDir, python     string
	allowOther                          bool
	readyFD                             int // where a detached daemon says that it is ready
	dirs                                []string
}

func (a *app) upCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:   "up [DIR...]",
		Short: "Mount, serve and open JupyterLab in the browser",
		Long: "Mounts the drives of the configuration, or the local folders named, serves them and opens JupyterLab.\n" +
			"Without drives it makes one with a sample notebook. Ends with Ctrl-C or: jupyter-drive down",
		Example: "  jupyter-drive up\n  jupyter-drive up ~/projects --no-browser\n  jupyter-drive up --detach",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dirs = args
			if o.detach {
				return a.detach(cmd.Context())
			}
			return a.up(cmd.Context(), o)
		},
	}
	a.runFlags(cmd, &o)
	cmd.Flags().BoolVar(&o.noBrowser, "no-browser", false, "do not open a browser")
	cmd.Flags().BoolVar(&o.detach, "detach", false, "return when it works and leave it in the background")
	cmd.Flags().IntVar(&o.readyFD, "ready-fd", 0, "")
	if err := cmd.Flags().MarkHidden("ready-fd"); err != nil {
		panic(err) // the flag is named one line above
	}
	return cmd
}

func (a *app) serveCommand() *cobra.Command {
	var o runOptions
	cmd := &cobra.Command{
		Use:     "serve [DIR...]",
		Short:   "Mount and serve in the foreground, for services and colleagues elsewhere",
		Example: "  jupyter-drive serve --listen 0.0.0.0:8443 --tls-cert cert.pem --tls-key key.pem",
		RunE: func(cmd *cobra.Command, args []string) error {
			o.dirs, o.noBrowser = args, true
			return a.up(cmd.Context(), o)
		},
	}
	a.runFlags(cmd, &o)
	return cmd
}

func (a *app) runFlags(cmd *cobra.Command, o *runOptions) {
	f := cmd.Flags()
	f.BoolVar(&o.noMount, "no-mount", false, "serve only; kernels see the local folders by their own paths")
	f.StringVar(&o.mountpoint, "mount", "", "where to mount (default "+defaultMount+")")
	f.StringVar(&o.listen, "listen", "", "address and port (default "+defaultListen+", or the next free port)")
	f.StringVar(&o.baseURL, "base-url", "", "path below which all is served, for reverse proxies")
	f.StringVar(&o.root, "root", "", "the drive that is the root of mount and API")
	f.StringVar(&o.tlsCert, "tls-cert", "", "certificate file (PEM)")
	f.StringVar(&o.tlsKey, "tls-key", "", "key file (PEM)")
	f.StringVar(&o.labDir, "lab-dir", "", "serve the JupyterLab installed there (…/share/jupyter/lab)")
	f.StringVar(&o.python, "python", "", "interpreter of Python kernels")
	f.BoolVar(&o.allowOther, "allow-other", false, "let other users of this machine into the mount, as their file modes allow")
}

// up runs the daemon until the context ends or down is called.
func (a *app) up(ctx context.Context, o runOptions) (err error) {
	if o.readyFD != 0 {
		syscall.CloseOnExec(o.readyFD) // or the mount's guard would keep it, and who waits for its end would wait for the guard
	}
	defer func() { o.reportFailure(err) }()
	cfg, err := a.config()
	if err != nil {
		return err
	}
	if err := a.chooseDrives(cfg, o); err != nil {
		return err
	}
	d, err := startDaemon(ctx, a, cfg, o)
	var exit *exitError
	if errors.As(err, &exit) && exit.code == exitRunning {
		return a.alreadyRunning(ctx, o, err)
	}
	if err != nil && ctx.Err() != nil {
		return fail(exitInterrupted, "interrupted: %v", err)
	}
	if err != nil {
		return err
	}
	if o.readyFD != 0 {
		o.reportReady(d)
	} else {
		report(d, a.stdout, a.stderr, "Ctrl-C ends it")
	}
	notifySystemd(a.env, "READY=1")
	if !o.noBrowser && !o.noServe {
		a.openBrowser(d.openPage)
	}
	<-d.ctx.Done()
	notifySystemd(a.env, "STOPPING=1")
	fmt.Fprintln(a.stderr, "Stopping …")
	return d.shutdown()
}

// alreadyRunning opens the running daemon's page; that there is one is still an error to scripts.
func (a *app) alreadyRunning(ctx context.Context, o runOptions, err error) error {
	var s status
	if a.env.ask(ctx, "GET", "/status", &s) != nil || s.URL == "" {
		return err
	}
	if !o.noBrowser {
		a.openBrowser(newServerFiles(a.env.jupyterRuntimeDir(), s.PID, "").page)
	}
	return fail(exitRunning, "already running (pid %d) at %s; add a folder with: jupyter-drive drive add NAME FOLDER, or end it with: jupyter-drive down",
		s.PID, s.URL)
}

// chooseDrives puts the folders named on the command line in the place of the configured drives; without any drive it makes the
// first one.
func (a *app) chooseDrives(cfg *config, o runOptions) error {
	if len(o.dirs) > 0 {
		chosen := map[string]driveConfig{}
		for _, dir := range o.dirs {
			path, err := a.folderOf("a command line with drives", dir)
			if err != nil {
				return err
			}
			name := driveNameOf(filepath.Base(path))
			if _, there := chosen[name]; there {
				return fail(exitUsage, "two folders would both be drive %q; give them names with: jupyter-drive drive add", name)
			}
			chosen[name] = driveConfig{URL: "file:" + path}
		}
		return cfg.choose(chosen, cfg.Drives)
	}
	if len(cfg.Drives) > 0 {
		return nil
	}
	return a.firstDrive(cfg)
}

// folderOf returns the folder that a command line names to be a drive this time. Other drives need what only the configuration holds.
func (a *app) folderOf(what, url string) (string, error) {
	d := driveConfig{URL: url}
	if d.isBucket() {
		return "", fail(exitUsage, "%s is for local folders (file:PATH); add the bucket with: jupyter-drive drive add NAME %s, then start without naming it", what, url)
	}
	dir, err := d.dir(a.env)
	if err != nil {
		return "", fail(exitUsage, "%v", err)
	}
	return dir, nil
}

// driveNameOf makes a drive's name of a folder's.
func driveNameOf(folder string) string {
	name := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '_' || r == '-':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, folder)
	name = name[:min(len(name), 64)]
	if fs.CheckDriveName(name) != nil {
		return "drive"
	}
	return name
}

// report tells where everything is: the link with the token to stdout, for scripts, and the rest to stderr.
func report(d *daemon, stdout, stderr io.Writer, end string) {
	cfg, mount := d.present()
	absent := d.allAbsent()
	for _, name := range cfg.driveNames() {
		if why := absent[name]; why != nil {
			fmt.Fprintf(stderr, "Missing  %v\n         %s\n", why, absentStep(name, why))
			continue
		}
		fmt.Fprintf(stderr, "Drive    %-10s %s\n", name, cfg.Drives[name].URL)
	}
	if mount != nil {
		fmt.Fprintf(stderr, "Mounted  %s\n", d.mountpoint)
	}
	if d.url != "" {
		fmt.Fprintf(stdout, "%slab?token=%s\n", d.url, d.token)
		fmt.Fprintf(stderr, "Serving  %slab   (the link with your token is above)\n", d.url)
		fmt.Fprintf(stderr, "Kernels  %s\n", d.kernelSummary())
		if fault := d.pythonFault(); fault != nil {
			fmt.Fprintf(stderr, "Warning  %v\n", fault)
		}
		if d.labVersion == "" {
			fmt.Fprintln(stderr, "Warning  this program was built without JupyterLab; build it with: make ui build, or pass --lab-dir")
		}
	}
	fmt.Fprintln(stderr, "Next     jupyter-drive status | jupyter-drive drive add NAME FOLDER | "+end)
}

// openBrowser opens a page if there is a desktop.
func (a *app) openBrowser(page string) {
	if page == "" || a.env.vars["DISPLAY"] == "" && a.env.vars["WAYLAND_DISPLAY"] == "" {
		return
	}
	opener := a.env.vars["BROWSER"]
	if opener == "" {
		opener = "xdg-open"
	}
	cmd := withUmask(a.env.umask, opener, page)
	if err := cmd.Start(); err != nil {
		fmt.Fprintf(a.stderr, "Note     no browser was opened (%v); open the link above\n", err)
		return
	}
	go cmd.Wait() //nolint:errcheck // only collects the process; it ends when the browser was told
}

// withUmask returns a command that runs with that umask: the daemon's own is 0.
func withUmask(mask int, name string, args ...string) *exec.Cmd {
	script := []string{"-c", `umask "$0" && exec "$@"`, fmt.Sprintf("%04o", mask), name}
	return exec.Command("/bin/sh", append(script, args...)...)
}

// maxLog is how long the log of daemons in the background may be when one starts; a longer one is set aside.
const maxLog = 8 << 20

// openLog opens the log of daemons in the background.
func openLog(path string) (*os.File, error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
}

// detachedArgs returns the command line of the daemon in the background. What it adds comes first: after "--" all are folders.
func detachedArgs(args []string) []string {
	daemon := []string{"--no-browser=true", "--ready-fd=3"}
	flags := true
	for _, arg := range args {
		flags = flags && arg != "--"
		if !flags || arg != "--detach" && !strings.HasPrefix(arg, "--detach=") {
			daemon = append(daemon, arg)
		}
	}
	return daemon
}

// firstWords are what a daemon in the background tells who started it: what one in the foreground prints, or why there is none. The
// link with the token goes this way only, so that it is not in the log.
type firstWords struct {
	Stdout string `json:"stdout,omitempty"`
	Stderr string `json:"stderr,omitempty"`
	PID    int    `json:"pid,omitempty"`   // 0 if it did not start
	Error  string `json:"error,omitempty"` // why not
}

// detach starts the daemon in the background and returns when it works, with its first words.
func (a *app) detach(ctx context.Context) error {
	if err := os.MkdirAll(a.env.stateDir(), 0o700); err != nil {
		return fail(exitOther, "the state folder cannot be made: %v", err)
	}
	logFile := filepath.Join(a.env.stateDir(), "daemon.log")
	log, err := openLog(logFile)
	if err != nil {
		return fail(exitOther, "the log cannot be written: %v", err)
	}
	defer log.Close()
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := withUmask(a.env.umask, a.env.exe, detachedArgs(os.Args[1:])...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.ExtraFiles = []*os.File{w}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	err = cmd.Start()
	_ = w.Close() // the child has its own
	if err != nil {
		return fail(exitOther, "the daemon cannot be started: %v", err)
	}
	interrupt := context.AfterFunc(ctx, func() { _ = cmd.Process.Signal(syscall.SIGTERM) }) // one that is dead need not be told
	defer interrupt()
	answer, err := io.ReadAll(r) // ends when the daemon is ready or dead
	var first firstWords
	if err == nil && len(answer) > 0 {
		err = json.Unmarshal(answer, &first)
	}
	if err == nil && first.PID != 0 {
		fmt.Fprint(a.stdout, first.Stdout)
		fmt.Fprint(a.stderr, first.Stderr)
		fmt.Fprintf(a.stderr, "Running  in the background (pid %d); its log is %s\n", first.PID, logFile)
		return nil
	}
	waitErr := cmd.Wait()
	code := exitOther
	if exit, ok := errors.AsType[*exec.ExitError](waitErr); ok {
		code = exit.ExitCode()
	}
	return fail(code, "%s", firstOf(first.Error, "the daemon ended at once; see its log, "+logFile))
}

// reportReady tells the waiting parent that all works, and where.
func (o *runOptions) reportReady(d *daemon) {
	var stdout, stderr strings.Builder
	report(d, &stdout, &stderr, "jupyter-drive down ends it")
	o.tell(firstWords{Stdout: stdout.String(), Stderr: stderr.String(), PID: os.Getpid()})
}

// reportFailure tells a parent that still waits why there will be no daemon.
func (o *runOptions) reportFailure(err error) {
	if err != nil {
		o.tell(firstWords{Error: err.Error()})
	}
}

// tell sends the first words to the waiting parent, once; one that is gone need not know.
func (o *runOptions) tell(words firstWords) {
	if o.readyFD == 0 {
		return
	}
	f := os.NewFile(uintptr(o.readyFD), "ready")
	o.readyFD = 0
	_ = json.NewEncoder(f).Encode(words)
	_ = f.Close()
}
