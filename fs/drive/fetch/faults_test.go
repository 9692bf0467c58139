package fetch

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func kind(k fs.Kind) error { return &fs.Error{Op: "read", Kind: k} }

// TestBrokenBody goes on from the last byte that came.
func TestBrokenBody(t *testing.T) {
	for name, broken := range map[string]error{"reset": io.ErrUnexpectedEOF, "ended too early": nil} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newStore(900_000)
				s.fault = func(number int, _ fs.ReadOptions) (int64, error) {
					if number <= 5 {
						return 100_001, broken
					}
					return -1, nil
				}
				st := open(t, newPool(t, Options{}), s, newCache(t, 64<<20))
				mustRead(t, st, 0, s.size)
				requests, bytes := s.asked()
				if len(requests) != 6 || bytes != s.size {
					t.Fatalf("%d requests, %d bytes", len(requests), bytes)
				}
				for i, r := range requests {
					if r.Off != int64(i)*100_001 || r.Off+r.Len != s.size {
						t.Errorf("request %d: %+v", i, r)
					}
				}
			})
		})
	}
}

func TestStall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &stalling{store: newStore(900_000), stalls: 2}
		p := newPool(t, Options{})
		st := p.Open(s, "k", s.version, s.size, nil)
		defer st.Close()
		start := time.Now()
		mustRead(t, st, 0, 4096)
		if took := time.Since(start); took < 2*DefaultStall || took > 2*DefaultStall+time.Second {
			t.Errorf("took %v", took)
		}
	})
}

// stalling is a store whose first requests give nothing.
type stalling struct {
	*store
	stalls int
}

func (s *stalling) Read(ctx context.Context, key string, o fs.ReadOptions) (fs.Reader, error) {
	if s.stalls > 0 {
		s.stalls--
		<-ctx.Done()
		return nil, ctx.Err()
	}
	return s.store.Read(ctx, key, o)
}

// TestDeadline tells the store's error once nothing has come for the deadline, and not before.
func TestDeadline(t *testing.T) {
	for _, k := range []fs.Kind{fs.Throttled, fs.Unavailable} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(900_000)
			s.fault = func(int, fs.ReadOptions) (int64, error) { return -1, kind(k) }
			st := open(t, newPool(t, Options{}), s, newCache(t, 64<<20))
			start := time.Now()
			_, err := st.ReadAt(t.Context(), make([]byte, 4096), 0)
			if fs.KindOf(err) != k {
				t.Errorf("ReadAt = %v", err)
			}
			if took := time.Since(start); took < DefaultDeadline || took > DefaultDeadline+time.Second {
				t.Errorf("%v: took %v", k, took)
			}
			requests, _ := s.asked()
			if len(requests) < 4 || len(requests) > 20 {
				t.Errorf("%v: %d requests", k, len(requests))
			}
		})
	}
}

// TestSlowButSteady lets a read take longer than the deadline while bytes come.
func TestSlowButSteady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(1 << 20)
		s.rate = 10 << 10
		st := open(t, newPool(t, Options{}), s, newCache(t, 64<<20))
		mustRead(t, st, 0, s.size)
	})
}

func TestFinalErrors(t *testing.T) {
	for _, k := range []fs.Kind{fs.NotExist, fs.Conflict, fs.Permission, fs.Credentials} {
		synctest.Test(t, func(t *testing.T) {
			s := newStore(900_000)
			s.fault = func(int, fs.ReadOptions) (int64, error) { return -1, kind(k) }
			st := open(t, newPool(t, Options{}), s, newCache(t, 64<<20))
			if _, err := st.ReadAt(t.Context(), make([]byte, 10), 0); fs.KindOf(err) != k {
				t.Errorf("%v: ReadAt = %v", k, err)
			}
			if requests, _ := s.asked(); len(requests) != 1 {
				t.Errorf("%v: %d requests", k, len(requests))
			}
		})
	}
}

func TestCanceled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(900_000)
		s.latency = time.Second
		st := open(t, newPool(t, Options{}), s, newCache(t, 64<<20))
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Millisecond, context.Canceled)
		defer cancel()
		if _, err := st.ReadAt(ctx, make([]byte, 10), 0); err == nil {
			t.Error("no error")
		}
		mustRead(t, st, 0, 10)
		if requests, _ := s.asked(); len(requests) != 1 {
			t.Errorf("%d requests: what was under way was not used", len(requests))
		}
	})
}

