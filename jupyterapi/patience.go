package jupyterapi

import (
	"io"
	"net/http"
	"time"
)

// A client that neither sends nor takes anything would hold a goroutine and a connection for ever. So every piece of a body, in and
// out, has a limit of its own, [Options.Patience]; a whole body that comes in has one only by the rate at which it must come.

// minRate is how fast a body must come in on average after the first Patience, in bytes a second: who sends a byte now and then is
// as bad as who sends none.
const minRate = 512

// pieceSize is how much of an answer must leave within Patience, in bytes.
const pieceSize = 128 << 10

// patience limits how long a client may take for the next piece.
type patience struct {
	conn  *http.ResponseController
	limit time.Duration
	// timers is true where a deadline ends the request when it passes, be there a read or write under way or not: HTTP/2.
	timers bool
	body   *patientBody // nil = the request has none
}

// newPatience sets the limit for what is sent before the answer, and gives the request a body with limits.
func newPatience(w http.ResponseWriter, r *http.Request, limit time.Duration) *patience {
	p := &patience{conn: http.NewResponseController(w), limit: limit, timers: r.ProtoMajor > 1}
	now := time.Now()
	if !p.timers {
		p.write(now.Add(limit)) // for "100 Continue"
	}
	if r.ContentLength != 0 {
		p.body = &patientBody{ReadCloser: r.Body, patience: p, begun: now}
		r.Body = p.body
	}
	return p
}

// read and write set a deadline. A transport that has none, such as a test's, has no slow clients either.
func (p *patience) read(until time.Time)  { _ = p.conn.SetReadDeadline(until) }
func (p *patience) write(until time.Time) { _ = p.conn.SetWriteDeadline(until) }

// answering gives the client time to take what is written next, and to send what is left of a body that nobody has read: the server
// reads that before it answers.
func (p *patience) answering() {
	until := time.Now().Add(p.limit)
	if p.body != nil && !p.body.ended {
		p.read(until)
		until = until.Add(p.limit)
	}
	p.write(until)
}

// written ends the time for a piece.
func (p *patience) written() {
	if p.timers {
		p.write(time.Time{})
	}
}

// patientBody is a request's body whose pieces must come in time.
type patientBody struct {
	io.ReadCloser
	patience *patience
	begun    time.Time
	received int64
	ended    bool
}

// Read implements io.Reader.
func (b *patientBody) Read(p []byte) (int, error) {
	if !b.ended {
		limit := b.begun.Add(b.patience.limit + time.Duration(b.received/minRate)*time.Second)
		if next := time.Now().Add(b.patience.limit); next.Before(limit) {
			limit = next
		}
		b.patience.read(limit)
	}
	n, err := b.ReadCloser.Read(p)
	b.received += int64(n)
	b.ended = b.ended || err != nil // at the end net/http takes the deadline away itself
	return n, err
}

// patientWriter sends an answer in pieces that must leave in time.
type patientWriter struct {
	w        io.Writer
	patience *patience
}

// Write implements io.Writer.
func (w patientWriter) Write(p []byte) (int, error) {
	defer w.patience.written()
	sent := 0
	for {
		piece := p[sent:min(len(p), sent+pieceSize)]
		w.patience.answering()
		n, err := w.w.Write(piece)
		if sent += n; err != nil || sent == len(p) {
			return sent, err
		}
	}
}
