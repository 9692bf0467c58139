package crdt

// Snapshot names a state of a document: what was known, and what of it was deleted. It holds no content.
type Snapshot struct {
	Deleted *DeleteSet
	State   StateVector
}

// Snapshot names the current state. The state can be restored later if the document keeps deleted content.
func (d *Doc) Snapshot() *Snapshot {
	defer d.hold("Doc.Snapshot")()
	return &Snapshot{d.store.deleteSet(), d.store.stateVector()}
}

// Encode returns the snapshot in version 1 of Yjs' format.
func (s *Snapshot) Encode() []byte { return s.encode(version1) }

// EncodeV2 returns the snapshot in version 2 of Yjs' format.
func (s *Snapshot) EncodeV2() []byte { return s.encode(version2) }

func (s *Snapshot) encode(v version) []byte {
	e := v.encoder()
	s.Deleted.write(e)
	return s.State.append(e.swapRest(nil))
}

// DecodeSnapshot reads a snapshot of version 1. The error is a *[DecodeError].
func DecodeSnapshot(data []byte) (*Snapshot, error) {
	return readSnapshot(newDecoderV1(data))
}

// DecodeSnapshotV2 reads a snapshot of version 2. The error is a *[DecodeError].
func DecodeSnapshotV2(data []byte) (*Snapshot, error) {
	return readSnapshot(&decoderV2{r: reader{buf: data}})
}

func readSnapshot(d decoder) (*Snapshot, error) {
	s := &Snapshot{Deleted: readDeleteSet(d)}
	s.State = readStateVector(d.rest())
	if err := d.rest().err; err != nil {
		return nil, err
	}
	return s, nil
}

// Equal reports whether both name the same state.
func (s *Snapshot) Equal(o *Snapshot) bool {
	if len(s.State) != len(o.State) || !s.Deleted.Equal(o.Deleted) {
		return false
	}
	for client, clock := range s.State {
		if other, ok := o.State[client]; !ok || other != clock {
			return false
		}
	}
	return true
}

// Restore returns a new document with the state that the snapshot names. The error is [ErrCollected] unless the document
// keeps deleted content, and [ErrRange] if the snapshot is of a state that the document has not seen.
func (d *Doc) Restore(s *Snapshot, o Options) (*Doc, error) {
	defer d.hold("Doc.Restore")()
	if !d.keepDeleted {
		return nil, ErrCollected
	}
	for client, clock := range s.State {
		if clock > d.store.state(client) {
			return nil, ErrRange
		}
	}
	e := newEncoderV2()
	d.run(Tx{local: true}, func(tx *Tx) { tx.writeState(e, s.State) })
	s.Deleted.write(e)
	restored := New(o)
	if err := restored.ApplyUpdateV2(e.finish(), "snapshot"); err != nil {
		return nil, err
	}
	return restored, nil
}

// writeState encodes all structs up to a state, which may be inside some of them.
func (tx *Tx) writeState(e encoder, state StateVector) {
	var cs []*clientStructs
	for _, c := range tx.doc.store.order {
		if state[c.client] > 0 {
			cs = append(cs, c)
		}
	}
	e.uvarint(uint64(len(cs)))
	for _, c := range cs {
		clock := state[c.client]
		if clock < c.state() {
			tx.cleanStart(c, clock)
		}
		last := c.list.find(clock - 1)
		n := c.list.count(spot{}) - c.list.count(last) + 1
		e.uvarint(uint64(n))
		e.client(c.client)
		e.uvarint(0)
		for it := range c.list.from(spot{}) {
			it.write(e, 0)
			if n--; n == 0 {
				break
			}
		}
	}
}
