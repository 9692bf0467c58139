// Package kerneltest is a small fake kernel for tests, with faults on request.
//
// It speaks the kernel protocol on all five sockets, and the code it is told to execute consists of lines like
// "print hello", "spam 1000 20", "sleep" or "exit 3" (see [Commands]). Faults at the start are in a [Script]. It runs
// in the test's own process ([Run]) or, where a real process matters, as one: a test binary calls [Main] from TestMain
// when its first argument is [Argument], and the kernel spec made by [Argv] starts it so.
//
//	func TestMain(m *testing.M) {
//		if len(os.Args) > 1 && os.Args[1] == kerneltest.Argument {
//			os.Exit(kerneltest.Main(os.Args[2:]))
//		}
//		os.Exit(m.Run())
//	}
//
// It is no kernel for users: it has no language, no history and no comms.
package kerneltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
	"github.com/jupyter-drive/jupyter-drive/kernels/zmqconn"
)

// Argument is the first argument of a test binary that is to be the fake kernel.
const Argument = "fake-kernel"

// Script says what goes wrong at the start. The zero Script is a healthy kernel.
type Script struct {
	// ExitAtOnce ends the kernel with this status before it listens, if not 0.
	ExitAtOnce int `json:"exit_at_once,omitempty"`
	// Complaint is written to standard error at the start.
	Complaint string `json:"complaint,omitempty"`
	// FailOnce names a file: if it exists, it is removed and the kernel starts well; else it is made and the kernel
	// ends at once.
	FailOnce string `json:"fail_once,omitempty"`
	// LateBind is how long the kernel waits before it listens.
	LateBind time.Duration `json:"late_bind,omitempty"`
	// Mute accepts this many connections on each socket without a word before it speaks with the next.
	Mute int `json:"mute,omitempty"`
	// IgnoreShutdown makes it ignore shutdown_request and SIGTERM.
	IgnoreShutdown bool `json:"ignore_shutdown,omitempty"`
	// SilentControl never answers on the control channel but for interrupt and shutdown.
	SilentControl bool `json:"silent_control,omitempty"`
	// Welcome sends iopub_welcome to each subscriber, as protocol 5.5 does.
	Welcome bool `json:"welcome,omitempty"`
}

// Argv returns the argv of a kernel spec that runs exe, a test binary, as a fake kernel.
func Argv(exe string, script Script) []string {
	raw, err := json.Marshal(script)
	if err != nil {
		panic(err) // a Script always has a JSON form
	}
	return []string{exe, Argument, "{connection_file}", string(raw)}
}

// Main is the fake kernel as a process: args are the connection file and the script. It returns the exit status.
func Main(args []string) int {
	script := Script{}
	raw, err := os.ReadFile(args[0])
	if err == nil && len(args) > 1 {
		err = json.Unmarshal([]byte(args[1]), &script)
	}
	var connection wire.Connection
	if err == nil {
		connection, err = wire.ParseConnection(raw)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 2
	}
	fmt.Fprint(os.Stderr, script.Complaint)
	if script.ExitAtOnce != 0 {
		return script.ExitAtOnce
	}
	if script.FailOnce != "" && os.Remove(script.FailOnce) != nil {
		_ = os.WriteFile(script.FailOnce, nil, 0o600) // failing again is then what the test sees
		return 1
	}
	ctx := context.Background()
	if script.IgnoreShutdown {
		signal.Ignore(syscall.SIGTERM)
	}
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT)
	code, err := Run(ctx, connection, script, interrupts)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return code
}

// Run is the fake kernel: it listens as connection says until it is shut down, told to exit, or ctx ends. Interrupts
// may be nil. It returns the exit status that a process would have.
func Run(ctx context.Context, connection wire.Connection, script Script, interrupts <-chan os.Signal) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	k := &kernel{
		script: script, session: wire.NewSession([]byte(connection.Key), "kernel"), interrupts: interrupts,
		shell: make(chan call, 1000), answers: make(chan wire.Message, 16), interrupted: make(chan struct{}, 1),
		exit: make(chan int, 1),
	}
	defer k.tasks.Wait()
	defer cancel()
	select {
	case <-time.After(script.LateBind):
	case <-ctx.Done():
		return 1, ctx.Err()
	}
	for endpoint, serve := range map[string]func(*peer){
		connection.Endpoint(wire.Shell):   k.serveRequests(wire.Shell),
		connection.Endpoint(wire.Control): k.serveRequests(wire.Control),
		connection.Endpoint(wire.Stdin):   k.serveStdin,
		connection.Endpoint(wire.IOPub):   k.serveIOPub,
		connection.Heartbeat():            serveHeartbeat,
	} {
		if err := k.listen(ctx, endpoint, serve); err != nil {
			return 1, err
		}
	}
	k.tasks.Go(func() { k.work(ctx) })
	select {
	case code := <-k.exit:
		return code, nil
	case <-ctx.Done():
		return 1, ctx.Err()
	}
}

