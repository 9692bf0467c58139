package drivetest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// env is a drive under test with short forms of what cases do.
type env struct {
	t    *testing.T
	ctx  context.Context
	d    fs.Drive
	root fs.Dir
	o    Options
	log  *recorder
}

func newEnv(t *testing.T, d fs.Drive, o Options) *env {
	t.Helper()
	e := &env{t: t, ctx: t.Context(), o: o, log: &recorder{}}
	e.use(d)
	t.Cleanup(func() {
		if err := e.d.Close(context.WithoutCancel(e.ctx)); err != nil {
			t.Errorf("Close() = %v", err)
		}
		e.log.check(t)
	})
	return e
}

func (e *env) use(d fs.Drive) {
	e.d, e.root = d, d.Root()
	d.Publish(e.log.sink)
}

// must ends the case if err is not nil.
func (e *env) must(op string, err error) {
	e.t.Helper()
	if err != nil {
		e.t.Fatalf("%s: %v", op, err)
	}
}

// kind reports an error that is not an [*fs.Error] of that kind.
func (e *env) kind(op string, err error, want fs.Kind) {
	e.t.Helper()
	e.oneOf(op, err, want)
}

func (e *env) oneOf(op string, err error, want ...fs.Kind) {
	e.t.Helper()
	var fe *fs.Error
	switch {
	case err == nil:
		e.t.Errorf("%s = nil, want kind %q", op, want)
	case !errors.As(err, &fe):
		e.t.Errorf("%s = %T %v, want an *fs.Error", op, err, err)
	case !slices.Contains(want, fs.KindOf(err)):
		e.t.Errorf("%s = %v of kind %q, want kind %q", op, err, fs.KindOf(err), want)
	}
}

// at returns the directory and the name of a path.
func (e *env) at(path string) (fs.Dir, string) {
	e.t.Helper()
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return e.root, path
	}
	dir, ok := e.node(path[:i]).(fs.Dir)
	if !ok {
		e.t.Fatalf("%q is no directory", path[:i])
	}
	return dir, path[i+1:]
}

// find looks a path up from the root.
func (e *env) find(path string) (fs.Node, error) {
	var n fs.Node = e.root
	if path == "" {
		return n, nil
	}
	for name := range strings.SplitSeq(path, "/") {
		dir, ok := n.(fs.Dir)
		if !ok {
			return nil, &fs.Error{Op: "lookup", Path: path, Kind: fs.NotDir}
		}
		var err error
		if n, err = dir.Lookup(e.ctx, name); err != nil {
			return nil, err
		}
	}
	return n, nil
}

func (e *env) node(path string) fs.Node {
	e.t.Helper()
	n, err := e.find(path)
	e.must("Lookup "+path, err)
	return n
}

func (e *env) absent(path string) {
	e.t.Helper()
	_, err := e.find(path)
	e.kind("Lookup "+path, err, fs.NotExist)
}

func (e *env) mkdir(path string) fs.Dir {
	e.t.Helper()
	dir, name := e.at(path)
	sub, err := dir.Mkdir(e.ctx, name, fs.CreateOptions{Mode: 0o755})
	e.must("Mkdir "+path, err)
	return sub
}

func (e *env) create(path string, flags fs.OpenFlags) (fs.Node, fs.Handle) {
	e.t.Helper()
	dir, name := e.at(path)
	n, h, err := dir.Create(e.ctx, name, fs.CreateOptions{Mode: 0o644, Flags: flags})
	e.must("Create "+path, err)
	return n, h
}

// write makes a file through a handle.
func (e *env) write(path, data string) fs.Node {
	e.t.Helper()
	n, h := e.create(path, fs.OpenReadWrite|fs.OpenTruncate)
	e.put(h, data, 0)
	e.release(h)
	return n
}

func (e *env) open(n fs.Node, flags fs.OpenFlags) fs.Handle {
	e.t.Helper()
	h, err := n.Open(e.ctx, flags)
	e.must("Open", err)
	return h
}

func (e *env) put(h fs.Handle, data string, off int64) {
	e.t.Helper()
	n, err := h.WriteAt(e.ctx, []byte(data), off)
	e.must("WriteAt", err)
	if n != len(data) {
		e.t.Fatalf("WriteAt(%d bytes) = %d", len(data), n)
	}
}

