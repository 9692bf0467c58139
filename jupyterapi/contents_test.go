package jupyterapi

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// furnish puts the files of the tables below into a site.
func furnish(s *site) {
	s.write("a.txt", "hi")
	s.write("data.bin", "\xff\xfe\x00")
	s.write("unknown", "x")
	s.write("table.csv", "a,b\n")
	s.write(".hidden", "secret")
	s.write("sub/b.txt", "b")
	s.write("sub/.dot/c.txt", "c")
	s.write("bad.ipynb", "not json")
	s.write("nb.ipynb", emptyNotebook)
	s.write("v3.ipynb", `{"nbformat":3,"nbformat_minor":0,"metadata":{"name":"n"},"worksheets":[{"cells":[{"cell_type":"code","language":"python","input":"1","outputs":[]}]}]}`)
	s.write("invalid.ipynb", `{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[{"cell_type":"code","source":"x"}]}`)
}

const emptyNotebook = "{\n \"cells\": [],\n \"metadata\": {},\n \"nbformat\": 4,\n \"nbformat_minor\": 5\n}\n"

func TestGetContents(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	furnish(s)
	tests := []struct {
		name   string
		path   string
		status int
		want   string // parts of the body, separated by " … "
	}{
		{"text", "a.txt", 200, `"name":"a.txt","path":"a.txt" … "content":"hi","format":"text","mimetype":"text/plain","size":2,"writable":true,"hash":null,"hash_algorithm":null,"type":"file"`},
		{"no content", "a.txt?content=0", 200, `"content":null,"format":null,"mimetype":"text/plain","size":2`},
		{"cache buster", "a.txt?content=0&1700000000000", 200, `"content":null`},
		{"base64", "data.bin", 200, `"content":"//4A\n","format":"base64","mimetype":"application/octet-stream"`},
		{"forced base64", "a.txt?format=base64", 200, `"content":"aGk=\n","format":"base64"`},
		{"unknown extension", "unknown", 200, `"mimetype":"text/plain"`},
		{"unknown extension without content", "unknown?content=0", 200, `"mimetype":null`},
		{"csv", "table.csv", 200, `"mimetype":"text/csv"`},
		{"hash", "a.txt?content=0&hash=1", 200, `"hash":"8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4","hash_algorithm":"sha256"`},
		{"directory hash", "sub?content=0&hash=1", 200, `"hash":null,"hash_algorithm":null,"type":"directory"`},
		{"directory", "sub", 200, `"content":[{"name":"b.txt","path":"sub/b.txt" … ],"format":"json","mimetype":null,"size":null`},
		{"directory without content", "sub?content=0", 200, `"content":null,"format":null`},
		{"unknown type is a file", "a.txt?type=foo", 200, `"type":"file"`},
		{"notebook", "nb.ipynb", 200, `"content":{"cells":[],"metadata":{},"nbformat":4,"nbformat_minor":5},"format":"json","mimetype":null,"size":72 … "type":"notebook"`},
		{"notebook as file", "nb.ipynb?type=file", 200, `"content":"{\n \"cells\": [] … "format":"text" … "type":"file"`},
		{"version 3", "v3.ipynb", 200, `"trusted":false … "nbformat":4,"nbformat_minor":5`},
		{"invalid", "invalid.ipynb", 200, `"message":"Notebook validation failed: `},
		{"unreadable", "bad.ipynb", 400, `"message":"Unreadable Notebook: bad.ipynb`},
		{"not a directory", "a.txt?type=directory", 400, `{"message":"a.txt is not a directory","reason":"bad type"}`},
		{"a directory", "sub?type=file", 400, `{"message":"sub is a directory, not a file","reason":"bad type"}`},
		{"not text", "data.bin?format=text", 400, `"reason":"bad format"`},
		{"bad format", "a.txt?format=x", 400, `"message":"Format 'x' is invalid"`},
		{"bad content", "a.txt?content=2", 400, `"message":"Content '2' is invalid"`},
		{"bad hash", "a.txt?hash=x", 400, `"message":"Hash argument 'x' is invalid. It must be '0' or '1'."`},
		{"missing", "nope", 404, `{"message":"file or directory '/nope' does not exist","reason":null}`},
		{"below a file", "a.txt/b", 404, `does not exist`},
		{"hidden", ".hidden", 404, `does not exist`},
		{"below a hidden folder", "sub/.dot/c.txt", 404, `does not exist`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r := s.request(get, "/api/contents/"+tt.path, "")
			expect(t, r, tt.status, tt.want)
			if tt.status == 200 {
				checkKeys(t, r.object(t))
			}
		})
	}
}

