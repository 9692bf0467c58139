package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/cobra"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// testEnv is an environment with folders of its own.
func testEnv(t *testing.T) environment {
	t.Helper()
	home := t.TempDir()
	return environment{
		vars: map[string]string{"HOME": home, "XDG_RUNTIME_DIR": filepath.Join(home, "run"), "PATH": os.Getenv("PATH")},
		uid:  os.Getuid(), gid: os.Getgid(), user: "ada", home: home, cwd: home, exe: "/nonexistent", umask: 0o022,
	}
}

// output collects what a command writes. A daemon logs to it from many goroutines.
type output struct {
	mu   sync.Mutex // guards all below
	text bytes.Buffer
	more chan struct{} // if not nil, closed at the next write
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.more != nil {
		close(o.more)
		o.more = nil
	}
	return o.text.Write(p)
}

// await returns when what was written contains a text.
func (o *output) await(t *testing.T, text string) {
	t.Helper()
	limit := time.After(time.Minute)
	for {
		o.mu.Lock()
		found := strings.Contains(o.text.String(), text)
		if o.more == nil {
			o.more = make(chan struct{})
		}
		more := o.more
		o.mu.Unlock()
		if found {
			return
		}
		select {
		case <-more:
		case <-limit:
			t.Fatalf("%q was not written in a minute, but:\n%s", text, o.String())
		}
	}
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// call runs a command line and returns its exit code and output.
func call(t *testing.T, env environment, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs output
	code = run(context.Background(), args, env, strings.NewReader(""), &out, &errs)
	return code, out.String(), errs.String()
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		name   string
		args   []string
		code   int
		stderr string // what it must say
	}{
		{"no such command", []string{"fly"}, exitUsage, "unknown command"},
		{"no such subcommand", []string{"drive", "fly"}, exitUsage, `unknown command "fly"`},
		{"no such flag", []string{"up", "--fly"}, exitUsage, "see: jupyter-drive up --help"},
		{"status without a daemon", []string{"status"}, exitNotRunning, "jupyter-drive up"},
		{"down without a daemon", []string{"down"}, exitNotRunning, "no daemon is running"},
		{"remove of an unknown drive", []string{"drive", "remove", "x"}, exitNotFound, "drive list"},
		{"remove of an unknown user", []string{"user", "remove", "x"}, exitNotFound, "user list"},
		{"bad user name", []string{"user", "add", "a/b"}, exitUsage, "cannot be a user's name"},
		{"the owner as a user", []string{"user", "add", "ada"}, exitConflict, "already"},
		{"bad drive name", []string{"drive", "add", "A B", "/tmp"}, exitUsage, "a drive's name has"},
		{"unknown scheme", []string{"drive", "add", "x", "gs://bucket"}, exitUsage, "local folders (file:PATH) and buckets"},
		{"no bucket", []string{"drive", "add", "x", "s3:///prefix"}, exitUsage, "names no bucket"},
		{"empty name in a prefix", []string{"drive", "add", "x", "s3://team/a//b"}, exitUsage, `drive x: url "s3://team/a//b": the prefix "a//b" is no path: the name is empty; write s3://team/a/b`},
		{"unchecked empty name", []string{"drive", "add", "x", "s3://team/a//b", "--no-check"}, exitUsage, "is no path"},
		{"prefix that goes up", []string{"drive", "add", "x", "s3://team/../b", "--no-check"}, exitUsage, `url "s3://team/../b": the prefix "../b" is no path`},
		{"bad bucket", []string{"drive", "add", "x", "s3://bad!bucket", "--no-check"}, exitUsage, `drive x: url "s3://bad!bucket" names no bucket: "bad!bucket" is not`},
		{"no region", []string{"drive", "add", "x", "s3://bucket"}, exitOther, "drive x (s3://bucket): configure: no region is set"},
		{"bad endpoint", []string{"drive", "add", "x", "s3://bucket", "--endpoint", "minio:9000"}, exitUsage, "is not a URL"},
		{"bad close", []string{"drive", "add", "x", "s3://bucket", "--close", "never"}, exitUsage, "neither"},
		{"a folder with a region", []string{"drive", "add", "x", "/tmp", "--region", "eu-west-1"}, exitUsage, "are for s3:// only"},
		{"a bucket that is away", []string{"drive", "add", "x", "s3://bucket", "--anonymous", "--endpoint", "http://127.0.0.1:1"}, exitUnavailable, "drive x (s3://bucket): list: "},
		{"one that is added anyway", []string{"drive", "add", "x", "s3://bucket", "--anonymous", "--endpoint", "http://127.0.0.1:1"}, exitUnavailable, "To add it anyway: --no-check"},
		{"missing folder", []string{"drive", "add", "x", "/no/such/folder"}, exitNotFound, "drive x: open drive /no/such/folder: "},
		{"check of an unknown drive", []string{"drive", "check", "x"}, exitNotFound, "no drive"},
		{"mount with one argument", []string{"mount", "x"}, exitUsage, "a URL and a folder"},
		{"mount of a bucket", []string{"mount", "s3://b/p", "/mnt"}, exitUsage, "mount URL DIR is for local folders (file:PATH); add the bucket with: jupyter-drive drive add NAME s3://b/p"},
		{"up of a bucket", []string{"up", "s3://b/p"}, exitUsage, "is for local folders (file:PATH); add the bucket with: jupyter-drive drive add NAME s3://b/p"},
		{"umount of nothing", []string{"umount", "/tmp"}, exitNotFound, "nothing of ours"},
		{"one TLS file", []string{"serve", "--no-mount", "--tls-cert", "x"}, exitUsage, "both"},
		{"missing TLS certificate", []string{"serve", "--no-mount", "--tls-cert", "x", "--tls-key", "y"}, exitNotFound, "--tls-cert x: there is no file /"},
		{"missing TLS key", []string{"serve", "--no-mount", "--tls-cert", "/etc/passwd", "--tls-key", "/y"}, exitNotFound, "--tls-key /y: there is no file /y; name the certificate's key (PEM)"},
		{"bad address", []string{"serve", "--no-mount", "--listen", "x"}, exitUsage, "not an address"},
		{"bad port", []string{"serve", "--no-mount", "--listen", "127.0.0.1:99999"}, exitUsage, "ports are numbers up to 65535"},
		{"named port", []string{"serve", "--no-mount", "--listen", "127.0.0.1:http"}, exitUsage, "ports are numbers up to 65535"},
		{"bad pattern", []string{"drive", "add", "x", "s3://bucket", "--local", "a/[", "--no-check"}, exitUsage, `drive x: local: "a/[" is no pattern`},
		{"unknown root", []string{"serve", "--no-mount", "--root", "x"}, exitNotFound, "there are: home"},
		{"help", []string{"--help"}, exitOK, ""},
		{"version", []string{"version"}, exitOK, ""},
		{"completion", []string{"completion", "bash"}, exitOK, ""},
		{"a configuration that is not there", []string{"--config", "/no/such.toml", "drive", "list"}, exitConfig, "--config /no/such.toml: there is no such file"},
		{"up with one that is not there", []string{"up", "--no-mount", "--config", "/no/such.toml"}, exitConfig, "there is no such file"},
		{"the path of one that is not there", []string{"config", "path", "--config", "/no/such.toml"}, exitOK, ""},
		{"completion of nothing", []string{"completion"}, exitOK, ""},
		{"completion of no shell", []string{"completion", "nosuch"}, exitUsage, `unknown command "nosuch"; see: jupyter-drive completion --help`},
		{"help on nothing", []string{"help", "nosuch"}, exitUsage, `"nosuch"`},
		{"help on a command", []string{"help", "drive", "add"}, exitOK, ""},
		{"base URL with a space", []string{"serve", "--no-mount", "--base-url", "x y"}, exitUsage, `write "/x%20y/"`},
		{"interpreter that is not there", []string{"serve", "--no-mount", "--python", "/no/such/python"}, exitNotFound, "--python /no/such/python"},
		{"interpreter that is a folder", []string{"serve", "--no-mount", "--python", "/tmp"}, exitUsage, "is a folder"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			code, stdout, stderr := call(t, testEnv(t), tt.args...)
			if code != tt.code || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("%q = %d\nstdout: %s\nstderr: %s\nwant %d and %q", tt.args, code, stdout, stderr, tt.code, tt.stderr)
			}
			if (code == exitOK) != (stdout != "") {
				t.Errorf("%d wrote to stdout: %q", code, stdout)
			}
		})
	}
}

