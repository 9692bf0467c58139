package programs

import (
	"archive/zip"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
	"github.com/jupyter-drive/jupyter-drive/integration/sandbox"
)

// leftOut are folders whose files are not the same each time a script runs: what is in them is compared by the programs themselves.
var leftOut = map[string]bool{".git": true, "__pycache__": true}

// TestPromiseProgramsOnABucket runs the scripts.
func TestPromiseProgramsOnABucket(t *testing.T) {
	env := append(os.Environ(), "PYTHON="+sandbox.Python(t), "WHEEL="+wheel(t), "LC_ALL=C", "TZ=UTC", "HOME="+t.TempDir())
	d := bucketdrive.New(t, bucketdrive.Options{})
	d.Start(t)
	disk, again := t.TempDir(), map[string]string{}
	for _, s := range scripts {
		t.Run(s.name, func(t *testing.T) {
			if _, err := exec.LookPath(os.Expand(s.needs, func(string) string { return sandbox.Python(t) })); err != nil {
				t.Skipf("%s is not installed: make test-tools installs it", s.needs)
			}
			for _, dir := range []string{disk, d.Daemon.Mount} {
				if err := os.Mkdir(filepath.Join(dir, s.name), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			here, there := filepath.Join(d.Daemon.Mount, s.name), filepath.Join(disk, s.name)
			if got, want := run(t, env, here, s.run), run(t, env, there, s.run); got != want {
				t.Errorf("on the drive:\n%s\non a disk:\n%s", got, want)
			}
			sameFiles(t, here, there)
			again[s.name] = run(t, env, there, s.again)
		})
	}
	if s := d.Settle(t); len(s.Errors) > 0 || len(s.Conflicts) > 0 {
		t.Errorf("status: %+v", s)
	}
	sameObjects(t, d, disk)
	if err := d.Daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	d.Forget(t)
	d.Start(t)
	for _, s := range scripts {
		if want, ok := again[s.name]; ok {
			if got := run(t, env, filepath.Join(d.Daemon.Mount, s.name), s.again); got != want {
				t.Errorf("%s, for a daemon that knows the bucket alone:\n%s\non a disk:\n%s", s.name, got, want)
			}
		}
	}
}

// run runs a script in a folder and returns what it prints.
func run(t *testing.T, env []string, dir, script string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "/bin/sh", "-c", `cd "$DIR" && { `+script+`
}`)
	cmd.Env = slices.Concat(env, []string{"DIR=" + dir})
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("in %s: %v\n%s", dir, err, out)
	}
	return strings.ReplaceAll(string(out), dir, "DIR")
}

// walk calls do for all that is not a folder.
func walk(t *testing.T, root string, do func(rel string, e fs.DirEntry)) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case e.IsDir() && leftOut[e.Name()]:
			return filepath.SkipDir
		case e.IsDir():
			return nil
		}
		rel, err := filepath.Rel(root, path)
		if err == nil {
			do(rel, e)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// describe returns type, permissions, size and what a link says.
func describe(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	link := ""
	if info.Mode()&fs.ModeSymlink != 0 {
		link, err = os.Readlink(path)
	}
	return fmt.Sprint(info.Mode(), info.Size(), link), err
}

// sameFiles compares two folders.
func sameFiles(t *testing.T, here, there string) {
	t.Helper()
	known := map[string]bool{}
	walk(t, there, func(rel string, e fs.DirEntry) {
		known[rel] = true
		got, err := describe(filepath.Join(here, rel))
		want, wantErr := describe(filepath.Join(there, rel))
		if got != want || err != nil || wantErr != nil {
			t.Errorf("%s is %q, %v, want %q, %v", rel, got, err, want, wantErr)
		}
		if !e.Type().IsRegular() {
			return
		}
		a, err := os.ReadFile(filepath.Join(here, rel))
		b, wantErr := os.ReadFile(filepath.Join(there, rel))
		if !bytes.Equal(a, b) || err != nil || wantErr != nil {
			t.Errorf("%s has %d bytes, %v, that differ from %d, %v", rel, len(a), err, len(b), wantErr)
		}
	})
	walk(t, here, func(rel string, _ fs.DirEntry) {
		if !known[rel] {
			t.Errorf("%s is on the drive alone", rel)
		}
	})
}

// sameObjects compares the bucket with a folder.
func sameObjects(t *testing.T, d *bucketdrive.Drive, disk string) {
	t.Helper()
	n := 0
	walk(t, disk, func(rel string, e fs.DirEntry) {
		if !e.Type().IsRegular() {
			return
		}
		n++
		got, err := d.Object(t.Context(), filepath.ToSlash(rel))
		want, wantErr := os.ReadFile(filepath.Join(disk, rel))
		if !bytes.Equal(got, want) || err != nil || wantErr != nil {
			t.Errorf("the object %s has %d bytes, %v, that differ from %d, %v", rel, len(got), err, len(want), wantErr)
		}
	})
	t.Logf("%d objects are as on the disk", n)
}

// wheel makes a package of 200 modules, as a build would.
func wheel(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "many-1.0-py3-none-any.whl")
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	z := zip.NewWriter(f)
	var record, all strings.Builder
	add := func(path, text string) {
		w, err := z.Create(path)
		if err == nil {
			_, err = w.Write([]byte(text))
		}
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&record, "%s,,\n", path)
	}
	const modules = 200
	for i := range modules {
		add(fmt.Sprintf("many/m%d.py", i), fmt.Sprintf("value = %d\n%s", i, strings.Repeat("# a line\n", i*10)))
		fmt.Fprintf(&all, "from . import m%d\n", i)
	}
	fmt.Fprintf(&all, "def total():\n    return sum(globals()[f'm{i}'].value for i in range(%d))\n", modules)
	add("many/__init__.py", all.String())
	const info = "many-1.0.dist-info/"
	add(info+"METADATA", "Metadata-Version: 2.1\nName: many\nVersion: 1.0\n")
	add(info+"WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
	add(info+"RECORD", record.String()+info+"RECORD,,\n")
	if err := errors.Join(z.Close(), f.Close()); err != nil {
		t.Fatal(err)
	}
	return name
}