// expect compares the status and parts of the body, in order.
func expect(t *testing.T, r reply, status int, parts string) {
	t.Helper()
	if r.StatusCode != status {
		t.Errorf("%s %s = %d %.300s, want %d", r.Request.Method, r.Request.URL, r.StatusCode, r.body, status)
	}
	rest := r.body
	for part := range strings.SplitSeq(parts, " … ") {
		_, after, found := strings.Cut(rest, part)
		if !found {
			t.Errorf("%s %s = %.600s, want in it %s", r.Request.Method, r.Request.URL, r.body, part)
			return
		}
		rest = after
	}
}

// checkKeys looks for the twelve keys that every model has.
func checkKeys(t *testing.T, m map[string]any) {
	t.Helper()
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(m)), func(k string) bool { return k == "message" })
	want := []string{"content", "created", "format", "hash", "hash_algorithm", "last_modified", "mimetype", "name", "path", "size", "type", "writable"}
	if !slices.Equal(keys, want) {
		t.Errorf("keys of the model = %v, want %v", keys, want)
	}
	for _, key := range []string{"created", "last_modified"} {
		if v, ok := m[key].(string); !ok || !strings.HasSuffix(v, "Z") {
			t.Errorf("%s = %v, want a time", key, m[key])
		}
	}
}

