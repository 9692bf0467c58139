package jupyterapi

import (
	"context"
	"encoding/json"
	"io"
	"time"

	"github.com/jupyter-drive/jupyter-drive/kernels/wire"
)

// Kernel is a running kernel as the API shows it.
type Kernel struct {
	ID             string
	Name           string // of its kernelspec
	LastActivity   time.Time
	ExecutionState string // starting, idle, busy, restarting or dead
	Connections    int    // open WebSockets
	Reason         string // why it is dead
}

// KernelStart says which kernel to start, and where.
type KernelStart struct {
	ID          string // a UUID the client chose; "" = a new one
	Name        string // of the kernelspec; "" = the default one
	Dir         string // absolute working directory in the mount; "" = the daemon's choice
	SessionName string // the document's path, for JPY_SESSION_NAME
	Env         map[string]string
	Owner       string // fs.Principal.ID of who starts it
}

// KernelClient is one browser's connection to a kernel.
type KernelClient interface {
	// Send passes a message to the channel it names. The username in its header is overwritten with the one of Attach.
	Send(ctx context.Context, m wire.Message) error
	// Recv returns the next message. An error ends the connection; one of kind NotExist means that the kernel has gone.
	Recv(ctx context.Context) (wire.Message, error)
	Close() error
}

// Kernels runs kernels. Errors are [*fs.Error]: NotExist for an unknown kernel, Unsupported for an unknown kernelspec, Exist for an id
// that is taken, Busy for a kernel that is still starting, Invalid for a request that makes no sense.
type Kernels interface {
	Start(ctx context.Context, s KernelStart) (Kernel, error)
	List() []Kernel
	Get(id string) (Kernel, error)
	Shutdown(ctx context.Context, id string) error
	Restart(ctx context.Context, id string) error
	Interrupt(ctx context.Context, id string) error
	// Attach waits until the kernel answers, at most a little while, and connects to it. The same session id again ends the older
	// connection.
	Attach(ctx context.Context, id, sessionID, username string) (KernelClient, error)
	// Default returns the name of the kernelspec that an empty name stands for.
	Default(ctx context.Context) string
	Specs(ctx context.Context) ([]Kernelspec, error)
}

// Kernelspec is a kind of kernel that can be started.
type Kernelspec struct {
	Name      string
	Spec      json.RawMessage   // the kernel.json, as the API shows it
	Resources map[string]string // key, such as "logo-64x64", to file name
	// Open opens a file beside the kernel.json, or in a folder there. It checks the name, which is a client's: what is not there, or
	// elsewhere, is an error of kind NotExist.
	Open func(file string) (io.ReadSeekCloser, error)
}

// KernelRef names a kernel of a session: a running one, or the kernelspec of one to start.
type KernelRef struct {
	ID   string
	Name string
}

// Session is a document with its kernel.
type Session struct {
	ID     string
	Path   string // as the client gave it, usually that of the notebook
	Name   string
	Type   string // notebook, console, file …
	Kernel Kernel
}

// SessionRequest asks for a session.
type SessionRequest struct {
	Path, Name, Type string
	Kernel           KernelRef
	Start            KernelStart // how a kernel starts if one must; its ID and Name are those of Kernel
}

// SessionPatch changes a session; nil fields stay.
type SessionPatch struct {
	Path, Name, Type *string
	Kernel           *KernelRef
	Start            KernelStart
}

// Sessions keeps sessions. Errors are as those of [Kernels]; Stale means that the kernel had gone before its session.
type Sessions interface {
	// Create returns the session of the path if there is one, without starting anything.
	Create(ctx context.Context, r SessionRequest) (Session, error)
	List() []Session
	Get(id string) (Session, error)
	Update(ctx context.Context, id string, p SessionPatch) (Session, error)
	Delete(ctx context.Context, id string) error
	// Moved tells that a file or folder has another path.
	Moved(from, to string)
}

// Terminal is a running shell.
type Terminal struct {
	Name         string
	LastActivity time.Time
}

// TerminalClient is one browser's connection to a terminal.
type TerminalClient interface {
	// Recv returns the next output, first what was shown before; io.EOF when the shell has ended.
	Recv(ctx context.Context) (string, error)
	// Write waits while the program does not read; Close ends it.
	Write(input string) error
	Resize(rows, cols int) error
	Close() error
}

// Terminals runs shells. An unknown name is an error of kind NotExist.
type Terminals interface {
	// Create starts a shell in the absolute directory dir, "" for the daemon's choice. An empty name lets it choose one.
	Create(ctx context.Context, name, dir string) (Terminal, error)
	List() []Terminal
	Get(name string) (Terminal, error)
	Delete(ctx context.Context, name string) error
	Attach(name string) (TerminalClient, error)
}
