package drive

import (
	"bytes"
	"context"
	"fmt"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs/journal"
)

// TestRenameOfALargeFolder moves a folder whose files do not fit into one record of the journal.
func TestRenameOfALargeFolder(t *testing.T) {
	files := 80_000
	if full() {
		files = 300_000
	}
	o := Options{
		Backend: mem.NewGenerated(mem.GeneratedOptions{Dirs: 1, Files: 1, Big: files}), State: memoryDir(t), SegmentSize: 32 << 20,
		Uploads: -1, // the store takes nothing
	}
	d := open(t, o)
	n, err := d.root.child(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	if err := n.(*dir).fresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	before := d.journal.Size()
	if err := d.root.Rename(t.Context(), "big", d.root, "moved", 0); err != nil {
		t.Fatalf("Rename() of a folder with %d files = %v", files, err)
	}
	if grown := d.journal.Size() - before; grown <= recordSize {
		t.Errorf("the journal has grown by %d bytes: the test misses its case", grown)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	d = open(t, o)
	defer func() {
		if err := d.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	d.mu.RLock()
	defer d.mu.RUnlock()
	moved, ok := d.lookup("moved").(*dir)
	if !ok || len(moved.children) != files || d.lookup("big") != nil {
		t.Fatalf("after a restart: moved %v, big %v, want %d files in the first", ok, d.lookup("big"), files)
	}
	f, ok := d.lookup(fmt.Sprintf("moved/f%06d.txt", files-1)).(*file)
	if want := fmt.Sprintf("big/f%06d.txt", files-1); !ok || f.baseAt().key != want {
		t.Errorf("the last file is read from %q, want %q", f.baseAt().key, want)
	}
}

// TestPartsOfARecord cuts off what was to be done together.
func TestPartsOfARecord(t *testing.T) {
	d := &Drive{}
	large := func(first byte) []byte { return append([]byte{first}, bytes.Repeat([]byte{'x'}, 2*recordSize)...) }
	one, two := large('1'), large('2')
	records := func(payload []byte) (all [][]byte) {
		for _, e := range d.inRecords(payload) {
			if len(e.Payload) > journal.MaxPayload {
				t.Errorf("a record has %d bytes", len(e.Payload))
			}
			all = append(all, e.Payload)
		}
		return all
	}
	a, b, small := records(one), records(two), []byte("small")
	if len(a) != 3 {
		t.Fatalf("%d records, want 3", len(a))
	}
	for _, c := range []struct {
		name    string
		records [][]byte
		want    [][]byte
	}{
		{"whole", a, [][]byte{one}},
		{"two after each other", append(append([][]byte{}, a...), b...), [][]byte{one, two}},
		{"cut off", a[:2], nil},
		{"cut off, then another", [][]byte{a[0], a[1], small}, [][]byte{small}},
		{"cut off, then another in parts", append([][]byte{a[0], a[1]}, b...), [][]byte{two}},
		{"cut off, then another of one part fewer", append([][]byte{a[0]}, b...), [][]byte{two}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var p partial
			var got [][]byte
			for _, r := range c.records {
				if payload := p.join(r); payload != nil {
					got = append(got, payload)
				}
			}
			if len(got) != len(c.want) {
				t.Fatalf("%d records count, want %d", len(got), len(c.want))
			}
			for i := range got {
				if !bytes.Equal(got[i], c.want[i]) {
					t.Errorf("record %d has %d bytes and begins with %q, want %d, %q", i, len(got[i]), got[i][:1], len(c.want[i]), c.want[i][:1])
				}
			}
		})
	}
}
