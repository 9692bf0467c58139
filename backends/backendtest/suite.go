// Package backendtest is the contract of fs.Backend as a suite that every backend passes.
//
// Most cases say what a store must do; the last ones do the same random operations on the store and on the one in memory
// (backends/mem), and compare what comes back. A case that a store cannot pass is named in [Options.Skips] with the reason: a case
// that is skipped and not named, or named and not skipped, fails. So no ability is lost unseen.
//
//	func TestBackend(t *testing.T) {
//		backendtest.Run(t, backendtest.Options{New: func(t *testing.T) fs.Backend { return newEmptyStore(t) }})
//	}
package backendtest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Options say what is tested and how much.
type Options struct {
	// New returns an empty store, or an empty part of one. What it needs it ends with t.Cleanup.
	New func(t *testing.T) fs.Backend
	// Inject puts an object under any key of the store's own, as another program may, with user metadata as the store keeps it. nil skips the cases that need
	// it.
	Inject func(t *testing.T, b fs.Backend, raw string, data []byte, metadata map[string]string)
	// Skips are the cases that this store cannot pass, each with the reason.
	Skips map[string]string
	// ChecksThenOpens says that the store compares the condition of a read and opens what it has then: it may be replaced in between, which no
	// client can notice. One reader in a hundred may see that.
	ChecksThenOpens bool
	// Subjects are those to run, as "names" or "versions"; nil = all.
	Subjects []string
	// Full runs the counts of the contract; else they are a tenth.
	Full bool
}

// testCase is one case. It gets a store of its own.
type testCase struct {
	name string
	run  func(e *env)
}

// Run runs the suite.
func Run(t *testing.T, o Options) {
	var skipped, unpinned []string
	all := slices.Concat(nameCases(), dirCases(o.Full), readCases(), writeCases(), conditionCases(), attributeCases(), changeCases(), uploadCases(),
		versionCases(), oracleCases())
	for _, c := range all {
		subject, _, _ := strings.Cut(c.name, "/")
		if o.Subjects != nil && !slices.Contains(o.Subjects, subject) {
			continue
		}
		t.Run(c.name, func(t *testing.T) {
			e := &env{T: t, o: o}
			if why, pinned := o.Skips[c.name]; pinned {
				skipped = append(skipped, c.name)
				t.Skip(why)
			}
			t.Cleanup(func() {
				if t.Skipped() {
					unpinned = append(unpinned, c.name)
				}
			})
			e.b = o.New(t)
			c.run(e)
		})
	}
	for name := range o.Skips {
		if !slices.Contains(skipped, name) {
			t.Errorf("the case %q is to be skipped, but there is none", name)
		}
	}
	if len(unpinned) > 0 {
		t.Errorf("skipped without a reason in Options.Skips: %q", unpinned)
	}
	t.Logf("%d skipped", len(skipped))
}

// env is what a case works with.
type env struct {
	*testing.T
	b fs.Backend
	o Options
}

// count is how often something is repeated: n times in full, else a tenth.
func (e *env) count(n int) int {
	if e.o.Full {
		return n
	}
	return max(n/10, 1)
}

func (e *env) ctx() context.Context { return e.Context() }

// check ends the test if err is one.
func (e *env) check(err error) {
	e.Helper()
	if err != nil {
		e.Fatal(err)
	}
}

// want fails the test if err is not of one of the kinds.
func (e *env) want(what string, err error, kinds ...fs.Kind) {
	e.Helper()
	if err == nil {
		e.Fatalf("%s: no error, want %v", what, kinds)
	}
	if !slices.Contains(kinds, fs.KindOf(err)) {
		e.Fatalf("%s: %v (%v), want %v", what, err, fs.KindOf(err), kinds)
	}
	if _, ok := errors.AsType[*fs.Error](err); !ok {
		e.Errorf("%s: %T is no *fs.Error", what, err)
	}
}

// write stores data under key.
func (e *env) write(key, data string, o fs.WriteOptions) (fs.Info, error) {
	e.Helper()
	return write(e.ctx(), e.b, key, data, o)
}

func write(ctx context.Context, b fs.Backend, key, data string, o fs.WriteOptions) (fs.Info, error) {
	o.Size = int64(len(data))
	w, err := b.Write(ctx, key, o)
	if err != nil {
		return fs.Info{}, err
	}
	if _, err := io.WriteString(w, data); err != nil {
		return fs.Info{}, errors.Join(err, w.Abort())
	}
	return w.Commit(ctx)
}

