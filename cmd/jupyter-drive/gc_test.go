package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// TestGCWithoutBuckets asks a daemon that has folders only, and so has not opened the cache: what is in it of drives that are gone goes, and
// what is of a configured one, which this time has no place, stays.
func TestGCWithoutBuckets(t *testing.T) {
	env := testEnv(t)
	gone, kept := strings.Repeat("ab", 16), strings.Repeat("cd", 16)
	if err := os.MkdirAll(filepath.Dir(env.configFile()), 0o700); err != nil {
		t.Fatal(err)
	}
	text := "version = 1\n[drives.data]\nurl = \"s3://bucket\"\nid = \"" + kept + "\"\n"
	if err := os.WriteFile(env.configFile(), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{gone, kept} {
		fillCache(t, env, id)
	}
	serveWith(t, env, t.TempDir())
	code, stdout, stderr := call(t, env, "gc", "--json")
	var r gcResult
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != exitOK {
		t.Fatalf("gc = %d %q %s: %v", code, stdout, stderr, err)
	}
	if want := int64(blockcache.Unit + len("listing")); r.Cache < want {
		t.Errorf("gc has freed %d bytes, want at least %d", r.Cache, want)
	}
	if got := statusOf(t, env); got.Cache == nil || got.Cache.Files != 1 {
		t.Errorf("the cache after it: %+v, want the configured drive's file", got.Cache)
	}
	for id, want := range map[string]bool{gone: false, kept: true} {
		if _, err := os.Stat(filepath.Join(env.listingsDir(), id)); (err == nil) != want {
			t.Errorf("listings of %s: %v, want there: %v", id, err, want)
		}
	}
}

// TestGCWithoutCache leaves a machine that has never had a bucket without a cache.
func TestGCWithoutCache(t *testing.T) {
	env := testEnv(t)
	serveWith(t, env, t.TempDir())
	if code, _, stderr := call(t, env, "gc"); code != exitOK {
		t.Errorf("gc = %d %s", code, stderr)
	}
	if _, err := os.Stat(env.blocksDir()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the cache after it: %v, want none", err)
	}
}

// fillCache leaves a cached file and listings of a drive, as a daemon does that has ended.
func fillCache(t *testing.T, env environment, id string) {
	t.Helper()
	cache, err := blockcache.Open(env.blocksDir(), blockcache.Options{})
	if err != nil {
		t.Fatal(err)
	}
	f, err := cache.Open(blockcache.Key{Drive: id, Name: "x", Version: fs.Version("1")}, blockcache.Unit)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(f.WriteAt(make([]byte, blockcache.Unit), 0), f.Close(), cache.Close()); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(os.MkdirAll(env.listingsDir(), 0o700), os.WriteFile(filepath.Join(env.listingsDir(), id), []byte("listing"), 0o600)); err != nil {
		t.Fatal(err)
	}
}
