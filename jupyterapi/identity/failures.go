package identity

import (
	"container/list"
	"net/netip"
	"sync"
	"time"
)

// The limit of failed logins from one address.
const (
	maxFailures   = 10
	failureWindow = time.Minute
)

// maxFailing is how many addresses are remembered. Whoever has more of them at hand makes us forget the oldest, and no more.
const maxFailing = 4096

// failures counts wrong tokens by address, for at most maxFailing addresses. The zero value is ready.
type failures struct {
	mu     sync.Mutex // guards all below
	byHost map[string]*list.Element
	recent list.List // of *failing, the last to fail first
}

// failing is an address with its failures in the window, the oldest first.
type failing struct {
	host  string
	times []time.Time
}

// blocked reports whether the address may not try again yet.
func (f *failures) blocked(host string, now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.expire(now)
	e := f.byHost[network(host)]
	if e == nil {
		return false
	}
	x := e.Value.(*failing)
	for len(x.times) > 0 && now.Sub(x.times[0]) > failureWindow {
		x.times = x.times[1:]
	}
	return len(x.times) >= maxFailures
}

// add counts a failure.
func (f *failures) add(host string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	host = network(host)
	e := f.byHost[host]
	if e == nil {
		if f.byHost == nil {
			f.byHost = map[string]*list.Element{}
		}
		e = f.recent.PushFront(&failing{host: host})
		f.byHost[host] = e
	}
	f.recent.MoveToFront(e)
	x := e.Value.(*failing)
	if x.times = append(x.times, now); len(x.times) > maxFailures { // requests side by side can pass blocked together
		x.times = x.times[1:]
	}
	if f.recent.Len() > maxFailing {
		f.forget(f.recent.Back())
	}
}

// expire forgets addresses whose last failure is out of the window. The caller holds mu.
func (f *failures) expire(now time.Time) {
	for e := f.recent.Back(); e != nil; e = f.recent.Back() {
		times := e.Value.(*failing).times
		if len(times) > 0 && now.Sub(times[len(times)-1]) <= failureWindow {
			return
		}
		f.forget(e)
	}
}

// forget forgets an address. The caller holds mu.
func (f *failures) forget(e *list.Element) {
	delete(f.byHost, e.Value.(*failing).host)
	f.recent.Remove(e)
}

// network returns what is counted as one address: of IPv6 the /64, within which one machine can choose freely.
func network(host string) string {
	addr, err := netip.ParseAddr(host)
	if err != nil || !addr.Unmap().Is6() {
		return host
	}
	prefix, err := addr.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return prefix.String()
}
