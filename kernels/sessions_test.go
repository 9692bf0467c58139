package kernels_test

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/kernels"
)

func createSession(t *testing.T, s *kernels.Sessions, path string, ref kernels.KernelRef) kernels.SessionModel {
	t.Helper()
	got, err := s.Create(t.Context(), kernels.SessionRequest{Path: path, Name: path[strings.LastIndexByte(path, '/')+1:], Type: "notebook", Kernel: ref})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestSessionCreate(t *testing.T) {
	m := newManager(t, healthy())
	s := kernels.NewSessions(m)
	first := createSession(t, s, "d/a.ipynb", kernels.KernelRef{Name: "fake"})
	if first.Kernel.Name != "fake" || first.Notebook == nil || first.Notebook.Path != "d/a.ipynb" || first.ID == "" {
		t.Errorf("Create = %+v", first)
	}
	if again := createSession(t, s, "d/a.ipynb", kernels.KernelRef{Name: "nope"}); again.ID != first.ID {
		t.Errorf("Create of an existing path = %s, want session %s", again.ID, first.ID)
	}
	shared := createSession(t, s, "d/b.ipynb", kernels.KernelRef{ID: first.Kernel.ID})
	if shared.Kernel.ID != first.Kernel.ID || shared.ID == first.ID {
		t.Errorf("Create with a running kernel = %+v, want kernel %s", shared, first.Kernel.ID)
	}
	chosen := createSession(t, s, "d/c.ipynb", kernels.KernelRef{ID: "1-1-1-1-1"})
	if chosen.Kernel.ID != "1-1-1-1-1" {
		t.Errorf("Create with an unknown kernel id = %+v, want a new kernel of that id", chosen.Kernel)
	}
	if got := len(s.List()); got != 3 {
		t.Errorf("List has %d sessions, want 3", got)
	}
	for name, tt := range map[string]struct {
		req  kernels.SessionRequest
		want error
	}{
		"no path":      {kernels.SessionRequest{Type: "notebook"}, kernels.ErrInvalid},
		"no type":      {kernels.SessionRequest{Path: "x"}, kernels.ErrInvalid},
		"unknown spec": {kernels.SessionRequest{Path: "x", Type: "notebook", Kernel: kernels.KernelRef{Name: "nope"}}, kernels.ErrNoSuchSpec},
	} {
		if _, err := s.Create(t.Context(), tt.req); !errors.Is(err, tt.want) {
			t.Errorf("%s: Create = %v, want %v", name, err, tt.want)
		}
	}
	if got, err := s.Get(first.ID); err != nil || got.Path != first.Path {
		t.Errorf("Get = %+v, %v", got, err)
	}
	raw, err := json.Marshal(shared)
	if err != nil || !strings.Contains(string(raw), `"notebook":{"path":"d/b.ipynb","name":"b.ipynb"}`) {
		t.Errorf("JSON = %s, %v", raw, err)
	}
}

func TestSessionCreateAtTheSameTime(t *testing.T) {
	m := newManager(t, healthy())
	s := kernels.NewSessions(m)
	ids := make([]string, 8)
	var callers sync.WaitGroup
	for i := range ids {
		callers.Go(func() {
			got, err := s.Create(t.Context(), kernels.SessionRequest{Path: "n", Type: "console"})
			if err != nil {
				t.Error(err)
			}
			ids[i] = got.ID
		})
	}
	callers.Wait()
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("session %s, want %s for all", id, ids[0])
		}
	}
	if got := len(m.Kernels()); got != 1 {
		t.Errorf("%d kernels were started, want 1", got)
	}
}

