// Package bucketdrive runs the built program on a bucket, as a user would: a real S3 server, `drive add`, and the daemon.
//
// A Drive is a bucket that is the drive "data" in the configuration of a sandbox. Its daemon may be started, killed and started again; what
// it keeps stays in the sandbox. Several drives may share one server and prefix, each as a machine of its own.
//
//	d := bucketdrive.New(t, bucketdrive.Options{})
//	d.Start(t)
//	d.Settle(t) // until nothing is to be uploaded
//	d.Object(ctx, "a.txt")
package bucketdrive

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// Name is what the drive is called, and Prefix where it is in the bucket.
const (
	Name   = "data"
	Prefix = "some/prefix"
)

// SettleTimeout is how long uploads may take.
const SettleTimeout = time.Minute

// Options say how the drive is set up.
type Options struct {
	TLS    bool
	Server *versitygw.Server // to share; nil = one of its own
	Args   []string          // further arguments of `drive add`
	Python string            // interpreter of kernels
}

// Drive is a bucket as a drive of a daemon.
type Drive struct {
	Server *versitygw.Server
	Opts   daemon.Options
	Daemon *daemon.Daemon // the one that was started last

	client *faultproxy.Proxy // signs requests that go past the daemon
}

// New adds a bucket to a new configuration, and tries it. All ends with the test.
func New(t *testing.T, o Options) *Drive {
	t.Helper()
	d := &Drive{Server: o.Server}
	if d.Server == nil {
		d.Server = versitygw.Run(t, versitygw.Options{TLS: o.TLS})
	}
	d.client = faultproxy.Run(t, faultproxy.Options{
		Upstream: d.Server.URL, TLS: d.Server.TLS(), AccessKey: versitygw.AccessKey, SecretKey: versitygw.SecretKey,
	})
	binary, err := daemon.Build()
	if err != nil {
		t.Fatal(err)
	}
	box, err := sandbox.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := box.Close(); err != nil {
			t.Error(err)
		}
	})
	d.Opts = daemon.Options{Box: box, Binary: binary, Env: d.Server.Env(), Args: []string{"--root", Name}, Python: o.Python}
	add := append([]string{"drive", "add", Name, "s3://" + versitygw.Bucket + "/" + Prefix, "--endpoint", d.Server.URL, "--path-style"}, o.Args...)
	if code, out := d.Command(t, add...); code != 0 {
		t.Fatalf("drive add = %d %s", code, out)
	}
	return d
}

// Start starts the daemon, which is killed with the test if it runs then.
func (d *Drive) Start(t *testing.T) {
	t.Helper()
	started, err := daemon.Start(t.Context(), d.Opts)
	if err != nil {
		t.Fatal(err)
	}
	d.Daemon = started
	t.Cleanup(func() {
		if err := started.Kill(); err != nil {
			t.Error(err)
		}
		if t.Failed() && started == d.Daemon {
			t.Logf("the daemon wrote:\n%s", started.Output())
		}
	})
}

// Configure adds lines to the configuration of the next daemon.
func (d *Drive) Configure(t *testing.T, lines string) {
	t.Helper()
	f, err := os.OpenFile(filepath.Join(d.Opts.Box.Home, "config", "jupyter-drive", "config.toml"), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteString("\n" + lines); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// Forget removes what a daemon that has ended knew: its state and its cache. The bucket alone remains.
func (d *Drive) Forget(t *testing.T) {
	t.Helper()
	for _, dir := range []string{"state", "cache"} {
		if err := os.RemoveAll(filepath.Join(d.Opts.Box.Home, dir)); err != nil {
			t.Fatal(err)
		}
	}
}

// Journal is the folder of the drive's journal, once the daemon was started.
func (d *Drive) Journal(t *testing.T) string {
	t.Helper()
	dirs, err := filepath.Glob(filepath.Join(d.Opts.Box.Home, "state", "jupyter-drive", "drives", "*", "journal"))
	if err != nil || len(dirs) != 1 {
		t.Fatalf("journals: %q, %v, want one", dirs, err)
	}
	return dirs[0]
}

// Command runs the program beside the daemon and returns its exit code and what it printed.
func (d *Drive) Command(t *testing.T, args ...string) (int, string) {
	t.Helper()
	cmd := exec.Command(d.Opts.Binary, args...)
	cmd.Env, cmd.Dir = append(d.Opts.Box.Env(), d.Opts.Env...), d.Opts.Box.Home
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// Store is how far the store is behind, as `status --json` has it.
type Store struct {
	Pending int  `json:"pending"`
	Offline bool `json:"offline"`
	Errors  []struct {
		Path  string `json:"path"`
		Error string `json:"error"`
	} `json:"errors"`
	Conflicts []struct {
		Path string `json:"path"`
		Copy string `json:"copy"`
	} `json:"conflicts"`
}

// Status asks the daemon how far the store is behind.
func (d *Drive) Status(t *testing.T) Store {
	t.Helper()
	cmd := exec.Command(d.Opts.Binary, "status", "--json")
	cmd.Env, cmd.Dir = append(d.Opts.Box.Env(), d.Opts.Env...), d.Opts.Box.Home
	out, err := cmd.Output() // its exit code tells of problems
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	var s struct {
		Drives []struct {
			Store *Store `json:"store"`
		} `json:"drives"`
	}
	if err := json.Unmarshal(out, &s); err != nil || len(s.Drives) != 1 || s.Drives[0].Store == nil {
		t.Fatalf("status --json: %v\n%s", err, out)
	}
	return *s.Drives[0].Store
}

// Settle waits until nothing is pending, and returns the status then.
func (d *Drive) Settle(t *testing.T) Store {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), SettleTimeout)
	defer cancel()
	for {
		s := d.Status(t)
		if s.Pending == 0 {
			return s
		}
		select {
		case <-ctx.Done():
			_, out := d.Command(t, "status")
			t.Fatalf("not uploaded in %v:\n%s\nthe daemon wrote:\n%s", SettleTimeout, out, d.Daemon.Output())
		case <-time.After(100 * time.Millisecond):
		}
	}
}
