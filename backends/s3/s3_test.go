package s3_test

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/backendtest"
	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// open returns a backend on the fake at that endpoint; change may alter the options.
func open(t *testing.T, f *fake, change func(*s3.Options)) *s3.Backend {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	o := s3.Options{Config: s3.Keys("key", "secret"), Bucket: f.bucket, Endpoint: server.URL, PathStyle: true, MaxDelay: time.Millisecond, PartSize: 64 << 10}
	if change != nil {
		change(&o)
	}
	b, err := s3.New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

// openAWS returns a backend that takes the fake for AWS: over TLS, with the bucket in the host's name and checksums in trailers.
func openAWS(t *testing.T, f *fake, change func(*s3.Options)) *s3.Backend {
	t.Helper()
	server := httptest.NewUnstartedServer(f)
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // connections that the client gives up
	server.StartTLS()
	t.Cleanup(server.Close)
	transport := s3.NewTransport(&tls.Config{InsecureSkipVerify: true})
	transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
	}
	t.Cleanup(transport.CloseIdleConnections)
	return open(t, f, func(o *s3.Options) {
		o.Endpoint, o.Region, o.PathStyle, o.Client = "", "eu-west-1", false, &http.Client{Transport: transport}
		if change != nil {
			change(o)
		}
	})
}

// contract runs the suite; each case has a fake of its own.
func contract(t *testing.T, open func(*testing.T, *fake, func(*s3.Options)) *s3.Backend, prefix string, tag func(fakeObject) string) {
	fakes := map[fs.Backend]*fake{}
	skips := map[string]string{
		"versions/read and restore": "the fake keeps no versions", "versions/of a removed file": "the fake keeps no versions",
		"versions/drop": "the fake keeps no versions", "versions/of longer names": "the fake keeps no versions",
	}
	if tag != nil {
		for _, name := range []string{"one winner if absent", "one winner if version", "counting"} {
			skips["conditions/"+name] = "without ETags conditions are advisory"
		}
	}
	backendtest.Run(t, backendtest.Options{
		New: func(t *testing.T) fs.Backend {
			f := newFake()
			f.tag = tag
			b := open(t, f, func(o *s3.Options) { o.Prefix = prefix })
			if _, err := b.Probe(t.Context()); err != nil {
				t.Fatal(err)
			}
			fakes[b] = f
			return b
		},
		Inject: func(_ *testing.T, b fs.Backend, raw string, data []byte, metadata map[string]string) {
			h := http.Header{}
			for k, v := range metadata {
				h.Set("X-Amz-Meta-"+k, v)
			}
			f := fakes[b]
			f.mu.Lock()
			defer f.mu.Unlock()
			f.keep(prefix+raw, newObject(data, h))
		},
		Skips: skips,
	})
}

func TestContract(t *testing.T)    { contract(t, open, "", nil) }
func TestContractAWS(t *testing.T) { contract(t, openAWS, "team/data/", nil) }

func write(t *testing.T, b *s3.Backend, key, data string, o fs.WriteOptions) (fs.Info, error) {
	t.Helper()
	o.Size = int64(len(data))
	return b.Put(t.Context(), key, strings.NewReader(data), o)
}