func TestGetHeaders(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	furnish(s)
	r := s.request(get, "/api/contents/a.txt?hash=1", "")
	tag := r.Header.Get("ETag")
	for name, want := range map[string]string{
		"Content-Type":            "application/json",
		"X-Content-Type-Options":  "nosniff",
		"Content-Security-Policy": "frame-ancestors 'self'; report-uri /api/security/csp-report; default-src 'none'",
		"ETag":                    `"8f434346648f6b96df89dda901c5176b10a6d83961dd3c1ac88b59b2dc327aa4"`,
	} {
		if got := r.Header.Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	if _, err := http.ParseTime(r.Header.Get("Last-Modified")); err != nil {
		t.Errorf("Last-Modified = %q: %v", r.Header.Get("Last-Modified"), err)
	}
	expect(t, s.request(get, "/api/contents/a.txt?hash=1", "", "If-None-Match: "+tag), 304, "")
	expect(t, s.request(get, "/api/contents/", ""), 200, `"path":""`)
	list := s.request(get, "/api/contents", "")
	expect(t, s.request(get, "/api/contents", "", "If-None-Match: "+list.Header.Get("ETag")), 304, "")
}

func TestListing(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	furnish(s)
	for _, name := range []fs.Path{"x.pyc", "__pycache__/m.py", "old~", ".DS_Store"} {
		s.write(name, "")
	}
	s.symlink("link", "a.txt")
	s.symlink("dead", "nowhere")
	s.symlink("out", "/etc/passwd")
	var names []string
	for _, e := range s.request(get, "/api/contents", "").object(t)["content"].([]any) {
		m := e.(map[string]any)
		checkKeys(t, m)
		names = append(names, m["name"].(string))
	}
	slices.Sort(names)
	want := []string{"a.txt", "bad.ipynb", "data.bin", "invalid.ipynb", "link", "nb.ipynb", "sub", "table.csv", "unknown", "v3.ipynb"}
	if !slices.Equal(names, want) {
		t.Errorf("entries = %v, want %v", names, want)
	}
	expect(t, s.request(get, "/api/contents/out", ""), 404, "does not exist")
	expect(t, s.request(get, "/files/out", ""), 404, "does not exist")
	expect(t, s.request(get, "/api/contents/link", ""), 200, `"content":"hi"`)
}

func (s *site) symlink(name, target string) {
	s.t.Helper()
	n := s.view().Nodes()
	if _, err := n.Symlink(context.Background(), n.Root(), name, target, fs.CreateOptions{}); err != nil {
		s.t.Fatal(err)
	}
}

func TestPutContents(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		path   string
		body   string
		status int
		want   string
		file   fs.Path
		data   string
	}{
		{"new text", "n.txt", `{"type":"file","format":"text","content":"é\n"}`, 201, `"content":null,"format":null`, "n.txt", "é\n"},
		{"save", "a.txt", `{"type":"file","format":"text","content":"new"}`, 200, `"size":3`, "a.txt", "new"},
		{"base64", "n.bin", `{"type":"file","format":"base64","content":"aGk\n="}`, 201, `"size":2`, "n.bin", "hi"},
		{"strict base64", "n.bin", `{"type":"file","format":"base64","content":"@@@"}`, 400, "Encoding error", "n.bin", "<gone>"},
		{"unpadded base64", "n.bin", `{"type":"file","format":"base64","content":"aGk"}`, 400, "Encoding error", "n.bin", "<gone>"},
		{"no format", "n.txt", `{"type":"file","content":"x"}`, 400, "Must specify format of file contents as 'text' or 'base64'", "n.txt", "<gone>"},
		{"defaults of a file", "n.txt", `{"format":"text"}`, 201, `"type":"file"`, "n.txt", ""},
		{"defaults of a notebook", "n.ipynb", `{"format":"json"}`, 201, `"type":"notebook"`, "n.ipynb", emptyNotebook},
		{"save without type", "a.txt", `{"content":"x","format":"text"}`, 400, "No file type provided", "a.txt", "hi"},
		{"save without content", "a.txt", `{"type":"file","format":"text"}`, 400, "No file content provided", "a.txt", "hi"},
		{"content not a string", "a.txt", `{"type":"file","format":"text","content":{}}`, 400, "must be a string", "a.txt", "hi"},
		{"content null", "a.txt", `{"type":"file","format":"text","content":null}`, 400, "must be a string", "a.txt", "hi"},
		{"content null as base64", "a.txt", `{"type":"file","format":"base64","content": null }`, 400, "must be a string", "a.txt", "hi"},
		{"content null of a part", "a.txt", `{"type":"file","format":"text","content":null,"chunk":1}`, 400, "must be a string", "a.txt", "hi"},
		{"type null", "a.txt", `{"type":null,"format":"text","content":"x"}`, 400, "No file type provided", "a.txt", "hi"},
		{"type null of a new file", "n.txt", `{"type":null,"format":"text","content":"x"}`, 201, `"type":"file"`, "n.txt", "x"},
		{"part 0", "a.txt", `{"type":"file","format":"text","content":"x","chunk":0}`, 400, "Not a possible number", "a.txt", "hi"},
		{"no part", "a.txt", `{"type":"file","format":"text","content":"x","chunk":null}`, 200, `"size":1`, "a.txt", "x"},
		{"half a surrogate pair", "a.txt", `{"type":"file","format":"text","content":"é\nx\ud83d!"}`, 400, `half of a surrogate pair (\\ud83d) in line 2, column 2`, "a.txt", "hi"},
		{"bytes that are not UTF-8", "a.txt", "{\"type\":\"file\",\"format\":\"text\",\"content\":\"a\xff\"}", 400, `not UTF-8 (0xff) in line 1, column 2`, "a.txt", "hi"},
		{"whole surrogate pair", "a.txt", `{"type":"file","format":"text","content":"\ud83d\ude00"}`, 200, `"size":4`, "a.txt", "\U0001f600"},
		{"half a surrogate pair in a part", "a.txt", `{"type":"file","format":"text","content":"\ude00","chunk":1}`, 400, `in line 1, column 1`, "a.txt", "hi"},
		{"half a surrogate pair in a notebook is kept", "n.ipynb", `{"type":"notebook","content":{"nbformat_minor":4,"nbformat":4,"metadata":{"a":"\ud83d"},"cells":[]}}`, 201, `"type":"notebook"`, "n.ipynb",
			"{\n \"cells\": [],\n \"metadata\": {\n  \"a\": \"\\ud83d\"\n },\n \"nbformat\": 4,\n \"nbformat_minor\": 4\n}\n"},
		{"half a surrogate pair in the path of the body", "n.txt", `{"type":"file","format":"text","content":"x","path":"\ud83d"}`, 400, "cannot be kept as it is: half", "n.txt", "<gone>"},
		{"unknown type", "n.txt", `{"type":"foo","format":"text","content":"x"}`, 201, `"type":"file"`, "n.txt", "x"},
		{"directory", "newdir", `{"type":"directory"}`, 201, `"type":"directory"`, "", ""},
		{"directory again", "sub", `{"type":"directory"}`, 201, `"type":"directory"`, "sub/b.txt", "b"},
		{"directory over a file", "a.txt", `{"type":"directory"}`, 400, "Not a directory: a.txt", "a.txt", "hi"},
		{"file over a directory", "sub", `{"type":"file","format":"text","content":"x"}`, 400, "directory", "sub/b.txt", "b"},
		{"missing parent", "no/n.txt", `{"type":"file","format":"text","content":"x"}`, 404, "No such directory: no", "", ""},
		{"copy", "n.txt", `{"copy_from":"a.txt"}`, 400, "Cannot copy with PUT, only POST", "n.txt", "<gone>"},
		{"hidden", ".n", `{"type":"file","format":"text","content":"x"}`, 400, "Cannot create file or directory '/.n'", ".n", "<gone>"},
		{"hidden in the body", "n.txt", `{"type":"file","format":"text","content":"x","path":".n"}`, 400, "Cannot create", "n.txt", "<gone>"},
		{"not JSON", "n.txt", `{"type"`, 400, "Invalid JSON in body of request", "n.txt", "<gone>"},
		{"bad JSON in an unknown field", "n.txt", `{"type":"file","x":tru,"format":"text","content":""}`, 400, "Invalid JSON in body of request", "n.txt", "<gone>"},
		{"not an object", "n.txt", `[1]`, 400, "Invalid JSON in body of request", "n.txt", "<gone>"},
		{"root", "", `{"type":"file","format":"text","content":"x"}`, 400, "top folder", "", ""},
		{"notebook", "n.ipynb", `{"type":"notebook","format":"json","content":{"nbformat_minor":5,"nbformat":4,"metadata":{},"cells":[]}}`, 201, `"type":"notebook"`, "n.ipynb", emptyNotebook},
		{"notebook without content", "nb.ipynb", `{"type":"notebook","content":null}`, 400, "Unexpected error while saving file", "nb.ipynb", emptyNotebook},
		{"invalid notebook is saved", "n.ipynb", `{"type":"notebook","content":{"nbformat_minor":5,"nbformat":4,"metadata":{},"cells":[{}]}}`, 201, `"message":"Notebook validation failed: `, "", ""},
		{"nothing in the body", "sub", ``, 201, `"path":"sub/untitled"`, "sub/untitled", ""},
		{"empty object", "sub", `{}`, 201, `"path":"sub/untitled"`, "sub/untitled", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := newSite(t, siteOptions{})
			furnish(s)
			r := s.request(put, "/api/contents/"+tt.path, tt.body)
			if tt.path == "" {
				r = s.request(put, "/api/contents", tt.body)
			}
			expect(t, r, tt.status, tt.want)
			if tt.file != "" {
				if got := s.read(tt.file); got != tt.data {
					t.Errorf("%s = %q, want %q", tt.file, got, tt.data)
				}
			}
			if tt.status < 300 && (r.Header.Get("Location") == "" || r.Header.Get("Last-Modified") == "") {
				t.Errorf("headers = %v, want Location and Last-Modified", r.Header)
			}
		})
	}
}

