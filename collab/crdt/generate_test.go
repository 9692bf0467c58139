package crdt_test

import (
	"math/rand/v2"
	"slices"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// scenario says what a random program may do.
type scenario struct {
	Rich, Nested, Undo, Observe, Positions, XML, Subdocs bool
	Delivery                                             string // to one more document that edits nothing
	Peers                                                int    // 0 for 2 to 6
	Long                                                 bool
	Portable                                             bool // no surrogate pairs, which an edit could cut in two, and objects of one key
}

// maker makes up a program while it runs.
type maker struct {
	*machine
	rng *rand.Rand
	o   scenario
	gc  bool

	second bool // with updates of version 2 for each transaction
}

// play makes up and runs the program of a seed.
func play(seed uint64, o scenario) *machine {
	m := &maker{machine: newMachine(), rng: rand.New(rand.NewPCG(seed, 3)), o: o}
	m.gc = m.rng.IntN(3) > 0
	m.second = m.rng.IntN(3) == 0
	peers := o.Peers
	if peers == 0 {
		peers = 2 + min(m.rng.IntN(5), m.rng.IntN(5), m.rng.IntN(5))
	}
	for i := range peers {
		m.open(uint64(m.rng.Uint32()), i)
	}
	for range m.length() {
		switch r := m.rng.IntN(16); {
		case r < 4:
			if a, b := m.rng.IntN(peers), m.rng.IntN(peers); a != b {
				m.do(step{op: []string{"sync", "sync", "sync2", "full"}[r], doc: a, other: b})
			}
		case r == 4 && !m.gc:
			m.snapshot(m.rng.IntN(peers))
		default:
			m.edit(m.rng.IntN(peers))
		}
	}
	if o.Delivery != "" {
		edits := m.refs()
		m.open(7, peers)
		deliveries[o.Delivery](m, peers, edits)
	}
	return m.machine
}

// length is the number of steps: most programs are short, a few are long.
func (m *maker) length() int {
	if m.o.Long {
		return 100 + m.rng.IntN(400)
	}
	switch r := m.rng.IntN(100); {
	case r < 70:
		return 1 + m.rng.IntN(5)
	case r < 94:
		return 4 + m.rng.IntN(9)
	case r < 99:
		return 12 + m.rng.IntN(19)
	default:
		return 40 + m.rng.IntN(100)
	}
}

// do runs a step and makes it part of the program.
func (m *maker) do(s step) {
	s.id = len(m.program)
	m.program = append(m.program, s)
	m.run(s)
}

func (m *maker) open(client uint64, i int) {
	m.do(step{op: "new", client: client, flags: [5]bool{m.gc, m.o.Undo && i == 0, m.o.Observe, m.o.XML, m.second}})
}

// refs names all updates that there are, in order.
func (m *maker) refs() []int {
	refs := make([]int, len(m.updates))
	for r, i := range m.named {
		refs[i] = r
	}
	return refs
}

func (m *maker) snapshot(doc int) {
	for _, s := range m.program {
		if s.op == "snapshot" && s.doc == doc && m.rng.IntN(2) == 0 {
			m.do(step{op: "restore", doc: s.id})
			return
		}
	}
	m.do(step{op: "snapshot", doc: doc})
}

// maxMerged is how many updates are merged at once: with more, Yjs' choice between collected and other structs of the same
// clock is arbitrary in a way that is not followed.
const maxMerged = 63

// deliveries are the ways in which edits reach a document that made none of them.
var deliveries = map[string]func(m *maker, to int, edits []int){
	"causal": func(m *maker, to int, edits []int) {
		for _, u := range edits {
			op := "deliver"
			if m.second && m.rng.IntN(2) == 0 {
				op = "deliver2"
			}
			m.do(step{op: op, doc: to, other: u})
		}
	},
	"shuffled": func(m *maker, to int, edits []int) {
		order := m.shuffled(edits)
		again := "deliver"
		if m.second {
			again = "deliver2"
		}
		var lost []int
		for _, u := range order {
			switch m.rng.IntN(5) {
			case 0:
				lost = append(lost, u)
			case 1:
				m.do(step{op: "deliver", doc: to, other: u})
				m.do(step{op: again, doc: to, other: u})
			default:
				m.do(step{op: "deliver", doc: to, other: u})
			}
		}
		for _, u := range lost {
			m.do(step{op: "deliver", doc: to, other: u})
		}
	},
	"full": func(m *maker, to int, _ []int) {
		for from := range to {
			m.do(step{op: []string{"full", "full2"}[m.rng.IntN(2)], doc: from, other: to})
		}
	},
	"merged": func(m *maker, to int, edits []int) {
		order := m.shuffled(edits)
		for len(order) > maxMerged {
			m.do(step{op: "merged", doc: to, refs: order[:maxMerged]})
			order = order[maxMerged:]
		}
		if half := len(order) / 2; half > 0 {
			m.do(step{op: "merged", doc: to, refs: order[:half]})
		}
		all := len(m.program)
		m.do(step{op: "merged", doc: -1, refs: order})
		m.do(step{op: "diffed", doc: ref(all, 0), other: m.rng.IntN(to + 1)})
		m.do(step{op: "deliver", doc: to, other: ref(len(m.program)-1, 0)})
		m.do(step{op: "deliver", doc: to, other: ref(all, 0)})
	},
	"diffs": func(m *maker, to int, _ []int) {
		for from := range to {
			m.do(step{op: []string{"sync", "sync2"}[m.rng.IntN(2)], doc: from, other: to})
		}
	},
}

func (m *maker) shuffled(edits []int) []int {
	order := slices.Clone(edits)
	m.rng.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	return order
}

var words = []string{"a", "b", "hello", " ", "\n", "é", "日本", "😀", "👩‍👩‍👧", "\x00", "x\"y\\", "long enough to be cut in the middle"}

func (m *maker) word() string {
	for {
		w := words[m.rng.IntN(len(words))]
		if !m.o.Portable || crdt.UTF16Len(w) == utf8.RuneCountInString(w) {
			return w
		}
	}
}

// edit lets one peer do something.
func (m *maker) edit(i int) {
	p := m.peers[i]
	if p.undo != nil {
		switch m.rng.IntN(6) {
		case 0:
			m.do(step{op: "undo", doc: i})
			return
		case 1:
			m.do(step{op: "redo", doc: i})
			return
		}
	}
	s := step{id: len(m.program), op: "edit", doc: i}
	if m.rng.IntN(5) == 0 {
		s.origin = "other"
	}
	m.begin(s.id)
	p.doc.TransactFrom(crdt.Origin(s.origin), func(tx *crdt.Tx) {
		for range 1 + m.rng.IntN(3) {
			a := m.action(tx.Doc())
			act(tx, a)
			s.actions = append(s.actions, a)
		}
	})
	m.program = append(m.program, s)
	if m.o.Positions {
		if path, t := m.target(p.doc); t != nil {
			if _, isMap := t.(*crdt.Map); !isMap {
				at := m.rng.IntN(t.(interface{ Len() int }).Len() + 1)
				m.do(step{op: "position", doc: i, path: path, at: at, assoc: m.rng.IntN(2) - 1})
			}
		}
	}
}

// target walks down to a random shared type.
func (m *maker) target(d *crdt.Doc) ([]any, crdt.SharedType) {
	names := []string{"t", "a", "m", "x"}
	name := names[m.rng.IntN(3)]
	if m.o.XML && m.rng.IntN(2) == 0 {
		name = "x"
	}
	path, t := []any{name}, root(d, name)
	for m.rng.IntN(3) > 0 {
		type child struct {
			step any
			t    crdt.SharedType
		}
		var children []child
		add := func(step any, v crdt.Value) {
			if t, ok := v.(crdt.SharedType); ok {
				children = append(children, child{step, t})
			}
		}
		switch t := t.(type) {
		case *crdt.Array:
			for i, x := range t.All() {
				add(i, x)
			}
		case *crdt.XML:
			for i, x := range t.Children() {
				add(i, x)
			}
		case *crdt.Map:
			for k, x := range t.All() {
				add(k, x)
			}
		}
		if len(children) == 0 {
			break
		}
		c := children[m.rng.IntN(len(children))]
		path, t = append(slices.Clip(path), c.step), c.t
	}
	return path, t
}

// action makes up one edit.
func (m *maker) action(d *crdt.Doc) action {
	path, t := m.target(d)
	var a action
	switch t := t.(type) {
	case *crdt.Text:
		a = m.textAction(t.Len())
	case *crdt.Array:
		a = m.arrayAction(t.Len())
	case *crdt.XML:
		a = m.xmlAction(t)
	default:
		a = m.mapAction()
	}
	a.path = path
	return a
}

func (m *maker) span(n int) (at, length int) {
	at = m.rng.IntN(n)
	return at, 1 + m.rng.IntN(min(n-at, 8))
}

func (m *maker) attrs() []sample {
	key := []string{"b", "i", "link"}[m.rng.IntN(3)]
	switch m.rng.IntN(4) {
	case 0:
		return []sample{{name: key, v: crdt.Null{}}}
	case 1:
		o := &crdt.Object{}
		o.Set("href", crdt.String("u"))
		return []sample{{name: key, v: o}}
	case 2:
		return []sample{{name: key, v: crdt.Bool(true)}, {name: "z", v: crdt.Number(m.rng.IntN(2))}}
	default:
		return []sample{{name: key, v: crdt.Bool(true)}}
	}
}

func (m *maker) textAction(n int) action {
	kind := m.rng.IntN(12)
	if n > 0 && kind < 3 {
		at, length := m.span(n)
		return action{name: "delete", at: at, n: length}
	}
	at := m.rng.IntN(n + 1)
	if !m.o.Rich || kind >= 9 {
		return action{name: "insert", at: at, text: m.word()}
	}
	switch {
	case kind < 5 && n > 0:
		at, length := m.span(n)
		return action{name: "format", at: at, n: length, attrs: m.attrs()}
	case kind == 5:
		o := &crdt.Object{}
		o.Set("image", crdt.String("x"))
		return action{name: "embed", at: at, values: []sample{{v: o}}, attrs: m.attrs()}
	case kind == 6:
		return m.embed(at)
	case kind == 7:
		return action{name: "delta", delta: m.delta(n)}
	case kind == 8 && m.rng.IntN(2) == 0:
		return action{name: "set", text: "dir", values: []sample{m.value(0)}}
	default:
		return action{name: "insertf", at: at, text: m.word(), attrs: m.attrs()}
	}
}

// embed makes up an embed of a number, a string or a shared type.
func (m *maker) embed(at int) action {
	v := sample{v: crdt.Number(7)}
	switch m.rng.IntN(4) {
	case 0:
		v = sample{v: crdt.String(m.word())}
	case 1, 2:
		v = m.shared(0)
	}
	return action{name: "embed", at: at, values: []sample{v}}
}

// delta makes up a change of a text of n units.
func (m *maker) delta(n int) []crdt.DeltaOp {
	var ops []crdt.DeltaOp
	for range 1 + m.rng.IntN(3) {
		switch k := m.rng.IntN(4); {
		case k == 0 && n > 0:
			d := 1 + m.rng.IntN(min(n, 4))
			n -= d
			ops = append(ops, crdt.DeltaOp{Delete: d})
		case k == 1 && n > 0:
			r := 1 + m.rng.IntN(n)
			n -= r
			ops = append(ops, crdt.DeltaOp{Retain: r})
		case k == 2 && n > 0:
			r := 1 + m.rng.IntN(n)
			n -= r
			ops = append(ops, crdt.DeltaOp{Retain: r, Attributes: attributes(m.attrs())})
		default:
			ops = append(ops, crdt.DeltaOp{Insert: crdt.String(m.word()), Attributes: attributes(m.attrs())})
		}
	}
	return ops
}

func (m *maker) arrayAction(n int) action {
	kind := m.rng.IntN(10)
	if n > 0 && kind < 4 {
		at, length := m.span(n)
		return action{name: "delete", at: at, n: min(length, 3)}
	}
	var vs []sample
	for range 1 + m.rng.IntN(3) {
		vs = append(vs, m.value(0))
	}
	if kind < 6 {
		return action{name: "push", values: vs}
	}
	return action{name: "values", at: m.rng.IntN(n + 1), values: vs}
}

func (m *maker) mapAction() action {
	key := []string{"id", "source", "k1", "k2", "é"}[m.rng.IntN(5)]
	switch m.rng.IntN(12) {
	case 0, 1, 2:
		return action{name: "unset", text: key}
	case 3:
		if m.rng.IntN(4) == 0 {
			return action{name: "clear"}
		}
	}
	return action{name: "set", text: key, values: []sample{m.value(0)}}
}

func (m *maker) xmlAction(x *crdt.XML) action {
	kind, n := m.rng.IntN(10), x.Len()
	switch {
	case n > 0 && kind < 3:
		at, length := m.span(n)
		return action{name: "delete", at: at, n: min(length, 2)}
	case x.Name() != "" && kind < 5:
		if m.rng.IntN(3) == 0 {
			return action{name: "unset", text: "class"}
		}
		return action{name: "set", text: []string{"class", "id"}[m.rng.IntN(2)], values: []sample{{v: crdt.String(m.word())}}}
	}
	var vs []sample
	for range 1 + m.rng.IntN(2) {
		switch m.rng.IntN(6) {
		case 0, 1, 2:
			vs = append(vs, sample{kind: "element", text: []string{"p", "DIV"}[m.rng.IntN(2)]})
		case 3:
			vs = append(vs, sample{kind: "hook", text: "h"})
		default:
			vs = append(vs, sample{kind: "xmltext", text: m.word()})
		}
	}
	if kind == 5 {
		return action{name: "push", values: vs}
	}
	return action{name: "values", at: m.rng.IntN(n + 1), values: vs}
}

// value makes up a value.
func (m *maker) value(depth int) sample {
	n := 12
	if m.o.Nested && depth < 3 {
		n = 16
	}
	switch m.rng.IntN(n) {
	case 0:
		return sample{v: crdt.Null{}}
	case 1:
		return sample{v: crdt.Bool(m.rng.IntN(2) == 0)}
	case 2:
		return sample{v: crdt.Number(m.rng.IntN(1000) - 500)}
	case 3:
		return sample{v: crdt.Number([]float64{1.5, 1.1, 1 << 31, -1 << 31, 1e300, 3.1415927410125732, 9007199254740991}[m.rng.IntN(7)])}
	case 4:
		return sample{v: crdt.Bytes(m.word())}
	case 5:
		return sample{v: crdt.List{crdt.Number(1), crdt.String("x")}}
	case 6:
		o := &crdt.Object{}
		o.Set("k", crdt.Number(2))
		if !m.o.Portable {
			o.Set("1", crdt.Null{})
		}
		return sample{v: o}
	case 7:
		if m.o.Subdocs {
			return sample{kind: "doc", text: []string{"one", "two"}[m.rng.IntN(2)]}
		}
	case 12, 13, 14, 15:
		return m.shared(depth)
	}
	return sample{v: crdt.String(m.word())}
}

// shared makes up a shared type.
func (m *maker) shared(depth int) sample {
	n := 4
	if m.o.XML {
		n = 7
	}
	switch m.rng.IntN(n) {
	case 0:
		return sample{kind: "text", text: m.word()}
	case 1:
		return sample{kind: "array", kids: []sample{m.value(depth + 1), m.value(depth + 1)}}
	case 4:
		return sample{kind: "element", text: "p"}
	case 5:
		return sample{kind: "xmltext", text: m.word()}
	case 6:
		return sample{kind: "hook", text: "h"}
	default:
		id, source := m.value(depth+1), m.value(depth+1)
		id.name, source.name = "id", "source"
		return sample{kind: "map", kids: []sample{id, source}}
	}
}
