package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi"
	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp"
	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
	"github.com/jupyter-drive/jupyter-drive/kernels/terminal"
)

// The door and the engines do not know each other; what follows makes them fit.

// kernelKinds gives the engines' errors the kinds that the door answers with.
var kernelKinds = []struct {
	err  error
	kind fs.Kind
}{
	{kernels.ErrNoSuchKernel, fs.NotExist}, {kernels.ErrNoSuchSession, fs.NotExist}, {terminal.ErrNotFound, fs.NotExist},
	{kernelspec.ErrNotFound, fs.NotExist}, {kernels.ErrNoSuchSpec, fs.Unsupported}, {kernels.ErrDuplicate, fs.Exist},
	{kernels.ErrStarting, fs.Conflict}, {kernels.ErrKernelGone, fs.Stale}, {kernels.ErrInvalid, fs.Invalid},
	{kernels.ErrClosed, fs.Unavailable},
}

func kernelError(op, object string, err error) error {
	if err == nil {
		return nil
	}
	for _, k := range kernelKinds {
		if errors.Is(err, k.err) {
			return &fs.Error{Op: op, Path: object, Kind: k.kind, Err: err}
		}
	}
	return fs.Wrap(op, object, err)
}

// kernelDoor is the kernels engine as the door wants it.
type kernelDoor struct{ m *kernels.Manager }

var _ jupyterapi.Kernels = kernelDoor{}

func doorKernel(m kernels.Model) jupyterapi.Kernel {
	return jupyterapi.Kernel{ID: m.ID, Name: m.Name, LastActivity: m.LastActivity, ExecutionState: string(m.ExecutionState),
		Connections: m.Connections, Reason: m.Reason}
}

func engineStart(s jupyterapi.KernelStart) kernels.StartRequest {
	return kernels.StartRequest{ID: s.ID, Name: s.Name, Dir: s.Dir, SessionName: s.SessionName, Env: s.Env, Owner: s.Owner}
}

func (d kernelDoor) Start(ctx context.Context, s jupyterapi.KernelStart) (jupyterapi.Kernel, error) {
	k, err := d.m.Start(ctx, engineStart(s))
	if err != nil {
		return jupyterapi.Kernel{}, kernelError("start kernel", s.Name, err)
	}
	return doorKernel(k.Model()), nil
}

func (d kernelDoor) List() []jupyterapi.Kernel {
	list := []jupyterapi.Kernel{}
	for _, k := range d.m.Kernels() {
		list = append(list, doorKernel(k.Model()))
	}
	return list
}

func (d kernelDoor) Get(id string) (jupyterapi.Kernel, error) {
	k, err := d.m.Kernel(id)
	if err != nil {
		return jupyterapi.Kernel{}, kernelError("find kernel", id, err)
	}
	return doorKernel(k.Model()), nil
}

func (d kernelDoor) Shutdown(ctx context.Context, id string) error {
	return kernelError("shut down kernel", id, d.m.Shutdown(ctx, id))
}

func (d kernelDoor) Restart(ctx context.Context, id string) error {
	return kernelError("restart kernel", id, d.m.Restart(ctx, id))
}

func (d kernelDoor) Interrupt(ctx context.Context, id string) error {
	return kernelError("interrupt kernel", id, d.m.Interrupt(ctx, id))
}

func (d kernelDoor) Attach(ctx context.Context, id, sessionID, username string) (jupyterapi.KernelClient, error) {
	k, err := d.m.Kernel(id)
	if err == nil {
		waiting, cancel := context.WithTimeout(ctx, kernels.DefaultReadyTimeout)
		err = k.Ready(waiting)
		cancel()
	}
	if err != nil {
		return nil, kernelError("connect to kernel", id, err)
	}
	c, err := k.Attach(kernels.AttachOptions{SessionID: sessionID, Username: username})
	if err != nil {
		return nil, kernelError("connect to kernel", id, err)
	}
	return c, nil
}

func (d kernelDoor) Default(ctx context.Context) string { return d.m.DefaultKernel(ctx) }

func (d kernelDoor) Specs(ctx context.Context) ([]jupyterapi.Kernelspec, error) {
	specs, err := d.m.Kernelspecs(ctx)
	if err != nil {
		return nil, kernelError("list kernelspecs", "", err)
	}
	list := make([]jupyterapi.Kernelspec, 0, len(specs))
	for _, s := range specs {
		raw, err := json.Marshal(s)
		if err != nil {
			return nil, err
		}
		list = append(list, jupyterapi.Kernelspec{Name: s.Name, Spec: raw, Resources: s.Resources(),
			Open: func(file string) (io.ReadSeekCloser, error) {
				f, err := s.Open(file)
				if err != nil {
					return nil, kernelError("open", file, err)
				}
				return f, nil
			}})
	}
	return list, nil
}

