package tree_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

const (
	doc   = fs.Path("a/n.ipynb")
	saved = "[\n1,\n2,\n3\n]\n" // a notebook as far as the fake room is concerned
)

// room is a tree in which one document is edited live.
type room struct {
	t       *testing.T
	tr      *tree.Tree
	live    *drivetest.FakeLive
	drive   fs.Drive
	id      fs.FileID
	release func()
	closed  bool
}

// liveTest has the tests that every kind of drive must pass.
type liveTest struct {
	drive func(t *testing.T) fs.Drive
}

func (l liveTest) room(t *testing.T, o tree.Options) *room {
	t.Helper()
	return newRoom(t, o, l.drive(t))
}

func inMemory(*testing.T) fs.Drive { return mem.New(mem.Options{}) }

func inFolder(t *testing.T) fs.Drive {
	t.Helper()
	d, err := local.Open(t.Context(), local.Options{Root: t.TempDir(), NoWatch: true})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestLive(t *testing.T) {
	for kind, drive := range map[string]func(*testing.T) fs.Drive{"mem": inMemory, "local": inFolder} {
		l := liveTest{drive}
		for name, test := range map[string]func(*testing.T){
			"lookupStartsTheSaveAndDoesNotWait":    l.lookupStartsTheSaveAndDoesNotWait,
			"readWaitsForTheSave":                  l.readWaitsForTheSave,
			"readWaitsTwoSecondsAtMost":            l.readWaitsTwoSecondsAtMost,
			"writeGoesToAPrivateStaging":           l.writeGoesToAPrivateStaging,
			"mergeWithWhatIsTypedMeanwhile":        l.mergeWithWhatIsTypedMeanwhile,
			"truncatingOpenDoesNotSave":            l.truncatingOpenDoesNotSave,
			"truncateWithoutHandle":                l.truncateWithoutHandle,
			"secondWriteOfOneProgram":              l.secondWriteOfOneProgram,
			"severalWriters":                       l.severalWriters,
			"writeOfNothing":                       l.writeOfNothing,
			"readSeesTheLastKeystroke":             l.readSeesTheLastKeystroke,
			"readersOfOneNodeAgree":                l.readersOfOneNodeAgree,
			"mergeThatChangesNothing":              l.mergeThatChangesNothing,
			"writeThroughASupersededHandle":        l.writeThroughASupersededHandle,
			"supersededHandleWithoutRoom":          l.supersededHandleWithoutRoom,
			"roomThatEndsWhileAProgramWrites":      l.roomThatEndsWhileAProgramWrites,
			"renameOnto":                           l.renameOnto,
			"unlinkAndCreate":                      l.unlinkAndCreate,
			"unlinkAndRenameOnto":                  l.unlinkAndRenameOnto,
			"unlinkForGood":                        l.unlinkForGood,
			"renameAway":                           l.renameAway,
			"renameAwayAndCreate":                  l.renameAwayAndCreate,
			"renameAwayAndBack":                    l.renameAwayAndBack,
			"renameThroughTheAPIIsFollowedAtOnce":  l.renameThroughTheAPIIsFollowedAtOnce,
			"directoryRenamed":                     l.directoryRenamed,
			"bytesThatAreNoNotebook":               l.bytesThatAreNoNotebook,
			"programThatWritesInSteps":             l.programThatWritesInSteps,
			"twoProgramsThatWriteNonsense":         l.twoProgramsThatWriteNonsense,
			"closeKeepsWhatWasRefused":             l.closeKeepsWhatWasRefused,
			"saveThroughTheAPI":                    l.saveThroughTheAPI,
			"changeFromOutside":                    l.changeFromOutside,
			"stagingSurvivesACrash":                l.stagingSurvivesACrash,
			"refusedBytesSurviveACrash":            l.refusedBytesSurviveACrash,
			"stagingIsRemoved":                     l.stagingIsRemoved,
			"truncatingOpenOfAStaging":             l.truncatingOpenOfAStaging,
			"secondStagingOfANode":                 l.secondStagingOfANode,
			"crashWithAWriterLeft":                 l.crashWithAWriterLeft,
			"baseOfAChangeFromOutside":             l.baseOfAChangeFromOutside,
			"mountOperationsDoNotWaitForTheKernel": l.mountOperationsDoNotWaitForTheKernel,
		} {
			t.Run(kind+"/"+name, test)
		}
	}
}

func newRoom(t *testing.T, o tree.Options, d fs.Drive) *room {
	t.Helper()
	r := &room{t: t, drive: d}
	r.live = drivetest.NewFakeLive(func(ctx context.Context, p fs.Path, text []byte) (fs.Version, error) {
		res, err := r.tr.Replace(ctx, p, bytes.NewReader(text), fs.ReplaceOptions{})
		return res.Attr.Version, err
	})
	o.Live = r.live
	var err error
	if r.tr, err = tree.New(o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.close)
	if err := r.tr.Add("a", r.drive); err != nil {
		t.Fatal(err)
	}
	made := put(t, r.tr, doc, saved)
	if r.id, err = made.Node.FileID(t.Context()); err != nil {
		t.Fatal(err)
	}
	r.live.Open(r.id, doc, saved, made.Attr.Version)
	r.attach()
	return r
}

// attach opens the room.
func (r *room) attach() {
	r.t.Helper()
	n, err := r.drive.Root().Lookup(r.t.Context(), doc.Base())
	if err != nil {
		r.t.Fatal(err)
	}
	if r.release, err = r.tr.Attach(r.t.Context(), n); err != nil {
		r.t.Fatal(err)
	}
}

// close closes the tree, once.
func (r *room) close() {
	if r.closed {
		return
	}
	r.closed = true
	if err := r.tr.Close(context.WithoutCancel(r.t.Context())); err != nil {
		r.t.Error(err)
	}
}

// program is a process that works in the mount.
type program struct {
	r   *room
	ctx context.Context
}

func (r *room) program(pid int) *program {
	return &program{r, fs.WithCause(r.t.Context(), fs.Cause{Actor: "local:ada", Origin: fs.OriginMount, PID: pid})}
}

func (p *program) must(err error) {
	p.r.t.Helper()
	if err != nil {
		p.r.t.Fatal(err)
	}
}

func (p *program) lookup(path fs.Path) fs.Node {
	p.r.t.Helper()
	n, err := p.r.tr.Lookup(p.ctx, p.dir(), path.Base())
	p.must(err)
	return n
}

func (p *program) dir() fs.Dir { return p.r.drive.Root() }

// open does what the mount does: it looks the name up, waits for unsaved changes, and looks again if that made a new node.
func (p *program) open(path fs.Path, flags fs.OpenFlags) fs.Handle {
	p.r.t.Helper()
	n := p.lookup(path)
	if !flags.Has(fs.OpenTruncate) {
		p.r.tr.Settle(p.ctx, n)
		n = p.lookup(path)
	}
	h, err := p.r.tr.Open(p.ctx, n, flags)
	p.must(err)
	return h
}

func (p *program) create(path fs.Path, flags fs.OpenFlags) fs.Handle {
	p.r.t.Helper()
	_, h, err := p.r.tr.Create(p.ctx, p.dir(), path.Base(), fs.CreateOptions{Mode: 0o644, Flags: flags})
	p.must(err)
	return h
}

func (p *program) put(h fs.Handle, text string, off int64) {
	p.r.t.Helper()
	_, err := h.WriteAt(p.ctx, []byte(text), off)
	p.must(err)
}

func (p *program) close(h fs.Handle) {
	p.r.t.Helper()
	p.must(h.Flush(p.ctx))
	p.must(h.Release(p.ctx))
}

func (p *program) text(h fs.Handle) string {
	p.r.t.Helper()
	buf := make([]byte, 1<<16)
	n, err := h.ReadAt(p.ctx, buf, 0)
	if !errors.Is(err, io.EOF) {
		p.must(err)
	}
	return string(buf[:n])
}

func (p *program) read(path fs.Path) string {
	p.r.t.Helper()
	h := p.open(path, fs.OpenRead)
	defer p.close(h)
	return p.text(h)
}

// write is what "> path" does.
func (p *program) write(path fs.Path, text string) {
	p.r.t.Helper()
	h := p.create(path, fs.OpenWrite|fs.OpenTruncate)
	p.put(h, text, 0)
	p.close(h)
}

func (p *program) rename(from, to fs.Path) {
	p.r.t.Helper()
	p.must(p.r.tr.Move(p.ctx, p.dir(), from.Base(), p.dir(), to.Base(), 0))
}

// remove removes the document.
func (p *program) remove() {
	p.r.t.Helper()
	p.must(p.r.tr.Unlink(p.ctx, p.dir(), doc.Base(), false))
}

// wantRoom checks what the people in the document see.
func (r *room) wantRoom(want string) {
	r.t.Helper()
	if got := r.live.Text(r.id); got != want {
		r.t.Errorf("the room shows %q, want %q", got, want)
	}
}

// wantFile checks what the drive has.
func (r *room) wantFile(p fs.Path, want string) {
	r.t.Helper()
	n, err := r.drive.Root().Lookup(r.t.Context(), p.Base())
	if err != nil {
		r.t.Fatal(err)
	}
	h, err := n.Open(r.t.Context(), fs.OpenRead)
	if err != nil {
		r.t.Fatal(err)
	}
	defer h.Release(r.t.Context())
	if got := r.program(0).text(h); got != want {
		r.t.Errorf("the file %s holds %q, want %q", p, got, want)
	}
}

func (r *room) wantCalls(method string, want int) []drivetest.LiveCall {
	r.t.Helper()
	calls := r.live.Calls(method)
	if len(calls) != want {
		r.t.Fatalf("%d calls of %s: %+v, want %d", len(calls), method, calls, want)
	}
	return calls
}

// names lists the drive.
func (r *room) names() []string {
	r.t.Helper()
	l, err := r.drive.Root().List(r.t.Context())
	if err != nil {
		r.t.Fatal(err)
	}
	var names []string
	for e, err := range fs.Entries(r.t.Context(), l) {
		if err != nil {
			r.t.Fatal(err)
		}
		names = append(names, e.Name)
	}
	return names
}

// conflicts returns the names of conflict copies.
func (r *room) conflicts() []fs.Path {
	r.t.Helper()
	var copies []fs.Path
	for _, name := range r.names() {
		if strings.Contains(name, "(conflict ada ") {
			copies = append(copies, fs.Path("a").Join(name))
		}
	}
	return copies
}

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

func (l liveTest) bytesThatAreNoNotebook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		sub := r.tr.Subscribe(10, func(c fs.Change) (fs.Change, bool) { return c, c.Op == fs.OpCreate })
		defer sub.Close()
		p := r.program(1)
		p.write(doc, "[1,")
		r.wantFile(doc, saved)
		time.Sleep(tree.QuietWait - time.Millisecond)
		if got := r.conflicts(); len(got) != 0 {
			t.Errorf("conflict copies before it is quiet: %q", got)
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		copies := r.conflicts()
		if len(copies) != 1 {
			t.Fatalf("conflict copies = %q, want one", copies)
		}
		r.wantFile(copies[0], "[1,")
		r.wantFile(doc, saved)
		if c := <-sub.C(); c.Path != copies[0] || c.Cause.Actor != "local:ada" {
			t.Errorf("the event says %+v", c)
		}
	})
}

