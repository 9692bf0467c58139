package main

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
)

// environment is what the process was started with. It is read once, here; no package reads it by itself.
type environment struct {
	vars  map[string]string
	uid   int
	gid   int
	umask int    // of those who started the daemon; kernels and terminals get it back
	user  string // login name
	home  string
	exe   string // this program
	cwd   string
}

func readEnvironment() environment {
	e := environment{vars: map[string]string{}, uid: os.Getuid(), gid: os.Getgid()}
	for _, kv := range os.Environ() {
		k, v, _ := strings.Cut(kv, "=")
		e.vars[k] = v
	}
	e.home = e.vars["HOME"]
	e.user = strconv.Itoa(e.uid)
	if u, err := user.Current(); err == nil {
		e.user = u.Username
		if e.home == "" {
			e.home = u.HomeDir
		}
	}
	if exe, err := os.Executable(); err == nil {
		e.exe = exe
	}
	if cwd, err := os.Getwd(); err == nil {
		e.cwd = cwd
	}
	return e
}

// dir returns the folder that an XDG variable names, or the fallback in the home folder, with our name below it.
func (e environment) dir(variable, fallback string) string {
	base := e.vars[variable]
	if !filepath.IsAbs(base) {
		base = filepath.Join(e.home, fallback)
	}
	return filepath.Join(base, "jupyter-drive")
}

func (e environment) configFile() string {
	return filepath.Join(e.dir("XDG_CONFIG_HOME", ".config"), "config.toml")
}
func (e environment) stateDir() string { return e.dir("XDG_STATE_HOME", ".local/state") }
func (e environment) dataDir() string  { return e.dir("XDG_DATA_HOME", ".local/share") }

// runtimeDir is short, because paths of sockets are limited to 108 bytes.
func (e environment) runtimeDir() string {
	if base := e.vars["XDG_RUNTIME_DIR"]; filepath.IsAbs(base) {
		return filepath.Join(base, "jupyter-drive")
	}
	return filepath.Join(os.TempDir(), fmt.Sprintf("jupyter-drive-%d", e.uid))
}

// jupyterRuntimeDir is where Jupyter's own tools look for running servers.
func (e environment) jupyterRuntimeDir() string {
	if d := e.vars["JUPYTER_RUNTIME_DIR"]; d != "" {
		return d
	}
	return filepath.Join(e.jupyterDataDir(), "runtime")
}

func (e environment) jupyterDataDir() string {
	if d := e.vars["JUPYTER_DATA_DIR"]; d != "" {
		return d
	}
	if d := e.vars["XDG_DATA_HOME"]; filepath.IsAbs(d) {
		return filepath.Join(d, "jupyter")
	}
	return filepath.Join(e.home, ".local/share/jupyter")
}

// jupyterPath returns the folders of Jupyter's data, most important first. python's own comes after the user's.
func (e environment) jupyterPath(python string) []string {
	var dirs []string
	dirs = append(dirs, filepath.SplitList(e.vars["JUPYTER_PATH"])...)
	var prefixes []string
	for _, p := range []string{e.vars["VIRTUAL_ENV"], e.vars["CONDA_PREFIX"], prefixOf(python)} {
		if p != "" {
			prefixes = append(prefixes, filepath.Join(p, "share/jupyter"))
		}
	}
	if e.vars["JUPYTER_PREFER_ENV_PATH"] == "1" || e.vars["VIRTUAL_ENV"] != "" || e.vars["CONDA_PREFIX"] != "" {
		dirs = append(append(dirs, prefixes...), e.jupyterDataDir())
	} else {
		dirs = append(append(dirs, e.jupyterDataDir()), prefixes...)
	}
	return unique(append(dirs, "/usr/local/share/jupyter", "/usr/share/jupyter"))
}

// jupyterConfigPath returns the folders of Jupyter's configuration, most important first.
func (e environment) jupyterConfigPath(python string) []string {
	dirs := filepath.SplitList(e.vars["JUPYTER_CONFIG_PATH"])
	if d := e.vars["JUPYTER_CONFIG_DIR"]; d != "" {
		dirs = append(dirs, d)
	} else {
		dirs = append(dirs, filepath.Join(e.home, ".jupyter"))
	}
	if p := prefixOf(python); p != "" {
		dirs = append(dirs, filepath.Join(p, "etc/jupyter"))
	}
	return unique(append(dirs, "/usr/local/etc/jupyter", "/etc/jupyter"))
}

// prefixOf returns the folder above the bin folder that an interpreter is in.
func prefixOf(python string) string {
	if dir := filepath.Dir(python); filepath.Base(dir) == "bin" {
		return filepath.Dir(dir)
	}
	return ""
}

// kernelVars are the variables that kernels and terminals get. The daemon's other variables may hold credentials of stores.
var kernelVars = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TERM", "VIRTUAL_ENV", "LD_LIBRARY_PATH",
	"PYTHONPATH", "JUPYTER_PATH", "JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "IPYTHONDIR", "R_LIBS_USER", "JULIA_DEPOT_PATH",
	"XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "CUDA_VISIBLE_DEVICES", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE",
	"DISPLAY", "MPLBACKEND", "OMP_NUM_THREADS",
}

// kernelEnv returns them as a list of NAME=value.
func (e environment) kernelEnv() []string {
	var env []string
	for _, k := range kernelVars {
		if v, ok := e.vars[k]; ok {
			env = append(env, k+"="+v)
		}
	}
	for k, v := range e.vars {
		if strings.HasPrefix(k, "LC_") || strings.HasPrefix(k, "CONDA_") {
			env = append(env, k+"="+v)
		}
	}
	if e.vars["HOME"] == "" {
		env = append(env, "HOME="+e.home)
	}
	return env
}

// expand makes a path absolute; a leading "~" is the home folder.
func (e environment) expand(path string) string {
	if path == "~" || strings.HasPrefix(path, "~/") {
		path = filepath.Join(e.home, path[1:])
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(e.cwd, path)
	}
	return filepath.Clean(path)
}

func unique(list []string) []string {
	seen := map[string]bool{}
	var out []string
	for _, s := range list {
		if s != "" && !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}
