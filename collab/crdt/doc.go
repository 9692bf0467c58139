// Package crdt is a Yjs document in Go: replicated texts, lists and maps that merge without conflicts, exchanged with
// yjs 13.6 and its ports in their own formats.
//
// # Documents
//
// A [Doc] has named roots, which are shared types: [Text], [Array], [Map] and [XML]. They hold plain values and other
// shared types, all of them a [Value]. Edits are made in a transaction ([Tx]), which is observed, undone and sent as one.
//
//	doc := crdt.New(crdt.Options{})
//	doc.OnUpdate(func(update []byte, tx *crdt.Tx) { send(update) })
//	doc.Transact(func(tx *crdt.Tx) {
//		err = doc.Text("source").Insert(tx, 0, "hello")
//	})
//	err = doc.ApplyUpdate(received, "peer 7")
//
// # How replicas agree
//
// Whatever is inserted becomes a struct: a run of units (characters, elements, one value of a key) that one client made in
// one go. A unit is named for good by its [ID], the client and a clock that counts that client's units. A struct says which
// unit stood on its left and on its right when it was made, and deleting leaves it in place, marked, and later without
// content. So a replica can put every struct where its author saw it, in whatever order structs come; where several were
// put at one place, client IDs decide.
//
// Replicas exchange updates: structs, and the set of units that were deleted ([DeleteSet]). A [StateVector] says what a
// replica has, as the next clock of each client, so that another can send only what it lacks. Updates may come in any order
// and more than once: what lacks its base waits inside the document ([Doc.HasPending]). Equal sets of updates make equal
// documents. There are two versions of the format that say the same; the second one is smaller for large documents and can
// not be told from the first by its bytes. [MergeUpdates], [DiffUpdate] and [EncodeStateVectorFromUpdate] work on updates
// alone. A [Snapshot] names a state, an [UndoManager] takes back the edits of some origins, and a [RelativePosition] is a
// place that moves with the content around it.
//
// Offsets and lengths of texts count UTF-16 code units, as in Yjs; [UTF16Offset] and [ByteOffset] convert.
//
// # Hostile bytes
//
// Bytes that are no update give a [*DecodeError] with the offset, and nothing is applied. Edits out of range give
// [ErrRange]. Memory is allocated for what the bytes hold, not for what they announce: an update of version 1 takes at most
// 32 MB and 64 times its size, however many clients it puts in each other's way and whatever it deletes: two bytes can make a
// struct of a single character. The run-length forms of version 2 name many structs in few bytes, which [Options] bounds. Values
// and shared types have a greatest depth.
//
// The work of applying an update grows with its size and that of the document, times the logarithm of these at the most. That
// holds for the search for a struct's place as well, where Yjs walks over all that others put at the same place: two lists of n
// values each, grown at their heads while their clients were apart, take it n² steps. Such a walk is given up here for an index
// of the list once it has become long. Reading a formatted text gives each run all of its attributes, so that n marks of
// different names give n² attributes to whoever asks for the delta.
//
// # Concurrency
//
// One goroutine owns a document and all that belongs to it. In builds with the race detector, two calls that overlap panic
// and name both. Documents share nothing with each other.
//
// # What it leaves out
//
// The package knows nothing of rooms, files or notebooks, does not compress, and has no calls to edit XML, which it keeps,
// merges and sends like all else. Client IDs must be unique among replicas; see [Doc.SetClientID]. Formatting is cleaned up
// as Yjs does it, which does not converge in every order of delivery, there as here. A surrogate pair that an edit cuts
// becomes two replacement characters.
package crdt

import (
	"iter"
	"math/rand/v2"
	"slices"
)

// Options change how a document works. The zero value is a document as Yjs makes it.
type Options struct {
	// KeepDeleted keeps deleted content, so that snapshots of earlier states can be restored. Yjs calls it gc: false.
	KeepDeleted bool
	// MaxStructs bounds how many structs one update may hold. Zero means [DefaultMaxStructs].
	MaxStructs int
}

// DefaultMaxStructs bounds the structs of an update. The run-length form of version 2 can name many in few bytes.
const DefaultMaxStructs = 1 << 22

// Doc is a document: named roots of shared types, and all that is needed to merge them with other replicas.
type Doc struct {
	clientID    uint64
	store       store
	roots       []*branch
	rootAt      map[string]*branch
	keepDeleted bool
	maxStructs  int
	tx          *Tx
	queue       []*Tx // begun and not finished; the first is being finished once tx is nil or another
	watchers    int   // observers of types, and undo managers
	afterTx     listeners[*Tx]
	onUpdate    listeners[[]byte]
	onUpdateV2  listeners[[]byte]
	onSubdocs   listeners[SubdocsEvent]
	subdocs     []*Subdoc
	longScan    int    // a scan for a place among conflicts is long if it has more steps
	scan        uint32 // the last scan
	scanned     uint64 // how many items all of them came by
	guard       guard  //nolint:unused // used in race builds
}

