package identity

import (
	"fmt"
	"testing"
	"time"
)

func TestFailuresAreBounded(t *testing.T) {
	var f failures
	now := time.Unix(1e9, 0)
	for range maxFailures {
		f.add("early", now)
	}
	for i := range maxFailing - 1 {
		f.add(fmt.Sprintf("host%d", i), now)
	}
	if !f.blocked("early", now) {
		t.Errorf("with %d addresses the first is not blocked", maxFailing)
	}
	for i := range maxFailing {
		f.add(fmt.Sprintf("another%d", i), now)
		if len(f.byHost) > maxFailing || f.recent.Len() != len(f.byHost) {
			t.Fatalf("remembers %d addresses, %d in order; want at most %d", len(f.byHost), f.recent.Len(), maxFailing)
		}
	}
	if f.blocked("early", now) {
		t.Error("the address that failed longest ago is still remembered")
	}
	if f.blocked("another0", now.Add(failureWindow+1)) || len(f.byHost) != 0 {
		t.Errorf("after the window %d addresses are remembered, want none", len(f.byHost))
	}
}

func TestFailuresKeepWhoFailsAgain(t *testing.T) {
	var f failures
	now := time.Unix(1e9, 0)
	for range maxFailures {
		f.add("stubborn", now)
	}
	for i := range 2 * maxFailing {
		f.add(fmt.Sprintf("host%d", i), now)
		if i%1000 == 0 {
			f.add("stubborn", now)
		}
	}
	if !f.blocked("stubborn", now) {
		t.Error("an address that failed again lately was forgotten")
	}
	if got := len(f.byHost["stubborn"].Value.(*failing).times); got != maxFailures {
		t.Errorf("%d failures are kept of it, want %d", got, maxFailures)
	}
}

func TestFailuresSlideOutOfTheWindow(t *testing.T) {
	var f failures
	now := time.Unix(1e9, 0)
	for i := range maxFailures {
		f.add("host", now.Add(time.Duration(i)*time.Second))
	}
	for _, tt := range []struct {
		name  string
		after time.Duration
		want  bool
	}{
		{"at once", maxFailures * time.Second, true},
		{"while all are in the window", failureWindow, true},
		{"after the first has left it", failureWindow + time.Second, false},
	} {
		if got := f.blocked("host", now.Add(tt.after)); got != tt.want {
			t.Errorf("%s: blocked = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFailuresCountNetworks(t *testing.T) {
	for _, tt := range []struct {
		name, a, b string
		same       bool
	}{
		{"IPv4", "192.0.2.1", "192.0.2.2", false},
		{"IPv6, one /64", "2001:db8::1", "2001:db8::ffff:1", true},
		{"IPv6, two /64", "2001:db8::1", "2001:db8:0:1::1", false},
		{"IPv4 in IPv6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", false},
		{"a zone", "fe80::1%eth0", "fe80::2%eth1", true},
		{"no address", "pipe", "@", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var f failures
			now := time.Unix(1e9, 0)
			for range maxFailures {
				f.add(tt.a, now)
			}
			if got := f.blocked(tt.b, now); got != tt.same {
				t.Errorf("failures of %s block %s: %v, want %v", tt.a, tt.b, got, tt.same)
			}
		})
	}
}
