package buckets

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// broken is a bucket behind a proxy.
type broken struct {
	*testing.T
	proxy *faultproxy.Proxy
	b     *s3.Backend
}

// behind returns a backend behind a proxy, below a prefix of its own, that knows its caps.
func behind(t *testing.T, server *versitygw.Server, o faultproxy.Options, change func(*s3.Options)) *broken {
	t.Helper()
	o.Upstream, o.TLS, o.AccessKey, o.SecretKey = server.URL, server.TLS(), versitygw.AccessKey, versitygw.SecretKey
	proxy := faultproxy.Run(t, o)
	options := s3.Options{
		Config: s3.Keys(versitygw.AccessKey, versitygw.SecretKey), Bucket: versitygw.Bucket, Endpoint: proxy.URL, Region: versitygw.Region,
		Prefix: strings.ReplaceAll(t.Name(), "/", "-"), PathStyle: true, PartSize: 5 << 20, MaxDelay: time.Millisecond,
	}
	if change != nil {
		change(&options)
	}
	b, err := s3.New(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := b.Probe(t.Context()); err != nil {
		t.Fatal(err)
	}
	proxy.Reset()
	return &broken{t, proxy, b}
}

func (x *broken) put(key, data string, o fs.WriteOptions) (fs.Info, error) {
	o.Size = int64(len(data))
	return x.b.Put(x.Context(), key, strings.NewReader(data), o)
}

func (x *broken) mustPut(key, data string) fs.Info {
	x.Helper()
	info, err := x.put(key, data, fs.WriteOptions{})
	if err != nil {
		x.Fatal(err)
	}
	return info
}

func (x *broken) read(ctx context.Context, key string) (string, error) {
	r, err := x.b.Read(ctx, key, fs.ReadOptions{})
	if err != nil {
		return "", err
	}
	data, err := io.ReadAll(r)
	return string(data), errors.Join(err, r.Close())
}

func (x *broken) holds(key, want string) {
	x.Helper()
	x.proxy.Break(nil)
	if got, err := x.read(x.Context(), key); err != nil || got != want {
		x.Errorf("contents of %s: %.40q, %v, want %.40q", key, got, err, want)
	}
}

func (x *broken) want(what string, err error, kind fs.Kind) {
	x.Helper()
	if err == nil || fs.KindOf(err) != kind {
		x.Errorf("%s: %v, want %v", what, err, kind)
	}
}

// first breaks the first n requests of a kind.
func first(n int64, kind string, a faultproxy.Action) func(faultproxy.Request) faultproxy.Action {
	var seen atomic.Int64
	return func(r faultproxy.Request) faultproxy.Action {
		if r.Kind == kind && seen.Add(1) <= n {
			return a
		}
		return faultproxy.Pass
	}
}

const always = 1 << 40

func TestFaults(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	for name, run := range map[string]func(x *broken){
		"lost answers": lostAnswers, "lost answer of an upload": lostComplete, "outcome unknown": outcomeUnknown,
		"throttled": throttled, "broken connections": brokenConnections, "truncated": truncated, "stalled": stalled, "requests": requests,
	} {
		t.Run(name, func(t *testing.T) { run(behind(t, server, faultproxy.Options{}, nil)) })
	}
	t.Run("expired credentials", func(t *testing.T) { expired(t, server) })
	t.Run("clock", func(t *testing.T) { clock(t, server) })
	t.Run("wrong settings", func(t *testing.T) { wrongSettings(t, server) })
}

// lostAnswers loses the answer to each kind of write, at the first attempt and at all, and the server's word for it.
func lostAnswers(x *broken) {
	for _, action := range []faultproxy.Action{faultproxy.Lose, faultproxy.LoseFail} {
		for _, n := range []int64{1, always} {
			key := fmt.Sprintf("f-%d-%d", action, n)
			x.proxy.Break(first(n, "put", action))
			one, err := x.put(key, "one", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}, WriteID: "w1"})
			if err != nil || one.WriteID != "w1" || one.Version == "" {
				x.Errorf("%s created: %+v, %v", key, one, err)
			}
			x.proxy.Break(first(n, "put", action))
			two, err := x.put(key, "two", fs.WriteOptions{Cond: fs.Cond{IfVersion: one.Version}, WriteID: "w2"})
			if err != nil || two.WriteID != "w2" || two.Version == one.Version {
				x.Errorf("%s replaced: %+v, %v", key, two, err)
			}
			x.proxy.Break(first(n, "copy", action))
			copied, err := x.b.Copy(x.Context(), key, key+"c", fs.CopyOptions{Dst: fs.Cond{IfAbsent: true}, WriteID: "w3"})
			if err != nil || copied.WriteID != "w3" {
				x.Errorf("%s copied: %+v, %v", key, copied, err)
			}
			x.holds(key, "two")
			x.holds(key+"c", "two")
			x.proxy.Break(first(1, "delete", action))
			if err := x.b.Remove(x.Context(), key, fs.RemoveOptions{Cond: fs.Cond{IfVersion: two.Version}}); err != nil && fs.KindOf(err) != fs.NotExist {
				x.Errorf("%s removed: %v", key, err)
			}
		}
	}
}

