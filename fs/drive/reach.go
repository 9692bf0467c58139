package drive

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// How long the store is waited for, besides [Options].Deadline.
const (
	lookFor       = 10 * time.Second // by one request, and by who can do with what is known
	leastPatience = 2 * time.Second  // by who comes when it has been out of reach for long
	askAgain      = 2 * time.Second  // between the requests of one who waits, at most
	probeFirst    = time.Second      // until it is asked whether it is back
	probeEvery    = 2 * time.Second
	probeRefused  = 10 * time.Second // while it refuses the drive: that takes somebody's help
	probePatience = 3 * time.Second
)

// reach is whether the store answers, and answers this drive.
type reach struct {
	mu      sync.Mutex // guards all below
	since   time.Time  // when the first request was made that had no answer; zero = the store answers
	why     error      // why the last had none
	refused error      // what the store said when it last refused to be read, or the keys; nil = it has answered since
	probing bool       // a goroutine asks it until all is well
}

// lost notes a request without an answer, and reports whether it is the first.
func (r *reach) lost(asked time.Time, why error) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if first = r.since.IsZero(); first {
		r.since = asked
	}
	r.why = reasonOf(why)
	return first
}

// found notes that the store has answered, with a refusal if refused is not nil. It reports whether that is news.
func (r *reach) found(refused error) (news bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	news = !r.since.IsZero() || (r.refused == nil) != (refused == nil)
	r.since, r.why, r.refused = time.Time{}, nil, refused
	return news
}

// away returns since when the store is out of reach, and why; zero and nil if it is not.
func (r *reach) away() (since time.Time, why error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.since, r.why
}

// isWell reports whether the store answers. The caller holds mu.
func (r *reach) isWell() bool { return r.since.IsZero() && r.refused == nil }

// beginProbe reports whether a goroutine is to ask the store from now on.
func (r *reach) beginProbe() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isWell() || r.probing {
		return false
	}
	r.probing = true
	return true
}

// endProbe reports whether that goroutine may end.
func (r *reach) endProbe() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.probing = !r.isWell()
	return !r.probing
}

// refusal returns what the store said when it refused this drive, nil if it does not.
func (r *reach) refusal() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused
}

// isAway reports whether an error says that the store gave no answer: to a write, that not even what became of it could be asked.
func isAway(err error) bool {
	if err == nil {
		return false
	}
	kind := fs.KindOf(err)
	return kind == fs.Unavailable || kind == fs.Timeout || kind == fs.UnknownOutcome
}

// isRefusal reports whether an error says that the store does not let this drive in.
func isRefusal(err error) bool {
	if err == nil {
		return false
	}
	kind := fs.KindOf(err)
	return kind == fs.Credentials || kind == fs.Permission
}

// heard notes whether the store has answered a change, which ends now. That it may not be made says nothing of others.
func (d *Drive) heard(err error) {
	if err == nil || fs.KindOf(err) != fs.Permission {
		d.answered(time.Now(), err)
	}
}

// answered notes whether the store has answered a request that was made at that time. When it is back, or lets the drive in again, what
// was waiting for that is due.
func (d *Drive) answered(asked time.Time, err error) {
	switch {
	case isAway(err):
		if d.reach.lost(asked, err) {
			d.queue.kick()
		}
	case err != nil && fs.KindOf(err) == fs.Canceled:
	case isRefusal(err):
		if d.reach.found(reasonOf(err)) {
			d.queue.kick()
		}
	case d.reach.found(nil):
		d.resume()
	}
}

// resume has what could not be sent to the store tried again. A key that has just failed waits a moment all the same: the store may
// answer some requests only.
func (d *Drive) resume() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	for _, p := range d.pending {
		if at := p.failed.Add(probeEvery); (isAway(p.err) || isRefusal(p.err)) && at.Before(p.due) {
			if p.due = at; at.Before(now) {
				p.due = now
			}
			d.queue.look(p.keyed())
		}
	}
	d.queue.kick()
}

// isOffline reports whether the store is out of reach.
func (d *Drive) isOffline() bool {
	since, _ := d.reach.away()
	return !since.IsZero()
}

