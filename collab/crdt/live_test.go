package crdt_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// livePeer holds one document that is edited beside others and exchanges updates with them.
type livePeer interface {
	// do makes a step that needs no other document, and returns the updates that the document sent.
	do(s step) ([]sent, error)
	apply(update []byte, second bool) ([]sent, error)
	stateVector() ([]byte, error)
	encode(sv []byte, second bool) ([]byte, error)
	holds() ([]part, error)
}

// sent is what a transaction sent, the second version only if the document was asked for it.
type sent struct{ first, second []byte }

// ourPeer holds a document of ours.
type ourPeer struct{ m *machine }

func (p *ourPeer) do(s step) ([]sent, error) {
	s.doc = 0
	p.m.run(s)
	return p.sent(), nil
}

func (p *ourPeer) sent() []sent {
	list := make([]sent, len(p.m.updates))
	for i, u := range p.m.updates {
		list[i] = sent{u, p.m.updates2[i]}
	}
	p.m.updates, p.m.updates2 = nil, nil
	return list
}

func (p *ourPeer) doc() *crdt.Doc { return p.m.peers[0].doc }

func (p *ourPeer) apply(update []byte, second bool) ([]sent, error) {
	apply := p.doc().ApplyUpdate
	if second {
		apply = p.doc().ApplyUpdateV2
	}
	err := apply(update, "remote")
	return p.sent(), err
}

func (p *ourPeer) stateVector() ([]byte, error) { return p.doc().StateVector().Encode(), nil }

func (p *ourPeer) encode(sv []byte, second bool) ([]byte, error) {
	known, err := crdt.DecodeStateVector(sv)
	if second {
		return p.doc().EncodeStateAsUpdateV2(known), err
	}
	return p.doc().EncodeStateAsUpdate(known), err
}

func (p *ourPeer) holds() (parts []part, err error) {
	p.m.result(func(x part) { parts = append(parts, x) })
	return parts, nil
}

// yjsPeer holds a document of yjs, the index-th of those in the oracle.
type yjsPeer struct {
	o     *oracle
	index int
}

// live has the oracle do something with a live document.
func (o *oracle) live(command string) ([]part, error) {
	if err := o.send([]byte(`{"live":` + command + `}`)); err != nil {
		return nil, err
	}
	payload, err := o.answer()
	if err != nil {
		return nil, err
	}
	var got theirs
	if err := json.Unmarshal(payload, &got); err != nil {
		return nil, err
	}
	if got.Error != "" {
		return nil, errors.New("yjs failed: " + got.Error)
	}
	var parts []part
	for _, p := range got.Parts {
		if p.JSON != nil {
			parts = append(parts, part{p.Name, p.JSON, true})
			continue
		}
		b, err := base64.StdEncoding.DecodeString(p.Bytes)
		if err != nil {
			return nil, err
		}
		parts = append(parts, part{p.Name, b, false})
	}
	return parts, nil
}

func allSent(parts []part, err error) ([]sent, error) {
	list := make([]sent, len(parts)/2)
	for i := range list {
		list[i].first = parts[i].data
		if u := parts[len(list)+i].data; len(u) > 0 {
			list[i].second = u
		}
	}
	return list, err
}

func (p *yjsPeer) do(s step) ([]sent, error) {
	s.doc = p.index
	return allSent(p.o.live(fmt.Sprintf(`{"start":%t,"step":%s}`, s.op == "new" && p.index == 0, s.json(nil))))
}

func (p *yjsPeer) apply(update []byte, second bool) ([]sent, error) {
	return allSent(p.o.live(fmt.Sprintf(`{"doc":%d,"update":"%s","second":%t}`, p.index, base64.StdEncoding.EncodeToString(update), second)))
}

func (p *yjsPeer) encode(sv []byte, second bool) ([]byte, error) {
	parts, err := p.o.live(fmt.Sprintf(`{"doc":%d,"sv":"%s","second":%t}`, p.index, base64.StdEncoding.EncodeToString(sv), second))
	if err != nil {
		return nil, err
	}
	return parts[0].data, nil
}

func (p *yjsPeer) stateVector() ([]byte, error) {
	parts, err := p.holds()
	if err != nil {
		return nil, err
	}
	return parts[1].data, nil
}

