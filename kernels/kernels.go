// Package kernels starts Jupyter kernels, keeps them alive and connects any number of clients to each.
//
// A [Manager] owns [Kernel]s. A [Provider] finds and launches their processes (kernels/provider/local); the Manager
// knows no process, file or socket itself. Each kernel has one goroutine that owns its life (starting, running,
// restarting, dead) and, per process, one set of sockets that is opened at birth and needs no client: the kernel's
// state, its last activity and its readiness are known without a browser. A [Client] is one front end on one kernel.
// It has a bounded queue of its own, so a slow client never holds up the others: when its queue is full, neighbouring
// pieces of the same output stream are joined; when that does not help, the client is disconnected. Nothing is ever
// dropped from a queue. [Sessions] tie documents to kernels.
//
// Every method may be called from any goroutine. Errors match the Err variables of this package.
//
//	m := kernels.New(kernels.Options{Provider: provider})
//	k, err := m.Start(ctx, kernels.StartRequest{Name: "python3", Dir: "/home/u"})
//	c, err := k.Attach(kernels.AttachOptions{SessionID: "s", Username: "alice"})
//	err = c.Send(ctx, request)
//	reply, err := c.Recv(ctx)
//
// The package does not frame WebSockets (kernels/wire does), does not decide who may do what (the door does, before it
// calls), keeps no output on disk, and ends every kernel when it is closed.
package kernels

import (
	"errors"
	"log/slog"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Errors that methods of this package return; match with errors.Is. Each is an *fs.Error, so that fs.KindOf and
// fs.Status know what a door answers.
var (
	ErrNoSuchKernel  = failure(fs.NotExist, "kernel does not exist")
	ErrNoSuchSpec    = failure(fs.Unsupported, "no such kernel spec")
	ErrDuplicate     = failure(fs.Exist, "kernel id is in use")
	ErrInvalid       = failure(fs.Invalid, "invalid request")
	ErrStarting      = failure(fs.Conflict, "kernel is still starting")
	ErrClosed        = failure(fs.Unavailable, "closed")
	ErrNoSuchSession = failure(fs.NotExist, "session not found")
	ErrKernelGone    = failure(fs.Stale, "kernel deleted before session")
	// ErrSlowClient ends a client whose queue was full.
	ErrSlowClient = failure(fs.Throttled, "client reads too slowly")
	// ErrReplaced ends a client when another attaches with the same session id.
	ErrReplaced = failure(fs.Conflict, "another connection took over this session")
)

func failure(kind fs.Kind, text string) error {
	return &fs.Error{Kind: kind, Err: errors.New(text)}
}

// Defaults of Options.
const (
	DefaultQueueBytes   = 64 << 20
	DefaultBufferBytes  = 64 << 20
	DefaultReadyTimeout = 60 * time.Second
	DefaultShutdownWait = 5 * time.Second
	DefaultNudge        = 500 * time.Millisecond
	DefaultStableAfter  = 10 * time.Second
	DefaultRestartLimit = 5
	DefaultBackoff      = time.Second
	// interruptPatience is how long an interrupt waits for a kernel that is starting.
	interruptPatience = 10 * time.Second
	// killWait is how long a killed kernel may take to vanish.
	killWait = 5 * time.Second
)

// Options tune a Manager. Only Provider is needed.
type Options struct {
	// Provider finds and launches kernels.
	Provider Provider
	// Events is told of every action on a kernel, from the goroutine that acts; it must not block. May be nil.
	Events func(Event)
	// QueueBytes limits what waits for one client; 0 means DefaultQueueBytes.
	QueueBytes int
	// BufferBytes limits what is kept for the last client of a kernel after it went away; 0 means DefaultBufferBytes.
	BufferBytes int
	// ReadyTimeout limits how long Restart waits for the new kernel to answer; 0 means DefaultReadyTimeout.
	ReadyTimeout time.Duration
	// ShutdownWait is how long a kernel may take to end by itself; half of it after the request to shut down, half
	// after SIGTERM. 0 means DefaultShutdownWait.
	ShutdownWait time.Duration
	// Nudge is the time between attempts to get a first answer; 0 means DefaultNudge.
	Nudge time.Duration
	// StableAfter is how long a kernel must live for its earlier deaths to be forgotten; 0 means DefaultStableAfter.
	StableAfter time.Duration
	// RestartLimit is how many times in a row a kernel that died is started again; 0 means DefaultRestartLimit, a
	// negative number never.
	RestartLimit int
	// Backoff is the pause before the second restart in a row, doubled for each further one; the first is immediate.
	// 0 means DefaultBackoff.
	Backoff time.Duration
	// Logger is where the Manager reports; nil discards.
	Logger *slog.Logger
}

func (o Options) withDefaults() Options {
	setInt := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	setDuration := func(v *time.Duration, d time.Duration) {
		if *v == 0 {
			*v = d
		}
	}
	setInt(&o.QueueBytes, DefaultQueueBytes)
	setInt(&o.BufferBytes, DefaultBufferBytes)
	setInt(&o.RestartLimit, DefaultRestartLimit)
	setDuration(&o.ReadyTimeout, DefaultReadyTimeout)
	setDuration(&o.ShutdownWait, DefaultShutdownWait)
	setDuration(&o.Nudge, DefaultNudge)
	setDuration(&o.StableAfter, DefaultStableAfter)
	setDuration(&o.Backoff, DefaultBackoff)
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Action is what was done to a kernel, named as in Jupyter's kernel_actions event schema.
type Action string

// The actions of Jupyter's kernel_actions event schema.
const (
	ActionStart     Action = "start"
	ActionInterrupt Action = "interrupt"
	ActionRestart   Action = "restart"
	ActionShutdown  Action = "shutdown"
)

// Event is one action on a kernel and its outcome.
type Event struct {
	Action     Action
	KernelID   string
	KernelName string
	// Status is "success" or "error".
	Status string
	// Msg says in a sentence what happened.
	Msg string
	// Err is why it failed; nil on success.
	Err error
}
