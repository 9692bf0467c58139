package local

import (
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func FuzzParseStoredID(f *testing.F) {
	f.Add(formatID(fs.NewFileID(), ident{dev: 1, ino: 2, btime: 3}))
	f.Add("1 0123456789abcdef0123456789abcdef 0 1 ffffffffffffffff")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		id, who, ok := parseStoredID(s)
		if !ok {
			return
		}
		if again, sameWho, ok := parseStoredID(formatID(id, who)); !ok || again != id || sameWho != who || id.IsZero() {
			t.Errorf("parseStoredID(%q) = %v, %v; written and read again %v, %v, %v", s, id, who, again, sameWho, ok)
		}
	})
}

func FuzzParseSeq(f *testing.F) {
	f.Add(formatSeq(1, 2))
	f.Add([]byte("1 2 4\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		epoch, reserved, ok := parseSeq(b)
		if !ok {
			return
		}
		if e, r, ok := parseSeq(formatSeq(epoch, reserved)); !ok || e != epoch || r != reserved {
			t.Errorf("parseSeq(%q) = %d, %d; written and read again %d, %d, %v", b, epoch, reserved, e, r, ok)
		}
	})
}

func FuzzParseID(f *testing.F) {
	f.Add([]byte(`{"version":1,"id":"0123456789abcdef0123456789abcdef"}`))
	f.Add([]byte(`{"version":2}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if id, err := parseID(b); err == nil && id == (fs.DriveID{}) {
			t.Errorf("parseID(%q) = a zero id", b)
		}
	})
}

func FuzzParseHistory(f *testing.F) {
	f.Add("0 1 2 3 4 5 6\n")
	f.Fuzz(func(t *testing.T, line string) {
		id, h, ok := parseHistory(line)
		if !ok {
			return
		}
		if again, same, ok := parseHistory(formatHistory(id, h)); !ok || again != id || same != h {
			t.Errorf("parseHistory(%q) = %v, %v; written and read again %v, %v, %v", line, id, h, again, same, ok)
		}
	})
}

// TestCoarseClock plays a file system whose ctime does not move between two writes.
func TestCoarseClock(t *testing.T) {
	var v versions
	d := &Drive{}
	n := &node{d: d}
	id := ident{ino: 1}
	told := func() fs.Version {
		h := v.get(id, 100, 5)
		if n.collides(h) {
			h.count++
			v.put(id, h)
		}
		return formatVersion(id, h)
	}
	first := told()
	if again := told(); again != first {
		t.Errorf("without a write the version went from %q to %q", first, again)
	}
	n.dirty.Store(true)
	second := told()
	if second == first {
		t.Errorf("after a write within one tick the version is still %q", first)
	}
	n.dirty.Store(true)
	if third := told(); third == second || third == first {
		t.Errorf("after two writes within one tick the version is %q again", third)
	}
}

func TestIsTemp(t *testing.T) {
	for name, want := range map[string]bool{
		".~jd-0123456789abcdef": true, ".~jd-0123456789abcde": false, ".~jd-0123456789abcdefa": false, ".~jd-0123456789abcdeg": false,
		"": false, ".~a.ipynb": false,
	} {
		if got := isTemp(name); got != want {
			t.Errorf("isTemp(%q) = %v, want %v", name, got, want)
		}
	}
}
