package crdt_test

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"go/scanner"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// progress is what was run of the programs so far, for each state of the code that they tested.
type progress struct {
	Total int        `json:"total"` // programs, of all codes
	Codes []codeDone `json:"codes"`
}

// codeDone is what was run with one code: the seeds of each range, its end not included.
type codeDone struct {
	Code      string      `json:"code"`
	Ranges    [][2]uint64 `json:"ranges"`
	Programs  int         `json:"programs"`
	Positions int         `json:"positions"`
	Differ    []string    `json:"differ"`
}

// How many programs a run does and, at once, between two notes of the progress.
const (
	programsPerRun = 100_000
	programsAtOnce = 1_600
)

// TestMillion goes on with the seeds that were not run yet, and prints how far it got. It is run again until the count is
// reached. JUPYTER_DRIVE_TEST_STATE names the file that remembers, JUPYTER_DRIVE_TEST_PROGRAMS how many to run.
func TestMillion(t *testing.T) {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") == "" {
		t.Skip("runs with JUPYTER_DRIVE_TEST_FULL=1: make conformance")
	}
	t.Parallel()
	file := os.Getenv("JUPYTER_DRIVE_TEST_STATE")
	if file == "" {
		file = filepath.Join("..", "..", ".cache", "crdt.json")
	}
	todo := programsPerRun
	if s := os.Getenv("JUPYTER_DRIVE_TEST_PROGRAMS"); s != "" {
		n, err := strconv.Atoi(s)
		if err != nil {
			t.Fatal(err)
		}
		todo = n
	}
	t.Logf("code %s", codeHash(t))
	run := &million{file: file, code: codeHash(t), todo: todo, p: readProgress(t, file)}
	run.next = run.p.next()
	var workers sync.WaitGroup
	for range 2 {
		o := startOracle(t)
		workers.Go(func() { run.work(t, o) })
	}
	workers.Wait()
	for _, c := range readProgress(t, file).Codes {
		t.Logf("code %s: seeds %v, %d programs, %d positions, %d differ", c.Code, c.Ranges, c.Programs, c.Positions, len(c.Differ))
	}
}

// million is a run under way.
type million struct {
	file, code string

	mu   sync.Mutex // guards the rest
	todo int
	next uint64
	p    *progress
}

// work runs programs until there are none left or the engines cannot be run.
func (r *million) work(t *testing.T, o *oracle) {
	for {
		r.mu.Lock()
		n := min(r.todo, programsAtOnce)
		from := r.next
		r.todo, r.next = r.todo-n, from+uint64(n)
		r.mu.Unlock()
		if n == 0 {
			return
		}
		got, err := runSeeds(o, from, from+uint64(n))
		if err != nil {
			t.Error(err)
			return
		}
		got.report(t)
		r.mu.Lock()
		r.p.add(r.code, from, from+uint64(n), got)
		err = writeProgress(r.file, r.p)
		r.mu.Unlock()
		if err != nil {
			t.Error(err)
			return
		}
	}
}

// next is the first seed that no range holds.
func (p *progress) next() uint64 {
	next := uint64(1)
	for _, c := range p.Codes {
		for _, r := range c.Ranges {
			next = max(next, r[1])
		}
	}
	return next
}

func (p *progress) add(code string, from, to uint64, t tally) {
	i := slices.IndexFunc(p.Codes, func(c codeDone) bool { return c.Code == code })
	if i < 0 {
		i = len(p.Codes)
		p.Codes = append(p.Codes, codeDone{Code: code})
	}
	c := &p.Codes[i]
	c.Ranges = append(c.Ranges, [2]uint64{from, to})
	slices.SortFunc(c.Ranges, func(a, b [2]uint64) int { return cmp.Compare(a[0], b[0]) })
	joined := c.Ranges[:1]
	for _, r := range c.Ranges[1:] {
		if last := &joined[len(joined)-1]; last[1] == r[0] {
			last[1] = r[1]
		} else {
			joined = append(joined, r)
		}
	}
	c.Ranges = joined
	c.Programs, c.Positions, p.Total = c.Programs+t.programs, c.Positions+t.positions, p.Total+t.programs
	for _, f := range t.failures {
		c.Differ = append(c.Differ, strconv.FormatUint(f.seed, 10)+": "+f.where)
	}
}

func readProgress(t *testing.T, file string) *progress {
	t.Helper()
	p := &progress{}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return p
	}
	if err == nil {
		err = json.Unmarshal(data, p)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func writeProgress(file string, p *progress) error {
	data, err := json.MarshalIndent(p, "", " ")
	if err == nil {
		err = os.WriteFile(file+".new", data, 0o644)
	}
	if err == nil {
		err = os.Rename(file+".new", file)
	}
	return err
}

// codeHash names the state of the package's code, tests and comments left out.
func codeHash(t *testing.T) string {
	t.Helper()
	if code := os.Getenv("JUPYTER_DRIVE_TEST_CODE"); code != "" {
		return code // of a test binary that was built earlier
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var s scanner.Scanner
		set := token.NewFileSet()
		s.Init(set.AddFile(name, set.Base(), len(data)), data, nil, 0)
		for {
			_, kind, text := s.Scan()
			if kind == token.EOF {
				break
			}
			fmt.Fprintln(h, kind, text)
		}
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
