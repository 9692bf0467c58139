package tree_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

const typed = "[\n0,\n1,\n2,\n3\n]\n" // what somebody in the room has made of saved

func (l liveTest) lookupStartsTheSaveAndDoesNotWait(t *testing.T) {
	r := l.room(t, tree.Options{})
	r.live.Type(r.id, typed)
	unblock := r.live.Block()
	p := r.program(1)
	n := p.lookup(doc)
	if n.Superseded() {
		t.Error("Lookup has waited")
	}
	p.lookup(doc)
	if _, err := r.live.Wait(t.Context(), "Flush", 1); err != nil {
		t.Fatal(err)
	}
	unblock()
	r.tr.Settle(p.ctx, n)
	if !n.Superseded() {
		t.Error("the save has not made a new node")
	}
	r.wantFile(doc, typed)
}

func (l liveTest) readWaitsForTheSave(t *testing.T) {
	r := l.room(t, tree.Options{})
	r.live.Type(r.id, typed)
	if got := r.program(1).read(doc); got != typed {
		t.Errorf("read %q, want what was typed", got)
	}
}

func (l liveTest) readWaitsTwoSecondsAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		r.live.Type(r.id, typed)
		unblock := r.live.Block()
		begin := time.Now()
		if got := r.program(1).read(doc); got != saved {
			t.Errorf("read %q, want the last saved version", got)
		}
		if took := time.Since(begin); took != tree.SettleWait {
			t.Errorf("reading took %v, want %v", took, tree.SettleWait)
		}
		r.wantCalls("Flush", 1) // all wait for the same save
		unblock()
		synctest.Wait()
	})
}

func (l liveTest) writeGoesToAPrivateStaging(t *testing.T) {
	r := l.room(t, tree.Options{})
	r.live.Type(r.id, typed)
	p := r.program(1)
	h := p.open(doc, fs.OpenReadWrite|fs.OpenAppend)
	if got := p.text(h); got != typed {
		t.Errorf("the staging begins with %q, want the settled version", got)
	}
	p.put(h, " ", 0)
	r.wantFile(doc, typed)
	other := r.program(2)
	if got := other.read(doc); got != typed+" " {
		t.Errorf("another program in the mount reads %q, want what was written", got)
	}
	n := p.lookup(doc)
	mount, err := r.tr.Attr(p.ctx, n)
	p.must(err)
	api, err := r.tr.Attr(t.Context(), n)
	p.must(err)
	if mount.Size != int64(len(typed)+1) || api.Size != int64(len(typed)) {
		t.Errorf("size in the mount %d, in the API %d, want %d and %d", mount.Size, api.Size, len(typed)+1, len(typed))
	}
	p.must(h.Sync(p.ctx))
	p.must(h.Flush(p.ctx))
	r.wantCalls("Absorb", 0)
	p.must(h.Release(p.ctx))
	if a := r.wantCalls("Absorb", 1)[0]; a.Data != typed+" " || a.Base != api.Version || a.Cause.PID != 1 || a.From != doc {
		t.Errorf("absorbed %+v, want base %q", a, api.Version)
	}
	r.wantRoom(typed + " ")
	r.wantFile(doc, typed+" ")
	if !n.Superseded() {
		t.Error("the merged result has kept the node")
	}
}

func (l liveTest) mergeWithWhatIsTypedMeanwhile(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	h := p.open(doc, fs.OpenReadWrite)
	r.live.Type(r.id, typed)
	p.must(func() error { _, err := h.SetAttr(p.ctx, size(0)); return err }())
	p.put(h, "[\n1,\n2,\n4\n]\n", 0)
	p.close(h)
	want := "[\n0,\n1,\n2,\n4\n]\n"
	r.wantRoom(want)
	r.wantFile(doc, want)
	if got := p.read(doc); got != want {
		t.Errorf("read %q, want %q", got, want)
	}
}

func size(n int64) fs.SetAttr { return fs.SetAttr{Size: &n} }

