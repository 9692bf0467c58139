// Package faultproxy stands between a client and an S3 server: it counts, delays, and breaks what passes.
//
// A [Proxy] forwards each request as it came, with its Host, so that signatures stay valid. It counts requests by kind and the bytes
// of bodies; [Options.Latency] makes each request take longer. A function that a test sets with Break decides what becomes of each
// request: see [Action].
//
//	p := faultproxy.Run(t, faultproxy.Options{Upstream: server.URL, AccessKey: versitygw.AccessKey, SecretKey: versitygw.SecretKey})
//	p.Break(func(r faultproxy.Request) faultproxy.Action { return faultproxy.SlowDown })
//	p.Counts()["put"]
//
// With a key it also does what the server leaves out: it keeps the conditions on the destination of a copy, and it can pretend that the
// clocks differ ([Options.Skew]). Renames and annotations are always refused: the server would overwrite the object.
package faultproxy

import (
	"crypto/tls"
	"fmt"
	"io"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"sync"
	"testing"
	"time"
)

// Options say what a proxy does to all requests.
type Options struct {
	Upstream string      // URL of the server
	TLS      *tls.Config // to trust the server; nil = as the system does
	Latency  time.Duration
	Rate     float64 // bytes per second of all answers together; 0 = as fast as it goes

	// AccessKey and SecretKey are for requests that the proxy makes itself; without them it does neither of what is below.
	AccessKey, SecretKey string
	// Skew is how far the server's clock seems to be ahead of the client's. Requests signed by another clock are refused.
	Skew time.Duration
}

// Request is what a test is told of a request.
type Request struct {
	Kind    string // see KindOf
	Path    string // bucket and key
	N       int    // 1 for the first request, counted since the proxy was made
	HTTP    *http.Request
	Attempt int // as the client's library tells it; 0 if it does not
}

// Action is what becomes of a request.
type Action int

// The actions.
const (
	Pass     Action = iota
	SlowDown        // 503, nothing was done
	Fail            // 500, nothing was done
	Reset           // the connection ends, nothing was done
	Expired         // 403 ExpiredToken, nothing was done
	Lose            // it is done, and the connection ends before the answer
	LoseFail        // it is done, and the answer is 500
	Truncate        // the answer's length is right, and its body ends in the middle
	Stall           // it is done, and the answer stops in the middle for as long as the client waits, or until Close
)

// Proxy is a running proxy.
type Proxy struct {
	URL string

	opts     Options
	server   *httptest.Server
	upstream *url.URL
	client   *http.Client
	closed   chan struct{}
	writes   sync.RWMutex // held by a copy with a condition from its check to its answer, and shared by other writes

	mu     sync.Mutex // guards all below
	brk    func(Request) Action
	counts map[string]int
	broken map[Action]int
	bytes  Bytes
	n      int
	sent   time.Time // when the line has carried the answers so far
}

// Bytes is how many bytes bodies had.
type Bytes struct {
	Sent, Received int64 // by the client
}

// Run starts a proxy for a test and ends it with the test.
func Run(tb testing.TB, o Options) *Proxy {
	tb.Helper()
	p, err := Start(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Close)
	return p
}

// Start starts a proxy, which the caller closes.
func Start(o Options) (*Proxy, error) {
	upstream, err := url.Parse(o.Upstream)
	if err != nil {
		return nil, fmt.Errorf("the server's URL: %w", err)
	}
	transport := &http.Transport{TLSClientConfig: o.TLS, MaxIdleConnsPerHost: 256, DisableCompression: true}
	p := &Proxy{
		opts: o, upstream: upstream, client: &http.Client{Transport: transport}, closed: make(chan struct{}),
		counts: map[string]int{}, broken: map[Action]int{},
	}
	forward := &httputil.ReverseProxy{
		Transport: transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(upstream)
			r.Out.Host = r.In.Host
			r.Out.URL.RawPath, r.Out.URL.Path = r.In.URL.RawPath, r.In.URL.Path
		},
		ModifyResponse: p.answer,
		ErrorHandler:   func(w http.ResponseWriter, _ *http.Request, _ error) { drop(w) },
		ErrorLog:       log.New(io.Discard, "", 0), // answers that are cut off on purpose
		FlushInterval:  -1,
	}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(forward, w, r) }))
	p.server.Config.ErrorLog = forward.ErrorLog
	p.server.Start()
	p.URL = p.server.URL
	return p, nil
}

// Close ends the proxy and what stalls in it.
func (p *Proxy) Close() {
	close(p.closed)
	p.server.CloseClientConnections()
	p.server.Close()
	p.client.CloseIdleConnections()
}

// Break sets what decides about requests that come from now on; nil lets all pass.
func (p *Proxy) Break(decide func(Request) Action) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.brk = decide
}

// Counts returns how many requests of each kind came since the last Reset.
func (p *Proxy) Counts() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.counts)
}

// Total returns how many requests came since the last Reset.
func (p *Proxy) Total() (n int) {
	for _, count := range p.Counts() {
		n += count
	}
	return n
}

// Broken returns how many requests met each action since the last Reset.
func (p *Proxy) Broken() map[Action]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.broken)
}

// Bytes returns how many bytes passed since the last Reset.
func (p *Proxy) Bytes() Bytes {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.bytes
}

// Reset sets all counts to zero.
func (p *Proxy) Reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	clear(p.counts)
	clear(p.broken)
	p.bytes = Bytes{}
}

// decide counts a request and returns what becomes of it.
func (p *Proxy) decide(r *http.Request) Action {
	request := Request{Kind: KindOf(r), Path: r.URL.Path, HTTP: r, Attempt: attempt(r)}
	p.mu.Lock()
	p.n++
	request.N = p.n
	p.counts[request.Kind]++
	decide := p.brk
	p.mu.Unlock()
	if decide == nil {
		return Pass
	}
	action := decide(request)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.broken[action]++
	return action
}
