package crdt

import (
	"math"
	"slices"
)

// version is a version of the update format.
type version uint8

const (
	version1 version = 1
	version2 version = 2
)

func (v version) encoder() encoder {
	if v == version2 {
		return newEncoderV2()
	}
	return newEncoderV1()
}

func (v version) decoder(update []byte) decoder {
	if v == version2 {
		return newDecoderV2(update)
	}
	return newDecoderV1(update)
}

// MergeUpdates merges updates of version 1 into one without a document. Gaps between them are kept as gaps. The error is
// a *[DecodeError]. The work grows with the number of updates times their size: merge many in batches of some hundred.
func MergeUpdates(updates ...[]byte) ([]byte, error) { return version1.merge(updates) }

// MergeUpdatesV2 is MergeUpdates for version 2.
func MergeUpdatesV2(updates ...[]byte) ([]byte, error) { return version2.merge(updates) }

// DiffUpdate returns what an update of version 1 has beyond sv, and all of its deletions. The error is a *[DecodeError].
func DiffUpdate(update []byte, sv StateVector) ([]byte, error) { return version1.diff(update, sv) }

// DiffUpdateV2 is DiffUpdate for version 2.
func DiffUpdateV2(update []byte, sv StateVector) ([]byte, error) { return version2.diff(update, sv) }

// EncodeStateVectorFromUpdate returns the encoded state vector of a document that has this update of version 1 and
// nothing else. The error is a *[DecodeError].
func EncodeStateVectorFromUpdate(update []byte) ([]byte, error) {
	return version1.stateVector(update)
}

// EncodeStateVectorFromUpdateV2 is EncodeStateVectorFromUpdate for version 2.
func EncodeStateVectorFromUpdateV2(update []byte) ([]byte, error) {
	return version2.stateVector(update)
}

// ConvertUpdateV1ToV2 rewrites an update of version 1 in version 2. The error is a *[DecodeError].
func ConvertUpdateV1ToV2(update []byte) ([]byte, error) { return convert(update, version1, version2) }

// ConvertUpdateV2ToV1 rewrites an update of version 2 in version 1. The error is a *[DecodeError].
func ConvertUpdateV2ToV1(update []byte) ([]byte, error) { return convert(update, version2, version1) }

// structWriter writes structs of one client after the other; the counts are put in front at the end.
type structWriter struct {
	e        encoder
	client   uint64
	n        uint64 // structs in the section
	sections []section
}

type section struct {
	n    uint64
	rest []byte
}

func (w *structWriter) write(it *item, offset uint64) {
	if w.n > 0 && w.client != it.client {
		w.flush()
	}
	if w.n == 0 {
		w.client = it.client
		w.e.client(w.client)
		w.e.uvarint(it.clock + offset)
	}
	it.write(w.e, offset)
	w.n++
}

func (w *structWriter) flush() {
	if w.n > 0 {
		w.sections = append(w.sections, section{w.n, w.e.swapRest(nil)})
		w.n = 0
	}
}

func (w *structWriter) finish() {
	w.flush()
	w.e.uvarint(uint64(len(w.sections)))
	for _, s := range w.sections {
		w.e.uvarint(s.n)
		w.e.swapRest(append(w.e.swapRest(nil), s.rest...))
	}
}

// updateReader is one of the updates to merge, with its current struct.
type updateReader struct {
	*structReader
	cur   *item
	skips bool // also gives gaps
}

func (v version) reader(update []byte, skips bool) *updateReader {
	r := &updateReader{structReader: newStructReader(v.decoder(update), namedRoots(), DefaultMaxStructs), skips: skips}
	r.advance()
	return r
}

func (r *updateReader) advance() {
	for {
		r.cur = r.next()
		if r.cur == nil || r.skips || r.cur.kind != kindSkip {
			return
		}
	}
}

func (r *updateReader) err() error {
	if err := r.d.rest().err; err != nil {
		return err
	}
	return nil
}

// merger is a merge under way: the readers, the struct that will be written next, and what was written.
type merger struct {
	readers []*updateReader
	sorted  bool // but for the first
	cur     *item
	w       structWriter
}

func (v version) merge(updates [][]byte) ([]byte, error) {
	if len(updates) == 1 {
		return updates[0], nil
	}
	m := &merger{w: structWriter{e: v.encoder()}}
	all := make([]*updateReader, 0, len(updates))
	for _, u := range updates {
		all = append(all, v.reader(u, false))
	}
	m.readers = slices.Clone(all)
	for m.step() {
	}
	if m.cur != nil {
		m.w.write(m.cur, 0)
	}
	m.w.finish()
	sets := make([]*DeleteSet, 0, len(all))
	for _, r := range all {
		sets = append(sets, readDeleteSet(r.d))
		if err := r.err(); err != nil {
			return nil, err
		}
	}
	union(sets...).write(m.w.e)
	return m.w.e.finish(), nil
}

