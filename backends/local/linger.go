package local

import (
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Files that have lost their last name can be opened for a moment by whoever has looked them up before, as in any kernel, where an
// inode outlives the lookup. The moment is short, since it keeps their space, and so is the list, since each takes a descriptor.
const (
	lingerTime = time.Second
	maxLinger  = 256
)

// lingering knows the nodes that are kept open without a handle.
type lingering struct {
	mu     sync.Mutex // guards all below
	timers map[*node]*time.Timer
	closed bool
}

// linger keeps the file at name in dir open for a moment, if somebody has its node. It is called before the name is taken away, with
// the directory locked.
func (d *Drive) linger(dir int, name string, st *unix.Statx_t) {
	n := d.known(d.ident(st))
	if n == nil || n.dir != nil || st.Nlink > 1 || !d.lingering.room(n) {
		return
	}
	fd, err := openAt(dir, name, unix.O_PATH, 0)
	if err != nil {
		return // nothing is lost but the moment
	}
	var now unix.Statx_t
	if statFd(fd, &now) != nil || d.ident(&now) != n.id {
		closeFd(fd)
		return
	}
	f := &file{fd: fd}
	f.refs.Store(1)
	n.pinTo(f)
	f.drop()
	if !d.lingering.add(n) {
		n.unpin()
	}
}

func (l *lingering) room(n *node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return !l.closed && len(l.timers) < maxLinger && l.timers[n] == nil
}

// add ends the moment of n when it is over. It reports false if n cannot be added.
func (l *lingering) add(n *node) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed || l.timers[n] != nil {
		return false
	}
	if l.timers == nil {
		l.timers = map[*node]*time.Timer{}
	}
	l.timers[n] = time.AfterFunc(lingerTime, func() { l.end(n) })
	return true
}

func (l *lingering) end(n *node) {
	l.mu.Lock()
	_, ok := l.timers[n]
	delete(l.timers, n)
	l.mu.Unlock()
	if ok {
		n.unpin()
	}
}

// close ends all moments.
func (l *lingering) close() {
	l.mu.Lock()
	all := l.timers
	l.timers, l.closed = nil, true
	l.mu.Unlock()
	for n, timer := range all {
		timer.Stop()
		n.unpin()
	}
}
