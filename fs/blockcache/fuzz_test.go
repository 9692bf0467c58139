package blockcache

import (
	"os"
	"testing"
)

// FuzzMap opens contents with any bytes as their map: nothing is served but what was written.
func FuzzMap(f *testing.F) {
	const size = 3*Unit + 7
	k := key("a")
	whole, err := encodeHead(k, size)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(append(whole, 1, 2, 3, 4, 1, 0, 0, 0))
	f.Add([]byte(magic))
	contents := pattern(1, 0, size)
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		c := mustOpen(t, dir, 64<<20)
		w := mustFile(t, c, k, size)
		if err := w.WriteAt(contents, 0); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.mapPath(w.entry.id), b, 0o600); err != nil {
			t.Fatal(err)
		}
		r := mustFile(t, mustOpen(t, dir, 64<<20), k, size)
		for u := range units(size) {
			p := make([]byte, Unit)
			n, ok, err := r.ReadAt(p, u*Unit)
			if err != nil || (ok && string(p[:n]) != string(contents[u*Unit:][:n])) {
				t.Fatalf("unit %d: %d bytes, %v", u, n, err)
			}
		}
		if err := r.WriteAt(contents, 0); err != nil || !r.Complete() {
			t.Fatalf("cannot be filled again: %v", err)
		}
		wantRead(t, r, 1, 0, size, true)
	})
}
