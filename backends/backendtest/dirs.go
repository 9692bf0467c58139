package backendtest

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func dirCases(full bool) []testCase {
	cases := []testCase{
		{"dirs/empty store", func(e *env) {
			e.wantNames("")
			if got := e.stat(""); got.Type != fs.Directory {
				e.Errorf("Stat(top) = %+v", got)
			}
		}},
		{"dirs/none", func(e *env) {
			e.put("foobar/x", "x")
			e.gone("foo")
			_, err := e.b.List(e.ctx(), "foo", fs.ListOptions{})
			e.want("list", err, fs.NotExist)
		}},
		{"dirs/list of a file", func(e *env) {
			e.put("f", "x")
			_, err := e.b.List(e.ctx(), "f", fs.ListOptions{})
			e.want("list", err, fs.NotExist, fs.NotDir)
		}},
		{"dirs/read of a directory", func(e *env) {
			e.put("d/f", "x")
			_, err := e.read("d", fs.ReadOptions{})
			e.want("read", err, fs.NotExist, fs.IsDir)
		}},
		{"dirs/empty survives", func(e *env) {
			e.mkdir()
			e.wantNames("", "d/")
			e.wantNames("d")
			if got := e.stat("d"); got.Type != fs.Directory || got.Implicit {
				e.Errorf("Stat() = %+v", got)
			}
		}},
		{"dirs/implicit", func(e *env) {
			e.put("d/e/f", "x")
			e.wantNames("", "d/")
			e.wantNames("d", "e/")
			if got := e.stat("d"); got.Type != fs.Directory || !got.Implicit && !e.b.Caps().RealDirs {
				e.Errorf("Stat() = %+v", got)
			}
		}},
		{"dirs/implicit vanishes with its last key", func(e *env) {
			if e.b.Caps().RealDirs {
				e.Skip("the store has directories of its own")
			}
			e.put("d/f", "x")
			e.check(e.b.Remove(e.ctx(), "d/f", fs.RemoveOptions{}))
			e.gone("d")
			e.wantNames("")
		}},
		{"dirs/marked stays when its last key goes", func(e *env) {
			e.put("d/f", "x")
			e.mkdir()
			e.check(e.b.Remove(e.ctx(), "d/f", fs.RemoveOptions{}))
			e.wantNames("", "d/")
			e.wantNames("d")
		}},
		{"dirs/mkdir twice", func(e *env) {
			e.mkdir()
			m, _ := fs.As[fs.Mkdirer](e.b)
			_, err := m.Mkdir(e.ctx(), "d", fs.Cond{IfAbsent: true})
			e.want("mkdir", err, fs.Exist)
			e.mkdir()
		}},
		{"dirs/attributes of a marker", func(e *env) {
			m, ok := fs.As[fs.Marker](e.b)
			if !ok {
				e.Skip("the store's directories have no attributes")
			}
			e.put("d/f", "x")
			if _, err := m.Marked(e.ctx(), "d"); fs.KindOf(err) != fs.NotExist {
				e.Errorf("Marked() without a marker = %v, want NotExist", err)
			}
			for _, mode := range []uint32{0o700, 0o2775} {
				at := time.Unix(1_700_000_000, 123_000_000)
				_, err := m.Mark(e.ctx(), "d", fs.MetaPatch{Mode: &mode, ModTime: &at, Meta: map[string]string{"by": "others"}})
				e.check(err)
				info, err := m.Marked(e.ctx(), "d")
				e.check(err)
				if info.Type != fs.Directory || !info.HasMode || info.Mode != mode || !info.ModTime.Equal(at) || info.Meta["by"] != "others" {
					e.Errorf("Marked() = %+v, want mode %o of %v", info, mode, at)
				}
				_, err = m.Mark(e.ctx(), "d", fs.MetaPatch{}) // keeps what is there
				e.check(err)
			}
			if page, err := e.b.List(e.ctx(), "d", fs.ListOptions{}); err != nil || !page.Marked {
				e.Errorf("List() = %+v, %v, want it marked", page, err)
			}
			if page, err := e.b.List(e.ctx(), "", fs.ListOptions{}); err != nil || page.Marked {
				e.Errorf("List() of the directory above = %+v, %v, want it not marked", page, err)
			}
			e.wantNames("d", "f")
			e.holds("d/f", "x")
		}},
		{"dirs/mkdir of what is implicit", func(e *env) {
			e.put("d/f", "x")
			e.mkdir()
			e.wantNames("d", "f")
			e.holds("d/f", "x")
		}},
		{"dirs/remove keeps what is inside", func(e *env) {
			e.mkdir()
			e.put("d/f", "x")
			if err := e.b.Remove(e.ctx(), "d", fs.RemoveOptions{Dir: true}); err != nil {
				e.want("remove", err, fs.NotEmpty)
			}
			e.holds("d/f", "x")
			e.wantNames("", "d/")
		}},
		{"dirs/remove twice", func(e *env) {
			e.mkdir()
			e.check(e.b.Remove(e.ctx(), "d", fs.RemoveOptions{Dir: true}))
			e.check(e.b.Remove(e.ctx(), "d", fs.RemoveOptions{Dir: true}))
			e.gone("d")
		}},
		{"dirs/order of siblings", func(e *env) {
			keys := []string{"a-b", "a.b", "a/b", "a/c", "a0", "a b", "a!", "foo/x", "foobar/x", "foo-"}
			for _, key := range keys {
				e.put(key, key)
			}
			want := []string{"a-b", "a.b", "a/", "a0", "a b", "a!", "foo/", "foobar/", "foo-"}
			e.wantNames("", want...)
			for limit := 1; limit < 5; limit++ {
				infos, _ := e.list("", fs.ListOptions{Max: limit})
				slices.Sort(want)
				if got := sortedNames("", infos); !slices.Equal(got, want) {
					e.Errorf("pages of %d: %q, want %q", limit, got, want)
				}
			}
		}},
		{"dirs/pages while others write", pagesWhileWritten},
		{"dirs/bad token", func(e *env) {
			e.put("f", "x")
			if _, err := e.b.List(e.ctx(), "", fs.ListOptions{Token: "no such token \x00"}); err != nil {
				e.want("list", err, fs.Invalid)
			}
		}},
		{"dirs/marker made by others", func(e *env) {
			e.inject("d/", "", nil)
			e.wantNames("", "d/")
			e.wantNames("d")
			e.put("d/f", "x")
			e.wantNames("d", "f")
		}},
		{"dirs/keys that are no paths", func(e *env) {
			e.put("d/f", "x")
			for _, raw := range []string{"d//g", "d/./h", "d/../i"} {
				e.inject(raw, "x", nil)
			}
			infos, hidden := e.list("d", fs.ListOptions{})
			if got := sortedNames("d", infos); !slices.Equal(got, []string{"f"}) || hidden != 3 {
				e.Errorf("List() = %q and %d hidden, want f and 3", got, hidden)
			}
		}},
		{"dirs/file and directory of one name", shadow},
		{"dirs/shadow's name is taken", func(e *env) {
			for raw, data := range map[string]string{"a": "shadowed", "a/b": "in", "a (file)": "real"} {
				e.inject(raw, data, nil)
			}
			infos, hidden := e.list("", fs.ListOptions{})
			if got := sortedNames("", infos); !slices.Equal(got, []string{"a (file)", "a/"}) || hidden != 1 {
				e.Errorf("List() = %q and %d hidden", got, hidden)
			}
			e.holds("a (file)", "real")
		}},
	}
	counts := []int{0, 1, 1001}
	if full {
		counts = append(counts, 999, 1000, 2105, 10_000)
	}
	for _, n := range counts {
		cases = append(cases, testCase{fmt.Sprintf("dirs/%d entries", n), func(e *env) { e.manyEntries(n) }})
	}
	return cases
}

