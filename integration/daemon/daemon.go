// Package daemon runs the built jupyter-drive as a user would, in a sandbox of its own.
//
// A Daemon is one running process, started with a command line and known by what it prints and writes: its address and
// token are read from its output, the rest is asked with `status --json`. Nothing of the product's code is linked in.
//
//	d := daemon.Run(t, daemon.Options{Drive: dir, Root: true})
//	response, err := http.Get(d.URL + "api/status?token=" + d.Token)
//
// Run ends the daemon with the test and fails it when a process, mount or socket is left over. Start is for callers that
// want to end or kill it themselves. A Daemon may be used by several goroutines until it is stopped.
package daemon

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// Bounds of a daemon's life.
const (
	DefaultStartTimeout = 2 * time.Minute
	DefaultStopTimeout  = 2 * time.Minute
	EndTimeout          = 20 * time.Second // for processes that were told to end when the daemon did
)

// exitProblems is the exit code of a status that tells of problems (docs/cli.md), such as a store that is away.
const exitProblems = 10

// Options say how a daemon is started. The zero value serves and mounts a first drive with the sample in it.
type Options struct {
	Drive   string   // folder to serve; empty: the program makes its first drive
	Root    bool     // whether Drive is the root of the API and the mount
	NoMount bool     // whether to serve without a mount
	Python  string   // interpreter of Python kernels; empty: the program finds one
	Args    []string // further arguments of `up`
	Env     []string // further variables, as NAME=value
	Box     *sandbox.Sandbox
	Binary  string // empty: the one that Build makes
}

// Daemon is a running jupyter-drive.
type Daemon struct {
	URL   string // where the API begins, with a slash at the end
	Token string
	Mount string // where the tree is mounted; empty without a mount
	Dir   string // where the root of the API is seen on this machine: the mount, or without one the drive's folder
	PID   int
	Box   *sandbox.Sandbox

	binary string
	env    []string
	cmd    *exec.Cmd
	ended  chan struct{} // closed once the process is gone and err is set
	err    error
	output *output
}

// Build compiles the program once, with the front end if that has been made, and returns its path. The environment's
// JUPYTER_DRIVE_TEST_BINARY names another one.
var Build = sync.OnceValues(func() (string, error) {
	if binary := os.Getenv("JUPYTER_DRIVE_TEST_BINARY"); binary != "" {
		return binary, nil
	}
	dir := filepath.Join(sandbox.Module(), ".cache", "test-bin")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	lock, err := os.Create(filepath.Join(dir, "lock"))
	if err != nil {
		return "", err
	}
	defer lock.Close()
	// Packages of tests run side by side; the second finds the program up to date.
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return "", fmt.Errorf("locking %s: %w", lock.Name(), err)
	}
	binary := filepath.Join(dir, "jupyter-drive")
	cmd := exec.Command("go", "build", "-o", binary, "./cmd/jupyter-drive")
	cmd.Dir = sandbox.Module()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w\n%s", err, out)
	}
	return binary, nil
})

// Run starts a daemon for a test. At the test's end it is stopped, and whatever it leaves behind is an error of the test.
func Run(tb testing.TB, o Options) *Daemon {
	tb.Helper()
	if o.Box == nil {
		box, err := sandbox.New()
		if err != nil {
			tb.Fatal(err)
		}
		o.Box = box
		tb.Cleanup(func() {
			if err := box.Close(); err != nil {
				tb.Error(err)
			}
		})
	}
	d, err := Start(tb.Context(), o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := d.Stop(); err != nil {
			tb.Error(err)
		}
		if leaks, err := d.Box.LeaksAfter(EndTimeout); err != nil || len(leaks) > 0 {
			tb.Errorf("left behind: %q, %v", leaks, err)
		}
		if tb.Failed() {
			tb.Logf("the daemon wrote:\n%s", d.Output())
		}
	})
	return d
}

// Start starts a daemon and returns when it is ready. Options.Box must be set; the caller stops the daemon and closes the box.
func Start(ctx context.Context, o Options) (*Daemon, error) {
	if o.Binary == "" {
		binary, err := Build()
		if err != nil {
			return nil, err
		}
		o.Binary = binary
	}
	d := &Daemon{Box: o.Box, binary: o.Binary, env: o.Env, ended: make(chan struct{}), output: &output{}}
	d.cmd = d.Command(o.arguments()...)
	stdout, err := d.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	d.cmd.Stderr = d.output
	if err := d.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the daemon: %w", err)
	}
	d.PID = d.cmd.Process.Pid
	address := make(chan string, 1)
	go d.follow(stdout, address)
	if err := d.ready(ctx, o, address); err != nil {
		return nil, errors.Join(fmt.Errorf("starting the daemon: %w\n%s", err, d.Output()), d.Kill())
	}
	return d, nil
}

