package shim

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "kernel-shim" {
		os.Exit(Main(os.Stdin, os.Stdout))
	}
	if len(os.Args) > 1 && os.Args[1] == "daemon" {
		daemon(os.Args[2])
	}
	os.Exit(m.Run())
}

// daemon starts a shim, tells the program's pid and waits to be killed.
func daemon(script string) {
	p, err := Start(context.Background(), command0(), sh(script), nil)
	if err != nil {
		os.Exit(1)
	}
	fmt.Println(p.Pid())
	select {}
}

func command0() []string {
	exe, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return []string{exe, "kernel-shim"}
}

// sh is a request to run a shell script.
func sh(script string) Request {
	return Request{Argv: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

func start(t *testing.T, req Request) *Process {
	t.Helper()
	p, err := Start(t.Context(), command0(), req, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// exitOf waits for the end of p.
func exitOf(t *testing.T, p *Process) Exit {
	t.Helper()
	select {
	case <-p.Exited():
	case <-time.After(time.Minute):
		t.Fatal("the program did not end in 30 s")
	}
	return p.Exit()
}

// waitFor polls until ok or half a minute has passed.
func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 30 s for %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// alive reports whether pid runs and is no zombie.
func alive(pid int) bool {
	_, ok := parentOf(pid)
	return ok
}

// readPid waits until a script has written a pid to path.
func readPid(t *testing.T, path string) int {
	t.Helper()
	var pid int
	waitFor(t, path, func() bool {
		raw, err := os.ReadFile(path)
		if err != nil || !bytes.HasSuffix(raw, []byte("\n")) {
			return false
		}
		pid, err = strconv.Atoi(strings.TrimSpace(string(raw)))
		return err == nil
	})
	return pid
}

func TestExit(t *testing.T) {
	umask := 0o027
	dir := t.TempDir()
	tests := []struct {
		name   string
		change func(*Request)
		script string
		code   int
		signal syscall.Signal
		output string
	}{
		{"status", nil, "echo out; echo err >&2; exit 3", 3, 0, "out\nerr\n"},
		{"signal", nil, "kill -9 $$", -1, syscall.SIGKILL, ""},
		{"directory", func(r *Request) { r.Dir = dir }, "pwd", 0, 0, dir + "\n"},
		{"missing directory", func(r *Request) { r.Dir = dir + "/a/b" }, "pwd", 0, 0, dir + "\n"},
		{"umask", func(r *Request) { r.Umask = &umask }, "umask", 0, 0, "0027\n"},
		{"environment", func(r *Request) { r.Env = append(r.Env, "A=1") }, "echo $A$HOME", 0, 0, "1\n"},
		{"parent", func(r *Request) { r.Env = append(r.Env, "P={shim_pid}") }, "test $P = $PPID && echo same", 0, 0, "same\n"},
		{"standard input is empty", nil, "cat", 0, 0, ""},
		{"own session", nil, "test $(ps -o sid= -p $$) -eq $$ && echo leader", 0, 0, "leader\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := sh(tt.script)
			req.ExitFile = filepath.Join(t.TempDir(), "exit.json")
			if tt.change != nil {
				tt.change(&req)
			}
			got := exitOf(t, start(t, req))
			if got.Code != tt.code || got.Signal != tt.signal || got.Output != tt.output || got.Lost {
				t.Errorf("Exit = %+v, want code %d, signal %d, output %q", got, tt.code, tt.signal, tt.output)
			}
			raw, err := os.ReadFile(req.ExitFile)
			if err != nil {
				t.Fatal(err)
			}
			var recorded Exit
			if err := json.Unmarshal(raw, &recorded); err != nil || recorded != got {
				t.Errorf("recorded %s, %v, want %+v", raw, err, got)
			}
		})
	}
}

func TestOutputKeepsItsEnd(t *testing.T) {
	got := exitOf(t, start(t, sh("yes 0123456789abcde | head -c 1000000; echo last"))).Output
	if len(got) != OutputSize || !strings.HasSuffix(got, "last\n") {
		t.Errorf("output has %d bytes and ends in %q, want %d and last", len(got), got[max(0, len(got)-10):], OutputSize)
	}
}

func TestStartErrors(t *testing.T) {
	for name, req := range map[string]Request{
		"no program":      {},
		"not found":       {Argv: []string{"no-such-program"}, Env: []string{"PATH=/usr/bin"}},
		"not executable":  {Argv: []string{"/etc/passwd"}},
		"dir not allowed": {Argv: []string{"sh"}, Dir: "/proc/self/fd/0\x00"},
	} {
		t.Run(name, func(t *testing.T) {
			if p, err := Start(t.Context(), command0(), req, nil); err == nil {
				t.Errorf("Start = nil error, %v", p.Close(context.Background()))
			}
		})
	}
	t.Run("no shim", func(t *testing.T) {
		if _, err := Start(t.Context(), nil, sh(""), nil); err == nil {
			t.Error("Start without a command = nil error")
		}
		if _, err := Start(t.Context(), []string{"/bin/false"}, sh(""), nil); err == nil {
			t.Error("Start with a shim that ends = nil error")
		}
	})
	t.Run("canceled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := Start(ctx, []string{"/bin/sleep", "100"}, sh(""), nil); !errors.Is(err, context.Canceled) {
			t.Errorf("Start with a mute shim = %v, want context.Canceled", err)
		}
	})
}

func TestMainRefusesNewerRequests(t *testing.T) {
	var out bytes.Buffer
	if code := Main(strings.NewReader(`{"version":2,"argv":["sh"]}`), &out); code == 0 || !strings.Contains(out.String(), "version") {
		t.Errorf("Main(version 2) = %d, %s, want an error that names the version", code, out.String())
	}
}

func TestSignalReachesTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "child")
	p := start(t, sh("trap 'exit 7' INT; sh -c 'echo $$ > "+file+"; exec sleep 100'; exit 1"))
	pid := readPid(t, file)
	if err := p.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := exitOf(t, p); got.Code != 7 {
		t.Errorf("Exit = %v, want status 7", got)
	}
	if alive(pid) {
		t.Error("the child still runs after SIGINT to the group")
	}
	waitFor(t, "the shim to end", func() bool { return errors.Is(p.Signal(syscall.SIGINT), os.ErrProcessDone) })
}

