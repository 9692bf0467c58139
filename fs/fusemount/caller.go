package fusemount

import (
	"bytes"
	"os"
	"strconv"
	"sync"
	"time"
)

// rememberProcess is how long a thread's process is taken as known: thread ids are reused.
const rememberProcess = time.Second

// maxProcesses is how many threads are remembered.
const maxProcesses = 4096

// processes finds the process of a thread: the kernel sends the thread's id.
type processes struct {
	mu    sync.Mutex // guards known
	known map[uint32]process
}

type process struct {
	pid   uint32
	until time.Time
}

// of returns the process that tid belongs to, 0 if that is unknown.
func (p *processes) of(tid uint32) uint32 {
	if tid == 0 {
		return 0
	}
	now := time.Now()
	p.mu.Lock()
	k, ok := p.known[tid]
	p.mu.Unlock()
	if ok && now.Before(k.until) {
		return k.pid
	}
	pid := processOf(tid)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= maxProcesses {
		p.known = map[uint32]process{}
	}
	p.known[tid] = process{pid, now.Add(rememberProcess)}
	return pid
}

func processOf(tid uint32) uint32 {
	status, err := os.ReadFile("/proc/" + strconv.FormatUint(uint64(tid), 10) + "/status")
	if err != nil {
		return 0 // the thread has ended, or is in another PID namespace
	}
	return parseTgid(status)
}

// parseTgid returns the Tgid of a /proc/PID/status file, see proc_pid_status(5); 0 if it has none.
func parseTgid(status []byte) uint32 {
	for line := range bytes.Lines(status) {
		if rest, ok := bytes.CutPrefix(line, []byte("Tgid:")); ok {
			pid, err := strconv.ParseUint(string(bytes.TrimSpace(rest)), 10, 32)
			if err != nil {
				return 0
			}
			return uint32(pid)
		}
	}
	return 0
}