func TestPutLocationIsEscaped(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{base: "/a%40b/"})
	r := s.request(put, "/a%40b/api/contents/%C3%A5%20b.txt", `{"type":"file","format":"text","content":""}`)
	expect(t, r, 201, `"path":"å b.txt"`)
	if got, want := r.Header.Get("Location"), "/a%40b/api/contents/%C3%A5%20b.txt"; got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
	expect(t, s.request(get, "/a@b/api/contents", ""), 200, `"å b.txt"`)
}

func TestConditions(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("a.txt", "one")
	const path = "/api/contents/a.txt"
	body := func(text string) string { return `{"type":"file","format":"text","content":"` + text + `"}` }
	tag := s.request(get, path+"?hash=1", "").Header.Get("ETag")
	expect(t, s.request(put, path, body("x"), `If-None-Match: *`), 412, "changed")
	expect(t, s.request(put, path, body("x"), `If-Match: "0000"`), 412, "changed")
	r := s.request(put, path, body("two"), "If-Match: "+tag)
	expect(t, r, 200, "")
	if next := r.Header.Get("ETag"); next == tag || next == "" {
		t.Errorf("ETag after a save = %q, before %q", next, tag)
	}
	expect(t, s.request(put, path, body("x"), "If-Match: "+tag), 412, "changed")
	expect(t, s.request(put, path, body("x"), "If-None-Match: "+r.Header.Get("ETag")), 412, "changed")
	expect(t, s.request(patch, path, `{"path":"b.txt"}`, "If-Match: "+tag), 412, "changed")
	expect(t, s.request(remove, path, "", "If-Match: "+tag), 412, "changed")
	expect(t, s.request(put, "/api/contents/new.txt", body("x"), "If-Match: *"), 412, "changed")
	expect(t, s.request(put, "/api/contents/new.txt", body("x"), "If-None-Match: *"), 201, "")
	expect(t, s.request(remove, path, "", "If-Match: "+r.Header.Get("ETag")), 204, "")
	if got := s.read("a.txt"); got != "<gone>" {
		t.Errorf("a.txt = %q, want it gone", got)
	}
}

