package fetch

import "github.com/jupyter-drive/jupyter-drive/fs/blockcache"

const (
	minWindow   = 1 << 20   // ahead of a run that begins
	minPiece    = 1 << 20   // of a window
	randomRange = 128 << 10 // around a read at a random place
	runAfter    = 384 << 10 // bytes read one after another make a run
	slack       = 1 << 20   // reads of a run may be this much out of order
	tightSlack  = 128 << 10 // before it is known to be one
	maxRuns     = 2
	longAfter   = 512 << 10 // bytes of a run from the file's start, before more than its first request is made
)

// planner decides what one handle fetches. It is not safe for concurrent use.
type planner struct {
	size int64
	most int64  // of a window
	runs []*run // most recently used first
}

// run is a place where a handle reads on.
type run struct {
	start  int64 // where it began
	next   int64 // where the next read is expected
	ahead  int64 // up to where it was asked for
	window int64 // 0 = not known to be a run yet
	grown  int64 // next, when the window grew last
	width  width
}

// width tells how many requests bring a run at a time.
type width uint8

const (
	narrow width = iota // one that goes on and on
	wide                // many short ones
	fixed               // one: many were tried and brought no more
)

// wish is what a read makes necessary, and what it makes likely. All ranges are of whole units, but for the file's end.
type wish struct {
	need    blockcache.Range   // holds the read
	ahead   []blockcache.Range // a request each, in the order in which they are wanted
	long    blockcache.Range   // for one request, which goes on when more is wished; empty = nothing new
	fetched int64              // up to where the read's run was asked for before
}

func newPlanner(size, most int64) *planner {
	return &planner{size: size, most: most}
}

// read plans a read, which lies within the file and is not empty.
func (p *planner) read(off, n int64) wish {
	if p.size <= SmallFile {
		return wish{need: blockcache.Range{Off: 0, Len: p.size}}
	}
	r := p.find(off)
	r.next = off + n
	if r.window == 0 && (r.start == 0 || r.next-r.start >= runAfter) {
		r.window, r.grown, r.ahead = minWindow, r.next, max(off, r.ahead)
		if r.start == 0 {
			return wish{need: p.begin(r, n)}
		}
	}
	if r.window == 0 {
		return wish{need: p.random(off, n)}
	}
	r.grow(p.most)
	w := wish{need: p.align(off, off+n), fetched: r.ahead}
	if r.width != wide {
		w.long = p.longer(r, off)
		return w
	}
	w.ahead = p.refill(r, off)
	return join(w)
}

// join makes one request of what is needed and the first of what goes ahead, where the read is the first of a window.
func join(w wish) wish {
	if len(w.ahead) == 0 || w.ahead[0].Off != w.need.Off {
		return w
	}
	w.need.Len = max(w.need.Len, w.ahead[0].Len)
	w.ahead = w.ahead[1:]
	return w
}

// find returns the run that a read belongs to, or a new one in place of the one that was not used for longer.
func (p *planner) find(off int64) *run {
	at := -1
	for i, r := range p.runs {
		if r.takes(off) {
			at = i
			break
		}
	}
	var r *run
	switch {
	case at >= 0:
		r = p.runs[at]
		copy(p.runs[1:at+1], p.runs[:at])
	case len(p.runs) < maxRuns:
		p.runs = append(p.runs, nil)
		copy(p.runs[1:], p.runs)
		r = &run{start: off}
	default:
		copy(p.runs[1:], p.runs)
		r = &run{start: off}
	}
	p.runs[0] = r
	return r
}

// takes says whether a read goes on where the run is.
func (r *run) takes(off int64) bool {
	if r.window == 0 {
		return off >= r.next && off <= r.next+tightSlack
	}
	return off >= r.next-slack && off <= r.next+max(r.window, slack)
}

// begin is the first read of a file from its start.
func (p *planner) begin(r *run, n int64) blockcache.Range {
	need := p.align(0, max(n, minWindow))
	r.ahead = need.Off + need.Len
	return need
}

