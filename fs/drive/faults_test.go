package drive

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drivetest"
)

// faults are a store and a network that often fail while something is changed: before, so that nothing was done, or after, so that
// nobody knows.
type faults struct {
	mu  sync.Mutex // guards rng
	rng *rand.Rand
}

func (f *faults) roll(r mem.Request, percent int) bool {
	switch r.Op {
	case "put", "remove", "copy", "mkdir", "set meta":
	default:
		return false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.IntN(100) < percent
}

func (f *faults) before(_ context.Context, r mem.Request) error {
	switch {
	case f.roll(r, 20):
		return &fs.Error{Kind: fs.Throttled, Err: errors.New("slow down")}
	case f.roll(r, 5):
		return &fs.Error{Kind: fs.Internal, Err: errors.New("we encountered an error")}
	}
	return nil
}

func (f *faults) after(_ context.Context, r mem.Request) error {
	if f.roll(r, 20) {
		return &fs.Error{Kind: fs.UnknownOutcome, Err: errors.New("connection reset")}
	}
	return nil
}

// TestMachineWithFaults is TestMachine over a store that throttles, fails and loses answers.
func TestMachineWithFaults(t *testing.T) {
	eachSeed(t, 10, 500, func(t *testing.T, seed uint64) {
		f := &faults{rng: rand.New(rand.NewPCG(seed, 11))}
		m := newMachine(t, seed+1000, Options{}, mem.BackendOptions{Before: f.before, After: f.after})
		for range 200 {
			m.step()
		}
		m.finish()
	})
}

// TestFSX compares a file with a model of it.
func TestFSX(t *testing.T) {
	ops := 2000
	if full() {
		ops = 20_000
	}
	n := 0
	for _, name := range []string{"idle", "uploading"} {
		t.Run(name, func(t *testing.T) {
			d := open(t, withCache(t, Options{Backend: mem.NewBackend(mem.BackendOptions{})}))
			defer func() {
				if err := d.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}()
			ctx, cancel := context.WithCancel(t.Context())
			var wait sync.WaitGroup
			defer wait.Wait()
			defer cancel()
			if name == "uploading" {
				wait.Go(func() {
					for ctx.Err() == nil {
						_ = d.Wait(ctx) // it ends with the context
						_ = pause(ctx, 1e6)
					}
				})
			}
			drivetest.FSX(t, func(t *testing.T) (drivetest.File, error) {
				t.Helper()
				n++
				return drivetest.NewDriveFile(t.Context(), d.Root(), fmt.Sprint("f", n))
			}, drivetest.FSXOptions{Ops: ops})
		})
	}
}
