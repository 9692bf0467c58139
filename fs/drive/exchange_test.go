package drive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func (p program) exchange(a, b string) {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, a)
	p.must("find "+a, err)
	y, newName, err := at(p.ctx, p.d, b)
	p.must("find "+b, err)
	p.must("exchange "+a+" and "+b, x.Rename(p.ctx, name, y, newName, fs.RenameExchange))
}

func (p program) mkfifo(path string) fs.Node {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	n, err := x.(fs.Mknoder).Mknod(p.ctx, name, fs.ModeFIFO|0o600, 0, fs.CreateOptions{})
	p.must("mkfifo "+path, err)
	return n
}

func (p program) wantTree(what string, want tree) {
	p.t.Helper()
	got, err := treeOf(p.ctx, p.d)
	if err != nil || got.String() != want.String() {
		p.t.Errorf("%s: %v, there is\n%swant\n%s", what, err, got, want)
	}
}

// TestExchangeRequests exchanges two names and looks at what that takes, and what a daemon sees that knows the store alone.
func TestExchangeRequests(t *testing.T) {
	for _, tt := range []struct {
		name  string
		first func(program) // what is uploaded before
		then  func(program)
		want  map[string]int // requests that change the store
		tree  tree
	}{
		{
			"two files",
			func(p program) { p.write("a", []byte("one"), false); p.write("b", []byte("second"), false) },
			func(p program) { p.exchange("a", "b") },
			map[string]int{"copy": 3, "remove": 1},
			tree{"a": "second", "b": "one"},
		},
		{
			"and back",
			func(p program) { p.write("a", []byte("one"), false); p.write("b", []byte("second"), false) },
			func(p program) { p.exchange("a", "b"); p.exchange("b", "a") },
			map[string]int{},
			tree{"a": "one", "b": "second"},
		},
		{
			"with itself",
			func(p program) { p.write("a", []byte("one"), false) },
			func(p program) { p.exchange("a", "a") },
			map[string]int{},
			tree{"a": "one"},
		},
		{
			"one that was not uploaded",
			func(p program) { p.write("a", []byte("one"), false) },
			func(p program) { p.write("b", []byte("second"), false); p.exchange("a", "b") },
			map[string]int{"copy": 1, "put": 1},
			tree{"a": "second", "b": "one"},
		},
		{
			"neither was uploaded",
			func(program) {},
			func(p program) {
				p.write("a", []byte("one"), false)
				p.write("b", []byte("second"), false)
				p.exchange("a", "b")
			},
			map[string]int{"put": 2},
			tree{"a": "second", "b": "one"},
		},
		{
			"file and folder",
			func(p program) {
				p.write("a", []byte("one"), false)
				p.mkdir("d")
				p.write("d/f", []byte("inner"), false)
			},
			func(p program) { p.exchange("a", "d") },
			map[string]int{"copy": 3, "mkdir": 1, "remove": 4},
			tree{"a/": "", "a/f": "inner", "d": "one"},
		},
		{
			"two links",
			func(p program) { p.symlink("a", "one"); p.symlink("b", "second") },
			func(p program) { p.exchange("a", "b") },
			map[string]int{"put": 2},
			tree{"a": "-> second", "b": "-> one"},
		},
		{
			"FIFO and file",
			func(p program) { p.mkfifo("a"); p.write("b", []byte("second"), false) },
			func(p program) { p.exchange("a", "b") },
			map[string]int{"copy": 1, "put": 1},
			tree{"a": "second", "b": "special 10600 0"},
		},
		{
			"two folders",
			func(p program) {
				p.mkdir("d")
				p.mkdir("e")
				p.write("d/same", []byte("of d"), false)
				p.write("e/same", []byte("from e"), false)
				p.write("d/only", []byte("only d"), false)
			},
			func(p program) { p.exchange("d", "e") },
			map[string]int{"copy": 4, "remove": 2},
			tree{"d/": "", "e/": "", "d/same": "from e", "e/same": "of d", "e/only": "only d"},
		},
		{
			"three in a circle",
			func(p program) {
				for _, name := range []string{"a", "b", "c"} {
					p.write(name, []byte("of "+name), false)
				}
			},
			func(p program) { p.exchange("a", "b"); p.exchange("b", "c") },
			map[string]int{"copy": 4, "remove": 1},
			tree{"a": "of b", "b": "of c", "c": "of a"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mem.NewBackend(mem.BackendOptions{})
				p := program{t, t.Context(), open(t, Options{Backend: b, Uploads: 1})}
				tt.first(p)
				p.must("Wait", p.d.Wait(p.ctx))
				b.ResetRequests()
				tt.then(p)
				p.wantTree("at once", tt.tree)
				p.must("Wait", p.d.Wait(p.ctx))
				got := b.Requests()
				for _, op := range []string{"list", "stat", "read", "marked"} {
					delete(got, op)
				}
				if !maps.Equal(got, tt.want) {
					t.Errorf("the store was asked for %v, want %v", got, tt.want)
				}
				p.wantTree("when the store has it", tt.tree)
				p.must("Close", p.d.Close(p.ctx))
				p.d = open(t, Options{Backend: b, ID: fs.DriveID{9}})
				p.wantTree("for another daemon", tt.tree)
				p.must("Close", p.d.Close(p.ctx))
				if left := b.Keys(fs.ReservedName); len(left) > 0 {
					t.Errorf("the store has %q left", left)
				}
			})
		})
	}
}

