package layers

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

const module = "github.com/jupyter-drive/jupyter-drive"

// TestModule holds the module to the rules.
func TestModule(t *testing.T) {
	packages := list(t)
	if len(packages) < 10 {
		t.Fatalf("go list knows %d packages", len(packages))
	}
	for _, violation := range CheckImports(module, packages) {
		t.Error(violation)
	}
	for _, p := range packages {
		path, ours := short(module, p.ImportPath)
		if !ours {
			continue
		}
		var files []Source
		for _, name := range p.GoFiles {
			text, err := os.ReadFile(filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, Source{Name: path + "/" + name, Text: text})
		}
		violations, err := CheckPackage(files)
		if err != nil {
			t.Fatal(err)
		}
		for _, violation := range violations {
			t.Error(violation)
		}
	}
}

// list is all packages of the module with what they depend on.
func list(t *testing.T) []Package {
	t.Helper()
	cmd := exec.Command("go", "list", "-deps", "-json=ImportPath,Dir,Standard,Imports,Deps,GoFiles", "./...")
	cmd.Dir = sandbox.Module()
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packages []Package
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p Package
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatal(err)
		}
		packages = append(packages, p)
	}
}

func TestCheckImports(t *testing.T) {
	tests := []struct {
		path    string
		imports []string
		deps    []string // beyond imports
		want    string   // part of the one violation; "" for none
	}{
		{"fs", []string{"os", "net/http"}, []string{"internal/abi"}, ""},
		{"fs", []string{"golang.org/x/sys/unix"}, nil, "standard library only"},
		{"fs", []string{module + "/fs/tree"}, nil, "standard library only"},
		{"fs/nbformat", []string{module + "/fs", "github.com/santhosh-tekuri/jsonschema/v6"}, nil, ""},
		{"fs/nbformat", []string{module + "/fs/access"}, nil, "nothing of ours"},
		{"fs/tree", []string{module + "/backends/local"}, nil, "below the doors"},
		{"fs/access", []string{module + "/fs/tree"}, nil, ""},
		{"jupyterapi", []string{module + "/fs/access"}, []string{module + "/fs/tree"}, ""},
		{"jupyterapi", []string{module + "/fs/tree"}, nil, "not the tree"},
		{"jupyterapi/labapp", []string{"embed"}, []string{module + "/backends/mem"}, "no backend"},
		{"fs/fusemount", []string{module + "/jupyterapi"}, nil, "each other"},
		{"fs/fusemount", []string{"github.com/hanwen/go-fuse/v2/fuse"}, nil, ""},
		{"kernels/provider/local", []string{module + "/fs"}, nil, ""},
		{"kernels", nil, []string{module + "/fs/tree"}, "engines know no door"},
		{"kernels", []string{module + "/comments"}, nil, "each other"},
		{"backends/local", []string{module + "/kernels"}, nil, "backends know"},
		{"backends/local", []string{"github.com/hanwen/go-fuse/v2/fs"}, nil, "go-fuse has its home"},
		{"backends/s3", []string{"github.com/aws/aws-sdk-go-v2"}, nil, ""},
		{"jupyterapi", []string{"github.com/aws/aws-sdk-go-v2"}, nil, "cloud SDKs"},
		{"jupyterapi", []string{"github.com/go-zeromq/zmq4"}, nil, "ZeroMQ"},
		{"fs/access", []string{module + "/cmd/jupyter-drive"}, nil, "nobody imports the command"},
		{"integration/daemon", []string{module + "/integration/sandbox"}, nil, ""},
		{"integration/daemon", []string{module + "/fs"}, nil, "built program"},
		{"integration/bench", []string{module + "/fs"}, nil, "built program"},
		{"integration/bench", []string{module + "/collab/crdt"}, nil, ""},
		{"fs/drive", []string{module + "/integration/sandbox"}, nil, "nothing of its integration"},
		{"cmd/jupyter-drive", []string{module + "/backends/local", module + "/fs/fusemount", module + "/kernels"}, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.path+" "+strings.Join(append(tt.imports, tt.deps...), " "), func(t *testing.T) {
			got := CheckImports(module, []Package{{
				ImportPath: module + "/" + tt.path, Imports: tt.imports, Deps: append(tt.deps, tt.imports...),
			}})
			if tt.want == "" && len(got) > 0 {
				t.Errorf("CheckImports() = %q, want none", got)
			}
			if tt.want != "" && !strings.Contains(strings.Join(got, "\n"), tt.want) {
				t.Errorf("CheckImports() = %q, want %q in it", got, tt.want)
			}
		})
	}
}

