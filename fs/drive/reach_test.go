package drive

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// refused is what a backend says of a store whose machine is up.
var refused = &fs.Error{Op: "stat", Path: "x", Kind: fs.Unavailable, Err: &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}

// cable is the way to a store, which can be cut: then requests are refused at once, or have no answer for ten seconds. What is sent
// is sent again every three.
type cable struct {
	cut    atomic.Bool
	silent bool
}

func (c *cable) before(ctx context.Context, _ mem.Request) error {
	for range 3 {
		switch {
		case !c.cut.Load():
			return nil
		case !c.silent:
			return refused
		}
		if err := pause(ctx, 3*time.Second); err != nil {
			return err
		}
	}
	return &fs.Error{Kind: fs.Timeout, Err: os.ErrDeadlineExceeded}
}

// cables runs do with a drive over a store of each kind of cable, with and without a cache.
func cables(t *testing.T, o Options, do func(p program, b *mem.Backend, c *cable)) {
	t.Helper()
	for _, silent := range []bool{false, true} {
		for _, cached := range []bool{false, true} {
			t.Run(fmt.Sprintf("silent %v, cached %v", silent, cached), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := &cable{silent: silent}
					b := mem.NewBackend(mem.BackendOptions{Before: c.before})
					for _, key := range []string{"a", "b", "dir/in"} {
						b.Inject(key, []byte("text"), fs.WriteOptions{})
					}
					o := o
					o.Backend = b
					if cached {
						o = withCache(t, o)
					}
					p := program{t, t.Context(), open(t, o)}
					if _, err := nodeAt(p.ctx, p.d, "none"); fs.KindOf(err) != fs.NotExist { // the names of the top are known now
						t.Fatal(err)
					}
					do(p, b, c)
					c.cut.Store(false)
					p.must("Wait", p.d.Wait(p.ctx))
					p.must("Close", p.d.Close(p.ctx))
				})
			})
		}
	}
}

// within fails if do takes longer than limit.
func (p program) within(what string, limit time.Duration, do func()) {
	p.t.Helper()
	begin := time.Now()
	do()
	if took := time.Since(begin); took > limit {
		p.t.Errorf("%s took %v, want at most %v", what, took, limit)
	}
}

func (p program) wantEIO(what string, err error) {
	p.t.Helper()
	if no := fs.Errno(err); no != syscall.EIO || strings.Contains(fmt.Sprint(err), context.DeadlineExceeded.Error()) {
		p.t.Errorf("%s = %v (%v), want EIO and what is wrong", what, err, no)
	}
}

// TestAway asks for what only the store has while it is away: all that a program does to read a file fails with EIO within the
// deadline, and a second program need not wait as long.
func TestAway(t *testing.T) {
	cables(t, Options{}, func(p program, _ *mem.Backend, c *cable) {
		time.Sleep(time.Hour) // nothing that is known is fresh
		c.cut.Store(true)
		p.within("the first read", DefaultDeadline, func() {
			_, err := textOf(p.ctx, p.d, "a")
			p.wantEIO("read", err)
		})
		p.within("the second read", leastPatience, func() {
			_, err := textOf(p.ctx, p.d, "b")
			p.wantEIO("read", err)
		})
		p.within("listing", leastPatience, func() {
			_, err := listOf(p.ctx, p.d, "dir")
			p.wantEIO("list", err)
		})
		p.within("listing what is known", 0, func() {
			if got, err := dirNames(p.ctx, p.d.Root()); got != "a b dir" || err != nil {
				p.t.Errorf("the top has %q, %v", got, err)
			}
		})
		if st := p.d.Status(); st.Away == nil || time.Since(st.AwaySince) > 35*time.Second || strings.Contains(st.Away.Error(), "stat x") {
			p.t.Errorf("Status() = %+v", st)
		}
		c.cut.Store(false)
		time.Sleep(5 * time.Second)
		if st := p.d.Status(); st.Away != nil {
			p.t.Errorf("Status() = %+v though the store is back", st)
		}
	})
}

func dirNames(ctx context.Context, x fs.Dir) (string, error) {
	entries, err := entriesOf(ctx, x)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
	}
	return strings.Join(names, " "), err
}

// TestShortlyAway asks for what only the store has while it is away for less than the deadline: it is answered.
func TestShortlyAway(t *testing.T) {
	cables(t, Options{}, func(p program, _ *mem.Backend, c *cable) {
		c.cut.Store(true)
		time.AfterFunc(15*time.Second, func() { c.cut.Store(false) })
		p.within("the read", DefaultDeadline, func() {
			if got := string(p.read("a")); got != "text" {
				p.t.Errorf("a reads %q", got)
			}
		})
		c.cut.Store(true)
		time.AfterFunc(5*time.Second, func() { c.cut.Store(false) })
		if got, err := listOf(p.ctx, p.d, "dir"); err != nil || got == "" {
			p.t.Errorf("dir has %q, %v", got, err)
		}
	})
}

