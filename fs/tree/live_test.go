package tree_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

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