// probe asks the store until it answers.
func (d *Drive) probe(ctx context.Context) {
	for wait := probeFirst; pause(ctx, wait) == nil && !d.reach.endProbe(); {
		begin := time.Now()
		asked, cancel := context.WithTimeout(ctx, probePatience)
		var err error
		if d.reach.refusal() == nil {
			_, err = d.backend.Stat(asked, reservedPrefix+"check")
		} else { // a store tells more of why it refuses a listing
			_, err = d.backend.List(asked, "", fs.ListOptions{})
		}
		cancel()
		if ctx.Err() == nil {
			d.answered(begin, err)
		}
		if wait = probeEvery; d.reach.refusal() != nil {
			wait = probeRefused
		}
	}
}

// patience returns until when somebody waits for the store who asks now.
func (d *Drive) patience() time.Time {
	now := time.Now()
	since, _ := d.reach.away()
	if since.IsZero() {
		return now.Add(d.opts.Deadline)
	}
	if until, least := since.Add(d.opts.Deadline), now.Add(leastPatience); until.After(least) {
		return until
	}
	return now.Add(min(leastPatience, d.opts.Deadline))
}

// errPatience is why a context has ended that was made of patience.
var errPatience = errors.New("the store does not answer")

// patient returns a context for who waits for the store.
func (d *Drive) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithDeadlineCause(ctx, d.patience(), errPatience)
}

// ask makes a request for somebody who cannot do without: again and again while the store is out of reach, as long as patience says.
func (d *Drive) ask(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := d.patient(ctx)
	defer cancel()
	for wait := retryFirst; ; wait = min(2*wait, askAgain) {
		asked := time.Now()
		err := attempt(ctx, request)
		if !d.noted(ctx, asked, err) || !isAway(err) || pause(ctx, wait) != nil {
			return d.gaveUp(ctx, err)
		}
	}
}

// attempt makes a request that may not hang for long: on a way that is open again it would have its answer.
func attempt(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, lookFor, errPatience)
	defer cancel()
	return request(ctx)
}

// look makes a request for somebody who can do without its answer.
func (d *Drive) look(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeoutCause(ctx, min(lookFor, d.opts.Deadline), errPatience)
	defer cancel()
	asked := time.Now()
	err := request(ctx)
	d.noted(ctx, asked, err)
	return d.gaveUp(ctx, err)
}

// noted is answered, but for a request that its caller has ended, which says nothing of the store. It reports whether it was noted.
func (d *Drive) noted(ctx context.Context, asked time.Time, err error) bool {
	if err != nil && ctx.Err() != nil && !errors.Is(context.Cause(ctx), errPatience) {
		return false
	}
	d.answered(asked, err)
	return true
}

// gaveUp returns why a request has failed: of one that took too long what is known of the store rather than that.
func (d *Drive) gaveUp(ctx context.Context, err error) error {
	switch {
	case err == nil || ctx.Err() == nil:
		return err
	case !errors.Is(context.Cause(ctx), errPatience):
		return ctx.Err()
	case !isAway(err):
		return err
	}
	if _, why := d.reach.away(); why != nil {
		return why
	}
	return err
}

// reasonOf returns an error without the request and the object that it came of: another request may have met the same. That it is not
// known what became of a write is for who made it; to others the store did not answer.
func reasonOf(err error) error {
	e, ok := errors.AsType[*fs.Error](err)
	if !ok {
		return &fs.Error{Kind: fs.KindOf(err), Err: err}
	}
	if e.Kind == fs.UnknownOutcome {
		if inner, ok := errors.AsType[*fs.Error](e.Err); ok {
			return reasonOf(inner)
		}
		return &fs.Error{Kind: fs.Unavailable, Err: e.Err}
	}
	why := e.Err
	if inner, ok := errors.AsType[*fs.Error](why); ok {
		why = inner.Err
	}
	if why == nil || errors.Is(why, context.DeadlineExceeded) {
		why = errPatience
	}
	return &fs.Error{Kind: e.Kind, Err: why, Hint: e.Hint}
}
