package crdt_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

// deliveries are the ways in which edits reach a document that made none of them.
var deliveries = map[string]func(m *machine, to int, edits []int){
	"causal": func(m *machine, to int, edits []int) {
		for _, u := range edits {
			if m.rng.IntN(4) == 0 {
				m.deliver2(to, u)
			} else {
				m.deliver(to, u)
			}
		}
	},
	"shuffled": func(m *machine, to int, edits []int) {
		order := append([]int(nil), edits...)
		m.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		var lost []int
		for _, u := range order {
			switch m.rng.IntN(5) {
			case 0:
				lost = append(lost, u)
			case 1:
				m.deliver(to, u)
				m.deliver(to, u)
			default:
				m.deliver(to, u)
			}
		}
		for _, u := range lost {
			m.deliver(to, u)
		}
	},
	"full": func(m *machine, to int, _ []int) {
		for from := range to {
			if m.rng.IntN(2) == 0 {
				m.full(from, to)
			} else {
				m.full2(from, to)
			}
		}
	},
	"merged": func(m *machine, to int, edits []int) {
		order := append([]int(nil), edits...)
		m.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		half := len(order) / 2
		if half > 0 {
			m.merged(to, order[:half])
		}
		at := len(m.updates)
		m.merged(-1, order)
		m.diffed(at, 0)
		m.deliver(to, at)
	},
	"diffs": func(m *machine, to int, _ []int) {
		for from := range to {
			m.sync(from, to)
		}
	},
}

// play makes up and runs one program.
func play(t testing.TB, seed uint64, o scenario, delivery string) *machine {
	t.Helper()
	m := &machine{t: t, rng: rand.New(rand.NewPCG(seed, 1)), o: o}
	m.o.KeepDeleted = m.rng.IntN(3) == 0
	peers := o.Peers
	if peers == 0 {
		peers = 2 + m.rng.IntN(5)
	}
	for i := range peers {
		m.add(uint64(m.rng.Uint32()), o.Undo && i == 0, o.Observe)
	}
	var edits []int
	for range 5 + m.rng.IntN(40) {
		if m.rng.IntN(4) == 0 {
			if a, b := m.rng.IntN(peers), m.rng.IntN(peers); a != b {
				m.sync(a, b)
			}
			continue
		}
		before := len(m.updates)
		m.edit(m.rng.IntN(peers))
		for u := before; u < len(m.updates); u++ {
			edits = append(edits, u)
		}
	}
	if delivery != "" {
		deliveries[delivery](m, m.add(7, false, o.Observe), edits)
	}
	return m
}

// suites are the kinds of programs, with how many there are of each in a full run.
var suites = []struct {
	name     string
	delivery string
	full     int
	o        scenario
}{
	{"causal", "causal", 5000, scenario{Nested: true, Undo: true}},
	{"shuffled", "shuffled", 5000, scenario{Nested: true, Undo: true}},
	{"full", "full", 5000, scenario{Nested: true, Undo: true}},
	{"merged", "merged", 5000, scenario{Nested: true, Undo: true}},
	{"diffs", "diffs", 5000, scenario{Nested: true, Undo: true}},
	{"rich causal", "causal", 2000, scenario{Nested: true, Rich: true, Undo: true}},
	{"rich shuffled", "shuffled", 2000, scenario{Rich: true}},
	{"rich merged", "merged", 2000, scenario{Rich: true, Undo: true}},
	{"undo", "", 2000, scenario{Nested: true, Undo: true, Peers: 2}},
	{"observers", "causal", 2000, scenario{Nested: true, Rich: true, Observe: true}},
	{"positions", "", 500, scenario{Nested: true, Positions: true, Undo: true}},
}

// TestYjs runs random programs on our documents and on those of yjs, and compares every update that either sends and all
// that they hold in the end. JUPYTER_DRIVE_TEST_SEEDS=FROM-TO runs these seeds of every suite.
func TestYjs(t *testing.T) {
	t.Parallel()
	from, to := seeds(t)
	for _, s := range suites {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			o := startOracle(t)
			last := to
			if last == 0 {
				last = from + uint64(s.full)/share()
			}
			for seed := from; seed < last; seed++ {
				m := play(t, seed, s.o, s.delivery)
				got, want := m.result(), o.run(t, m.program)
				if d := difference(got, want); d != "" {
					t.Errorf("seed %d: %s differs from yjs (%d steps): %s", seed, d, len(m.program), report(d, got, want))
					if testing.Verbose() {
						t.Log(m)
					}
					if os.Getenv("JUPYTER_DRIVE_TEST_FULL") == "" {
						return
					}
				}
			}
			t.Logf("seeds %d to %d", from, last-1)
		})
	}
}

func report(d string, got, want result) string {
	if want.Error != "" {
		return want.Error
	}
	for i := range want.Docs {
		if d == "content" {
			if g, w := fmt.Sprint(normal(got.Docs[i].Content)), fmt.Sprint(normal(want.Docs[i].Content)); g != w {
				return fmt.Sprintf("document %d\n got %s\nwant %s", i, g, w)
			}
		}
	}
	switch d {
	case "events":
		for i := range want.Events {
			if i >= len(got.Events) || fmt.Sprint(normal(got.Events[i])) != fmt.Sprint(normal(want.Events[i])) {
				if i < len(got.Events) {
					return fmt.Sprintf("%d:\n got %v\nwant %v", i, normal(got.Events[i]), normal(want.Events[i]))
				}
			}
		}
	case "positions":
		for i := range want.Positions {
			if fmt.Sprint(got.Positions[i]) != fmt.Sprint(want.Positions[i]) {
				return fmt.Sprintf("%d: got %v want %v", i, got.Positions[i], want.Positions[i])
			}
		}
	case "update", "update of version 2":
		for i := range want.Updates {
			if got.Updates[i] != want.Updates[i] || got.Updates2[i] != want.Updates2[i] {
				return fmt.Sprintf("the first is %d of %d", i, len(want.Updates))
			}
		}
	}
	return ""
}

// share is which part of the full counts is run: all of it, or one of that many parts.
func share() uint64 {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		return 1
	}
	return 100
}

// seeds are the seeds to run: from the environment, or new ones of which the first is printed.
func seeds(t *testing.T) (from, to uint64) {
	t.Helper()
	if s := os.Getenv("JUPYTER_DRIVE_TEST_SEEDS"); s != "" {
		if _, err := fmt.Sscanf(s, "%d-%d", &from, &to); err != nil {
			t.Fatalf("JUPYTER_DRIVE_TEST_SEEDS=%s: want FROM-TO", s)
		}
		return from, to
	}
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		return 1, 0
	}
	from = uint64(time.Now().UnixNano()) % 1e9
	t.Log("first seed " + strconv.FormatUint(from, 10))
	return from, 0
}
