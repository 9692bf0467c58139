package kernels

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/uuid"

	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// State is where a kernel is in its life, spelled as Jupyter's execution_state.
type State string

// The states of a kernel. Busy and idle are one state here with and without running requests.
const (
	Starting       State = "starting"       // the process is there, its first answer is not
	Idle           State = "idle"           // it waits for requests
	Busy           State = "busy"           // requests run
	Restarting     State = "restarting"     // somebody asked for a new process
	Autorestarting State = "autorestarting" // the process died, a new one is coming
	Terminating    State = "terminating"    // it is being shut down
	Dead           State = "dead"           // it has ended and will not come back
)

// Model is a kernel as Jupyter's REST API shows it.
type Model struct {
	ID             string    `json:"id"`
	Name           string    `json:"name"`
	LastActivity   time.Time `json:"last_activity"`
	ExecutionState State     `json:"execution_state"`
	Connections    int       `json:"connections"`
	Reason         string    `json:"reason,omitempty"` // why it is dead
}

// Kernel is one kernel, whichever process it runs in at the moment. Its Manager ends it.
type Kernel struct {
	opts   Options
	log    *slog.Logger
	launch LaunchRequest
	hub    *hub
	done   chan struct{} // closed when the goroutine has ended

	commands chan request
	events   chan event

	// mu guards what follows.
	mu      sync.Mutex
	state   State // never Busy
	reason  string
	link    *link         // nil while there is no usable connection
	process Provisioned   // nil while there is no process
	changed chan struct{} // closed and replaced when one of the above changes
}

// ID returns the kernel's id, which stays the same over restarts.
func (k *Kernel) ID() string { return k.launch.KernelID }

// Name returns the name of the kernel's spec.
func (k *Kernel) Name() string { return k.launch.Spec.Name }

// Spec returns what the kernel was started from.
func (k *Kernel) Spec() kernelspec.Spec { return k.launch.Spec }

// Model returns the kernel's state at this moment.
func (k *Kernel) Model() Model {
	busy, last, clients := k.hub.activity()
	k.mu.Lock()
	defer k.mu.Unlock()
	m := Model{
		ID: k.ID(), Name: k.Name(), LastActivity: last.UTC().Truncate(time.Microsecond),
		ExecutionState: k.state, Connections: clients, Reason: k.reason,
	}
	if m.ExecutionState == Idle && busy {
		m.ExecutionState = Busy
	}
	return m
}

// Ready waits until the kernel has given its first answer. The error matches ErrNoSuchKernel when it ends instead.
func (k *Kernel) Ready(ctx context.Context) error {
	_, err := k.waitLink(ctx)
	return err
}

// Attach connects a client. What was kept for its session, or was not read by an older client of the session, comes
// first. The error matches ErrNoSuchKernel when the kernel has ended.
func (k *Kernel) Attach(opts AttachOptions) (*Client, error) {
	if opts.SessionID == "" {
		opts.SessionID = uuid.NewString()
	}
	c, err := k.hub.attach(opts)
	if err != nil {
		return nil, fmt.Errorf("attach to kernel %s: %w", k.ID(), err)
	}
	c.kernel = k
	return c, nil
}

// interrupt stops what the kernel runs. A kernel that is starting has ten seconds to become ready.
func (k *Kernel) interrupt(ctx context.Context) error {
	waiting, cancel := context.WithTimeout(ctx, interruptPatience)
	defer cancel()
	l, err := k.waitLink(waiting)
	if err != nil {
		if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
			return ErrStarting
		}
		return err
	}
	if k.launch.Spec.InterruptMode == "message" {
		m, err := k.hub.session.Request(wire.Control, "interrupt_request", struct{}{})
		if err != nil {
			return err
		}
		return l.send(ctx, m)
	}
	k.mu.Lock()
	process := k.process
	k.mu.Unlock()
	if process == nil {
		return ErrStarting
	}
	return process.SendSignal(syscall.SIGINT)
}

// restart replaces the process and waits until the new one answers.
func (k *Kernel) restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, k.opts.ReadyTimeout)
	defer cancel()
	return k.ask(ctx, askRestart)
}

// shutdown ends the kernel and waits until nothing of it is left.
func (k *Kernel) shutdown(ctx context.Context) error {
	return k.ask(ctx, askShutdown)
}

// ask passes a command to the kernel's goroutine and waits for its outcome, or for ctx, which ends only the waiting.
func (k *Kernel) ask(ctx context.Context, what command) error {
	r := request{what: what, outcome: make(chan error, 1)}
	select {
	case k.commands <- r:
	case <-k.done:
		return ErrNoSuchKernel
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-r.outcome:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// waitLink waits until there is a usable connection.
func (k *Kernel) waitLink(ctx context.Context) (*link, error) {
	for {
		k.mu.Lock()
		l, state, changed := k.link, k.state, k.changed
		k.mu.Unlock()
		switch {
		case state == Dead || state == Terminating:
			return nil, fmt.Errorf("%w: %s", ErrNoSuchKernel, k.ID())
		case l != nil && state == Idle:
			return l, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// waitChange waits until l is no longer the kernel's link.
func (k *Kernel) waitChange(ctx context.Context, l *link) error {
	for {
		k.mu.Lock()
		current, changed := k.link, k.changed
		k.mu.Unlock()
		if current != l {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// set changes the public state.
func (k *Kernel) set(change func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	change()
	close(k.changed)
	k.changed = make(chan struct{})
}

func (k *Kernel) setState(s State) {
	k.set(func() { k.state = s })
}

// lastLines returns the end of a process's output, as much as fits into a message to the user.
func lastLines(output string) string {
	const most = 2000
	if len(output) > most {
		output = output[len(output)-most:]
		if _, rest, ok := strings.Cut(output, "\n"); ok {
			output = rest
		}
	}
	return strings.TrimSpace(strings.ToValidUTF8(output, ""))
}
