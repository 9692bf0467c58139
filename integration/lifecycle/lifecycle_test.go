package lifecycle

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// patience is how long a test waits for what should come at once.
const patience = time.Minute

// outcome is how a command ended.
type outcome struct {
	code           int
	stdout, stderr string
}

// newBox makes a sandbox that is removed with all in it when the test ends.
func newBox(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	box, err := sandbox.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	return box
}

func newDrive(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "drive")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// command is a run of the program in the box.
func command(t *testing.T, box *sandbox.Sandbox, args ...string) *exec.Cmd {
	t.Helper()
	binary, err := daemon.Build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), binary, args...)
	cmd.Env, cmd.Dir = box.Env(), box.Home
	return cmd
}

// finish runs a command to its end.
func finish(t *testing.T, cmd *exec.Cmd) outcome {
	t.Helper()
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return outcome{cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()}
}

// runs runs a command that must end with the code.
func runs(t *testing.T, box *sandbox.Sandbox, code int, args ...string) outcome {
	t.Helper()
	got := finish(t, command(t, box, args...))
	if got.code != code {
		t.Fatalf("jupyter-drive %s = %d, want %d\n%s%s", strings.Join(args, " "), got.code, code, got.stdout, got.stderr)
	}
	return got
}

// nothingLeft fails the test for processes, mounts, sockets and files that a daemon has left in its runtime folders.
func nothingLeft(t *testing.T, box *sandbox.Sandbox) {
	t.Helper()
	leaks, err := box.LeaksAfter(daemon.EndTimeout)
	if err != nil || len(leaks) > 0 {
		t.Errorf("left behind: %q, %v", leaks, err)
	}
	for _, dir := range []string{box.RuntimeDir(), filepath.Join(box.Home, "run")} {
		err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
			if err == nil && !entry.IsDir() {
				t.Errorf("left behind: file %s", path)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

// TestDetachStatusDown leads a daemon through its commands.
func TestDetachStatusDown(t *testing.T) {
	python := sandbox.Python(t)
	box, drive := newBox(t), newDrive(t)
	mount := filepath.Join(box.Home, "mnt")
	up := []string{"up", "--no-browser", "--listen", "127.0.0.1:0", "--mount", mount, drive}
	runs(t, box, 8, "status")
	runs(t, box, 8, "down")
	first := runs(t, box, 0, append(up, "--detach")...)
	url, token, ok := strings.Cut(strings.TrimSpace(first.stdout), "lab?token=")
	if !ok || strings.Contains(token, "\n") {
		t.Fatalf("up --detach prints %q, want the link alone", first.stdout)
	}
	if me, err := (client.Client{URL: url, Token: token}).Do(t.Context(), http.MethodGet, "api/me", nil); err != nil || me.Status != http.StatusOK {
		t.Errorf("with the link's token /api/me = %d, %v", me.Status, err)
	}
	for _, want := range []string{mount, drive, url, "jupyter-drive down", "daemon.log"} {
		if !strings.Contains(first.stderr, want) {
			t.Errorf("up --detach says %q, want %s in it", first.stderr, want)
		}
	}
	if log, err := os.ReadFile(filepath.Join(box.Home, "state", "jupyter-drive", "daemon.log")); err != nil || strings.Contains(string(log), token) {
		t.Errorf("the log is %q, %v, want one without the token", log, err)
	}

	var status struct {
		PID      int    `json:"pid"`
		URL      string `json:"url"`
		Mount    string `json:"mount"`
		Problems []any  `json:"problems"`
		Drives   []struct {
			Name, State string
		} `json:"drives"`
	}
	if err := json.Unmarshal([]byte(runs(t, box, 0, "status", "--json").stdout), &status); err != nil {
		t.Fatal(err)
	}
	if status.PID == 0 || status.Mount != mount || len(status.Problems) != 0 || len(status.Drives) != 1 || status.Drives[0].State != "ok" {
		t.Errorf("status --json = %+v", status)
	}
	if second := runs(t, box, 9, up...); !strings.Contains(second.stderr, status.URL) || !strings.Contains(second.stderr, fmt.Sprint(status.PID)) {
		t.Errorf("a second up says %q, want where the first is: %s, pid %d", second.stderr, status.URL, status.PID)
	}
	list := exec.CommandContext(t.Context(), python, "-m", "jupyter", "server", "list", "--json")
	list.Env = append(box.Env(), "PATH="+filepath.Dir(python)+":"+os.Getenv("PATH"))
	if got := finish(t, list); !strings.Contains(got.stdout, fmt.Sprintf(`"pid": %d`, status.PID)) {
		t.Errorf("jupyter server list prints %q %q, want pid %d", got.stdout, got.stderr, status.PID)
	}
	runs(t, box, 0, "down")
	nothingLeft(t, box)
	runs(t, box, 8, "status")
	if failed := runs(t, box, 5, append(up, "--detach", "--root", "nowhere")...); !strings.Contains(failed.stderr, "nowhere") || failed.stdout != "" {
		t.Errorf("up --detach of an unknown root says %q %q, want why not", failed.stdout, failed.stderr)
	}
	nothingLeft(t, box)
}

// TestStaleMount kills the daemon; the command takes away what it left, and does not mind if that is nothing.
func TestStaleMount(t *testing.T) {
	box := newBox(t)
	d, err := daemon.Start(t.Context(), daemon.Options{Drive: newDrive(t), Root: true, Box: box})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Kill(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		runs(t, box, 0, "umount", "--stale", d.Mount)
		if names, err := os.ReadDir(d.Mount); err != nil || len(names) != 0 {
			t.Errorf("after umount --stale the mount point holds %v, %v, want an empty folder", names, err)
		}
	}
}

// TestMountPointCannotBeUsed starts where nothing can be mounted.
func TestMountPointCannotBeUsed(t *testing.T) {
	t.Run("not empty", func(t *testing.T) {
		box := newBox(t)
		mount := filepath.Join(box.Home, "mnt")
		if err := os.MkdirAll(filepath.Join(mount, "precious-folder"), 0o755); err != nil {
			t.Fatal(err)
		}
		got := runs(t, box, 4, "up", "--no-browser", "--listen", "127.0.0.1:0", "--mount", mount, newDrive(t))
		if !strings.Contains(got.stderr, "precious-folder") {
			t.Errorf("it says %q, want what is in the way", got.stderr)
		}
		nothingLeft(t, box)
	})
	t.Run("no FUSE device", func(t *testing.T) {
		box := newBox(t)
		// A mount namespace of its own with a /dev that has no fuse in it.
		script := `mount -t tmpfs none /dev && mknod -m 666 /dev/null c 1 3 && mknod -m 444 /dev/urandom c 1 9 && exec "$@"`
		if out, err := exec.CommandContext(t.Context(), "unshare", "-m", "sh", "-c", script, "sh", "true").CombinedOutput(); err != nil {
			t.Skipf("no mount namespace can be made here: %v %s", err, out)
		}
		inner := command(t, box, "up", "--no-browser", "--listen", "127.0.0.1:0", "--mount", filepath.Join(box.Home, "mnt"), newDrive(t))
		cmd := exec.CommandContext(t.Context(), "unshare", append([]string{"-m", "sh", "-c", script, "sh"}, inner.Args...)...)
		cmd.Env, cmd.Dir = inner.Env, inner.Dir
		if got := finish(t, cmd); got.code != 4 || !strings.Contains(got.stderr, "/dev/fuse") {
			t.Errorf("up without /dev/fuse = %d %q, want 4 and a word on /dev/fuse", got.code, got.stderr)
		}
		nothingLeft(t, box)
	})
}

// TestServeTellsSystemd runs the service as systemd does.
func TestServeTellsSystemd(t *testing.T) {
	box := newBox(t)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "n"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	cmd := command(t, box, "serve", "--listen", "127.0.0.1:0", "--no-mount", newDrive(t))
	cmd.Env = append(cmd.Env, "NOTIFY_SOCKET="+socket.LocalAddr().String())
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"READY=1", "STOPPING=1"} {
		if err := socket.SetReadDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		text := make([]byte, 100)
		n, err := socket.Read(text)
		if err != nil || string(text[:n]) != want {
			t.Fatalf("the service says %q, %v, want %q", text[:n], err, want)
		}
		if want == "READY=1" {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("serve, terminated, ends with %v\n%s", err, stderr.String())
	}
	nothingLeft(t, box)
}

// TestDriveComesWhileRunning adds a drive to a running daemon and takes it away again.
func TestDriveComesWhileRunning(t *testing.T) {
	d := daemon.Run(t, daemon.Options{})
	c := client.Client{URL: d.URL, Token: d.Token}
	folder := newDrive(t)
	if err := os.WriteFile(filepath.Join(folder, "a.txt"), []byte("added"), 0o644); err != nil {
		t.Fatal(err)
	}
	runs(t, d.Box, 0, "drive", "add", "more", folder)
	if got, err := os.ReadFile(filepath.Join(d.Mount, "more", "a.txt")); err != nil || string(got) != "added" {
		t.Errorf("the mount reads %q, %v from the new drive", got, err)
	}
	if got, err := c.Do(t.Context(), http.MethodGet, "files/more/a.txt", nil); err != nil || string(got.Body) != "added" {
		t.Errorf("the API reads %d %.100q, %v from the new drive", got.Status, got.Body, err)
	}
	runs(t, d.Box, 0, "drive", "remove", "more")
	if _, err := os.Stat(filepath.Join(d.Mount, "more")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after remove the mount has the drive: %v", err)
	}
	if got, err := c.Do(t.Context(), http.MethodGet, "files/more/a.txt", nil); err != nil || got.Status != http.StatusNotFound {
		t.Errorf("after remove the API answers %d, %v, want 404", got.Status, err)
	}
	if got, err := os.ReadFile(filepath.Join(folder, "a.txt")); err != nil || string(got) != "added" {
		t.Errorf("after remove the folder's file is %q, %v", got, err)
	}
}

// TestCtrlCEndsKernelsAndTerminals interrupts the daemon at random instants after kernels and terminals were asked for, every other
// time with somebody else's program inside the mount.
func TestCtrlCEndsKernelsAndTerminals(t *testing.T) {
	python := sandbox.Python(t)
	times := 4
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		times = 20
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	for n := range times {
		after := time.Duration(random.Int64N(int64(1500 * time.Millisecond)))
		t.Run(fmt.Sprintf("%d after %v", n, after), func(t *testing.T) {
			box := newBox(t)
			d, err := daemon.Start(t.Context(), daemon.Options{Drive: newDrive(t), Root: true, Python: python, Box: box})
			if err != nil {
				t.Fatal(err)
			}
			if n%2 == 1 {
				visit(t, d.Mount)
			}
			c := client.Client{URL: d.URL, Token: d.Token}
			asked := make(chan struct{})
			go func() {
				defer close(asked)
				for i := range 2 {
					// They succeed or not, as far as they come until the daemon ends; what counts is what is left.
					_, _ = c.Do(t.Context(), http.MethodPost, "api/terminals", nil)
					_, _ = c.StartSession(t.Context(), fmt.Sprintf("%d.ipynb", i), "python3")
				}
			}()
			time.Sleep(after) // the random instant
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
			<-asked
			nothingLeft(t, box)
		})
	}
}

// visit leaves a program of somebody else's in a folder until the test ends.
func visit(t *testing.T, dir string) {
	t.Helper()
	shell := exec.Command("sleep", "1000")
	shell.Dir = dir
	if err := shell.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := shell.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = shell.Wait() // it was killed
	})
}

// TestNoDescriptorIsLeaked makes and ends terminals and reads files; the daemon's descriptors go back to what they were.
func TestNoDescriptorIsLeaked(t *testing.T) {
	d := daemon.Run(t, daemon.Options{Drive: newDrive(t), Root: true})
	c := client.Client{URL: d.URL, Token: d.Token, HTTP: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	work := func() {
		var terminal struct {
			Name string `json:"name"`
		}
		answer, err := c.Do(t.Context(), http.MethodPost, "api/terminals", nil)
		if err == nil {
			err = answer.JSON(&terminal)
		}
		if err != nil {
			t.Fatal(err)
		}
		if answer, err := c.Do(t.Context(), http.MethodDelete, "api/terminals/"+terminal.Name, nil); err != nil || answer.Status != http.StatusNoContent {
			t.Fatalf("DELETE terminal = %d, %v, want 204", answer.Status, err)
		}
		if _, err := c.Save(t.Context(), "a.txt", "text"); err != nil {
			t.Fatal(err)
		}
		if _, err := os.ReadFile(filepath.Join(d.Mount, "a.txt")); err != nil {
			t.Fatal(err)
		}
	}
	work() // opens what stays open
	before := descriptors(t, d.PID)
	for range 10 {
		work()
	}
	for deadline := time.Now().Add(patience); descriptors(t, d.PID) > before+3; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("after ten rounds of work %d descriptors are open, before %d", descriptors(t, d.PID), before)
		}
	}
}

func descriptors(t *testing.T, pid int) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}
