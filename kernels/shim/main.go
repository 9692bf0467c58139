package shim

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// grace is how long a program may take to end after the daemon has gone, before it is killed.
	grace = 2 * time.Second
	// killPatience limits the wait for killed processes, which may hang in a file system.
	killPatience = 5 * time.Second
	// terminalFD is the descriptor at which a shim finds the program's terminal.
	terminalFD = 3
)

// Main is the shim: it runs the Request read from stdin, sends events to stdout, and returns the process's exit
// status when nothing of the program is left. It changes process-wide state (working directory, umask, signal
// handling), so the caller does nothing else and passes its own standard input and output.
func Main(stdin io.Reader, stdout io.Writer) int {
	runtime.LockOSThread() // the program's parent-death signal belongs to this thread
	events := json.NewEncoder(stdout)
	commands := json.NewDecoder(stdin)
	s := &supervisor{events: events}
	if err := commands.Decode(&s.req); err != nil {
		return s.fail(fmt.Errorf("read the request: %w", err))
	}
	if err := s.start(); err != nil {
		return s.fail(err)
	}
	// A daemon that is gone cannot read events: its end is seen on stdin.
	_ = events.Encode(event{Pid: s.pid})
	s.run(readCommands(commands))
	return 0
}

// supervisor is the state of one shim.
type supervisor struct {
	req    Request
	events *json.Encoder
	pid    int           // the program, which leads its own session and process group
	output *tail         // nil on a terminal
	copied chan struct{} // closed when all output was read
}

// fail reports that nothing was started.
func (s *supervisor) fail(err error) int {
	_ = s.events.Encode(event{Error: err.Error()}) // nobody else to tell
	return 1
}

// start prepares the process and starts the program.
func (s *supervisor) start() error {
	if s.req.Version > Version {
		return fmt.Errorf("request has version %d, this shim knows %d", s.req.Version, Version)
	}
	if len(s.req.Argv) == 0 {
		return errors.New("request names no program")
	}
	// The shim ends by command alone. The signals are caught, not ignored: an ignored one would stay ignored in the
	// program, and caught ones are back to normal there even if the daemon was started with them ignored.
	signal.Notify(make(chan os.Signal, 1),
		syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGPIPE)
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("become the reaper of orphans: %w", err)
	}
	if s.req.Umask != nil {
		syscall.Umask(*s.req.Umask)
	}
	if err := enter(s.req.Dir); err != nil {
		return err
	}
	env := make([]string, len(s.req.Env))
	for i, e := range s.req.Env {
		env[i] = strings.ReplaceAll(e, "{shim_pid}", strconv.Itoa(os.Getpid()))
	}
	path, err := lookPath(s.req.Argv[0], env)
	if err != nil {
		return err
	}
	return s.fork(path, env)
}

