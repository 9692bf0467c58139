package drivetest

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// namespaceCases check Mkdir, Remove and Lookup.
func namespaceCases() []testCase {
	return []testCase{{"mkdir over what is there", "", func(e *env) {
		e.mkdir("d")
		e.write("f", "")
		for _, name := range []string{"d", "f"} {
			_, err := e.root.Mkdir(e.ctx, name, fs.CreateOptions{Mode: 0o755})
			e.kind("Mkdir "+name, err, fs.Exist)
		}
	}}, {"remove", "", func(e *env) {
		e.mkdir("d")
		e.mkdir("full")
		e.write("full/f", "")
		e.write("f", "")
		for _, c := range []struct {
			name string
			dir  bool
			want fs.Kind
		}{
			{"none", false, fs.NotExist}, {"none", true, fs.NotExist}, {"d", false, fs.IsDir}, {"f", true, fs.NotDir},
			{"full", true, fs.NotEmpty}, {"full", false, fs.IsDir},
		} {
			e.kind(fmt.Sprintf("Remove(%s, dir %v)", c.name, c.dir), e.root.Remove(e.ctx, c.name, c.dir), c.want)
		}
		e.wantNames(e.root, "d", "f", "full")
		e.must("Remove", e.root.Remove(e.ctx, "d", true))
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		e.absent("d")
		e.absent("f")
		e.wantNames(e.root, "full")
	}}, {"lookup of nothing", "", func(e *env) {
		e.absent("none")
		e.mkdir("d")
		e.absent("d/none")
		e.absent("D none")
	}}, {"deep", "", func(e *env) {
		path := "d"
		e.mkdir(path)
		for range 40 {
			path += "/d"
			e.mkdir(path)
		}
		n := e.write(path+"/f", "deep")
		if got, ok := n.Path(); got != path+"/f" || !ok {
			e.t.Errorf("Path() = %q, %v, want %q", got, ok, path+"/f")
		}
		e.wantText(e.node(path+"/f"), "deep")
	}}, {"special files", Mknod, func(e *env) {
		n, err := e.root.(fs.Mknoder).Mknod(e.ctx, "pipe", syscall.S_IFIFO|0o600, 0, fs.CreateOptions{})
		e.must("Mknod", err)
		if a := e.attr(n); a.Mode != syscall.S_IFIFO|0o600 || a.Type() != fs.Other || a.Version != "" {
			e.t.Errorf("a FIFO's Attr() = %+v", a)
		}
		_, err = e.root.(fs.Mknoder).Mknod(e.ctx, "pipe", syscall.S_IFIFO|0o600, 0, fs.CreateOptions{})
		e.kind("Mknod again", err, fs.Exist)
		e.must("Remove", e.root.Remove(e.ctx, "pipe", false))
	}}}
}

