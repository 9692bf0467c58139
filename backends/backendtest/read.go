package backendtest

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs"
)

func readCases() []testCase {
	return []testCase{
		{"read/nothing there", func(e *env) {
			_, err := e.read("f", fs.ReadOptions{})
			e.want("read", err, fs.NotExist)
		}},
		{"read/empty", func(e *env) {
			e.put("f", "")
			e.holds("f", "")
			got, err := e.read("f", fs.ReadOptions{Len: 100})
			e.check(err)
			if got != "" {
				e.Errorf("range of an empty file: %q", got)
			}
			_, err = e.read("f", fs.ReadOptions{Off: 1})
			e.want("past the end", err, fs.Range)
		}},
		{"read/ranges", ranges},
		{"read/info", func(e *env) {
			written := e.put("f", "0123456789")
			r, err := e.b.Read(e.ctx(), "f", fs.ReadOptions{Off: 2, Len: 3})
			e.check(err)
			defer r.Close()
			if got := r.Info(); got.Size != 10 || got.Version != written.Version || got.Key != "f" || got.Type != fs.File {
				e.Errorf("Info() = %+v", got)
			}
		}},
		{"read/if version", func(e *env) {
			old := e.put("f", "old")
			got, err := e.read("f", fs.ReadOptions{IfVersion: old.Version})
			e.check(err)
			if got != "old" {
				e.Errorf("read %q", got)
			}
			e.put("f", "newer")
			_, err = e.read("f", fs.ReadOptions{IfVersion: old.Version})
			e.want("read of the old version", err, fs.Conflict)
			_, err = e.read("f", fs.ReadOptions{IfVersion: old.Version, Off: 100})
			e.want("read past the end of the old version", err, fs.Conflict, fs.Range)
			e.check(e.b.Remove(e.ctx(), "f", fs.RemoveOptions{}))
			_, err = e.read("f", fs.ReadOptions{IfVersion: old.Version})
			e.want("read of a removed file", err, fs.Conflict, fs.NotExist)
		}},
		{"read/wrong arguments", func(e *env) {
			e.put("f", "x")
			_, err := e.read("f", fs.ReadOptions{Off: -1})
			e.want("negative offset", err, fs.Invalid)
			_, err = e.read("f", fs.ReadOptions{Len: -1})
			e.want("negative length", err, fs.Invalid)
		}},
		{"read/never two versions", neverMixed},
		{"read/closed early", closedEarly},
		{"read/canceled", func(e *env) {
			e.put("f", pattern(4<<20))
			ctx, cancel := context.WithCancel(e.ctx())
			r, err := e.b.Read(ctx, "f", fs.ReadOptions{})
			e.check(err)
			defer r.Close()
			if _, err := io.ReadFull(r, make([]byte, 1000)); err != nil {
				e.Fatal(err)
			}
			cancel()
			_, err = io.Copy(io.Discard, r)
			e.want("read on", err, fs.Canceled)
			_, err = e.b.Read(ctx, "f", fs.ReadOptions{})
			e.want("read", err, fs.Canceled)
		}},
		{"read/as it is stored", func(e *env) {
			packed := "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\x07\x00\x86\xa6\x10\x36\x05\x00\x00\x00"
			_, err := e.write("f.gz", packed, fs.WriteOptions{MIME: "application/gzip"})
			e.check(err)
			e.holds("f.gz", packed)
		}},
	}
}

func ranges(e *env) {
	const size = 100_000
	data := pattern(size)
	e.put("f", data)
	for _, r := range []struct{ off, n int64 }{
		{0, 1}, {0, size}, {0, size + 1}, {0, 0}, {1, 1}, {99, 4096}, {4096, 4096}, {size - 1, 1}, {size - 1, 100}, {size, 1}, {size, 0}, {size - 10, 0}, {50_000, 0},
	} {
		got, err := e.read("f", fs.ReadOptions{Off: r.off, Len: r.n})
		e.check(err)
		want := data[r.off:]
		if r.n > 0 {
			want = want[:min(r.n, int64(len(want)))]
		}
		if got != want {
			e.Errorf("range %d+%d: %s, want %s", r.off, r.n, short(got), short(want))
		}
	}
	for _, off := range []int64{size + 1, size + 100, 1 << 40} {
		_, err := e.read("f", fs.ReadOptions{Off: off, Len: 10})
		e.want(fmt.Sprintf("offset %d", off), err, fs.Range)
	}
}

// neverMixed overwrites a file again and again with two patterns while others read ranges of it.
func neverMixed(e *env) {
	const size = 256 << 10
	contents := []string{strings.Repeat("A", size), strings.Repeat("B", size)}
	e.put("f", contents[0])
	done := make(chan struct{})
	var rounds, mixed atomic.Int64
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-done:
					return
				default:
				}
				one, err := oneVersion(e, contents)
				if err != nil {
					e.Error(err)
					return
				}
				if rounds.Add(1); !one {
					mixed.Add(1)
				}
			}
		})
	}
	for i := range e.count(200) {
		if _, err := e.write("f", contents[i%2], fs.WriteOptions{}); err != nil {
			e.Error(err)
			break
		}
	}
	close(done)
	readers.Wait()
	most := int64(0)
	if e.o.ChecksThenOpens {
		most = 1 + rounds.Load()/100
	}
	if n := mixed.Load(); n > most {
		e.Errorf("%d of %d readers saw parts of two versions, want at most %d", n, rounds.Load(), most)
	}
}

// oneVersion reads a file in four ranges of the version that the first had, and reports whether they were all of it.
func oneVersion(e *env, contents []string) (bool, error) {
	info, err := e.b.Stat(e.ctx(), "f")
	if err != nil {
		return false, err
	}
	var got strings.Builder
	quarter := int64(len(contents[0]) / 4)
	for off := int64(0); off < 4*quarter; off += quarter {
		part, err := read(e.ctx(), e.b, "f", fs.ReadOptions{Off: off, Len: quarter, IfVersion: info.Version})
		if err != nil && fs.KindOf(err) == fs.Conflict {
			return true, nil
		}
		if err != nil {
			return false, err
		}
		got.WriteString(part)
	}
	return slices.Contains(contents, got.String()), nil
}

// closedEarly opens and closes many ranges: neither goroutines nor connections may stay.
func closedEarly(e *env) {
	e.put("f", pattern(1<<20))
	before := runtime.NumGoroutine()
	for i := range e.count(1000) {
		r, err := e.b.Read(e.ctx(), "f", fs.ReadOptions{Off: int64(i)})
		e.check(err)
		if i%2 == 0 {
			_, err = r.Read(make([]byte, 100))
			e.check(err)
		}
		e.check(r.Close())
	}
	// A connection that is kept has two goroutines; those whose body was left ended with it.
	for deadline := time.Now().Add(time.Minute); runtime.NumGoroutine() > before+60; runtime.Gosched() {
		if time.Now().After(deadline) {
			e.Fatalf("%d goroutines, %d before", runtime.NumGoroutine(), before)
		}
		time.Sleep(time.Millisecond)
	}
}
