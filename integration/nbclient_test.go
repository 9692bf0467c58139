package integration

import (
	"encoding/json"
	"errors"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/reference"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// ran is what came of one cell.
type ran struct {
	Count   int              `json:"execution_count"`
	Outputs []map[string]any `json:"outputs"`
}

// runNotebook runs the notebook of run_notebook.py on a kernel of a server.
func runNotebook(t *testing.T, python, url, token string) []ran {
	t.Helper()
	script := filepath.Join(sandbox.Module(), "integration", "python", "run_notebook.py")
	out, err := exec.CommandContext(t.Context(), python, script, url, token, "python3").Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		t.Fatalf("nbclient: %v\n%s", err, exit.Stderr)
	}
	if err != nil {
		t.Fatal(err)
	}
	var notebook struct {
		Cells []ran `json:"cells"`
	}
	if err := json.Unmarshal(out, &notebook); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return notebook.Cells
}

// TestNbclient runs a notebook with nbclient through jupyter_server's client of kernels elsewhere, on our server and on Jupyter's: the
// outputs are the same.
func TestNbclient(t *testing.T) {
	python := sandbox.Python(t)
	dir := t.TempDir()
	theirs := reference.Run(t, reference.Options{Dir: dir, Python: python})
	want := runNotebook(t, python, theirs.URL, theirs.Token)
	ours := daemon.Run(t, daemon.Options{Drive: newDrive(t), Root: true, Python: python})
	got := runNotebook(t, python, ours.URL, ours.Token)
	if len(got) != 7 || len(want) != len(got) {
		t.Fatalf("%d cells ran here, %d there, want 7", len(got), len(want))
	}
	for i := range got {
		if i == 4 { // the working directory
			wantText, gotText := "'"+dir+"'", "'"+ours.Dir+"'"
			check := func(who string, r ran, text string) {
				data, _ := r.Outputs[0]["data"].(map[string]any)
				if lines, _ := data["text/plain"].([]any); len(lines) != 1 || lines[0] != text {
					t.Errorf("%s the kernel's folder is %v, want %s", who, data, text)
				}
			}
			check("there", want[i], wantText)
			check("here", got[i], gotText)
			continue
		}
		if !reflect.DeepEqual(got[i], want[i]) {
			t.Errorf("cell %d came to\n%s, want\n%s", i, short(got[i]), short(want[i]))
		}
	}
	var left []struct{ ID string }
	c := client.Client{URL: ours.URL, Token: ours.Token}
	if err := c.Get(t.Context(), "api/kernels", &left); err != nil || len(left) > 0 {
		t.Errorf("kernels that are left: %v, %v, want none", left, err)
	}
}

func short(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text[:min(len(text), 2000)]) + strings.Repeat("…", min(1, len(text)/2000))
}
