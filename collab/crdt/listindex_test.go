package crdt_test

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// tangle makes up updates that put items into the lists of a few clients, at neighbours that nobody could have seen next to
// each other.
type tangle struct {
	rng   *rand.Rand
	state map[uint64]uint64 // of each client
	lists [][]crdt.ID       // the units of each list, as they came
}

// update has the structs of each client.
func (g *tangle) update(clients, structs int) []byte {
	sections, first, counts := map[uint64][]byte{}, map[uint64]uint64{}, map[uint64]int{}
	var order []uint64
	for range structs {
		client := 1 + uint64(g.rng.IntN(clients))
		if _, ok := first[client]; !ok {
			first[client] = g.state[client]
			order = append(order, client)
		}
		sections[client] = g.item(sections[client], client)
		counts[client]++
	}
	slices.Sort(order)
	b := binary.AppendUvarint(nil, uint64(len(order)))
	for _, c := range slices.Backward(order) {
		b = binary.AppendUvarint(binary.AppendUvarint(binary.AppendUvarint(b, uint64(counts[c])), c), first[c])
		b = append(b, sections[c]...)
	}
	return append(b, 0)
}

// item appends a struct of one to three values.
func (g *tangle) item(b []byte, client uint64) []byte {
	list := min(g.rng.IntN(6), g.rng.IntN(6)) / 2
	var info byte = 8
	var left, right crdt.ID
	if units := g.lists[list]; len(units) > 0 && g.rng.IntN(5) > 0 {
		info, left = info|0x80, g.unit(units)
	}
	units := g.lists[list]
	if g.rng.IntN(40) == 0 {
		units = g.lists[g.rng.IntN(3)]
	}
	if len(units) > 0 && g.rng.IntN(3) > 0 {
		info, right = info|0x40, g.unit(units)
	}
	at := len(b)
	b = append(b, info)
	for _, id := range [][2]any{{byte(0x80), left}, {byte(0x40), right}} {
		if info&id[0].(byte) != 0 {
			b = binary.AppendUvarint(binary.AppendUvarint(b, id[1].(crdt.ID).Client), id[1].(crdt.ID).Clock)
		}
	}
	if info == 8 {
		b = append(b, 1, 1, "abm"[list])
		if list == 2 {
			b[at] |= 0x20
			b = append(b, 1, 'k')
		}
	}
	n := 1 + g.rng.IntN(3)
	b = append(b, byte(n))
	for range n {
		b = append(b, 126)
		g.lists[list] = append(g.lists[list], crdt.ID{Client: client, Clock: g.state[client]})
		g.state[client]++
	}
	return b
}

// unit is one of the last, or any.
func (g *tangle) unit(units []crdt.ID) crdt.ID {
	if g.rng.IntN(2) == 0 {
		return units[max(0, len(units)-1-g.rng.IntN(6))]
	}
	return units[g.rng.IntN(len(units))]
}

// TestListIndex puts items into lists, with an index and by scanning, and looks for differences.
func TestListIndex(t *testing.T) {
	t.Parallel()
	n := 3_000
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		n = 200_000
	}
	from, to := seeds(t, uint64(n))
	t.Logf("seeds %d to %d", from, to-1)
	items := 0
	for seed := from; seed < to; seed++ {
		g := &tangle{rng: rand.New(rand.NewPCG(seed, 9)), state: map[uint64]uint64{}, lists: make([][]crdt.ID, 3)}
		indexed, scanned := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
		crdt.SetLongScan(indexed, 0)
		crdt.SetLongScan(scanned, math.MaxInt)
		if seed%4 == 0 { // the numbers of scans begin anew
			crdt.SetScans(indexed, math.MaxUint32/2-uint32(g.rng.IntN(30)))
			crdt.SetScans(scanned, math.MaxUint32/2-uint32(g.rng.IntN(300)))
		}
		clients, structs := 2+g.rng.IntN(9), 4+g.rng.IntN(60)
		for range 1 + g.rng.IntN(4) {
			u := g.update(clients, structs)
			items += structs
			ok(t, "update", indexed.ApplyUpdate(u, ""))
			ok(t, "update", scanned.ApplyUpdate(u, ""))
			ok(t, "indexed", crdt.Check(indexed))
			if got, want := crdt.Lists(indexed), crdt.Lists(scanned); got != want {
				t.Fatalf("seed %d: index:%s\nscan:%s", seed, got, want)
			}
		}
	}
	t.Logf("%d items", items)
}
