package fusemount

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"

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
	late := time.After(5 * time.Second)
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

func TestFileWatchersSeeDeletion(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		dir := watch(t, f.dir)
		for _, name := range []string{"replaced", "removed", "last"} {
			f.replace(t, name, "1")
		}
		dir.wait("last", fsnotify.Create) // the echoes of the others are over
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
