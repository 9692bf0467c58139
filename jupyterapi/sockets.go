package jupyterapi

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/gorilla/websocket"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/identity"
)

// maxFrame is the largest message that a client may send over a WebSocket, in bytes.
const maxFrame = 128 << 20

// maxSockets is how many WebSockets one person may have open.
const maxSockets = 512

// writeWait is how long one message may take to leave.
const writeWait = 30 * time.Second

// sockets is the set of open WebSockets.
type sockets struct {
	mu     sync.Mutex // guards all below
	open   map[*socket]bool
	closed bool
	count  sync.WaitGroup // of open
}

// socket is one WebSocket. Any goroutine may send; one reads.
type socket struct {
	conn   *websocket.Conn
	caller identity.Caller
	ctx    context.Context // ends with the socket
	cancel context.CancelFunc

	mu sync.Mutex // held while a message is written
}

var (
	errSocketsClosed = errors.New("the server is stopping")
	errManySockets   = errors.New("too many connections")
)

func (s *sockets) add(one *socket) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return errSocketsClosed
	}
	if s.open == nil {
		s.open = map[*socket]bool{}
	}
	same := 0
	for other := range s.open {
		if other.caller.Principal.ID == one.caller.Principal.ID {
			same++
		}
	}
	if same >= maxSockets {
		return errManySockets
	}
	s.open[one] = true
	s.count.Add(1)
	return nil
}

func (s *sockets) remove(one *socket) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, one)
	s.count.Done()
}

// closeInvalid ends the sockets of callers who are none any more.
func (s *sockets) closeInvalid(valid func(identity.Caller) bool) {
	s.mu.Lock()
	all := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	endAll(slices.DeleteFunc(all, func(one *socket) bool { return valid(one.caller) }), websocket.ClosePolicyViolation, "the login has ended")
}

// endAll ends sockets at the same time: saying goodbye to a client that does not read takes a second.
func endAll(list []*socket, code int, reason string) {
	var ending sync.WaitGroup
	for _, one := range list {
		ending.Go(func() { one.end(code, reason) })
	}
	ending.Wait()
}

// close ends all sockets and waits for their handlers.
func (s *sockets) close(ctx context.Context) error {
	s.mu.Lock()
	s.closed = true
	all := slices.Collect(maps.Keys(s.open))
	s.mu.Unlock()
	done := make(chan struct{})
	go func() { // ends with the handlers, which end with their sockets
		defer close(done)
		endAll(all, websocket.CloseGoingAway, errSocketsClosed.Error())
		s.count.Wait()
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// withSocket upgrades the request and runs serve with the socket, which is closed when serve returns.
func (c *call) withSocket(protocols []string, serve func(*socket)) error {
	up := websocket.Upgrader{
		HandshakeTimeout: 10 * time.Second,
		ReadBufferSize:   16 << 10,
		WriteBufferSize:  16 << 10,
		Subprotocols:     protocols,
		CheckOrigin:      func(*http.Request) bool { return true }, // checkSender has done so
		Error: func(_ http.ResponseWriter, _ *http.Request, status int, reason error) {
			c.s.log.Debug("no WebSocket", "status", status, "err", reason)
		},
	}
	conn, err := up.Upgrade(c.w, c.r, c.upgradeHeaders())
	if err != nil {
		return &failure{status: http.StatusBadRequest, message: "Can \"Upgrade\" only to \"WebSocket\".", err: err}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.ctx()))
	one := &socket{conn: conn, caller: c.caller, ctx: ctx, cancel: cancel}
	defer one.end(websocket.CloseNormalClosure, "")
	if err := c.s.sockets.add(one); err != nil {
		one.end(websocket.CloseTryAgainLater, err.Error())
		return nil
	}
	defer c.s.sockets.remove(one)
	conn.SetReadLimit(min(maxFrame, c.s.opts.MaxBody))
	stop := one.keepAlive(c.s.opts.PingInterval)
	defer stop()
	serve(one)
	return nil
}

// upgradeHeaders keeps the headers that were set so far: an upgrade begins with its own.
func (c *call) upgradeHeaders() http.Header {
	h := http.Header{}
	for _, name := range []string{"Set-Cookie"} {
		for _, v := range c.w.Header().Values(name) {
			h.Add(name, v)
		}
	}
	return h
}

// keepAlive pings the client, and ends the socket when it has been silent for three pings.
func (o *socket) keepAlive(every time.Duration) (stop func()) {
	patience := max(3*every, 30*time.Second)
	alive := func() { _ = o.conn.SetReadDeadline(time.Now().Add(patience)) } // an error shows at the next read
	alive()
	o.conn.SetPongHandler(func(string) error { alive(); return nil })
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(every)
		defer tick.Stop()
		for {
			select {
			case <-o.ctx.Done():
				return
			case <-tick.C:
				if o.conn.WriteControl(websocket.PingMessage, nil, time.Now().Add(writeWait)) != nil {
					o.cut()
					return
				}
			}
		}
	}()
	return func() { o.cancel(); <-done }
}

// send writes one message. An error ends the socket.
func (o *socket) send(kind int, data []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.conn.SetWriteDeadline(time.Now().Add(writeWait)); err != nil {
		return err
	}
	err := o.conn.WriteMessage(kind, data)
	if err != nil {
		o.cut()
	}
	return err
}

// cut ends the socket of a client that is not there any more, or does not read: also its handler's read.
func (o *socket) cut() {
	o.cancel()
	_ = o.conn.Close() // nobody is left to be told
}

// receive returns the next message.
func (o *socket) receive() (kind int, data []byte, err error) {
	kind, data, err = o.conn.ReadMessage()
	if err != nil {
		o.cancel()
	}
	return kind, data, err
}

// end says goodbye and closes the connection, which also ends a read. It may be called more than once and from anywhere.
func (o *socket) end(code int, reason string) {
	o.cancel()
	// The client may have gone; then there is nobody to tell.
	_ = o.conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(code, reason), time.Now().Add(time.Second))
	_ = o.conn.Close()
}
