package editing

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"strings"
)

// Kind says who edits in a workload.
type Kind string

// Kinds of workloads.
const (
	One  Kind = "one"  // one document is edited, another gets each update at once
	Two  Kind = "two"  // two documents that hold the same are edited, then each gets the other's updates
	Many Kind = "many" // each edit is made by a document of its own; the first one gets all updates, which alone is measured
)

// Workload is a set of edits for any engine.
type Workload struct {
	Name string
	Kind Kind
	// Type is the root that is edited: text, array or map.
	Type string
	// Start is the text that both documents of a workload of kind Two hold at first.
	Start string
	// Edits are those of the first document, or one for each document.
	Edits []Change
	// Others are those of the second document.
	Others []Change
}

// Change is one transaction: at an index some elements are deleted and a value inserted, or a key of a map is set to it. In
// JSON it is a list of the three.
type Change struct {
	At, Deleted int
	// Value is a string for a text, a list of numbers for an array, anything for a map.
	Value any
}

// MarshalJSON writes the change as [index, deleted, value].
func (c Change) MarshalJSON() ([]byte, error) { return json.Marshal([]any{c.At, c.Deleted, c.Value}) }

// N is the number of edits in the workloads.
const N = 6000

// maker makes up workloads.
type maker struct{ rng *rand.Rand }

func (m maker) letter() string { return string(rune('a' + m.rng.IntN(26))) }

func (m maker) word(least, most int) string {
	var b strings.Builder
	for range least + m.rng.IntN(most-least+1) {
		b.WriteString(m.letter())
	}
	return b.String()
}

// spread makes N changes at random places.
func (m maker) spread(length int, value func() any, size func(any) int) []Change {
	var cs []Change
	for range N {
		v := value()
		cs = append(cs, Change{m.rng.IntN(length + 1), 0, v})
		length += size(v)
	}
	return cs
}

// mixed inserts N words or deletes some of the text, at random places.
func (m maker) mixed(length int) []Change {
	var cs []Change
	for range N {
		at := m.rng.IntN(length + 1)
		if length == at || m.rng.IntN(2) == 0 {
			w := m.word(2, 10)
			cs = append(cs, Change{at, 0, w})
			length += len(w)
			continue
		}
		d := min(length-at, 1+m.rng.IntN(9))
		cs = append(cs, Change{at, d, ""})
		length -= d
	}
	return cs
}

func (m maker) number() int { return m.rng.IntN(1 << 30) }

func textSize(v any) int { return len(v.(string)) }
func listSize(v any) int { return len(v.([]int)) }

// Workloads are B1 to B3 of crdt-benchmarks, as its README describes them.
func Workloads(seed uint64) []Workload {
	m := maker{rand.New(rand.NewPCG(seed, 4))}
	letter := func() any { return m.letter() }
	word := func() any { return m.word(2, 10) }
	list := func() any { return []int{m.number()} }
	each := func(change func(i int) Change) []Change {
		cs := make([]Change, N)
		for i := range cs {
			cs[i] = change(i)
		}
		return cs
	}
	long := m.word(N, N)
	numbers := make([]int, N)
	for i := range numbers {
		numbers[i] = m.number()
	}
	ws := []Workload{
		{Name: "B1.1 append characters", Kind: One, Type: "text", Edits: each(func(i int) Change { return Change{i, 0, m.letter()} })},
		{Name: "B1.2 insert a string", Kind: One, Type: "text", Edits: []Change{{0, 0, long}}},
		{Name: "B1.3 prepend characters", Kind: One, Type: "text", Edits: each(func(int) Change { return Change{0, 0, m.letter()} })},
		{Name: "B1.4 insert characters", Kind: One, Type: "text", Edits: m.spread(0, letter, textSize)},
		{Name: "B1.5 insert words", Kind: One, Type: "text", Edits: m.spread(0, word, textSize)},
		{Name: "B1.6 insert a string, delete it", Kind: One, Type: "text", Edits: []Change{{0, 0, long}, {0, N, ""}}},
		{Name: "B1.7 insert and delete strings", Kind: One, Type: "text", Edits: m.mixed(0)},
		{Name: "B1.8 append numbers", Kind: One, Type: "array", Edits: each(func(i int) Change { return Change{i, 0, []int{m.number()}} })},
		{Name: "B1.9 insert an array", Kind: One, Type: "array", Edits: []Change{{0, 0, numbers}}},
		{Name: "B1.10 prepend numbers", Kind: One, Type: "array", Edits: each(func(int) Change { return Change{0, 0, []int{m.number()}} })},
		{Name: "B1.11 insert numbers", Kind: One, Type: "array", Edits: m.spread(0, list, listSize)},
		{Name: "B2.1 both insert a string", Kind: Two, Type: "text", Edits: []Change{{0, 0, long}}, Others: []Change{{0, 0, m.word(N, N)}}},
	}
	start := m.word(100, 100)
	ws = append(ws,
		Workload{Name: "B2.2 both insert characters", Kind: Two, Type: "text", Start: start,
			Edits: m.spread(100, letter, textSize), Others: m.spread(100, letter, textSize)},
		Workload{Name: "B2.3 both insert words", Kind: Two, Type: "text", Start: start,
			Edits: m.spread(100, word, textSize), Others: m.spread(100, word, textSize)},
		Workload{Name: "B2.4 both insert and delete", Kind: Two, Type: "text", Start: start, Edits: m.mixed(100), Others: m.mixed(100)},
	)
	return append(ws, m.crowds()...)
}

// crowds are the workloads of many documents.
func (m maker) crowds() []Workload {
	clients := 20 * int(math.Sqrt(N))
	each := func(value func(i int) any) []Change {
		cs := make([]Change, clients)
		for i := range cs {
			cs[i] = Change{0, 0, value(i)}
		}
		return cs
	}
	return []Workload{
		{Name: "B3.1 many set a number", Kind: Many, Type: "map", Edits: each(func(i int) any { return i })},
		{Name: "B3.2 many set an object", Kind: Many, Type: "map", Edits: each(func(i int) any {
			return map[string]any{"name": m.word(5, 10), "address": "here", "number": i}
		})},
		{Name: "B3.3 many set a string", Kind: Many, Type: "map", Edits: each(func(int) any { return m.word(100, 100) })},
		{Name: "B3.4 many insert a text", Kind: Many, Type: "array", Edits: each(func(i int) any { return m.word(5, 10) })},
	}
}
