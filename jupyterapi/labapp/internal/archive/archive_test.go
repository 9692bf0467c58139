package archive

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/klauspost/compress/zstd"
)

var sample = []File{
	{"b/c/deep.js", []byte(strings.Repeat("let x = 1;\n", 5000))},
	{"a.txt", []byte("alpha")},
	{"b/empty", nil},
	{"b.js", []byte("between b and b/")},
	{"b/z.css", []byte("body{}")},
	{"long/" + strings.Repeat("n", 150) + ".txt", []byte("a name that needs a PAX header")},
}

func pack(tb testing.TB, key string, files []File) []byte {
	tb.Helper()
	var buf bytes.Buffer
	if err := Write(&buf, key, files); err != nil {
		tb.Fatalf("Write: %v", err)
	}
	return buf.Bytes()
}

func open(tb testing.TB, data []byte) *FS {
	tb.Helper()
	tree, err := Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		tb.Fatalf("Open: %v", err)
	}
	return tree
}

func TestTreeIsAFileSystem(t *testing.T) {
	tree := open(t, pack(t, "k", sample))
	if tree.Key() != "k" || tree.Len() != len(sample) {
		t.Errorf("Key, Len = %q, %d, want \"k\", %d", tree.Key(), tree.Len(), len(sample))
	}
	var names []string
	for _, f := range sample {
		names = append(names, f.Name)
		got, err := fs.ReadFile(tree, f.Name)
		if err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("ReadFile(%q) = %d bytes, %v, want %d bytes", f.Name, len(got), err, len(f.Data))
		}
	}
	if err := fstest.TestFS(tree, names...); err != nil {
		t.Error(err)
	}
}

func TestFrameIsZstdOfTheContent(t *testing.T) {
	tree := open(t, pack(t, "", sample))
	dec, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	for _, f := range sample {
		frame, ok := tree.Frame(f.Name)
		if !ok {
			t.Fatalf("Frame(%q) is missing", f.Name)
		}
		packed, err := io.ReadAll(frame)
		if err != nil {
			t.Fatal(err)
		}
		got, err := dec.DecodeAll(packed, nil)
		if err != nil || !bytes.Equal(got, f.Data) {
			t.Errorf("Frame(%q) decodes to %d bytes, %v, want %d bytes", f.Name, len(got), err, len(f.Data))
		}
	}
	if _, ok := tree.Frame("b"); ok {
		t.Error("Frame of a folder reports true")
	}
}

func TestArchiveIsATarStream(t *testing.T) {
	dec, err := zstd.NewReader(bytes.NewReader(pack(t, "", sample)))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	want := map[string][]byte{}
	for _, f := range sample {
		want[f.Name] = f.Data
	}
	for r := tar.NewReader(dec); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, want[h.Name]) {
			t.Errorf("tar member %q = %d bytes, %v, want %d bytes", h.Name, len(got), err, len(want[h.Name]))
		}
		delete(want, h.Name)
	}
	if len(want) > 0 {
		t.Errorf("tar stream lacks %d members", len(want))
	}
}

func TestWriteIsReproducible(t *testing.T) {
	a := pack(t, "k", sample)
	reversed := make([]File, len(sample))
	for i, f := range sample {
		reversed[len(sample)-1-i] = f
	}
	if b := pack(t, "k", reversed); !bytes.Equal(a, b) {
		t.Error("Write gives other bytes for the same files in another order")
	}
}

func TestWriteRefuses(t *testing.T) {
	for name, files := range map[string][]File{
		"escape":    {{"../x", nil}},
		"absolute":  {{"/x", nil}},
		"root":      {{".", nil}},
		"duplicate": {{"x", nil}, {"x", nil}},
		"too large": {{"x", make([]byte, MaxFileSize+1)}},
	} {
		t.Run(name, func(t *testing.T) {
			if err := Write(io.Discard, "", files); err == nil {
				t.Error("Write = nil, want an error")
			}
		})
	}
}

func TestOpenRefusesDamage(t *testing.T) {
	good := pack(t, "", sample)
	for name, data := range map[string][]byte{
		"empty":     nil,
		"short":     []byte("jdx1"),
		"no magic":  good[:len(good)-1],
		"no index":  append(bytes.Repeat([]byte{0}, 4), indexMagic...),
		"beyond":    append([]byte{0xff, 0xff, 0, 0}, indexMagic...),
		"bad index": append(bytes.Repeat([]byte{7}, 7), append([]byte{7, 0, 0, 0}, indexMagic...)...),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Open(bytes.NewReader(data), int64(len(data))); !errors.Is(err, ErrFormat) {
				t.Errorf("Open = %v, want ErrFormat", err)
			}
		})
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(pack(f, "k", sample))
	f.Add(pack(f, "", nil))
	f.Fuzz(func(t *testing.T, data []byte) {
		tree, err := Open(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			return
		}
		for _, e := range tree.index.Files {
			file, err := tree.Open(e.Name)
			if err != nil {
				continue // a file name may also be a folder's; no promise but to stay calm
			}
			n, err := io.Copy(io.Discard, file)
			if err == nil && n != e.Size {
				t.Errorf("read of %q = %d bytes, want %d or an error", e.Name, n, e.Size)
			}
			_ = file.Close() // reading ended; nothing is kept
		}
	})
}
