package mem

import (
	"context"
	"fmt"
	"io"
	"maps"
	"sync"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// DefaultPage is how many names a page of a listing has.
const DefaultPage = 1000

// Request is what a hook is told of: one call that would be one request to a store.
type Request struct {
	Op       string // "stat", "list", "read", "put", "remove", "copy", "mkdir", "mark", "marked", "set meta", "begin", "part", "copy part", "parts", "complete", "abort", "unfinished", "versions", "drop"
	Key      string // path; of an upload its key
	Dst      string // of a copy
	Off, Len int64  // of a read as asked for; Len of a put or part is its size
	Cond     fs.Cond
	WriteID  string
}

// BackendOptions configure a Backend. The zero value works.
type BackendOptions struct {
	// Caps changes what the backend says of itself. A guarantee that is None is not kept either: such conditions are ignored.
	Caps func(*fs.Caps)
	// Versions keeps what is replaced and removed, for fs.Versioner.
	Versions bool
	// Before is called before each request without any lock held. It may wait, and an error it returns is the request's result, of
	// which nothing was done.
	Before func(ctx context.Context, r Request) error
	// After is called once a request has been done. An error it returns replaces the answer: the answer was lost.
	After func(ctx context.Context, r Request) error
	// Body may replace what a read returns, to damage, cut off or delay it.
	Body func(r Request, body io.Reader) io.Reader
	// Now is the store's clock; nil = time.Now.
	Now func() time.Time
}

// Backend is an object store in memory.
type Backend struct {
	opts BackendOptions
	caps fs.Caps

	mu       sync.Mutex // guards all below
	objects  objects
	uploads  map[string]*upload
	old      map[string][]version // by raw key, oldest first; only with Versions
	last     int                  // number of the newest upload or version
	requests map[string]int       // by Request.Op
}

var (
	_ fs.Backend    = (*Backend)(nil)
	_ fs.Uploads    = (*Backend)(nil)
	_ fs.Mkdirer    = (*Backend)(nil)
	_ fs.Marker     = (*Backend)(nil)
	_ fs.MetaSetter = (*Backend)(nil)
	_ fs.Prober     = (*Backend)(nil)
	_ fs.Rechecker  = (*Backend)(nil)
)

// NewBackend returns an empty store.
func NewBackend(o BackendOptions) *Backend {
	if o.Now == nil {
		o.Now = time.Now
	}
	b := &Backend{opts: o, caps: storeCaps(), uploads: map[string]*upload{}, old: map[string][]version{}, requests: map[string]int{}}
	b.caps.Versions = o.Versions
	if o.Caps != nil {
		o.Caps(&b.caps)
	}
	return b
}

func storeCaps() fs.Caps {
	return fs.Caps{
		CondWrite: fs.Atomic, CondRemove: fs.Atomic, CondCopy: fs.Atomic, CondMeta: fs.Atomic,
		EmptyDirs: true, ModTimeWritable: true, AnyName: true, ListStrong: true,
		MTimePrecision: time.Nanosecond, MaxName: fs.MaxName, MaxKey: 1024, MaxSize: 50 << 40,
		PartMin: 5 << 20, PartMax: 5 << 30, MaxParts: 10_000, PreferRead: 8 << 20, PreferWrite: 8 << 20,
	}
}

// Caps returns what the store can do.
func (b *Backend) Caps() fs.Caps { return b.caps }

// Probe returns Caps.
func (b *Backend) Probe(ctx context.Context) (fs.Caps, error) { return b.caps, ctx.Err() }

// Close does nothing: what is stored stays, so that a second drive may be opened on it.
func (b *Backend) Close() error { return nil }

// Requests returns how many requests of each kind were made since the last ResetRequests, those included that a hook refused.
func (b *Backend) Requests() map[string]int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return maps.Clone(b.requests)
}

// ResetRequests sets all counts of Requests to zero.
func (b *Backend) ResetRequests() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.requests)
}

// do is one request: fn runs with the lock held between the hooks. An error of fn is of the request and its key.
func (b *Backend) do(ctx context.Context, r Request, fn func() error) error {
	b.count(r.Op)
	if err := ctx.Err(); err != nil {
		return fs.Wrap(r.Op, r.Key, err)
	}
	if b.opts.Before != nil {
		if err := b.opts.Before(ctx, r); err != nil {
			return fs.Wrap(r.Op, r.Key, err)
		}
	}
	if err := b.locked(fn); err != nil {
		return fs.Wrap(r.Op, r.Key, err)
	}
	if b.opts.After != nil {
		return fs.Wrap(r.Op, r.Key, b.opts.After(ctx, r))
	}
	return nil
}

func (b *Backend) count(op string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests[op]++
}

func (b *Backend) locked(fn func() error) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fn()
}

// next returns a number that was not used before. The caller holds mu.
func (b *Backend) next() string {
	b.last++
	return fmt.Sprintf("%08d", b.last)
}

// kindError is an error of that kind that names no object yet: do adds operation and key.
func kindError(kind fs.Kind) error { return &fs.Error{Kind: kind} }
