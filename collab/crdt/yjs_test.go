package crdt_test

import (
	"fmt"
	"os"
	"testing"
	"time"
)

// suites are the kinds of programs. The program of a seed is of the kind that the seed's remainder names.
var suites = []struct {
	name string
	o    scenario
}{
	{"causal", scenario{Nested: true, Undo: true, Delivery: "causal"}},
	{"shuffled", scenario{Nested: true, Undo: true, Delivery: "shuffled"}},
	{"full", scenario{Nested: true, Undo: true, Delivery: "full"}},
	{"merged", scenario{Nested: true, Undo: true, Delivery: "merged"}},
	{"diffs", scenario{Nested: true, Undo: true, Delivery: "diffs"}},
	{"rich causal", scenario{Nested: true, Rich: true, Undo: true, Delivery: "causal"}},
	{"rich shuffled", scenario{Nested: true, Rich: true, Undo: true, Delivery: "shuffled"}},
	{"rich full", scenario{Nested: true, Rich: true, Undo: true, Delivery: "full"}},
	{"rich merged", scenario{Nested: true, Rich: true, Undo: true, Delivery: "merged"}},
	{"rich diffs", scenario{Nested: true, Rich: true, Delivery: "diffs"}},
	{"undo", scenario{Nested: true, Rich: true, Undo: true, Peers: 2}},
	{"observers", scenario{Nested: true, Rich: true, Observe: true, Undo: true, Delivery: "causal"}},
	{"positions", scenario{Nested: true, Rich: true, Positions: true, Undo: true, Delivery: "shuffled"}},
	{"XML", scenario{Nested: true, Rich: true, XML: true, Undo: true, Delivery: "shuffled"}},
	{"XML observers", scenario{Nested: true, Rich: true, XML: true, Observe: true, Subdocs: true, Delivery: "full"}},
	{"subdocuments", scenario{Nested: true, Rich: true, Subdocs: true, Undo: true, Delivery: "merged"}},
}

func playSeed(seed uint64) *machine { return play(seed, suites[seed%uint64(len(suites))].o) }

// batch is how many programs are sent to the oracle at once.
const batch = 64

// tally counts what was run.
type tally struct {
	programs  int
	positions int
	failures  []failure
}

type failure struct {
	seed  uint64
	where string
}

// runSeeds runs the programs of seeds on both engines. While the oracle runs one batch, the next is made up.
func runSeeds(o *oracle, from, to uint64) (tally, error) {
	var t tally
	type sent struct {
		ms    []*machine
		first uint64
	}
	var waiting []sent
	receive := func() error {
		s := waiting[0]
		waiting = waiting[1:]
		sums, err := o.sums(len(s.ms))
		if err != nil {
			return err
		}
		for i, m := range s.ms {
			t.programs++
			t.positions += len(m.positions)
			if m.sum() != sums[i] {
				t.failures = append(t.failures, failure{seed: s.first + uint64(i)})
			}
		}
		return nil
	}
	for seed := from; seed < to; seed += batch {
		s := sent{first: seed}
		var programs []byte
		for i := seed; i < min(to, seed+batch); i++ {
			m := playSeed(i)
			if len(programs) > 0 {
				programs = append(programs, ',')
			}
			programs = programJSON(programs, m.program)
			s.ms = append(s.ms, m)
		}
		if len(waiting) == 2 {
			if err := receive(); err != nil {
				return t, err
			}
		}
		if err := o.ask(false, programs); err != nil {
			return t, err
		}
		waiting = append(waiting, s)
	}
	for len(waiting) > 0 {
		if err := receive(); err != nil {
			return t, err
		}
	}
	return t, t.settle(o)
}

// maxShrunk is how many failing programs are shrunk.
const maxShrunk = 5

// settle looks closer where the hashes differ. What differs only in the order of an object's keys is equal.
func (t *tally) settle(o *oracle) error {
	var failures []failure
	for _, f := range t.failures {
		m := playSeed(f.seed)
		where, err := o.compare(m)
		if err != nil {
			return err
		}
		if where == "" {
			continue
		}
		if len(failures) < maxShrunk {
			where = o.shorten(m.program)
		}
		failures = append(failures, failure{f.seed, where})
	}
	t.failures = failures
	return nil
}

func (t *tally) report(tb testing.TB) {
	tb.Helper()
	for _, f := range t.failures {
		tb.Errorf("seed %d (%s) differs from yjs: %s", f.seed, suites[f.seed%uint64(len(suites))].name, f.where)
	}
}

// seeds are those of JUPYTER_DRIVE_TEST_SEEDS=FROM-TO, or n new ones; the last is not included.
func seeds(t *testing.T, n uint64) (from, to uint64) {
	t.Helper()
	s := os.Getenv("JUPYTER_DRIVE_TEST_SEEDS")
	if s == "" {
		from = uint64(time.Now().UnixNano()) % 1e12
		return from, from + n
	}
	if _, err := fmt.Sscanf(s, "%d-%d", &from, &to); err != nil {
		t.Fatalf("JUPYTER_DRIVE_TEST_SEEDS=%s: want FROM-TO", s)
	}
	return from, to
}

// few is how many programs a run without seeds does.
const few = 960

// TestYjs runs random programs on our documents and on those of yjs, and compares every update that either sends and all
// that they hold in the end. JUPYTER_DRIVE_TEST_SEEDS=FROM-TO runs these seeds.
func TestYjs(t *testing.T) {
	t.Parallel()
	from, to := seeds(t, few)
	t.Logf("seeds %d to %d", from, to-1)
	got, err := runSeeds(startOracle(t), from, to)
	if err != nil {
		t.Fatal(err)
	}
	got.report(t)
	t.Logf("%d programs, %d positions, %d differ", got.programs, got.positions, len(got.failures))
}
