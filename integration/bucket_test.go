package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// The exit code of a command that finds something not uploaded (docs/cli.md).
const exitUnflushed = 12

// writeFiles writes files through the mount: every other one is made durable with fsync, the rest only closed.
func writeFiles(t *testing.T, mount string, manifest map[string][]byte, prefix string, n int) {
	t.Helper()
	for i := range n {
		name := fmt.Sprintf("%s-%d.txt", prefix, i)
		data := bytes.Repeat(fmt.Appendf(nil, "%s %d\n", prefix, i), 1000*(i+1))
		f, err := os.Create(filepath.Join(mount, name))
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
		t.Run(name, func(t *testing.T) { bucketLosesNothing(t, bucketdrive.New(t, bucketdrive.Options{TLS: tls})) })
	}
}

func bucketLosesNothing(t *testing.T, b *bucketdrive.Drive) {
	objects := filepath.Join(b.Server.Dir, filepath.FromSlash(bucketdrive.Prefix))
	manifest := map[string][]byte{}
	b.Start(t)
	writeFiles(t, b.Daemon.Mount, manifest, "online", 4)
	b.Settle(t)
	checkFolder(t, "the bucket", objects, manifest)

	if err := b.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	writeFiles(t, b.Daemon.Mount, manifest, "offline", 4)
	if code, out := b.Command(t, "drive", "remove", "data"); code != exitUnflushed {
		t.Errorf("drive remove = %d %s", code, out)
	}
	checkFolder(t, "the mount without a store", b.Daemon.Mount, manifest)
	if err := b.Daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	if code, out := b.Command(t, "drive", "remove", "data"); code != exitUnflushed {
		t.Errorf("drive remove without a daemon = %d %s", code, out)
	}

	b.Start(t)
	if n := b.Status(t).Pending; n < 4 {
		t.Errorf("%d changes are pending after a kill, want at least 4", n)
	}
	if err := b.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Settle(t)
	checkFolder(t, "the mount", b.Daemon.Mount, manifest)
	checkFolder(t, "the bucket", objects, manifest)
	if err := b.Daemon.Stop(); err != nil {
		t.Fatal(err)
	}

	b.Forget(t)
	b.Start(t)
	for _, args := range [][]string{{"warm", b.Daemon.Mount}, {"fsck"}, {"gc"}} {
		if code, out := b.Command(t, args...); code != 0 {
			t.Errorf("%v = %d %s", args, code, out)
		}
	}
	if err := b.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, "the cache of a daemon that knew nothing", b.Daemon.Mount, manifest)
	if err := b.Daemon.Stop(); err != nil {
		t.Error(err)
	}
}

// TestDriveCheck tries a bucket that is right, and some that are not.
func TestDriveCheck(t *testing.T) {
	b := bucketdrive.New(t, bucketdrive.Options{})
	code, out := b.Command(t, "drive", "check", "data")
	for _, step := range []string{"list", "write", "read", "conditions", "clock", "remove"} {
		if !strings.Contains(out, step) {
			t.Errorf("no step %q in:\n%s", step, out)
		}
	}
	if code != 0 || strings.Contains(out, "FAIL") {
		t.Errorf("drive check = %d\n%s", code, out)
	}
	if entries, err := os.ReadDir(filepath.Join(b.Server.Dir, filepath.FromSlash(bucketdrive.Prefix))); err == nil && len(entries) > 0 {
		t.Errorf("the check left %v", entries)
	}
	for name, args := range map[string][]string{
		"no such bucket": {"s3://missing", "--endpoint", b.Server.URL, "--path-style"},
		"not there":      {"s3://" + versitygw.Bucket + "/other", "--endpoint", "http://127.0.0.1:1", "--path-style"},
		"anonymous":      {"s3://" + versitygw.Bucket + "/other", "--endpoint", b.Server.URL, "--path-style", "--anonymous"},
	} {
		code, out := b.Command(t, append([]string{"drive", "add", "other"}, args...)...)
		if code == 0 || !strings.Contains(out, "--no-check") {
			t.Errorf("%s: drive add = %d\n%s", name, code, out)
		}
	}
}
