package drivetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// changeCases check that each operation publishes its change before it returns.
func changeCases() []testCase {
	cases := []testCase{{"grow over operations", "", func(e *env) {
		a := e.replace("f", "1", fs.ReplaceOptions{})
		b := e.replace("f", "2", fs.ReplaceOptions{})
		e.mkdir("d")
		c := e.replace("f", "3", fs.ReplaceOptions{})
		if a.Seq >= b.Seq || b.Seq >= c.Seq {
			e.t.Errorf("Seq = %d, %d, %d", a.Seq, b.Seq, c.Seq)
		}
	}}, {"none for what failed or changed nothing", "", func(e *env) {
		e.write("f", "x")
		changes := e.caused(func(ctx context.Context) {
			_, err := e.d.Replace(ctx, "f", strings.NewReader("x"), fs.ReplaceOptions{})
			e.must("Replace", err)
			e.kind("Remove", e.root.Remove(ctx, "none", false), fs.NotExist)
			_, err = e.d.Replace(ctx, "f", strings.NewReader("y"), fs.ReplaceOptions{IfAbsent: true})
			e.kind("Replace", err, fs.Exist)
			h, err := e.node("f").Open(ctx, fs.OpenReadWrite)
			e.must("Open", err)
			e.must("Flush", h.Flush(ctx))
			e.must("Release", h.Release(ctx))
		})
		if len(changes) > 0 {
			e.t.Errorf("published %v", changes)
		}
	}}}
	for _, c := range publications() {
		cases = append(cases, testCase{c.name, c.needs, func(e *env) { publishes(e, c) }})
	}
	return cases
}

// publication is an operation and the change it publishes.
type publication struct {
	name  string
	needs Feature
	do    func(e *env, ctx context.Context) error
	want  fs.Change // Op, Path, OldPath and Type are compared
	old   string    // the path whose node before is Change.Old
	many  bool      // more than one such change is right
}

func publications() []publication {
	return []publication{{name: "create", do: func(e *env, ctx context.Context) error {
		_, h, err := e.root.Create(ctx, "new", fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite})
		e.must("Create", err)
		return h.Release(ctx)
	}, want: fs.Change{Op: fs.OpCreate, Path: "new", Type: fs.File}}, {name: "mkdir", do: func(e *env, ctx context.Context) error {
		_, err := e.root.Mkdir(ctx, "new", fs.CreateOptions{Mode: 0o755})
		return err
	}, want: fs.Change{Op: fs.OpCreate, Path: "new", Type: fs.Directory}}, {
		name: "symlink", needs: Symlinks, do: func(e *env, ctx context.Context) error {
			_, err := e.root.(fs.Symlinker).Symlink(ctx, "new", "x", fs.CreateOptions{})
			return err
		}, want: fs.Change{Op: fs.OpCreate, Path: "new", Type: fs.Symlink}}, {
		name: "link", needs: HardLinks, do: func(e *env, ctx context.Context) error {
			_, err := e.root.(fs.Linker).Link(ctx, e.node("f"), "new")
			return err
		}, want: fs.Change{Op: fs.OpCreate, Path: "new", Type: fs.File}}, {
		name: "write", do: func(e *env, ctx context.Context) error {
			h, err := e.node("f").Open(ctx, fs.OpenReadWrite)
			e.must("Open", err)
			_, err = h.WriteAt(ctx, []byte("new"), 0)
			return errors.Join(err, h.Flush(ctx), h.Release(ctx))
		}, want: fs.Change{Op: fs.OpWrite, Path: "f", Type: fs.File}, many: true}, {
		name: "truncate on open", do: func(e *env, ctx context.Context) error {
			h, err := e.node("f").Open(ctx, fs.OpenWrite|fs.OpenTruncate)
			e.must("Open", err)
			return errors.Join(h.Flush(ctx), h.Release(ctx))
		}, want: fs.Change{Op: fs.OpWrite, Path: "f", Type: fs.File}, many: true}, {
		name: "size", do: func(e *env, ctx context.Context) error {
			size := int64(1)
			_, err := e.node("f").SetAttr(ctx, fs.SetAttr{Size: &size})
			return err
		}, want: fs.Change{Op: fs.OpWrite, Path: "f", Type: fs.File}}, {
		name: "mode", needs: Times, do: func(e *env, ctx context.Context) error {
			mode := uint32(0o600)
			_, err := e.node("f").SetAttr(ctx, fs.SetAttr{Mode: &mode})
			return err
		}, want: fs.Change{Op: fs.OpAttr, Path: "f", Type: fs.File}}, {
		name: "xattr", needs: Xattrs, do: func(e *env, ctx context.Context) error {
			return e.node("f").(fs.Xattrer).SetXattr(ctx, "user.a", []byte("1"), false, false)
		}, want: fs.Change{Op: fs.OpAttr, Path: "f", Type: fs.File}}, {
		name: "replace", do: func(e *env, ctx context.Context) error {
			_, err := e.d.Replace(ctx, "f", strings.NewReader("new"), fs.ReplaceOptions{})
			return err
		}, want: fs.Change{Op: fs.OpReplace, Path: "f", Type: fs.File}, old: "f"}, {
		name: "replace of a free name", do: func(e *env, ctx context.Context) error {
			_, err := e.d.Replace(ctx, "d/new", strings.NewReader("new"), fs.ReplaceOptions{})
			return err
		}, want: fs.Change{Op: fs.OpCreate, Path: "d/new", Type: fs.File}}, {
		name: "copy", do: func(e *env, ctx context.Context) error {
			_, err := e.d.Copy(ctx, "f", "new")
			return err
		}, want: fs.Change{Op: fs.OpCreate, Path: "new", Type: fs.File}}, {
		name: "rename", do: func(e *env, ctx context.Context) error {
			return e.root.Rename(ctx, "f", e.node("d").(fs.Dir), "new", 0)
		}, want: fs.Change{Op: fs.OpRename, Path: "d/new", OldPath: "f", Type: fs.File}}, {
		name: "rename over", do: func(e *env, ctx context.Context) error {
			return e.root.Rename(ctx, "f", e.root, "g", 0)
		}, want: fs.Change{Op: fs.OpRename, Path: "g", OldPath: "f", Type: fs.File}, old: "g"}, {
		name: "rename of a directory", do: func(e *env, ctx context.Context) error {
			return e.root.Rename(ctx, "d", e.root, "new", 0)
		}, want: fs.Change{Op: fs.OpRename, Path: "new", OldPath: "d", Type: fs.Directory}}, {
		name: "remove", do: func(e *env, ctx context.Context) error {
			return e.root.Remove(ctx, "f", false)
		}, want: fs.Change{Op: fs.OpRemove, Path: "f", Type: fs.File}, old: "f"}, {
		name: "remove of a directory", do: func(e *env, ctx context.Context) error {
			return e.root.Remove(ctx, "d", true)
		}, want: fs.Change{Op: fs.OpRemove, Path: "d", Type: fs.Directory}, old: "d"}}
}

