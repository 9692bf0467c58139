package drive

import (
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

func (p program) mknod(path string, what fs.Special, mode uint32) fs.Node {
	p.t.Helper()
	x, name, err := at(p.ctx, p.d, path)
	p.must("find "+path, err)
	n, err := x.(fs.Mknoder).Mknod(p.ctx, name, what.Mode|mode, what.Rdev, fs.CreateOptions{})
	p.must("mknod "+path, err)
	return n
}

// specials are what the tests make, by name.
var specials = map[string]fs.Special{
	"fifo": {Mode: fs.ModeFIFO}, "socket": {Mode: fs.ModeSocket}, "char": {Mode: fs.ModeChar, Rdev: 0x103}, "block": {Mode: fs.ModeBlock, Rdev: 0x700},
}

func (p program) wantSpecials(what string, mode uint32) {
	p.t.Helper()
	for name, want := range specials {
		n, err := nodeAt(p.ctx, p.d, name)
		p.must("lookup "+name, err)
		a, err := n.Attr(p.ctx)
		if err != nil || a.Type() != fs.Other || a.Mode != want.Mode|mode || a.Rdev != want.Rdev || a.Size != 0 || a.Version != "" {
			p.t.Errorf("%s: %s is %+v, %v", what, name, a, err)
		}
		if _, err := n.Open(p.ctx, fs.OpenRead); fs.Errno(err) != syscall.ENXIO {
			p.t.Errorf("%s: open of %s = %v, want ENXIO", what, name, err)
		}
	}
}

// TestSpecialFiles makes special files, of which the journal knows, another daemon and one that was started without the store.
func TestSpecialFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRestarts(t)
		for name, what := range specials {
			r.mknod(name, what, 0o600)
		}
		r.wantSpecials("made", 0o600)
		r.restart(true)
		r.wantSpecials("after a kill", 0o600)
		r.must("Wait", r.d.Wait(r.ctx))
		mode := uint32(0o640)
		for name := range specials {
			n, err := nodeAt(r.ctx, r.d, name)
			r.must("lookup", err)
			_, err = n.SetAttr(r.ctx, fs.SetAttr{Mode: &mode})
			r.must("chmod", err)
		}
		r.must("Wait", r.d.Wait(r.ctx))
		r.wantSpecials("after chmod", mode)
		for name, want := range specials {
			if _, info, ok := r.b.Contents(name); !ok || info.Special != want || info.Mode != mode || info.Size != 0 {
				t.Errorf("the store has %s as %+v, %v", name, info, ok)
			}
		}
		r.restart(false)
		r.wantSpecials("after a restart", mode)

		other := program{t, r.ctx, open(t, Options{Backend: r.b, ID: fs.DriveID{9}})}
		r.b.ResetRequests()
		_, err := entriesOf(r.ctx, other.d.Root())
		other.must("list", err)
		if n := r.b.Requests()["stat"]; n != 0 {
			t.Errorf("%d objects were asked for by a listing", n)
		}
		for name := range specials { // which is when the store is asked what they are
			n, err := nodeAt(r.ctx, other.d, name)
			other.must("lookup", err)
			if _, err := n.Open(r.ctx, fs.OpenRead); fs.Errno(err) != syscall.ENXIO {
				t.Errorf("first open of %s = %v, want ENXIO", name, err)
			}
		}
		other.wantSpecials("for another daemon", mode)
		other.must("Close", other.d.Close(r.ctx))
		r.must("Close", r.d.Close(r.ctx))
	})
}

// TestSpecialFilesWithoutStore starts a daemon that finds special files in what was written down of listings.
func TestSpecialFilesWithoutStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRestarts(t)
		r.b.Inject("pipe", nil, fs.WriteOptions{Special: fs.Special{Mode: fs.ModeFIFO}, Mode: 0o600, HasMode: true})
		r.b.Inject("char", nil, fs.WriteOptions{Special: fs.Special{Mode: fs.ModeChar, Rdev: 0x103}, Mode: 0o600, HasMode: true})
		for _, name := range []string{"pipe", "char"} {
			if got, err := textOf(r.ctx, r.d, name); err != nil {
				t.Errorf("%s: %q, %v", name, got, err)
			}
		}
		time.Sleep(time.Minute)
		r.restart(false)
		r.away.Store(true)
		r.must("Close", r.d.Close(r.ctx))
		r.o.State = memoryDir(t) // the listings alone are left
		r.d = open(t, r.o)
		for name, want := range map[string]string{"pipe": "special 10600 0", "char": "special 20600 103"} {
			if got, err := textOf(r.ctx, r.d, name); err != nil || got != want {
				t.Errorf("without the store %s is %q, %v, want %q", name, got, err, want)
			}
		}
		r.must("Close", r.d.Close(r.ctx))
	})
}

// TestSpecialFileReplaced gives the names of special files to others, and the reverse.
func TestSpecialFileReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("f", nil, false)
		p.mkfifo("pipe")
		p.must("Wait", p.d.Wait(p.ctx))
		p.remove("f")
		p.mkfifo("f")
		p.remove("pipe")
		p.write("pipe", nil, false)
		p.must("Wait", p.d.Wait(p.ctx))
		want := tree{"f": "special 10600 0", "pipe": ""}
		p.wantTree("here", want)
		p.must("Close", p.d.Close(p.ctx))
		p.d = open(t, Options{Backend: b, ID: fs.DriveID{9}})
		p.wantTree("for another daemon", want)
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestSpecialFileOfTwo has two daemons make the same FIFO, and different things of one name.
func TestSpecialFileOfTwo(t *testing.T) {
	withTwo(t, func(w two) {
		w.a.mkfifo("same")
		w.z.mkfifo("same")
		w.a.mkfifo("other")
		w.z.write("other", []byte("text"), false)
		w.settle()
		got := w.same()
		if got["same"] != "special 10600 0" || len(got) != 3 {
			t.Errorf("there is\n%s", got)
		}
		if other := got["other"]; other != "text" && other != "special 10600 0" {
			t.Errorf("other is %q", other)
		}
	})
}
