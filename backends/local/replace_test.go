package local_test

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/local"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestReplaceSerialises lets eight writers count in one file; every acknowledged write must be built on the one before.
func TestReplaceSerialises(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.replace("f", "0", fs.ReplaceOptions{})
	const each = 20
	var writers sync.WaitGroup
	var conflicts atomic.Int32
	for range 8 {
		writers.Go(func() {
			for done := 0; done < each; {
				err := increment(e)
				switch {
				case err == nil:
					done++
				case fs.KindOf(err) == fs.Conflict || fs.KindOf(err) == fs.Stale:
					conflicts.Add(1)
				default:
					t.Errorf("increment: %v", err)
					return
				}
			}
		})
	}
	writers.Wait()
	got, err := read(e.ctx, e.node("f"))
	if err != nil || got != strconv.Itoa(8*each) {
		t.Errorf("the count is %q, %v, want %d (%d conflicts)", got, err, 8*each, conflicts.Load())
	}
	if conflicts.Load() == 0 {
		t.Error("no writer met another")
	}
}

func increment(e *env) error {
	n, err := e.find("f")
	if err != nil {
		return err
	}
	h, err := n.Open(e.ctx, fs.OpenRead)
	if err != nil {
		return err
	}
	defer h.Release(e.ctx) //nolint:errcheck // only read
	a, err := h.Attr(e.ctx)
	if err != nil {
		return err
	}
	text, err := readHandle(e.ctx, h)
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(text)
	if err != nil {
		return err
	}
	_, err = e.d.Replace(e.ctx, "f", strings.NewReader(strconv.Itoa(count+1)), fs.ReplaceOptions{IfVersion: a.Version})
	return err
}

func TestReplaceKeepsAttributes(t *testing.T) {
	e := newEnv(t, local.Options{})
	e.write("f", "old")
	e.must("Chmod", os.Chmod(e.path("f"), 0o640))
	e.must("Setxattr", unix.Setxattr(e.path("f"), "user.colour", []byte("blue"), 0))
	if os.Geteuid() == 0 {
		e.must("Chown", os.Chown(e.path("f"), 1234, 5678))
	}
	before := e.attr(e.node("f"))
	id := e.id(e.node("f"))
	out := e.replace("f", "new", fs.ReplaceOptions{Mode: 0o777})
	if a := out.Attr; a.Mode != before.Mode || a.UID != before.UID || a.GID != before.GID {
		t.Errorf("Attr = %+v, want mode, uid and gid of %+v", a, before)
	}
	if got, err := out.Node.(fs.Xattrer).Xattr(e.ctx, "user.colour"); string(got) != "blue" || err != nil {
		t.Errorf("Xattr = %q, %v", got, err)
	}
	if got := e.id(out.Node); got != id {
		t.Errorf("FileID() = %v, want %v", got, id)
	}
}

func TestCrashLeftovers(t *testing.T) {
	state := t.TempDir()
	e := newEnv(t, local.Options{StateDir: state})
	e.must("Mkdir", os.Mkdir(e.path("d"), 0o755))
	e.stop()
	const left, listed, busy = "d/.~jd-0123456789abcdef", ".~jd-fedcba9876543210", ".~jd-00000000000000ff"
	for _, name := range []string{left, listed, busy} {
		e.write(name, "half")
	}
	f, err := os.Open(e.path(busy))
	e.must("Open", err)
	defer f.Close()
	e.must("Flock", unix.Flock(int(f.Fd()), unix.LOCK_EX))
	e.must("WriteFile", os.WriteFile(state+"/temps", []byte(left+"\x00../evil\x00d\x00"), 0o600))
	e.start()
	if _, err := os.Lstat(e.path(left)); !os.IsNotExist(err) {
		t.Errorf("what the log names is there after the start: %v", err)
	}
	if got := e.names(e.d.Root()); len(got) != 1 || got[0] != "d" {
		t.Errorf("names = %q, want d", got)
	}
	if _, err := os.Lstat(e.path(listed)); !os.IsNotExist(err) {
		t.Errorf("what nobody holds is there after a listing: %v", err)
	}
	if _, err := os.Lstat(e.path(busy)); err != nil {
		t.Errorf("what another daemon writes was removed: %v", err)
	}
	_, err = e.find(busy)
	e.kind("Lookup", err, fs.NotExist)
	_, _, err = e.d.Root().Create(e.ctx, listed, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenWrite})
	e.kind("Create", err, fs.NotPermitted)
	// A folder that looks empty can be removed.
	e.write("d/"+listed, "half")
	e.must("Remove", e.d.Root().Remove(e.ctx, "d", true))
}

