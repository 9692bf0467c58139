package fetch

import (
	"slices"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

const maxBuffer = 256 << 10

// bufferSize returns how large buffers are, in whole units, and how many there may be.
func bufferSize(memory int64, requests int) (size, number int) {
	each := memory / int64(requests) / blockcache.Unit * blockcache.Unit
	size = int(min(max(each, blockcache.Unit), maxBuffer))
	return size, int(memory / int64(size))
}

// buffers are the memory of all requests. There are at least as many as there may be requests, so that get always succeeds.
type buffers struct {
	size int
	max  int

	mu   sync.Mutex // guards what follows, and the bytes of pieces
	made int
	free [][]byte
	kept []*piece // oldest first
}

// piece is a buffer with bytes that nobody has read yet and that are not cached.
type piece struct {
	src *source
	off int64
	buf []byte // of its full capacity
	n   int
}

func newBuffers(size, number int) *buffers { return &buffers{size: size, max: number} }

// get returns a buffer, taking back the oldest piece if there is no other.
func (b *buffers) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.free); n > 0 {
		buf := b.free[n-1]
		b.free = b.free[:n-1]
		return buf
	}
	if b.made >= b.max && len(b.kept) > 0 {
		buf := b.kept[0].buf
		b.kept = slices.Delete(b.kept, 0, 1)
		return buf
	}
	b.made++
	return make([]byte, b.size)
}

// put gives a buffer back.
func (b *buffers) put(buf []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, buf)
}

// keep makes a buffer a piece.
func (b *buffers) keep(s *source, off int64, buf []byte, n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = append(b.kept, &piece{src: s, off: off, buf: buf, n: n})
}

// read copies what pieces of a source hold of a range into p, and returns what they do not hold. A piece that was read to its end is freed.
func (b *buffers) read(s *source, p []byte, off int64) []blockcache.Range {
	b.mu.Lock()
	defer b.mu.Unlock()
	missing := []blockcache.Range{{Off: off, Len: int64(len(p))}}
	b.kept = slices.DeleteFunc(b.kept, func(k *piece) bool {
		if k.src != s {
			return false
		}
		from, to := max(off, k.off), min(off+int64(len(p)), k.off+int64(k.n))
		if from >= to {
			return false
		}
		copy(p[from-off:to-off], k.buf[from-k.off:])
		missing = subtract(missing, from, to)
		if to < k.off+int64(k.n) {
			return false
		}
		b.free = append(b.free, k.buf)
		return true
	})
	return missing
}

// held takes what pieces of a source hold out of ranges.
func (b *buffers) held(s *source, ranges []blockcache.Range) []blockcache.Range {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, k := range b.kept {
		if k.src == s {
			ranges = subtract(ranges, k.off, k.off+int64(k.n))
		}
	}
	return ranges
}

// forget frees all pieces of a source.
func (b *buffers) forget(s *source) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.kept = slices.DeleteFunc(b.kept, func(k *piece) bool {
		if k.src == s {
			b.free = append(b.free, k.buf)
		}
		return k.src == s
	})
}

// subtract takes the bytes from one offset to another out of ranges.
func subtract(ranges []blockcache.Range, from, to int64) []blockcache.Range {
	var rest []blockcache.Range
	for _, r := range ranges {
		end := r.Off + r.Len
		if left := min(end, from); left > r.Off {
			rest = append(rest, blockcache.Range{Off: r.Off, Len: left - r.Off})
		}
		if right := max(r.Off, to); right < end {
			rest = append(rest, blockcache.Range{Off: right, Len: end - right})
		}
	}
	return rest
}
