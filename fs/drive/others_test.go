package drive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// shared is a drive over a store that others change too. What anybody writes has a word in it that is written once. What was not replaced or removed by
// who had it before his eyes must be somewhere in the store at the end.
type shared struct {
	t    *testing.T
	rng  *rand.Rand
	b    *mem.Backend
	o    Options
	d    *Drive
	k    *killer
	must map[string]bool
	last int

	mu  sync.Mutex // guards log
	log []string
}

// past marks requests of others, which nothing delays.
type past struct{}

var word = regexp.MustCompile(`<\d+>`)

func (s *shared) note(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.log = append(s.log, fmt.Sprintf("%s ", time.Now().Format("04:05.000"))+fmt.Sprintf(format, args...))
}

// text is a new text, with a new word in it.
func (s *shared) text() string {
	s.last++
	return fmt.Sprintf("<%d>%s", s.last, strings.Repeat(" ", s.rng.IntN(6000)))
}

func (s *shared) forget(text string) {
	for _, w := range word.FindAllString(text, -1) {
		delete(s.must, w)
	}
}

func (s *shared) keep(text string) {
	for _, w := range word.FindAllString(text, -1) {
		s.must[w] = true
	}
}

func (s *shared) path() string {
	return []string{"", "", "d/", "e/"}[s.rng.IntN(4)] + string(rune('a'+s.rng.IntN(3)))
}

// open returns the file at path and what is in it, nil if it cannot be read.
func (s *shared) open(path string) (fs.Handle, string) {
	ctx := s.t.Context()
	n, err := nodeAt(ctx, s.d, path)
	if err != nil {
		return nil, ""
	}
	h, err := n.Open(ctx, fs.OpenReadWrite)
	if err != nil {
		return nil, ""
	}
	text, err := readAllOf(ctx, h)
	if err != nil {
		s.close(h)
		return nil, ""
	}
	return h, text
}

func (s *shared) close(h fs.Handle) {
	ctx := s.t.Context()
	if err := errors.Join(h.Flush(ctx), h.Release(ctx)); err != nil {
		s.t.Errorf("close: %v", err)
	}
}

func (s *shared) step() {
	synctest.Wait()
	ctx := s.t.Context()
	path, other := s.path(), s.path()
	switch s.rng.IntN(16) {
	case 0, 1, 2:
		s.write(path)
	case 3:
		text := s.text()
		_, err := s.d.Replace(ctx, path, strings.NewReader(text), fs.ReplaceOptions{IfAbsent: true})
		if s.note("create %s: %s: %v", path, word.FindString(text), err); err == nil {
			s.keep(text)
		}
	case 4, 5:
		s.others(path)
	case 6:
		s.othersRemove(path)
	case 7, 8:
		s.rename(path, other)
	case 9:
		if s.rng.IntN(2) == 0 {
			s.rename("d", "e")
		} else {
			s.rename("e", "d")
		}
	case 10:
		_, err := s.d.Copy(ctx, path, other)
		s.note("copy %s to %s: %v", path, other, err)
	case 11:
		s.remove(path)
	case 12:
		s.kill()
	default:
		wait := time.Duration(s.rng.IntN(2500)) * time.Millisecond
		if s.rng.IntN(4) == 0 {
			wait += 40 * time.Second
		}
		s.note("sleep %v", wait)
		time.Sleep(wait)
	}
}

// write changes a file whose text it has seen: adds to it, or replaces it.
func (s *shared) write(path string) {
	ctx := s.t.Context()
	h, old := s.open(path)
	if h == nil {
		return
	}
	text := s.text()
	what, err := s.rng.IntN(3), error(nil)
	switch what {
	case 0:
		_, err = h.WriteAt(ctx, []byte(text), int64(len(old)))
	case 1:
		size := int64(0)
		if _, err = h.SetAttr(ctx, fs.SetAttr{Size: &size}); err == nil {
			_, err = h.WriteAt(ctx, []byte(text), 0)
		}
	case 2:
		var a fs.Attr
		if a, err = h.Attr(ctx); err == nil {
			_, err = s.d.Replace(ctx, path, strings.NewReader(text), fs.ReplaceOptions{IfVersion: a.Version})
		}
	}
	s.close(h)
	if s.note("write %d %s: %v to %v: %v", what, path, word.FindAllString(old, -1), word.FindString(text), err); err != nil {
		return
	}
	if what > 0 {
		s.forget(old)
	}
	s.keep(text)
}

