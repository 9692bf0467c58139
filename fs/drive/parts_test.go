package drive

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func noise(size int) []byte {
	p := make([]byte, size)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := 0; i+8 <= size; i += 8 {
		v := rng.Uint64()
		for j := range 8 {
			p[i+j] = byte(v >> (8 * j))
		}
	}
	return p
}

// TestParts uploads a large file in parts, goes on after a restart, and copies on the store's side what was not changed.
func TestParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var parts atomic.Int64
		stop := errors.New("stop here")
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if r.Op == "part" {
				if n := parts.Add(1); n > 2 && n < 100 {
					return stop
				}
			}
			return nil
		}})
		o := Options{Backend: b, State: memoryDir(t)}
		d := open(t, o)
		p := program{t, t.Context(), d}
		data := noise(25 << 20) // four parts
		p.write("big", data, true)
		synctest.Wait()
		ctx, cancel := context.WithTimeout(p.ctx, 1)
		defer cancel()
		if err := d.Wait(ctx); err == nil {
			t.Error("Wait() = nil though the store takes no parts")
		}
		p.must("Close", d.Close(p.ctx))
		parts.Store(100)
		b.ResetRequests()
		d = open(t, o)
		p.d = d
		p.must("Wait", d.Wait(p.ctx))
		if got := b.Requests(); got["part"] > 2 || got["begin"] > 0 || got["complete"] != 1 {
			t.Errorf("requests after a restart: %v, want the missing parts only", got)
		}
		if got := p.read("big"); !bytes.Equal(got, data) {
			t.Error("other bytes came back")
		}
		b.ResetRequests()
		n, err := nodeAt(p.ctx, d, "big")
		p.must("lookup", err)
		h, err := n.Open(p.ctx, fs.OpenReadWrite)
		p.must("open", err)
		_, err = h.WriteAt(p.ctx, []byte("changed"), 12<<20)
		p.must("write", err)
		copy(data[12<<20:], "changed")
		p.must("close", errors.Join(h.Flush(p.ctx), h.Release(p.ctx)))
		p.must("Wait", d.Wait(p.ctx))
		if got := b.Requests(); got["part"] != 2 || got["copy part"] != 2 { // the last is too small to be copied
			t.Errorf("requests after a small change: %v", got)
		}
		p.must("Close", d.Close(p.ctx))
		p.d = open(t, Options{Backend: b})
		if got := p.read("big"); !bytes.Equal(got, data) {
			t.Error("other bytes came back from the store")
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestPartsOldMode changes the mode of a file whose upload has begun, and is begun anew then: the store gets that mode.
func TestPartsOldMode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var store outage
		b := mem.NewBackend(mem.BackendOptions{Before: func(ctx context.Context, r mem.Request) error {
			if r.Op == "part" {
				return store.before(ctx, r)
			}
			return nil
		}})
		store.set(errOut)
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("big", noise(25<<20), true)
		time.Sleep(5 * time.Second)
		n, err := nodeAt(p.ctx, p.d, "big")
		p.must("Lookup", err)
		mode := uint32(0o600)
		_, err = n.SetAttr(p.ctx, fs.SetAttr{Mode: &mode})
		p.must("SetAttr", err)
		store.set(nil)
		p.must("Wait", p.d.Wait(p.ctx))
		info, err := b.Stat(p.ctx, "big")
		p.must("Stat", err)
		if got := b.Requests(); info.Mode&fs.ModePerm != mode || got["begin"] != 1 {
			t.Errorf("the store has mode %o after %v", info.Mode, got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

func TestExtents(t *testing.T) {
	rng := rand.New(rand.NewPCG(4, 4))
	for range 200 {
		var e extents
		model := make([]bool, 100)
		for range 20 {
			s := span{int64(rng.IntN(100)), 0}
			s.end = s.off + int64(rng.IntN(int(101-s.off)))
			if rng.IntN(5) == 0 {
				e = e.cut(s.off)
				clear(model[s.off:])
			} else {
				e = e.add(s)
				for i := s.off; i < s.end; i++ {
					model[i] = true
				}
			}
			count := int64(0)
			for i, in := range model {
				if in {
					count++
				}
				if got := e.covers(span{int64(i), int64(i) + 1}); got != in {
					t.Fatalf("%v covers %d: %v", e, i, got)
				}
			}
			if e.bytes() != count {
				t.Fatalf("%v has %d bytes, want %d", e, e.bytes(), count)
			}
			for i := 1; i < len(e); i++ {
				if e[i-1].end >= e[i].off {
					t.Fatalf("%v overlaps", e)
				}
			}
		}
	}
}
