package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// The exit code of a command that finds something not uploaded (docs/cli.md).
const exitUnflushed = 12

// bucketDrive is a bucket that is a drive of a daemon.
type bucketDrive struct {
	server *versitygw.Server
	opts   daemon.Options
	daemon *daemon.Daemon
}

// newBucketDrive adds a bucket to a new configuration, and tries it.
func newBucketDrive(t *testing.T, tls bool) *bucketDrive {
	t.Helper()
	b := &bucketDrive{server: versitygw.Run(t, versitygw.Options{TLS: tls})}
	binary, err := daemon.Build()
	if err != nil {
		t.Fatal(err)
	}
	b.opts = daemon.Options{Box: newBox(t), Binary: binary, Env: b.server.Env(), Args: []string{"--root", "data"}}
	code, out := b.command(t, "drive", "add", "data", "s3://"+versitygw.Bucket+"/some/prefix", "--endpoint", b.server.URL, "--path-style")
	if code != 0 {
		t.Fatalf("drive add = %d %s", code, out)
	}
	return b
}

// command runs the program beside the daemon and returns its exit code and what it printed.
func (b *bucketDrive) command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(b.opts.Binary, args...)
	cmd.Env, cmd.Dir = append(b.opts.Box.Env(), b.opts.Env...), b.opts.Box.Home
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

func (b *bucketDrive) start(t *testing.T) {
	t.Helper()
	d, err := daemon.Start(t.Context(), b.opts)
	if err != nil {
		t.Fatal(err)
	}
	b.daemon = d
	t.Cleanup(func() {
		if err := d.Kill(); err != nil {
			t.Error(err)
		}
	})
}

// pending returns how many changes the store does not have.
func (b *bucketDrive) pending(t *testing.T) int {
	t.Helper()
	_, out := b.command(t, "status", "--json")
	var s struct {
		Drives []struct {
			Store *struct {
				Pending int `json:"pending"`
			} `json:"store"`
		} `json:"drives"`
	}
	if err := json.NewDecoder(strings.NewReader(out)).Decode(&s); err != nil || len(s.Drives) != 1 || s.Drives[0].Store == nil {
		t.Fatalf("status --json: %v\n%s", err, out)
	}
	return s.Drives[0].Store.Pending
}

// settle waits until nothing is pending.
func (b *bucketDrive) settle(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for b.pending(t) > 0 {
		select {
		case <-ctx.Done():
			_, out := b.command(t, "status")
			t.Fatalf("not uploaded in a minute:\n%s\nthe daemon wrote:\n%s", out, b.daemon.Output())
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// write writes files through the mount: every other one is made durable with fsync, the rest only closed.
func (b *bucketDrive) write(t *testing.T, manifest map[string][]byte, prefix string, n int) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("%s-%d.txt", prefix, i)
		data := bytes.Repeat(fmt.Appendf(nil, "%s %d\n", prefix, i), 1000*(i+1))
		f, err := os.Create(filepath.Join(b.daemon.Mount, name))
		if err != nil {
			t.Fatal(err)
		}
		_, err = f.Write(data)
		if err == nil && i%2 == 0 {
			err = f.Sync()
		}
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		manifest[name] = data
	}
}

// check compares the files of a folder with what was acknowledged.
func checkFolder(t *testing.T, what, dir string, manifest map[string][]byte) {
	t.Helper()
	for name, want := range manifest {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s has %d bytes, %v; want %d", what, name, len(got), err, len(want))
		}
	}
}

// TestPromiseBucketLosesNothing writes into a bucket's drive with the store there and away, kills the daemon, and starts it while the store
// is still away: everything acknowledged is there all the time, and in the bucket once the store is back, also for a daemon that
// knows nothing. What that one has fetched it reads without the store.
func TestPromiseBucketLosesNothing(t *testing.T) {
	for name, tls := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) { bucketLosesNothing(t, newBucketDrive(t, tls)) })
	}
}

func bucketLosesNothing(t *testing.T, b *bucketDrive) {
	objects := filepath.Join(b.server.Dir, "some", "prefix")
	manifest := map[string][]byte{}
	b.start(t)
	b.write(t, manifest, "online", 4)
	b.settle(t)
	checkFolder(t, "the bucket", objects, manifest)

	if err := b.server.Kill(); err != nil {
		t.Fatal(err)
	}
	b.write(t, manifest, "offline", 4)
	if code, out := b.command(t, "drive", "remove", "data"); code != exitUnflushed {
		t.Errorf("drive remove = %d %s", code, out)
	}
	checkFolder(t, "the mount without a store", b.daemon.Mount, manifest)
	if err := b.daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if code, out := b.command(t, "drive", "remove", "data"); code != exitUnflushed {
		t.Errorf("drive remove without a daemon = %d %s", code, out)
	}

	b.start(t)
	if n := b.pending(t); n < 4 {
		t.Errorf("%d changes are pending after a kill, want at least 4", n)
	}
	if err := b.server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.settle(t)
	checkFolder(t, "the mount", b.daemon.Mount, manifest)
	checkFolder(t, "the bucket", objects, manifest)
	if err := b.daemon.Stop(); err != nil {
		t.Fatal(err)
	}

	for _, dir := range []string{"state", "cache"} {
		if err := os.RemoveAll(filepath.Join(b.opts.Box.Home, dir)); err != nil {
			t.Fatal(err)
		}
	}
	b.start(t)
	for _, args := range [][]string{{"warm", b.daemon.Mount}, {"fsck"}, {"gc"}} {
		if code, out := b.command(t, args...); code != 0 {
			t.Errorf("%v = %d %s", args, code, out)
		}
	}
	if err := b.server.Kill(); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, "the cache of a daemon that knew nothing", b.daemon.Mount, manifest)
	if err := b.daemon.Stop(); err != nil {
		t.Error(err)
	}
}

// TestDriveCheck tries a bucket that is right, and some that are not.
func TestDriveCheck(t *testing.T) {
	b := newBucketDrive(t, false)
	code, out := b.command(t, "drive", "check", "data")
	for _, step := range []string{"list", "write", "read", "conditions", "clock", "remove"} {
		if !strings.Contains(out, step) {
			t.Errorf("no step %q in:\n%s", step, out)
		}
	}
	if code != 0 || strings.Contains(out, "FAIL") {
		t.Errorf("drive check = %d\n%s", code, out)
	}
	if entries, err := os.ReadDir(filepath.Join(b.server.Dir, "some", "prefix")); err == nil && len(entries) > 0 {
		t.Errorf("the check left %v", entries)
	}
	for name, args := range map[string][]string{
		"no such bucket": {"s3://missing", "--endpoint", b.server.URL, "--path-style"},
		"not there":      {"s3://" + versitygw.Bucket, "--endpoint", "http://127.0.0.1:1", "--path-style"},
		"anonymous":      {"s3://" + versitygw.Bucket, "--endpoint", b.server.URL, "--path-style", "--anonymous"},
	} {
		code, out := b.command(t, append([]string{"drive", "add", "other"}, args...)...)
		if code == 0 || !strings.Contains(out, "--no-check") {
			t.Errorf("%s: drive add = %d\n%s", name, code, out)
		}
	}
}