// put is write of what must succeed.
func (e *env) put(key, data string) fs.Info {
	e.Helper()
	info, err := e.write(key, data, fs.WriteOptions{})
	e.check(err)
	return info
}

// read returns a range.
func (e *env) read(key string, o fs.ReadOptions) (string, error) {
	e.Helper()
	return read(e.ctx(), e.b, key, o)
}

func read(ctx context.Context, b fs.Backend, key string, o fs.ReadOptions) (string, error) {
	r, err := b.Read(ctx, key, o)
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	return string(data), errors.Join(err, r.Close())
}

// holds fails the test if key does not have that contents.
func (e *env) holds(key, want string) {
	e.Helper()
	got, err := e.read(key, fs.ReadOptions{})
	e.check(err)
	if got != want {
		e.Errorf("contents of %q: %s, want %s", key, short(got), short(want))
	}
}

// gone fails the test if there is anything at key.
func (e *env) gone(key string) {
	e.Helper()
	_, err := e.b.Stat(e.ctx(), key)
	e.want("stat of "+key, err, fs.NotExist)
}

func (e *env) stat(key string) fs.Info {
	e.Helper()
	info, err := e.b.Stat(e.ctx(), key)
	e.check(err)
	return info
}

// list returns all of a directory, and fails the test if a name comes twice.
func (e *env) list(dir string, o fs.ListOptions) (infos []fs.Info, hidden int) {
	e.Helper()
	infos, hidden, err := list(e.ctx(), e.b, dir, o)
	e.check(err)
	seen := map[string]bool{}
	for _, i := range infos {
		if seen[i.Key] {
			e.Errorf("listing of %q has %q twice", dir, i.Key)
		}
		seen[i.Key] = true
		if i.Type != fs.Directory && i.Version == "" {
			e.Errorf("listing of %q: %q has no version", dir, i.Key)
		}
	}
	return infos, hidden
}

func list(ctx context.Context, b fs.Backend, dir string, o fs.ListOptions) (infos []fs.Info, hidden int, err error) {
	for {
		page, err := b.List(ctx, dir, o)
		if err != nil {
			return infos, hidden, err
		}
		infos, hidden = append(infos, page.Infos...), hidden+page.Hidden
		if o.Token = page.Next; o.Token == "" {
			return infos, hidden, nil
		}
	}
}

// names returns what a directory holds, sorted, directories with a slash. What a probe left is not of it.
func (e *env) names(dir string) []string {
	e.Helper()
	infos, _ := e.list(dir, fs.ListOptions{})
	return sortedNames(dir, infos)
}

func sortedNames(dir string, infos []fs.Info) []string {
	names := []string{}
	for _, i := range infos {
		name := strings.TrimPrefix(strings.TrimPrefix(i.Key, dir), "/")
		if dir == "" && name == fs.ReservedName {
			continue
		}
		if i.Type == fs.Directory {
			name += "/"
		}
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// wantNames fails the test if the directory does not hold just these.
func (e *env) wantNames(dir string, want ...string) {
	e.Helper()
	slices.Sort(want)
	if got := e.names(dir); !slices.Equal(got, want) {
		e.Errorf("listing of %q: %q, want %q", dir, got, want)
	}
}

// mkdir makes a marker at "d", and skips what is about them where there are none.
func (e *env) mkdir() {
	e.Helper()
	m, ok := fs.As[fs.Mkdirer](e.b)
	if !ok {
		e.Skip("the store has no directories of its own")
	}
	_, err := m.Mkdir(e.ctx(), "d", fs.Cond{})
	e.check(err)
}

// inject puts a foreign object into the store.
func (e *env) inject(raw, data string, metadata map[string]string) {
	e.Helper()
	if e.o.Inject == nil {
		e.Fatal("this case needs Options.Inject, or a pin in Options.Skips")
	}
	e.o.Inject(e.T, e.b, raw, []byte(data), metadata)
}

// pattern returns n bytes of which no two aligned blocks of 4096 are equal.
func pattern(n int) string {
	const block = 4096
	b := []byte(strings.Repeat("0123456789abcdef", (n+15)/16))[:n]
	for at := 0; at < n; at += block {
		copy(b[at:], fmt.Sprintf("%07x\n", at/block))
	}
	return string(b)
}

// short makes long contents fit into a message.
func short(s string) string {
	if len(s) <= 60 {
		return fmt.Sprintf("%q", s)
	}
	return fmt.Sprintf("%q… (%d bytes)", s[:40], len(s))
}
