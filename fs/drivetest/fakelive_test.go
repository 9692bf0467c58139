package drivetest

import (
	"context"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestMerge(t *testing.T) {
	for _, c := range []struct{ name, base, ours, theirs, want string }{
		{"nothing", "a\nb\n", "a\nb\n", "a\nb\n", "a\nb\n"},
		{"ours", "a\nb\n", "a\nB\n", "a\nb\n", "a\nB\n"},
		{"theirs", "a\nb\n", "a\nb\n", "a\nb\nc\n", "a\nb\nc\n"},
		{"both, apart", "a\nb\nc\n", "A\nb\nc\n", "a\nb\nC\n", "A\nb\nC\n"},
		{"both, the same", "a\n", "b\n", "b\n", "b\n"},
		{"both, against each other", "a\nb\nc\n", "a\nX\nc\n", "a\nY\nc\n", "a\nX\nY\nc\n"},
		{"inserted on both sides", "a\nb\n", "a\nx\nb\n", "y\na\nb\n", "y\na\nx\nb\n"},
		{"removed and changed apart", "a\nb\nc\nd\n", "b\nc\nd\n", "a\nb\nc\nD\n", "b\nc\nD\n"},
		{"from nothing", "", "a\n", "", "a\n"},
		{"to nothing", "a\n", "a\n", "", ""},
	} {
		if got := merge(c.base, c.ours, c.theirs); got != c.want {
			t.Errorf("%s: merge(%q, %q, %q) = %q, want %q", c.name, c.base, c.ours, c.theirs, got, c.want)
		}
	}
}

func TestFakeLive(t *testing.T) {
	var saved []string
	l := NewFakeLive(func(ctx context.Context, p fs.Path, text []byte) (fs.Version, error) {
		if got := fs.CauseOf(ctx).Origin; got != fs.OriginRoom || p != "d/f.ipynb" {
			t.Errorf("saved %q by %q", p, got)
		}
		saved = append(saved, string(text))
		return fs.Version(text), nil
	})
	id := fs.NewFileID()
	l.Open(id, "d/f.ipynb", "[1,\n9,\n2]", "v0")
	l.Type(id, "[0,\n9,\n2]")
	if err := l.Flush(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if err := l.Flush(t.Context(), id); err != nil || len(saved) != 1 {
		t.Errorf("Flush() = %v after saving %q, want one save", err, saved)
	}
	err := l.Absorb(t.Context(), fs.Absorption{ID: id, Path: "d/f.ipynb", Base: "v0", Data: []byte("[1,\n9,\n3]")})
	if err != nil || l.Text(id) != "[0,\n9,\n3]" || len(saved) != 2 || saved[1] != "[0,\n9,\n3]" {
		t.Errorf("Absorb() = %v, text %q, saved %q", err, l.Text(id), saved)
	}
	err = l.Absorb(t.Context(), fs.Absorption{ID: id, Path: "d/f.ipynb", Base: "v0", Data: []byte("[1,")})
	if err == nil || fs.KindOf(err) != fs.Invalid || l.Text(id) != "[0,\n9,\n3]" {
		t.Errorf("Absorb of half a notebook = %v, text %q, want kind Invalid and no change", err, l.Text(id))
	}
	l.Removed(t.Context(), id, "d/f.ipynb")
	if calls, err := l.Wait(t.Context(), "Removed", 1); err != nil || calls[0].ID != id {
		t.Errorf("Wait() = %v, %v", calls, err)
	}
}
