package fusemount

import (
	"fmt"
	"os"
	"testing"
	"time"

	gofuse "github.com/hanwen/go-fuse/v2/fs"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// TestPrune looks at more files than the kernel is to know: it lets go of those that nobody uses, and finds the same again.
func TestPrune(t *testing.T) {
	const dirs, files, most = 5, 100, 60
	b := mem.NewGenerated(mem.GeneratedOptions{Dirs: dirs, Files: files, Big: 1})
	f := mount(t, setup{
		drives: map[string]fs.Drive{"home": keep{storeDrive(t, drive.Options{Backend: b, MaxNodes: most})}}, opts: Options{MaxNodes: most},
	})
	path := func(dir, file int) string { return f.path(fmt.Sprintf("d%04d/f%06d.txt", dir, file)) }
	open, err := os.Open(path(0, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer open.Close()
	numbers := func() (all []uint64) {
		for i := range dirs {
			for k := range files {
				var st unix.Stat_t
				if err := unix.Lstat(path(i, k), &st); err != nil {
					t.Fatal(err)
				}
				all = append(all, st.Ino)
			}
		}
		return all
	}
	before := numbers()
	f.knows(t, most+most/2)
	for i, ino := range numbers() {
		if ino != before[i] {
			t.Errorf("file %d has number %d, had %d", i, ino, before[i])
		}
	}
	p := make([]byte, 10)
	if _, err := open.ReadAt(p, 0); err != nil {
		t.Errorf("read of the open file = %v", err)
	}
	f.knows(t, most+most/2)
}

// knows waits until the kernel knows at most that many nodes.
func (f *fixture) knows(t *testing.T, most int) {
	t.Helper()
	count := func() int {
		f.table.mu.Lock()
		defer f.table.mu.Unlock()
		return f.table.count()
	}
	for late := time.Now().Add(patience); count() > most; time.Sleep(time.Millisecond) {
		if time.Now().After(late) {
			t.Fatalf("the kernel knows %d nodes, want at most %d", count(), most)
		}
	}
}

// TestExpire does what is left to do with a kernel that cannot be asked to let go of nodes.
func TestExpire(t *testing.T) {
	f := mount(t, setup{})
	for i := range 50 {
		writeFile(t, f.path(fmt.Sprint("f", i)), "text")
	}
	var all []*gofuse.Inode
	f.table.mu.Lock()
	for _, n := range f.table.nodes {
		if n != f.root {
			all = append(all, n.EmbeddedInode())
		}
	}
	f.table.mu.Unlock()
	if len(all) < 50 {
		t.Fatalf("the kernel knows %d nodes of 50 files", len(all))
	}
	expire(all)
	f.knows(t, 1)
	for i := range 50 {
		if got := readFile(t, f.path(fmt.Sprint("f", i))); got != "text" {
			t.Errorf("f%d has %q", i, got)
		}
	}
}

// TestForgottenNodesStay has the kernel forget nodes that were just handed out: they stay for a while, and less long where they are many.
func TestForgottenNodesStay(t *testing.T) {
	const most = 80
	for _, c := range []struct {
		name        string
		forgotten   int
		stay, leave time.Duration
	}{
		{"few", most / 8, keepForgotten, keepForgotten + time.Millisecond},
		{"many", most, keepMany, keepMany + time.Millisecond},
	} {
		t.Run(c.name, func(t *testing.T) {
			tab := table{nodes: map[fs.Node]*node{}, most: most}
			d := mem.New(mem.Options{})
			handedOut := time.Now()
			for i := range c.forgotten {
				f, _, err := d.Root().Create(t.Context(), fmt.Sprint(i), fs.CreateOptions{Mode: 0o644})
				if err != nil {
					t.Fatal(err)
				}
				n := &node{fs: f, handedOut: handedOut}
				tab.nodes[f] = n
				tab.left = append(tab.left, forgotten{n, handedOut})
			}
			if tab.clean(handedOut.Add(c.stay)); len(tab.nodes) != c.forgotten {
				t.Errorf("%d of %d are left after %v", len(tab.nodes), c.forgotten, c.stay)
			}
			if tab.clean(handedOut.Add(c.leave)); len(tab.nodes) != len(tab.left) || len(tab.left) == c.forgotten || len(tab.left) > most/8 {
				t.Errorf("%d of %d are left after %v", len(tab.nodes), c.forgotten, c.leave)
			}
		})
	}
}
