package bucketfaults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// twins are a drive over a bucket and one in memory, which are given the same operations.
type twins struct {
	t      *testing.T
	rng    *rand.Rand
	b      *bucket
	m      *machine
	state  string
	d      *drive.Drive
	closer *closed
	oracle *mem.Drive
	open   []pair
	log    []string
}

// pair is a file that is open on both sides.
type pair struct {
	path           string
	ours, expected fs.Handle
}

func newTwins(t *testing.T, b *bucket, seed uint64) *twins {
	w := &twins{t: t, rng: rand.New(rand.NewPCG(seed, 1)), b: b, m: newImpatient(t), state: t.TempDir(), oracle: mem.New(mem.Options{})}
	w.start()
	for _, dir := range []string{"A", "B", "A/A", "A/B"} {
		w.mkdir(dir)
	}
	return w
}

// newImpatient is newMachine whose requests for bytes do not wait long for the next.
func newImpatient(t *testing.T) *machine {
	t.Helper()
	return newMachineWith(t, fetch.Options{Stall: 300 * time.Millisecond})
}

// start opens the drive. It asks the store again at nearly every step.
func (w *twins) start() {
	w.d = w.b.drive(w.m, 1, w.state, func(o *drive.Options) {
		o.NamesTTL, o.ContentsTTL, o.PartSize = time.Millisecond, time.Millisecond, 5<<20
	})
	w.closer = closeLater(w.t, w.d)
}

func (w *twins) fatal(format string, args ...any) {
	w.t.Helper()
	w.t.Fatalf("%s\nbroken: %v of %d requests\nafter:\n%s", fmt.Sprintf(format, args...), w.b.proxy.Broken(), w.b.proxy.Total(), strings.Join(w.log, "\n"))
}

// both does something on both sides; kinds of errors and results must be equal.
func (w *twins) both(what string, op func(ctx context.Context, d fs.Drive) (string, error)) (ok bool) {
	w.t.Helper()
	w.log = append(w.log, what)
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute) // past every deadline of the drive's own
	defer cancel()
	got, err := op(ctx, w.d)
	want, wantErr := op(ctx, w.oracle)
	if (err == nil) != (wantErr == nil) || err != nil && fs.KindOf(err) != fs.KindOf(wantErr) {
		w.fatal("%s: %v, want %v", what, err, wantErr)
	}
	if got != want {
		w.fatal("%s: %.80q, want %.80q", what, got, want)
	}
	return err == nil
}

func (w *twins) path() string {
	p := string(rune('a' + w.rng.IntN(4)))
	for range w.rng.IntN(3) {
		p = string(rune('A'+w.rng.IntN(2))) + "/" + p
	}
	return p
}

func (w *twins) dir() string { return strings.ToUpper(w.path()) }

// data returns bytes, now and then more than one part of an upload has.
func (w *twins) data() []byte {
	p := make([]byte, w.rng.IntN(50_000))
	if w.rng.IntN(40) == 0 {
		p = make([]byte, 5<<20+w.rng.IntN(2<<20))
	}
	for i := range min(len(p), 50_000) {
		p[i] = byte(w.rng.Uint32())
	}
	return p
}

func (w *twins) step() {
	path, other, dir, data := w.path(), w.path(), w.dir(), w.data()
	switch w.rng.IntN(18) {
	case 0, 1, 14, 15:
		w.create(path, data)
	case 2:
		w.both(fmt.Sprintf("replace %s with %d bytes", path, len(data)), func(ctx context.Context, d fs.Drive) (string, error) {
			_, err := d.Replace(ctx, path, strings.NewReader(string(data)), fs.ReplaceOptions{})
			return "", err
		})
	case 3:
		w.mkdir(dir)
	case 4:
		w.remove(path, false)
	case 5:
		w.remove(dir, true)
	case 6, 7:
		w.rename(path, other, 0)
	case 8:
		w.rename(dir, w.dir(), 0)
	case 16:
		w.rename(path, []string{other, dir}[w.rng.IntN(2)], fs.RenameExchange)
	case 17:
		w.rename(dir, w.dir(), fs.RenameExchange)
	case 9:
		w.both("read "+path, func(ctx context.Context, d fs.Drive) (string, error) { return text(ctx, d, path) })
	case 10:
		w.both("list "+dir, func(ctx context.Context, d fs.Drive) (string, error) { return listed(ctx, d, dir) })
	case 11:
		w.openFile(path)
	case 12:
		w.useFile(data)
	case 13:
		w.pause()
	}
}

