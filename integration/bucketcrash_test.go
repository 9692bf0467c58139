package integration

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
)

// runVersions is how many versions of a file a run may make: the first one of each run is a multiple of it.
const runVersions = 1_000_000

// minSaves is how many saves must be acknowledged before a kill counts.
const minSaves = 20

// crashes is a bucket's drive whose daemon is killed over and over.
type crashes struct {
	*bucketdrive.Drive
	random *rand.Rand
	files  *filer
	acked  map[string]uint64 // the newest acknowledged version by file
	tried  map[string]uint64 // the newest version by file, acknowledged or not
	hits   int               // kills that came while something acknowledged was not in the bucket
	saves  int64
}

// TestPromiseBucketSurvivesKills kills the daemon under load, at random instants and just after a random record of the journal, with the
// store there and away. Everything acknowledged is in the mount and the API of the next daemon at once, in the bucket when nothing is pending,
// and in the end for a daemon that knows nothing but the bucket. No file is ever half of a version.
func TestPromiseBucketSurvivesKills(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tls, leave bool
		few, all   int
	}{
		"plain":          {few: 8, all: 80},
		"TLS":            {tls: true, few: 6, all: 60},
		"the store goes": {leave: true, few: 6, all: 60},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			x := &crashes{
				Drive: bucketdrive.New(t, bucketdrive.Options{TLS: c.tls}), random: newRandom(t),
				files: &filer{want: map[string]uint64{}}, acked: map[string]uint64{}, tried: map[string]uint64{},
			}
			x.Start(t)
			for _, dir := range []string{"made", "moved"} {
				if err := os.Mkdir(path.Join(x.Daemon.Mount, dir), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			kills := runs(c.few, c.all)
			for run := range kills {
				x.run(t, run, c.leave)
				if t.Failed() {
					t.Fatalf("run %d", run)
				}
			}
			x.alone(t)
			t.Logf("%d kills after %d acknowledged saves, %d of them while something was pending", kills, x.saves, x.hits)
			if x.hits < kills/2 {
				t.Errorf("only %d of %d kills came while something was pending", x.hits, kills)
			}
		})
	}
}

// run kills the daemon once, starts it again and compares. leave takes the store away while files are saved, until the next start.
func (x *crashes) run(t *testing.T, run int, leave bool) {
	t.Helper()
	w := x.load(t, run, leave)
	x.saves += w.acknowledged.Load()
	maps.Copy(x.acked, w.versions())
	maps.Copy(x.tried, w.tried)
	w.checkRefused(t)
	if x.isBehind(t, leave) {
		x.hits++
	}
	x.Start(t)
	if leave {
		if err := x.Server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	have, err := filesIn(x.Daemon.Mount, "made", "moved")
	if err == nil {
		err = x.files.settle(have)
	}
	if err != nil {
		t.Error("the mount after a kill:", err)
	}
	x.resolve(t)
	x.check(t, "the mount after a kill", readIn(x.Daemon.Mount))
	x.check(t, "the API after a kill", readByAPI(t.Context(), x.Daemon))
	if s := x.Settle(t); len(s.Errors) > 0 || len(s.Conflicts) > 0 {
		t.Errorf("status after a kill: %+v", s)
	}
	x.check(t, "the bucket", func(name string) ([]byte, error) { return x.Object(t.Context(), name) })
	x.checkKeys(t)
}

// load saves files until the daemon is killed: after minSaves acknowledged ones, at a random instant or when a random record was written to
// the journal.
func (x *crashes) load(t *testing.T, run int, leave bool) *writers {
	t.Helper()
	target := minSaves + x.random.Int64N(60)
	w := newWriters(target)
	var killed atomic.Bool
	for _, k := range bucketKinds {
		w.start(t.Context(), k.file, uint64(run)*runVersions, alive(t, &killed, k.save(w, x.Daemon)))
	}
	// Versions of these are no file's.
	w.start(t.Context(), "", uint64(run)*runVersions, alive(t, &killed, x.files.in(x.Daemon)))
	if leave {
		time.Sleep(time.Duration(x.random.Int64N(int64(100 * time.Millisecond)))) // into what is being saved
		if err := x.Server.Kill(); err != nil {
			t.Fatal(err)
		}
	}
	w.await(t, x.Daemon)
	what := "at a random instant"
	if run%2 == 0 {
		time.Sleep(time.Duration(x.random.Int64N(int64(20 * time.Millisecond)))) // into a save that is under way
	} else {
		records := 1 + x.random.IntN(20)
		what = fmt.Sprintf("after %d more records", records)
		awaitRecords(t, x.Journal(t), records)
	}
	killed.Store(true)
	if err := x.Daemon.Kill(); err != nil {
		t.Fatal(err)
	}
	t.Logf("run %d: killed %s, %d saves acknowledged", run, what, w.acknowledged.Load())
	return w
}

// alive has a save that fails before the daemon was killed fail the test.
func alive(t *testing.T, killed *atomic.Bool, save save) save {
	return func(ctx context.Context, name string, version uint64) error {
		err := save(ctx, name, version)
		if err != nil && !errors.Is(err, errEnough) && !killed.Load() {
			t.Errorf("%s, version %d, while the daemon runs: %v", name, version, err)
		}
		return err
	}
}

// awaitRecords returns when the journal in a folder was written to a number of times.
func awaitRecords(t *testing.T, dir string, n int) {
	t.Helper()
	fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Close(fd); err != nil {
			t.Error(err)
		}
	}()
	if _, err := unix.InotifyAddWatch(fd, dir, unix.IN_MODIFY); err != nil {
		t.Fatal(err)
	}
	var events [4096]byte
	for n > 0 {
		poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		ready, err := unix.Poll(poll, 10_000)
		switch {
		case errors.Is(err, syscall.EINTR):
			continue
		case err != nil || ready == 0:
			t.Errorf("nothing is written to the journal: %v", err)
			return
		}
		size, err := unix.Read(fd, events[:])
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < size; n-- {
			at += unix.SizeofInotifyEvent + int(binary.NativeEndian.Uint32(events[at+12:])) // the name's length
		}
	}
}

