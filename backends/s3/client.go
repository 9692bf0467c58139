package s3

import (
	"context"
	"crypto/md5"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// NewTransport returns a transport for many parallel requests to one store: HTTP/1.1, as each connection has a window of its own,
// and bodies as they are. config may be nil.
func NewTransport(config *tls.Config) *http.Transport {
	if config == nil {
		config = &tls.Config{}
	}
	config = config.Clone()
	config.NextProtos = []string{"http/1.1"}
	if config.ClientSessionCache == nil {
		config.ClientSessionCache = tls.NewLRUClientSessionCache(256)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           dialer.DialContext,
		TLSClientConfig:       config,
		TLSNextProto:          map[string]func(string, *tls.Conn) http.RoundTripper{},
		TLSHandshakeTimeout:   10 * time.Second,
		MaxIdleConnsPerHost:   256,
		MaxConnsPerHost:       256,
		IdleConnTimeout:       55 * time.Second, // before stores end them
		ResponseHeaderTimeout: time.Minute,      // a store may copy gigabytes before it answers
		ExpectContinueTimeout: time.Second,
		DisableCompression:    true,
		ReadBufferSize:        64 << 10,
		WriteBufferSize:       64 << 10,
	}
}

// Keys returns a Config with credentials that do not change.
func Keys(access, secret string) aws.Config {
	return aws.Config{Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: access, SecretAccessKey: secret, Source: "jupyter-drive"}, nil
	})}
}

func newClient(o *Options) *s3.Client {
	cfg := o.Config.Copy()
	cfg.HTTPClient = o.Client
	cfg.Logger = nil
	if o.Region != "" {
		cfg.Region = o.Region
	}
	if o.Anonymous {
		cfg.Credentials = aws.AnonymousCredentials{}
	}
	cache, _ := cfg.Credentials.(*aws.CredentialsCache)
	cfg.Retryer = func() aws.Retryer { return newRetryer(o, cache) }
	return s3.NewFromConfig(cfg, func(so *s3.Options) {
		so.UsePathStyle = o.PathStyle
		so.DisableLogOutputChecksumValidationSkipped = true
		if o.Endpoint != "" {
			so.BaseEndpoint = &o.Endpoint
		}
		so.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenSupported
		so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenSupported
		if so.BaseEndpoint != nil { // checksums in trailers are refused by many stores but AWS
			signedBody(so)
			so.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
		}
		so.APIOptions = append(so.APIOptions, o.addHeaders)
	})
}

// signedBody guards what is sent by its signature alone, which then covers the body's SHA-256, also over TLS.
func signedBody(o *s3.Options) {
	o.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		sum := &v4.ComputePayloadSHA256{}
		if _, ok := stack.Finalize.Get(sum.ID()); !ok {
			return nil
		}
		if name := stack.ID(); name != "PutObject" && name != "UploadPart" {
			return nil
		}
		_, err := stack.Finalize.Swap(sum.ID(), sum)
		return err
	})
}

// retryer is the SDK's, and has credentials looked up anew once those in use have expired or are refused.
type retryer struct {
	aws.RetryerV2
	cache *aws.CredentialsCache // nil = credentials that do not change
}

func newRetryer(o *Options, cache *aws.CredentialsCache) aws.Retryer {
	return &retryer{cache: cache, RetryerV2: retry.NewStandard(func(so *retry.StandardOptions) {
		so.MaxAttempts = o.Attempts
		so.MaxBackoff = o.MaxDelay
		so.RateLimiter = unlimited{}
	})}
}

// IsErrorRetryable says so too of credentials that have expired, if there may be new ones. Those that are refused are for another
// request to look up: whoever mends them takes a while.
func (r *retryer) IsErrorRetryable(err error) bool {
	if r.cache == nil {
		return r.RetryerV2.IsErrorRetryable(err)
	}
	switch kind, code := kindOf(err), codeOf(err); {
	case code == "ExpiredToken", code == "ExpiredTokenException":
		r.cache.Invalidate()
		return true
	case kind == fs.Credentials, kind == fs.Permission:
		r.cache.Invalidate()
	}
	return r.RetryerV2.IsErrorRetryable(err)
}

// codeOf returns the store's code of an error, "" if it has none.
func codeOf(err error) string {
	if api, ok := errors.AsType[smithy.APIError](err); ok {
		return api.ErrorCode()
	}
	return ""
}

// unlimited lets every request have its attempts: how fast is decided above, where it is known what a request is for.
type unlimited struct{}

// GetToken takes nothing.
func (unlimited) GetToken(context.Context, uint) (func() error, error) {
	return func() error { return nil }, nil
}

// AddTokens gives nothing.
func (unlimited) AddTokens(uint) error { return nil }

// addHeaders puts what the options ask for on each request, before it is signed.
func (o *Options) addHeaders(stack *middleware.Stack) error {
	return stack.Build.Add(middleware.BuildMiddlewareFunc("jupyter-drive headers",
		func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			if req, ok := in.Request.(*smithyhttp.Request); ok {
				for name, value := range o.headers(awsmiddleware.GetOperationName(ctx)) {
					req.Header.Set(name, value)
				}
			}
			return next.HandleBuild(ctx, in)
		}), middleware.After)
}

// headers returns what the options add to an operation of that name.
func (o *Options) headers(operation string) map[string]string {
	h := map[string]string{}
	if o.RequesterPays {
		h["X-Amz-Request-Payer"] = "requester"
	}
	e := o.Encryption
	switch operation {
	case "PutObject", "CopyObject", "CreateMultipartUpload":
		if e.Algorithm != "" {
			h["X-Amz-Server-Side-Encryption"] = e.Algorithm
		}
		if e.Key != "" {
			h["X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"] = e.Key
		}
	}
	if len(e.Customer) == 0 {
		return h
	}
	switch operation {
	case "CopyObject", "UploadPartCopy":
		customerKey(h, "X-Amz-Copy-Source-Server-Side-Encryption-Customer-", e.Customer)
		customerKey(h, "X-Amz-Server-Side-Encryption-Customer-", e.Customer)
	case "PutObject", "GetObject", "HeadObject", "CreateMultipartUpload", "UploadPart", "ListParts", "CompleteMultipartUpload":
		customerKey(h, "X-Amz-Server-Side-Encryption-Customer-", e.Customer)
	}
	return h
}

func customerKey(h map[string]string, prefix string, key []byte) {
	sum := md5.Sum(key)
	h[prefix+"Algorithm"] = "AES256"
	h[prefix+"Key"] = base64.StdEncoding.EncodeToString(key)
	h[prefix+"Key-Md5"] = base64.StdEncoding.EncodeToString(sum[:])
}