func (p *yjsPeer) holds() ([]part, error) {
	return p.o.live(fmt.Sprintf(`{"doc":%d,"whole":true}`, p.index))
}

// liveRun is a program under way in which one document is ours and the others are those of yjs.
type liveRun struct {
	peers []livePeer
	sent  []sent
	named map[int]int // what ref gives, to the index in sent
}

func (r *liveRun) add(id int, us []sent) {
	for i, u := range us {
		r.named[ref(id, i)] = len(r.sent)
		r.sent = append(r.sent, u)
	}
}

func (r *liveRun) step(s step) error {
	switch s.op {
	case "new", "edit", "undo", "redo":
		us, err := r.peers[s.doc].do(s)
		r.add(s.id, us)
		return err
	case "deliver", "deliver2":
		i, ok := r.named[s.other]
		if !ok {
			return nil
		}
		u, second := r.sent[i].first, s.op == "deliver2"
		if second {
			u = r.sent[i].second
		}
		us, err := r.peers[s.doc].apply(u, second)
		r.add(s.id, us)
		return err
	}
	from, to := r.peers[s.doc], r.peers[s.other]
	sv, err := []byte{0}, error(nil)
	if s.op == "sync" || s.op == "sync2" {
		sv, err = to.stateVector()
	}
	if err != nil {
		return err
	}
	second := s.op == "sync2" || s.op == "full2"
	u, err := from.encode(sv, second)
	if err != nil {
		return err
	}
	us, err := to.apply(u, second)
	r.add(s.id, us)
	return err
}

// runLive runs a program with our document in the place of mine, and returns what all documents sent and hold, or what went
// wrong.
func runLive(o *oracle, program []step, mine int) (parts []part, fault any) {
	defer func() {
		if r := recover(); r != nil {
			parts, fault = nil, r
		}
	}()
	r := &liveRun{named: map[int]int{}}
	theirs := 0
	for _, s := range program {
		if s.op == "new" {
			s.doc = len(r.peers)
			if s.doc == mine {
				r.peers = append(r.peers, &ourPeer{newMachine()})
			} else {
				r.peers = append(r.peers, &yjsPeer{o, theirs})
				theirs++
			}
		}
		check(r.step(s))
	}
	for _, u := range r.sent {
		parts = append(parts, part{"updates", u.first, false})
	}
	for _, u := range r.sent {
		parts = append(parts, part{"updates2", u.second, false})
	}
	for _, p := range r.peers {
		held, err := p.holds()
		check(err)
		parts = append(parts, held...)
	}
	return parts, nil
}

// playLive makes up a program of documents that all edit and send each other updates, some of them late, in another order or
// twice.
func playLive(seed uint64) []step {
	m := &maker{machine: newMachine(), rng: rand.New(rand.NewPCG(seed, 6))}
	m.o = scenario{Nested: true, Undo: true, Rich: m.rng.IntN(3) == 0}
	m.gc, m.second = m.rng.IntN(3) > 0, m.rng.IntN(3) == 0
	peers := 2 + min(m.rng.IntN(5), m.rng.IntN(5))
	for i := range peers {
		m.open(uint64(m.rng.Uint32()), i)
	}
	other := func(i int) int { return (i + 1 + m.rng.IntN(peers-1)) % peers }
	for range 5 + m.rng.IntN(40) {
		i := m.rng.IntN(peers)
		switch r := m.rng.IntN(16); {
		case r < 2:
			m.do(step{op: []string{"sync", "sync2"}[r], doc: i, other: other(i)})
		case r < 7 && len(m.updates) > 0:
			op := "deliver"
			if m.second && r < 4 {
				op = "deliver2"
			}
			refs := m.refs()
			// Most of what is sent is new, so that most of it comes in order.
			m.do(step{op: op, doc: i, other: refs[max(m.rng.IntN(len(refs)), m.rng.IntN(len(refs)))]})
		default:
			m.edit(i)
		}
	}
	return m.program
}

// settled is a program at whose end each document gets all that the others have, through the first one.
func settled(program []step) []step {
	program = slices.Clone(program)
	id := program[len(program)-1].id
	give := func(from, to int) {
		id++
		program = append(program, step{id: id, op: "full", doc: from, other: to})
	}
	for i := range opened(program) - 1 {
		give(i+1, 0)
	}
	for i := range opened(program) - 1 {
		give(0, i+1)
	}
	return program
}

