package fs_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestEveryKindHasARow(t *testing.T) {
	for _, k := range fs.Kinds() {
		err := &fs.Error{Op: "op", Path: "p", Kind: k}
		if k.String() == "" {
			t.Errorf("kind %d has no name", k)
		}
		if no := fs.Errno(err); no == 0 && k != fs.Range {
			t.Errorf("%v has no errno", k)
		}
		if s := fs.Status(err); s < 400 || s > 599 {
			t.Errorf("%v has HTTP status %d", k, s)
		}
		if got := fs.KindOf(fmt.Errorf("wrapped: %w", err)); got != k {
			t.Errorf("KindOf(wrapped %v) = %v", k, got)
		}
	}
}

func TestErrno(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		want syscall.Errno
	}{
		{"nil", nil, 0},
		{"by kind", &fs.Error{Kind: fs.NotEmpty}, syscall.ENOTEMPTY},
		{"more exact cause", &fs.Error{Kind: fs.Invalid, Err: syscall.ELOOP}, syscall.ELOOP},
		{"cause of another kind", &fs.Error{Kind: fs.NotExist, Err: syscall.EACCES}, syscall.ENOENT},
		{"bare errno", syscall.ETXTBSY, syscall.ETXTBSY},
		{"of package os", &os.PathError{Op: "open", Path: "x", Err: syscall.EACCES}, syscall.EACCES},
		{"unknown errno", syscall.ENOTTY, syscall.EIO},
		{"context", context.Canceled, syscall.EINTR},
		{"anything", errors.New("x"), syscall.EIO},
	} {
		if got := fs.Errno(tt.err); got != tt.want {
			t.Errorf("%s: Errno(%v) = %v, want %v", tt.name, tt.err, got, tt.want)
		}
	}
}

func TestWrap(t *testing.T) {
	if fs.Wrap("open", "a", nil) != nil {
		t.Error("Wrap(nil) is an error")
	}
	err := fs.Wrap("open", "a/b", &os.PathError{Op: "openat", Path: "/srv/secret", Err: syscall.ENOENT})
	if got, want := err.Error(), "open a/b: no such file or directory"; got != want {
		t.Errorf("Wrap = %q, want %q", got, want)
	}
	if !errors.Is(err, os.ErrNotExist) || fs.Status(err) != http.StatusNotFound {
		t.Errorf("the kind was lost: %v", fs.KindOf(err))
	}
	if again := fs.Wrap("save", "x", err); again.Error() != err.Error() {
		t.Errorf("an error that names its object was wrapped again: %v", again)
	}
	hinted := fs.Wrap("save", "x", &fs.Error{Kind: fs.Quota, Hint: "make room"})
	twice := &fs.Error{Op: "put", Path: "x", Kind: fs.UnknownOutcome, Err: &fs.Error{Op: "put", Path: "x", Kind: fs.Timeout}, Hint: "again"}
	if got, want := twice.Error(), "put x: "+fs.Timeout.String()+" (again)"; got != want {
		t.Errorf("an error of an error of the same operation = %q, want %q", got, want)
	}
	if got, want := hinted.Error(), "save x: quota exceeded (make room)"; got != want {
		t.Errorf("Wrap = %q, want %q", got, want)
	}
}

func TestParsePath(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want fs.Path
		kind fs.Kind
	}{
		{in: "", want: ""}, {in: "/", want: ""}, {in: "a", want: "a"}, {in: "/a/b/", want: "a/b"},
		{in: "a/ b\\c", want: "a/ b\\c"}, {in: "...", want: "..."},
		{in: "a//b", kind: fs.Name}, {in: "a/../b", kind: fs.Name}, {in: "..", kind: fs.Name}, {in: "a/.", kind: fs.Name},
		{in: "a\x00b", kind: fs.Name}, {in: strings.Repeat("x", 256), kind: fs.NameTooLong},
	} {
		got, err := fs.ParsePath(tt.in)
		if tt.kind != 0 {
			if err == nil || fs.KindOf(err) != tt.kind {
				t.Errorf("ParsePath(%q) = %q, %v; want kind %v", tt.in, got, err, tt.kind)
			}
		} else if err != nil || got != tt.want {
			t.Errorf("ParsePath(%q) = %q, %v; want %q", tt.in, got, err, tt.want)
		}
	}
}

func TestPathParts(t *testing.T) {
	p := fs.Path("home/dir/file.txt")
	if p.Drive() != "home" || p.Rel() != "dir/file.txt" || p.Dir() != "home/dir" || p.Base() != "file.txt" {
		t.Errorf("parts of %q: %q %q %q %q", p, p.Drive(), p.Rel(), p.Dir(), p.Base())
	}
	if fs.Path("").Join("a").Join("b") != "a/b" || fs.Path("a").Dir() != "" || fs.Path("a").Rel() != "" {
		t.Error("the root's parts are wrong")
	}
	if !p.Within("home") || !p.Within("") || !p.Within(p) || fs.Path("homes/x").Within("home") {
		t.Error("Within takes names for prefixes of names")
	}
}

