package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func TestRuntimeDirOfOthersIsRefused(t *testing.T) {
	for _, tt := range []struct {
		name string
		make func(dir string) error
		ok   bool
	}{
		{"missing", func(string) error { return nil }, true},
		{"ours alone", func(dir string) error { return os.Mkdir(dir, 0o700) }, true},
		{"open to others", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o700), os.Chmod(dir, 0o755)) }, false},
		{"link", func(dir string) error { return errors.Join(os.Mkdir(dir+".to", 0o700), os.Symlink(dir+".to", dir)) }, false},
		{"file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := testEnv(t)
			if err := errors.Join(os.Mkdir(env.vars["XDG_RUNTIME_DIR"], 0o700), tt.make(env.runtimeDir())); err != nil {
				t.Fatal(err)
			}
			if err := env.makeRuntimeDir(); (err == nil) != tt.ok || !tt.ok && exitCode(err) != exitPermission {
				t.Errorf("makeRuntimeDir() = %v, want ok %v", err, tt.ok)
			}
			want := exitNotRunning
			if !tt.ok {
				want = exitPermission
			}
			if err := env.ask(t.Context(), "GET", "/status", nil); exitCode(err) != want {
				t.Errorf("ask() = %v, want exit code %d", err, want)
			}
		})
	}
	t.Run("another user's", func(t *testing.T) {
		env := testEnv(t)
		if err := env.makeRuntimeDir(); err != nil {
			t.Fatal(err)
		}
		env.uid++
		if err := env.checkRuntimeDir(); exitCode(err) != exitPermission {
			t.Errorf("checkRuntimeDir() = %v, want exit code %d", err, exitPermission)
		}
	})
}

func TestTwoDaemonsDoNotShareARuntimeDir(t *testing.T) {
	env := testEnv(t)
	serveInTest(t, env)
	env.vars = map[string]string{"XDG_RUNTIME_DIR": env.vars["XDG_RUNTIME_DIR"], "XDG_STATE_HOME": t.TempDir(), "PATH": env.vars["PATH"]}
	if code, _, stderr := call(t, env, "serve", "--no-mount", "--listen", "127.0.0.1:0"); code != exitRunning {
		t.Errorf("serve beside another daemon = %d %s, want %d", code, stderr, exitRunning)
	}
	if code, _, stderr := call(t, env, "status"); code != exitOK {
		t.Errorf("status of the first daemon = %d %s", code, stderr)
	}
}

func TestInterruptedStartIs130(t *testing.T) {
	env := testEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	var out, errs output
	if code := run(ctx, []string{"serve", "--no-mount"}, env, strings.NewReader(""), &out, &errs); code != exitInterrupted {
		t.Errorf("serve = %d %s, want %d", code, errs.String(), exitInterrupted)
	}
	l, err := takeLock(env.stateDir())
	if err != nil {
		t.Fatalf("after an interrupted start: %v", err)
	}
	if err := l.release(); err != nil {
		t.Fatal(err)
	}
}

// brokenPipe is an output that nobody reads.
type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestErrorsWithoutACodeAreNotUsage(t *testing.T) {
	code := run(t.Context(), []string{"version"}, testEnv(t), strings.NewReader(""), brokenPipe{}, io.Discard)
	if code != exitOther {
		t.Errorf("version to a closed pipe = %d, want %d", code, exitOther)
	}
}

func TestDetachedArgs(t *testing.T) {
	for _, tt := range []struct{ in, want []string }{
		{[]string{"up", "--detach", "a"}, []string{"up", "a"}},
		{[]string{"-v", "up", "--detach=true"}, []string{"-v", "up"}},
		{[]string{"up", "--detach", "--", "--detach"}, []string{"up", "--", "--detach"}},
	} {
		want := append([]string{"--no-browser=true", "--ready-fd=3"}, tt.want...)
		if got := detachedArgs(tt.in); !slices.Equal(got, want) {
			t.Errorf("detachedArgs(%q) = %q, want %q", tt.in, got, want)
		}
	}
}

func TestWithUmask(t *testing.T) {
	out, err := withUmask(0o027, "/bin/sh", "-c", `umask; echo "$1"`, "x", "a b").Output()
	if string(out) != "0027\na b\n" || err != nil {
		t.Errorf("output = %q, %v", out, err)
	}
}

