package s3

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// Defaults of Options.
const (
	DefaultPartSize  = 8 << 20
	DefaultCopyLimit = 5 << 30
	DefaultAttempts  = 3
)

// Options configure a Backend. Bucket is required.
type Options struct {
	// Config has credentials, and the region and endpoint of AWS where the fields below are empty.
	Config aws.Config
	Bucket string
	Prefix string // of all keys; "" = the whole bucket. A slash is added at its end.

	Endpoint  string // URL with scheme; "" = AWS
	Region    string // "" = that of Config, or with an Endpoint us-east-1
	PathStyle bool   // bucket in the path and not in the host name: most stores but AWS

	Anonymous     bool       // requests are not signed
	RequesterPays bool       // on every request
	Encryption    Encryption // of what is written; the zero value leaves it to the bucket

	// Caps is what Probe returned less than a day ago, nil if it is not known.
	Caps      *fs.Caps
	PartSize  int64         // bytes of a part that a Writer sends; 0 = DefaultPartSize
	CopyLimit int64         // bytes over which a copy is made in parts; 0 = DefaultCopyLimit
	Attempts  int           // per request; 0 = DefaultAttempts
	Client    *http.Client  // nil = one with NewTransport
	MaxDelay  time.Duration // between attempts; 0 = 5 s
	Logger    *slog.Logger  // nil = none
}

// Encryption says how the store encrypts. Only one of Key and Customer may be set.
type Encryption struct {
	Algorithm string // "AES256" or "aws:kms"; "" = as the bucket does
	Key       string // id of a KMS key
	Customer  []byte // a key of 32 bytes that the store forgets after each request
}

// Backend is a bucket or a part of one.
type Backend struct {
	opts      Options
	log       *slog.Logger
	client    *s3.Client
	transport *http.Transport // nil if the client came with the options
	caps      atomic.Pointer[fs.Caps]
}

var (
	_ fs.Backend    = (*Backend)(nil)
	_ fs.Uploads    = (*Backend)(nil)
	_ fs.Mkdirer    = (*Backend)(nil)
	_ fs.MetaSetter = (*Backend)(nil)
	_ fs.Prober     = (*Backend)(nil)
	_ fs.Rechecker  = (*Backend)(nil)
	_ fs.Versioner  = (*Backend)(nil)
	_ fs.Signer     = (*Backend)(nil)
)

// New returns a Backend, without a request to the store.
func New(o Options) (*Backend, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	o.setDefaults()
	b := &Backend{opts: o, log: o.Logger}
	if o.Client == nil {
		b.transport = NewTransport(nil)
		b.opts.Client = &http.Client{Transport: b.transport}
	}
	b.client = newClient(&b.opts)
	caps := b.unprobed()
	if o.Caps != nil {
		caps = *o.Caps
	}
	b.caps.Store(&caps)
	return b, nil
}

func (o *Options) check() error {
	invalid := func(text, hint string) error {
		return &fs.Error{Op: "s3", Path: o.Bucket, Kind: fs.Invalid, Err: errors.New(text), Hint: hint}
	}
	switch {
	case o.Bucket == "":
		return invalid("no bucket is named", "write s3://bucket or s3://bucket/prefix")
	case o.Endpoint != "" && !strings.Contains(o.Endpoint, "://"):
		return invalid("the endpoint "+o.Endpoint+" has no scheme", "write https:// before it")
	case o.Region == "" && o.Config.Region == "" && o.Endpoint == "":
		return invalid("no region is set", `set region = "eu-west-1", or whichever the bucket is in`)
	case len(o.Encryption.Customer) != 0 && len(o.Encryption.Customer) != 32:
		return invalid("a customer's key has 32 bytes", "")
	case len(o.Encryption.Customer) != 0 && o.Encryption.Key != "":
		return invalid("a KMS key and a customer's key exclude each other", "")
	}
	for name := range strings.SplitSeq(strings.TrimSuffix(o.Prefix, "/"), "/") {
		if o.Prefix != "" && fs.CheckName(name) != nil {
			return invalid("the prefix "+o.Prefix+" is no path", "")
		}
	}
	return nil
}

func (o *Options) setDefaults() {
	if o.Prefix != "" && !strings.HasSuffix(o.Prefix, "/") {
		o.Prefix += "/"
	}
	if o.PartSize == 0 {
		o.PartSize = DefaultPartSize
	}
	if o.CopyLimit == 0 {
		o.CopyLimit = DefaultCopyLimit
	}
	if o.Attempts == 0 {
		o.Attempts = DefaultAttempts
	}
	if o.MaxDelay == 0 {
		o.MaxDelay = 5 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Region == "" && o.Config.Region == "" {
		o.Region = "us-east-1" // stores other than AWS take any
	}
}

// unprobed is what every store can do, as far as we know.
func (b *Backend) unprobed() fs.Caps {
	return fs.Caps{
		CondWrite: fs.Advisory, CondRemove: fs.Advisory, CondCopy: fs.Advisory, CondMeta: fs.Advisory,
		EmptyDirs: true, ModTimeWritable: true, ListStrong: true,
		MTimePrecision: time.Nanosecond, MaxName: fs.MaxName, MaxKey: 1024, MaxSize: 50 << 40,
		PartMin: 5 << 20, PartMax: 5 << 30, MaxParts: 10_000, PreferRead: 8 << 20, PreferWrite: b.opts.PartSize,
	}
}

// Caps returns what the store can do as far as is known.
func (b *Backend) Caps() fs.Caps { return *b.caps.Load() }

// Close closes idle connections. Calls under way go on.
func (b *Backend) Close() error {
	if b.transport != nil {
		b.transport.CloseIdleConnections()
	}
	return nil
}

// SignURL returns a link with which anybody can read the file for that long; v may be one that Versions returned, or "".
func (b *Backend) SignURL(ctx context.Context, key string, v fs.Version, ttl time.Duration, disposition string) (string, error) {
	in := &s3.GetObjectInput{Bucket: &b.opts.Bucket, Key: aws.String(b.raw(key))}
	if _, id := splitVersion(v); id != "" {
		in.VersionId = &id
	}
	if disposition != "" {
		in.ResponseContentDisposition = &disposition
	}
	signed, err := s3.NewPresignClient(b.client).PresignGetObject(ctx, in, s3.WithPresignExpires(ttl))
	if err != nil {
		return "", b.fail("sign", key, err)
	}
	return signed.URL, nil
}