// TestThrottling answers a third of all requests with "slow down": no more than twice the useful requests are made.
func TestThrottling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(256 << 20)
		s.latency, s.rate = 20*time.Millisecond, 80<<20
		r := rand.New(rand.NewPCG(3, 4))
		var mu sync.Mutex
		useful := 0
		s.fault = func(int, fs.ReadOptions) (int64, error) {
			mu.Lock()
			defer mu.Unlock()
			if r.IntN(10) < 3 {
				return -1, kind(fs.Throttled)
			}
			useful++
			return -1, nil
		}
		p := newPool(t, Options{})
		st := open(t, p, s, newCache(t, 1<<30))
		for off := int64(0); off < s.size; off += 128 << 10 {
			mustRead(t, st, off, 128<<10)
		}
		synctest.Wait() // for the requests that have brought the last bytes
		requests, bytes := s.asked()
		mu.Lock()
		defer mu.Unlock()
		if bytes != s.size || len(requests) > 2*useful {
			t.Errorf("%d bytes, %d requests of which %d were useful", bytes, len(requests), useful)
		}
		p.slots.mu.Lock()
		defer p.slots.mu.Unlock()
		if p.slots.limit >= DefaultForeground+DefaultPrefetch {
			t.Errorf("the limit is still %.0f", p.slots.limit)
		}
	})
}

// TestLittleMemory reads many files at once, not cached, with hardly any memory: everybody gets on, and nobody waits for memory that another
// one's unread bytes are in.
func TestLittleMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPool(t, Options{Memory: 1 << 20})
		var wg sync.WaitGroup
		for range 20 {
			s := newStore(16 << 20)
			s.latency, s.rate = 20*time.Millisecond, 50<<20
			st := open(t, p, s, nil)
			wg.Go(func() {
				buf := make([]byte, 128<<10)
				for off := int64(0); off < s.size/2; off += int64(len(buf)) { // leaves something unread
					start := time.Now()
					n, err := st.ReadAt(t.Context(), buf, off)
					if n != len(buf) || err != nil || !isRight(buf, off) {
						t.Errorf("ReadAt at %d = %d, %v", off, n, err)
						return
					}
					if took := time.Since(start); took > 5*time.Second {
						t.Errorf("a read took %v", took)
					}
				}
			})
		}
		wg.Wait()
		p.buffers.mu.Lock()
		defer p.buffers.mu.Unlock()
		if size := p.buffers.made * p.buffers.size; size > 1<<20 {
			t.Errorf("%d bytes of buffers", size)
		}
	})
}

// TestForegroundFirst makes a read while many ranges are fetched ahead and the store bears one request: it is the next.
func TestForegroundFirst(t *testing.T) {
	s := newSlots(4, 4)
	s.limit = 1
	first := newTicket(background)
	if err := s.acquire(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	waiting := make(chan error)
	go func() { waiting <- s.acquire(ctx, newTicket(background)) }()
	urgent := newTicket(foreground)
	got := make(chan error)
	go func() { got <- s.acquire(t.Context(), urgent) }()
	for queued := 0; queued < 2; { // both wait
		s.mu.Lock()
		queued = len(s.queue[0]) + len(s.queue[1])
		s.mu.Unlock()
	}
	s.release(first)
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	cancel()
	if err := <-waiting; !errors.Is(err, context.Canceled) {
		t.Errorf("acquire = %v", err)
	}
	s.release(urgent)
	if s.running != [2]int{} {
		t.Errorf("running %v", s.running)
	}
}

// TestCloseEndsPrefetch closes a stream in the middle of a run: what was fetched ahead ends.
func TestCloseEndsPrefetch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newStore(512 << 20)
		s.latency, s.rate = 20*time.Millisecond, 1<<20
		p := newPool(t, Options{})
		st := open(t, p, s, newCache(t, 1<<30))
		for off := int64(0); off < 4<<20; off += 128 << 10 {
			mustRead(t, st, off, 128<<10)
		}
		st.Close()
		synctest.Wait()
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.running != 0 {
			t.Errorf("%d requests still run", s.running)
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		if len(p.sources) != 0 {
			t.Error("the source is still known")
		}
	})
}
