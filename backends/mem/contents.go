package mem

import (
	"bytes"
	"io"
	"maps"
	"slices"
)

// chunkSize is the unit in which contents are kept.
const chunkSize = 4096

// The bases of lseek(2) that a HoleSeeker knows.
const (
	seekData = 3
	seekHole = 4
)

// contents are the bytes of a file. A chunk that is missing reads as zeros. Its owner locks it.
type contents struct {
	size   int64
	chunks map[int64]*[chunkSize]byte
}

// readAt reads like io.ReaderAt.
func (c *contents) readAt(p []byte, off int64) (int, error) {
	if off >= c.size {
		return 0, io.EOF
	}
	want := len(p)
	p = p[:min(int64(len(p)), c.size-off)]
	for n := 0; n < len(p); {
		at := off + int64(n)
		part := p[n:min(len(p), n+int(chunkSize-at%chunkSize))]
		if chunk := c.chunks[at/chunkSize]; chunk != nil {
			copy(part, chunk[at%chunkSize:])
		} else {
			clear(part)
		}
		n += len(part)
	}
	if len(p) < want {
		return len(p), io.EOF
	}
	return len(p), nil
}

// missing returns how many chunks a write of n bytes at off would add.
func (c *contents) missing(off, n int64) (count int64) {
	for i := off / chunkSize; n > 0 && i <= (off+n-1)/chunkSize; i++ {
		if c.chunks[i] == nil {
			count++
		}
	}
	return count
}

func (c *contents) writeAt(p []byte, off int64) {
	if c.chunks == nil {
		c.chunks = map[int64]*[chunkSize]byte{}
	}
	c.size = max(c.size, off+int64(len(p)))
	for len(p) > 0 {
		chunk := c.chunks[off/chunkSize]
		if chunk == nil {
			chunk = new([chunkSize]byte)
			c.chunks[off/chunkSize] = chunk
		}
		n := copy(chunk[off%chunkSize:], p)
		p, off = p[n:], off+int64(n)
	}
}

// zero makes a range read as zeros, giving back whole chunks. The size stays.
func (c *contents) zero(off, n int64) {
	end := off + n
	for i, chunk := range c.chunks {
		from, to := max(off-i*chunkSize, 0), min(end-i*chunkSize, chunkSize)
		switch {
		case from >= to:
		case to-from == chunkSize:
			delete(c.chunks, i)
		default:
			clear(chunk[from:to])
		}
	}
}

func (c *contents) truncate(size int64) {
	if size < c.size {
		last := (c.size + chunkSize - 1) / chunkSize * chunkSize
		c.zero(size, last-size)
	}
	c.size = size
}

// bytes returns how much memory the chunks take.
func (c *contents) bytes() int64 { return int64(len(c.chunks)) * chunkSize }

func (c *contents) clone() contents {
	cp := contents{size: c.size, chunks: make(map[int64]*[chunkSize]byte, len(c.chunks))}
	for i, chunk := range c.chunks {
		own := *chunk
		cp.chunks[i] = &own
	}
	return cp
}

// equal reports whether both read the same.
func (c *contents) equal(o *contents) bool {
	if c.size != o.size {
		return false
	}
	var zeros [chunkSize]byte
	same := func(a, b *contents) bool {
		for i, chunk := range a.chunks {
			other := b.chunks[i]
			if other == nil {
				other = &zeros
			}
			if !bytes.Equal(chunk[:], other[:]) {
				return false
			}
		}
		return true
	}
	return same(c, o) && same(o, c)
}

// seek finds the next data or hole from off, which lies before the end. ok is false if there is no more data.
func (c *contents) seek(off int64, whence int) (at int64, ok bool) {
	for _, i := range slices.Sorted(maps.Keys(c.chunks)) {
		switch {
		case (i+1)*chunkSize <= off: // behind us
		case whence == seekData:
			return max(off, i*chunkSize), true
		case i*chunkSize > off:
			return off, true
		default:
			off = (i + 1) * chunkSize
		}
	}
	return min(off, c.size), whence == seekHole
}

// readAll makes contents of all that r has, up to limit bytes; ok is false if there is more.
func readAll(r io.Reader, limit int64) (c contents, ok bool, err error) {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if c.size+int64(n) > limit {
			return c, false, nil
		}
		c.writeAt(buf[:n], c.size)
		if err == io.EOF {
			return c, true, nil
		}
		if err != nil {
			return c, false, err
		}
	}
}
