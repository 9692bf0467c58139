// Command testrun runs the named parts of the test suite, prints what failed in full and why anything was skipped, and
// closes with one line of counts.
//
//	go run ./integration/testrun lint unit integration browser
//
// A part is a list of steps. A step is either one check, such as a linter, which counts as one passed or failed, or a run
// of `go test -json`, which counts its leaves: tests without subtests. A test whose subtests all passed but which failed
// itself counts as one failure, and so does a package that does not build, a run that ends badly without naming a test,
// and a part in which nothing ran at all. Suites in other languages are driven by Go tests, so that there is one count.
//
// The last line is `N passed, N failed, N skipped`; the exit status is 0 only when nothing failed.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil {
		if !errors.Is(err, errFailed) {
			fmt.Fprintln(os.Stderr, "testrun:", err)
		}
		os.Exit(1)
	}
}

// errFailed says that the run itself went well and something in it failed; the counts have been printed.
var errFailed = errors.New("something failed")

// run executes the named parts in order and prints the summary.
func run(ctx context.Context, names []string, out io.Writer) error {
	if len(names) == 0 {
		return fmt.Errorf("name a part: %s", partNames())
	}
	selected := make([]part, 0, len(names))
	for _, name := range names {
		p, ok := findPart(name)
		if !ok {
			return fmt.Errorf("no part %q: there are %s", name, partNames())
		}
		selected = append(selected, p)
	}
	results := make([]result, 0, len(selected))
	for _, p := range selected {
		results = append(results, p.run(ctx, out))
	}
	return summarize(out, results)
}

// result is what one part came to.
type result struct {
	name  string
	took  time.Duration
	tally tally
}

// summarize prints a line for each part, the reason of each skip and, last, the counts.
func summarize(out io.Writer, results []result) error {
	var total tally
	fmt.Fprintf(out, "\n%-14s %8s %8s %8s %8s\n", "part", "seconds", "passed", "failed", "skipped")
	for _, r := range results {
		fmt.Fprintf(out, "%-14s %8.1f %8d %8d %8d\n", r.name, r.took.Seconds(), r.tally.passed, r.tally.failed, len(r.tally.skips))
		total.add(r.tally)
	}
	for _, s := range total.skips {
		fmt.Fprintf(out, "skipped %s: %s\n", s.test, s.reason)
	}
	fmt.Fprintf(out, "%d passed, %d failed, %d skipped\n", total.passed, total.failed, len(total.skips))
	if total.failed > 0 {
		return errFailed
	}
	return nil
}

// tally counts tests.
type tally struct {
	passed, failed int
	skips          []skip
}

// skip is a test that did not run, and why.
type skip struct {
	test   string
	reason string
}

func (t *tally) add(o tally) {
	t.passed += o.passed
	t.failed += o.failed
	t.skips = append(t.skips, o.skips...)
}

func (t *tally) empty() bool {
	return t.passed+t.failed+len(t.skips) == 0
}
