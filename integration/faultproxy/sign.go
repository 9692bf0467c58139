package faultproxy

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// amzDate is the form of a time in signatures.
const amzDate = "20060102T150405Z"

// region is what signatures are made for: test servers know one.
const region = "us-east-1"

// tolerance is how far apart clocks may be.
const tolerance = 15 * time.Minute

// emptySum is the SHA-256 of nothing.
const emptySum = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"

// skewed reports whether a request was signed by a clock that is too far from the one that the server seems to have.
func (p *Proxy) skewed(r *http.Request) bool {
	signed, err := time.Parse(amzDate, r.Header.Get("X-Amz-Date"))
	if p.opts.Skew == 0 || err != nil {
		return false
	}
	return time.Until(signed.Add(-p.opts.Skew)).Abs() > tolerance
}

// sign signs a request anew by the clock that the server has (signature version 4), with what it says of its body.
func (p *Proxy) sign(r *http.Request) {
	now := time.Now().UTC().Format(amzDate)
	r.Header.Set("X-Amz-Date", now)
	if r.Header.Get("X-Amz-Content-Sha256") == "" {
		r.Header.Set("X-Amz-Content-Sha256", emptySum)
	}
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	names := []string{"host"}
	values := map[string]string{"host": host}
	for name := range r.Header {
		if lower := strings.ToLower(name); strings.HasPrefix(lower, "x-amz-") {
			names = append(names, lower)
			values[lower] = strings.TrimSpace(strings.Join(r.Header.Values(name), ","))
		}
	}
	slices.Sort(names)
	var headers strings.Builder
	for _, name := range names {
		headers.WriteString(name + ":" + values[name] + "\n")
	}
	signed := strings.Join(names, ";")
	request := strings.Join([]string{r.Method, canonicalPath(r.URL), canonicalQuery(r.URL), headers.String(), signed, values["x-amz-content-sha256"]}, "\n")
	sum := sha256.Sum256([]byte(request))
	scope := now[:8] + "/" + region + "/s3/aws4_request"
	key := []byte("AWS4" + p.opts.SecretKey)
	for _, part := range []string{now[:8], region, "s3", "aws4_request", "AWS4-HMAC-SHA256\n" + now + "\n" + scope + "\n" + hex.EncodeToString(sum[:])} {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(part)) // a hash never fails
		key = mac.Sum(nil)
	}
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential="+p.opts.AccessKey+"/"+scope+", SignedHeaders="+signed+", Signature="+hex.EncodeToString(key))
}

// Do signs a request and sends it as it is: to the proxy itself, or past it to the server. A body is to be declared UNSIGNED-PAYLOAD in
// X-Amz-Content-Sha256.
func (p *Proxy) Do(r *http.Request) (*http.Response, error) {
	p.sign(r)
	return p.client.Do(r)
}

func canonicalPath(u *url.URL) string { return escape(u.Path, true) }

func canonicalQuery(u *url.URL) string {
	var pairs []string
	for name, values := range u.Query() {
		for _, value := range values {
			pairs = append(pairs, escape(name, false)+"="+escape(value, false))
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// escape encodes all but letters, digits and "-._~", and slashes if they are to be kept.
func escape(s string, slashes bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || c == '/' && slashes {
			b.WriteByte(c)
		} else {
			b.WriteString(string([]byte{'%', digits[c>>4], digits[c&15]}))
		}
	}
	return b.String()
}
