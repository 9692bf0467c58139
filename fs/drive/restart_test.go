package drive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// restarts is a drive over a store that can be away, and the daemons that have it one after the other.
type restarts struct {
	program
	b    *mem.Backend
	o    Options
	away atomic.Bool
}

func newRestarts(t *testing.T) *restarts {
	r := &restarts{}
	r.b = mem.NewBackend(mem.BackendOptions{Before: func(context.Context, mem.Request) error {
		if r.away.Load() {
			return &fs.Error{Kind: fs.Unavailable}
		}
		return nil
	}})
	for _, key := range []string{"a", "b", "dir/c", "dir/deep/d", "dir/deep/e"} {
		r.b.Inject(key, []byte("text of "+key), fs.WriteOptions{})
	}
	dir := memoryDir(t)
	r.o = withCache(t, Options{Backend: r.b, State: filepath.Join(dir, "state"), Listings: filepath.Join(dir, "cache", "listings")})
	r.program = program{t, t.Context(), open(t, r.o)}
	return r
}

// restart closes the drive, or kills it, and opens it again.
func (r *restarts) restart(kill bool) {
	r.t.Helper()
	if !kill {
		r.must("Close", r.d.Close(r.ctx))
		r.d = open(r.t, r.o)
		return
	}
	dir := memoryDir(r.t)
	r.must("copy", os.CopyFS(dir, os.DirFS(filepath.Dir(r.o.State))))
	r.must("Close", r.d.Close(r.ctx))
	r.o.State, r.o.Listings = filepath.Join(dir, "state"), filepath.Join(dir, "cache", "listings")
	r.d = open(r.t, r.o)
}

// all returns the paths in the drive, as far as it can tell, with what is in the files.
func (r *restarts) all() string {
	r.t.Helper()
	got, err := treeOf(r.ctx, r.d)
	if err != nil {
		return err.Error()
	}
	return got.String()
}

func (r *restarts) want(what, want string) {
	r.t.Helper()
	if got := r.all(); got != want {
		r.t.Errorf("%s there is\n%s\nwant\n%s", what, got, want)
	}
}

// numbers returns the inode numbers of some paths.
func (r *restarts) numbers(paths ...string) (all []uint64) {
	r.t.Helper()
	for _, path := range paths {
		n, err := nodeAt(r.ctx, r.d, path)
		r.must("lookup of "+path, err)
		all = append(all, n.Ino())
	}
	return all
}

// TestVersionNeverWritten starts where a full disk or a loss of power has left an empty VERSION.
func TestVersionNeverWritten(t *testing.T) {
	r := newRestarts(t)
	r.write("new", []byte("data"), true)
	before := r.all()
	r.must("Truncate", os.Truncate(filepath.Join(r.o.State, "VERSION"), 0))
	r.restart(false)
	r.want("after a restart", before)
	r.must("Close", r.d.Close(r.ctx))
}

func TestStartWithoutStore(t *testing.T) {
	for _, kill := range []bool{false, true} {
		t.Run(fmt.Sprint("killed: ", kill), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { startWithoutStore(t, kill) })
		})
	}
}

func startWithoutStore(t *testing.T, kill bool) {
	r := newRestarts(t)
	before := r.all()
	paths := []string{"a", "dir", "dir/deep/d"}
	numbers := r.numbers(paths...)
	time.Sleep(2 * keepAfter)
	r.away.Store(true)
	r.restart(kill)
	r.want("with the store away after a restart", before)
	if got := r.numbers(paths...); !slices.Equal(got, numbers) {
		t.Errorf("inode numbers after a restart: %v, want %v", got, numbers)
	}
	if _, err := nodeAt(r.ctx, r.d, "dir/missing"); fs.KindOf(err) != fs.NotExist {
		t.Errorf("lookup of a missing name = %v, want NotExist", err)
	}
	r.write("dir/new", []byte("written here"), true)
	time.Sleep(time.Minute)

	r.b.Inject("dir/theirs", []byte("theirs"), fs.WriteOptions{})
	r.b.Inject("a", []byte("changed by others"), fs.WriteOptions{})
	r.must("remove", r.b.Remove(context.WithoutCancel(r.ctx), "b", fs.RemoveOptions{}), fs.Unavailable)
	r.away.Store(false)
	time.Sleep(2 * DefaultNamesTTL)
	r.must("remove", r.b.Remove(r.ctx, "b", fs.RemoveOptions{}))
	time.Sleep(2 * DefaultNamesTTL)
	after := tree{
		"a": "changed by others", "dir/": "", "dir/c": "text of dir/c", "dir/deep/": "", "dir/deep/d": "text of dir/deep/d",
		"dir/deep/e": "text of dir/deep/e", "dir/new": "written here", "dir/theirs": "theirs",
	}
	r.want("when the store is back", after.String())
	r.must("Wait", r.d.Wait(r.ctx))
	r.must("Close", r.d.Close(r.ctx))
}

