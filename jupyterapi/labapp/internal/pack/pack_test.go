package main

import (
	"archive/zip"
	"bytes"
	"context"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/jupyterapi/labapp/internal/archive"
)

func TestParseRequirements(t *testing.T) {
	sum := strings.Repeat("0a", 32)
	for _, tt := range []struct {
		name, in string
		want     int // wheels; 0 means an error
	}{
		{"one", "jupyterlab==4.6.6 --hash=sha256:" + sum, 1},
		{"comments", "# front end\n\n a==1 --hash=sha256:" + sum + "\nb==2.0rc1 --hash=sha256:" + sum + "\n", 2},
		{"empty", "# nothing\n", 0},
		{"no hash", "jupyterlab==4.6.6", 0},
		{"range", "jupyterlab>=4 --hash=sha256:" + sum, 0},
		{"other hash", "jupyterlab==4.6.6 --hash=md5:" + sum, 0},
		{"option", "--index-url x", 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseRequirements(strings.NewReader(tt.in))
			if len(got) != tt.want || (err == nil) != (tt.want > 0) {
				t.Errorf("parseRequirements(%q) = %v, %v, want %d wheels", tt.in, got, err, tt.want)
			}
		})
	}
}

// wheel writes a small wheel into the cache and returns its sha256.
func wheel(t *testing.T, cache string) string {
	t.Helper()
	var buf bytes.Buffer
	z := zip.NewWriter(&buf)
	for name, content := range map[string]string{
		"x-1.data/data/share/jupyter/lab/static/index.html":          "<html>",
		"x-1.data/data/share/jupyter/lab/static/main.js":             "let a",
		"x-1.data/data/share/jupyter/lab/static/main.js.map":         "{}",
		"x-1.data/data/share/jupyter/lab/static/font.eot":            "EOT",
		"x-1.data/data/share/jupyter/lab/static/font.svg":            "<svg><font id='a'/></svg>",
		"x-1.data/data/share/jupyter/lab/static/icon.svg":            "<svg/>",
		"x-1.data/data/share/jupyter/labextensions/x/package.json":   "{}",
		"x-1.data/data/etc/jupyter/jupyter_server_config.d/lab.json": "{}",
		"x-1.dist-info/licenses/LICENSE":                             "BSD",
		"x-1.dist-info/METADATA":                                     "Name: x",
		"x/__init__.py":                                              "",
	} {
		w, err := z.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(cache, "x-1-py3-none-any.whl")
	if err := os.WriteFile(path, buf.Bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	sum, err := fileSum(path)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

func TestPackTakesWhatBrowsersAskFor(t *testing.T) {
	dir := t.TempDir()
	list, out := filepath.Join(dir, "wheels.txt"), filepath.Join(dir, "dist", "lab.tar.zst")
	sum := wheel(t, dir)
	if err := os.WriteFile(list, []byte("x==1 --hash=sha256:"+sum+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	// The interpreter does not exist: a cached wheel needs none.
	args := []string{"-wheels", list, "-cache", dir, "-o", out, "-python", filepath.Join(dir, "no-python")}
	var first, second bytes.Buffer
	if err := run(context.Background(), args, &first, io.Discard); err != nil {
		t.Fatal(err)
	}
	if err := run(context.Background(), args, &second, io.Discard); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(second.String(), "up to date") {
		t.Errorf("second run says %q, want it to be up to date", second.String())
	}
	data, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := archive.Open(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	if err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			names = append(names, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(names, " ")
	want := "lab/static/icon.svg lab/static/index.html lab/static/main.js labextensions/x/package.json licenses/x-1/LICENSE"
	if got != want {
		t.Errorf("archive holds %s, want %s", got, want)
	}
}

func TestPackRefusesAWheelThatIsNotPinned(t *testing.T) {
	dir := t.TempDir()
	wheel(t, dir)
	list := filepath.Join(dir, "wheels.txt")
	if err := os.WriteFile(list, []byte("x==1 --hash=sha256:"+strings.Repeat("00", 32)+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	err := run(context.Background(), []string{"-wheels", list, "-cache", dir, "-o", filepath.Join(dir, "out"), "-python", "true"}, io.Discard, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "no wheel of x") {
		t.Errorf("run = %v, want an error that names the wheel", err)
	}
}
