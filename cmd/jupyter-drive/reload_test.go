package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// serveInTest runs a daemon without a mount until the test ends, and returns its link.
func serveInTest(t *testing.T, env environment) string {
	t.Helper()
	link, _ := serveWith(t, env)
	return link
}

// serveWith is serveInTest with further arguments. It also returns what the daemon writes to stderr.
func serveWith(t *testing.T, env environment, args ...string) (link string, stderr *output) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	r, w := io.Pipe()
	done := make(chan int, 1)
	errs := &output{}
	go func() {
		code := run(ctx, append([]string{"serve", "--no-mount", "--listen", "127.0.0.1:0"}, args...), env, strings.NewReader(""), w, errs)
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
	return strings.TrimSpace(link), errs
}

// ask sends a request below api/contents with the token of a link, and returns the answer's status.
func ask(t *testing.T, method, link, path, body string) int {
	t.Helper()
	base, token, _ := strings.Cut(link, "lab?token=")
	req, err := http.NewRequestWithContext(t.Context(), method, base+"api/contents"+path, strings.NewReader(body))
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

// contentsStatus asks the daemon for its root with the token of a link.
func contentsStatus(t *testing.T, link string) int {
	t.Helper()
	return ask(t, http.MethodGet, link, "", "")
}

// put sends a body to the contents API with the token of a link.
func put(t *testing.T, link, path, body string) int {
	t.Helper()
	return ask(t, http.MethodPut, link, "/"+path, body)
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

func driveNamesOf(s status) (names []string) {
	for _, d := range s.Drives {
		names = append(names, d.Name)
	}
	return names
}

// TestDriveAddBesideChosenFolders adds drives to a daemon that was given its folders on the command line.
func TestDriveAddBesideChosenFolders(t *testing.T) {
	env := testEnv(t)
	for _, name := range []string{"projects", "notes", "old"} {
		if err := os.Mkdir(filepath.Join(env.home, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	succeeds := func(args ...string) string {
		t.Helper()
		code, _, stderr := call(t, env, args...)
		if code != exitOK {
			t.Fatalf("%q = %d %s", args, code, stderr)
		}
		return stderr
	}
	shown := func(want ...string) {
		t.Helper()
		if got := driveNamesOf(statusOf(t, env)); !slices.Equal(got, want) {
			t.Errorf("the daemon shows %q, want %q", got, want)
		}
	}
	if got := succeeds("drive", "add", "old", "~/old"); !strings.Contains(got, "once a daemon runs") {
		t.Errorf("without a daemon it says %q", got)
	}
	link, _ := serveWith(t, env, "~/projects")
	shown("projects")
	if got := succeeds("drive", "add", "notes", "~/notes"); !strings.Contains(got, "it is in JupyterLab") {
		t.Errorf("drive add says %q", got)
	}
	shown("notes", "projects")
	if got := ask(t, http.MethodGet, link, "/notes", ""); got != http.StatusOK {
		t.Errorf("the API answers %d for the new drive", got)
	}
	code, _, stderr := call(t, env, "drive", "add", "projects", "~/other", "--create")
	if code != exitConflict || !strings.Contains(stderr, "from its command line; choose another name") {
		t.Errorf("a name that is taken = %d %q, want %d", code, stderr, exitConflict)
	}
	shown("notes", "projects")
	succeeds("drive", "remove", "old")
	succeeds("drive", "add", "old", "~/old")
	shown("notes", "old", "projects")
	succeeds("drive", "remove", "notes")
	shown("old", "projects")
}

// TestDriveAddThatIsNotShown adds drives that the running daemon has no place for.
func TestDriveAddThatIsNotShown(t *testing.T) {
	env := testEnv(t)
	serveWith(t, env, "--root", "home")
	if code, _, stderr := call(t, env, "drive", "add", "notes", "~/notes", "--create"); code != exitOK || !strings.Contains(stderr, "without --root") {
		t.Errorf("beside a daemon with --root drive add = %d %q", code, stderr)
	}
	other := writeConfig(t, "version = 1\n")
	code, _, stderr := call(t, env, "--config", other, "drive", "add", "more", "~/more", "--create")
	if code != exitOK || !strings.Contains(stderr, "it follows "+env.configFile()) {
		t.Errorf("with another configuration drive add = %d %q", code, stderr)
	}
}

// TestMissingFolder starts a daemon while the folder of a drive is missing, and makes the folder.
func TestMissingFolder(t *testing.T) {
	env := testEnv(t)
	if err := os.MkdirAll(filepath.Dir(env.configFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	there, missing := t.TempDir(), filepath.Join(t.TempDir(), "usb")
	text := "version = 1\n[drives.disk]\nurl = \"file:" + missing + "\"\n[drives.home]\nurl = \"file:" + there + "\"\n"
	if err := os.WriteFile(env.configFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := call(t, env, "serve", "--no-mount", "--root", "disk"); code != exitNotFound || !strings.Contains(stderr, missing) {
		t.Errorf("serve --root of a missing folder = %d %q, want %d", code, stderr, exitNotFound)
	}
	if code, _, stderr := call(t, env, "serve", "--no-mount", missing); code != exitNotFound || !strings.Contains(stderr, missing) {
		t.Errorf("serve of a missing folder = %d %q, want %d", code, stderr, exitNotFound)
	}
	link, stderr := serveWith(t, env)
	if got := stderr.String(); !strings.Contains(got, "Missing  drive disk:") || !strings.Contains(got, "jupyter-drive drive remove disk") {
		t.Errorf("the daemon says %q", got)
	}
	if got := ask(t, http.MethodGet, link, "/home", ""); got != http.StatusOK {
		t.Errorf("the other drive = %d", got)
	}
	code, stdout, _ := call(t, env, "status")
	if code != exitUnhealthy || !strings.Contains(stdout, "PROBLEM  drive-disk: open drive "+missing+": ") || !strings.Contains(stdout, missing) || !strings.Contains(stdout, "connect its disk") {
		t.Errorf("status = %d %s", code, stdout)
	}
	if code, _, stderr := call(t, env, "drive", "add", "notes", "~/notes", "--create"); code != exitOK {
		t.Errorf("drive add beside a missing one = %d %q", code, stderr)
	}
	if err := os.Mkdir(missing, 0o755); err != nil {
		t.Fatal(err)
	}
	stderr.await(t, "Drive    disk ")
	if got := ask(t, http.MethodGet, link, "/disk", ""); got != http.StatusOK {
		t.Errorf("the drive whose folder has come = %d", got)
	}
	if code, stdout, _ := call(t, env, "status"); code != exitOK {
		t.Errorf("status = %d %s", code, stdout)
	}
}

// TestFolderIsMoved takes the folder of a drive away while it is served: the status says what to do.
func TestFolderIsMoved(t *testing.T) {
	env := testEnv(t)
	folder := filepath.Join(env.home, "notes")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	serveWith(t, env, folder)
	if err := os.Rename(folder, folder+"2"); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := call(t, env, "status")
	if want := "PROBLEM  drive-notes: there is no folder " + folder + ". If it was moved, move it back;"; code != exitUnhealthy || !strings.Contains(stdout, want) {
		t.Errorf("status = %d %s, want %q", code, stdout, want)
	}
}

// TestDriveProblems tells of a drive in a store that does not work.
func TestDriveProblems(t *testing.T) {
	for _, tt := range []struct {
		state, want string
		offline     bool
	}{
		{"offline for 5s: h refuses connections", "drive-data: offline for 5s: h refuses connections. It is asked again every few seconds; what is written meanwhile is kept here", true},
		{"access denied: x", "drive-data: access denied: x. It is tried again every few seconds; what is written meanwhile is kept here", false},
	} {
		ds := driveStatus{Name: "data", State: tt.state, Store: &storeStatus{Offline: tt.offline}}
		p := driveProblem(ds, presentStep(ds))
		if got := p.line(); !strings.HasPrefix(got, tt.want) || !strings.HasSuffix(got, ": jupyter-drive drive check data") {
			t.Errorf("printed is %q, want %q", got, tt.want)
		}
		if !strings.HasPrefix(p.Text, "drive data: "+tt.state) {
			t.Errorf("the text alone is %q", p.Text)
		}
	}
}

// TestMissingFolderIsRemoved takes a drive out of the configuration while its folder is missing.
func TestMissingFolderIsRemoved(t *testing.T) {
	env := testEnv(t)
	if err := os.MkdirAll(filepath.Dir(env.configFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(env.configFile(), []byte("[drives.disk]\nurl = \"file:/no/such/folder\"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	serveInTest(t, env)
	if got := statusOf(t, env); len(got.Drives) != 1 || got.Drives[0].State == "ok" || len(got.Problems) != 1 {
		t.Errorf("status %+v, want the drive and one problem", got)
	}
	if code, _, stderr := call(t, env, "drive", "remove", "disk"); code != exitOK {
		t.Errorf("drive remove = %d %q", code, stderr)
	}
	if got := statusOf(t, env); len(got.Drives) != 0 || len(got.Problems) != 0 {
		t.Errorf("status %+v, want none", got)
	}
}
