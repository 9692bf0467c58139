package tree_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

func (l liveTest) renameOnto(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	p.read(doc)
	base := r.version()
	r.live.Type(r.id, typed)
	p.write("a/tmp", "[\n1,\n2,\n4\n]\n")
	tmp := p.lookup("a/tmp")
	var told []fs.Change
	defer r.tr.Observe(observer(func(c fs.Change) { told = append(told, c) }))()
	p.rename("a/tmp", doc)
	if a := r.wantCalls("Absorb", 1)[0]; a.Base != base || a.ID != r.id || a.From != doc {
		t.Errorf("absorbed %+v, want base %q", a, base)
	}
	want := "[\n0,\n1,\n2,\n4\n]\n"
	r.wantRoom(want)
	r.wantFile(doc, want)
	if got := r.names(); len(got) != 1 {
		t.Errorf("names = %q: the source must vanish", got)
	}
	if last := told[len(told)-1]; last.Path != doc || last.Old != tmp || last.Node != p.lookup(doc) {
		t.Errorf("observers were told last %+v, want that the name does not have the source's node", last)
	}
	if id, err := p.lookup(doc).FileID(t.Context()); err != nil || id != r.id {
		t.Errorf("FileID() = %v, %v, want %v", id, err, r.id)
	}
}

func (l liveTest) unlinkAndCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		p.read(doc)
		r.live.Type(r.id, typed)
		p.read(doc)
		last := r.version()
		p.remove()
		time.Sleep(tree.RemoveWait - time.Second)
		h := p.create(doc, fs.OpenWrite|fs.OpenExclusive)
		p.put(h, "[\n0,\n1,\n2,\n4\n]\n", 0)
		p.close(h)
		if a := r.wantCalls("Absorb", 1)[0]; a.Base != last || a.ID != r.id {
			t.Errorf("absorbed %+v, want base %q", a, last)
		}
		r.wantRoom("[\n0,\n1,\n2,\n4\n]\n")
		r.wantFile(doc, "[\n0,\n1,\n2,\n4\n]\n")
		if !r.tr.IsLive(p.lookup(doc)) {
			t.Error("the new file is not live")
		}
		time.Sleep(2 * tree.RemoveWait)
		r.wantCalls("Removed", 0)
	})
}

func (l liveTest) unlinkAndRenameOnto(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		p.read(doc)
		p.write("a/tmp", "[\n1,\n2,\n4\n]\n")
		p.remove()
		p.rename("a/tmp", doc)
		r.wantCalls("Absorb", 1)
		r.wantRoom("[\n1,\n2,\n4\n]\n")
		if !r.tr.IsLive(p.lookup(doc)) {
			t.Error("the new file is not live")
		}
		time.Sleep(2 * tree.RemoveWait)
		r.wantCalls("Removed", 0)
	})
}

func (l liveTest) unlinkForGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		r.live.Type(r.id, typed)
		p.remove()
		time.Sleep(tree.RemoveWait - time.Second)
		r.wantCalls("Removed", 0)
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if c := r.wantCalls("Removed", 1)[0]; c.ID != r.id || c.From != doc {
			t.Errorf("told %+v", c)
		}
		if got := r.names(); len(got) != 0 {
			t.Errorf("names = %q, want none", got)
		}
	})
}

func (l liveTest) renameAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		r.live.Type(r.id, typed)
		p.rename(doc, "a/b.ipynb")
		if got := p.read("a/b.ipynb"); got != saved { // no save while the room waits
			t.Errorf("read %q", got)
		}
		r.wantCalls("Moved", 0)
		time.Sleep(tree.RemoveWait + time.Second)
		synctest.Wait()
		if c := r.wantCalls("Moved", 1)[0]; c.ID != r.id || c.From != doc || c.To != "a/b.ipynb" {
			t.Errorf("told %+v", c)
		}
		if got := p.read("a/b.ipynb"); got != typed {
			t.Errorf("read %q, want what was typed: the room has followed", got)
		}
	})
}

// An editor that keeps a backup moves the old file away and makes a new one.
func (l liveTest) renameAwayAndCreate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		p.read(doc)
		p.rename(doc, "a/n.ipynb~")
		p.write(doc, "[\n1,\n2,\n4\n]\n")
		r.wantCalls("Absorb", 1)
		r.wantRoom("[\n1,\n2,\n4\n]\n")
		r.wantFile("a/n.ipynb~", saved)
		if !r.tr.IsLive(p.lookup(doc)) || r.tr.IsLive(p.lookup("a/n.ipynb~")) {
			t.Error("the room must stay with the name, not go with the backup")
		}
		time.Sleep(2 * tree.RemoveWait)
		r.wantCalls("Moved", 0)
	})
}

func (l liveTest) renameAwayAndBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		p.rename(doc, "a/x")
		p.rename("a/x", doc)
		time.Sleep(2 * tree.RemoveWait)
		if calls := r.live.Calls(""); len(calls) != 0 && calls[0].Method != "Flush" {
			t.Errorf("told %+v, want nothing", calls)
		}
		r.wantCalls("Moved", 0)
	})
}

func (l liveTest) renameThroughTheAPIIsFollowedAtOnce(t *testing.T) {
	r := l.room(t, tree.Options{})
	ctx := fs.WithCause(t.Context(), fs.Cause{Origin: fs.OriginAPI})
	if err := r.tr.RenamePath(ctx, doc, "a/b.ipynb"); err != nil {
		t.Fatal(err)
	}
	if c, err := r.live.Wait(t.Context(), "Moved", 1); err != nil || c[0].To != "a/b.ipynb" {
		t.Errorf("told %+v, %v", c, err)
	}
	if err := r.tr.RemovePath(ctx, "a/b.ipynb", false); err != nil {
		t.Fatal(err)
	}
	if c, err := r.live.Wait(t.Context(), "Removed", 1); err != nil || c[0].From != "a/b.ipynb" {
		t.Errorf("told %+v, %v", c, err)
	}
}

func (l liveTest) directoryRenamed(t *testing.T) {
	r := l.room(t, tree.Options{})
	mkdir(t, r.tr, "a/d")
	made := put(t, r.tr, "a/d/m.ipynb", saved)
	id, err := made.Node.FileID(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.live.Open(id, "a/d/m.ipynb", saved, made.Attr.Version)
	release, err := r.tr.Attach(t.Context(), made.Node)
	if err != nil {
		t.Fatal(err)
	}
	defer release()
	r.program(1).rename("a/d", "a/e")
	if c, err := r.live.Wait(t.Context(), "Moved", 1); err != nil || c[0].From != "a/d/m.ipynb" || c[0].To != "a/e/m.ipynb" {
		t.Errorf("told %+v, %v", c, err)
	}
}
