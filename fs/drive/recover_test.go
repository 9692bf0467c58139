package drive

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestKilledWhileShrinking kills the daemon at each step of the commit of a file that was made shorter.
func TestKilledWhileShrinking(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Backend: mem.NewBackend(mem.BackendOptions{}), State: memoryDir(t)}
		var mu sync.Mutex // guards all below: the drive's own goroutine has hooks too
		var copies []string
		var failed error
		copying := false
		o.hook = func(point string) {
			mu.Lock()
			defer mu.Unlock()
			if !copying || point != "journal:before" && point != "journal:after" {
				return
			}
			to := filepath.Join(memoryDir(t), "state")
			failed = errors.Join(failed, os.CopyFS(to, os.DirFS(o.State)))
			copies = append(copies, to)
		}
		p := program{t, t.Context(), open(t, o)}
		h := p.create("f")
		_, err := h.WriteAt(p.ctx, []byte("a long text"), 0)
		p.must("WriteAt", err)
		p.must("Flush", h.Flush(p.ctx))
		size := int64(6)
		_, err = h.SetAttr(p.ctx, fs.SetAttr{Size: &size})
		p.must("SetAttr", err)
		record := func(on bool) {
			mu.Lock()
			defer mu.Unlock()
			copying = on
		}
		record(true)
		p.must("Flush", h.Flush(p.ctx))
		record(false)
		p.must("Release", h.Release(p.ctx))
		p.must("copying", failed)
		p.must("Close", p.d.Close(p.ctx))
		o.hook = nil
		if len(copies) < 3 {
			t.Fatalf("there were %d steps", len(copies))
		}
		for i, state := range copies {
			o.State = state
			p.d = open(t, o)
			if got := string(p.read("f")); got != "a long text" && got != "a long" {
				t.Errorf("killed at step %d: %q", i, got)
			}
			p.must("Close", p.d.Close(p.ctx))
		}
	})
}

// TestOthersLost takes away one of two staging files of a file: the other is not thrown away.
func TestOthersLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := Options{Backend: mem.NewBackend(mem.BackendOptions{}), State: memoryDir(t)}
		p := program{t, t.Context(), open(t, o)}
		p.write("f", []byte("below"), false)
		_, err := p.d.Copy(p.ctx, "f", "copy") // so that the bytes below are needed as they are
		p.must("Copy", err)
		staged := func() []string {
			names, err := filepath.Glob(filepath.Join(o.State, "staging", "*"))
			p.must("Glob", err)
			return names
		}
		lower := staged()
		n, err := nodeAt(p.ctx, p.d, "f")
		p.must("Lookup", err)
		h, err := n.Open(p.ctx, fs.OpenReadWrite)
		p.must("Open", err)
		_, err = h.WriteAt(p.ctx, []byte("above"), 10)
		p.must("WriteAt", err)
		p.must("Release", errors.Join(h.Flush(p.ctx), h.Release(p.ctx)))
		p.must("Close", p.d.Close(p.ctx))
		if len(lower) != 1 || len(staged()) != 2 {
			t.Fatalf("%d staging files, then %d", len(lower), len(staged()))
		}
		p.must("Remove", os.Remove(lower[0]))
		p.d = open(t, o)
		kept, err := filepath.Glob(filepath.Join(o.State, "lost", "*"))
		p.must("Glob", err)
		if len(kept) != 1 || len(staged()) != 0 {
			t.Fatalf("%d staging files are kept, and %d are in use", len(kept), len(staged()))
		}
		data, err := os.ReadFile(kept[0])
		p.must("ReadFile", err)
		if got := string(data); got != "\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00above" {
			t.Errorf("kept is %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
