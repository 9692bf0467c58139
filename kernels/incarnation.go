package kernels

import (
	"context"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// incarnation is one process of a kernel and the goroutines that serve it. Events that carry an older incarnation
// than the current one are stale and ignored.
type incarnation struct {
	process Provisioned
	cancel  context.CancelFunc // ends its workers
	ended   chan struct{}      // closed when the process has ended
	workers sync.WaitGroup
}

// bringUp connects to a new process and nudges it until it answers. It tries until ctx ends and then returns nil.
func (k *Kernel) bringUp(ctx context.Context, inc *incarnation) *link {
	again := time.NewTicker(k.opts.Nudge)
	defer again.Stop()
	for {
		l, err := connect(ctx, inc.process)
		if err == nil {
			k.hub.use(l)
			l.run(k.hub.deliver)
			if k.nudge(ctx, l) {
				return l
			}
			l.close(0)
		} else if ctx.Err() == nil {
			k.log.Warn("cannot connect to a kernel", "error", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-inc.ended:
			return nil
		case <-again.C:
		}
	}
}

// nudge asks for kernel_info on control and shell, again and again, until the kernel has replied and was heard on
// iopub: only then is it certain that nothing of the first request's output will be missed. A kernel that replies to
// many requests and publishes nothing is taken as it is.
func (k *Kernel) nudge(ctx context.Context, l *link) bool {
	const patience = 20
	again := time.NewTicker(k.opts.Nudge)
	defer again.Stop()
	for attempt := 1; ; attempt++ {
		for _, channel := range []wire.Channel{wire.Control, wire.Shell} {
			m, err := k.hub.session.Request(channel, "kernel_info_request", struct{}{})
			if err != nil || l.send(ctx, m) != nil {
				return false // the link is lost or ctx has ended
			}
		}
		replied, heard := l.replied, l.heard
		for replied != nil || heard != nil {
			select {
			case <-replied:
				replied = nil
				continue
			case <-heard:
				heard = nil
				continue
			case <-l.lost:
				return false
			case <-ctx.Done():
				return false
			case <-again.C:
			}
			break
		}
		if replied == nil && (heard == nil || attempt >= patience) {
			return true
		}
		if attempt%10 == 0 {
			k.log.Warn("a kernel does not answer yet", "attempts", attempt, "replied", replied == nil, "published", heard == nil)
		}
	}
}

// stopProcess ends a process: by request, then by SIGTERM, then by force.
func (k *Kernel) stopProcess(inc *incarnation, restart bool) {
	k.mu.Lock()
	l := k.link
	k.mu.Unlock()
	wait := func(d time.Duration) bool {
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-inc.ended:
			return true
		case <-t.C:
			return false
		}
	}
	if l != nil {
		m, err := k.hub.session.Request(wire.Control, "shutdown_request", map[string]bool{"restart": restart})
		ctx, cancel := context.WithTimeout(context.Background(), k.opts.ShutdownWait/2)
		defer cancel()
		if err == nil && l.send(ctx, m) == nil && wait(k.opts.ShutdownWait/2) {
			return
		}
	}
	for _, end := range []struct {
		how  func() error
		wait time.Duration
	}{{inc.process.Terminate, k.opts.ShutdownWait / 2}, {inc.process.Kill, killWait}} {
		if err := end.how(); err != nil {
			k.log.Warn("cannot signal a kernel", "error", err)
		}
		if wait(end.wait) {
			return
		}
	}
	k.log.Error("a kernel was killed and does not end")
}
