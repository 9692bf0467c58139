package kernels

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// command is what callers ask of a kernel's goroutine.
type command int

const (
	askRestart command = iota
	askShutdown
)

// request is a command and where its outcome goes.
type request struct {
	what    command
	outcome chan error // buffered
}

// event is what a worker of one incarnation reports to the kernel's goroutine.
type event struct {
	of   *incarnation
	what any // exited, ready, linkLost or stopped
}

type (
	exited   struct{ status ExitStatus } // the process has ended
	ready    struct{ link *link }        // it has answered
	linkLost struct{}                    // its connections broke
	stopped  struct{}                    // it was made to end
	launched struct {                    // a new process was tried
		process Provisioned
		err     error
	}
)

// control is the state that a kernel's goroutine owns; nothing else touches it.
type control struct {
	k       *Kernel
	ctx     context.Context // of launches and workers
	abort   context.CancelFunc
	current *incarnation // nil between processes
	readyAt time.Time    // when the current process first answered, zero before
	deaths  int          // in a row
	retries int          // failed starts in a row, of those worth another try
	// working is true while a worker launches or stops a process; shutdown then waits for its event.
	working bool
	backoff <-chan time.Time // fires when a process that died is to be replaced
	// restarts and shutdowns are the callers that wait.
	restarts, shutdowns []chan error
	workers             sync.WaitGroup // launches
}

// run is the kernel's goroutine. It starts with a process and ends when the kernel is gone.
func (c *control) run(first Provisioned) {
	defer close(c.k.done)
	defer c.abort()
	c.begin(first)
	for !c.step() {
	}
	c.workers.Wait()
	c.k.hub.end(fmt.Errorf("%w: %s", ErrNoSuchKernel, c.k.ID()))
	answer(&c.restarts, ErrNoSuchKernel)
	answer(&c.shutdowns, nil)
}

// step handles one command or event and reports whether the kernel is gone.
func (c *control) step() (gone bool) {
	select {
	case r := <-c.k.commands:
		switch r.what {
		case askRestart:
			return c.onRestart(r.outcome)
		case askShutdown:
			return c.onShutdown(r.outcome)
		}
	case e := <-c.k.events:
		if what, ok := e.what.(launched); ok {
			return c.onLaunched(what)
		}
		if e.of != c.current {
			if r, ok := e.what.(ready); ok {
				r.link.close(0)
			}
			return false
		}
		switch what := e.what.(type) {
		case ready:
			c.onReady(what.link)
		case linkLost:
			c.onLinkLost()
		case exited:
			return c.onExited(what.status)
		case stopped:
			return c.onStopped()
		}
	case <-c.backoff:
		c.backoff = nil
		c.relaunch()
	}
	return false
}

func (c *control) onRestart(outcome chan error) bool {
	switch c.k.stateNow() {
	case Terminating, Dead:
		outcome <- ErrNoSuchKernel
		return false
	}
	c.restarts = append(c.restarts, outcome)
	c.deaths, c.retries = 0, 0
	switch {
	case c.working: // joins the restart under way
	case c.current != nil:
		c.k.setState(Restarting)
		c.stop(true)
	default: // waiting to be restarted anyway
		c.backoff = nil
		c.relaunch()
	}
	return false
}

func (c *control) onShutdown(outcome chan error) bool {
	c.shutdowns = append(c.shutdowns, outcome)
	c.k.setState(Terminating)
	c.backoff = nil
	switch {
	case c.working && c.current == nil:
		c.abort() // no need to wait for a launch that hangs
	case !c.working && c.current != nil:
		c.stop(false)
	}
	return !c.working
}

func (c *control) onReady(l *link) {
	if c.k.stateNow() == Terminating || c.working {
		l.close(0)
		return
	}
	c.readyAt = time.Now()
	c.retries = 0
	c.k.set(func() { c.k.state, c.k.link = Idle, l })
	answer(&c.restarts, nil)
	inc := c.current
	inc.workers.Go(func() {
		<-l.lost
		l.close(drainPatience)
		c.post(inc, linkLost{})
	})
}

// onLinkLost connects again, unless the process is going anyway.
func (c *control) onLinkLost() {
	c.k.set(func() { c.k.link = nil })
	c.k.hub.cut()
	if c.k.stateNow() == Idle && !c.working {
		c.k.log.Warn("the connection to a kernel broke, connecting again")
		c.serve(c.current)
	}
}

// onExited decides what follows a process's end.
func (c *control) onExited(status ExitStatus) bool {
	if c.working {
		return false // it was stopped on purpose: the worker tells
	}
	stable := !c.readyAt.IsZero() && time.Since(c.readyAt) > c.k.opts.StableAfter
	started := !c.readyAt.IsZero()
	c.retire()
	if stable {
		c.deaths = 0
	}
	if !started && status.Retry && c.retries < 3 {
		c.retries++
		c.k.log.Info("starting a kernel again", "reason", status, "attempt", c.retries)
		c.relaunch()
		return false
	}
	c.deaths++
	c.k.log.Warn("a kernel died", "reason", status, "in_a_row", c.deaths, "output", lastLines(status.Output))
	if c.deaths > c.k.opts.RestartLimit {
		return c.die(fmt.Sprintf("The kernel died (%s) %d times in a row.", status, c.deaths), status.Output)
	}
	c.k.setState(Autorestarting)
	c.k.hub.announce("status", map[string]string{"execution_state": "restarting"})
	c.backoff = time.After(backoffFor(c.deaths, c.k.opts.Backoff))
	return false
}