// sessionDoor is the sessions as the door wants them.
type sessionDoor struct{ s *kernels.Sessions }

var _ jupyterapi.Sessions = sessionDoor{}

func doorSession(m kernels.SessionModel) jupyterapi.Session {
	return jupyterapi.Session{ID: m.ID, Path: m.Path, Name: m.Name, Type: m.Type, Kernel: doorKernel(m.Kernel)}
}

func (d sessionDoor) Create(ctx context.Context, r jupyterapi.SessionRequest) (jupyterapi.Session, error) {
	m, err := d.s.Create(ctx, kernels.SessionRequest{Path: r.Path, Name: r.Name, Type: r.Type,
		Kernel: kernels.KernelRef(r.Kernel), Start: engineStart(r.Start)})
	return doorSession(m), kernelError("start session", r.Path, err)
}

func (d sessionDoor) List() []jupyterapi.Session {
	list := []jupyterapi.Session{}
	for _, m := range d.s.List() {
		list = append(list, doorSession(m))
	}
	return list
}

func (d sessionDoor) Get(id string) (jupyterapi.Session, error) {
	m, err := d.s.Get(id)
	return doorSession(m), kernelError("find session", id, err)
}

func (d sessionDoor) Update(ctx context.Context, id string, p jupyterapi.SessionPatch) (jupyterapi.Session, error) {
	m, err := d.s.Update(ctx, id, kernels.SessionPatch{Path: p.Path, Name: p.Name, Type: p.Type,
		Kernel: (*kernels.KernelRef)(p.Kernel), Start: engineStart(p.Start)})
	return doorSession(m), kernelError("change session", id, err)
}

func (d sessionDoor) Delete(ctx context.Context, id string) error {
	return kernelError("end session", id, d.s.Delete(ctx, id))
}

func (d sessionDoor) Moved(from, to string) { d.s.Moved(from, to) }

// terminalDoor is the terminals as the door wants them.
type terminalDoor struct{ m *terminal.Manager }

var _ jupyterapi.Terminals = terminalDoor{}

func doorTerminal(t *terminal.Terminal) jupyterapi.Terminal {
	m := t.Model()
	return jupyterapi.Terminal{Name: m.Name, LastActivity: m.LastActivity}
}

func (d terminalDoor) Create(ctx context.Context, name, dir string) (jupyterapi.Terminal, error) {
	t, err := d.m.Create(ctx, terminal.CreateRequest{Name: name, Dir: dir})
	if err != nil {
		return jupyterapi.Terminal{}, kernelError("start terminal", name, err)
	}
	return doorTerminal(t), nil
}

func (d terminalDoor) List() []jupyterapi.Terminal {
	list := []jupyterapi.Terminal{}
	for _, t := range d.m.Terminals() {
		list = append(list, doorTerminal(t))
	}
	return list
}

func (d terminalDoor) Get(name string) (jupyterapi.Terminal, error) {
	t, err := d.m.Terminal(name)
	if err != nil {
		return jupyterapi.Terminal{}, kernelError("find terminal", name, err)
	}
	return doorTerminal(t), nil
}

func (d terminalDoor) Delete(ctx context.Context, name string) error {
	return kernelError("end terminal", name, d.m.Delete(ctx, name))
}

func (d terminalDoor) Attach(name string) (jupyterapi.TerminalClient, error) {
	t, err := d.m.Terminal(name)
	if err != nil {
		return nil, kernelError("find terminal", name, err)
	}
	c, err := t.Attach()
	if err != nil {
		return nil, kernelError("connect to terminal", name, err)
	}
	return c, nil
}

// doorEvent is what the door tells browsers of an action on a kernel.
func doorEvent(e kernels.Event) jupyterapi.KernelEvent {
	event := jupyterapi.KernelEvent{Action: string(e.Action), KernelID: e.KernelID, KernelName: e.KernelName, Status: e.Status, Msg: e.Msg}
	if e.Err != nil {
		event.StatusCode = fs.Status(kernelError(event.Action, e.KernelID, e.Err))
	}
	return event
}

// labRoutes gives the front end's routes their guards.
func labRoutes(routes []labapp.Route) []jupyterapi.AppRoute {
	classes := map[labapp.Class]jupyterapi.AppClass{
		labapp.Public: jupyterapi.AppPublic, labapp.Page: jupyterapi.AppPage, labapp.API: jupyterapi.AppAPI,
	}
	list := make([]jupyterapi.AppRoute, 0, len(routes))
	for _, r := range routes {
		list = append(list, jupyterapi.AppRoute{Path: r.Path, Methods: slices.Clone(r.Methods), Class: classes[r.Class]})
	}
	return list
}
