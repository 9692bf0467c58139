package fetch

import (
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

func TestSmallFileIsOneRequest(t *testing.T) {
	for _, cached := range []bool{true, false} {
		s := newStore(200_000)
		var c *blockcache.Cache
		if cached {
			c = newCache(t, 64<<20)
		}
		st := open(t, newPool(t, Options{}), s, c)
		mustRead(t, st, 100, 4096)
		for off := int64(0); off < s.size; off += 4096 {
			mustRead(t, st, off, min(4096, s.size-off))
		}
		if r, n := s.asked(); len(r) != 1 || n != s.size || r[0].IfVersion != s.version {
			t.Errorf("cached %t: %d requests, %d bytes: %+v", cached, len(r), n, r)
		}
	}
}

func TestEnd(t *testing.T) {
	s := newStore(5000)
	st := open(t, newPool(t, Options{}), s, newCache(t, 64<<20))
	p := make([]byte, 100)
	if n, err := st.ReadAt(t.Context(), p, 4950); n != 50 || !errors.Is(err, io.EOF) || !isRight(p[:n], 4950) {
		t.Errorf("at the end: %d, %v", n, err)
	}
	if n, err := st.ReadAt(t.Context(), p, 5000); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("past the end: %d, %v", n, err)
	}
}

func TestRandomReads(t *testing.T) {
	const size = 512 << 20
	for name, tt := range map[string]struct{ n, align, bytes int64 }{
		"4 KiB":              {4096, 4096, 128 << 10},
		"4 KiB anywhere":     {4096, 1, 128 << 10},
		"128 KiB":            {128 << 10, 4096, 192 << 10},
		"128 KiB, in halves": {64 << 10, 0, 96 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStore(size)
			st := open(t, newPool(t, Options{}), s, newCache(t, 1<<30))
			r := rand.New(rand.NewPCG(1, 2))
			const reads = 300
			for range reads / 2 {
				off := r.Int64N(size-256<<10) + 1<<16
				if tt.align > 0 {
					mustRead(t, st, off/tt.align*tt.align, tt.n)
					mustRead(t, st, (size-off)/tt.align*tt.align, tt.n)
				} else { // as the kernel splits them
					mustRead(t, st, off, tt.n)
					mustRead(t, st, off+tt.n, tt.n)
				}
			}
			requests, bytes := s.asked()
			if len(requests) > reads || bytes > reads*tt.bytes {
				t.Errorf("%d requests and %d bytes for %d reads", len(requests), bytes/reads, reads)
			}
		})
	}
}

// TestSequential reads a large file in the kernel's pieces, in fake time: it takes little longer than with 8 plain streams, and the second
// time asks for nothing.
func TestSequential(t *testing.T) {
	const size, latency, rate = 512 << 20, 20 * time.Millisecond, 80 << 20
	plain := plainTime(size, latency, rate, 8)
	for name, cached := range map[string]bool{"cached": true, "not cached": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(size)
				s.latency, s.rate = latency, rate
				var c *blockcache.Cache
				if cached {
					c = newCache(t, 1<<30)
				}
				st := open(t, newPool(t, Options{}), s, c)
				start := time.Now()
				for off := int64(0); off < size; off += 128 << 10 {
					mustRead(t, st, off, 128<<10)
				}
				took := time.Since(start)
				requests, bytes := s.asked()
				t.Logf("%v, with 8 plain streams %v, ratio %.2f; %d requests, at most %d at a time", took, plain, float64(plain)/float64(took), len(requests), s.most)
				if cached && float64(plain) < 0.8*float64(took) {
					t.Errorf("took %v, with 8 plain streams %v", took, plain)
				}
				if bytes != size || (cached && len(requests) > 110) {
					t.Errorf("%d requests for %d bytes", len(requests), bytes)
				}
			})
		})
	}
}

// plainTime is how long streams take that each fetch every so many'th range.
func plainTime(size int64, latency time.Duration, rate, streams int64) time.Duration {
	ranges := (size + MaxRange - 1) / MaxRange
	each := latency + time.Duration(MaxRange*int64(time.Second)/rate)
	return time.Duration((ranges+streams-1)/streams) * each
}

func TestConflict(t *testing.T) {
	s := newStore(10 << 20)
	st := open(t, newPool(t, Options{}), s, newCache(t, 64<<20))
	mustRead(t, st, 5<<20, 4096)
	s.version = "v2"
	if _, err := st.ReadAt(t.Context(), make([]byte, 4096), 0); fs.KindOf(err) != fs.Conflict {
		t.Errorf("ReadAt = %v", err)
	}
	mustRead(t, st, 5<<20, 4096)
}

// TestSharedFlights reads one file from many handles at once: nothing is asked for twice.
func TestSharedFlights(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(20 << 20)
		s.latency, s.rate = 20*time.Millisecond, 100<<20
		p, c := newPool(t, Options{}), newCache(t, 64<<20)
		var wg sync.WaitGroup
		for range 8 {
			st := open(t, p, s, c)
			wg.Go(func() {
				for off := int64(0); off < s.size; off += 128 << 10 {
					buf := make([]byte, 128<<10)
					if n, err := st.ReadAt(t.Context(), buf, off); n != len(buf) || err != nil || !isRight(buf, off) {
						t.Errorf("ReadAt at %d = %d, %v", off, n, err)
						return
					}
				}
			})
		}
		wg.Wait()
		if _, bytes := s.asked(); bytes != s.size {
			t.Errorf("%d bytes of %d", bytes, s.size)
		}
	})
}

func TestFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // or a slow machine would pass for a slow store, of which more is asked at a time
		s := newStore(30<<20 + 5)
		p, c := newPool(t, Options{}), newCache(t, 64<<20)
		st := open(t, p, s, c)
		mustRead(t, st, 12<<20, 4096)
		var done int64
		err := st.Fill(t.Context(), []blockcache.Range{{Off: 0, Len: s.size}}, func(n int64) { done += n })
		if err != nil || done != s.size || !st.file.Complete() {
			t.Errorf("Fill = %v, %d of %d, complete %t", err, done, s.size, st.file.Complete())
		}
		if requests, bytes := s.asked(); bytes > s.size+mergeGap || len(requests) > 3 { // one before, and one on each side of what that has brought
			t.Errorf("%d bytes of %d, in %d requests", bytes, s.size, len(requests))
		}
		s.reset()
		mustRead(t, st, 0, 8<<20)
		if r, _ := s.asked(); len(r) != 0 {
			t.Errorf("%d requests for what is there", len(r))
		}
	})
}

func TestFillWithoutRoom(t *testing.T) {
	s := newStore(30 << 20)
	st := open(t, newPool(t, Options{}), s, newCache(t, 10<<20))
	st.file.Pin()
	if err := st.Fill(t.Context(), []blockcache.Range{{Off: 0, Len: s.size}}, nil); fs.KindOf(err) != fs.NoSpace {
		t.Errorf("Fill = %v", err)
	}
}
