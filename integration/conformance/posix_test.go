package conformance

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// pjdfstestConfig lets pjdfstest act for two users that every Debian system has.
const pjdfstestConfig = `
[settings]
naptime = 0.01
allow_remount = false

[dummy_auth]
entries = [["nobody", "nogroup"], ["daemon", "daemon"]]
`

// TestPjdfstest runs the groups of pjdfstest about names and opening on a local drive's folder and on the mount of it.
func TestPjdfstest(t *testing.T) {
	program := filepath.Join(sandbox.Module(), ".cache", "cargo", "bin", "pjdfstest")
	if _, err := os.Stat(program); err != nil {
		t.Skip("no pjdfstest: make conformance builds it")
	}
	if os.Getuid() != 0 {
		t.Skip("pjdfstest acts for several users, which needs root")
	}
	drive := filepath.Join(open(t, t.TempDir()), "posix")
	for _, dir := range []string{drive, filepath.Join(drive, "suite")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	d := daemon.Run(t, daemon.Options{Drive: drive, Root: true, Args: []string{"--allow-other"}})
	open(t, d.Box.Home)

	folder := pjdfstest(t, program, filepath.Join(drive, "suite"))
	mount := pjdfstest(t, program, filepath.Join(d.Mount, "suite"))
	passed, total := 0, 0
	for _, name := range slices.Sorted(keys(folder)) {
		if folder[name].Outcome != "ok" {
			continue
		}
		total++
		if mount[name].Outcome == "ok" {
			passed++
			continue
		}
		t.Errorf("%s %s\n%s", name, mount[name].Outcome, mount[name].Reason)
	}
	report(t, "pjdfstest (open, rename, unlink, truncate, mkdir)", passed, total)
	if total < 100 {
		t.Errorf("%d tests passed in a plain folder, want 100 at least", total)
	}
}

// open lets other users walk to a folder of the test.
func open(t *testing.T, dir string) string {
	t.Helper()
	for up := dir; up != os.TempDir() && up != "/"; up = filepath.Dir(up) {
		if err := os.Chmod(up, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

var pjdfstestLine = regexp.MustCompile(`^(\S+::\S+)\s+(ok|skipped|FAILED|failed)$`)

// pjdfstest runs the suite in a folder and returns the outcome of each test by its name.
func pjdfstest(t *testing.T, program, dir string) map[string]outcome {
	t.Helper()
	config := filepath.Join(t.TempDir(), "pjdfstest.toml")
	if err := os.WriteFile(config, []byte(pjdfstestConfig), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), program, "--configuration-file", config, "--path", dir,
		"open", "rename", "unlink", "truncate", "mkdir").CombinedOutput()
	outcomes := map[string]outcome{}
	last := ""
	for line := range strings.Lines(string(out)) {
		if m := pjdfstestLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			last = m[1]
			outcomes[last] = outcome{ID: last, Outcome: m[2]}
		} else if o, ok := outcomes[last]; ok {
			o.Reason = fmt.Sprintf("%s%s", o.Reason, line)
			outcomes[last] = o
		}
	}
	if len(outcomes) == 0 {
		t.Fatalf("pjdfstest ran no test: %v\n%s", err, out)
	}
	return outcomes
}
