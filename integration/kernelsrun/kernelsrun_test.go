package kernelsrun

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/reference"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
	"github.com/jupyter-drive/jupyter-drive/kernels/kerneltest"
)

// startLimit is how long a start may take until the kernel has answered: the promise, or when only some are started, on a machine that
// may be doing other things, long enough to tell slow from stuck.
var startLimit = time.Duration(count(180, 30)) * time.Second

// warmUp is how many round trips are not timed.
const warmUp = 10

// collecting makes the daemon collect garbage all the time.
const collecting = "JUPYTER_DRIVE_DEBUG_GC=1"

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == kerneltest.Argument {
		os.Exit(kerneltest.Main(os.Args[2:]))
	}
	os.Exit(m.Run())
}

// count is how often something is repeated: few times, or with JUPYTER_DRIVE_TEST_FULL all.
func count(few, all int) int {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		return all
	}
	return few
}

// run starts a daemon with further variables in its environment, with a fake kernel named "fake", on a drive with a folder "work".
func run(t *testing.T, python string, env ...string) (*daemon.Daemon, client.Client) {
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
	addFake(t, box.DataDir())
	drive := filepath.Join(t.TempDir(), "drive")
	if err := os.MkdirAll(filepath.Join(drive, "work"), 0o755); err != nil {
		t.Fatal(err)
	}
	d := daemon.Run(t, daemon.Options{Drive: drive, Root: true, Python: python, Box: box, Env: env})
	return d, client.Client{URL: d.URL, Token: d.Token}
}

// addFake makes a kernelspec of this test binary.
func addFake(t *testing.T, dataDir string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	spec, err := json.Marshal(map[string]any{"argv": kerneltest.Argv(exe, kerneltest.Script{}), "display_name": "Fake", "language": "fake"})
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(dataDir, "kernels", "fake")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "kernel.json"), spec, 0o644); err != nil {
		t.Fatal(err)
	}
}

// start starts a kernel for a notebook in the folder "work" and opens its channels.
func start(ctx context.Context, c client.Client, spec string, n int) (string, *client.Kernel, error) {
	id, err := c.StartSession(ctx, fmt.Sprintf("work/%s-%d.ipynb", spec, n), spec)
	if err != nil {
		return "", nil, err
	}
	kernel, err := c.Dial(ctx, id)
	return id, kernel, err
}

// TestKernelsStartInTheMount starts kernels one after the other, each in the notebook's folder of the mount.
func TestKernelsStartInTheMount(t *testing.T) {
	python := sandbox.Python(t)
	d, c := run(t, python, collecting)
	tests := []struct {
		spec, code string
		starts     int
	}{
		{"fake", "cwd", count(50, 200)},
		{"python3", "import os; print(os.getcwd())", count(5, 20)},
	}
	for _, tt := range tests {
		t.Run(tt.spec, func(t *testing.T) {
			want := filepath.Join(d.Mount, "work")
			var took []time.Duration
			for n := range tt.starts {
				begin := time.Now()
				ctx, cancel := context.WithTimeout(t.Context(), startLimit)
				got, err := startOnce(ctx, c, tt.spec, tt.code, n)
				cancel()
				took = append(took, time.Since(begin))
				if err != nil {
					t.Fatalf("start %d after %v: %v", n, took[n], err)
				}
				if fields := strings.Fields(got); len(fields) == 0 || fields[0] != want {
					t.Fatalf("start %d: the kernel is in %q, want %q", n, got, want)
				}
			}
			slices.Sort(took)
			t.Logf("%d starts: median %v, slowest %v", len(took), took[len(took)/2], took[len(took)-1])
		})
	}
}

// startOnce starts a kernel, executes the code and ends the kernel.
func startOnce(ctx context.Context, c client.Client, spec, code string, n int) (stdout string, err error) {
	id, kernel, err := start(ctx, c, spec, n)
	if err != nil {
		return "", err
	}
	defer kernel.Close()
	result, err := kernel.Request(ctx, "execute_request", client.Execute(code))
	if err != nil {
		return "", err
	}
	return result.Stdout, c.StopKernel(ctx, id)
}

// TestHugeFrameDoesNotKillTheDaemon lets a kernel announce a frame of 2^62 bytes.
func TestHugeFrameDoesNotKillTheDaemon(t *testing.T) {
	d, c := run(t, "", collecting)
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	_, kernel, err := start(ctx, c, "fake", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	if _, err := kernel.Send("execute_request", client.Execute("huge-frame")); err != nil {
		t.Fatal(err)
	}
	// A second kernel works, in the same daemon.
	if got, err := startOnce(ctx, c, "fake", "print alive", 1); err != nil || got != "alive\n" {
		t.Fatalf("another kernel after the frame printed %q, %v, want alive", got, err)
	}
	if s, err := d.Status(ctx); err != nil || s.PID != d.PID {
		t.Fatalf("Status() = %+v, %v, want pid %d", s, err, d.PID)
	}
}

// TestRoundTrip prints how long messages take beside jupyter_server, with the same kernel in one run. Nothing is asserted of the times.
func TestRoundTrip(t *testing.T) {
	python := sandbox.Python(t)
	_, ours := run(t, python)
	s := reference.Run(t, reference.Options{Python: python, Dir: t.TempDir()})
	theirs := client.Client{URL: s.URL, Token: s.Token}
	for _, request := range []struct {
		name    string
		content any
	}{{"kernel_info_request", struct{}{}}, {"execute_request", client.Execute("1")}} {
		a := measure(t, ours, "work/t.ipynb", request.name, request.content)
		b := measure(t, theirs, "t.ipynb", request.name, request.content)
		t.Logf("%s: ours / jupyter_server: p50 %.2f, p99 %.2f (ours %v, %v)", request.name,
			ratio(a, b, 50), ratio(a, b, 99), a[len(a)/2], a[len(a)*99/100])
	}
}

// measure returns the sorted times of round trips with a new ipykernel.
func measure(t *testing.T, c client.Client, path, msgType string, content any) []time.Duration {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	id, err := c.StartSession(ctx, path, "python3")
	if err != nil {
		t.Fatal(err)
	}
	kernel, err := c.Dial(ctx, id)
	if err != nil {
		t.Fatal(err)
	}
	defer kernel.Close()
	var times []time.Duration
	for range warmUp + count(60, 1000) {
		begin := time.Now()
		if _, err := kernel.Request(ctx, msgType, content); err != nil {
			t.Fatal(err)
		}
		times = append(times, time.Since(begin))
	}
	if err := c.StopKernel(ctx, id); err != nil {
		t.Fatal(err)
	}
	times = times[warmUp:]
	slices.Sort(times)
	return times
}

func ratio(a, b []time.Duration, percent int) float64 {
	return float64(a[len(a)*percent/100]) / float64(b[len(b)*percent/100])
}