func lostComplete(x *broken) {
	data := strings.Repeat("0123456789", 600_000)
	for _, n := range []int64{1, always} {
		x.proxy.Break(first(n, "complete", faultproxy.Lose))
		w, err := x.b.Write(x.Context(), "f", fs.WriteOptions{Size: -1, WriteID: fmt.Sprint("w", n)})
		if err != nil {
			x.Fatal(err)
		}
		if _, err := io.WriteString(w, data); err != nil {
			x.Fatal(err)
		}
		if info, err := w.Commit(x.Context()); err != nil || info.Size != int64(len(data)) {
			x.Errorf("Commit() = %+v, %v", info, err)
		}
		x.holds("f", data)
	}
	if left, err := x.b.Unfinished(x.Context()); err != nil || len(left) > 0 {
		x.Errorf("left over: %+v, %v", left, err)
	}
}

// outcomeUnknown: nobody answers after the write was done. The same write with the same id settles it.
func outcomeUnknown(x *broken) {
	x.proxy.Break(func(r faultproxy.Request) faultproxy.Action {
		if r.Kind == "put" {
			return faultproxy.Lose
		}
		return faultproxy.Reset
	})
	o := fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}, WriteID: "w"}
	_, err := x.put("f", "data", o)
	x.want("write", err, fs.UnknownOutcome)
	x.proxy.Break(nil)
	if _, err := x.put("f", "data", o); err != nil {
		x.Errorf("the same write again: %v", err)
	}
	x.proxy.Break(first(always, "put", faultproxy.Lose))
	_, err = x.put("g", "data", fs.WriteOptions{})
	x.want("write without an id", err, fs.UnknownOutcome)
}

func throttled(x *broken) {
	x.mustPut("f", "data")
	for _, action := range []faultproxy.Action{faultproxy.SlowDown, faultproxy.Fail} {
		for _, kind := range []string{"get", "put", "head", "list", "copy", "delete"} {
			x.proxy.Break(first(2, kind, action))
			if _, err := x.put("g", "data", fs.WriteOptions{}); err != nil {
				x.Errorf("put: %v", err)
			}
			if _, err := x.read(x.Context(), "f"); err != nil {
				x.Errorf("read: %v", err)
			}
			if _, err := x.b.Stat(x.Context(), "f"); err != nil {
				x.Errorf("stat: %v", err)
			}
			if _, err := x.b.Copy(x.Context(), "f", "h", fs.CopyOptions{}); err != nil {
				x.Errorf("copy: %v", err)
			}
			if err := x.b.Remove(x.Context(), "h", fs.RemoveOptions{}); err != nil {
				x.Errorf("remove: %v", err)
			}
		}
	}
	x.proxy.Reset()
	x.proxy.Break(func(faultproxy.Request) faultproxy.Action { return faultproxy.SlowDown })
	_, err := x.read(x.Context(), "f")
	x.want("read", err, fs.Throttled)
	_, err = x.put("f", "new", fs.WriteOptions{WriteID: "w"})
	x.want("put", err, fs.Throttled)
	if n := x.proxy.Total(); n > 9 {
		x.Errorf("%d requests for a read and a write of a store that is busy for ever", n)
	}
	x.holds("f", "data")
}

func brokenConnections(x *broken) {
	x.mustPut("f", "data")
	for _, kind := range []string{"get", "put", "list"} {
		x.proxy.Break(first(2, kind, faultproxy.Reset))
		x.mustPut("g", "data")
		if _, err := x.read(x.Context(), "f"); err != nil {
			x.Errorf("read: %v", err)
		}
		if _, err := x.b.List(x.Context(), "", fs.ListOptions{}); err != nil {
			x.Errorf("list: %v", err)
		}
	}
	x.proxy.Break(func(faultproxy.Request) faultproxy.Action { return faultproxy.Reset })
	_, err := x.read(x.Context(), "f")
	x.want("read", err, fs.Unavailable)
	_, err = x.b.Stat(x.Context(), "f")
	x.want("stat", err, fs.Unavailable)
	_, err = x.b.Recheck(x.Context(), "f")
	x.want("recheck", err, fs.Unavailable)
}

