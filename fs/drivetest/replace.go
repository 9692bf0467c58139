package drivetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// replaceCases check Replace: all or nothing, a new node, conditions.
func replaceCases() []testCase {
	return []testCase{{"a new file", "", func(e *env) {
		out := e.replace("f", "text", fs.ReplaceOptions{})
		if out.Node != e.node("f") || out.Attr.Size != 4 || out.Attr.Version != e.version(out.Node) || out.Seq == 0 {
			e.t.Errorf("Replace() = %+v", out)
		}
		if a := e.attr(out.Node); e.o.Absent[Times] == "" && a.Mode != fs.ModeFile|0o644 {
			e.t.Errorf("Mode = %o, want 644", a.Mode)
		}
		e.wantText(out.Node, "text")
	}}, {"replaced is a new node", "", replaceIsNewNode}, {"old handles read old bytes", "", func(e *env) {
		old := e.write("f", "first")
		r, w := e.open(old, fs.OpenRead), e.open(old, fs.OpenReadWrite)
		e.replace("f", "second version", fs.ReplaceOptions{})
		e.wantOpen(r, "first")
		e.put(w, "F", 0)
		e.wantOpen(r, "First")
		e.wantText(e.node("f"), "second version")
		e.replace("f", "third", fs.ReplaceOptions{})
		e.wantOpen(r, "First")
		e.release(r)
		e.release(w)
		e.wantText(e.node("f"), "third")
		if p, ok := old.Path(); ok || p != "f" {
			e.t.Errorf("Path() of a superseded node = %q, %v, want f, false", p, ok)
		}
	}}, {"equal bytes keep the node", "", func(e *env) {
		n := e.write("f", "same")
		v := e.version(n)
		changes := e.log.count()
		out := e.replace("f", "same", fs.ReplaceOptions{})
		if out.Node != n || out.Seq != 0 || n.Superseded() || e.version(n) != v || out.Attr.Version != v {
			e.t.Errorf("Replace() with equal bytes = %+v, version %q after %q", out, e.version(n), v)
		}
		if got := e.log.count(); got != changes {
			e.t.Errorf("%d changes were published for equal bytes", got-changes)
		}
	}}, {"an error of the reader leaves nothing", "", func(e *env) {
		n := e.write("f", "old")
		broken := errors.New("broken pipe")
		for _, path := range []string{"f", "new"} {
			r := &tripReader{data: strings.Repeat("x", 1<<20), at: 1 << 19, trip: func() error { return broken }}
			if _, err := e.d.Replace(e.ctx, path, r, fs.ReplaceOptions{}); !errors.Is(err, broken) {
				e.t.Errorf("Replace(%s) = %v, want the reader's error", path, err)
			}
		}
		e.wantNames(e.root, "f")
		if e.node("f") != n || n.Superseded() {
			e.t.Error("a failed Replace has made a new node")
		}
		e.wantText(n, "old")
	}}, {"conditions", "", replaceConditions}, {"mode and time", Times, func(e *env) {
		at := time.Unix(1_600_000_000, 0)
		a := e.replace("f", "x", fs.ReplaceOptions{Mode: 0o600, ModTime: at}).Attr
		if a.Mode != fs.ModeFile|0o600 || !a.Mtime.Equal(at) {
			e.t.Errorf("mode %o, time %v, want 600 and %v", a.Mode, a.Mtime, at)
		}
		if a = e.replace("f", "y", fs.ReplaceOptions{Mode: 0o644}).Attr; a.Mode != fs.ModeFile|0o600 {
			e.t.Errorf("mode of a replaced file = %o, want its own 600", a.Mode)
		}
	}}, {"where it cannot", "", func(e *env) {
		e.mkdir("d")
		e.write("f", "")
		for _, c := range []struct {
			path string
			want fs.Kind
		}{{"d", fs.IsDir}, {"none/f", fs.NotExist}, {"f/g", fs.NotDir}} {
			_, err := e.d.Replace(e.ctx, c.path, strings.NewReader("x"), fs.ReplaceOptions{})
			e.kind("Replace "+c.path, err, c.want)
		}
	}}, {"large and empty", "", func(e *env) {
		big := strings.Repeat("0123456789abcdef", 1<<18) // 4 MiB
		for _, data := range []string{big, "", "x"} {
			e.wantText(e.replace("f", data, fs.ReplaceOptions{}).Node, data)
		}
	}}, {"one of many writers wins", "", func(e *env) {
		v := e.version(e.write("f", "base"))
		won := 0
		for _, r := range parallel(16, func(i int) (fs.Replaced, error) {
			return e.d.Replace(e.ctx, "f", strings.NewReader(fmt.Sprint("writer ", i)), fs.ReplaceOptions{IfVersion: v})
		}) {
			if r.err == nil {
				won++
				e.wantText(e.node("f"), mustRead(e, r.v.Node))
			} else {
				e.kind("Replace", r.err, fs.Conflict)
			}
		}
		if won != 1 {
			e.t.Errorf("%d of 16 writers won, want 1", won)
		}
	}}, {"one of many creators wins", "", func(e *env) {
		won := 0
		for _, r := range parallel(16, func(i int) (fs.Replaced, error) {
			return e.d.Replace(e.ctx, "f", strings.NewReader(fmt.Sprint("writer ", i)), fs.ReplaceOptions{IfAbsent: true})
		}) {
			if r.err == nil {
				won++
			} else {
				e.kind("Replace", r.err, fs.Exist)
			}
		}
		if won != 1 {
			e.t.Errorf("%d of 16 creators won, want 1", won)
		}
	}}, {"readers see all or nothing", "", replaceIsAtomic}}
}