// linkCases check symbolic and hard links.
func linkCases() []testCase {
	return []testCase{{"symbolic", Symlinks, func(e *env) {
		for i, target := range []string{"f", "../../etc/passwd", "/abs", "dangling", "\xff\xfe", "a b"} {
			name := fmt.Sprint("l", i)
			n, err := e.root.(fs.Symlinker).Symlink(e.ctx, name, target, fs.CreateOptions{})
			e.must("Symlink", err)
			if e.node(name) != n {
				e.t.Error("Lookup follows the link, or gives another node")
			}
			got, err := n.(fs.Readlinker).Readlink(e.ctx)
			if a := e.attr(n); err != nil || got != target || a.Type() != fs.Symlink || a.Size != int64(len(target)) {
				e.t.Errorf("Readlink() = %q, %v with %+v, want %q", got, err, a, target)
			}
			if _, err = n.Open(e.ctx, fs.OpenRead); fs.Errno(err) != syscall.ELOOP {
				e.t.Errorf("Open of a link = %v, want errno ELOOP", err)
			}
		}
		_, err := e.root.(fs.Symlinker).Symlink(e.ctx, "l0", "x", fs.CreateOptions{})
		e.kind("Symlink again", err, fs.Exist)
		e.must("Remove", e.root.Remove(e.ctx, "l0", false))
	}}, {"readlink of a file", Symlinks, func(e *env) {
		if r, ok := e.write("f", "x").(fs.Readlinker); ok {
			_, err := r.Readlink(e.ctx)
			e.kind("Readlink", err, fs.Invalid)
		}
	}}, {"the drive follows none", Symlinks, func(e *env) {
		e.mkdir("d")
		e.write("d/f", "kept")
		_, err := e.root.(fs.Symlinker).Symlink(e.ctx, "l", "d", fs.CreateOptions{})
		e.must("Symlink", err)
		if _, isDir := e.node("l").(fs.Dir); isDir {
			e.t.Error("a link to a directory is a Dir")
		}
		e.kind("Remove(link, dir)", e.root.Remove(e.ctx, "l", true), fs.NotDir)
		e.must("Remove", e.root.Remove(e.ctx, "l", false))
		e.wantText(e.node("d/f"), "kept")
	}}, {"hard", HardLinks, func(e *env) {
		n := e.write("f", "one")
		e.mkdir("d")
		got, err := e.node("d").(fs.Linker).Link(e.ctx, n, "g")
		e.must("Link", err)
		if got.Ino() != n.Ino() || e.node("d/g").Ino() != n.Ino() {
			e.t.Error("a hard link has another inode number")
		}
		if a := e.attr(n); a.Nlink != 2 {
			e.t.Errorf("Nlink = %d, want 2", a.Nlink)
		}
		h := e.open(got, fs.OpenWrite)
		e.put(h, "two", 0)
		e.release(h)
		e.wantText(n, "two")
		e.must("Remove", e.root.Remove(e.ctx, "f", false))
		e.wantText(e.node("d/g"), "two")
		if a := e.attr(e.node("d/g")); a.Nlink != 1 {
			e.t.Errorf("Nlink after Remove = %d, want 1", a.Nlink)
		}
	}}, {"hard, refused", HardLinks, func(e *env) {
		n := e.write("f", "x")
		_, err := e.root.(fs.Linker).Link(e.ctx, n, "f")
		e.kind("Link over a name", err, fs.Exist)
		_, err = e.root.(fs.Linker).Link(e.ctx, e.mkdir("d"), "e")
		e.kind("Link of a directory", err, fs.NotPermitted)
	}}}
}

// listingCases check that a listing is a snapshot with stable offsets.
func listingCases() []testCase {
	return []testCase{{"empty", "", func(e *env) {
		l, err := e.mkdir("d").List(e.ctx)
		e.must("List", err)
		if _, err := l.At(e.ctx, 0); !errors.Is(err, io.EOF) {
			e.t.Errorf("At(0) = %v, want io.EOF", err)
		}
		e.must("Close", l.Close())
	}}, {"types and attributes", "", func(e *env) {
		e.write("f", "12345")
		e.mkdir("d")
		l, err := e.root.List(e.ctx)
		e.must("List", err)
		types := map[string]fs.Type{}
		for entry, err := range fs.Entries(e.ctx, l) {
			e.must("At", err)
			types[entry.Name] = entry.Attr.Type()
			if entry.Node != nil && entry.Node != e.node(entry.Name) {
				e.t.Errorf("the listing's node of %q is not that of Lookup", entry.Name)
			}
		}
		e.must("Close", l.Close())
		if types["f"] != fs.File || types["d"] != fs.Directory {
			e.t.Errorf("types = %v", types)
		}
	}}, {"stable while names come and go", "", stableListing}, {"ten thousand", "", largeListing}}
}

func stableListing(e *env) {
	d := e.mkdir("d")
	for i := range 20 {
		e.write(fmt.Sprintf("d/%02d", i), "")
	}
	l, err := d.List(e.ctx)
	e.must("List", err)
	var order []string
	for i := range 20 {
		entry, err := l.At(e.ctx, i)
		e.must("At", err)
		order = append(order, entry.Name)
	}
	gone := order[3]
	e.must("Remove", d.Remove(e.ctx, gone, false))
	e.must("Rename", d.Rename(e.ctx, order[5], e.root, "moved", 0))
	for _, name := range []string{"00 new", "zz new"} {
		e.write("d/"+name, "")
	}
	for i, want := range order {
		entry, err := l.At(e.ctx, i)
		if i == 3 || i == 5 {
			e.kind(fmt.Sprintf("At(%d), which is gone,", i), err, fs.NotExist)
			continue
		}
		if err != nil || entry.Name != want {
			e.t.Errorf("At(%d) = %q, %v, want %q as before", i, entry.Name, err, want)
		}
	}
	if _, err := l.At(e.ctx, 20); !errors.Is(err, io.EOF) {
		e.t.Errorf("At(20) = %v, want io.EOF: new names are no part of a snapshot", err)
	}
	var left []string
	for entry, err := range fs.Entries(e.ctx, l) {
		e.must("Entries", err)
		left = append(left, entry.Name)
	}
	if want := slices.Delete(slices.Delete(slices.Clone(order), 5, 6), 3, 4); !slices.Equal(left, want) {
		e.t.Errorf("Entries() = %q, want %q", left, want)
	}
	e.must("Close", l.Close())
}