func (e *env) release(h fs.Handle) {
	e.t.Helper()
	e.must("Flush", h.Flush(e.ctx))
	e.must("Release", h.Release(e.ctx))
}

// handleReader makes a handle an io.ReaderAt.
type handleReader struct {
	ctx context.Context
	h   fs.Handle
}

func (r handleReader) ReadAt(p []byte, off int64) (int, error) { return r.h.ReadAt(r.ctx, p, off) }

func readHandle(ctx context.Context, h fs.Handle) (string, error) {
	b, err := io.ReadAll(io.NewSectionReader(handleReader{ctx, h}, 0, 1<<62))
	return string(b), err
}

// readNode opens, reads and releases.
func readNode(ctx context.Context, n fs.Node) (string, error) {
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return "", err
	}
	s, err := readHandle(ctx, h)
	return s, errors.Join(err, h.Release(ctx))
}

func (e *env) wantText(n fs.Node, want string) {
	e.t.Helper()
	got, err := readNode(e.ctx, n)
	e.must("read", err)
	if got != want {
		e.t.Errorf("contents = %s, want %s", brief(got), brief(want))
	}
}

func (e *env) wantOpen(h fs.Handle, want string) {
	e.t.Helper()
	got, err := readHandle(e.ctx, h)
	e.must("read", err)
	if got != want {
		e.t.Errorf("contents through the handle = %s, want %s", brief(got), brief(want))
	}
}

// brief is s short enough for a message.
func brief(s string) string {
	if len(s) <= 80 {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:40], len(s))
}

func (e *env) attr(n fs.Node) fs.Attr {
	e.t.Helper()
	a, err := n.Attr(e.ctx)
	e.must("Attr", err)
	return a
}

func (e *env) version(n fs.Node) fs.Version {
	e.t.Helper()
	v := e.attr(n).Version
	if v == "" {
		e.t.Error("the version of a file is empty")
	}
	return v
}

func (e *env) fileID(n fs.Node) fs.FileID {
	e.t.Helper()
	id, err := n.FileID(e.ctx)
	e.must("FileID", err)
	if id.IsZero() {
		e.t.Error("FileID() is zero")
	}
	return id
}

func (e *env) replace(path, data string, o fs.ReplaceOptions) fs.Replaced {
	e.t.Helper()
	out, err := e.d.Replace(e.ctx, path, strings.NewReader(data), o)
	e.must("Replace "+path, err)
	return out
}

// names lists a directory, sorted.
func (e *env) names(dir fs.Dir) []string {
	e.t.Helper()
	l, err := dir.List(e.ctx)
	e.must("List", err)
	var names []string
	for entry, err := range fs.Entries(e.ctx, l) {
		e.must("At", err)
		if dir == e.root && entry.Name == fs.ReservedName {
			continue // the tree hides it
		}
		names = append(names, entry.Name)
	}
	e.must("Close", l.Close())
	slices.Sort(names)
	return names
}

func (e *env) wantNames(dir fs.Dir, want ...string) {
	e.t.Helper()
	if got := e.names(dir); !slices.Equal(got, want) {
		e.t.Errorf("names = %q, want %q", got, want)
	}
}

// recorder keeps the changes that a drive publishes.
type recorder struct {
	mu      sync.Mutex // guards changes
	changes []fs.Change
}

func (r *recorder) sink(c fs.Change) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes = append(r.changes, c)
}

func (r *recorder) by(actor string) []fs.Change {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(r.changes), func(c fs.Change) bool { return c.Cause.Actor != actor })
}

// check reports changes out of order: each case of the suite ends with it.
func (r *recorder) check(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := 1; i < len(r.changes); i++ {
		a, b := r.changes[i-1], r.changes[i]
		if b.Epoch == a.Epoch && b.Seq <= a.Seq {
			t.Errorf("change %d has Seq %d after Seq %d", i, b.Seq, a.Seq)
		}
	}
}

// caused runs do under an actor of its own and returns the changes that had been published for it when it returned.
func (e *env) caused(do func(ctx context.Context)) []fs.Change {
	e.t.Helper()
	actor := "actor " + fs.NewFileID().String()
	do(fs.WithCause(e.ctx, fs.Cause{Actor: actor, Origin: fs.OriginMount, PID: 42}))
	return e.log.by(actor)
}

func (r *recorder) count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.changes)
}
