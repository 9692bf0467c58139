package promises

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/client"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// count is how often something is repeated: few times, or with JUPYTER_DRIVE_TEST_FULL all.
func count(few, all int) int {
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		return all
	}
	return few
}

// run starts a daemon on an empty drive that is the root of API and mount.
func run(t *testing.T) (*daemon.Daemon, client.Client, string) {
	t.Helper()
	drive := filepath.Join(t.TempDir(), "drive")
	if err := os.Mkdir(drive, 0o755); err != nil {
		t.Fatal(err)
	}
	d := daemon.Run(t, daemon.Options{Drive: drive, Root: true})
	return d, client.Client{URL: d.URL, Token: d.Token}, drive
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// want fails the test unless the mount and both ways of the API read the same text from the file.
func want(t *testing.T, d *daemon.Daemon, c client.Client, name, text string) {
	t.Helper()
	if got, err := os.ReadFile(filepath.Join(d.Mount, name)); err != nil || string(got) != text {
		t.Errorf("the mount reads %.60q, %v, want %.60q", got, err, text)
	}
	if got, err := c.Do(t.Context(), http.MethodGet, "files/"+name, nil); err != nil || string(got.Body) != text {
		t.Errorf("files/%s reads %d %.60q, %v, want %.60q", name, got.Status, got.Body, err, text)
	}
	var model struct {
		Content string `json:"content"`
	}
	if err := c.Get(t.Context(), "api/contents/"+name+"?type=file&format=text", &model); err != nil || model.Content != text {
		t.Errorf("api/contents/%s reads %.60q, %v, want %.60q", name, model.Content, err, text)
	}
}

// TestPromiseSameBytesEverywhere changes a file in turn through the mount and the API; each change is seen by the others at once.
func TestPromiseSameBytesEverywhere(t *testing.T) {
	d, c, _ := run(t)
	path := filepath.Join(d.Mount, "a.txt")
	for n := range count(50, 500) {
		text := fmt.Sprintf("version %d\n%s", n, bytes.Repeat([]byte("ü\r\n"), n*37%5000))
		switch n % 4 {
		case 0:
			write(t, path, text)
		case 1:
			if _, err := c.Save(t.Context(), "a.txt", text); err != nil {
				t.Fatal(err)
			}
		case 2:
			write(t, path+".new", text)
			if err := os.Rename(path+".new", path); err != nil {
				t.Fatal(err)
			}
		case 3:
			// The mount has read the old version, and holds its pages.
			if _, err := os.ReadFile(path); err != nil {
				t.Fatal(err)
			}
			if _, err := c.Save(t.Context(), "a.txt", text); err != nil {
				t.Fatal(err)
			}
		}
		want(t, d, c, "a.txt", text)
		if t.Failed() {
			t.FailNow()
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Do(t.Context(), http.MethodGet, "api/contents/a.txt", nil); err != nil || got.Status != http.StatusNotFound {
		t.Errorf("after unlink GET = %d, %v, want 404", got.Status, err)
	}
}

// TestPromiseConflictIsToldAndKeepsBoth saves against a version that somebody else has replaced: the save fails and changes nothing.
func TestPromiseConflictIsToldAndKeepsBoth(t *testing.T) {
	d, c, _ := run(t)
	others := map[string]func() error{
		"API": func() error { _, err := c.Save(t.Context(), "a.txt", "theirs"); return err },
		"mount in place": func() error {
			return os.WriteFile(filepath.Join(d.Mount, "a.txt"), []byte("theirs"), 0o644)
		},
		"mount by rename": func() error {
			path := filepath.Join(d.Mount, "b.txt")
			return errors.Join(os.WriteFile(path, []byte("theirs"), 0o644), os.Rename(path, filepath.Join(d.Mount, "a.txt")))
		},
	}
	for name, save := range others {
		t.Run(name, func(t *testing.T) {
			if _, err := c.Save(t.Context(), "a.txt", "base"); err != nil {
				t.Fatal(err)
			}
			read, err := c.Do(t.Context(), http.MethodGet, "api/contents/a.txt?hash=1", nil)
			if err != nil || read.Header.Get("ETag") == "" {
				t.Fatalf("GET = %d, %v, with ETag %q, want one", read.Status, err, read.Header.Get("ETag"))
			}
			if err := save(); err != nil {
				t.Fatal(err)
			}
			late, err := c.Save(t.Context(), "a.txt", "ours", "If-Match", read.Header.Get("ETag"))
			if late.Status != http.StatusPreconditionFailed && late.Status != http.StatusConflict {
				t.Errorf("a save over a version that is gone = %d, %v, want 412 or 409", late.Status, err)
			}
			want(t, d, c, "a.txt", "theirs")
		})
	}
}

// TestPromiseLinkStaysInItsDrive makes a hard link from one drive to another.
func TestPromiseLinkStaysInItsDrive(t *testing.T) {
	one, two := filepath.Join(t.TempDir(), "one"), filepath.Join(t.TempDir(), "two")
	for _, dir := range []string{one, two} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(one, "a.txt"), "text")
	d := daemon.Run(t, daemon.Options{Drive: one, Args: []string{two}})
	err := os.Link(filepath.Join(d.Mount, "one", "a.txt"), filepath.Join(d.Mount, "two", "a.txt"))
	if !errors.Is(err, syscall.EXDEV) {
		t.Errorf("link(2) to another drive = %v, want EXDEV", err)
	}
	if err := os.Rename(filepath.Join(d.Mount, "one", "a.txt"), filepath.Join(d.Mount, "two", "a.txt")); !errors.Is(err, syscall.EXDEV) {
		t.Errorf("rename(2) to another drive = %v, want EXDEV", err)
	}
}

// secret is what nobody may read.
const secret = "the secret outside of the drive"

// TestPromiseSwappedSymlinkLeadsNowhere reads a name that turns from a file into a link to the outside and back all the time.
func TestPromiseSwappedSymlinkLeadsNowhere(t *testing.T) {
	d, c, drive := run(t)
	outside := filepath.Join(t.TempDir(), "secret.txt")
	write(t, outside, secret)
	write(t, filepath.Join(drive, "file"), "inside")
	if err := os.Symlink(outside, filepath.Join(drive, "link")); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	swapped := make(chan error, 1)
	go func() { swapped <- swap(ctx, drive) }()
	seen := map[int]int{}
	for n := range count(2000, 10_000) {
		path := []string{"files/name", "api/contents/name?format=text&type=file", "api/contents/name?content=0"}[n%3]
		got, err := c.Do(t.Context(), http.MethodGet, path, nil)
		if err != nil {
			t.Fatal(err)
		}
		seen[got.Status]++
		if bytes.Contains(got.Body, []byte(secret)) {
			t.Fatalf("open %d: GET %s reads the file outside", n, path)
		}
	}
	cancel()
	if err := <-swapped; err != nil {
		t.Fatal(err)
	}
	if seen[http.StatusOK] == 0 {
		t.Error("the file inside was never read: nothing was tested")
	}
	t.Logf("answers by status: %v", seen)
	if link, err := os.Readlink(filepath.Join(d.Mount, "link")); err != nil || link != outside {
		t.Errorf("Readlink in the mount = %q, %v, want the text %q", link, err, outside)
	}
}

// swap renames a file and a link to the outside over one name in turn until ctx ends.
func swap(ctx context.Context, drive string) error {
	at := func(name string) string { return filepath.Join(drive, name) }
	for ctx.Err() == nil {
		for _, from := range []string{"file", "link"} {
			// A hard link of either, so that the source stays.
			if err := os.Link(at(from), at("next")); err != nil {
				return err
			}
			if err := os.Rename(at("next"), at("name")); err != nil {
				return err
			}
		}
		if err := os.Remove(at("name")); err != nil {
			return err
		}
	}
	return nil
}

// box makes a sandbox that is removed when the test ends.
func box(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	b, err := sandbox.New()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// boxWithSpec is a sandbox with a kernel spec "fake" that has a logo.
func boxWithSpec(t *testing.T) *sandbox.Sandbox {
	t.Helper()
	b := box(t)
	dir := filepath.Join(b.DataDir(), "kernels", "fake")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(dir, "kernel.json"), `{"argv": ["true"], "display_name": "Fake", "language": "fake"}`)
	write(t, filepath.Join(dir, "logo-64x64.png"), "logo")
	return b
}

// TestPromiseOneOfManySavesWins saves the same version from several sides at once: each time one save succeeds, and the file holds it.
func TestPromiseOneOfManySavesWins(t *testing.T) {
	d, c, _ := run(t)
	if _, err := c.Save(t.Context(), "a.txt", "base"); err != nil {
		t.Fatal(err)
	}
	const savers = 6
	for round := range count(20, 200) {
		read, err := c.Do(t.Context(), http.MethodGet, "api/contents/a.txt?hash=1", nil)
		if err != nil {
			t.Fatal(err)
		}
		won := make(chan string, savers)
		var group sync.WaitGroup
		for saver := range savers {
			group.Go(func() {
				text := fmt.Sprintf("round %d, saver %d", round, saver)
				answer, err := c.Save(t.Context(), "a.txt", text, "If-Match", read.Header.Get("ETag"))
				switch {
				case err == nil:
					won <- text
				case answer.Status != http.StatusPreconditionFailed && answer.Status != http.StatusConflict:
					t.Errorf("a save that lost = %d, %v, want 412 or 409", answer.Status, err)
				}
			})
		}
		group.Wait()
		if len(won) != 1 {
			t.Fatalf("round %d: %d of %d saves of one version succeeded, want 1", round, len(won), savers)
		}
		want(t, d, c, "a.txt", <-won)
	}
}
