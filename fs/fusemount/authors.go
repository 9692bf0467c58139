package fusemount

import (
	"context"
	"slices"
	"sync"

	"github.com/hanwen/go-fuse/v2/fuse"
)

// authors are the processes that have opened a handle, or changed something through it. Only their close says that what was written is
// whole: a child that has merely inherited the descriptor closes it too, when it runs another program or ends, and its parent may be in
// the middle of a write then.
type authors struct {
	mu   sync.Mutex // guards pids
	pids []uint32
}

func (a *authors) add(pid uint32) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if pid != 0 && !slices.Contains(a.pids, pid) {
		a.pids = append(a.pids, pid)
	}
}

// has reports whether pid is one of them. So may a process be that is unknown.
func (a *authors) has(pid uint32) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return pid == 0 || slices.Contains(a.pids, pid)
}

// processOf returns the process that a request comes from, 0 if that is unknown.
func (m *Server) processOf(ctx context.Context) uint32 {
	who, ok := fuse.FromContext(ctx)
	if !ok {
		return 0
	}
	return m.processes.of(who.Pid)
}

// changes notes that a request changes something through the handle.
func (f *handle) changes(ctx context.Context) { f.authors.add(f.n.m.processOf(ctx)) }

// isWhole reports whether a close by a request's process says that what was written is whole. Where the kernel writes by itself nobody
// knows who has written.
func (f *handle) isWhole(ctx context.Context) bool {
	return f.passthrough || f.authors.has(f.n.m.processOf(ctx))
}
