package drive

import (
	"context"
	"fmt"
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

// TestRemovedThenMoved removes a file while the store is away and nothing else is known of its folder, which is moved then: the file
// does not come back with the others.
func TestRemovedThenMoved(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: store.before})
		for _, key := range []string{"d/removed", "d/moved", "d/stays"} {
			b.Inject(key, []byte(key), fs.WriteOptions{})
		}
		o := Options{Backend: b, State: memoryDir(t)}
		p := program{t, t.Context(), open(t, o)}
		for _, path := range []string{"d/removed", "d/moved"} { // which makes the journal know them
			n, err := nodeAt(p.ctx, p.d, path)
			p.must("Lookup", err)
			_, err = n.FileID(p.ctx)
			p.must("FileID", err)
		}
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, o)
		store.set(errOut)
		p.remove("d/removed")
		store.set(nil)
		p.rename("d", "e")
		p.must("Wait", p.d.Wait(p.ctx))
		got, err := treeOf(p.ctx, p.d)
		p.must("List", err)
		want := tree{"e/": "", "e/moved": "d/moved", "e/stays": "d/stays"}
		if got.String() != want.String() {
			t.Errorf("there is\n%swant\n%s", got, want)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestMovedWithWhatOthersAdded moves and exchanges folders that were listed long ago, and into which others have put something since: that
// is moved too, and no folder is there twice. Without the store what is known is shown meanwhile.
func TestMovedWithWhatOthersAdded(t *testing.T) {
	for _, away := range []bool{false, true} {
		t.Run(fmt.Sprintf("away %t", away), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store outage
				b := mem.NewBackend(mem.BackendOptions{Before: store.before})
				put := func(keys ...string) {
					for _, key := range keys {
						b.Inject(key, []byte(key), fs.WriteOptions{})
					}
				}
				put("d/known", "d/sub/known", "d/removed", "f/known", "g/known")
				dir := memoryDir(t)
				o := withCache(t, Options{Backend: b, State: filepath.Join(dir, "state"), Listings: filepath.Join(dir, "listings")})
				p := program{t, t.Context(), open(t, o)}
				p.mkdir("made")
				p.write("made/own", []byte("own"), false)
				p.must("Wait", p.d.Wait(p.ctx))
				_, err := treeOf(p.ctx, p.d)
				p.must("List", err)
				time.Sleep(DefaultNamesTTL)
				put("d/theirs", "d/sub/theirs", "f/theirs", "made/theirs")
				known := tree{
					"d/": "", "d/own": "own", "e/": "", "e/known": "d/known", "e/sub/": "", "e/sub/known": "d/sub/known",
					"f/": "", "f/known": "g/known", "g/": "", "g/known": "f/known",
				}
				if away {
					store.set(errOut)
					_, err := p.d.Root().Lookup(p.ctx, "nothing") // which finds out
					if err == nil || !p.d.isOffline() {
						t.Fatalf("Lookup() = %v; the drive takes the store to be there", err)
					}
				}
				p.remove("d/removed")
				p.rename("d", "e")
				p.rename("made", "d")
				p.exchange("f", "g")
				if away {
					p.wantTree("without the store", known)
					p.must("Close", p.d.Close(p.ctx))
					p.d = open(t, o)
					p.wantTree("after a restart", known)
					store.set(nil)
				}
				p.must("Wait", p.d.Wait(p.ctx))
				known["d/theirs"], known["e/theirs"], known["e/sub/theirs"], known["g/theirs"] = "made/theirs", "d/theirs", "d/sub/theirs", "f/theirs"
				p.wantTree("afterwards", known)
				for _, key := range b.Keys("") {
					if data, _ := object(t, b, key); strings.HasSuffix(key, "theirs") && string(data) != known[key] {
						t.Errorf("%s in the store is %q", key, data)
					}
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// offlineDrive returns a drive with the folder d, which was listed long ago, and an empty one o, after the cable was cut. The answer to an
// upload of d/new got lost thereby, if it is wanted.
func offlineDrive(t *testing.T, uploads bool) (p program, b *mem.Backend, back func()) {
	var store outage
	b = mem.NewBackend(mem.BackendOptions{Before: store.before, After: func(_ context.Context, r mem.Request) error {
		if r.Op != "put" || r.Key != "d/new" || !uploads {
			return nil
		}
		uploads = false
		store.set(errOut)
		return &fs.Error{Kind: fs.UnknownOutcome}
	}})
	p = program{t, t.Context(), open(t, Options{Backend: b, State: memoryDir(t)})}
	p.mkdir("d")
	p.mkdir("o")
	p.write("d/x", []byte("x"), false)
	p.must("Wait", p.d.Wait(p.ctx))
	time.Sleep(DefaultNamesTTL)
	if uploads {
		p.write("d/new", []byte("new"), false)
		time.Sleep(time.Minute)
	}
	store.set(errOut)
	if _, err := p.d.Root().Lookup(p.ctx, "nothing"); err == nil || !p.d.isOffline() || uploads {
		t.Fatalf("Lookup() = %v; the drive takes the store to be there", err)
	}
	return p, b, func() { store.set(nil); time.Sleep(time.Hour) }
}

// TestMovedWithWhatWasUploaded moves a folder after the answer to an upload of a file in it was lost, and removes or moves that file before the
// store can be asked: it does not come back.
func TestMovedWithWhatWasUploaded(t *testing.T) {
	for _, c := range []struct {
		name string
		then func(*program)
		want tree
	}{
		{"nothing", func(*program) {}, tree{"e/new": "new"}},
		{"removed", func(p *program) { p.remove("e/new") }, tree{}},
		{"removed, restart", func(p *program) {
			p.remove("e/new")
			p.must("Close", p.d.Close(p.ctx))
			p.d = open(p.t, p.d.opts)
		}, tree{}},
		{"moved", func(p *program) { p.rename("e/new", "e/other") }, tree{"e/other": "new"}},
		{"removed and made anew", func(p *program) {
			p.remove("e/new")
			p.mkdir("d")
			p.write("d/new", []byte("anew"), false)
		}, tree{"d/": "", "d/new": "anew"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, _, back := offlineDrive(t, true)
				p.rename("d", "e")
				c.then(&p)
				back()
				p.must("Wait", p.d.Wait(p.ctx))
				c.want["e/"], c.want["e/x"], c.want["o/"] = "", "x", ""
				p.wantTree("afterwards", c.want)
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestMovedThenGone removes or replaces a moved folder before the store can be asked what else was in it: what is made in its old place is
// uploaded.
func TestMovedThenGone(t *testing.T) {
	for name, goes := range map[string]func(program){
		"removed":  func(p program) { p.must("Remove", p.d.Root().Remove(p.ctx, "e", true)) },
		"replaced": func(p program) { p.rename("o", "e") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b, back := offlineDrive(t, false)
				p.rename("d", "e")
				p.remove("e/x")
				goes(p)
				p.mkdir("d")
				p.write("d/y", []byte("y"), false)
				back()
				if s := p.d.Status(); s.Pending > 0 || slices.Contains(b.Keys(""), "d/x") || !slices.Contains(b.Keys(""), "d/y") {
					t.Errorf("%d keys are pending, the store has %q", s.Pending, b.Keys(""))
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestListedWhileOtherMoves exchanges two folders of which nothing is known, starts again when one is known, and lists that one while the store
// has at its path what is in the other.
func TestListedWhileOtherMoves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var lists atomic.Int32 // of d from here on, the first of which waits; negative = until the store can be asked for d
		lists.Store(-1 << 20)
		gate, away := make(chan struct{}), &fs.Error{Kind: fs.Unavailable}
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if r.Op != "list" || r.Key != "d" {
				return nil
			}
			switch n := lists.Add(1); {
			case n < 0:
				return away
			case n == 1:
				<-gate
			}
			return nil
		}})
		b.Inject("d/of d", []byte("of d"), fs.WriteOptions{})
		b.Inject("e/of e", []byte("of e"), fs.WriteOptions{})
		o := Options{Backend: b, State: memoryDir(t)}
		p := program{t, t.Context(), open(t, o)}
		p.exchange("d", "e")
		_, err := listOf(p.ctx, p.d, "d")
		p.must("List", err)
		p.must("Close", p.d.Close(p.ctx))
		lists.Store(0)
		p.d = open(t, o)
		time.Sleep(time.Minute)
		if lists.Load() != 1 {
			t.Errorf("the store was asked %d times: the test misses its case", lists.Load())
		}
		_, err = listOf(p.ctx, p.d, "d")
		p.must("List", err)
		close(gate)
		p.must("Wait", p.d.Wait(p.ctx))
		time.Sleep(DefaultNamesTTL)
		p.wantTree("afterwards", tree{"d/": "", "d/of e": "of e", "e/": "", "e/of d": "of d"})
		p.must("Close", p.d.Close(p.ctx))
	})
}