func TestSessionUpdate(t *testing.T) {
	m := newManager(t, healthy())
	s := kernels.NewSessions(m)
	a := createSession(t, s, "a.ipynb", kernels.KernelRef{})
	path, name, kind := "b.py", "b.py", "file"
	got, err := s.Update(t.Context(), a.ID, kernels.SessionPatch{Path: &path, Name: &name, Type: &kind})
	if err != nil || got.Path != path || got.Name != name || got.Type != kind || got.Notebook != nil || got.Kernel.ID != a.Kernel.ID {
		t.Errorf("Update = %+v, %v", got, err)
	}
	got, err = s.Update(t.Context(), a.ID, kernels.SessionPatch{Kernel: &kernels.KernelRef{Name: "fake"}})
	if err != nil || got.Kernel.ID == a.Kernel.ID {
		t.Fatalf("Update to a new kernel = %+v, %v", got, err)
	}
	if _, err := m.Kernel(a.Kernel.ID); !errors.Is(err, kernels.ErrNoSuchKernel) {
		t.Errorf("the replaced kernel still runs (%v)", err)
	}
	b := createSession(t, s, "b.ipynb", kernels.KernelRef{ID: got.Kernel.ID})
	c := createSession(t, s, "c.ipynb", kernels.KernelRef{})
	if _, err := s.Update(t.Context(), b.ID, kernels.SessionPatch{Kernel: &kernels.KernelRef{ID: c.Kernel.ID, Name: "nope"}}); err != nil {
		t.Errorf("Update by id = %v, want the id to win", err)
	}
	if _, err := m.Kernel(got.Kernel.ID); err != nil {
		t.Errorf("a kernel that another session has was shut down: %v", err)
	}
	if _, err := s.Update(t.Context(), b.ID, kernels.SessionPatch{Kernel: &kernels.KernelRef{ID: "none"}}); !errors.Is(err, kernels.ErrNoSuchKernel) {
		t.Errorf("Update to an unknown kernel = %v, want ErrNoSuchKernel", err)
	}
	if _, err := s.Update(t.Context(), "none", kernels.SessionPatch{}); !errors.Is(err, kernels.ErrNoSuchSession) {
		t.Errorf("Update(none) = %v, want ErrNoSuchSession", err)
	}
}

func TestSessionDelete(t *testing.T) {
	m := newManager(t, healthy())
	s := kernels.NewSessions(m)
	a := createSession(t, s, "a", kernels.KernelRef{})
	b := createSession(t, s, "b", kernels.KernelRef{ID: a.Kernel.ID})
	if err := s.Delete(t.Context(), a.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Kernel(a.Kernel.ID); err != nil {
		t.Errorf("the kernel of another session was shut down: %v", err)
	}
	if err := s.Delete(t.Context(), a.ID); !errors.Is(err, kernels.ErrNoSuchSession) {
		t.Errorf("second Delete = %v, want ErrNoSuchSession", err)
	}
	if err := s.Delete(t.Context(), b.ID); err != nil {
		t.Fatal(err)
	}
	if got := len(m.Kernels()); got != 0 {
		t.Errorf("%d kernels are left", got)
	}
}

func TestSessionsVanishWithTheirKernel(t *testing.T) {
	m := newManager(t, healthy())
	s := kernels.NewSessions(m)
	a := createSession(t, s, "a", kernels.KernelRef{})
	if err := m.Shutdown(t.Context(), a.Kernel.ID); err != nil {
		t.Fatal(err)
	}
	if err := s.Delete(t.Context(), a.ID); !errors.Is(err, kernels.ErrKernelGone) {
		t.Errorf("Delete = %v, want ErrKernelGone", err)
	}
	b := createSession(t, s, "a", kernels.KernelRef{})
	if err := m.Shutdown(t.Context(), b.Kernel.ID); err != nil {
		t.Fatal(err)
	}
	if got := s.List(); len(got) != 0 {
		t.Errorf("List = %v, want nothing", got)
	}
}

func TestSessionsMove(t *testing.T) {
	m := newManager(t, healthy())
	s := kernels.NewSessions(m)
	a := createSession(t, s, "d/a.ipynb", kernels.KernelRef{})
	b := createSession(t, s, "d/e/b.ipynb", kernels.KernelRef{ID: a.Kernel.ID})
	c := createSession(t, s, "dd/c.ipynb", kernels.KernelRef{ID: a.Kernel.ID})
	s.Moved("d", "x/y")
	s.Moved("x/y/a.ipynb", "x/z.ipynb")
	for id, want := range map[string]string{a.ID: "x/z.ipynb z.ipynb", b.ID: "x/y/e/b.ipynb b.ipynb", c.ID: "dd/c.ipynb c.ipynb"} {
		got, err := s.Get(id)
		if err != nil || got.Path+" "+got.Name != want {
			t.Errorf("session = %s %s, %v, want %s", got.Path, got.Name, err, want)
		}
	}
}