func TestCheckPackage(t *testing.T) {
	const head = "// Package p is a sample.\npackage p\n"
	long := func(lines int) string { return strings.Repeat("\t_ = 1\n", lines) }
	tests := []struct {
		name, file, text, want string
	}{
		{"clean", "fs/a.go", head + "// Name is one.\nconst Name = 1\n\n// F does it.\nfunc F() {}\n", ""},
		{"no package comment", "fs/a.go", "package p\n", "package p has no comment"},
		{"package comment about something else", "fs/a.go", "// Sample.\npackage p\n", "package p has no comment"},
		{"command comment", "cmd/x/a.go", "// Command x does it.\npackage main\n", ""},
		{"function without comment", "fs/a.go", head + "func F() {}\n", "F has no comment"},
		{"comment that begins otherwise", "fs/a.go", head + "// Does it.\nfunc F() {}\n", "F has no comment that begins"},
		{"comment with an article", "fs/a.go", head + "// A Reader reads.\ntype Reader struct{}\n", ""},
		{"type without comment", "fs/a.go", head + "type T struct{}\n", "T has no comment"},
		{"constant without comment", "fs/a.go", head + "const C = 1\n", "C has no comment"},
		{"constants with one comment", "fs/a.go", head + "// Bounds.\nconst (\n\tC = 1\n\tD = 2\n)\n", ""},
		{"method without comment", "fs/a.go", head + "// T is one.\ntype T struct{}\n\nfunc (t *T) M() {}\n", "M has no comment"},
		{"method nobody sees", "fs/a.go", head + "type t[K any] struct{}\n\nfunc (x *t[K]) M() {}\n", ""},
		{"init", "fs/a.go", head + "func init() {}\n", "function init"},
		{"function of 100 lines", "fs/a.go", head + "func f() {\n" + long(98) + "}\n", ""},
		{"function of 101 lines", "fs/a.go", head + "func f() {\n" + long(99) + "}\n", "101 lines in function f"},
		{"function of 101 lines for tests", "fs/drivetest/a.go", head + "func f() {\n" + long(99) + "}\n", ""},
		{"file of 601 lines", "fs/a.go", head + strings.Repeat("\n", 599), "601 lines in a file"},
		{"environment", "fs/a.go", head + "import \"os\"\n\nvar x = os.Getenv(\"X\")\n", "only the command reads"},
		{"environment as a value", "fs/a.go", head + "import \"os\"\n\nvar f = os.LookupEnv\n", "only the command reads"},
		{"environment in the command", "cmd/x/a.go", head + "import \"os\"\n\nvar x = os.Environ()\n", ""},
		{"environment in integration", "integration/a.go", head + "import \"os\"\n\nvar x = os.Environ()\n", ""},
		{"environment for tests", "kernels/kerneltest/a.go", head + "import \"os\"\n\nvar x = os.Getenv(\"X\")\n", ""},
		{"folder set", "kernels/a.go", head + "import \"os/exec\"\n\nfunc f(c *exec.Cmd) { c.Dir = \"/\" }\n", "field Dir"},
		{"folder in a literal", "cmd/x/a.go", head + "import \"os/exec\"\n\nvar c = exec.Cmd{Dir: \"/\"}\n", "exec.Cmd with a Dir"},
		{"another Dir", "fs/a.go", head + "func f(e *struct{ Dir string }) { e.Dir = \"/\" }\n", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := CheckPackage([]Source{{Name: tt.file, Text: []byte(tt.text)}})
			if err != nil {
				t.Fatal(err)
			}
			if tt.want == "" && len(got) > 0 {
				t.Errorf("CheckPackage() = %q, want none", got)
			}
			if tt.want != "" && (len(got) != 1 || !strings.Contains(got[0], tt.want)) {
				t.Errorf("CheckPackage() = %q, want one with %q", got, tt.want)
			}
		})
	}
}
