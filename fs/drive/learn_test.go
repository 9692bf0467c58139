package drive

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestUntoldTypeChanged changes symbolic links and special files as if they were files, before anybody has looked at them.
func TestUntoldTypeChanged(t *testing.T) {
	mode, size, at := uint32(0o600), int64(3), time.Unix(2e9, 0)
	truncate := func(p program, path string) {
		n, err := nodeAt(p.ctx, p.d, path)
		p.must("lookup", err)
		if _, err := n.SetAttr(p.ctx, fs.SetAttr{Size: &size}); err == nil {
			p.t.Errorf("%s was truncated", path)
		}
	}
	for _, c := range []struct {
		name string
		do   func(p program)
		dir  string
		mode uint32 // of the FIFO in the end
	}{
		{"chmod", func(p program) { p.setAttr("top/deep/fifo", fs.SetAttr{Mode: &mode}) }, "top/deep", mode},
		{"chmod, uploaded", func(p program) {
			p.setAttr("top/deep/fifo", fs.SetAttr{Mode: &mode})
			p.must("Wait", p.d.Wait(p.ctx))
		}, "top/deep", mode},
		{"touch", func(p program) { p.setAttr("top/deep/link", fs.SetAttr{Mtime: &at}) }, "top/deep", 0o640},
		{"moved, chmod", func(p program) { p.rename("top/deep", "d"); p.setAttr("d/fifo", fs.SetAttr{Mode: &mode}) }, "d", mode},
		{"truncated", func(p program) { truncate(p, "top/deep/link") }, "top/deep", 0o640},
		{"moved, truncated", func(p program) { p.rename("top/deep", "d"); truncate(p, "d/link") }, "d", 0o640},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b, _ := untoldDrive(t)
				c.do(p)
				for range 2 {
					p.wantLinks(c.dir)
					p.must("Wait", p.d.Wait(p.ctx))
				}
				p.wantStored(b, c.dir, c.mode)
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestUntoldTypeInFlight looks at symbolic links and special files while a request that takes them for files is under way.
func TestUntoldTypeInFlight(t *testing.T) {
	mode := uint32(0o600)
	for _, moves := range []bool{false, true} {
		for _, when := range []string{"before", "after"} {
			for _, again := range []bool{false, true} {
				t.Run(fmt.Sprint("moved ", moves, ", ", when, " the request, moved then ", again), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := mem.NewBackend(mem.BackendOptions{})
						b.Inject("top/link", nil, fs.WriteOptions{Link: "small"})
						b.Inject("top/fifo", nil, fs.WriteOptions{Special: fs.Special{Mode: fs.ModeFIFO}, Mode: 0o640, HasMode: true})
						o, gate, dir := Options{Backend: b}, make(chan struct{}), "top"
						o.hook = func(point string) {
							if point == "store:copy:"+when || point == "store:meta:"+when {
								<-gate
							}
						}
						p := program{t, t.Context(), open(t, o)}
						if moves {
							p.rename(dir, "d")
							dir = "d"
						}
						p.setAttr(dir+"/fifo", fs.SetAttr{Mode: &mode})
						time.Sleep(settleAfter + time.Millisecond)
						synctest.Wait()
						p.wantLinks(dir)
						if again {
							p.rename(dir, "e")
							dir = "e"
						}
						close(gate)
						p.must("Wait", p.d.Wait(p.ctx))
						p.wantLinks(dir)
						p.wantStored(b, dir, mode)
						p.must("Close", p.d.Close(p.ctx))
					})
				})
			}
		}
	}
}

