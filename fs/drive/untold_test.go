package drive

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// untoldDrive is a drive over a store that others have filled, of which nothing was looked at.
func untoldDrive(t *testing.T) (program, *mem.Backend, fs.WriteOptions) {
	b := mem.NewBackend(mem.BackendOptions{})
	o := fs.WriteOptions{ModTime: time.Unix(1e9, 0), Mode: 0o750, HasMode: true, FileID: fs.NewFileID()}
	for _, path := range []string{"top/small", "top/deep/small"} {
		b.Inject(path, []byte("small"), o)
	}
	b.Inject("top/large", []byte(strings.Repeat("large ", 1000)), o)
	b.Inject("top/deep/link", nil, fs.WriteOptions{Link: "small"})
	b.Inject("top/deep/fifo", nil, fs.WriteOptions{Special: fs.Special{Mode: fs.ModeFIFO}, Mode: 0o640, HasMode: true})
	return program{t, t.Context(), open(t, Options{Backend: b})}, b, o
}

func (p program) setAttr(path string, set fs.SetAttr) {
	p.t.Helper()
	n, err := nodeAt(p.ctx, p.d, path)
	p.must("lookup of "+path, err)
	_, err = n.SetAttr(p.ctx, set)
	p.must("setattr of "+path, err)
}

