package drive

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// crasher stops a drive at a point: whoever reaches that one or a later one ends there, as if the process had been killed.
type crasher struct {
	at      int
	mu      sync.Mutex // guards all below
	armed   bool
	n       int
	where   string
	crashed chan struct{}
}

func newCrasher(at int) *crasher {
	return &crasher{at: at, crashed: make(chan struct{})}
}

func (c *crasher) hook(point string) {
	c.mu.Lock()
	if c.armed {
		c.n++
	}
	n := c.n
	if c.armed && n == c.at {
		c.where = point
		close(c.crashed)
	}
	c.mu.Unlock()
	if n > 0 && c.at > 0 && n >= c.at {
		runtime.Goexit()
	}
}

// hasCrashed reports whether the point was reached.
func (c *crasher) hasCrashed() bool {
	select {
	case <-c.crashed:
		return true
	default:
		return false
	}
}

// tree is what a drive has: contents by path, directories with a slash at the end.
type tree map[string]string

func (t tree) String() string {
	var b strings.Builder
	for _, p := range slices.Sorted(maps.Keys(t)) {
		if strings.HasSuffix(p, "/") {
			fmt.Fprintf(&b, "%s\n", p)
		} else {
			fmt.Fprintf(&b, "%s %d %x\n", p, len(t[p]), hash(t[p]))
		}
	}
	return b.String()
}

// scenario is a random sequence of saves with what is acknowledged at each moment.
type scenario struct {
	rng  *rand.Rand
	now  tree
	next []tree // what may be there after a crash besides now, while an operation is under way
	acks int
}

func (s *scenario) with(f func(tree)) tree {
	t := maps.Clone(s.now)
	f(t)
	return t
}

// run does one operation. What it leaves is in s.now when it returns.
func (s *scenario) run(ctx context.Context, d *Drive) error {
	name := string(rune('a' + s.rng.IntN(3)))
	dir := ""
	if s.rng.IntN(2) == 0 {
		dir = "d/"
		if _, ok := s.now["d/"]; !ok {
			s.next = []tree{s.with(func(t tree) { t["d/"] = "" })}
			if _, err := d.Root().Mkdir(ctx, "d", fs.CreateOptions{Mode: 0o755}); err != nil {
				return err
			}
			s.ack()
		}
	}
	data := strings.Repeat(string(rune('a'+s.rng.IntN(26))), 1+s.rng.IntN(3000))
	path := dir + name
	_, there := s.now[path]
	switch op := s.rng.IntN(11); {
	case op < 2:
		return s.save(ctx, d, path, data)
	case op < 4:
		return s.atomic(ctx, d, path, data)
	case op == 4:
		s.next = []tree{s.with(func(t tree) { t[path] = data })}
		_, err := d.Replace(ctx, path, strings.NewReader(data), fs.ReplaceOptions{})
		return s.acked(err)
	case op == 5 && there:
		s.next = []tree{s.with(func(t tree) { delete(t, path) })}
		x, n, err := at(ctx, d, path)
		if err != nil {
			return err
		}
		return s.acked(x.Remove(ctx, n, false))
	case op == 6 && there:
		return s.rename(ctx, d, path, "moved-"+name)
	case op == 8:
		return s.pipe(ctx, d, dir+"pipe")
	case op > 8 && there:
		return s.exchange(ctx, d, path)
	case op == 7:
		if _, ok := s.now["d/"]; ok {
			return s.moveDir(ctx, d)
		}
	}
	return nil
}

func (s *scenario) ack() { s.now, s.next = s.next[len(s.next)-1], nil; s.acks++ }

func (s *scenario) acked(err error) error {
	if err == nil {
		s.ack()
	}
	return err
}

// save truncates in place, writes and closes.
func (s *scenario) save(ctx context.Context, d *Drive, path, data string) error {
	s.next = []tree{s.with(func(t tree) { t[path] = data })}
	if _, there := s.now[path]; !there {
		s.next = []tree{s.with(func(t tree) { t[path] = "" }), s.next[0]}
	}
	x, name, err := at(ctx, d, path)
	if err != nil {
		return err
	}
	_, h, err := x.Create(ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenTruncate})
	if err != nil {
		return err
	}
	half := len(data) / 2
	if _, err := h.WriteAt(ctx, []byte(data[:half]), 0); err != nil {
		return err
	}
	if _, err := h.WriteAt(ctx, []byte(data[half:]), int64(half)); err != nil {
		return err
	}
	if err := h.Flush(ctx); err != nil {
		return err
	}
	s.ack()
	return h.Release(ctx)
}

