package nbformat

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// TestDigest has vectors made once with Python's nbformat and the key "key".
func TestDigest(t *testing.T) {
	for _, tt := range []struct{ name, file, want string }{
		{
			"empty", `{"nbformat":4,"nbformat_minor":5,"metadata":{},"cells":[]}`,
			"d37dad0264503e6276f3aec8289ad7ef700fdf57137577eeac4d72c60f7f03b4",
		},
		{
			"every kind of value",
			`{"nbformat":4,"nbformat_minor":5,"metadata":{"signature":"x","z":[1,1.0,1e-5,1e16,true,false,null,NaN,-Infinity,123456789012345678901234567890],"é":"日本","😀":{}},` +
				`"cells":[{"id":"a","cell_type":"code","metadata":{"trusted":true},"source":["a\n","b"],"outputs":[{"output_type":"display_data","data":{"text/plain":["x\n","y"]},"metadata":{}}],"execution_count":1}]}`,
			"08b86f9f8853064c4867e7a69e66c3e935bec5387e2313cf453ce3daedfab83e",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n := mustParse(t, tt.file)
			if got := n.Digest([]byte("key")); got != tt.want {
				t.Errorf("Digest() = %s, want %s", got, tt.want)
			}
			n.MarkTrusted(true)
			n.Metadata()["signature"] = "y"
			if got := n.Digest([]byte("key")); got != tt.want {
				t.Errorf("Digest() with transients = %s, want %s", got, tt.want)
			}
			if got := n.Digest([]byte("other")); got == tt.want {
				t.Error("Digest() is the same with another key")
			}
		})
	}
}

func TestCellsTrusted(t *testing.T) {
	code := func(trusted, output string) string {
		return `{"id": "c", "cell_type": "code", "metadata": {` + trusted + `}, "source": "", "outputs": [` + output + `], "execution_count": null}`
	}
	const display = `{"output_type": "display_data", "data": {}, "metadata": {}}`
	for _, tt := range []struct {
		name string
		cell string
		want bool
	}{
		{"no outputs", code("", ""), true},
		{"stream and error", code("", `{"output_type": "stream", "name": "stdout", "text": ""}, {"output_type": "error"}`), true},
		{"display without data", code("", `{"output_type": "display_data", "metadata": {}}`), true},
		{"display", code("", display), false},
		{"result", code("", `{"output_type": "execute_result", "data": {}, "metadata": {}, "execution_count": 1}`), false},
		{"display of a trusted cell", code(`"trusted": true`, display), true},
		{"display of an untrusted cell", code(`"trusted": false`, display), false},
		{"Markdown", markdownCell, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var n Notebook
			if err := n.UnmarshalJSON([]byte(notebookOf(5, "", tt.cell))); err != nil {
				t.Fatal(err)
			}
			if got := n.CellsTrusted(); got != tt.want {
				t.Errorf("CellsTrusted() = %v, want %v", got, tt.want)
			}
		})
	}
}