func TestPostContents(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	furnish(s)
	s.write("x.tar.gz", "tar")
	s.write("foo/inside.txt", "i")
	steps := []struct {
		name, path, body string
		status           int
		want             string
	}{
		{"file", "", `{"type":"file"}`, 201, `"path":"untitled"`},
		{"no body", "", ``, 201, `"path":"untitled1"`},
		{"ext", "", `{"type":"file","ext":".txt"}`, 201, `"path":"untitled.txt"`},
		{"ext again", "", `{"type":"file","ext":".txt"}`, 201, `"path":"untitled1.txt"`},
		{"ext verbatim", "", `{"type":"file","ext":"tsv"}`, 201, `"path":"untitledtsv"`},
		{"ext with a slash", "", `{"type":"file","ext":"/../x"}`, 400, "Not a possible extension"},
		{"notebook", "", `{"type":"notebook"}`, 201, `"path":"Untitled.ipynb"`},
		{"notebook again", "", `{"type":"notebook","ext":".txt"}`, 201, `"path":"Untitled1.ipynb"`},
		{"notebook by ext", "sub", `{"ext":".ipynb"}`, 201, `"path":"sub/Untitled.ipynb"`},
		{"directory", "", `{"type":"directory"}`, 201, `"path":"Untitled Folder"`},
		{"directory again", "", `{"type":"directory"}`, 201, `"path":"Untitled Folder 1"`},
		{"to a file", "a.txt", `{"type":"file"}`, 400, "Cannot POST to files, use PUT instead."},
		{"to nothing", "zz", `{"type":"file"}`, 404, "No such directory: zz"},
		{"copy", "", `{"copy_from":"a.txt"}`, 201, `"path":"a-Copy1.txt"`},
		{"copy again", "", `{"copy_from":"a.txt"}`, 201, `"path":"a-Copy2.txt"`},
		{"copy of a copy", "", `{"copy_from":"a-Copy1.txt"}`, 201, `"path":"a-Copy3.txt"`},
		{"copy elsewhere", "sub", `{"copy_from":"a.txt"}`, 201, `"path":"sub/a.txt"`},
		{"copy with two dots", "", `{"copy_from":"x.tar.gz"}`, 201, `"path":"x-Copy1.tar.gz"`},
		{"copy of a directory", "", `{"copy_from":"foo"}`, 201, `"path":"foo-Copy1"`},
		{"copy of a directory into a new one", "fresh", `{"copy_from":"foo"}`, 201, `"path":"fresh/foo"`},
		{"copy of nothing", "", `{"copy_from":"zz"}`, 404, "No such file or directory: zz"},
		{"copy of what is hidden", "", `{"copy_from":".hidden"}`, 400, "Cannot copy file or directory '/.hidden'"},
		{"copy out", "", `{"copy_from":"../etc/passwd"}`, 404, "No such file"},
	}
	for _, tt := range steps { // in order: the numbers go on
		path := "/api/contents"
		if tt.path != "" {
			path += "/" + tt.path
		}
		t.Log(tt.name)
		expect(t, s.request(post, path, tt.body), tt.status, tt.want)
	}
	if got := s.read("foo-Copy1/inside.txt"); got != "i" {
		t.Errorf("copied file = %q, want i", got)
	}
}

