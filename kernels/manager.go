package kernels

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"

	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
)

// validID is what a kernel id that a client chooses must look like: the ids that REST routes match.
var validID = regexp.MustCompile(`^\w+-\w+-\w+-\w+-\w+$`)

// Manager starts kernels and knows which ones there are.
type Manager struct {
	opts Options

	// mu guards what follows.
	mu      sync.Mutex
	kernels map[string]*Kernel // nil while the kernel of that id is being launched
	order   []*Kernel          // oldest first
	closed  bool

	launches sync.WaitGroup // under way; none is added once closed is set
	running  sync.WaitGroup // the goroutines of kernels
}

// New returns a Manager without kernels; Close ends it.
func New(opts Options) *Manager {
	return &Manager{opts: opts.withDefaults(), kernels: map[string]*Kernel{}}
}

// StartRequest says which kernel to start.
type StartRequest struct {
	// ID is the kernel's id; empty makes one up.
	ID string
	// Name is the kernel spec's; empty is the default one.
	Name string
	// Dir is the working directory, an absolute path that need not exist: the nearest parent that does is taken.
	Dir string
	// SessionName is the absolute path of the document that the kernel is for (JPY_SESSION_NAME). May be empty.
	SessionName string
	// Env is added to the kernel's environment.
	Env map[string]string
	// Owner identifies who starts the kernel.
	Owner string
}

// Start starts a kernel and returns when its process runs; it answers later, see [Kernel.Ready]. The error matches
// ErrNoSuchSpec, ErrDuplicate, ErrInvalid or ErrClosed, or says why the process could not be started.
func (m *Manager) Start(ctx context.Context, req StartRequest) (*Kernel, error) {
	k, err := m.start(ctx, req)
	if err != nil {
		m.event(ActionStart, req.ID, req.Name, err)
		return nil, err
	}
	m.event(ActionStart, k.ID(), k.Name(), nil)
	return k, nil
}

func (m *Manager) start(ctx context.Context, req StartRequest) (*Kernel, error) {
	if req.ID == "" {
		req.ID = uuid.NewString()
	}
	if !validID.MatchString(req.ID) {
		return nil, fmt.Errorf("kernel id %.60q: %w", req.ID, ErrInvalid)
	}
	spec, err := m.findSpec(ctx, req.Name)
	if err != nil {
		return nil, err
	}
	if err := m.reserve(req.ID); err != nil {
		return nil, err
	}
	defer m.launches.Done()
	launch := LaunchRequest{
		KernelID: req.ID, Spec: spec, Dir: req.Dir, SessionName: req.SessionName, Env: req.Env, Owner: req.Owner,
	}
	process, err := m.opts.Provider.Launch(ctx, launch)
	if err != nil {
		m.remove(req.ID, nil)
		return nil, fmt.Errorf("start kernel %s: %w", spec.Name, err)
	}
	return m.adopt(launch, process), nil
}

// reserve takes an id and counts a launch.
func (m *Manager) reserve(id string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return fmt.Errorf("start a kernel: %w", ErrClosed)
	}
	if _, ok := m.kernels[id]; ok {
		return fmt.Errorf("%w: %s", ErrDuplicate, id)
	}
	m.kernels[id] = nil
	m.launches.Add(1)
	return nil
}

// adopt makes a launched process a kernel and starts its goroutine.
func (m *Manager) adopt(launch LaunchRequest, process Provisioned) *Kernel {
	log := m.opts.Logger.With(slog.String("kernel", launch.KernelID))
	k := &Kernel{
		opts: m.opts, log: log, launch: launch, hub: newHub(m.opts, log),
		done: make(chan struct{}), commands: make(chan request), events: make(chan event),
		state: Starting, changed: make(chan struct{}),
	}
	ctx, abort := context.WithCancel(context.Background()) // a kernel outlives the request that started it
	m.mu.Lock()
	m.kernels[launch.KernelID] = k
	m.order = append(m.order, k)
	m.mu.Unlock()
	m.running.Go(func() {
		(&control{k: k, ctx: ctx, abort: abort}).run(process)
		m.remove(launch.KernelID, k)
	})
	return k
}

// remove forgets a kernel, or with nil the launch that holds its id, unless the id is another's already.
func (m *Manager) remove(id string, k *Kernel) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.kernels[id] == k {
		delete(m.kernels, id)
	}
	m.order = slices.DeleteFunc(m.order, func(o *Kernel) bool { return o == k })
}

// Kernelspecs returns what can be started, ordered by name.
func (m *Manager) Kernelspecs(ctx context.Context) ([]kernelspec.Spec, error) {
	return m.opts.Provider.FindKernels(ctx)
}

