package jupyterapi

import (
	"context"
	"slices"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// pathLocks lets requests that change a file wait for each other, so that what a client demanded of it still holds when it is moved or
// removed: a drive knows conditions only for saves. Programs in the mount do not wait.
type pathLocks struct {
	mu   sync.Mutex // guards held
	held map[fs.Path]*pathLock
}

// pathLock is one path's lock, there as long as somebody has it or waits for it.
type pathLock struct {
	free  chan struct{} // holds a token while nobody has the lock
	users int           // guarded by pathLocks.mu
}

// lock waits until nobody else has any of the paths. The caller calls unlock; the error is that of ctx.
func (l *pathLocks) lock(ctx context.Context, paths ...fs.Path) (unlock func(), err error) {
	paths = slices.Clone(paths)
	slices.Sort(paths) // or two could wait for each other
	paths = slices.Compact(paths)
	for i, p := range paths {
		if err := l.lockOne(ctx, p); err != nil {
			l.unlock(paths[:i])
			return nil, err
		}
	}
	return func() { l.unlock(paths) }, nil
}

func (l *pathLocks) lockOne(ctx context.Context, p fs.Path) error {
	l.mu.Lock()
	one := l.held[p]
	if one == nil {
		one = &pathLock{free: make(chan struct{}, 1)}
		one.free <- struct{}{}
		if l.held == nil {
			l.held = map[fs.Path]*pathLock{}
		}
		l.held[p] = one
	}
	one.users++
	l.mu.Unlock()
	select {
	case <-one.free:
		return nil
	case <-ctx.Done():
		l.leave(p, one)
		return fs.Wrap("wait", string(p), ctx.Err())
	}
}

func (l *pathLocks) unlock(paths []fs.Path) {
	for _, p := range paths {
		l.mu.Lock()
		one := l.held[p]
		l.mu.Unlock()
		one.free <- struct{}{}
		l.leave(p, one)
	}
}

// leave forgets a lock that nobody uses any more.
func (l *pathLocks) leave(p fs.Path, one *pathLock) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if one.users--; one.users == 0 {
		delete(l.held, p)
	}
}
