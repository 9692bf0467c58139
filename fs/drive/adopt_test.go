package drive

import (
	"fmt"
	"path/filepath"
	"strings"
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
					if data, _, _ := b.Contents(key); strings.HasSuffix(key, "theirs") && string(data) != known[key] {
						t.Errorf("%s in the store is %q", key, data)
					}
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}
