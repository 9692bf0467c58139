package integration

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

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
	if code, out := b.Command(t, "warm", "nope"); code != 5 || !strings.Contains(out, "nope: not found") {
		t.Errorf("warm of what is not there = %d %s", code, out)
	}
	if err := b.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	checkFolder(t, "the cache of a daemon that knew nothing", b.Daemon.Mount, manifest)
	if err := b.Daemon.Stop(); err != nil {
		t.Error(err)
	}
}

// TestFsckCountsDamage damages what is cached between two starts: fsck says how much it has dropped.
func TestFsckCountsDamage(t *testing.T) {
	b := bucketdrive.New(t, bucketdrive.Options{})
	b.Start(t)
	writeFiles(t, b.Daemon.Mount, map[string][]byte{}, "cached", 1)
	b.Settle(t)
	if err := b.Daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	data, err := filepath.Glob(filepath.Join(b.Opts.Box.Home, "cache", "jupyter-drive", "blocks", "contents", "*", "*", "*.data"))
	if err != nil || len(data) != 1 {
		t.Fatalf("cached are %v, %v; want one file", data, err)
	}
	f, err := os.OpenFile(data[0], os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt([]byte("damaged"), 100); errors.Join(err, f.Close()) != nil {
		t.Fatal(err)
	}
	b.Start(t)
	if code, out := b.Command(t, "fsck"); code != 0 || !strings.Contains(out, "of it damaged") || strings.Contains(out, " 0 B of it damaged") {
		t.Errorf("fsck = %d %s", code, out)
	}
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
	if !strings.Contains(out, "with this shell's keys") {
		t.Errorf("whose keys were tried without a daemon?\n%s", out)
	}
	b.Start(t)
	keys := b.Opts.Env
	b.Opts.Env = append(slices.Clone(keys), "AWS_SECRET_ACCESS_KEY=wrong")
	if code, out := b.Command(t, "drive", "check", "data"); code != 0 || !strings.Contains(out, "with the running daemon's keys") {
		t.Errorf("drive check from a shell with wrong keys = %d\n%s", code, out)
	}
	if err := b.Daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	if code, out := b.Command(t, "drive", "check", "data"); code == 0 {
		t.Errorf("drive check with wrong keys = %d\n%s", code, out)
	}
	b.Opts.Env = keys
	for _, tt := range []struct {
		name string
		code int // of docs/cli.md
		args []string
	}{
		{"no such bucket", 5, []string{"s3://missing", "--endpoint", b.Server.URL, "--path-style"}},
		{"not there", 7, []string{"s3://" + versitygw.Bucket + "/other", "--endpoint", "http://127.0.0.1:1", "--path-style"}},
		{"anonymous", 6, []string{"s3://" + versitygw.Bucket + "/other", "--endpoint", b.Server.URL, "--path-style", "--anonymous"}},
	} {
		code, out := b.Command(t, append([]string{"drive", "add", "other"}, tt.args...)...)
		if code != tt.code || !strings.Contains(out, "--no-check") {
			t.Errorf("%s: drive add = %d, want %d\n%s", tt.name, code, tt.code, out)
		}
	}
}

// TestDownUploads ends a daemon that has just been written to, once with its store and once without.
func TestDownUploads(t *testing.T) {
	b := bucketdrive.New(t, bucketdrive.Options{})
	b.Start(t)
	manifest := map[string][]byte{}
	writeFiles(t, b.Daemon.Mount, manifest, "first", 10)
	if code, out := b.Command(t, "down"); code != 0 || !strings.Contains(out, "Stopped.") || strings.Contains(out, "Kept") {
		t.Errorf("down = %d\n%s", code, out)
	}
	objects := filepath.Join(b.Server.Dir, filepath.FromSlash(bucketdrive.Prefix))
	checkFolder(t, "after down the store", objects, manifest)

	b.Start(t)
	if _, err := os.ReadDir(b.Daemon.Mount); err != nil { // what is not known of a folder cannot be written without the store
		t.Fatal(err)
	}
	if err := b.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	more := map[string][]byte{}
	writeFiles(t, b.Daemon.Mount, more, "second", 3)
	const timeout = 5 * time.Minute
	began := time.Now()
	code, out := b.Command(t, "down", "--timeout", timeout.String())
	if took := time.Since(began); took >= timeout {
		t.Errorf("down waited %v for a store that is away", took)
	}
	if code != exitUnflushed || !strings.Contains(out, "3 changes") || !strings.Contains(out, b.Opts.Box.Home) {
		t.Errorf("down without the store = %d\n%s\nwant %d and where the 3 changes are", code, out, exitUnflushed)
	}
	if err := b.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.Start(t)
	b.Settle(t)
	checkFolder(t, "after the next start the store", objects, more)
	if code, out := b.Command(t, "down", "--timeout", "0"); code != 0 {
		t.Errorf("down with nothing to upload = %d\n%s", code, out)
	}
}
