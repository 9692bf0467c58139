package drive

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestOpenForWriting has others change or remove a file of which something is being written: nothing of it goes lost.
func TestOpenForWriting(t *testing.T) {
	cases := []struct {
		name  string
		early bool // it was written before the others came
		do    func(w two)
		want  map[string]string
	}{
		{"replaced, then written", false, func(w two) { w.a.write("f", []byte("of ada"), false) }, map[string]string{"f": "of ada", "f!zoe": "ZOEe"}},
		{"written, then replaced", true, func(w two) { w.a.write("f", []byte("of ada"), false) }, map[string]string{"f": "of ada", "f!zoe": "ZOEe"}},
		{"removed, then written", false, func(w two) { w.a.remove("f") }, map[string]string{"f": "ZOEe"}},
		{"written, then removed", true, func(w two) { w.a.remove("f") }, map[string]string{"f": "ZOEe"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			withTwo(t, func(w two) {
				w.shared("f", "base")
				n, err := nodeAt(w.z.ctx, w.z.d, "f")
				w.z.must("Lookup", err)
				h, err := n.Open(w.z.ctx, fs.OpenReadWrite)
				w.z.must("Open", err)
				write := func() {
					_, err := h.WriteAt(w.z.ctx, []byte("ZOE"), 0)
					w.z.must("WriteAt", err)
				}
				if c.early {
					write()
				}
				c.do(w)
				w.a.must("Wait", w.a.d.Wait(w.a.ctx))
				time.Sleep(time.Minute)
				_, err = treeOf(w.z.ctx, w.z.d)
				w.z.must("List", err)
				if !c.early {
					write()
				}
				w.z.must("Flush", h.Flush(w.z.ctx))
				w.z.must("Release", h.Release(w.z.ctx))
				w.settle()
				w.want(c.want)
			})
		})
	}
}

// TestNumbersOfMoved moves what was found in the store, and finds the same there again: it is something else, also after a restart.
func TestNumbersOfMoved(t *testing.T) {
	for name, restart := range map[string]bool{"at once": false, "after a restart": true} {
		t.Run(name, func(t *testing.T) { numbersOfMoved(t, restart) })
	}
}

func numbersOfMoved(t *testing.T, restart bool) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		b.Inject("d/f", []byte("old"), fs.WriteOptions{})
		o := Options{Backend: b, State: t.TempDir()}
		p := program{t, t.Context(), open(t, o)}
		_, err := treeOf(p.ctx, p.d)
		p.must("List", err)
		p.rename("d", "e")
		p.must("Wait", p.d.Wait(p.ctx))
		p.write("e/g", []byte("g"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		if restart {
			p.must("Close", p.d.Close(p.ctx))
			p.d = open(t, o)
		}
		b.Inject("d/f", []byte("new"), fs.WriteOptions{})
		for range 2 {
			time.Sleep(time.Minute)
			was, err := nodeAt(p.ctx, p.d, "e")
			p.must("Lookup", err)
			is, err := nodeAt(p.ctx, p.d, "d")
			p.must("Lookup", err)
			if was.Ino() == is.Ino() {
				t.Errorf("two folders have number %d", is.Ino())
			}
			p.write("d/h", []byte("h"), false)
			p.must("Close", p.d.Close(p.ctx))
			p.d = open(t, o)
			p.must("Wait", p.d.Wait(p.ctx))
		}
		got, err := treeOf(p.ctx, p.d)
		p.must("List", err)
		want := tree{"d/": "", "d/f": "new", "d/h": "h", "e/": "", "e/f": "old", "e/g": "g"}
		if got.String() != want.String() {
			t.Errorf("there is\n%swant\n%s", got, want)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestStagingFileLost takes from the staging files what a loss of power may take of bytes that were never synced: the store keeps what
// it has.
func TestStagingFileLost(t *testing.T) {
	for name, harm := range map[string]func(string) error{
		"short":   func(name string) error { return os.Truncate(name, 0) },
		"missing": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{Backend: mem.NewBackend(mem.BackendOptions{}), State: t.TempDir()}
				p := program{t, t.Context(), open(t, o)}
				p.write("f", []byte("safe"), false)
				p.must("Wait", p.d.Wait(p.ctx))
				p.write("f", []byte("unsafe"), false)
				p.write("g", []byte("unsafe too"), false)
				p.must("Close", p.d.Close(p.ctx))
				staged, err := filepath.Glob(filepath.Join(o.State, "staging", "*"))
				p.must("Glob", err)
				for _, name := range staged {
					p.must("harm", harm(name))
				}
				for range 2 {
					p.d = open(t, o)
					p.must("Wait", p.d.Wait(p.ctx))
					if got := string(p.read("f")); got != "safe" {
						t.Errorf("f = %q", got)
					}
					if _, err := nodeAt(p.ctx, p.d, "g"); fs.KindOf(err) != fs.NotExist {
						t.Errorf("Lookup(g) = %v", err)
					}
					p.must("Close", p.d.Close(p.ctx))
				}
			})
		})
	}
}