// TestStartWithoutStoreMade starts without the store where others have put something into a folder that was made here: it is shown with what
// the journal knows, also when something was written there meanwhile and the daemon has started once more.
func TestStartWithoutStoreMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRestarts(t)
		r.mkdir("made")
		r.write("made/own", []byte("own"), false)
		r.must("Wait", r.d.Wait(r.ctx))
		r.b.Inject("made/theirs", []byte("theirs"), fs.WriteOptions{})
		r.b.Inject("made/removed", []byte("removed"), fs.WriteOptions{})
		time.Sleep(DefaultNamesTTL)
		r.all()
		r.remove("made/removed")
		r.must("Wait", r.d.Wait(r.ctx))
		want := tree{
			"a": "text of a", "b": "text of b", "dir/": "", "dir/c": "text of dir/c", "dir/deep/": "", "dir/deep/d": "text of dir/deep/d",
			"dir/deep/e": "text of dir/deep/e", "made/": "", "made/own": "own", "made/theirs": "theirs",
		}
		time.Sleep(2 * keepAfter)
		r.away.Store(true)
		r.restart(true)
		r.write("made/new", []byte("new"), true)
		want["made/new"] = "new"
		time.Sleep(2 * keepAfter)
		r.restart(true)
		r.want("with the store away after two restarts", want.String())
		r.away.Store(false)
		r.must("Wait", r.d.Wait(r.ctx))
		time.Sleep(DefaultNamesTTL)
		r.must("remove", r.b.Remove(r.ctx, "made/theirs", fs.RemoveOptions{}))
		delete(want, "made/theirs")
		time.Sleep(DefaultNamesTTL)
		r.want("when the store is back", want.String())
		r.must("Close", r.d.Close(r.ctx))
	})
}

// TestMovedAfterStartWithoutStore moves folders that were made here after a start without the store: what others have put into them is shown
// in their new places.
func TestMovedAfterStartWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRestarts(t)
		for _, dir := range []string{"made", "made/sub", "other", "third"} {
			r.mkdir(dir)
			r.write(dir+"/own", []byte("own"), false)
		}
		r.must("Wait", r.d.Wait(r.ctx))
		for _, dir := range []string{"made", "made/sub", "other", "third"} {
			r.b.Inject(dir+"/theirs", []byte("theirs"), fs.WriteOptions{})
		}
		time.Sleep(DefaultNamesTTL)
		r.all()
		time.Sleep(2 * keepAfter)
		r.away.Store(true)
		r.restart(true)
		r.rename("made", "moved")
		r.exchange("other", "third")
		want := tree{
			"a": "text of a", "b": "text of b", "dir/": "", "dir/c": "text of dir/c", "dir/deep/": "", "dir/deep/d": "text of dir/deep/d",
			"dir/deep/e": "text of dir/deep/e",
		}
		for _, dir := range []string{"moved", "moved/sub", "other", "third"} {
			want[dir+"/"], want[dir+"/own"], want[dir+"/theirs"] = "", "own", "theirs"
		}
		r.want("with the store away", want.String())
		r.away.Store(false)
		r.must("Wait", r.d.Wait(r.ctx))
		r.want("when the store is back", want.String())
		r.must("Close", r.d.Close(r.ctx))
	})
}

// must fails the test for an error that is of none of the given kinds.
func (r *restarts) must(what string, err error, kinds ...fs.Kind) {
	r.t.Helper()
	if err != nil && !slices.Contains(kinds, fs.KindOf(err)) {
		r.t.Fatalf("%s: %v", what, err)
	}
}

// TestNothingComesBack removes and moves names after they were written down: a daemon that is killed then does not show them.
func TestNothingComesBack(t *testing.T) {
	for _, wait := range []time.Duration{0, 2 * keepAfter} {
		t.Run(fmt.Sprint("killed after ", wait), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRestarts(t)
				r.all()
				time.Sleep(2 * keepAfter)
				r.rename("dir/deep", "shallow")
				time.Sleep(2 * keepAfter)
				r.remove("a")
				r.rename("shallow/d", "moved")
				r.must("Wait", r.d.Wait(r.ctx))
				time.Sleep(wait)
				r.away.Store(true)
				r.restart(true)
				want := tree{
					"b": "text of b", "dir/": "", "dir/c": "text of dir/c", "moved": "text of dir/deep/d", "shallow/": "",
					"shallow/e": "text of dir/deep/e",
				}
				r.want("after removals and renames", want.String())
				r.must("Close", r.d.Close(r.ctx))
			})
		})
	}
}

// TestListingsThatCannotBeTrusted starts with a damaged file: it is as if there was none.
func TestListingsThatCannotBeTrusted(t *testing.T) {
	for name, damage := range map[string]func([]byte) []byte{
		"foreign": func([]byte) []byte { return []byte(strings.Repeat("another program's file", 100)) },
		"torn":    func(b []byte) []byte { return b[:60] },
		"zeros":   func(b []byte) []byte { return make([]byte, len(b)) },
		"gone":    func([]byte) []byte { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRestarts(t)
				before := r.all()
				r.must("Close", r.d.Close(r.ctx))
				data, err := os.ReadFile(r.o.Listings)
				r.must("read", err)
				r.must("write", os.WriteFile(r.o.Listings, damage(data), 0o600))
				r.away.Store(true)
				r.d = open(t, r.o)
				if _, err := treeOf(r.ctx, r.d); fs.KindOf(err) != fs.Unavailable {
					t.Errorf("list with the store away and nothing known = %v, want Unavailable", err)
				}
				r.away.Store(false)
				time.Sleep(time.Minute)
				r.want("when the store is back", before)
				r.must("Close", r.d.Close(r.ctx))
			})
		})
	}
}

