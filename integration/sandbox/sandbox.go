// Package sandbox gives each server that a test starts a home of its own, and finds what it leaves behind.
//
// A Sandbox is a temporary home folder together with the environment that makes programs stay in it: HOME, the XDG folders
// and Jupyter's. Since children inherit that environment, every process started from it can be found again by it, however
// it detached itself. Leaks lists what is still there after a server ended; Close removes all of it by force.
//
//	box, err := sandbox.New()
//	defer box.Close()
//	cmd.Env = box.Env()
//
// The package also knows where the make targets put the tools that tests use. It does not install anything.
package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Sandbox is a temporary home for the processes of one server.
type Sandbox struct {
	Home string // the folder; its path is short, since sockets lie below it
}

// New makes an empty Sandbox. The caller must Close it.
func New() (*Sandbox, error) {
	home, err := os.MkdirTemp("", "jd-")
	if err != nil {
		return nil, fmt.Errorf("making a sandbox: %w", err)
	}
	box := &Sandbox{Home: home}
	for _, dir := range box.dirs() {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, errors.Join(fmt.Errorf("making a sandbox: %w", err), os.RemoveAll(home))
		}
	}
	return box, nil
}

// dirs are the folders of the environment, by variable.
func (b *Sandbox) dirs() map[string]string {
	dirs := map[string]string{"HOME": b.Home}
	for variable, name := range map[string]string{
		"XDG_CONFIG_HOME":     "config",
		"XDG_STATE_HOME":      "state",
		"XDG_CACHE_HOME":      "cache",
		"XDG_DATA_HOME":       "share",
		"XDG_RUNTIME_DIR":     "run",
		"JUPYTER_CONFIG_DIR":  "jupyter",
		"JUPYTER_DATA_DIR":    "jupyter-data",
		"JUPYTER_RUNTIME_DIR": "jupyter-run",
		"IPYTHONDIR":          "ipython",
		"MPLCONFIGDIR":        "matplotlib",
	} {
		dirs[variable] = filepath.Join(b.Home, name)
	}
	return dirs
}

// Env is the environment of processes in the Sandbox: the caller's, without Jupyter's variables, and with all home folders
// in the Sandbox.
func (b *Sandbox) Env() []string {
	dirs := b.dirs()
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		_, ours := dirs[name]
		return ours || strings.HasPrefix(name, "JUPYTER") || strings.HasPrefix(name, "DISPLAY")
	})
	for variable, dir := range dirs {
		env = append(env, variable+"="+dir)
	}
	return env
}

// RuntimeDir is where servers write the files by which Jupyter's tools find them.
func (b *Sandbox) RuntimeDir() string { return b.dirs()["JUPYTER_RUNTIME_DIR"] }

// DataDir is Jupyter's data folder, below which kernel specs and extensions lie.
func (b *Sandbox) DataDir() string { return b.dirs()["JUPYTER_DATA_DIR"] }

// Leaks describes what of the Sandbox is still alive: processes, mounts and sockets. Nothing is an empty list.
func (b *Sandbox) Leaks() ([]string, error) {
	var leaks []string
	for _, pid := range b.processes() {
		leaks = append(leaks, fmt.Sprintf("process %d: %s", pid, commandLine(pid)))
	}
	mounts, err := b.mounts()
	if err != nil {
		return nil, err
	}
	for _, mount := range mounts {
		leaks = append(leaks, "mount "+mount)
	}
	sockets, err := b.sockets()
	for _, socket := range sockets {
		leaks = append(leaks, "socket "+socket)
	}
	return leaks, err
}

// LeaksAfter is Leaks once nothing is left, or when the time is over.
func (b *Sandbox) LeaksAfter(limit time.Duration) ([]string, error) {
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		leaks, err := b.Leaks()
		if err != nil || len(leaks) == 0 || time.Now().After(deadline) {
			return leaks, err
		}
	}
}

// Close ends all processes of the Sandbox, unmounts what is mounted in it and removes it.
func (b *Sandbox) Close() error {
	var errs []error
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		pids := b.processes()
		if len(pids) == 0 {
			break
		}
		if time.Now().After(deadline) {
			errs = append(errs, fmt.Errorf("processes %v do not end", pids))
			break
		}
		for _, pid := range pids {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
				errs = append(errs, fmt.Errorf("killing %d: %w", pid, err))
			}
		}
	}
	mounts, err := b.mounts()
	errs = append(errs, err)
	for _, mount := range slices.Backward(mounts) {
		if err := detach(mount); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(append(errs, os.RemoveAll(b.Home))...)
}

// processes are all that have the Sandbox's home in their environment. Those that ended and wait for their parent, whose
// environment is empty, do not count.
func (b *Sandbox) processes() []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	mark := []byte("HOME=" + b.Home + "\x00")
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		// A process that has just ended, or another user's, cannot be read and is not ours.
		environ, err := os.ReadFile(filepath.Join("/proc", entry.Name(), "environ"))
		if err == nil && bytes.Contains(environ, mark) {
			pids = append(pids, pid)
		}
	}
	return pids
}

func commandLine(pid int) string {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(strings.ReplaceAll(string(text), "\x00", " "))
}

// mounts are the mount points below the Sandbox's home, outer ones first.
func (b *Sandbox) mounts() ([]string, error) {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, fmt.Errorf("listing mounts: %w", err)
	}
	var mounts []string
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 4 && strings.HasPrefix(fields[4], b.Home+"/") {
			mounts = append(mounts, fields[4])
		}
	}
	slices.Sort(mounts)
	return mounts, nil
}

// sockets are the socket files below the Sandbox's home.
func (b *Sandbox) sockets() ([]string, error) {
	var sockets []string
	err := filepath.WalkDir(b.Home, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type()&fs.ModeSocket != 0 {
			sockets = append(sockets, path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil // it went while we looked
		}
		return err
	})
	return sockets, err
}
