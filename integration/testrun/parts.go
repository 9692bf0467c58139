package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

// part is a named piece of the suite.
type part struct {
	name  string
	steps func(ctx context.Context) ([]step, error)
}

// step is one command of a part.
type step struct {
	args  []string
	tests bool          // args is a `go test -json` run; otherwise the step is a check, judged by its exit status
	limit time.Duration // 0 = stepTime
}

// Commands and bounds of the parts.
const (
	linter   = ".cache/bin/golangci-lint"
	stepTime = 40 * time.Minute
	longTime = 3 * time.Hour
	fuzzTime = "20s"
)

// Packages under integration that a part of their own runs.
const (
	browserTests     = "./integration/browser"
	conformanceTests = "./integration/conformance"
)

var parts = []part{
	{"lint", fixed(
		check(linter, "run", "./..."),
		check("go", "mod", "tidy", "-diff"),
	)},
	{"changed", fixed(check(linter, "run", "--new-from-rev", changedSince(), "./..."))},
	{"unit", goTests(isUnit, "-race", "-timeout", "15m")},
	{"quick", goTests(isUnit, "-timeout", "5m")},
	{"integration", goTests(isIntegration, "-race", "-timeout", "25m")},
	{"browser", goTests(is(browserTests), "-timeout", "10m")},
	{"conformance", longTests},
	{"fuzz", fuzzTargets},
}

// changedSince is the revision against which the part "changed" lints: the environment's BASE, else HEAD.
func changedSince() string {
	if base := os.Getenv("BASE"); base != "" {
		return base
	}
	return "HEAD"
}

func partNames() string {
	names := make([]string, len(parts))
	for i, p := range parts {
		names[i] = p.name
	}
	return strings.Join(names, ", ")
}

func findPart(name string) (part, bool) {
	for _, p := range parts {
		if p.name == name {
			return p, true
		}
	}
	return part{}, false
}

func check(args ...string) step { return step{args: args} }

func fixed(steps ...step) func(context.Context) ([]step, error) {
	return func(context.Context) ([]step, error) { return steps, nil }
}

// run executes the part's steps one after the other, printing as it goes.
func (p part) run(ctx context.Context, out io.Writer) result {
	fmt.Fprintf(out, "\n== %s\n", p.name)
	start := time.Now()
	res := result{name: p.name}
	steps, err := p.steps(ctx)
	if err != nil {
		fmt.Fprintln(out, "FAIL", err)
		res.tally.failed++
	}
	for _, s := range steps {
		res.tally.add(s.run(ctx, out))
	}
	if res.tally.empty() {
		fmt.Fprintf(out, "FAIL nothing ran in %s\n", p.name)
		res.tally.failed++
	}
	res.took = time.Since(start)
	return res
}

// run executes one step and counts it.
func (s step) run(ctx context.Context, out io.Writer) tally {
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(s.limit, stepTime))
	defer cancel()
	if s.tests {
		return s.runTests(ctx, out)
	}
	start := time.Now()
	text, err := command(ctx, s.args).CombinedOutput()
	line := fmt.Sprintf("%6.1fs  %s", time.Since(start).Seconds(), strings.Join(s.args, " "))
	if err != nil {
		fmt.Fprintf(out, "FAIL %s\n%s%v\n", line, text, err)
		return tally{failed: 1}
	}
	fmt.Fprintf(out, "ok   %s\n", line)
	return tally{passed: 1}
}

// runTests executes a `go test -json` run and counts its tests.
func (s step) runTests(ctx context.Context, out io.Writer) tally {
	var stderr bytes.Buffer
	cmd := command(ctx, s.args)
	cmd.Stderr = &stderr
	events, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		fmt.Fprintln(out, "FAIL", err)
		return tally{failed: 1}
	}
	f := newFollower(out)
	readErr := f.follow(events)
	waitErr := cmd.Wait()
	if readErr != nil || (waitErr != nil && f.tally.failed == 0) {
		fmt.Fprintf(out, "FAIL %s: %v %v\n%s", strings.Join(s.args, " "), waitErr, readErr, stderr.String())
		f.tally.failed++
	}
	return f.tally
}

// command is a process that is asked to stop when ctx ends, and killed ten seconds later.
func command(ctx context.Context, args []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	return cmd
}

// goTests is a part that runs the tests of the packages of this module for which want holds; want is given the
// package's folder as "./fs/tree".
func goTests(want func(dir string) bool, flags ...string) func(context.Context) ([]step, error) {
	return func(ctx context.Context) ([]step, error) {
		text, err := command(ctx, []string{"go", "list", "-f", "{{.Module.Path}} {{.ImportPath}}", "./..."}).Output()
		if err != nil {
			return nil, fmt.Errorf("go list ./...: %w", err)
		}
		args := append([]string{"go", "test", "-json", "-count", "1"}, flags...)
		fixedArgs := len(args)
		for line := range strings.Lines(string(text)) {
			module, name, _ := strings.Cut(strings.TrimSpace(line), " ")
			if dir := "." + strings.TrimPrefix(name, module); want(dir) {
				args = append(args, dir)
			}
		}
		if len(args) == fixedArgs {
			return nil, nil
		}
		return []step{{args: args, tests: true}}, nil
	}
}

func is(dir string) func(string) bool { return func(d string) bool { return d == dir } }

func isUnit(dir string) bool {
	return dir != "./integration" && !strings.HasPrefix(dir, "./integration/")
}

func isIntegration(dir string) bool {
	return !isUnit(dir) && dir != browserTests && dir != conformanceTests
}

// longTests runs, one package after the other, the suites that others wrote and the packages whose tests run longer when the environment
// says JUPYTER_DRIVE_TEST_FULL.
func longTests(ctx context.Context) ([]step, error) {
	text, err := command(ctx, []string{"git", "grep", "-l", "--untracked", "JUPYTER_DRIVE_TEST_FULL", "--", "*_test.go"}).Output()
	if err != nil {
		return nil, fmt.Errorf("git grep: %w", err)
	}
	dirs := append(foldersOf(string(text)), conformanceTests)
	slices.Sort(dirs)
	args := []string{"go", "test", "-json", "-count", "1", "-p", "1", "-timeout", longTime.String()}
	return []step{{args: append(args, slices.Compact(dirs)...), tests: true, limit: longTime}}, nil
}

// foldersOf returns the packages, as "./fs/drive", of files that are named one a line.
func foldersOf(files string) []string {
	var dirs []string
	for file := range strings.Lines(files) {
		dirs = append(dirs, "./"+path.Dir(strings.TrimSpace(file)))
	}
	return dirs
}

// fuzzTargets is a check for each native fuzz target of the module.
func fuzzTargets(ctx context.Context) ([]step, error) {
	text, err := command(ctx, []string{"git", "grep", "-noE", "--untracked", "^func Fuzz[A-Za-z0-9_]+", "--", "*_test.go"}).Output()
	if err != nil {
		return nil, fmt.Errorf("git grep: %w", err)
	}
	return parseFuzzTargets(string(text)), nil
}

var fuzzFunc = regexp.MustCompile(`^(.*/)[^/]*_test\.go:\d+:func (Fuzz\w+)$`)

// parseFuzzTargets reads lines of the form `fs/path_test.go:12:func FuzzPath`.
func parseFuzzTargets(text string) []step {
	var steps []step
	for line := range strings.Lines(text) {
		if m := fuzzFunc.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			steps = append(steps, check("go", "test", "-run", "^$", "-fuzz", "^"+m[2]+"$", "-fuzztime", fuzzTime, "./"+strings.TrimSuffix(m[1], "/")))
		}
	}
	return steps
}
