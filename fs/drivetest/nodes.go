package drivetest

import (
	"context"
	"fmt"
	"strings"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// nodeCases check identities: Go values, inode numbers, paths and file ids.
func nodeCases() []testCase {
	return []testCase{{"one value for one file", "", func(e *env) {
		d := e.mkdir("d")
		n := e.write("d/f", "x")
		l, err := d.List(e.ctx)
		e.must("List", err)
		entry, err := l.At(e.ctx, 0)
		e.must("At", err)
		h := e.open(n, fs.OpenRead)
		for what, got := range map[string]fs.Node{"Lookup": e.node("d/f"), "Listing": entry.Node, "Handle.Node": h.Node()} {
			if got != n && !(got == nil && what == "Listing") {
				e.t.Errorf("%s gives another node than Create", what)
			}
		}
		if e.node("d") != fs.Node(d) {
			e.t.Error("Lookup gives another directory than Mkdir")
		}
		e.must("Release", h.Release(e.ctx))
		e.must("Close", l.Close())
	}}, {"inode numbers", "", uniqueInos}, {"drive", "", func(e *env) {
		if got := e.write("f", "").Drive(); got != e.d.ID() {
			e.t.Errorf("Drive() = %v, want %v", got, e.d.ID())
		}
	}}, {"paths follow renames", "", func(e *env) {
		e.mkdir("a")
		e.mkdir("a/b")
		n := e.write("a/b/f", "x")
		wantPath := func(want string, there bool) {
			e.t.Helper()
			if got, ok := n.Path(); got != want || ok != there {
				e.t.Errorf("Path() = %q, %v, want %q, %v", got, ok, want, there)
			}
		}
		wantPath("a/b/f", true)
		e.must("Rename", e.root.Rename(e.ctx, "a", e.root, "c", 0))
		wantPath("c/b/f", true)
		dir, name := e.at("c/b/f")
		e.must("Rename", dir.Rename(e.ctx, name, e.root, "g", 0))
		wantPath("g", true)
		e.must("Remove", e.root.Remove(e.ctx, "g", false))
		wantPath("g", false)
		if p, ok := e.root.Path(); p != "" || !ok {
			e.t.Errorf("the root's Path() = %q, %v", p, ok)
		}
	}}, {"file ids", "", func(e *env) {
		n := e.write("f", "x")
		id := e.fileID(n)
		if again := e.fileID(e.node("f")); again != id {
			e.t.Errorf("FileID() = %v, then %v", id, again)
		}
		if other := e.fileID(e.write("g", "x")); other == id {
			e.t.Error("two files have one id")
		}
		h := e.open(n, fs.OpenWrite)
		e.put(h, "yy", 0)
		e.release(h)
		e.mkdir("d")
		e.must("Rename", e.root.Rename(e.ctx, "f", e.node("d").(fs.Dir), "moved", 0))
		if got := e.fileID(e.node("d/moved")); got != id {
			e.t.Errorf("FileID() after write and rename = %v, want %v", got, id)
		}
		e.must("Rename", e.root.Rename(e.ctx, "d", e.root, "e", 0))
		if got := e.fileID(e.node("e/moved")); got != id {
			e.t.Errorf("FileID() after the folder's rename = %v, want %v", got, id)
		}
	}}, {"a new file under an old name is another document", "", func(e *env) {
		id := e.fileID(e.write("f", "x"))
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		if got := e.fileID(e.write("f", "x")); got == id {
			e.t.Error("a file has the id of a removed one")
		}
	}}, {"a new file can continue a removed document", "", func(e *env) {
		id := e.fileID(e.write("f", "x"))
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		n := e.write("f", "y")
		a, ok := n.(fs.Adopter)
		if !ok {
			e.t.Skip("nodes are no fs.Adopter")
		}
		e.must("Adopt", a.Adopt(e.ctx, id))
		if got := e.fileID(e.node("f")); got != id {
			e.t.Errorf("FileID() after Adopt = %v, want %v", got, id)
		}
		e.must("Rename", e.root.Rename(e.ctx, "f", e.root, "g", 0))
		if got := e.fileID(e.node("g")); got != id {
			e.t.Errorf("FileID() after Adopt and Rename = %v, want %v", got, id)
		}
	}}, {"an open file without a name opens again", "", func(e *env) {
		n := e.write("f", "text")
		h := e.open(n, fs.OpenRead)
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		again := e.open(n, fs.OpenReadWrite)
		e.put(again, "T", 0)
		e.release(h)
		e.wantOpen(again, "Text")
		e.release(again)
	}}, {"a file id can be asked for by many at once", "", func(e *env) {
		n := e.write("f", "x")
		ids := parallel(16, func(int) (fs.FileID, error) { return n.FileID(e.ctx) })
		for _, r := range ids {
			e.must("FileID", r.err)
			if r.v != ids[0].v {
				e.t.Fatalf("FileID() = %v and %v", ids[0].v, r.v)
			}
		}
	}}}
}

func uniqueInos(e *env) {
	seen := map[uint64]string{e.root.Ino(): "the root"}
	check := func(n fs.Node, what string) {
		e.t.Helper()
		ino := n.Ino()
		if ino <= 1 {
			e.t.Fatalf("the inode number of %s is %d", what, ino)
		}
		if a := e.attr(n); a.Ino != ino {
			e.t.Fatalf("Attr.Ino = %d, Ino() = %d", a.Ino, ino)
		}
		if other, used := seen[ino]; used {
			e.t.Fatalf("%s has the inode number of %s", what, other)
		}
		seen[ino] = what
	}
	for i := range 200 { // stores reuse their own numbers at once
		check(e.write("f", "x"), fmt.Sprintf("file %d", i))
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		check(e.mkdir("d"), fmt.Sprintf("directory %d", i))
		e.must("Remove", e.root.Remove(e.ctx, "d", true))
		if i%10 == 0 {
			check(e.replace("kept", fmt.Sprint(i), fs.ReplaceOptions{}).Node, fmt.Sprintf("version %d", i))
		}
	}
}

// createCases check Create and its flags.
func createCases() []testCase {
	return []testCase{{"new, then opened", "", func(e *env) {
		n := e.write("f", "one")
		again, h := e.create("f", fs.OpenReadWrite)
		if again != n {
			e.t.Error("Create of an existing file gives another node")
		}
		e.wantOpen(h, "one")
		e.release(h)
	}}, {"exclusive", "", func(e *env) {
		_, h := e.create("f", fs.OpenReadWrite|fs.OpenExclusive)
		e.release(h)
		e.mkdir("d")
		for _, name := range []string{"f", "d"} {
			_, _, err := e.root.Create(e.ctx, name, fs.CreateOptions{Flags: fs.OpenReadWrite | fs.OpenExclusive})
			e.kind("Create "+name, err, fs.Exist)
		}
	}}, {"truncate", "", func(e *env) {
		n := e.write("f", "long text")
		_, h := e.create("f", fs.OpenReadWrite|fs.OpenTruncate)
		if a := e.attr(n); a.Size != 0 {
			e.t.Errorf("Size after OpenTruncate = %d", a.Size)
		}
		e.release(h)
		e.write("f", "long text")
		h = e.open(n, fs.OpenWrite|fs.OpenTruncate)
		e.release(h)
		e.wantText(n, "")
	}}, {"on a directory", "", func(e *env) {
		e.mkdir("d")
		_, _, err := e.root.Create(e.ctx, "d", fs.CreateOptions{Flags: fs.OpenReadWrite})
		e.kind("Create", err, fs.IsDir)
		_, err = e.node("d").Open(e.ctx, fs.OpenRead)
		e.kind("Open", err, fs.IsDir)
	}}, {"in a removed directory", "", func(e *env) {
		d := e.mkdir("d")
		e.must("Remove", e.root.Remove(e.ctx, "d", true))
		_, _, err := d.Create(e.ctx, "f", fs.CreateOptions{Flags: fs.OpenReadWrite})
		e.kind("Create", err, fs.NotExist)
		_, err = d.Mkdir(e.ctx, "g", fs.CreateOptions{})
		e.kind("Mkdir", err, fs.NotExist)
		_, err = d.Lookup(e.ctx, "h")
		e.kind("Lookup", err, fs.NotExist)
	}}, {"mode and owner", Times, func(e *env) {
		uid, gid := uint32(syscall.Getuid()), uint32(syscall.Getgid())
		own := fs.Owner{UID: uid, GID: gid, Set: true}
		n, h, err := e.root.Create(e.ctx, "f", fs.CreateOptions{Mode: 0o640, Flags: fs.OpenReadWrite, Owner: own})
		e.must("Create", err)
		e.release(h)
		d, err := e.root.Mkdir(e.ctx, "d", fs.CreateOptions{Mode: 0o710, Owner: own})
		e.must("Mkdir", err)
		for n, want := range map[fs.Node]uint32{n: fs.ModeFile | 0o640, d: fs.ModeDir | 0o710} {
			if a := e.attr(n); a.Mode != want || a.UID != uid || a.GID != gid {
				e.t.Errorf("Attr() = mode %o of %d:%d, want %o of %d:%d", a.Mode, a.UID, a.GID, want, uid, gid)
			}
		}
	}}, {"of one name by many", "", func(e *env) {
		won := 0
		for _, r := range parallel(16, func(int) (fs.Handle, error) {
			_, h, err := e.root.Create(e.ctx, "f", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenExclusive})
			return h, err
		}) {
			if r.err == nil {
				won++
				e.release(r.v)
			} else {
				e.kind("Create", r.err, fs.Exist)
			}
		}
		if won != 1 {
			e.t.Errorf("%d of 16 exclusive creates succeeded, want 1", won)
		}
	}}}
}