// resolve makes the saves that were under way when the daemon was killed acknowledged ones, if they are there.
func (x *crashes) resolve(t *testing.T) {
	t.Helper()
	for _, k := range bucketKinds {
		tried, ok := x.tried[k.file]
		if acked, known := x.acked[k.file]; !ok || known && acked == tried {
			continue
		}
		text, err := os.ReadFile(filepath.Join(x.Daemon.Mount, k.file))
		if err == nil && k.check(k.file, text, tried) == nil {
			x.acked[k.file] = tried
		}
	}
}

// check compares all files with what was acknowledged.
func (x *crashes) check(t *testing.T, way string, read func(name string) ([]byte, error)) {
	t.Helper()
	for _, k := range bucketKinds {
		version, ok := x.acked[k.file]
		if !ok {
			continue
		}
		text, err := read(k.file)
		if err == nil {
			err = k.check(k.file, text, version)
		}
		if err != nil {
			t.Errorf("%s: %s: %v", way, k.file, err)
		}
	}
	for name, version := range x.files.wants() {
		text, err := read(name)
		if err == nil {
			err = x.files.checkFile(name, text, version)
		}
		if err != nil {
			t.Errorf("%s: %s: %v", way, name, err)
		}
	}
}

// isBehind reports whether the bucket lacks something acknowledged.
func (x *crashes) isBehind(t *testing.T, away bool) bool {
	t.Helper()
	if away {
		return true
	}
	for _, k := range bucketKinds {
		version, ok := x.acked[k.file]
		if !ok {
			continue
		}
		text, err := x.Object(t.Context(), k.file)
		if err != nil || k.check(k.file, text, version) != nil {
			return true
		}
	}
	return false
}

// checkKeys fails for each object that is no file, such as a copy of a conflict, or one that was removed or renamed.
func (x *crashes) checkKeys(t *testing.T) {
	t.Helper()
	known := x.files.wants()
	for _, k := range bucketKinds {
		known[k.file], known[k.file+".tmp"] = 0, 0 // one that was written and not renamed yet stays
	}
	for _, key := range x.Keys(t) {
		if _, ok := known[key]; !ok && path.Dir(key) != ".ipynb_checkpoints" {
			t.Errorf("the bucket has %s", key)
		}
	}
	if lost, err := os.ReadDir(filepath.Join(filepath.Dir(x.Journal(t)), "lost")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the daemon has found something missing: %v, %v", lost, err)
	}
}

// alone checks what a daemon sees that knows nothing but the bucket.
func (x *crashes) alone(t *testing.T) {
	t.Helper()
	if err := x.Daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	x.Forget(t)
	x.Start(t)
	have, err := filesIn(x.Daemon.Mount, "made", "moved")
	if err == nil {
		err = x.files.settle(have)
	}
	if err != nil {
		t.Error("the mount of a new daemon:", err)
	}
	x.check(t, "the mount of a new daemon", readIn(x.Daemon.Mount))
	if err := x.Daemon.Stop(); err != nil {
		t.Error(err)
	}
}
