package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
)

// bucketKinds are the ways in which programs save on a drive in a bucket. There every save is one commit, so a file always holds one of
// its versions in whole: check fails unless text is that version.
var bucketKinds = []struct {
	file  string
	save  func(w *writers, d *daemon.Daemon) save
	check func(name string, text []byte, version uint64) error
}{
	{"put.txt", putText, is(content)},
	{"put.ipynb", putNotebook, isNotebook},
	{"chain.txt", putIfMatch, is(content)},
	{"rename.txt", inMount(renameDurable), is(content)},
	{"rename-close.txt", inMount(renameClosed), is(content)},
	{"place-fsync.txt", inMount(inPlace(true)), is(content)},
	{"place-close.txt", inMount(inPlace(false)), is(content)},
	{"jupyter.txt", inMount(asJupyter), is(content)},
	{"append.txt", inMount(appendDurable), isAppended},
	{"append-close.txt", inMount(appendClosed), isAppended},
	{"parts.bin", inMount(fewLarge), is(largeContent)},
}

func appendClosed(m mounted, name string, version uint64) error {
	return m.put(name, os.O_WRONLY|os.O_APPEND, []byte(line(name, version)), false)
}

// errEnough ends a writer.
var errEnough = errors.New("saved often enough")

// fewLarge saves in place what is uploaded in parts, twice only: the other writers are to come to their turn.
func fewLarge(m mounted, name string, version uint64) error {
	if version%runVersions >= 2 {
		return errEnough
	}
	return m.put(name, os.O_RDWR, largeContent(name, version), version%2 == 0)
}

// largeContent is a version of a file that is over the size of a part.
func largeContent(name string, version uint64) []byte {
	line := line(name, version)
	return bytes.Repeat([]byte(line), 17<<20/len(line))
}

// is is a check that a file is the version that make makes.
func is(make func(name string, version uint64) []byte) func(name string, text []byte, version uint64) error {
	return func(name string, text []byte, version uint64) error {
		if bytes.Equal(text, make(name, version)) {
			return nil
		}
		return fmt.Errorf("it has %d bytes that are not version %d: %s", len(text), version, runsOf(text))
	}
}

// runsOf tells which lines follow each other in a text, and how often.
func runsOf(text []byte) string {
	var b strings.Builder
	last, n := "", 0
	flush := func() {
		if n > 0 && b.Len() < 500 {
			fmt.Fprintf(&b, "%d times %q, ", n, last)
		}
	}
	for line := range strings.Lines(string(text)) {
		if line != last {
			flush()
			last, n = line, 0
		}
		n++
	}
	flush()
	return b.String()
}

// isNotebook is a check of a notebook.
func isNotebook(name string, text []byte, version uint64) error {
	if err := wholeNotebook(name, text, version, nil); err != nil {
		return err
	}
	if want := []byte(strings.TrimSuffix(line(name, version), "\n")); bytes.Count(text, want) != notebookCells {
		return fmt.Errorf("it is not version %d", version)
	}
	return nil
}

// isAppended is a check that a file has a line for each version up to this one: none is missing, doubled or cut.
func isAppended(name string, text []byte, version uint64) error {
	var last uint64
	for l := range strings.Lines(string(text)) {
		var v uint64
		if _, err := fmt.Sscanf(l, name+" %d\n", &v); err != nil || l != line(name, v) {
			return fmt.Errorf("line %q after version %d", l, last)
		}
		if v != last+1 && v%runVersions != 0 || v <= last && last > 0 {
			return fmt.Errorf("version %d after version %d", v, last)
		}
		last = v
	}
	if last != version {
		return fmt.Errorf("the last version is %d, want %d", last, version)
	}
	return nil
}

// filer makes, renames and removes many small files through a mount, and knows what must be there.
type filer struct {
	mu   sync.Mutex        // guards all below
	want map[string]uint64 // by path, as acknowledged
	next map[string]uint64 // what is there instead once the operation under way is done; nil = there is none
}

func (f *filer) in(d *daemon.Daemon) save {
	m := mounted{d.Mount, device(os.Stat(d.Mount))}
	return func(_ context.Context, _ string, version uint64) error {
		return f.step(m, version)
	}
}

// step makes a file, renames it into another folder, removes one of those there, or has the two folders change places.
func (f *filer) step(m mounted, version uint64) error {
	step := version % runVersions % 4
	first := version - step
	made, moved := fmt.Sprint("made/", first), fmt.Sprint("moved/", first)
	f.mu.Lock()
	next := maps.Clone(f.want)
	var do func() error
	switch step {
	case 0:
		next[made] = version
		do = func() error { return m.put(made, os.O_WRONLY|os.O_EXCL, content(made, version), version%2 == 0) }
	case 1:
		next[moved] = next[made]
		delete(next, made)
		do = func() error { return os.Rename(m.path(made), m.path(moved)) }
	case 2:
		if first/4%2 == 0 {
			delete(next, moved)
			do = func() error { return os.Remove(m.path(moved)) }
		}
	case 3:
		if first/4%5 == 1 {
			next = exchanged(next)
			do = func() error {
				return unix.Renameat2(unix.AT_FDCWD, m.path("made"), unix.AT_FDCWD, m.path("moved"), unix.RENAME_EXCHANGE)
			}
		}
	}
	f.next = next
	f.mu.Unlock()
	if do != nil {
		if err := do(); err != nil {
			return err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.want, f.next = next, nil
	return nil
}

// exchanged returns what there is when the two folders have changed places.
func exchanged(files map[string]uint64) map[string]uint64 {
	next := map[string]uint64{}
	for p, version := range files {
		if rest, ok := strings.CutPrefix(p, "made/"); ok {
			next["moved/"+rest] = version
		} else {
			next["made/"+strings.TrimPrefix(p, "moved/")] = version
		}
	}
	return next
}

// empty is the version of a file that was made and not written: the daemon was killed in between.
const empty = math.MaxUint64

// settle makes one of the two states what was acknowledged, by what there is: the size of each file.
func (f *filer) settle(have map[string]int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	same := func(want map[string]uint64) bool {
		return len(want) == len(have) && !slices.ContainsFunc(slices.Collect(maps.Keys(want)), func(p string) bool {
			_, ok := have[p]
			return !ok
		})
	}
	switch {
	case same(f.want):
	case f.next != nil && same(f.next):
		for path := range f.next {
			if _, ok := f.want[path]; !ok && have[path] == 0 && strings.HasPrefix(path, "made/") {
				f.next[path] = empty
			}
		}
		f.want = f.next
	default:
		return fmt.Errorf("there are the files\n%v, acknowledged are\n%v, or, with the operation under way,\n%v",
			slices.Sorted(maps.Keys(have)), slices.Sorted(maps.Keys(f.want)), slices.Sorted(maps.Keys(f.next)))
	}
	f.next = nil
	return nil
}

// wants is what must be there. settle was called before.
func (f *filer) wants() map[string]uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return maps.Clone(f.want)
}

// checkFile fails unless text is a version of a file that was made under a name.
func (f *filer) checkFile(name string, text []byte, version uint64) error {
	if version == empty {
		if len(text) > 0 {
			return fmt.Errorf("it has %d bytes, and was empty before", len(text))
		}
		return nil
	}
	return is(content)("made/"+path.Base(name), text, version)
}

// filesIn returns the sizes of the files of some folders in a folder.
func filesIn(root string, dirs ...string) (map[string]int64, error) {
	have := map[string]int64{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(filepath.Join(root, dir))
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			have[dir+"/"+e.Name()] = info.Size()
		}
	}
	return have, nil
}