// attrCases check attributes and their changes.
func attrCases() []testCase {
	return []testCase{{"types", "", func(e *env) {
		f, d := e.attr(e.write("f", "12345")), e.attr(e.mkdir("d"))
		if f.Type() != fs.File || f.Size != 5 || f.Nlink != 1 || f.Version == "" {
			e.t.Errorf("a file's Attr() = %+v", f)
		}
		if d.Type() != fs.Directory || d.Version != "" || d.Nlink == 0 {
			e.t.Errorf("a directory's Attr() = %+v", d)
		}
		for what, at := range map[string]time.Time{"Mtime": f.Mtime, "Ctime": f.Ctime, "directory's Mtime": d.Mtime} {
			if age := time.Since(at); age > time.Hour || age < -time.Hour {
				e.t.Errorf("%s of a new file = %v", what, at)
			}
		}
	}}, {"mode and times", Times, func(e *env) {
		n := e.write("f", "x")
		mode, at := uint32(0o600), time.Unix(1_600_000_000, 123_000_000)
		got, err := n.SetAttr(e.ctx, fs.SetAttr{Mode: &mode, Mtime: &at, Atime: &at})
		e.must("SetAttr", err)
		for what, a := range map[string]fs.Attr{"SetAttr": got, "Attr": e.attr(n)} {
			if a.Mode != fs.ModeFile|mode || !a.Mtime.Equal(at) || !a.Atime.Equal(at) || a.Size != 1 {
				e.t.Errorf("%s() = %+v, want mode %o and time %v", what, a, mode, at)
			}
		}
		e.wantText(n, "x")
	}}, {"nothing set is nothing changed", "", func(e *env) {
		n := e.write("f", "x")
		v := e.version(n)
		_, err := n.SetAttr(e.ctx, fs.SetAttr{})
		e.must("SetAttr", err)
		if e.attr(n).Size != 1 {
			e.t.Errorf("Size = %d, want 1 (version was %q)", e.attr(n).Size, v)
		}
	}}, {"size", "", func(e *env) {
		n := e.write("f", "hello")
		for _, c := range []struct {
			size int64
			want string
		}{{3, "hel"}, {6, "hel\x00\x00\x00"}, {0, ""}, {2, "\x00\x00"}} {
			before := e.version(n)
			a, err := n.SetAttr(e.ctx, fs.SetAttr{Size: &c.size})
			e.must("SetAttr", err)
			if a.Size != c.size || a.Version == before {
				e.t.Errorf("SetAttr(size %d) = size %d, version %q after %q", c.size, a.Size, a.Version, before)
			}
			e.wantText(n, c.want)
		}
		if n.Superseded() || e.node("f") != n {
			e.t.Error("an edit in place has made a new node")
		}
	}}, {"size of what has none", "", func(e *env) {
		size := int64(1)
		_, err := e.mkdir("d").SetAttr(e.ctx, fs.SetAttr{Size: &size})
		e.oneOf("SetAttr(directory, size)", err, fs.IsDir, fs.Invalid)
		size = -1
		_, err = e.write("f", "x").SetAttr(e.ctx, fs.SetAttr{Size: &size})
		e.kind("SetAttr(size -1)", err, fs.Invalid)
	}}, {"a directory's time moves with its entries", "", func(e *env) {
		d := e.mkdir("d")
		old := time.Unix(1_600_000_000, 0)
		_, err := d.SetAttr(e.ctx, fs.SetAttr{Mtime: &old})
		if err != nil && fs.KindOf(err) == fs.Unsupported {
			e.t.Skip("no times on directories")
		}
		e.must("SetAttr", err)
		e.write("d/f", "")
		if !e.attr(d).Mtime.After(old) {
			e.t.Error("Mtime of a directory stays when a name is added")
		}
	}}, {"versions", "", versionsTellBytes}}
}

