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

// received are the structs that an update brought, and a queue of those of each client.
type received struct {
	structs []*item
	queues  []structQueue // by client
}

// structQueue says which of the structs are those of one client that were not taken yet. There can be many such queues.
type structQueue struct {
	client    uint64
	next, end uint32
}

// clientItems are some structs of one client.
type clientItems struct {
	client  uint64
	structs []*item
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
	structs, err := d.receive(dec)
	if err != nil {
		return err
	}
	deletes := readDeleteSet(dec)
	if err := dec.rest().err; err != nil {
		return err
	}
	d.run(Tx{origin: origin}, func(tx *Tx) {
		tx.local = false
		tx.apply(structs, deletes)
	})
	return nil
}

// receive reads all structs. Of two sections for one client the second counts.
func (d *Doc) receive(dec decoder) (*received, error) {
	r := newStructReader(dec, func(name string) *branch { return d.root(name, branchUndefined) }, d.maxStructs)
	in := &received{}
	at := map[uint64]int{}
	current := 0
	r.begin = func() {
		var known bool
		if current, known = at[r.client]; !known {
			current = len(in.queues)
			at[r.client] = current
			in.queues = append(in.queues, structQueue{client: r.client})
		}
		n := len(in.structs)
		in.structs = slices.Grow(in.structs, int(min(r.structs, uint64(dec.rest().remaining())/4+1)))
		in.queues[current].next, in.queues[current].end = uint32(n), uint32(n)
	}
	for it := r.next(); it != nil; it = r.next() {
		q := &in.queues[current]
		if q.next < q.end && !it.isItem() && in.structs[q.end-1].kind == it.kind {
			in.structs[q.end-1].length += it.length
			continue
		}
		in.structs = append(in.structs, it)
		q.end++
	}
	if err := dec.rest().err; err != nil {
		return nil, err
	}
	slices.SortFunc(in.queues, func(a, b structQueue) int { return cmp.Compare(a.client, b.client) })
	return in, nil
}

// apply integrates what an update brought, and after that what waited for it.
func (tx *Tx) apply(structs *received, deletes *DeleteSet) {
	s := &tx.doc.store
	rest := tx.integrateAll(structs)
	tx.dropIndexes() // deleting needs none, and can cut an item to very many
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
	structs, err := tx.doc.receive(dec)
	if err != nil {
		panic("crdt: pending structs are damaged: " + err.Error()) // they were written here
	}
	tx.apply(structs, &DeleteSet{})
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
	tx *Tx
	*received
	rest    int     // how many of the queues may not be empty; the last comes first
	stack   []*item // each waits for the one above
	parked  []clientItems
	missing pendingStructs

	parkedAt map[uint64]int
}

// integrateAll integrates what it can and returns the rest.
func (tx *Tx) integrateAll(structs *received) *pendingStructs {
	in := &integration{tx: tx, received: structs, rest: len(structs.queues)}
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
	state := s.state(it.client)
	if state < it.clock {
		in.stack = append(in.stack, it)
		in.park(it.client, it.clock-1)
		return in.take()
	}
	if client, waits := in.tx.missing(it); waits {
		in.stack = append(in.stack, it)
		if q := in.queue(client); q != nil && q.next < q.end {
			q.next++
			return in.structs[q.next-1]
		}
		in.park(client, s.state(client))
		return in.take()
	}
	if known := state - it.clock; known < it.length {
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
	for ; in.rest > 0; in.rest-- {
		if q := &in.queues[in.rest-1]; q.next < q.end {
			q.next++
			return in.structs[q.next-1]
		}
	}
	return nil
}

// queue is that of the client, nil if it has none.
func (in *integration) queue(client uint64) *structQueue {
	i, ok := slices.BinarySearchFunc(in.queues, client, func(q structQueue, client uint64) int { return cmp.Compare(q.client, client) })
	if !ok {
		return nil
	}
	return &in.queues[i]
}

// park gives up on the stack, which waits for a client's structs beyond clock, and on what follows its structs.
func (in *integration) park(client, clock uint64) {
	if in.missing.missing == nil {
		in.missing.missing = StateVector{}
	}
	in.missing.need(client, clock)
	for _, it := range in.stack {
		if i, again := in.parkedAt[it.client]; again {
			in.parked[i].structs = []*item{it}
			continue
		}
		q := in.queue(it.client)
		rest := clientItems{q.client, in.structs[q.next-1 : q.end]}
		q.next = q.end
		if in.parkedAt == nil {
			in.parkedAt = map[uint64]int{}
		}
		in.parkedAt[q.client] = len(in.parked)
		in.parked = append(in.parked, rest)
	}
	in.stack = in.stack[:0]
}

func encodeParked(parked []clientItems) []byte {
	slices.SortFunc(parked, func(a, b clientItems) int { return cmp.Compare(b.client, a.client) })
	e := newEncoderV1()
	e.uvarint(uint64(len(parked)))
	for _, q := range parked {
		e.uvarint(uint64(len(q.structs)))
		e.client(q.client)
		e.uvarint(q.structs[0].clock)
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
		for i, r := range cr.ranges {
			if r.Clock >= state {
				rest.add(cr.client, r.Clock, r.Len)
				continue
			}
			if state < r.end() {
				rest.add(cr.client, state, r.end()-state)
			}
			tx.deleteRange(c, r)
			if i == 0 {
				tx.deletes.grow(cr.client, len(cr.ranges)-1)
			}
		}
	}
	if rest.Empty() {
		return nil
	}
	return rest
}

// deleteRange deletes what a client has in the range. The ends of what is deleted are merged with their neighbours anyway.
func (tx *Tx) deleteRange(c *clientStructs, r Range) {
	p, ok := c.list.find(r.Clock), true
	if it := c.list.get(p); !it.deleted() && it.clock < r.Clock {
		p, _ = c.list.insertBehind(p, tx.split(it, r.Clock-it.clock))
	}
	for ok && c.list.get(p).clock < r.end() {
		if it := c.list.get(p); !it.deleted() {
			if r.end() < it.end() {
				_, p = c.list.insertBehind(p, tx.split(it, r.end()-it.clock))
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