// TestReplaceSlip changes the file in the moment between the last check and the rename, as far as a racing program can.
func TestReplaceSlip(t *testing.T) {
	e := newEnv(t, local.Options{NoWatch: true})
	e.write("f", "0")
	stop := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				e.swap("f", fmt.Sprint("foreign ", i))
			}
		}
	}()
	defer func() { <-ended }()
	defer close(stop)
	won := 0
	for range 200 {
		n, err := e.find("f")
		if err != nil {
			continue
		}
		a, err := n.Attr(e.ctx)
		if err != nil {
			continue
		}
		out, err := e.d.Replace(e.ctx, "f", strings.NewReader("ours"), fs.ReplaceOptions{IfVersion: a.Version})
		if err == nil {
			won++
			if out.Attr.Size != int64(len("ours")) {
				t.Fatalf("Replace() tells of a file of %d bytes, which is another program's", out.Attr.Size)
			}
			// The other program may have made a file at once that has the same number and time of birth, but not the same version.
			got, err := read(e.ctx, out.Node)
			if now, failed := out.Node.Attr(e.ctx); err == nil && failed == nil && now.Version == out.Attr.Version && got != "ours" {
				t.Fatalf("read of what was written = %q", got)
			}
		} else if k := fs.KindOf(err); k != fs.Conflict && k != fs.Busy && k != fs.Stale {
			t.Fatalf("Replace() = %v", err)
		}
	}
	if got := e.names(e.d.Root()); len(got) > 2 {
		t.Errorf("names = %q: something was left", got)
	}
	t.Logf("%d of 200 won", won)
}

const killEnv = "LOCAL_TEST_KILL"

// TestKill kills a process that saves, and looks at what it leaves: each acknowledged version or a later one, never a part.
func TestKill(t *testing.T) {
	if root := os.Getenv(killEnv); root != "" {
		saveForEver(t, root)
		return
	}
	for range 5 {
		root, state := t.TempDir(), t.TempDir()
		last := killWhileSaving(t, root, state)
		e := newEnv(t, local.Options{Root: root, StateDir: state + "/s"})
		text, err := read(e.ctx, e.node("f"))
		e.must("read", err)
		lines := strings.Fields(text)
		saved, err := strconv.Atoi(lines[0])
		if err != nil || saved < last || len(lines) != 5000 || lines[4999] != lines[0] {
			t.Errorf("the file has %d lines from %q, want 5000 of version %d or later", len(lines), lines[0], last)
		}
		if got := e.names(e.d.Root()); len(got) != 1 {
			t.Errorf("names = %q, want f", got)
		}
		left, err := os.ReadDir(root)
		if err != nil || len(left) != 2 { // f and the daemon's folder
			t.Errorf("the folder has %v, %v", left, err)
		}
		e.stop()
	}
}

// saveForEver is the process that is killed. It prints what was acknowledged.
func saveForEver(t *testing.T, where string) {
	t.Helper()
	root, state, _ := strings.Cut(where, "\n")
	d, err := local.Open(t.Context(), local.Options{Root: root, StateDir: state + "/s"})
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; ; i++ {
		text := strings.Repeat(strconv.Itoa(i)+"\n", 5000)
		if _, err := d.Replace(t.Context(), "f", strings.NewReader(text), fs.ReplaceOptions{}); err != nil {
			t.Fatal(err)
		}
		fmt.Println("saved", i)
	}
}

func killWhileSaving(t *testing.T, root, state string) (last int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKill$")
	cmd.Env = append(os.Environ(), killEnv+"="+root+"\n"+state)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	killed := false
	for lines.Scan() {
		n, ok := strings.CutPrefix(lines.Text(), "saved ")
		if !ok {
			continue
		}
		if last, err = strconv.Atoi(n); err != nil {
			t.Fatal(err)
		}
		if last >= 20 && !killed {
			killed = true
			time.AfterFunc(time.Duration(time.Now().UnixNano()%10)*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // it says that it was killed
	if !killed {
		t.Fatal("it has not saved")
	}
	return last
}
