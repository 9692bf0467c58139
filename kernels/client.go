package kernels

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// AttachOptions say who attaches to a kernel.
type AttachOptions struct {
	// SessionID names the front end across its reconnects. Only one client has it at a time; an older one is
	// disconnected with ErrReplaced. Empty makes one up.
	SessionID string
	// Username is put into the header of everything the client sends, whatever it says there itself.
	Username string
}

// Client is one front end on one kernel. Whoever attached it closes it.
type Client struct {
	kernel *Kernel
	hub    *hub
	opts   AttachOptions
	queue  *queue
}

// Send signs m and passes it to the kernel's socket that m.Channel names. It waits while the kernel is starting or
// does not read, but never for an answer. After an error other than ErrInvalid nobody knows whether the kernel got
// the message, so it must not be sent again. The error matches ErrInvalid for a message that is none, and
// ErrNoSuchKernel when the kernel is gone.
func (c *Client) Send(ctx context.Context, m wire.Message) error {
	switch m.Channel {
	case wire.Shell, wire.Control, wire.Stdin:
	default:
		return fmt.Errorf("send on %q: %w", m.Channel, ErrInvalid)
	}
	m, err := m.FromClient(c.opts.Username)
	if err != nil {
		return fmt.Errorf("send: %w: %w", ErrInvalid, err)
	}
	header, err := m.DecodeHeader()
	if err != nil || header.MsgID == "" {
		return fmt.Errorf("send: %w: %w", ErrInvalid, errors.Join(err, wire.ErrMalformed))
	}
	for {
		l, err := c.kernel.waitLink(ctx)
		if err == nil {
			err = c.hub.sending(c, l, header, m)
		}
		switch {
		case errors.Is(err, errLinkLost):
			// The kernel's goroutine is about to notice; the message has not gone anywhere.
			if err := c.kernel.waitChange(ctx, l); err != nil {
				return fmt.Errorf("send %s: %w", header.MsgType, err)
			}
			continue
		case errors.Is(err, errAnswered):
			return nil
		case err == nil:
			err = l.send(ctx, m)
		}
		if err != nil {
			return fmt.Errorf("send %s: %w", header.MsgType, err)
		}
		return nil
	}
}

// Recv returns the next message for this client: everything the kernel publishes, and the replies and questions meant
// for it. It waits until there is one. The error is final: ErrSlowClient, ErrReplaced, ErrClosed after Close,
// ErrNoSuchKernel after the kernel has gone and its last message was read, or that of ctx.
func (c *Client) Recv(ctx context.Context) (wire.Message, error) {
	return c.queue.pop(ctx)
}

// Close detaches the client and makes Recv return. If it was the kernel's last client, what it has not read and what
// comes later is kept, up to Options.BufferBytes, for a client that attaches with the same session id next.
func (c *Client) Close() error {
	c.hub.detach(c, ErrClosed)
	return nil
}

// executionState returns what a status message says.
func executionState(m wire.Message) string {
	var content struct {
		ExecutionState string `json:"execution_state"`
	}
	if err := json.Unmarshal(m.Content, &content); err != nil {
		return ""
	}
	return content.ExecutionState
}
