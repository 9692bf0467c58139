package drive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/backends/mem"
	"github.com/jupyter-drive/jupyter-drive/fs"
)

// paged is a store whose pages of a listing come when they are let through.
type paged struct {
	*mem.Generated
	gate chan error // an element for each page: nil lets it through
}

func (p *paged) List(ctx context.Context, dir string, o fs.ListOptions) (fs.Page, error) {
	if dir != "big" {
		return p.Generated.List(ctx, dir, o)
	}
	select {
	case err := <-p.gate:
		if err != nil {
			return fs.Page{}, err
		}
		o.Max = 100
		return p.Generated.List(ctx, dir, o)
	case <-ctx.Done():
		return fs.Page{}, ctx.Err()
	}
}

// openPaged returns a drive over such a store, with 250 files in the directory big, which is returned too.
func openPaged(t *testing.T) (*paged, *Drive, *dir) {
	t.Helper()
	p := &paged{mem.NewGenerated(mem.GeneratedOptions{Dirs: 2, Files: 2, Big: 250}), make(chan error)}
	d := open(t, Options{Backend: p, State: memoryDir(t)})
	t.Cleanup(func() {
		if d.ctx.Err() != nil {
			return // closed by the test
		}
		if err := d.Close(context.Background()); err != nil {
			t.Errorf("Close() = %v", err)
		}
	})
	n, err := d.root.child(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	return p, d, n.(*dir)
}

func generatedName(i int) string { return fmt.Sprintf("f%06d.txt", i) }

// wantEntry checks one entry of a listing.
func wantEntry(t *testing.T, l fs.Listing, i int) {
	t.Helper()
	if e, err := l.At(t.Context(), i); err != nil || e.Name != generatedName(i) || e.Attr.Size != 100 {
		t.Errorf("At(%d) = %q, %d bytes, %v; want %q of 100 bytes", i, e.Name, e.Attr.Size, err, generatedName(i))
	}
}

func TestListingIsStreamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, d, x := openPaged(t)
		listed := make(chan fs.Listing)
		go func() {
			l, err := x.List(t.Context())
			if err != nil {
				t.Errorf("List() = %v", err)
			}
			listed <- l
		}()
		p.gate <- nil
		l := <-listed // and no other page has been let through
		defer l.Close()
		wantEntry(t, l, 0)
		wantEntry(t, l, 99)
		if _, err := x.child(t.Context(), generatedName(7)); err != nil {
			t.Errorf("lookup of a name in the first page = %v", err)
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := l.At(short, 100); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("At() of the next page = %v before it has come, want to wait", err)
		}
		p.gate <- nil
		wantEntry(t, l, 100)
		p.gate <- nil
		wantEntry(t, l, 249)
		if _, err := l.At(t.Context(), 250); !errors.Is(err, io.EOF) {
			t.Errorf("At() after the last = %v, want EOF", err)
		}
		before := p.Requests()
		if _, err := x.child(t.Context(), "missing"); fs.KindOf(err) != fs.NotExist || p.Requests() != before {
			t.Errorf("lookup of a missing name = %v with %d requests, want NotExist with none", err, p.Requests()-before)
		}
		again, err := x.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantEntry(t, again, 249)
		if n := d.Status().Pending; n != 0 {
			t.Errorf("%d keys are pending after a listing", n)
		}
	})
}

// TestListingsShareALoad has several ask for the same directory at a time.
func TestListingsShareALoad(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _, x := openPaged(t)
		before := p.Requests()
		counts := make(chan int)
		for range 4 {
			go func() {
				n := 0
				l, err := x.List(t.Context())
				if err == nil {
					for _, err = range fs.Entries(t.Context(), l) {
						n++
					}
				}
				if err != nil {
					t.Errorf("listing = %v", err)
				}
				counts <- n
			}()
		}
		for range 3 {
			p.gate <- nil
		}
		for range 4 {
			if n := <-counts; n != 250 {
				t.Errorf("a listing has %d entries, want 250", n)
			}
		}
		if n := p.Requests() - before; n != 3 {
			t.Errorf("%d requests for four listings at a time, want 3", n)
		}
	})
}

