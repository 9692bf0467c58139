package local_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// env is a drive on a folder that tests also change behind its back.
type env struct {
	t    *testing.T
	ctx  context.Context
	dir  string // the folder
	o    local.Options
	d    *local.Drive
	feed *recorder
}

func newEnv(t *testing.T, o local.Options) *env {
	t.Helper()
	if o.Root == "" {
		o.Root = t.TempDir()
	}
	e := &env{t: t, ctx: t.Context(), dir: o.Root, o: o}
	e.start()
	t.Cleanup(func() { e.stop() })
	return e
}

func (e *env) start() {
	e.t.Helper()
	d, err := local.Open(e.ctx, e.o)
	e.must("Open", err)
	e.d, e.feed = d, &recorder{more: make(chan struct{}, 1)}
	d.Publish(e.feed.sink)
}

func (e *env) stop() {
	e.t.Helper()
	if e.d != nil {
		e.must("Close", e.d.Close(context.WithoutCancel(e.ctx)))
		e.d = nil
	}
}

func (e *env) must(op string, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("%s: %v", op, err)
	}
}

func (e *env) kind(op string, err error, want fs.Kind) {
	e.t.Helper()
	if err == nil || fs.KindOf(err) != want {
		e.t.Errorf("%s = %v, want kind %q", op, err, want)
	}
}

// path returns the path of a file for system calls.
func (e *env) path(rel string) string { return filepath.Join(e.dir, rel) }

// write changes a file behind the drive's back, in place.
func (e *env) write(rel, data string) {
	e.t.Helper()
	e.must("WriteFile", os.WriteFile(e.path(rel), []byte(data), 0o644))
}

// swap replaces a file behind the drive's back, as editors do.
func (e *env) swap(rel, data string) {
	e.t.Helper()
	e.must("WriteFile", os.WriteFile(e.path(rel)+".new", []byte(data), 0o644))
	e.must("Rename", os.Rename(e.path(rel)+".new", e.path(rel)))
}

func (e *env) find(rel string) (fs.Node, error) {
	var n fs.Node = e.d.Root()
	for name := range strings.SplitSeq(rel, "/") {
		x, ok := n.(fs.Dir)
		if !ok {
			return nil, &fs.Error{Op: "find", Path: rel, Kind: fs.NotDir}
		}
		var err error
		if n, err = x.Lookup(e.ctx, name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (e *env) node(rel string) fs.Node {
	e.t.Helper()
	n, err := e.find(rel)
	e.must("find "+rel, err)
	return n
}

func (e *env) attr(n fs.Node) fs.Attr {
	e.t.Helper()
	a, err := n.Attr(e.ctx)
	e.must("Attr", err)
	return a
}

func (e *env) id(n fs.Node) fs.FileID {
	e.t.Helper()
	id, err := n.FileID(e.ctx)
	e.must("FileID", err)
	return id
}

func (e *env) replace(rel, data string, o fs.ReplaceOptions) fs.Replaced {
	e.t.Helper()
	r, err := e.d.Replace(e.ctx, rel, strings.NewReader(data), o)
	e.must("Replace "+rel, err)
	return r
}

func (e *env) open(n fs.Node, flags fs.OpenFlags) fs.Handle {
	e.t.Helper()
	h, err := n.Open(e.ctx, flags)
	e.must("Open", err)
	e.t.Cleanup(func() {
		if err := h.Release(context.WithoutCancel(e.ctx)); err != nil {
			e.t.Errorf("Release() = %v", err)
		}
	})
	return h
}

func read(ctx context.Context, n fs.Node) (string, error) {
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return "", err
	}
	defer h.Release(ctx) //nolint:errcheck // only read
	return readHandle(ctx, h)
}

func readHandle(ctx context.Context, h fs.Handle) (string, error) {
	buf := make([]byte, 1<<20)
	n, err := h.ReadAt(ctx, buf, 0)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return string(buf[:n]), err
}

func (e *env) names(x fs.Dir) []string {
	e.t.Helper()
	l, err := x.List(e.ctx)
	e.must("List", err)
	defer l.Close()
	var names []string
	for entry, err := range fs.Entries(e.ctx, l) {
		e.must("At", err)
		names = append(names, entry.Name)
	}
	return names
}

// recorder keeps what a drive publishes.
type recorder struct {
	mu      sync.Mutex // guards changes
	changes []fs.Change
	more    chan struct{} // gets a token when there is one more
}

func (r *recorder) sink(c fs.Change) {
	r.mu.Lock()
	r.changes = append(r.changes, c)
	r.mu.Unlock()
	select {
	case r.more <- struct{}{}:
	default:
	}
}

func (r *recorder) all() []fs.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]fs.Change(nil), r.changes...)
}

// outside returns the changes by others.
func (r *recorder) outside() []fs.Change {
	var out []fs.Change
	for _, c := range r.all() {
		if c.Cause.Origin == fs.OriginOutside {
			out = append(out, c)
		}
	}
	return out
}

// await waits for a change by others with that op and path.
func (e *env) await(op fs.Op, path fs.Path) fs.Change {
	e.t.Helper()
	return e.awaitLater(op, path, 0)
}

// awaitLater is await for the change after so many like it.
func (e *env) awaitLater(op fs.Op, path fs.Path, after int) fs.Change {
	e.t.Helper()
	late := time.After(time.Minute)
	for {
		before := 0
		for _, c := range e.feed.outside() {
			if c.Op != op || c.Path != path {
				continue
			}
			if before == after {
				return c
			}
			before++
		}
		select {
		case <-e.feed.more:
		case <-late:
			e.t.Fatalf("no %s of %q was published; there were %s", op, path, describe(e.feed.all()))
		}
	}
}

// settle waits until notices of everything before have been looked at, by the way of one more file.
func (e *env) settle() {
	e.t.Helper()
	name := "settle-" + fs.NewFileID().String()
	e.write(name, "")
	e.await(fs.OpCreate, fs.Path(name))
	e.must("Remove", os.Remove(e.path(name)))
	e.await(fs.OpRemove, fs.Path(name))
}

func describe(changes []fs.Change) string {
	var b strings.Builder
	for _, c := range changes {
		b.WriteString(c.Op.String() + " " + string(c.OldPath) + " " + string(c.Path) + " " + string(c.Cause.Origin) + "; ")
	}
	return b.String()
}
