package fusemount

import (
	"bytes"
	"context"
	"io"
	"os"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// bucketFile is a mounted bucket with one file that is whole in the cache, open in the mount.
type bucketFile struct {
	*fixture
	t       *testing.T
	backend *mem.Backend
	drive   *drive.Drive
	text    []byte
	reader  *os.File
}

// openCached opens a cached file of a bucket. Where direct is set the kernel must read it by itself.
func openCached(t *testing.T, direct bool) *bucketFile {
	t.Helper()
	b := &bucketFile{t: t, backend: mem.NewBackend(mem.BackendOptions{}), text: bytes.Repeat([]byte("0123456789abcdef"), 20_000)}
	b.backend.Inject("f", b.text, fs.WriteOptions{})
	b.drive = storeDrive(t, drive.Options{Backend: b.backend, ContentsTTL: time.Nanosecond})
	b.fixture = mount(t, setup{drives: map[string]fs.Drive{"home": keep{b.drive}}, opts: Options{NoPassthrough: !direct, CacheFor: time.Hour}})
	if direct && !b.passthrough.Load() {
		t.Skip("the kernel reads no file by itself here: that needs Linux 6.9 and CAP_SYS_ADMIN")
	}
	h, err := b.api.Open(t.Context(), "f", fs.OpenRead) // not through the mount, which closes files some time later
	if err != nil {
		t.Fatal(err)
	}
	got := make([]byte, len(b.text))
	if _, err := h.ReadAt(t.Context(), got, 0); err != nil || !bytes.Equal(got, b.text) {
		t.Fatalf("the file was read wrongly: %v", err)
	}
	if err := h.Release(t.Context()); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(b.path("f"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = f.Close() }) // it was only read
	b.reader = f
	if got := b.isPassedThrough(); got != direct {
		t.Fatalf("the kernel reads the file by itself: %v, want %v", got, direct)
	}
	return b
}

// node returns what the kernel knows as the file f.
func (b *bucketFile) node() *node {
	b.t.Helper()
	e, err := b.api.Stat(b.t.Context(), "f")
	if err != nil {
		b.t.Fatal(err)
	}
	return b.table.known(e.Node)
}

func (b *bucketFile) isPassedThrough() bool {
	n := b.node()
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.open) > 0 && n.passthrough
}

// read returns what the reader sees of the whole file now.
func (b *bucketFile) read() []byte {
	b.t.Helper()
	got, err := io.ReadAll(io.NewSectionReader(b.reader, 0, 1<<30))
	if err != nil {
		b.t.Fatal(err)
	}
	return got
}

func (b *bucketFile) want(what string, got, want []byte) {
	b.t.Helper()
	if !bytes.Equal(got, want) {
		b.t.Errorf("%s: %d bytes that differ from the %d wanted", what, len(got), len(want))
	}
}

// size compares the size that fstat(2) and lseek(2) tell the reader.
func (b *bucketFile) size(what string, want int64) {
	b.t.Helper()
	info, err := b.reader.Stat()
	b.ok(err)
	end, err := b.reader.Seek(0, io.SeekEnd)
	b.ok(err)
	if info.Size() != want || end != want {
		b.t.Errorf("size %s = %d, and it ends at %d, want %d", what, info.Size(), end, want)
	}
}

// TestAttributesOfBoth changes the attributes of a file that one program reads past the daemon and another writes: the kernel knows it
// as two, and both programs see the same.
func TestAttributesOfBoth(t *testing.T) {
	b := openCached(t, true)
	w, err := os.OpenFile(b.path("f"), os.O_RDWR, 0)
	b.ok(err)
	defer w.Close()
	both := func(what string, want os.FileMode, size int64) {
		t.Helper()
		for name, f := range map[string]*os.File{"reader": b.reader, "writer": w} {
			info, err := f.Stat()
			b.ok(err)
			if info.Mode() != want || info.Size() != size {
				t.Errorf("%s the %s is told %v and %d bytes, want %v and %d", what, name, info.Mode(), info.Size(), want, size)
			}
		}
		info, err := os.Stat(b.path("f"))
		b.ok(err)
		if info.Mode() != want || info.Size() != size {
			t.Errorf("%s the path has %v and %d bytes, want %v and %d", what, info.Mode(), info.Size(), want, size)
		}
	}
	both("before", 0o644, int64(len(b.text)))
	b.ok(b.reader.Chmod(0o600))
	both("after the reader's chmod", 0o600, int64(len(b.text)))
	b.ok(w.Chmod(0o640))
	both("after the writer's chmod", 0o640, int64(len(b.text)))
	b.ok(w.Truncate(0))
	both("truncated", 0o640, 0)
	_, err = w.WriteAt([]byte("text"), 10)
	b.ok(err)
	both("written", 0o640, 14)
}