func (l liveTest) programThatWritesInSteps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		p := r.program(1)
		p.read(doc)
		for _, text := range []string{"[", "[1", "[\n1,\n2,\n4\n]\n"} {
			p.write(doc, text)
			time.Sleep(time.Second)
		}
		time.Sleep(time.Minute)
		if got := r.conflicts(); len(got) != 0 {
			t.Errorf("conflict copies = %q, want none: better bytes came", got)
		}
		r.wantFile(doc, "[\n1,\n2,\n4\n]\n")
	})
}

func (l liveTest) twoProgramsThatWriteNonsense(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		r.program(1).write(doc, "one")
		r.program(2).write(doc, "two")
		for _, text := range []string{"three", "four"} { // whose programs are not known
			r.program(0).write("a/tmp", text)
			r.program(0).rename("a/tmp", doc)
		}
		time.Sleep(tree.QuietWait + time.Second)
		synctest.Wait()
		if got := r.conflicts(); len(got) != 4 {
			t.Errorf("conflict copies = %q, want four", got)
		}
		r.wantFile(doc, saved)
	})
}

func (l liveTest) closeKeepsWhatWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		made := 0
		defer func() {
			if made != 1 {
				t.Errorf("%d conflict copies were made, want 1", made)
			}
		}()
		defer r.tr.Observe(observer(func(c fs.Change) {
			if c.Op == fs.OpCreate && strings.Contains(string(c.Path), "conflict") {
				made++
			}
		}))()
		r.program(1).write(doc, "[1,")
		r.close()
	})
}