func (l liveTest) truncatingOpenDoesNotSave(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	base := r.version()
	p.read(doc) // version 1
	r.live.Type(r.id, typed)
	r.tr.Settle(p.ctx, p.lookup(doc)) // version 2
	flushes := len(r.live.Calls("Flush"))
	n, err := r.drive.Root().Lookup(t.Context(), doc.Base())
	p.must(err)
	h, err := r.tr.Open(p.ctx, n, fs.OpenWrite|fs.OpenTruncate)
	p.must(err)
	a, err := h.Attr(p.ctx)
	p.must(err)
	if a.Size != 0 || len(r.live.Calls("Flush")) != flushes {
		t.Errorf("size %d after %d saves, want an empty file and no save", a.Size, len(r.live.Calls("Flush"))-flushes)
	}
	r.wantFile(doc, typed)
	p.put(h, "[\n1,\n2,\n4\n]\n", 0)
	p.close(h)
	if got := r.wantCalls("Absorb", 1)[0].Base; got != base {
		t.Errorf("base = %q, want the version that the program had read, %q", got, base)
	}
	r.wantRoom("[\n0,\n1,\n2,\n4\n]\n")
}

func (r *room) version() fs.Version {
	r.t.Helper()
	n, err := r.drive.Root().Lookup(r.t.Context(), doc.Base())
	if err != nil {
		r.t.Fatal(err)
	}
	a, err := n.Attr(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	return a.Version
}

func (l liveTest) truncateWithoutHandle(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	h := p.open(doc, fs.OpenWrite) // what O_TRUNC is where it is no flag of OPEN
	a, err := r.tr.SetAttr(p.ctx, p.lookup(doc), size(0))
	p.must(err)
	if a.Size != 0 {
		t.Errorf("size = %d, want 0", a.Size)
	}
	p.put(h, "[9]", 0)
	r.wantFile(doc, saved)
	p.close(h)
	r.wantFile(doc, "[9]")
}

func (l liveTest) secondWriteOfOneProgram(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	p.read(doc)
	p.write(doc, "[\n1,\n2,\n5\n]\n")
	p.write(doc, "[\n1,\n2,\n6\n]\n") // an editor that saves again without reading
	r.wantRoom("[\n1,\n2,\n6\n]\n")
	r.wantFile(doc, "[\n1,\n2,\n6\n]\n")
}

func (l liveTest) severalWriters(t *testing.T) {
	r := l.room(t, tree.Options{})
	a, b := r.program(1), r.program(2)
	ha, hb := a.open(doc, fs.OpenReadWrite), b.open(doc, fs.OpenReadWrite)
	a.put(ha, "[\n7", 0)
	if got := b.text(hb); got != "[\n7,\n2,\n3\n]\n" {
		t.Errorf("the other writer reads %q", got)
	}
	a.close(ha)
	r.wantCalls("Absorb", 0)
	b.put(hb, "8", 5)
	b.close(hb)
	r.wantCalls("Absorb", 1)
	r.wantFile(doc, "[\n7,\n8,\n3\n]\n")
}

func (l liveTest) writeOfNothing(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	p.close(p.open(doc, fs.OpenReadWrite))
	r.wantCalls("Absorb", 0)
	r.wantFile(doc, saved)
}

// A save that is under way may have begun before the last keystroke.
func (l liveTest) readSeesTheLastKeystroke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		unblock := r.live.Block()
		n := p.lookup(doc)
		synctest.Wait() // the save has begun
		read := make(chan struct{})
		go func() {
			defer close(read)
			r.tr.Settle(p.ctx, n)
		}()
		synctest.Wait()
		unblock()
		<-read
		r.wantCalls("Flush", 2)
	})
}

// A reader that was there before keeps one text: that which its kernel has pages of.
func (l liveTest) readersOfOneNodeAgree(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	reader := p.open(doc, fs.OpenRead)
	h := p.open(doc, fs.OpenReadWrite)
	p.put(h, "[\n7", 0)
	p.close(h)
	r.wantFile(doc, "[\n7,\n2,\n3\n]\n")
	r.live.Type(r.id, "[]")
	if got := p.read(doc); got != "[]" {
		t.Errorf("a new reader reads %q", got)
	}
	if got := p.text(reader); got != "[\n7,\n2,\n3\n]\n" {
		t.Errorf("the reader of the old node reads %q", got)
	}
	p.close(reader)
}

