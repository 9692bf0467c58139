package fulldisk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/jupyter-drive/jupyter-drive/integration/bucketdrive"
)

// The files that are there before: cached is read once beforehand, uncached is not.
const (
	cached   = "cached.bin"
	uncached = "uncached.bin"
)

// TestPromiseFullDiskLosesNothing fills the disk, in two ways, until programs are told so. What was acknowledged is there all the time: while
// the disk is full, for a daemon that is killed and started then, when there is room again, and for one that knows the bucket alone.
func TestPromiseFullDiskLosesNothing(t *testing.T) {
	kinds, rounds := []string{"tmpfs"}, 1
	if os.Getenv("JUPYTER_DRIVE_TEST_FULL") != "" {
		kinds, rounds = []string{"tmpfs", "ext4"}, 5
	}
	for _, kind := range kinds {
		for name, fillUp := range map[string]func(x *full, t *testing.T) (room func()){
			"the store is away": (*full).withoutStore, "somebody else fills it": (*full).withFiller, "the journal is full": (*full).withFullJournal,
		} {
			t.Run(kind+", "+name, func(t *testing.T) {
				x := newFull(t, kind)
				x.begin(t)
				for round := range rounds {
					for _, kill := range []bool{false, true} {
						x.once(t, fillUp, kill)
						if t.Failed() {
							t.Fatalf("round %d, kill: %v", round, kill)
						}
					}
				}
				x.alone(t)
			})
		}
	}
}

// begin starts the daemon on a bucket that has some files.
func (x *full) begin(t *testing.T) {
	t.Helper()
	for _, name := range []string{cached, uncached} {
		x.want[name] = contents(name, 4<<20)
		if err := x.Put(t.Context(), name, bytes.NewReader(x.want[name]), int64(len(x.want[name]))); err != nil {
			t.Fatal(err)
		}
	}
	x.Start(t)
	for _, w := range ways {
		if call, err := x.writeOne(w, 100_000); err != nil {
			t.Fatalf("%s, %s: %v", w.name, call, err)
		}
	}
	x.Settle(t)
	x.reads(t, cached)
}

// contents is what a file has: each line names it and its place, so that a part that is missing or moved shows.
func contents(name string, size int) []byte {
	const line = 512
	rest := bytes.Repeat([]byte{'.'}, line)
	b := make([]byte, 0, size+line)
	for len(b) < size {
		from := len(b)
		b = fmt.Appendf(b, "%s %09d ", name, from)
		b = append(append(b, rest[:line-1-(len(b)-from)]...), '\n')
	}
	return b[:size]
}

// once fills the disk, looks at everything, and makes room again. kill kills and starts the daemon while the disk is full.
func (x *full) once(t *testing.T, fillUp func(*full, *testing.T) func(), kill bool) {
	t.Helper()
	room := fillUp(x, t)
	x.checkFull(t)
	if kill {
		if err := x.Daemon.Kill(); err != nil {
			t.Fatal(err)
		}
		x.Start(t)
		x.checkFull(t)
	}
	room()
	x.recovers(t)
	if s := x.Settle(t); len(s.Errors) > 0 || len(s.Conflicts) > 0 {
		t.Errorf("status with room again: %+v", s)
	}
	x.checkMount(t, "the mount with room again")
	x.check(t, "the bucket", func(name string) ([]byte, error) { return x.Object(t.Context(), name) })
	clear(x.part)
	x.checkCache(t)
}

// checkCache fails unless the cache takes a file, and has it while the store is away.
func (x *full) checkCache(t *testing.T) {
	t.Helper()
	if code, out := x.Command(t, "warm", x.path(uncached)); code != 0 {
		t.Errorf("warm with room again = %d %s", code, out)
	}
	if err := x.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	x.reads(t, uncached)
	if err := x.Server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	x.reads(t, cached)
}