// arguments is the command line for the options.
func (o Options) arguments() []string {
	args := []string{"up", "--no-browser", "--mount", filepath.Join(o.Box.Home, "mnt")}
	if !slices.Contains(o.Args, "--listen") {
		args = append(args, "--listen", "127.0.0.1:0")
	}
	if o.NoMount {
		args = append(args, "--no-mount")
	}
	if o.Root {
		args = append(args, "--root", o.driveName())
	}
	if o.Python != "" {
		args = append(args, "--python", o.Python)
	}
	args = append(args, o.Args...)
	if o.Drive != "" {
		args = append(args, o.Drive)
	}
	return args
}

// driveName is the name that `up` gives the drive: the folder's, which callers keep to lower case letters and digits.
func (o Options) driveName() string {
	if o.Drive == "" {
		return "home"
	}
	return filepath.Base(o.Drive)
}

// follow reads the daemon's standard output, hands on the address it prints, and waits for its end.
func (d *Daemon) follow(stdout io.Reader, address chan<- string) {
	lines := bufio.NewScanner(stdout)
	for lines.Scan() {
		line := lines.Text()
		if strings.Contains(line, "lab?token=") {
			select {
			case address <- line:
			default: // printed again; the first one counts
			}
		}
		fmt.Fprintln(d.output, line)
	}
	d.err = d.cmd.Wait()
	close(d.ended)
}

// ready waits for the address and asks for the rest.
func (d *Daemon) ready(ctx context.Context, o Options, address <-chan string) error {
	ctx, cancel := context.WithTimeout(ctx, DefaultStartTimeout)
	defer cancel()
	select {
	case link := <-address:
		u, err := url.Parse(strings.TrimSpace(link))
		if err != nil {
			return fmt.Errorf("it printed no address: %w", err)
		}
		d.Token = u.Query().Get("token")
		d.URL, _, _ = strings.Cut(link, "lab?token=")
	case <-d.ended:
		return fmt.Errorf("it ended: %w", d.err)
	case <-ctx.Done():
		return fmt.Errorf("it prints no address: %w", ctx.Err())
	}
	status, err := d.Status(ctx)
	if err != nil {
		return err
	}
	d.Mount, d.Dir = status.Mount, status.Mount
	if o.NoMount {
		d.Dir = o.Drive
	}
	return nil
}

// Status is the part of `status --json` that tests use.
type Status struct {
	PID       int    `json:"pid"`
	URL       string `json:"url"`
	Mount     string `json:"mount"`
	Kernels   int    `json:"kernels"`
	Terminals int    `json:"terminals"`
	Drives    []struct {
		Name  string `json:"name"`
		State string `json:"state"`
	} `json:"drives"`
}

// Status asks the daemon how it is.
func (d *Daemon) Status(ctx context.Context) (Status, error) {
	cmd := d.Command("status", "--json")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	var exit *exec.ExitError
	if err := runContext(ctx, cmd); err != nil && !(errors.As(err, &exit) && exit.ExitCode() == exitProblems) {
		return Status{}, fmt.Errorf("status: %w\n%s", err, stderr.String())
	}
	var s Status
	if err := json.Unmarshal(stdout.Bytes(), &s); err != nil {
		return Status{}, fmt.Errorf("status --json: %w", err)
	}
	return s, nil
}

// Command is a run of the program in the daemon's sandbox, from a folder that is not in the mount.
func (d *Daemon) Command(args ...string) *exec.Cmd {
	cmd := exec.Command(d.binary, args...)
	cmd.Env = append(d.Box.Env(), d.env...)
	cmd.Dir = d.Box.Home
	return cmd
}

// Stop ends the daemon as Ctrl-C does and waits until it is gone. It fails when the daemon says that it could not end well.
func (d *Daemon) Stop() error {
	if err := d.Signal(os.Interrupt); err != nil {
		return err
	}
	select {
	case <-d.ended:
	case <-time.After(DefaultStopTimeout):
		return errors.Join(fmt.Errorf("the daemon did not end in %v\n%s", DefaultStopTimeout, d.Output()), d.Kill())
	}
	if d.err != nil {
		return fmt.Errorf("the daemon ended badly: %w\n%s", d.err, d.Output())
	}
	return nil
}

// Signal sends the daemon a signal; one that has ended gets none.
func (d *Daemon) Signal(signal os.Signal) error {
	if err := d.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signalling the daemon: %w", err)
	}
	return nil
}

// Kill ends the daemon at once, as a crash would, and waits until it is gone. Its kernels and its dead mount stay.
func (d *Daemon) Kill() error {
	if err := d.Signal(syscall.SIGKILL); err != nil {
		return err
	}
	select {
	case <-d.ended:
		return nil
	case <-time.After(DefaultStopTimeout):
		return fmt.Errorf("the daemon was killed %v ago and has not ended", DefaultStopTimeout)
	}
}

// Ended is closed once the daemon is gone.
func (d *Daemon) Ended() <-chan struct{} { return d.ended }

// Output is what the daemon has written so far.
func (d *Daemon) Output() string { return d.output.String() }

// runContext runs a command that is killed when ctx ends.
func runContext(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			panic(err) // a child of ours can be killed
		}
	})
	defer stop()
	return cmd.Wait()
}

// output collects what two streams write.
type output struct {
	mu   sync.Mutex // guards text
	text bytes.Buffer
}

// Write adds to the output.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

// String is what was written.
func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}
