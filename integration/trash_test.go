package integration

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
)

// TestTrash deletes files of a bucket through the mount that were renamed just before, with the store there and, over a kill of the daemon,
// away: the trash has all of them once, under the names that were deleted, and nothing else.
func TestTrash(t *testing.T) {
	b := bucketdrive.New(t, bucketdrive.Options{})
	b.Start(t)
	manifest := map[string][]byte{}
	const files = 30
	if err := os.Mkdir(filepath.Join(b.Daemon.Mount, "many"), 0o755); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, b.Daemon.Mount, manifest, "many/a", files)
	writeFiles(t, b.Daemon.Mount, manifest, "away", 1)
	writeFiles(t, b.Daemon.Mount, manifest, "stays", 1)
	b.Settle(t)
	move := func(from, to string) {
		t.Helper()
		from, to = filepath.Join(b.Daemon.Mount, from), filepath.Join(b.Daemon.Mount, to)
		if err := errors.Join(os.Rename(from, to), os.RemoveAll(to)); err != nil {
			t.Fatal(err)
		}
	}
	move("many", "many.old")
	b.Settle(t)
	if err := b.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	move("away-0.txt", "gone.txt")
	if err := b.Daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	b.Start(t)
	if err := b.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Settle(t)

	want := map[string]string{"gone.txt": "away-0.txt"}
	for i := range files {
		want[fmt.Sprintf("many.old/a-%d.txt", i)] = fmt.Sprintf("many/a-%d.txt", i)
	}
	trash := filepath.Join(b.Server.Dir, filepath.FromSlash(bucketdrive.Prefix), ".jupyter-drive", "trash")
	got, err := filepath.Glob(filepath.Join(trash, "*", "*", "*.txt"))
	below, errBelow := filepath.Glob(filepath.Join(trash, "*", "*", "*", "*.txt"))
	if err := errors.Join(err, errBelow); err != nil || len(got)+len(below) != len(want) {
		t.Errorf("%d files are in the trash, %v, want %d", len(got)+len(below), err, len(want))
	}
	for _, path := range append(got, below...) {
		name := filepath.Base(path)
		if name != "gone.txt" {
			name = "many.old/" + name
		}
		data, err := os.ReadFile(path)
		if err != nil || string(data) != string(manifest[want[name]]) || want[name] == "" {
			t.Errorf("the trash has %d bytes of %s, %v", len(data), name, err)
		}
	}
	if keys := b.Keys(t); len(keys) != 1 || keys[0] != "stays-0.txt" {
		t.Errorf("the bucket has %q", keys)
	}
	if err := b.Daemon.Stop(); err != nil {
		t.Error(err)
	}
}