// TestUntoldTypeOffline writes to a symbolic link while nobody can know that it is one: both are kept.
func TestUntoldTypeOffline(t *testing.T) {
	for name, do := range map[string]func(p program){
		"rewritten": func(p program) { p.write("top/link", []byte("mine"), false) },
		"replaced":  func(p program) { p.replace("top/link", "mine") },
		"moved, rewritten": func(p program) {
			p.rename("top/link", "top/l")
			p.write("top/l", []byte("mine"), false)
		},
		"rewritten, moved": func(p program) {
			p.write("top/link", []byte("mine"), false)
			p.rename("top/link", "top/l")
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store outage
				b := mem.NewBackend(mem.BackendOptions{Before: store.before})
				b.Inject("top/link", nil, fs.WriteOptions{Link: "small"})
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				_, err := listOf(p.ctx, p.d, "top")
				p.must("List", err)
				store.set(errOut)
				time.Sleep(time.Hour)
				do(p)
				store.set(nil)
				time.Sleep(time.Hour)
				p.must("Wait", p.d.Wait(p.ctx))
				links, files := 0, 0
				for _, key := range b.Keys("") {
					switch data, info := object(t, b, key); {
					case info.Link == "small":
						links++
					case string(data) == "mine":
						files++
					}
				}
				if links != 1 || files != 1 {
					t.Errorf("the store has %q: %d links, %d files", b.Keys(""), links, files)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestUntoldOnce opens a file that may be something else: the store is asked once.
func TestUntoldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, _ := untoldDrive(t)
		mode, at := uint32(0o700), time.Unix(2e9, 0)
		p.setAttr("top/small", fs.SetAttr{Mode: &mode, Mtime: &at})
		n, err := nodeAt(p.ctx, p.d, "top/small")
		p.must("lookup", err)
		p.must("Adopt", n.(*file).Adopt(p.ctx, fs.NewFileID())) // nothing else is untold
		p.must("Wait", p.d.Wait(p.ctx))
		b.ResetRequests()
		for range 3 {
			p.read("top/small")
		}
		if asked := b.Requests()["stat"]; asked != 1 {
			t.Errorf("the store was asked %d times", asked)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestUntoldRestart restarts before anything is uploaded.
func TestUntoldRestart(t *testing.T) {
	mode := uint32(0o700)
	for _, c := range []struct {
		name string
		do   func(p program)
		path string
		mode uint32
	}{
		{"nothing", func(program) {}, "top/large", 0o750},
		{"moved", func(p program) { p.rename("top/large", "f") }, "f", 0o750},
		{"rewritten and moved", func(p program) { p.write("top/large", []byte("x"), true); p.rename("top/large", "f") }, "f", 0o750},
		{"replaced", func(p program) { p.replace("top/large", "x") }, "top/large", 0o750},
		{"replaced in a moved folder", func(p program) { p.replace("top/large", "x"); p.rename("top", "t") }, "t/large", 0o750},
		{"chmod", func(p program) { p.setAttr("top/large", fs.SetAttr{Mode: &mode}) }, "top/large", mode},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b, o := untoldDrive(t)
				_, err := listOf(p.ctx, p.d, "top")
				p.must("List", err)
				c.do(p)
				p.must("Close", p.d.Close(p.ctx))
				p.d = open(t, p.d.opts)
				p.rename(c.path, "g")
				p.edit("g", "yy")
				p.must("Wait", p.d.Wait(p.ctx))
				if _, info := object(t, b, "g"); info.Mode != c.mode || info.FileID != o.FileID {
					t.Errorf("the store has mode %o, id %v, want %o, %v", info.Mode, info.FileID, c.mode, o.FileID)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestReplacedByOthers has others write a version without an identity over a file: the path keeps its own.
func TestReplacedByOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, o := untoldDrive(t)
		id := o.FileID
		p.read("top/small")
		o.Mode, o.FileID = 0o711, fs.FileID{}
		b.Inject("top/small", []byte("others"), o)
		time.Sleep(time.Hour)
		p.rename("top/small", "f")
		p.edit("f", "x")
		p.must("Wait", p.d.Wait(p.ctx))
		if _, info := object(t, b, "f"); info.Mode != 0o711 || info.FileID != id {
			t.Errorf("the store has mode %o, id %v, want %o, %v", info.Mode, info.FileID, o.Mode, id)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
