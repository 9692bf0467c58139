package tree

import (
	"context"
	"crypto/sha256"
	"hash"
	"io"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// maxHashes is how many hashes are remembered.
const maxHashes = 16384

// Sum is the sha256 of a file's contents.
type Sum [sha256.Size]byte

// hashes remembers sums by node and version, so that a file is read once only.
type hashes struct {
	mu  sync.Mutex // guards all below
	now map[hashKey]Sum
	old map[hashKey]Sum // the generation before: dropped when now is full
}

type hashKey struct {
	ino     uint64
	version fs.Version
}

func (h *hashes) get(k hashKey) (Sum, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	s, ok := h.now[k]
	if !ok {
		s, ok = h.old[k]
	}
	return s, ok
}

func (h *hashes) put(k hashKey, s Sum) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.now) >= maxHashes/2 {
		h.old, h.now = h.now, nil
	}
	if h.now == nil {
		h.now = map[hashKey]Sum{}
	}
	h.now[k] = s
}

// Hash returns the sha256 of a file's bytes and the version they are of. It reads the file only if it has not done so at this
// version. Where ctx carries a time ([fs.WithSince]) the version is what the store has.
func (t *Tree) Hash(ctx context.Context, n fs.Node) (Sum, fs.Version, error) {
	a, err := n.Attr(ctx)
	if err != nil {
		return Sum{}, "", err
	}
	if s, ok := t.hashes.get(hashKey{n.Ino(), a.Version}); ok && fs.SinceOf(ctx).IsZero() {
		return s, a.Version, nil
	}
	h, err := n.Open(ctx, fs.OpenRead)
	if err != nil {
		return Sum{}, "", err
	}
	defer h.Release(ctx) //nolint:errcheck // nothing was written
	before, err := h.Attr(ctx)
	if err != nil {
		return Sum{}, "", err
	}
	k := hashKey{h.Node().Ino(), before.Version}
	if s, ok := t.hashes.get(k); ok {
		return s, before.Version, nil
	}
	d := sha256.New()
	if _, err := io.CopyBuffer(d, io.NewSectionReader(readerAt{ctx, h}, 0, 1<<62), make([]byte, 256<<10)); err != nil {
		return Sum{}, "", fs.Wrap("hash", "", err)
	}
	s := Sum(d.Sum(nil))
	if after, err := h.Attr(ctx); err == nil && after.Version == before.Version {
		t.hashes.put(k, s)
	}
	return s, before.Version, nil
}

// readerAt makes a handle an io.ReaderAt.
type readerAt struct {
	ctx context.Context
	h   fs.Handle
}

func (r readerAt) ReadAt(p []byte, off int64) (int, error) { return r.h.ReadAt(r.ctx, p, off) }

// hashingReader hashes what passes through it.
type hashingReader struct {
	r io.Reader
	h hash.Hash
}

func (r hashingReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	_, _ = r.h.Write(p[:n]) // a hash never fails
	return n, err
}
