package fusemount

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/access"
	"github.com/jupyter-drive/jupyter-drive/fs/tree"
)

func init() {
	children["serve"] = serveChild
	children["serve stuck"] = serveStuck
}

// serveStuck is a daemon whose echo thread is in a system call that is never answered.
func serveStuck() int {
	ctx := context.Background()
	d := mem.New(mem.Options{Intercept: func(ctx context.Context, op, _ string) error {
		if op == "attr" && fs.CauseOf(ctx).Origin == "" {
			fmt.Println("ready")
			select {}
		}
		return nil
	}})
	t, err := tree.New(tree.Options{Root: "home"})
	if err != nil {
		return 1
	}
	owner := fs.Principal{ID: "local:daemon", Owner: true}
	v := access.New(t, access.Everyone{}, owner, fs.OriginMount)
	if err := t.Add("home", d); err != nil {
		return 1
	}
	_, err = Mount(ctx, Options{Mountpoint: childDir(), View: func(Caller) (*access.View, error) { return v, nil }, Observe: t.Observe})
	if err != nil {
		return 1
	}
	api := access.New(t, access.Everyone{}, owner, fs.OriginAPI)
	if _, err := api.Replace(ctx, "f", strings.NewReader("text"), fs.ReplaceOptions{}); err != nil {
		return 1
	}
	<-untilEOF()
	return 0
}

// serveChild is a daemon: it mounts an empty mem drive at childDir until standard input ends.
func serveChild() int {
	if err := serveUntilEOF(childDir()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func serveUntilEOF(dir string) error {
	ctx := context.Background()
	t, err := tree.New(tree.Options{Root: "home", OwnerUID: uint32(os.Geteuid())})
	if err != nil {
		return err
	}
	if err := t.Add("home", mem.New(mem.Options{})); err != nil {
		return err
	}
	v := access.New(t, access.Everyone{}, fs.Principal{ID: "local:daemon", Owner: true}, fs.OriginMount)
	m, err := Mount(ctx, Options{
		Mountpoint: dir, View: func(Caller) (*access.View, error) { return v, nil }, Observe: t.Observe,
	})
	if err != nil {
		return err
	}
	fmt.Println("ready")
	<-untilEOF()
	return errors.Join(m.Close(ctx), t.Close(ctx))
}

// daemon starts a child and returns when it says that it is ready.
func daemon(t *testing.T, as, dir string, uid uint32) *child {
	t.Helper()
	c, out := prepareChild(t, as, dir, uid)
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("the daemon printed %q, %v, want ready", line, err)
	}
	return c
}

func TestDeadMountIsReplaced(t *testing.T) {
	needFUSE(t)
	dir := filepath.Join(openTempDir(t), "mnt")
	t.Cleanup(func() {
		if err := Detach(context.Background(), dir); err != nil {
			t.Error(err)
		}
	})
	c := daemon(t, "serve", dir, uint32(os.Geteuid()))
	wantState(t, dir, Live)
	if err := Detach(t.Context(), dir); fs.KindOf(err) != fs.Busy {
		t.Errorf("Detach of a mount that is alive = %v, want Busy", err)
	}
	held, err := os.Create(filepath.Join(dir, "open"))
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := c.cmd.Wait(); err == nil {
		t.Error("the killed daemon ended well")
	}
	if _, err := os.ReadDir(dir); !errors.Is(err, unix.ENOTCONN) {
		t.Errorf("reading the dead mount = %v, want ENOTCONN", err)
	}
	wantState(t, dir, Dead)
	f := mount(t, setup{opts: Options{Mountpoint: dir}})
	writeFile(t, f.path("a"), "alive")
	if _, err := held.Write([]byte("x")); err == nil {
		t.Error("a file opened in the dead mount could be written")
	}
}

// TestLateGuard ends the connection of a daemon that was killed, when the next one has mounted at the same place.
func TestLateGuard(t *testing.T) {
	needRoot(t)
	needFUSE(t)
	dir := filepath.Join(openTempDir(t), "mnt")
	kill := func() *Connection {
		c := daemon(t, "serve", dir, uint32(os.Geteuid()))
		conn, err := OpenConnection(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() }) // nothing was written
		if err := c.cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = c.cmd.Wait() // it was killed
		return conn
	}
	if err := kill().Abort(t.Context()); err != nil {
		t.Error(err)
	}
	wantState(t, dir, Free)
	late := kill()
	f := mount(t, setup{opts: Options{Mountpoint: dir}})
	if err := late.Abort(t.Context()); err != nil {
		t.Error(err)
	}
	wantState(t, dir, Live)
	writeFile(t, f.path("a"), "alive")
}

