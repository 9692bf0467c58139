package main

import (
	"runtime"
	"slices"
	"time"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
	"github.com/jupyter-drive/jupyter-drive/integration/editing"
)

// milliseconds that f takes, with no garbage left over from before.
func milliseconds(f func()) float64 {
	runtime.GC()
	start := time.Now()
	f()
	return float64(time.Since(start).Microseconds()) / 1000
}

// medianOf is the median of five times.
func medianOf(f func()) float64 {
	var all []float64
	for range 5 {
		all = append(all, milliseconds(f))
	}
	slices.Sort(all)
	return all[2]
}

// loader is the client of documents that are only loaded; no workload has as many.
const loader = 1e9

func openDoc(client uint64) *crdt.Doc {
	d := crdt.New(crdt.Options{})
	d.SetClientID(client)
	return d
}

// ours runs the input on our documents and keeps the first error.
type ours struct{ err error }

func (o *ours) check(err error) {
	if err != nil && o.err == nil {
		o.err = err
	}
}

func runOurs(in engineInput) (engineTimes, error) {
	var o ours
	got := engineTimes{Session: o.session(in.Session)}
	for _, w := range in.Workloads {
		got.Workloads = append(got.Workloads, o.workload(w))
	}
	return got, o.err
}

func (o *ours) apply(d *crdt.Doc, update []byte) { o.check(d.ApplyUpdate(update, "other")) }

func (o *ours) replay(d *crdt.Doc, edits []editing.Edit) {
	text := d.Text("text")
	for _, e := range edits {
		d.Transact(func(tx *crdt.Tx) {
			o.check(text.Delete(tx, e.At, e.Deleted))
			o.check(text.Insert(tx, e.At, e.Inserted))
		})
	}
}

func (o *ours) session(edits []editing.Edit) (t sessionTimes) {
	d := openDoc(1)
	t.Replay = milliseconds(func() { o.replay(d, edits) })
	var updates [][]byte
	recorded := openDoc(1)
	recorded.OnUpdate(func(u []byte, _ *crdt.Tx) { updates = append(updates, u) })
	o.replay(recorded, edits)
	other := openDoc(2)
	t.Updates = milliseconds(func() {
		for _, u := range updates {
			o.apply(other, u)
		}
	})
	var full []byte
	t.Encode = medianOf(func() { full = d.EncodeStateAsUpdate(nil) })
	t.Load = medianOf(func() { o.apply(openDoc(loader), full) })
	t.V1, t.V2, t.Length = len(full), len(d.EncodeStateAsUpdateV2(nil)), d.Text("text").Len()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	loaded := openDoc(loader)
	o.apply(loaded, full)
	runtime.GC()
	runtime.ReadMemStats(&after)
	t.Heap = int(after.HeapAlloc) - int(before.HeapAlloc)
	runtime.KeepAlive(loaded)
	return t
}

func (o *ours) workload(w editing.Workload) (t workTimes) {
	var d *crdt.Doc
	switch w.Kind {
	case editing.One:
		t.Time, d = o.one(w)
	case editing.Two:
		t.Time, d = o.two(w)
	default:
		t.Time, d = o.many(w)
	}
	var full []byte
	t.Encode = medianOf(func() { full = d.EncodeStateAsUpdate(nil) })
	t.Load = medianOf(func() { o.apply(openDoc(loader), full) })
	t.Size = len(full)
	return t
}

func (o *ours) change(d *crdt.Doc, kind string, c editing.Change) {
	d.Transact(func(tx *crdt.Tx) {
		switch kind {
		case "text":
			text := d.Text("root")
			o.check(text.Delete(tx, c.At, c.Deleted))
			o.check(text.Insert(tx, c.At, c.Value.(string)))
		case "array":
			o.check(d.Array("root").Insert(tx, c.At, elements(c.Value)...))
		default:
			o.check(d.Map("root").Set(tx, "v", plainValue(c.Value)))
		}
	})
}

func elements(v any) []crdt.Value {
	list, ok := v.([]int)
	if !ok {
		return []crdt.Value{plainValue(v)}
	}
	vs := make([]crdt.Value, len(list))
	for i, n := range list {
		vs[i] = crdt.Number(n)
	}
	return vs
}

func plainValue(v any) crdt.Value {
	switch v := v.(type) {
	case int:
		return crdt.Number(v)
	case string:
		return crdt.String(v)
	default:
		o := &crdt.Object{}
		members := v.(map[string]any)
		for _, key := range []string{"address", "name", "number"} {
			o.Set(key, plainValue(members[key]))
		}
		return o
	}
}

func (o *ours) one(w editing.Workload) (float64, *crdt.Doc) {
	a, b := openDoc(1), openDoc(2)
	a.OnUpdate(func(u []byte, _ *crdt.Tx) { o.apply(b, u) })
	return milliseconds(func() {
		for _, c := range w.Edits {
			o.change(a, w.Type, c)
		}
	}), b
}

func (o *ours) two(w editing.Workload) (float64, *crdt.Doc) {
	a, b := openDoc(1), openDoc(2)
	if w.Start != "" {
		o.change(a, w.Type, editing.Change{Value: w.Start})
	}
	o.apply(b, a.EncodeStateAsUpdate(nil))
	var updates [2][][]byte
	for i, d := range []*crdt.Doc{a, b} {
		d.OnUpdate(func(u []byte, tx *crdt.Tx) {
			if tx.Local() {
				updates[i] = append(updates[i], u)
			}
		})
	}
	return milliseconds(func() {
		for _, c := range w.Edits {
			o.change(a, w.Type, c)
		}
		for _, c := range w.Others {
			o.change(b, w.Type, c)
		}
		for _, u := range updates[0] {
			o.apply(b, u)
		}
		for _, u := range updates[1] {
			o.apply(a, u)
		}
	}), a
}

func (o *ours) many(w editing.Workload) (float64, *crdt.Doc) {
	var updates [][]byte
	var first *crdt.Doc
	for i, c := range w.Edits {
		d := openDoc(uint64(i + 1))
		o.change(d, w.Type, c)
		updates = append(updates, d.EncodeStateAsUpdate(nil))
		if first == nil {
			first = d
		}
	}
	return milliseconds(func() {
		for _, u := range updates {
			o.apply(first, u)
		}
	}), first
}