// escapee is a script whose grandchild leaves session and process group before it writes its pid to file.
func escapee(file string) string {
	return "setsid sh -c 'trap \"\" TERM HUP; echo $$ > " + file + "; while :; do sleep 0.05; done' & "
}

func TestNothingOutlivesTheShim(t *testing.T) {
	file := func(t *testing.T) string { return filepath.Join(t.TempDir(), "pid") }
	t.Run("when the program ends", func(t *testing.T) {
		f := file(t)
		exitOf(t, start(t, sh(escapee(f)+"while ! test -s "+f+"; do sleep 0.01; done")))
		if alive(readPid(t, f)) {
			t.Error("a grandchild lives on after Exited")
		}
	})
	t.Run("when killed", func(t *testing.T) {
		f := file(t)
		p := start(t, sh(escapee(f)+"trap '' TERM; wait"))
		pid := readPid(t, f)
		if err := p.Kill(); err != nil {
			t.Fatal(err)
		}
		if got := exitOf(t, p); got.Signal != syscall.SIGKILL {
			t.Errorf("Exit = %v, want SIGKILL", got)
		}
		if alive(pid) {
			t.Error("a grandchild lives on after Kill")
		}
	})
	t.Run("when closed", func(t *testing.T) {
		f := file(t)
		p := start(t, sh(escapee(f)+"wait"))
		pid := readPid(t, f)
		if err := p.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if alive(pid) || alive(p.Pid()) {
			t.Error("a process lives on after Close")
		}
	})
	t.Run("when the daemon is killed", func(t *testing.T) {
		f := file(t)
		d := exec.Command(command0()[0], "daemon", escapee(f)+"trap '' TERM HUP; wait")
		out, err := d.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := d.Start(); err != nil {
			t.Fatal(err)
		}
		grandchild := readPid(t, f)
		if err := d.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		line, err := io.ReadAll(out)
		if err != nil {
			t.Fatal(err)
		}
		_ = d.Wait() // killed, as intended
		program, err := strconv.Atoi(strings.TrimSpace(string(line)))
		if err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the processes to end", func() bool { return !alive(grandchild) && !alive(program) })
	})
	t.Run("when the shim is killed", func(t *testing.T) {
		p := start(t, sh("trap '' TERM; while :; do sleep 0.05; done"))
		if err := p.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if got := exitOf(t, p); !got.Lost || got.Code != -1 {
			t.Errorf("Exit = %+v, want it lost", got)
		}
		waitFor(t, "the program to end", func() bool { return !alive(p.Pid()) })
	})
}

func TestLingerWaitsForWhatWasStarted(t *testing.T) {
	f := filepath.Join(t.TempDir(), "pid")
	req := sh(escapee(f) + "while ! test -s " + f + "; do sleep 0.01; done; exit 0")
	req.Linger = true
	tty, program := terminal(t)
	p, err := Start(t.Context(), command0(), req, program)
	if err != nil {
		t.Fatal(err)
	}
	defer tty.Close()
	exitOf(t, p)
	pid := readPid(t, f)
	if !alive(pid) {
		t.Error("what the program left behind ended with it, want it to linger")
	}
	if err := p.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if alive(pid) {
		t.Error("what lingered outlives Close")
	}
}

// terminal opens a pty and closes the program's end when the test ends.
func terminal(t *testing.T) (daemon, program *os.File) {
	t.Helper()
	daemon, program, err := pty.Open()
	if err != nil {
		t.Skip("no pseudo terminals here: " + err.Error())
	}
	t.Cleanup(func() { _ = program.Close() })
	return daemon, program
}

func TestTerminal(t *testing.T) {
	daemonEnd, program := terminal(t)
	defer daemonEnd.Close()
	p, err := Start(t.Context(), command0(), sh("test -t 0 && test -t 1 && test -t 2 && tty && read x && echo got $x"), program)
	if err != nil {
		t.Fatal(err)
	}
	if err := program.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := daemonEnd.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(daemonEnd)
	if !errors.Is(err, syscall.EIO) { // how Linux says that the other end is closed
		t.Errorf("read = %v, want EIO", err)
	}
	if !strings.Contains(string(out), "/dev/pts/") || !strings.Contains(string(out), "got hello") {
		t.Errorf("terminal shows %q", out)
	}
	if got := exitOf(t, p); got.Code != 0 {
		t.Errorf("Exit = %v", got)
	}
	if err := p.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

func FuzzEvents(f *testing.F) {
	f.Add([]byte("{\"pid\":1}\n{\"exit\":{\"code\":1}}\n{\"error\":\"x\"}"))
	f.Fuzz(func(t *testing.T, events []byte) {
		p := &Process{cmd: exec.Command("/bin/true"), exited: make(chan struct{}), gone: make(chan struct{})}
		p.follow(bytes.NewReader(events), make(chan error, 1))
		<-p.Exited()
	})
}
