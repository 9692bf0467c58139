package kernels

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

const (
	// maxOutstanding limits how many running requests are tracked, for the kernel names them.
	maxOutstanding = 10_000
)

// untracked are the message types that neither count as activity nor make a kernel busy, as jupyter_server has them.
var untracked = []string{
	"comm_info_request", "comm_info_reply", "kernel_info_request", "kernel_info_reply", "shutdown_request",
	"shutdown_reply", "interrupt_request", "interrupt_reply", "debug_request", "debug_reply", "stream", "display_data",
	"update_display_data", "execute_input", "execute_result", "error", "status", "clear_output", "debug_event",
	"input_request", "input_reply",
}

// UntrackedMessageTypes returns the message types that do not count as activity, for JupyterLab's page config.
func UntrackedMessageTypes() []string { return slices.Clone(untracked) }

// hub passes messages between one kernel and its clients and follows the kernel's state. It never blocks.
type hub struct {
	opts    Options
	log     *slog.Logger
	session *wire.Session // of the requests that the Manager itself makes

	// mu guards what follows.
	mu           sync.Mutex
	link         *link // whose messages count; older links are ignored
	clients      map[string]*Client
	buffer       *buffer // nil while a client is attached, and before the first one
	requests     requests
	outstanding  map[string]bool // ids of the tracked requests that run
	lastActivity time.Time
	parentRaw    []byte // the last parent header, which mostly is the next one's too
	parent       wire.Header
	asking       bool  // a request waits for input that nobody has given yet
	ended        error // why the kernel is gone
}

func newHub(opts Options, log *slog.Logger) *hub {
	return &hub{
		opts: opts, log: log, session: wire.NewSession(nil, "jupyter-drive"),
		clients: map[string]*Client{}, outstanding: map[string]bool{}, lastActivity: time.Now(),
	}
}

// attach adds a client. An older one with the same session hands over what it has not read.
func (h *hub) attach(opts AttachOptions) (*Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended != nil {
		return nil, h.ended
	}
	c := &Client{hub: h, opts: opts, queue: newQueue(h.opts.QueueBytes)}
	switch stale := h.clients[opts.SessionID]; {
	case stale != nil:
		h.log.Info("a client reconnects while its old connection is open", "session", opts.SessionID)
		h.replay(c, stale.queue.abort(ErrReplaced), 0)
	case h.buffer != nil && h.buffer.session == opts.SessionID:
		h.replay(c, h.buffer.items, h.buffer.dropped)
	case h.buffer != nil && len(h.buffer.items) > 0:
		h.log.Info("discarding messages kept for another session", "messages", len(h.buffer.items))
	}
	h.buffer = nil
	h.clients[opts.SessionID] = c
	return c, nil
}

// replay queues what a session missed. It may exceed the queue's limit: the bytes are in memory already.
func (h *hub) replay(c *Client, items []wire.Message, dropped int) {
	if dropped > 0 {
		text := fmt.Sprintf("%d messages were dropped while no client was connected.\n", dropped)
		if m, err := h.session.Request(wire.IOPub, "stream", streamContent{"stderr", text}); err == nil {
			items = append([]wire.Message{m}, items...)
		}
	}
	c.queue.load(items)
}

// detach removes a client. What the last one has not read is kept for its session.
func (h *hub) detach(c *Client, reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.remove(c, reason)
}

// remove is detach for callers that hold mu.
func (h *hub) remove(c *Client, reason error) {
	unread := c.queue.abort(reason)
	if h.clients[c.opts.SessionID] != c {
		return // replaced
	}
	delete(h.clients, c.opts.SessionID)
	if len(h.clients) > 0 || h.ended != nil {
		return
	}
	h.buffer = &buffer{session: c.opts.SessionID, limit: h.opts.BufferBytes}
	for _, m := range unread {
		h.buffer.add(m)
	}
}