// truncated: the answer's length is right, its body is not. What comes is an error after the right bytes, never an end.
func truncated(x *broken) {
	data := strings.Repeat("0123456789", 10_000)
	x.mustPut("f", data)
	x.proxy.Break(first(1, "get", faultproxy.Truncate))
	got, err := x.read(x.Context(), "f")
	x.want("read", err, fs.Unavailable)
	if !strings.HasPrefix(data, got) || got == data {
		x.Errorf("%d bytes came", len(got))
	}
	x.holds("f", data)
}

// stalled: a body stops. The reader's context ends it.
func stalled(x *broken) {
	x.mustPut("f", strings.Repeat("0123456789", 10_000))
	x.proxy.Break(first(1, "get", faultproxy.Stall))
	ctx, cancel := context.WithCancelCause(x.Context())
	r, err := x.b.Read(ctx, "f", fs.ReadOptions{})
	if err != nil {
		x.Fatal(err)
	}
	defer r.Close()
	if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
		x.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, func() { cancel(nil) })
	_, err = io.Copy(io.Discard, r)
	x.want("read", err, fs.Canceled)
}

// requests are what each call costs.
func requests(x *broken) {
	ctx := x.Context()
	info := x.mustPut("d/f", "data")
	for _, tt := range []struct {
		name string
		run  func() error
		want map[string]int
	}{
		{"put", func() error {
			_, err := x.put("d/g", "data", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}, WriteID: "w"})
			return err
		}, map[string]int{"put": 1}},
		{"put if version", func() error {
			_, err := x.put("d/f", "data", fs.WriteOptions{Cond: fs.Cond{IfVersion: info.Version}})
			return err
		}, map[string]int{"put": 1}},
		{"read", func() error { _, err := x.read(ctx, "d/f"); return err }, map[string]int{"get": 1}},
		{"stat", func() error { _, err := x.b.Stat(ctx, "d/f"); return err }, map[string]int{"head": 1, "list": 1}},
		{"recheck", func() error { _, err := x.b.Recheck(ctx, "d/f"); return err }, map[string]int{"head": 1}},
		{"list", func() error { _, err := x.b.List(ctx, "d", fs.ListOptions{}); return err }, map[string]int{"list": 1}},
		{"mkdir", func() error { _, err := x.b.Mkdir(ctx, "e", fs.Cond{}); return err }, map[string]int{"put": 1}},
		{"copy", func() error { _, err := x.b.Copy(ctx, "d/f", "d/h", fs.CopyOptions{}); return err }, map[string]int{"head": 1, "copy": 1}},
		{"remove", func() error { return x.b.Remove(ctx, "d/h", fs.RemoveOptions{}) }, map[string]int{"delete": 1}},
		{"remove if version", func() error { return x.b.Remove(ctx, "d/f", fs.RemoveOptions{Cond: fs.Cond{IfVersion: info.Version}}) }, map[string]int{"delete": 1}},
	} {
		x.proxy.Reset()
		if err := tt.run(); err != nil {
			x.Errorf("%s: %v", tt.name, err)
		}
		if got := x.proxy.Counts(); !maps.Equal(got, tt.want) {
			x.Errorf("%s takes %v, want %v", tt.name, got, tt.want)
		}
	}
	x.proxy.Reset()
	caps, err := x.b.Probe(ctx)
	if err != nil || x.proxy.Total() > 8 {
		x.Errorf("a probe takes %v (%v), want 8 at most", x.proxy.Counts(), err)
	}
	if caps.CondWrite != fs.Atomic || caps.CondCopy != fs.Atomic || caps.CondRemove != fs.Atomic || caps.CondMeta != fs.Atomic {
		x.Errorf("caps behind a proxy that keeps all conditions: %+v", caps)
	}
}

