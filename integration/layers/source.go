package layers

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strings"
)

// Bounds of the source, as the linter has them too.
const (
	MaxFunctionLines = 100
	MaxFileLines     = 600
)

// Source is a file of a package.
type Source struct {
	Name string // path from the module's root, as "fs/path.go"
	Text []byte
}

// CheckPackage returns what breaks the rules in the files of one package, which are not its tests.
func CheckPackage(files []Source) ([]string, error) {
	var violations []string
	documented := false
	name := ""
	for _, file := range files {
		c := checker{file: file, fset: token.NewFileSet()}
		tree, err := parser.ParseFile(c.fset, file.Name, file.Text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		name = tree.Name.Name
		documented = documented || startsWith(tree.Doc.Text(), "Package "+name, "Command ")
		if lines := bytes.Count(file.Text, []byte("\n")); lines > MaxFileLines {
			c.add(tree.Package, "%d lines in a file, %d are allowed", lines, MaxFileLines)
		}
		c.declarations(tree)
		c.calls(tree)
		violations = append(violations, c.violations...)
	}
	if !documented && len(files) > 0 {
		violations = append(violations, fmt.Sprintf("%s: package %s has no comment that begins with \"Package %s\" or \"Command\"", files[0].Name, name, name))
	}
	return violations, nil
}

// checker collects the violations of one file.
type checker struct {
	file       Source
	fset       *token.FileSet
	violations []string
}

func (c *checker) add(pos token.Pos, format string, args ...any) {
	c.violations = append(c.violations, fmt.Sprintf("%s: %s", c.fset.Position(pos), fmt.Sprintf(format, args...)))
}

// forTests says whether the file is of a package that only tests use, such as drivetest: a table of cases may be long, and a
// program that stands for another one is told by its environment what to do.
func (c *checker) forTests() bool { return strings.HasSuffix(path.Dir(c.file.Name), "test") }

// declarations checks sizes and comments of what the file declares.
func (c *checker) declarations(tree *ast.File) {
	for _, decl := range tree.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			c.function(d)
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				c.spec(d, spec)
			}
		}
	}
}

func (c *checker) function(f *ast.FuncDecl) {
	if lines := c.fset.Position(f.End()).Line - c.fset.Position(f.Pos()).Line + 1; lines > MaxFunctionLines && !c.forTests() {
		c.add(f.Pos(), "%d lines in function %s, %d are allowed", lines, f.Name.Name, MaxFunctionLines)
	}
	if f.Recv == nil && f.Name.Name == "init" {
		c.add(f.Pos(), "a function init: packages do no work before they are asked")
	}
	if f.Name.IsExported() && exportedReceiver(f) && !startsWith(f.Doc.Text(), f.Name.Name) {
		c.add(f.Pos(), "%s has no comment that begins with its name", f.Name.Name)
	}
}

// exportedReceiver says whether a function is no method, or a method that others can see.
func exportedReceiver(f *ast.FuncDecl) bool {
	if f.Recv == nil {
		return true
	}
	t := f.Recv.List[0].Type
	for {
		switch x := t.(type) {
		case *ast.StarExpr:
			t = x.X
		case *ast.IndexExpr:
			t = x.X
		case *ast.IndexListExpr:
			t = x.X
		case *ast.Ident:
			return x.IsExported()
		default:
			return true
		}
	}
}

// spec checks a type, or the constants or variables of a group; one comment may stand for a whole group.
func (c *checker) spec(group *ast.GenDecl, spec ast.Spec) {
	switch s := spec.(type) {
	case *ast.TypeSpec:
		if s.Name.IsExported() && !startsWith(group.Doc.Text(), s.Name.Name) && !startsWith(s.Doc.Text(), s.Name.Name) {
			c.add(s.Pos(), "%s has no comment that begins with its name", s.Name.Name)
		}
	case *ast.ValueSpec:
		if commented := group.Doc.Text()+s.Doc.Text()+s.Comment.Text() != ""; commented {
			return
		}
		for _, name := range s.Names {
			if name.IsExported() {
				c.add(name.Pos(), "%s has no comment", name.Name)
			}
		}
	}
}

// startsWith says whether a comment begins with one of the texts, after an article.
func startsWith(comment string, texts ...string) bool {
	for _, article := range []string{"A ", "An ", "The "} {
		comment = strings.TrimPrefix(comment, article)
	}
	return slices.ContainsFunc(texts, func(text string) bool { return strings.HasPrefix(comment, text) })
}

// Names that belong into one place. Only the command reads the environment and hands on what it found. A process whose
// working folder is set before it starts is started by this process entering that folder, which under our own mount would wait for
// ourselves: programs are started with a shim that enters it.
var (
	environment = []string{"Getenv", "LookupEnv", "Environ", "ExpandEnv"}
	withFolder  = []string{"exec.Cmd", "os.ProcAttr", "syscall.ProcAttr"}
)

// calls checks what the file does, by the names that it writes.
func (c *checker) calls(tree *ast.File) {
	readsEnvironment := !under("cmd", "integration")(c.file.Name) && !c.forTests()
	setsFolder := !under("integration")(c.file.Name)
	startsProcesses := importsPath(tree, "os/exec")
	ast.Inspect(tree, func(node ast.Node) bool {
		switch n := node.(type) {
		case *ast.SelectorExpr:
			if readsEnvironment && isName(n.X, "os", "syscall") && slices.Contains(environment, n.Sel.Name) {
				c.add(n.Pos(), "os.%s: only the command reads the environment", n.Sel.Name)
			}
		case *ast.AssignStmt:
			for _, left := range n.Lhs {
				if s, ok := left.(*ast.SelectorExpr); ok && setsFolder && startsProcesses && s.Sel.Name == "Dir" {
					c.add(n.Pos(), "a field Dir is set in a file that starts processes: the shim enters the folder")
				}
			}
		case *ast.CompositeLit:
			if setsFolder && hasKey(n, "Dir") && slices.Contains(withFolder, typeName(n.Type)) {
				c.add(n.Pos(), "%s with a Dir: the shim enters the folder", typeName(n.Type))
			}
		}
		return true
	})
}

func importsPath(tree *ast.File, path string) bool {
	return slices.ContainsFunc(tree.Imports, func(spec *ast.ImportSpec) bool { return spec.Path.Value == `"`+path+`"` })
}

func isName(e ast.Expr, names ...string) bool {
	id, ok := e.(*ast.Ident)
	return ok && slices.Contains(names, id.Name)
}

// typeName is a type's name with its package's, as "exec.Cmd", or nothing for other types.
func typeName(e ast.Expr) string {
	if s, ok := e.(*ast.SelectorExpr); ok {
		if id, ok := s.X.(*ast.Ident); ok {
			return id.Name + "." + s.Sel.Name
		}
	}
	return ""
}

func hasKey(lit *ast.CompositeLit, name string) bool {
	return slices.ContainsFunc(lit.Elts, func(e ast.Expr) bool {
		kv, ok := e.(*ast.KeyValueExpr)
		return ok && isName(kv.Key, name)
	})
}
