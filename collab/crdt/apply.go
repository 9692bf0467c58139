package crdt

import (
	"cmp"
	"slices"
)

// pendingStructs are structs that wait for others: an update of version 1, and which clocks it waits for.
type pendingStructs struct {
	update  []byte
	missing StateVector
}

// structQueue holds the structs of one client that an update brought.
type structQueue struct {
	client  uint64
	structs []*item
	next    int
}

// ApplyUpdate merges an update of version 1 into the document, in one transaction with the given origin. What it lacks
// is kept until it comes. If the bytes are no update, nothing is changed and the error is a *[DecodeError].
func (d *Doc) ApplyUpdate(update []byte, origin Origin) error {
	defer d.hold("Doc.ApplyUpdate")()
	return d.apply(newDecoderV1(update), origin)
}

// ApplyUpdateV2 is ApplyUpdate for an update of version 2.
func (d *Doc) ApplyUpdateV2(update []byte, origin Origin) error {
	defer d.hold("Doc.ApplyUpdateV2")()
	return d.apply(newDecoderV2(update), origin)
}

func (d *Doc) apply(dec decoder, origin Origin) error {
	queues, err := d.readQueues(dec)
	if err != nil {
		return err
	}
	deletes := readDeleteSet(dec)
	if err := dec.rest().err; err != nil {
		return err
	}
	d.run(Tx{origin: origin}, func(tx *Tx) {
		tx.local = false
		tx.apply(queues, deletes)
	})
	return nil
}

// readQueues reads all structs. Of two sections for one client the second counts.
func (d *Doc) readQueues(dec decoder) ([]*structQueue, error) {
	r := newStructReader(dec, func(name string) *branch { return d.root(name, branchUndefined) }, d.maxStructs)
	var queues []*structQueue
	at := map[uint64]*structQueue{}
	r.begin = func() {
		q := at[r.client]
		if q == nil {
			q = &structQueue{client: r.client}
			at[r.client] = q
			queues = append(queues, q)
		}
		q.structs = make([]*item, 0, min(r.structs, uint64(dec.rest().remaining())/4+1))
	}
	for it := r.next(); it != nil; it = r.next() {
		q := at[it.id.Client]
		if n := len(q.structs); n > 0 && !it.isItem() && q.structs[n-1].kind == it.kind {
			q.structs[n-1].length += it.length
			continue
		}
		q.structs = append(q.structs, it)
	}
	if err := dec.rest().err; err != nil {
		return nil, err
	}
	slices.SortFunc(queues, func(a, b *structQueue) int { return cmp.Compare(a.client, b.client) })
	return queues, nil
}

// apply integrates what an update brought, and after that what waited for it.
func (tx *Tx) apply(queues []*structQueue, deletes *DeleteSet) {
	s := &tx.doc.store
	rest := tx.integrateAll(queues)
	retry := false
	if p := s.pending; p != nil {
		for client, clock := range p.missing {
			if clock < s.state(client) {
				retry = true
				break
			}
		}
		if rest != nil {
			p.add(rest)
		}
	} else {
		s.pending = rest
	}
	waiting := s.deletes
	s.deletes = tx.deleteAll(deletes)
	if waiting != nil {
		if still := tx.deleteAll(waiting); still != nil && s.deletes != nil {
			s.deletes = union(s.deletes, still)
		} else if still != nil {
			s.deletes = still
		}
	}
	if retry {
		update := s.pending.update
		s.pending = nil
		tx.applyPending(update)
	}
}

func (tx *Tx) applyPending(update []byte) {
	dec := newDecoderV1(update)
	queues, err := tx.doc.readQueues(dec)
	if err != nil {
		panic("crdt: pending structs are damaged: " + err.Error()) // they were written here
	}
	tx.apply(queues, &DeleteSet{})
}

func (p *pendingStructs) add(rest *pendingStructs) {
	for client, clock := range rest.missing {
		p.need(client, clock)
	}
	merged, err := MergeUpdates(p.update, rest.update)
	if err != nil {
		panic("crdt: pending structs are damaged: " + err.Error()) // they were written here
	}
	p.update = merged
}

// need notes that a client's structs beyond clock are waited for.
func (p *pendingStructs) need(client, clock uint64) {
	if was, ok := p.missing[client]; !ok || was > clock {
		p.missing[client] = clock
	}
}

// integration puts the structs of an update into the store, each after those that it needs.
type integration struct {
	tx      *Tx
	queues  []*structQueue // by client; the greatest comes first
	at      map[uint64]*structQueue
	stack   []*item // each waits for the one above
	parked  []*structQueue
	missing pendingStructs

	parkedAt map[uint64]int
}

// integrateAll integrates what it can and returns the rest.
func (tx *Tx) integrateAll(queues []*structQueue) *pendingStructs {
	in := &integration{tx: tx, queues: queues, at: make(map[uint64]*structQueue, len(queues))}
	for _, q := range queues {
		in.at[q.client] = q
	}
	for it := in.take(); it != nil; it = in.step(it) {
	}
	if len(in.parked) == 0 {
		return nil
	}
	in.missing.update = encodeParked(in.parked)
	return &in.missing
}

