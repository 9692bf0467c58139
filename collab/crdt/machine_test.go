package crdt_test

import (
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strconv"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// machine runs programs on our documents and keeps what they leave. It panics where an edit is refused that must not be.
type machine struct {
	program   []step
	peers     []*peer
	updates   [][]byte
	updates2  [][]byte
	named     map[int]int // what ref gives, to the update's index
	events    [][]byte
	positions []position
	snapshots map[int]snapshot
	xml       bool
	step      int
	emitted   int
}

// peer is one of our documents in a program.
type peer struct {
	doc  *crdt.Doc
	undo *crdt.UndoManager
}

type position struct {
	peer int
	p    crdt.RelativePosition
}

type snapshot struct {
	peer int
	s    *crdt.Snapshot
}

func newMachine() *machine {
	return &machine{named: map[int]int{}, snapshots: map[int]snapshot{}}
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

// begin starts a step and returns its number.
func (m *machine) begin(id int) { m.step, m.emitted = id, 0 }

func (m *machine) add(u, u2 []byte) {
	m.named[ref(m.step, m.emitted)] = len(m.updates)
	m.emitted++
	m.updates, m.updates2 = append(m.updates, u), append(m.updates2, u2)
}

// run runs a step as it is; places that are not there are moved or left out.
func (m *machine) run(s step) {
	m.begin(s.id)
	switch s.op {
	case "new":
		m.open(s)
	case "edit":
		d := m.peers[s.doc].doc
		d.TransactFrom(crdt.Origin(s.origin), func(tx *crdt.Tx) {
			for _, a := range s.actions {
				act(tx, a)
			}
		})
	case "undo":
		if u := m.peers[s.doc].undo; u != nil {
			u.Undo()
		}
	case "redo":
		if u := m.peers[s.doc].undo; u != nil {
			u.Redo()
		}
	case "merged":
		m.merge(s.doc, s.refs)
	case "diffed":
		m.diff(s.doc, s.other)
	case "position":
		d := m.peers[s.doc].doc
		if t := find(d, s.path); t != nil {
			n := t.(interface{ Len() int }).Len()
			m.positions = append(m.positions, position{s.doc, crdt.RelativeTo(t, min(s.at, n), s.assoc)})
		}
	case "snapshot":
		m.snapshots[s.id] = snapshot{s.doc, m.peers[s.doc].doc.Snapshot()}
	case "restore":
		if from, ok := m.snapshots[s.doc]; ok {
			d, err := m.peers[from.peer].doc.Restore(from.s, crdt.Options{})
			check(err)
			m.add(d.EncodeStateAsUpdate(nil), d.EncodeStateAsUpdateV2(nil))
		}
	default:
		m.deliver(s)
	}
}

// deliver brings a document what another one or an update has.
func (m *machine) deliver(s step) {
	at, known := m.named[s.other]
	switch s.op {
	case "deliver":
		if known {
			check(m.peers[s.doc].doc.ApplyUpdate(m.updates[at], "remote"))
		}
		return
	case "deliver2":
		if known {
			check(m.peers[s.doc].doc.ApplyUpdateV2(m.updates2[at], "remote"))
		}
		return
	}
	from, to := m.peers[s.doc].doc, m.peers[s.other].doc
	switch s.op {
	case "full":
		check(to.ApplyUpdate(from.EncodeStateAsUpdate(nil), "remote"))
	case "full2":
		check(to.ApplyUpdateV2(from.EncodeStateAsUpdateV2(nil), "remote"))
	case "sync":
		check(to.ApplyUpdate(from.EncodeStateAsUpdate(to.StateVector()), "remote"))
	case "sync2":
		check(to.ApplyUpdateV2(from.EncodeStateAsUpdateV2(to.StateVector()), "remote"))
	default:
		panic("unknown step " + s.op)
	}
}

func (m *machine) open(s step) {
	gc, undo, observe, xml := s.flags[0], s.flags[1], s.flags[2], s.flags[3]
	d := crdt.New(crdt.Options{KeepDeleted: !gc})
	d.SetClientID(s.client)
	if s.client%2 == 0 {
		crdt.SetLongScan(d, 0)
	}
	roots := []crdt.SharedType{d.Text("t"), d.Array("a"), d.Map("m")}
	if xml {
		m.xml = true
		roots = append(roots, d.XMLFragment("x"))
	}
	if second := s.flags[4]; second {
		var first []byte
		d.OnUpdate(func(u []byte, _ *crdt.Tx) { first = u })
		d.OnUpdateV2(func(u []byte, _ *crdt.Tx) { m.add(first, u) })
	} else {
		d.OnUpdate(func(u []byte, _ *crdt.Tx) { m.add(u, nil) })
	}
	if observe {
		for _, r := range roots {
			r.(interface {
				ObserveDeep(func([]*crdt.Event, *crdt.Tx)) func()
			}).ObserveDeep(func(es []*crdt.Event, _ *crdt.Tx) { m.events = append(m.events, appendEvents(nil, es)) })
		}
	}
	p := &peer{doc: d}
	if undo {
		p.undo = crdt.NewUndoManager(d, crdt.UndoOptions{}, roots...)
	}
	m.peers = append(m.peers, p)
}

func root(d *crdt.Doc, name string) crdt.SharedType {
	switch name {
	case "t":
		return d.Text("t")
	case "a":
		return d.Array("a")
	case "m":
		return d.Map("m")
	default:
		return d.XMLFragment("x")
	}
}

// find walks down a path; nil if it leads nowhere.
func find(d *crdt.Doc, path []any) crdt.SharedType {
	t := root(d, path[0].(string))
	for _, p := range path[1:] {
		var v crdt.Value
		switch t := t.(type) {
		case *crdt.Array:
			if at, ok := p.(int); ok {
				v = t.At(at)
			}
		case *crdt.XML:
			for i, x := range t.Children() {
				if i == p {
					v = x
				}
			}
		case *crdt.Map:
			if key, ok := p.(string); ok {
				v, _ = t.Get(key)
			}
		}
		next, ok := v.(crdt.SharedType)
		if !ok {
			return nil
		}
		t = next
	}
	return t
}

// act makes one edit.
func act(tx *crdt.Tx, a action) {
	switch t := find(tx.Doc(), a.path).(type) {
	case *crdt.Text:
		actText(tx, t, a)
	case *crdt.Array:
		at := min(a.at, t.Len())
		switch a.name {
		case "values":
			check(t.Insert(tx, at, values(a.values)...))
		case "push":
			check(t.Push(tx, values(a.values)...))
		case "delete":
			check(t.Delete(tx, at, min(a.n, t.Len()-at)))
		}
	case *crdt.XML:
		actXML(tx, t, a)
	case *crdt.Map:
		switch a.name {
		case "set":
			check(t.Set(tx, a.text, a.values[0].value()))
		case "unset":
			check(t.Delete(tx, a.text))
		case "clear":
			check(t.Clear(tx))
		}
	}
}

func actText(tx *crdt.Tx, t *crdt.Text, a action) {
	at := min(a.at, t.Len())
	n := min(a.n, t.Len()-at)
	switch a.name {
	case "insert":
		check(t.Insert(tx, at, a.text))
	case "insertf":
		check(t.InsertFormatted(tx, at, a.text, attributes(a.attrs)))
	case "embed":
		check(t.InsertEmbed(tx, at, a.values[0].value(), attributes(a.attrs)))
	case "delete":
		check(t.Delete(tx, at, n))
	case "format":
		check(t.Format(tx, at, n, attributes(a.attrs)))
	case "delta":
		check(t.ApplyDelta(tx, a.delta))
	case "set":
		check(t.SetAttribute(tx, a.text, a.values[0].value()))
	case "unset":
		check(t.RemoveAttribute(tx, a.text))
	}
}

func actXML(tx *crdt.Tx, x *crdt.XML, a action) {
	at := min(a.at, x.Len())
	switch a.name {
	case "values":
		check(crdt.XMLInsert(tx, x, at, values(a.values)...))
	case "push":
		check(crdt.XMLInsert(tx, x, x.Len(), values(a.values)...))
	case "delete":
		check(crdt.XMLDelete(tx, x, at, min(a.n, x.Len()-at)))
	case "set":
		if x.Name() != "" {
			check(crdt.XMLSet(tx, x, a.text, a.values[0].value()))
		}
	case "unset":
		if x.Name() != "" {
			crdt.XMLUnset(tx, x, a.text)
		}
	}
}

// merge merges updates and, unless to is negative, delivers the result.
func (m *machine) merge(to int, refs []int) {
	var us, us2 [][]byte
	for _, r := range refs {
		if i, ok := m.named[r]; ok {
			us = append(us, m.updates[i])
			if u2 := m.updates2[i]; u2 != nil {
				us2 = append(us2, u2)
			}
		}
	}
	if len(us) == 0 {
		return
	}
	u, err := crdt.MergeUpdates(us...)
	check(err)
	var u2 []byte
	if len(us2) == len(us) {
		u2, err = crdt.MergeUpdatesV2(us2...)
		check(err)
	}
	m.add(u, u2)
	if to >= 0 {
		check(m.peers[to].doc.ApplyUpdate(u, "remote"))
	}
}

// diff takes what an update has beyond a document, and its state vector.
func (m *machine) diff(which, against int) {
	at, ok := m.named[which]
	if !ok {
		return
	}
	sv := m.peers[against].doc.StateVector()
	u, err := crdt.DiffUpdate(m.updates[at], sv)
	check(err)
	s, err := crdt.EncodeStateVectorFromUpdate(m.updates[at])
	check(err)
	var u2, s2 []byte
	if second := m.updates2[at]; second != nil {
		u2, err = crdt.DiffUpdateV2(second, sv)
		check(err)
		s2, err = crdt.EncodeStateVectorFromUpdateV2(second)
		check(err)
	}
	m.add(u, u2)
	m.add(s, s2)
}

// part is one thing that is compared.
type part struct {
	name string
	data []byte
	json bool
}

// result gives all that the program left to add, in the oracle's order.
func (m *machine) result(add func(part)) {
	for _, u := range m.updates {
		add(part{"updates", u, false})
	}
	for _, u := range m.updates2 {
		add(part{"updates2", u, false})
	}
	if len(m.events) > 0 {
		b := []byte{'['}
		for i, e := range m.events {
			if i > 0 {
				b = append(b, ',')
			}
			b = append(b, e...)
		}
		add(part{"events", append(b, ']'), true})
	}
	for _, p := range m.positions {
		j, err := p.p.MarshalJSON()
		check(err)
		_, index, ok := m.peers[p.peer].doc.Resolve(p.p, true)
		if !ok {
			index = -1
		}
		add(part{"position", p.p.Encode(), false})
		add(part{"position", append(strconv.AppendInt(append(append([]byte{'['}, j...), ','), int64(index), 10), ']'), true})
	}
	for _, p := range m.peers {
		d := p.doc
		add(part{"content", m.content(d), true})
		s := d.Snapshot()
		add(part{"state vector", d.StateVector().Encode(), false})
		add(part{"full update", d.EncodeStateAsUpdate(nil), false})
		add(part{"full update of version 2", d.EncodeStateAsUpdateV2(nil), false})
		add(part{"snapshot", s.Encode(), false})
		add(part{"snapshot of version 2", s.EncodeV2(), false})
		add(part{"waiting", strconv.AppendBool(nil, d.HasPending()), true})
	}
}

func (m *machine) content(d *crdt.Doc) []byte {
	b := appendDelta([]byte(`{"t":`), d.Text("t").Delta())
	b = crdt.AppendJSON(append(b, `,"a":`...), d.Array("a"))
	b = crdt.AppendJSON(append(b, `,"m":`...), d.Map("m"))
	if m.xml {
		b = crdt.AppendJSON(append(b, `,"x":`...), d.XMLFragment("x"))
	}
	return append(b, '}')
}

// sum hashes the result as the oracle does.
func (m *machine) sum() [md5.Size]byte {
	var b []byte
	m.result(func(p part) {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(p.data)))
		b = append(b, p.data...)
	})
	return md5.Sum(b)
}

func (p part) String() string {
	if p.json {
		return string(p.data)
	}
	return fmt.Sprintf("%x (%s)", p.data, base64.StdEncoding.EncodeToString(p.data))
}