// New returns an empty document with a random client ID.
func New(o Options) *Doc {
	if o.MaxStructs <= 0 {
		o.MaxStructs = DefaultMaxStructs
	}
	return &Doc{
		clientID: randomClient(), keepDeleted: o.KeepDeleted, maxStructs: o.MaxStructs, longScan: defaultLongScan,
		store: store{clients: map[uint64]*clientStructs{}, redone: map[*item]ID{}}, rootAt: map[string]*branch{},
	}
}

func randomClient() uint64 { return uint64(rand.Uint32()) }

// ClientID is the client under which local edits are made. It changes by itself when an update shows that another
// replica uses it too.
func (d *Doc) ClientID() uint64 { return d.clientID }

// SetClientID sets the client of the edits to come. No two replicas may ever use the same one, nor one replica the same
// one again after losing some of its edits.
func (d *Doc) SetClientID(id uint64) { d.clientID = id & maxInt }

// Transact calls f with a transaction for local edits and then finishes it: observers are called and the update is
// sent. Within a transaction it joins that one.
func (d *Doc) Transact(f func(tx *Tx)) { d.TransactFrom("", f) }

// TransactFrom is Transact with an origin, by which observers and undo managers know who made the change.
func (d *Doc) TransactFrom(origin Origin, f func(tx *Tx)) {
	defer d.hold("Doc.Transact")()
	d.run(Tx{origin: origin, local: true}, f)
}

// root finds or makes a root. A kind other than branchUndefined is given to it for good.
func (d *Doc) root(name string, k branchKind) *branch {
	b := d.rootAt[name]
	if b == nil {
		b = newBranch(name, k)
		b.doc = d
		d.rootAt[name] = b
		d.roots = append(d.roots, b)
		return b
	}
	if b.kind == k || k == branchUndefined {
		return b
	}
	if b.kind != branchUndefined {
		panic("crdt: root " + name + " is of another type")
	}
	b.kind, b.hasFormatting = k, false
	b.more().markers, b.more().face = markers{}, nil
	return b
}

// Text returns the root text of that name, an empty one if there is none. It panics if the name is in use for a root of
// another type; the same holds for the other root types.
func (d *Doc) Text(name string) *Text { return d.root(name, branchText).value().(*Text) }

// Array returns the root array of that name.
func (d *Doc) Array(name string) *Array { return d.root(name, branchArray).value().(*Array) }

// Map returns the root map of that name.
func (d *Doc) Map(name string) *Map { return d.root(name, branchMap).value().(*Map) }

// XMLFragment returns the root XML fragment of that name.
func (d *Doc) XMLFragment(name string) *XML { return d.root(name, branchXMLFragment).value().(*XML) }

// Roots yields the names of all roots. Those that came in updates and were never asked for have a nil value.
func (d *Doc) Roots() iter.Seq2[string, Value] {
	return func(yield func(string, Value) bool) {
		for _, b := range slices.Clone(d.roots) {
			var v Value
			if b.kind != branchUndefined {
				v = b.value()
			}
			if !yield(*b.name, v) {
				return
			}
		}
	}
}

// StateVector says what the document knows of each client.
func (d *Doc) StateVector() StateVector {
	defer d.hold("Doc.StateVector")()
	return d.store.stateVector()
}

// HasPending reports whether structs or deletions wait for updates that have not come.
func (d *Doc) HasPending() bool { return d.store.pending != nil || d.store.deletes != nil }

// OnUpdate calls f after each transaction that changed the document, with an update of version 1 that holds the change.
// The returned function ends it.
func (d *Doc) OnUpdate(f func(update []byte, tx *Tx)) (cancel func()) { return d.onUpdate.add(f) }

// OnUpdateV2 is OnUpdate for updates of version 2.
func (d *Doc) OnUpdateV2(f func(update []byte, tx *Tx)) (cancel func()) { return d.onUpdateV2.add(f) }

// OnTransaction calls f at the end of each transaction, after all observers and before deleted content is forgotten.
// The returned function ends it.
func (d *Doc) OnTransaction(f func(tx *Tx)) (cancel func()) {
	return d.afterTx.add(func(tx, _ *Tx) { f(tx) })
}

// listeners are functions to call with an event and its transaction.
type listeners[T any] struct{ list []*func(T, *Tx) }

func (l *listeners[T]) empty() bool { return len(l.list) == 0 }

func (l *listeners[T]) add(f func(T, *Tx)) (cancel func()) {
	l.list = append(l.list, &f)
	return func() {
		l.list = slices.DeleteFunc(slices.Clone(l.list), func(g *func(T, *Tx)) bool { return g == &f })
	}
}

func (l *listeners[T]) call(event T, tx *Tx) {
	for _, f := range l.list {
		(*f)(event, tx)
	}
}
