package local_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func benchDrive(b *testing.B) *local.Drive {
	b.Helper()
	d, err := local.Open(b.Context(), local.Options{Root: b.TempDir(), StateDir: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = d.Close(b.Context()) })
	return d
}

func BenchmarkLookup(b *testing.B) {
	d := benchDrive(b)
	root := d.Root()
	n, h, err := root.Create(b.Context(), "f", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Release(b.Context()) //nolint:errcheck // nothing was written
	b.ReportAllocs()
	for b.Loop() {
		if got, err := root.Lookup(b.Context(), "f"); err != nil || got != n {
			b.Fatal(got, err)
		}
	}
}

func BenchmarkAttr(b *testing.B) {
	d := benchDrive(b)
	n, h, err := d.Root().Create(b.Context(), "f", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
	if err != nil {
		b.Fatal(err)
	}
	defer h.Release(b.Context()) //nolint:errcheck // nothing was written
	b.ReportAllocs()
	for b.Loop() {
		if _, err := n.Attr(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkList10000(b *testing.B) {
	d := benchDrive(b)
	for i := range 10_000 {
		_, h, err := d.Root().Create(b.Context(), fmt.Sprintf("file-%05d.ipynb", i), fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		l, err := d.Root().List(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		n := 0
		for _, err := range fs.Entries(b.Context(), l) {
			if err != nil {
				b.Fatal(err)
			}
			n++
		}
		if err := l.Close(); err != nil || n != 10_000 {
			b.Fatal(n, err)
		}
	}
}

func BenchmarkReplace100KB(b *testing.B) {
	d := benchDrive(b)
	text := bytes.Repeat([]byte("0123456789"), 10_000)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		copy(text, fmt.Sprint(i))
		if _, err := d.Replace(b.Context(), "f", bytes.NewReader(text), fs.ReplaceOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCreateRemove(b *testing.B) {
	d := benchDrive(b)
	b.ReportAllocs()
	for b.Loop() {
		_, h, err := d.Root().Create(b.Context(), "f", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
		if err != nil {
			b.Fatal(err)
		}
		if err := h.Release(b.Context()); err != nil {
			b.Fatal(err)
		}
		if err := d.Root().Remove(b.Context(), "f", false); err != nil {
			b.Fatal(err)
		}
	}
}