func openStore(t *testing.T, path string, limit int) *FileStore {
	t.Helper()
	s, err := OpenFileStore(path, limit)
	if err != nil {
		t.Fatalf("OpenFileStore() = %v", err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	return s
}

// TestNotary follows a notebook from a stranger through display, a decision to trust it, saving and opening again.
func TestNotary(t *testing.T) {
	notary := &Notary{Key: []byte("key"), Store: openStore(t, filepath.Join(t.TempDir(), "signatures"), 0)}
	file := withOutput(`{"output_type": "display_data", "data": {"text/html": "<script>"}, "metadata": {}}`)

	n := mustParse(t, file)
	steps := []struct {
		name    string
		do      func() error
		trusted bool
	}{
		{"unknown", func() error { return nil }, false},
		{"saved untrusted", func() error { return notary.Save(n) }, false},
		{"signed", func() error { return notary.Sign(n) }, true},
		{"saved trusted", func() error {
			n.Cells()[0]["source"] = "edited"
			return notary.Save(n)
		}, true},
		{"saved by a client that showed it as trusted", func() error {
			content := strings.Replace(mustJSON(t, n), "edited", "edited again", 1)
			if err := n.UnmarshalJSON([]byte(content)); err != nil {
				return err
			}
			return notary.Save(n)
		}, true},
		{"claims in its file to be trusted", func() error {
			claim := strings.NewReplacer(`"metadata": {}, "source"`, `"metadata": {"trusted": true}, "source"`, "<script>", "<b>")
			*n = *mustParse(t, claim.Replace(file))
			return notary.Save(n)
		}, false},
		{"trusted once more", func() error { return notary.Sign(n) }, true},
		{"changed by another program", func() error {
			n.Cells()[0]["source"] = "evil"
			return nil
		}, false},
		{"signed again", func() error { return notary.Sign(n) }, true},
		{"unsigned", func() error { return notary.Unsign(n) }, false},
	}
	for _, step := range steps {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if strings.Contains(mustMarshal(t, n), "trusted") {
			t.Errorf("%s: the file tells about trust", step.name)
		}
		notary.Mark(n)
		if got := n.Cells()[0].Metadata()["trusted"]; got != step.trusted {
			t.Errorf("%s: trusted = %v, want %v", step.name, got, step.trusted)
		}
	}
}

func TestStripTrust(t *testing.T) {
	n := mustParse(t, notebookOf(5, "", codeCell, markdownCell, `{"cell_type": "code", "source": ""}`))
	n.MarkTrusted(true)
	cells := n.Cells()
	if cells[0].Metadata()["trusted"] != true || cells[1].Metadata()["trusted"] != nil || cells[2].Metadata()["trusted"] != true {
		t.Errorf("MarkTrusted(true) made %s", mustJSON(t, n))
	}
	n.StripTrust()
	if got := mustJSON(t, n); strings.Contains(got, "trusted") {
		t.Errorf("StripTrust() left %s", got)
	}
}

func digestOf(i int) string { return fmt.Sprintf("%064x", i) }

func TestFileStoreRemembers(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signatures")
	s := openStore(t, path, 0)
	for i := range 3 {
		for range 2 {
			if err := s.Add(digestOf(i)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Remove(digestOf(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Remove(digestOf(9)); err != nil {
		t.Fatal(err)
	}
	// Another store opens the file without the first being closed, as after a crash.
	for name, store := range map[string]*FileStore{"open": s, "opened again": openStore(t, path, 0)} {
		for i, want := range []bool{true, false, true, false} {
			if got := store.Has(digestOf(i)); got != want {
				t.Errorf("%s: Has(%d) = %v, want %v", name, i, got, want)
			}
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat(%s) = %v, %v, want mode 0600", path, info.Mode(), err)
	}
}

func TestFileStoreForgetsTheOldest(t *testing.T) {
	const limit = 8
	path := filepath.Join(t.TempDir(), "signatures")
	s := openStore(t, path, limit)
	for i := range limit {
		if err := s.Add(digestOf(i)); err != nil {
			t.Fatal(err)
		}
	}
	if !s.Has(digestOf(0)) { // used, so no longer the oldest
		t.Fatal("Has(0) = false, want true")
	}
	if err := s.Add(digestOf(limit)); err != nil {
		t.Fatal(err)
	}
	if s.Has(digestOf(1)) {
		t.Error("Has(1) = true in a full store, want the oldest forgotten")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = openStore(t, path, limit)
	for i := range limit + 1 {
		want := i == 0 || i > 3
		if got := s.Has(digestOf(i)); got != want {
			t.Errorf("Has(%d) = %v, want %v", i, got, want)
		}
	}
}

func TestFileStoreFileStaysSmall(t *testing.T) {
	const limit = 4
	path := filepath.Join(t.TempDir(), "signatures")
	s := openStore(t, path, limit)
	for i := range 1000 {
		if err := s.Add(digestOf(i % 7)); err != nil {
			t.Fatal(err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Size() > limit*65 {
		t.Errorf("the file has %d bytes (%v), want at most %d", info.Size(), err, limit*65)
	}
}

func TestFileStoreSkipsDamage(t *testing.T) {
	for name, damage := range map[string]string{
		"cut line":  digestOf(2)[:30],
		"binary":    "\x00\xff\n",
		"long line": strings.Repeat("x", 1<<20),
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "signatures")
			if err := os.WriteFile(path, []byte(digestOf(1)+"\n"+damage), 0o600); err != nil {
				t.Fatal(err)
			}
			s := openStore(t, path, 0)
			if !s.Has(digestOf(1)) || s.Has(digestOf(2)) {
				t.Errorf("Has(1), Has(2) = %v, %v, want true, false", s.Has(digestOf(1)), s.Has(digestOf(2)))
			}
			if err := s.Add(digestOf(3)); err != nil {
				t.Fatal(err)
			}
			if again := openStore(t, path, 0); !again.Has(digestOf(1)) || !again.Has(digestOf(3)) {
				t.Error("after damage the store does not remember")
			}
		})
	}
}

func TestFileStoreErrors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "signatures")
	s := openStore(t, path, 0)
	if err := s.Add("not a digest\n"); !errors.Is(err, fs.ErrInvalid) {
		t.Errorf("Add(not a digest) = %v, want fs.ErrInvalid", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Add(digestOf(1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Add after Close = %v, want fs.ErrClosed", err)
	}
	if err := s.Remove(digestOf(1)); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("Remove after Close = %v, want fs.ErrClosed", err)
	}
	if _, err := OpenFileStore(filepath.Join(path, "below a file"), 0); err == nil {
		t.Error("OpenFileStore below a file = nil, want an error")
	}
}

func TestFileStoreConcurrently(t *testing.T) {
	s := openStore(t, filepath.Join(t.TempDir(), "signatures"), 16)
	var users sync.WaitGroup
	for user := range 4 {
		users.Go(func() {
			for i := range 20 {
				if err := s.Add(digestOf(user*100 + i)); err != nil {
					t.Error(err)
				}
				s.Has(digestOf(i))
				if err := s.Remove(digestOf(i)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	users.Wait()
}

func TestLoadKey(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notebook_secret")
	const processes = 8
	keys := make([]string, processes)
	var done sync.WaitGroup
	for i := range processes {
		done.Go(func() {
			key, err := LoadKey(path)
			if err != nil {
				t.Error(err)
			}
			keys[i] = string(key)
		})
	}
	done.Wait()
	for _, key := range keys {
		if key != keys[0] {
			t.Fatal("LoadKey() gave different keys")
		}
	}
	lines := strings.Split(strings.TrimSuffix(keys[0], "\n"), "\n")
	random, err := base64.StdEncoding.DecodeString(strings.Join(lines, ""))
	if err != nil || len(random) != 1024 || len(lines[0]) != 76 {
		t.Errorf("LoadKey() made %d bytes (%v) in lines of %d, want 1024 in lines of 76", len(random), err, len(lines[0]))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("Stat(key) = %v, %v, want mode 0600", info.Mode(), err)
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 1 {
		t.Errorf("LoadKey() left %v (%v), want the key only", entries, err)
	}
}
