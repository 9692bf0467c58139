// Package shim runs one program for the daemon from a small process of its own: the daemon's binary started again.
//
// The daemon must not start programs itself. Between fork and exec a child changes directory while its parent waits
// with a Go scheduler slot held; when that directory lies in the daemon's own FUSE mount, the answer has to come from
// the very process that waits, and a garbage collection at that instant stops it for good. So [Start], in the daemon,
// starts a shim with a plain path, and [Main], in the shim, changes directory and starts the program.
//
// The shim stays the program's parent and the reaper of its orphans, passes signals to its process group, keeps the
// end of its output, and records how it ended. When the program ends, what it left behind is killed
// ([Request.Linger] waits for it instead); when the shim is told to, or when the daemon dies and the pipe between
// them closes, everything is ended: no process outlives its shim.
//
//	p, err := shim.Start(ctx, []string{exe, "kernel-shim"}, shim.Request{Argv: argv, Env: env, Dir: dir}, nil)
//	err = p.Signal(syscall.SIGINT)
//	<-p.Exited()
//	fmt.Println(p.Exit())
//	err = p.Close(ctx)
//
// A [Process] is safe for concurrent use; whoever started it closes it. The package needs Linux. It sets no resource
// limits and changes no user.
package shim

import (
	"fmt"
	"syscall"
	"time"
)

// Version is the format of [Request] and [Exit] on the wire and on disk. Readers take every version up to their own
// and ignore fields they do not know.
const Version = 1

// OutputSize is how many bytes of a program's output an Exit keeps, counted from its end.
const OutputSize = 64 << 10

// Request says what a shim runs. It is sent to the shim's standard input as one line of JSON.
type Request struct {
	// Version is set by Start.
	Version int `json:"version"`
	// Argv is the command; a program without a slash is searched in the PATH of Env.
	Argv []string `json:"argv"`
	// Env is the whole environment of the program, as "NAME=value". {shim_pid} in a value is replaced by the shim's
	// process id, for programs that watch their parent.
	Env []string `json:"env"`
	// Dir is the working directory, or the nearest parent of it that exists. Empty is "/".
	Dir string `json:"dir"`
	// Umask is the program's file mode mask; nil leaves the daemon's.
	Umask *int `json:"umask,omitempty"`
	// ExitFile is where the Exit is recorded, mode 0600, replaced atomically; empty records nothing.
	ExitFile string `json:"exit_file,omitempty"`
	// Linger keeps the shim until everything that the program started has ended too.
	Linger bool `json:"linger,omitempty"`
	// Terminal is set by Start when the program gets a terminal.
	Terminal bool `json:"terminal,omitempty"`
}

// Exit says how a program ended.
type Exit struct {
	Version int `json:"version"`
	// Code is the exit status, -1 after a signal or when nobody knows.
	Code int `json:"code"`
	// Signal is the signal that ended the program, 0 if none did.
	Signal syscall.Signal `json:"signal"`
	// Time is when the program ended.
	Time time.Time `json:"time"`
	// Output is the end of what the program wrote to standard output and error, at most OutputSize bytes. It is empty
	// for a program on a terminal.
	Output string `json:"output,omitempty"`
	// Lost is true when the shim itself was killed, so that the rest is unknown.
	Lost bool `json:"lost,omitempty"`
}

// String describes the exit in a few words without the output.
func (e Exit) String() string {
	switch {
	case e.Lost:
		return "its supervising process was killed"
	case e.Signal != 0:
		return fmt.Sprintf("killed by signal %d (%s)", int(e.Signal), e.Signal)
	default:
		return fmt.Sprintf("exit status %d", e.Code)
	}
}

// command is one line that the daemon sends after the Request.
type command struct {
	Signal syscall.Signal `json:"signal,omitempty"` // send to the program's process group
	Kill   bool           `json:"kill,omitempty"`   // end everything at once
}

// event is one line that the shim sends back.
type event struct {
	Pid   int    `json:"pid,omitempty"`   // the program runs
	Error string `json:"error,omitempty"` // it could not be started
	Exit  *Exit  `json:"exit,omitempty"`  // it has ended
}