func (l liveTest) saveThroughTheAPI(t *testing.T) {
	r := l.room(t, tree.Options{})
	base := r.version()
	r.live.Type(r.id, typed)
	r.tr.Settle(t.Context(), r.program(0).lookup(doc))
	ctx := fs.WithCause(t.Context(), fs.Cause{Actor: "local:bob", Origin: fs.OriginAPI})
	res, err := r.tr.Replace(ctx, doc, strings.NewReader("[\n1,\n2,\n4\n]\n"), fs.ReplaceOptions{IfVersion: base})
	if err != nil {
		t.Fatal(err)
	}
	want := "[\n0,\n1,\n2,\n4\n]\n"
	r.wantFile(doc, want)
	if res.Attr.Size != int64(len(want)) || res.Seq == 0 || res.Attr.Version != r.version() {
		t.Errorf("Replace() = %+v", res)
	}
	_, err = r.tr.Replace(ctx, doc, strings.NewReader("[1,"), fs.ReplaceOptions{})
	if err == nil || fs.KindOf(err) != fs.Invalid {
		t.Errorf("Replace(no notebook) = %v, want kind Invalid", err)
	}
	r.wantRoom(want)
}

func (l liveTest) changeFromOutside(t *testing.T) {
	r := l.room(t, tree.Options{})
	r.live.Type(r.id, typed)
	ctx := fs.WithCause(t.Context(), fs.Cause{Origin: fs.OriginOutside})
	if _, err := r.drive.Replace(ctx, "n.ipynb", strings.NewReader("[\n1,\n2,\n4\n]\n"), fs.ReplaceOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := r.live.Wait(t.Context(), "Absorb", 1); err != nil {
		t.Fatal(err)
	}
	r.close() // waits for the merge
	r.wantRoom("[\n0,\n1,\n2,\n4\n]\n")
}

// muted is a drive that can keep changes to itself.
type muted struct {
	*mem.Drive
	sink func(fs.Change)
	mute bool
}

func (d *muted) Publish(sink func(fs.Change)) {
	d.sink = sink
	d.Drive.Publish(func(c fs.Change) {
		if !d.mute {
			sink(c)
		}
	})
}

func TestLiveChangesThatWereMissed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &muted{Drive: mem.New(mem.Options{})}
		r := newRoom(t, tree.Options{}, d)
		d.mute = true
		ctx := fs.WithCause(t.Context(), fs.Cause{Origin: fs.OriginOutside})
		if _, err := d.Replace(ctx, "n.ipynb", strings.NewReader("[]"), fs.ReplaceOptions{}); err != nil {
			t.Fatal(err)
		}
		d.mute = false
		d.sink(fs.Change{Op: fs.OpLost, Drive: d.ID()})
		synctest.Wait()
		r.wantCalls("Absorb", 1)
		if !r.tr.IsLive(r.program(1).lookup(doc)) {
			t.Error("the new node is not live")
		}
		d.sink(fs.Change{Op: fs.OpLost, Drive: d.ID()})
		synctest.Wait()
		r.wantRoom("[]")
		r.wantCalls("Absorb", 1)
	})
}

