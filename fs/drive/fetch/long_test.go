package fetch

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// readRun reads on in the kernel's pieces.
func readRun(t *testing.T, st *Stream, from, to int64) {
	t.Helper()
	for off := from; off < to; off += 128 << 10 {
		mustRead(t, st, off, min(128<<10, to-off))
	}
}

// TestRequestsOfARun reads a large file from start to end. Where one request brings what stores give one connection, it does it all; where many bring
// more, many are made; where the line is the limit, they are tried once.
func TestRequestsOfARun(t *testing.T) {
	const size = 256 << 20
	for name, tt := range map[string]struct {
		rate, link int64
		pause      time.Duration // of the reader, after each read
		least      int           // requests
		most       int
	}{
		"a fast store":           {rate: 250 << 20, least: 2, most: 2},
		"a store slow to each":   {rate: 80 << 20, least: 30, most: 40},
		"a slow reader":          {rate: 80 << 20, pause: 10 * time.Millisecond, least: 2, most: 2},
		"a very slow reader":     {rate: 250 << 20, pause: time.Second / 4, least: 2, most: 10},
		"a slow line":            {link: 20 << 20, least: 8, most: 16},
		"a line just below fast": {link: 90 << 20, least: 8, most: 16},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(size)
				s.latency, s.rate, s.link = 20*time.Millisecond, tt.rate, tt.link
				st := open(t, newPool(t, Options{}), s, newCache(t, 1<<30))
				for off := int64(0); off < size; off += 128 << 10 {
					mustRead(t, st, off, 128<<10)
					time.Sleep(tt.pause)
				}
				requests, bytes := s.asked()
				t.Logf("%d requests", len(requests))
				if bytes != size || len(requests) < tt.least || len(requests) > tt.most {
					t.Errorf("%d requests for %d bytes, want %d to %d", len(requests), bytes, tt.least, tt.most)
				}
			})
		})
	}
}

func slotsTaken(s *slots) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[foreground] + s.running[background]
}

// TestReaderThatStops reads a part and stops: no more than the window is fetched ahead of it, the request ends after a while, and one more goes on
// where it was.
func TestReaderThatStops(t *testing.T) {
	const size, part, limit = 512 << 20, 16 << 20, 256 << 20
	synctest.Test(t, func(t *testing.T) {
		s := newStore(size)
		s.latency, s.rate = 20*time.Millisecond, 250<<20
		st := open(t, newPool(t, Options{}), s, newCache(t, limit))
		readRun(t, st, 0, part)
		time.Sleep(idlePause - time.Second)
		before, bytes := s.asked()
		if len(before) != 2 || s.underWay() != 1 || bytes > part+limit/8 {
			t.Errorf("%d requests, of which %d run, and %d bytes", len(before), s.underWay(), bytes)
		}
		if n := slotsTaken(st.src.pool.slots); n != 0 {
			t.Errorf("%d slots are taken", n)
		}
		readRun(t, st, part, part+1<<20)
		time.Sleep(time.Minute)
		if now, _ := s.asked(); len(now) != 2 || s.underWay() != 0 {
			t.Errorf("after a minute %d requests, of which %d run", len(now), s.underWay())
		}
		readRun(t, st, part+1<<20, 2*part)
		if now, bytes := s.asked(); len(now) > 3 || bytes > 2*part+limit/8 {
			t.Errorf("once it goes on %d requests and %d bytes", len(now), bytes)
		}
	})
}

// TestReaderThatJumps reads elsewhere in the range of a request that goes on: it does not wait for that one to come there, nor is that one needed on.
func TestReaderThatJumps(t *testing.T) {
	const size, part, limit = 512 << 20, 16 << 20, 256 << 20
	for name, other := range map[string]bool{"by the same handle": false, "by another": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(size)
				s.latency, s.rate = 20*time.Millisecond, 250<<20
				p, c := newPool(t, Options{}), newCache(t, limit)
				st := open(t, p, s, c)
				readRun(t, st, 0, part)
				jumping := st
				if other {
					jumping = open(t, p, s, c)
				}
				begin := time.Now()
				for _, off := range []int64{400 << 20, 300 << 20, 200 << 20} {
					mustRead(t, jumping, off, 4096)
				}
				if took := time.Since(begin); took > 100*time.Millisecond {
					t.Errorf("three reads took %v", took)
				}
				time.Sleep(time.Minute)
				if requests, bytes := s.asked(); len(requests) != 5 || bytes > part+limit/8+3*randomRange || s.underWay() != 0 {
					t.Errorf("%d requests, of which %d run, and %d bytes", len(requests), s.underWay(), bytes)
				}
			})
		})
	}
}