// opened is the number of documents, which are opened first.
func opened(program []step) int {
	if n := slices.IndexFunc(program, func(s step) bool { return s.op != "new" }); n >= 0 {
		return n
	}
	return len(program)
}

// liveDiffers runs a program with our document in the place of mine, and beside it with a document of yjs there; then each
// document gets what the others have. It tells in what the runs differ, "" if in nothing, and whether documents of yjs came to
// hold something else than each other. With formatting they may, in the attributes and in surrogate pairs, which a range that
// gets no attribute after all cuts without sending anything.
func liveDiffers(o *oracle, program []step, mine int) (where string, unstable bool, err error) {
	program = settled(program)
	want, err := o.whole(program)
	if err != nil {
		return "", false, err
	}
	got, fault := runLive(o, program, mine)
	if fault != nil {
		return fmt.Sprint(fault), false, nil
	}
	if where := difference(got, want); where != "" {
		return where, false, nil
	}
	docs := slices.DeleteFunc(got, func(p part) bool { return p.name == "updates" || p.name == "updates2" })
	const each = 7 // parts of a document, of which the first is its content, the second its state vector and the last whether it waits
	first, waits := docs[:each], docs[each-1].String()
	for i := 0; i < len(docs); i += each {
		d := docs[i : i+each]
		switch {
		case d[each-1].String() != "false" || waits != "false":
			return "a document waits for updates in the end", false, nil
		case d[1].String() != first[1].String():
			return fmt.Sprintf("documents of states %v and %v", d[1], first[1]), false, nil
		case sameJSON(d[0].data, first[0].data):
		case formats(program) && sameJSON(plain(d[0].data), plain(first[0].data)):
			unstable = true
		default:
			return fmt.Sprintf("documents hold %s and %s", d[0].data, first[0].data), false, nil
		}
	}
	return "", unstable, nil
}

// formats reports whether a program edits more of texts than their characters.
func formats(program []step) bool {
	return slices.ContainsFunc(program, func(s step) bool {
		return slices.ContainsFunc(s.actions, func(a action) bool {
			return slices.Contains([]string{"insertf", "embed", "format", "delta"}, a.name)
		})
	})
}

// plain takes the attributes out of a document's content, and cuts all surrogate pairs.
func plain(content []byte) []byte {
	var halves []rune
	for _, r := range string(content) {
		if r >= 0x10000 {
			halves = append(halves, '\uFFFD')
			r = '\uFFFD'
		}
		halves = append(halves, r)
	}
	var c map[string]any
	check(json.Unmarshal([]byte(string(halves)), &c))
	text := ""
	for _, op := range c["t"].([]any) {
		insert := op.(map[string]any)["insert"]
		if s, ok := insert.(string); ok {
			text += s
			continue
		}
		b, err := json.Marshal(insert)
		check(err)
		text += string(b)
	}
	c["t"] = text
	b, err := json.Marshal(c)
	check(err)
	return b
}

// TestLive lets one of our documents and one to five of yjs edit at the same time and send each other updates. It compares
// all that they send and hold with a run in which yjs has the place of ours, and what the documents hold in the end with each
// other. JUPYTER_DRIVE_TEST_FULL runs two thousand programs, JUPYTER_DRIVE_TEST_SEEDS=FROM-TO these seeds.
func TestLive(t *testing.T) {
	t.Parallel()
	o := startOracle(t)
	from, to := seeds(t, 60)
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" && os.Getenv("JUPYTER_DRIVE_TEST_SEEDS") == "" {
		from, to = 1, 2001
	}
	t.Logf("seeds %d to %d", from, to-1)
	unstable := 0
	for seed := from; seed < to; seed++ {
		program := playLive(seed)
		mine := int(seed % uint64(opened(program)))
		where, differs, err := liveDiffers(o, program, mine)
		if err != nil {
			t.Fatal(err)
		}
		if differs {
			unstable++
		}
		if where != "" {
			t.Fatalf("seed %d: %s\n%s", seed, where, shortest(program, func(p []step) (string, error) {
				where, _, err := liveDiffers(o, p, mine)
				return where, err
			}))
		}
	}
	t.Logf("%d programs, yjs unstable in %d", to-from, unstable)
}
