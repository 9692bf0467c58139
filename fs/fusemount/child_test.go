package fusemount

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// child is this program, started to do something in a mount from outside of the process that serves it.
type child struct {
	t     *testing.T
	cmd   *exec.Cmd
	stdin io.WriteCloser
	out   bytes.Buffer
}

// program is this program at a place where every user may execute it. runMain removes it.
var program struct {
	once sync.Once
	dir  string
	err  error
}

func copyProgram() (string, error) {
	p := &program
	p.once.Do(func() {
		var exe string
		if exe, p.err = os.Executable(); p.err != nil {
			return
		}
		if p.dir, p.err = os.MkdirTemp("", "fusemount-test-"); p.err != nil {
			return
		}
		var b []byte
		if b, p.err = os.ReadFile(exe); p.err != nil {
			return
		}
		p.err = errors.Join(os.Chmod(p.dir, 0o755), os.WriteFile(filepath.Join(p.dir, "child"), b, 0o755))
	})
	return filepath.Join(p.dir, "child"), p.err
}

// nobody is the ordinary user of the tests.
const nobody = 65534

// start starts children[as] in the directory dir as the user uid. It ends when its standard input does.
func start(t *testing.T, as, dir string, uid uint32, args ...string) *child {
	t.Helper()
	c := newChild(t, as, dir, uid, args...)
	c.cmd.Stdout = &c.out
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// prepareChild is start for one whose output is read while it runs, and which the caller starts.
func prepareChild(t *testing.T, as, dir string, uid uint32) (*child, io.Reader) {
	t.Helper()
	c := newChild(t, as, dir, uid)
	out, err := c.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	return c, out
}

func newChild(t *testing.T, as, dir string, uid uint32, args ...string) *child {
	t.Helper()
	exe, err := copyProgram()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{t: t, cmd: exec.CommandContext(t.Context(), exe, args...)}
	c.cmd.Env = append(os.Environ(), "FUSEMOUNT_TEST_CHILD="+as, "FUSEMOUNT_TEST_DIR="+dir)
	c.cmd.Stderr = os.Stderr
	if uid != uint32(os.Geteuid()) {
		c.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		c.cmd.Dir = "/"
	}
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	return c
}

// stop ends the child and returns what it has printed.
func (c *child) stop() []byte {
	c.t.Helper()
	if err := c.stdin.Close(); err != nil {
		c.t.Error(err)
	}
	return c.wait()
}

func (c *child) wait() []byte {
	c.t.Helper()
	if err := c.cmd.Wait(); err != nil {
		c.t.Errorf("the child process ended with %v: %s", err, c.out.Bytes())
	}
	return c.out.Bytes()
}

// stopJSON is stop for a child that prints JSON.
func (c *child) stopJSON(to any) {
	c.t.Helper()
	out := c.stop()
	if err := json.Unmarshal(out, to); err != nil {
		c.t.Fatalf("the child printed %q: %v", out, err)
	}
}

// runTest runs the named test of this package in another process, in the directory dir and as the user uid: one that maps memory
// of the mount, or that is an ordinary user. That test finds childDir set.
func runTest(t *testing.T, test, dir, arg string, uid uint32) {
	t.Helper()
	args := []string{"-test.run=^" + test + "$", "-test.v", "-test.count=1", "-test.timeout=4m"}
	if testing.Short() {
		args = append(args, "-test.short")
	}
	c := start(t, "test:"+arg, dir, uid, args...)
	out := c.wait()
	for line := range bytes.Lines(out) {
		if t.Failed() || bytes.Contains(line, []byte("--- ")) {
			t.Logf("%s", bytes.TrimSpace(line))
		}
	}
	if !bytes.Contains(out, []byte("--- PASS: "+test)) {
		t.Errorf("%s did not pass in another process", test)
	}
}

// childArg is what the parent has given to runTest.
func childArg() string { return strings.TrimPrefix(os.Getenv("FUSEMOUNT_TEST_CHILD"), "test:") }

// childDir is the directory in which a child works.
func childDir() string { return os.Getenv("FUSEMOUNT_TEST_DIR") }

// untilEOF returns a channel that is closed when standard input ends.
func untilEOF() <-chan struct{} {
	end := make(chan struct{})
	go func() {
		defer close(end)
		_, _ = io.Copy(io.Discard, os.Stdin) // any end is the end
	}()
	return end
}