// grow doubles the window of a run that has used an eighth of it.
func (r *run) grow(most int64) {
	if r.next-r.grown >= r.window/8 && r.window < most {
		r.window = min(2*r.window, most)
		r.grown = r.next
	}
}

// longer returns what of the window was not asked for yet, if half of it was used: what a request that rests for too long has in its connection
// is lost, which must be little beside what it brings.
func (p *planner) longer(r *run, off int64) blockcache.Range {
	if r.start == 0 && r.next < longAfter {
		return blockcache.Range{}
	}
	step := max(r.window/2, minPiece)
	from, to := max(r.ahead, p.align(off, off+1).Off), (r.next+r.window)/step*step
	if r.next+r.window >= p.size {
		to = p.size
	}
	if to <= from {
		return blockcache.Range{}
	}
	r.ahead = to
	return blockcache.Range{Off: from, Len: to - from}
}

// refill returns what is to be fetched ahead, if so much of the window was used that a piece is worth a request.
func (p *planner) refill(r *run, off int64) []blockcache.Range {
	size := min(max(r.window/8, minPiece), MaxRange)
	r.ahead = max(r.ahead, p.align(off, off+1).Off)
	end := min(r.next+r.window, p.size)
	var all []blockcache.Range
	for r.ahead < end {
		to := min((r.ahead/size+1)*size, p.size)
		if to > end && to < p.size && r.ahead > r.next {
			break // not a whole piece yet
		}
		all = append(all, p.align(r.ahead, to))
		r.ahead = to
	}
	return all
}

// random is the range for a read that belongs to no run.
func (p *planner) random(off, n int64) blockcache.Range {
	if n <= blockcache.Unit && off/randomRange == (off+n-1)/randomRange {
		start := off / randomRange * randomRange
		return p.align(start, start+randomRange)
	}
	if n <= blockcache.Unit {
		start := off / blockcache.Unit * blockcache.Unit
		return p.align(start, start+randomRange)
	}
	return p.align(off, off+max(n, randomRange))
}

// align widens a range to whole units within the file.
func (p *planner) align(from, to int64) blockcache.Range {
	from = from / blockcache.Unit * blockcache.Unit
	to = min((to+blockcache.Unit-1)/blockcache.Unit*blockcache.Unit, p.size)
	return blockcache.Range{Off: from, Len: to - from}
}

// follow has what is read from off on be a run from its first byte.
func (p *planner) follow(off int64) {
	p.runs = []*run{{start: off, next: off, ahead: off, window: p.most, grown: off}}
}

// lost notes that what was fetched ahead was thrown out before it was read: a smaller window is less in the way.
func (p *planner) lost(off int64) {
	if len(p.runs) == 0 || p.runs[0].window == 0 {
		return
	}
	r := p.runs[0]
	r.window, r.grown = max(r.window/2, minWindow), r.next
	r.ahead = min(r.ahead, off)
}

// stopped notes that what was likely was asked for only up to off.
func (p *planner) stopped(off int64) {
	for _, r := range p.runs {
		if r.window > 0 && r.start <= off {
			r.ahead = min(r.ahead, off)
		}
	}
}

// widen has the run that one request brings, which is at off and ends at end, be brought by many, and returns where these begin. It is false if
// that is not to be done.
func (p *planner) widen(off, end int64) (from int64, ok bool) {
	for _, r := range p.runs {
		if r.window == 0 || r.width != narrow || off < r.next-slack || off > r.ahead {
			continue
		}
		size := min(max(r.window/8, minPiece), MaxRange)
		from = min((off/size+1)*size, end)
		r.width, r.ahead = wide, from
		return from, true
	}
	return 0, false
}

// narrow has runs that are brought by many requests be brought by one again, for good.
func (p *planner) narrow() {
	for _, r := range p.runs {
		if r.width == wide {
			r.width = fixed
		}
	}
}
