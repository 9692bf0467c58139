package main

import (
	"strings"
	"testing"
	"time"
)

func TestProgressLine(t *testing.T) {
	for _, tt := range []struct {
		name     string
		terminal bool
		want     string
	}{
		{"terminal", true, "\rat 1s\rat 1.2s\rat 2s  \rat 11s \r       \r"},
		{"log", false, "at 1s\nat 11s\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var out strings.Builder
			at := time.Unix(1e9, 0)
			p := &progressLine{w: &out, terminal: tt.terminal, now: func() time.Time { return at }, next: at.Add(progressFirst)}
			for _, after := range []time.Duration{0, 999 * time.Millisecond, time.Second, 1100 * time.Millisecond, 1200 * time.Millisecond, 2 * time.Second, 11 * time.Second} {
				at = time.Unix(1e9, 0).Add(after)
				p.tell("at " + after.String())
			}
			p.end()
			if got := out.String(); got != tt.want {
				t.Errorf("it wrote %q, want %q", got, tt.want)
			}
		})
	}
}