func mustRead(e *env, n fs.Node) string {
	e.t.Helper()
	s, err := readNode(e.ctx, n)
	e.must("read", err)
	return s
}

func replaceIsNewNode(e *env) {
	old := e.write("f", "first")
	id, v := e.fileID(old), e.version(old)
	h := e.open(old, fs.OpenRead)
	out := e.replace("f", "second", fs.ReplaceOptions{})
	if out.Node == old || out.Node.Ino() == old.Ino() {
		e.t.Error("replaced contents have kept the node")
	}
	if !old.Superseded() || out.Node.Superseded() {
		e.t.Errorf("Superseded() = %v of the old and %v of the new node", old.Superseded(), out.Node.Superseded())
	}
	if got := e.version(out.Node); got == v {
		e.t.Errorf("the version is still %q", v)
	}
	for what, n := range map[string]fs.Node{"new": out.Node, "old": old} {
		if got := e.fileID(n); got != id {
			e.t.Errorf("FileID() of the %s node = %v, want %v", what, got, id)
		}
	}
	if a, err := h.Attr(e.ctx); err != nil || a.Nlink != 0 || a.Version != v {
		e.t.Errorf("Attr() of the old node's handle = %+v, %v, want Nlink 0 and version %q", a, err, v)
	}
	e.release(h)
	e.must("Remove", e.root.Remove(e.ctx, "f", false))
	if !old.Superseded() {
		e.t.Error("Superseded() went back")
	}
}

