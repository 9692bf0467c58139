package shim

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// Process is the daemon's end of one shim.
type Process struct {
	pid    int
	cmd    *exec.Cmd
	exited chan struct{} // closed when exit is set
	gone   chan struct{} // closed when the shim was reaped
	exit   Exit          // set before exited is closed

	// mu guards stdin.
	mu    sync.Mutex
	stdin io.WriteCloser
}

// Start runs req through a new shim and returns once the program runs or could not be started. Command starts a shim:
// the daemon's own binary and the arguments that lead to [Main]; its first element must not lie in the daemon's mount.
// Tty, if not nil, becomes the program's controlling terminal and standard streams; the caller may close it afterwards.
func Start(ctx context.Context, command []string, req Request, tty *os.File) (*Process, error) {
	if len(command) == 0 {
		return nil, errors.New("start a shim: no command is configured")
	}
	req.Version, req.Terminal = Version, tty != nil
	cmd := &exec.Cmd{
		Path:        command[0],
		Args:        command,
		Env:         []string{}, // the program's environment is in the request, the shim needs none
		SysProcAttr: &syscall.SysProcAttr{Setsid: true},
	}
	if tty != nil {
		cmd.ExtraFiles = []*os.File{tty}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("start a shim: %w", err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start a shim: %w", err), stdin.Close())
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start a shim: %w", err)
	}
	p := &Process{cmd: cmd, stdin: stdin, exited: make(chan struct{}), gone: make(chan struct{})}
	started := make(chan error, 1)
	go p.follow(stdout, started)
	if err := p.send(req); err != nil {
		return nil, errors.Join(fmt.Errorf("send the request: %w", err), p.abandon())
	}
	select {
	case err = <-started:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return nil, errors.Join(err, p.abandon())
	}
	return p, nil
}

// follow reads events until the shim ends. It is the one goroutine of a Process.
func (p *Process) follow(stdout io.Reader, started chan<- error) {
	defer close(p.gone)
	in := json.NewDecoder(bufio.NewReader(stdout))
	p.exit = Exit{Version: Version, Code: -1, Lost: true}
	running, ended := false, false
	tell := func(err error) {
		select {
		case started <- err:
		default: // the first answer counts
		}
	}
	for {
		var e event
		if err := in.Decode(&e); err != nil {
			break // the shim closed its output: it ends
		}
		switch {
		case e.Error != "":
			tell(errors.New(e.Error))
		case e.Exit != nil && !ended:
			p.exit, ended = *e.Exit, true
			close(p.exited)
		case e.Pid != 0 && !running:
			p.pid, running = e.Pid, true
			tell(nil)
		}
	}
	_ = p.cmd.Wait() // its status says nothing that the events did not
	if !ended {
		p.exit.Time = time.Now().UTC()
		close(p.exited)
	}
	if !running {
		tell(errors.New("the shim ended before it started the program"))
	}
}

// Pid returns the program's process id.
func (p *Process) Pid() int { return p.pid }

// Exited is closed when the program has ended and [Process.Exit] is known.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Exit returns how the program ended. It waits for Exited.
func (p *Process) Exit() Exit {
	<-p.exited
	return p.exit
}

// Gone is closed when the shim, and everything that had to end with it, has ended.
func (p *Process) Gone() <-chan struct{} { return p.gone }

// Signal sends sig to the program's process group. It returns os.ErrProcessDone when the program has ended.
func (p *Process) Signal(sig syscall.Signal) error {
	return p.send(command{Signal: sig})
}

// Kill ends the program and everything it started, at once. It does not wait.
func (p *Process) Kill() error {
	return p.send(command{Kill: true})
}

// Close ends the shim and all that runs below it, and waits until they are gone. Whatever still runs is told by
// SIGHUP and SIGTERM first and has two seconds; if ctx ends before, it is killed.
func (p *Process) Close(ctx context.Context) error {
	p.mu.Lock()
	err := p.stdin.Close()
	p.mu.Unlock()
	if errors.Is(err, os.ErrClosed) {
		err = nil
	}
	select {
	case <-p.gone:
		return err
	case <-ctx.Done():
		return errors.Join(ctx.Err(), p.abandon())
	}
}

// abandon kills the shim and waits for it; the program dies with it.
func (p *Process) abandon() error {
	err := p.cmd.Process.Kill()
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	<-p.gone
	return err
}

// send writes one line to the shim.
func (p *Process) send(line any) error {
	raw, err := json.Marshal(line)
	if err != nil {
		return fmt.Errorf("message to the shim: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, err := p.stdin.Write(append(raw, '\n')); err != nil {
		if errors.Is(err, syscall.EPIPE) || errors.Is(err, os.ErrClosed) {
			return os.ErrProcessDone
		}
		return fmt.Errorf("message to the shim: %w", err)
	}
	return nil
}