// step handles one struct and returns the next.
func (in *integration) step(it *item) *item {
	if it.kind == kindSkip {
		return in.take()
	}
	s := &in.tx.doc.store
	state := s.state(it.id.Client)
	if state < it.id.Clock {
		in.stack = append(in.stack, it)
		in.park(it.id.Client, it.id.Clock-1)
		return in.take()
	}
	if client, waits := in.tx.missing(it); waits {
		in.stack = append(in.stack, it)
		if q := in.at[client]; q != nil && q.next < len(q.structs) {
			q.next++
			return q.structs[q.next-1]
		}
		in.park(client, s.state(client))
		return in.take()
	}
	if known := state - it.id.Clock; known < it.length {
		in.tx.integrate(it, known)
	}
	return in.take()
}

// take returns the struct to handle next: what waited for the last one, or the next of the greatest client.
func (in *integration) take() *item {
	if n := len(in.stack); n > 0 {
		it := in.stack[n-1]
		in.stack = in.stack[:n-1]
		return it
	}
	for n := len(in.queues); n > 0; n-- {
		if q := in.queues[n-1]; q.next < len(q.structs) {
			q.next++
			return q.structs[q.next-1]
		}
		in.queues = in.queues[:n-1]
	}
	return nil
}

// park gives up on the stack, which waits for a client's structs beyond clock, and on what follows its structs.
func (in *integration) park(client, clock uint64) {
	if in.missing.missing == nil {
		in.missing.missing = StateVector{}
	}
	in.missing.need(client, clock)
	for _, it := range in.stack {
		q := in.at[it.id.Client]
		rest := &structQueue{client: it.id.Client, structs: []*item{it}}
		if q != nil {
			q.next--
			rest.structs = q.structs[q.next:]
			delete(in.at, it.id.Client)
			q.structs, q.next = nil, 0
		}
		if in.parkedAt == nil {
			in.parkedAt = map[uint64]int{}
		}
		if i, ok := in.parkedAt[rest.client]; ok {
			in.parked[i] = rest
			continue
		}
		in.parkedAt[rest.client] = len(in.parked)
		in.parked = append(in.parked, rest)
	}
	in.stack = in.stack[:0]
}

func encodeParked(parked []*structQueue) []byte {
	slices.SortFunc(parked, func(a, b *structQueue) int { return cmp.Compare(b.client, a.client) })
	e := newEncoderV1()
	e.uvarint(uint64(len(parked)))
	for _, q := range parked {
		e.uvarint(uint64(len(q.structs)))
		e.client(q.client)
		e.uvarint(q.structs[0].id.Clock)
		for _, it := range q.structs {
			it.write(e, 0)
		}
	}
	e.uvarint(0) // no deletions
	return e.finish()
}

// deleteAll deletes what is known of a set and returns the rest, nil if there is none.
func (tx *Tx) deleteAll(ds *DeleteSet) *DeleteSet {
	rest := &DeleteSet{}
	for _, cr := range ds.clients {
		c := tx.doc.store.client(cr.client)
		state := c.state()
		for _, r := range cr.ranges {
			if r.Clock >= state {
				rest.add(cr.client, r.Clock, r.Len)
				continue
			}
			if state < r.end() {
				rest.add(cr.client, state, r.end()-state)
			}
			tx.deleteRange(c, r)
		}
	}
	if rest.Empty() {
		return nil
	}
	return rest
}

func (tx *Tx) deleteRange(c *clientStructs, r Range) {
	p, ok := c.list.find(r.Clock), true
	if it := c.list.get(p); !it.deleted() && it.id.Clock < r.Clock {
		p, _ = c.list.insertBehind(p, tx.split(it, r.Clock-it.id.Clock))
	}
	for ok && c.list.get(p).id.Clock < r.end() {
		if it := c.list.get(p); !it.deleted() {
			if r.end() < it.end() {
				_, p = c.list.insertBehind(p, tx.split(it, r.end()-it.id.Clock))
			}
			tx.delete(it)
		}
		p, ok = c.list.next(p)
	}
}

// EncodeStateAsUpdate returns an update of version 1 with all that the document has beyond sv, which may be nil, and
// with all deletions. What waits for other updates is part of it.
func (d *Doc) EncodeStateAsUpdate(sv StateVector) []byte {
	defer d.hold("Doc.EncodeStateAsUpdate")()
	return d.encode(sv, version1)
}

// EncodeStateAsUpdateV2 is EncodeStateAsUpdate for version 2.
func (d *Doc) EncodeStateAsUpdateV2(sv StateVector) []byte {
	defer d.hold("Doc.EncodeStateAsUpdateV2")()
	return d.encode(sv, version2)
}

func (d *Doc) encode(sv StateVector, v version) []byte {
	e := v.encoder()
	writeTails(e, d.store.beyond(sv))
	d.store.deleteSet().write(e)
	updates := [][]byte{e.finish()}
	add := func(waiting []byte) {
		if v == version2 {
			waiting = must(ConvertUpdateV1ToV2(waiting))
		}
		updates = append(updates, waiting)
	}
	if d.store.deletes != nil {
		e := newEncoderV1()
		e.uvarint(0)
		d.store.deletes.write(e)
		add(e.finish())
	}
	if d.store.pending != nil {
		add(must(DiffUpdate(d.store.pending.update, sv)))
	}
	return must(v.merge(updates))
}

// must unwraps the result for an update that was encoded here.
func must(update []byte, err error) []byte {
	if err != nil {
		panic("crdt: own update is damaged: " + err.Error())
	}
	return update
}