func TestHelpNamesBuckets(t *testing.T) {
	if _, stdout, _ := call(t, testEnv(t), "--help"); !strings.Contains(stdout, "mounts local folders and buckets (S3) as one tree") {
		t.Errorf("--help: %s", stdout)
	}
}

// TestEveryCommandHasAnExample looks at the help of every command: it shows how to call it.
func TestEveryCommandHasAnExample(t *testing.T) {
	a := &app{env: testEnv(t)}
	seen := 0
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		if cmd.Hidden {
			return
		}
		seen++
		if !strings.Contains(cmd.Example, cmd.CommandPath()) {
			t.Errorf("%s --help has no example of it: %q", cmd.CommandPath(), cmd.Example)
		}
	}
	walk(a.command())
	if seen < 25 {
		t.Errorf("%d commands were looked at, want all", seen)
	}
}

func TestBadConfigurationIsExit3(t *testing.T) {
	env := testEnv(t)
	path := writeConfig(t, "nonsense = 1\n")
	for _, args := range [][]string{{"config", "check"}, {"drive", "list"}, {"user", "list"}, {"up", "--no-mount"}} {
		code, _, stderr := call(t, env, append(args, "--config", path)...)
		if code != exitConfig || !strings.Contains(stderr, "nonsense") {
			t.Errorf("%q = %d %q, want %d", args, code, stderr, exitConfig)
		}
	}
}

