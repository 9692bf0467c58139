package drivetest

import (
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// nameCases check that names are bytes as the caller gave them.
func nameCases() []testCase {
	var cases []testCase
	for what, name := range map[string]string{
		"plain": "a.csv", "space": " a b ", "dots": "...", "dot file": ".a", "backslash": `a\b`, "colon": "C:a", "newline": "a\nb",
		"tab and bell": "a\t\a", "quotes": `'"` + "`", "percent": "%2e%2e%2f", "glob": "*?[a]", "dash": "-rf", "tilde": "~",
		"not UTF-8": "a\xff\xfe\x80", "composed": "caf\u00e9", "decomposed": "cafe\u0301", "wide": "数据.ipynb", "emoji": "📓",
		"255 bytes": strings.Repeat("n", fs.MaxName), "255 bytes wide": strings.Repeat("é", 127) + "x", "trailing dot": "a.",
		"device name of another system": "NUL",
	} {
		cases = append(cases, testCase{"as given: " + what, "", func(e *env) { keepsName(e, name) }})
	}
	return append(cases, testCase{"composed and decomposed are two", "", func(e *env) {
		e.write("caf\u00e9", "composed")
		e.write("cafe\u0301", "decomposed")
		e.wantText(e.node("caf\u00e9"), "composed")
		e.wantText(e.node("cafe\u0301"), "decomposed")
	}}, testCase{"case", "", func(e *env) {
		e.write("a", "lower")
		_, err := e.root.Lookup(e.ctx, "A")
		if folds := e.d.Caps().CaseFold; (err == nil) != folds {
			e.t.Errorf(`Lookup("A") beside "a" = %v, Caps.CaseFold = %v`, err, folds)
		}
	}}, testCase{"over 255 bytes", "", func(e *env) {
		long := strings.Repeat("n", fs.MaxName+1)
		_, err := e.d.Replace(e.ctx, long, strings.NewReader(""), fs.ReplaceOptions{})
		e.kind("Replace", err, fs.NameTooLong)
	}}, testCase{"no way out", "", func(e *env) {
		e.mkdir("d")
		for _, rel := range []string{"..", "../x", "d/../../x", "d/..", ".", "/x", "d//x", "", "d/", "a\x00b"} {
			if _, err := e.d.Replace(e.ctx, rel, strings.NewReader("x"), fs.ReplaceOptions{}); err == nil {
				e.t.Errorf("Replace(%q) = nil, want an error", rel)
			}
		}
		e.wantNames(e.root, "d")
	}})
}

func keepsName(e *env, name string) {
	n := e.write(name, "x")
	e.wantNames(e.root, name)
	if e.node(name) != n {
		e.t.Errorf("Lookup(%q) is not what Create has made", name)
	}
	if p, ok := n.Path(); p != name || !ok {
		e.t.Errorf("Path() = %q, %v, want %q, true", p, ok, name)
	}
	e.replace(name, "y", fs.ReplaceOptions{})
	e.wantText(e.node(name), "y")
	e.must("Rename", e.root.Rename(e.ctx, name, e.root, "other", 0))
	e.must("Rename", e.root.Rename(e.ctx, "other", e.root, name, 0))
	e.must("Remove", e.root.Remove(e.ctx, name, false))
	e.wantNames(e.root)
	e.must("Mkdir", func() error { _, err := e.root.Mkdir(e.ctx, name, fs.CreateOptions{Mode: 0o755}); return err }())
	e.must("Remove", e.root.Remove(e.ctx, name, true))
}
