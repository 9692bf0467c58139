package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

// TestCredentialsAreLookedUp mends the file that has the keys: they count as soon as they are asked for again.
func TestCredentialsAreLookedUp(t *testing.T) {
	file := filepath.Join(t.TempDir(), "credentials")
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", file)
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_DISABLED", "true")
	cache := aws.NewCredentialsCache(lookedUp{})
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
