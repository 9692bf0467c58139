package kernels

import (
	"context"
	"fmt"
	"syscall"

	"github.com/jupyter-drive/jupyter-drive/kernels/kernelspec"
	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// Provider finds the kernels of one place and launches them there.
type Provider interface {
	// FindKernels lists what can be launched, ordered by name.
	FindKernels(ctx context.Context) ([]kernelspec.Spec, error)
	// Launch starts a kernel's process and returns as soon as it runs; the kernel need not answer yet.
	Launch(ctx context.Context, req LaunchRequest) (Provisioned, error)
}

// LaunchRequest says which kernel to launch, and how.
type LaunchRequest struct {
	KernelID string
	Spec     kernelspec.Spec
	// Dir is the working directory, or the nearest parent of it that exists.
	Dir string
	// SessionName is the document that the kernel is for, told to it as JPY_SESSION_NAME. May be empty.
	SessionName string
	// Env is added to the kernel's environment.
	Env map[string]string
	// Owner identifies who asked for the kernel.
	Owner string
}

// Provisioned is one running kernel process, named after jupyter_client's provisioners. It ends once; a restart is
// another Launch.
type Provisioned interface {
	// Connect opens a connection to one of the kernel's sockets. It waits until the kernel listens. Shell and stdin
	// need the same identity, for the kernel sends its questions to the asker's.
	Connect(ctx context.Context, channel wire.Channel, identity string) (Conn, error)
	// Wait returns how the process ended, when it has.
	Wait(ctx context.Context) (ExitStatus, error)
	// SendSignal sends sig to the kernel and its children.
	SendSignal(sig syscall.Signal) error
	// Terminate asks the process to end.
	Terminate() error
	// Kill ends the process and everything it started.
	Kill() error
	// Cleanup removes what was made for the process, and ends it if it still runs.
	Cleanup(ctx context.Context) error
}

// Conn carries the messages of one channel. It signs what it sends and verifies what it receives. Send may be called
// from several goroutines, Recv from one; any error is final, and Close makes both return.
type Conn interface {
	Send(m wire.Message) error
	Recv() (wire.Message, error)
	Close() error
}

// ExitStatus says how a kernel's process ended.
type ExitStatus struct {
	// Code is the exit status, -1 if a signal ended the process or nobody knows.
	Code int
	// Signal is the signal that ended the process, 0 if none did.
	Signal syscall.Signal
	// Output is the end of what the process wrote to standard output and error.
	Output string
	// Retry is true when the process failed to start for a passing reason, such as a port taken meanwhile.
	Retry bool
}

// String describes the status without the output.
func (s ExitStatus) String() string {
	switch {
	case s.Signal != 0:
		return fmt.Sprintf("killed by signal %d (%s)", int(s.Signal), s.Signal)
	case s.Code < 0:
		return "ended for an unknown reason"
	default:
		return fmt.Sprintf("exit status %d", s.Code)
	}
}
