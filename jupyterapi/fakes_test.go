package jupyterapi

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// fakes stands for the engines: kernels that echo what they are sent, sessions and terminals.
type fakes struct {
	mu        sync.Mutex // guards all below
	kernels   map[string]Kernel
	starts    []KernelStart
	usernames []string
	session   map[string]Session
	terminal  map[string]Terminal
	dirs      []string
	made      int
	sent      chan wire.Message // what clients sent
	clients   []*fakeClient
	shells    []*fakeShell
	moves     []string

	takes time.Duration // of a start or restart
}

func newFakes() *fakes {
	return &fakes{kernels: map[string]Kernel{}, session: map[string]Session{}, terminal: map[string]Terminal{}, sent: make(chan wire.Message, 64)}
}

func missingKind(what string, k fs.Kind) error { return &fs.Error{Op: what, Kind: k} }

// id returns the next UUID-like id. The caller holds mu.
func (f *fakes) id() string {
	f.made++
	return fmt.Sprintf("00000000-0000-0000-0000-%012d", f.made)
}

// work passes the time that f.takes, if ctx lasts as long.
func (f *fakes) work(ctx context.Context) error {
	select {
	case <-time.After(f.takes):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *fakes) Start(ctx context.Context, s KernelStart) (Kernel, error) {
	if err := f.work(ctx); err != nil {
		return Kernel{}, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.start(s)
}

func (f *fakes) start(s KernelStart) (Kernel, error) {
	if s.Name == "" {
		s.Name = "python3"
	}
	if s.Name != "python3" && s.Name != "other" {
		return Kernel{}, missingKind("start", fs.Unsupported)
	}
	if s.ID == "" {
		s.ID = f.id()
	}
	if _, taken := f.kernels[s.ID]; taken {
		return Kernel{}, missingKind("start", fs.Exist)
	}
	f.starts = append(f.starts, s)
	k := Kernel{ID: s.ID, Name: s.Name, LastActivity: time.Unix(1e9, 0), ExecutionState: "starting"}
	f.kernels[k.ID] = k
	return k, nil
}

func (f *fakes) List() []Kernel {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Kernel
	for _, k := range f.kernels {
		list = append(list, k)
	}
	return list
}

func (f *fakes) Get(id string) (Kernel, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	k, ok := f.kernels[id]
	if !ok {
		return k, missingKind("kernel", fs.NotExist)
	}
	return k, nil
}

func (f *fakes) Shutdown(_ context.Context, id string) error {
	if _, err := f.Get(id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.kernels, id)
	return nil
}

func (f *fakes) Restart(ctx context.Context, id string) error {
	if err := f.work(ctx); err != nil {
		return err
	}
	_, err := f.Get(id)
	return err
}

func (f *fakes) Interrupt(_ context.Context, id string) error { _, err := f.Get(id); return err }
func (f *fakes) Default(context.Context) string               { return "python3" }

func (f *fakes) Specs(context.Context) ([]Kernelspec, error) {
	return []Kernelspec{{
		Name:      "python3",
		Spec:      json.RawMessage(`{"argv":["python3"],"display_name":"Python 3","language":"python","env":{},"interrupt_mode":"signal","metadata":{}}`),
		Resources: map[string]string{"logo-64x64": "logo-64x64.png"},
		Open: func(file string) (io.ReadSeekCloser, error) {
			text, ok := map[string]string{"logo-64x64.png": "PNG", "resource.txt": "beside", "static/a.js": "below"}[file]
			switch {
			case file == "broken":
				return nil, missingKind("resource", fs.Unavailable)
			case !ok:
				return nil, missingKind("resource", fs.NotExist)
			}
			return nopCloser{strings.NewReader(text)}, nil
		},
	}}, nil
}

type nopCloser struct{ io.ReadSeeker }

func (nopCloser) Close() error { return nil }

func (f *fakes) Attach(_ context.Context, id, _, username string) (KernelClient, error) {
	if _, err := f.Get(id); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.usernames = append(f.usernames, username)
	c := &fakeClient{f: f, back: make(chan wire.Message, 64)}
	f.clients = append(f.clients, c)
	return c, nil
}

// say is a message of the kernel to all clients.
func (f *fakes) say(m wire.Message) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.clients {
		c.back <- m
	}
}

// print is output of the shell to all clients.
func (f *fakes) print(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.shells {
		s.out <- text
	}
}

// fakeClient echoes what it is sent on iopub.
type fakeClient struct {
	f    *fakes
	back chan wire.Message
}

func (c *fakeClient) Send(_ context.Context, m wire.Message) error {
	if h, err := m.DecodeHeader(); err != nil || h.MsgID == "" {
		return missingKind("send", fs.Invalid)
	}
	c.f.sent <- m
	m.Channel = wire.IOPub
	c.back <- m
	return nil
}

func (c *fakeClient) Recv(ctx context.Context) (wire.Message, error) {
	select {
	case m := <-c.back:
		return m, nil
	case <-ctx.Done():
		return wire.Message{}, ctx.Err()
	}
}

func (c *fakeClient) Close() error {
	c.f.mu.Lock()
	defer c.f.mu.Unlock()
	c.f.clients = slices.DeleteFunc(c.f.clients, func(other *fakeClient) bool { return other == c })
	return nil
}

// attached returns how many clients kernels have.
func (f *fakes) attached() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.clients)
}

