package integration

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// runs is how often a test at random instants is repeated: few times, or with JUPYTER_DRIVE_TEST_FULL all.
func runs(few, all int) int {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		return all
	}
	return few
}

// TestPromiseAcknowledgedWritesSurviveAKill kills the daemon at random instants while files are saved through the API and the
// mount. The next start replaces the dead mount, and every file holds its last acknowledged version, or the one under way, in whole.
func TestPromiseAcknowledgedWritesSurviveAKill(t *testing.T) {
	drive := newDrive(t)
	box := newBox(t)
	random := newRandom(t)
	acknowledged := map[string]uint64{}
	for run := range runs(10, 50) {
		d, err := daemon.Start(t.Context(), daemon.Options{Drive: drive, Root: true, Box: box})
		if err != nil {
			t.Fatalf("run %d: the start after a kill: %v", run, err)
		}
		checkVersions(t, "API after a kill", acknowledged, readByAPI(t.Context(), d), readIn(drive))
		checkVersions(t, "mount after a kill", acknowledged, readIn(d.Mount), readIn(d.Mount))
		checkVersions(t, "folder after a kill", acknowledged, readIn(drive), readIn(drive))
		if t.Failed() {
			t.Fatalf("run %d: the daemon wrote:\n%s", run, d.Output())
		}
		w := startWriters(t.Context(), d, uint64(run)*1_000_000, 20+random.Int64N(60))
		w.await(t, d)
		time.Sleep(time.Duration(random.Int64N(int64(5 * time.Millisecond)))) // into a save that is under way
		if err := d.Kill(); err != nil {
			t.Fatal(err)
		}
		acknowledged = w.versions()
		t.Logf("run %d: killed after %d acknowledged saves of %d kinds", run, w.acknowledged.Load(), len(acknowledged))
		w.checkRefused(t)
	}
}

// TestPromiseCtrlCLeavesNothing ends the daemon at random instants, some before it is ready and some while files are saved, every
// other time with a shell of somebody else inside the mount. It ends well, leaves no process, mount or socket, and what was
// acknowledged is in the folder.
func TestPromiseCtrlCLeavesNothing(t *testing.T) {
	random := newRandom(t)
	t.Run("while it starts", func(t *testing.T) {
		for range runs(5, 10) {
			box := newBox(t)
			interruptStart(t, box, newDrive(t), time.Duration(random.Int64N(int64(300*time.Millisecond))))
			checkNothingLeft(t, box)
		}
	})
	t.Run("while it saves", func(t *testing.T) {
		for run := range runs(6, 20) {
			box, drive := newBox(t), newDrive(t)
			d, err := daemon.Start(t.Context(), daemon.Options{Drive: drive, Root: true, Box: box})
			if err != nil {
				t.Fatal(err)
			}
			if run%2 == 1 {
				visitMount(t, d.Mount)
			}
			w := startWriters(t.Context(), d, 0, 1+random.Int64N(60))
			w.await(t, d)
			if err := d.Stop(); err != nil {
				t.Error(err)
			}
			checkVersions(t, "folder after Ctrl-C", w.versions(), readIn(drive), readIn(drive))
			w.checkRefused(t)
			checkNothingLeft(t, box)
		}
	})
}

// interruptStart starts the program and sends it Ctrl-C after some time.
func interruptStart(t *testing.T, box *sandbox.Sandbox, drive string, after time.Duration) {
	t.Helper()
	binary, err := daemon.Build()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(binary, "up", "--no-browser", "--listen", "127.0.0.1:0", "--mount", filepath.Join(box.Home, "mnt"), drive)
	cmd.Env, cmd.Dir = box.Env(), box.Home
	// Where tests run in the background of a shell Ctrl-C is ignored, which programs inherit: it would do nothing in the first moments.
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	time.Sleep(after)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	late := time.AfterFunc(daemon.DefaultStopTimeout, func() {
		t.Errorf("the daemon, interrupted after %v, does not end", after)
		if err := cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			t.Error(err)
		}
	})
	// How it ends depends on how far it had come: at the very beginning the signal itself ends it.
	if err := cmd.Wait(); err != nil {
		t.Logf("interrupted after %v it ended with: %v", after, err)
	}
	late.Stop()
}

// visitMount leaves a process of somebody else's in a folder until the test ends.
func visitMount(t *testing.T, dir string) {
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
		if err := shell.Wait(); err == nil {
			t.Error("the visitor ended by itself")
		}
	})
}

func checkNothingLeft(t *testing.T, box *sandbox.Sandbox) {
	t.Helper()
	leaks, err := box.LeaksAfter(daemon.EndTimeout)
	if err != nil || len(leaks) > 0 {
		t.Errorf("left behind: %q, %v", leaks, err)
	}
	servers, err := filepath.Glob(filepath.Join(box.RuntimeDir(), "jpserver-*"))
	if err != nil || len(servers) > 0 {
		t.Errorf("Jupyter's tools still find %q, %v", servers, err)
	}
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

// newRandom is a source of random instants whose seed is in the test's log.
func newRandom(t *testing.T) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}