// kernel is one running fake.
type kernel struct {
	script      Script
	session     *wire.Session
	interrupts  <-chan os.Signal
	shell       chan call
	answers     chan wire.Message // input_reply
	interrupted chan struct{}
	exit        chan int
	tasks       sync.WaitGroup

	// mu guards what follows.
	mu          sync.Mutex
	subscribers []*peer
	askers      map[string]*peer // stdin connections by identity
	executions  int
}

// peer is one connection to the kernel.
type peer struct {
	*zmqconn.Conn
	raw net.Conn
}

// call is one request and whom to answer.
type call struct {
	from    *peer
	message wire.Message
	header  wire.Header
}

// listen accepts connections at endpoint until ctx ends.
func (k *kernel) listen(ctx context.Context, endpoint string, serve func(*peer)) error {
	network, address, _ := strings.Cut(endpoint, "://")
	if network == "ipc" {
		network = "unix"
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return fmt.Errorf("listen on %s: %w", endpoint, err)
	}
	context.AfterFunc(ctx, func() { _ = l.Close() }) // which ends Accept
	k.tasks.Go(func() {
		for mute := k.script.Mute; ; mute-- {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			stop := context.AfterFunc(ctx, func() { _ = nc.Close() }) // which ends its reader
			k.tasks.Go(func() {
				defer nc.Close()
				defer stop()
				if mute > 0 {
					<-ctx.Done()
					return
				}
				serve(&peer{raw: nc})
			})
		}
	})
	return nil
}

// accept completes the handshake of p.
func (p *peer) accept(kind zmqconn.Kind) bool {
	conn, err := zmqconn.Accept(context.Background(), p.raw, kind, zmqconn.Options{})
	p.Conn = conn
	return err == nil
}

// serveRequests answers the requests on shell or control.
func (k *kernel) serveRequests(channel wire.Channel) func(*peer) {
	return func(p *peer) {
		if !p.accept(zmqconn.Router) {
			return
		}
		for {
			frames, err := p.Recv()
			if err != nil {
				return
			}
			m, err := k.session.Decode(channel, frames)
			if err != nil {
				fmt.Fprintln(os.Stderr, "fake kernel:", err)
				continue
			}
			header, err := m.DecodeHeader()
			if err != nil {
				continue
			}
			c := call{p, m, header}
			if channel == wire.Control {
				k.control(c)
			} else {
				k.shell <- c
			}
		}
	}
}

// serveStdin passes on the answers to questions.
func (k *kernel) serveStdin(p *peer) {
	if !p.accept(zmqconn.Router) {
		return
	}
	k.mu.Lock()
	if k.askers == nil {
		k.askers = map[string]*peer{}
	}
	k.askers[p.Identity()] = p
	k.mu.Unlock()
	for {
		frames, err := p.Recv()
		if err != nil {
			return
		}
		m, err := k.session.Decode(wire.Stdin, frames)
		if err != nil {
			continue
		}
		select {
		case k.answers <- m:
		default: // nobody asked for that many
		}
	}
}

// serveIOPub keeps a subscriber until it goes.
func (k *kernel) serveIOPub(p *peer) {
	if !p.accept(zmqconn.Pub) {
		return
	}
	for {
		frames, err := p.Recv()
		if err != nil {
			return
		}
		if len(frames) != 1 || len(frames[0]) == 0 || frames[0][0] != 1 {
			continue
		}
		k.mu.Lock()
		k.subscribers = append(k.subscribers, p)
		k.mu.Unlock()
		if k.script.Welcome {
			k.publish(nil, "iopub_welcome", map[string]string{"subscription": ""})
		}
	}
}

func serveHeartbeat(p *peer) {
	if !p.accept(zmqconn.Rep) {
		return
	}
	for {
		frames, err := p.Recv()
		if err != nil || p.Send(frames) != nil {
			return
		}
	}
}

// publish sends a message to all subscribers.
func (k *kernel) publish(parent []byte, msgType string, content any) {
	m, err := k.session.Reply(wire.IOPub, msgType, parent, content)
	if err != nil {
		panic(err) // the contents here all have a JSON form
	}
	k.publishFrames(k.session.Encode(m, []byte("kernel."+msgType)))
}

func (k *kernel) publishFrames(frames [][]byte) {
	k.mu.Lock()
	defer k.mu.Unlock()
	live := k.subscribers[:0]
	for _, p := range k.subscribers {
		if p.Send(frames) == nil {
			live = append(live, p)
		}
	}
	k.subscribers = live
}

// reply answers c.
func (k *kernel) reply(c call, msgType string, content any) {
	m, err := k.session.Reply(c.message.Channel, msgType, c.message.Header, content)
	if err == nil {
		err = c.from.Send(k.session.Encode(m))
	}
	if err != nil && !errors.Is(err, net.ErrClosed) {
		fmt.Fprintln(os.Stderr, "fake kernel:", err)
	}
}