func publishes(e *env, p publication) {
	e.write("f", "text of f")
	e.write("g", "text of g")
	e.mkdir("d")
	id := e.fileID(e.node("f"))
	var old fs.Node
	if p.old != "" {
		old = e.node(p.old)
	}
	begin := time.Now()
	changes := e.caused(func(ctx context.Context) { e.must(p.name, p.do(e, ctx)) })
	var got []fs.Change
	for _, c := range changes {
		if c.Op == p.want.Op {
			got = append(got, c)
		}
	}
	if len(got) == 0 || len(got) > 1 && !p.many {
		e.t.Fatalf("published %v, want one %s", changes, p.want.Op)
	}
	c := got[len(got)-1]
	if c.Path != p.want.Path || c.OldPath != p.want.OldPath || c.Type != p.want.Type {
		e.t.Errorf("published %q from %q of type %d, want %q from %q of type %d",
			c.Path, c.OldPath, c.Type, p.want.Path, p.want.OldPath, p.want.Type)
	}
	if c.Seq == 0 || c.Drive != e.d.ID() || c.Time.Before(begin.Add(-time.Minute)) {
		e.t.Errorf("Seq %d, Drive %v, Time %v", c.Seq, c.Drive, c.Time)
	}
	if c.Cause.Origin != fs.OriginMount || c.Cause.PID != 42 {
		e.t.Errorf("Cause = %+v", c.Cause)
	}
	e.wantNodes(c, old)
	if p.want.Path == "f" && c.FileID != id {
		e.t.Errorf("FileID = %v, want %v", c.FileID, id)
	}
}

// wantNodes checks what a change says of nodes and versions.
func (e *env) wantNodes(c fs.Change, old fs.Node) {
	e.t.Helper()
	needed := c.Op == fs.OpReplace || c.Op == fs.OpRename && old != nil
	if c.Old != nil && c.Old != old || c.Old == nil && needed {
		e.t.Errorf("Old is not the node that %q named before", c.Path)
	}
	if c.Op == fs.OpRemove {
		return
	}
	now := e.node(string(c.Path))
	if c.Node != nil && c.Node != now || c.Node == nil && c.Op == fs.OpReplace {
		e.t.Errorf("Node is not the node that %q names", c.Path)
	}
	if c.Type == fs.File && (c.Op == fs.OpWrite || c.Op == fs.OpReplace) && c.Version != e.version(now) {
		e.t.Errorf("Version = %q, want %q", c.Version, e.version(now))
	}
}

