package jupyterapi

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// FuzzSplitObject compares the scanner with encoding/json.
func FuzzSplitObject(f *testing.F) {
	for _, seed := range []string{`{}`, `{"a":1,"b":{"c":[1,2]}}`, ` { "a" : "x\"y" , "a":null } `, `{"a":1}x`, `{"a"`, `[]`, `{"a":1,}`, `{,}`, `{"\u0061":[}`, `{1:2}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		members, err := splitObject(data)
		var want map[string]json.RawMessage
		if wantErr := json.Unmarshal(data, &want); wantErr != nil || want == nil {
			// The scanner checks the outline only: whoever decodes a member finds the rest.
			for _, raw := range members {
				if err == nil && !json.Valid(raw) {
					return
				}
			}
			if err == nil && utf8.Valid(data) && json.Valid(data) {
				t.Errorf("splitObject(%q) succeeds, encoding/json says %v", data, wantErr)
			}
			return
		}
		if err != nil {
			if !strings.Contains(err.Error(), "nested") {
				t.Fatalf("splitObject(%q) = %v, want %d members", data, err, len(want))
			}
			return
		}
		if len(members) != len(want) {
			t.Fatalf("splitObject(%q) = %q, want %q", data, members, want)
		}
		for key, raw := range want {
			if !bytes.Equal(bytes.TrimSpace(raw), members[key]) {
				t.Errorf("splitObject(%q)[%q] = %q, want %q", data, key, members[key], raw)
			}
		}
	})
}

// FuzzStrings checks that what is written as a JSON string reads back the same, cut anywhere.
func FuzzStrings(f *testing.F) {
	for _, seed := range []string{"", "a\"\\\n\r\t\x00\x1f\x7f", "é\u2028😀", "\xff"} {
		f.Add(seed, 1)
	}
	f.Fuzz(func(t *testing.T, s string, cut int) {
		var back string
		if err := json.Unmarshal(appendString(nil, s), &back); err != nil {
			t.Fatalf("appendString(%q) is not JSON: %v", s, err)
		}
		if want := strings.ToValidUTF8(s, "\ufffd"); back != want && utf8.ValidString(s) {
			t.Errorf("appendString(%q) reads back %q", s, back)
		}
		if !utf8.ValidString(s) {
			return
		}
		cut = min(max(cut, 0), len(s))
		parts := append(appendEscaped([]byte{'"'}, []byte(s[:cut])), appendEscaped(nil, []byte(s[cut:]))...)
		if err := json.Unmarshal(append(parts, '"'), &back); err != nil || back != s {
			t.Errorf("in two parts %q reads back %q, %v", s, back, err)
		}
		if ok, err := isUTF8(strings.NewReader(s)); err != nil || !ok {
			t.Errorf("isUTF8(%q) = %v, %v", s, ok, err)
		}
	})
}

// FuzzSend checks the streams of text and base64.
func FuzzSend(f *testing.F) {
	f.Add([]byte("hello"))
	f.Add(bytes.Repeat([]byte{0xff, 0}, 100))
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		out.WriteByte('"')
		if err := sendBase64(&out, bytes.NewReader(data)); err != nil {
			t.Fatal(err)
		}
		out.WriteByte('"')
		var text string
		if err := json.Unmarshal(out.Bytes(), &text); err != nil {
			t.Fatalf("sendBase64(%q) is not JSON: %v", data, err)
		}
		back, err := decodeBase64(text)
		if err != nil || !bytes.Equal(back, data) {
			t.Errorf("sendBase64(%q) reads back %q, %v", data, back, err)
		}
		if loose, err := base64.StdEncoding.DecodeString(strings.ReplaceAll(text, "\n", "")); err != nil || !bytes.Equal(loose, data) {
			t.Errorf("base64 of %q = %q", data, text)
		}
	})
}

// FuzzRequests sends any method, path, headers and body to a server: no answer is a 500, and nothing outside is read.
func FuzzRequests(f *testing.F) {
	s := newSite(f, siteOptions{})
	furnish(s)
	for _, seed := range [][4]string{
		{"GET", "/api/contents/a.txt?hash=1", "Range", "bytes=0-1"}, {"GET", "/files/a.txt", "Range", "bytes=1-,0-0"},
		{"PUT", "/api/contents/u", "If-Match", `"x"`}, {"GET", "/files/%2e%2e/x", "Cookie", "username-x=1"},
		{"POST", "/api/sessions", "Authorization", "token x"}, {"GET", "/api/me?permissions={}", "Origin", "null"},
		{"POST", "/login", "Cookie", "_xsrf=1"}, {"GET", "//x/", "Host", "y"}, {"PATCH", "/api/contents/a.txt", "Accept-Encoding", "gzip;q=1"},
	} {
		f.Add(seed[0], seed[1], seed[2], seed[3], []byte(`{"path":"b","type":"file","format":"text","content":"x","chunk":1}`))
	}
	f.Fuzz(func(t *testing.T, method, target, header, value string, body []byte) {
		u, err := url.ParseRequestURI(target)
		if err != nil || !strings.HasPrefix(target, "/") || method == "" || strings.ContainsAny(method, " \r\n") {
			return
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", bytes.NewReader(body))
		r.Method, r.URL, r.Host, r.RequestURI = method, u, "localhost", target
		r.Header.Set("Authorization", "token "+adaToken)
		r.Header[http.CanonicalHeaderKey(header)] = []string{value}
		w := httptest.NewRecorder()
		s.api.serve(w, r)
		if w.Code >= 500 && w.Code != http.StatusNotImplemented {
			t.Errorf("%s %q with %s: %q and %q = %d %s", method, target, header, value, body, w.Code, w.Body)
		}
		if loc := w.Header().Get("Location"); loc != "" && (!strings.HasPrefix(loc, "/") || strings.HasPrefix(loc, "//")) {
			t.Errorf("%s %q leads to %q", method, target, loc)
		}
	})
}

// FuzzUpload checks that parts in any order make the file of the parts that were accepted.
func FuzzUpload(f *testing.F) {
	f.Add([]byte{1, 2, 3, 0xff})
	f.Add([]byte{1, 1, 2, 2, 5, 3, 0xff, 1, 0xff})
	f.Fuzz(func(t *testing.T, numbers []byte) {
		if len(numbers) > 64 {
			return
		}
		var u uploads
		if err := u.init(t.TempDir(), DefaultUploadAge); err != nil {
			t.Fatal(err)
		}
		defer u.close()
		key := uploadKey{"ada", "x"}
		var want []byte
		next := 0 // 0 = no upload
		for i, b := range numbers {
			chunk, data := int(int8(b)), []byte{byte(i), b}
			if chunk == 1 {
				if _, err := u.begin(key); err != nil {
					t.Fatal(err)
				}
				want, next = nil, 1
			}
			one := u.find(key)
			if (one == nil) != (next == 0) {
				t.Fatalf("after %v the upload is there: %v", numbers[:i], one != nil)
			}
			if one == nil {
				continue
			}
			err := one.add(chunk, data)
			if accepted := chunk == lastChunk || chunk == next; accepted != (err == nil) {
				t.Fatalf("part %d after %v = %v, next is %d", chunk, numbers[:i], err, next)
			}
			if err == nil {
				want, next = append(want, data...), next+1
			}
			if got := content(t, one); !bytes.Equal(got, want) {
				t.Fatalf("after %v the parts are %v, want %v", numbers[:i+1], got, want)
			}
			if chunk == lastChunk {
				u.forget(key, one)
				want, next = nil, 0
			}
		}
	})
}

func content(t *testing.T, one *upload) []byte {
	t.Helper()
	data := make([]byte, one.size)
	if _, err := one.file.ReadAt(data, 0); err != nil && len(data) > 0 {
		t.Fatal(err)
	}
	return data
}

// FuzzMerge checks that merging twice is merging once, and that no null and no empty object is left.
func FuzzMerge(f *testing.F) {
	f.Add(`{"a":{"b":1}}`, `{"a":{"b":null},"c":2}`)
	f.Fuzz(func(t *testing.T, a, b string) {
		var values, changes map[string]any
		if json.Unmarshal([]byte(a), &values) != nil || json.Unmarshal([]byte(b), &changes) != nil || values == nil {
			return
		}
		merge(values, changes)
		once, err := json.Marshal(values)
		if err != nil {
			t.Fatal(err)
		}
		merge(values, changes)
		twice, err := json.Marshal(values)
		if err != nil || !reflect.DeepEqual(once, twice) {
			t.Errorf("merge(%s, %s) = %s, again %s, %v", a, b, once, twice, err)
		}
	})
}

func TestNumbered(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, insert string
		i            int
		want         string
	}{
		{"a.tar.gz", "", 0, "a.tar.gz"}, {"a.tar.gz", "", 1, "a1.tar.gz"}, {"a.b.ipynb", "-Copy", 2, "a.b-Copy2.ipynb"},
		{"Untitled Folder", " ", 3, "Untitled Folder 3"}, {".x", "", 1, "1.x"},
	} {
		if got := numbered(tt.name, tt.insert, tt.i); got != tt.want {
			t.Errorf("numbered(%q, %q, %d) = %q, want %q", tt.name, tt.insert, tt.i, got, tt.want)
		}
	}
}

func TestCheckpointOf(t *testing.T) {
	t.Parallel()
	for p, want := range map[fs.Path]fs.Path{
		"a.ipynb": ".ipynb_checkpoints/a-checkpoint.ipynb", "d/a.b.txt": "d/.ipynb_checkpoints/a.b-checkpoint.txt", "x": ".ipynb_checkpoints/x-checkpoint",
	} {
		if got := checkpointOf(p); got != want {
			t.Errorf("checkpointOf(%q) = %q, want %q", p, got, want)
		}
	}
}
