// Package terminal runs shells on pseudo terminals that several clients share.
//
// A [Manager] names terminals "1", "2", and so on, as Jupyter does. Each runs under a shim of its own (kernels/shim),
// which enters the working directory, so that one in the daemon's own mount is safe. A [Client] first receives the
// terminal's last output, then everything new; its queue is bounded, and what it can no longer hold is dropped from
// the front, as a terminal scrolls. The pseudo terminal has the size of the smallest client. When the shell ends, its
// clients receive io.EOF and the terminal is gone; programs that it left in the background live on until the Manager
// is closed.
//
//	m := terminal.New(terminal.Options{Shim: []string{exe, "kernel-shim"}, Env: env})
//	t, err := m.Create(ctx, terminal.CreateRequest{Dir: "/home/u"})
//	c, err := t.Attach()
//	err = c.Write("ls\n")
//	text, err := c.Recv(ctx)
//
// Everything is safe for concurrent use. The package frames no WebSockets and does not decide who may attach.
package terminal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strconv"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
)

// Errors that methods of this package return; match with errors.Is. Each is an *fs.Error, so that fs.KindOf and
// fs.Status know what a door answers.
var (
	ErrNotFound = failure(fs.NotExist, "terminal not found")
	ErrExist    = failure(fs.Exist, "terminal exists")
	ErrInvalid  = failure(fs.Invalid, "invalid terminal name or size")
	ErrClosed   = failure(fs.Unavailable, "closed")
)

func failure(kind fs.Kind, text string) error {
	return &fs.Error{Kind: kind, Err: errors.New(text)}
}

// Defaults of Options.
const (
	DefaultReplayChunks = 1000
	DefaultQueueBytes   = 4 << 20
	defaultRows         = 24
	defaultColumns      = 80
)

// validName is what REST routes match.
var validName = regexp.MustCompile(`^\w{1,64}$`)

// Options say how terminals run. Shim is needed.
type Options struct {
	// Shim is the command that runs shim.Main: this binary and its arguments.
	Shim []string
	// Command is the shell and its arguments; empty means /bin/sh.
	Command []string
	// Env is the environment of every shell, as "NAME=value". TERM=xterm-256color is added unless it has a TERM.
	Env []string
	// Umask is the file mode mask of every shell; nil is the daemon's.
	Umask *int
	// ReplayChunks is how many pieces of output a new client receives first; 0 means DefaultReplayChunks.
	ReplayChunks int
	// QueueBytes limits the output that waits for one client; 0 means DefaultQueueBytes.
	QueueBytes int
	// Logger reports what goes wrong; nil discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	if len(o.Command) == 0 {
		o.Command = []string{"/bin/sh"}
	}
	if o.ReplayChunks <= 0 {
		o.ReplayChunks = DefaultReplayChunks
	}
	if o.QueueBytes <= 0 {
		o.QueueBytes = DefaultQueueBytes
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Env = slices.Clone(o.Env)
	if !slices.ContainsFunc(o.Env, func(e string) bool { return len(e) >= 5 && e[:5] == "TERM=" }) {
		o.Env = append(o.Env, "TERM=xterm-256color")
	}
	return o
}

// Manager starts terminals and knows which ones there are.
type Manager struct {
	opts    Options
	closing chan struct{} // closed by Close

	// mu guards what follows.
	mu        sync.Mutex
	terminals map[string]*Terminal // nil while the terminal of that name is being started
	order     []*Terminal          // oldest first
	last      int                  // the highest number given as a name
	closed    bool
	running   sync.WaitGroup // terminals, and those being started
}

// New returns a Manager without terminals; Close ends it.
func New(opts Options) *Manager {
	return &Manager{opts: opts.withDefaults(), closing: make(chan struct{}), terminals: map[string]*Terminal{}}
}

// CreateRequest says which terminal to start.
type CreateRequest struct {
	// Name is the terminal's name; empty takes the next number.
	Name string
	// Dir is the working directory, an absolute path that need not exist: the nearest parent that does is taken.
	Dir string
}

// Create starts a terminal. The error matches ErrExist, ErrInvalid or ErrClosed, or says why the shell could not be
// started.
func (m *Manager) Create(ctx context.Context, req CreateRequest) (*Terminal, error) {
	name, err := m.reserve(req.Name)
	if err != nil {
		return nil, err
	}
	t, err := m.start(ctx, name, req.Dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	if err != nil {
		delete(m.terminals, name)
		m.running.Done()
		return nil, fmt.Errorf("start terminal %s: %w", name, err)
	}
	m.terminals[name] = t
	m.order = append(m.order, t)
	go func() {
		defer m.running.Done()
		t.run(m.closing)
		m.remove(t)
		close(t.gone)
		t.linger(m.closing)
	}()
	return t, nil
}

// reserve takes a name.
func (m *Manager) reserve(name string) (string, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return "", fmt.Errorf("start a terminal: %w", ErrClosed)
	}
	for name == "" {
		m.last++
		if _, taken := m.terminals[strconv.Itoa(m.last)]; !taken {
			name = strconv.Itoa(m.last)
		}
	}
	if !validName.MatchString(name) {
		return "", fmt.Errorf("%w: %.60q", ErrInvalid, name)
	}
	if _, taken := m.terminals[name]; taken {
		return "", fmt.Errorf("%w: %s", ErrExist, name)
	}
	m.terminals[name] = nil
	m.running.Add(1)
	return name, nil
}

// start opens a pseudo terminal and runs the shell on it.
func (m *Manager) start(ctx context.Context, name, dir string) (*Terminal, error) {
	control, tty, err := openPTY()
	if err != nil {
		return nil, fmt.Errorf("open a pseudo terminal: %w", err)
	}
	defer tty.Close() // the shell has its own
	process, err := shim.Start(ctx, m.opts.Shim, shim.Request{
		Argv: m.opts.Command, Env: m.opts.Env, Dir: dir, Umask: m.opts.Umask, Linger: true,
	}, tty)
	if err != nil {
		return nil, errors.Join(err, control.Close())
	}
	return newTerminal(name, control, process, m.opts), nil
}

// Terminals returns the terminals, oldest first.
func (m *Manager) Terminals() []*Terminal {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order)
}

// Terminal returns the terminal of that name, or an error that matches ErrNotFound.
func (m *Manager) Terminal(name string) (*Terminal, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if t := m.terminals[name]; t != nil {
		return t, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNotFound, name)
}

// Delete ends a terminal and all that runs in it, and returns when it is gone. The error matches ErrNotFound.
func (m *Manager) Delete(ctx context.Context, name string) error {
	t, err := m.Terminal(name)
	if err != nil {
		return err
	}
	return t.end(ctx)
}

// Close ends every terminal and what lives on of earlier ones, and returns when nothing is left. No terminal can be
// started any more. When ctx ends before, Close returns its error and they go on ending.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	if !m.closed {
		m.closed = true
		close(m.closing)
	}
	m.mu.Unlock()
	idle := make(chan struct{})
	go func() { m.running.Wait(); close(idle) }()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("close terminals: %w", ctx.Err())
	}
}

// remove forgets a terminal.
func (m *Manager) remove(t *Terminal) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.terminals[t.name] == t {
		delete(m.terminals, t.name)
	}
	m.order = slices.DeleteFunc(m.order, func(o *Terminal) bool { return o == t })
}