func largeListing(e *env) {
	count := e.o.Entries
	if count == 0 {
		count = 10_000
	}
	d := e.mkdir("d")
	want := make([]string, count)
	for i := range want {
		want[i] = fmt.Sprintf("file %06d.txt", i)
		_, h, err := d.Create(e.ctx, want[i], fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
		e.must("Create", err)
		e.must("Release", h.Release(e.ctx))
	}
	if got := e.names(d); !slices.Equal(got, want) {
		e.t.Errorf("%d names are listed, want %d", len(got), count)
	}
	if _, err := d.Lookup(e.ctx, want[count/2]); err != nil {
		e.t.Errorf("Lookup in the middle: %v", err)
	}
}

// xattrCases check extended attributes.
func xattrCases() []testCase {
	return []testCase{{"set, get, list, remove", Xattrs, func(e *env) {
		for what, n := range map[string]fs.Node{"file": e.write("f", "x"), "directory": e.mkdir("d")} {
			x := n.(fs.Xattrer)
			for name, value := range map[string]string{"user.a": "one", "user.b": "", "user.c": "\x00\xff bytes"} {
				e.must("SetXattr", x.SetXattr(e.ctx, name, []byte(value), false, false))
				if got, err := x.Xattr(e.ctx, name); err != nil || string(got) != value {
					e.t.Errorf("%s: Xattr(%s) = %q, %v, want %q", what, name, got, err, value)
				}
			}
			names, err := x.Xattrs(e.ctx)
			e.must("Xattrs", err)
			for _, name := range []string{"user.a", "user.b", "user.c"} {
				if !slices.Contains(names, name) {
					e.t.Errorf("%s: Xattrs() = %q without %s", what, names, name)
				}
			}
			e.must("RemoveXattr", x.RemoveXattr(e.ctx, "user.a"))
			_, err = x.Xattr(e.ctx, "user.a")
			e.kind("Xattr of a removed one", err, fs.NoAttr)
		}
	}}, {"conditions", Xattrs, func(e *env) {
		x := e.write("f", "x").(fs.Xattrer)
		e.kind("replace of none", x.SetXattr(e.ctx, "user.a", nil, false, true), fs.NoAttr)
		e.must("create", x.SetXattr(e.ctx, "user.a", []byte("1"), true, false))
		e.kind("create again", x.SetXattr(e.ctx, "user.a", []byte("2"), true, false), fs.Exist)
		e.must("replace", x.SetXattr(e.ctx, "user.a", []byte("3"), false, true))
		e.kind("RemoveXattr of none", x.RemoveXattr(e.ctx, "user.none"), fs.NoAttr)
		if got, err := x.Xattr(e.ctx, "user.a"); err != nil || string(got) != "3" {
			e.t.Errorf("Xattr() = %q, %v, want 3", got, err)
		}
	}}, {"go along on rename", Xattrs, func(e *env) {
		n := e.write("f", "x")
		e.must("SetXattr", n.(fs.Xattrer).SetXattr(e.ctx, "user.a", []byte("1"), false, false))
		e.must("Rename", e.root.Rename(e.ctx, "f", e.root, "g", 0))
		if got, err := e.node("g").(fs.Xattrer).Xattr(e.ctx, "user.a"); err != nil || string(got) != "1" {
			e.t.Errorf("Xattr() after Rename = %q, %v, want 1", got, err)
		}
	}}, {"values are not shared", Xattrs, func(e *env) {
		x := e.write("f", "x").(fs.Xattrer)
		value := []byte("mine")
		e.must("SetXattr", x.SetXattr(e.ctx, "user.a", value, false, false))
		copy(value, "xxxx")
		got, err := x.Xattr(e.ctx, "user.a")
		e.must("Xattr", err)
		copy(got, "yyyy")
		if again, err := x.Xattr(e.ctx, "user.a"); err != nil || string(again) != "mine" {
			e.t.Errorf("Xattr() = %q, %v, want mine", again, err)
		}
	}}}
}
