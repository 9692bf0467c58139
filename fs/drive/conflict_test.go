package drive

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// two are two drives of one store, as two daemons have them.
type two struct {
	t    *testing.T
	b    *mem.Backend
	a, z program
}

func withTwo(t *testing.T, do func(two)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := func(who string) program {
			return program{t, t.Context(), open(t, withCache(t, Options{Backend: b, Actor: who}))}
		}
		w := two{t, b, p("ada"), p("zoe")}
		do(w)
		for _, p := range []program{w.a, w.z} {
			p.must("Wait", p.d.Wait(p.ctx))
			p.must("Close", p.d.Close(p.ctx))
		}
	})
}

// settle has both drives write all, and forget what they know of the store.
func (w two) settle() {
	w.t.Helper()
	for range 2 { // what one finds makes work for it
		w.a.must("Wait", w.a.d.Wait(w.a.ctx))
		w.z.must("Wait", w.z.d.Wait(w.z.ctx))
	}
	time.Sleep(time.Minute)
}

// same returns what both drives have.
func (w two) same() tree {
	w.t.Helper()
	a, err := treeOf(w.a.ctx, w.a.d)
	w.a.must("read all", err)
	z, err := treeOf(w.z.ctx, w.z.d)
	w.z.must("read all", err)
	if a.String() != z.String() {
		w.t.Errorf("one drive has\n%sthe other\n%s", a, z)
	}
	return a
}

func (w two) want(want map[string]string) {
	w.t.Helper()
	got := w.same()
	for p, text := range got {
		name := p
		if before, after, ok := strings.Cut(p, " (conflict "); ok {
			name = before + "!" + strings.Fields(after)[0]
		}
		if want[name] != text {
			w.t.Errorf("%s = %q, want %q", p, text, want[name])
		}
	}
	if len(got) != len(want) {
		w.t.Errorf("there is\n%swant %q", got, want)
	}
}

// shared makes a file that both know.
func (w two) shared(path, text string) {
	w.t.Helper()
	w.a.write(path, []byte(text), false)
	w.settle()
	for _, p := range []program{w.a, w.z} {
		if got := string(p.read(path)); got != text {
			w.t.Fatalf("%s = %q, want %q", path, got, text)
		}
	}
}

func TestConflicts(t *testing.T) {
	cases := []struct {
		name string
		do   func(w two)
		want map[string]string
	}{
		{"both write", func(w two) {
			w.shared("f", "base")
			w.a.write("f", []byte("of ada"), false)
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.write("f", []byte("of zoe"), false)
		}, map[string]string{"f": "of ada", "f!zoe": "of zoe"}},
		{"both make", func(w two) {
			w.z.must("list", func() error { _, err := treeOf(w.z.ctx, w.z.d); return err }())
			w.a.write("f", []byte("of ada"), false)
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.write("f", []byte("of zoe"), false)
		}, map[string]string{"f": "of ada", "f!zoe": "of zoe"}},
		{"both write the same", func(w two) {
			w.shared("f", "base")
			for _, p := range []program{w.a, w.z} {
				p.write("f", []byte("same"), false)
				p.must("Wait", p.d.Wait(p.ctx))
			}
		}, map[string]string{"f": "same"}},
		{"one removes, the other writes", func(w two) {
			w.shared("f", "base")
			w.a.remove("f")
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.write("f", []byte("of zoe"), false)
		}, map[string]string{"f": "of zoe"}},
		{"one writes, the other removes", func(w two) {
			w.shared("f", "base")
			w.a.write("f", []byte("of ada"), false)
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.remove("f")
		}, map[string]string{"f": "of ada"}},
		{"one writes, the other renames", func(w two) {
			w.shared("f", "base")
			w.a.write("f", []byte("of ada"), false)
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.rename("f", "g")
		}, map[string]string{"g": "of ada"}},
		{"one renames, the other writes", func(w two) {
			w.shared("f", "base")
			w.a.rename("f", "g")
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.write("f", []byte("of zoe"), false)
		}, map[string]string{"f": "of zoe", "g": "base"}},
		{"both rename", func(w two) {
			w.shared("f", "base")
			w.a.rename("f", "g")
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.rename("f", "h")
		}, map[string]string{"g": "base"}},
		{"both rename onto one", func(w two) {
			w.shared("f", "of f")
			w.shared("g", "of g")
			w.a.rename("f", "x")
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.rename("g", "x")
		}, map[string]string{"x": "of f", "x!zoe": "of g"}},
		{"one writes in place over what the other has replaced", func(w two) {
			w.shared("f", strings.Repeat("base ", 1000))
			w.a.write("f", []byte("of ada"), false)
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			n, err := nodeAt(w.z.ctx, w.z.d, "f")
			w.z.must("lookup", err)
			h, err := n.Open(w.z.ctx, fs.OpenReadWrite)
			w.z.must("open", err)
			_, err = h.WriteAt(w.z.ctx, []byte("BASE"), 0)
			w.z.must("write", err)
			w.z.must("close", errors.Join(h.Flush(w.z.ctx), h.Release(w.z.ctx)))
		}, map[string]string{"f": "of ada", "f!zoe": "BASE" + strings.Repeat("base ", 1000)[4:]}},
		{"one makes a directory where the other makes a file", func(w two) {
			w.z.must("list", func() error { _, err := treeOf(w.z.ctx, w.z.d); return err }())
			_, err := w.a.d.Root().Mkdir(w.a.ctx, "f", fs.CreateOptions{Mode: 0o755})
			w.a.must("mkdir", err)
			w.a.write("f/in", []byte("of ada"), false)
			w.a.must("Wait", w.a.d.Wait(w.a.ctx))
			w.z.write("f", []byte("of zoe"), false)
		}, map[string]string{"f/": "", "f/in": "of ada", fs.ShadowName("f"): "of zoe"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			withTwo(t, func(w two) {
				c.do(w)
				w.settle()
				w.want(c.want)
			})
		})
	}
}

