package local

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
	"github.com/jupyter-drive/jupyter-drive/kernels/kerneltest"
	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "kernel-shim":
			os.Exit(shim.Main(os.Stdin, os.Stdout))
		case kerneltest.Argument:
			os.Exit(kerneltest.Main(os.Args[2:]))
		}
	}
	os.Exit(m.Run())
}

// newProvider returns a Provider in a directory whose path is short enough for sockets.
func newProvider(t *testing.T, change func(*Options)) *Provider {
	t.Helper()
	dir, err := os.MkdirTemp("", "jd") //nolint:usetesting // the path of t.TempDir is too long for sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // in the system's temporary directory, emptied anyway
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{
		Shim: []string{exe, "kernel-shim"}, RuntimeDir: filepath.Join(dir, "run"),
		Env: []string{"PATH=/usr/bin:/bin", "HOME=" + dir},
	}
	if change != nil {
		change(&opts)
	}
	return New(opts)
}

func fake(t *testing.T, script kerneltest.Script) kernels.LaunchRequest {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return kernels.LaunchRequest{
		KernelID: "1-2-3-4-5", Dir: "/",
		Spec: kernelspec.Spec{Name: "fake", Argv: kerneltest.Argv(exe, script), Env: map[string]string{}},
	}
}

// launch starts a kernel that is cleaned up at the end of the test.
func launch(t *testing.T, p *Provider, req kernels.LaunchRequest) *kernel {
	t.Helper()
	provisioned, err := p.Launch(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	k, ok := provisioned.(*kernel)
	if !ok {
		t.Fatalf("Launch = %T", provisioned)
	}
	t.Cleanup(func() {
		if err := k.Cleanup(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return k
}

func TestFilesOfAKernel(t *testing.T) {
	p := newProvider(t, nil)
	if err := os.MkdirAll(p.opts.RuntimeDir, 0o755); err != nil {
		t.Fatal(err)
	}
	stale := filepath.Join(p.opts.RuntimeDir, "kernel-stale.json")
	if err := os.WriteFile(stale, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	k := launch(t, p, fake(t, kerneltest.Script{}))
	if _, err := os.Stat(stale); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file of an earlier daemon is still there (%v)", err)
	}
	info, err := os.Stat(k.file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("connection file: %v, %v, want mode 0600", info, err)
	}
	raw, err := os.ReadFile(k.file)
	if err != nil {
		t.Fatal(err)
	}
	c, err := wire.ParseConnection(raw)
	if err != nil || c != k.connection || len(c.Key) != 64 || c.KernelName != "fake" || c.Scheme != "hmac-sha256" {
		t.Errorf("connection = %+v, %v", c, err)
	}
	if err := k.Cleanup(t.Context()); err != nil {
		t.Fatal(err)
	}
	left, err := os.ReadDir(p.opts.RuntimeDir)
	if err != nil || len(left) != 0 {
		t.Errorf("after Cleanup %v, %v is left", left, err)
	}
	if len(p.ports.taken) != 0 {
		t.Errorf("ports %v are still reserved", p.ports.taken)
	}
}

func TestWait(t *testing.T) {
	p := newProvider(t, nil)
	for name, tt := range map[string]struct {
		script kerneltest.Script
		end    func(*kernel) error
		want   string
		retry  bool
	}{
		"exit":       {kerneltest.Script{ExitAtOnce: 4}, nil, "exit status 4", false},
		"port taken": {kerneltest.Script{ExitAtOnce: 1, Complaint: "zmq.error.ZMQError: Address already in use"}, nil, "exit status 1", true},
		"terminated": {kerneltest.Script{LateBind: time.Hour}, (*kernel).Terminate, "killed by signal 15 (terminated)", false},
		"killed":     {kerneltest.Script{LateBind: time.Hour, IgnoreShutdown: true}, (*kernel).Kill, "killed by signal 9 (killed)", false},
	} {
		t.Run(name, func(t *testing.T) {
			k := launch(t, p, fake(t, tt.script))
			if tt.end != nil {
				if err := tt.end(k); err != nil {
					t.Fatal(err)
				}
			}
			got, err := k.Wait(t.Context())
			if err != nil || got.String() != tt.want || got.Retry != tt.retry {
				t.Errorf("Wait = %v (retry %v), %v, want %s", got, got.Retry, err, tt.want)
			}
			if err := k.Terminate(); err != nil {
				t.Errorf("Terminate after the end = %v", err)
			}
		})
	}
}

func TestLaunchErrorLeavesNothing(t *testing.T) {
	p := newProvider(t, nil)
	req := fake(t, kerneltest.Script{})
	req.Spec.Argv = []string{"/no/such/program"}
	if k, err := p.Launch(t.Context(), req); err == nil {
		t.Fatalf("Launch = %v, want an error", k)
	}
	left, err := os.ReadDir(p.opts.RuntimeDir)
	if err != nil || len(left) != 0 || len(p.ports.taken) != 0 {
		t.Errorf("after a failed launch %v, %v and ports %v are left", left, err, p.ports.taken)
	}
}

func TestEnviron(t *testing.T) {
	p := newProvider(t, func(o *Options) { o.Env = []string{"PATH=/bin", "HOME=/h", "A=options", "B=options"} })
	req := kernels.LaunchRequest{
		Spec:        kernelspec.Spec{Env: map[string]string{"A": "spec", "C": "${HOME}/c", "JPY_PARENT_PID": "1"}},
		Env:         map[string]string{"B": "request"},
		SessionName: "/drive/n.ipynb",
	}
	want := []string{
		"A=spec", "B=request", "C=/h/c", "HOME=/h", "JPY_PARENT_PID={shim_pid}", "JPY_SESSION_NAME=/drive/n.ipynb",
		"PATH=/bin", "PYDEVD_DISABLE_FILE_VALIDATION=1",
	}
	if got := p.environ(req); !slices.Equal(got, want) {
		t.Errorf("environ = %q, want %q", got, want)
	}
}

func TestTransport(t *testing.T) {
	python := kernelspec.Spec{Name: "python3", Argv: []string{"python", "-Xfrozen_modules=off", "-m", "ipykernel_launcher", "-f", "{connection_file}"}}
	other := kernelspec.Spec{Name: "r", Argv: []string{"R", "-f", "{connection_file}"}}
	tests := []struct {
		name   string
		spec   kernelspec.Spec
		change func(*Options)
		want   string
	}{
		{"python", python, nil, "ipc"},
		{"python over tcp", python, func(o *Options) { o.TCP = true }, "tcp"},
		{"python in a long directory", python, func(o *Options) { o.RuntimeDir += strings.Repeat("/x", 60) }, "tcp"},
		{"another language", other, nil, "tcp"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := newProvider(t, tt.change)
			if err := p.prepare(); err != nil {
				t.Fatal(err)
			}
			k, err := p.provision(kernels.LaunchRequest{KernelID: "1", Spec: tt.spec})
			if err != nil || k.connection.Transport != tt.want {
				t.Errorf("provision = %+v, %v, want %s", k.connection, err, tt.want)
			}
		})
	}
}

func TestPortsAreGivenOnce(t *testing.T) {
	var r reservations
	seen := map[int]bool{}
	for range 100 {
		ports, err := r.reserve(5)
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range ports {
			if seen[p] {
				t.Fatalf("port %d was given twice", p)
			}
			seen[p] = true
		}
	}
}

// python returns an interpreter with ipykernel: the one that JUPYTER_DRIVE_TEST_PYTHON names, or the one in the
// virtual environment that the Makefile makes.
func python(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("JUPYTER_DRIVE_TEST_PYTHON"); path != "" {
		return path
	}
	path, err := filepath.Abs("../../../.cache/venv/bin/python")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Skip("no interpreter with ipykernel: set JUPYTER_DRIVE_TEST_PYTHON or run make for .cache/venv")
	}
	return path
}

// TestPythonPublishesWithoutLimit stops reading while a kernel publishes: whatever it sent must still come.
func TestPythonPublishesWithoutLimit(t *testing.T) {
	const n = 20_000
	for name, tcp := range map[string]bool{"ipc": false, "tcp": true} {
		t.Run(name, func(t *testing.T) {
			p := newProvider(t, func(o *Options) { o.TCP = tcp })
			k := launch(t, p, kernels.LaunchRequest{
				KernelID: "1-2-3-4-5", Dir: "/",
				Spec: kernelspec.Spec{Name: "python3", Argv: []string{python(t), "-m", "ipykernel_launcher", "-f", "{connection_file}"}},
			})
			got := published(t, k, `
k = get_ipython().kernel
for i in range(`+strconv.Itoa(n)+`):
    k.session.send(k.iopub_socket, "display_data", {"data": {"text/plain": str(i)}, "metadata": {}}, parent=k.get_parent())
`)
			if got != n {
				t.Errorf("%d of %d messages arrived", got, n)
			}
		})
	}
}

// published executes code, reads nothing until it has finished, and counts the display_data that come then.
func published(t *testing.T, k *kernel, code string) (n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	conns := map[wire.Channel]kernels.Conn{}
	for _, channel := range []wire.Channel{wire.IOPub, wire.Shell} {
		c, err := k.Connect(ctx, channel, "test")
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		context.AfterFunc(ctx, func() { _ = c.Close() }) // a Recv that hangs fails the test instead
		conns[channel] = c
	}
	session := wire.NewSession(nil, "")
	ask := func(msgType string, content any) {
		t.Helper()
		m, err := session.Request(wire.Shell, msgType, content)
		if err == nil {
			err = conns[wire.Shell].Send(m)
		}
		if err == nil {
			_, err = conns[wire.Shell].Recv()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	ask("kernel_info_request", struct{}{})
	ask("execute_request", map[string]any{"code": code, "silent": false, "store_history": false, "user_expressions": struct{}{}})
	for {
		m, err := conns[wire.IOPub].Recv()
		if err != nil {
			t.Fatal(err)
		}
		header, err := m.DecodeHeader()
		if err != nil {
			t.Fatal(err)
		}
		parent, err := m.DecodeParent()
		if err != nil {
			t.Fatal(err)
		}
		var content struct {
			State string `json:"execution_state"`
		}
		if err := json.Unmarshal(m.Content, &content); err != nil {
			t.Fatal(err)
		}
		switch {
		case header.MsgType == "display_data":
			n++
		case content.State == "idle" && parent.MsgType == "execute_request":
			return n
		}
	}
}