func TestPatchContents(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	furnish(s)
	expect(t, s.request(post, "/api/contents/nb.ipynb/checkpoints", ""), 201, `"id":"checkpoint"`)
	steps := []struct {
		path, body string
		status     int
		want       string
	}{
		{"a.txt", ``, 400, "JSON body missing"},
		{"a.txt", `{}`, 200, `"path":"a.txt"`},
		{"a.txt", `{"path":"a.txt"}`, 200, `"path":"a.txt"`},
		{"a.txt", `{"path":"table.csv"}`, 409, "File already exists: table.csv"},
		{"a.txt", `{"path":"no/a.txt"}`, 404, "File or directory does not exist: a.txt"},
		{"nope", `{"path":"n"}`, 404, "File or directory does not exist: nope"},
		{"a.txt", `{"path":".a"}`, 400, "Cannot rename"},
		{"a.txt", `{"path":"../a"}`, 400, "not valid"},
		{"a.txt", `{"path":"sub/a b.txt"}`, 200, `"path":"sub/a b.txt"`},
		{"nb.ipynb", `{"path":"sub/moved.ipynb"}`, 200, `"type":"notebook"`},
		{"sub", `{"path":"sub2"}`, 200, `"type":"directory"`},
	}
	for _, tt := range steps {
		expect(t, s.request(patch, "/api/contents/"+tt.path, tt.body), tt.status, tt.want)
	}
	if got := s.read("sub2/.ipynb_checkpoints/moved-checkpoint.ipynb"); got != emptyNotebook {
		t.Errorf("checkpoint = %q, want it moved along", got)
	}
	if want := []string{"a.txt -> sub/a b.txt", "nb.ipynb -> sub/moved.ipynb", "sub -> sub2"}; !slices.Equal(s.fakes.moves, want) {
		t.Errorf("Moved calls = %q, want %q", s.fakes.moves, want)
	}
}

func TestDeleteContents(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	furnish(s)
	expect(t, s.request(post, "/api/contents/a.txt/checkpoints", ""), 201, "")
	expect(t, s.request(remove, "/api/contents", ""), 400, "Can't delete root")
	expect(t, s.request(remove, "/api/contents/nope", ""), 404, "File or directory does not exist: nope")
	expect(t, s.request(remove, "/api/contents/.hidden", ""), 400, "Cannot delete file or directory '/.hidden'")
	expect(t, s.request(remove, "/api/contents/a.txt", ""), 204, "")
	expect(t, s.request(remove, "/api/contents/sub", ""), 204, "")
	for _, p := range []fs.Path{"a.txt", ".ipynb_checkpoints/a-checkpoint.txt", "sub/b.txt"} {
		if got := s.read(p); got != "<gone>" {
			t.Errorf("%s = %q, want it gone", p, got)
		}
	}
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	s.write("d/a.txt", "one")
	const path = "/api/contents/d/a.txt/checkpoints"
	expect(t, s.request(get, path, ""), 200, "[]")
	made := s.request(post, path, "")
	expect(t, made, 201, `{"id":"checkpoint","last_modified":"`)
	if got, want := made.Header.Get("Location"), path+"/checkpoint"; got != want {
		t.Errorf("Location = %q, want %q", got, want)
	}
	expect(t, s.request(get, path, ""), 200, `[`+made.body+`]`)
	s.write("d/a.txt", "two")
	expect(t, s.request(post, path+"/checkpoint", ""), 204, "")
	if got := s.read("d/a.txt"); got != "one" {
		t.Errorf("after the restore = %q, want one", got)
	}
	expect(t, s.request(remove, path+"/checkpoint", ""), 204, "")
	expect(t, s.request(get, path, ""), 200, "[]")
	for _, tt := range []struct{ method, path string }{
		{post, path + "/checkpoint"}, {remove, path + "/checkpoint"}, {post, path + "/other"}, {post, "/api/contents/zz/checkpoints"},
		{post, path + "/..%2f..%2fa"},
	} {
		expect(t, s.request(tt.method, tt.path, ""), 404, "")
	}
	expect(t, s.request(put, "/api/contents/n.ipynb", `{"type":"notebook"}`), 201, "")
	expect(t, s.request(get, "/api/contents/n.ipynb/checkpoints", ""), 200, `"id":"checkpoint"`)
}

