// Package kernelspec finds the kernels installed on a machine: folders that hold a kernel.json.
//
// A [Finder] reads the folders it was given, never the environment. The folder's lower-cased name is the kernel's
// name; the first folder that has a name wins. A kernel.json that cannot be read is logged once and left out; it never
// hides the others. Results are cached and read again when a folder's or a file's modification time changes.
//
// Specs under a forbidden prefix (the daemon's own mount point) are refused by their names alone, without touching
// them: reading one there would make the daemon wait for itself.
//
//	f := kernelspec.New(kernelspec.Options{Dirs: []string{"/usr/share/jupyter/kernels"}, Python: "/usr/bin/python3"})
//	specs, err := f.List(ctx)
//	spec, err := f.Find(ctx, "python3")
//	argv, env := spec.Command(kernelspec.Values{ConnectionFile: "/run/kernel-1.json"}), spec.Environ(os.Getenv)
//
// A Finder is safe for concurrent use. It starts no kernel and installs nothing.
package kernelspec

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// ErrNotFound is returned for a kernel, or a resource of one, that does not exist. It is an *fs.Error of kind NotExist.
var ErrNotFound error = &fs.Error{Kind: fs.NotExist, Err: errors.New("no such kernel spec")}

// DefaultName is the name of the spec made for Options.Python when no folder defines it.
const DefaultName = "python3"

// maxSpecSize limits a kernel.json.
const maxSpecSize = 1 << 20

// validName is what kernel names may consist of, in lower case.
var validName = regexp.MustCompile(`^[a-z0-9._-]+$`)

// Options say where to look. The zero value finds nothing.
type Options struct {
	// Dirs are the folders that hold kernel folders ("…/share/jupyter/kernels"), best first. Missing ones are skipped.
	Dirs []string
	// Python is the interpreter put in place of an argv[0] of python, python3 or python3.N. If it can import
	// ipykernel, it is offered as "python3" even when no folder defines that name. Empty leaves argv alone.
	Python string
	// Forbidden are absolute path prefixes that no spec, interpreter or program may lie under.
	Forbidden []string
	// Logger gets one warning per broken spec; nil discards.
	Logger *slog.Logger
}

// Spec describes one kernel. Its JSON form is the "spec" object of Jupyter's REST API.
type Spec struct {
	// Name is the kernel's name in lower case, Dir the folder with its resources, empty for the one made up for
	// Options.Python.
	Name string `json:"-"`
	Dir  string `json:"-"`

	Argv            []string          `json:"argv"`
	Env             map[string]string `json:"env"`
	DisplayName     string            `json:"display_name"`
	Language        string            `json:"language"`
	InterruptMode   string            `json:"interrupt_mode"` // "signal" or "message"
	Metadata        json.RawMessage   `json:"metadata"`
	ProtocolVersion string            `json:"kernel_protocol_version,omitempty"`
}

// Finder lists and finds specs.
type Finder struct {
	opts Options
	log  *slog.Logger

	// mu guards what follows.
	mu        sync.Mutex
	parsed    map[string]parsed // by path of kernel.json
	hasKernel map[string]bool   // whether an interpreter at a modification time imports ipykernel
}

// parsed is the outcome of reading one kernel.json at one modification time.
type parsed struct {
	modified time.Time
	size     int64
	spec     Spec
	err      error
}

// New returns a Finder; it reads nothing yet.
func New(opts Options) *Finder {
	log := opts.Logger
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	return &Finder{opts: opts, log: log, parsed: map[string]parsed{}, hasKernel: map[string]bool{}}
}

// List returns every usable spec ordered by name. It fails only when ctx ends.
func (f *Finder) List(ctx context.Context) ([]Spec, error) {
	byName := map[string]Spec{}
	for _, dir := range f.opts.Dirs {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("list kernel specs: %w", err)
		}
		f.addFrom(dir, byName)
	}
	if _, ok := byName[DefaultName]; !ok && f.pythonHasKernel(ctx) {
		byName[DefaultName] = f.pythonSpec()
	}
	specs := make([]Spec, 0, len(byName))
	for _, s := range byName {
		specs = append(specs, s)
	}
	slices.SortFunc(specs, func(a, b Spec) int { return strings.Compare(a.Name, b.Name) })
	return specs, nil
}

// Find returns the spec of that name in any case, or an error that matches [ErrNotFound].
func (f *Finder) Find(ctx context.Context, name string) (Spec, error) {
	specs, err := f.List(ctx)
	if err != nil {
		return Spec{}, err
	}
	name = strings.ToLower(name)
	for _, s := range specs {
		if s.Name == name {
			return s, nil
		}
	}
	return Spec{}, fmt.Errorf("%w: %q", ErrNotFound, name)
}

