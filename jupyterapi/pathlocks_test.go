package jupyterapi

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestConditionHoldsUntilTheEnd saves between the moments when a condition is checked and the file removed or moved: the save waits.
func TestConditionHoldsUntilTheEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ op, method, body string }{
		{"remove", remove, ""},
		{"rename", patch, `{"path":"b.txt"}`},
	} {
		t.Run(tt.op, func(t *testing.T) {
			t.Parallel()
			var s *site
			var armed atomic.Bool
			saved := make(chan int, 1)
			drive := mem.New(mem.Options{Intercept: func(_ context.Context, op, _ string) error {
				if op != tt.op || !armed.CompareAndSwap(true, false) {
					return nil
				}
				go func() {
					saved <- s.request(put, "/api/contents/a.txt", `{"type":"file","format":"text","content":"theirs"}`).StatusCode
				}()
				for waits := false; !waits && len(saved) == 0; runtime.Gosched() {
					s.api.changes.mu.Lock()
					one := s.api.changes.held["a.txt"]
					waits = one != nil && one.users == 2
					s.api.changes.mu.Unlock()
				}
				return nil
			}})
			s = newSite(t, siteOptions{drive: drive})
			s.write("a.txt", "old")
			tag := s.request(get, "/api/contents/a.txt?hash=1", "").Header.Get("ETag")
			armed.Store(true)
			if r := s.request(tt.method, "/api/contents/a.txt", tt.body, "If-Match: "+tag); r.StatusCode >= 300 {
				t.Errorf("%s of the version that was read = %d %s", tt.method, r.StatusCode, r.body)
			}
			if got := <-saved; got >= 300 {
				t.Errorf("the save = %d", got)
			}
			if got := s.read("a.txt"); got != "theirs" {
				t.Errorf("a.txt = %q, want theirs", got)
			}
			if len(s.api.changes.held) != 0 {
				t.Errorf("%d locks are left", len(s.api.changes.held))
			}
		})
	}
}

func TestPathLocks(t *testing.T) {
	t.Parallel()
	var l pathLocks
	unlock, err := l.lock(t.Context(), "b", "a", "b")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	go func() {
		_, err := l.lock(ctx, "c", "b")
		gaveUp <- err
	}()
	cancel()
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("lock() = %v, want that it was cancelled", err)
	}
	if again, err := l.lock(t.Context(), "c"); err != nil {
		t.Errorf("a lock of who gave up is held: %v", err)
	} else {
		again()
	}
	unlock()
	var wait sync.WaitGroup
	counts := map[fs.Path]int{}
	for i := range 50 {
		wait.Go(func() {
			p, q := fs.Path(fmt.Sprint(i%3)), fs.Path(fmt.Sprint((i+1)%3))
			unlock, err := l.lock(t.Context(), p, q, "one")
			if err != nil {
				t.Error(err)
				return
			}
			counts["one"]++
			unlock()
		})
	}
	wait.Wait()
	if counts["one"] != 50 || len(l.held) != 0 {
		t.Errorf("%d of 50 had their turn, %d locks are left", counts["one"], len(l.held))
	}
}
