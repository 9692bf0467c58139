package tree

import (
	"context"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// SettleWait is how long an operation on a live document waits for unsaved changes to be saved.
const SettleWait = 2 * time.Second

// live knows which files are edited live.
type live struct {
	t  *Tree
	mu sync.Mutex // guards all below

	attached map[fs.FileID]int
	flushing map[fs.FileID]chan struct{} // closed when the flush under way has ended
}

func (l *live) init(t *Tree) {
	l.t = t
	l.attached = map[fs.FileID]int{}
	l.flushing = map[fs.FileID]chan struct{}{}
}

func (l *live) close() {}

// Attach marks a file as live until release is called.
func (t *Tree) Attach(id fs.FileID) (release func()) {
	l := &t.live
	l.mu.Lock()
	defer l.mu.Unlock()
	l.attached[id]++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if l.attached[id]--; l.attached[id] == 0 {
			delete(l.attached, id)
		}
	})
}

// IsLive reports whether a node is edited live.
func (t *Tree) IsLive(n fs.Node) bool {
	_, ok := t.live.id(n)
	return ok
}

// id returns the file id of a live node.
func (l *live) id(n fs.Node) (fs.FileID, bool) {
	l.mu.Lock()
	none := len(l.attached) == 0
	l.mu.Unlock()
	if none || l.t.opts.Live == nil {
		return fs.FileID{}, false
	}
	if _, isDir := n.(fs.Dir); isDir {
		return fs.FileID{}, false
	}
	id, err := n.FileID(context.Background())
	if err != nil {
		return id, false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return id, l.attached[id] > 0
}

// kick starts saving what is unsaved of a live node, and does not wait.
func (l *live) kick(n fs.Node) {
	if id, ok := l.id(n); ok {
		l.flush(id)
	}
}

// flush saves what is unsaved, once at a time, and returns a channel that is closed when that has ended.
func (l *live) flush(id fs.FileID) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.flushing[id]; c != nil {
		return c
	}
	c := make(chan struct{})
	l.flushing[id] = c
	go func() {
		if err := l.t.opts.Live.Flush(context.Background(), id); err != nil {
			l.t.log.Warn("a live document could not be saved", "file_id", id.String(), "err", err)
		}
		l.mu.Lock()
		delete(l.flushing, id)
		l.mu.Unlock()
		close(c)
	}()
	return c
}

// Settle waits until what is unsaved of a live node is saved, at most SettleWait. For any other node it returns at once.
// Afterwards the node may be superseded.
func (t *Tree) Settle(ctx context.Context, n fs.Node) {
	id, ok := t.live.id(n)
	if !ok {
		return
	}
	late := time.NewTimer(SettleWait)
	defer late.Stop()
	select {
	case <-t.live.flush(id):
	case <-late.C:
		t.log.Warn("a live document was not saved in time; its last saved version is used", "file_id", id.String())
	case <-ctx.Done():
	}
}

// changed is told of each change.
func (l *live) changed(fs.Change) {}

// open opens a live node; ok is false for any other.
func (l *live) open(context.Context, fs.Node, fs.OpenFlags) (h fs.Handle, ok bool, err error) {
	return nil, false, nil
}

// truncate changes the size of a live node without a handle; ok is false for any other.
func (l *live) truncate(context.Context, fs.Node, fs.SetAttr) (a fs.Attr, ok bool, err error) {
	return a, false, nil
}

// create opens a name that is live, or was until just now; ok is false for any other.
func (l *live) create(context.Context, fs.Dir, string, fs.CreateOptions) (n fs.Node, h fs.Handle, ok bool, err error) {
	return nil, nil, false, nil
}

// rename moves a file onto a live one; ok is false for any other.
func (l *live) rename(context.Context, fs.Dir, string, fs.Dir, string, fs.RenameFlags) (ok bool, err error) {
	return false, nil
}
