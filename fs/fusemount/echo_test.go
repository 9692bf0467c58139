package fusemount

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// watcher gathers inotify events.
type watcher struct {
	*fsnotify.Watcher
	t *testing.T
}

func watch(t *testing.T, paths ...string) *watcher {
	t.Helper()
	w, err := fsnotify.NewBufferedWatcher(1000)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, p := range paths {
		if err := w.Add(p); err != nil {
			t.Fatal(err)
		}
	}
	return &watcher{w, t}
}

// wait returns when op has happened to the file called base.
func (w *watcher) wait(base string, op fsnotify.Op) {
	w.t.Helper()
	late := time.After(patience)
	for {
		select {
		case e := <-w.Events:
			if filepath.Base(e.Name) == base && e.Has(op) {
				return
			}
		case err := <-w.Errors:
			w.t.Fatal(err)
		case <-late:
			w.t.Fatalf("no %v of %s was seen", op, base)
		}
	}
}

func TestWatchersSeeChangesFromElsewhere(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		ctx := t.Context()
		f.replace(t, "there", "1")
		if _, err := os.Stat(f.path("there")); err != nil {
			t.Fatal(err)
		}
		dir := watch(t, f.dir)
		steps := []struct {
			name string
			do   func() error
			base string
			op   fsnotify.Op
		}{
			{"save", func() error { f.replace(t, "there", "2"); return nil }, "there", fsnotify.Write},
			{"new file", func() error { f.replace(t, "new", "1"); return nil }, "new", fsnotify.Create},
			{"new folder", func() error { _, err := f.api.Mkdir(ctx, "folder", fs.CreateOptions{}); return err }, "folder", fsnotify.Create},
			{"rename", func() error { return f.api.Rename(ctx, "new", "newer") }, "newer", fsnotify.Create},
			{"mode", func() error {
				e, err := f.api.Stat(ctx, "newer")
				if err != nil {
					return err
				}
				mode := uint32(0o600)
				_, err = f.api.Nodes().SetAttr(ctx, e.Node, fs.SetAttr{Mode: &mode})
				return err
			}, "newer", fsnotify.Chmod},
			{"remove", func() error { return f.api.Remove(ctx, "newer", false) }, "newer", fsnotify.Remove},
			{"remove folder", func() error { return f.api.Remove(ctx, "folder", true) }, "folder", fsnotify.Remove},
		}
		for _, s := range steps {
			if err := s.do(); err != nil {
				t.Fatalf("%s: %v", s.name, err)
			}
			dir.wait(s.base, s.op)
		}
		if got := readFile(t, f.path("there")); got != "2" {
			t.Errorf("after the events the file has %q, want 2: the echo must change nothing", got)
		}
		list, err := os.ReadDir(f.dir)
		if err != nil || len(list) != 1 {
			t.Errorf("after the events the folder has %v, %v, want one file", list, err)
		}
	})
}

// TestWatchersSeeNewFilesClosed waits for what programs wait for that read a file when somebody has written it.
func TestWatchersSeeNewFilesClosed(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		events := os.NewFile(uintptr(fd), "inotify")
		defer func() { _ = events.Close() }() // it was only read
		if _, err := unix.InotifyAddWatch(fd, f.dir, unix.IN_CLOSE_WRITE); err != nil {
			t.Fatal(err)
		}
		f.replace(t, "new", "1")
		late := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, err := unix.Poll(late, int(patience.Milliseconds())); n != 1 || err != nil {
			t.Fatalf("no IN_CLOSE_WRITE was seen: poll = %d, %v", n, err)
		}
		buf := make([]byte, 1000)
		if n, err := events.Read(buf); err != nil || !bytes.Contains(buf[:n], []byte("new\x00")) {
			t.Errorf("the event is %q, %v, want one of the new file", buf[:n], err)
		}
	})
}

func TestFileWatchersSeeDeletion(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		for _, name := range []string{"replaced", "removed"} {
			f.replace(t, name, "1")
		}
		w := watch(t, f.path("replaced"), f.path("removed"))
		f.replace(t, "replaced", "2")
		w.wait("replaced", fsnotify.Remove)
		if err := f.api.Remove(t.Context(), "removed", false); err != nil {
			t.Fatal(err)
		}
		w.wait("removed", fsnotify.Remove)
	})
}

// TestEchoChangesNothing saves the same name many times while the echo is at work, and compares every state.
func TestEchoChangesNothing(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		watch(t, f.dir)
		for n := range 50 {
			f.replace(t, "a", edition(n))
			if err := f.api.Rename(t.Context(), "a", "b"); err != nil {
				t.Fatal(err)
			}
			if got := readFile(t, f.path("b")); got != edition(n) {
				t.Fatalf("round %d: the renamed file has other contents", n)
			}
			if err := f.api.Remove(t.Context(), "b", false); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Lstat(f.path("b")); !os.IsNotExist(err) {
				t.Fatalf("round %d: after it was removed, lstat = %v", n, err)
			}
		}
	})
}