// versionsTellBytes checks that one version never stands for two contents.
func versionsTellBytes(e *env) {
	n := e.write("f", "")
	seen := map[fs.Version]string{}
	look := func() {
		e.t.Helper()
		n := e.node("f")
		text, err := readNode(e.ctx, n)
		e.must("read", err)
		v := e.version(n)
		if other, ok := seen[v]; ok && other != text {
			e.t.Fatalf("version %q stands for %s and for %s", v, brief(other), brief(text))
		}
		seen[v] = text
	}
	look()
	if a, b := e.version(n), e.version(n); a != b {
		e.t.Errorf("the version of unchanged bytes = %q, then %q", a, b)
	}
	h := e.open(n, fs.OpenReadWrite)
	for i := range 50 { // same size, as fast as it goes: clocks are too coarse
		e.put(h, fmt.Sprintf("%02d", i), 0)
		look()
	}
	e.release(h)
	look()
	for i := range 20 {
		e.replace("f", fmt.Sprintf("%02d", i+60), fs.ReplaceOptions{})
		look()
	}
	for i := range 20 { // a number that is free again must not bring back a version
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		e.write("f", fmt.Sprintf("%02d", i+80))
		look()
	}
}

// result is what one of several goroutines has returned.
type result[T any] struct {
	v   T
	err error
}