// TestChangesOfOthers sees within the stated bounds what another daemon has done, as new nodes and with changes published.
func TestChangesOfOthers(t *testing.T) {
	withTwo(t, func(w two) {
		w.shared("f", "one")
		w.shared("g", "two")
		var changes []fs.Change
		w.z.d.Publish(func(c fs.Change) { changes = append(changes, c) })
		old, err := nodeAt(w.z.ctx, w.z.d, "f")
		w.z.must("lookup", err)
		h, err := old.Open(w.z.ctx, fs.OpenRead)
		w.z.must("open", err)
		w.z.read("f") // so that its bytes are here
		w.a.write("f", []byte("one, changed"), false)
		w.a.remove("g")
		w.a.write("new", []byte("three"), false)
		w.a.must("Wait", w.a.d.Wait(w.a.ctx))
		time.Sleep(DefaultContentsTTL + time.Second)
		if got := string(w.z.read("f")); got != "one, changed" {
			t.Errorf("f = %q after ContentsTTL", got)
		}
		now, err := nodeAt(w.z.ctx, w.z.d, "f")
		w.z.must("lookup", err)
		if now == old || !old.Superseded() || now.Ino() == old.Ino() {
			t.Error("changed contents are no new node")
		}
		if got, err := readAllOf(w.z.ctx, h); err != nil || got != "one" {
			t.Errorf("the old handle reads %q, %v", got, err)
		}
		w.z.must("close", h.Release(w.z.ctx))
		time.Sleep(DefaultNamesTTL)
		if got, _ := listOf(w.z.ctx, w.z.d, "new"); got != "" {
			t.Errorf("new = %q", got)
		}
		synctest.Wait() // the listing goes on when the name is known
		var told []string
		for _, c := range changes {
			told = append(told, fmt.Sprintf("%s %s %s", c.Op, c.Path, c.Cause.Origin))
		}
		if got, want := strings.Join(told, ", "), "replace f outside, create new outside, remove g outside"; got != want {
			t.Errorf("changes: %s, want %s", got, want)
		}
	})
}

// TestTwoWriters lets two drives append lines to few files, each line on condition of the version that was read. Afterwards every
// line that was acknowledged is in some file.
func TestTwoWriters(t *testing.T) {
	rounds := 150
	if full() {
		rounds = 2000
	}
	for seed := range uint64(3) {
		withTwo(t, func(w two) {
			rng := rand.New(rand.NewPCG(seed, 5))
			var lines []string
			for i := range rounds {
				p := []program{w.a, w.z}[rng.IntN(2)]
				path := fmt.Sprint("file ", rng.IntN(3))
				line := fmt.Sprintf("line %d\n", i)
				if appendLine(p, path, line) {
					lines = append(lines, line)
				}
				time.Sleep(time.Duration(rng.IntN(4000)) * time.Millisecond)
			}
			w.settle()
			all := w.same()
			var text strings.Builder
			for _, s := range all {
				text.WriteString(s)
			}
			for _, line := range lines {
				if !strings.Contains(text.String(), line) {
					t.Errorf("seed %d: %q is gone", seed, line)
				}
			}
			t.Logf("seed %d: %d lines, %d files", seed, len(lines), len(all))
		})
	}
}

// appendLine replaces a file by itself and a line. It reports false if somebody was faster.
func appendLine(p program, path, line string) bool {
	p.t.Helper()
	o := fs.ReplaceOptions{IfAbsent: true}
	text := ""
	if n, err := nodeAt(p.ctx, p.d, path); err == nil {
		h, err := n.Open(p.ctx, fs.OpenRead)
		p.must("open", err)
		a, err := h.Attr(p.ctx)
		p.must("stat", err)
		text, err = readAllOf(p.ctx, h)
		p.must("close", h.Release(p.ctx))
		if err != nil && fs.KindOf(err) == fs.Stale {
			return false // replaced in this moment, and not read before
		}
		p.must("read", err)
		o = fs.ReplaceOptions{IfVersion: a.Version}
	}
	_, err := p.d.Replace(p.ctx, path, strings.NewReader(text+line), o)
	if err != nil && (fs.KindOf(err) == fs.Conflict || fs.KindOf(err) == fs.Exist) {
		return false
	}
	p.must("replace", err)
	return true
}
