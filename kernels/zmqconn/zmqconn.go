// Package zmqconn is one ZeroMQ connection: a ZMTP 3.0 session over TCP or a Unix socket, as Jupyter kernels speak it.
//
// A [Conn] is one connection to one peer. It uses go-zeromq for the ZMTP handshake and frames, but none of its
// sockets: those reconnect, queue and lose messages without saying so, block in Dial on a mute peer, and leave
// goroutines behind. Here a connection that breaks stays broken, every call returns, and no goroutine is started. So
// nothing has to be registered with go-zeromq either: it sees a net.Conn of ours, which reads through a buffer and
// checks each frame header before go-zeromq allocates room for it. A peer that announces a frame or a message above
// [Options.MaxMessage] is cut off; without that check a frame of 2^62 bytes ends the whole process. ZMTP PINGs are
// answered and, like all other commands, kept from the caller.
//
// Send may be called from several goroutines, Recv from one at a time; Close from any, more than once, and it makes
// the others return.
//
//	c, err := zmqconn.Dial(ctx, "tcp://127.0.0.1:4711", zmqconn.Dealer, "client-1", zmqconn.Options{})
//	defer c.Close()
//	err = c.Send([][]byte{[]byte("ping")})
//	frames, err := c.Recv()
//
// It has no socket patterns beyond what kernels need, no CURVE, and no reconnecting.
package zmqconn

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/go-zeromq/zmq4"
	"github.com/go-zeromq/zmq4/security/null"
)

// Kind is the ZeroMQ socket type that this end announces to its peer.
type Kind = zmq4.SocketType

// The kinds that kernels and their clients use.
const (
	Dealer = zmq4.Dealer // client end of shell, control and stdin
	Sub    = zmq4.Sub    // client end of iopub; subscribes to everything
	Req    = zmq4.Req    // client end of the heartbeat
	Router = zmq4.Router // kernel end of shell, control and stdin
	Pub    = zmq4.Pub    // kernel end of iopub
	Rep    = zmq4.Rep    // kernel end of the heartbeat
)

// Defaults of Options.
const (
	DefaultMaxMessage       = 1 << 30
	DefaultHandshakeTimeout = 10 * time.Second
	// dialRetry is the pause after a refused connection: a kernel binds its sockets some time after it was started.
	dialRetry = 25 * time.Millisecond
)

// ErrTooLarge is what Recv returns after the peer announced more bytes than Options.MaxMessage.
var ErrTooLarge = errors.New("ZeroMQ message is larger than the limit")

// Options tune a connection. The zero value works.
type Options struct {
	// MaxMessage limits the bytes of one message over all its frames; 0 means DefaultMaxMessage.
	MaxMessage int64
	// HandshakeTimeout limits the ZMTP handshake; 0 means DefaultHandshakeTimeout.
	HandshakeTimeout time.Duration
}

func (o Options) withDefaults() Options {
	if o.MaxMessage <= 0 {
		o.MaxMessage = DefaultMaxMessage
	}
	if o.HandshakeTimeout <= 0 {
		o.HandshakeTimeout = DefaultHandshakeTimeout
	}
	return o
}

// Conn is an open connection. Its owner closes it.
type Conn struct {
	zmtp *zmq4.Conn
	wire *filteredConn
}

// Dial connects to endpoint ("tcp://host:port" or "ipc:///path") and completes the handshake. While nobody listens
// there it tries again until ctx ends. Identity is the routing id that a ROUTER peer sees; empty lets it choose one.
// A Sub connection is subscribed to everything when Dial returns.
func Dial(ctx context.Context, endpoint string, kind Kind, identity string, opts Options) (*Conn, error) {
	network, address, err := splitEndpoint(endpoint)
	if err != nil {
		return nil, err
	}
	nc, err := dialUntilListening(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("dial %s: %w", endpoint, err)
	}
	c, err := open(ctx, nc, kind, identity, false, opts)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", endpoint, err)
	}
	if kind == Sub {
		if err := c.Send([][]byte{{1}}); err != nil {
			return nil, errors.Join(fmt.Errorf("subscribe at %s: %w", endpoint, err), c.Close())
		}
	}
	return c, nil
}

// Accept completes the handshake on nc, which a listener of the caller accepted, and takes it over; nc is closed on
// error. It is the kernel's end of a connection.
func Accept(ctx context.Context, nc net.Conn, kind Kind, opts Options) (*Conn, error) {
	return open(ctx, nc, kind, "", true, opts)
}

// Send writes one message of one or more frames with as few system calls as its size allows. It blocks while the peer
// does not read. After an error the message may or may not have been delivered, and the connection is closed.
func (c *Conn) Send(frames [][]byte) error {
	c.wire.mu.Lock()
	defer c.wire.mu.Unlock()
	err := c.zmtp.SendMsg(zmq4.NewMsgFrom(frames...))
	if err == nil {
		err = c.wire.out.Flush()
	}
	if err != nil {
		return errors.Join(fmt.Errorf("send: %w", err), c.Close())
	}
	return nil
}

