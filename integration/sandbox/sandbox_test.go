package sandbox

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestLeaksAndClose(t *testing.T) {
	box, err := New()
	if err != nil {
		t.Fatal(err)
	}
	if leaks, err := box.Leaks(); err != nil || len(leaks) != 0 {
		t.Fatalf("Leaks() of a new sandbox = %q, %v, want none", leaks, err)
	}

	// A process that left its session and its parent, and that runs: in the midst of an exec it has no environment to be found by.
	out, err := inBox(box, "sh", "-c", "setsid sh -c 'echo up; exec >&-; sleep 1000; :' 2>/dev/null &").Output()
	if err != nil || string(out) != "up\n" {
		t.Fatalf("starting a process: %q, %v", out, err)
	}
	listener, err := net.Listen("unix", filepath.Join(box.Home, "run", "s"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	leaks, err := box.Leaks()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"sleep 1000", "socket " + box.Home} {
		if !slices.ContainsFunc(leaks, func(leak string) bool { return strings.Contains(leak, want) }) {
			t.Errorf("Leaks() = %q, want %q in it", leaks, want)
		}
	}

	if err := box.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	if pids := box.processes(); len(pids) != 0 {
		t.Errorf("after Close() processes %v live", pids)
	}
	if _, err := os.Stat(box.Home); !os.IsNotExist(err) {
		t.Errorf("after Close() the home is there: %v", err)
	}
}

func TestLeaksSeeMounts(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root may mount a tmpfs")
	}
	box, err := New()
	if err != nil {
		t.Fatal(err)
	}
	point := filepath.Join(box.Home, "state")
	if out, err := exec.Command("mount", "-t", "tmpfs", "none", point).CombinedOutput(); err != nil {
		t.Skipf("no tmpfs can be mounted here: %s", out)
	}
	if leaks, err := box.Leaks(); err != nil || !slices.Contains(leaks, "mount "+point) {
		t.Errorf("Leaks() = %q, %v, want the mount", leaks, err)
	}
	if err := box.Close(); err != nil {
		t.Fatalf("Close() = %v", err)
	}
	if mounts, err := box.mounts(); err != nil || len(mounts) != 0 {
		t.Errorf("after Close() mounts = %q, %v, want none", mounts, err)
	}
}

func TestEnvStaysInTheHome(t *testing.T) {
	t.Setenv("JUPYTER_TOKEN", "secret")
	box, err := New()
	if err != nil {
		t.Fatal(err)
	}
	defer box.Close()
	seen := map[string]string{}
	for _, kv := range box.Env() {
		name, value, _ := strings.Cut(kv, "=")
		if _, twice := seen[name]; twice {
			t.Errorf("%s is set twice", name)
		}
		seen[name] = value
	}
	if _, ok := seen["JUPYTER_TOKEN"]; ok {
		t.Error("JUPYTER_TOKEN is handed on")
	}
	for _, name := range []string{"HOME", "XDG_STATE_HOME", "JUPYTER_RUNTIME_DIR"} {
		if !strings.HasPrefix(seen[name], box.Home) {
			t.Errorf("%s = %q, want it in %q", name, seen[name], box.Home)
		}
	}
	if seen["PATH"] == "" {
		t.Error("PATH is not handed on")
	}
}

func inBox(box *Sandbox, name string, args ...string) *exec.Cmd {
	cmd := exec.Command(name, args...)
	cmd.Env = box.Env()
	return cmd
}