func (p program) mkdir(path string) {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	_, err = x.Mkdir(p.ctx, name, fs.CreateOptions{Mode: 0o755})
	p.must("mkdir "+path, err)
}

func (p program) symlink(path, target string) {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	_, err = x.(fs.Symlinker).Symlink(p.ctx, name, target, fs.CreateOptions{})
	p.must("symlink "+path, err)
}

// TestExchangeLosesNothing looks at the store after each request of an exchange: both versions are there all the time.
func TestExchangeLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b *mem.Backend
		var armed bool
		b = mem.NewBackend(mem.BackendOptions{After: func(_ context.Context, r mem.Request) error {
			if !armed {
				return nil
			}
			have := map[string]bool{}
			for _, key := range b.Keys("") {
				data, _, _ := b.Contents(key)
				have[string(data)] = true
			}
			if !have["one"] || !have["second"] {
				t.Errorf("after %+v the store has only %v", r, have)
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("a", []byte("one"), false)
		p.write("b", []byte("second"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		armed = true
		p.exchange("a", "b")
		p.must("Wait", p.d.Wait(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeKeepsWhatOthersSaid exchanges objects with the attributes of other programs, of which this drive knows nothing.
func TestExchangeKeepsWhatOthersSaid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		b.Inject("a", []byte("one"), fs.WriteOptions{MIME: "text/x-one", Meta: map[string]string{"by": "ada"}, Mode: 0o755, HasMode: true})
		b.Inject("b", []byte("second"), fs.WriteOptions{MIME: "text/x-second"})
		b.Inject("pipe", nil, fs.WriteOptions{Special: fs.Special{Mode: fs.ModeFIFO}, Mode: 0o600, HasMode: true})
		b.Inject("link", nil, fs.WriteOptions{Link: "a"})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.exchange("a", "b")
		p.exchange("pipe", "link") // as files, which they seem to be
		p.must("Wait", p.d.Wait(p.ctx))
		for key, want := range map[string]fs.Info{
			"a":    {MIME: "text/x-second", Type: fs.File},
			"b":    {MIME: "text/x-one", Type: fs.File, Mode: 0o755, HasMode: true},
			"link": {Type: fs.Other, Special: fs.Special{Mode: fs.ModeFIFO}, Mode: 0o600, HasMode: true},
			"pipe": {Type: fs.Symlink, Link: "a"},
		} {
			got, err := b.Stat(t.Context(), key)
			if err != nil || got.MIME != want.MIME || got.Type != want.Type || got.Mode != want.Mode || got.Link != want.Link || got.Special != want.Special ||
				key == "b" && got.Meta["by"] != "ada" {
				t.Errorf("%s: %+v, %v, want %+v", key, got, err, want)
			}
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeWithOthersChanges has somebody else change or remove one of the two files before the store is told of all of their exchange:
// nothing of theirs is overwritten, and nothing of ours is lost but what was stored in that place, which they have replaced.
func TestExchangeWithOthersChanges(t *testing.T) {
	for _, key := range []string{"a", "b"} {
		for _, removes := range []bool{false, true} {
			for after := range 3 { // copies of the exchange, before it
				t.Run(fmt.Sprintf("%s, removed %v, after %d", key, removes, after), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { othersChange(t, key, removes, after) })
				})
			}
		}
	}
}

func othersChange(t *testing.T, key string, removes bool, after int) {
	var b *mem.Backend
	var copied []string
	due := false
	b = mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
		if r.Op != "copy" {
			return nil
		}
		if due && len(copied) == after {
			due = false
			if removes {
				_ = b.Remove(t.Context(), key, fs.RemoveOptions{}) // fails only with the context
			} else {
				b.Inject(key, []byte("theirs"), fs.WriteOptions{})
			}
		}
		copied = append(copied, r.Key)
		return nil
	}})
	p := program{t, t.Context(), open(t, Options{Backend: b, Uploads: 1})}
	own := map[string]string{"a": "one", "b": "second"}
	for path, text := range own {
		p.write(path, []byte(text), false)
	}
	p.must("Wait", p.d.Wait(p.ctx))
	due = true
	p.exchange("a", "b")
	p.must("Wait", p.d.Wait(p.ctx))
	time.Sleep(time.Minute)
	now, err := treeOf(p.ctx, p.d)
	p.must("read all", err)
	p.must("Close", p.d.Close(p.ctx))
	want := []string{own["a"], own["b"], "theirs"}
	if replaced := own[key]; after == 2 && copied[0] == key { // the other one's was stored there
		want = []string{replaced}
	} else {
		want = slices.DeleteFunc(want, func(text string) bool { return text == replaced || removes && text == "theirs" })
	}
	have := map[string]bool{}
	for _, key := range b.Keys("") {
		data, _, _ := b.Contents(key)
		have[string(data)] = true
	}
	if keys := b.Keys(""); removes && after == 0 && len(keys) != 1 { // later what was removed is made again, since it was changed here
		t.Errorf("the store has %q", keys)
	}
	for _, text := range want {
		if !have[text] {
			t.Errorf("the store has %v, not %q", have, text)
		}
	}
	p.d = open(t, Options{Backend: b, ID: fs.DriveID{9}})
	p.wantTree("for another daemon", now)
	p.must("Close", p.d.Close(p.ctx))
}

// pathsOnly is a store whose keys are paths of files: nothing can be below a file, and no file where something is below.
func pathsOnly(t *testing.T, b **mem.Backend) mem.BackendOptions {
	refuse := &fs.Error{Kind: fs.Invalid, Err: errors.New("a file and a directory of one name")}
	return mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
		to := r.Key
		switch r.Op {
		case "copy":
			to = r.Dst
		case "mkdir":
			to += "/"
		case "put":
		default:
			return nil
		}
		for _, key := range (*b).Keys("") {
			if strings.HasPrefix(key, to+"/") || strings.HasPrefix(to, strings.TrimSuffix(key, "/")+"/") && !strings.HasSuffix(key, "/") {
				t.Errorf("%+v while the store has %s", r, key)
				return refuse
			}
		}
		return nil
	}}
}

// TestExchangeFileAndFolder exchanges files and folders in a store that cannot have both of one name, not even for a moment.
func TestExchangeFileAndFolder(t *testing.T) {
	for _, marked := range []bool{true, false} {
		t.Run(fmt.Sprint("marked ", marked), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b *mem.Backend
				b = mem.NewBackend(pathsOnly(t, &b))
				for _, key := range []string{"f", "d/a", "d/sub/b"} {
					b.Inject(key, []byte("was "+key), fs.WriteOptions{})
				}
				if marked {
					b.Inject("d/", nil, fs.WriteOptions{})
				}
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				p.exchange("f", "d")
				p.must("Wait", p.d.Wait(p.ctx))
				want := tree{"d": "was f", "f/": "", "f/a": "was d/a", "f/sub/": "", "f/sub/b": "was d/sub/b"}
				p.wantTree("exchanged", want)
				p.must("Close", p.d.Close(p.ctx))
				p.d = open(t, Options{Backend: b, ID: fs.DriveID{9}})
				p.wantTree("for another daemon", want)
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestExchangeWhileOpen reads and writes by handles that were opened before the two changed places.
func TestExchangeWhileOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, withCache(t, Options{Backend: b}))}
		p.write("a", []byte("one"), false)
		p.write("b", []byte("second"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		n, err := nodeAt(p.ctx, p.d, "a")
		p.must("Lookup", err)
		h, err := n.Open(p.ctx, fs.OpenReadWrite)
		p.must("Open", err)
		m, err := nodeAt(p.ctx, p.d, "b")
		p.must("Lookup", err)
		r, err := m.Open(p.ctx, fs.OpenRead)
		p.must("Open", err)
		p.exchange("a", "b")
		if path, _ := n.Path(); path != "b" {
			t.Errorf("the file that was a is %q", path)
		}
		p.must("Wait", p.d.Wait(p.ctx))
		for h, want := range map[fs.Handle]string{h: "one", r: "second"} {
			if got, err := readAllOf(p.ctx, h); err != nil || got != want {
				t.Errorf("the open file reads %q, %v, want %q", got, err, want)
			}
		}
		_, err = h.WriteAt(p.ctx, []byte("!"), 3)
		p.must("WriteAt", err)
		p.must("close", errors.Join(h.Flush(p.ctx), h.Release(p.ctx), r.Release(p.ctx)))
		p.must("Wait", p.d.Wait(p.ctx))
		if data, _, _ := b.Contents("b"); string(data) != "one!" {
			t.Errorf("the store has %q as b", data)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeWhileRead reads an open file each time before the store is asked to copy something.
func TestExchangeWhileRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		open1 := map[string]fs.Handle{}
		reads := 0
		b := mem.NewBackend(mem.BackendOptions{Before: func(ctx context.Context, r mem.Request) error {
			for want, h := range open1 {
				if r.Op != "copy" {
					continue
				}
				reads++
				if got, err := readAllOf(ctx, h); err != nil || got != want {
					t.Errorf("before %+v: %q, %v, want %q", r, got, err, want)
				}
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b, Uploads: 1})}
		handles := map[string]fs.Handle{}
		for path, text := range map[string]string{"a": "one", "b": "second"} {
			p.write(path, []byte(text), false)
			n, err := nodeAt(p.ctx, p.d, path)
			p.must("Lookup", err)
			handles[text], err = n.Open(p.ctx, fs.OpenRead)
			p.must("Open", err)
		}
		p.must("Wait", p.d.Wait(p.ctx))
		open1 = handles
		p.exchange("a", "b")
		p.must("Wait", p.d.Wait(p.ctx))
		if reads != 6 {
			t.Errorf("%d reads", reads)
		}
		for _, h := range handles {
			p.must("Release", h.Release(p.ctx))
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeBack has the two change back while one of them is being put aside.
func TestExchangeBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p program
		back := false
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if strings.HasPrefix(r.Dst, asidePrefix) && !back {
				back = true
				p.exchange("a", "b")
			}
			return nil
		}})
		p = program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("a", []byte("one"), false)
		p.write("b", []byte("second"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		p.exchange("a", "b")
		p.must("Wait", p.d.Wait(p.ctx))
		if n := b.Requests()["copy"]; !back || n != 1 {
			t.Errorf("%d copies, want that aside alone", n)
		}
		p.wantTree("exchanged twice", tree{"a": "one", "b": "second"})
		if keys := b.Keys(""); !slices.Equal(keys, []string{"a", "b"}) {
			t.Errorf("the store has %q", keys)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeRemoved removes a file that was put aside, and is open.
func TestExchangeRemoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p program
		aside, removed := "", false
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if strings.HasPrefix(r.Dst, asidePrefix) {
				aside = r.Key
			} else if r.Op == "copy" && !removed {
				removed = true
				p.remove(map[string]string{"a": "b", "b": "a"}[aside])
			}
			return nil
		}})
		p = program{t, t.Context(), open(t, Options{Backend: b})}
		handles := map[string]fs.Handle{}
		for _, path := range []string{"a", "b"} {
			p.write(path, []byte("was "+path), false)
			n, err := nodeAt(p.ctx, p.d, path)
			p.must("Lookup", err)
			handles[path], err = n.Open(p.ctx, fs.OpenRead)
			p.must("Open", err)
		}
		p.must("Wait", p.d.Wait(p.ctx))
		p.exchange("a", "b")
		p.must("Wait", p.d.Wait(p.ctx))
		if keys := b.Keys(""); len(keys) != 1 || !removed {
			t.Errorf("the store has %q", keys)
		}
		for path, h := range handles {
			if got, err := readAllOf(p.ctx, h); err != nil || got != "was "+path {
				t.Errorf("the open file reads %q, %v", got, err)
			}
			p.must("Release", h.Release(p.ctx))
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeUnknown exchanges two folders of which only some names are known, the same ones among others.
func TestExchangeUnknown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		for _, key := range []string{"d/same", "d/only", "d/sub/same", "e/same", "e/sub/same", "e/sub/only"} {
			b.Inject(key, []byte("from "+key), fs.WriteOptions{})
		}
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.exchange("d", "e")
		p.must("Wait", p.d.Wait(p.ctx))
		want := tree{
			"d/": "", "d/sub/": "", "e/": "", "e/sub/": "", "e/same": "from d/same", "e/only": "from d/only", "e/sub/same": "from d/sub/same",
			"d/same": "from e/same", "d/sub/same": "from e/sub/same", "d/sub/only": "from e/sub/only",
		}
		p.wantTree("when the store has it", want)
		if c := p.d.Status().Conflicts; len(c) > 0 {
			t.Errorf("conflicts: %v", c)
		}
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, Options{Backend: b, ID: fs.DriveID{9}})
		p.wantTree("for another daemon", want)
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeLocal exchanges a file with one that is never uploaded: each is then what its new name makes it, as after a rename.
func TestExchangeLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b, LocalPatterns: []string{"*.swp"}})}
		p.write("f", []byte("stored"), false)
		p.write("x.swp", []byte("local"), false)
		p.mkfifo("y.swp")
		p.must("Wait", p.d.Wait(p.ctx))
		if keys := b.Keys(""); !slices.Equal(keys, []string{"f"}) {
			t.Errorf("the store has %q", keys)
		}
		p.exchange("f", "x.swp")
		p.exchange("x.swp", "y.swp")
		p.must("Wait", p.d.Wait(p.ctx))
		p.wantTree("when the store has it", tree{"f": "local", "y.swp": "stored", "x.swp": "special 10600 0"})
		if keys := b.Keys(""); !slices.Equal(keys, []string{"f", "y.swp"}) {
			t.Errorf("the store has %q", keys)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestExchangeFolderModes exchanges folders of different modes, whose markers tell them.
func TestExchangeFolderModes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		want := map[string]uint32{"d": 0o755, "e": 0o700}
		for name, mode := range map[string]uint32{"d": 0o700, "e": 0o755} {
			_, err := p.d.Root().Mkdir(p.ctx, name, fs.CreateOptions{Mode: mode})
			p.must("Mkdir", err)
		}
		p.must("Wait", p.d.Wait(p.ctx))
		p.exchange("d", "e")
		p.must("Wait", p.d.Wait(p.ctx))
		for name, mode := range want {
			info, err := b.Marked(t.Context(), name)
			if got := info.Mode; err != nil || got != mode && (info.HasMode || mode != dirMode) {
				t.Errorf("the marker of %s tells %o, %v, want %o", name, got, err, mode)
			}
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
