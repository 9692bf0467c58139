package kernels

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/google/uuid"
)

// Sessions ties documents to kernels. A document, named by its path, has at most one session; a kernel may have
// several. A session whose kernel has ended vanishes with it.
type Sessions struct {
	manager *Manager

	// mu guards what follows.
	mu       sync.Mutex
	sessions []*session               // oldest first
	creating map[string]chan struct{} // by path; closed when the session is made or was not
}

type session struct {
	id, path, name, kind string
	kernel               *Kernel
}

// SessionModel is a session as Jupyter's REST API shows it.
type SessionModel struct {
	ID     string `json:"id"`
	Path   string `json:"path"`
	Name   string `json:"name"`
	Type   string `json:"type"`
	Kernel Model  `json:"kernel"`
	// Notebook repeats path and name for sessions of type notebook.
	Notebook *NotebookModel `json:"notebook,omitempty"`
}

// NotebookModel is the older form of a session's path and name.
type NotebookModel struct {
	Path string `json:"path"`
	Name string `json:"name"`
}

// KernelRef names a kernel: a running one by ID, or a new one by the Name of its spec.
type KernelRef struct {
	ID   string `json:"id,omitempty"`
	Name string `json:"name,omitempty"`
}

// SessionRequest asks for a session.
type SessionRequest struct {
	Path, Name, Type string
	// Kernel is the running kernel to use, or the spec to start. An ID that no kernel has becomes the new one's.
	Kernel KernelRef
	// Start tells how to start a kernel if one is needed; its ID and Name are taken from Kernel.
	Start StartRequest
}

// SessionPatch changes a session; nil fields stay as they are.
type SessionPatch struct {
	Path, Name, Type *string
	// Kernel is the running kernel to use from now on, or the spec to start one of; ID wins.
	Kernel *KernelRef
	// Start tells how to start a kernel if one is needed; its ID and Name are taken from Kernel.
	Start StartRequest
}

// NewSessions returns an empty set of sessions over m's kernels. It needs no closing.
func NewSessions(m *Manager) *Sessions {
	return &Sessions{manager: m, creating: map[string]chan struct{}{}}
}

// Create returns the session of req.Path, and makes it, with its kernel, if there is none. The error matches
// ErrInvalid without path or type, or is one of [Manager.Start].
func (s *Sessions) Create(ctx context.Context, req SessionRequest) (SessionModel, error) {
	if req.Path == "" || req.Type == "" {
		return SessionModel{}, fmt.Errorf("session without path or type: %w", ErrInvalid)
	}
	for {
		found, wait := s.claim(req.Path)
		switch {
		case found != nil:
			return s.model(found), nil
		case wait == nil:
			return s.create(ctx, req)
		}
		select {
		case <-wait: // another request for the same document
		case <-ctx.Done():
			return SessionModel{}, ctx.Err()
		}
	}
}

// claim returns the session of path, or a channel to wait on while another caller makes it, or neither: then the
// caller makes it.
func (s *Sessions) claim(path string) (*session, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune()
	for _, found := range s.sessions {
		if found.path == path {
			return found, nil
		}
	}
	if wait, ok := s.creating[path]; ok {
		return nil, wait
	}
	s.creating[path] = make(chan struct{})
	return nil, nil
}

// create makes the session whose path was claimed.
func (s *Sessions) create(ctx context.Context, req SessionRequest) (SessionModel, error) {
	k, err := s.kernelFor(ctx, req.Kernel, req.Start, true)
	s.mu.Lock()
	close(s.creating[req.Path])
	delete(s.creating, req.Path)
	if err != nil {
		s.mu.Unlock()
		return SessionModel{}, err
	}
	made := &session{id: uuid.NewString(), path: req.Path, name: req.Name, kind: req.Type, kernel: k}
	s.sessions = append(s.sessions, made)
	s.mu.Unlock()
	return s.model(made), nil
}

// kernelFor returns the running kernel that ref names, or starts one. An unknown id is an error unless adopt is set.
func (s *Sessions) kernelFor(ctx context.Context, ref KernelRef, start StartRequest, adopt bool) (*Kernel, error) {
	if ref.ID != "" {
		k, err := s.manager.Kernel(ref.ID)
		if err == nil || !adopt {
			return k, err
		}
	}
	start.ID, start.Name = ref.ID, ref.Name
	return s.manager.Start(ctx, start)
}

