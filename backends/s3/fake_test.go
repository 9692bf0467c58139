package s3_test

import (
	"bufio"
	"bytes"
	"crypto/md5"
	"encoding/base64"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// fake is a store as AWS describes its own, as far as a drive needs it: flat keys, url encoding, conditions on all writes, checksums
// in trailers. It checks no signatures.
type fake struct {
	bucket string
	// before sees each request, and answers it itself if it returns true.
	before func(w http.ResponseWriter, r *http.Request) bool
	// tag returns the ETag that is told; nil = a good one. No condition matches another one.
	tag func(o fakeObject) string

	mu      sync.Mutex // guards all below
	objects map[string]fakeObject
	uploads map[string]*fakeUpload
	last    int
	clock   time.Time     // of the newest object, where tag is set: each has a second of its own
	headers []http.Header // of all requests that write
}

type fakeObject struct {
	data     []byte
	header   http.Header // Content-Type and X-Amz-Meta-*
	etag     string
	modified time.Time
}

type fakeUpload struct {
	key    string
	header http.Header
	parts  map[int]fakeObject
}

func newFake() *fake {
	return &fake{bucket: "bucket", objects: map[string]fakeObject{}, uploads: map[string]*fakeUpload{}}
}

// fakeError is an error of the protocol.
type fakeError struct {
	status int
	code   string
}

func (e fakeError) Error() string { return e.code }

func (f *fake) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if f.before != nil && f.before(w, r) {
		return
	}
	key := strings.TrimPrefix(r.URL.Path, "/")
	if !strings.HasPrefix(r.Host, f.bucket+".") {
		var bucket string
		if bucket, key, _ = strings.Cut(key, "/"); bucket != f.bucket {
			reply(w, r, nil, fakeError{http.StatusNotFound, "NoSuchBucket"})
			return
		}
	}
	body, err := readBody(r)
	if err != nil {
		reply(w, r, nil, err)
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	out, err := f.answer(w, r, key, body)
	if out != nil || err != nil {
		reply(w, r, out, err)
	}
}

// readBody takes a body out of its chunks and checks the sum that trails it or comes with it.
func readBody(r *http.Request) ([]byte, error) {
	data, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fakeError{http.StatusBadRequest, "IncompleteBody"}
	}
	sum := r.Header.Get("X-Amz-Checksum-Crc32")
	if strings.HasPrefix(r.Header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		if data, sum, err = unchunk(data); err != nil {
			return nil, err
		}
	}
	if want := base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(data))); sum != "" && sum != want {
		return nil, fakeError{http.StatusBadRequest, "BadDigest"}
	}
	if md := r.Header.Get("Content-Md5"); md != "" {
		if got := md5.Sum(data); md != base64.StdEncoding.EncodeToString(got[:]) {
			return nil, fakeError{http.StatusBadRequest, "BadDigest"}
		}
	}
	return data, nil
}

func unchunk(raw []byte) (data []byte, sum string, err error) {
	in := bufio.NewReader(bytes.NewReader(raw))
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return nil, "", fakeError{http.StatusBadRequest, "IncompleteBody"}
		}
		size, err := strconv.ParseInt(strings.TrimSpace(strings.Split(line, ";")[0]), 16, 63)
		if err != nil {
			return nil, "", fakeError{http.StatusBadRequest, "InvalidChunkSizeError"}
		}
		if size == 0 {
			break
		}
		chunk := make([]byte, size+2)
		if _, err := io.ReadFull(in, chunk); err != nil {
			return nil, "", fakeError{http.StatusBadRequest, "IncompleteBody"}
		}
		data = append(data, chunk[:size]...)
	}
	trailers, _ := io.ReadAll(in)
	_, sum, _ = strings.Cut(string(trailers), "x-amz-checksum-crc32:")
	return data, strings.TrimSpace(strings.Split(sum, "\r")[0]), nil
}