func (s *shared) others(path string) {
	old, _, _ := s.b.Contents(path) // nothing where there is none, and then nothing is forgotten
	text := s.text()
	s.b.Inject(path, []byte(text), fs.WriteOptions{})
	s.note("others write %s: %v to %s", path, word.FindAllString(string(old), -1), word.FindString(text))
	s.forget(string(old))
	s.keep(text)
}

func (s *shared) othersRemove(path string) {
	old, _, ok := s.b.Contents(path)
	if !ok {
		return
	}
	err := s.b.Remove(context.WithValue(s.t.Context(), past{}, true), path, fs.RemoveOptions{})
	s.note("others remove %s: %v: %v", path, word.FindAllString(string(old), -1), err)
	s.forget(string(old))
}

func (s *shared) rename(from, to string) {
	ctx := s.t.Context()
	x, name, err := at(ctx, s.d, from)
	if err != nil {
		return
	}
	y, newName, err := at(ctx, s.d, to)
	if err != nil {
		return
	}
	s.note("rename %s to %s: %v", from, to, x.Rename(ctx, name, y, newName, fs.RenameNoReplace))
}

func (s *shared) remove(path string) {
	ctx := s.t.Context()
	h, old := s.open(path)
	if h == nil {
		return
	}
	s.close(h)
	x, name, err := at(ctx, s.d, path)
	if err == nil {
		err = x.Remove(ctx, name, false)
	}
	if s.note("remove %s: %v: %v", path, word.FindAllString(old, -1), err); err == nil {
		s.forget(old)
	}
}

func (s *shared) kill() {
	n, wait := s.rng.IntN(12), time.Duration(s.rng.IntN(4000))*time.Millisecond
	s.note("kill at point %d or after %v", n, wait)
	s.k.kill(n)
	if n > 0 {
		time.Sleep(wait)
	}
	s.k.end(s.t, s.d)
	s.start()
}

func (s *shared) start() {
	s.k = &killer{}
	s.o.hook = s.k.hook
	s.d = open(s.t, s.o)
}

func (s *shared) finish() {
	ctx := s.t.Context()
	if err := s.d.Wait(ctx); err != nil {
		s.t.Errorf("Wait() = %v", err)
	}
	if err := s.d.Close(ctx); err != nil {
		s.t.Errorf("Close() = %v", err)
	}
	for _, key := range s.b.Keys("") {
		if strings.HasPrefix(key, fs.ReservedName) {
			continue
		}
		data, _ := object(s.t, s.b, key)
		s.note("the store has %s: %v", key, word.FindAllString(string(data), -1))
		s.forget(string(data))
	}
	if len(s.must) > 0 {
		s.t.Errorf("lost: %v, after\n%s", s.must, strings.Join(s.log, "\n"))
	}
}

// TestMachineWithOthers has others write to the store what a drive writes to.
func TestMachineWithOthers(t *testing.T) {
	eachSeed(t, 10, 500, withOthers)
}

func withOthers(t *testing.T, seed uint64) {
	s := &shared{t: t, rng: rand.New(rand.NewPCG(seed, 17)), must: map[string]bool{}}
	slow := &slowly{faults: faults{rng: rand.New(rand.NewPCG(seed, 19))}, lossless: seed%4 == 0}
	if seed%3 > 0 {
		slow.most = 2 * time.Second
	}
	log := func(what string, r mem.Request, err error) error {
		switch r.Op {
		case "list", "stat", "read", "marked":
		default:
			s.note("        %s %s %s %s %v wid %s: %v", what, r.Op, r.Key, r.Dst, r.Cond, r.WriteID, err)
		}
		return err
	}
	s.b = mem.NewBackend(mem.BackendOptions{
		Before: func(ctx context.Context, r mem.Request) error {
			if ctx.Value(past{}) != nil {
				return nil
			}
			return log("before", r, slow.before(ctx, r))
		},
		After: func(ctx context.Context, r mem.Request) error {
			if ctx.Value(past{}) != nil {
				return nil
			}
			return log("after", r, slow.after(ctx, r))
		},
	})
	s.o = Options{Backend: s.b, State: memoryDir(t), Trash: seed%2 == 0}
	s.start()
	t.Cleanup(func() {
		if t.Failed() {
			_ = s.d.Close(context.Background()) // or its goroutines hide the failure
		}
	})
	if _, err := s.d.Root().Mkdir(t.Context(), "d", fs.CreateOptions{Mode: 0o755}); err != nil {
		t.Fatal(err)
	}
	for range 120 {
		s.step()
	}
	s.finish()
}
