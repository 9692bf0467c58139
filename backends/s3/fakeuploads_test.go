package s3_test

import (
	"crypto/md5"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (f *fake) begin(r *http.Request, key string) (any, error) {
	f.last++
	id := fmt.Sprintf("upload-%d", f.last)
	f.uploads[id] = &fakeUpload{key: key, header: kept(r.Header), parts: map[int]fakeObject{}}
	return &struct {
		XMLName xml.Name `xml:"InitiateMultipartUploadResult"`
		ID      string   `xml:"UploadId"`
	}{ID: id}, nil
}

func (f *fake) part(w http.ResponseWriter, r *http.Request, key string, q url.Values, body []byte) (any, error) {
	u := f.uploads[q.Get("uploadId")]
	if u == nil || u.key != key {
		return nil, fakeError{http.StatusNotFound, "NoSuchUpload"}
	}
	switch r.Method {
	case http.MethodDelete:
		delete(f.uploads, q.Get("uploadId"))
		w.WriteHeader(http.StatusNoContent)
		return nil, nil
	case http.MethodGet:
		return u.list(), nil
	case http.MethodPost:
		return f.complete(r, key, q.Get("uploadId"), body)
	}
	n, err := strconv.Atoi(q.Get("partNumber"))
	if err != nil {
		return nil, fakeError{http.StatusBadRequest, "InvalidArgument"}
	}
	if r.Header.Get("X-Amz-Copy-Source") == "" {
		u.parts[n] = newObject(body, nil)
		w.Header().Set("Etag", u.parts[n].etag)
		w.WriteHeader(http.StatusOK)
		return nil, nil
	}
	from, err := f.source(r)
	if err != nil {
		return nil, err
	}
	var off, end int
	if _, err := fmt.Sscanf(r.Header.Get("X-Amz-Copy-Source-Range"), "bytes=%d-%d", &off, &end); err != nil || end >= len(from.data) {
		return nil, fakeError{http.StatusBadRequest, "InvalidArgument"}
	}
	u.parts[n] = newObject(from.data[off:end+1], nil)
	return &copied{XMLName: xml.Name{Local: "CopyPartResult"}, ETag: u.parts[n].etag, LastModified: u.parts[n].modified.UTC().Format(time.RFC3339)}, nil
}

type listedPart struct {
	PartNumber, Size int
	ETag             string
}

func (u *fakeUpload) list() any {
	out := &struct {
		XMLName xml.Name `xml:"ListPartsResult"`
		Part    []listedPart
	}{}
	for _, n := range slices.Sorted(maps.Keys(u.parts)) {
		out.Part = append(out.Part, listedPart{n, len(u.parts[n].data), u.parts[n].etag})
	}
	return out
}

func (f *fake) complete(r *http.Request, key, id string, body []byte) (any, error) {
	var in struct {
		Part []listedPart
	}
	if err := xml.Unmarshal(body, &in); err != nil || len(in.Part) == 0 {
		return nil, fakeError{http.StatusBadRequest, "MalformedXML"}
	}
	if err := f.check(r.Header, key); err != nil {
		return nil, err
	}
	var data []byte
	sums := md5.New()
	for i, p := range in.Part {
		have, ok := f.uploads[id].parts[p.PartNumber]
		switch {
		case !ok || have.etag != p.ETag:
			return nil, fakeError{http.StatusBadRequest, "InvalidPart"}
		case i < len(in.Part)-1 && len(have.data) < 64<<10:
			return nil, fakeError{http.StatusBadRequest, "EntityTooSmall"}
		}
		data = append(data, have.data...)
		sum, _ := hex.DecodeString(strings.Trim(have.etag, `"`))
		sums.Write(sum)
	}
	o := newObject(data, f.uploads[id].header)
	o.etag = fmt.Sprintf(`"%x-%d"`, sums.Sum(nil), len(in.Part))
	o = f.keep(key, o)
	delete(f.uploads, id)
	return &struct {
		XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
		ETag    string
	}{ETag: f.told(o)}, nil
}

type listedUpload struct {
	Key       string
	ID        string `xml:"UploadId"`
	Initiated string
}

func (f *fake) listUploads(q url.Values) (any, error) {
	out := &struct {
		XMLName xml.Name `xml:"ListMultipartUploadsResult"`
		Upload  []listedUpload
	}{}
	for id, u := range f.uploads {
		if strings.HasPrefix(u.key, q.Get("prefix")) {
			out.Upload = append(out.Upload, listedUpload{u.key, id, time.Now().UTC().Format(time.RFC3339)})
		}
	}
	return out, nil
}
