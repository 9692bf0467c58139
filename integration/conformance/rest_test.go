package conformance

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/reference"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// Jupyter Server's own tests, and how many of those that the reference passes we must pass as well.
const (
	jupyterServer = "jupyter-server==2.21.1"
	restBar       = 175
)

// TestJupyterREST runs Jupyter Server's own REST tests against the reference server and against ours, on the mount. It prints the
// id of every test that the reference passes, and fails for those that we do not pass only when they are too many.
func TestJupyterREST(t *testing.T) {
	python := sandbox.Python(t)
	suite := unpackSuite(t, python)

	server := reference.Run(t, reference.Options{
		Python: python, Dir: t.TempDir(), Args: []string{"--ServerApp.base_url=/a%40b/"},
	})
	theirs := runSuite(t, python, suite, foreign{server.URL, server.Token, server.Dir, server.DataDir()})

	drive := filepath.Join(t.TempDir(), "conformance")
	if err := os.Mkdir(drive, 0o755); err != nil {
		t.Fatal(err)
	}
	d := daemon.Run(t, daemon.Options{Drive: drive, Root: true, Python: python, Args: []string{"--base-url", "/a%40b/"}})
	ours := runSuite(t, python, suite, foreign{d.URL, d.Token, d.Dir, d.Box.DataDir()})

	passed, total := 0, 0
	for _, id := range slices.Sorted(keys(theirs)) {
		if theirs[id].Outcome != "passed" {
			continue
		}
		total++
		switch {
		case ours[id].Outcome == "passed":
			passed++
			t.Logf("passed %s", id)
		case ours[id].Outcome == "":
			t.Logf("MISSING %s", id)
		default:
			t.Logf("%s %s\n%s", strings.ToUpper(ours[id].Outcome), id, ours[id].Reason)
		}
	}
	report(t, "Jupyter's own REST tests", passed, total)
	if passed < restBar {
		t.Errorf("%d of Jupyter's REST tests passed, want at least %d", passed, restBar)
	}
}

// foreign is a server as the suite's fixtures see it.
type foreign struct{ url, token, root, data string }

// outcome is a line of the suite's report.
type outcome struct {
	ID      string `json:"id"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason"`
}

// unpackSuite downloads the source distribution once, and lays its tests with our fixtures into a new folder.
func unpackSuite(t *testing.T, python string) string {
	t.Helper()
	cache := filepath.Join(sandbox.Module(), ".cache", "sdist")
	name, version, _ := strings.Cut(jupyterServer, "==")
	archive := filepath.Join(cache, strings.ReplaceAll(name, "-", "_")+"-"+version+".tar.gz")
	if _, err := os.Stat(archive); err != nil {
		run(t, exec.Command(python, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:", "--dest", cache, jupyterServer))
	}
	dir := t.TempDir()
	run(t, exec.Command("tar", "-xzf", archive, "-C", dir, "--strip-components", "1"))
	fixtures, err := os.ReadFile(filepath.Join(sandbox.Module(), "integration", "python", "conftest.py"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "tests", "conftest.py"), fixtures, 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}

// runSuite runs the suite and returns the outcome of each test by its id.
func runSuite(t *testing.T, python, suite string, server foreign) map[string]outcome {
	t.Helper()
	path := filepath.Join(t.TempDir(), "report")
	cmd := exec.CommandContext(t.Context(), python, "-m", "pytest", "-c", os.DevNull, "--rootdir", ".", "--quiet", "--timeout", "60",
		"-p", "no:cacheprovider", "-p", "no:pytest_jupyter", "tests/services", "tests/test_files.py", "tests/test_terminal.py", "tests/test_view.py",
		"--ignore", "tests/services/kernels/test_cull.py", "--ignore", "tests/services/kernels/test_events.py")
	cmd.Dir = suite
	cmd.Env = append(os.Environ(), "FOREIGN_URL="+server.url, "FOREIGN_TOKEN="+server.token,
		"FOREIGN_ROOT="+server.root, "FOREIGN_DATA="+server.data, "FOREIGN_REPORT="+path)
	out, err := cmd.CombinedOutput()
	outcomes := map[string]outcome{}
	file, openErr := os.Open(path)
	if openErr != nil {
		t.Fatalf("the suite did not run: %v %v\n%s", err, openErr, out)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var o outcome
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			t.Fatal(err)
		}
		if outcomes[o.ID].Outcome != "failed" { // a test that passed fails when its clean-up does
			outcomes[o.ID] = o
		}
	}
	if len(outcomes) == 0 {
		t.Fatalf("the suite ran no test: %v\n%s", err, out)
	}
	return outcomes
}