// TestListingThatBreaksOff has the store fail in the middle.
func TestListingThatBreaksOff(t *testing.T) {
	away := &fs.Error{Op: "list", Kind: fs.Unavailable}
	synctest.Test(t, func(t *testing.T) {
		p, _, x := openPaged(t)
		go func() { p.gate <- nil; p.gate <- away }()
		l, err := x.List(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		wantEntry(t, l, 99)
		if _, err := l.At(t.Context(), 100); !isAway(err) {
			t.Errorf("At() after the store has failed = %v, want that it is away and not the end", err)
		}
		time.Sleep(2 * probeEvery)
		go func() {
			for range 3 {
				p.gate <- nil
			}
		}()
		if l, err = x.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantEntry(t, l, 249)

		time.Sleep(2 * DefaultNamesTTL) // what is known serves while the store is away, all of it
		go func() { p.gate <- nil; p.gate <- away }()
		if l, err = x.List(t.Context()); err != nil {
			t.Fatal(err)
		}
		var names []string
		for e, err := range fs.Entries(t.Context(), l) {
			if err != nil {
				t.Errorf("listing with the store away = %v", err)
			}
			names = append(names, e.Name)
		}
		if slices.Sort(names); len(slices.Compact(names)) != 250 {
			t.Errorf("%d names with the store away, want 250, each once", len(names))
		}
	})
}

// TestListingEndsWithTheDrive closes the drive while a page is awaited.
func TestListingEndsWithTheDrive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		_, d, x := openPaged(t)
		result := make(chan error)
		go func() {
			_, err := x.List(t.Context())
			result <- err
		}()
		synctest.Wait()
		if err := d.Close(t.Context()); err != nil {
			t.Errorf("Close() = %v", err)
		}
		if err := <-result; err == nil {
			t.Error("a listing under way has succeeded when the drive was closed")
		}
		if _, err := x.List(t.Context()); err == nil {
			t.Error("a listing after Close has succeeded")
		}
	})
}

// TestListingWhileMoved moves a directory, and changes what is in it, while it is being listed.
func TestListingWhileMoved(t *testing.T) {
	for _, listedBefore := range []bool{false, true} {
		t.Run(fmt.Sprint("listed before: ", listedBefore), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { listWhileMoved(t, listedBefore) })
		})
	}
}

func listWhileMoved(t *testing.T, listedBefore bool) {
	p, d, x := openPaged(t)
	if listedBefore {
		go func() {
			for range 3 {
				p.gate <- nil
			}
		}()
		if err := x.fresh(t.Context(), ""); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * DefaultNamesTTL)
	}
	go func() { p.gate <- nil }()
	l, err := x.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	wantEntry(t, l, 0)
	if err := d.root.Rename(t.Context(), "big", d.root, "moved", 0); err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	go func() {
		for {
			select {
			case p.gate <- nil:
			case <-stop:
				return
			}
		}
	}()
	defer close(stop)
	for _, i := range []int{1, 200} {
		if err := x.Remove(t.Context(), generatedName(i), false); err != nil {
			t.Fatal(err)
		}
	}
	count := map[string]int{}
	for e, err := range fs.Entries(t.Context(), l) {
		if err != nil {
			t.Fatal(err)
		}
		count[e.Name]++
	}
	for i := range 250 {
		want := 1
		if i == 1 || i == 200 {
			want = 0
		}
		if count[generatedName(i)] != want {
			t.Errorf("%s was listed %d times, want %d", generatedName(i), count[generatedName(i)], want)
		}
	}
}

// TestListingMemory checks what a file takes that was listed and is not used.
func TestListingMemory(t *testing.T) {
	const files, most = 100_000, 330
	d := open(t, Options{Backend: mem.NewGenerated(mem.GeneratedOptions{}), State: memoryDir(t)})
	defer d.Close(t.Context())
	n, err := d.root.child(t.Context(), "big")
	if err != nil {
		t.Fatal(err)
	}
	before := heapSize()
	if err := n.(*dir).fresh(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	each := (heapSize() - before) / files
	t.Logf("%d bytes for each of %d files", each, files)
	if each > most {
		t.Errorf("%d bytes for each of %d files, want at most %d", each, files, most)
	}
	runtime.KeepAlive(d)
}

// heap returns how many bytes are in use.
func heapSize() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
