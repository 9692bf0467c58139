// Package layers checks the shape of the module: which package may import which, and what each source file must and must
// not hold.
//
// The rules of imports are those that ARCHITECTURE.md draws: the dictionary fs knows the standard library alone, doors see
// files through fs/access, engines know neither doors nor backends nor each other, and each foreign library that stands for
// a technology has one home. Import rules hold over the whole import graph unless they say that they are about direct imports. The
// rules of source are about comments, sizes, and calls that belong into one place, such as reading the environment.
//
// Check functions take what they check as values and return violations as text, so that the rules themselves are tested on
// small samples.
package layers

import (
	"fmt"
	"slices"
	"strings"
)

// Package is what the rules need to know of a package, in the form in which `go list -json` prints it.
type Package struct {
	ImportPath string
	Dir        string
	Standard   bool
	Imports    []string // directly
	Deps       []string // directly and indirectly
	GoFiles    []string
}

// rule forbids some packages of the module to import others. Paths of the module's own packages are given without the
// module's path, as "fs/tree"; others in full.
type rule struct {
	name   string
	of     func(path string) bool
	deny   func(path string) bool
	direct bool // about direct imports only
}

// imports are the rules. What a rule is about is said by its name, which is also what a violation prints.
var imports = []rule{
	{name: "fs is the dictionary: it imports the standard library only", of: is("fs"), deny: not(standard)},
	{name: "fs/nbformat knows nothing of ours but fs", of: under("fs/nbformat"), deny: but(own, is("fs"))},
	{name: "below the doors nobody knows a door, an engine or a backend", of: under("fs/access", "fs/tree", "fs/drive", "fs/blockcache", "fs/journal"),
		deny: under("jupyterapi", "fs/fusemount", "kernels", "comments", "collab", "backends")},
	{name: "doors hold a view of fs/access, not the tree", of: doors, deny: under("fs/tree"), direct: true},
	{name: "doors know no drive and no backend", of: doors, deny: under("fs/drive", "backends")},
	{name: "doors do not know each other", of: under("jupyterapi"), deny: under("fs/fusemount")},
	{name: "doors do not know each other", of: under("fs/fusemount"), deny: under("jupyterapi")},
	{name: "engines know no door, no backend and not the tree", of: under("kernels", "comments", "collab"),
		deny: under("jupyterapi", "fs/fusemount", "backends", "fs/tree", "fs/access", "fs/drive")},
	{name: "engines do not know each other", of: under("kernels"), deny: under("comments", "collab")},
	{name: "engines do not know each other", of: under("comments"), deny: under("kernels", "collab")},
	{name: "engines do not know each other", of: under("collab"), deny: under("kernels", "comments")},
	{name: "backends know no door, no engine and not the tree", of: under("backends"),
		deny: under("jupyterapi", "fs/fusemount", "kernels", "comments", "collab", "fs/tree", "fs/access")},
	{name: "nobody imports the command", of: own, deny: under("cmd")},
	{name: "the product knows nothing of its integration tests", of: but(own, under("integration")), deny: under("integration")},
	{name: "integration tests use the built program, not its packages", of: but(under("integration"), is("integration/bench")), deny: but(own, under("integration"))},
	{name: "benchmarks use the built program, and of its packages only the library that is set beside others", of: is("integration/bench"),
		deny: but(own, under("integration", "collab/crdt"))},
	{name: "go-fuse has its home in fs/fusemount; a benchmark mounts the least there can be", of: but(own, under("fs/fusemount", "integration/bench")), deny: under("github.com/hanwen/go-fuse"), direct: true},
	{name: "ZeroMQ and terminals have their home in kernels", of: but(own, under("kernels")),
		deny: under("github.com/go-zeromq", "github.com/creack/pty"), direct: true},
	{name: "cloud SDKs have their home in backends; cmd builds what they need, a benchmark sets one beside", of: but(own, under("backends", "cmd", "integration/bench")),
		deny: under("github.com/aws", "cloud.google.com", "google.golang.org/api"), direct: true},
}

func doors(path string) bool { return under("jupyterapi", "fs/fusemount")(path) }

// standard tells packages of the standard library by their path: the first component has no dot, and it is not ours.
func standard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".") && !own(path)
}

func own(path string) bool {
	return under("fs", "backends", "jupyterapi", "kernels", "comments", "collab", "cmd", "integration")(path)
}

func is(want string) func(string) bool { return func(path string) bool { return path == want } }

func under(roots ...string) func(string) bool {
	return func(path string) bool {
		return slices.ContainsFunc(roots, func(root string) bool { return path == root || strings.HasPrefix(path, root+"/") })
	}
}

func not(f func(string) bool) func(string) bool { return func(path string) bool { return !f(path) } }

func but(all, except func(string) bool) func(string) bool {
	return func(path string) bool { return all(path) && !except(path) }
}

// CheckImports returns what breaks the rules, among the packages of the module.
func CheckImports(module string, packages []Package) []string {
	var violations []string
	for _, p := range packages {
		path, ours := short(module, p.ImportPath)
		if !ours {
			continue
		}
		for _, r := range imports {
			if !r.of(path) {
				continue
			}
			imported := p.Deps
			if r.direct {
				imported = p.Imports
			}
			for _, dep := range imported {
				name, ours := short(module, dep)
				if standardName := !ours && standard(name); !standardName && r.deny(name) {
					violations = append(violations, fmt.Sprintf("%s imports %s: %s", path, name, r.name))
				}
			}
		}
	}
	return violations
}

// short takes the module's path off one of its packages.
func short(module, path string) (string, bool) {
	if rest, ok := strings.CutPrefix(path, module+"/"); ok {
		return rest, true
	}
	return path, false
}