// Files that are not live are left alone: to ask for an id is to write one to the drive.
func TestLiveAsksNothingOfOtherFiles(t *testing.T) {
	r := newRoom(t, tree.Options{}, inMemory(t))
	n := &asked{Node: put(t, r.tr, "a/other", "x").Node}
	if r.tr.IsLive(n) || n.asked {
		t.Errorf("IsLive() asked for the id of another file: %v", n.asked)
	}
}

type asked struct {
	fs.Node
	asked bool
}

func (n *asked) FileID(ctx context.Context) (fs.FileID, error) {
	n.asked = true
	return n.Node.FileID(ctx)
}

// A program that truncates begins anew, for others that write at the time too.
func (l liveTest) truncatingOpenOfAStaging(t *testing.T) {
	r := l.room(t, tree.Options{})
	p, q := r.program(1), r.program(2)
	h := p.open(doc, fs.OpenReadWrite)
	other := q.create(doc, fs.OpenWrite|fs.OpenTruncate)
	if got := p.text(h); got != "" {
		t.Errorf("read %q, want nothing", got)
	}
	q.put(other, "[9]", 0)
	q.close(other)
	p.close(h)
	r.wantFile(doc, "[9]")
	r.wantCalls("Absorb", 1)
}

// A program may write to an old node again, which somebody keeps open, when all its bytes were merged.
func (l liveTest) secondStagingOfANode(t *testing.T) {
	r := l.room(t, tree.Options{})
	p := r.program(1)
	reader := p.open(doc, fs.OpenRead)
	for i, text := range []string{"[\n7", "[\n8"} {
		h, err := r.tr.Open(p.ctx, reader.Node(), fs.OpenReadWrite)
		p.must(err)
		p.put(h, text, 0)
		p.close(h)
		if got := r.wantCalls("Absorb", i+1)[i].Data; got != text+",\n2,\n3\n]\n" {
			t.Errorf("absorbed %q", got)
		}
	}
	p.close(reader)
}

