package faultproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// KindOf names what a request asks for: "head", "get", "put", "copy", "delete", "list"; of multipart uploads "begin", "part", "copy part",
// "complete", "abort", "list parts", "list uploads"; "list versions", "versioning", "other".
func KindOf(r *http.Request) string {
	q := r.URL.Query()
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	copies := r.Header.Get("X-Amz-Copy-Source") != ""
	switch {
	case key == "" && r.Method == http.MethodGet:
		return bucketKind(q)
	case key == "":
		return "other"
	case q.Has("uploadId"):
		return partKind(r.Method, copies)
	case q.Has("uploads"):
		return "begin"
	}
	switch r.Method {
	case http.MethodHead:
		return "head"
	case http.MethodGet:
		return "get"
	case http.MethodDelete:
		return "delete"
	case http.MethodPut:
		if copies {
			return "copy"
		}
		return "put"
	}
	return "other"
}

func bucketKind(q map[string][]string) string {
	for name, kind := range map[string]string{"list-type": "list", "versions": "list versions", "uploads": "list uploads", "versioning": "versioning"} {
		if _, ok := q[name]; ok {
			return kind
		}
	}
	if _, ok := q["prefix"]; ok { // the first version of the request
		return "list"
	}
	return "other"
}

func partKind(method string, copies bool) string {
	switch {
	case method == http.MethodPut && copies:
		return "copy part"
	case method == http.MethodPut:
		return "part"
	case method == http.MethodPost:
		return "complete"
	case method == http.MethodDelete:
		return "abort"
	}
	return "list parts"
}

// attempt reads which attempt this is from "attempt=2; max=3".
func attempt(r *http.Request) int {
	for field := range strings.SplitSeq(r.Header.Get("Amz-Sdk-Request"), ";") {
		if n, ok := strings.CutPrefix(strings.TrimSpace(field), "attempt="); ok {
			count, _ := strconv.Atoi(n) // 0 if it is none
			return count
		}
	}
	return 0
}

// actionKey is where a request's context has its action.
type actionKey struct{}

func (p *Proxy) serve(forward http.Handler, w http.ResponseWriter, r *http.Request) {
	action := p.decide(r)
	r.Body = &counted{ReadCloser: r.Body, p: p, sent: true}
	select {
	case <-time.After(p.opts.Latency):
	case <-r.Context().Done():
		return
	case <-p.closed:
		return
	}
	if !p.admit(w, r, action) {
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), actionKey{}, action))
	if write := r.Method != http.MethodGet && r.Method != http.MethodHead; write && p.opts.AccessKey != "" {
		if conditional := KindOf(r) == "copy" && r.Header.Get("If-Match")+r.Header.Get("If-None-Match") != ""; conditional {
			p.writes.Lock()
			defer p.writes.Unlock()
			if !p.holds(w, r) {
				return
			}
		} else {
			p.writes.RLock()
			defer p.writes.RUnlock()
		}
	}
	if p.opts.Skew != 0 && p.opts.AccessKey != "" {
		p.sign(r)
	}
	forward.ServeHTTP(w, r)
}

// admit answers what is not to reach the server.
func (p *Proxy) admit(w http.ResponseWriter, r *http.Request, action Action) bool {
	q := r.URL.Query()
	switch {
	case q.Has("renameObject") || q.Has("annotation"):
		refuse(w, r, http.StatusNotImplemented, "NotImplemented")
	case action == SlowDown:
		refuse(w, r, http.StatusServiceUnavailable, "SlowDown")
	case action == Fail:
		refuse(w, r, http.StatusInternalServerError, "InternalError")
	case action == Expired:
		refuse(w, r, http.StatusForbidden, "ExpiredToken")
	case action == Reset:
		drop(w)
	case p.skewed(r):
		w.Header().Set("Date", time.Now().Add(p.opts.Skew).UTC().Format(http.TimeFormat))
		refuse(w, r, http.StatusForbidden, "RequestTimeTooSkewed")
	default:
		return true
	}
	return false
}

// refuse answers as the server does, after it took what was sent.
func refuse(w http.ResponseWriter, r *http.Request, status int, code string) {
	_, _ = io.Copy(io.Discard, r.Body) // the client may be gone
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		fmt.Fprintf(w, "<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>injected</Message></Error>", code)
	}
}

