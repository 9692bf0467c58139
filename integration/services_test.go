package integration

import (
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/reference"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
	"github.com/jupyter-drive/jupyter-drive/integration/tap"
)

// services is the script that uses every manager of JupyterLab's client library.
func services(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	script := filepath.Join(sandbox.Node(t), "services.mjs")
	return exec.CommandContext(t.Context(), "node", append([]string{script}, args...)...)
}

// TestServices runs the same checks of JupyterLab's client library against our server and against Jupyter's.
func TestServices(t *testing.T) {
	t.Run("reference", func(t *testing.T) {
		s := reference.Run(t, reference.Options{Dir: t.TempDir(), Lab: true})
		tap.Run(t, services(t, s.URL, s.Token))
	})
	t.Run("ours", func(t *testing.T) {
		d := daemon.Run(t, daemon.Options{Drive: newDrive(t), Root: true, Python: sandbox.Python(t)})
		tap.Run(t, services(t, d.URL, d.Token))
	})
}

// TestServicesNeedAServer shows that the checks are about what a server does: one that answers {} to everything passes only those
// few that ask it for nothing.
func TestServicesNeedAServer(t *testing.T) {
	empty := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		if _, err := w.Write([]byte("{}")); err != nil {
			t.Log(err)
		}
	}))
	defer empty.Close()
	checks, err := tap.Collect(services(t, empty.URL+"/", "token", "2"))
	if err != nil {
		t.Fatal(err)
	}
	passed := 0
	for _, check := range checks {
		if check.OK {
			passed++
		}
	}
	if passed > 5 || len(checks) < 60 {
		t.Errorf("%d of %d checks pass against a server that answers {}, want at most 5", passed, len(checks))
	}
}
