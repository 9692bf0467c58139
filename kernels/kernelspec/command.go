package kernelspec

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"time"
)

// Values fill the templates in a spec's argv.
type Values struct {
	// ConnectionFile replaces {connection_file}.
	ConnectionFile string
	// Prefix replaces {prefix}: the installation that the spec belongs to.
	Prefix string
}

// Command returns the argv of a kernel with its templates filled in.
func (s Spec) Command(v Values) []string {
	r := strings.NewReplacer(
		"{connection_file}", v.ConnectionFile,
		"{resource_dir}", s.Dir,
		"{prefix}", v.Prefix,
	)
	argv := make([]string, len(s.Argv))
	for i, a := range s.Argv {
		argv[i] = r.Replace(a)
	}
	return argv
}

// variable matches ${NAME} in the values of a spec's env.
var variable = regexp.MustCompile(`\$\{([A-Za-z_][A-Za-z0-9_]*)\}`)

// Environ returns the spec's environment with ${NAME} replaced by what lookup gives; unknown names stay as they are.
func (s Spec) Environ(lookup func(name string) (string, bool)) map[string]string {
	env := make(map[string]string, len(s.Env))
	for name, value := range s.Env {
		env[name] = variable.ReplaceAllStringFunc(value, func(ref string) string {
			if v, ok := lookup(ref[2 : len(ref)-1]); ok {
				return v
			}
			return ref
		})
	}
	return env
}

// Resources returns the spec's files that front ends may fetch: the key that the REST API uses ("logo-64x64",
// "kernel.js") and the file's name.
func (s Spec) Resources() map[string]string {
	files := map[string]string{}
	if s.Dir == "" {
		return files
	}
	entries, err := os.ReadDir(s.Dir)
	if err != nil {
		return files // a folder removed since it was listed has no resources
	}
	for _, e := range entries {
		name := e.Name()
		switch {
		case e.IsDir():
		case name == "kernel.js" || name == "kernel.css":
			files[name] = name
		case strings.HasPrefix(name, "logo-"):
			files[strings.TrimSuffix(name, filepath.Ext(name))] = name
		}
	}
	return files
}

// Open opens a regular file in the spec's folder or below it; the caller closes it. Links are followed inside the folder only. Anything
// else gives [ErrNotFound].
func (s Spec) Open(name string) (*os.File, error) {
	missing := fmt.Errorf("%w: %s has no %q", ErrNotFound, s.Name, name)
	if s.Dir == "" {
		return nil, missing
	}
	root, err := os.OpenRoot(s.Dir)
	if err != nil {
		return nil, missing
	}
	defer root.Close()
	f, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // opening a pipe would wait for its writer
	if err != nil {
		return nil, missing
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		_ = f.Close() // nothing was written
		return nil, missing
	}
	return f, nil
}

// pythonSpec describes ipykernel in Options.Python.
func (f *Finder) pythonSpec() Spec {
	return Spec{
		Name:          DefaultName,
		Argv:          []string{f.opts.Python, "-m", "ipykernel_launcher", "-f", "{connection_file}"},
		Env:           map[string]string{},
		DisplayName:   "Python 3 (ipykernel)",
		Language:      "python",
		InterruptMode: "signal",
		Metadata:      json.RawMessage(`{"debugger":true}`),
	}
}

// pythonHasKernel reports whether Options.Python imports ipykernel. The answer is kept until the interpreter changes.
func (f *Finder) pythonHasKernel(ctx context.Context) bool {
	if f.opts.Python == "" {
		return false
	}
	program, err := f.resolve(f.opts.Python)
	if err != nil {
		return false
	}
	info, err := os.Lstat(program)
	if err != nil {
		return false
	}
	key := info.ModTime().String()
	f.mu.Lock()
	has, known := f.hasKernel[key]
	f.mu.Unlock()
	if known {
		return has
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	const probe = "import importlib.util, sys; sys.exit(importlib.util.find_spec('ipykernel') is None)"
	err = exec.CommandContext(ctx, f.opts.Python, "-c", probe).Run()
	if ctx.Err() != nil {
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hasKernel[key] = err == nil
	return err == nil
}
