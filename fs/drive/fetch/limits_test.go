package fetch

import (
	"fmt"
	iofs "io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jupyter-drive/jupyter-drive/fs/blockcache"
)

// TestLimitsHold reads four objects of 512 MiB at once through a cache of 64 MiB: the cache takes no more than that at any time, memory stays
// under 300 MiB, and hardly anything is fetched twice.
func TestLimitsHold(t *testing.T) {
	const limit, most = 64 << 20, 300 << 20
	size := int64(512 << 20)
	if raceEnabled {
		size = 96 << 20 // the detector's own memory is not ours
	}
	debug.FreeOSMemory()
	c := newCache(t, limit)
	p := newPool(t, Options{})
	var wg sync.WaitGroup
	var rss, used atomic.Int64
	stores := make([]*store, 4)
	for i := range stores {
		s := newStore(size)
		stores[i] = s
		f, err := c.Open(blockcache.Key{Drive: "d", Name: fmt.Sprint(i), Version: s.version}, size)
		if err != nil {
			t.Fatal(err)
		}
		st := p.Open(s, fmt.Sprint(i), s.version, size, f)
		wg.Go(func() {
			buf := make([]byte, 128<<10)
			for off := int64(0); off < size; off += int64(len(buf)) {
				if n, err := st.ReadAt(t.Context(), buf, off); n != len(buf) || err != nil || !isRight(buf, off) {
					t.Errorf("object %d: ReadAt at %d = %d, %v", i, off, n, err)
					break
				}
				if off%(16<<20) == 0 {
					raise(&rss, resident(t))
					raise(&used, c.Stats().Used)
				}
			}
			st.Close()
			if err := f.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	disk := taken(t, cacheDir(t, c))
	t.Logf("at most %d MiB in memory, %d MiB counted, at the end %d MiB on the disk", rss.Load()>>20, used.Load()>>20, disk>>20)
	if used.Load() > limit || disk > limit+limit/50 { // the file system's own trees of extents
		t.Errorf("%d bytes counted, %d on the disk", used.Load(), disk)
	}
	if !raceEnabled && rss.Load() > most {
		t.Errorf("%d bytes in memory", rss.Load())
	}
	for i, s := range stores {
		if requests, bytes := s.asked(); bytes > size+size/2 { // a tenth at most where nothing else runs
			t.Errorf("object %d: %d bytes fetched of %d, in %d requests", i, bytes, size, len(requests))
		}
	}
}

func raise(to *atomic.Int64, n int64) {
	for old := to.Load(); n > old && !to.CompareAndSwap(old, n); old = to.Load() {
	}
}

// dirs are where the tests' caches are.
var dirs sync.Map

func cacheDir(t *testing.T, c *blockcache.Cache) string {
	t.Helper()
	dir, ok := dirs.Load(c)
	if !ok {
		t.Fatal("not a cache of newCache")
	}
	return dir.(string)
}

// resident returns the memory of this process, without what is mapped from files.
func resident(t *testing.T) int64 {
	t.Helper()
	b, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	m := regexp.MustCompile(`VmRSS:\s+(\d+) kB`).FindSubmatch(b)
	if m == nil {
		t.Fatal("no VmRSS")
	}
	n, err := strconv.ParseInt(string(m[1]), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// taken returns what the files of a directory take on the disk.
func taken(t *testing.T, dir string) int64 {
	t.Helper()
	var n int64
	err := filepath.WalkDir(dir, func(_ string, d iofs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return ignoreGone(err)
		}
		info, err := d.Info()
		if err != nil {
			return ignoreGone(err)
		}
		n += info.Sys().(*syscall.Stat_t).Blocks * 512
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	return n
}

func ignoreGone(err error) error {
	if os.IsNotExist(err) {
		return nil
	}
	return err
}

// TestManyReadersTinyCache lets 30 readers thrash a cache that holds hardly a range of each: everybody gets on.
func TestManyReadersTinyCache(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := newCache(t, 4<<20), newPool(t, Options{Memory: 8 << 20})
		var wg sync.WaitGroup
		for i := range 30 {
			s := newStore(8 << 20)
			s.name = fmt.Sprint(i)
			s.latency, s.rate = 20*time.Millisecond, 50<<20
			st := open(t, p, s, c)
			wg.Go(func() {
				buf := make([]byte, 128<<10)
				for off := int64(0); off < s.size; off += int64(len(buf)) {
					start := time.Now()
					n, err := st.ReadAt(t.Context(), buf, off)
					if n != len(buf) || err != nil || !isRight(buf, off) {
						t.Errorf("ReadAt at %d = %d, %v", off, n, err)
						return
					}
					if took := time.Since(start); took > 5*time.Second {
						t.Errorf("a read took %v", took)
					}
				}
			})
		}
		wg.Wait()
	})
}