// withoutStore takes the store away and writes until the disk is full. The room comes back with the store.
func (x *full) withoutStore(t *testing.T) (room func()) {
	t.Helper()
	if _, err := os.ReadDir(x.Daemon.Mount); err != nil { // what is not known of a folder cannot be written without the store
		t.Fatal(err)
	}
	if err := x.Server.Kill(); err != nil {
		t.Fatal(err)
	}
	x.away = true
	clear(x.here)
	x.write(t, small)
	return func() {
		x.away = false
		if err := x.Server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// withFiller leaves little of the disk, and writes files that are larger than that and the cache: small ones may be uploaded meanwhile.
func (x *full) withFiller(t *testing.T) (room func()) {
	t.Helper()
	room = x.filler(t, 8<<20)
	x.write(t, 40<<20)
	return room
}

// withFullJournal leaves too little of the disk for the journal to grow, and fills what there is of it with attributes of files.
func (x *full) withFullJournal(t *testing.T) (room func()) {
	t.Helper()
	room = x.filler(t, 8<<20)
	value := make([]byte, 50_000)
	for n := 0; ; n++ {
		err := unix.Setxattr(x.path("synced.txt"), "user.filler", value, 0)
		if errors.Is(err, unix.ENOSPC) && n > 100 {
			break
		}
		if err != nil || n > 2000 {
			t.Fatalf("after %d changes of an attribute: %v", n, err)
		}
	}
	x.write(t, small)
	return room
}

// way is a way to write a file. It returns with what system call it has failed.
type way struct {
	name    string
	inPlace bool // else what was acknowledged before must stay
	new     bool // it makes a file of its own each time
	do      func(x *full, name string, data []byte) (call string, err error)
}

const (
	mapped = "mapped"
	small  = 300_000 // bytes of a file
)

var ways = []way{
	{"new-closed", true, true, func(x *full, name string, data []byte) (string, error) { return put(x.path(name), data, false) }},
	{"new-synced", true, true, func(x *full, name string, data []byte) (string, error) { return put(x.path(name), data, true) }},
	{"closed", true, false, func(x *full, name string, data []byte) (string, error) { return put(x.path(name), data, false) }},
	{"synced", true, false, func(x *full, name string, data []byte) (string, error) { return put(x.path(name), data, true) }},
	{mapped, true, true, func(x *full, name string, data []byte) (string, error) { return putMapped(x.path(name), data) }},
	{"renamed", false, false, (*full).rename},
	{"API", false, false, (*full).save},
}

func (x *full) path(name string) string { return filepath.Join(x.Daemon.Mount, name) }

// put writes a new file in pieces, as programs do.
func put(path string, data []byte, sync bool) (call string, err error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "open", err
	}
	call = "write"
	for len(data) > 0 && err == nil {
		var n int
		n, err = f.Write(data[:min(len(data), 100_000)])
		data = data[n:]
	}
	if err == nil && sync {
		call, err = "fsync", f.Sync()
	}
	if err != nil {
		return call, errors.Join(err, f.Close())
	}
	return "close", f.Close()
}

func putMapped(path string, data []byte) (call string, err error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return "open", err
	}
	if err := f.Truncate(int64(len(data))); err != nil {
		return "ftruncate", errors.Join(err, f.Close())
	}
	m, err := unix.Mmap(int(f.Fd()), 0, len(data), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return "mmap", errors.Join(err, f.Close())
	}
	copy(m, data)
	err = unix.Msync(m, unix.MS_SYNC)
	if err := errors.Join(err, unix.Munmap(m)); err != nil {
		return "msync", errors.Join(err, f.Close())
	}
	return "close", f.Close()
}

// rename saves as editors do.
func (x *full) rename(name string, data []byte) (call string, err error) {
	temp := x.path("." + name + ".tmp")
	if call, err = put(temp, data, true); err != nil {
		return call, errors.Join(err, os.Remove(temp))
	}
	return "rename", os.Rename(temp, x.path(name))
}

// save saves as JupyterLab does.
func (x *full) save(name string, data []byte) (call string, err error) {
	answer, err := x.client().Save(context.Background(), name, string(data))
	if answer.Status == http.StatusInsufficientStorage {
		err = unix.ENOSPC
	}
	return "PUT", err
}

// writeOne writes the next file in a way. What comes of it is noted.
func (x *full) writeOne(w way, size int) (call string, err error) {
	x.next++
	name := w.name + ".txt"
	if w.new {
		name = fmt.Sprintf("%s-%d.txt", w.name, x.next)
	}
	data := contents(fmt.Sprint(name, " ", x.next), size)
	call, err = w.do(x, name, data)
	switch {
	case err == nil:
		x.want[name], x.here[name] = data, true
		delete(x.part, name)
	case w.inPlace && call != "open":
		r := x.part[name]
		if before, ok := x.want[name]; ok {
			r = refused{before: before}
		}
		r.written = append(r.written, data)
		x.part[name] = r
		delete(x.want, name)
	}
	return call, err
}