// atomic writes a temporary file and renames it over.
func (s *scenario) atomic(ctx context.Context, d *Drive, path, data string) error {
	if err := s.save(ctx, d, path+".tmp", data); err != nil {
		return err
	}
	return s.rename(ctx, d, path+".tmp", path)
}

func (s *scenario) rename(ctx context.Context, d *Drive, from, to string) error {
	s.next = []tree{s.with(func(t tree) { t[to] = t[from]; delete(t, from) })}
	x, name, err := at(ctx, d, from)
	if err != nil {
		return err
	}
	y, newName, err := at(ctx, d, to)
	if err != nil {
		return err
	}
	return s.acked(x.Rename(ctx, name, y, newName, 0))
}

// moveDir renames the directory there and back.
func (s *scenario) moveDir(ctx context.Context, d *Drive) error {
	for _, r := range [][2]string{{"d/", "e/"}, {"e/", "d/"}} {
		s.next = []tree{s.with(func(t tree) {
			for p, data := range s.now {
				if rest, ok := strings.CutPrefix(p, r[0]); ok {
					delete(t, p)
					t[r[1]+rest] = data
				}
			}
		})}
		if err := s.acked(d.Root().Rename(ctx, r[0][:1], d.Root(), r[1][:1], 0)); err != nil {
			return err
		}
		if r[0] == "d/" && s.rng.IntN(2) == 0 {
			time.Sleep(3 * time.Second)
		}
	}
	return nil
}

// pipe makes a FIFO, or removes it.
func (s *scenario) pipe(ctx context.Context, d *Drive, path string) error {
	x, name, err := at(ctx, d, path)
	if err != nil {
		return err
	}
	if _, there := s.now[path]; there {
		s.next = []tree{s.with(func(t tree) { delete(t, path) })}
		return s.acked(x.Remove(ctx, name, false))
	}
	s.next = []tree{s.with(func(t tree) { t[path] = "special 10600 0" })}
	_, err = x.(fs.Mknoder).Mknod(ctx, name, fs.ModeFIFO|0o600, 0, fs.CreateOptions{})
	return s.acked(err)
}

// exchange has a file and another one, a FIFO or a directory change places. What is no file changes back.
func (s *scenario) exchange(ctx context.Context, d *Drive, path string) error {
	others := slices.DeleteFunc(slices.Sorted(maps.Keys(s.now)), func(p string) bool {
		return p == path || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) // its own directory
	})
	if len(others) == 0 {
		return nil
	}
	other := others[s.rng.IntN(len(others))]
	rest, isDir := strings.CutSuffix(other, "/")
	for range map[bool]int{true: 2, false: 1}[isDir || strings.HasSuffix(other, "pipe")] {
		s.next = []tree{s.with(func(t tree) { exchangeIn(t, path, rest) })}
		x, name, err := at(ctx, d, path)
		if err != nil {
			return err
		}
		y, newName, err := at(ctx, d, rest)
		if err != nil {
			return err
		}
		if err := s.acked(x.Rename(ctx, name, y, newName, fs.RenameExchange)); err != nil {
			return err
		}
		if s.rng.IntN(2) == 0 {
			time.Sleep(3 * time.Second)
		}
	}
	return nil
}

// exchangeIn is what an exchange of two paths makes of a tree.
func exchangeIn(t tree, a, b string) {
	old := maps.Clone(t)
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		for p := range old {
			if p == pair[0] || strings.HasPrefix(p, pair[0]+"/") {
				delete(t, p)
			}
		}
	}
	for _, pair := range [][2]string{{a, b}, {b, a}} {
		for p, data := range old {
			if rest, ok := strings.CutPrefix(p, pair[0]); ok && (rest == "" || rest[0] == '/') {
				t[pair[1]+rest] = data
			}
		}
	}
}

