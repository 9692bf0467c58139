package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// stateVersion is the layout of the state folder. A daemon refuses a newer one.
const stateVersion = "1"

// lock is the one daemon's hold on the state folder.
type lock struct{ f *os.File }

// takeLock makes the state folder if need be and locks it. It fails with exitRunning if another daemon holds it.
func takeLock(stateDir string) (*lock, error) {
	if err := os.MkdirAll(stateDir, 0o700); err != nil {
		return nil, fail(exitOther, "the state folder cannot be made: %v", err)
	}
	f, err := os.OpenFile(filepath.Join(stateDir, "lock"), os.O_RDWR|os.O_CREATE|syscall.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, fail(exitOther, "the state folder cannot be used: %v", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		data, _ := io.ReadAll(io.LimitReader(f, 8192)) // for the message and for what comes next only
		_ = f.Close()                                  // nothing was written
		return nil, newHeldError(string(data))
	}
	if err := checkStateVersion(stateDir); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l := &lock{f}
	if err := l.note(""); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return l, nil
}

// note writes down who holds the lock and where its mount is, for those who come after.
func (l *lock) note(mountpoint string) error {
	err := l.f.Truncate(0)
	if err == nil {
		_, err = l.f.WriteAt(fmt.Appendf(nil, "%d\n%s\n", os.Getpid(), mountpoint), 0)
	}
	if err != nil {
		return fail(exitOther, "the state folder cannot be written: %v", err)
	}
	return nil
}

// heldError says that another daemon holds the lock.
type heldError struct {
	pid        int
	mountpoint string
}

func newHeldError(note string) error {
	pid, rest, _ := strings.Cut(note, "\n")
	held := &heldError{mountpoint: strings.TrimSuffix(rest, "\n")}
	held.pid, _ = strconv.Atoi(pid) // 0 if the daemon has not written it yet
	return &exitError{exitRunning, held}
}

func (e *heldError) Error() string {
	return fmt.Sprintf("already running (pid %d); see: jupyter-drive status", e.pid)
}

// dead reports whether the holder was killed and only a thread of it is left, which hangs in the kernel.
func (e *heldError) dead() bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", e.pid))
	if err != nil {
		return false
	}
	_, state, ok := strings.Cut(string(stat), ") ") // the name before it may hold anything
	return ok && (state[0] == 'Z' || state[0] == 'X')
}

// release lets the next daemon in. Closing alone does not do it: a process that is just being started may hold a copy for a moment.
func (l *lock) release() error {
	return errors.Join(syscall.Flock(int(l.f.Fd()), syscall.LOCK_UN), l.f.Close())
}

func checkStateVersion(stateDir string) error {
	path := filepath.Join(stateDir, "VERSION")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) || err == nil && len(data) == 0 { // a full disk or a loss of power has left it so
		if err := os.WriteFile(path, []byte(stateVersion+"\n"), 0o600); err != nil {
			return fail(exitOther, "the state folder cannot be written: %v", err)
		}
		return nil
	}
	if err != nil {
		return fail(exitOther, "the state folder cannot be read: %v", err)
	}
	if v := strings.TrimSpace(string(data)); v != stateVersion {
		return fail(exitOther, "%s is of version %s, this program knows %s: use the newer jupyter-drive that made it, or move it away",
			stateDir, v, stateVersion)
	}
	return nil
}

// waitUnlocked waits until no daemon holds the state folder, at most limit.
func waitUnlocked(stateDir string, limit time.Duration) error {
	f, err := os.OpenFile(filepath.Join(stateDir, "lock"), os.O_RDWR|syscall.O_CLOEXEC, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- syscall.Flock(int(f.Fd()), syscall.LOCK_EX) }() // ends with the process if not before
	select {
	case err := <-done:
		return errors.Join(err, f.Close())
	case <-time.After(limit):
		return fail(exitUnflushed, "the daemon has not stopped after %v; see its log, or end it with: kill -9", limit)
	}
}