// reservedCases check the engines' records.
func reservedCases() []testCase {
	return []testCase{{"put, get, delete", Reserved, reservedRecords}, {"names", Reserved, func(e *env) {
		r := reservedOf(e)
		for _, name := range []string{"rooms/b", "rooms/a", "room", "leases/x"} {
			_, err := r.Put(e.ctx, name, nil, fs.Cond{})
			e.must("Put", err)
		}
		for prefix, want := range map[string]string{"": "[leases/x room rooms/a rooms/b]", "rooms/": "[rooms/a rooms/b]", "z": "[]"} {
			if got, err := r.Names(e.ctx, prefix); err != nil || fmt.Sprint(got) != want {
				e.t.Errorf("Names(%q) = %v, %v, want %s", prefix, got, err, want)
			}
		}
	}}, {"one of many writers wins each round", Reserved, func(e *env) {
		r := reservedOf(e)
		_, err := r.Put(e.ctx, "counter", nil, fs.Cond{IfAbsent: true})
		e.must("Put", err)
		for _, res := range parallel(8, func(int) (struct{}, error) { return struct{}{}, count(e, r, 25) }) {
			e.must("counting", res.err)
		}
		data, _, err := r.Get(e.ctx, "counter")
		if err != nil || len(data) != 8*25 {
			e.t.Errorf("%d increments are there, %v, want %d: a conditional write was lost", len(data), err, 8*25)
		}
	}}}
}

func reservedOf(e *env) fs.Reserved {
	r, ok := fs.As[fs.Reserver](e.d)
	if !ok {
		e.t.Fatal("the drive has no reserved records")
	}
	return r.Reserved()
}

// count makes a record n bytes longer, one by one, against others that do the same.
func count(e *env, r fs.Reserved, n int) error {
	for n > 0 {
		data, v, err := r.Get(e.ctx, "counter")
		if err != nil {
			return err
		}
		_, err = r.Put(e.ctx, "counter", append(data, 'x'), fs.Cond{IfVersion: v})
		switch {
		case err == nil:
			n--
		case fs.KindOf(err) != fs.Conflict:
			return err
		}
	}
	return nil
}

func reservedRecords(e *env) {
	r := reservedOf(e)
	_, _, err := r.Get(e.ctx, "a/b")
	e.kind("Get of none", err, fs.NotExist)
	data := []byte("one")
	v1, err := r.Put(e.ctx, "a/b", data, fs.Cond{IfAbsent: true})
	e.must("Put", err)
	copy(data, "xxx")
	got, v, err := r.Get(e.ctx, "a/b")
	if err != nil || string(got) != "one" || v != v1 || v == "" {
		e.t.Errorf("Get() = %q, %q, %v, want one, %q", got, v, err, v1)
	}
	_, err = r.Put(e.ctx, "a/b", nil, fs.Cond{IfAbsent: true})
	e.kind("Put(IfAbsent) again", err, fs.Exist)
	v2, err := r.Put(e.ctx, "a/b", []byte("two"), fs.Cond{IfVersion: v1})
	e.must("Put(IfVersion)", err)
	if v2 == v1 {
		e.t.Errorf("another record has the same version %q", v1)
	}
	_, err = r.Put(e.ctx, "a/b", nil, fs.Cond{IfVersion: v1})
	e.kind("Put(IfVersion of the one before)", err, fs.Conflict)
	_, err = r.Put(e.ctx, "none", nil, fs.Cond{IfVersion: v1})
	e.kind("Put(IfVersion of none)", err, fs.Conflict)
	_, err = r.Put(e.ctx, "a/b", nil, fs.Cond{IfAbsent: true, IfVersion: v2})
	e.kind("Put of both conditions", err, fs.Invalid)
	e.kind("Delete(IfVersion of the one before)", r.Delete(e.ctx, "a/b", fs.Cond{IfVersion: v1}), fs.Conflict)
	e.must("Delete", r.Delete(e.ctx, "a/b", fs.Cond{IfVersion: v2}))
	_, _, err = r.Get(e.ctx, "a/b")
	e.kind("Get after Delete", err, fs.NotExist)
}

