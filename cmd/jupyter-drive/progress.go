package main

import (
	"fmt"
	"io"
	"os"
	"time"
	"unicode/utf8"
)

// progressLine tells people how far something has come: on a terminal in one line that is written over, elsewhere in a line now and then.
type progressLine struct {
	w        io.Writer
	terminal bool
	now      func() time.Time
	next     time.Time // nothing is told before
	width    int       // of what stands in the terminal's line
}

const (
	progressFirst    = time.Second // what is done sooner needs no progress
	progressTerminal = 200 * time.Millisecond
	progressElse     = 10 * time.Second
)

// newProgress returns a line on stderr that has nothing to tell for a second.
func (a *app) newProgress() *progressLine {
	f, ok := a.stderr.(*os.File)
	p := &progressLine{w: a.stderr, now: time.Now}
	if ok {
		info, err := f.Stat()
		p.terminal = err == nil && info.Mode()&os.ModeCharDevice != 0
	}
	p.next = p.now().Add(progressFirst)
	return p
}

// tell says how far it is, if it is time to.
func (p *progressLine) tell(text string) {
	now := p.now()
	if now.Before(p.next) {
		return
	}
	if !p.terminal {
		p.next = now.Add(progressElse)
		fmt.Fprintln(p.w, text)
		return
	}
	p.next = now.Add(progressTerminal)
	width := utf8.RuneCountInString(text)
	fmt.Fprintf(p.w, "\r%s%*s", text, max(p.width-width, 0), "")
	p.width = max(p.width, width)
}

// end clears the terminal's line.
func (p *progressLine) end() {
	if p.width > 0 {
		fmt.Fprintf(p.w, "\r%*s\r", p.width, "")
		p.width = 0
	}
}
