package drive

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestFolderModes changes modes of folders, and looks what a drive makes of them that knows the store alone.
func TestFolderModes(t *testing.T) {
	chmod := func(p program, path string, mode uint32) {
		n, err := nodeAt(p.ctx, p.d, path)
		p.must("lookup "+path, err)
		_, err = n.SetAttr(p.ctx, fs.SetAttr{Mode: &mode})
		p.must("chmod "+path, err)
	}
	mkdir := func(p program, path string, mode uint32) {
		x, name, err := at(p.ctx, p.d, path)
		p.must("find "+path, err)
		_, err = x.Mkdir(p.ctx, name, fs.CreateOptions{Mode: mode})
		p.must("mkdir "+path, err)
	}
	wait := func(p program) { p.must("Wait", p.d.Wait(p.ctx)) }
	for _, c := range []struct {
		name string
		do   func(p program)
		path string
		want uint32
	}{
		{"made so", func(p program) { mkdir(p, "d", 0o700) }, "d", 0o700},
		{"made and changed", func(p program) { mkdir(p, "d", 0o755); chmod(p, "d", 0o500) }, "d", 0o500},
		{"changed when it is there", func(p program) { mkdir(p, "d", 0o755); wait(p); chmod(p, "d", 0o2775) }, "d", 0o2775},
		{"changed back", func(p program) { mkdir(p, "d", 0o700); wait(p); chmod(p, "d", 0o755) }, "d", 0o755},
		{"only a prefix", func(p program) { chmod(p, "theirs", 0o711) }, "theirs", 0o711},
		{"moved", func(p program) { mkdir(p, "d", 0o700); wait(p); p.rename("d", "e") }, "e", 0o700},
		{"moved with the one above", func(p program) {
			mkdir(p, "d", 0o755)
			mkdir(p, "d/sub", 0o700)
			wait(p)
			p.rename("d", "e")
		}, "e/sub", 0o700},
		{"moved before it was looked into", func(p program) { p.rename("marked", "e") }, "e", 0o750},
		{"moved before the one above was looked into", func(p program) { p.rename("above", "e") }, "e/marked", 0o770},
		{"of others", func(program) {}, "marked", 0o750},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := mem.NewBackend(mem.BackendOptions{})
				b.Inject("theirs/f", []byte("f"), fs.WriteOptions{})
				for path, mode := range map[string]uint32{"marked": 0o750, "above/marked": 0o770} {
					_, err := b.Mark(t.Context(), path, fs.MetaPatch{Mode: &mode})
					if err != nil {
						t.Fatal(err)
					}
					b.Inject(path+"/f", []byte("f"), fs.WriteOptions{})
				}
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				c.do(p)
				wait(p)
				p.must("Close", p.d.Close(p.ctx))
				p.d = open(t, Options{Backend: b})
				for _, looked := range []bool{false, true} {
					n, err := nodeAt(p.ctx, p.d, c.path)
					p.must("Lookup", err)
					a, err := n.Attr(p.ctx)
					p.must("Attr", err)
					if got := a.Mode & fs.ModePerm; looked && got != c.want {
						t.Errorf("the store says mode %o, want %o", got, c.want)
					}
					_, err = dirNames(p.ctx, n.(fs.Dir))
					p.must("List", err)
					synctest.Wait()
				}
				_, err := treeOf(p.ctx, p.d)
				p.must("List", err)
				synctest.Wait()
				b.ResetRequests()
				time.Sleep(time.Minute)
				_, err = treeOf(p.ctx, p.d)
				p.must("List", err)
				if n := b.Requests()["marked"]; n > 0 {
					t.Errorf("the store was asked %d times for markers that are known", n)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}
