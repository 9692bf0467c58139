package crdt_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// pythonPeer is a Python process with a document of pycrdt.
type pythonPeer struct {
	in  *json.Encoder
	out *bufio.Scanner
}

type peerAnswer struct {
	Updates [][]byte
	Update  []byte
	Content json.RawMessage
	SV      []byte
	Full    []byte
}

func startPeer(t *testing.T) *pythonPeer {
	t.Helper()
	python := os.Getenv("JUPYTER_DRIVE_TEST_PYTHON")
	if python == "" {
		python = "python3"
	}
	if err := exec.Command(python, "-c", "import pycrdt").Run(); err != nil {
		t.Skip("pycrdt is not installed: run make test, or set JUPYTER_DRIVE_TEST_PYTHON")
	}
	in, out := startEngine(t, python, filepath.Join("testdata", "peer.py"))
	scanner := bufio.NewScanner(out)
	scanner.Buffer(nil, 64<<20)
	return &pythonPeer{json.NewEncoder(in), scanner}
}

func (p *pythonPeer) ask(t *testing.T, command map[string]any) (a peerAnswer) {
	t.Helper()
	err := p.in.Encode(command)
	if err == nil && !p.out.Scan() {
		t.Fatalf("pycrdt ended: %v", p.out.Err())
	}
	if err == nil {
		err = json.Unmarshal(p.out.Bytes(), &a)
	}
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// TestPycrdt lets one of our documents and one of pycrdt edit at the same time and exchange updates both ways, some of
// them late, shuffled or twice, and compares them in the end. There are no surrogate pairs to cut: where yjs and ours leave
// two replacement characters, pycrdt's engine keeps the pair. Objects have one key, as it mixes up their order.
// JUPYTER_DRIVE_TEST_FULL runs a thousand programs.
func TestPycrdt(t *testing.T) {
	t.Parallel()
	p := startPeer(t)
	programs, first := 50, uint64(time.Now().UnixNano())%1e9
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		programs, first = 1000, 1
	}
	t.Logf("seeds %d to %d", first, first+uint64(programs)-1)
	for seed := first; seed < first+uint64(programs); seed++ {
		if !playWith(t, p, seed) {
			t.Errorf("seed %d differs", seed)
		}
	}
}

// playWith runs one program and reports whether both documents came to hold the same.
func playWith(t *testing.T, p *pythonPeer, seed uint64) bool {
	t.Helper()
	m := &maker{machine: newMachine(), rng: rand.New(rand.NewPCG(seed, 5)), o: scenario{Nested: true, Undo: true, Portable: true}, gc: true}
	m.open(1, 0)
	d := m.peers[0].doc
	p.ask(t, map[string]any{"op": "new", "client": 2, "seed": seed})
	var theirs [][]byte // that we do not have yet
	deliver := func() {
		m.rng.Shuffle(len(theirs), func(i, j int) { theirs[i], theirs[j] = theirs[j], theirs[i] })
		for _, u := range theirs {
			check(d.ApplyUpdate(u, "peer"))
			if m.rng.IntN(4) == 0 {
				check(d.ApplyUpdate(u, "peer"))
			}
		}
		theirs = nil
	}
	sent := 0 // of our updates
	send := func() {
		ours := m.updates[sent:]
		sent = len(m.updates)
		for _, i := range m.rng.Perm(len(ours)) {
			p.ask(t, map[string]any{"op": "apply", "update": ours[i]})
		}
	}
	for range 5 + m.rng.IntN(20) {
		switch m.rng.IntN(5) {
		case 0:
			deliver()
		case 1:
			send()
		case 2, 3:
			m.edit(0)
		default:
			a := p.ask(t, map[string]any{"op": "edit", "n": 1 + m.rng.IntN(3)})
			theirs = append(theirs, a.Updates...)
		}
	}
	check(d.ApplyUpdate(p.ask(t, map[string]any{"op": "diff", "update": d.StateVector().Encode()}).Update, "peer"))
	a := p.ask(t, map[string]any{"op": "state"})
	sv, err := crdt.DecodeStateVector(a.SV)
	check(err)
	p.ask(t, map[string]any{"op": "apply", "update": d.EncodeStateAsUpdate(sv)})
	return samePeers(t, d, p.ask(t, map[string]any{"op": "state"}))
}

// samePeers compares contents, state vectors, and documents made from either full update.
func samePeers(t *testing.T, d *crdt.Doc, a peerAnswer) bool {
	t.Helper()
	same := true
	content := crdt.AppendJSON([]byte(`{"t":`), d.Text("t"))
	content = crdt.AppendJSON(append(content, `,"a":`...), d.Array("a"))
	content = append(crdt.AppendJSON(append(content, `,"m":`...), d.Map("m")), '}')
	if !sameJSON(content, a.Content) {
		t.Errorf("content\n got %s\nwant %s", content, a.Content)
		same = false
	}
	theirs, err := crdt.DecodeStateVector(a.SV)
	check(err)
	if got, want := d.StateVector().Encode(), theirs.Encode(); !bytes.Equal(got, want) {
		t.Errorf("state vector %x, want %x", got, want)
		same = false
	}
	one, two := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
	check(one.ApplyUpdate(d.EncodeStateAsUpdate(nil), ""))
	check(two.ApplyUpdate(a.Full, ""))
	if got, want := one.EncodeStateAsUpdate(nil), two.EncodeStateAsUpdate(nil); !bytes.Equal(got, want) {
		t.Errorf("full update\n got %x\nwant %x", got, want)
		same = false
	}
	return same
}
