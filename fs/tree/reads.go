package tree

import (
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

const (
	// readsKept is how long it is remembered which version a program has read.
	readsKept = 10 * time.Minute
	// maxReads is how many such memories there are at most.
	maxReads = 8192
)

// reads remembers which version of a file a process has opened last: what it writes there is based on that.
type reads struct {
	mu  sync.Mutex // guards all below
	now map[readKey]readVersion
	old map[readKey]readVersion // the generation before: dropped when now is full
}

type readKey struct {
	pid  int
	path fs.Path
}

type readVersion struct {
	version fs.Version
	at      time.Time
}

// put notes that a process has opened a version. Process 0 is unknown and forgotten.
func (r *reads) put(pid int, p fs.Path, v fs.Version) {
	if pid == 0 {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.now) >= maxReads/2 {
		r.old, r.now = r.now, nil
	}
	if r.now == nil {
		r.now = map[readKey]readVersion{}
	}
	r.now[readKey{pid, p}] = readVersion{v, time.Now()}
}

// get returns the version, "" if it is not known.
func (r *reads) get(pid int, p fs.Path) fs.Version {
	if pid == 0 {
		return ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	v, ok := r.now[readKey{pid, p}]
	if !ok {
		v = r.old[readKey{pid, p}]
	}
	if time.Since(v.at) > readsKept {
		return ""
	}
	return v.version
}
