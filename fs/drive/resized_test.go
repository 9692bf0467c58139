package drive

import (
	"bytes"
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// oneVersion is a store that calls all bytes the same version.
type oneVersion struct{ *mem.Backend }

const always fs.Version = "always"

func (b oneVersion) List(ctx context.Context, dir string, o fs.ListOptions) (fs.Page, error) {
	p, err := b.Backend.List(ctx, dir, o)
	for i := range p.Infos {
		p.Infos[i].Version = always
	}
	return p, err
}

func (b oneVersion) Stat(ctx context.Context, key string) (fs.Info, error) {
	info, err := b.Backend.Stat(ctx, key)
	info.Version = always
	return info, err
}

func (b oneVersion) Recheck(ctx context.Context, key string) (fs.Info, error) {
	return b.Stat(ctx, key)
}

func (b oneVersion) Read(ctx context.Context, key string, o fs.ReadOptions) (fs.Reader, error) {
	o.IfVersion = ""
	return b.Backend.Read(ctx, key, o)
}

// TestResized has an object change its size and keep its version: its bytes are others, in the cache too.
func TestResized(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := oneVersion{mem.NewBackend(mem.BackendOptions{})}
		p := program{t, t.Context(), open(t, withCache(t, Options{Backend: b}))}
		before, after := noise(2<<20), noise(3 << 20)[1<<20-100:]
		b.Inject("f", before, fs.WriteOptions{})
		h := p.openFile("f", fs.OpenRead)
		if _, err := h.ReadAt(p.ctx, make([]byte, 100), 0); err != nil {
			t.Error(err)
		}
		b.Inject("f", after, fs.WriteOptions{})
		if _, err := h.ReadAt(p.ctx, make([]byte, 100), int64(len(before)-100)); fs.KindOf(err) != fs.Stale {
			t.Errorf("the file that was opened before reads on with %v, want Stale", err)
		}
		for _, wait := range []time.Duration{DefaultContentsTTL + time.Second, DefaultNamesTTL + time.Second} {
			time.Sleep(wait)
			if got := p.read("f"); !bytes.Equal(got, after) {
				t.Errorf("f has %d bytes, want those %d that it has now", len(got), len(after))
			}
			after = after[:len(after)-1000]
			b.Inject("f", after, fs.WriteOptions{})
		}
		p.must("Release", h.Release(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
	})
}