func TestProbe(t *testing.T) {
	f := newFake()
	b := openAWS(t, f, nil)
	if got := b.Caps(); got.CondWrite != fs.Advisory || got.AnyName {
		t.Errorf("caps before a probe: %+v", got)
	}
	caps, err := b.Probe(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if caps.CondWrite != fs.Atomic || caps.CondRemove != fs.Atomic || caps.CondCopy != fs.Atomic || !caps.AnyName || !caps.ListStrong || caps.Versions {
		t.Errorf("caps: %+v", caps)
	}
	if len(f.objects) != 0 {
		t.Errorf("the probe left %d objects", len(f.objects))
	}
	f.before = func(_ http.ResponseWriter, r *http.Request) bool { // as a store that knows no conditions
		r.Header.Del("If-Match")
		r.Header.Del("If-None-Match")
		return false
	}
	if caps, err = b.Probe(t.Context()); err != nil || caps.CondWrite != fs.Advisory || caps.CondRemove != fs.Advisory || caps.CondCopy != fs.Advisory {
		t.Errorf("caps of a store without conditions: %+v, %v", caps, err)
	}
}

// A copy of an object onto itself must not undo what was written meanwhile: the condition is on what is replaced too, where the store
// knows that.
func TestSetMetaIsConditional(t *testing.T) {
	for name, knows := range map[string]bool{"knows conditions of copies": true, "does not": false} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			b := openAWS(t, f, nil)
			if knows {
				if _, err := b.Probe(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			info, err := write(t, b, "f", "one", fs.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var source, target string
			f.before = func(_ http.ResponseWriter, r *http.Request) bool {
				if match := r.Header.Get("X-Amz-Copy-Source-If-Match"); match != "" {
					source, target = match, r.Header.Get("If-Match")
				}
				return false
			}
			mode := uint32(0o600)
			if _, err := b.SetMeta(t.Context(), "f", fs.MetaPatch{Mode: &mode}, fs.Cond{IfVersion: info.Version}); err != nil {
				t.Fatal(err)
			}
			if source != string(info.Version) || (target == source) != knows {
				t.Errorf("copied if the source is %s and the target %q, want %s", source, target, info.Version)
			}
		})
	}
}

// A store that ignores conditions is asked before.
func TestConditionsThatTheStoreIgnores(t *testing.T) {
	f := newFake()
	f.before = func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			r.Header.Del("If-Match")
			r.Header.Del("If-None-Match")
		}
		return false
	}
	b := open(t, f, nil)
	one, err := write(t, b, "f", "one", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
	if err != nil {
		t.Fatal(err)
	}
	want := func(what string, err error, kind fs.Kind) {
		t.Helper()
		if err == nil || fs.KindOf(err) != kind {
			t.Errorf("%s: %v, want %v", what, err, kind)
		}
	}
	_, err = write(t, b, "f", "two", fs.WriteOptions{Cond: fs.Cond{IfAbsent: true}})
	want("write if absent", err, fs.Exist)
	_, err = write(t, b, "f", "two", fs.WriteOptions{Cond: fs.Cond{IfVersion: `"stale"`}})
	want("write if version", err, fs.Conflict)
	want("remove", b.Remove(t.Context(), "f", fs.RemoveOptions{Cond: fs.Cond{IfVersion: `"stale"`}}), fs.Conflict)
	_, err = b.Copy(t.Context(), "f", "f2", fs.CopyOptions{Dst: fs.Cond{IfVersion: one.Version}})
	want("copy", err, fs.NotExist)
	_, err = b.Mkdir(t.Context(), "d", fs.Cond{})
	if err != nil {
		t.Error(err)
	}
	_, err = b.Mkdir(t.Context(), "d", fs.Cond{IfAbsent: true})
	want("mkdir", err, fs.Exist)
	if string(f.objects["f"].data) != "one" {
		t.Errorf("contents %q", f.objects["f"].data)
	}
}

func TestHeaders(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*s3.Options)
		want   map[string]string // "" = must not be there
	}{
		{"none", nil, map[string]string{"X-Amz-Request-Payer": "", "X-Amz-Server-Side-Encryption": ""}},
		{"requester pays", func(o *s3.Options) { o.RequesterPays = true }, map[string]string{"X-Amz-Request-Payer": "requester"}},
		{"managed key", func(o *s3.Options) { o.Encryption = s3.Encryption{Algorithm: "aws:kms", Key: "k1"} },
			map[string]string{"X-Amz-Server-Side-Encryption": "aws:kms", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "k1"}},
		{"customer's key", func(o *s3.Options) { o.Encryption = s3.Encryption{Customer: make([]byte, 32)} },
			map[string]string{"X-Amz-Server-Side-Encryption-Customer-Algorithm": "AES256", "X-Amz-Server-Side-Encryption-Customer-Key-Md5": "cLyPS3KoaSFGi/joRB3OUQ=="}},
		{"anonymous", func(o *s3.Options) { o.Anonymous = true }, map[string]string{"Authorization": ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			b := openAWS(t, f, tt.change)
			if _, err := write(t, b, "f", "x", fs.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			for name, want := range tt.want {
				if got := f.headers[0].Get(name); got != want {
					t.Errorf("%s: %q, want %q", name, got, want)
				}
			}
			if got := f.headers[0].Get("X-Amz-Trailer"); got != "x-amz-checksum-crc32" {
				t.Errorf("the write had no checksum: %v", f.headers[0])
			}
		})
	}
}