// treeOf reads a drive.
func treeOf(ctx context.Context, d fs.Drive) (tree, error) {
	out := tree{}
	var walk func(x fs.Dir, path string) error
	walk = func(x fs.Dir, path string) error {
		entries, err := entriesOf(ctx, x)
		if err != nil {
			return err
		}
		for _, e := range entries {
			p := join(path, e.Name)
			if sub, ok := e.Node.(fs.Dir); ok {
				out[p+"/"] = ""
				err = walk(sub, p)
			} else {
				out[p], err = textOf(ctx, d, p)
			}
			if err != nil {
				return fmt.Errorf("%s: %w", p, err)
			}
		}
		return nil
	}
	return out, walk(d.Root(), "")
}

// crashAt runs a scenario until the drive reaches the given point, 0 = to the end. It returns how many points there are.
func crashAt(t *testing.T, seed uint64, point, steps int) (points int) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrasher(point)
		b := mem.NewBackend(mem.BackendOptions{})
		o := Options{Backend: b, State: memoryDir(t), hook: c.hook, NamesTTL: 2 * time.Second, ContentsTTL: time.Second}
		d := open(t, o)
		c.mu.Lock()
		c.armed = true
		c.mu.Unlock()
		s := &scenario{rng: rand.New(rand.NewPCG(seed, 3)), now: tree{}}
		ended := make(chan error, 1)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			err := errors.New("the operation did not end")
			defer func() { ended <- err }()
			for range steps {
				if err = s.run(ctx, d); err != nil {
					return
				}
				time.Sleep(time.Duration(s.rng.IntN(2000)) * time.Millisecond)
			}
			err = d.Wait(ctx)
		}()
		select {
		case <-c.crashed:
			cancel()
			if err := <-ended; err == nil {
				t.Log("the scenario had ended already")
			}
		case err := <-ended:
			if err != nil && !c.hasCrashed() { // else both are true, and either may be seen first
				t.Errorf("the scenario ended with %v", err)
			}
		}
		c.mu.Lock()
		points = c.n
		where := c.where
		c.mu.Unlock()
		synctest.Wait() // the process is gone when another looks at its state: what was between two points has come to the second
		if err := d.lock.Close(); err != nil {
			t.Error(err)
		}
		verify(t, fmt.Sprintf("seed %d, point %d (%s)", seed, point, where), o, s)
		d.stop()
		<-d.queue.end
		if err := d.journal.Close(); err != nil {
			t.Error(err)
		}
	})
	return points
}

// verify checks after a crash that what was acknowledged is there, here and in the store.
func verify(t *testing.T, what string, o Options, s *scenario) {
	t.Helper()
	ctx := t.Context()
	o.hook = nil
	d := open(t, o)
	got, err := treeOf(ctx, d)
	if err != nil {
		t.Errorf("%s: %v", what, err)
	}
	var allowed []string
	for _, may := range append([]tree{s.now}, s.next...) {
		allowed = append(allowed, may.String())
	}
	if !slices.Contains(allowed, got.String()) {
		t.Errorf("%s: after a restart there is\n%s\nwant one of\n%s", what, got, strings.Join(allowed, "or\n"))
	}
	if err := d.Wait(ctx); err != nil {
		t.Errorf("%s: Wait() = %v", what, err)
	}
	if st := d.Status(); len(st.Conflicts) > 0 {
		t.Errorf("%s: conflicts %v", what, st.Conflicts)
	}
	if err := d.Close(ctx); err != nil {
		t.Errorf("%s: Close() = %v", what, err)
	}
	o.State, o.ID = memoryDir(t), fs.DriveID{7}
	alone := open(t, o)
	stored, err := treeOf(ctx, alone)
	if err != nil || stored.String() != got.String() {
		t.Errorf("%s: the store has\n%s%v\nwant\n%s", what, stored, err, got)
	}
	if err := alone.Close(ctx); err != nil {
		t.Errorf("%s: Close() = %v", what, err)
	}
}

func TestCrash(t *testing.T) {
	seeds, steps := 1, 25
	if full() {
		seeds, steps = 20, 40
	}
	for seed := range uint64(seeds) {
		points := crashAt(t, seed, 0, steps)
		if points < 50 {
			t.Errorf("seed %d has only %d points", seed, points)
		}
		for point := 1; point <= points; point++ {
			crashAt(t, seed, point, steps)
			if t.Failed() {
				return
			}
		}
	}
}
