package drive

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
)

// TestRenamedBackWhileUploaded renames a file while it is being uploaded, has it uploaded under its new name, and renames it back before
// the first upload has been answered.
func TestRenamedBackWhileUploaded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answer := make(chan struct{})
		slow := true
		b := mem.NewBackend(mem.BackendOptions{After: func(_ context.Context, r mem.Request) error {
			if r.Op == "put" && r.Key == "a" && slow {
				slow = false
				<-answer
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("a", []byte("text"), true)
		time.Sleep(2 * settleAfter)
		p.rename("a", "b")
		time.Sleep(2 * settleAfter)
		if _, _, ok := b.Contents("b"); !ok {
			t.Error("the file was not uploaded under its new name meanwhile: the test misses its case")
		}
		p.rename("b", "a")
		close(answer)
		p.must("Wait", p.d.Wait(p.ctx))
		if keys := b.Keys(""); !slices.Equal(keys, []string{"a"}) {
			t.Errorf("the store has %q, want only a", keys)
		}
		if got := string(p.read("a")); got != "text" {
			t.Errorf("a has %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
