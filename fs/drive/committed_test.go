package drive

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// door is what one way in shows of a file.
type door struct {
	program
	name string
}

func doors(p program) (mount, api, room door) {
	through := func(o fs.Origin) door {
		q := p
		q.ctx = fs.WithCause(p.ctx, fs.Cause{Origin: o})
		return door{q, string(o)}
	}
	return through(fs.OriginMount), through(fs.OriginAPI), through(fs.OriginRoom)
}

func (d door) openFile(flags fs.OpenFlags) fs.Handle {
	d.t.Helper()
	n, err := nodeAt(d.ctx, d.d, "f")
	d.must("lookup", err)
	h, err := n.Open(d.ctx, flags)
	d.must("open", err)
	return h
}

// want checks what is seen of the file f: by reading it, by its attributes, in its folder.
func (d door) want(text string) {
	d.t.Helper()
	if got := string(d.read("f")); got != text {
		d.t.Errorf("%s reads %q, want %q", d.name, short(got), short(text))
	}
	n, err := nodeAt(d.ctx, d.d, "f")
	d.must("lookup", err)
	a, err := n.Attr(d.ctx)
	d.must("stat", err)
	l, err := d.d.Root().List(d.ctx)
	d.must("list", err)
	for e, err := range fs.Entries(d.ctx, l) {
		if d.must("list", err); e.Name == "f" && (e.Attr.Size != int64(len(text)) || e.Attr.Version != a.Version) {
			d.t.Errorf("%s lists %d bytes, version %s, want %d, %s", d.name, e.Attr.Size, e.Attr.Version, len(text), a.Version)
		}
	}
	if a.Size != int64(len(text)) {
		d.t.Errorf("%s sees %d bytes, want %d", d.name, a.Size, len(text))
	}
}

func short(s string) string { return s[:min(len(s), 40)] }

// wantThrough checks what a handle reads.
func (d door) wantThrough(h fs.Handle, text string) {
	d.t.Helper()
	a, err := h.Attr(d.ctx)
	d.must("stat", err)
	b := make([]byte, a.Size+10)
	n, err := h.ReadAt(d.ctx, b, 0)
	if !errors.Is(err, io.EOF) || string(b[:n]) != text {
		d.t.Errorf("a handle of %s reads %q, %v, want %q", d.name, short(string(b[:n])), err, short(text))
	}
}

// TestUncommittedWrites writes in place: programs on the mount see it at once, the API and rooms when it has been committed.
func TestUncommittedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mount, api, room := doors(program{t, t.Context(), open(t, Options{Backend: mem.NewBackend(mem.BackendOptions{})})})
		mount.write("f", []byte("what was saved"), true)
		n, err := nodeAt(api.ctx, api.d, "f")
		api.must("lookup", err)
		saved, err := n.Attr(api.ctx)
		api.must("stat", err)
		before := api.openFile(fs.OpenRead)

		w := mount.openFile(fs.OpenReadWrite | fs.OpenTruncate)
		_, err = w.WriteAt(mount.ctx, []byte("half"), 0)
		mount.must("write", err)
		mount.want("half")
		api.want("what was saved")
		room.want("what was saved")
		during := api.openFile(fs.OpenRead)
		_, err = api.d.Replace(api.ctx, "f", strings.NewReader("by the API"), fs.ReplaceOptions{IfVersion: saved.Version})
		if fs.KindOf(err) != fs.Conflict {
			t.Errorf("Replace() of a file that is being written = %v, want Conflict", err)
		}

		mount.must("flush", w.Flush(mount.ctx))
		for _, d := range []door{mount, api, room} {
			d.want("half")
		}
		_, err = w.WriteAt(mount.ctx, []byte("HALF and more"), 0)
		mount.must("write", err)
		mount.want("HALF and more")
		api.want("half")
		mount.must("close", errors.Join(w.Flush(mount.ctx), w.Release(mount.ctx)))
		mount.must("Wait", mount.d.Wait(mount.ctx))
		api.want("HALF and more")
		for _, h := range []fs.Handle{before, during} {
			api.wantThrough(h, "what was saved")
			api.must("close", h.Release(api.ctx))
		}
		if staged := api.d.Status().Staged; staged != 0 {
			t.Errorf("%d bytes are staged after all was uploaded and closed", staged)
		}
		api.must("Close", api.d.Close(api.ctx))
	})
}

// TestUncommittedParts writes a part of a file of which the rest is in the store.
func TestUncommittedParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		text := bytes.Repeat([]byte("0123456789"), 50_000)
		b.Inject("f", text, fs.WriteOptions{})
		mount, api, _ := doors(program{t, t.Context(), open(t, Options{Backend: b})})
		w := mount.openFile(fs.OpenReadWrite)
		_, err := w.WriteAt(mount.ctx, []byte("xxxxx"), 1000)
		mount.must("write", err)
		changed := string(text[:1000]) + "xxxxx" + string(text[1005:])
		mount.want(changed)
		api.want(string(text))
		old := api.openFile(fs.OpenRead)
		api.wantThrough(old, string(text))

		mount.must("flush", w.Flush(mount.ctx))
		pending := api.openFile(fs.OpenRead) // a layer over what the store has
		mount.must("close", w.Release(mount.ctx))
		mount.must("Wait", mount.d.Wait(mount.ctx))
		api.want(changed)
		api.wantThrough(pending, changed) // though the store has another version now
		if _, err := old.ReadAt(api.ctx, make([]byte, 10), 0); fs.KindOf(err) != fs.Stale {
			t.Errorf("reading a version that is gone = %v, want Stale", err)
		}
		api.must("close", errors.Join(old.Release(api.ctx), pending.Release(context.WithoutCancel(api.ctx))))
		api.must("Close", api.d.Close(api.ctx))
	})
}

// TestGoneVersionThroughTheAPI is TestGoneVersionIsLookedUp for a handle that stays at what was committed.
func TestGoneVersionThroughTheAPI(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{})
		b.Inject("f", []byte("old"), fs.WriteOptions{})
		_, api, _ := doors(program{t, t.Context(), open(t, Options{Backend: b})})
		h := api.openFile(fs.OpenRead)
		b.Inject("f", []byte("new"), fs.WriteOptions{})
		if _, err := h.ReadAt(api.ctx, make([]byte, 3), 0); fs.KindOf(err) != fs.Stale {
			t.Errorf("ReadAt() of a version that is gone = %v, want Stale", err)
		}
		api.must("Release", h.Release(api.ctx))
		api.want("new")
		api.must("Close", api.d.Close(api.ctx))
	})
}
