package main

import (
	"context"
	"encoding/hex"
	"errors"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/nbformat"
	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
	"github.com/jupyter-drive/jupyter-drive/kernels/provider/local"
	"github.com/jupyter-drive/jupyter-drive/kernels/terminal"
)

// startKernels prepares kernels and terminals; none is started.
func (d *daemon) startKernels(context.Context) error {
	if d.opts.noServe {
		return nil
	}
	if err := d.pythonFault(); err != nil && d.opts.python != "" {
		return err
	}
	python := d.python()
	forbidden := []string{}
	if !d.opts.noMount {
		forbidden = append(forbidden, d.mountpoint)
	}
	finder := kernelspec.New(kernelspec.Options{
		Dirs: d.kernelDirs(python), Python: python, Forbidden: forbidden, Logger: d.log.With("part", "kernelspecs"),
	})
	shim := []string{d.env.exe, shimCommand}
	runtime := filepath.Join(d.env.runtimeDir(), "kernels")
	provider := local.New(local.Options{
		Specs: finder, Shim: shim, RuntimeDir: runtime, Env: d.env.kernelEnv(), Umask: &d.env.umask, Logger: d.log.With("part", "kernels"),
	})
	d.kernels = kernels.New(kernels.Options{
		Provider: provider,
		Events: func(e kernels.Event) {
			if d.api != nil { // set before the first request, and so before the first kernel
				d.api.PublishKernelEvent(doorEvent(e))
			}
		},
		Logger: d.log.With("part", "kernels"),
	})
	d.ends("kernels", d.kernels.Close)
	d.sessions = kernels.NewSessions(d.kernels)
	d.terminals = terminal.New(terminal.Options{
		Shim: shim, Command: []string{firstOf(d.env.vars["SHELL"], "/bin/sh"), "-l"}, Env: d.env.kernelEnv(), Umask: &d.env.umask,
		Logger: d.log.With("part", "terminals"),
	})
	d.ends("terminals", d.terminals.Close)
	return nil
}

// python returns the interpreter of Python kernels, "" if there is none.
func (d *daemon) python() string {
	if p := firstOf(d.opts.python, d.cfg.Kernels.Python); p != "" {
		return d.env.expand(p)
	}
	for _, v := range []string{"VIRTUAL_ENV", "CONDA_PREFIX"} {
		if prefix := d.env.vars[v]; prefix != "" {
			return filepath.Join(prefix, "bin/python")
		}
	}
	if p, err := exec.LookPath("python3"); err == nil {
		return p
	}
	return ""
}

// pythonFault says why the interpreter that was named cannot be one, nil if it can or none was named.
func (d *daemon) pythonFault() error {
	named, by := d.opts.python, "--python "+d.opts.python
	if named == "" {
		cfg, _ := d.present()
		named, by = cfg.Kernels.Python, "[kernels] python = "+strconv.Quote(cfg.Kernels.Python)
	}
	path := d.env.expand(named)
	if named == "" || !d.opts.noMount && within(path, d.mountpoint) { // the daemon must not look into its own mount
		return nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fail(exitNotFound, "%s: there is no such file, so that no Python kernel can start; name an interpreter that is there%s", by, foundPython())
	case err != nil:
		return fail(exitPermission, "%s: %v", by, err)
	case info.IsDir():
		return fail(exitUsage, "%s is a folder; name the interpreter itself, such as %s", by, filepath.Join(path, "bin/python"))
	case info.Mode().Perm()&0o111 == 0:
		return fail(exitUsage, "%s cannot be executed; name an interpreter, or run: chmod +x %s", by, path)
	}
	return nil
}

// foundPython names the interpreter that would be used if none were named.
func foundPython() string {
	if p, err := exec.LookPath("python3"); err == nil {
		return ", such as " + p
	}
	return ""
}

// kernelDirs returns the folders that hold kernelspecs, most important first.
func (d *daemon) kernelDirs(python string) []string {
	var dirs []string
	for _, prefix := range d.cfg.Kernels.EnvPrefixes {
		dirs = append(dirs, filepath.Join(d.env.expand(prefix), "share/jupyter/kernels"))
	}
	for _, dir := range d.env.jupyterPath(python) {
		dirs = append(dirs, filepath.Join(dir, "kernels"))
	}
	ipython := firstOf(d.env.vars["IPYTHONDIR"], filepath.Join(d.env.home, ".ipython"))
	return append(dirs, filepath.Join(ipython, "kernels"))
}

// kernelSummary names the kernels that can be started.
func (d *daemon) kernelSummary() string {
	specs, err := d.kernels.Kernelspecs(d.ctx)
	if err != nil || len(specs) == 0 {
		return "none found; for Python: python3 -m pip install ipykernel, or name an interpreter with --python"
	}
	names := make([]string, 0, len(specs))
	for _, s := range specs {
		names = append(names, s.Name)
	}
	return strings.Join(names, ", ")
}

// trust keeps what each user trusts: the signatures of notebooks whose outputs may run scripts.
type trust struct {
	dir string
	log *slog.Logger

	mu  sync.Mutex // guards all
	all map[string]*nbformat.Notary
	end []func() error
}

// notary returns the user's own, opening it at the first use; nil if that fails.
func (t *trust) notary(p fs.Principal) *nbformat.Notary {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n, ok := t.all[p.ID]; ok {
		return n
	}
	n, err := t.open(filepath.Join(t.dir, hex.EncodeToString([]byte(p.ID))))
	if err != nil {
		t.log.Error("trust in notebooks is not kept", "user", p.ID, "err", err)
	}
	t.all[p.ID] = n
	return n
}

func (t *trust) open(dir string) (*nbformat.Notary, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	key, err := nbformat.LoadKey(filepath.Join(dir, "notebook_secret"))
	if err != nil {
		return nil, err
	}
	store, err := nbformat.OpenFileStore(filepath.Join(dir, "signatures"), 0)
	if err != nil {
		return nil, err
	}
	t.end = append(t.end, store.Close)
	return &nbformat.Notary{Key: key, Store: store}, nil
}

func (t *trust) close(context.Context) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	var errs []error
	for _, end := range t.end {
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}
