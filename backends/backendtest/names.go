package backendtest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// oddName is a name that a store may trip over.
type oddName struct {
	what, name string
	refusable  bool // the store may refuse it as Name
}

func oddNames() []oddName {
	names := []oddName{
		{"space", "a b", false}, {"leading space", " a", false}, {"trailing space", "a ", false}, {"only a space", " ", false},
		{"trailing dot", "a.", false}, {"leading dot", ".a", false}, {"three dots", "...", false}, {"two dots and more", "..x", false},
		{"dash", "-", false}, {"tab", "a\tb", false}, {"newline", "a\nb", false}, {"carriage return", "a\rb", true},
		{"control character", "a\x01b", true}, {"delete", "a\x7fb", true}, {"backspace", "a\bb", true},
		{"composed", "caf\u00e9", false}, {"decomposed", "cafe\u0301", false}, {"CJK", "日本語", false}, {"emoji", "😀", false},
		{"right to left", "שלום", false}, {"joined emoji", "👩‍👩‍👧", false}, {"replacement character", "a\ufffdb", true},
		{"noncharacter", "a\uffffb", true}, {"byte order mark", "\ufeffa", false}, {"not UTF-8", "a\xffb", true}, {"cut UTF-8", "a\xe6\x97", true},
		{"255 bytes", strings.Repeat("n", 255), false}, {"85 characters of 3 bytes", strings.Repeat("日", 85), false},
		{"checkpoints", ".ipynb_checkpoints", false}, {"title case", "Untitled.ipynb", false},
		{"shadow's form", "a (file)", false}, {"conflict's form", "a (conflict w 2026-01-02T030405Z).txt", false},
		{"duplicate's form", "a~0123456789", false}, {"temporary form", ".sgwtmp.a", true}, {"Windows device", "CON", false},
		{"percent 20", "a%20b", false}, {"percent 2F", "a%2Fb", false}, {"percent 2f", "a%2fb", false}, {"percent alone", "100%", false}, {"plus", "a+b", false},
		{"url", "http:", false}, {"query", "a?versionId=x&b", false}, {"fragment", "a#b", false}, {"entity", "&amp;", false},
	}
	for _, c := range "%#?&=;:*<>|\"'\\`~$!,@()[]{}^" {
		names = append(names, oddName{fmt.Sprintf("punctuation %c", c), "a" + string(c) + "b", false})
	}
	return names
}

func nameCases() []testCase {
	var cases []testCase
	for _, n := range oddNames() {
		cases = append(cases, testCase{"names/" + n.what, func(e *env) { e.oddFile(n); e.oddDir(n) }})
	}
	return append(cases,
		testCase{"names/256 bytes", func(e *env) {
			_, err := e.write(strings.Repeat("n", 256), "x", fs.WriteOptions{})
			e.want("write", err, fs.NameTooLong)
		}},
		testCase{"names/longest key", longestKey},
		testCase{"names/64 deep", func(e *env) {
			key := strings.TrimSuffix(strings.Repeat("d/", 64), "/") + "/f"
			e.put(key, "deep")
			e.holds(key, "deep")
			e.wantNames(strings.TrimSuffix(key, "/f"), "f")
		}},
		testCase{"names/no names", func(e *env) {
			for _, key := range []string{"", "a//b", "/a", "a/", ".", "..", "a/./b", "a/../b", "a\x00b"} {
				_, err := e.write(key, "x", fs.WriteOptions{})
				e.want(fmt.Sprintf("write of %q", key), err, fs.Name)
			}
		}},
		testCase{"names/case", func(e *env) {
			if e.b.Caps().CaseFold {
				e.Skip("the store folds case")
			}
			e.put("Untitled.ipynb", "upper")
			e.put("untitled.ipynb", "lower")
			e.holds("Untitled.ipynb", "upper")
			e.wantNames("", "Untitled.ipynb", "untitled.ipynb")
		}},
		testCase{"names/two forms of one letter", func(e *env) {
			e.put("caf\u00e9", "composed")
			e.put("cafe\u0301", "decomposed")
			e.holds("caf\u00e9", "composed")
			e.wantNames("", "caf\u00e9", "cafe\u0301")
		}},
	)
}

// oddFile leads a file of that name through its life.
func (e *env) oddFile(n oddName) {
	_, err := e.write(n.name, "odd", fs.WriteOptions{})
	if n.refusable && err != nil {
		e.want("write", err, fs.Name)
		e.wantNames("")
		return
	}
	e.check(err)
	e.holds(n.name, "odd")
	if got := e.stat(n.name); got.Size != 3 || got.Type != fs.File || got.Key != n.name {
		e.Errorf("Stat() = %+v", got)
	}
	e.wantNames("", n.name)
	_, err = e.b.Copy(e.ctx(), n.name, "copy/"+n.name, fs.CopyOptions{})
	e.check(err)
	e.holds("copy/"+n.name, "odd")
	e.wantNames("copy", n.name)
	e.check(e.b.Remove(e.ctx(), n.name, fs.RemoveOptions{}))
	e.check(e.b.Remove(e.ctx(), "copy/"+n.name, fs.RemoveOptions{}))
	e.gone(n.name)
	e.gone("copy")
}

// oddDir does so with a directory.
func (e *env) oddDir(n oddName) {
	m, ok := fs.As[fs.Mkdirer](e.b)
	if !ok {
		return
	}
	_, err := m.Mkdir(e.ctx(), n.name, fs.Cond{})
	if n.refusable && err != nil {
		e.want("mkdir", err, fs.Name)
		return
	}
	e.check(err)
	e.wantNames("", n.name+"/")
	e.wantNames(n.name)
	e.put(n.name+"/in", "inside")
	e.wantNames(n.name, "in")
	e.holds(n.name+"/in", "inside")
	e.check(e.b.Remove(e.ctx(), n.name+"/in", fs.RemoveOptions{}))
	if got := e.stat(n.name); got.Type != fs.Directory || got.Key != n.name {
		e.Errorf("Stat() = %+v", got)
	}
	e.check(e.b.Remove(e.ctx(), n.name, fs.RemoveOptions{Dir: true}))
	e.gone(n.name)
}

// longestKey finds the border that Caps tells.
func longestKey(e *env) {
	limit := e.b.Caps().MaxKey
	if limit == 0 {
		e.Skip("the store says nothing of a longest key")
	}
	tooLong := strings.TrimSuffix(strings.Repeat(strings.Repeat("k", 99)+"/", limit/100+2), "/")
	_, err := e.write(tooLong, "x", fs.WriteOptions{})
	e.want("write of too long a key", err, fs.NameTooLong)
	parts := strings.Split(tooLong, "/")
	fits := strings.Join(slices.Clone(parts[:limit/100-1]), "/")
	e.put(fits, "long")
	e.holds(fits, "long")
}
