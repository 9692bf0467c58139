package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs/fusemount"
)

// guardCommand makes this program the guard of a mount: it takes the mount away if the daemon is killed, so that no program hangs in
// it. It is for the daemon only.
const guardCommand = "mount-guard"

// guardReady is what a guard writes when it listens.
const guardReady = "ready\n"

// guardLimit is how long a guard may take.
const guardLimit = 10 * time.Second

// guardMain is the guard: it waits until its standard input ends or the daemon's death is signalled. If the daemon did not say
// goodbye, its own connection is aborted: by then the next daemon may have mounted at the same place. Once it would hear of the death it says so on standard output.
func guardMain(mountpoint string, stdin io.Reader, stdout io.Writer) int {
	died := make(chan os.Signal, 1)
	signal.Notify(died, syscall.SIGUSR1)
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	if err := os.Chdir("/"); err != nil { // it must not stand in the mount itself
		return exitOther
	}
	conn, err := fusemount.OpenConnection(mountpoint)
	if err != nil {
		return exitMount
	}
	defer conn.Close()
	if _, err := io.WriteString(stdout, guardReady); err != nil {
		return exitOther
	}
	goodbye := make(chan bool, 1)
	go func() {
		said, err := io.ReadAll(stdin)
		goodbye <- err == nil && len(said) > 0
	}()
	select {
	case ok := <-goodbye:
		if ok {
			return exitOK
		}
	case <-died:
	}
	ctx, cancel := context.WithTimeout(context.Background(), guardLimit)
	defer cancel()
	if conn.Abort(ctx) != nil {
		return exitMount // nobody is left to be told; the next start tries again
	}
	return exitOK
}

// guard is a running guard process.
type guard struct {
	goodbye io.WriteCloser
	done    chan struct{} // closed when the process has ended
}

// startGuard starts the guard of a mount and returns when it listens; a signal before that would be lost. The death of a killed
// daemon shows in the death of the thread that started the guard, sooner than in its open files: a thread that hangs in the kernel
// would keep those open.
func startGuard(exe, mountpoint string) (*guard, error) {
	cmd := exec.Command(exe, guardCommand, mountpoint)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGUSR1}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	g := &guard{goodbye: stdin, done: make(chan struct{})}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // the thread must live as long as the guard
		defer close(g.done)
		if err := cmd.Start(); err != nil {
			started <- err
			return
		}
		_, err := io.ReadFull(stdout, make([]byte, len(guardReady)))
		started <- err
		_ = cmd.Wait() // how it ended is of no interest
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start the mount's guard: %w", err)
	}
	return g, nil
}

// end tells the guard that the mount is gone as it should be, and waits for its end.
func (g *guard) end() {
	_, _ = io.WriteString(g.goodbye, "goodbye") // one that somebody has killed need not be told
	_ = g.goodbye.Close()                       // likewise
	<-g.done
}