// TestWrittenWhileSettling writes a file just when a worker has found that there is nothing to do for it.
func TestWrittenWhileSettling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("f", []byte("one"), false)
		p.must("Wait", p.d.Wait(p.ctx))
		n, err := nodeAt(p.ctx, p.d, "f")
		p.must("Lookup", err)
		mode := uint32(0o600)
		_, err = n.SetAttr(p.ctx, fs.SetAttr{Mode: &mode})
		p.must("SetAttr", err)
		j, _ := p.d.job(keyed{"f", false})
		p.write("f", []byte("two"), false)
		p.must("settled", p.d.settled(j))
		p.d.endJob(j)
		p.must("Wait", p.d.Wait(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, Options{Backend: b})
		if got := string(p.read("f")); got != "two" {
			t.Errorf("the store has %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestLostSource has others remove a file that is being moved while a new one has its old name already.
func TestLostSource(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		b.Inject("f", []byte("old"), fs.WriteOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.rename("f", "g")
		p.write("f", []byte("new"), false)
		p.must("Remove", b.Remove(p.ctx, "f", fs.RemoveOptions{}))
		p.must("Wait", p.d.Wait(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, Options{Backend: b})
		if got := string(p.read("f")); got != "new" {
			t.Errorf("the store has %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestLostBase changes a part of a file of which others replace or remove the rest before that is sent: what was written is sent
// without it.
func TestLostBase(t *testing.T) {
	for name, harm := range map[string]func(program, *mem.Backend){
		"replaced": func(_ program, b *mem.Backend) { b.Inject("f", []byte("theirs"), fs.WriteOptions{}) },
		"removed":  func(p program, b *mem.Backend) { p.must("Remove", b.Remove(p.ctx, "f", fs.RemoveOptions{})) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mem.NewBackend(mem.BackendOptions{})
				b.Inject("f", []byte("base"), fs.WriteOptions{})
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				n, err := nodeAt(p.ctx, p.d, "f")
				p.must("Lookup", err)
				h, err := n.Open(p.ctx, fs.OpenReadWrite)
				p.must("Open", err)
				_, err = h.WriteAt(p.ctx, []byte("!"), 4)
				p.must("WriteAt", err)
				p.must("Release", h.Release(p.ctx))
				harm(p, b)
				b.ResetRequests()
				time.Sleep(10 * time.Minute)
				if got := b.Requests(); got["stat"] > 10 || got["read"] > 10 {
					t.Errorf("the store was asked %v", got)
				}
				if st := p.d.Status(); len(st.Troubles) != 0 || st.Pending != 0 || st.Staged != 0 {
					t.Errorf("Status() = %+v", st)
				}
				got := map[string]bool{}
				for _, key := range b.Keys("") {
					text, _, _ := b.Contents(key)
					got[string(text)] = true
				}
				if want := name == "replaced"; !got["\x00\x00\x00\x00!"] || got["theirs"] != want {
					t.Errorf("the store has %v", got)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestReplaceWithTheSame replaces bytes that somebody has written but not closed by the same: what Replace says is kept is kept.
func TestReplaceWithTheSame(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := program{t, t.Context(), open(t, Options{Backend: mem.NewBackend(mem.BackendOptions{})})}
		n, h, err := p.d.Root().Create(p.ctx, "f", fs.CreateOptions{Flags: fs.OpenReadWrite})
		p.must("Create", err)
		_, err = h.WriteAt(p.ctx, []byte("same"), 0)
		p.must("WriteAt", err)
		_, err = p.d.Replace(p.ctx, "f", strings.NewReader("same"), fs.ReplaceOptions{})
		p.must("Replace", err)
		p.d.mu.RLock()
		kept := n.(*file).m.get().content
		p.d.mu.RUnlock()
		if kept == nil || kept.size != 4 {
			t.Errorf("the journal has %+v", kept)
		}
		p.must("Release", h.Release(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestSavedAllTheTime saves a file more often than uploads wait, and also while one is under way: the store gets it now and then.
func TestSavedAllTheTime(t *testing.T) {
	for _, takes := range []time.Duration{0, 4 * time.Second} {
		t.Run(fmt.Sprint("uploads take ", takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mem.NewBackend(mem.BackendOptions{After: func(ctx context.Context, r mem.Request) error {
					if r.Op != "put" || takes == 0 {
						return nil
					}
					return pause(ctx, takes)
				}})
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				for i := range 1800 {
					p.write("f", []byte{byte(i)}, i%2 == 0)
					time.Sleep(time.Second / 2)
				}
				each := savedMax + takes
				if n := b.Requests()["put"]; n < int(15*time.Minute/(each+settleAfter)) || n > int(15*time.Minute/each)+1 {
					t.Errorf("%d uploads in 15 minutes, want one in %v", n, each)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}
