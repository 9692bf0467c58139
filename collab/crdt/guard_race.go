//go:build race

package crdt

import (
	"bytes"
	"runtime"
	"sync"
)

// guard finds calls from two goroutines that overlap.
type guard struct {
	mu    sync.Mutex // guards the rest
	owner string     // goroutine inside
	calls []string
}

func (d *Doc) hold(call string) (release func()) {
	g := &d.guard
	me := goroutine()
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.calls) > 0 && g.owner != me {
		panic("crdt: " + call + " overlaps " + g.calls[0] + " on one document")
	}
	g.owner = me
	g.calls = append(g.calls, call)
	return func() {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.calls = g.calls[:len(g.calls)-1]
	}
}

// goroutine names the current goroutine by the first words of its stack.
func goroutine() string {
	buf := make([]byte, 40)
	buf = buf[:runtime.Stack(buf, false)]
	name, _, _ := bytes.Cut(buf, []byte(" ["))
	return string(name)
}
