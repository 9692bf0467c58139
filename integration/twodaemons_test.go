package integration

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
	"github.com/jupyter-drive/jupyter-drive/integration/daemon"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// The files that both daemons' writers share.
var lineFiles = []string{"lines-0.txt", "lines-1.txt"}

const (
	placeFile  = "place.txt"
	renameFile = "rename.txt"
)

// The bounds that docs/semantics.md states for what others have put into the bucket, and how late a look may come on a busy machine.
const (
	contentsBound = 5 * time.Second
	namesBound    = 30 * time.Second
	lateness      = 2 * time.Second
)

// shared is a bucket that two daemons write to.
type shared struct {
	drives [2]*bucketdrive.Drive
	stop   context.Context // ends the writers and readers

	mu       sync.Mutex          // guards all below
	lines    map[string][]string // acknowledged, by file
	versions map[uint64]bool     // of placeFile, acknowledged
	replaced map[uint64]bool     // versions of placeFile over which another one was written knowingly
	last     [2]uint64           // acknowledged versions of renameFile, by daemon
}

// TestPromiseTwoDaemonsKeepBoth lets eight writers, four through each of two daemons, save the same files of one bucket. No acknowledged
// version is gone but in a conflict's copy, no reader sees part of a version, and what one daemon has uploaded the other shows within the
// bounds.
func TestPromiseTwoDaemonsKeepBoth(t *testing.T) {
	t.Parallel()
	server := versitygw.Run(t, versitygw.Options{})
	stop, cancel := context.WithTimeout(t.Context(), time.Duration(runs(30, 300))*time.Second)
	defer cancel()
	x := &shared{stop: stop, lines: map[string][]string{}, versions: map[uint64]bool{}, replaced: map[uint64]bool{}}
	for i := range x.drives {
		x.drives[i] = bucketdrive.New(t, bucketdrive.Options{Server: server})
	}
	x.drives[0].Start(t)
	for _, name := range append([]string{placeFile, renameFile, contentsFile(0), contentsFile(1)}, lineFiles...) {
		text := []byte{}
		if name == placeFile || name == renameFile {
			text = content(name, 0)
		}
		if err := os.WriteFile(filepath.Join(x.drives[0].Daemon.Mount, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	x.drives[0].Settle(t)
	x.drives[1].Start(t) // it finds them in its first listing
	random := newRandom(t)
	var all sync.WaitGroup
	for i := range uint64(2) {
		d := x.drives[i].Daemon
		m := mounted{d.Mount, device(os.Stat(d.Mount))}
		for n, write := range []func(rng *rand.Rand, n uint64) error{
			func(rng *rand.Rand, n uint64) error { return x.addLine(m, lineFiles[rng.IntN(2)], i, n) },
			func(rng *rand.Rand, n uint64) error { return x.putLine(d, lineFiles[rng.IntN(2)], i, n) },
			func(_ *rand.Rand, n uint64) error { return x.writeInPlace(m, 2*n+i) },
			func(_ *rand.Rand, n uint64) error { return x.renameOver(m, 2*n+i) },
		} {
			rng := rand.New(rand.NewPCG(random.Uint64(), uint64(n)))
			all.Go(func() { x.write(t, rng, write) })
		}
		all.Go(func() { x.read(t, d) })
		all.Go(func() { x.probeContents(t, i) })
		all.Go(func() { x.probeNames(t, i) })
	}
	all.Wait()
	x.check(t, server)
}

// write saves in bursts, with pauses in which the daemons upload, until the time is over.
func (x *shared) write(t *testing.T, rng *rand.Rand, write func(*rand.Rand, uint64) error) {
	t.Helper()
	for n := uint64(1); x.stop.Err() == nil; n++ {
		err := write(rng, n)
		if err != nil && !errors.Is(err, syscall.ESTALE) && !isMoved(err) {
			t.Error(err)
			return
		}
		if rng.IntN(3) > 0 {
			continue
		}
		select {
		case <-x.stop.Done():
		case <-time.After(time.Duration(rng.IntN(4000)) * time.Millisecond):
		}
	}
}

// isMoved reports whether a conditional save was refused.
func isMoved(err error) bool {
	var status statusError
	return errors.As(err, &status) && (status == http.StatusPreconditionFailed || status == http.StatusConflict)
}

// lineOf is a line that a writer adds to a file which has a number of lines.
func lineOf(lines int, way string, daemon, n uint64) string {
	return fmt.Sprintf("%06d %s %d %06d.\n", lines, way, daemon, n)
}

// wholeLines fails unless text is lines that were each added after the ones before.
func wholeLines(text string) error {
	n := 0
	for line := range strings.Lines(text) {
		var at int
		if _, err := fmt.Sscanf(line, "%d ", &at); err != nil || at != n || !strings.HasSuffix(line, ".\n") {
			return fmt.Errorf("line %d of %d bytes is %q", n, len(text), line)
		}
		n++
	}
	return nil
}

// wholeContent returns which version of a file text is.
func wholeContent(name string, text []byte) (version uint64, err error) {
	if _, err := fmt.Sscanf(string(text[:min(len(text), 100)]), name+" %d\n", &version); err != nil {
		return 0, fmt.Errorf("it begins with %.60q: %w", text, err)
	}
	return version, is(content)(name, text, version)
}

// addLine appends through the mount.
func (x *shared) addLine(m mounted, name string, daemon, n uint64) error {
	f, err := os.OpenFile(m.path(name), os.O_RDWR|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	text, err := io.ReadAll(f)
	line := lineOf(bytes.Count(text, []byte("\n")), "append", daemon, n)
	if err == nil {
		_, err = f.WriteString(line)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	x.acked(name, line)
	return nil
}

// putLine saves through the API over the version that it has read.
func (x *shared) putLine(d *daemon.Daemon, name string, daemon, n uint64) error {
	text, tag, err := getText(context.Background(), d, name)
	if err != nil {
		return err
	}
	line := lineOf(strings.Count(text, "\n"), "put", daemon, n)
	if _, err = put(context.Background(), d, name, tag, map[string]any{"type": "file", "format": "text", "content": text + line}); err != nil {
		return err
	}
	x.acked(name, line)
	return nil
}

func (x *shared) acked(name, line string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.lines[name] = append(x.lines[name], line)
}

// getText reads a file with its tag from the API.
func getText(ctx context.Context, d *daemon.Daemon, name string) (text, tag string, err error) {
	response, err := request(ctx, d, http.MethodGet, "api/contents/"+name+"?type=file&format=text&hash=1", nil)
	if err != nil {
		return "", "", err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", "", fmt.Errorf("GET %s: %w", name, statusError(response.StatusCode))
	}
	var model struct {
		Content string `json:"content"`
	}
	err = json.NewDecoder(response.Body).Decode(&model)
	return model.Content, response.Header.Get("ETag"), err
}

// writeInPlace overwrites the version that it has read, through one descriptor.
func (x *shared) writeInPlace(m mounted, version uint64) error {
	f, err := os.OpenFile(m.path(placeFile), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	old, err := io.ReadAll(f)
	var before uint64
	if err == nil {
		before, err = wholeContent(placeFile, old)
	}
	if err == nil {
		_, err = f.WriteAt(content(placeFile, version), 0)
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("%s: %w", placeFile, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.versions[version], x.replaced[before] = true, true
	return nil
}

// renameOver saves as editors do. What is there at that moment is replaced, whatever it is.
func (x *shared) renameOver(m mounted, version uint64) error {
	if err := renameClosed(m, renameFile, version); err != nil {
		return err
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.last[version%2] = version
	return nil
}

// read reads all shared files over and over: there is only ever a whole version. Of the file that is written in place only the API promises
// that: programs on one mount see each other's writes.
func (x *shared) read(t *testing.T, d *daemon.Daemon) {
	t.Helper()
	lines := func(_ string, text []byte) error { return wholeLines(string(text)) }
	whole := func(name string, text []byte) error { _, err := wholeContent(name, text); return err }
	byMount, byAPI := readIn(d.Mount), readByAPI(context.Background(), d)
	for n := 0; x.stop.Err() == nil; n++ {
		for _, r := range []struct {
			name  string
			read  func(string) ([]byte, error)
			check func(string, []byte) error
		}{
			{lineFiles[n%2], byMount, lines}, {lineFiles[n%2], byAPI, lines}, {renameFile, byMount, whole}, {renameFile, byAPI, whole}, {placeFile, byAPI, whole},
		} {
			text, err := r.read(r.name)
			if errors.Is(err, syscall.ESTALE) || errors.Is(err, io.ErrUnexpectedEOF) || isMoved(err) {
				continue // its version went from the store meanwhile; an answer that has begun breaks off then
			}
			if err == nil {
				err = r.check(r.name, text)
			}
			if err != nil {
				t.Errorf("a reader of %s: %v", r.name, err)
			}
		}
		select {
		case <-x.stop.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// contentsFile is what is changed through a daemon, and read through the other one.
func contentsFile(daemon uint64) string { return fmt.Sprint("contents-", daemon, ".txt") }

// probeContents changes a file through one daemon, and measures from when the bucket has it until the other shows it.
func (x *shared) probeContents(t *testing.T, i uint64) {
	t.Helper()
	from, to := x.drives[i], x.drives[1-i]
	name := contentsFile(i)
	for n := 0; x.stop.Err() == nil; n++ {
		text := fmt.Sprint("version ", n)
		if err := os.WriteFile(filepath.Join(from.Daemon.Mount, name), []byte(text), 0o644); err != nil {
			t.Error(err)
			return
		}
		x.until(t, name, bucketdrive.SettleTimeout, func() bool {
			got, err := from.Object(context.Background(), name)
			return err == nil && string(got) == text
		})
		took := x.until(t, name, contentsBound+lateness, func() bool {
			got, err := os.ReadFile(filepath.Join(to.Daemon.Mount, name))
			return err == nil && string(got) == text
		})
		if got, err := readByAPI(context.Background(), to.Daemon)(name); err != nil || string(got) != text {
			t.Errorf("the API reads %q, %v from %s, the mount %q", got, err, name, text)
		}
		t.Logf("contents of %s were seen after %v", name, took)
	}
}

// probeNames makes files through one daemon, and measures from when the bucket has one until the other lists it.
func (x *shared) probeNames(t *testing.T, i uint64) {
	t.Helper()
	from, to := x.drives[i], x.drives[1-i]
	for n := 0; x.stop.Err() == nil; n++ {
		name := fmt.Sprintf("name-%d-%d", i, n)
		if err := os.WriteFile(filepath.Join(from.Daemon.Mount, name), []byte(name), 0o644); err != nil {
			t.Error(err)
			return
		}
		x.until(t, name, bucketdrive.SettleTimeout, func() bool {
			_, err := from.Object(context.Background(), name)
			return err == nil
		})
		took := x.until(t, name, namesBound+lateness, func() bool {
			entries, err := os.ReadDir(to.Daemon.Mount)
			return err == nil && slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == name })
		})
		t.Logf("%s was seen after %v", name, took)
	}
}

// until waits for a condition and returns how long that took.
func (x *shared) until(t *testing.T, what string, limit time.Duration, condition func() bool) time.Duration {
	t.Helper()
	for start := time.Now(); ; time.Sleep(50 * time.Millisecond) {
		if condition() {
			return time.Since(start)
		}
		if time.Since(start) > limit {
			t.Errorf("%s is not there after %v", what, limit)
			return limit
		}
	}
}

// check looks for everything acknowledged in what a third daemon shows, once the two have uploaded all.
func (x *shared) check(t *testing.T, server *versitygw.Server) {
	t.Helper()
	for _, d := range x.drives {
		if s := d.Settle(t); len(s.Errors) > 0 {
			t.Errorf("status: %+v", s)
		}
	}
	fresh := bucketdrive.New(t, bucketdrive.Options{Server: server})
	fresh.Start(t)
	copies := map[string][]string{} // the file itself first
	for _, name := range append([]string{placeFile, renameFile}, lineFiles...) {
		copies[name] = []string{name}
	}
	conflicts := 0
	for _, key := range fresh.Keys(t) {
		stem, _, isCopy := strings.Cut(key, " (conflict ")
		if name := stem + ".txt"; isCopy && copies[name] != nil {
			copies[name] = append(copies[name], key)
			conflicts++
		}
	}
	read := readIn(fresh.Daemon.Mount)
	for _, name := range lineFiles {
		x.checkLines(t, name, copies[name], read)
	}
	x.checkPlace(t, copies[placeFile], read)
	text, err := read(renameFile)
	if err == nil && is(content)(renameFile, text, x.last[0]) != nil {
		err = is(content)(renameFile, text, x.last[1])
	}
	if err != nil {
		t.Errorf("%s is neither version %d nor this: %v", renameFile, x.last[0], err)
	}
	t.Logf("%d + %d lines and %d versions acknowledged, %d conflicts", len(x.lines[lineFiles[0]]), len(x.lines[lineFiles[1]]), len(x.versions), conflicts)
	if conflicts == 0 {
		t.Error("nothing was in conflict: the test proves nothing")
	}
}

// checkLines looks for each acknowledged line.
func (x *shared) checkLines(t *testing.T, name string, files []string, read func(string) ([]byte, error)) {
	t.Helper()
	found := map[string]bool{}
	for _, file := range files {
		text, err := read(file)
		if err == nil {
			err = wholeLines(string(text))
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		for line := range strings.Lines(string(text)) {
			found[line] = true
		}
	}
	lost := 0
	for _, line := range x.lines[name] {
		if !found[line] {
			lost++
			t.Logf("lost: %q", line)
		}
	}
	if lost > 0 {
		t.Errorf("%s: %d of %d lines are in none of %q", name, lost, len(x.lines[name]), files)
	}
}

// checkPlace looks for each acknowledged version over which nobody has written knowingly.
func (x *shared) checkPlace(t *testing.T, files []string, read func(string) ([]byte, error)) {
	t.Helper()
	found := map[uint64]bool{}
	for _, file := range files {
		text, err := read(file)
		var version uint64
		if err == nil {
			version, err = wholeContent(placeFile, text)
		}
		if err != nil {
			t.Errorf("%s: %v", file, err)
		}
		found[version] = true
	}
	for version := range x.versions {
		if !x.replaced[version] && !found[version] {
			t.Errorf("version %d of %s, over which nobody has written, is in none of %q", version, placeFile, files)
		}
	}
}
