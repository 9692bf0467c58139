package drive

import (
	"fmt"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestLooksAtKeys counts how often keys are looked at until a folder was renamed, and until files were made of which none can be uploaded
// before its folder: as often for each, however many there are.
func TestLooksAtKeys(t *testing.T) {
	const most = 10 // each file has two keys
	for _, files := range []int{200, 4000} {
		t.Run(fmt.Sprint(files, " files renamed"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := filled(files, 1)
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				_, err := dirNames(p.ctx, p.list("data"))
				p.must("list", err)
				p.rename("data", "moved")
				p.must("Wait", p.d.Wait(p.ctx))
				if keys := b.Keys("moved"); len(keys) < files || len(b.Keys("data")) > 0 {
					t.Errorf("%d of %d files were moved", len(keys), files)
				}
				p.wantLooks(files, most)
				p.must("Close", p.d.Close(p.ctx))
			})
		})
		t.Run(fmt.Sprint(files, " files made"), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := program{t, t.Context(), open(t, Options{Backend: filled(0, 0)})}
				for i := range files {
					p.write(fmt.Sprint("f", i), []byte("x"), false)
					if i%100 == 0 {
						synctest.Wait() // the loop looks
					}
				}
				p.must("Wait", p.d.Wait(p.ctx))
				p.wantLooks(files, most)
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// list returns a directory.
func (p program) list(path string) fs.Dir {
	p.t.Helper()
	n, err := nodeAt(p.ctx, p.d, path)
	p.must("lookup "+path, err)
	return n.(fs.Dir)
}

// wantLooks checks how often keys were looked at.
func (p program) wantLooks(files, most int) {
	p.t.Helper()
	synctest.Wait() // the loop looks
	p.d.mu.RLock()
	defer p.d.mu.RUnlock()
	if got := p.d.queue.looks; got > most*files {
		p.t.Errorf("%d looks for %d files, want at most %d for each", got, files, most)
	}
	if q := &p.d.queue; len(q.blocked) > 0 || len(q.ready) > 0 || len(q.fresh) > 0 {
		p.t.Errorf("with nothing pending %d keys wait, %d are ready, %d are new", len(q.blocked), len(q.ready), len(q.fresh))
	}
}
