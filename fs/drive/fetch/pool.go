package fetch

import (
	"context"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// Defaults of Options.
const (
	DefaultMemory     = 128 << 20
	DefaultForeground = 64
	DefaultPrefetch   = 32
	DefaultPerFile    = 16
	DefaultWindow     = 64 << 20
	DefaultDeadline   = 30 * time.Second
	DefaultStall      = 10 * time.Second
)

const (
	// SmallFile is the size in bytes up to which a file is fetched as a whole.
	SmallFile = 1 << 20
	// MaxRange is the longest range in bytes of one of several requests.
	MaxRange = 8 << 20
)

// Options tell what a pool may use. The zero value works.
type Options struct {
	Memory     int64         // bytes of buffers; 0 = DefaultMemory
	Foreground int           // requests at a time that somebody waits for; 0 = DefaultForeground
	Prefetch   int           // requests at a time that are made ahead; 0 = DefaultPrefetch
	PerFile    int           // of those, how many for one version of a file; 0 = DefaultPerFile
	Window     int64         // how many bytes ahead of a run are fetched at most; 0 = DefaultWindow
	Deadline   time.Duration // how long somebody waits without getting a byte; 0 = DefaultDeadline
	Stall      time.Duration // how long a request may give nothing before it is made again; 0 = DefaultStall
	Logger     *slog.Logger  // nil = silent
}

func (o Options) withDefaults() Options {
	for _, v := range []struct {
		at *int
		to int
	}{{&o.Foreground, DefaultForeground}, {&o.Prefetch, DefaultPrefetch}, {&o.PerFile, DefaultPerFile}} {
		if *v.at <= 0 {
			*v.at = v.to
		}
	}
	for _, v := range []struct {
		at *time.Duration
		to time.Duration
	}{{&o.Deadline, DefaultDeadline}, {&o.Stall, DefaultStall}} {
		if *v.at <= 0 {
			*v.at = v.to
		}
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Window <= 0 {
		o.Window = DefaultWindow
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Pool is what all streams share. Close it after its streams.
type Pool struct {
	opts    Options
	slots   *slots
	buffers *buffers
	ctx     context.Context // of all flights
	cancel  context.CancelFunc
	flights sync.WaitGroup
	idle    atomic.Int64 // flights that have a request and nothing to do

	mu      sync.Mutex // guards what follows
	sources map[sourceKey]*source
	counts  Stats
}

// Stats tell what a pool did.
type Stats struct {
	Requests int64 // made to stores, retries included
	Bytes    int64 // received
	Retries  int64
}

// NewPool returns a pool.
func NewPool(o Options) *Pool {
	o = o.withDefaults()
	size, number := bufferSize(o.Memory, o.Foreground+o.Prefetch)
	if number < o.Foreground+o.Prefetch { // never more requests than buffers
		o.Prefetch = min(o.Prefetch, number/3)
		o.Foreground = max(min(o.Foreground, number-o.Prefetch), 1)
	}
	p := &Pool{
		opts: o, slots: newSlots(o.Foreground, o.Prefetch), buffers: newBuffers(size, max(number, o.Foreground+o.Prefetch)),
		sources: make(map[sourceKey]*source),
	}
	p.ctx, p.cancel = context.WithCancel(context.Background())
	return p
}

// Close ends all requests and waits for them.
func (p *Pool) Close() {
	p.cancel()
	p.flights.Wait()
}

// Stats returns what was done so far.
func (p *Pool) Stats() Stats {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.counts
}

func (p *Pool) count(requests, bytes, retries int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.counts.Requests += requests
	p.counts.Bytes += bytes
	p.counts.Retries += retries
}

// Open returns a stream of a version, which has size bytes. f is where it is cached; nil = nowhere. f stays the caller's, who closes it after
// the stream.
func (p *Pool) Open(b fs.Backend, key string, v fs.Version, size int64, f *blockcache.File) *Stream {
	p.mu.Lock()
	defer p.mu.Unlock()
	k := sourceKey{backend: b, key: key, version: v, size: size, cached: f != nil}
	shared := reflect.TypeOf(b).Comparable()
	var src *source
	if shared {
		src = p.sources[k]
	}
	if src == nil {
		src = &source{pool: p, id: k, size: size}
		if shared {
			p.sources[k] = src
		}
	}
	st := &Stream{src: src, file: f, plan: newPlanner(size, window(p.opts, f))}
	src.join(st)
	return st
}

// window returns how far ahead a stream may fetch: no so far that it throws out what it fetched itself.
func window(o Options, f *blockcache.File) int64 {
	room := o.Memory
	if f != nil {
		room = f.Limit()
	}
	return max(min(o.Window, room/8), minWindow)
}

// leave forgets a source nobody uses.
func (p *Pool) leave(s *source) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.sources[s.id] == s && s.unused() {
		delete(p.sources, s.id)
		p.buffers.forget(s)
	}
}