// fork starts the program at path with its standard streams.
func (s *supervisor) fork(path string, env []string) error {
	attr := &syscall.ProcAttr{
		Env: env,
		Sys: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	if s.req.Terminal {
		syscall.CloseOnExec(terminalFD)
		attr.Files = []uintptr{terminalFD, terminalFD, terminalFD}
		attr.Sys.Setctty, attr.Sys.Ctty = true, 0
		defer func() { _ = syscall.Close(terminalFD) }() // only the program may keep the terminal open
	} else {
		null, err := os.Open(os.DevNull)
		if err != nil {
			return fmt.Errorf("standard input: %w", err)
		}
		defer null.Close()
		r, w, err := os.Pipe()
		if err != nil {
			return fmt.Errorf("standard output: %w", err)
		}
		defer w.Close()
		attr.Files = []uintptr{null.Fd(), w.Fd(), w.Fd()}
		s.output, s.copied = &tail{}, make(chan struct{})
		go func() {
			defer close(s.copied)
			_, _ = io.Copy(s.output, r) // a broken pipe ends the output like any other end
		}()
	}
	pid, err := syscall.ForkExec(path, s.req.Argv, attr)
	if err != nil {
		return fmt.Errorf("start %s: %w", path, err)
	}
	s.pid = pid
	return nil
}

// run passes commands on and reaps until the program, and all that must end with it, has ended.
func (s *supervisor) run(commands <-chan command) {
	reaped := reap()
	var deadline <-chan time.Time
	running := true
	for {
		select {
		case r, ok := <-reaped:
			if !ok {
				return
			}
			if r.pid != s.pid {
				continue
			}
			running = false
			if !s.req.Linger {
				killAll(reaped)
				s.report(r.status)
				return
			}
			s.report(r.status)
		case c, ok := <-commands:
			switch {
			case !ok: // the daemon has gone
				commands = nil
				s.signal(running, syscall.SIGHUP)
				s.signal(running, syscall.SIGTERM)
				deadline = time.After(grace)
				if !running {
					killAll(reaped)
					return
				}
			case c.Kill:
				s.end(running, reaped)
				return
			default:
				s.signal(running, c.Signal)
			}
		case <-deadline:
			s.end(running, reaped)
			return
		}
	}
}

// end kills everything and reports the program's end unless that was done.
func (s *supervisor) end(running bool, reaped <-chan child) {
	status, found := killAll(reaped, s.pid)
	if running && found {
		s.report(status)
	}
}

// signal sends sig to the program's process group.
func (s *supervisor) signal(running bool, sig syscall.Signal) {
	if running && sig > 0 {
		_ = syscall.Kill(-s.pid, sig) // a program that is just ending needs no signal
	}
}

// report records and announces how the program ended.
func (s *supervisor) report(status syscall.WaitStatus) {
	e := Exit{Version: Version, Code: status.ExitStatus(), Time: time.Now().UTC()}
	if status.Signaled() {
		e.Signal = status.Signal()
	}
	if s.output != nil {
		select {
		case <-s.copied:
		case <-time.After(killPatience): // something that cannot be killed holds the pipe
		}
		e.Output = s.output.String()
	}
	if s.req.ExitFile != "" {
		_ = writeExit(s.req.ExitFile, e) // the daemon still gets the event
	}
	_ = s.events.Encode(event{Exit: &e}) // a daemon that is gone finds the file
}

// readCommands delivers the lines from the daemon and closes the channel when the daemon is gone.
func readCommands(in *json.Decoder) <-chan command {
	commands := make(chan command)
	go func() {
		defer close(commands)
		for {
			var c command
			if err := in.Decode(&c); err != nil {
				return
			}
			commands <- c
		}
	}()
	return commands
}

// enter changes to dir or its nearest existing parent.
func enter(dir string) error {
	dir = filepath.Clean("/" + dir)
	for {
		err := os.Chdir(dir)
		if err == nil || dir == "/" {
			return err
		}
		if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR) {
			return fmt.Errorf("enter the working directory: %w", err)
		}
		dir = filepath.Dir(dir)
	}
}

// lookPath finds program in the PATH of env.
func lookPath(program string, env []string) (string, error) {
	if strings.Contains(program, "/") {
		return program, nil
	}
	for _, e := range env {
		path, ok := strings.CutPrefix(e, "PATH=")
		if !ok {
			continue
		}
		for _, dir := range filepath.SplitList(path) {
			candidate := filepath.Join(dir, program)
			if info, err := os.Stat(candidate); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
				return candidate, nil
			}
		}
	}
	return "", fmt.Errorf("%s: program not found in PATH", program)
}

// writeExit replaces path with e, whole or not at all.
func writeExit(path string, e Exit) error {
	raw, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("exit record: %w", err)
	}
	tmp := path + ".tmp"
	if err := os.WriteFile(tmp, raw, 0o600); err != nil {
		return fmt.Errorf("exit record: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("exit record: %w", err)
	}
	return nil
}
