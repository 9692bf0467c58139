package local_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		root string
		want fs.Kind
		hint string
	}{
		{filepath.Join(dir, "none"), fs.NotExist, "mkdir"},
		{file, fs.NotDir, "folder"},
	} {
		_, err := local.Open(t.Context(), local.Options{Root: c.root})
		if err == nil || fs.KindOf(err) != c.want || !strings.Contains(err.Error(), c.hint) || !strings.Contains(err.Error(), c.root) {
			t.Errorf("Open(%s) = %v, want kind %q, the path and %q", c.root, err, c.want, c.hint)
		}
	}
}

func TestDriveID(t *testing.T) {
	root := t.TempDir()
	if _, ok, err := local.ReadID(root); ok || err != nil {
		t.Errorf("ReadID() of a plain folder = %v, %v", ok, err)
	}
	want := fs.NewDriveID()
	e := newEnv(t, local.Options{Root: root, ID: want})
	if e.d.ID() != want {
		t.Errorf("ID() = %v, want %v", e.d.ID(), want)
	}
	if got, ok, err := local.ReadID(root); got != want || !ok || err != nil {
		t.Errorf("ReadID() = %v, %v, %v, want %v", got, ok, err, want)
	}
	e.stop()
	_, err := local.Open(t.Context(), local.Options{Root: root, ID: fs.NewDriveID()})
	e.kind("Open with another id", err, fs.Conflict)
	e.o.ID = fs.DriveID{}
	e.start()
	if e.d.ID() != want {
		t.Errorf("ID() without an expectation = %v, want %v", e.d.ID(), want)
	}
	if got := e.names(e.d.Root()); len(got) > 0 {
		t.Errorf("names = %q, want none", got)
	}
}

func TestStateIsLocked(t *testing.T) {
	state := t.TempDir()
	e := newEnv(t, local.Options{StateDir: state})
	_, err := local.Open(t.Context(), local.Options{Root: t.TempDir(), StateDir: state})
	e.kind("Open with a state in use", err, fs.Busy)
	e.stop()
	e.must("WriteFile", os.WriteFile(filepath.Join(state, "VERSION"), []byte("99\n"), 0o600))
	_, err = local.Open(t.Context(), e.o)
	e.kind("Open with a newer state", err, fs.Unsupported)
}

func TestSeqSurvives(t *testing.T) {
	state := t.TempDir()
	e := newEnv(t, local.Options{StateDir: state})
	e.replace("f", "1", fs.ReplaceOptions{})
	first := e.feed.all()[0]
	e.stop()
	e.start()
	e.replace("f", "2", fs.ReplaceOptions{})
	second := e.feed.all()[0]
	if second.Epoch != first.Epoch || second.Seq <= first.Seq {
		t.Errorf("after a restart epoch %x, seq %d, want epoch %x and more than %d", second.Epoch, second.Seq, first.Epoch, first.Seq)
	}
	e.stop()
	e.must("WriteFile", os.WriteFile(filepath.Join(state, "seq"), []byte("damaged"), 0o600))
	e.start()
	e.replace("f", "3", fs.ReplaceOptions{})
	if third := e.feed.all()[0]; third.Epoch == first.Epoch {
		t.Errorf("after the loss of the state the epoch is still %x", third.Epoch)
	}
}

func TestReadOnly(t *testing.T) {
	e := newEnv(t, local.Options{ReadOnly: true})
	e.write("f", "x")
	root := e.d.Root()
	_, _, err := root.Create(e.ctx, "g", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
	e.kind("Create", err, fs.ReadOnly)
	_, err = root.Mkdir(e.ctx, "d", fs.CreateOptions{Mode: 0o755})
	e.kind("Mkdir", err, fs.ReadOnly)
	e.kind("Remove", root.Remove(e.ctx, "f", false), fs.ReadOnly)
	e.kind("Rename", root.Rename(e.ctx, "f", root, "g", 0), fs.ReadOnly)
	_, err = e.d.Replace(e.ctx, "f", strings.NewReader("y"), fs.ReplaceOptions{})
	e.kind("Replace", err, fs.ReadOnly)
	_, err = e.d.Copy(e.ctx, "f", "g")
	e.kind("Copy", err, fs.ReadOnly)
	n := e.node("f")
	for _, flags := range []fs.OpenFlags{fs.OpenWrite, fs.OpenReadWrite, fs.OpenRead | fs.OpenTruncate} {
		_, err = n.Open(e.ctx, flags)
		e.kind("Open", err, fs.ReadOnly)
	}
	size := int64(0)
	_, err = n.SetAttr(e.ctx, fs.SetAttr{Size: &size})
	e.kind("SetAttr", err, fs.ReadOnly)
	e.kind("SetXattr", n.(fs.Xattrer).SetXattr(e.ctx, "user.x", nil, false, false), fs.ReadOnly)
	_, err = e.d.Reserved().Put(e.ctx, "a", nil, fs.Cond{})
	e.kind("Put", err, fs.ReadOnly)
	if first, second := e.id(n), e.id(n); first != second {
		t.Error("FileID() is not always the same")
	}
	entries, err := os.ReadDir(e.dir)
	if err != nil || len(entries) != 1 {
		t.Errorf("the folder has %v, %v, want f alone", entries, err)
	}
}
