package local

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/kernels"
	"github.com/jupyter-drive/jupyter-drive/kernels/shim"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
	"github.com/jupyter-drive/jupyter-drive/kernels/zmqconn"
)

// kernel is one launched process.
type kernel struct {
	provider   *Provider
	connection wire.Connection
	file       string // the connection file
	ports      []int  // reserved ones, none for ipc
	session    *wire.Session
	process    *shim.Process
}

// Connect implements kernels.Provisioned.
func (k *kernel) Connect(ctx context.Context, channel wire.Channel, identity string) (kernels.Conn, error) {
	kind := zmqconn.Dealer
	if channel == wire.IOPub {
		kind = zmqconn.Sub
	}
	zc, err := zmqconn.Dial(ctx, k.connection.Endpoint(channel), kind, identity, k.provider.opts.Connection)
	if err != nil {
		return nil, err
	}
	log := k.provider.log.With(slog.String("file", k.file), slog.String("channel", string(channel)))
	return &conn{zmq: zc, session: k.session, channel: channel, log: log}, nil
}

// Wait implements kernels.Provisioned.
func (k *kernel) Wait(ctx context.Context) (kernels.ExitStatus, error) {
	select {
	case <-k.process.Exited():
	case <-ctx.Done():
		return kernels.ExitStatus{}, ctx.Err()
	}
	e := k.process.Exit()
	return kernels.ExitStatus{
		Code: e.Code, Signal: e.Signal, Output: e.Output,
		Retry: strings.Contains(e.Output, "Address already in use"), // zmq.error.ZMQError says so, whatever the locale
	}, nil
}

// SendSignal implements kernels.Provisioned.
func (k *kernel) SendSignal(sig syscall.Signal) error { return unlessEnded(k.process.Signal(sig)) }

// Terminate implements kernels.Provisioned.
func (k *kernel) Terminate() error { return unlessEnded(k.process.Signal(syscall.SIGTERM)) }

// Kill implements kernels.Provisioned.
func (k *kernel) Kill() error { return unlessEnded(k.process.Kill()) }

// Cleanup implements kernels.Provisioned.
func (k *kernel) Cleanup(ctx context.Context) error {
	return errors.Join(k.process.Close(ctx), k.removeFiles())
}

// exitFile is where the shim records how the process ended.
func (k *kernel) exitFile() string { return strings.TrimSuffix(k.file, ".json") + "-exit.json" }

// removeFiles removes the files of the process and gives its ports back.
func (k *kernel) removeFiles() error {
	files := []string{k.file, k.exitFile()}
	if k.connection.Transport == "ipc" {
		for port := 1; port <= 5; port++ {
			files = append(files, k.connection.IP+"-"+strconv.Itoa(port))
		}
	}
	var errs []error
	for _, f := range files {
		if err := os.Remove(f); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	k.provider.ports.release(k.ports)
	return errors.Join(errs...)
}

// unlessEnded drops the error that a process has ended already.
func unlessEnded(err error) error {
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	return err
}

// conn signs and verifies the messages of one connection.
type conn struct {
	zmq     *zmqconn.Conn
	session *wire.Session
	channel wire.Channel
	log     *slog.Logger
	dropped int // messages that were none
}

// Send implements kernels.Conn.
func (c *conn) Send(m wire.Message) error {
	return c.zmq.Send(c.session.Encode(m))
}

// Recv implements kernels.Conn. Messages with a wrong signature are dropped; the first one is logged.
func (c *conn) Recv() (wire.Message, error) {
	for {
		frames, err := c.zmq.Recv()
		if err != nil {
			return wire.Message{}, err
		}
		m, err := c.session.Decode(c.channel, frames)
		if err == nil {
			return m, nil
		}
		if c.dropped++; c.dropped == 1 {
			c.log.Warn("dropping kernel messages that cannot be trusted", "error", err)
		}
	}
}

// Close implements kernels.Conn.
func (c *conn) Close() error { return c.zmq.Close() }

// reservations are the TCP ports that kernels of this process were given, so that no two get the same one between
// the choice and the bind.
type reservations struct {
	mu    sync.Mutex // guards taken
	taken map[int]bool
}

// reserve returns n free ports of the loopback interface.
func (r *reservations) reserve(n int) (ports []int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.taken == nil {
		r.taken = map[int]bool{}
	}
	for len(ports) < n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // all stay open until all are found, so that they differ
		if tcp, ok := l.Addr().(*net.TCPAddr); ok && !r.taken[tcp.Port] {
			ports = append(ports, tcp.Port)
		}
	}
	for _, p := range ports {
		r.taken[p] = true
	}
	return ports, nil
}

func (r *reservations) release(ports []int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, p := range ports {
		delete(r.taken, p)
	}
}
