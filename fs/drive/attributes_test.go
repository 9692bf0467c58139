package drive

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestAttributesWhileUploaded sets a mode and a time while what they are of is on its way to the store, which answers, or does not.
func TestAttributesWhileUploaded(t *testing.T) {
	for name, begin := range map[string]func(program){
		"file":       func(p program) { p.write("f", []byte("text"), false) },
		"FIFO":       func(p program) { p.mkfifo("f") },
		"moved":      func(p program) { p.rename("other", "f") },
		"copied":     func(p program) { p.copy("other", "f") },
		"large file": func(p program) { p.write("f", noise(100<<10), false) },
	} {
		for when, c := range map[string]struct {
			before bool // the store does not have it yet
			lost   bool // the answer is
		}{"sent": {before: true}, "answered": {}, "answer lost": {lost: true}} {
			t.Run(name+", "+when, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { attributesWhileUploaded(t, begin, c.before, c.lost) })
			})
		}
	}
}

func attributesWhileUploaded(t *testing.T, begin func(program), before, lost bool) {
	var p program
	var armed atomic.Bool
	mode, at := uint32(0o751), time.Unix(1e8, 0)
	during := func(here bool) func(context.Context, mem.Request) error {
		return func(_ context.Context, r mem.Request) error {
			if !here || r.Key != "f" && r.Dst != "f" || !armed.CompareAndSwap(true, false) {
				return nil
			}
			p.setAttr("f", fs.SetAttr{Mode: &mode, Mtime: &at})
			if lost {
				return &fs.Error{Kind: fs.UnknownOutcome}
			}
			return nil
		}
	}
	b := mem.NewBackend(mem.BackendOptions{Before: during(before), After: during(!before)})
	p = program{t, t.Context(), open(t, Options{Backend: b, PartSize: 64 << 10})}
	p.write("other", []byte("other"), false)
	p.must("Wait", p.d.Wait(p.ctx))
	begin(p)
	armed.Store(true)
	p.must("Wait", p.d.Wait(p.ctx))
	_, info := object(t, b, "f")
	if got := fmt.Sprintf("%o %d", info.Mode&fs.ModePerm, info.ModTime.Unix()); got != fmt.Sprintf("%o %d", mode, at.Unix()) || armed.Load() {
		t.Errorf("the store has %s", got)
	}
	p.must("Close", p.d.Close(p.ctx))
}

// TestCopyHasItsOwnTime looks at the time of a copy in the store.
func TestCopyHasItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		b.Inject("f", []byte("text"), fs.WriteOptions{ModTime: time.Unix(1e8, 0)})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.copy("f", "copy")
		now := time.Now()
		p.must("Wait", p.d.Wait(p.ctx))
		if _, info := object(t, b, "copy"); !info.ModTime.Equal(now) {
			t.Errorf("the copy has the time %v, want %v", info.ModTime, now)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