// answer returns what is to be sent as XML; nil if it has answered itself.
func (f *fake) answer(w http.ResponseWriter, r *http.Request, key string, body []byte) (any, error) {
	q := r.URL.Query()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		f.headers = append(f.headers, r.Header.Clone())
	}
	switch {
	case key == "" && q.Has("versioning"):
		return &struct {
			XMLName xml.Name `xml:"VersioningConfiguration"`
		}{}, nil
	case key == "" && q.Has("uploads"):
		return f.listUploads(q)
	case key == "":
		return f.list(q)
	case q.Has("uploads"):
		return f.begin(r, key)
	case q.Has("uploadId"):
		return f.part(w, r, key, q, body)
	}
	switch r.Method {
	case http.MethodPut:
		return f.put(w, r, key, body)
	case http.MethodDelete:
		if match := r.Header.Get("If-Match"); match != "" {
			if err := f.check(r.Header, key); err != nil {
				return nil, err
			}
		}
		delete(f.objects, key)
		w.WriteHeader(http.StatusNoContent)
		return nil, nil
	}
	return nil, f.get(w, r, key)
}

func reply(w http.ResponseWriter, r *http.Request, out any, err error) {
	status := http.StatusOK
	if e, ok := errors.AsType[fakeError](err); ok {
		status = e.status
		out = &struct {
			XMLName xml.Name `xml:"Error"`
			Code    string
			Message string
		}{Code: e.code, Message: "told by the fake"}
	}
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_ = xml.NewEncoder(w).Encode(out)
	}
}

// check looks at the conditions of a write.
func (f *fake) check(h http.Header, key string) error {
	now, there := f.objects[key]
	match := h.Get("If-Match")
	switch {
	case h.Get("If-None-Match") == "*" && there:
		return fakeError{http.StatusPreconditionFailed, "PreconditionFailed"}
	case match != "" && !there:
		return fakeError{http.StatusNotFound, "NoSuchKey"}
	case match != "" && (f.tag != nil || match != now.etag):
		return fakeError{http.StatusPreconditionFailed, "PreconditionFailed"}
	}
	return nil
}

// told returns the ETag that the store tells of an object.
func (f *fake) told(o fakeObject) string {
	if f.tag != nil {
		return f.tag(o)
	}
	return o.etag
}

// keep stores an object.
func (f *fake) keep(key string, o fakeObject) fakeObject {
	if f.tag != nil {
		f.clock = f.clock.Add(time.Second)
		if f.clock.Before(o.modified) {
			f.clock = o.modified
		}
		o.modified = f.clock
	}
	f.objects[key] = o
	return o
}

func setTag(h http.Header, tag string) {
	if tag != "" {
		h.Set("Etag", tag)
	}
}

func kept(h http.Header) http.Header {
	out := http.Header{}
	for name, values := range h {
		if name == "Content-Type" || strings.HasPrefix(name, "X-Amz-Meta-") {
			out[name] = values
		}
	}
	return out
}

func newObject(data []byte, h http.Header) fakeObject {
	return fakeObject{data: data, header: h, etag: fmt.Sprintf(`"%x"`, md5.Sum(data)), modified: time.Now().Truncate(time.Second)}
}

// source finds what a copy reads.
func (f *fake) source(r *http.Request) (fakeObject, error) {
	path, err := url.PathUnescape(r.Header.Get("X-Amz-Copy-Source"))
	_, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if err != nil || !ok {
		return fakeObject{}, fakeError{http.StatusBadRequest, "InvalidArgument"}
	}
	o, there := f.objects[key]
	switch match := r.Header.Get("X-Amz-Copy-Source-If-Match"); {
	case !there:
		return fakeObject{}, fakeError{http.StatusNotFound, "NoSuchKey"}
	case match != "" && (f.tag != nil || match != o.etag):
		return fakeObject{}, fakeError{http.StatusPreconditionFailed, "PreconditionFailed"}
	}
	return o, nil
}