// What one of two writers closes is not what the other wants.
func (l liveTest) crashWithAWriterLeft(t *testing.T) {
	dir := t.TempDir()
	r := l.room(t, tree.Options{StateDir: dir})
	p, q := r.program(1), r.program(2)
	h, other := p.open(doc, fs.OpenReadWrite), q.open(doc, fs.OpenReadWrite)
	p.put(h, "[\n7", 0)
	p.must(h.Flush(p.ctx))
	next := restart(t, r, crash(t, dir))
	next.wantFile(doc, saved)
	if got := next.conflicts(); len(got) != 1 {
		t.Errorf("conflict copies = %q, want one", got)
	}
	p.must(h.Release(p.ctx))
	q.close(other)
}

// The base of a change from outside is the version that the file had.
func (l liveTest) baseOfAChangeFromOutside(t *testing.T) {
	r := l.room(t, tree.Options{})
	r.live.Type(r.id, typed)
	r.tr.Settle(t.Context(), r.program(1).lookup(doc))
	base := r.version()
	ctx := fs.WithCause(t.Context(), fs.Cause{Origin: fs.OriginOutside})
	if _, err := r.drive.Replace(ctx, "n.ipynb", strings.NewReader("[]"), fs.ReplaceOptions{}); err != nil {
		t.Fatal(err)
	}
	calls, err := r.live.Wait(t.Context(), "Absorb", 1)
	if err != nil || calls[0].Base != base {
		t.Errorf("absorbed %+v, %v, want base %q", calls, err, base)
	}
}

// stuck is an observer that cannot act: the kernel is inside an operation of the mount.
type stuck struct{}

func (stuck) Observe(fs.Change) <-chan struct{} { return make(chan struct{}) }

func (l liveTest) mountOperationsDoNotWaitForTheKernel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := l.room(t, tree.Options{})
		defer r.tr.Observe(stuck{})()
		p := r.program(1)
		p.write("a/tmp", "[9]")
		begin := time.Now()
		p.rename("a/tmp", doc)
		p.write(doc, "[8]")
		if took := time.Since(begin); took != 0 {
			t.Errorf("a rename and a write took %v", took)
		}
	})
}

// crash copies the staging folder as it is just now: what the next start finds.
func crash(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	return to
}

func (l liveTest) stagingSurvivesACrash(t *testing.T) {
	const wrote = "[\n7,\n2,\n3\n]\n"
	for _, c := range []struct {
		name      string
		until     func(p *program, h fs.Handle)
		meanwhile string
		file      string
		copies    int
	}{
		{"closed", func(p *program, h fs.Handle) { p.must(h.Flush(p.ctx)) }, "", wrote, 0},
		{"closed, and the file has changed", func(p *program, h fs.Handle) { p.must(h.Flush(p.ctx)) }, "[]", "[]", 1},
		{"synced only", func(p *program, h fs.Handle) { p.must(h.Sync(p.ctx)) }, "", saved, 1},
		{"closed, then written to again", func(p *program, h fs.Handle) {
			p.must(h.Flush(p.ctx))
			p.put(h, "[\n7", 0)
		}, "", saved, 1},
		{"neither", func(*program, fs.Handle) {}, "", saved, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			r := l.room(t, tree.Options{StateDir: dir})
			p := r.program(1)
			h := p.open(doc, fs.OpenReadWrite)
			p.put(h, "[\n7", 0)
			c.until(p, h)
			left := crash(t, dir)
			r.release()
			if c.meanwhile != "" {
				put(t, r.tr, doc, c.meanwhile)
			}
			next := restart(t, r, left)
			next.wantFile(doc, c.file)
			copies := next.conflicts()
			if len(copies) != c.copies {
				t.Fatalf("conflict copies = %q, want %d", copies, c.copies)
			}
			for _, copy := range copies {
				next.wantFile(copy, wrote)
			}
			wantEmpty(t, left)
			p.must(h.Release(p.ctx))
		})
	}
}

