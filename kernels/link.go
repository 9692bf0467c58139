package kernels

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// outgoingDepth is how many messages may wait for one of a kernel's sockets before Send waits.
const outgoingDepth = 64

// drainPatience is how long the messages of a process that has ended may take to be read.
const drainPatience = time.Second

// link is one set of connections to one kernel process. When one of them breaks, the link is lost.
type link struct {
	conns map[wire.Channel]Conn
	out   map[wire.Channel]chan wire.Message

	lost    chan struct{} // closed when the link is of no use any more
	replied chan struct{} // closed at the first reply to a request of the Manager
	heard   chan struct{} // closed at the first published message

	loseOnce, replyOnce, hearOnce sync.Once
	readers, writers              sync.WaitGroup
}

// connect opens all connections to p, at the same time, for each waits until the kernel listens.
func connect(ctx context.Context, p Provisioned) (*link, error) {
	l := &link{
		conns: map[wire.Channel]Conn{}, out: map[wire.Channel]chan wire.Message{},
		lost: make(chan struct{}), replied: make(chan struct{}), heard: make(chan struct{}),
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	identity := uuid.NewString()
	type opened struct {
		channel wire.Channel
		conn    Conn
		err     error
	}
	channels := []wire.Channel{wire.IOPub, wire.Shell, wire.Control, wire.Stdin}
	results := make(chan opened)
	for _, channel := range channels {
		go func() {
			conn, err := p.Connect(ctx, channel, identity)
			results <- opened{channel, conn, err}
		}()
	}
	var errs []error
	for range channels {
		switch o := <-results; {
		case o.err != nil:
			cancel() // one missing connection makes the others useless
			errs = append(errs, fmt.Errorf("connect to %s: %w", o.channel, o.err))
		default:
			l.conns[o.channel] = o.conn
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errors.Join(errs...), l.closeConns())
	}
	return l, nil
}

// run starts the readers and writers; messages go to deliver.
func (l *link) run(deliver func(*link, wire.Message)) {
	for channel, conn := range l.conns {
		l.readers.Go(func() {
			defer l.lose()
			for {
				m, err := conn.Recv()
				if err != nil {
					return // the link is closed, or the kernel has gone, which its process tells
				}
				deliver(l, m)
			}
		})
		if channel == wire.IOPub {
			continue
		}
		out := make(chan wire.Message, outgoingDepth)
		l.out[channel] = out
		l.writers.Go(func() {
			defer l.lose()
			for {
				select {
				case m := <-out:
					if conn.Send(m) != nil {
						return // as for the reader
					}
				case <-l.lost:
					return
				}
			}
		})
	}
}

// send hands m to the writer of its channel.
func (l *link) send(ctx context.Context, m wire.Message) error {
	select {
	case l.out[m.Channel] <- m:
		return nil
	case <-l.lost:
		return errLinkLost
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noteAnswer records that the kernel has answered the Manager, or was heard on iopub.
func (l *link) noteAnswer(channel wire.Channel) {
	if channel == wire.IOPub {
		l.hearOnce.Do(func() { close(l.heard) })
		return
	}
	l.replyOnce.Do(func() { close(l.replied) })
}

// lose marks the link as lost. What its other connections still hold can be read.
func (l *link) lose() {
	l.loseOnce.Do(func() { close(l.lost) })
}

// close ends the link. The readers may read what a peer that has gone left behind, for at most grace.
func (l *link) close(grace time.Duration) {
	l.lose()
	drained := make(chan struct{})
	go func() { l.readers.Wait(); close(drained) }()
	if grace > 0 {
		patience := time.NewTimer(grace)
		defer patience.Stop()
		select {
		case <-drained:
		case <-patience.C:
		}
	}
	_ = l.closeConns() // of broken connections nobody needs to know more
	<-drained
	l.writers.Wait()
}

func (l *link) closeConns() error {
	var errs []error
	for _, c := range l.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