// TestRestartRequests checks that what is kept costs no request: a folder is listed once by each daemon, and stat and missing names are free.
func TestRestartRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRestarts(t)
		r.all()
		r.restart(false)
		r.b.ResetRequests()
		r.numbers("a", "b", "dir/c")
		for i := range 10 {
			if _, err := nodeAt(r.ctx, r.d, fmt.Sprint("missing ", i)); fs.KindOf(err) != fs.NotExist {
				t.Errorf("lookup of a missing name = %v, want NotExist", err)
			}
		}
		if got := r.b.Requests(); got["list"] != 2 || len(got) != 1 {
			t.Errorf("requests: %v, want two lists", got)
		}
		r.must("Close", r.d.Close(r.ctx))
	})
}

// TestListingsCannotBeWritten cannot write the file: the drive works all the same.
func TestListingsCannotBeWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := memoryDir(t)
		if err := os.WriteFile(filepath.Join(dir, "cache"), nil, 0o600); err != nil {
			t.Fatal(err)
		}
		b := mem.NewBackend(mem.BackendOptions{})
		b.Inject("a", []byte("text"), fs.WriteOptions{})
		d := open(t, Options{Backend: b, Listings: filepath.Join(dir, "cache", "listings")})
		got, err := treeOf(t.Context(), d)
		if want := (tree{"a": "text"}); err != nil || got.String() != want.String() {
			t.Errorf("there is %s, %v, want %s", got, err, want)
		}
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
}

// TestChildCodec reads damaged listings without a panic, and whole ones as they were.
func TestChildCodec(t *testing.T) {
	e := &encoder{}
	found := []fs.Info{
		{Key: "d/file", Type: fs.File, Size: 7, ModTime: time.Unix(5, 6), Version: "v", Mode: 0o600, HasMode: true, FileID: fs.NewFileID()},
		{Key: "d/link", Type: fs.Symlink, Size: 3, ModTime: time.Unix(5, 0), Version: "w", Mode: 0o777, HasMode: true, Link: "abc"},
		{Key: "d/dir", Type: fs.Directory, ModTime: time.Unix(5, 0), Mode: 0o700, HasMode: true},
		{Key: "d/prefix", Type: fs.Directory, ModTime: time.Unix(5, 0), Mode: 0o755, HasMode: true, Implicit: true},
	}
	d := &Drive{}
	for i := range found {
		_, name := split(found[i].Key)
		e.child(name, d.newFound(&found[i], 0))
	}
	in := &decoder{b: e.b}
	for _, want := range found {
		got, _ := in.child("d")
		if !got.ModTime.Equal(want.ModTime) {
			t.Errorf("%s: time %v, want %v", want.Key, got.ModTime, want.ModTime)
		}
		got.ModTime = want.ModTime
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			t.Errorf("got %+v\nwant %+v", got, want)
		}
	}
	for n := range e.b {
		in := &decoder{b: bytes.Clone(e.b[:n])}
		for len(in.b) > 0 {
			in.child("d")
		}
	}
	if in.err != nil || len(in.b) != 0 {
		t.Error(errors.Join(in.err, fmt.Errorf("%d bytes left", len(in.b))))
	}
}

// TestRestartKeepsWhatWasTold starts a drive on files of others that were opened before: what the store told of them is known still, without
// being asked again, also where it is not away. What others have changed meanwhile is not.
func TestRestartKeepsWhatWasTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRestarts(t)
		r.b.Inject("dir/link", nil, fs.WriteOptions{Link: "c"})
		r.b.Inject("dir/script", []byte("script"), fs.WriteOptions{Mode: 0o755, HasMode: true})
		r.b.Inject("dir/changed", []byte("script"), fs.WriteOptions{Mode: 0o700, HasMode: true})
		_, err := r.d.Warm(r.ctx, "dir", nil)
		r.must("warm", err)
		r.restart(false)
		r.b.Inject("dir/changed", []byte("changed"), fs.WriteOptions{})
		r.b.ResetRequests()
		for path, want := range map[string]uint32{
			"dir/link": fs.ModeSymlink | 0o777, "dir/script": fs.ModeFile | 0o755, "dir/c": fs.ModeFile | 0o644, "dir/changed": fs.ModeFile | 0o644,
		} {
			n, err := nodeAt(r.ctx, r.d, path)
			r.must("lookup of "+path, err)
			if a, err := n.Attr(r.ctx); err != nil || a.Mode != want {
				t.Errorf("%s has mode %o, %v, want %o", path, a.Mode, err, want)
			}
		}
		if n := r.b.Requests()["stat"]; n != 0 {
			t.Errorf("%d objects were asked for", n)
		}
		r.must("Close", r.d.Close(r.ctx))
	})
}