func FuzzParsePath(f *testing.F) {
	f.Add("a/b")
	f.Add("../..//x\x00")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := fs.ParsePath(s)
		if err != nil {
			return
		}
		if again, err := fs.ParsePath(string(p)); again != p || err != nil {
			t.Errorf("ParsePath(%q) = %q is not clean: %q, %v", s, p, again, err)
		}
		var back fs.Path
		for name := range strings.SplitSeq(string(p), "/") {
			if p == "" {
				break
			}
			if fs.CheckName(name) != nil {
				t.Errorf("ParsePath(%q) holds the name %q", s, name)
			}
			back = back.Join(name)
		}
		if back != p {
			t.Errorf("joining the parts of %q gives %q", p, back)
		}
	})
}

func TestConflictName(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range []struct {
		name, who string
		n         int
		want      string
	}{
		{"plan.ipynb", "ada", 0, "plan (conflict ada 2026-01-02T030405Z).ipynb"},
		{"plan.ipynb", "ada", 1, "plan (conflict ada 2026-01-02T030405Z 2).ipynb"},
		{".hidden", "ada", 0, ".hidden (conflict ada 2026-01-02T030405Z)"},
		{"Makefile", "a/b\n", 0, "Makefile (conflict a-b- 2026-01-02T030405Z)"},
	} {
		if got := fs.ConflictName(tt.name, tt.who, at, tt.n); got != tt.want {
			t.Errorf("ConflictName(%q, %q) = %q, want %q", tt.name, tt.who, got, tt.want)
		}
		if got := fs.PartialName(tt.name, tt.who, at, tt.n); got != tt.want+".partial" {
			t.Errorf("PartialName(%q, %q) = %q, want %q", tt.name, tt.who, got, tt.want+".partial")
		}
	}
}

func FuzzConflictName(f *testing.F) {
	f.Add("a.txt", "ada")
	f.Add(strings.Repeat("é", 127)+".ipynb", strings.Repeat("ö", 200))
	f.Fuzz(func(t *testing.T, name, who string) {
		if fs.CheckName(name) != nil {
			return
		}
		for _, got := range []string{
			fs.ConflictName(name, who, time.Unix(0, 0), 12), fs.PartialName(name, who, time.Unix(0, 0), 12),
		} {
			if err := fs.CheckName(got); err != nil {
				t.Errorf("the name of %q of %q is %q: %v", name, who, got, err)
			}
			if utf8.ValidString(name) && utf8.ValidString(who) && !utf8.ValidString(got) {
				t.Errorf("the name of %q of %q is %q, which cuts a character", name, who, got)
			}
		}
	})
}

func TestInoIsSpread(t *testing.T) {
	drive := fs.NewDriveID()
	seen := map[uint64]bool{0: true, 1: true}
	for i := range uint64(100000) {
		ino := fs.Ino(drive, 1, i)
		if seen[ino] {
			t.Fatalf("Ino(1, %d) = %d again", i, ino)
		}
		seen[ino] = true
	}
	if one, again := fs.Ino(drive, 1, 2), fs.Ino(drive, 1, 2); one != again || one == fs.Ino(fs.NewDriveID(), 1, 2) {
		t.Error("Ino does not depend on exactly drive and parts")
	}
}

func TestIDs(t *testing.T) {
	id := fs.NewFileID()
	if back, err := fs.ParseFileID(id.String()); back != id || err != nil {
		t.Errorf("ParseFileID(%q) = %v, %v", id.String(), back, err)
	}
	for _, bad := range []string{"", "xyz", id.String() + "00", strings.Repeat("g", 32)} {
		if _, err := fs.ParseFileID(bad); err == nil {
			t.Errorf("ParseFileID(%q) succeeded", bad)
		}
	}
}

// coat is a decorator of a Backend.
type coat struct{ fs.Backend }

func (c coat) Unwrap() fs.Backend { return c.Backend }

type quoter struct{ fs.Backend }

func (quoter) Quota(context.Context) (fs.Statfs, error) { return fs.Statfs{Files: 7}, nil }

func TestAsLooksThroughDecorators(t *testing.T) {
	var b fs.Backend = coat{coat{quoter{}}}
	q, ok := fs.As[fs.Quoter](b)
	if !ok {
		t.Fatal("As found no Quoter")
	}
	if s, err := q.Quota(t.Context()); s.Files != 7 || err != nil {
		t.Errorf("Quota = %+v, %v", s, err)
	}
	if _, ok := fs.As[fs.Signer](b); ok {
		t.Error("As found a Signer where there is none")
	}
}

// gappy is a listing in which every second entry has gone meanwhile.
type gappy int

func (g gappy) At(_ context.Context, i int) (fs.Entry, error) {
	switch {
	case i >= int(g):
		return fs.Entry{}, io.EOF
	case i%2 == 1:
		return fs.Entry{}, &fs.Error{Kind: fs.NotExist}
	}
	return fs.Entry{Name: fmt.Sprint(i)}, nil
}

func (gappy) Close() error { return nil }

func TestEntriesLeaveOutWhatHasGone(t *testing.T) {
	var got []string
	for e, err := range fs.Entries(t.Context(), gappy(5)) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.Name)
	}
	if want := "[0 2 4]"; fmt.Sprint(got) != want {
		t.Errorf("Entries = %v, want %s", got, want)
	}
}
