package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
)

// awayStarted runs a daemon with a bucket in which is a file that cannot be uploaded: its store takes nothing, and then is away. It
// returns the store's address.
func awayStarted(t *testing.T, env environment) (endpoint string) {
	t.Helper()
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text := `<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>`
		switch {
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
			return
		case r.Method == http.MethodGet && r.URL.Query().Has("list-type"):
			text = `<?xml version="1.0"?><ListBucketResult><Name>bucket</Name><IsTruncated>false</IsTruncated></ListBucketResult>`
		default:
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		if _, err := io.WriteString(w, text); err != nil {
			t.Logf("an asker has gone: %v", err)
		}
	}))
	defer store.Close()
	if err := os.MkdirAll(filepath.Dir(env.configFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "version = 1\n[drives.data]\nurl = \"s3://bucket\"\nanonymous = true\npath_style = true\nendpoint = " + quote(store.URL) + "\n"
	if err := os.WriteFile(env.configFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	link := serveInTest(t, env)
	if code := put(t, link, "data/a.txt", `{"type":"file","format":"text","content":"text"}`); code != http.StatusCreated {
		t.Fatalf("PUT = %d", code)
	}
	return store.URL
}

// TestDownTellsWhatIsNotUploaded ends a daemon whose store is away: down does not wait for that, and says what is left and where.
func TestDownTellsWhatIsNotUploaded(t *testing.T) {
	for _, timeout := range []string{"10m", "0"} {
		t.Run("timeout "+timeout, func(t *testing.T) {
			env := testEnv(t)
			awayStarted(t, env)
			state := statusOf(t, env).Drives[0].Store.State
			code, stdout, stderr := call(t, env, "down", "--timeout", timeout)
			if code != exitUnflushed || stdout != "" {
				t.Errorf("down = %d %q, want %d", code, stdout, exitUnflushed)
			}
			for _, want := range []string{"Kept     1 change (4 B) of drive data, not uploaded yet", state, "goes on at the next start", "Stopped."} {
				if !strings.Contains(stderr, want) {
					t.Errorf("down says %q, want %q in it", stderr, want)
				}
			}
			if got := strings.Contains(stderr, "Uploading 1 change (4 B) of drive data …"); got != (timeout != "0") {
				t.Errorf("down says %q", stderr)
			}
			if code, _, _ := call(t, env, "status"); code != exitNotRunning {
				t.Errorf("status = %d, want %d", code, exitNotRunning)
			}
		})
	}
}

func TestWorthWaiting(t *testing.T) {
	once, twice := storeTrouble{Tries: 1}, storeTrouble{Tries: 2}
	for _, tt := range []struct {
		name string
		s    storeStatus
		want bool
	}{
		{"nothing pending", storeStatus{Offline: true}, false},
		{"not tried yet", storeStatus{Pending: 2}, true},
		{"one not tried yet", storeStatus{Pending: 2, Offline: true, Errors: []storeTrouble{twice}}, true},
		{"does not answer", storeStatus{Pending: 2, Offline: true, Errors: []storeTrouble{once, once}}, false},
		{"one refused once", storeStatus{Pending: 2, Errors: []storeTrouble{twice, once}}, true},
		{"refused twice", storeStatus{Pending: 2, Errors: []storeTrouble{twice, twice}}, false},
		{"more than are named", storeStatus{Pending: 500, Errors: slices.Repeat([]storeTrouble{twice}, maxErrors)}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := status{Drives: []driveStatus{{Name: "home"}, {Name: "data", Store: &tt.s}}}
			if got := s.worthWaiting(); got != tt.want {
				t.Errorf("worthWaiting() = %v, want %v", got, tt.want)
			}
		})
	}
}

// TestInterruptedDown interrupts down while it waits: the daemon goes on.
func TestInterruptedDown(t *testing.T) {
	env := testEnv(t)
	ctx, cancel := context.WithCancel(t.Context())
	asked := make(chan struct{})
	busy := status{Drives: []driveStatus{{Name: "data", Store: &storeStatus{Pending: 2, Bytes: 5e6, Uploading: 1}}}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		if err := json.NewEncoder(w).Encode(busy); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("POST /flush", func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
	})
	mux.HandleFunc("POST /stop", func(http.ResponseWriter, *http.Request) { t.Error("the daemon was stopped") })
	controlWith(t, env, mux)
	go func() {
		<-asked
		cancel()
	}()
	var out, errs output
	code := run(ctx, []string{"down"}, env, strings.NewReader(""), &out, &errs)
	if got := errs.String(); code != exitInterrupted || !strings.Contains(got, "2 changes (5.0 MB) of drive data") || !strings.Contains(got, "still runs") {
		t.Errorf("down = %d %q, want %d", code, got, exitInterrupted)
	}
}

// controlWith serves a daemon's control socket until the test ends.
func controlWith(t *testing.T, env environment, h http.Handler) {
	t.Helper()
	if err := env.makeRuntimeDir(); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", env.controlSocket())
	if err != nil {
		t.Fatal(err)
	}
	srv := &httptest.Server{Listener: ln, Config: &http.Server{Handler: h}} //nolint:gosec // a test's own
	srv.Start()
	t.Cleanup(srv.Close)
}

// TestRemovedDriveIsTakenUpAgain removes a bucket with changes that were not uploaded, and adds it again.
func TestRemovedDriveIsTakenUpAgain(t *testing.T) {
	env := testEnv(t)
	endpoint := awayStarted(t, env)
	state := statusOf(t, env).Drives[0].Store.State
	if code, _, stderr := call(t, env, "drive", "remove", "data"); code != exitUnflushed || !strings.Contains(stderr, "1 change (4 B)") {
		t.Errorf("drive remove = %d %q, want %d", code, stderr, exitUnflushed)
	}
	add := "jupyter-drive drive add data s3://bucket --endpoint " + endpoint + " --path-style --anonymous"
	if code, _, stderr := call(t, env, "drive", "remove", "data", "--force"); code != exitOK || !strings.Contains(stderr, state) || !strings.Contains(stderr, add) {
		t.Fatalf("drive remove --force = %d %q, want where it is kept and %q", code, stderr, add)
	}
	if code, stdout, stderr := call(t, env, "gc"); code != exitOK || !strings.Contains(stdout, "1 change (4 B), never uploaded; to upload") {
		t.Errorf("gc = %d %q %q, want what it keeps", code, stdout, stderr)
	}
	args := slices.Concat(strings.Fields(add)[1:], []string{"--no-check"})
	if code, _, stderr := call(t, env, args...); code != exitOK || !strings.Contains(stderr, "Resumed ") {
		t.Fatalf("drive add = %d %q", code, stderr)
	}
	s := statusOf(t, env)
	if len(s.Drives) != 1 || s.Drives[0].Store == nil || s.Drives[0].Store.State != state || s.Drives[0].Store.Pending != 1 {
		t.Errorf("status %+v, want the change that was kept", s.Drives)
	}
	if _, found := readRemoved(state); found {
		t.Error("the state folder is still marked as a removed drive's")
	}
}

func TestFsckWithoutItsStore(t *testing.T) {
	env := testEnv(t)
	awayStarted(t, env)
	code, stdout, stderr := call(t, env, "fsck")
	if code != exitUnavailable || !strings.Contains(stdout, "not compared with the store") || !strings.Contains(stderr, "drive check") {
		t.Errorf("fsck = %d %q %q, want %d", code, stdout, stderr, exitUnavailable)
	}
	code, stdout, _ = call(t, env, "fsck", "data", "--json")
	if code != exitUnavailable || !strings.Contains(stdout, `"error":`) {
		t.Errorf("fsck --json = %d %s", code, stdout)
	}
}

// TestDriveListAsksTheDaemon lists drives that a daemon has, and one that it has not.
func TestDriveListAsksTheDaemon(t *testing.T) {
	env := testEnv(t)
	path := writeConfig(t, "version = 1\n[drives.data]\nurl = \"s3://bucket\"\n[drives.other]\nurl = \"s3://there\"\n")
	states := func() (got [2]string) {
		code, stdout, stderr := call(t, env, "--config", path, "drive", "list", "--json")
		var list status
		if err := json.Unmarshal([]byte(stdout), &list); err != nil || code != exitOK || len(list.Drives) != 2 {
			t.Fatalf("drive list = %d %q %q: %v", code, stdout, stderr, err)
		}
		return [2]string{list.Drives[0].State, list.Drives[1].State}
	}
	if got, want := states(), [2]string{"ok", "ok"}; got != want {
		t.Errorf("without a daemon: %q, want %q", got, want)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		s := status{Drives: []driveStatus{{Name: "data", URL: "s3://bucket", State: "offline for 2s: no answer"}, {Name: "other", URL: "s3://elsewhere", State: "bad"}}}
		if err := json.NewEncoder(w).Encode(s); err != nil {
			t.Error(err)
		}
	})
	controlWith(t, env, mux)
	if got, want := states(), [2]string{"offline for 2s: no answer", "ok"}; got != want {
		t.Errorf("beside a daemon: %q, want %q", got, want)
	}
}

