package main

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// TestWarmPath names things in the mount from several working folders: the daemon is asked for what a user means.
func TestWarmPath(t *testing.T) {
	env := testEnv(t)
	mount := filepath.Join(env.home, "JupyterDrive")
	for _, dir := range []string{"data/sub", "home"} {
		if err := os.MkdirAll(filepath.Join(mount, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(mount, "data/df.csv"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(env.home, "link")
	if err := os.Symlink(filepath.Join(mount, "data"), link); err != nil {
		t.Fatal(err)
	}
	asked := warmInTest(t, env, mount)
	for _, tt := range []struct{ name, cwd, arg, want string }{
		{"a file here", mount + "/data", "df.csv", mount + "/data/df.csv"},
		{"a file here that says so", mount + "/data", "./df.csv", mount + "/data/df.csv"},
		{"this folder", mount + "/data/sub", ".", mount + "/data/sub"},
		{"the folder above", mount + "/data/sub", "..", mount + "/data"},
		{"a folder here", mount + "/data", "sub/", mount + "/data/sub"},
		{"beside this drive", mount + "/data", "../home", mount + "/home"},
		{"a drive from the mount", mount, "data", mount + "/data"},
		{"a file that is not here", mount + "/data", "home/x", "home/x"},
		{"a file that is nowhere", mount + "/data", "nope.csv", mount + "/data/nope.csv"},
		{"one that is not here and says so", mount + "/data", "./nope", mount + "/data/nope"},
		{"from elsewhere", env.home, "data/df.csv", "data/df.csv"},
		{"into the mount", env.home, "JupyterDrive/data", mount + "/data"},
		{"elsewhere", env.home, "./x", env.home + "/x"},
		{"through a link to here", link, "df.csv", mount + "/data/df.csv"},
		{"a whole path", mount + "/data", mount + "/home", mount + "/home"},
		{"nothing", mount + "/data", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			env := env
			env.cwd = tt.cwd
			if code, _, stderr := call(t, env, "warm", tt.arg); code != exitOK {
				t.Fatalf("warm %s = %d %s", tt.arg, code, stderr)
			}
			if *asked != tt.want {
				t.Errorf("in %s, warm %q asks for %q, want %q", tt.cwd, tt.arg, *asked, tt.want)
			}
		})
	}
}

// warmInTest answers in the place of a daemon with that mount, and returns the path that it was asked to fetch last.
func warmInTest(t *testing.T, env environment, mount string) *string {
	t.Helper()
	var asked string
	mux := http.NewServeMux()
	mux.HandleFunc("GET /status", func(w http.ResponseWriter, _ *http.Request) {
		replyJSON(t, w, status{Mount: mount, Drives: []driveStatus{{Name: "data"}, {Name: "home"}}})
	})
	mux.HandleFunc("POST /warm", func(w http.ResponseWriter, r *http.Request) {
		asked = r.URL.Query().Get("path")
		replyJSON(t, w, newsLine{Result: json.RawMessage(`{}`)})
	})
	controlWith(t, env, mux)
	return &asked
}

func replyJSON(t *testing.T, w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		t.Errorf("answering: %v", err)
	}
}