// drop ends the client's connection.
func drop(w http.ResponseWriter) {
	if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
		_ = conn.Close() // it may be gone already
	}
}

// errLost makes the forwarder drop the connection.
var errLost = errors.New("the answer is lost on purpose")

// answer does to an answer what the request's action says.
func (p *Proxy) answer(response *http.Response) error {
	action, _ := response.Request.Context().Value(actionKey{}).(Action)
	if p.opts.Skew != 0 {
		response.Header.Set("Date", time.Now().Add(p.opts.Skew).UTC().Format(http.TimeFormat))
	}
	switch action {
	case Lose:
		_, _ = io.Copy(io.Discard, response.Body) // so that it is done for sure
		return errLost
	case LoseFail:
		_, _ = io.Copy(io.Discard, response.Body)
		body := "<?xml version=\"1.0\"?><Error><Code>InternalError</Code><Message>injected</Message></Error>"
		response.StatusCode, response.Body, response.ContentLength = http.StatusInternalServerError, io.NopCloser(strings.NewReader(body)), int64(len(body))
		response.Header.Set("Content-Length", strconv.Itoa(len(body)))
		response.Header.Del("Etag")
	case Truncate:
		response.Body = &cut{ReadCloser: response.Body, left: response.ContentLength / 2, then: errLost}
	case Stall:
		response.Body = &stalled{cut: cut{ReadCloser: response.Body, left: response.ContentLength / 2}, p: p, ctx: response.Request.Context()}
	}
	response.Body = &counted{ReadCloser: response.Body, p: p}
	return nil
}

// counted is a body whose bytes are counted.
type counted struct {
	io.ReadCloser
	p    *Proxy
	sent bool // by the client
}

func (c *counted) Read(b []byte) (int, error) {
	n, err := c.ReadCloser.Read(b)
	time.Sleep(c.count(int64(n)))
	return n, err
}

// count counts bytes and returns for how long the line is busy with them and what came before.
func (c *counted) count(n int64) time.Duration {
	c.p.mu.Lock()
	defer c.p.mu.Unlock()
	if c.sent {
		c.p.bytes.Sent += n
		return 0
	}
	c.p.bytes.Received += n
	if c.p.opts.Rate == 0 {
		return 0
	}
	now := time.Now()
	if c.p.sent.Before(now) {
		c.p.sent = now
	}
	c.p.sent = c.p.sent.Add(time.Duration(float64(n) / c.p.opts.Rate * float64(time.Second)))
	return c.p.sent.Sub(now)
}

// cut is a body that ends with an error after so many bytes.
type cut struct {
	io.ReadCloser
	left int64
	then error
}

func (c *cut) Read(b []byte) (int, error) {
	if c.left <= 0 {
		return 0, c.then
	}
	n, err := c.ReadCloser.Read(b[:min(int64(len(b)), c.left)])
	c.left -= int64(n)
	return n, err
}

// stalled is a body that stops after so many bytes until the client gives up.
type stalled struct {
	cut
	p   *Proxy
	ctx context.Context
}

func (s *stalled) Read(b []byte) (int, error) {
	if s.left > 0 {
		return s.cut.Read(b)
	}
	select {
	case <-s.ctx.Done():
		return 0, s.ctx.Err()
	case <-s.p.closed:
		return 0, errLost
	}
}

// holds checks the condition on a copy's destination and answers if it does not hold. The caller holds writes.
func (p *Proxy) holds(w http.ResponseWriter, r *http.Request) bool {
	head, err := http.NewRequestWithContext(r.Context(), http.MethodHead, p.upstream.String()+r.URL.EscapedPath(), nil)
	if err != nil {
		refuse(w, r, http.StatusInternalServerError, "InternalError")
		return false
	}
	p.sign(head)
	response, err := p.client.Do(head)
	if err != nil {
		refuse(w, r, http.StatusServiceUnavailable, "ServiceUnavailable")
		return false
	}
	_ = response.Body.Close() // HEAD has none
	match, there := r.Header.Get("If-Match"), response.StatusCode == http.StatusOK
	switch {
	case match != "" && !there:
		refuse(w, r, http.StatusNotFound, "NoSuchKey")
	case match != "" && match != response.Header.Get("Etag"), match == "" && there:
		refuse(w, r, http.StatusPreconditionFailed, "PreconditionFailed")
	default:
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
		p.sign(r)
		return true
	}
	return false
}
