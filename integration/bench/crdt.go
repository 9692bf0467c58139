package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"

	"github.com/jupyter-drive/jupyter-drive/integration/editing"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// engineRounds is how many times each engine runs, in turn with the others.
const engineRounds = 5

// sessionTimes are what one engine took for a session, in milliseconds, and what it holds in the end.
type sessionTimes struct {
	Replay, Updates, Encode, Load float64
	V1, V2, Length                int
	Heap                          int // bytes after loading
}

// workTimes are what one engine took for a workload, in milliseconds.
type workTimes struct {
	Time, Encode, Load float64
	Size               int
}

// engineTimes are all figures of one run of an engine.
type engineTimes struct {
	Session   sessionTimes
	Workloads []workTimes
}

// engineInput is what every engine gets.
type engineInput struct {
	Session   []editing.Edit     `json:"session"`
	Workloads []editing.Workload `json:"workloads"`
}

// engine runs the input once.
type engine struct {
	name string
	run  func(ctx context.Context) (engineTimes, error)
	all  []engineTimes
}

// benchCRDT compares our documents with those of yjs and pycrdt. The environment's TRACE names a file of
// josephg/editing-traces to replay instead of a session that is made up.
func benchCRDT(ctx context.Context) error {
	in := engineInput{Session: editing.Session(1), Workloads: editing.Workloads(1)}
	if file := os.Getenv("TRACE"); file != "" {
		edits, err := editing.ReadTrace(file)
		if err != nil {
			return err
		}
		in.Session = edits
	}
	data, err := json.Marshal(in)
	if err != nil {
		return err
	}
	dir := filepath.Join(sandbox.Module(), "integration")
	modules := os.Getenv("JUPYTER_DRIVE_TEST_NODE_MODULES")
	if modules == "" {
		modules = filepath.Join(dir, "node", "node_modules")
	}
	engines := []*engine{
		{name: "ours", run: func(context.Context) (engineTimes, error) { return runOurs(in) }},
		{name: "yjs", run: other(data, "node", "--expose-gc", filepath.Join(dir, "bench", "yjs.mjs"), modules)},
		{name: "pycrdt", run: other(data, "python", filepath.Join(dir, "bench", "ycrdt.py"))},
	}
	if err := exec.CommandContext(ctx, "python", "-c", "import pycrdt").Run(); err != nil {
		fmt.Println("pycrdt is not installed")
		engines = engines[:2]
	}
	for range engineRounds {
		for _, e := range engines {
			got, err := e.run(ctx)
			if err != nil {
				return fmt.Errorf("%s: %w", e.name, err)
			}
			e.all = append(e.all, got)
		}
	}
	printEngines(in, engines)
	return nil
}

// other is an engine in a process of its own.
func other(input []byte, args ...string) func(context.Context) (engineTimes, error) {
	return func(ctx context.Context) (got engineTimes, err error) {
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Stdin, cmd.Stderr = bytes.NewReader(input), os.Stderr
		out, err := cmd.Output()
		if err == nil {
			err = json.Unmarshal(out, &got)
		}
		return got, err
	}
}

// figure is the median of what an engine's runs took.
func (e *engine) figure(of func(engineTimes) float64) float64 {
	var all []float64
	for _, got := range e.all {
		all = append(all, of(got))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

func printEngines(in engineInput, engines []*engine) {
	fmt.Printf("%-40s", "milliseconds")
	for _, e := range engines {
		fmt.Printf(" %10s", e.name)
	}
	fmt.Printf(" %10s\n", "ours/yjs")
	line := func(name string, of func(engineTimes) float64) {
		fmt.Printf("%-40s", name)
		for _, e := range engines {
			fmt.Printf(" %10.2f", e.figure(of))
		}
		fmt.Printf(" %10.2f\n", engines[0].figure(of)/engines[1].figure(of))
	}
	line("session: replay", func(t engineTimes) float64 { return t.Session.Replay })
	line("session: single updates", func(t engineTimes) float64 { return t.Session.Updates })
	line("session: encode", func(t engineTimes) float64 { return t.Session.Encode })
	line("session: load", func(t engineTimes) float64 { return t.Session.Load })
	for i, w := range in.Workloads {
		line(w.Name, func(t engineTimes) float64 { return t.Workloads[i].Time })
		line(w.Name+": encode", func(t engineTimes) float64 { return t.Workloads[i].Encode })
		line(w.Name+": load", func(t engineTimes) float64 { return t.Workloads[i].Load })
	}
	for _, e := range engines {
		s := e.all[0].Session
		fmt.Printf("%s: %d edits, length %d, %d bytes of version 1, %d of version 2, heap after load %d bytes\n",
			e.name, len(in.Session), s.Length, s.V1, s.V2, s.Heap)
	}
	if err := sameSizes(in, engines[0].all[0], engines[1].all[0]); err != nil {
		fmt.Println("differs:", err)
	}
}

// sameSizes checks that two engines came to the same documents.
func sameSizes(in engineInput, ours, theirs engineTimes) error {
	a, b := ours.Session, theirs.Session
	if a.V1 != b.V1 || a.V2 != b.V2 || a.Length != b.Length {
		return errors.New("the session's document")
	}
	for i, w := range in.Workloads {
		if ours.Workloads[i].Size != theirs.Workloads[i].Size {
			return fmt.Errorf("the document of %s", w.Name)
		}
	}
	return nil
}
