package crdt

import (
	"maps"
	"slices"
)

// ID names one unit of content: the client that made it and that client's clock at the time. Clocks count units.
type ID struct {
	Client uint64
	Clock  uint64
}

// StateVector says how much of each client's content is known: the clock that comes next. Clients that are not in it
// are unknown.
type StateVector map[uint64]uint64

// Encode returns the vector in Yjs' format, the greatest client first.
func (sv StateVector) Encode() []byte {
	b := make([]byte, 0, 1+len(sv)*8)
	return sv.append(b)
}

func (sv StateVector) append(b []byte) []byte {
	b = appendUvarint(b, uint64(len(sv)))
	clients := slices.Sorted(maps.Keys(sv))
	for _, client := range slices.Backward(clients) {
		b = appendUvarint(appendUvarint(b, client), sv[client])
	}
	return b
}

// DecodeStateVector reads a state vector. The error is a *[DecodeError].
func DecodeStateVector(data []byte) (StateVector, error) {
	r := &reader{buf: data}
	sv := readStateVector(r)
	if r.err != nil {
		return nil, r.err
	}
	return sv, nil
}

func readStateVector(r *reader) StateVector {
	n := r.count(2)
	sv := make(StateVector, n)
	for range n {
		client := r.uvarint()
		sv[client] = r.uvarint()
	}
	return sv
}
