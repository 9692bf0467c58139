package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
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
		pid, _ := io.ReadAll(io.LimitReader(f, 32)) // for the message only
		f.Close()
		return nil, fail(exitRunning, "already running (pid %s); see: jupyter-drive status", strings.TrimSpace(string(pid)))
	}
	if err := checkStateVersion(stateDir); err != nil {
		f.Close()
		return nil, err
	}
	if err := f.Truncate(0); err == nil {
		_, err = f.WriteAt(fmt.Appendf(nil, "%d\n", os.Getpid()), 0)
		if err != nil {
			f.Close()
			return nil, fail(exitOther, "the state folder cannot be written: %v", err)
		}
	}
	return &lock{f}, nil
}

func (l *lock) release() error { return l.f.Close() }

func checkStateVersion(stateDir string) error {
	path := filepath.Join(stateDir, "VERSION")
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
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
