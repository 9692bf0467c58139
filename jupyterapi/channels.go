package jupyterapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/gorilla/websocket"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// openChannels answers the WebSocket /api/kernels/{kernel}/channels: the messages of a kernel, in the framing that the client
// offers.
func openChannels(c *call) error {
	id := c.vars["kernel"]
	if _, err := c.s.opts.Kernels.Get(id); err != nil {
		return noKernel(id, err)
	}
	if !websocket.IsWebSocketUpgrade(c.r) {
		return failed(http.StatusBadRequest, "Can \"Upgrade\" only to \"WebSocket\".")
	}
	session := c.query.Get("session_id")
	if session == "" {
		session = uuid.NewString()
	}
	client, err := c.s.opts.Kernels.Attach(c.ctx(), id, session, c.caller.Principal.Name)
	if err != nil {
		return noKernel(id, err)
	}
	defer client.Close()
	return c.withSocket([]string{wire.Subprotocol}, func(one *socket) {
		ch := &channels{call: c, id: id, socket: one, client: client, v1: one.conn.Subprotocol() == wire.Subprotocol}
		done := make(chan struct{})
		go func() { defer close(done); ch.fromKernel() }()
		ch.fromClient()
		one.cancel()
		<-done
	})
}

// aboutAge is how long it may take until a socket learns that its kernel has another document.
const aboutAge = time.Second

// channels joins a WebSocket and a kernel.
type channels struct {
	*call
	id     string
	socket *socket
	client KernelClient
	v1     bool

	mu    sync.Mutex // guards about and asked
	about []fs.Resource
	asked time.Time
}

// allows asks the policy for each message: a right may be taken away while the socket is open.
func (ch *channels) allows(a fs.Action) bool {
	ch.mu.Lock()
	if now := time.Now(); now.Sub(ch.asked) > aboutAge {
		ch.about, ch.asked = ch.s.kernelResources(fs.Kernels, ch.id), now
	}
	about := ch.about
	ch.mu.Unlock()
	return ch.mayAll(a, about)
}

// fromKernel passes messages to the browser until one side ends.
func (ch *channels) fromKernel() {
	for {
		m, err := ch.client.Recv(ch.socket.ctx)
		if err == nil {
			err = ch.deliver(m)
		}
		if err != nil {
			if !errors.Is(err, context.Canceled) {
				ch.log().Debug("kernel connection ended", "kernel", ch.id, "err", err)
			}
			ch.socket.end(closeCode(err), "")
			return
		}
	}
}

// closeCode tells the browser whether it is worth coming back: it asks for the kernel after any of them.
func closeCode(err error) int {
	if fs.KindOf(err) == fs.NotExist {
		return websocket.CloseNormalClosure
	}
	return websocket.CloseTryAgainLater
}

// deliver sends one message of the kernel, if the user still may see it.
func (ch *channels) deliver(m wire.Message) error {
	if !ch.allows(fs.Execute) {
		return &fs.Error{Op: "kernel", Kind: fs.Permission}
	}
	if ch.v1 {
		return ch.socket.send(websocket.BinaryMessage, wire.EncodeV1(m))
	}
	frame, binary, err := wire.EncodeLegacy(m)
	if err != nil {
		ch.log().Warn("a kernel's message could not be framed", "kernel", ch.id, "err", err)
		return nil
	}
	kind := websocket.TextMessage
	if binary {
		kind = websocket.BinaryMessage
	}
	return ch.socket.send(kind, frame)
}

// fromClient passes messages to the kernel until one side ends. Frames that make no sense are dropped.
func (ch *channels) fromClient() {
	for {
		kind, frame, err := ch.socket.receive()
		if err != nil {
			return
		}
		m, err := ch.decode(kind, frame)
		if err != nil {
			ch.log().Warn("a frame was dropped", "kernel", ch.id, "user", ch.caller.Principal.ID, "err", err)
			continue
		}
		if !ch.allows(actionOf(m)) {
			ch.log().Warn("a message was refused", "kernel", ch.id, "user", ch.caller.Principal.ID, "channel", m.Channel)
			continue
		}
		ch.s.active.touch()
		err = ch.client.Send(ch.socket.ctx, m)
		if isKind(err, fs.Invalid) {
			ch.log().Warn("a message was dropped", "kernel", ch.id, "user", ch.caller.Principal.ID, "err", err)
			continue
		}
		if err != nil {
			ch.log().Debug("kernel connection ended", "kernel", ch.id, "err", err)
			return
		}
	}
}

func (ch *channels) decode(kind int, frame []byte) (wire.Message, error) {
	switch {
	case ch.v1:
		return wire.DecodeV1(frame)
	case kind == websocket.BinaryMessage:
		return wire.DecodeLegacyBinary(frame)
	}
	return wire.DecodeLegacyText(frame)
}

// actionOf returns the right that a message needs: to run code, and to end the kernel the right to write.
func actionOf(m wire.Message) fs.Action {
	if header, err := m.DecodeHeader(); err == nil && header.MsgType == "shutdown_request" {
		return fs.Write
	}
	return fs.Execute
}