// shadow is about a file that has a directory's name.
func shadow(e *env) {
	const path = "a (file)"
	for raw, data := range map[string]string{"a": "shadowed", "a/b": "in", "a-": "x", "a-b": "x"} {
		e.inject(raw, data, nil)
	}
	for limit := 1; limit < 5; limit++ {
		infos, hidden := e.list("", fs.ListOptions{Max: limit})
		if got := sortedNames("", infos); !slices.Equal(got, []string{path, "a-", "a-b", "a/"}) || hidden != 0 {
			e.Errorf("pages of %d: %q and %d hidden", limit, got, hidden)
		}
	}
	if got := e.stat("a"); got.Type != fs.Directory {
		e.Errorf("Stat(a) = %+v", got)
	}
	info := e.stat(path)
	if info.Type != fs.File || info.Key != path || info.Size != 8 {
		e.Errorf("Stat(%s) = %+v", path, info)
	}
	e.holds(path, "shadowed")
	_, err := e.write(path, "newer", fs.WriteOptions{Cond: fs.Cond{IfVersion: info.Version}})
	e.check(err)
	e.holds(path, "newer")
	_, err = e.b.Copy(e.ctx(), path, "copy", fs.CopyOptions{})
	e.check(err)
	e.holds("copy", "newer")
	e.check(e.b.Remove(e.ctx(), path, fs.RemoveOptions{}))
	e.wantNames("", "a-", "a-b", "a/", "copy")
	e.wantNames("a", "b")
}

// manyEntries fills a directory, eight names at a time, and lists it.
func (e *env) manyEntries(n int) {
	e.mkdir()
	want := make([]string, n)
	var writers sync.WaitGroup
	for first := range 8 {
		writers.Go(func() {
			for i := first; i < n; i += 8 {
				want[i] = fmt.Sprintf("f%05d", i)
				if _, err := e.write("d/"+want[i], "", fs.WriteOptions{}); err != nil {
					e.Error(err)
					return
				}
			}
		})
	}
	writers.Wait()
	if got := e.names("d"); !slices.Equal(got, want) {
		e.Errorf("%d names, want %d", len(got), n)
	}
}

// pagesWhileWritten lists while names come and go: those that stay must all be there, none twice.
func pagesWhileWritten(e *env) {
	var stay []string
	for i := range 40 {
		stay = append(stay, fmt.Sprintf("s%02d", i))
		e.put(stay[i], "x")
		e.put(fmt.Sprintf("t%02d", i), "x")
	}
	seen := map[string]bool{}
	o := fs.ListOptions{Max: 7}
	for i := 0; ; i++ {
		page, err := e.b.List(e.ctx(), "", o)
		e.check(err)
		for _, info := range page.Infos {
			if seen[info.Key] {
				e.Errorf("%q came twice", info.Key)
			}
			seen[info.Key] = true
		}
		if o.Token = page.Next; o.Token == "" {
			break
		}
		e.check(e.b.Remove(e.ctx(), fmt.Sprintf("t%02d", i), fs.RemoveOptions{}))
		e.put(fmt.Sprintf("a%02d", i), "x")
		e.put(fmt.Sprintf("z%02d", i), "x")
	}
	for _, name := range stay {
		if !seen[name] {
			e.Errorf("%q was left out", name)
		}
	}
}