// restart makes a new tree over the drive of r.
func restart(t *testing.T, r *room, dir string) *room {
	t.Helper()
	tr, err := tree.New(tree.Options{StateDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := tr.Add("a", r.drive); err != nil {
		t.Fatal(err)
	}
	return &room{t: t, tr: tr, drive: r.drive}
}

func wantEmpty(t *testing.T, dir string) {
	t.Helper()
	left, err := filepath.Glob(filepath.Join(dir, "*.*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left in the staging folder: %q, %v", left, err)
	}
}

func (l liveTest) refusedBytesSurviveACrash(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		r := l.room(t, tree.Options{StateDir: dir})
		p := r.program(1)
		p.write(doc, "[1,")
		p.write("a/tmp", "[2,")
		r.program(2).rename("a/tmp", doc)
		left := crash(t, dir)
		next := restart(t, r, left)
		next.wantFile(doc, saved)
		if got := next.conflicts(); len(got) != 2 {
			t.Errorf("conflict copies = %q, want two", got)
		}
		wantEmpty(t, left)
	})
}

func TestStagingOfAnotherRelease(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := tree.New(tree.Options{StateDir: dir})
	if err == nil || fs.KindOf(err) != fs.Unsupported || !strings.Contains(err.Error(), "release") {
		t.Errorf("New() = %v, want a refusal that says how to go on", err)
	}
	if err := os.Truncate(filepath.Join(dir, "VERSION"), 0); err != nil { // as a full disk or a loss of power leaves it
		t.Fatal(err)
	}
	tr, err := tree.New(tree.Options{StateDir: dir})
	if err != nil {
		t.Fatalf("New() where the version was never written = %v", err)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func (l liveTest) stagingIsRemoved(t *testing.T) {
	dir := t.TempDir()
	r := l.room(t, tree.Options{StateDir: dir})
	p := r.program(1)
	p.write(doc, "[1]")
	p.close(p.open(doc, fs.OpenReadWrite))
	p.write("a/tmp", "[2]")
	p.rename("a/tmp", doc)
	h := p.open(doc, fs.OpenReadWrite)
	p.put(h, "x", 0)
	p.remove()
	p.close(h)
	wantEmpty(t, dir)
	if got := r.conflicts(); len(got) != 0 {
		t.Errorf("conflict copies %q of a removed file", got)
	}
}

// TestKernelWritesToASupersededFile writes as the kernel does that has the descriptor. What comes after the save is kept, whatever
// times the program sets, and however it has opened the file.
func TestKernelWritesToASupersededFile(t *testing.T) {
	long := time.Now().Add(-time.Hour)
	for _, c := range []struct {
		name  string
		flags fs.OpenFlags
		times bool
		want  string
	}{
		{"overwritten", fs.OpenReadWrite, false, "[\n6,\n2,\n3\n]\n"},
		{"times set", fs.OpenReadWrite, true, "[\n6,\n2,\n3\n]\n"},
		{"truncated", fs.OpenReadWrite | fs.OpenTruncate, false, "[\n6"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRoom(t, tree.Options{}, inFolder(t))
			r.release()
			p := r.program(1)
			h := p.open(doc, c.flags)
			put(t, r.tr, doc, "from the API")
			direct, ok := fs.As[fs.Passthrougher](h)
			if !ok {
				t.Fatal("the drive gives no descriptor")
			}
			fd, _ := direct.PassthroughFd()
			_, err := syscall.Pwrite(fd, []byte("[\n6"), 0)
			p.must(err)
			if c.times {
				_, err = r.tr.SetAttr(p.ctx, h.Node(), fs.SetAttr{Mtime: &long})
				p.must(err)
			}
			p.close(h)
			copies := r.conflicts()
			if len(copies) != 1 {
				t.Fatalf("conflict copies = %q, want one", copies)
			}
			r.wantFile(copies[0], c.want)
			r.wantFile(doc, "from the API")
		})
	}
}
