package crdt_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// peer is one of our documents in a program.
type peer struct {
	doc  *crdt.Doc
	undo *crdt.UndoManager
}

// machine runs a program on our documents while it is made up, and records it for the oracle.
type machine struct {
	t         testing.TB
	rng       *rand.Rand
	program   []any
	peers     []*peer
	updates   [][]byte
	updates2  [][]byte
	events    []any
	positions []position
	o         scenario
}

type position struct {
	peer int
	p    crdt.RelativePosition
}

// scenario says what a random program may do.
type scenario struct {
	Rich, Nested, Undo, Observe, Positions, KeepDeleted bool
	Peers                                               int
}

func (m *machine) step(args ...any) { m.program = append(m.program, args) }

func (m *machine) check(err error) {
	m.t.Helper()
	if err != nil {
		b, _ := json.Marshal(m.program)
		m.t.Fatalf("%v after %s", err, b)
	}
}

func (m *machine) add(client uint64, undo, observe bool) int {
	d := crdt.New(crdt.Options{KeepDeleted: m.o.KeepDeleted})
	d.SetClientID(client)
	roots := []crdt.SharedType{d.Text("t"), d.Array("a"), d.Map("m")}
	d.OnUpdate(func(u []byte, _ *crdt.Tx) { m.updates = append(m.updates, u) })
	d.OnUpdateV2(func(u []byte, _ *crdt.Tx) { m.updates2 = append(m.updates2, u) })
	if observe {
		seen := func(es []*crdt.Event, _ *crdt.Tx) {
			list := []any{}
			for _, e := range es {
				list = append(list, eventJSON(e))
			}
			m.events = append(m.events, list)
		}
		d.Text("t").ObserveDeep(seen)
		d.Array("a").ObserveDeep(seen)
		d.Map("m").ObserveDeep(seen)
	}
	p := &peer{doc: d}
	if undo {
		p.undo = crdt.NewUndoManager(d, crdt.UndoOptions{}, roots...)
	}
	m.peers = append(m.peers, p)
	m.step("new", client, !m.o.KeepDeleted, undo, observe)
	return len(m.peers) - 1
}

var words = []string{"a", "b", "hello", " ", "\n", "é", "日本", "😀", "👩‍👩‍👧", "\x00", "x\"y\\", "long enough to be cut in the middle"}

func (m *machine) word() string { return words[m.rng.IntN(len(words))] }

// value makes up a value, as ours and for the oracle.
func (m *machine) value(depth int) (crdt.Value, any) {
	n := 12
	if m.o.Nested && depth < 3 {
		n = 16
	}
	switch m.rng.IntN(n) {
	case 0:
		return crdt.Null{}, nil
	case 1:
		return crdt.Bool(true), true
	case 2:
		i := m.rng.IntN(1000) - 500
		return crdt.Number(i), i
	case 3:
		f := []float64{1.5, 1.1, 1 << 31, -1 << 31, 1e300, 3.1415927410125732, 9007199254740991}[m.rng.IntN(7)]
		return crdt.Number(f), f
	case 4:
		b := []byte(m.word())
		return crdt.Bytes(b), map[string]any{"$": "bytes", "v": base64.StdEncoding.EncodeToString(b)}
	case 5:
		return crdt.List{crdt.Number(1), crdt.String("x")}, []any{1, "x"}
	case 6:
		o := &crdt.Object{}
		o.Set("k", crdt.Number(2))
		o.Set("1", crdt.Null{})
		return o, map[string]any{"k": 2, "1": nil}
	case 12:
		w := m.word()
		return crdt.NewText(w), map[string]any{"$": "text", "v": w}
	case 13:
		v, j := m.value(depth + 1)
		w, k := m.value(depth + 1)
		return crdt.NewArray(v, w), map[string]any{"$": "array", "v": []any{j, k}}
	case 14, 15:
		v, j := m.value(depth + 1)
		w, k := m.value(depth + 1)
		return crdt.NewMap(crdt.Entry{Key: "id", Value: v}, crdt.Entry{Key: "source", Value: w}),
			map[string]any{"$": "map", "v": []any{[]any{"id", j}, []any{"source", k}}}
	default:
		w := m.word()
		return crdt.String(w), w
	}
}