func (c *control) onStopped() bool {
	c.working = false
	c.retire()
	if c.k.stateNow() == Terminating {
		return true
	}
	c.relaunch()
	return false
}

func (c *control) onLaunched(l launched) bool {
	c.working = false
	terminating := c.k.stateNow() == Terminating
	switch {
	case l.err != nil && terminating:
		return true
	case l.err != nil:
		return c.die(fmt.Sprintf("The kernel could not be started again: %v.", l.err), "")
	}
	c.begin(l.process)
	if terminating {
		c.stop(false)
	}
	return false
}

// begin takes over a process that was launched.
func (c *control) begin(p Provisioned) {
	ctx, cancel := context.WithCancel(c.ctx)
	inc := &incarnation{process: p, cancel: cancel, ended: make(chan struct{})}
	c.current, c.readyAt = inc, time.Time{}
	c.k.set(func() {
		c.k.process = p
		if c.k.state != Terminating {
			c.k.state = Starting
		}
	})
	inc.workers.Go(func() {
		status, err := p.Wait(ctx)
		if err != nil {
			return // retired before it ended
		}
		close(inc.ended)
		c.post(inc, exited{status})
	})
	c.serveWith(ctx, inc)
}

// serve connects to inc's process again.
func (c *control) serve(inc *incarnation) {
	ctx, cancel := context.WithCancel(c.ctx)
	previous := inc.cancel
	inc.cancel = func() { previous(); cancel() }
	c.serveWith(ctx, inc)
}

func (c *control) serveWith(ctx context.Context, inc *incarnation) {
	inc.workers.Go(func() {
		if l := c.k.bringUp(ctx, inc); l != nil {
			c.post(inc, ready{l})
		}
	})
}

// retire ends the current incarnation: its workers, its connections, and what is left of its process.
func (c *control) retire() {
	inc := c.current
	c.current = nil
	var l *link
	c.k.set(func() { l, c.k.link, c.k.process = c.k.link, nil, nil })
	if l != nil {
		l.close(drainPatience)
	}
	c.k.hub.cut()
	inc.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), killWait)
	defer cancel()
	if err := inc.process.Cleanup(ctx); err != nil {
		c.k.log.Warn("cannot clean up after a kernel", "error", err)
	}
	c.drain(inc)
}

// drain waits for an incarnation's workers, whose events nobody else takes meanwhile.
func (c *control) drain(inc *incarnation) {
	idle := make(chan struct{})
	go func() { inc.workers.Wait(); close(idle) }()
	for {
		select {
		case e := <-c.k.events:
			if r, ok := e.what.(ready); ok {
				r.link.close(0)
			}
		case <-idle:
			return
		}
	}
}

// stop has a worker end the current process.
func (c *control) stop(restart bool) {
	c.working = true
	inc := c.current
	inc.workers.Go(func() {
		c.k.stopProcess(inc, restart)
		// From here on the goroutine may retire inc, which waits for this worker.
		c.post(inc, stopped{})
	})
}

// relaunch has a worker launch a new process.
func (c *control) relaunch() {
	c.working = true
	c.workers.Go(func() {
		p, err := c.k.opts.Provider.Launch(c.ctx, c.k.launch)
		c.k.events <- event{what: launched{p, err}}
	})
}

// die gives up on the kernel and tells its clients why.
func (c *control) die(reason, output string) bool {
	c.k.set(func() { c.k.state, c.k.reason = Dead, reason })
	text := reason + "\n"
	if tail := lastLines(output); tail != "" {
		text += "The end of its output:\n" + tail + "\n"
	}
	c.k.hub.announce("stream", streamContent{Name: "stderr", Text: text})
	c.k.hub.announce("status", map[string]string{"execution_state": "dead"})
	answer(&c.restarts, errors.New(reason))
	return true
}

// post reports an event. The goroutine takes it, or drain does.
func (c *control) post(inc *incarnation, what any) {
	c.k.events <- event{of: inc, what: what}
}

func (k *Kernel) stateNow() State {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.state
}

// backoffFor returns the pause before the n-th restart in a row: none, then base, doubled each time.
func backoffFor(n int, base time.Duration) time.Duration {
	if n <= 1 {
		return 0
	}
	return base << (n - 2)
}

// answer gives every waiting caller the same outcome.
func answer(waiting *[]chan error, outcome error) {
	for _, w := range *waiting {
		w <- outcome
	}
	*waiting = nil
}