func TestDriveAddCheckListRemove(t *testing.T) {
	env := testEnv(t)
	folder := filepath.Join(env.home, "notes")
	if code, _, stderr := call(t, env, "drive", "add", "notes", "~/notes", "--create"); code != 0 {
		t.Fatalf("drive add = %d %s", code, stderr)
	}
	if code, _, stderr := call(t, env, "drive", "add", "notes", "~/notes"); code != exitConflict {
		t.Errorf("drive add twice = %d %s, want %d", code, stderr, exitConflict)
	}
	alias := filepath.Join(env.home, "alias")
	if err := os.Symlink(folder, alias); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, env, "drive", "add", "again", alias); code != exitConflict || !strings.Contains(stderr, `"notes"`) {
		t.Errorf("drive add of a drive's folder = %d %s, want %d", code, stderr, exitConflict)
	}
	code, stdout, _ := call(t, env, "drive", "list", "--json")
	var list struct{ Drives []driveStatus }
	if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != 0 {
		t.Fatalf("drive list --json = %d %q: %v", code, stdout, err)
	}
	if len(list.Drives) != 1 || list.Drives[0].URL != "file:"+folder || list.Drives[0].State != "ok" {
		t.Errorf("drives = %+v", list.Drives)
	}
	if code, _, stderr := call(t, env, "drive", "check", "--json"); code != 0 {
		t.Errorf("drive check = %d %s", code, stderr)
	}
	if err := os.Rename(folder, folder+"2"); err != nil {
		t.Fatal(err)
	}
	if code, stdout, _ := call(t, env, "drive", "check"); code != exitUnhealthy || !strings.Contains(stdout, "FAIL") {
		t.Errorf("drive check of a missing folder = %d %q, want %d", code, stdout, exitUnhealthy)
	}
	if code, _, stderr := call(t, env, "drive", "remove", "notes"); code != 0 {
		t.Errorf("drive remove = %d %s", code, stderr)
	}
	if _, stdout, _ := call(t, env, "drive", "list"); strings.Contains(stdout, "notes") {
		t.Errorf("after remove the list is %q", stdout)
	}
	if _, err := os.Stat(folder + "2"); err != nil {
		t.Errorf("removing a drive touched its files: %v", err)
	}
}

// TestFolderThatCannotBeWritten is told how it can be a drive all the same.
func TestFolderThatCannotBeWritten(t *testing.T) {
	for kind, want := range map[fs.Kind]int{fs.Permission: exitPermission, fs.NotPermitted: exitPermission, fs.ReadOnly: exitPermission, fs.NoSpace: -1} {
		err := notWritable("/etc", &fs.Error{Op: "put record", Path: "check/1", Kind: kind})
		told := strings.Contains(err.Error(), "the folder /etc cannot be written to by this user; to have it for reading: --read-only")
		if exitCode(err) != want || told != (want == exitPermission) {
			t.Errorf("%v: %v, want exit code %d", kind, err, want)
		}
	}
	if err := notWritable("/etc", nil); err != nil {
		t.Errorf("a folder that can be: %v", err)
	}
	if os.Getuid() == 0 {
		return // who may write everywhere
	}
	env := testEnv(t)
	folder := filepath.Join(env.home, "notes")
	if err := os.Mkdir(folder, 0o555); err != nil {
		t.Fatal(err)
	}
	code, _, stderr := call(t, env, "drive", "add", "notes", folder)
	if want := "drive notes: the folder " + folder + " cannot be written to"; code != exitPermission || !strings.Contains(stderr, want) {
		t.Errorf("drive add = %d %s, want %q", code, stderr, want)
	}
	if code, _, stderr := call(t, env, "drive", "add", "notes", folder, "--read-only"); code != exitOK {
		t.Errorf("drive add --read-only = %d %s", code, stderr)
	}
}