// DefaultKernel returns the name of the spec that is started when none is named: python3 if there is one, else the
// first, else nothing.
func (m *Manager) DefaultKernel(ctx context.Context) string {
	specs, err := m.Kernelspecs(ctx)
	if err != nil || len(specs) == 0 {
		return ""
	}
	if slices.ContainsFunc(specs, func(s kernelspec.Spec) bool { return s.Name == kernelspec.DefaultName }) {
		return kernelspec.DefaultName
	}
	return specs[0].Name
}

func (m *Manager) findSpec(ctx context.Context, name string) (kernelspec.Spec, error) {
	if name == "" {
		name = m.DefaultKernel(ctx)
	}
	specs, err := m.Kernelspecs(ctx)
	if err != nil {
		return kernelspec.Spec{}, fmt.Errorf("find kernel specs: %w", err)
	}
	for _, s := range specs {
		if s.Name == strings.ToLower(name) {
			return s, nil
		}
	}
	return kernelspec.Spec{}, fmt.Errorf("%w: %s", ErrNoSuchSpec, name)
}

// Kernels returns the kernels that live, oldest first.
func (m *Manager) Kernels() []*Kernel {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.order)
}

// Kernel returns the kernel with that id, or an error that matches ErrNoSuchKernel. A kernel that has died for good
// no longer exists.
func (m *Manager) Kernel(id string) (*Kernel, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if k := m.kernels[id]; k != nil {
		return k, nil
	}
	return nil, fmt.Errorf("%w: %s", ErrNoSuchKernel, id)
}

// Shutdown ends a kernel and returns when nothing of it is left. If ctx ends before, the kernel ends all the same.
func (m *Manager) Shutdown(ctx context.Context, id string) error {
	return m.act(ctx, ActionShutdown, id, (*Kernel).shutdown)
}

// Restart gives a kernel a new process and returns when that has answered.
func (m *Manager) Restart(ctx context.Context, id string) error {
	return m.act(ctx, ActionRestart, id, (*Kernel).restart)
}

// Interrupt stops what a kernel runs, by a signal or a message as its spec says. It does not wait for the effect. The
// error matches ErrStarting for a kernel that does not get ready in ten seconds.
func (m *Manager) Interrupt(ctx context.Context, id string) error {
	return m.act(ctx, ActionInterrupt, id, (*Kernel).interrupt)
}

// act runs one action on a kernel and reports it.
func (m *Manager) act(ctx context.Context, action Action, id string, do func(*Kernel, context.Context) error) error {
	k, err := m.Kernel(id)
	if err != nil {
		return err
	}
	if err = do(k, ctx); err != nil {
		err = fmt.Errorf("%s kernel %s: %w", action, id, err)
	}
	if action == ActionShutdown && err == nil {
		<-k.done
		m.remove(id, k) // its goroutine is about to do the same
	}
	m.event(action, id, k.Name(), err)
	return err
}

// event reports an action.
func (m *Manager) event(action Action, id, name string, err error) {
	if m.opts.Events == nil {
		return
	}
	done := map[Action]string{
		ActionStart: "started", ActionInterrupt: "interrupted", ActionRestart: "restarted", ActionShutdown: "shut down",
	}[action]
	e := Event{Action: action, KernelID: id, KernelName: name, Status: "success", Err: err}
	e.Msg = fmt.Sprintf("Kernel %s was %s.", id, done)
	if err != nil {
		e.Status, e.Msg = "error", err.Error()
	}
	m.opts.Events(e)
}

// Close shuts every kernel down and returns when nothing of them is left. No kernel can be started any more. When ctx
// ends before, Close returns its error and the kernels go on ending.
func (m *Manager) Close(ctx context.Context) error {
	m.mu.Lock()
	m.closed = true
	m.mu.Unlock()
	if err := wait(ctx, &m.launches); err != nil {
		return fmt.Errorf("close kernels: %w", err)
	}
	var ending sync.WaitGroup
	for _, k := range m.Kernels() {
		ending.Go(func() {
			// The only errors are that it is gone already and that ctx has ended, which the wait below sees too.
			_ = k.shutdown(ctx)
		})
	}
	ending.Wait()
	if err := wait(ctx, &m.running); err != nil {
		return fmt.Errorf("close kernels: %w", err)
	}
	return nil
}

// wait waits for g or ctx.
func wait(ctx context.Context, g *sync.WaitGroup) error {
	idle := make(chan struct{})
	go func() { g.Wait(); close(idle) }()
	select {
	case <-idle:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