// When the merge changes nothing, the node stays: the kernel must be told that its pages are not what the file holds.
func (l liveTest) mergeThatChangesNothing(t *testing.T) {
	r := l.room(t, tree.Options{})
	told := make(chan fs.Change, 10)
	defer r.tr.Observe(observer(func(c fs.Change) { told <- c }))()
	p := r.program(1)
	h := p.open(doc, fs.OpenReadWrite)
	n := h.Node()
	p.put(h, "not a notebook", 0)
	p.close(h)
	c := <-told
	if c.Op != fs.OpWrite || c.Node != n || c.Path != doc || c.Cause.Origin == fs.OriginMount {
		t.Errorf("the observer was told %+v, want that the contents of the node are others", c)
	}
	if a, err := r.tr.Attr(p.ctx, n); err != nil || a.Size != int64(len(saved)) {
		t.Errorf("Attr() = %+v, %v, want the drive's size %d", a, err, len(saved))
	}
}

type observer func(fs.Change)

func (o observer) Observe(c fs.Change) <-chan struct{} { o(c); return nil }

func (l liveTest) writeThroughASupersededHandle(t *testing.T) {
	r := l.room(t, tree.Options{})
	r.release() // the writer comes before the room
	p := r.program(1)
	h := p.open(doc, fs.OpenReadWrite)
	base := r.version()
	r.attach()
	r.live.Type(r.id, typed)
	r.tr.Settle(p.ctx, p.lookup(doc))
	p.put(h, "4", 8)
	r.wantFile(doc, typed)
	p.close(h)
	if a := r.wantCalls("Absorb", 1)[0]; a.Base != base || a.Data != "[\n1,\n2,\n4\n]\n" {
		t.Errorf("absorbed %+v, want base %q", a, base)
	}
	r.wantFile(doc, "[\n0,\n1,\n2,\n4\n]\n")
}

func (l liveTest) supersededHandleWithoutRoom(t *testing.T) {
	r := l.room(t, tree.Options{})
	r.release()
	p := r.program(1)
	early, late := p.open(doc, fs.OpenReadWrite), p.open(doc, fs.OpenRead)
	p.put(early, "[\n5", 0)
	put(t, r.tr, doc, "from the API") // it has seen that write
	p.close(early)
	if got := r.conflicts(); len(got) != 0 {
		t.Errorf("conflict copies %q of what was written before", got)
	}
	h, err := late.Node().Open(p.ctx, fs.OpenRead) // the node lives as long as somebody holds it
	p.must(err)
	p.must(h.Release(p.ctx))
	w, err := r.tr.Open(p.ctx, late.Node(), fs.OpenReadWrite)
	p.must(err)
	p.put(w, "[\n6", 0)
	p.close(w)
	p.close(late)
	copies := r.conflicts()
	if len(copies) != 1 {
		t.Fatalf("conflict copies = %q, want one", copies)
	}
	r.wantFile(copies[0], "[\n6,\n2,\n3\n]\n")
	r.wantFile(doc, "from the API")
}

func (l liveTest) roomThatEndsWhileAProgramWrites(t *testing.T) {
	for _, c := range []struct {
		name, meanwhile, want string
		copies                int
	}{{"nothing else changed", "", "[\n7,\n2,\n3\n]\n", 0}, {"something did", "[]", "[]", 1}} {
		t.Run(c.name, func(t *testing.T) {
			r := l.room(t, tree.Options{})
			p := r.program(1)
			h := p.open(doc, fs.OpenReadWrite)
			p.put(h, "[\n7", 0)
			r.release()
			if c.meanwhile != "" {
				put(t, r.tr, doc, c.meanwhile)
			}
			p.close(h)
			r.wantFile(doc, c.want)
			if got := r.conflicts(); len(got) != c.copies {
				t.Errorf("conflict copies = %q, want %d", got, c.copies)
			}
			r.wantCalls("Absorb", 0)
		})
	}
}
