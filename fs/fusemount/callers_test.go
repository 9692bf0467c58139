package fusemount

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func init() {
	children["callers"] = callers
}

// lines is how many lines a version has: it spans several pages.
const lines = 600

// edition is the contents of version n: the same line throughout, so that a mixture shows.
func edition(n int) string {
	line := fmt.Sprintf("version %08d ....\n", n)
	return strings.Repeat(line, lines)
}

// whole returns an error unless b is one edition.
func whole(b []byte) error {
	line, _, ok := bytes.Cut(b, []byte("\n"))
	if !ok || len(b) != (len(line)+1)*lines || bytes.Count(b, b[:len(line)+1]) != lines {
		return fmt.Errorf("torn: %d bytes that begin with %q", len(b), line)
	}
	return nil
}

// tally is what a caller has done.
type tally struct {
	Calls  int
	Errors []string
}

// callerKinds are the kinds of caller. f is replaced all the time. w/g is written in place, and replaced less often: each time what
// a writer still has open becomes a conflict copy.
var callerKinds = []struct {
	name string
	call func(dir string, n int) error
}{
	{"open and read", func(dir string, _ int) error {
		b, err := os.ReadFile(filepath.Join(dir, "f"))
		if err != nil {
			return err
		}
		return whole(b)
	}},
	{"read in pieces", func(dir string, _ int) error { return readPieces(filepath.Join(dir, "f")) }},
	{"mmap", func(dir string, _ int) error { return readMapped(filepath.Join(dir, "f")) }},
	{"stat and list", func(dir string, _ int) error {
		st, err := os.Stat(filepath.Join(dir, "f"))
		if err == nil && st.Size() != int64(len(edition(0))) {
			err = fmt.Errorf("size %d", st.Size())
		}
		list, err2 := os.ReadDir(dir)
		if err2 == nil && len(list) < 2 {
			err2 = fmt.Errorf("%d names", len(list))
		}
		return errors.Join(err, err2)
	}},
	{"metadata", func(dir string, n int) error {
		name := filepath.Join(dir, "f")
		return errors.Join(os.Chmod(name, 0o644), unix.Access(name, unix.R_OK), unix.Setxattr(name, "user.n", []byte(itoa(n)), 0))
	}},
	{"rename over", func(dir string, n int) error {
		tmp := filepath.Join(dir, "tmp")
		return errors.Join(os.WriteFile(tmp, []byte(edition(1e7+n)), 0o644), os.Rename(tmp, filepath.Join(dir, "f")))
	}},
	{"truncate and write", func(dir string, n int) error {
		return os.WriteFile(filepath.Join(dir, "w", "g"), []byte(edition(n)), 0o644)
	}},
	{"append", func(dir string, _ int) error {
		f, err := os.OpenFile(filepath.Join(dir, "w", "g"), os.O_WRONLY|os.O_APPEND, 0)
		if err != nil {
			return err
		}
		_, err = f.WriteString("more\n")
		return errors.Join(err, f.Sync(), f.Close())
	}},
}

// readPieces reads with many preads: they are all of the version that was opened.
func readPieces(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	b, err := io.ReadAll(&slow{f: f})
	if err != nil {
		return err
	}
	if _, err := f.Stat(); err != nil {
		return err
	}
	return whole(b)
}

type slow struct{ f *os.File }

func (s *slow) Read(p []byte) (int, error) { return s.f.Read(p[:min(len(p), 1000)]) }

func readMapped(name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	m, err := unix.Mmap(int(f.Fd()), 0, len(edition(0)), unix.PROT_READ, unix.MAP_SHARED)
	if err != nil {
		return err
	}
	return errors.Join(whole(m), unix.Munmap(m))
}

// callers runs each kind of caller until standard input ends, and prints their tallies.
func callers() int {
	end, dir := untilEOF(), childDir()
	all := map[string]*tally{}
	var wg sync.WaitGroup
	for _, k := range callerKinds {
		sum := &tally{}
		all[k.name] = sum
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				sum.Calls++
				if err := k.call(dir, sum.Calls); err != nil && len(sum.Errors) < 10 {
					sum.Errors = append(sum.Errors, err.Error())
				}
			}
		})
	}
	wg.Wait()
	if err := json.NewEncoder(os.Stdout).Encode(all); err != nil {
		return 1
	}
	return 0
}

// TestReplacements replaces files from the API 10,000 times (1,000 with the race detector) under eight kinds of caller. None sees a
// mixture of versions, and to none ESTALE surfaces.
func TestReplacements(t *testing.T) {
	count := 10_000
	switch {
	case testing.Short():
		count = 500
	case raceDetector:
		count = 1000
	}
	each(t, func(t *testing.T, kind string, d fs.Drive) {
		if kind == "local" {
			d = openLocal(t, memoryDir(t))
		}
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		f.replace(t, "f", edition(0))
		directory(t, f, "w", 0o755)
		f.replace(t, "w/g", edition(0))
		c := start(t, "callers", f.dir, uint32(os.Geteuid()))
		for n := range count {
			name := "f"
			if n%100 == 99 {
				name = "w/g"
			}
			f.replace(t, name, edition(n+1))
		}
		var all map[string]*tally
		c.stopJSON(&all)
		for name, sum := range all {
			t.Logf("%-20s %7d calls", name, sum.Calls)
			for _, err := range sum.Errors {
				t.Errorf("%s: %s", name, err)
			}
			if sum.Calls == 0 {
				t.Errorf("%s: was never called", name)
			}
		}
	})
}