// parallel runs do n times at once.
func parallel[T any](n int, do func(i int) (T, error)) []result[T] {
	out := make([]result[T], n)
	done := make(chan struct{})
	start := make(chan struct{})
	for i := range n {
		go func() {
			<-start
			out[i].v, out[i].err = do(i)
			done <- struct{}{}
		}()
	}
	close(start)
	for range n {
		<-done
	}
	return out
}

// contextCases check what a context does.
func contextCases() []testCase {
	return []testCase{{"cancelled before", "", func(e *env) {
		n := e.write("f", "old")
		ctx, cancel := context.WithCancel(e.ctx)
		cancel()
		_, err := e.d.Replace(ctx, "f", strings.NewReader("new"), fs.ReplaceOptions{})
		e.kind("Replace", err, fs.Canceled)
		e.wantText(e.node("f"), "old")
		if e.node("f") != n {
			e.t.Error("a cancelled Replace has made a new node")
		}
		if _, err := e.d.Copy(ctx, "f", "g"); err != nil {
			e.kind("Copy", err, fs.Canceled)
			e.absent("g")
		}
	}}, {"cancelled while reading", "", func(e *env) {
		e.write("f", "old")
		ctx, cancel := context.WithCancel(e.ctx)
		defer cancel()
		r := &tripReader{data: strings.Repeat("n", 1<<20), at: 1 << 19, trip: func() error { cancel(); return nil }}
		_, err := e.d.Replace(ctx, "f", r, fs.ReplaceOptions{})
		if err != nil {
			e.kind("Replace", err, fs.Canceled)
			e.wantText(e.node("f"), "old")
			e.wantNames(e.root, "f")
			return
		}
		e.wantText(e.node("f"), r.data)
	}}, {"a release works without one", "", func(e *env) {
		n := e.write("f", "old")
		ctx, cancel := context.WithCancel(e.ctx)
		h, err := n.Open(ctx, fs.OpenReadWrite)
		e.must("Open", err)
		e.put(h, "new", 0)
		cancel()
		if err := h.Release(ctx); err != nil {
			e.kind("Release", err, fs.Canceled)
		}
		e.wantText(n, "new")
	}}}
}

// tripReader gives data and calls trip once when it has given at bytes.
type tripReader struct {
	data string
	at   int
	trip func() error
	off  int
}

func (r *tripReader) Read(p []byte) (int, error) {
	if r.trip != nil && r.off >= r.at {
		trip := r.trip
		r.trip = nil
		if err := trip(); err != nil {
			return 0, err
		}
	}
	n, err := strings.NewReader(r.data[r.off:]).Read(p)
	r.off += n
	return n, err
}