// deliver takes one message from a kernel's socket.
func (h *hub) deliver(from *link, m wire.Message) {
	header, err := m.DecodeHeader()
	if err != nil {
		h.log.Warn("dropping a message without a proper header", "channel", m.Channel, "error", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != from {
		return // an earlier process
	}
	parent := h.parentOf(m)
	if parent.Session == h.session.ID() || header.MsgType == "iopub_welcome" {
		from.noteAnswer(m.Channel)
		return
	}
	switch m.Channel {
	case wire.IOPub:
		h.track(header, parent, m)
		h.broadcast(m)
	case wire.Stdin:
		h.ask(parent, m)
	default:
		h.route(parent, m)
	}
}

// parentOf decodes m's parent header. The caller holds mu.
func (h *hub) parentOf(m wire.Message) wire.Header {
	if !bytes.Equal(m.ParentHeader, h.parentRaw) {
		parent, err := m.DecodeParent()
		if err != nil {
			return wire.Header{} // as good as none
		}
		h.parentRaw, h.parent = m.ParentHeader, parent
	}
	return h.parent
}

// track follows activity and busy requests. The caller holds mu.
func (h *hub) track(header, parent wire.Header, m wire.Message) {
	state := ""
	if header.MsgType == "status" && parent.MsgID != "" {
		state = executionState(m)
	}
	if state == "idle" {
		h.requests.finish(parent.MsgID, false)
	}
	if slices.Contains(untracked, parent.MsgType) {
		if len(h.outstanding) > 0 {
			h.lastActivity = time.Now()
		}
		return
	}
	h.lastActivity = time.Now()
	switch state {
	case "busy":
		if len(h.outstanding) < maxOutstanding {
			h.outstanding[parent.MsgID] = true
		}
	case "idle":
		delete(h.outstanding, parent.MsgID)
	}
}

// broadcast queues m for every client. The caller holds mu.
func (h *hub) broadcast(m wire.Message) {
	if h.buffer != nil {
		h.buffer.add(m)
	}
	for _, c := range h.clients {
		h.push(c, m)
	}
}

// push queues m for c or disconnects it. The caller holds mu.
func (h *hub) push(c *Client, m wire.Message) {
	if c.queue.push(m) {
		return
	}
	h.log.Warn("disconnecting a client that reads too slowly", "session", c.opts.SessionID, "username", c.opts.Username)
	c.queue.abort(ErrSlowClient)
	h.remove(c, ErrSlowClient)
}

// route gives a reply to whoever asked. The caller holds mu.
func (h *hub) route(parent wire.Header, m wire.Message) {
	session := parent.Session
	if r, ok := h.requests.get(parent.MsgID); ok {
		session = r.session
		if m.Channel != wire.Stdin {
			h.requests.finish(parent.MsgID, true)
		}
	}
	h.give(session, m)
}

// give queues m for the client of a session, or keeps it if that has just gone. The caller holds mu.
func (h *hub) give(session string, m wire.Message) {
	switch c := h.clients[session]; {
	case c != nil:
		h.push(c, m)
	case h.buffer != nil && h.buffer.session == session:
		h.buffer.add(m)
	}
}

// ask passes the kernel's question to the client whose request it is about; if that has gone, to all clients of the
// same user, and if there are none, to everyone. The caller holds mu.
func (h *hub) ask(parent wire.Header, m wire.Message) {
	h.asking = true
	session := parent.Session
	if r, ok := h.requests.get(parent.MsgID); ok {
		session = r.session
	}
	if h.clients[session] != nil || h.buffer != nil {
		h.route(parent, m)
		return
	}
	asked := false
	for _, c := range h.clients {
		if c.opts.Username == parent.Username {
			h.push(c, m)
			asked = true
		}
	}
	if !asked {
		h.broadcast(m)
	}
}

// errLinkLost says that a message was not sent, because its connection is not in use any more.
var errLinkLost = errors.New("the connection to the kernel is lost")

// errAnswered says that an answer is not sent, because the question was answered already.
var errAnswered = errors.New("the kernel's question is answered")

// sending notes whose request m is, before it goes out through l.
func (h *hub) sending(c *Client, l *link, header wire.Header, m wire.Message) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.link != l {
		return errLinkLost
	}
	if m.Channel == wire.Stdin && header.MsgType == "input_reply" {
		if !h.asking {
			return errAnswered
		}
		h.asking = false
		return nil
	}
	h.requests.add(header.MsgID, openRequest{session: c.opts.SessionID, msgType: header.MsgType, message: m})
	return nil
}

// announce publishes a message of the Manager's own to every client.
func (h *hub) announce(msgType string, content any) {
	m, err := h.session.Request(wire.IOPub, msgType, content)
	if err != nil {
		h.log.Error("cannot make a message", "type", msgType, "error", err)
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.broadcast(m)
}

// use makes l the link whose messages count.
func (h *hub) use(l *link) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.link = l
}

// cut ends the use of a link. What is missing of the answers to open requests will not come any more: each gets an
// "aborted" reply or an idle status instead, so that no front end waits for it.
func (h *hub) cut() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.link, h.asking = nil, false
	clear(h.outstanding)
	for _, r := range h.requests.takeAll() {
		kind, ok := strings.CutSuffix(r.msgType, "_request")
		if !ok || r.message.Channel == wire.Stdin {
			continue
		}
		reply, err := h.session.Reply(r.message.Channel, kind+"_reply", r.message.Header, map[string]string{"status": "aborted"})
		if err == nil && !r.replied {
			h.give(r.session, reply)
		}
		idle, err := h.session.Reply(wire.IOPub, "status", r.message.Header, map[string]string{"execution_state": "idle"})
		if err == nil && !r.idle {
			h.broadcast(idle)
		}
	}
}

// end disconnects every client for good once it has read what waits.
func (h *hub) end(reason error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = reason
	for _, c := range h.clients {
		c.queue.end(reason)
	}
	clear(h.clients)
	h.buffer = nil
}

// activity returns whether requests run, when something last happened, and how many clients are attached.
func (h *hub) activity() (busy bool, last time.Time, clients int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.outstanding) > 0, h.lastActivity, len(h.clients)
}
