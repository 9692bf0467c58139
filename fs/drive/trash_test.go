package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestTrash keeps what was removed, and nothing else.
func TestTrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		d := open(t, Options{Backend: b, Trash: true})
		p := program{t, t.Context(), d}
		p.write("f", []byte("removed"), false)
		p.write("g", []byte("renamed over"), false)
		p.must("Wait", d.Wait(p.ctx))
		p.write("h", []byte("never uploaded"), false)
		p.remove("h")
		p.write("tmp", []byte("new"), false)
		p.rename("tmp", "g")
		p.remove("f")
		p.must("Wait", d.Wait(p.ctx))
		var kept []string
		p.must("walk", walkStore(p.ctx, d, strings.TrimSuffix(trashPrefix, "/"), &kept))
		if len(kept) != 1 || !strings.HasSuffix(kept[0], "/f") {
			t.Errorf("the trash has %q, want f", kept)
		}
		if c, err := d.GC(p.ctx, KeepUploads, KeepTrash); err != nil || c.Trash != 0 {
			t.Errorf("GC() = %+v, %v", c, err)
		}
		time.Sleep(KeepTrash + 48*time.Hour)
		if c, err := d.GC(p.ctx, KeepUploads, KeepTrash); err != nil || c.Trash != 1 {
			t.Errorf("GC() after a month = %+v, %v", c, err)
		}
		p.must("Close", d.Close(p.ctx))
	})
}

func walkStore(ctx context.Context, d *Drive, dir string, keys *[]string) error {
	infos, err := d.list(ctx, dir)
	for _, info := range infos {
		if info.Type == fs.Directory {
			err = errors.Join(err, walkStore(ctx, d, info.Key, keys))
		} else {
			*keys = append(*keys, info.Key)
		}
	}
	return err
}

// inTrash returns what was removed, by the name that it had, and fails the test for what is there twice.
func (p program) inTrash(b *mem.Backend) tree {
	p.t.Helper()
	all := tree{}
	for _, r := range p.removed(b) {
		if _, twice := all[r.path]; twice {
			p.t.Errorf("%s is in the trash twice", r.path)
		}
		all[r.path] = r.text
	}
	return all
}

// removedFile is what is in the trash.
type removedFile struct{ path, text string }

func (p program) removed(b *mem.Backend) (all []removedFile) {
	p.t.Helper()
	var keys []string
	p.must("walk", walkStore(p.ctx, p.d, strings.TrimSuffix(trashPrefix, "/"), &keys))
	for _, key := range keys {
		parts := strings.SplitN(strings.TrimPrefix(key, trashPrefix), "/", 3) // day, version, name
		r, err := b.Read(p.ctx, key, fs.ReadOptions{})
		p.must("read "+key, err)
		data, err := io.ReadAll(r)
		p.must("read "+key, errors.Join(err, r.Close()))
		all = append(all, removedFile{parts[2], string(data)})
	}
	return all
}

// removeAll is rm -r.
func (p program) removeAll(path string) {
	p.t.Helper()
	n, err := nodeAt(p.ctx, p.d, path)
	p.must("lookup "+path, err)
	entries, err := entriesOf(p.ctx, n.(fs.Dir))
	p.must("list "+path, err)
	for _, e := range entries {
		if e.Attr.Type() == fs.Directory {
			p.removeAll(join(path, e.Name))
		} else {
			p.remove(join(path, e.Name))
		}
	}
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	p.must("rmdir "+path, x.Remove(p.ctx, name, true))
}

// replace is a save by the API.
func (p program) replace(path, text string) {
	p.t.Helper()
	_, err := p.d.Replace(p.ctx, path, strings.NewReader(text), fs.ReplaceOptions{})
	p.must("replace "+path, err)
}