// TestOpenWhileReadFromCache does to a cached file that somebody has open to read what others may do, with the kernel reading by itself
// and without: both see the same.
func TestOpenWhileReadFromCache(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(b *bucketFile)
		open func(old []byte) []byte // what the reader sees afterwards
		file func(old []byte) []byte // what is in the file
	}{
		{
			"written in place", func(b *bucketFile) { b.write(os.O_WRONLY, "WRITTEN", 1000) },
			func(old []byte) []byte { return over(old, "WRITTEN", 1000) }, nil,
		},
		{
			"opened to read and write", func(b *bucketFile) { b.write(os.O_RDWR, "WRITTEN", 1000) },
			func(old []byte) []byte { return over(old, "WRITTEN", 1000) }, nil,
		},
		{
			"appended to", func(b *bucketFile) { b.write(os.O_WRONLY|os.O_APPEND, "MORE", -1) },
			func(old []byte) []byte { return append(bytes.Clone(old), "MORE"...) }, nil,
		},
		{
			"truncated", func(b *bucketFile) { b.ok(os.Truncate(b.path("f"), 5000)) },
			func(old []byte) []byte { return old[:5000] }, nil,
		},
		{
			"truncated and written again", func(b *bucketFile) { b.write(os.O_WRONLY|os.O_TRUNC, "NEW", 0) },
			func([]byte) []byte { return []byte("NEW") }, nil,
		},
		{
			"shrunk and grown", func(b *bucketFile) { b.ok(os.Truncate(b.path("f"), 5000)); b.ok(os.Truncate(b.path("f"), 9000)) },
			func(old []byte) []byte { return append(bytes.Clone(old[:5000]), make([]byte, 4000)...) }, nil,
		},
		{
			"replaced by the API", func(b *bucketFile) { b.replace(b.t, "f", "REPLACED") },
			func(old []byte) []byte { return old }, func([]byte) []byte { return []byte("REPLACED") },
		},
		{
			"renamed over", func(b *bucketFile) {
				b.ok(os.WriteFile(b.path("g"), []byte("REPLACED"), 0o600))
				b.ok(os.Rename(b.path("g"), b.path("f")))
			},
			func(old []byte) []byte { return old }, func([]byte) []byte { return []byte("REPLACED") },
		},
		{
			"removed", func(b *bucketFile) {
				b.ok(os.Remove(b.path("f")))
				b.ok(os.WriteFile(b.path("f"), []byte("ANOTHER"), 0o600))
			},
			func(old []byte) []byte { return old }, func([]byte) []byte { return []byte("ANOTHER") },
		},
		{
			"replaced in the store", func(b *bucketFile) { b.backend.Inject("f", []byte("THEIRS"), fs.WriteOptions{}) },
			func(old []byte) []byte { return old }, func([]byte) []byte { return []byte("THEIRS") },
		},
	} {
		for _, direct := range []bool{true, false} {
			t.Run(tt.name+map[bool]string{true: ", passed through", false: ""}[direct], func(t *testing.T) {
				b := openCached(t, direct)
				b.want("before", b.read(), b.text)
				b.size("before", int64(len(b.text)))
				tt.do(b)
				want := tt.open(b.text)
				b.size("of the open file", int64(len(want)))
				b.want("the open file", b.read(), want)
				if tt.file != nil {
					want = tt.file(b.text)
				}
				b.want("opened anew", []byte(readFile(t, b.path("f"))), want)
				b.stored(want)
			})
		}
	}
}

func over(old []byte, text string, off int) []byte {
	b := bytes.Clone(old)
	copy(b[off:], text)
	return b
}

func (b *bucketFile) ok(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

// write writes in the mount, at the end if off is negative.
func (b *bucketFile) write(flags int, text string, off int64) {
	b.t.Helper()
	f, err := os.OpenFile(b.path("f"), flags, 0)
	b.ok(err)
	if off < 0 {
		_, err = f.WriteString(text)
	} else {
		_, err = f.WriteAt([]byte(text), off)
	}
	b.ok(err)
	b.ok(f.Close())
}

// stored waits until the store has the file like that.
func (b *bucketFile) stored(want []byte) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 20*time.Second)
	defer cancel()
	b.ok(b.drive.Wait(ctx))
	got, _, _ := b.backend.Contents("f")
	b.want("in the store", got, want)
}
