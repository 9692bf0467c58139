package conformance

import (
	"iter"
	"maps"
	"os/exec"
	"strings"
	"testing"
)

// report prints how much of a suite passed.
func report(t *testing.T, suite string, passed, total int) {
	t.Helper()
	t.Logf("%s: %d of %d", suite, passed, total)
}

// run runs a command that must succeed.
func run(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

func keys[V any](m map[string]V) iter.Seq[string] { return maps.Keys(m) }