func TestErrors(t *testing.T) {
	for _, tt := range []struct {
		status int
		code   string
		want   fs.Kind
		hint   string
	}{
		{503, "SlowDown", fs.Throttled, ""}, {429, "", fs.Throttled, ""}, {500, "InternalError", fs.Unavailable, ""}, {502, "", fs.Unavailable, ""},
		{403, "AccessDenied", fs.Permission, "rights"}, {403, "InvalidAccessKeyId", fs.Credentials, "access key"},
		{403, "InvalidObjectState", fs.Unsupported, "archived"}, {404, "NoSuchBucket", fs.Unavailable, "bucket"},
		{404, "NoSuchKey", fs.NotExist, ""}, {400, "AuthorizationHeaderMalformed", fs.Invalid, `"eu-north-1"`}, {400, "ExpiredToken", fs.Credentials, "sign in"},
		{409, "ConditionalRequestConflict", fs.Busy, ""}, {412, "PreconditionFailed", fs.Conflict, ""}, {507, "", fs.NoSpace, ""},
		{418, "Teapot", fs.Unavailable, ""},
	} {
		t.Run(strconv.Itoa(tt.status)+" "+tt.code, func(t *testing.T) {
			f := newFake()
			b := open(t, f, nil)
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				w.Header().Set("Retry-After", "7")
				w.Header().Set("X-Amz-Bucket-Region", "eu-north-1")
				reply(w, r, nil, fakeError{tt.status, tt.code})
				return true
			}
			_, err := b.Read(t.Context(), "f", fs.ReadOptions{})
			if err == nil || fs.KindOf(err) != tt.want || !strings.Contains(err.Error(), tt.hint) {
				t.Errorf("Read() = %v (%v), want %v and %q", err, fs.KindOf(err), tt.want, tt.hint)
			}
			if got := fs.RetryAfter(err); got != 7*time.Second {
				t.Errorf("RetryAfter = %v", got)
			}
		})
	}
}

// What guards bodies on their way: AWS gets a CRC32 in a trailer, parts and all other stores a signature over the SHA-256.
func TestBodiesAreGuarded(t *testing.T) {
	const sum = "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881" // of "x"
	for name, tt := range map[string]struct {
		open func(*testing.T, *fake, func(*s3.Options)) *s3.Backend
		put  string
	}{
		"plain": {open, sum}, "AWS": {openAWS, "STREAMING-UNSIGNED-PAYLOAD-TRAILER"},
		"TLS": {func(t *testing.T, f *fake, _ func(*s3.Options)) *s3.Backend {
			return openAWS(t, f, func(o *s3.Options) { o.Endpoint, o.PathStyle = "https://store.example", true })
		}, sum},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			b := tt.open(t, f, nil)
			if _, err := write(t, b, "f", "x", fs.WriteOptions{}); err != nil {
				t.Fatal(err)
			}
			u, err := b.BeginUpload(t.Context(), "g", fs.WriteOptions{})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := b.PutPart(t.Context(), u, 1, strings.NewReader("x"), 1); err != nil {
				t.Fatal(err)
			}
			for i, want := range map[int]string{0: tt.put, 2: sum} {
				if got := f.headers[i].Get("X-Amz-Content-Sha256"); got != want {
					t.Errorf("request %d: %q, want %q", i, got, want)
				}
			}
			if algorithm := f.headers[1].Get("X-Amz-Checksum-Algorithm"); algorithm != "" {
				t.Errorf("the upload declares %q", algorithm)
			}
		})
	}
}

// Bytes that change on the way are found out, in both directions.
func TestDamage(t *testing.T) {
	f := newFake()
	b := openAWS(t, f, nil)
	if _, err := write(t, b, "f", "contents", fs.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	sum := ""
	f.before = func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || r.URL.Query().Has("list-type") {
			return false
		}
		rec := httptest.NewRecorder()
		if err := f.get(rec, r, "f"); err != nil {
			t.Error(err)
		}
		maps.Copy(w.Header(), rec.Header())
		sum = rec.Header().Get("X-Amz-Checksum-Crc32")
		_, _ = w.Write([]byte("c0ntents"))
		return true
	}
	r, err := b.Read(t.Context(), "f", fs.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for err == nil {
		_, err = r.Read(make([]byte, 100))
	}
	if fs.KindOf(err) != fs.Checksum || sum == "" {
		t.Errorf("read of damaged bytes with the sum %q: %v", sum, err)
	}
}

func TestSignURL(t *testing.T) {
	f := newFake()
	b := open(t, f, nil)
	if _, err := write(t, b, "a b+ü", "data", fs.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	url, err := b.SignURL(t.Context(), "a b+ü", "", time.Minute, `attachment; filename="x"`)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK || response.ContentLength != 4 {
		t.Errorf("GET %s: %s", url, response.Status)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]s3.Options{
		"no bucket": {Region: "x"}, "no region": {Bucket: "b"}, "no scheme": {Bucket: "b", Endpoint: "host:9000"},
		"prefix": {Bucket: "b", Region: "x", Prefix: "a//b"}, "short key": {Bucket: "b", Region: "x", Encryption: s3.Encryption{Customer: []byte("short")}},
	} {
		if _, err := s3.New(o); err == nil || fs.KindOf(err) != fs.Invalid {
			t.Errorf("%s: New() = %v", name, err)
		}
	}
}
