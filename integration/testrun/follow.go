package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

// event is a line of `go test -json`, as `go doc test2json` and `go help buildjson` describe it.
type event struct {
	Action      string
	ImportPath  string // of build-output and build-fail
	Package     string
	Test        string
	Elapsed     float64
	Output      string
	FailedBuild string // the ImportPath whose failed build made this package fail
}

// testID names a test, or with an empty test its package.
type testID struct{ pkg, test string }

// follower counts one stream of events and prints failures. It is used by one goroutine.
type follower struct {
	out      io.Writer
	tally    tally
	output   map[testID]*strings.Builder // of what has not ended yet
	builds   map[string]*strings.Builder // compiler output by ImportPath
	parents  map[testID]bool             // tests with subtests
	failures map[testID]bool             // tests and packages under which something was counted as failed
	passed   map[string]int              // by package
}

func newFollower(out io.Writer) *follower {
	return &follower{
		out:      out,
		output:   map[testID]*strings.Builder{},
		builds:   map[string]*strings.Builder{},
		parents:  map[testID]bool{},
		failures: map[testID]bool{},
		passed:   map[string]int{},
	}
}

// follow reads events up to the end of r. A line that is no event is passed through.
func (f *follower) follow(r io.Reader) error {
	lines := bufio.NewReader(r)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprintf(f.out, "%s", line)
			} else {
				f.event(e)
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading test events: %w", err)
		}
	}
}

func (f *follower) event(e event) {
	id := testID{e.Package, e.Test}
	switch e.Action {
	case "run":
		if parent, ok := id.parent(); ok && parent.test != "" {
			f.parents[parent] = true
		}
	case "output":
		text(f.output, id).WriteString(e.Output)
	case "build-output":
		text(f.builds, e.ImportPath).WriteString(e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			f.packageEnded(id, e)
		} else {
			f.testEnded(id, e.Action)
		}
		delete(f.output, id)
	}
}

// testEnded counts a test, unless it only stands for its subtests.
func (f *follower) testEnded(id testID, action string) {
	switch {
	case action == "fail" && !f.failures[id]:
		f.fail(id, f.written(id))
	case f.parents[id]:
	case action == "pass":
		f.tally.passed++
		f.passed[id.pkg]++
	case action == "skip":
		f.tally.skips = append(f.tally.skips, skip{test: id.String(), reason: reason(f.written(id))})
	}
}

// packageEnded prints a package's line, and counts its failure when none of its tests has been counted as failed.
func (f *follower) packageEnded(id testID, e event) {
	switch {
	case e.Action == "fail" && !f.failures[id]:
		output := f.unended(id.pkg) + f.written(id)
		if b := f.builds[e.FailedBuild]; b != nil {
			output = b.String() + output
		}
		f.fail(id, output)
	case e.Action == "pass":
		fmt.Fprintf(f.out, "ok   %6.1fs  %s (%d passed)\n", e.Elapsed, id.pkg, f.passed[id.pkg])
	case e.Action == "fail":
		fmt.Fprintf(f.out, "FAIL %6.1fs  %s\n", e.Elapsed, id.pkg)
	}
}

// fail counts a failure, prints what was written, and marks all that contain the test as accounted for.
func (f *follower) fail(id testID, output string) {
	f.tally.failed++
	fmt.Fprintf(f.out, "FAIL %s\n%s", id, output)
	for up, ok := id, true; ok; up, ok = up.parent() {
		f.failures[up] = true
	}
}

// unended is what the tests of a package wrote that have not ended: their process ended before them.
func (f *follower) unended(pkg string) string {
	var all strings.Builder
	ids := slices.SortedFunc(maps.Keys(f.output), func(a, b testID) int { return strings.Compare(a.test, b.test) })
	for _, id := range ids {
		if id.pkg == pkg && id.test != "" {
			fmt.Fprintf(&all, "%s had not ended:\n%s\n", id.test, shorten(f.written(id)))
		}
	}
	return all.String()
}

// shorten leaves the middle of a long text out: how a process died is at the beginning of what it wrote last, and at the end.
func shorten(text string) string {
	const head, tail = 8 << 10, 2 << 10
	if len(text) <= head+tail {
		return text
	}
	return text[:head] + "\n[...]\n" + text[len(text)-tail:]
}

func (f *follower) written(id testID) string {
	if b := f.output[id]; b != nil {
		return b.String()
	}
	return ""
}

// parent is the test that contains this one, or the package of a top-level test; a package has none.
func (id testID) parent() (testID, bool) {
	if id.test == "" {
		return testID{}, false
	}
	i := strings.LastIndexByte(id.test, '/')
	if i < 0 {
		return testID{pkg: id.pkg}, true
	}
	return testID{id.pkg, id.test[:i]}, true
}

func (id testID) String() string {
	return strings.TrimSpace(id.pkg + " " + id.test)
}

// text is the builder for a key, made when missing.
func text[K comparable](m map[K]*strings.Builder, key K) *strings.Builder {
	b := m[key]
	if b == nil {
		b = &strings.Builder{}
		m[key] = b
	}
	return b
}

// reason is what a skipped test wrote, without the lines of the test runner itself.
func reason(output string) string {
	var kept []string
	for line := range strings.Lines(output) {
		line = strings.TrimSpace(line)
		if line != "" && !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "--- ") {
			kept = append(kept, line)
		}
	}
	if len(kept) == 0 {
		return "no reason given"
	}
	return strings.Join(kept, " ")
}
