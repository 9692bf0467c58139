package fusemount

import (
	"bytes"
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

const (
	liveName  = "n.ipynb"
	liveSaved = "[\n1,\n2,\n3\n]\n" // a notebook as far as the fake room is concerned
	liveTyped = "[\n1,\n2,\n33\n]\n"
)

// room is a mounted tree in which one document is edited live.
type room struct {
	*fixture
	t    *testing.T
	live *drivetest.FakeLive
	id   fs.FileID
	node fs.Node
	file string
}

func newRoom(t *testing.T, d fs.Drive) *room {
	t.Helper()
	r := newFile(t, d)
	r.attach()
	return r
}

// newFile is a room that nobody has opened yet.
func newFile(t *testing.T, d fs.Drive) *room {
	t.Helper()
	r := &room{t: t}
	r.live = drivetest.NewFakeLive(func(ctx context.Context, p fs.Path, text []byte) (fs.Version, error) {
		res, err := r.tree.Replace(ctx, p, bytes.NewReader(text), fs.ReplaceOptions{})
		return res.Attr.Version, err
	})
	r.fixture = mount(t, setup{drives: map[string]fs.Drive{"home": d}, live: r.live})
	r.file = r.path(liveName)
	made, err := r.api.Replace(t.Context(), liveName, strings.NewReader(liveSaved), fs.ReplaceOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if r.id, err = made.Node.FileID(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.live.Open(r.id, liveName, liveSaved, made.Attr.Version)
	r.node = made.Node
	return r
}

// attach opens the room.
func (r *room) attach() {
	r.t.Helper()
	release, err := r.tree.Attach(r.t.Context(), r.node)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(release)
}

// onDisk returns what the drive has.
func (r *room) onDisk() string {
	r.t.Helper()
	d, err := r.tree.Drive("home")
	if err != nil {
		r.t.Fatal(err)
	}
	n, err := d.Root().Lookup(r.t.Context(), liveName)
	if err != nil {
		return err.Error()
	}
	h, err := n.Open(r.t.Context(), fs.OpenRead)
	if err != nil {
		r.t.Fatal(err)
	}
	defer func() { _ = h.Release(r.t.Context()) }() // it was only read
	buf := make([]byte, 1000)
	k, _ := h.ReadAt(r.t.Context(), buf, 0)
	return string(buf[:k])
}

// absorbed waits for the first Absorb and returns it.
func (r *room) absorbed() drivetest.LiveCall {
	r.t.Helper()
	return r.called("Absorb")
}

// called waits for the first call of that method and returns it.
func (r *room) called(method string) drivetest.LiveCall {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), patience)
	defer cancel()
	calls, err := r.live.Wait(ctx, method, 1)
	if err != nil {
		r.t.Fatalf("%s was not called", method)
	}
	return calls[0]
}

func (r *room) open(flags int) *os.File {
	r.t.Helper()
	f, err := os.OpenFile(r.file, flags, 0o644)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = f.Close() }) // closed in most rows
	return f
}

func (r *room) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// inRoom waits until the room has that text: it gets it after a descriptor was closed.
func (r *room) inRoom(want string) {
	r.t.Helper()
	for late := time.Now().Add(patience); r.live.Text(r.id) != want && time.Now().Before(late); {
		time.Sleep(time.Millisecond)
	}
	if got := r.live.Text(r.id); got != want {
		r.t.Errorf("the room has %q, want %q", got, want)
	}
}