// fakeSessions is the Sessions of fakes.
type fakeSessions struct{ *fakes }

func (f *fakes) sessions() Sessions { return fakeSessions{f} }

func (f fakeSessions) Create(_ context.Context, r SessionRequest) (Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, s := range f.session {
		if s.Path == r.Path {
			return s, nil
		}
	}
	k, running := f.kernels[r.Kernel.ID]
	if !running {
		start := r.Start
		start.Name = r.Kernel.Name
		var err error
		if k, err = f.start(start); err != nil {
			return Session{}, err
		}
	}
	s := Session{ID: f.id(), Path: r.Path, Name: r.Name, Type: r.Type, Kernel: k}
	f.session[s.ID] = s
	return s, nil
}

func (f fakeSessions) List() []Session {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Session
	for _, s := range f.session {
		list = append(list, s)
	}
	return list
}

func (f fakeSessions) Get(id string) (Session, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.session[id]
	if !ok {
		return s, missingKind("session", fs.NotExist)
	}
	return s, nil
}

func (f fakeSessions) Update(_ context.Context, id string, p SessionPatch) (Session, error) {
	s, err := f.Get(id)
	if err != nil {
		return s, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for to, from := range map[*string]*string{&s.Path: p.Path, &s.Name: p.Name, &s.Type: p.Type} {
		if from != nil {
			*to = *from
		}
	}
	if p.Kernel != nil {
		k, running := f.kernels[p.Kernel.ID]
		if !running {
			p.Start.Name = p.Kernel.Name
			if k, err = f.start(p.Start); err != nil {
				return s, err
			}
		}
		s.Kernel = k
	}
	f.session[id] = s
	return s, nil
}

func (f fakeSessions) Delete(_ context.Context, id string) error {
	s, err := f.Get(id)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.session, id)
	if _, running := f.kernels[s.Kernel.ID]; !running {
		return missingKind("session", fs.Stale)
	}
	delete(f.kernels, s.Kernel.ID)
	return nil
}

func (f fakeSessions) Moved(from, to string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.moves = append(f.moves, from+" -> "+to)
}

// fakeTerminals is the Terminals of fakes.
type fakeTerminals struct{ *fakes }

func (f *fakes) terminals() Terminals { return fakeTerminals{f} }

func (f fakeTerminals) Create(_ context.Context, name, dir string) (Terminal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if name == "" {
		name = fmt.Sprint(len(f.terminal) + 1)
	}
	f.dirs = append(f.dirs, dir)
	t := Terminal{Name: name, LastActivity: time.Unix(1e9, 0)}
	f.terminal[name] = t
	return t, nil
}

func (f fakeTerminals) List() []Terminal {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []Terminal
	for _, t := range f.terminal {
		list = append(list, t)
	}
	return list
}

func (f fakeTerminals) Get(name string) (Terminal, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.terminal[name]
	if !ok {
		return t, missingKind("terminal", fs.NotExist)
	}
	return t, nil
}

func (f fakeTerminals) Delete(_ context.Context, name string) error {
	if _, err := f.Get(name); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.terminal, name)
	return nil
}

func (f fakeTerminals) Attach(name string) (TerminalClient, error) {
	if _, err := f.Get(name); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	s := &fakeShell{out: make(chan string, 16)}
	f.shells = append(f.shells, s)
	return s, nil
}

// fakeShell echoes its input; "exit" ends it.
type fakeShell struct{ out chan string }

func (s *fakeShell) Recv(ctx context.Context) (string, error) {
	select {
	case text := <-s.out:
		if text == "exit" {
			return "", io.EOF
		}
		return text, nil
	case <-ctx.Done():
		return "", ctx.Err()
	}
}

func (s *fakeShell) Write(input string) error { s.out <- input; return nil }
func (s *fakeShell) Close() error             { return nil }

func (s *fakeShell) Resize(rows, cols int) error {
	s.out <- fmt.Sprintf("size %dx%d", rows, cols)
	return nil
}