// addFrom adds the specs of one folder that have no better one in byName yet.
func (f *Finder) addFrom(dir string, byName map[string]Spec) {
	if f.forbidden(dir) {
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return // a search folder that does not exist holds no specs
	}
	for _, e := range entries {
		name := strings.ToLower(e.Name())
		if _, ok := byName[name]; ok || !validName.MatchString(name) {
			continue
		}
		spec, err := f.read(filepath.Join(dir, e.Name()), name)
		if err == nil {
			byName[name] = spec
		}
	}
}

// read returns the spec in dir from the cache or the file.
func (f *Finder) read(dir, name string) (Spec, error) {
	path, err := f.resolve(filepath.Join(dir, "kernel.json"))
	if err != nil {
		return Spec{}, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	info, err := os.Lstat(path)
	if err != nil {
		return Spec{}, fmt.Errorf("%w: %s", ErrNotFound, dir)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if p, ok := f.parsed[path]; ok && p.modified.Equal(info.ModTime()) && p.size == info.Size() {
		return p.spec, p.err
	}
	spec, err := f.parse(path, name)
	if err != nil {
		f.log.Warn("kernel spec is left out", "file", path, "error", err)
	}
	f.parsed[path] = parsed{modified: info.ModTime(), size: info.Size(), spec: spec, err: err}
	return spec, err
}

// parse reads and checks a kernel.json.
func (f *Finder) parse(path, name string) (Spec, error) {
	raw, err := os.ReadFile(path)
	if err != nil {
		return Spec{}, fmt.Errorf("read kernel spec: %w", err)
	}
	spec, err := Parse(raw)
	if err != nil {
		return Spec{}, err
	}
	spec.Name, spec.Dir = name, filepath.Dir(path)
	if f.opts.Python != "" && isPython(spec.Argv[0]) {
		spec.Argv[0] = f.opts.Python
	}
	if f.forbidden(spec.Argv[0]) {
		return Spec{}, fmt.Errorf("program %s lies in the mount", spec.Argv[0])
	}
	return spec, nil
}

// Parse reads the contents of a kernel.json and checks what starting a kernel relies on.
func Parse(raw []byte) (Spec, error) {
	if len(raw) > maxSpecSize {
		return Spec{}, fmt.Errorf("kernel.json has %d bytes, at most %d are read", len(raw), maxSpecSize)
	}
	spec := Spec{InterruptMode: "signal"}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return Spec{}, fmt.Errorf("kernel.json: %w", err)
	}
	switch {
	case len(spec.Argv) == 0 || spec.Argv[0] == "":
		return Spec{}, errors.New("kernel.json: argv is missing")
	case spec.DisplayName == "":
		return Spec{}, errors.New("kernel.json: display_name is missing")
	case spec.InterruptMode != "signal" && spec.InterruptMode != "message":
		return Spec{}, fmt.Errorf("kernel.json: interrupt_mode %q is neither signal nor message", spec.InterruptMode)
	}
	if spec.Env == nil {
		spec.Env = map[string]string{}
	}
	if len(spec.Metadata) == 0 || spec.Metadata[0] != '{' {
		spec.Metadata = json.RawMessage(`{}`)
	}
	return spec, nil
}

// forbidden reports whether path lies under a forbidden prefix.
func (f *Finder) forbidden(path string) bool {
	path = filepath.Clean(path)
	return slices.ContainsFunc(f.opts.Forbidden, func(prefix string) bool {
		prefix = filepath.Clean(prefix)
		return path == prefix || strings.HasPrefix(path, strings.TrimSuffix(prefix, "/")+"/")
	})
}

// maxLinks is how many symbolic links resolve follows before it takes them for a loop, as many as Linux does.
const maxLinks = 40

// resolve follows the symbolic links of an absolute path and refuses to look at anything forbidden on the way.
func (f *Finder) resolve(path string) (string, error) {
	links := 0
	at, rest := "/", strings.TrimPrefix(filepath.Clean(path), "/")
	for rest != "" {
		name, tail, _ := strings.Cut(rest, "/")
		next := filepath.Join(at, name)
		if f.forbidden(next) {
			return "", fmt.Errorf("%s lies in the mount", path)
		}
		info, err := os.Lstat(next)
		if err != nil {
			return "", err
		}
		at, rest = next, tail
		if info.Mode()&os.ModeSymlink == 0 {
			continue
		}
		target, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s has too many symbolic links", path)
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(filepath.Dir(next), target)
		}
		at, rest = "/", strings.TrimPrefix(filepath.Join(target, tail), "/")
	}
	return at, nil
}

// isPython reports whether argv[0] names some Python 3 and leaves open which.
func isPython(program string) bool {
	minor, ok := strings.CutPrefix(program, "python3.")
	return program == "python" || program == "python3" || ok && strings.Trim(minor, "0123456789") == ""
}
