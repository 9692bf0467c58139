package drive

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestSavedOften saves a file more often than once a second for minutes: the store is some seconds behind, and asked no more often than that.
func TestSavedOften(t *testing.T) {
	const every, saves = 300 * time.Millisecond, 400 // two minutes
	for name, save := range map[string]func(p program, text string){
		"in place": func(p program, text string) { p.write("f", []byte(text), false) },
		"by a rename over": func(p program, text string) {
			p.write("f.tmp", []byte(text), true)
			p.rename("f.tmp", "f")
		},
		"by the API": func(p program, text string) { p.save(text) },
	} {
		for _, there := range []bool{true, false} {
			t.Run(fmt.Sprint(name, ", there: ", there), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := mem.NewBackend(mem.BackendOptions{})
					if there {
						b.Inject("f", []byte("0"), fs.WriteOptions{})
					}
					p := program{t, t.Context(), open(t, Options{Backend: b})}
					savedOften(p, b, saves, every, func(n int) { save(p, fmt.Sprint(n)) })
					p.must("Close", p.d.Close(p.ctx))
				})
			})
		}
	}
	t.Run("by fsync", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := mem.NewBackend(mem.BackendOptions{})
			p := program{t, t.Context(), open(t, Options{Backend: b})}
			h := p.create("f")
			savedOften(p, b, saves, every, func(n int) {
				_, err := h.WriteAt(p.ctx, []byte(fmt.Sprint(n)), 0)
				p.must("WriteAt", err)
				p.must("Sync", h.Sync(p.ctx))
			})
			p.must("Release", h.Release(p.ctx))
			p.must("Close", p.d.Close(p.ctx))
		})
	})
}

// savedOften calls save with 1, 2, 3 and so on, and looks at what the store has of it.
func savedOften(p program, b *mem.Backend, saves int, every time.Duration, save func(int)) {
	p.t.Helper()
	begin := time.Now()
	worst := time.Duration(0)
	for n := 1; n <= saves; n++ {
		save(n)
		time.Sleep(every)
		synctest.Wait()
		stored := 0
		if text := strings.TrimSpace(string(p.inStore(b, "f"))); text != "" {
			_, err := fmt.Sscan(text, &stored)
			p.must("scan "+text, err)
		}
		worst = max(worst, time.Duration(n-stored)*every)
	}
	if worst > savedMax+2*settleAfter {
		p.t.Errorf("the store is %v behind, want %v at most", worst, savedMax)
	}
	took := time.Since(begin)
	if puts := b.Requests()["put"]; puts > int(took/savedMax)+1 {
		p.t.Errorf("%d uploads in %v, want one in %v", puts, took, savedMax)
	}
}
