package main

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// sample is a module with one package for each way in which a package can end.
var sample = map[string]string{
	"go.mod":                "module sample\n\ngo 1.26\n",
	"passes/a_test.go":      "package passes\nimport \"testing\"\nfunc TestOne(t *testing.T) {}\nfunc TestTwo(t *testing.T) { t.Run(\"a\", func(*testing.T) {}); t.Run(\"b\", func(*testing.T) {}) }\n",
	"skips/a_test.go":       "package skips\nimport \"testing\"\nfunc TestSkip(t *testing.T) { t.Skip(\"no such tool\") }\n",
	"fails/a_test.go":       "package fails\nimport \"testing\"\nfunc TestTwo(t *testing.T) { t.Run(\"a\", func(*testing.T) {}); t.Run(\"b\", func(t *testing.T) { t.Error(\"the message\") }) }\n",
	"parent/a_test.go":      "package parent\nimport \"testing\"\nfunc TestTwo(t *testing.T) { t.Run(\"a\", func(*testing.T) {}); t.Error(\"after the subtest\") }\n",
	"panics/a_test.go":      "package panics\nimport \"testing\"\nfunc TestOne(t *testing.T) { panic(\"the panic\") }\n",
	"dies/a_test.go":        "package dies\nimport (\"os\"; \"syscall\"; \"testing\")\nfunc TestOne(t *testing.T) { os.Stdout.WriteString(\"last words\\n\"); syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} }\n",
	"exits/a_test.go":       "package exits\nimport (\"os\"; \"testing\")\nfunc TestMain(m *testing.M) { os.Exit(3) }\n",
	"unbuildable/a.go":      "package unbuildable\nvar x int = \"text\"\n",
	"unbuildable/a_test.go": "package unbuildable\nimport \"testing\"\nfunc TestOne(t *testing.T) {}\n",
	"none/a.go":             "package none\n",
}

func TestFollow(t *testing.T) {
	dir := t.TempDir()
	for name, content := range sample {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct {
		pkg            string
		passed, failed int
		skips          []skip
		printed        string
	}{
		{"passes", 3, 0, nil, "sample/passes (3 passed)"},
		{"skips", 0, 0, []skip{{"sample/skips TestSkip", "a_test.go:3: no such tool"}}, "ok "},
		{"fails", 1, 1, nil, "the message"},
		{"parent", 1, 1, nil, "after the subtest"},
		{"panics", 0, 1, nil, "the panic"},
		{"dies", 0, 1, nil, "TestOne had not ended:\n=== RUN   TestOne\nlast words\n"},
		{"exits", 0, 1, nil, "exit status 3"},
		{"unbuildable", 0, 1, nil, `cannot use "text"`},
		{"none", 0, 0, nil, ""},
	}
	for _, tt := range tests {
		t.Run(tt.pkg, func(t *testing.T) {
			cmd := exec.Command("go", "test", "-json", "./"+tt.pkg)
			cmd.Dir = dir
			stream, err := cmd.Output()
			if exit := new(exec.ExitError); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			var out bytes.Buffer
			f := newFollower(&out)
			if err := f.follow(bytes.NewReader(stream)); err != nil {
				t.Fatal(err)
			}
			if want := (tally{tt.passed, tt.failed, tt.skips}); !reflect.DeepEqual(f.tally, want) {
				t.Errorf("tally = %+v, want %+v\n%s", f.tally, want, out.String())
			}
			if !strings.Contains(out.String(), tt.printed) {
				t.Errorf("printed %q, want it to contain %q", out.String(), tt.printed)
			}
		})
	}
}

func TestSummarize(t *testing.T) {
	good := result{name: "unit", tally: tally{passed: 2, skips: []skip{{"p TestA", "no tool"}}}}
	bad := result{name: "lint", tally: tally{failed: 1}}
	tests := []struct {
		name    string
		results []result
		last    string
		err     error
	}{
		{"all passed", []result{good}, "2 passed, 0 failed, 1 skipped\n", nil},
		{"one failed", []result{good, bad}, "2 passed, 1 failed, 1 skipped\n", errFailed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			if err := summarize(&out, tt.results); !errors.Is(err, tt.err) {
				t.Errorf("summarize() = %v, want %v", err, tt.err)
			}
			if !strings.HasSuffix(out.String(), "\nskipped p TestA: no tool\n"+tt.last) {
				t.Errorf("summarize() printed %q, want it to end with the reason and %q", out.String(), tt.last)
			}
		})
	}
}

func TestPartCounts(t *testing.T) {
	tests := []struct {
		name           string
		steps          []step
		passed, failed int
	}{
		{"nothing ran", nil, 0, 1},
		{"check passes", []step{check("true")}, 1, 0},
		{"check fails", []step{check("true"), check("false")}, 1, 1},
		{"no such command", []step{check("./no-such-command")}, 0, 1},
		{"tests that cannot start", []step{{args: []string{"./no-such-command"}, tests: true}}, 0, 1},
		{"tests that end badly", []step{{args: []string{"false"}, tests: true}}, 0, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var out bytes.Buffer
			got := part{name: "p", steps: fixed(tt.steps...)}.run(t.Context(), &out).tally
			if got.passed != tt.passed || got.failed != tt.failed {
				t.Errorf("run() = %+v, want %d passed, %d failed\n%s", got, tt.passed, tt.failed, out.String())
			}
		})
	}
}

func TestRunRefusesUnknownParts(t *testing.T) {
	for _, names := range [][]string{nil, {"lint", "nonsense"}} {
		if err := run(context.Background(), names, &bytes.Buffer{}); err == nil || errors.Is(err, errFailed) {
			t.Errorf("run(%q) = %v, want an error that names the parts", names, err)
		}
	}
}

func TestParseFuzzTargets(t *testing.T) {
	got := parseFuzzTargets("fs/path_test.go:12:func FuzzPath\nkernels/wire/w_test.go:3:func FuzzFrame\nnot a target\n")
	want := []step{
		check("go", "test", "-run", "^$", "-fuzz", "^FuzzPath$", "-fuzztime", fuzzTime, "./fs"),
		check("go", "test", "-run", "^$", "-fuzz", "^FuzzFrame$", "-fuzztime", fuzzTime, "./kernels/wire"),
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("parseFuzzTargets() = %v, want %v", got, want)
	}
}

func TestLongTests(t *testing.T) {
	t.Chdir(sandbox.Module())
	steps, err := longTests(t.Context())
	if err != nil || len(steps) != 1 || steps[0].limit != longTime {
		t.Fatalf("longTests() = %v, %v, want one step of %v", steps, err, longTime)
	}
	for _, dir := range []string{"./integration", conformanceTests, "./integration/kernelsrun", "./integration/lifecycle", "./collab/crdt"} {
		if !slices.Contains(steps[0].args, dir) {
			t.Errorf("the long tests are %q, want %s among them", steps[0].args, dir)
		}
	}
	if slices.Contains(steps[0].args, browserTests) {
		t.Errorf("the browser's tests are among the long ones, but have no long form")
	}
}