// step takes structs from one reader until another one's turn comes. It fails when all are read.
func (m *merger) step() bool {
	m.order()
	if len(m.readers) == 0 {
		return false
	}
	r := m.readers[0]
	client := r.cur.client
	if m.cur == nil {
		m.cur = r.cur
		r.advance()
	} else if !m.join(r, client) {
		return true
	}
	for r.cur != nil && r.cur.client == client && r.cur.clock == m.cur.end() {
		m.w.write(m.cur, 0)
		m.cur = r.cur
		r.advance()
	}
	return true
}

// join puts a reader's struct behind the current one: cut if they overlap, with a gap if they don't touch. It fails if
// the readers must be ordered again first.
func (m *merger) join(r *updateReader, client uint64) bool {
	skipped := false
	for r.cur != nil && r.cur.end() <= m.cur.end() && r.cur.client >= m.cur.client {
		r.advance()
		skipped = true
	}
	if r.cur == nil || r.cur.client != client || skipped && r.cur.clock > m.cur.end() {
		return false
	}
	it := r.cur
	if client != m.cur.client {
		m.put(it)
		r.advance()
		return true
	}
	end := m.cur.end()
	switch {
	case end < it.clock && m.cur.kind == kindSkip:
		m.cur.length = it.end() - m.cur.clock
		return true
	case end < it.clock:
		m.put(&item{insertion: &insertion{client: client}, clock: end, length: it.clock - end, kind: kindSkip, flags: flagDeleted})
		return true
	case end > it.clock && m.cur.kind == kindSkip:
		m.cur.length -= end - it.clock
	case end > it.clock:
		it = it.from(end - it.clock)
	}
	if !m.cur.isItem() && m.cur.kind == it.kind {
		m.cur.join(it)
		return true
	}
	m.put(it)
	r.advance()
	return true
}

// put writes the current struct and makes it the current one.
func (m *merger) put(it *item) {
	m.w.write(m.cur, 0)
	m.cur = it
}

// from is the struct without its first n units.
func (it *item) from(n uint64) *item {
	rest := &item{insertion: it.insertion, clock: it.clock + n, flags: it.flags | flagOrigin | flagCut}
	it.cut(rest, n)
	return rest
}

func (v version) diff(update []byte, sv StateVector) ([]byte, error) {
	r := v.reader(update, true)
	w := structWriter{e: v.encoder()}
	for r.cur != nil {
		client := r.cur.client
		known := sv[client]
		switch {
		case r.cur.kind == kindSkip: // no section begins with one
			r.advance()
		case r.cur.end() > known:
			w.write(r.cur, max(known, r.cur.clock)-r.cur.clock)
			for r.advance(); r.cur != nil && r.cur.client == client; r.advance() {
				w.write(r.cur, 0)
			}
		default:
			for r.cur != nil && r.cur.client == client && r.cur.end() <= known {
				r.advance()
			}
		}
	}
	return w.close(r)
}

// close copies the reader's deletions, which follow the structs.
func (w *structWriter) close(r *updateReader) ([]byte, error) {
	w.finish()
	ds := readDeleteSet(r.d)
	if err := r.err(); err != nil {
		return nil, err
	}
	ds.write(w.e)
	return w.e.finish(), nil
}

func convert(update []byte, from, to version) ([]byte, error) {
	r := from.reader(update, true)
	w := structWriter{e: to.encoder()}
	for ; r.cur != nil; r.advance() {
		w.write(r.cur, 0)
	}
	return w.close(r)
}

func (v version) stateVector(update []byte) ([]byte, error) {
	r := v.reader(update, true)
	var b []byte
	n := uint64(0)
	client, clock, gap := uint64(math.MaxUint64), uint64(0), false
	flush := func() {
		if clock > 0 {
			n++
			b = appendUvarint(appendUvarint(b, client), clock)
		}
	}
	for ; r.cur != nil; r.advance() {
		if r.cur.client != client {
			flush()
			client, clock, gap = r.cur.client, 0, r.cur.clock != 0
		}
		gap = gap || r.cur.kind == kindSkip
		if !gap {
			clock = r.cur.end()
		}
	}
	if err := r.err(); err != nil {
		return nil, err
	}
	flush()
	return append(appendUvarint(nil, n), b...), nil
}
