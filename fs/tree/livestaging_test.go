package tree_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

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