// TestBackAgain writes while the store is away for an hour: it has all within five seconds of its return.
func TestBackAgain(t *testing.T) {
	cables(t, Options{}, func(p program, b *mem.Backend, c *cable) {
		c.cut.Store(true)
		const files = 40
		for i := range files {
			p.write(fmt.Sprint("new ", i), []byte("text"), false)
		}
		time.Sleep(time.Hour + 1234*time.Millisecond)
		b.ResetRequests()
		c.cut.Store(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if n := len(b.Keys("new ")); n != files {
			p.t.Errorf("after five seconds the store has %d files of %d", n, files)
		}
	})
}

// TestCloseUploadAway closes a file that is to be uploaded while the store is away: that fails within the deadline, and it is uploaded
// later.
func TestCloseUploadAway(t *testing.T) {
	cables(t, Options{Close: CloseUpload}, func(p program, b *mem.Backend, c *cable) {
		c.cut.Store(true)
		begin := time.Now()
		p.wantEIO("close", save(p.ctx, p.d, "f", []byte("text")))
		if took := time.Since(begin); took != DefaultDeadline {
			p.t.Errorf("close took %v, want %v", took, DefaultDeadline)
		}
		c.cut.Store(false)
		time.Sleep(5 * time.Second)
		synctest.Wait()
		if got := string(p.inStore(b, "f")); got != "text" {
			p.t.Errorf("the store has %q", got)
		}
	})
}

// TestAnswersSome is a store that answers all but uploads: those are not tried all the time.
func TestAnswersSome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var works atomic.Bool
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if r.Op == "put" && !works.Load() {
				return &fs.Error{Kind: fs.Unavailable, Err: errors.New("an internal error")}
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		for i := range 10 {
			p.write(fmt.Sprint(i), []byte("text"), false)
		}
		time.Sleep(time.Minute)
		b.ResetRequests()
		time.Sleep(time.Minute)
		if n := b.Requests()["put"]; n > 10*60/int(probeEvery.Seconds()) {
			t.Errorf("%d uploads in a minute", n)
		}
		works.Store(true)
		time.Sleep(5 * time.Second)
		if n := len(b.Keys("")); n != 10 {
			t.Errorf("the store has %d files", n)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestRefused has the store refuse the drive's keys for an hour: the status says so, and all goes on by itself when that has ended.
func TestRefused(t *testing.T) {
	for _, kind := range []fs.Kind{fs.Credentials, fs.Permission} {
		t.Run(kind.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var store outage
				b := mem.NewBackend(mem.BackendOptions{Before: store.before})
				p := program{t, t.Context(), open(t, Options{Backend: b})}
				p.write("known", []byte("text"), false)
				p.must("Wait", p.d.Wait(p.ctx))
				store.set(&fs.Error{Op: "list", Path: "x", Kind: kind, Err: errors.New("who are you"), Hint: "show your keys"})
				p.write("new", []byte("text"), false)
				time.Sleep(time.Hour)
				if _, err := textOf(p.ctx, p.d, "known"); fs.Errno(err) != syscall.EACCES {
					t.Errorf("reading = %v, want EACCES", err)
				}
				if st := p.d.Status(); st.Away != nil || fmt.Sprint(st.Refused) != "who are you (show your keys)" {
					t.Errorf("Status() = %+v", st)
				}
				store.set(nil)
				time.Sleep(probeRefused)
				synctest.Wait()
				if st := p.d.Status(); st.Refused != nil || st.Pending > 0 {
					t.Errorf("Status() = %+v with keys that are right now", st)
				}
				p.must("Close", p.d.Close(p.ctx))
			})
		})
	}
}

// TestRefusedChanges has the store refuse changes only: that is no reason to say that it lets nobody in.
func TestRefusedChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			if r.Op == "put" {
				return &fs.Error{Kind: fs.Permission}
			}
			return nil
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		p.write("new", []byte("text"), false)
		time.Sleep(time.Hour)
		if st := p.d.Status(); st.Refused != nil || len(st.Troubles) != 1 {
			t.Errorf("Status() = %+v", st)
		}
		p.must("Close", p.d.Close(p.ctx))
	})
}

// TestAwayInAWrite has a store go away in the middle of writes: that it is not known what became of them is no sign that it is back.
func TestAwayInAWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cut atomic.Bool
		b := mem.NewBackend(mem.BackendOptions{Before: func(_ context.Context, r mem.Request) error {
			switch {
			case !cut.Load():
				return nil
			case r.Op == "put":
				return &fs.Error{Op: "write", Path: r.Key, Kind: fs.UnknownOutcome, Err: refused}
			}
			return refused
		}})
		p := program{t, t.Context(), open(t, Options{Backend: b})}
		if _, err := nodeAt(p.ctx, p.d, "none"); fs.KindOf(err) != fs.NotExist { // the names of the top are known now
			t.Fatal(err)
		}
		cut.Store(true)
		p.write("f", []byte("text"), true)
		time.Sleep(2 * settleAfter)
		for range 600 {
			time.Sleep(100 * time.Millisecond)
			if st := p.d.Status(); st.Away == nil || fs.KindOf(st.Away) != fs.Unavailable {
				t.Fatalf("Status() = %+v, want it away", st)
			}
			if got := p.read("f"); string(got) != "text" {
				t.Fatalf("read %q of what was written", got)
			}
		}
		cut.Store(false)
		p.must("Wait", p.d.Wait(p.ctx))
		p.must("Close", p.d.Close(p.ctx))
	})
}