func TestUserAddPrintsALinkOnce(t *testing.T) {
	env := testEnv(t)
	code, stdout, stderr := call(t, env, "user", "add", "grace")
	if code != 0 || !strings.Contains(stdout, "/lab?token=") || strings.Count(stdout, "\n") != 1 {
		t.Fatalf("user add = %d %q %q", code, stdout, stderr)
	}
	if !strings.HasSuffix(stderr, ".\n") {
		t.Errorf("stderr alone ends with %q, want a whole sentence", stderr)
	}
	_, token, _ := strings.Cut(strings.TrimSpace(stdout), "token=")
	text, err := os.ReadFile(env.configFile())
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(text), token) {
		t.Error("the configuration holds the token itself")
	}
	if info, err := os.Stat(env.configFile()); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the configuration has mode %v, %v", info.Mode(), err)
	}
	if code, _, _ := call(t, env, "user", "add", "grace"); code != exitConflict {
		t.Errorf("user add twice = %d, want %d", code, exitConflict)
	}
	if code, _, _ := call(t, env, "user", "remove", "grace"); code != 0 {
		t.Errorf("user remove = %d", code)
	}
	if _, stdout, _ := call(t, env, "user", "list"); stdout != "" {
		t.Errorf("users after remove: %q", stdout)
	}
}

func TestOneDaemonPerStateFolder(t *testing.T) {
	dir := t.TempDir()
	first, err := takeLock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(dir); exitCode(err) != exitRunning || !strings.Contains(err.Error(), "pid") {
		t.Errorf("a second lock = %v, want exit code %d", err, exitRunning)
	}
	if err := first.release(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte("99\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := takeLock(dir); err == nil || !strings.Contains(err.Error(), "version 99") {
		t.Errorf("a newer state folder = %v", err)
	}
	if err := os.Truncate(filepath.Join(dir, "VERSION"), 0); err != nil { // as a full disk or a loss of power leaves it
		t.Fatal(err)
	}
	again, err := takeLock(dir)
	if err != nil {
		t.Fatalf("a state folder whose version was never written = %v", err)
	}
	if err := again.release(); err != nil {
		t.Error(err)
	}
}

func exitCode(err error) int {
	var exit *exitError
	if e, ok := err.(*exitError); ok { //nolint:errorlint // the outermost is the one that counts
		exit = e
		return exit.code
	}
	return -1
}

func TestCleanBaseURL(t *testing.T) {
	for in, want := range map[string]string{
		"": "/", "/": "/", "x": "/x/", "/a/b/": "/a/b/", "/a%40b/": "/a%40b/", "//x//": "/x/",
	} {
		if got, err := cleanBaseURL(in); got != want || err != nil {
			t.Errorf("cleanBaseURL(%q) = %q, %v; want %q", in, got, err, want)
		}
	}
	for _, in := range []string{"/x?y", "/x?", "/x#y", "/%zz", "x y", "/été/"} {
		if got, err := cleanBaseURL(in); err == nil {
			t.Errorf("cleanBaseURL(%q) = %q, want an error", in, got)
		}
	}
}

func TestDriveNameOf(t *testing.T) {
	for in, want := range map[string]string{"Projects": "projects", "My Data": "my-data", ".": "drive", "été": "-t-", "": "drive"} {
		if got := driveNameOf(in); got != want {
			t.Errorf("driveNameOf(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestDriveAddRefusesBucketsThatOverlap(t *testing.T) {
	env := testEnv(t)
	if code, _, stderr := call(t, env, "drive", "add", "a", "s3://b/x", "--no-check"); code != exitOK {
		t.Fatalf("drive add = %d %s", code, stderr)
	}
	for _, tt := range []struct {
		url, says string
		code      int
	}{
		{"s3://b/x/", `is the same place as drive "a"`, exitConflict},
		{"s3://b/x/y", `lies inside drive "a"`, exitConflict},
		{"s3://b", `contains drive "a"`, exitConflict},
		{"s3://b/xy", "", exitOK},
	} {
		if code, _, stderr := call(t, env, "drive", "add", "b", tt.url, "--no-check"); code != tt.code || !strings.Contains(stderr, tt.says) {
			t.Errorf("drive add %s = %d %q, want %d and %q", tt.url, code, stderr, tt.code, tt.says)
		}
	}
}
