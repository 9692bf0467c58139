package journal

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// sample makes a journal of one segment with n records and returns the segment's bytes up to the last record.
func sample(t *testing.T, n int, synced bool) []byte {
	t.Helper()
	dir := memoryDir(t)
	j, _ := mustOpen(t, dir, testOptions())
	for i := range n {
		mustAppend(t, j, note(i))
		if synced {
			if err := j.Sync(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
	b, err := os.ReadFile(filepath.Join(dir, segmentName(1)))
	if err != nil {
		t.Fatal(err)
	}
	return b[:j.Size()]
}

// memoryDir returns a directory that is quick to sync, where there is one.
func memoryDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "journal") //nolint:usetesting // t.TempDir knows no other file system
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// openBytes opens a journal whose last segment holds b.
func openBytes(t *testing.T, b []byte) (*Journal, []string, error) {
	t.Helper()
	dir := memoryDir(t)
	if err := os.WriteFile(filepath.Join(dir, segmentName(1)), b, 0o600); err != nil {
		t.Fatal(err)
	}
	return reopen(t, dir, testOptions())
}

// ends returns where each record ends.
func ends(t *testing.T, b []byte) []int {
	t.Helper()
	var all []int
	r := bytes.NewReader(b)
	for {
		f, _, err := readFrame(r, nil)
		if err != nil {
			return all
		}
		if f.Type != internal {
			all = append(all, len(b)-r.Len())
		}
	}
}

// TestCutAtEveryByte cuts the last segment at each byte: all records before the cut are there, and it can be written to again.
func TestCutAtEveryByte(t *testing.T) {
	whole := sample(t, 6, false)
	marks := ends(t, whole)
	for n := headFrame; n <= len(whole); n++ {
		for _, padded := range []bool{false, true} {
			b := bytes.Clone(whole[:n])
			if padded { // as a crash leaves it: the space was taken before
				b = append(b, make([]byte, 4<<10)...)
			}
			j, got, err := openBytes(t, b)
			if err != nil {
				t.Fatalf("cut at %d: %v", n, err)
			}
			want := 0
			for _, m := range marks {
				if m <= n {
					want++
				}
			}
			wantNotes(t, got, 0, want)
			mustAppend(t, j, note(want))
			_, got = mustOpen(t, j.dir, testOptions())
			wantNotes(t, got, 0, want+1)
		}
	}
}

func TestHeadCut(t *testing.T) {
	whole := sample(t, 1, false)
	for n := range headFrame {
		if _, _, err := openBytes(t, whole[:n]); fs.KindOf(err) != fs.Checksum {
			t.Errorf("cut at %d: %v", n, err)
		}
	}
}

// TestFlippedBits flips each bit of the last segment: what is replayed is always the beginning of what was written.
func TestFlippedBits(t *testing.T) {
	for name, synced := range map[string]bool{"never synced": false, "synced": true} {
		t.Run(name, func(t *testing.T) {
			whole := sample(t, 3, synced)
			marks := ends(t, whole)
			refused := 0
			for bit := range 8 * len(whole) {
				b := bytes.Clone(whole)
				b[bit/8] ^= 1 << (bit % 8)
				_, got, err := openBytes(t, append(b, make([]byte, 512)...))
				if err != nil {
					if fs.KindOf(err) != fs.Checksum {
						t.Fatalf("bit %d: %v", bit, err)
					}
					refused++
					continue
				}
				before := 0
				for _, m := range marks {
					if m <= bit/8 {
						before++
					}
				}
				// A damaged marker costs a record after it, never one before it.
				if len(got) < before {
					t.Fatalf("bit %d of byte %d: %d records, want %d", bit%8, bit/8, len(got), before)
				}
				wantNotes(t, got, 0, len(got))
			}
			if synced && refused < 8*marks[1] {
				t.Errorf("%d of %d flips of durable bits were refused", refused, 8*marks[1])
			}
		})
	}
}

// TestDamageElsewhere damages, shortens and removes segments that are not the last.
func TestDamageElsewhere(t *testing.T) {
	damages := map[string]func(path string, b []byte) error{
		"flipped": func(path string, b []byte) error {
			b[len(b)/2] ^= 4
			return os.WriteFile(path, b, 0o600)
		},
		"cut":     func(path string, b []byte) error { return os.Truncate(path, int64(len(b)/2)) },
		"emptied": func(path string, _ []byte) error { return os.Truncate(path, 0) },
		"removed": func(path string, _ []byte) error { return os.Remove(path) },
		"zeroed": func(path string, b []byte) error {
			return os.WriteFile(path, append(b[:len(b)-200], make([]byte, 200)...), 0o600)
		},
	}
	for name, damage := range damages {
		for number := uint64(1); number <= 2; number++ {
			t.Run(name, func(t *testing.T) {
				dir := memoryDir(t)
				j, _ := mustOpen(t, dir, testOptions())
				for i := range 500 {
					mustAppend(t, j, note(i))
				}
				path := filepath.Join(dir, segmentName(number))
				b, err := os.ReadFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if err := damage(path, b); err != nil {
					t.Fatal(err)
				}
				if _, _, err := reopen(t, dir, testOptions()); fs.KindOf(err) != fs.Checksum {
					t.Errorf("segment %d: %v", number, err)
				}
			})
		}
	}
}

// TestTornEndCannotComeBack writes a record over a torn one that a whole one follows: the latter must not be taken for its successor.
func TestTornEndCannotComeBack(t *testing.T) {
	whole := sample(t, 3, false)
	marks := ends(t, whole)
	b := bytes.Clone(whole)
	b[marks[0]+headerSize] ^= 1 // the second of three
	j, got, err := openBytes(t, b)
	if err != nil {
		t.Fatal(err)
	}
	wantNotes(t, got, 0, 1)
	mustAppend(t, j, note(1))
	_, got = mustOpen(t, j.dir, testOptions())
	wantNotes(t, got, 0, 2)
	torn, err := os.ReadFile(filepath.Join(j.dir, segmentName(1)+tornSuffix))
	if err != nil || !bytes.Equal(torn, b[marks[0]:]) {
		t.Errorf("what was cut off is not kept: %d bytes, %v", len(torn), err)
	}
}

func FuzzFrame(f *testing.F) {
	f.Add(appendFrame(nil, 1, note(3)))
	f.Add(marker(head(kindPlain, 7, 99), 7))
	f.Add(make([]byte, 40))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		var again []byte
		for {
			fr, _, err := readFrame(r, nil)
			if err != nil {
				break
			}
			if fr.version != version {
				return // not one that can be written again
			}
			again = appendFrame(again, fr.Seq, Entry{Type: fr.Type, Payload: fr.Payload})
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatalf("read as %x, which is not how %x begins", again, b)
		}
	})
}

// FuzzOpen gives any bytes as the last segment: no panic, and what was opened opens again with the same records.
func FuzzOpen(f *testing.F) {
	b := head(kindCheckpoint, 0, headFrame)
	for i := range 4 {
		b = appendFrame(b, uint64(i+1), note(i))
	}
	f.Add(b)
	f.Add(marker(b, 4))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := memoryDir(t)
		if err := os.WriteFile(filepath.Join(dir, segmentName(1)), b, 0o600); err != nil {
			t.Fatal(err)
		}
		read := func() ([]byte, error) {
			var all []byte
			j, err := Open(dir, testOptions(), func(r Record) error {
				all = append(all, r.Payload...)
				return nil
			})
			if err != nil {
				return nil, err
			}
			return all, j.Close()
		}
		first, err := read()
		if err != nil {
			return
		}
		second, err := read()
		if err != nil || !bytes.Equal(first, second) {
			t.Fatalf("%q, then %q, %v", first, second, err)
		}
	})
}
