package kernels

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// messageOverhead is what a queued message counts beyond its parts.
const messageOverhead = 256

// joinFraction is the part of a queue's limit after which what came in is joined. It bounds how long one push takes.
const joinFraction = 16

// queue holds the messages that wait for one client, up to a number of bytes.
type queue struct {
	wake chan struct{} // holds one token when there may be something to pop

	// mu guards what follows.
	mu     sync.Mutex
	limit  int
	items  []wire.Message
	bytes  int
	joined int   // how many of the first items went through joining
	fresh  int   // bytes of the items that did not
	err    error // why the queue ended; pushes are ignored from then on
}

func newQueue(limit int) *queue {
	return &queue{limit: limit, wake: make(chan struct{}, 1)}
}

// push appends m and reports whether it fits, if need be after joining streams. A message that is alone always fits.
func (q *queue) push(m wire.Message) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err != nil {
		return true
	}
	q.append(m)
	if q.fresh > q.limit/joinFraction || q.bytes > q.limit {
		q.join()
	}
	q.signal()
	return q.bytes <= q.limit || len(q.items) == 1
}

// load appends items that are in memory already, whatever the limit.
func (q *queue) load(items []wire.Message) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, m := range items {
		q.append(m)
	}
	q.signal()
}

// append adds m. The caller holds mu.
func (q *queue) append(m wire.Message) {
	q.items = append(q.items, m)
	q.bytes += cost(m)
	q.fresh += cost(m)
}

// pop returns the oldest message. When none is left and the queue has ended, it returns why.
func (q *queue) pop(ctx context.Context) (wire.Message, error) {
	for {
		if m, ok, err := q.take(); ok || err != nil {
			return m, err
		}
		select {
		case <-q.wake:
		case <-ctx.Done():
			return wire.Message{}, ctx.Err()
		}
	}
}

func (q *queue) take() (m wire.Message, ok bool, err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.items) == 0 {
		if q.err != nil {
			q.signal() // for whoever else waits
		}
		return wire.Message{}, false, q.err
	}
	m = q.items[0]
	q.items[0] = wire.Message{} // let go of its bytes
	q.items = q.items[1:]
	q.bytes -= cost(m)
	if q.joined > 0 {
		q.joined--
	} else {
		q.fresh -= cost(m)
	}
	if len(q.items) > 0 {
		q.signal()
	}
	return m, true, nil
}

// end makes pop return err once the messages that wait were taken.
func (q *queue) end(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.err == nil {
		q.err = err
	}
	q.signal()
}

// abort makes pop return err at once and returns the messages that waited.
func (q *queue) abort(err error) []wire.Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	items := q.items
	q.items, q.bytes, q.joined, q.fresh = nil, 0, 0, 0
	if q.err == nil {
		q.err = err
	}
	q.signal()
	return items
}

func (q *queue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// join merges neighbouring pieces of a stream among the items that came in since the last time. The caller holds mu.
func (q *queue) join() {
	tail := joinStreams(q.items[q.joined:])
	q.bytes += total(tail) - q.fresh
	q.items = append(q.items[:q.joined:q.joined], tail...)
	q.joined, q.fresh = len(q.items), 0
}

func cost(m wire.Message) int { return m.Size() + messageOverhead }

func total(items []wire.Message) int {
	n := 0
	for _, m := range items {
		n += cost(m)
	}
	return n
}

// streamContent is the content of a stream message.
type streamContent struct {
	Name string `json:"name"`
	Text string `json:"text"`
}

// asStream returns the content of m if m is a stream message and nothing would be lost by writing it again.
func asStream(m wire.Message) (streamContent, bool) {
	if m.Channel != wire.IOPub || len(m.Buffers) > 0 || !bytes.Contains(m.Header, []byte(`"stream"`)) {
		return streamContent{}, false
	}
	h, err := m.DecodeHeader()
	if err != nil || h.MsgType != "stream" {
		return streamContent{}, false
	}
	var c streamContent
	d := json.NewDecoder(bytes.NewReader(m.Content))
	d.DisallowUnknownFields()
	return c, d.Decode(&c) == nil
}

// joinStreams returns items with each run of stream messages of one name and parent made into one message.
func joinStreams(items []wire.Message) []wire.Message {
	joined := make([]wire.Message, 0, len(items))
	for i := 0; i < len(items); {
		run := streamRun(items[i:])
		if len(run) < 2 {
			joined = append(joined, items[i])
			i++
			continue
		}
		joined = append(joined, joinRun(items[i], run))
		i += len(run)
	}
	return joined
}

// streamRun returns the contents of the stream messages at the start of items that may become one.
func streamRun(items []wire.Message) []streamContent {
	var run []streamContent
	for _, m := range items {
		if len(run) > 0 && !bytes.Equal(m.ParentHeader, items[0].ParentHeader) {
			break
		}
		c, ok := asStream(m)
		if !ok || len(run) > 0 && c.Name != run[0].Name {
			break
		}
		run = append(run, c)
	}
	return run
}

// joinRun returns first with the text of the whole run.
func joinRun(first wire.Message, run []streamContent) wire.Message {
	var text strings.Builder
	for _, c := range run {
		text.WriteString(c.Text)
	}
	content, err := json.Marshal(streamContent{Name: run[0].Name, Text: text.String()})
	if err != nil { // strings always have a JSON form
		return first
	}
	first.Content = content
	return first
}

// buffer keeps the messages of a session whose client went away, up to a number of bytes.
type buffer struct {
	session string
	limit   int
	items   []wire.Message
	bytes   int
	dropped int
}

// add appends m; when the buffer is full, streams are joined, and then the oldest outputs dropped and counted, before
// any status or reply is.
func (b *buffer) add(m wire.Message) {
	b.items = append(b.items, m)
	b.bytes += cost(m)
	if b.bytes <= b.limit {
		return
	}
	b.items = joinStreams(b.items)
	b.bytes = total(b.items)
	for _, disposable := range []func(wire.Message) bool{isOutput, func(wire.Message) bool { return true }} {
		b.items = slices.DeleteFunc(b.items, func(m wire.Message) bool {
			if b.bytes <= b.limit-b.limit/4 || !disposable(m) {
				return false
			}
			b.bytes -= cost(m)
			b.dropped++
			return true
		})
	}
}

// isOutput reports whether m only shows something, so that losing it leaves no front end waiting.
func isOutput(m wire.Message) bool {
	if m.Channel != wire.IOPub {
		return false
	}
	h, err := m.DecodeHeader()
	if err != nil {
		return true
	}
	switch h.MsgType {
	case "stream", "display_data", "update_display_data", "execute_result", "clear_output":
		return true
	default:
		return false
	}
}
