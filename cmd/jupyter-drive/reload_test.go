package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// serveInTest runs a daemon without a mount until the test ends, and returns its link.
func serveInTest(t *testing.T, env environment) string {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan int, 1)
	go func() {
		var errs output
		code := run(ctx, []string{"serve", "--no-mount", "--listen", "127.0.0.1:0"}, env, strings.NewReader(""), w, &errs)
		_ = w.CloseWithError(io.ErrUnexpectedEOF) // a pipe's close cannot fail
		if code != exitOK {
			t.Errorf("serve = %d: %s", code, errs.String())
		}
		done <- code
	}()
	t.Cleanup(func() {
		stop()
		<-done
	})
	link, err := bufio.NewReader(r).ReadString('\n')
	if err != nil {
		t.Fatalf("serve printed no link: %v", err)
	}
	return strings.TrimSpace(link)
}

// contentsStatus asks the daemon for its root with the token of a link.
func contentsStatus(t *testing.T, link string) int {
	t.Helper()
	base, token, _ := strings.Cut(link, "lab?token=")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"api/contents", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// A drive that the running daemon cannot add keeps nobody out, and nobody in.
func TestABadDriveHoldsUpNeitherUsersNorDrives(t *testing.T) {
	env := testEnv(t)
	serveInTest(t, env)
	code, link, stderr := call(t, env, "user", "add", "grace")
	if code != exitOK {
		t.Fatalf("user add = %d %s", code, stderr)
	}
	link = strings.TrimSpace(link)
	if got := contentsStatus(t, link); got != http.StatusOK {
		t.Fatalf("the new user gets %d", got)
	}
	if code, _, stderr := call(t, env, "drive", "add", "notes", "~/notes", "--create"); code != exitOK {
		t.Fatalf("drive add = %d %s", code, stderr)
	}
	// Somebody edits the file by hand: a drive that cannot be, another one gone.
	text, err := os.ReadFile(env.configFile())
	if err != nil {
		t.Fatal(err)
	}
	edited, _ := removeDrive(string(text), "notes")
	edited += "\n[drives.bad]\nurl = \"file:/no/such/folder\"\n"
	if err := os.WriteFile(env.configFile(), []byte(edited), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, env, "user", "remove", "grace"); code == exitOK || !strings.Contains(stderr, "/no/such/folder") {
		t.Errorf("user remove beside a bad drive = %d %q, want its error", code, stderr)
	}
	if got := contentsStatus(t, link); got != http.StatusForbidden {
		t.Errorf("a removed user gets %d, want 403", got)
	}
	if code, _, stderr := call(t, env, "drive", "remove", "bad"); code != exitOK {
		t.Errorf("drive remove of the bad one = %d %q", code, stderr)
	}
	if code, _, stderr := call(t, env, "drive", "add", "notes", "~/notes"); code != exitOK {
		t.Errorf("drive add again = %d %q", code, stderr)
	}
}

func TestARefusedDriveIsNotKept(t *testing.T) {
	env := testEnv(t)
	serveInTest(t, env)
	state := filepath.Join(env.stateDir(), "x")
	if code, _, stderr := call(t, env, "drive", "add", "state", state, "--create"); code != exitConfig || !strings.Contains(stderr, "choose another") {
		t.Errorf("drive add of the state folder = %d %q, want %d", code, stderr, exitConfig)
	}
	if _, err := os.Stat(state); err == nil {
		t.Error("the folder was made all the same")
	}
	// The same folder once more under another name is refused by the daemon itself.
	if code, _, _ := call(t, env, "drive", "add", "again", filepath.Join(env.dataDir(), "home")); code == exitOK {
		t.Error("one folder was added as two drives")
	}
	if _, stdout, _ := call(t, env, "drive", "list"); strings.Contains(stdout, "state") || strings.Contains(stdout, "again") {
		t.Errorf("the configuration keeps refused drives: %s", stdout)
	}
}

// umount of one folder must not take away what is mounted at another.
func TestUmountOfAnotherFolder(t *testing.T) {
	env := testEnv(t)
	serveInTest(t, env)
	if code, _, stderr := call(t, env, "umount", t.TempDir()); code != exitNotFound || !strings.Contains(stderr, "nothing of ours") {
		t.Errorf("umount = %d %q, want %d", code, stderr, exitNotFound)
	}
	if code, _, stderr := call(t, env, "umount", "--stale", t.TempDir()); code != exitOK {
		t.Errorf("umount --stale = %d %q, want %d", code, stderr, exitOK)
	}
}

// put sends a body to the contents API with the token of a link, and returns the answer's status.
func put(t *testing.T, link, path, body string) int {
	t.Helper()
	base, token, _ := strings.Cut(link, "lab?token=")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPut, base+"api/contents/"+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "token "+token)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	if err := resp.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}