// target walks down to a random shared type.
func (m *machine) target(d *crdt.Doc) ([]any, crdt.Value) {
	var path []any
	var v crdt.Value
	switch m.rng.IntN(3) {
	case 0:
		return []any{"t"}, d.Text("t")
	case 1:
		path, v = []any{"a"}, d.Array("a")
	default:
		path, v = []any{"m"}, d.Map("m")
	}
	for m.rng.IntN(3) > 0 {
		type child struct {
			step any
			v    crdt.Value
		}
		var children []child
		add := func(step any, v crdt.Value) {
			switch v.(type) {
			case *crdt.Text, *crdt.Array, *crdt.Map:
				children = append(children, child{step, v})
			}
		}
		switch v := v.(type) {
		case *crdt.Array:
			for i, x := range v.All() {
				add(i, x)
			}
		case *crdt.Map:
			for k, x := range v.All() {
				add(k, x)
			}
		}
		if len(children) == 0 {
			break
		}
		c := children[m.rng.IntN(len(children))]
		path, v = append(slices.Clip(path), c.step), c.v
	}
	return path, v
}

func (m *machine) attrs() (crdt.Attributes, map[string]any) {
	key := []string{"b", "i", "link"}[m.rng.IntN(3)]
	switch m.rng.IntN(4) {
	case 0:
		return crdt.Attributes{{Key: key, Value: crdt.Null{}}}, map[string]any{key: nil}
	case 1:
		o := &crdt.Object{}
		o.Set("href", crdt.String("u"))
		return crdt.Attributes{{Key: key, Value: o}}, map[string]any{key: map[string]any{"href": "u"}}
	default:
		return crdt.Attributes{{Key: key, Value: crdt.Bool(true)}}, map[string]any{key: true}
	}
}

// action makes one random edit and returns it for the oracle.
func (m *machine) action(tx *crdt.Tx) []any {
	path, v := m.target(tx.Doc())
	switch v := v.(type) {
	case *crdt.Text:
		return append([]any{path}, m.textAction(tx, v)...)
	case *crdt.Array:
		return append([]any{path}, m.arrayAction(tx, v)...)
	default:
		return append([]any{path}, m.mapAction(tx, v.(*crdt.Map))...)
	}
}

func (m *machine) span(n int) (at, length int) {
	at = m.rng.IntN(n)
	return at, 1 + m.rng.IntN(min(n-at, 8))
}

func (m *machine) textAction(tx *crdt.Tx, t *crdt.Text) []any {
	kind := m.rng.IntN(10)
	n := t.Len()
	if n > 0 && kind < 3 {
		at, length := m.span(n)
		m.check(t.Delete(tx, at, length))
		return []any{"delete", at, length}
	}
	at := m.rng.IntN(n + 1)
	if m.o.Rich && kind < 7 {
		a, j := m.attrs()
		switch {
		case kind < 4 && n > 0:
			at, length := m.span(n)
			m.check(t.Format(tx, at, length, a))
			return []any{"format", at, length, j}
		case kind == 4:
			o := &crdt.Object{}
			o.Set("image", crdt.String("x"))
			m.check(t.InsertEmbed(tx, at, o, a))
			return []any{"embed", at, map[string]any{"image": "x"}, j}
		case kind == 5:
			m.check(t.InsertEmbed(tx, at, crdt.Number(7), nil))
			return []any{"embed", at, 7, nil}
		}
		w := m.word()
		m.check(t.InsertFormatted(tx, at, w, a))
		return []any{"insertf", at, w, j}
	}
	w := m.word()
	m.check(t.Insert(tx, at, w))
	return []any{"insert", at, w}
}

func (m *machine) arrayAction(tx *crdt.Tx, a *crdt.Array) []any {
	n := a.Len()
	kind := m.rng.IntN(10)
	if n > 0 && kind < 4 {
		at, length := m.span(n)
		length = min(length, 3)
		m.check(a.Delete(tx, at, length))
		return []any{"delete", at, length}
	}
	var vs []crdt.Value
	var js []any
	for range 1 + m.rng.IntN(3) {
		v, j := m.value(0)
		vs, js = append(vs, v), append(js, j)
	}
	if kind < 6 {
		m.check(a.Push(tx, vs...))
		return []any{"push", js}
	}
	at := m.rng.IntN(n + 1)
	m.check(a.Insert(tx, at, vs...))
	return []any{"values", at, js}
}

func (m *machine) mapAction(tx *crdt.Tx, mp *crdt.Map) []any {
	key := []string{"id", "source", "k1", "k2", "é"}[m.rng.IntN(5)]
	if m.rng.IntN(4) == 0 {
		m.check(mp.Delete(tx, key))
		return []any{"unset", key}
	}
	v, j := m.value(0)
	m.check(mp.Set(tx, key, v))
	return []any{"set", key, j}
}

