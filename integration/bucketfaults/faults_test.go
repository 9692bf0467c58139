package bucketfaults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
	"github.com/jupyter-drive/jupyter-drive/fs/drive"
	"github.com/jupyter-drive/jupyter-drive/fs/drive/fetch"
	"github.com/jupyter-drive/jupyter-drive/integration/faultproxy"
	"github.com/jupyter-drive/jupyter-drive/integration/versitygw"
)

// save writes a file as an editor does, and closes it.
func save(ctx context.Context, d fs.Drive, path, data string) error {
	x, name, err := parent(ctx, d, path)
	if err != nil {
		return err
	}
	_, h, err := x.Create(ctx, name, fs.CreateOptions{Mode: 0o644, Flags: fs.OpenReadWrite | fs.OpenTruncate})
	if err != nil {
		return err
	}
	_, err = h.WriteAt(ctx, []byte(data), 0)
	return errors.Join(err, h.Flush(ctx), h.Release(ctx))
}

func (b *bucket) wait(d *drive.Drive) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), 2*time.Minute)
	defer cancel()
	if err := d.Wait(ctx); err != nil {
		b.t.Fatalf("Wait() = %v; %+v", err, d.Status())
	}
}

// TestThrottling counts what a store hears that asks to slow down at 30 of 100 requests: at most twice what it would hear otherwise.
func TestThrottling(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	work := func(t *testing.T, decide func(faultproxy.Request) faultproxy.Action) int {
		b := newBucket(t, server, faultproxy.Options{})
		d := b.drive(newMachine(t), 1, t.TempDir(), nil)
		c := closeLater(t, d)
		b.proxy.Break(decide)
		for i := range 60 {
			if err := save(t.Context(), d, fmt.Sprintf("f%02d", i), strings.Repeat("data", 1000+i)); err != nil {
				t.Fatal(err)
			}
		}
		b.wait(d)
		c.close(t)
		fresh := b.drive(newMachine(t), 2, t.TempDir(), nil)
		closeLater(t, fresh)
		for i := range 60 {
			if got, err := text(t.Context(), fresh, fmt.Sprintf("f%02d", i)); err != nil || len(got) != 4*(1000+i) {
				t.Fatalf("read: %d bytes, %v", len(got), err)
			}
		}
		return b.proxy.Total()
	}
	useful := work(t, nil)
	var mu sync.Mutex // guards rng
	rng := rand.New(rand.NewPCG(3, 4))
	throttled := work(t, func(faultproxy.Request) faultproxy.Action {
		mu.Lock()
		defer mu.Unlock()
		if rng.Float64() < 0.3 {
			return faultproxy.SlowDown
		}
		return faultproxy.Pass
	})
	t.Logf("%d requests, %d when throttled", useful, throttled)
	if throttled > 2*useful {
		t.Errorf("%d requests under throttling, %d without", throttled, useful)
	}
}

// TestAway takes the store away, in each way in which it can be: what was written stays and is brought up to date later, what was read
// can be read, and the rest ends with an error in time.
func TestAway(t *testing.T) {
	server := versitygw.Run(t, versitygw.Options{})
	for name, action := range map[string]faultproxy.Action{
		"connections end": faultproxy.Reset, "busy for ever": faultproxy.SlowDown, "broken": faultproxy.Fail, "expired": faultproxy.Expired, "silent": faultproxy.Stall,
	} {
		t.Run(name, func(t *testing.T) {
			b, state := newBucket(t, server, faultproxy.Options{}), t.TempDir()
			m := newMachineWith(t, fetch.Options{Deadline: time.Second})
			quick := func(o *drive.Options) {
				o.NamesTTL, o.ContentsTTL, o.Deadline = time.Millisecond, time.Millisecond, time.Second
			}
			writer := b.drive(newMachine(t), 2, t.TempDir(), nil)
			other := closeLater(t, writer)
			for _, name := range []string{"read", "unread"} {
				if err := save(t.Context(), writer, name, name); err != nil {
					t.Fatal(err)
				}
			}
			b.wait(writer)
			other.close(t)
			d := b.drive(m, 1, state, quick)
			c := closeLater(t, d)
			mustRead(t, d, "read", "read")

			b.proxy.Break(func(faultproxy.Request) faultproxy.Action { return action })
			mustRead(t, d, "read", "read")
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // long past the deadline
			defer cancel()
			if got, err := text(ctx, d, "unread"); err == nil {
				t.Errorf("read %q of a store that is away", got)
			} else if ctx.Err() != nil {
				t.Errorf("a read goes on past its deadline: %v", err)
			}
			for i := range 5 {
				if err := save(t.Context(), d, fmt.Sprint("new", i), "written while away"); err != nil {
					t.Errorf("write: %v", err)
				}
			}
			mustRead(t, d, "new3", "written while away")
			if action != faultproxy.Stall { // a request that hangs is waited for
				c.close(t)
				d = b.drive(m, 1, state, quick) // also the start needs no store
				closeLater(t, d)
				mustRead(t, d, "new3", "written while away")
			}

			b.proxy.Break(nil)
			b.wait(d)
			fresh := b.drive(newMachine(t), 3, t.TempDir(), nil)
			closeLater(t, fresh)
			for i := range 5 {
				mustRead(t, fresh, fmt.Sprint("new", i), "written while away")
			}
			mustRead(t, d, "unread", "unread")
		})
	}
}

func mustRead(t *testing.T, d fs.Drive, path, want string) {
	t.Helper()
	if got, err := text(t.Context(), d, path); err != nil || got != want {
		t.Errorf("%s: %q, %v, want %q", path, got, err, want)
	}
}