func TestLongLogIsSetAside(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, size := range []int64{maxLog + 1, 0} {
		f, err := openLog(path)
		if err != nil {
			t.Fatal(err)
		}
		if info, err := f.Stat(); err != nil || info.Size() != 0 {
			t.Errorf("the log begins with %d bytes, %v", info.Size(), err)
		}
		if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestConfigEditsDoNotLoseEachOther(t *testing.T) {
	env := testEnv(t)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			if code, _, stderr := call(t, env, "user", "add", fmt.Sprintf("user%d", i)); code != exitOK {
				t.Errorf("user add = %d %s", code, stderr)
			}
		})
	}
	wg.Wait()
	if _, stdout, _ := call(t, env, "user", "list"); strings.Count(stdout, "\n") != 20 {
		t.Errorf("users = %q, want 20", stdout)
	}
}

func TestConfigEditKeepsLinkAndMode(t *testing.T) {
	env := testEnv(t)
	real := filepath.Join(env.home, "dotfiles.toml")
	if err := errors.Join(os.WriteFile(real, []byte("version = 1\n"), 0o600), os.Chmod(real, 0o640),
		os.MkdirAll(filepath.Dir(env.configFile()), 0o700), os.Symlink(real, env.configFile())); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, env, "user", "add", "grace"); code != exitOK {
		t.Fatalf("user add = %d %s", code, stderr)
	}
	if to, err := os.Readlink(env.configFile()); to != real || err != nil {
		t.Errorf("the link leads to %q, %v", to, err)
	}
	if info, err := os.Stat(real); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("the file has mode %v, %v, want 0640", info.Mode(), err)
	}
	if err := os.Chmod(real, 0o666); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, env, "user", "list"); code != exitConfig || !strings.Contains(stderr, "chmod o-w") {
		t.Errorf("with a file that anybody can write = %d %s, want %d", code, stderr, exitConfig)
	}
}

func TestReloadFollowsAChangedDrive(t *testing.T) {
	env := testEnv(t)
	link := serveInTest(t, env)
	text, err := os.ReadFile(env.configFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(env.configFile(), append(text, "mode = \"read-only\"\n"...), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := env.ask(t.Context(), "POST", "/reload", nil); err != nil {
		t.Fatal(err)
	}
	var s status
	if err := env.ask(t.Context(), "GET", "/status", &s); err != nil {
		t.Fatal(err)
	}
	if len(s.Drives) != 1 || s.Drives[0].Mode != "read-only" {
		t.Errorf("drives = %+v, want one, read-only", s.Drives)
	}
	if code := mkdirStatus(t, link, "home/new"); code != http.StatusForbidden {
		t.Errorf("a folder made in a drive that is now read-only = %d, want %d", code, http.StatusForbidden)
	}
}

// mkdirStatus asks the daemon to make a folder.
func mkdirStatus(t *testing.T, link, path string) int {
	t.Helper()
	return put(t, link, path, `{"type":"directory"}`)
}

func TestLowSeverityIsNoFailure(t *testing.T) {
	s := status{Problems: []problem{{Severity: severityName(fs.Low)}, {Severity: severityName(fs.Medium)}, {Severity: severityName(fs.High)}}}
	if got := s.serious(); got != 2 {
		t.Errorf("serious() = %d, want 2", got)
	}
}

func TestFailedStartFreesThePort(t *testing.T) {
	env := testEnv(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := ln.Addr().String()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	env.vars["JUPYTER_RUNTIME_DIR"] = "/dev/null/no"
	if code, _, stderr := call(t, env, "serve", "--no-mount", "--listen", address); code != exitOther {
		t.Fatalf("serve = %d %s, want %d", code, stderr, exitOther)
	}
	missing := filepath.Join(env.home, "missing")
	if code, _, stderr := call(t, env, "serve", "--no-mount", "--listen", address, "--lab-dir", missing); code == exitOK {
		t.Fatalf("serve = %d %s", code, stderr)
	}
	if ln, err = net.Listen("tcp", address); err != nil {
		t.Fatalf("the port is still taken: %v", err)
	}
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
}