// expired: the store refuses credentials. If they come from a cache, it is emptied and asked again.
func expired(t *testing.T, server *versitygw.Server) {
	var asked atomic.Int64
	provider := aws.CredentialsProviderFunc(func(ctx context.Context) (aws.Credentials, error) {
		asked.Add(1)
		return s3.Keys(versitygw.AccessKey, versitygw.SecretKey).Credentials.Retrieve(ctx)
	})
	x := behind(t, server, faultproxy.Options{}, func(o *s3.Options) { o.Config.Credentials = aws.NewCredentialsCache(provider) })
	before := asked.Load()
	x.proxy.Break(first(1, "put", faultproxy.Expired))
	x.mustPut("f", "data")
	if got := asked.Load() - before; got != 1 {
		t.Errorf("asked %d times for new credentials, want once", got)
	}
	x.proxy.Break(first(1, "head", faultproxy.Expired)) // the answer to HEAD has no body that tells the reason
	if _, err := x.b.Recheck(t.Context(), "f"); err != nil {
		t.Errorf("HEAD with expired credentials: %v", err)
	}
	x.proxy.Break(func(faultproxy.Request) faultproxy.Action { return faultproxy.Expired })
	_, err := x.b.Stat(t.Context(), "f")
	x.want("stat", err, fs.Credentials)
	x.proxy.Reset()
	x.proxy.Break(first(always, "get", faultproxy.Expired))
	_, err = x.read(t.Context(), "f")
	x.want("read", err, fs.Credentials)
	if n := x.proxy.Total(); n > s3.DefaultAttempts {
		t.Errorf("%d requests with credentials that are no good", n)
	}
	y := behind(t, server, faultproxy.Options{}, nil)
	y.proxy.Break(first(1, "put", faultproxy.Expired))
	_, err = y.put("f", "data", fs.WriteOptions{})
	y.want("put with credentials that do not change", err, fs.Credentials)
}

// clock: the server's clock seems to be off by 20 minutes.
func clock(t *testing.T, server *versitygw.Server) {
	for _, skew := range []time.Duration{20 * time.Minute, -20 * time.Minute} {
		x := behind(t, server, faultproxy.Options{Skew: skew}, nil)
		x.mustPut("f", "data")
		x.holds("f", "data")
		if n := x.proxy.Total(); n > 4 {
			t.Errorf("%d requests for a write and a read: the skew is not remembered", n)
		}
	}
}

func wrongSettings(t *testing.T, server *versitygw.Server) {
	open := func(change func(*s3.Options)) *broken {
		o := s3.Options{Config: s3.Keys(versitygw.AccessKey, versitygw.SecretKey), Bucket: versitygw.Bucket, Endpoint: server.URL, PathStyle: true, Region: versitygw.Region}
		change(&o)
		b, err := s3.New(o)
		if err != nil {
			t.Fatal(err)
		}
		return &broken{T: t, b: b}
	}
	x := open(func(o *s3.Options) { o.Bucket = "no-such-bucket" })
	for what, call := range map[string]func() error{
		"stat":    func() error { _, err := x.b.Stat(t.Context(), "f"); return err },
		"recheck": func() error { _, err := x.b.Recheck(t.Context(), "f"); return err },
		"list":    func() error { _, err := x.b.List(t.Context(), "d", fs.ListOptions{}); return err },
		"read":    func() error { _, err := x.b.Read(t.Context(), "f", fs.ReadOptions{}); return err },
		"write":   func() error { _, err := x.put("f", "x", fs.WriteOptions{}); return err },
		"probe":   func() error { _, err := x.b.Probe(t.Context()); return err },
	} {
		x.want(what+" in a bucket that is not there", call(), fs.Unavailable)
	}
	x = open(func(o *s3.Options) { o.Config = s3.Keys(versitygw.AccessKey, "wrong") })
	_, err := x.b.List(t.Context(), "", fs.ListOptions{})
	x.want("a wrong secret", err, fs.Credentials)
	x = open(func(o *s3.Options) { o.Config = s3.Keys("wrong", versitygw.SecretKey) })
	_, err = x.b.List(t.Context(), "", fs.ListOptions{})
	x.want("a wrong key", err, fs.Credentials)
	x = open(func(o *s3.Options) { o.Anonymous = true })
	_, err = x.b.List(t.Context(), "", fs.ListOptions{})
	x.want("nobody", err, fs.Permission)
	x = open(func(o *s3.Options) { o.Endpoint = "http://127.0.0.1:1" })
	_, err = x.b.List(t.Context(), "", fs.ListOptions{})
	x.want("no server", err, fs.Unavailable)
	if _, err := s3.New(s3.Options{Bucket: "b", Endpoint: "127.0.0.1:9000"}); err == nil {
		t.Error("an endpoint without scheme is taken")
	}
}