// TestRunsInParts reads a file by four handles, each a quarter, of which one is ahead: its request goes on until the next one's part, and nothing
// comes twice.
func TestRunsInParts(t *testing.T) {
	const size, parts = 256 << 20, 4
	synctest.Test(t, func(t *testing.T) {
		s := newStore(size)
		s.latency, s.rate = 20*time.Millisecond, 250<<20
		p, c := newPool(t, Options{}), newCache(t, 1<<30)
		var wg sync.WaitGroup
		for i := range int64(parts) {
			st := open(t, p, s, c)
			if i == 0 {
				readRun(t, st, 0, size/parts/4)
			}
			wg.Go(func() {
				buf := make([]byte, 128<<10)
				for off := i * size / parts; off < (i+1)*size/parts; off += int64(len(buf)) {
					if n, err := st.ReadAt(t.Context(), buf, off); n != len(buf) || err != nil || !isRight(buf, off) {
						t.Errorf("ReadAt at %d = %d, %v", off, n, err)
						return
					}
				}
			})
		}
		wg.Wait()
		synctest.Wait()
		if n := s.underWay(); n > 0 {
			t.Errorf("%d requests run on for nothing", n)
		}
		if requests, bytes := s.asked(); len(requests) > 4*parts || bytes > size+parts*mergeGap {
			t.Errorf("%d requests for %d bytes", len(requests), bytes)
		}
	})
}

// TestLongRequestBreaks breaks the request that goes on: the next goes on from its last byte, unless the store has another version by then.
func TestLongRequestBreaks(t *testing.T) {
	const size, good = 64 << 20, 20<<20 + 12345
	for name, replaced := range map[string]bool{"the same version": false, "another": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(size)
				s.latency, s.rate = 20*time.Millisecond, 250<<20
				s.fault = func(number int, _ fs.ReadOptions) (int64, error) {
					if number == 2 {
						return good, nil
					}
					return -1, nil
				}
				st := open(t, newPool(t, Options{}), s, newCache(t, 1<<30))
				readRun(t, st, 0, 4<<20)
				if replaced {
					s.version = "v2"
					buf := make([]byte, 128<<10)
					off := int64(4 << 20)
					var err error
					for ; err == nil && off < size; off += int64(len(buf)) {
						if _, err = st.ReadAt(t.Context(), buf, off); err == nil && !isRight(buf, off) {
							t.Fatalf("other bytes at %d", off)
						}
					}
					if fs.KindOf(err) != fs.Conflict || off < good {
						t.Errorf("at %d: %v, want kind %q", off, err, fs.Conflict)
					}
					return
				}
				readRun(t, st, 4<<20, size)
				requests, bytes := s.asked()
				if len(requests) != 3 || bytes != size || requests[2].Off != requests[1].Off+good {
					t.Errorf("%d bytes by %+v", bytes, requests)
				}
			})
		})
	}
}

// TestAheadGivenUp lets the store fail while nobody waits, until what goes on ahead of the reader is given up: one request brings the rest later.
func TestAheadGivenUp(t *testing.T) {
	const size, part, limit = 64 << 20, 8 << 20, 512 << 20
	synctest.Test(t, func(t *testing.T) {
		s := newStore(size)
		s.latency, s.rate = 20*time.Millisecond, 250<<20
		s.fault = func(number int, _ fs.ReadOptions) (int64, error) {
			switch number {
			case 2:
				return 2 * part, nil
			case 3, 4:
				return -1, kind(fs.Unavailable)
			}
			return -1, nil
		}
		st := open(t, newPool(t, Options{}), s, newCache(t, limit))
		readRun(t, st, 0, part)
		time.Sleep(time.Minute)
		if requests, _ := s.asked(); len(requests) != 4 {
			t.Fatalf("%d requests", len(requests))
		}
		readRun(t, st, part, size)
		if requests, bytes := s.asked(); len(requests) != 5 || bytes != size {
			t.Errorf("%d bytes by %d requests", bytes, len(requests))
		}
	})
}

// TestTurns reads more files than requests may run: all get on, none waits for another one's end.
func TestTurns(t *testing.T) {
	const size, readers = 64 << 20, 8
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Options{Foreground: 1, Prefetch: 1})
		var wg sync.WaitGroup
		stores := make([]*store, readers)
		for i := range stores {
			s := newStore(size)
			s.latency, s.rate = 20*time.Millisecond, 250<<20
			stores[i] = s
			st := open(t, p, s, nil)
			wg.Go(func() {
				buf := make([]byte, 128<<10)
				for off := int64(0); off < size; off += int64(len(buf)) {
					begin := time.Now()
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					n, err := st.ReadAt(ctx, buf, off)
					cancel()
					if n != len(buf) || err != nil || !isRight(buf, off) {
						t.Errorf("ReadAt at %d = %d, %v", off, n, err)
						return
					}
					if took := time.Since(begin); took > time.Second {
						t.Errorf("a read took %v", took)
					}
				}
			})
		}
		wg.Wait()
		for _, s := range stores {
			if requests, bytes := s.asked(); len(requests) > 4 || bytes != size {
				t.Errorf("%d requests, %d bytes", len(requests), bytes)
			}
		}
	})
}

// TestNothingLeftToBring has others bring a run's last bytes between a look at what is missing and the request for them.
func TestNothingLeftToBring(t *testing.T) {
	const size = 2 * blockcache.Unit
	s := newStore(size)
	f, err := newCache(t, 1<<30).Open(blockcache.Key{Drive: "d", Name: s.name, Version: s.version}, size)
	if err != nil {
		t.Fatal(err)
	}
	st := newPool(t, Options{}).Open(s, s.name, s.version, size, f)
	if err := f.WriteAt(make([]byte, size), 0); err != nil {
		t.Fatal(err)
	}
	st.src.mu.Lock()
	if got := st.src.launchLong(st, blockcache.Unit); got != nil {
		t.Error("a request was begun for what is there")
	}
	st.src.mu.Unlock()
	st.Close()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}