func TestTrust(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	const nb = `{"cells":[{"cell_type":"code","execution_count":1,"id":"a","metadata":{%s},"outputs":[{"output_type":"display_data","data":{"text/html":"x"},"metadata":{}}],"source":"1"}],"metadata":{},"nbformat":4,"nbformat_minor":5}`
	s.write("n.ipynb", fmt.Sprintf(nb, ""))
	const path = "/api/contents/n.ipynb"
	expect(t, s.request(get, path, ""), 200, `"trusted":false`)
	expect(t, s.request(post, path+"/trust", ""), 201, "")
	expect(t, s.request(get, path, ""), 200, `"trusted":true`)
	save := `{"type":"notebook","content":` + fmt.Sprintf(strings.Replace(nb, `"source":"1"`, `"source":"2"`, 1), `"trusted":true`) + `}`
	expect(t, s.request(put, path, save), 200, "")
	expect(t, s.request(get, path, ""), 200, `"trusted":true`)
	if strings.Contains(s.read("n.ipynb"), "trusted") {
		t.Error("the mark of trust was written to the file")
	}
	expect(t, s.request(put, path, strings.ReplaceAll(strings.Replace(save, `"source":"2"`, `"source":"3"`, 1), `"trusted":true`, `"trusted":false`)), 200, "")
	expect(t, s.request(get, path, ""), 200, `"trusted":false`)
	expect(t, s.request(post, "/api/contents/zz/trust", ""), 404, "")
}

func TestRootOfDrives(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{noRoot: true})
	expect(t, s.request(get, "/api/contents", ""), 200, `"name":"home","path":"home"`)
	r := s.request(put, "/api/contents/x.txt", `{"type":"file","format":"text","content":"x"}`)
	if r.StatusCode != 403 && r.StatusCode != 404 {
		t.Errorf("PUT in the root = %d %s, want 403", r.StatusCode, r.body)
	}
	expect(t, s.request(post, "/api/contents", `{"type":"notebook"}`), 403, "only drives")
	expect(t, s.request(put, "/api/contents/home/x.txt", `{"type":"file","format":"text","content":"x"}`), 201, "")
	expect(t, s.request(remove, "/api/contents/home", ""), 403, "")
}

func TestHiddenAllowed(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{options: func(o *Options) { o.AllowHidden = true }})
	furnish(s)
	expect(t, s.request(get, "/api/contents/.hidden", ""), 200, "secret")
	expect(t, s.request(get, "/api/contents", ""), 200, ".hidden")
	expect(t, s.request(put, "/api/contents/.n", `{"type":"file","format":"text","content":"x"}`), 201, "")
}

// chunkBody is the body of one part of an upload.
func chunkBody(n int, content string) string {
	data, err := json.Marshal(map[string]any{"type": "file", "format": "text", "content": content, "chunk": n, "name": "x"})
	if err != nil {
		panic(err) // a map of strings and numbers
	}
	return string(data)
}

func TestUpload(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	const path = "/api/contents/up.txt"
	expect(t, s.request(put, path, chunkBody(2, "b")), 409, "Part 1")
	expect(t, s.request(put, path, chunkBody(1, "a")), 201, `"size":1`)
	expect(t, s.request(get, path, ""), 404, "")
	expect(t, s.request(put, path, chunkBody(3, "c")), 409, "Part 2")
	expect(t, s.request(put, path, chunkBody(2, "b")), 200, `"size":2`)
	expect(t, s.request(put, path, chunkBody(2, "b")), 200, `"size":2`) // sent again
	expect(t, s.request(put, path, chunkBody(3, "z"), "Authorization: token "+bobToken), 409, "Part 1")
	expect(t, s.request(put, path, chunkBody(-1, "c")), 200, `"size":3`)
	if got := s.read("up.txt"); got != "abc" {
		t.Errorf("up.txt = %q, want abc", got)
	}
	expect(t, s.request(put, path, chunkBody(-1, "c")), 409, "Part 1")
	expect(t, s.request(put, path, chunkBody(1, "new")), 200, "")
	if got := s.read("up.txt"); got != "abc" {
		t.Errorf("up.txt during an upload = %q, want abc", got)
	}
	expect(t, s.request(put, path, strings.Replace(chunkBody(1, "x"), `"file"`, `"notebook"`, 1)), 400, "not supported")
	expect(t, s.request(put, "/api/contents/no/up.txt", chunkBody(1, "x")), 404, "No such directory: no")
	expect(t, s.request(put, path, chunkBody(-7, "x")), 400, "")
}

func TestUploadExpires(t *testing.T) {
	t.Parallel()
	s := newSite(t, siteOptions{})
	expect(t, s.request(put, "/api/contents/up.txt", chunkBody(1, "a")), 201, "")
	for _, one := range s.api.uploads.all {
		s.api.uploads.collect(one.seen.Add(2 * DefaultUploadAge))
	}
	expect(t, s.request(put, "/api/contents/up.txt", chunkBody(2, "b")), 409, "Part 1")
}

