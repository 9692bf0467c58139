package terminal

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"
)

// maxSize is the largest number of rows or columns that a pseudo terminal can have.
const maxSize = 1<<16 - 1

// Client is one view of a terminal. Whoever attached it closes it.
type Client struct {
	terminal      *Terminal
	limit         int
	wake          chan struct{} // holds one token when there may be something to receive
	done          chan struct{} // closed when err is set
	rows, columns int           // guarded by the terminal's mu

	// mu guards what follows.
	mu     sync.Mutex
	chunks []string
	bytes  int
	err    error // why no more is coming
}

func newClient(t *Terminal, limit int) *Client {
	return &Client{terminal: t, limit: limit, wake: make(chan struct{}, 1), done: make(chan struct{})}
}

// Recv returns all output that waits, as valid UTF-8, and waits until there is some. The error is io.EOF when the
// shell has ended and everything was received, ErrClosed after Close, or that of ctx.
func (c *Client) Recv(ctx context.Context) (string, error) {
	for {
		if text, err := c.take(); text != "" || err != nil {
			return text, err
		}
		select {
		case <-c.wake:
		case <-ctx.Done():
			return "", ctx.Err()
		}
	}
}

func (c *Client) take() (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.chunks) == 0 {
		return "", c.err
	}
	text := strings.Join(c.chunks, "")
	c.chunks, c.bytes = nil, 0
	return text, nil
}

// Write types text into the terminal. It waits while the program there does not read, or another client types; the error matches
// ErrClosed when the client is closed meanwhile.
func (c *Client) Write(text string) error {
	t := c.terminal
	select {
	case t.typing <- struct{}{}:
	case <-c.done:
		return ErrClosed
	}
	defer func() { <-t.typing }()
	if err := c.typeAll(text); err != nil {
		return fmt.Errorf("terminal %s: %w", t.name, err)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.activity = time.Now()
	return nil
}

// typeAll writes text, however often other clients that are closed interrupt it. The caller has the terminal's typing.
func (c *Client) typeAll(text string) error {
	for {
		if err := c.terminal.control.SetWriteDeadline(time.Time{}); err != nil {
			return err
		}
		select {
		case <-c.done: // asked after the deadline was taken away, so that Close is not missed
			return ErrClosed
		default:
		}
		n, err := c.terminal.control.WriteString(text)
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return err
		}
		text = text[n:]
	}
}

// Resize tells the size of this client's view in characters; the terminal gets that of the smallest one. Sizes that
// no terminal can have match ErrInvalid.
func (c *Client) Resize(rows, columns int) error {
	if rows <= 0 || columns <= 0 || rows > maxSize || columns > maxSize {
		return fmt.Errorf("size %d by %d: %w", rows, columns, ErrInvalid)
	}
	t := c.terminal
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.clients[c] {
		c.rows, c.columns = rows, columns
		t.fit()
	}
	return nil
}

// Close detaches the client and makes Recv return. The terminal goes on.
func (c *Client) Close() error {
	t := c.terminal
	t.mu.Lock()
	if t.clients[c] {
		delete(t.clients, c)
		t.fit()
	}
	t.mu.Unlock()
	c.end(ErrClosed)
	_ = t.control.SetWriteDeadline(time.Unix(1, 0)) // wakes who types; a terminal that is gone has nobody
	return nil
}

// push queues text and drops the oldest output when there is too much.
func (c *Client) push(text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.chunks = append(c.chunks, text)
	c.bytes += len(text)
	for c.bytes > c.limit && len(c.chunks) > 1 {
		c.bytes -= len(c.chunks[0])
		c.chunks = c.chunks[1:]
	}
	c.signal()
}

// end makes Recv return err once everything was received.
func (c *Client) end(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err == nil {
		c.err = err
		close(c.done)
	}
	c.signal()
}

func (c *Client) signal() {
	select {
	case c.wake <- struct{}{}:
	default:
	}
}
