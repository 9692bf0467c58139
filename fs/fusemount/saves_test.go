package fusemount

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func init() {
	children["parse"] = parse
}

// notebook returns the JSON of save n; they differ in length.
func notebook(n int) string {
	cells := strings.Repeat(`{"cell_type":"code","source":"print(1)"},`, 200+n%50)
	return fmt.Sprintf(`{"nbformat":4,"n":%d,"cells":[%s]}`, n, strings.TrimSuffix(cells, ","))
}

// parse reads the notebook a.ipynb until standard input ends; every read must parse.
func parse() int {
	end := untilEOF()
	var sum tally
	for {
		select {
		case <-end:
			if err := json.NewEncoder(os.Stdout).Encode(sum); err != nil {
				return 1
			}
			return 0
		default:
		}
		b, err := os.ReadFile(filepath.Join(childDir(), "a.ipynb"))
		if err == nil && !json.Valid(b) {
			err = fmt.Errorf("read %d bytes that do not parse", len(b))
		}
		if sum.Calls++; err != nil && len(sum.Errors) < 10 {
			sum.Errors = append(sum.Errors, err.Error())
		}
	}
}

func TestSavesAlwaysParse(t *testing.T) {
	const saves = 100
	ways := []struct {
		name string
		save func(t *testing.T, f *fixture, n int)
	}{
		{"API", func(t *testing.T, f *fixture, n int) { f.replace(t, "a.ipynb", notebook(n)) }},
		{"rename in the mount", func(t *testing.T, f *fixture, n int) {
			writeFile(t, f.path("tmp"), notebook(n))
			if err := os.Rename(f.path("tmp"), f.path("a.ipynb")); err != nil {
				t.Fatal(err)
			}
		}},
	}
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		f.replace(t, "a.ipynb", notebook(0))
		c := start(t, "parse", f.dir, uint32(os.Geteuid()))
		for _, way := range ways {
			for n := range saves {
				way.save(t, f, n)
				if got := readFile(t, f.path("a.ipynb")); got != notebook(n) {
					t.Fatalf("%s: after save %d the mount has other contents", way.name, n)
				}
			}
		}
		var sum tally
		c.stopJSON(&sum)
		if len(sum.Errors) > 0 || sum.Calls == 0 {
			t.Errorf("%d reads: %s", sum.Calls, strings.Join(sum.Errors, "; "))
		}
	})
}

// TestOpenFilePinsVersion checks that what was opened stays as it was, whoever saves meanwhile.
func TestOpenFilePinsVersion(t *testing.T) {
	each(t, func(t *testing.T, _ string, d fs.Drive) {
		f := mount(t, setup{drives: map[string]fs.Drive{"home": d}})
		f.replace(t, "a", oldText)
		file, err := os.Open(f.path("a"))
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		f.replace(t, "a", newText)
		buf := make([]byte, 100)
		n, _ := file.Read(buf)
		if got := string(buf[:n]); got != oldText {
			t.Errorf("the open file reads %q, want %q", got, oldText)
		}
		st, err := file.Stat()
		if err != nil || st.Size() != int64(len(oldText)) {
			t.Errorf("fstat of the open file = %v, %v, want its own size", st, err)
		}
		if err := f.api.Remove(t.Context(), "a", false); err != nil {
			t.Fatal(err)
		}
		if _, err := os.Stat(f.path("a")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("stat after the API removed it = %v, want ENOENT at once", err)
		}
	})
}
