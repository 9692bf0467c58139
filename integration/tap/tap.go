// Package tap turns the checks of a program that speaks the Test Anything Protocol into Go subtests.
//
// The program writes its plan, "1..N", and then for each check a line "ok 3 - name" or "not ok 3 - name", with lines that
// begin with "#" below it. A check that the plan promised and that never came is a failure, so a program that dies early
// cannot pass.
//
//	tap.Run(t, exec.Command("node", "services.mjs", url, token))
//
// Directives such as SKIP are not part of what the programs here use, and are not understood.
package tap

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Check is one reported check.
type Check struct {
	Name string
	OK   bool
	Note string // what the program said below it
}

// Run starts the program, makes a subtest of each of its checks, and returns how many passed. What the program writes to its
// error stream is shown when it ends badly.
func Run(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	checks, err := Collect(cmd)
	passed := 0
	for _, check := range checks {
		if check.OK {
			passed++
		}
		t.Run(check.Name, func(t *testing.T) {
			if !check.OK {
				t.Error(check.Note)
			}
		})
	}
	if err != nil {
		t.Error(err)
	}
	return passed
}

// Collect runs the program to its end and returns its checks. The error says that it broke the protocol, or that it ended
// badly although all checks passed.
func Collect(cmd *exec.Cmd) ([]Check, error) {
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	checks, err := Parse(stdout)
	waitErr := cmd.Wait()
	failed := false
	for _, check := range checks {
		failed = failed || !check.OK
	}
	if err == nil && !failed {
		err = waitErr
	}
	if err != nil {
		err = fmt.Errorf("%w\n%s", err, stderr.String())
	}
	return checks, err
}

var (
	planLine  = regexp.MustCompile(`^1\.\.(\d+)$`)
	checkLine = regexp.MustCompile(`^(not )?ok (\d+) - (.*)$`)
)

// Parse reads the protocol to its end. It returns the checks that came, and an error when they are not what was planned.
func Parse(r io.Reader) ([]Check, error) {
	var checks []Check
	planned := -1
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		line := lines.Text()
		if m := planLine.FindStringSubmatch(line); m != nil {
			planned, _ = strconv.Atoi(m[1]) // digits; a number too large cannot be met below
		} else if m := checkLine.FindStringSubmatch(line); m != nil {
			if m[2] != strconv.Itoa(len(checks)+1) {
				return checks, fmt.Errorf("check %s comes after %d others", m[2], len(checks))
			}
			checks = append(checks, Check{Name: m[3], OK: m[1] == ""})
		} else if note, ok := strings.CutPrefix(line, "#"); ok && len(checks) > 0 {
			last := &checks[len(checks)-1]
			last.Note += strings.TrimPrefix(note, " ") + "\n"
		}
	}
	if err := lines.Err(); err != nil {
		return checks, fmt.Errorf("reading checks: %w", err)
	}
	if planned != len(checks) {
		return checks, fmt.Errorf("%d checks came, %d were planned", len(checks), planned)
	}
	return checks, nil
}
