package protocol

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/jupyter-drive/jupyter-drive/collab/crdt"
)

// OutdatedTimeout is how long a state lives without being renewed. One's own is renewed after half of it.
const OutdatedTimeout = 30 * time.Second

// AwarenessEntry is what an awareness message says about one client.
type AwarenessEntry struct {
	Client uint64
	Clock  uint64
	// State is JSON; nil says that the client is gone.
	State json.RawMessage
}

// DecodeAwareness takes an awareness update apart, so that a caller can check or change it. The error is [ErrMessage].
func DecodeAwareness(update []byte) ([]AwarenessEntry, error) {
	r := &reader{b: update}
	n := r.uvarint()
	if n > uint64(len(r.b)/3) {
		return nil, ErrMessage
	}
	entries := make([]AwarenessEntry, 0, n)
	for range n {
		e := AwarenessEntry{Client: r.uvarint(), Clock: r.uvarint()}
		state := bytes.TrimSpace(r.text())
		if r.bad || !json.Valid(state) {
			return nil, ErrMessage
		}
		if string(state) != "null" {
			e.State = bytes.Clone(state)
		}
		entries = append(entries, e)
	}
	return entries, nil
}

// EncodeAwareness is the update that says what the entries say.
func EncodeAwareness(entries []AwarenessEntry) []byte {
	b := binary.AppendUvarint(nil, uint64(len(entries)))
	for _, e := range entries {
		state := e.State
		if state == nil {
			state = json.RawMessage("null")
		}
		b = binary.AppendUvarint(binary.AppendUvarint(b, e.Client), e.Clock)
		b = append(binary.AppendUvarint(b, uint64(len(state))), state...)
	}
	return b
}

// AwarenessChange says which clients a change touched, in the order in which it did.
type AwarenessChange struct {
	Added, Updated, Removed []uint64
	// Changed are those of Updated whose state is another one, and not only renewed.
	Changed []uint64
	Origin  crdt.Origin
}

// Clients are all clients of the change, those to send to others.
func (c AwarenessChange) Clients() []uint64 { return slices.Concat(c.Added, c.Updated, c.Removed) }

// LocalOrigin and TimeoutOrigin are the origins of changes that this replica makes.
const (
	LocalOrigin   crdt.Origin = "local"
	TimeoutOrigin crdt.Origin = "timeout"
)

// Awareness holds the states of all clients, among them one's own. It belongs to one goroutine.
type Awareness struct {
	client   uint64
	now      func() time.Time
	clients  map[uint64]*clientState
	onChange func(AwarenessChange)
}

type clientState struct {
	clock   uint64
	updated time.Time
	state   json.RawMessage // nil if the client is gone
}

