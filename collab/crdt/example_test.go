package crdt_test

import (
	"fmt"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

func must(err error) {
	if err != nil {
		panic(err)
	}
}

// Two replicas edit at the same time and exchange what the other lacks.
func Example() {
	a, b := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
	a.Transact(func(tx *crdt.Tx) { must(a.Text("source").Insert(tx, 0, "hello")) })
	must(b.ApplyUpdate(a.EncodeStateAsUpdate(nil), "a"))

	a.Transact(func(tx *crdt.Tx) { must(a.Text("source").Insert(tx, 5, "!")) })
	b.Transact(func(tx *crdt.Tx) { must(b.Text("source").Delete(tx, 0, 1)) })
	must(b.ApplyUpdate(a.EncodeStateAsUpdate(b.StateVector()), "a"))
	must(a.ApplyUpdate(b.EncodeStateAsUpdate(a.StateVector()), "b"))

	fmt.Println(a.Text("source"), b.Text("source"))
	// Output: ello! ello!
}

// A map with a text in it, as a notebook's cell is one.
func ExampleNewMap() {
	d := crdt.New(crdt.Options{})
	d.Transact(func(tx *crdt.Tx) {
		must(d.Array("cells").Push(tx, crdt.NewMap(
			crdt.Entry{Key: "cell_type", Value: crdt.String("code")},
			crdt.Entry{Key: "source", Value: crdt.NewText("1 + 1")},
		)))
	})
	fmt.Printf("%s\n", crdt.AppendJSON(nil, d.Array("cells")))
	// Output: [{"cell_type":"code","source":"1 + 1"}]
}

func ExampleText_Observe() {
	d := crdt.New(crdt.Options{})
	text := d.Text("source")
	stop := text.Observe(func(e *crdt.Event) {
		for _, op := range e.Delta() {
			fmt.Println(op.Retain, op.Delete, op.Insert)
		}
	})
	defer stop()
	d.Transact(func(tx *crdt.Tx) { must(text.Insert(tx, 0, "abc")) })
	d.Transact(func(tx *crdt.Tx) { must(text.Delete(tx, 1, 1)) })
	// Output:
	// 0 0 abc
	// 1 0 <nil>
	// 0 1 <nil>
}

func ExampleUndoManager() {
	d := crdt.New(crdt.Options{})
	text := d.Text("source")
	undo := crdt.NewUndoManager(d, crdt.UndoOptions{}, text)
	defer undo.Close()
	d.Transact(func(tx *crdt.Tx) { must(text.Insert(tx, 0, "hello")) })
	d.Transact(func(tx *crdt.Tx) { must(text.Delete(tx, 0, 4)) })
	undo.Undo()
	fmt.Println(text)
	undo.Redo()
	fmt.Println(text)
	// Output:
	// hello
	// o
}

func ExampleRelativeTo() {
	d := crdt.New(crdt.Options{})
	text := d.Text("source")
	d.Transact(func(tx *crdt.Tx) { must(text.Insert(tx, 0, "world")) })
	p := crdt.RelativeTo(text, 2, 0)
	d.Transact(func(tx *crdt.Tx) { must(text.Insert(tx, 0, "hello ")) })
	_, index, ok := d.Resolve(p, true)
	fmt.Println(index, ok)
	// Output: 8 true
}

func ExampleDoc_Restore() {
	d := crdt.New(crdt.Options{KeepDeleted: true})
	d.Transact(func(tx *crdt.Tx) { must(d.Text("source").Insert(tx, 0, "first")) })
	s := d.Snapshot()
	d.Transact(func(tx *crdt.Tx) { must(d.Text("source").Delete(tx, 0, 5)) })
	old, err := d.Restore(s, crdt.Options{})
	must(err)
	fmt.Println(old.Text("source"))
	// Output: first
}

// Updates can be kept and merged without a document, and what a replica lacks can be cut out of them.
func ExampleMergeUpdates() {
	d := crdt.New(crdt.Options{})
	var log [][]byte
	d.OnUpdate(func(update []byte, _ *crdt.Tx) { log = append(log, update) })
	for _, word := range []string{"one ", "two ", "three"} {
		d.Transact(func(tx *crdt.Tx) { must(d.Text("t").Insert(tx, d.Text("t").Len(), word)) })
	}
	merged, err := crdt.MergeUpdates(log...)
	must(err)
	behind := crdt.New(crdt.Options{})
	must(behind.ApplyUpdate(log[0], "log"))
	missing, err := crdt.DiffUpdate(merged, behind.StateVector())
	must(err)
	must(behind.ApplyUpdate(missing, "log"))
	fmt.Println(behind.Text("t"))
	// Output: one two three
}

// What comes too early waits for what it stands on.
func ExampleDoc_HasPending() {
	d, other := crdt.New(crdt.Options{}), crdt.New(crdt.Options{})
	var sent [][]byte
	d.OnUpdate(func(update []byte, _ *crdt.Tx) { sent = append(sent, update) })
	d.Transact(func(tx *crdt.Tx) { must(d.Text("t").Insert(tx, 0, "world")) })
	d.Transact(func(tx *crdt.Tx) { must(d.Text("t").Insert(tx, 0, "hello ")) })
	must(other.ApplyUpdate(sent[1], "late"))
	fmt.Printf("%q %t\n", other.Text("t"), other.HasPending())
	must(other.ApplyUpdate(sent[0], "late"))
	fmt.Printf("%q %t\n", other.Text("t"), other.HasPending())
	// Output:
	// "" true
	// "hello world" false
}