// concurrencyCases let many goroutines work on few names.
func concurrencyCases() []testCase {
	return []testCase{{"hammer", "", func(e *env) {
		e.mkdir("d")
		for _, r := range parallel(8, func(i int) (struct{}, error) { return struct{}{}, hammer(e, uint64(i), 300) }) {
			if r.err != nil {
				e.t.Error(r.err)
			}
		}
		for _, dir := range []string{"", "d"} {
			if d, ok := e.node(dir).(fs.Dir); ok {
				for _, name := range e.names(d) {
					_, err := d.Lookup(e.ctx, name)
					e.must("Lookup of a listed name", err)
				}
			}
		}
	}}, {"handles of one file", "", func(e *env) {
		n := e.write("f", strings.Repeat(".", 8*1000))
		for _, r := range parallel(8, func(i int) (struct{}, error) { return struct{}{}, fill(e, n, i) }) {
			e.must("fill", r.err)
		}
		got, err := readNode(e.ctx, n)
		e.must("read", err)
		if strings.Contains(got, ".") || len(got) != 8*1000 {
			e.t.Errorf("writes to different ranges were lost: %s", brief(got))
		}
	}}}
}

// fill writes the part of n that belongs to i, byte by byte, through handles of its own.
func fill(e *env, n fs.Node, i int) error {
	for j := range 10 {
		h, err := n.Open(e.ctx, fs.OpenReadWrite)
		if err != nil {
			return err
		}
		for k := range 100 {
			if _, err := h.WriteAt(e.ctx, []byte("x"), int64(i*1000+j*100+k)); err != nil {
				return err
			}
		}
		if err := h.Release(e.ctx); err != nil {
			return err
		}
	}
	return nil
}

// hammer does n random operations. Only errors that the names' own traffic explains are right.
func hammer(e *env, seed uint64, n int) error {
	rng := rand.New(rand.NewPCG(seed, 1))
	for i := range n {
		dir := e.root
		if sub, err := e.root.Lookup(e.ctx, "d"); err == nil && rng.IntN(2) == 0 {
			dir = sub.(fs.Dir)
		}
		op := rng.IntN(7)
		err := hammerOp(e, dir, op, fmt.Sprint("f", rng.IntN(4)), fmt.Sprint("f", rng.IntN(4)), fmt.Sprint(i))
		switch {
		case err == nil:
		case fs.KindOf(err) == fs.NotExist, fs.KindOf(err) == fs.Exist, fs.KindOf(err) == fs.Stale, fs.KindOf(err) == fs.Conflict:
		default:
			return fmt.Errorf("operation %d of goroutine %d: %w", op, seed, err)
		}
	}
	return nil
}

func hammerOp(e *env, dir fs.Dir, op int, a, b, data string) error {
	switch op {
	case 0:
		_, h, err := dir.Create(e.ctx, a, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite})
		if err != nil {
			return err
		}
		_, err = h.WriteAt(e.ctx, []byte(data), 0)
		return errors.Join(err, h.Flush(e.ctx), h.Release(e.ctx))
	case 1:
		return dir.Remove(e.ctx, a, false)
	case 2:
		return dir.Rename(e.ctx, a, dir, b, 0)
	case 3:
		return dir.Rename(e.ctx, a, e.root, b, fs.RenameNoReplace)
	case 4:
		_, err := e.d.Replace(e.ctx, a, strings.NewReader(data), fs.ReplaceOptions{})
		return err
	case 5:
		l, err := dir.List(e.ctx)
		if err != nil {
			return err
		}
		for _, err := range fs.Entries(e.ctx, l) {
			if err != nil {
				return err
			}
		}
		return l.Close()
	}
	n, err := dir.Lookup(e.ctx, a)
	if err != nil {
		return err
	}
	_, err = readNode(e.ctx, n)
	return err
}

// restartCases check what a drive keeps over a restart.
func restartCases() []testCase {
	return []testCase{{"contents, ids and order", "", func(e *env) {
		if e.o.Reopen == nil {
			e.t.Skip("the drive does not outlive its process")
		}
		e.mkdir("d")
		out := e.replace("d/f", "kept", fs.ReplaceOptions{})
		id, drive := e.fileID(out.Node), e.d.ID()
		e.use(e.o.Reopen(e.t, e.d))
		n := e.node("d/f")
		e.wantText(n, "kept")
		if e.fileID(n) != id || e.d.ID() != drive {
			e.t.Errorf("after a restart FileID() = %v, ID() = %v, want %v, %v", e.fileID(n), e.d.ID(), id, drive)
		}
		if n.Ino() != out.Node.Ino() {
			e.t.Errorf("after a restart Ino() = %d, want %d", n.Ino(), out.Node.Ino())
		}
		if v := e.version(n); v != out.Attr.Version {
			e.t.Errorf("after a restart the version is %q, want %q", v, out.Attr.Version)
		}
		e.replace("d/f", "more", fs.ReplaceOptions{}) // the recorder checks that Seq grows, or the epoch is another
	}}}
}