// TestFsckTellsLossFromAbsence ends with what is wrong on this machine, not with what comes of a store that is away.
func TestFsckTellsLossFromAbsence(t *testing.T) {
	unknown := drive.Finding{Path: "a.txt", Err: &fs.Error{Op: "put", Path: "a.txt", Kind: fs.UnknownOutcome, Err: &fs.Error{Kind: fs.Unavailable}}}
	away := drive.Finding{Path: "b.txt", Err: &fs.Error{Op: "put", Path: "b.txt", Kind: fs.Unavailable}}
	lost := drive.Finding{Path: "c.txt", Err: &fs.Error{Op: "read", Path: "c.txt", Kind: fs.Checksum}}
	for _, tt := range []struct {
		name  string
		found []drive.Finding
		want  int
	}{
		{"uploads that had no answer", []drive.Finding{unknown, away}, exitUnavailable},
		{"an upload of which nothing is known", []drive.Finding{unknown}, exitUnavailable},
		{"something else", []drive.Finding{lost}, exitUnhealthy},
		{"both", []drive.Finding{unknown, lost, away}, exitUnhealthy},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := fsckResult{Drive: "data"}
			r.note(tt.found)
			if err := (&app{}).writeFsck([]fsckResult{r}, true); exitCode(err) != tt.want {
				t.Errorf("found %q, error %q: %v, want exit code %d", r.Findings, r.Error, err, tt.want)
			}
		})
	}
}

