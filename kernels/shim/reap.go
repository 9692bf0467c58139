package shim

import (
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// child is a process that has ended.
type child struct {
	pid    int
	status syscall.WaitStatus
}

// reap waits for every child of this process, adopted ones included, and closes the channel when none is left.
func reap() <-chan child {
	reaped := make(chan child)
	go func() {
		defer close(reaped)
		for {
			var status syscall.WaitStatus
			pid, err := syscall.Wait4(-1, &status, 0, nil)
			switch {
			case errors.Is(err, syscall.EINTR):
			case err != nil:
				return // ECHILD: none left
			default:
				reaped <- child{pid, status}
			}
		}
	}()
	return reaped
}

// killAll kills every descendant until none is left, for at most killPatience, and returns the status of the one
// that was asked for if it ended meanwhile.
func killAll(reaped <-chan child, pid ...int) (status syscall.WaitStatus, found bool) {
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	patience := time.After(killPatience)
	for {
		for _, p := range descendants(os.Getpid()) {
			_ = syscall.Kill(p, syscall.SIGKILL) // it may have ended since it was listed
		}
		select {
		case c, ok := <-reaped:
			if !ok {
				return status, found
			}
			if slices.Contains(pid, c.pid) {
				status, found = c.status, true
			}
		case <-again.C:
		case <-patience:
			return status, found
		}
	}
}

// descendants lists the living processes below root.
func descendants(root int) []int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	children := map[int][]int{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if parent, ok := parentOf(pid); ok {
			children[parent] = append(children[parent], pid)
		}
	}
	var all []int
	for queue := children[root]; len(queue) > 0; queue = queue[1:] {
		all = append(all, queue[0])
		queue = append(queue, children[queue[0]]...)
	}
	return all
}

// parentOf reads the parent of a process that is not a zombie.
func parentOf(pid int) (int, bool) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, false
	}
	// "pid (comm) state ppid …", and comm may hold spaces and brackets.
	_, rest, ok := strings.Cut(string(raw[max(0, strings.LastIndexByte(string(raw), ')')):]), " ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 2 || fields[0] == "Z" {
		return 0, false
	}
	parent, err := strconv.Atoi(fields[1])
	return parent, err == nil
}

// tail keeps the last OutputSize bytes written to it.
type tail struct {
	mu  sync.Mutex // guards buf
	buf []byte
}

// Write implements io.Writer and never fails.
func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if len(t.buf) > 2*OutputSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-OutputSize:]...)
	}
	return len(p), nil
}

// String returns what was kept as valid UTF-8.
func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.ToValidUTF8(string(t.buf[max(0, len(t.buf)-OutputSize):]), "\uFFFD")
}