// movedCases say what is in the trash after files of the store were moved and removed, before the store heard of it: a, b and d/c have their names
// as contents.
var movedCases = []struct {
	name  string
	then  func(program)
	trash tree
	left  tree
}{
	{
		"renamed",
		func(p program) { p.rename("a", "z"); p.remove("z") },
		tree{"z": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"renamed twice",
		func(p program) { p.rename("a", "y"); p.rename("y", "z"); p.remove("z") },
		tree{"z": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"renamed and back",
		func(p program) { p.rename("a", "z"); p.rename("z", "a"); p.remove("a") },
		tree{"a": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"folder renamed",
		func(p program) { p.rename("d", "e"); p.removeAll("e") },
		tree{"e/c": "c"}, tree{"a": "a", "b": "b"},
	},
	{
		"renamed over another", // which was replaced
		func(p program) { p.rename("a", "b"); p.remove("b") },
		tree{"b": "a"}, tree{"d/": "", "d/c": "c"},
	},
	{
		"renamed over one that was renamed",
		func(p program) { p.rename("a", "z"); p.rename("b", "z"); p.remove("z") },
		tree{"z": "b"}, tree{"d/": "", "d/c": "c"},
	},
	{
		"renamed and edited",
		func(p program) {
			p.rename("a", "z")
			h := p.openFile("z", fs.OpenReadWrite)
			_, err := h.WriteAt(p.ctx, []byte("more"), 1)
			p.must("write", errors.Join(err, h.Flush(p.ctx), h.Release(p.ctx)))
			p.remove("z")
		},
		tree{"z": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"renamed and overwritten",
		func(p program) { p.rename("a", "z"); p.write("z", []byte("new"), true); p.remove("z") },
		tree{"z": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"overwritten and renamed",
		func(p program) { p.write("a", []byte("new"), true); p.rename("a", "z"); p.remove("z") },
		tree{"z": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"renamed and saved by the API",
		func(p program) { p.rename("a", "z"); p.replace("z", "new"); p.remove("z") },
		tree{"z": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"renamed and saved by a temporary file",
		func(p program) {
			p.rename("a", "z")
			p.write("tmp", []byte("new"), true)
			p.rename("tmp", "z")
			p.remove("z")
		},
		tree{"z": "a"}, tree{"b": "b", "d/": "", "d/c": "c"},
	},
	{
		"old name made anew",
		func(p program) { p.rename("a", "z"); p.write("a", []byte("new"), true); p.remove("z") },
		tree{"z": "a"}, tree{"a": "new", "b": "b", "d/": "", "d/c": "c"},
	},
	{
		"old name made anew and removed",
		func(p program) { p.rename("a", "z"); p.write("a", []byte("new"), true); p.remove("a") },
		tree{}, tree{"z": "a", "b": "b", "d/": "", "d/c": "c"},
	},
	{
		"old name taken by another",
		func(p program) { p.rename("a", "z"); p.rename("b", "a"); p.remove("z") },
		tree{"z": "a"}, tree{"a": "b", "d/": "", "d/c": "c"},
	},
	{
		"exchanged",
		func(p program) { p.exchange("a", "b"); p.remove("b") },
		tree{"b": "a"}, tree{"a": "b", "d/": "", "d/c": "c"},
	},
	{
		"exchanged, both removed",
		func(p program) { p.exchange("a", "b"); p.remove("b"); p.remove("a") },
		tree{"b": "a", "a": "b"}, tree{"d/": "", "d/c": "c"},
	},
	{
		"renamed and not removed",
		func(p program) { p.rename("a", "z"); p.rename("d", "e") },
		tree{}, tree{"z": "a", "b": "b", "e/": "", "e/c": "c"},
	},
}

// TestTrashMoved keeps the last version that the store has of what was moved and removed, once, though it is under another key there: also
// when the drive is opened again meanwhile, and when the store is away.
func TestTrashMoved(t *testing.T) {
	for _, tt := range movedCases {
		for _, how := range []string{"at once", "after a restart", "store away"} {
			t.Run(tt.name+", "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					var store outage
					b := mem.NewBackend(mem.BackendOptions{Before: store.before})
					o := withCache(t, Options{Backend: b, State: memoryDir(t), Trash: true})
					p := &program{t, t.Context(), open(t, o)}
					p.write("a", []byte("a"), false)
					p.write("b", []byte("b"), false)
					p.mkdir("d")
					p.write("d/c", []byte("c"), false)
					p.must("Wait", p.d.Wait(p.ctx))
					if how == "store away" {
						store.set(errOut)
					}
					tt.then(*p)
					if how == "after a restart" {
						p.must("Close", p.d.Close(p.ctx))
						p.d = open(t, o)
					}
					if how == "store away" {
						time.Sleep(time.Minute)
						store.set(nil)
					}
					b.ResetRequests()
					p.must("Wait", p.d.Wait(p.ctx))
					if got := p.inTrash(b); got.String() != tt.trash.String() {
						t.Errorf("the trash has\n%swant\n%s", got, tt.trash)
					}
					p.must("Close", p.d.Close(p.ctx))
					p.d = open(t, Options{Backend: b, ID: fs.DriveID{9}})
					p.wantTree("in the store", tt.left)
					p.must("Close", p.d.Close(p.ctx))
				})
			})
		}
	}
}

// TestTrashMovedHalf removes a folder of which some files were moved in the store already.
func TestTrashMovedHalf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := func(_ context.Context, r mem.Request) error {
			if r.Op == "copy" || r.Op == "remove" {
				time.Sleep(150 * time.Millisecond)
			}
			return nil
		}
		b := mem.NewBackend(mem.BackendOptions{Before: slow})
		p := program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
		const files = 60
		want := tree{}
		p.mkdir("many")
		for i := range files {
			p.write(fmt.Sprint("many/", i), fmt.Append(nil, i), false)
			want[fmt.Sprint("many.old/", i)] = fmt.Sprint(i)
		}
		p.must("Wait", p.d.Wait(p.ctx))
		b.ResetRequests()
		p.rename("many", "many.old")
		time.Sleep(settleAfter + 200*time.Millisecond)
		moved := b.Requests()["copy"]
		p.removeAll("many.old")
		p.must("Wait", p.d.Wait(p.ctx))
		if moved == 0 || moved >= files {
			t.Errorf("%d of %d files had been moved", moved, files)
		}
		if got := p.inTrash(b); got.String() != want.String() {
			t.Errorf("the trash has\n%s", got)
		}
		if got := b.Requests()["copy"]; got > moved+files {
			t.Errorf("%d copies, want %d at most", got, moved+files)
		}
		p.wantTree("at the end", tree{})
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestTrashMovedUnlisted moves a folder that was never listed.
func TestTrashMovedUnlisted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := filled(3, 10)
		p := program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
		p.rename("data", "old")
		p.removeAll("old")
		p.must("Wait", p.d.Wait(p.ctx))
		if got := p.inTrash(b); len(got) != 3 || got["old/file 00002"] == "" {
			t.Errorf("the trash has\n%s", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestTrashMovedUnder moves a file to a path of a folder that has just been moved away unlisted: each of the two that had that path is kept under
// the name by which it is removed.
func TestTrashMovedUnder(t *testing.T) {
	for gone, want := range map[string]tree{"E/f": {"E/f": "first"}, "D/f": {"D/f": "second"}} {
		t.Run(gone, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mem.NewBackend(mem.BackendOptions{})
				b.Inject("D/f", []byte("first"), fs.WriteOptions{})
				b.Inject("a", []byte("second"), fs.WriteOptions{})
				p := program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
				p.rename("D", "E")
				p.mkdir("D")
				p.rename("a", "D/f")
				p.read("E/f")
				p.remove(gone)
				p.must("Wait", p.d.Wait(p.ctx))
				if got := p.inTrash(b); got.String() != want.String() {
					t.Errorf("the trash has\n%s", got)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestTrashMovedRefused has the store refuse for ever what takes the place of a file that was moved: a folder of the old name does not wait for it.
func TestTrashMovedRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if r.Op == "put" && r.Key == "z" {
				return &fs.Error{Kind: fs.Permission}
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
		p.write("a", []byte("a"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		p.rename("a", "z")
		p.write("z", []byte("new"), false)
		p.mkdir("a")
		p.write("a/f", []byte("of a folder"), false)
		time.Sleep(time.Minute)
		if got, _, _ := b.Contents("a/f"); string(got) != "of a folder" {
			t.Errorf("the store has %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestTrashMovedThenWritten removes a file that was moved and written anew, which was not uploaded yet, when the store has heard of the move.
func TestTrashMovedThenWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
		p.write("a", []byte("a"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		p.rename("a", "z")
		for i := range 4 {
			p.write("z", fmt.Append(nil, "new ", i), true)
			time.Sleep(settleAfter - 100*time.Millisecond)
		}
		p.remove("z")
		p.must("Wait", p.d.Wait(p.ctx))
		if got := p.inTrash(b); got.String() != (tree{"z": "a"}).String() {
			t.Errorf("the trash has\n%s", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestTrashMovedOnce has the store refuse what is to take the place of a file that was moved and removed, until that is removed too.
func TestTrashMovedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refused := 0
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if r.Op == "put" && r.Key == "a" && refused > 0 {
				refused++
				return &fs.Error{Kind: fs.Permission}
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
		p.write("a", []byte("a"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		b.ResetRequests()
		refused = 1
		p.rename("a", "z")
		p.write("a", []byte("new"), true)
		p.remove("z")
		time.Sleep(time.Minute)
		p.remove("a")
		p.must("Wait", p.d.Wait(p.ctx))
		if got := p.inTrash(b); got.String() != (tree{"z": "a"}).String() {
			t.Errorf("the trash has\n%s", got)
		}
		if got := b.Requests(); refused < 3 || got["copy"] != 1 || got["remove"] != 1 {
			t.Errorf("%d uploads were refused; requests: %v", refused-1, got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestTrashMovedRequests says what a move and a removal ask of the store: a copy to the trash and a removal.
func TestTrashMovedRequests(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(program)
		want map[string]int
	}{
		{"removed", func(p program) { p.remove("a") }, map[string]int{"copy": 1, "remove": 1}},
		{"moved", func(p program) { p.rename("a", "z") }, map[string]int{"copy": 1, "remove": 1}},
		{"moved and removed", func(p program) { p.rename("a", "z"); p.remove("z") }, map[string]int{"copy": 1, "remove": 1}},
		{
			"moved and replaced",
			func(p program) { p.rename("a", "z"); p.write("tmp", []byte("new"), true); p.rename("tmp", "z") },
			map[string]int{"put": 1, "remove": 1},
		},
		{
			"saved by a backup file",
			func(p program) { p.rename("a", "a~"); p.write("a", []byte("new"), true); p.remove("a~") },
			map[string]int{"copy": 1, "put": 1},
		},
		{"removed and made anew", func(p program) { p.remove("a"); p.write("a", []byte("new"), true) }, map[string]int{"put": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mem.NewBackend(mem.BackendOptions{})
				p := program{t, t.Context(), open(t, Options{Backend: b, Trash: true})}
				p.write("a", []byte("a"), false)
				p.must("Wait", p.d.Wait(p.ctx))
				b.ResetRequests()
				tt.do(p)
				p.must("Wait", p.d.Wait(p.ctx))
				if got := b.Requests(); !maps.Equal(got, tt.want) {
					t.Errorf("requests: %v, want %v", got, tt.want)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// shuffle moves and removes files of the store at random, and knows what must be in the trash.
type shuffle struct {
	*program
	b      *mem.Backend
	o      Options
	store  outage
	rng    *rand.Rand
	now    map[string]string    // texts by path; those that begin with "+" may not be in the store
	wanted map[removedFile]bool // in the trash; false if it may be there, since its name was made anew
	log    []string
}

func (s *shuffle) step() {
	names := slices.Sorted(maps.Keys(s.now))
	name := func() string { return names[s.rng.IntN(len(names))] }
	i := len(s.log)
	free := fmt.Sprintf("%s%d", []string{"", "d/"}[s.rng.IntN(2)], i)
	switch op := s.rng.IntN(12); {
	case op < 4 && len(names) > 0:
		from := name()
		s.log = append(s.log, "mv "+from+" "+free)
		s.rename(from, free)
		s.now[free] = s.now[from]
		delete(s.now, from)
	case op < 6 && len(names) > 1:
		x, y := name(), name()
		s.log = append(s.log, "exchange "+x+" "+y)
		s.exchange(x, y)
		s.now[x], s.now[y] = s.now[y], s.now[x]
	case op == 6 && len(names) > 1:
		x, y := name(), name()
		if x == y || s.now[x][0] == '+' { // else the version before stays the last one of the file
			return
		}
		s.log = append(s.log, "mv "+x+" over "+y)
		s.rename(x, y)
		s.now[y] = s.now[x]
		delete(s.now, x)
	case op < 9 && len(names) > 0:
		path := name()
		s.log = append(s.log, "rm "+path)
		s.remove(path)
		if text := s.now[path]; text[0] != '+' {
			s.wanted[removedFile{path, text}] = true
		}
		delete(s.now, path)
	case op == 9:
		if i%2 == 0 && len(names) > 0 { // at a path that something had before
			free = strings.TrimSuffix(free, fmt.Sprint(i)) + fmt.Sprint(s.rng.IntN(i+1))
		}
		if s.now[free] != "" {
			return
		}
		s.log = append(s.log, "write "+free)
		for r := range s.wanted {
			s.wanted[r] = s.wanted[r] && r.path != free
		}
		s.now[free] = fmt.Sprint("+", i)
		s.write(free, []byte(s.now[free]), false)
	case op == 10:
		s.log = append(s.log, "restart")
		s.must("Close", s.d.Close(s.ctx))
		s.d = open(s.t, s.o)
	default:
		s.log = append(s.log, "sleep")
		time.Sleep(time.Duration(s.rng.IntN(2000)) * time.Millisecond)
	}
}

// TestTrashShuffled moves and removes files at random while the store is told.
func TestTrashShuffled(t *testing.T) {
	eachSeed(t, 40, 1000, trashShuffled)
}

func trashShuffled(t *testing.T, seed uint64) {
	s := &shuffle{rng: rand.New(rand.NewPCG(seed, 3)), now: map[string]string{}, wanted: map[removedFile]bool{}}
	s.b = mem.NewBackend(mem.BackendOptions{Before: func(ctx context.Context, r mem.Request) error {
		time.Sleep(100 * time.Millisecond)
		return s.store.before(ctx, r)
	}})
	dir := memoryDir(t)
	s.o = withCache(t, Options{Backend: s.b, State: filepath.Join(dir, "state"), Listings: filepath.Join(dir, "listings"), Trash: true})
	s.program = &program{t, t.Context(), open(t, s.o)}
	s.mkdir("d")
	for i := range 8 {
		path := fmt.Sprint("d/file ", i)
		s.now[path] = fmt.Sprint(i)
		s.write(path, []byte(s.now[path]), false)
	}
	s.must("Wait", s.d.Wait(s.ctx))
	if seed%4 == 0 {
		s.list("d")
		time.Sleep(2 * keepAfter) // so that a start without the store knows the folders
		s.store.set(errOut)
	}
	for range 30 {
		s.step()
	}
	s.store.set(nil)
	s.must("Wait", s.d.Wait(s.ctx))
	want := tree{"d/": ""}
	maps.Copy(want, s.now)
	s.wantTree("at the end", want)
	for _, r := range s.removed(s.b) {
		if _, wanted := s.wanted[r]; !wanted && r.text[0] != '+' {
			t.Errorf("%+v is in the trash, or is there twice, after\n%s", r, strings.Join(s.log, "\n"))
		}
		delete(s.wanted, r)
	}
	for r, must := range s.wanted {
		if must {
			t.Errorf("%+v is not in the trash, after\n%s", r, strings.Join(s.log, "\n"))
		}
	}
	s.must("Close", s.d.Close(s.ctx))
}
