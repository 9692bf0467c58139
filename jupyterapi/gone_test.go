package jupyterapi

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// bucketSite is a site on a store; when is called with the number of each read of f.txt, before it.
func bucketSite(t *testing.T, size int, when func(b *mem.Backend, read int64) error) *site {
	t.Helper()
	var b *mem.Backend
	var reads atomic.Int64
	b = mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
		if r.Op == "read" && r.Key == "f.txt" {
			return when(b, reads.Add(1))
		}
		return nil
	}})
	b.Inject("f.txt", bytes.Repeat([]byte("old "), size/4), fs.WriteOptions{})
	d, err := drive.Open(t.Context(), drive.Options{ID: fs.DriveID{1}, Backend: b, State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	return newSite(t, siteOptions{drive: d})
}

// get asks for a path without giving up where the answer breaks off.
func (s *site) get(path string, header ...string) (status int, body string, err error) {
	s.t.Helper()
	r, err := http.NewRequest(get, s.URL+path, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	r.Header.Set("Authorization", "token "+adaToken)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	r.Close = true // on a connection that was used before the client would ask again by itself
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(answer.Body)
	return answer.StatusCode, string(data), err
}

// readers are the ways to read f.txt.
var readers = map[string][]string{
	"files":            {"/files/f.txt"},
	"files, a range":   {"/files/f.txt", "Range", "bytes=4-"},
	"contents":         {"/api/contents/f.txt"},
	"contents, packed": {"/api/contents/f.txt", "Accept-Encoding", "gzip"},
	"contents, base64": {"/api/contents/f.txt?format=base64"},
}

// TestReplacedWhileRead has others replace a small file just when it is read: the answer is the new one.
func TestReplacedWhileRead(t *testing.T) {
	t.Parallel()
	for name, request := range readers {
		if name == "files, a range" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := bucketSite(t, 100<<10, func(b *mem.Backend, n int64) error {
				if n == 1 {
					b.Inject("f.txt", []byte("new"), fs.WriteOptions{})
				}
				return nil
			})
			status, body, err := s.get(request[0], request[1:]...)
			if err != nil || status != http.StatusOK || len(body) > 1<<10 || strings.Contains(body, "old") {
				t.Errorf("the answer is %d with %d bytes, %v, want the new contents", status, len(body), err)
			}
		})
	}
}

// TestStoreFailsWhileRead has the store fail at the last bytes: of a small file the status says so, of a large one the connection,
// whichever way it is read.
func TestStoreFailsWhileRead(t *testing.T) {
	t.Parallel()
	for name, request := range readers {
		for size, small := range map[int]bool{100 << 10: true, 2 * wholeSize: false} {
			t.Run(name+map[bool]string{true: ", small"}[small], func(t *testing.T) {
				t.Parallel()
				var reads, last atomic.Int64
				s := bucketSite(t, size, func(_ *mem.Backend, n int64) error {
					reads.Store(n)
					if n == last.Load() {
						return &fs.Error{Kind: fs.Checksum}
					}
					return nil
				})
				if status, _, err := s.get(request[0], request[1:]...); err != nil || status >= 300 {
					t.Fatalf("the answer is %d, %v", status, err)
				}
				last.Store(2 * reads.Load())
				status, body, err := s.get(request[0], request[1:]...)
				switch {
				case small && name != "files, a range":
					if err != nil || status != http.StatusBadGateway {
						t.Errorf("the answer is %d, %v, want 502", status, err)
					}
				case err == nil:
					t.Errorf("the answer is %d with %d bytes and ends well", status, len(body))
				}
			})
		}
	}
}