// edit lets one peer do something.
func (m *machine) edit(i int) {
	p := m.peers[i]
	if p.undo != nil {
		switch m.rng.IntN(6) {
		case 0:
			p.undo.Undo()
			m.step("undo", i)
			return
		case 1:
			p.undo.Redo()
			m.step("redo", i)
			return
		}
	}
	origin := ""
	if m.rng.IntN(5) == 0 {
		origin = "other"
	}
	var actions []any
	p.doc.TransactFrom(crdt.Origin(origin), func(tx *crdt.Tx) {
		for range 1 + m.rng.IntN(3) {
			actions = append(actions, m.action(tx))
		}
	})
	m.step("edit", i, origin, actions)
	if m.o.Positions {
		path, v := m.target(p.doc)
		if _, ok := v.(*crdt.Map); !ok {
			t := v.(crdt.SharedType)
			at, assoc := m.rng.IntN(v.(interface{ Len() int }).Len()+1), m.rng.IntN(2)-1
			m.positions = append(m.positions, position{i, crdt.RelativeTo(t, at, assoc)})
			m.step("position", i, path, at, assoc)
		}
	}
}

func (m *machine) sync(from, to int) {
	a, b := m.peers[from].doc, m.peers[to].doc
	m.check(b.ApplyUpdate(a.EncodeStateAsUpdate(b.StateVector()), "remote"))
	m.step("sync", from, to)
}

func (m *machine) full(from, to int) {
	m.check(m.peers[to].doc.ApplyUpdate(m.peers[from].doc.EncodeStateAsUpdate(nil), "remote"))
	m.step("full", from, to)
}

func (m *machine) full2(from, to int) {
	m.check(m.peers[to].doc.ApplyUpdateV2(m.peers[from].doc.EncodeStateAsUpdateV2(nil), "remote"))
	m.step("full2", from, to)
}

func (m *machine) deliver(to, update int) {
	m.check(m.peers[to].doc.ApplyUpdate(m.updates[update], "remote"))
	m.step("deliver", to, update)
}

func (m *machine) deliver2(to, update int) {
	m.check(m.peers[to].doc.ApplyUpdateV2(m.updates2[update], "remote"))
	m.step("deliver2", to, update)
}

// merged merges updates and, unless to is negative, delivers the result.
func (m *machine) merged(to int, which []int) {
	var us, us2 [][]byte
	for _, i := range which {
		us, us2 = append(us, m.updates[i]), append(us2, m.updates2[i])
	}
	u, err := crdt.MergeUpdates(us...)
	m.check(err)
	u2, err := crdt.MergeUpdatesV2(us2...)
	m.check(err)
	m.updates, m.updates2 = append(m.updates, u), append(m.updates2, u2)
	m.step("merged", to, which)
	if to >= 0 {
		m.check(m.peers[to].doc.ApplyUpdate(u, "remote"))
	}
}

func (m *machine) diffed(update, against int) {
	sv := m.peers[against].doc.StateVector()
	u, err := crdt.DiffUpdate(m.updates[update], sv)
	m.check(err)
	u2, err := crdt.DiffUpdateV2(m.updates2[update], sv)
	m.check(err)
	s, err := crdt.EncodeStateVectorFromUpdate(m.updates[update])
	m.check(err)
	s2, err := crdt.EncodeStateVectorFromUpdateV2(m.updates2[update])
	m.check(err)
	m.updates, m.updates2 = append(m.updates, u, s), append(m.updates2, u2, s2)
	m.step("diffed", update, against)
}

// result is what the program left.
func (m *machine) result() result {
	r := result{Events: m.events}
	for _, u := range m.updates {
		r.Updates = append(r.Updates, sum(u))
	}
	for _, u := range m.updates2 {
		r.Updates2 = append(r.Updates2, sum(u))
	}
	for _, p := range m.positions {
		j, err := p.p.MarshalJSON()
		m.check(err)
		_, index, ok := m.peers[p.peer].doc.Resolve(p.p, true)
		if !ok {
			index = -1
		}
		r.Positions = append(r.Positions, []any{base64.StdEncoding.EncodeToString(p.p.Encode()), string(j), index})
	}
	for _, p := range m.peers {
		d := p.doc
		r.Docs = append(r.Docs, docResult{
			Content: map[string]any{
				"t": deltaJSON(d.Text("t").Delta()),
				"a": json.RawMessage(crdt.AppendJSON(nil, d.Array("a"))),
				"m": json.RawMessage(crdt.AppendJSON(nil, d.Map("m"))),
			},
			SV: d.StateVector().Encode(), V1: d.EncodeStateAsUpdate(nil), V2: d.EncodeStateAsUpdateV2(nil),
			Snapshot: d.Snapshot().Encode(), Snapshot2: d.Snapshot().EncodeV2(),
		})
	}
	return r
}

func (m *machine) String() string {
	b, err := json.Marshal(m.program)
	if err != nil {
		return fmt.Sprint(m.program)
	}
	return string(b)
}