func replaceConditions(e *env) {
	try := func(path, data string, o fs.ReplaceOptions) error {
		_, err := e.d.Replace(e.ctx, path, strings.NewReader(data), o)
		return err
	}
	e.kind("IfVersion of no file", try("f", "x", fs.ReplaceOptions{IfVersion: "1"}), fs.Conflict)
	e.absent("f")
	e.must("IfAbsent", try("f", "one", fs.ReplaceOptions{IfAbsent: true}))
	e.kind("IfAbsent again", try("f", "two", fs.ReplaceOptions{IfAbsent: true}), fs.Exist)
	e.mkdir("d")
	e.kind("IfAbsent of a directory", try("d", "two", fs.ReplaceOptions{IfAbsent: true}), fs.Exist)
	v := e.version(e.node("f"))
	e.must("IfVersion", try("f", "two", fs.ReplaceOptions{IfVersion: v}))
	e.kind("IfVersion of the one before", try("f", "three", fs.ReplaceOptions{IfVersion: v}), fs.Conflict)
	e.kind("IfVersion of the one before, equal bytes", try("f", "two", fs.ReplaceOptions{IfVersion: v}), fs.Conflict)
	h := e.open(e.node("f"), fs.OpenWrite)
	v = e.version(e.node("f"))
	e.put(h, "TWO", 0)
	e.release(h)
	e.kind("IfVersion after a write in place", try("f", "three", fs.ReplaceOptions{IfVersion: v}), fs.Conflict)
	e.wantText(e.node("f"), "TWO")
	e.must("Base is no condition", try("f", "four", fs.ReplaceOptions{Base: v}))
	e.wantText(e.node("f"), "four")
}

// replaceIsAtomic replaces a file while others read it: each read must be one of the written texts.
func replaceIsAtomic(e *env) {
	text := func(i int) string { return strings.Repeat(fmt.Sprintf("%04d", i), 5000) }
	e.replace("f", text(0), fs.ReplaceOptions{})
	stop := make(chan struct{})
	var readers sync.WaitGroup
	errs := make(chan error, 4)
	for range 4 {
		readers.Go(func() { errs <- readsWhole(e, stop) })
	}
	for i := range 100 {
		e.replace("f", text(i%10000), fs.ReplaceOptions{})
	}
	close(stop)
	readers.Wait()
	for range 4 {
		e.must("reader", <-errs)
	}
}

func readsWhole(e *env, stop <-chan struct{}) error {
	for {
		select {
		case <-stop:
			return nil
		default:
		}
		n, err := e.root.Lookup(e.ctx, "f")
		if err != nil {
			return err
		}
		s, err := readNode(e.ctx, n)
		if err != nil && fs.KindOf(err) != fs.Stale { // superseded between the two
			return err
		}
		if err == nil && (len(s) != 20000 || s != strings.Repeat(s[:4], 5000)) {
			return fmt.Errorf("a torn read of %d bytes: %s", len(s), brief(s))
		}
	}
}

// copyCases check Copy.
func copyCases() []testCase {
	return []testCase{{"bytes, not identity", "", func(e *env) {
		src := e.write("f", "text")
		id := e.fileID(src)
		e.mkdir("d")
		out, err := e.d.Copy(e.ctx, "f", "d/g")
		e.must("Copy", err)
		if out.Node != e.node("d/g") || out.Attr.Size != 4 || out.Seq == 0 {
			e.t.Errorf("Copy() = %+v", out)
		}
		if e.fileID(out.Node) == id {
			e.t.Error("a copy has the file id of its source")
		}
		h := e.open(out.Node, fs.OpenWrite)
		e.put(h, "copy", 0)
		e.release(h)
		e.wantText(src, "text")
		e.wantText(out.Node, "copy")
	}}, {"where it cannot", "", func(e *env) {
		e.write("f", "x")
		e.write("g", "y")
		e.mkdir("d")
		for _, c := range []struct {
			src, dst string
			want     fs.Kind
		}{{"f", "g", fs.Exist}, {"f", "d", fs.Exist}, {"f", "f", fs.Exist}, {"none", "h", fs.NotExist}, {"d", "h", fs.IsDir},
			{"f", "none/h", fs.NotExist}} {
			_, err := e.d.Copy(e.ctx, c.src, c.dst)
			e.kind(fmt.Sprintf("Copy(%s, %s)", c.src, c.dst), err, c.want)
		}
		e.wantText(e.node("g"), "y")
		e.wantNames(e.root, "d", "f", "g")
	}}}
}