// copied is the answer to a copy.
type copied struct {
	XMLName      xml.Name
	ETag         string
	LastModified string
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, key string, body []byte) (any, error) {
	if len(key) > 1024 {
		return nil, fakeError{http.StatusBadRequest, "KeyTooLongError"}
	}
	var from fakeObject
	var err error
	copies := r.Header.Get("X-Amz-Copy-Source") != ""
	if copies {
		if from, err = f.source(r); err != nil {
			return nil, err
		}
		body = from.data
	}
	if err := f.check(r.Header, key); err != nil {
		return nil, err
	}
	o := newObject(body, kept(r.Header))
	if copies && r.Header.Get("X-Amz-Metadata-Directive") != "REPLACE" {
		o.header = from.header
	}
	o = f.keep(key, o)
	if copies {
		return &copied{XMLName: xml.Name{Local: "CopyObjectResult"}, ETag: f.told(o), LastModified: o.modified.UTC().Format(time.RFC3339)}, nil
	}
	setTag(w.Header(), f.told(o))
	w.WriteHeader(http.StatusOK)
	return nil, nil
}

func (f *fake) get(w http.ResponseWriter, r *http.Request, key string) error {
	o, there := f.objects[key]
	if !there {
		return fakeError{http.StatusNotFound, "NoSuchKey"}
	}
	if match := r.Header.Get("If-Match"); match != "" && (f.tag != nil || match != o.etag) {
		return fakeError{http.StatusPreconditionFailed, "PreconditionFailed"}
	}
	maps.Copy(w.Header(), o.header)
	setTag(w.Header(), f.told(o))
	w.Header().Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
	data, status := o.data, http.StatusOK
	if ranged := r.Header.Get("Range"); ranged != "" {
		var off, end int64
		n, _ := fmt.Sscanf(ranged, "bytes=%d-%d", &off, &end)
		if n < 2 || end >= int64(len(data)) {
			end = int64(len(data)) - 1
		}
		if off >= int64(len(data)) {
			return fakeError{http.StatusRequestedRangeNotSatisfiable, "InvalidRange"}
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", off, end, len(data)))
		data, status = data[off:end+1], http.StatusPartialContent
	} else if r.Header.Get("X-Amz-Checksum-Mode") == "ENABLED" {
		w.Header().Set("X-Amz-Checksum-Crc32", base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint32(nil, crc32.ChecksumIEEE(o.data))))
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(data)
	}
	return nil
}

// listed is the answer to a listing.
type listed struct {
	XMLName               xml.Name `xml:"ListBucketResult"`
	EncodingType          string   `xml:",omitempty"`
	IsTruncated           bool
	NextContinuationToken string `xml:",omitempty"`
	Contents              []listedObject
	CommonPrefixes        []struct{ Prefix string }
}

type listedObject struct {
	Key          string
	ETag         string `xml:",omitempty"`
	LastModified string
	Size         int
}

func (f *fake) list(q url.Values) (any, error) {
	limit, err := strconv.Atoi(q.Get("max-keys"))
	if err != nil || limit > 1000 {
		limit = 1000
	}
	encode := func(s string) string { return s }
	out := &listed{EncodingType: q.Get("encoding-type")}
	if out.EncodingType == "url" {
		encode = url.QueryEscape
	}
	var keys []string
	for key := range f.objects {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	prefix, after, last := q.Get("prefix"), q.Get("continuation-token"), ""
	for _, key := range keys {
		rest, in := strings.CutPrefix(key, prefix)
		if !in || key <= after || after != prefix && strings.HasSuffix(after, "/") && strings.HasPrefix(key, after) {
			continue
		}
		entry := key
		if i := strings.Index(rest, "/"); i >= 0 && q.Get("delimiter") == "/" {
			entry = prefix + rest[:i+1]
		}
		if entry == last {
			continue
		}
		if len(out.Contents)+len(out.CommonPrefixes) == limit {
			out.IsTruncated, out.NextContinuationToken = true, last
			break
		}
		last = entry
		if entry != key || strings.HasSuffix(key, "/") && key != prefix && q.Get("delimiter") == "/" {
			out.CommonPrefixes = append(out.CommonPrefixes, struct{ Prefix string }{encode(entry)})
			continue
		}
		o := f.objects[key]
		out.Contents = append(out.Contents, listedObject{encode(key), f.told(o), o.modified.UTC().Format(time.RFC3339), len(o.data)})
	}
	return out, nil
}