// AwarenessOptions change how awareness works. The zero value is as y-protocols has it.
type AwarenessOptions struct {
	// OnChange, if set, is called for every change and every renewal.
	OnChange func(AwarenessChange)
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// NewAwareness returns the awareness of a client, with an empty object as its own state.
func NewAwareness(client uint64, o AwarenessOptions) *Awareness {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnChange == nil {
		o.OnChange = func(AwarenessChange) {}
	}
	a := &Awareness{client: client, now: o.Now, clients: map[uint64]*clientState{}, onChange: o.OnChange}
	a.set(json.RawMessage("{}"))
	return a
}

// State is the JSON state of a client, nil if there is none.
func (a *Awareness) State(client uint64) json.RawMessage {
	if c := a.clients[client]; c != nil {
		return c.state
	}
	return nil
}

// Clients are the clients that have a state, in ascending order.
func (a *Awareness) Clients() []uint64 {
	all := slices.Sorted(maps.Keys(a.clients))
	return slices.DeleteFunc(all, func(client uint64) bool { return a.clients[client].state == nil })
}

// SetLocalState sets one's own state, any JSON value; nil says that one is gone. The error is [ErrMessage] if it is no
// JSON.
func (a *Awareness) SetLocalState(state json.RawMessage) error {
	state = bytes.TrimSpace(state)
	if len(state) > 0 && !json.Valid(state) {
		return ErrMessage
	}
	if len(state) == 0 || string(state) == "null" {
		state = nil
	}
	a.set(bytes.Clone(state))
	return nil
}

func (a *Awareness) set(state json.RawMessage) {
	c := a.clients[a.client]
	var was json.RawMessage
	if c == nil {
		c = &clientState{}
		a.clients[a.client] = c
	} else {
		c.clock++
		was = c.state
	}
	c.state, c.updated = state, a.now()
	change := AwarenessChange{Origin: LocalOrigin}
	own := []uint64{a.client}
	switch {
	case state == nil:
		change.Removed = own
	case was == nil:
		change.Added = own
	default:
		change.Updated = own
		if !sameJSON(was, state) {
			change.Changed = own
		}
	}
	a.onChange(change)
}

// Apply takes over what is newer in an update. The error is [ErrMessage], and then nothing was changed.
func (a *Awareness) Apply(update []byte, origin crdt.Origin) error {
	entries, err := DecodeAwareness(update)
	if err != nil {
		return err
	}
	change := AwarenessChange{Origin: origin}
	for _, e := range entries {
		a.apply(e, &change)
	}
	if len(change.Clients()) > 0 {
		a.onChange(change)
	}
	return nil
}

func (a *Awareness) apply(e AwarenessEntry, change *AwarenessChange) {
	c := a.clients[e.Client]
	known := c != nil
	if !known {
		c = &clientState{}
	}
	if e.Clock < c.clock || e.Clock == c.clock && (e.State != nil || c.state == nil) {
		return
	}
	a.clients[e.Client] = c
	was := c.state
	c.clock, c.updated = e.Clock, a.now()
	if e.State == nil && e.Client == a.client && was != nil {
		c.clock++ // nobody else removes one's own state: tell them that it is still there
	} else {
		c.state = e.State
	}
	switch {
	case e.State == nil && known:
		change.Removed = append(change.Removed, e.Client)
	case e.State == nil:
	case !known:
		change.Added = append(change.Added, e.Client)
	default:
		change.Updated = append(change.Updated, e.Client)
		if !sameJSON(was, e.State) {
			change.Changed = append(change.Changed, e.Client)
		}
	}
}

// Remove removes the states of clients, for example of a connection that was closed. Those that have none are skipped.
func (a *Awareness) Remove(clients []uint64, origin crdt.Origin) {
	change := AwarenessChange{Origin: origin}
	for _, client := range clients {
		c := a.clients[client]
		if c == nil || c.state == nil {
			continue
		}
		c.state = nil
		if client == a.client {
			c.clock++
			c.updated = a.now()
		}
		change.Removed = append(change.Removed, client)
	}
	if len(change.Removed) > 0 {
		a.onChange(change)
	}
}

// Tick renews one's own state when it is due and removes those that nobody renews. It is called every few seconds;
// y-protocols does it every three.
func (a *Awareness) Tick() {
	now := a.now()
	if own := a.clients[a.client]; own != nil && own.state != nil && now.Sub(own.updated) >= OutdatedTimeout/2 {
		a.set(own.state)
	}
	var gone []uint64
	for _, client := range a.Clients() {
		if client != a.client && now.Sub(a.clients[client].updated) >= OutdatedTimeout {
			gone = append(gone, client)
		}
	}
	a.Remove(gone, TimeoutOrigin)
}

// Encode is the update that tells others of these clients. Clients that were never heard of are left out.
func (a *Awareness) Encode(clients []uint64) []byte {
	entries := make([]AwarenessEntry, 0, len(clients))
	for _, client := range clients {
		if c := a.clients[client]; c != nil {
			entries = append(entries, AwarenessEntry{client, c.clock, c.state})
		}
	}
	return EncodeAwareness(entries)
}

// sameJSON reports whether two states are deeply equal. States are known to be JSON.
func sameJSON(a, b json.RawMessage) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