// TestWrongBucketIsNotFound adds a bucket that a store does not have.
func TestWrongBucketIsNotFound(t *testing.T) {
	store := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusNotFound)
		if _, err := io.WriteString(w, `<?xml version="1.0"?><Error><Code>NoSuchBucket</Code><Message>not here</Message></Error>`); err != nil {
			t.Error(err)
		}
	}))
	defer store.Close()
	code, _, stderr := call(t, testEnv(t), "drive", "add", "x", "s3://bucket", "--anonymous", "--path-style", "--endpoint", store.URL)
	if code != exitNotFound || !strings.Contains(stderr, "check the bucket's name") {
		t.Errorf("drive add = %d %q, want %d", code, stderr, exitNotFound)
	}
}

// TestNewsOfALongAction has a daemon tell how far it is, and how it ends.
func TestNewsOfALongAction(t *testing.T) {
	env := testEnv(t)
	c := &control{}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /long", answerWithNews(c, func(_ context.Context, q url.Values, tell func(news)) (warmResult, error) {
		for i := range 100 {
			tell(news{Files: i + 1})
		}
		if q.Has("fail") {
			return warmResult{}, fail(exitConflict, "no")
		}
		return warmResult{Files: 100}, nil
	}))
	controlWith(t, env, mux)
	var told []int
	tell := func(n news) { told = append(told, n.Files) }
	var r warmResult
	if err := env.askWithNews(t.Context(), "/long", tell, &r); err != nil || r.Files != 100 {
		t.Errorf("the result is %+v, %v", r, err)
	}
	if len(told) == 0 || told[0] != 1 || len(told) > 50 || !slices.IsSorted(told) {
		t.Errorf("told %v, want the first at once and not each", told)
	}
	if err := env.askWithNews(t.Context(), "/long?fail", tell, &r); exitCode(err) != exitConflict || err.Error() != "no" {
		t.Errorf("an error comes back as %v", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
	cancel()
	if err := env.askWithNews(ctx, "/long", tell, &r); exitCode(err) != exitInterrupted || errors.Is(err, io.EOF) {
		t.Errorf("interrupted, it comes back as %v", err)
	}
}