func (w *twins) mkdir(dir string) {
	w.both("mkdir "+dir, func(ctx context.Context, d fs.Drive) (string, error) {
		x, name, err := parent(ctx, d, dir)
		if err == nil {
			_, err = x.Mkdir(ctx, name, fs.CreateOptions{Mode: 0o755})
		}
		return "", err
	})
}

func listed(ctx context.Context, d fs.Drive, dir string) (string, error) {
	all, err := names(ctx, d, dir)
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "%s %d ", e.Name, e.Attr.Type())
		if e.Attr.Type() == fs.File {
			fmt.Fprintf(&b, "%d ", e.Attr.Size)
		}
	}
	return b.String(), err
}

func (w *twins) create(path string, data []byte) {
	w.both(fmt.Sprintf("write %d bytes to %s", len(data), path), func(ctx context.Context, d fs.Drive) (string, error) {
		x, name, err := parent(ctx, d, path)
		if err != nil {
			return "", err
		}
		_, h, err := x.Create(ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenTruncate})
		if err != nil {
			return "", err
		}
		_, err = h.WriteAt(ctx, data, 0)
		return "", errors.Join(err, h.Flush(ctx), h.Release(ctx))
	})
}

func (w *twins) remove(path string, dir bool) {
	w.both(fmt.Sprintf("remove %s (directory: %v)", path, dir), func(ctx context.Context, d fs.Drive) (string, error) {
		x, name, err := parent(ctx, d, path)
		if err != nil {
			return "", err
		}
		return "", x.Remove(ctx, name, dir)
	})
}

func (w *twins) rename(from, to string, flags fs.RenameFlags) {
	w.both(fmt.Sprintf("rename %s to %s (%d)", from, to, flags), func(ctx context.Context, d fs.Drive) (string, error) {
		x, name, err := parent(ctx, d, from)
		if err != nil {
			return "", err
		}
		y, newName, err := parent(ctx, d, to)
		if err != nil {
			return "", err
		}
		return "", x.Rename(ctx, name, y, newName, flags)
	})
}

func (w *twins) openFile(path string) {
	if len(w.open) > 3 {
		w.closeFile()
	}
	p := pair{path: path}
	opened := w.both("open "+path, func(ctx context.Context, d fs.Drive) (string, error) {
		n, err := lookup(ctx, d, path)
		if err != nil {
			return "", err
		}
		h, err := n.Open(ctx, fs.OpenReadWrite)
		if d == fs.Drive(w.d) {
			p.ours = h
		} else {
			p.expected = h
		}
		return "", err
	})
	if opened {
		w.open = append(w.open, p)
	}
}

// on does something with an open file of both sides.
func (w *twins) on(p pair, what string, op func(ctx context.Context, h fs.Handle) (string, error)) {
	w.both(what+" "+p.path, func(ctx context.Context, d fs.Drive) (string, error) {
		if d == fs.Drive(w.d) {
			return op(ctx, p.ours)
		}
		return op(ctx, p.expected)
	})
}

func (w *twins) closeFile() {
	if len(w.open) == 0 {
		return
	}
	i := w.rng.IntN(len(w.open))
	p := w.open[i]
	w.open = slices.Delete(w.open, i, i+1)
	w.on(p, "close", func(ctx context.Context, h fs.Handle) (string, error) {
		return "", errors.Join(h.Flush(ctx), h.Release(ctx))
	})
}

func (w *twins) useFile(data []byte) {
	if len(w.open) == 0 {
		return
	}
	p, off := w.open[w.rng.IntN(len(w.open))], int64(w.rng.IntN(60_000))
	switch w.rng.IntN(5) {
	case 0, 1:
		w.on(p, fmt.Sprintf("%d bytes at %d of open", len(data), off), func(ctx context.Context, h fs.Handle) (string, error) {
			_, err := h.WriteAt(ctx, data, off)
			return "", err
		})
	case 2:
		w.on(p, fmt.Sprintf("truncate to %d open", off), func(ctx context.Context, h fs.Handle) (string, error) {
			_, err := h.SetAttr(ctx, fs.SetAttr{Size: &off})
			return "", err
		})
	case 3:
		w.on(p, "fsync open", func(ctx context.Context, h fs.Handle) (string, error) { return "", h.Sync(ctx) })
	case 4:
		w.on(p, "read open", contents)
	}
}