// liveRows are what operations in the mount do while a room is open.
var liveRows = []struct {
	name string
	do   func(r *room)
}{
	{"lookup starts the save and does not wait", func(r *room) {
		r.live.Type(r.id, liveTyped)
		unblock := r.live.Block()
		defer unblock()
		if _, err := os.Lstat(r.file + "/x"); !errors.Is(err, unix.ENOTDIR) {
			r.t.Errorf("lstat below the file = %v, want ENOTDIR", err)
		}
		r.called("Flush")
		writeFile(r.t, r.path("sibling"), "not held up")
	}},
	{"stat waits for the save", func(r *room) {
		r.live.Type(r.id, liveTyped)
		st, err := os.Stat(r.file)
		if err != nil || st.Size() != int64(len(liveTyped)) {
			r.t.Errorf("stat = %v, %v, want the size of what was typed", st, err)
		}
	}},
	{"stat waits for the save while another program has the file open", func(r *room) {
		reader := r.open(os.O_RDONLY)
		r.live.Type(r.id, liveTyped)
		st, err := os.Stat(r.file)
		if err != nil || st.Size() != int64(len(liveTyped)) {
			r.t.Errorf("stat = %v, %v, want the size of what was typed", st, err)
		}
		if st, err = reader.Stat(); err != nil || st.Size() != int64(len(liveSaved)) {
			r.t.Errorf("fstat = %v, %v, want the size of what was opened", st, err)
		}
	}},
	{"reading waits for the save", func(r *room) {
		for _, text := range []string{liveTyped, liveSaved, liveTyped} {
			r.live.Type(r.id, text)
			if got := readFile(r.t, r.file); got != text {
				r.t.Errorf("read %q, want %q", got, text)
			}
		}
	}},
	{"reading waits two seconds at most", func(r *room) {
		r.live.Type(r.id, liveTyped)
		unblock := r.live.Block()
		defer unblock()
		if got := readFile(r.t, r.file); got != liveSaved {
			r.t.Errorf("read %q, want the last saved version", got)
		}
	}},
	{"appending goes to a private staging", func(r *room) {
		r.live.Type(r.id, liveTyped)
		f := r.open(os.O_WRONLY | os.O_APPEND)
		_, err := f.WriteString("\n")
		r.must(err)
		r.must(f.Sync())
		if got := r.onDisk(); got != liveTyped {
			r.t.Errorf("before close the file has %q, want %q", got, liveTyped)
		}
		if calls := r.live.Calls("Absorb"); len(calls) != 0 {
			r.t.Errorf("fsync has merged: %v", calls)
		}
		r.must(f.Close())
		if got := r.absorbed().Data; got != liveTyped+"\n" {
			r.t.Errorf("Absorb got %q", got)
		}
	}},
	{"a truncating write is merged", func(r *room) {
		writeFile(r.t, r.file, "[\n11,\n2,\n3\n]\n")
		if got := r.absorbed().Data; got != "[\n11,\n2,\n3\n]\n" {
			r.t.Errorf("Absorb got %q", got)
		}
		r.inRoom("[\n11,\n2,\n3\n]\n")
	}},
	{"what is typed meanwhile is merged too", func(r *room) {
		text := readFile(r.t, r.file)
		f := r.open(os.O_WRONLY | os.O_TRUNC)
		r.live.Type(r.id, liveTyped)
		_, err := f.WriteString(strings.Replace(text, "1", "11", 1))
		r.must(err)
		r.must(f.Close())
		r.absorbed()
		r.inRoom("[\n11,\n2,\n33\n]\n")
		if got := readFile(r.t, r.file); got != "[\n11,\n2,\n33\n]\n" {
			r.t.Errorf("the mount shows %q", got)
		}
	}},
	{"a write through a superseded handle", func(r *room) {
		f := r.open(os.O_RDWR)
		buf := make([]byte, 100)
		_, _ = f.ReadAt(buf, 0) // what it has read is the base of the merge
		r.live.Type(r.id, liveTyped)
		_, err := os.Stat(r.file) // has it saved
		r.must(err)
		_, err = f.WriteAt([]byte("[\n9,"), 0)
		r.must(err)
		r.must(f.Close())
		r.absorbed()
		r.inRoom("[\n9,\n2,\n33\n]\n")
	}},
	{"rename onto the path", func(r *room) {
		readFile(r.t, r.file)
		writeFile(r.t, r.path("tmp"), "[\n11,\n2,\n3\n]\n")
		r.must(os.Rename(r.path("tmp"), r.file))
		r.absorbed()
		r.inRoom("[\n11,\n2,\n3\n]\n")
		if _, err := os.Stat(r.path("tmp")); !errors.Is(err, os.ErrNotExist) {
			r.t.Errorf("stat of the source = %v, want ENOENT", err)
		}
		if got := readFile(r.t, r.file); got != "[\n11,\n2,\n3\n]\n" {
			r.t.Errorf("the mount shows %q", got)
		}
	}},
	{"unlink and create", func(r *room) {
		readFile(r.t, r.file)
		r.must(os.Remove(r.file))
		if _, err := os.Stat(r.file); !errors.Is(err, os.ErrNotExist) {
			r.t.Errorf("stat after unlink = %v, want ENOENT", err)
		}
		writeFile(r.t, r.file, "[\n11,\n2,\n3\n]\n")
		r.absorbed()
		r.inRoom("[\n11,\n2,\n3\n]\n")
	}},
	{"bytes that are no notebook", func(r *room) {
		writeFile(r.t, r.file, "no notebook")
		var conflict string
		for late := time.Now().Add(patience); conflict == "" && time.Now().Before(late); time.Sleep(10 * time.Millisecond) {
			list, err := os.ReadDir(r.dir)
			r.must(err)
			for _, e := range list {
				if strings.Contains(e.Name(), "(conflict ") {
					conflict = e.Name()
				}
			}
		}
		if conflict == "" {
			r.t.Fatal("no conflict copy appeared")
		}
		if got := readFile(r.t, r.path(conflict)); got != "no notebook" {
			r.t.Errorf("the conflict copy has %q", got)
		}
		r.inRoom(liveSaved)
		if got := readFile(r.t, r.file); got != liveSaved {
			r.t.Errorf("the file has %q, want what it had", got)
		}
	}},
}

