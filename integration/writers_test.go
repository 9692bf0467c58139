package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
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
	reached      chan struct{}
	target       int64

	mu   sync.Mutex        // guards last
	last map[string]uint64 // the newest acknowledged version by file
	wait sync.WaitGroup
}

// save makes the next version of a file be there, and returns once that is acknowledged.
type save func(ctx context.Context, name string, content []byte) error

// startWriters starts three writers through the API and three through the mount. reached is closed after target acknowledged saves.
func startWriters(ctx context.Context, d *daemon.Daemon, first uint64, target int64) *writers {
	w := &writers{last: map[string]uint64{}, reached: make(chan struct{}), target: target}
	for i := range 3 {
		w.start(ctx, fmt.Sprintf("api-%d.txt", i), first, saveByAPI(d))
		w.start(ctx, fmt.Sprintf("mount-%d.txt", i), first, saveByMount(d))
	}
	return w
}

// start runs a writer until its first save that fails, which is when the daemon has gone.
func (w *writers) start(ctx context.Context, name string, first uint64, save save) {
	w.wait.Go(func() {
		for version := first; save(ctx, name, content(name, version)) == nil; version++ {
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
	case <-time.After(30 * time.Second):
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

// versions are the newest acknowledged versions, once all writers have ended.
func (w *writers) versions() map[string]uint64 {
	w.wait.Wait()
	return w.last
}

// saveByAPI saves as JupyterLab does.
func saveByAPI(d *daemon.Daemon) save {
	return func(ctx context.Context, name string, content []byte) error {
		body, err := json.Marshal(map[string]string{"type": "file", "format": "text", "content": string(content)})
		if err != nil {
			return err
		}
		response, err := request(ctx, d, http.MethodPut, "api/contents/"+name, body)
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, response.Body)
		err = errors.Join(err, response.Body.Close())
		if response.StatusCode >= 300 {
			return fmt.Errorf("PUT %s = %d", name, response.StatusCode)
		}
		return err
	}
}

// saveByMount saves as editors do: a new file, made durable, renamed over the old one. Once the mount is gone, the folder below it
// would take the file; that is no save.
func saveByMount(d *daemon.Daemon) save {
	mounted := device(os.Stat(d.Mount))
	return func(_ context.Context, name string, content []byte) error {
		path := filepath.Join(d.Mount, name)
		f, err := os.Create(path + ".tmp")
		if err != nil {
			return err
		}
		if device(f.Stat()) != mounted {
			return errors.Join(errors.New("the mount is gone"), f.Close(), os.Remove(path+".tmp"))
		}
		_, err = f.Write(content)
		if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
			return err
		}
		return os.Rename(path+".tmp", path)
	}
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
	r, err := http.NewRequestWithContext(ctx, method, d.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Authorization", "token "+d.Token)
	return http.DefaultClient.Do(r)
}

// content is a file's version: some pages of lines that all name it, so that a part of it, or a mix of two, shows.
func content(name string, version uint64) []byte {
	line := fmt.Sprintf("%s %d\n", name, version)
	return bytes.Repeat([]byte(line), 40_000/len(line))
}

// version is the version that a file's content is, or an error when it is none as a whole.
func version(name string, text []byte) (uint64, error) {
	var got uint64
	if _, err := fmt.Sscanf(string(text), name+" %d\n", &got); err != nil {
		return 0, fmt.Errorf("%s holds no version: %.40q", name, text)
	}
	if !bytes.Equal(text, content(name, got)) {
		return 0, fmt.Errorf("%s holds %d bytes that are not version %d as a whole", name, len(text), got)
	}
	return got, nil
}

// checkVersions fails for each file that has not at least the acknowledged version, in whole. read reads a file by name.
func checkVersions(t *testing.T, way string, acknowledged map[string]uint64, read func(name string) ([]byte, error)) {
	t.Helper()
	for name, want := range acknowledged {
		text, err := read(name)
		if err != nil {
			t.Errorf("%s: %v", way, err)
			continue
		}
		// The save under way when the daemon went may or may not be there.
		if got, err := version(name, text); err != nil || got != want && got != want+1 {
			t.Errorf("%s: %s is at version %d (%v), acknowledged was %d", way, name, got, err, want)
		}
	}
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
			return nil, fmt.Errorf("GET %s = %d", name, response.StatusCode)
		}
		return io.ReadAll(response.Body)
	}
}

// readIn reads files of a folder.
func readIn(dir string) func(string) ([]byte, error) {
	return func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }
}
