package integration

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
)

// writers save files over and over until the daemon is gone, and remember which versions were acknowledged. Each file has one
// writer, so that its versions only grow.
type writers struct {
	acknowledged atomic.Int64 // of all files
	refused      atomic.Int64 // conditional saves by the only writer of a file
	reached      chan struct{}
	target       int64

	mu    sync.Mutex        // guards last and tried
	last  map[string]uint64 // the newest acknowledged version by file
	tried map[string]uint64 // the newest version by file, acknowledged or not
	wait  sync.WaitGroup
}

// save makes a version of a file be there, and returns once that is acknowledged.
type save func(ctx context.Context, name string, version uint64) error

// startWriters starts a writer of each kind. reached is closed after target acknowledged saves.
func startWriters(ctx context.Context, d *daemon.Daemon, first uint64, target int64) *writers {
	w := newWriters(target)
	for _, k := range saveKinds {
		w.start(ctx, k.file, first, k.save(w, d))
	}
	return w
}

func newWriters(target int64) *writers {
	return &writers{last: map[string]uint64{}, tried: map[string]uint64{}, reached: make(chan struct{}), target: target}
}

// start runs a writer until its first save that fails, which is when the daemon has gone.
func (w *writers) start(ctx context.Context, name string, first uint64, save save) {
	w.wait.Go(func() {
		for version := first; ; version++ {
			w.mu.Lock()
			w.tried[name] = version
			w.mu.Unlock()
			if save(ctx, name, version) != nil {
				return
			}
			w.mu.Lock()
			w.last[name] = version
			w.mu.Unlock()
			if w.acknowledged.Add(1) == w.target {
				close(w.reached)
			}
		}
	})
}

// await waits until as many saves as wanted are acknowledged. When they do not come, the test ends with what the daemon was doing.
func (w *writers) await(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	select {
	case <-w.reached:
		return
	case <-time.After(2 * time.Minute):
	}
	saves := w.acknowledged.Load()
	if err := d.Signal(syscall.SIGQUIT); err != nil {
		t.Error(err)
	}
	select {
	case <-d.Ended():
	case <-time.After(daemon.DefaultStopTimeout):
	}
	t.Fatalf("%d of %d saves were acknowledged in 30 s; the daemon:\n%s", saves, w.target, d.Output())
}

// checkRefused fails if a file with one writer was found to be at another version than that writer's.
func (w *writers) checkRefused(t *testing.T) {
	t.Helper()
	if n := w.refused.Load(); n > 0 {
		t.Errorf("%d saves over the writer's own version were refused", n)
	}
}

// versions are the newest acknowledged versions, once all writers have ended.
func (w *writers) versions() map[string]uint64 {
	w.wait.Wait()
	return w.last
}

// device is the file system that a file is on, 0 when that is not known.
func device(info os.FileInfo, err error) uint64 {
	if err != nil {
		return 0
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0
	}
	return stat.Dev
}

// request sends a request with the daemon's token.
func request(ctx context.Context, d *daemon.Daemon, method, path string, body []byte) (*http.Response, error) {
	r, err := newRequest(ctx, d, method, path, body)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(r)
}

// newRequest makes a request with the daemon's token.
func newRequest(ctx context.Context, d *daemon.Daemon, method, path string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, d.URL+path, bytes.NewReader(body))
	if err == nil {
		r.Header.Set("Authorization", "token "+d.Token)
	}
	return r, err
}

// readByAPI reads a file's bytes from the daemon.
func readByAPI(ctx context.Context, d *daemon.Daemon) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) {
		response, err := request(ctx, d, http.MethodGet, "files/"+name, nil)
		if err != nil {
			return nil, err
		}
		defer response.Body.Close()
		if response.StatusCode != http.StatusOK {
			return nil, fmt.Errorf("GET %s: %w", name, statusError(response.StatusCode))
		}
		return io.ReadAll(response.Body)
	}
}

// readIn reads files of a folder.
func readIn(dir string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
}