// TestEchoLeavesProgramsAlone executes a program while it is replaced: nobody may have it open for writing meanwhile.
func TestEchoLeavesProgramsAlone(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		save := func(n int) {
			text := "#!/bin/sh\n# " + itoa(n) + "\nexit 0\n"
			if _, err := f.api.Replace(t.Context(), "run", strings.NewReader(text), fs.ReplaceOptions{Mode: 0o755}); err != nil {
				t.Fatal(err)
			}
		}
		save(0)
		watch(t, f.dir)
		c := exec.CommandContext(t.Context(), "/bin/sh", "-c", `"$0/run" && echo begun; while [ -e "$0/run" ]; do "$0/run" || [ ! -e "$0/run" ] || exit 1; done`, f.dir)
		var failed bytes.Buffer
		c.Stderr = &failed
		out, err := c.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := out.Read(make([]byte, 100)); err != nil {
			t.Errorf("it was not executed: %v", err)
		}
		for n := range 100 {
			save(n + 1)
		}
		if err := f.api.Remove(t.Context(), "run", false); err != nil {
			t.Fatal(err)
		}
		if err := c.Wait(); err != nil {
			t.Errorf("executing it: %v: %s", err, failed.Bytes())
		}
	})
}

// holdEcho mounts d with an echo that does nothing until begin is called.
func holdEcho(t *testing.T, s setup) (f *fixture, begin func()) {
	t.Helper()
	s.opts.NoEcho = true
	f = mount(t, s)
	f.opts.NoEcho = false // it queues
	return f, f.echo.start
}

// TestWatchersSeeNamesThatOthersHaveFound looks new names up, and old ones, before the echo comes to them.
func TestWatchersSeeNamesThatOthersHaveFound(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		ctx := t.Context()
		if _, err := d.Replace(ctx, "from", strings.NewReader("1"), fs.ReplaceOptions{}); err != nil {
			t.Fatal(err)
		}
		f, begin := holdEcho(t, setup{drives: map[string]fs.Drive{"home": d}})
		nodes := f.api.Nodes()
		for _, do := range []func() error{
			func() error { f.replace(t, "file", "1"); return nil },
			func() error { _, err := f.api.Mkdir(ctx, "folder", fs.CreateOptions{}); return err },
			func() error {
				_, err := nodes.Symlink(ctx, nodes.Root(), "link", "file", fs.CreateOptions{})
				return err
			},
			func() error { return f.api.Rename(ctx, "from", "to") },
		} {
			if err := do(); err != nil {
				t.Fatal(err)
			}
		}
		dir := watch(t, f.dir)
		names := []string{"file", "folder", "link", "to"}
		for _, name := range names {
			if _, err := os.Lstat(f.path(name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := os.Lstat(f.path("from")); !os.IsNotExist(err) {
			t.Fatalf("lstat of the old name = %v", err)
		}
		begin()
		for _, name := range names {
			dir.wait(name, fsnotify.Create)
		}
	})
}

// TestFileWatchersSeeDeletionThatOthersHaveFound has the kernel let go of a replaced file before it is told of that: for a lookup, which
// finds the new one.
func TestFileWatchersSeeDeletionThatOthersHaveFound(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}, deaf: true, opts: Options{CacheFor: -1}})
		f.replace(t, "a", "1")
		w := watch(t, f.path("a"))
		late := &kept{}
		defer f.tree.Observe(late)()
		f.replace(t, "a", "2")
		if got := readFile(t, f.path("a")); got != "2" {
			t.Fatalf("read %q, want 2", got)
		}
		late.deliver(f.Server)
		w.wait("a", fsnotify.Remove)
	})
}

// TestFileWatchersSeeDeletionWhileAttributesAreAsked asks for the attributes of a file that is replaced before the answer comes.
func TestFileWatchersSeeDeletionWhileAttributesAreAsked(t *testing.T) {
	f := mount(t, setup{opts: Options{NoEcho: true, CacheFor: -1}})
	f.replace(t, "a", "1")
	file, err := os.Open(f.path("a"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }() // closed below
	w := watch(t, f.path("a"))
	e, err := f.api.Stat(t.Context(), "a")
	if err != nil {
		t.Fatal(err)
	}
	slow := f.slowAttr(f.table.known(e.Node))
	asked := make(chan error)
	go func() {
		_, err := file.Stat()
		asked <- err
	}()
	<-slow.known
	f.replace(t, "a", "2")
	close(slow.answer)
	if err := <-asked; err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	w.wait("a", fsnotify.Remove)
}

// kept is an observer that keeps what it hears.
type kept struct {
	mu      sync.Mutex // guards changes
	changes []fs.Change
}

func (k *kept) Observe(c fs.Change) <-chan struct{} {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.changes = append(k.changes, c)
	return nil
}

// deliver tells o all of it.
func (k *kept) deliver(o fs.Observer) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, c := range k.changes {
		o.Observe(c)
	}
}

// slowHandle answers with the attributes as they were when it was asked, once it may.
type slowHandle struct {
	fs.Handle
	known, answer chan struct{}
}

func (h *slowHandle) Attr(ctx context.Context) (fs.Attr, error) {
	a, err := h.Handle.Attr(ctx)
	close(h.known)
	<-h.answer
	return a, err
}

// slowAttr makes the one handle of a node answer slowly.
func (f *fixture) slowAttr(n *node) *slowHandle {
	f.processes.mu.Lock() // as every request does, before it looks at the handle
	defer f.processes.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	h := &slowHandle{Handle: n.open[0].h, known: make(chan struct{}), answer: make(chan struct{})}
	n.open[0].h = h
	return h
}
