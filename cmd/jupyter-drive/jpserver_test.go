package main

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// TestStaleServerFiles leaves files as a daemon does that is killed, and looks at what the next one removes of them.
func TestStaleServerFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		before func(t *testing.T, f serverFiles) // what happens between the two
		left   []string
	}{
		{"as they were left", func(*testing.T, serverFiles) {}, nil},
		{"the list is gone", func(t *testing.T, f serverFiles) { remove(t, f.list) }, nil},
		{"both are gone", func(t *testing.T, f serverFiles) { remove(t, f.list); remove(t, f.page) }, nil},
		{"another server has that number", func(t *testing.T, f serverFiles) {
			t.Helper()
			for _, path := range []string{f.list, f.page} {
				if err := os.WriteFile(path, []byte("{}"), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}, []string{"jpserver-7-open.html", "jpserver-7.json"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir, note := t.TempDir(), filepath.Join(t.TempDir(), "server-page")
			if err := removeStaleFiles(note); err != nil {
				t.Errorf("with nothing left: %v", err)
			}
			f := newServerFiles(dir, 7, note)
			if err := f.write(serverFile{PID: 7, URL: "http://127.0.0.1:1/", Token: "t"}); err != nil {
				t.Fatal(err)
			}
			tt.before(t, f)
			if err := removeStaleFiles(note); err != nil {
				t.Error(err)
			}
			if got := namesIn(t, dir); !slices.Equal(got, tt.left) {
				t.Errorf("left in Jupyter's folder: %q, want %q", got, tt.left)
			}
			if got := namesIn(t, filepath.Dir(note)); len(got) > 0 {
				t.Errorf("left in the state folder: %q", got)
			}
		})
	}
}

// TestServeRemovesStaleServerFiles starts a daemon after one that was killed.
func TestServeRemovesStaleServerFiles(t *testing.T) {
	env := testEnv(t)
	if err := os.MkdirAll(env.stateDir(), 0o700); err != nil {
		t.Fatal(err)
	}
	f := newServerFiles(env.jupyterRuntimeDir(), 7, filepath.Join(env.stateDir(), "server-page"))
	if err := f.write(serverFile{PID: 7}); err != nil {
		t.Fatal(err)
	}
	serveInTest(t, env)
	if got := namesIn(t, env.jupyterRuntimeDir()); len(got) != 2 || slices.Contains(got, filepath.Base(f.page)) {
		t.Errorf("while it runs there are %q, want its own two", got)
	}
}

func remove(t *testing.T, path string) {
	t.Helper()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
}

func namesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}
