package backendtest

import (
	"strings"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func versionCases() []testCase {
	cases := []struct {
		name string
		run  func(e *env, v fs.Versioner)
	}{
		{"versions/read and restore", func(e *env, v fs.Versioner) {
			e.three()
			old := e.versions(v)
			if len(old) != 3 {
				e.Fatalf("%d versions, want 3", len(old))
			}
			for i, want := range []string{"three", "two", "one"} {
				got, err := e.read("f", fs.ReadOptions{Version: old[i].Version})
				e.check(err)
				if got != want {
					e.Errorf("version %d: %q, want %q", i, got, want)
				}
				if strings.Contains(string(old[i].Version), "/") {
					e.Errorf("version %q has a slash", old[i].Version)
				}
			}
			now := e.stat("f").Version
			_, err := v.Restore(e.ctx(), "f", old[2].Version, fs.Cond{IfVersion: stale})
			e.want("restore over another version", err, fs.Conflict)
			_, err = v.Restore(e.ctx(), "f", old[2].Version, fs.Cond{IfVersion: now})
			e.check(err)
			e.holds("f", "one")
			if got := e.versions(v); len(got) != 4 {
				e.Errorf("%d versions, want 4", len(got))
			}
		}},
		{"versions/of a removed file", func(e *env, v fs.Versioner) {
			e.three()
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{}))
			e.gone("f")
			old := e.versions(v)
			if len(old) != 3 {
				e.Fatalf("%d versions, want 3", len(old))
			}
			got, err := e.read("f", fs.ReadOptions{Version: old[0].Version})
			e.check(err)
			if got != "three" {
				e.Errorf("read %q", got)
			}
			_, err = e.write("f", "four", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
			e.check(err)
			e.holds("f", "four")
		}},
		{"versions/drop", func(e *env, v fs.Versioner) {
			e.three()
			old := e.versions(v)
			e.want("drop of the present one", v.Drop(e.ctx(), "f", old[0].Version), fs.Invalid)
			e.check(v.Drop(e.ctx(), "f", old[1].Version))
			if got := e.versions(v); len(got) != 2 || got[1].Version != old[2].Version {
				e.Errorf("versions %+v", got)
			}
			e.holds("f", "three")
		}},
		{"versions/of longer names", func(e *env, v fs.Versioner) {
			e.three()
			e.put("f2", "x")
			e.put("fa/b", "x")
			if got := e.versions(v); len(got) != 3 {
				e.Errorf("%d versions, want 3", len(got))
			}
		}},
	}
	var all []testCase
	for _, c := range cases {
		all = append(all, testCase{c.name, func(e *env) {
			v, ok := fs.As[fs.Versioner](e.b)
			if !ok || !e.b.Caps().Versions {
				e.Skip("the store keeps no versions")
			}
			c.run(e, v)
		}})
	}
	return all
}

func (e *env) three() {
	e.Helper()
	for _, data := range []string{"one", "two", "three"} {
		e.put("f", data)
	}
}

// versions returns all of "f".
func (e *env) versions(v fs.Versioner) (all []fs.Info) {
	e.Helper()
	for o := (fs.ListOptions{Max: 2}); ; {
		page, err := v.Versions(e.ctx(), "f", o)
		e.check(err)
		all = append(all, page.Infos...)
		if o.Token = page.Next; o.Token == "" {
			return all
		}
	}
}