// write writes in all ways until each was refused some times: at first small files, then such of that size. What is written to mapped memory
// stays small, since a page for which there is no room ends the program: it has to be refused only where all files are small.
func (x *full) write(t *testing.T, size int) {
	t.Helper()
	const enough, most = 3, 2000
	refused, calls := map[string]int{}, map[string]int{}
	done, due := 0, len(ways)
	if size > small {
		due--
	}
	for n := 0; done < due && n < most; n++ {
		w := ways[n%len(ways)]
		length := small
		if n >= 3*len(ways) && w.name != mapped {
			length = size
		}
		call, err := x.writeOne(w, length+n*1001%400_000)
		switch {
		case err == nil:
			continue
		case !errors.Is(err, unix.ENOSPC):
			t.Fatalf("%s, %s: %v, want ENOSPC", w.name, call, err)
		}
		calls[call]++
		if refused[w.name]++; refused[w.name] == enough && (w.name != mapped || due == len(ways)) {
			done++
		}
	}
	t.Logf("%d files acknowledged; refused: %v, by %v; %d bytes are left", len(x.want), refused, calls, x.free(t))
	if done < due {
		t.Errorf("the disk did not get full: refused are %v", refused)
	}
}

// checkFull looks at everything while the disk is full.
func (x *full) checkFull(t *testing.T) {
	t.Helper()
	x.checkMount(t, "the mount of a full disk")
	for _, name := range []string{"renamed.txt", "API.txt"} {
		if want := x.want[name]; x.here[name] {
			answer, err := x.client().Do(t.Context(), http.MethodGet, "files/"+name, nil)
			if err != nil || !bytes.Equal(answer.Body, want) {
				t.Errorf("GET %s = %d, %d bytes, %v, want %d", name, answer.Status, len(answer.Body), err, len(want))
			}
		}
	}
	if code, out := x.Command(t, "status"); !strings.Contains(out, bucketdrive.Name) {
		t.Errorf("status = %d\n%s", code, out)
	}
}

// checkMount compares all files in the mount. Without the store those are that are on this machine.
func (x *full) checkMount(t *testing.T, way string) {
	t.Helper()
	x.check(t, way, func(name string) ([]byte, error) {
		if want, ok := x.want[name]; ok && x.away && !x.here[name] {
			return want, nil
		}
		return os.ReadFile(x.path(name))
	})
}

// check compares all files with what was acknowledged. What was refused on the way is as far there as it was written: nothing else is in it.
func (x *full) check(t *testing.T, way string, read func(name string) ([]byte, error)) {
	t.Helper()
	for name, want := range x.want {
		got, err := read(name)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %s has %d bytes, %v, want %d", way, name, len(got), err, len(want))
		}
	}
	for name, r := range x.part {
		got, err := read(name)
		if isGone(err) && r.before == nil {
			continue
		}
		anyPage := strings.HasPrefix(name, mapped)
		isPart := func(written []byte) bool { return bytes.HasPrefix(written, got) }
		if err != nil || !anyPage && !slices.ContainsFunc(r.written, isPart) && !bytes.Equal(got, r.before) {
			t.Errorf("%s: of %s, which was refused %d times, are %d bytes there, %v; there were %d", way, name, len(r.written), len(got), err, len(r.before))
		}
	}
}

// isGone reports whether an error says that there is no such file or object.
func isGone(err error) bool {
	return errors.Is(err, os.ErrNotExist) || err != nil && strings.Contains(err.Error(), "404")
}

// reads reads a file in the mount.
func (x *full) reads(t *testing.T, name string) {
	t.Helper()
	if got, err := os.ReadFile(x.path(name)); err != nil || !bytes.Equal(got, x.want[name]) {
		t.Fatalf("%s: %d bytes, %v", name, len(got), err)
	}
}

// recovers fails unless files can be written again soon, with the daemon that runs.
func (x *full) recovers(t *testing.T) {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for _, w := range ways {
		for {
			call, err := x.writeOne(w, 500_000)
			if err == nil {
				break
			}
			if !errors.Is(err, unix.ENOSPC) || time.Now().After(deadline) {
				t.Fatalf("with room again %s, %s: %v", w.name, call, err)
			}
			time.Sleep(100 * time.Millisecond)
		}
	}
}

// alone checks what a daemon sees that knows the bucket alone.
func (x *full) alone(t *testing.T) {
	t.Helper()
	if err := x.Daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"state", "cache"} {
		if err := x.clear(dir); err != nil {
			t.Fatal(err)
		}
	}
	x.Start(t)
	x.checkMount(t, "the mount of a new daemon")
	if err := x.Daemon.Stop(); err != nil {
		t.Error(err)
	}
}

// clear empties a folder, which is a mount point.
func (x *full) clear(dir string) error {
	dir = filepath.Join(x.Opts.Box.Home, dir)
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		err = errors.Join(err, os.RemoveAll(filepath.Join(dir, e.Name())))
	}
	return err
}