// during returns a drive that calls do once, at the n-th operation of that name after the returned func was called.
func during(name string, n int, do func()) (*mem.Drive, func()) {
	left := 0
	return mem.New(mem.Options{Intercept: func(_ context.Context, op, _ string) error {
		if op == name && left > 0 {
			if left--; left == 0 {
				do()
			}
		}
		return nil
	}}), func() { left = n }
}

// TestHashIsOfTheContent saves between the moments when a reader asks for the hash and for the bytes.
func TestHashIsOfTheContent(t *testing.T) {
	t.Parallel()
	for n := 1; n <= 3; n++ { // one lookup each for the model, the hash and the bytes
		var s *site
		drive, arm := during("lookup", n, func() { s.write("a.txt", "newer") })
		s = newSite(t, siteOptions{drive: drive})
		s.write("a.txt", "older")
		arm()
		m := s.request(get, "/api/contents/a.txt?hash=1", "").object(t)
		if m["content"] != "newer" {
			t.Fatalf("lookup %d: content = %q, want that of the save in between", n, m["content"])
		}
		if sum := sha256.Sum256([]byte("newer")); m["hash"] != hex.EncodeToString(sum[:]) {
			t.Errorf("lookup %d: content %q with hash %v, want its own hash", n, m["content"], m["hash"])
		}
	}
}

// TestConditionHoldsUntilTheSave saves between the moments when a condition is checked and the file replaced.
func TestConditionHoldsUntilTheSave(t *testing.T) {
	t.Parallel()
	var s *site
	drive, arm := during("replace", 1, func() { s.write("a.txt", "theirs") })
	s = newSite(t, siteOptions{drive: drive})
	s.write("a.txt", "old")
	tag := s.request(get, "/api/contents/a.txt?hash=1", "").Header.Get("ETag")
	arm()
	const body = `{"type":"file","format":"text","content":"mine"}`
	expect(t, s.request(put, "/api/contents/a.txt", body, "If-Match: "+tag), 412, "changed")
	if got := s.read("a.txt"); got != "theirs" {
		t.Errorf("a.txt = %q, want theirs", got)
	}
	arm()
	expect(t, s.request(put, "/api/contents/a.txt", body), 200, "") // without a condition the last one wins
}

// TestUploadsKeepTheirFolder starts anew where an earlier run has left something: that goes, and the folder stays, since there may be no room for
// another.
func TestUploadsKeepTheirFolder(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	dir := filepath.Join(state, "uploads")
	var u uploads
	if err := u.init(state, time.Hour); err != nil {
		t.Fatal(err)
	}
	before, err := os.Stat(dir)
	if err := errors.Join(err, os.WriteFile(filepath.Join(dir, "left"), []byte("x"), 0o600), u.init(state, time.Hour)); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(dir)
	if left, err2 := os.ReadDir(dir); err != nil || err2 != nil || len(left) > 0 || !os.SameFile(before, after) {
		t.Errorf("there is %v, %v, in the same folder: %v", left, errors.Join(err, err2), os.SameFile(before, after))
	}
}

// TestUploadsDoNotWaitForEachOther starts an upload anew while a part of the old one is being written: others go on.
func TestUploadsDoNotWaitForEachOther(t *testing.T) {
	t.Parallel()
	var u uploads
	if err := u.init(t.TempDir(), time.Hour); err != nil {
		t.Fatal(err)
	}
	slow, err := u.begin(uploadKey{"ada", "a"})
	if err != nil {
		t.Fatal(err)
	}
	slow.mu.Lock() // a part is being written
	again := make(chan error, 1)
	go func() {
		_, err := u.begin(uploadKey{"ada", "a"})
		again <- err
	}()
	for u.find(uploadKey{"ada", "a"}) == slow {
		runtime.Gosched()
	}
	if _, err := u.begin(uploadKey{"bob", "b"}); err != nil {
		t.Errorf("another upload = %v", err)
	}
	u.collect(time.Now().Add(2 * time.Hour))
	slow.mu.Unlock()
	if err := <-again; err != nil || !slow.ended {
		t.Errorf("starting anew = %v, the old upload has ended: %v", err, slow.ended)
	}
	u.close()
	if left, err := os.ReadDir(u.dir); err != nil || len(left) > 0 {
		t.Errorf("files that are left: %v, %v", left, err)
	}
}