// Recv returns the frames of the next message; the caller owns them. Any error is final and closes the connection.
func (c *Conn) Recv() ([][]byte, error) {
	msg, err := c.zmtp.RecvMsg()
	if err != nil {
		if cause := c.wire.failure(); cause != nil {
			err = cause
		}
		return nil, errors.Join(fmt.Errorf("receive: %w", err), c.Close())
	}
	return msg.Frames, nil
}

// Identity returns the routing id that the peer announced, possibly empty.
func (c *Conn) Identity() string { return c.zmtp.Peer.Meta["Identity"] }

// Close ends the connection and makes pending calls return. Closing again does nothing.
func (c *Conn) Close() error { return c.wire.Close() }

// splitEndpoint turns a ZeroMQ endpoint into the arguments of net.Dial.
func splitEndpoint(endpoint string) (network, address string, err error) {
	scheme, address, ok := strings.Cut(endpoint, "://")
	switch {
	case ok && scheme == "tcp":
		return "tcp", address, nil
	case ok && scheme == "ipc":
		return "unix", address, nil
	default:
		return "", "", fmt.Errorf("endpoint %q is neither tcp:// nor ipc://", endpoint)
	}
}

// dialUntilListening dials until somebody listens or ctx ends.
func dialUntilListening(ctx context.Context, network, address string) (net.Conn, error) {
	retry := time.NewTicker(dialRetry)
	defer retry.Stop()
	for {
		var d net.Dialer
		nc, err := d.DialContext(ctx, network, address)
		if err == nil {
			return nc, nil
		}
		if !errors.Is(err, syscall.ECONNREFUSED) && !errors.Is(err, syscall.ENOENT) && !errors.Is(err, syscall.EAGAIN) {
			return nil, err
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), err)
		case <-retry.C:
		}
	}
}

// open wraps nc and runs the ZMTP handshake within the time limit and ctx.
func open(ctx context.Context, nc net.Conn, kind Kind, identity string, server bool, opts Options) (*Conn, error) {
	opts = opts.withDefaults()
	fc := &filteredConn{Conn: nc, in: bufio.NewReaderSize(nc, 64<<10), limit: opts.MaxMessage}
	if err := nc.SetDeadline(time.Now().Add(opts.HandshakeTimeout)); err != nil {
		return nil, errors.Join(err, nc.Close())
	}
	stop := context.AfterFunc(ctx, func() { _ = fc.Close() }) // the handshake reports the closed connection
	zc, err := handshake(fc, kind, identity, server)
	if !stop() {
		err = errors.Join(ctx.Err(), err)
	}
	if err == nil {
		err = nc.SetDeadline(time.Time{})
	}
	if err != nil {
		return nil, errors.Join(err, fc.Close())
	}
	fc.startBatching()
	return &Conn{zmtp: zc, wire: fc}, nil
}

// handshake runs go-zeromq's handshake, whose parsing of a hostile peer's metadata may panic.
func handshake(fc *filteredConn, kind Kind, identity string, server bool) (zc *zmq4.Conn, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("ZMTP handshake: %v", r)
		}
	}()
	return zmq4.Open(fc, null.Security(), kind, zmq4.SocketIdentity(identity), server, nil)
}

// filteredConn is the net.Conn that go-zeromq reads and writes: buffered, and with the frames checked on the way in.
type filteredConn struct {
	net.Conn
	in     *bufio.Reader
	parser frameParser
	limit  int64

	// mu serialises whole messages and PONGs on out. It is held by Conn.Send, not by Write.
	mu  sync.Mutex
	out *bufio.Writer // nil during the handshake, when writes go out at once

	// stateMu guards what follows.
	stateMu  sync.Mutex
	cause    error // why the filter ended the connection
	closed   bool
	closeErr error
}

// startBatching collects the many small writes of one message until Conn.Send flushes them.
func (f *filteredConn) startBatching() { f.out = bufio.NewWriterSize(f.Conn, 16<<10) }

// Write implements net.Conn.
func (f *filteredConn) Write(p []byte) (int, error) {
	if f.out == nil {
		return f.Conn.Write(p)
	}
	return f.out.Write(p)
}

// Close implements net.Conn; only the first call closes.
func (f *filteredConn) Close() error {
	f.stateMu.Lock()
	defer f.stateMu.Unlock()
	if !f.closed {
		f.closed = true
		f.closeErr = f.Conn.Close()
	}
	return f.closeErr
}

// fail records why the connection must end and returns the reason.
func (f *filteredConn) fail(cause error) error {
	f.stateMu.Lock()
	defer f.stateMu.Unlock()
	f.cause = cause
	return cause
}

func (f *filteredConn) failure() error {
	f.stateMu.Lock()
	defer f.stateMu.Unlock()
	return f.cause
}