// TestUntoldAttributes changes files of which only names and sizes are known: what the store has of the others is not lost.
func TestUntoldAttributes(t *testing.T) {
	mode, size, at := uint32(0o700), int64(3), time.Unix(2e9, 0)
	for _, c := range []struct {
		name    string
		do      func(p program)
		path    string
		mode    uint32 // that the store has in the end
		modTime int64  // seconds; 0 = any
		other   bool   // it is another document
	}{
		{"chmod", func(p program) { p.setAttr("top/small", fs.SetAttr{Mode: &mode}) }, "top/small", mode, 1e9, false},
		{"chmod to what was shown", func(p program) {
			shown := uint32(0o644)
			p.setAttr("top/large", fs.SetAttr{Mode: &shown})
		}, "top/large", 0o644, 1e9, false},
		{"touch", func(p program) { p.setAttr("top/small", fs.SetAttr{Mtime: &at}) }, "top/small", 0o750, 2e9, false},
		{"chmod and touch", func(p program) {
			p.setAttr("top/small", fs.SetAttr{Mode: &mode})
			p.setAttr("top/small", fs.SetAttr{Mtime: &at})
		}, "top/small", mode, 2e9, false},
		{"truncated", func(p program) { p.setAttr("top/large", fs.SetAttr{Size: &size}) }, "top/large", 0o750, 0, false},
		{"changed in place", func(p program) { p.edit("top/large", "x") }, "top/large", 0o750, 0, false},
		{"replaced", func(p program) { p.replace("top/large", "x") }, "top/large", 0o750, 0, false},
		{"replaced twice", func(p program) { p.replace("top/large", "x"); p.replace("top/large", "y") }, "top/large", 0o750, 0, false},
		{"renamed over", func(p program) { p.write("tmp", nil, false); p.rename("tmp", "top/large") }, "top/large", 0o644, 0, false},
		{"moved", func(p program) { p.rename("top/small", "small") }, "small", 0o750, 1e9, false},
		{"moved and changed", func(p program) { p.rename("top/large", "f"); p.edit("f", "x") }, "f", 0o750, 0, false},
		{"moved, uploaded and changed", func(p program) {
			p.rename("top/small", "f")
			p.must("Wait", p.d.Wait(p.ctx))
			p.edit("f", "x")
		}, "f", 0o750, 0, false},
		{"moved and chmod", func(p program) { p.rename("top/small", "f"); p.setAttr("f", fs.SetAttr{Mode: &mode}) }, "f", mode, 1e9, false},
		{"moved with its folder and changed", func(p program) { p.rename("top", "t"); p.edit("t/deep/small", "x") }, "t/deep/small", 0o750, 0, false},
		{"copied", func(p program) { p.copy("top/large", "f") }, "f", 0o750, 946684800, true},
		{"chmod and copied", func(p program) {
			p.setAttr("top/large", fs.SetAttr{Mode: &mode})
			p.copy("top/large", "f")
		}, "f", mode, 946684800, true},
		{"replaced and moved", func(p program) { p.replace("top/large", "x"); p.rename("top/large", "f") }, "f", 0o750, 0, false},
		{"rewritten and moved", func(p program) { p.write("top/large", []byte("x"), false); p.rename("top/large", "f") }, "f", 0o750, 0, false},
		{"rewritten in a moved folder", func(p program) { p.write("top/large", []byte("x"), false); p.rename("top", "t") }, "t/large", 0o750, 0, false},
		{"moved, rewritten and moved", func(p program) {
			p.rename("top/large", "top/l")
			p.write("top/l", []byte("x"), false)
			p.rename("top/l", "f")
		}, "f", 0o750, 0, false},
		{"rewritten and moved over a new one", func(p program) {
			p.write("f", []byte("y"), false)
			p.must("Wait", p.d.Wait(p.ctx))
			p.write("top/large", []byte("x"), false)
			p.rename("top/large", "f")
		}, "f", 0o750, 0, false},
		{"replaced and copied", func(p program) { p.replace("top/large", "x"); p.copy("top/large", "f") }, "f", 0o750, 0, true},
		{"changed and copied", func(p program) { p.edit("top/large", "x"); p.copy("top/large", "f") }, "f", 0o750, 0, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b, o := untoldDrive(t)
				c.do(p)
				p.must("Wait", p.d.Wait(p.ctx))
				_, info := object(t, b, c.path)
				if info.Mode != c.mode || c.modTime != 0 && info.ModTime.Unix() != c.modTime || (info.FileID == o.FileID) == c.other {
					t.Errorf("the store has mode %o, time %d, id %v; want %o, %d, %v (of another document: %v)",
						info.Mode, info.ModTime.Unix(), info.FileID, c.mode, c.modTime, o.FileID, c.other)
				}
				time.Sleep(p.d.opts.ContentsTTL + time.Second)
				n := p.openFile(c.path, fs.OpenRead).Node()
				if a, err := n.Attr(p.ctx); err != nil || a.Mode&fs.ModePerm != c.mode || c.modTime != 0 && a.Mtime.Unix() != c.modTime {
					t.Errorf("when it is opened it has %o, %d, %v", a.Mode, a.Mtime.Unix(), err)
				}
				if id, err := n.FileID(p.ctx); err != nil || id != info.FileID {
					t.Errorf("FileID() = %v, %v, the store has %v", id, err, info.FileID)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestUntoldIdentity asks for the identity of a document that was never opened.
func TestUntoldIdentity(t *testing.T) {
	mode := uint32(0o700)
	for _, c := range []struct {
		name string
		do   func(p program)
		path string
	}{
		{"large", func(program) {}, "top/large"},
		{"small", func(program) {}, "top/small"},
		{"chmod", func(p program) { p.setAttr("top/large", fs.SetAttr{Mode: &mode}) }, "top/large"},
		{"open for writing", func(p program) {
			h := p.openFile("top/large", fs.OpenReadWrite)
			p.t.Cleanup(func() { p.must("Release", h.Release(p.ctx)) })
		}, "top/large"},
		{"changed", func(p program) { p.edit("top/large", "x") }, "top/large"},
		{"replaced", func(p program) { p.replace("top/large", "x") }, "top/large"},
		{"rewritten", func(p program) { p.write("top/large", []byte("x"), false) }, "top/large"},
		{"renamed over", func(p program) { p.write("tmp", []byte("x"), false); p.rename("tmp", "top/large") }, "top/large"},
		{"moved and changed", func(p program) { p.rename("top/large", "f"); p.edit("f", "x") }, "f"},
		{"replaced and moved", func(p program) { p.replace("top/large", "x"); p.rename("top/large", "f") }, "f"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p, b, o := untoldDrive(t)
				t.Cleanup(func() { p.must("Close", p.d.Close(context.Background())) })
				c.do(p)
				n, err := nodeAt(p.ctx, p.d, c.path)
				p.must("lookup", err)
				if id, err := n.FileID(p.ctx); err != nil || id != o.FileID {
					t.Errorf("FileID() = %v, %v, want %v", id, err, o.FileID)
				}
				p.must("Wait", p.d.Wait(p.ctx))
				if _, info := object(t, b, c.path); info.FileID != o.FileID {
					t.Errorf("the store has %v, want %v", info.FileID, o.FileID)
				}
			})
		})
	}
}

// TestUntoldExchange has a file that was rewritten change places with another one: each keeps what it had.
func TestUntoldExchange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, large := untoldDrive(t)
		other := fs.WriteOptions{ModTime: large.ModTime, Mode: 0o711, HasMode: true, FileID: fs.NewFileID()}
		b.Inject("top/other", []byte("other"), other)
		p.write("top/large", []byte("x"), false)
		p.exchange("top/large", "top/other")
		p.must("Wait", p.d.Wait(p.ctx))
		for path, want := range map[string]fs.WriteOptions{"top/other": large, "top/large": other} {
			if _, info := object(t, b, path); info.Mode != want.Mode || info.FileID != want.FileID {
				t.Errorf("%s has mode %o, id %v, want %o, %v", path, info.Mode, info.FileID, want.Mode, want.FileID)
			}
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestUntoldCircle has two files that were rewritten change places, of which each waits for the other: nothing is copied for that.
func TestUntoldCircle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, large := untoldDrive(t)
		other := fs.WriteOptions{ModTime: large.ModTime, Mode: 0o711, HasMode: true, FileID: fs.NewFileID()}
		b.Inject("top/other", []byte("other"), other)
		p.write("top/large", []byte("large"), false)
		p.write("top/other", []byte("OTHER"), false)
		p.exchange("top/large", "top/other")
		b.ResetRequests()
		p.must("Wait", p.d.Wait(p.ctx))
		for path, want := range map[string]fs.WriteOptions{"top/other": large, "top/large": other} {
			if _, info := object(t, b, path); info.Mode != want.Mode || info.FileID != want.FileID {
				t.Errorf("%s has mode %o, id %v, want %o, %v", path, info.Mode, info.FileID, want.Mode, want.FileID)
			}
		}
		if r := b.Requests(); r["copy"] != 0 || r["read"] != 0 || r["stat"] != 1 { // the small one was asked about when it was opened
			t.Errorf("it took the requests %v", r)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// wantLinks looks at the symbolic link and the FIFO in a folder.
func (p program) wantLinks(dir string) {
	p.t.Helper()
	for path, want := range map[string]uint32{dir + "/link": fs.ModeSymlink, dir + "/fifo": fs.ModeFIFO} {
		n, err := nodeAt(p.ctx, p.d, path)
		p.must("lookup of "+path, err)
		if h, err := n.Open(p.ctx, fs.OpenRead); err == nil {
			p.t.Errorf("%s was opened as a file", path)
			p.must("release", h.Release(p.ctx))
		}
		n, err = nodeAt(p.ctx, p.d, path)
		p.must("lookup of "+path, err)
		if a, err := n.Attr(p.ctx); err != nil || a.Mode&fs.ModeType != want {
			p.t.Errorf("%s is %o, %v, want %o", path, a.Mode, err, want)
		}
	}
}

// wantStored checks what the store has of the two.
func (p program) wantStored(b *mem.Backend, dir string, mode uint32) {
	p.t.Helper()
	_, link := object(p.t, b, dir+"/link")
	_, fifo := object(p.t, b, dir+"/fifo")
	if link.Link != "small" || fifo.Special.Mode != fs.ModeFIFO || fifo.Mode != mode {
		p.t.Errorf("the store has %+v and %+v", link, fifo)
	}
}

// TestWarmAsksForAll has all asked for of a folder that others have filled, before a program that takes what it is shown for the truth.
func TestWarmAsksForAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, o := untoldDrive(t)
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, withCache(t, Options{Backend: b}))
		before := b.Requests()["stat"]
		for range 2 {
			_, err := p.d.Warm(p.ctx, "top", nil)
			p.must("warm", err)
		}
		if n := b.Requests()["stat"] - before; n != 5 {
			t.Errorf("%d objects were asked for, want each of the 5 once", n)
		}
		for path, want := range map[string]uint32{
			"top/small": fs.ModeFile | o.Mode, "top/large": fs.ModeFile | o.Mode, "top/deep/link": fs.ModeSymlink | 0o777, "top/deep/fifo": fs.ModeFIFO | 0o640,
		} {
			n, err := nodeAt(p.ctx, p.d, path)
			p.must("lookup of "+path, err)
			if a, err := n.Attr(p.ctx); err != nil || a.Mode != want || a.Type() == fs.File && !a.Mtime.Equal(o.ModTime) {
				t.Errorf("%s has mode %o and time %v, %v, want %o, %v", path, a.Mode, a.Mtime, err, want, o.ModTime)
			}
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestUntoldType opens symbolic links and special files that were moved before anybody had looked at them.
func TestUntoldType(t *testing.T) {
	moves := map[string]func(p program){
		"their folder":      func(p program) { p.rename("top/deep", "d") },
		"the one above":     func(p program) { p.rename("top", "t"); p.rename("t/deep", "d") },
		"after it was seen": func(p program) { p.list("top/deep"); p.rename("top/deep", "d") },
		"twice":             func(p program) { p.rename("top", "t"); p.list("t/deep"); p.rename("t", "u"); p.rename("u/deep", "d") },
		"one by one": func(p program) {
			p.mkdir("d")
			p.rename("top/deep/link", "d/link")
			p.rename("top/deep/fifo", "d/fifo")
		},
		"and back and forth": func(p program) { p.rename("top/deep", "d"); p.rename("d", "top/deep"); p.rename("top/deep", "d") },
	}
	whens := map[string]func(p program){
		"at once": func(program) {}, "uploaded": func(p program) { p.must("Wait", p.d.Wait(p.ctx)) },
		"just being uploaded": func(program) { time.Sleep(settleAfter + time.Millisecond); synctest.Wait() },
	}
	for what, move := range moves {
		for when, wait := range whens {
			t.Run(fmt.Sprint(what, " ", when), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					p, b, _ := untoldDrive(t)
					move(p)
					wait(p)
					for range 2 {
						p.wantLinks("d")
						p.must("Wait", p.d.Wait(p.ctx))
					}
					p.wantStored(b, "d", 0o640)
					if keys := b.Keys("top/deep"); len(keys) != 0 && what != "one by one" {
						t.Errorf("the store has %q still", keys)
					}
					p.must("Close", p.d.Close(p.ctx))
				})
			})
		}
	}
}

// TestMovedFileOfOthers has others replace a file that was opened and moved here, before the store was told: it has what they gave it.
func TestMovedFileOfOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, b, o := untoldDrive(t)
		p.read("top/small")
		p.rename("top/small", "f")
		o.Mode, o.ModTime = 0o711, time.Unix(3e9, 0)
		b.Inject("top/small", []byte("of others"), o)
		p.must("Wait", p.d.Wait(p.ctx))
		_, info := object(t, b, "f")
		n, err := nodeAt(p.ctx, p.d, "f")
		p.must("lookup", err)
		a, err := n.Attr(p.ctx)
		p.must("stat", err)
		if info.Mode != o.Mode || a.Mode&fs.ModePerm != o.Mode || !info.ModTime.Equal(o.ModTime) || !a.Mtime.Equal(o.ModTime) {
			t.Errorf("it has %o, %v here, %o, %v in the store, want %o, %v", a.Mode, a.Mtime, info.Mode, info.ModTime, o.Mode, o.ModTime)
		}
		if got := string(p.read("f")); got != "of others" {
			t.Errorf("it reads %q", got)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}
