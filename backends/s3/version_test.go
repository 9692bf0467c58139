package s3_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func noTag(fakeObject) string   { return "" }
func weakTag(fakeObject) string { return `W/"always"` }

// TestContractWithoutETag runs the suite on stores whose ETags are no condition.
func TestContractWithoutETag(t *testing.T) {
	for name, tag := range map[string]func(fakeObject) string{"none": noTag, "weak": weakTag} {
		t.Run(name, func(t *testing.T) { contract(t, open, "", tag) })
	}
}

// TestReadWithoutETag changes an object of a store that gives no ETag: what is read is of the version that was asked for, or nothing.
func TestReadWithoutETag(t *testing.T) {
	f := newFake()
	f.tag = noTag
	b := open(t, f, nil)
	put := func(text string) {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.keep("f", newObject([]byte(text), http.Header{}))
	}
	put("one of ten")
	read := func(o fs.ReadOptions) (string, error) {
		r, err := b.Read(t.Context(), "f", o)
		if err != nil {
			return "", err
		}
		data, err := io.ReadAll(r)
		return string(data), errors.Join(err, r.Close())
	}
	page, err := b.List(t.Context(), "", fs.ListOptions{})
	if err != nil || len(page.Infos) != 1 {
		t.Fatalf("List() = %+v, %v", page, err)
	}
	listed := page.Infos[0].Version
	if info, err := b.Stat(t.Context(), "f"); err != nil || info.Version != listed || listed == "" {
		t.Errorf("Stat() = %+v, %v; the list says %q", info, err, listed)
	}
	if got, err := read(fs.ReadOptions{Off: 4, Len: 2, IfVersion: listed}); err != nil || got != "of" {
		t.Errorf("a part reads as %q, %v", got, err)
	}
	for _, text := range []string{"two of ten", "longer than that"} { // of the same size, and of another
		put(text)
		for _, o := range []fs.ReadOptions{{IfVersion: listed}, {Off: 4, Len: 2, IfVersion: listed}} {
			if got, err := read(o); fs.KindOf(err) != fs.Conflict {
				t.Errorf("%q: the version that is gone reads as %q, %v", text, got, err)
			}
		}
		if _, err := write(t, b, "f", "ours", fs.WriteOptions{Cond: fs.Cond{IfVersion: listed}}); fs.KindOf(err) != fs.Conflict {
			t.Errorf("%q: a write over the version that is gone = %v", text, err)
		}
	}
}

// TestUnreadable reads from stores by whose answers versions, or places in an object, cannot be told: the error names what cannot be read.
func TestUnreadable(t *testing.T) {
	for name, strip := range map[string]string{"no time": "Last-Modified", "no ranges": "Content-Range"} {
		t.Run(name, func(t *testing.T) {
			f := newFake()
			f.tag = noTag
			f.before = func(w http.ResponseWriter, r *http.Request) bool {
				if r.Method != http.MethodGet || r.URL.Path != "/bucket/dir/f" {
					return false
				}
				if w.Header().Set("Last-Modified", time.Unix(0, 0).UTC().Format(http.TimeFormat)); strip == "Last-Modified" {
					w.Header().Del("Last-Modified")
				}
				_, _ = io.WriteString(w, "contents")
				return true
			}
			_, err := open(t, f, nil).Read(t.Context(), "dir/f", fs.ReadOptions{Off: 1, Len: 2})
			if strip == "Last-Modified" {
				_, err = open(t, f, nil).Read(t.Context(), "dir/f", fs.ReadOptions{})
			}
			if fs.KindOf(err) != fs.Unsupported || !strings.Contains(err.Error(), "dir/f") || !strings.Contains(err.Error(), "bucket") {
				t.Errorf("Read() = %v", err)
			}
		})
	}
}