// List returns all sessions, oldest first.
func (s *Sessions) List() []SessionModel {
	s.mu.Lock()
	s.prune()
	all := slices.Clone(s.sessions)
	s.mu.Unlock()
	models := make([]SessionModel, 0, len(all))
	for _, one := range all {
		models = append(models, s.model(one))
	}
	return models
}

// Get returns one session, or an error that matches ErrNoSuchSession.
func (s *Sessions) Get(id string) (SessionModel, error) {
	found, err := s.find(id)
	if err != nil {
		return SessionModel{}, err
	}
	return s.model(found), nil
}

// Update changes a session. When that changes its kernel, the old one is shut down unless another session has it. The
// error matches ErrNoSuchSession, ErrNoSuchKernel for an unknown kernel id, or is one of [Manager.Start].
func (s *Sessions) Update(ctx context.Context, id string, patch SessionPatch) (SessionModel, error) {
	found, err := s.find(id)
	if err != nil {
		return SessionModel{}, err
	}
	var replacement *Kernel
	if ref := patch.Kernel; ref != nil && (ref.ID != "" || ref.Name != "") {
		if ref.ID != "" {
			ref = &KernelRef{ID: ref.ID}
		}
		if replacement, err = s.kernelFor(ctx, *ref, patch.Start, false); err != nil {
			return SessionModel{}, err
		}
	}
	s.mu.Lock()
	for field, value := range map[*string]*string{&found.path: patch.Path, &found.name: patch.Name, &found.kind: patch.Type} {
		if value != nil {
			*field = *value
		}
	}
	old := found.kernel
	if replacement != nil {
		found.kernel = replacement
	}
	s.mu.Unlock()
	if replacement != nil && replacement != old {
		err = s.release(ctx, old)
	}
	return s.model(found), err
}

// Delete removes a session and shuts its kernel down, unless another session has it. The error matches
// ErrNoSuchSession, or ErrKernelGone when the kernel had ended before.
func (s *Sessions) Delete(ctx context.Context, id string) error {
	s.mu.Lock()
	at := slices.IndexFunc(s.sessions, func(o *session) bool { return o.id == id })
	if at < 0 {
		s.mu.Unlock()
		return fmt.Errorf("%w: %s", ErrNoSuchSession, id)
	}
	k := s.sessions[at].kernel
	s.sessions = slices.Delete(s.sessions, at, at+1)
	s.mu.Unlock()
	if !s.lives(k) {
		return fmt.Errorf("%w: %s", ErrKernelGone, id)
	}
	return s.release(ctx, k)
}

// Moved renames the sessions of a document, or of all documents in a folder, that was moved.
func (s *Sessions) Moved(oldPath, newPath string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.sessions {
		if one.path != oldPath && !strings.HasPrefix(one.path, oldPath+"/") {
			continue
		}
		oldName := one.path[strings.LastIndexByte(one.path, '/')+1:]
		one.path = newPath + strings.TrimPrefix(one.path, oldPath)
		if one.name == oldName {
			one.name = one.path[strings.LastIndexByte(one.path, '/')+1:]
		}
	}
}

// release shuts k down unless a session has it.
func (s *Sessions) release(ctx context.Context, k *Kernel) error {
	s.mu.Lock()
	used := slices.ContainsFunc(s.sessions, func(o *session) bool { return o.kernel == k })
	s.mu.Unlock()
	if used {
		return nil
	}
	if err := s.manager.Shutdown(ctx, k.ID()); err != nil && !errors.Is(err, ErrNoSuchKernel) {
		return err
	}
	return nil
}

func (s *Sessions) find(id string) (*session, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.prune()
	for _, found := range s.sessions {
		if found.id == id {
			return found, nil
		}
	}
	return nil, fmt.Errorf("%w: %s", ErrNoSuchSession, id)
}

// prune forgets the sessions whose kernel has ended. The caller holds mu.
func (s *Sessions) prune() {
	s.sessions = slices.DeleteFunc(s.sessions, func(o *session) bool { return !s.lives(o.kernel) })
}

func (s *Sessions) lives(k *Kernel) bool {
	current, err := s.manager.Kernel(k.ID())
	return err == nil && current == k
}

func (s *Sessions) model(one *session) SessionModel {
	s.mu.Lock()
	m := SessionModel{ID: one.id, Path: one.path, Name: one.name, Type: one.kind}
	k := one.kernel
	s.mu.Unlock()
	m.Kernel = k.Model()
	if m.Type == "notebook" {
		m.Notebook = &NotebookModel{Path: m.Path, Name: m.Name}
	}
	return m
}
