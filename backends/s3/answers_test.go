package s3_test

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/jupyter-drive/jupyter-drive/backends/s3"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestNoAnswer says in plain words why a store does not answer, without the SDK's account of how it was asked.
func TestNoAnswer(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	abort := func(w http.ResponseWriter, _ *http.Request) bool { panic(http.ErrAbortHandler) }
	status := func(code int) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, _ *http.Request) bool { w.WriteHeader(code); return true }
	}
	silent := func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true }
	for _, tt := range []struct {
		name   string
		before func(http.ResponseWriter, *http.Request) bool
		change func(*s3.Options)
		kind   fs.Kind
		want   string
	}{
		{"nobody listens", nil, func(o *s3.Options) { o.Endpoint = "http://" + addr }, fs.Unavailable, addr + " refuses connections"},
		{"no such name", nil, func(o *s3.Options) {
			transport := s3.NewTransport(nil)
			transport.DialContext = func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "minio.example.org", IsNotFound: true}}
			}
			o.Client = &http.Client{Transport: transport}
		}, fs.Unavailable, "the name minio.example.org is not known"},
		{"ended", abort, nil, fs.Unavailable, "has broken the connection"},
		{"silence", silent, func(o *s3.Options) { o.Client = &http.Client{Timeout: 50 * time.Millisecond} }, fs.Timeout, "does not answer"},
		{"of a proxy", status(http.StatusBadGateway), nil, fs.Unavailable, "the store answers 502 Bad Gateway"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := newFake()
			f.before = tt.before
			b := open(t, f, tt.change)
			_, err := b.Stat(t.Context(), "dir/f")
			if err == nil || fs.KindOf(err) != tt.kind || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("Stat() = %v (%v), want %v and %q", err, fs.KindOf(err), tt.kind, tt.want)
			}
			for _, noise := range []string{"operation error", "RequestID", "exceeded maximum", "stat dir/f: stat"} {
				if strings.Contains(err.Error(), noise) {
					t.Errorf("Stat() = %v, which has %q", err, noise)
				}
			}
		})
	}
}

// TestMendedKeys refuses keys until they are others: these are looked up without anybody's help.
func TestMendedKeys(t *testing.T) {
	for _, code := range []string{"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied"} {
		t.Run(code, func(t *testing.T) {
			f := newFake()
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.Header.Get("Authorization"), "Credential=right/") {
					return false
				}
				reply(w, r, nil, fakeError{http.StatusForbidden, code})
				return true
			}
			key := "wrong"
			b := open(t, f, func(o *s3.Options) {
				o.Config = aws.Config{Credentials: aws.NewCredentialsCache(aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
					return aws.Credentials{AccessKeyID: key, SecretAccessKey: "secret"}, nil
				}))}
			})
			if _, err := b.List(t.Context(), "", fs.ListOptions{}); err == nil {
				t.Fatal("wrong keys are not refused")
			}
			key = "right"
			if _, err := b.List(t.Context(), "", fs.ListOptions{}); err != nil {
				t.Errorf("List() = %v with keys that are right now", err)
			}
		})
	}
}

// deaf is a transport that goes on with what was given up.
type deaf struct{ http.RoundTripper }

func (d deaf) RoundTrip(r *http.Request) (*http.Response, error) {
	return d.RoundTripper.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
}

// TestReadEndsWithItsContext gives up a read of which all has arrived.
func TestReadEndsWithItsContext(t *testing.T) {
	b := open(t, newFake(), func(o *s3.Options) { o.Client = &http.Client{Transport: deaf{s3.NewTransport(nil)}} })
	if _, err := write(t, b, "f", "some text", fs.WriteOptions{}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r, err := b.Read(ctx, "f", fs.ReadOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	cancel()
	if n, err := r.Read(make([]byte, 4)); n != 0 || fs.KindOf(err) != fs.Canceled {
		t.Errorf("Read() = %d, %v, want that it was given up", n, err)
	}
}
