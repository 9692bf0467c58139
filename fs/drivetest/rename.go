package drivetest

import (
	"fmt"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// renameCases check Rename: a matrix of what is moved onto what, then what stays and what moves.
func renameCases() []testCase {
	return append(renameMatrix(), []testCase{{"nodes move", "", func(e *env) {
		n := e.write("f", "x")
		d := e.mkdir("d")
		e.must("Rename", e.root.Rename(e.ctx, "f", d, "g", 0))
		if e.node("d/g") != n || n.Superseded() {
			e.t.Error("Rename has made another node")
		}
		e.absent("f")
		e.wantNames(d, "g")
		e.wantText(n, "x")
	}}, {"the target's file id stays with the path", "", func(e *env) {
		target, source := e.write("f", "old"), e.write("tmp", "new")
		id, tmp := e.fileID(target), e.fileID(source)
		e.must("Rename", e.root.Rename(e.ctx, "tmp", e.root, "f", 0))
		if got := e.fileID(e.node("f")); got != id {
			e.t.Errorf("FileID() after a rename over = %v, want the target's %v (the source had %v)", got, id, tmp)
		}
		if e.node("f") != source {
			e.t.Error("the name does not have the source's node")
		}
		e.wantText(e.node("f"), "new")
	}}, {"saving through a temporary file, often", "", func(e *env) {
		id := e.fileID(e.write("f", "0"))
		for i := range 20 {
			e.write("tmp", fmt.Sprint(i))
			e.must("Rename", e.root.Rename(e.ctx, "tmp", e.root, "f", 0))
			if got := e.fileID(e.node("f")); got != id {
				e.t.Fatalf("FileID() after %d saves = %v, want %v", i+1, got, id)
			}
			e.wantText(e.node("f"), fmt.Sprint(i))
		}
		e.wantNames(e.root, "f")
	}}, {"a full directory", "", func(e *env) {
		e.mkdir("d")
		e.mkdir("d/e")
		n := e.write("d/e/f", "x")
		to := e.mkdir("to")
		e.must("Rename", e.root.Rename(e.ctx, "d", to, "d2", 0))
		if e.node("to/d2/e/f") != n {
			e.t.Error("the file in a renamed directory is another node")
		}
		e.wantNames(e.root, "to")
	}}, {"onto itself", "", func(e *env) {
		n := e.write("f", "x")
		e.must("Rename", e.root.Rename(e.ctx, "f", e.root, "f", 0))
		if e.node("f") != n {
			e.t.Error("another node")
		}
		e.kind("Rename(no replace)", e.root.Rename(e.ctx, "f", e.root, "f", fs.RenameNoReplace), fs.Exist)
		e.wantText(n, "x")
	}}, {"into a removed directory", "", func(e *env) {
		e.write("f", "x")
		d := e.mkdir("d")
		e.must("Remove", e.root.Remove(e.ctx, "d", true))
		e.kind("Rename", e.root.Rename(e.ctx, "f", d, "f", 0), fs.NotExist)
		e.wantNames(e.root, "f")
	}}, {"both flags", "", func(e *env) {
		e.write("a", "")
		e.write("b", "")
		err := e.root.Rename(e.ctx, "a", e.root, "b", fs.RenameNoReplace|fs.RenameExchange)
		e.oneOf("Rename", err, fs.Invalid, fs.Unsupported)
	}}, {"exchange", Exchange, func(e *env) {
		a, d := e.write("a", "file"), e.mkdir("d")
		e.write("d/f", "x")
		e.must("Rename", e.root.Rename(e.ctx, "a", e.root, "d", fs.RenameExchange))
		if e.node("d") != a || e.node("a") != fs.Node(d) {
			e.t.Error("the nodes have not changed places")
		}
		e.wantText(e.node("a/f"), "x")
		e.kind("with nothing", e.root.Rename(e.ctx, "a", e.root, "none", fs.RenameExchange), fs.NotExist)
		e.kind("with its own child", e.root.Rename(e.ctx, "a", d, "f", fs.RenameExchange), fs.Invalid)
		e.kind("with its own parent", d.Rename(e.ctx, "f", e.root, "a", fs.RenameExchange), fs.Invalid)
	}}, {"no replace by many at once", "", func(e *env) {
		won := 0
		for i := range 16 {
			e.write(fmt.Sprint("f", i), fmt.Sprint(i))
		}
		for _, r := range parallel(16, func(i int) (int, error) {
			return i, e.root.Rename(e.ctx, fmt.Sprint("f", i), e.root, "target", fs.RenameNoReplace)
		}) {
			if r.err == nil {
				won++
				e.wantText(e.node("target"), fmt.Sprint(r.v))
			} else {
				e.kind("Rename", r.err, fs.Exist)
			}
		}
		if won != 1 || len(e.names(e.root)) != 16 {
			e.t.Errorf("%d renames succeeded, %d names are left, want 1 and 16", won, len(e.names(e.root)))
		}
	}}}...)
}

// renameMatrix moves each of five things onto each of six.
func renameMatrix() []testCase {
	const ok = fs.Kind(255)
	var cases []testCase
	for _, c := range []struct {
		from, to string
		want     fs.Kind
	}{
		{"file", "none", ok}, {"file", "file2", ok}, {"file", "dir", fs.IsDir}, {"file", "full", fs.IsDir},
		{"dir", "none", ok}, {"dir", "file2", fs.NotDir}, {"dir", "dir2", ok}, {"dir", "full", fs.NotEmpty},
		{"full", "none", ok}, {"full", "file2", fs.NotDir}, {"full", "dir", ok}, {"full", "full2", fs.NotEmpty},
		{"missing", "none", fs.NotExist}, {"missing", "file", fs.NotExist},
		{"full", "full/sub/x", fs.Invalid}, {"full", "full/x", fs.Invalid}, {"full/sub", "full", fs.NotEmpty},
		{"full/f", "full", fs.IsDir}, {"full/sub", "none", ok}, {"full/f", "full/f2", ok},
	} {
		cases = append(cases, testCase{c.from + " to " + c.to, "", func(e *env) {
			e.furnish()
			from, name := e.at(c.from)
			to, newName := e.at(c.to)
			err := from.Rename(e.ctx, name, to, newName, 0)
			if c.want != ok {
				e.kind("Rename", err, c.want)
				e.wantNames(e.root, "dir", "dir2", "file", "file2", "full", "full2")
				e.wantText(e.node("file2"), "file2")
				return
			}
			e.must("Rename", err)
			e.absent(c.from)
			e.node(c.to)
			e.furnish() // what was moved away can be made again
		}}, testCase{c.from + " to " + c.to + ", no replace", "", func(e *env) {
			e.furnish()
			from, name := e.at(c.from)
			to, newName := e.at(c.to)
			_, absent := e.find(c.to)
			err := from.Rename(e.ctx, name, to, newName, fs.RenameNoReplace)
			switch {
			case c.from == "missing":
				e.oneOf("Rename", err, fs.NotExist, fs.Exist)
			case absent == nil:
				e.kind("Rename", err, fs.Exist)
				e.node(c.from)
			case c.want == ok:
				e.must("Rename", err)
			default:
				e.kind("Rename", err, c.want)
			}
		}})
	}
	return cases
}

// furnish makes the things that the matrix moves, where they are not there.
func (e *env) furnish() {
	e.t.Helper()
	for _, dir := range []string{"dir", "dir2", "full", "full2", "full/sub"} {
		if _, err := e.find(dir); err != nil {
			e.mkdir(dir)
		} else if _, isDir := e.node(dir).(fs.Dir); !isDir {
			return
		}
	}
	for _, file := range []string{"file", "file2", "full/f", "full2/f"} {
		if _, err := e.find(file); err != nil {
			e.write(file, file)
		}
	}
}