// TestKilledWhileEchoing kills a daemon whose own thread waits for an answer in the mount: the kernel must let go of it all the same.
func TestKilledWhileEchoing(t *testing.T) {
	needFUSE(t)
	dir := filepath.Join(openTempDir(t), "mnt")
	c := daemon(t, "serve stuck", dir, uint32(os.Geteuid()))
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.cmd.Wait() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("the killed daemon ended well")
		}
	case <-time.After(patience):
		if at, err := mountAt(dir); err == nil && at != nil {
			t.Logf("aborted: %v", abort(at.device))
		}
		t.Error("the killed daemon did not end")
	}
	wantState(t, dir, Dead)
	if err := Detach(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

func wantState(t *testing.T, dir string, want State) {
	t.Helper()
	if got, err := Check(dir); got != want || err != nil {
		t.Errorf("Check(%q) = %v, %v, want %v", dir, got, err, want)
	}
}

func TestForeignMountIsLeftAlone(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("cannot mount here: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	})
	wantState(t, dir, Foreign)
	if err := Detach(t.Context(), dir); fs.KindOf(err) != fs.Busy {
		t.Errorf("Detach of a foreign mount = %v, want Busy", err)
	}
	if _, err := Mount(t.Context(), Options{Mountpoint: dir, View: nobodysView}); fs.KindOf(err) != fs.Busy {
		t.Errorf("Mount over a foreign mount = %v, want Busy", err)
	}
	wantState(t, dir, Foreign)
}

func nobodysView(Caller) (*access.View, error) {
	return nil, &fs.Error{Op: "view", Kind: fs.Unauthenticated}
}

// TestCloseWithOthersInside closes while a shell stands in the mount and a file is open: nothing of it is left.
func TestCloseWithOthersInside(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", `cd "$1" && exec 3>open && printf kept >&3 && echo in && read line`, "sh", f.dir)
		stdin, err := shell.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := shell.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := shell.Start(); err != nil {
			t.Fatal(err)
		}
		if line, err := bufio.NewReader(out).ReadString('\n'); line != "in\n" {
			t.Fatalf("the shell printed %q, %v", line, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if err := f.Close(ctx); err != nil {
			t.Errorf("Close() with a shell inside = %v", err)
		}
		wantState(t, f.dir, Free)
		select {
		case <-f.Done():
		default:
			if os.Geteuid() == 0 {
				t.Error("after Close the kernel is still there")
			}
		}
		w := &world{fixture: f, t: t}
		if got := w.apiText("open"); got != "kept" {
			t.Errorf("the file that was open has %q, want what was written", got)
		}
		if err := errors.Join(stdin.Close(), shell.Wait()); err != nil {
			t.Logf("the shell ended with %v", err)
		}
	})
}

func TestCloseLeavesNothing(t *testing.T) {
	mountOnce := func() {
		t.Run("use", func(t *testing.T) {
			f := mount(t, setup{})
			f.replace(t, "a", "1")
			readFile(t, f.path("a"))
			f.replace(t, "a", "2")
			writeFile(t, f.path("b"), "3")
		})
	}
	mountOnce()
	goroutines, fds := runtime.NumGoroutine(), openFds(t)
	for range 5 {
		mountOnce()
	}
	// Goroutines that have been told to end may still be on their way out.
	for late := time.Now().Add(patience); runtime.NumGoroutine() > goroutines && time.Now().Before(late); {
		runtime.Gosched()
	}
	if got := runtime.NumGoroutine(); got > goroutines {
		buf := make([]byte, 1<<20)
		t.Errorf("%d goroutines after Close, want %d:\n%s", got, goroutines, buf[:runtime.Stack(buf, true)])
	}
	if got := openFds(t); len(got) > len(fds) {
		t.Errorf("descriptors after Close: %v, want %v", got, fds)
	}
}

func openFds(t *testing.T) []string {
	t.Helper()
	list, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range list {
		to, err := os.Readlink("/proc/self/fd/" + e.Name())
		if err == nil && !strings.Contains(to, "/proc/") {
			names = append(names, to)
		}
	}
	return names
}

func TestUnmountedBySomebodyElse(t *testing.T) {
	needRoot(t)
	f := mount(t, setup{})
	if err := unix.Unmount(f.dir, 0); err != nil {
		t.Fatal(err)
	}
	select {
	case <-f.Done():
	case <-time.After(patience):
		t.Fatal("Done was not closed")
	}
	if err := f.Close(t.Context()); err != nil {
		t.Errorf("Close() after that = %v", err)
	}
}

// TestOrdinaryDaemon runs a daemon as an ordinary user, which mounts through fusermount3.
func TestOrdinaryDaemon(t *testing.T) {
	needRoot(t)
	needFUSE(t)
	dir := filepath.Join(openTempDir(t), "mnt")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Chown(dir, nobody, nobody)); err != nil {
		t.Fatal(err)
	}
	if reason := userCannotMount(); reason != "" {
		t.Skip(reason)
	}
	c := daemon(t, "serve", dir, nobody)
	wantState(t, dir, Live)
	shell := exec.CommandContext(t.Context(), "/bin/sh", "-c", `echo hi > "$1/a" && cat "$1/a"`, "sh", dir)
	shell.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	if out, err := shell.CombinedOutput(); string(out) != "hi\n" {
		t.Errorf("the user's shell printed %q, %v, want hi", out, err)
	}
	c.stop()
	wantState(t, dir, Free)
}

// userCannotMount returns why an ordinary user cannot mount here, "" if one can.
func userCannotMount() string {
	st, err := os.Stat("/dev/fuse")
	if err != nil || st.Mode().Perm()&0o006 != 0o006 {
		return "an ordinary user may not open /dev/fuse here"
	}
	if _, err := thisHost().fusermount(); err != nil {
		return err.Error()
	}
	return ""
}

// TestHandedOverDescriptor serves a mount that somebody else has made, by its descriptor.
func TestHandedOverDescriptor(t *testing.T) {
	needRoot(t)
	needFUSE(t)
	dir := openTempDir(t)
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	opts := fmt.Sprintf("fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", fd)
	if err := unix.Mount("handed", dir, FSType, unix.MS_NOSUID|unix.MS_NODEV, opts); err != nil {
		t.Fatal(err)
	}
	f := mount(t, setup{opts: Options{Mountpoint: handedOver + itoa(fd)}})
	// From another process: go-fuse cannot keep this one's poller away from a mount whose path it does not know.
	if out, err := exec.CommandContext(t.Context(), "/bin/sh", "-c", `printf 1 > "$1/a"`, "sh", dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	w := &world{fixture: f, t: t}
	if got := w.apiText("a"); got != "1" {
		t.Errorf("the API reads %q, want 1", got)
	}
	if err := unix.Unmount(dir, 0); err != nil {
		t.Fatal(err)
	}
}
