package main

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// withoutKeys takes all credentials from the environment, and returns the file in which they are looked for.
func withoutKeys(t *testing.T) (file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "credentials")
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	return file
}

// TestCredentialsAreLookedUp mends the file that has the keys: they count as soon as they are asked for again.
func TestCredentialsAreLookedUp(t *testing.T) {
	file := withoutKeys(t)
	cache := aws.NewCredentialsCache(lookedUp{log: slog.New(slog.DiscardHandler)})
	if _, err := cache.Retrieve(t.Context()); err == nil || fs.KindOf(err) != fs.Credentials {
		t.Errorf("without keys: %v, want kind %q", err, fs.Credentials)
	}
	for _, key := range []string{"first", "second"} {
		if err := os.WriteFile(file, []byte("[default]\naws_access_key_id = "+key+"\naws_secret_access_key = secret\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cache.Invalidate()
		if got, err := cache.Retrieve(t.Context()); err != nil || got.AccessKeyID != key {
			t.Errorf("Retrieve() = %q, %v, want %q", got.AccessKeyID, err, key)
		}
	}
}

// TestNoCredentials lists a bucket without any: the error says so in plain words, and what the SDK says of it is in our log alone.
func TestNoCredentials(t *testing.T) {
	withoutKeys(t)
	machine := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer machine.Close()
	t.Setenv("AWS_EC2_METADATA_DISABLED", "false")
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", machine.URL)
	var log bytes.Buffer
	c := driveConfig{URL: "s3://bucket", bucketConfig: bucketConfig{Region: "eu-west-1", Endpoint: "http://127.0.0.1:1"}}
	steps := checkBucket(t.Context(), testEnv(t), c, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	if len(steps) != 1 || steps[0].Error != "no credentials were found" || !strings.Contains(steps[0].Hint, "AWS_ACCESS_KEY_ID") || steps[0].code != exitPermission {
		t.Errorf("steps: %+v", steps)
	}
	for _, text := range []string{"falling back to IMDSv1", "no EC2 IMDS role found"} {
		if !strings.Contains(log.String(), text) {
			t.Errorf("%q is not in the log:\n%s", text, log.String())
		}
	}
}