// TestLiveDocument does in the mount what programs do to a document that is open in a room.
func TestLiveDocument(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			for _, row := range liveRows {
				t.Run(row.name, func(t *testing.T) { row.do(newRoom(t, k.make(t))) })
			}
		})
	}
}

// TestRoomOpensUnderPrograms opens a room on a file that programs have open, so that the kernel may read and write it by itself, and
// whose attributes it knows.
func TestRoomOpensUnderPrograms(t *testing.T) {
	for name, flags := range map[string]int{"reader": os.O_RDONLY, "writer": os.O_RDWR} {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, _ string, d fs.Drive) { opensUnder(newFile(t, d), flags) })
		})
	}
}

func opensUnder(r *room, flags int) {
	f := r.open(flags)
	buf := make([]byte, 100)
	_, _ = f.ReadAt(buf, 0)
	_, err := os.Stat(r.file)
	r.must(err)
	r.attach()
	r.live.Type(r.id, liveTyped)
	if st, err := os.Stat(r.file); err != nil || st.Size() != int64(len(liveTyped)) {
		r.t.Errorf("stat = %v, %v, want the size of what was typed", st, err)
	}
	if got := readFile(r.t, r.file); got != liveTyped {
		r.t.Errorf("another program reads %q, want what was typed", got)
	}
	k, _ := f.ReadAt(buf, 0)
	if got := string(buf[:k]); got != liveSaved {
		r.t.Errorf("the program that has it open reads %q, want what it opened", got)
	}
	r.must(f.Close())
}

// TestRoomOpensUnderAReader writes by the path to a document whose room was opened while the kernel read it by itself.
func TestRoomOpensUnderAReader(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		r := newFile(t, d)
		reader := r.open(os.O_RDONLY)
		buf := make([]byte, 100)
		_, _ = reader.ReadAt(buf, 0)
		r.attach()
		w := r.open(os.O_RDWR)
		_, err := w.WriteAt([]byte("[\n9,"), 0)
		r.must(err)
		if got := r.onDisk(); got != liveSaved {
			t.Errorf("before close the file has %q, want %q", got, liveSaved)
		}
		if got := readFile(t, r.file); got != "[\n9,\n2,\n3\n]\n" {
			t.Errorf("another program reads %q, want what was written", got)
		}
		r.must(w.Close())
		if got := r.absorbed().Data; got != "[\n9,\n2,\n3\n]\n" {
			t.Errorf("Absorb got %q", got)
		}
		r.inRoom("[\n9,\n2,\n3\n]\n")
	})
}