// pause closes files, or waits for the store, and may then restart the drive with an empty cache.
func (w *twins) pause() {
	switch w.rng.IntN(4) {
	case 0:
		w.closeFile()
		return
	case 1:
		w.log = append(w.log, "wait")
		w.wait()
	case 2:
		w.log = append(w.log, "wait, empty the cache")
		w.wait()
		w.m = newImpatient(w.t)
	}
	for len(w.open) > 0 {
		w.closeFile()
	}
	w.log = append(w.log, "restart")
	w.closer.close(w.t)
	w.start()
}

// wait waits until nothing is pending.
func (w *twins) wait() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 2*time.Minute)
	defer cancel()
	if err := w.d.Wait(ctx); err != nil {
		w.fatal("Wait() = %v; %+v", err, w.d.Status())
	}
}

// finish compares the trees, also with what a drive sees that knows the bucket alone.
func (w *twins) finish() {
	for len(w.open) > 0 {
		w.closeFile()
	}
	w.both("tree", treeOf)
	w.wait()
	if got := w.d.Status(); len(got.Conflicts) > 0 {
		w.fatal("conflicts with nobody: %+v", got.Conflicts)
	}
	w.closer.close(w.t)
	w.t.Logf("%d requests, %v; broken: %v", w.b.proxy.Total(), w.b.proxy.Counts(), w.b.proxy.Broken())
	w.b.proxy.Break(nil)
	w.state = w.t.TempDir()
	w.m = newImpatient(w.t)
	w.start()
	w.both("tree of the bucket alone", treeOf)
	w.closer.close(w.t)
}

// chaos breaks a share of the requests, each in a way that its kind allows. Credentials that have expired are replaced, and the new ones are
// good for some requests.
func chaos(seed uint64, share float64) func(faultproxy.Request) faultproxy.Action {
	const good = 10
	var mu sync.Mutex // guards rng and expired
	rng := rand.New(rand.NewPCG(seed, 2))
	expired := -good // number of the request that met it last
	return func(r faultproxy.Request) faultproxy.Action {
		mu.Lock()
		defer mu.Unlock()
		if rng.Float64() >= share {
			return faultproxy.Pass
		}
		actions := []faultproxy.Action{faultproxy.SlowDown, faultproxy.SlowDown, faultproxy.Fail, faultproxy.Reset, faultproxy.Expired}
		if r.Kind == "get" {
			actions = append(actions, faultproxy.Truncate, faultproxy.Truncate)
		} else {
			actions = append(actions, faultproxy.Lose, faultproxy.LoseFail)
		}
		action := actions[rng.IntN(len(actions))]
		if action == faultproxy.Expired {
			if r.N-expired < good {
				return faultproxy.SlowDown
			}
			expired = r.N
		}
		return action
	}
}

// stalls has answers stop in the middle: many with bytes of files, and one listing, which is waited for longer.
func stalls(seed uint64) func(faultproxy.Request) faultproxy.Action {
	var mu sync.Mutex // guards rng and lists
	rng := rand.New(rand.NewPCG(seed, 3))
	lists := 0
	return func(r faultproxy.Request) faultproxy.Action {
		mu.Lock()
		defer mu.Unlock()
		if r.Kind == "list" {
			lists++
		}
		if r.Kind == "list" && lists == 20 || r.Kind == "get" && rng.IntN(3) == 0 {
			return faultproxy.Stall
		}
		return faultproxy.Pass
	}
}

// run does so many steps while requests are broken, and compares.
func (w *twins) run(steps int, decide func(faultproxy.Request) faultproxy.Action) {
	w.t.Helper()
	w.b.proxy.Break(decide)
	for range steps {
		w.step()
	}
	w.finish()
}

func TestMachine(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	for name, share := range map[string]float64{"calm": 0, "rough": 0.1, "wild": 0.3} {
		for seed := range uint64(count(2, 60)) {
			t.Run(fmt.Sprintf("%s %d", name, seed), func(t *testing.T) {
				newTwins(t, newBucket(t, server, faultproxy.Options{}), seed).run(200, chaos(seed, share))
			})
		}
	}
	for seed := range uint64(count(1, 10)) {
		t.Run(fmt.Sprintf("stalls %d", seed), func(t *testing.T) {
			w := newTwins(t, newBucket(t, server, faultproxy.Options{}), 100+seed)
			w.run(200, stalls(seed))
		})
	}
	for name, skew := range map[string]time.Duration{"ahead": 20 * time.Minute, "behind": -20 * time.Minute} {
		for seed := range uint64(count(1, 10)) {
			t.Run(fmt.Sprintf("clock %s %d", name, seed), func(t *testing.T) {
				newTwins(t, newBucket(t, server, faultproxy.Options{Skew: skew}), 200+seed).run(100, chaos(seed, 0.05))
			})
		}
	}
}
