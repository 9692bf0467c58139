package mem

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

func TestDrive(t *testing.T) {
	drivetest.Run(t, func(*testing.T) fs.Drive { return New(Options{}) }, drivetest.Options{
		Absent: map[drivetest.Feature]string{drivetest.HardLinks: "a node has one name"},
	})
}

func TestFSX(t *testing.T) {
	drivetest.FSX(t, func(t *testing.T) (drivetest.File, error) {
		return drivetest.NewDriveFile(t.Context(), New(Options{}).Root(), "f")
	}, drivetest.FSXOptions{})
}

func replace(d *Drive, name string, size int) error {
	_, err := d.Replace(context.Background(), name, strings.NewReader(strings.Repeat("x", size)), fs.ReplaceOptions{})
	return err
}

func wantKind(t *testing.T, op string, err error, want fs.Kind) {
	t.Helper()
	if err == nil || fs.KindOf(err) != want {
		t.Errorf("%s = %v, want kind %q", op, err, want)
	}
}

func free(t *testing.T, d *Drive) uint64 {
	t.Helper()
	st, err := d.Statfs(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st.Free
}

func TestSizeIsLimited(t *testing.T) {
	d := New(Options{Size: 10 * chunkSize})
	for i := range 100 { // what is replaced or removed gives its room back
		if err := replace(d, "f", 4*chunkSize+i); err != nil {
			t.Fatalf("Replace %d: %v", i, err)
		}
	}
	wantKind(t, "Replace over the limit", replace(d, "g", 6*chunkSize), fs.NoSpace)
	if got := free(t, d); got != 5 {
		t.Errorf("Statfs().Free = %d, want 5", got)
	}
	n, err := d.Root().Lookup(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	h, err := n.Open(t.Context(), fs.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.WriteAt(t.Context(), make([]byte, 6*chunkSize), 5*chunkSize)
	wantKind(t, "WriteAt over the limit", err, fs.NoSpace)
	if err := d.Root().Remove(t.Context(), "f", false); err != nil {
		t.Fatal(err)
	}
	if got := free(t, d); got != 5 {
		t.Errorf("Statfs().Free = %d with an unlinked open file, want 5", got)
	}
	if err := h.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := free(t, d); got != 10 {
		t.Errorf("Statfs().Free = %d at the end, want 10", got)
	}
}

func TestFileSizeIsLimited(t *testing.T) {
	d := New(Options{MaxFileSize: 100})
	wantKind(t, "Replace", replace(d, "f", 101), fs.TooLarge)
	if err := replace(d, "f", 100); err != nil {
		t.Fatal(err)
	}
	n, err := d.Root().Lookup(t.Context(), "f")
	if err != nil {
		t.Fatal(err)
	}
	size := int64(101)
	_, err = n.SetAttr(t.Context(), fs.SetAttr{Size: &size})
	wantKind(t, "SetAttr", err, fs.TooLarge)
}

func TestReadOnly(t *testing.T) {
	d := New(Options{ReadOnly: true})
	wantKind(t, "Replace", replace(d, "f", 1), fs.ReadOnly)
	_, err := d.Root().Mkdir(t.Context(), "d", fs.CreateOptions{})
	wantKind(t, "Mkdir", err, fs.ReadOnly)
}

func TestIntercept(t *testing.T) {
	broken := errors.New("the cable is cut")
	var ops []string
	d := New(Options{Intercept: func(_ context.Context, op, path string) error {
		ops = append(ops, op+" "+path)
		if path == "bad" {
			return broken
		}
		return nil
	}})
	if err := replace(d, "good", 1); err != nil {
		t.Error(err)
	}
	if err := replace(d, "bad", 1); !errors.Is(err, broken) || fs.KindOf(err) != fs.Internal {
		t.Errorf("Replace() = %v, want the injected error", err)
	}
	_, err := d.Root().Lookup(t.Context(), "bad")
	if !errors.Is(err, broken) {
		t.Errorf("Lookup() = %v, want the injected error", err)
	}
	if got, want := strings.Join(ops, ", "), "replace good, replace bad, lookup bad"; got != want {
		t.Errorf("intercepted %q, want %q", got, want)
	}
}

// An observer may ask where a node is while it is told of a change.
func TestSinkMayAskForPaths(t *testing.T) {
	d := New(Options{})
	var got []string
	d.Publish(func(c fs.Change) {
		p, _ := c.Node.Path()
		got = append(got, p)
	})
	if err := replace(d, "f", 1); err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0] != "f" {
		t.Errorf("paths in the sink = %q, want f", got)
	}
}
